// Each appId with its two lanes: state, gauges, backlog, the last hour. The worst stand first.

import { HourChart, drawGauge } from "./charts.js";
import { attr, byId, clone, hidden, keyed, style, text } from "./dom.js";
import { countdown, number, percent, short, span } from "./format.js";
import { plural, said, word } from "./words.js";

const RANK = { stopped: 0, spent: 1, closed: 2, paused: 3, slowed: 4, open: 5 };
const SIGNS = { open: "●", slowed: "◐", closed: "‖", paused: "‖", stopped: "✕", spent: "○" };
/** So many appIds stand open when the page comes; of more, those that need a look. */
const FEW = 3;

let programs = [];
let isFirst = true;

/** The day's use counts too, but not the minute's, which would have the cards jump. */
const rankOf = (lane) => (RANK[lane.state] ?? 0) - (lane.day.used >= 0.8 * lane.day.limit ? 0.5 : 0);

function gathered(lanes) {
  const byAppid = new Map();
  for (const lane of lanes) {
    if (!byAppid.has(lane.appid)) byAppid.set(lane.appid, { appid: lane.appid, lanes: [] });
    byAppid.get(lane.appid).lanes.push(lane);
  }
  for (const program of byAppid.values()) program.rank = Math.min(...program.lanes.map(rankOf));
  return [...byAppid.values()].sort((a, b) => a.rank - b.rank || (a.appid < b.appid ? -1 : 1));
}

export function showLanes(numbers, now) {
  programs = gathered(numbers.lanes ?? []);
  const notOpen = programs.flatMap((program) => program.lanes).filter((lane) => lane.state !== "open").length;
  text(byId("lanes-count"), programs.length ? word("lanes_count", {
    programs: plural("programs", programs.length, number(programs.length)),
    lanes: notOpen ? plural("lanes_not_open", notOpen, number(notOpen)) : word("lanes_all_open"),
  }) : "");
  hidden(byId("lanes-tools"), programs.length < 2);
  hidden(byId("filter"), programs.length <= FEW);
  const opened = programs.filter((program, index) => programs.length <= FEW || (isFirst && index < FEW && program.rank < RANK.open));
  if (programs.length) isFirst = false;
  keyed(byId("programs"), programs, (program) => program.appid, (program) => {
    const node = clone("t-program");
    attr(node, "data-appid", program.appid);
    node.open = opened.includes(program);
    return node;
  }, (node, program) => showProgram(node, program, now));
  applyFilter();
}

function showProgram(node, program, now) {
  text(node.parts.appid, program.appid);
  keyed(node.parts.briefs, program.lanes, (lane) => lane.lane, () => clone("t-brief"), (brief, lane) => {
    text(brief.parts.lane, word(lane.lane));
    showState(brief.parts.state, lane.state);
    style(brief.parts.fill, "width", `${Math.min(100, (100 * lane.minute.used) / (lane.minute.limit || 1))}%`);
    text(brief.parts.percent, percent(lane.minute.used, lane.minute.limit));
  });
  // what is folded is drawn once it is opened
  node.showLanes = () => keyed(node.parts.lanes, program.lanes, (lane) => lane.lane, newLane, (each, lane) => showLane(each, lane, now));
  node.ontoggle ??= () => node.open && node.showLanes();
  if (node.open) node.showLanes();
}

function newLane(lane) {
  const node = clone("t-lane");
  attr(node, "data-lane", lane.lane);
  node.chart = new HourChart(node);
  return node;
}

export function showState(node, state) {
  attr(node, "data-state", state);
  text(node, `${SIGNS[state] ?? "?"} ${word(state)}`);
}

function showLane(node, lane, now) {
  const { parts } = node;
  text(parts.name, word(lane.lane));
  showState(parts.state, lane.state);
  text(parts.why, said(lane.why));
  node.opensAt = lane.opens_at;
  tickLane(node, now);
  for (const [key, name] of [["minute", word("this_minute")], ["day", word("this_day")]]) {
    const { used, limit } = lane[key];
    text(parts[`${key}-percent`], drawGauge(parts[key], used, limit));
    text(parts[`${key}-used`], number(used));
    text(parts[`${key}-limit`], short(limit));
    attr(parts[`${key}-limit`], "title", number(limit));
    text(parts[`${key}-name`], name);
    const label = `${lane.appid} ${word(lane.lane)}, ${name}`;
    attr(parts[key], "aria-label", label);
    attr(parts[key], "aria-valuetext", word("meter", { name, used: number(used), limit: number(limit) }));
  }
  text(parts.backlog, number(lane.backlog));
  text(parts["backlog-name"], word("backlog"));
  text(parts["backlog-time"], backlogTime(lane));
  node.chart.update(lane.hour, lane.minute.limit);
  text(parts.from, word("ago", { n: lane.hour.length ? lane.hour.length - 1 : 60 }));
  text(parts.half, word("ago", { n: 30 }));
  text(parts.to, word("now"));
}

function backlogTime(lane) {
  if (!lane.backlog) return lane.backlog === 0 ? word("backlog_none") : "";
  return lane.backlog_seconds === null ? word("backlog_unknown") : word("backlog_time", { time: span(lane.backlog_seconds) });
}

function tickLane(node, now) {
  const left = node.opensAt === null || node.opensAt === undefined ? null : node.opensAt - now;
  text(node.parts.opens, left === null ? "" : left > 0 ? word("opens_in", { time: countdown(left) }) : word("opens_now"));
}

/** Between two readings the countdowns go on. `now` is Redis' clock. */
export function tickLanes(now) {
  for (const node of document.querySelectorAll("#programs details[open] .lane")) tickLane(node, now);
}

function applyFilter() {
  const sought = byId("filter").value.trim().toLowerCase();
  let shown = 0;
  for (const program of programs) {
    const words = [program.appid, ...program.lanes.flatMap((lane) => [lane.state, word(lane.state)])];
    const matches = !sought || words.some((each) => each.toLowerCase().includes(sought));
    shown += matches;
    hidden(byId("programs").keyedNodes.get(program.appid), !matches);
  }
  hidden(byId("lanes-empty"), shown > 0);
  text(byId("lanes-empty"), shown ? "" : word(programs.length ? "no_match" : "no_lanes"));
}

export function watchLaneTools() {
  byId("filter").addEventListener("input", applyFilter);
  for (const [id, open] of [["expand", true], ["collapse", false]]) {
    byId(id).addEventListener("click", () => {
      for (const node of byId("programs").children) node.open = open;
    });
  }
}
