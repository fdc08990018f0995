// Numbers and times as people read them, in the language of the page.

import { lang, word } from "./words.js";

const made = new Map();

/** A formatter, made once: making one costs more than using it. */
function formatter(kind, options) {
  // 2M, not 2m, and the day before the month
  const locale = lang() === "zh" ? "zh-CN" : kind === Intl.NumberFormat ? "en-US" : "en-GB";
  const key = `${kind.name}|${locale}|${JSON.stringify(options)}`;
  if (!made.has(key)) made.set(key, new kind(locale, options));
  return made.get(key);
}

export const number = (n) => (n === null || n === undefined ? "–" : formatter(Intl.NumberFormat, {}).format(n));

/** Long numbers in little room: 2M, 200 万. */
export const short = (n) => (n < 100_000 ? number(n) : formatter(Intl.NumberFormat, { notation: "compact", maximumFractionDigits: 1 }).format(n));

/** Never 100% before it is, never 0% once it is not. */
export function percent(used, limit) {
  if (!limit || used <= 0) return "0%";
  if (used >= limit) return `${Math.round((100 * used) / limit)}%`;
  return used / limit < 0.01 ? "<1%" : `${Math.floor((100 * used) / limit)}%`;
}

export const clock = (at, seconds = true) =>
  formatter(Intl.DateTimeFormat, { hour: "2-digit", minute: "2-digit", hourCycle: "h23", ...(seconds && { second: "2-digit" }) }).format(at * 1000);

/** With its day, where that is not today. */
export function moment(at) {
  const today = new Date().toDateString() === new Date(at * 1000).toDateString();
  return today ? clock(at) : `${formatter(Intl.DateTimeFormat, { month: "short", day: "numeric" }).format(at * 1000)} ${clock(at)}`;
}

export const iso = (at) => new Date(at * 1000).toISOString();

/** A time span in one unit, or two: 0.4 s, 12 s, 3 min, 5 h 12 min. */
export function span(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 9.95) return word("s", { n: formatter(Intl.NumberFormat, { maximumFractionDigits: 1 }).format(seconds) });
  if (seconds < 99.5) return word("s", { n: Math.round(seconds) });
  if (seconds < 3570) return word("min", { n: Math.round(seconds / 60) });
  if (seconds < 172_800) {
    const minutes = Math.round(seconds / 60);
    return [word("h", { n: Math.floor(minutes / 60) }), minutes % 60 ? word("min", { n: minutes % 60 }) : ""].filter(Boolean).join(" ");
  }
  return word("d", { n: number(Math.round(seconds / 86_400)) });
}

/** What is left: 0:42, 3:07, 5:12:40. */
export function countdown(seconds) {
  const left = Math.max(0, Math.ceil(seconds));
  const two = (n) => String(n).padStart(2, "0");
  const hours = Math.floor(left / 3600);
  const minutes = Math.floor(left / 60) % 60;
  return hours ? `${hours}:${two(minutes)}:${two(left % 60)}` : `${minutes}:${two(left % 60)}`;
}
