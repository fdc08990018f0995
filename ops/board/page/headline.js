// The first line: what is wrong, with its remedy; and the few numbers that say most.

import { attr, byId, clone, hidden, keyed, text } from "./dom.js";
import { clock, number, span } from "./format.js";
import { plural, said, word } from "./words.js";

const SIGNS = {
  well: "M5 12.5l4.5 4.5L19 7.5",
  warn: "M12 6v7M12 17.5v.5",
  bad: "M7 7l10 10M17 7L7 17",
  wait: "M7 12h.01M12 12h.01M17 12h.01",
};

/**
 * Args: the numbers that came last, or null; the state of the connection to the board ("wait", "live", "lost", "login");
 * seconds since the numbers came.
 */
export function showHeadline(numbers, connection, age) {
  const troubles = numbers?.troubles ?? [];
  const own = ownTrouble(numbers, connection);
  const [first, ...further] = own ? [own, ...troubles] : troubles;
  const level = first?.level ?? (numbers ? "well" : "wait");
  attr(byId("first"), "data-level", level);
  attr(byId("first-sign"), "d", SIGNS[level]);
  text(byId("first-said"), first ? said(first.said) : word(numbers ? "all_well" : "reading"));
  text(byId("first-remedy"), first ? said(first.remedy) : numbers ? well(numbers) : "");
  showAge(numbers, connection, age);
  hidden(byId("further"), !further.length);
  text(byId("further-count"), word("further", { n: further.length }));
  keyed(byId("further-list"), further.map((trouble, index) => ({ ...trouble, at: index })), (trouble) => `${trouble.key}|${trouble.at}`, () => clone("t-further"), (node, trouble) => {
    attr(node, "data-level", trouble.level);
    text(node.parts.said, `${word(trouble.level)}: ${said(trouble.said)}`);
    text(node.parts.remedy, said(trouble.remedy));
  });
  const wrong = first ? `${level === "bad" ? "✕" : "!"} ${further.length + 1} · ` : "";
  if (document.title !== `${wrong}wxcheck`) document.title = `${wrong}wxcheck`;
}

function ownTrouble(numbers, connection) {
  const both = (key) => ({ [document.documentElement.lang.slice(0, 2)]: word(key) });
  if (connection === "lost") return { key: "lost", level: "bad", said: both("lost_said"), remedy: both("lost_remedy") };
  if (connection === "login") return { key: "login", level: "bad", said: both("login_said"), remedy: both("login_remedy") };
  return null;
}

/** How old the numbers are, beside the sentence that is read aloud: it changes each second. */
export function showAge(numbers, connection, age) {
  const old = connection === "lost" || connection === "login" || numbers?.stale_seconds > 0;
  hidden(byId("first-since"), !old);
  if (!old) return;
  if (!numbers?.lanes) text(byId("first-since"), word("no_numbers"));
  else text(byId("first-since"), word("numbers_from", { time: clock(numbers.at), age: span(Math.round(age + numbers.stale_seconds)) }));
}

function well(numbers) {
  const sent = (numbers.lanes ?? []).reduce((sum, lane) => sum + lane.hour.reduce((all, minute) => all + minute[1], 0), 0);
  const processes = (numbers.processes ?? []).length;
  return word("all_well_more", { processes: plural("processes", processes, number(processes)), sent: number(sent) });
}

/** The places of a check, in the order of its life. */
const PLACES = ["inbox", "lanes", "shelf", "in_hand", "parked", "ready", "outbox"];

export function showPlaces(places) {
  keyed(byId("place-counts"), PLACES, (name) => name, (name) => {
    const node = clone("t-tile");
    attr(node, "data-place", name);
    return node;
  }, (node, name) => {
    text(node.querySelector("dt"), word(`place_${name}`));
    text(node.querySelector("dd"), number(places?.[name]));
    text(node.querySelector("p"), word(`place_${name}_hint`));
  });
}

export function showTiles(numbers) {
  const lanes = numbers.lanes ?? [];
  const sum = (values) => values.reduce((all, n) => all + (n ?? 0), 0);
  const known = numbers.lanes !== undefined;
  const tiles = [
    ["sent", sum(lanes.map((lane) => lane.minute.used))],
    ["failed", sum((numbers.failures?.classes ?? []).map((each) => each.hour))],
    ["dead", numbers.dead],
  ];
  keyed(byId("tiles"), tiles, ([key]) => key, ([key]) => {
    const node = clone("t-tile");
    attr(node, "data-tile", key);
    return node;
  }, (node, [key, n]) => {
    text(node.querySelector("dt"), word(`tile_${key}`));
    text(node.querySelector("dd"), known ? number(n) : "–");
    text(node.querySelector("p"), word(`tile_${key}_hint`));
  });
}
