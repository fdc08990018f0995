// Asks for the numbers each second, shows them, and says so where they do not come.

import { attr, byId, text } from "./dom.js";
import { clock, iso } from "./format.js";
import { showAge, showHeadline, showPlaces, showTiles } from "./headline.js";
import { showLanes, tickLanes, watchLaneTools } from "./lanes.js";
import { showFailures, showPushes, showVerdicts } from "./outcomes.js";
import { showProcesses, showQueues } from "./processes.js";
import { fillStaticWords, lang, word } from "./words.js";

const EVERY = 1000;
/** Longer than the board itself waits for the store. */
const PATIENCE = 8000;
const THEMES = ["auto", "light", "dark"];

let numbers = null;
let connection = "wait";
let cameAt = 0;
/** Milliseconds by which Redis' clock is before this device's. */
let ahead = 0;
let next = 0;
let asking = false;

const now = () => (Date.now() + ahead) / 1000;
const age = () => (performance.now() - cameAt) / 1000;

async function ask() {
  try {
    const answer = await fetch("/numbers.json", { cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });
    if (answer.status === 401) return { state: "login" };
    if (!answer.ok) return { state: "lost" };
    return { state: "live", came: await answer.json() };
  } catch {
    return { state: "lost" }; // no network, no server, or none that answers in time: the page says so
  }
}

async function follow() {
  if (asking) return;
  asking = true;
  clearTimeout(next);
  const began = performance.now();
  const { state, came } = await ask();
  connection = state;
  if (came) {
    numbers = came;
    cameAt = performance.now();
    if (!came.stale_seconds) ahead = came.at * 1000 - Date.now();
  }
  asking = false;
  show(Boolean(came));
  // nobody looks: nothing is asked for
  if (!document.hidden) next = setTimeout(follow, Math.max(100, EVERY - (performance.now() - began)));
}

function show(isNew) {
  attr(document.body, "data-connection", connection);
  attr(document.body, "data-old", connection === "lost" || connection === "login" || numbers?.stale_seconds > 0 ? "old" : null);
  showHeadline(numbers, connection, age());
  text(byId("live-word"), word({ wait: "connecting", live: numbers?.stale_seconds ? "stale" : "live" }[connection] ?? "lost"));
  if (!numbers || !isNew) return;
  attr(byId("live-time"), "datetime", iso(numbers.at));
  text(byId("live-time"), clock(numbers.at));
  text(byId("foot"), word("foot", { version: numbers.version }));
  showTiles(numbers);
  if (!numbers.lanes) return; // the store was away from the start
  showPlaces(numbers.places);
  showLanes(numbers, now());
  showPushes(numbers.waiting);
  showVerdicts(numbers.verdicts ?? []);
  showFailures(numbers.failures);
  showQueues(numbers.queues ?? []);
  showProcesses(numbers.processes ?? [], numbers.version);
}

function keep(name, value) {
  try {
    localStorage.setItem(`wxcheck.${name}`, value);
  } catch {
    // a browser that keeps nothing: it holds until the page is left
  }
}

function sayAll() {
  fillStaticWords();
  const button = byId("lang-switch");
  text(button, word("other_lang"));
  attr(button, "lang", lang() === "zh" ? "en" : "zh-CN");
  attr(button, "aria-label", word("other_lang_label"));
  text(byId("theme-switch"), word(`theme_${document.documentElement.dataset.theme}`));
  show(true);
}

byId("lang-switch").addEventListener("click", () => {
  const chosen = lang() === "zh" ? "en" : "zh";
  document.documentElement.lang = chosen === "zh" ? "zh-CN" : "en";
  keep("lang", chosen);
  const address = new URL(location.href);
  address.searchParams.delete("lang"); // it would outrank the choice
  history.replaceState(null, "", address);
  sayAll();
});

byId("theme-switch").addEventListener("click", () => {
  const root = document.documentElement;
  root.dataset.theme = THEMES[(THEMES.indexOf(root.dataset.theme) + 1) % THEMES.length];
  keep("theme", root.dataset.theme);
  sayAll();
});

document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(next) : follow()));
setInterval(() => {
  tickLanes(now());
  showAge(numbers, connection, age());
}, 500);

watchLaneTools();
sayAll();
follow();
