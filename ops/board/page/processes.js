// Queues, and the processes that report.

import { attr, byId, clone, hidden, keyed, text } from "./dom.js";
import { number, span } from "./format.js";
import { label } from "./outcomes.js";
import { plural, word } from "./words.js";

/** Seconds after which a process that reports each few seconds is silent. */
const SILENT = 15;
/** Seconds by which a clock may be off. */
const CLOCK_OFF = 2;

export function showQueues(queues) {
  keyed(byId("queues"), queues, (queue) => queue.name, (queue) => {
    const node = clone("t-queue");
    attr(node, "data-queue", queue.name);
    return node;
  }, (node, queue) => {
    text(node.parts.name, queue.name);
    text(node.parts.messages, number(queue.messages));
    text(node.parts["messages-name"], word("messages"));
    attr(node.parts.workers, "data-state", queue.workers ? "open" : "stopped");
    text(node.parts.workers, queue.workers ? `● ${plural("workers", queue.workers, number(queue.workers))}` : `✕ ${word("workers_none")}`);
  });
}

export function showProcesses(processes, version) {
  hidden(byId("processes-empty"), processes.length > 0);
  keyed(byId("process-rows"), processes, (process) => `${process.kind}|${process.name}`, (process) => {
    const node = clone("t-process");
    attr(node, "data-process", process.name);
    return node;
  }, (node, process) => {
    const { parts } = node;
    const silent = process.age_seconds > SILENT;
    const off = Math.abs(process.clock_offset_seconds ?? 0) > CLOCK_OFF;
    const other = process.version !== version;
    text(parts.name, process.name);
    text(parts.kind, word(process.kind));
    text(parts.queues, (process.queues ?? []).join(", ") || "–");
    text(parts.pool, process.pool ? `${process.pool} × ${number(process.slots)}` : "–");
    attr(parts.age, "data-state", silent ? "stopped" : "open");
    text(parts.age, silent ? `✕ ${word("silent", { time: span(process.age_seconds) })}` : `● ${word("age", { time: span(Math.round(process.age_seconds)) })}`);
    text(parts.version, `${process.version}${other ? ` ▲ ${word("other_version", { version })}` : ""}`);
    attr(parts.version, "class", other ? "odd" : "");
    const offset = process.clock_offset_seconds;
    text(parts.clock, offset === null || offset === undefined ? "–" : `${off ? "▲ " : ""}${offset <= -0.05 ? "−" : offset >= 0.05 ? "+" : ""}${span(Math.abs(offset))}`);
    attr(parts.clock, "class", off ? "n odd" : "n");
    label(node, { kind: word("kind"), queues: word("queues"), pool: word("pool"), age: word("heartbeat"), version: word("version"), clock: word("clock") });
  });
}
