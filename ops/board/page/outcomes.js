// Pushes, verdicts and failures.

import { drawHistogram, drawShares } from "./charts.js";
import { attr, byId, clone, hidden, keyed, text } from "./dom.js";
import { iso, moment, number, span } from "./format.js";
import { labelName, said, word } from "./words.js";

const PUSHES = ["matched", "early", "repeated", "late", "missing", "orphaned", "forged"];
/** None of these is normal. */
const ODD = new Set(["late", "missing", "orphaned", "forged"]);
const KINDS = ["text", "image", "audio"];
const SUGGESTS = ["pass", "review", "risky"];

export function showPushes(waiting) {
  text(byId("waiting-count"), number(waiting?.count));
  text(byId("waiting-oldest"), span(waiting?.oldest_seconds));
  keyed(byId("push-counts"), PUSHES, (name) => name, (name) => {
    const node = clone("t-push");
    attr(node, "data-push", name);
    return node;
  }, (node, name) => {
    const [hour, day] = [waiting?.hour?.[name], waiting?.day?.[name]];
    text(node.parts.name, (ODD.has(name) && (hour || day) ? "▲ " : "") + word(name));
    text(node.parts.hint, word(`${name}_hint`));
    text(node.parts.hour, number(hour));
    text(node.parts.day, number(day));
    attr(node, "data-odd", ODD.has(name) && (hour || day) ? "odd" : null);
  });
  const delay = waiting?.delay;
  const some = Boolean(delay?.count);
  text(byId("delay-count"), some ? word("delay_count", { n: number(delay.count) }) : "");
  hidden(byId("delay-empty"), some);
  attr(byId("histogram"), "hidden", some ? null : "");
  keyed(byId("quantiles"), ["p50", "p95", "p99"], (name) => name, () => clone("t-quantile"), (node, name) => {
    text(node.querySelector("dt"), name);
    text(node.querySelector("dd"), span(some ? delay[name] : null));
  });
  if (some) drawHistogram(byId("histogram"), delay);
}

export function showVerdicts(verdicts) {
  const zero = () => ({ pass: 0, review: 0, risky: 0 });
  const sums = Object.fromEntries(KINDS.map((kind) => [kind, { kind, hour: zero(), day: zero() }]));
  for (const each of verdicts) {
    const sum = sums[each.kind];
    if (!sum || !(each.suggest in sum.hour)) continue; // of a newer version
    sum.hour[each.suggest] += each.hour;
    sum.day[each.suggest] += each.day;
  }
  keyed(byId("kinds"), KINDS, (kind) => kind, (kind) => {
    const node = clone("t-kind");
    attr(node, "data-kind", kind);
    return node;
  }, (node, kind) => {
    text(node.parts.name, word(kind));
    const bars = node.querySelectorAll(".bar3");
    ["hour", "day"].forEach((unit, index) => {
      const counts = sums[kind][unit];
      drawShares(bars[index], counts);
      text(node.parts[`${unit}-name`], word(unit));
      text(node.parts[unit], SUGGESTS.map((suggest) => `${number(counts[suggest])} ${word(suggest)}`).join(" · "));
    });
  });
  const sorted = verdicts.filter((each) => each.hour || each.day).sort((a, b) => b.day - a.day || a.label - b.label);
  hidden(byId("labels-empty"), sorted.length > 0);
  hidden(byId("labels").closest("table"), !sorted.length);
  const key = (each) => `${each.kind}|${each.suggest}|${each.label}`;
  keyed(byId("labels"), sorted, key, (each) => {
    const node = clone("t-label");
    attr(node, "data-verdict", key(each));
    return node;
  }, (node, each) => {
    text(node.parts.name, labelName(each.label));
    text(node.parts.label, each.label);
    text(node.parts.kind, word(each.kind));
    attr(node.parts.swatch, "class", `swatch ${SUGGESTS.includes(each.suggest) ? each.suggest : ""}`);
    text(node.parts.suggest, word(each.suggest));
    text(node.parts.hour, number(each.hour));
    text(node.parts.day, number(each.day));
  });
}

export function showFailures(failures) {
  const classes = failures?.classes ?? [];
  const newest = failures?.newest ?? [];
  hidden(byId("failures-empty"), classes.length + newest.length > 0);
  hidden(byId("classes-card"), !classes.length);
  hidden(byId("newest-card"), !newest.length);
  keyed(byId("classes"), classes, (each) => `${each.name}|${each.errcode}`, (each) => {
    const node = clone("t-class");
    attr(node, "data-failure", `${each.name}|${each.errcode ?? ""}`);
    return node;
  }, (node, each) => {
    text(node.parts.name, each.name);
    text(node.parts.errcode, each.errcode ?? "–");
    text(node.parts.hour, number(each.hour));
    text(node.parts.day, number(each.day));
    text(node.parts.remedy, said(each.remedy));
    label(node, { errcode: "errcode", hour: word("hour"), day: word("day") });
  });
  keyed(byId("newest"), newest, (each) => `${each.task_id}|${each.at}|${each.name}`, newFailure, (node, each) => {
    text(node.parts.at, moment(each.at));
    attr(node.parts.at, "datetime", iso(each.at));
    text(node.parts.name, each.name);
    text(node.parts.errcode, each.errcode === null ? "" : `errcode ${each.errcode}`);
    hidden(node.parts.errcode, each.errcode === null);
    text(node.parts.appid, each.appid);
    text(node.parts.remedy, said(each.remedy));
    text(node.parts["task-name"], word("task"));
    text(node.parts.task, each.task_id);
    text(node.parts.rid, each.rid);
    hidden(node.parts["rid-block"], !each.rid);
    for (const [part, what] of [["copy-task", word("task")], ["copy-rid", "rid"]]) {
      const button = node.parts[part];
      if (!button.dataset.said) text(button, word("copy"));
      attr(button, "aria-label", word("copy_label", { what }));
    }
  });
}

/** On a phone a row stands as a block, and each cell says what it is. */
export function label(row, labels) {
  for (const [part, name] of Object.entries(labels)) attr(row.parts[part].closest("td"), "data-label", name);
}

function newFailure() {
  const node = clone("t-newest");
  for (const [button, value] of [["copy-task", "task"], ["copy-rid", "rid"]]) {
    node.parts[button].addEventListener("click", () => copy(node.parts[button], node.parts[value]));
  }
  return node;
}

async function copy(button, value) {
  let outcome = "copied";
  try {
    await navigator.clipboard.writeText(value.textContent);
  } catch {
    // no clipboard where the page came over plain HTTP from another machine: it is selected, to be copied by hand
    getSelection().selectAllChildren(value);
    outcome = "not_copied";
  }
  button.dataset.said = outcome;
  text(button, word(outcome));
  setTimeout(() => {
    delete button.dataset.said;
    text(button, word("copy"));
  }, 2000);
}
