// Language and theme, before the first paint: ?lang= outranks what was chosen here, that the browser's own.
"use strict";
(() => {
  const kept = (name) => {
    try {
      return localStorage.getItem(`wxcheck.${name}`);
    } catch {
      return null; // a browser that keeps nothing
    }
  };
  const known = (lang) => (lang ? (lang.toLowerCase().startsWith("zh") ? "zh" : "en") : null);
  const asked = known(new URLSearchParams(location.search).get("lang"));
  const preferred = (navigator.languages || []).map((lang) => lang.toLowerCase()).find((lang) => /^(zh|en)/.test(lang));
  const lang = asked || known(kept("lang")) || known(preferred) || "en";
  const theme = kept("theme");
  document.documentElement.lang = lang === "zh" ? "zh-CN" : "en";
  document.documentElement.dataset.theme = theme === "light" || theme === "dark" ? theme : "auto";
})();
