// The last hour of a lane as curves, and the histogram of push delay. What is drawn is also said in words.

import { attr, hidden, style, svg, text } from "./dom.js";
import { clock, number, percent, short, span } from "./format.js";
import { word } from "./words.js";

const WIDTH = 600;
const FLOOR = 119;
const HEIGHT = 112;
/** A count that is not 0 is seen, beside thousands too. */
const LEAST = 4;
const SERIES = { sent: 1, given_back: 2, refused: 3 };

/** The next number of the form 1, 2, 5 times a power of ten: a scale that changes seldom. */
export function niceTop(most) {
  const least = Math.max(most, 10);
  const power = 10 ** Math.floor(Math.log10(least));
  return [1, 2, 5, 10].map((step) => step * power).find((top) => top >= least);
}

export function drawGauge(node, used, limit) {
  const share = limit ? Math.min(1, used / limit) : 0;
  style(node.querySelector(".used"), "stroke-dashoffset", String(100 - 100 * share));
  attr(node, "data-full", share >= 1 ? "full" : share >= 0.8 ? "nearly" : null);
  attr(node, "aria-valuenow", used);
  attr(node, "aria-valuemax", Math.max(limit, used));
  return percent(used, limit);
}

/** A lane's hour; its hover, touch and arrow keys read one minute. */
export class HourChart {
  constructor(lane) {
    this.parts = lane.parts;
    this.svg = lane.parts.hour.querySelector("svg");
    this.hour = [];
    this.read = null;
    const chart = lane.parts.hour;
    const at = (event) => {
      const box = chart.getBoundingClientRect();
      const share = (event.clientX - box.left) / box.width;
      this.show(Math.round(share * (this.hour.length - 1)));
    };
    chart.addEventListener("pointermove", at);
    chart.addEventListener("pointerdown", at);
    for (const end of ["pointerleave", "pointercancel", "blur"]) {
      // a finger that is lifted leaves too, and would then have read nothing
      chart.addEventListener(end, (event) => !(end === "pointerleave" && event.pointerType === "touch") && this.show(null));
    }
    chart.addEventListener("keydown", (event) => {
      const last = this.hour.length - 1;
      const from = this.read ?? last + (event.key === "ArrowRight" ? 0 : 1);
      const to = { ArrowLeft: from - 1, ArrowRight: from + 1, Home: 0, End: last }[event.key];
      if (event.key === "Escape") this.show(null);
      if (to === undefined) return;
      event.preventDefault();
      this.show(to);
    });
  }

  update(hour, limit) {
    const drawn = `${limit}|${hour}`;
    this.hour = hour;
    if (drawn !== this.drawn) {
      this.drawn = drawn;
      this.draw(limit);
    }
    this.say();
  }

  draw(limit) {
    const top = niceTop(Math.max(...this.hour.map((minute) => Math.max(minute[1], minute[2], minute[3])), 1));
    const x = (index) => Math.round((10 * WIDTH * index) / Math.max(1, this.hour.length - 1)) / 10;
    const y = (n) => (n ? FLOOR - Math.max(LEAST, Math.round((10 * HEIGHT * n) / top) / 10) : FLOOR);
    const path = (series, onlyAbove) => {
      let d = "";
      this.hour.forEach((minute, index) => {
        const n = minute[series];
        // a curve that lies on the floor says nothing: it is drawn up from there and down to there
        const near = n || this.hour[index - 1]?.[series] || this.hour[index + 1]?.[series];
        if (onlyAbove && !near) return;
        const joined = index && (!onlyAbove || n || this.hour[index - 1][series]);
        d += `${joined && d ? "L" : "M"}${x(index)} ${y(n)}`;
      });
      return d;
    };
    const sent = path(SERIES.sent, false);
    attr(this.svg.querySelector(".area"), "d", sent && `${sent}L${WIDTH} ${FLOOR}L0 ${FLOOR}Z`);
    attr(this.svg.querySelector(".sent"), "d", sent);
    attr(this.svg.querySelector(".given_back"), "d", path(SERIES.given_back, true));
    attr(this.svg.querySelector(".refused"), "d", path(SERIES.refused, true));
    attr(this.svg.querySelector(".limit"), "d", limit <= top ? `M0 ${y(limit)}H${WIDTH}` : "");
    text(this.parts.top, word("per_minute", { n: short(top) }));
  }

  show(index) {
    const read = index === null || !this.hour.length ? null : Math.max(0, Math.min(this.hour.length - 1, index));
    if (read === this.read) return;
    this.read = read;
    this.say();
  }

  /** The numbers below the curves: of the minute that is pointed at, else of the hour. */
  say() {
    const last = this.hour.length - 1;
    const minute = this.read === null ? null : this.hour[Math.min(this.read, last)];
    const sum = (series) => this.hour.reduce((total, each) => total + each[series], 0);
    const shown = {};
    for (const [name, series] of Object.entries(SERIES)) {
      shown[name] = sum(series);
      text(this.parts[`${name}-name`], word(name));
      text(this.parts[name], number(minute ? minute[series] : shown[name]));
    }
    text(this.parts.when, minute ? clock(minute[0], false) : word("last_hour"));
    const cursor = minute ? `M${(WIDTH * this.read) / Math.max(1, last)} 0V120` : "";
    attr(this.svg.querySelector(".cursor"), "d", cursor);
    const label = minute
      ? `${clock(minute[0], false)}: ${Object.entries(SERIES).map(([name, series]) => `${number(minute[series])} ${word(name)}`).join(", ")}`
      : word("hour_label", { lane: this.parts.name.textContent, ...Object.fromEntries(Object.entries(shown).map(([k, n]) => [k, number(n)])) });
    attr(this.parts.hour, "aria-label", label);
  }
}

const BASE = 170;
const ROOM = 112;
const LEFT = 6;
const RIGHT = 514;
const MARKS = ["p50", "p95", "p99"];

/** Where in the histogram a delay lies: its columns are equally wide, whatever their bounds. */
function placeOf(seconds, bounds, step) {
  let below = 0;
  for (const [index, bound] of bounds.entries()) {
    if (bound === null) return LEFT + step * (index + 0.5);
    if (seconds <= bound) return LEFT + step * (index + (seconds - below) / (bound - below || 1));
    below = bound;
  }
  return RIGHT;
}

export function drawHistogram(node, delay) {
  const bounds = delay.buckets.map((bucket) => bucket[0]);
  if (node.dataset.bounds !== JSON.stringify(bounds)) {
    node.dataset.bounds = JSON.stringify(bounds);
    node.replaceChildren();
    svg(node, "path", { class: "grid", d: `M${LEFT} ${BASE}H${RIGHT}` });
    const each = (list, name, kind) => list.map((item) => svg(node, name, { class: kind(item) }));
    // what stands later lies above: words above lines
    node.bars = each(bounds, "path", () => "column");
    node.lines = each(MARKS, "path", (name) => `mark ${name}`);
    node.counts = each(bounds, "text", () => "count");
    node.bounds = each(bounds, "text", () => "bound");
    node.names = each(MARKS, "text", () => "mark-name");
  }
  const step = (RIGHT - LEFT) / Math.max(1, bounds.length);
  const top = Math.max(...delay.buckets.map((bucket) => bucket[1]), 1);
  delay.buckets.forEach(([bound, n], index) => {
    const height = n ? Math.max(2, (ROOM * n) / top) : 0;
    const x = LEFT + step * index;
    attr(node.bars[index], "d", height ? `M${x + 2} ${BASE}V${BASE - height + 3}q0 -3 3 -3H${x + step - 5}q3 0 3 3V${BASE}Z` : "");
    place(node.counts[index], x + step / 2, BASE - height - 5, n ? short(n) : "");
    const shown = bound === null ? `>${shortSpan(bounds[index - 1])}` : shortSpan(bound);
    // below the column's right edge, for that is where the bound lies
    place(node.bounds[index], bound === null ? x + step / 2 : Math.min(x + step, RIGHT - 8), BASE + 18, index % 2 && bounds.length > 12 ? "" : shown);
  });
  MARKS.forEach((name, index) => {
    const seconds = delay[name];
    const [line, label] = [node.lines[index], node.names[index]];
    const known = seconds !== null && seconds !== undefined;
    const x = known ? Math.round(placeOf(seconds, bounds, step)) : 0;
    const y = 12 + 14 * index;
    attr(line, "d", known ? `M${x} ${y + 4}V${BASE}` : "");
    const left = x > RIGHT - 90;
    attr(label, "text-anchor", left ? "end" : "start");
    place(label, left ? x - 4 : x + 4, y + 4, known ? `${name} ${span(seconds)}` : "");
  });
  const said = delay.buckets.filter((bucket) => bucket[1]).map(([bound, n]) =>
    bound === null ? word("delay_above", { bound: span(bounds.at(-2)), n: number(n) }) : word("delay_bucket", { bound: span(bound), n: number(n) }),
  );
  const marks = MARKS.filter((name) => delay[name] !== null).map((name) => `${name} ${span(delay[name])}`);
  attr(node, "aria-label", word("delay_label", { buckets: said.join(", "), marks: marks.join(", ") }));
}

function place(node, x, y, shown) {
  attr(node, "x", Math.round(x * 10) / 10);
  attr(node, "y", Math.round(y * 10) / 10);
  text(node, shown);
}

/** A bound of the histogram: 0.5, 30, 2m, 1h; seconds where no letter says otherwise. */
function shortSpan(seconds) {
  if (seconds === undefined) return "";
  if (seconds < 60) return `${seconds}s`;
  return seconds < 3600 ? `${Math.round(seconds / 6) / 10}m` : `${Math.round(seconds / 360) / 10}h`;
}

/** Shares of pass, review and risky in one bar. */
export function drawShares(node, counts) {
  const sum = counts.pass + counts.review + counts.risky;
  for (const part of node.children) style(part, "flex-grow", String(sum ? counts[part.className] / sum : 0));
  for (const part of node.children) hidden(part, !counts[part.className]);
}
