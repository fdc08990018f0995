"""The table of the bench, as plain text and as Markdown. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bench.quota.contenders import CONTENDERS
from bench.quota.faults import FAULTS
from bench.quota.result import Row
from bench.quota.scale import Scale

HEADINGS = (
    "design",
    "lane",
    "latency",
    "fault",
    "use",
    "bound",
    "most in any window",
    "most by the clock",
    "quota",
    "longest gap s",
    "pause s",
    "calls/check",
    "limiter's Redis commands/check",
    "Redis commands/check",
    "CPU ms/check",
    "state bytes",
)

#: what stands in the cells of the first four columns is words
_WORDS = 4

NOTES = (
    "use: share of the quota that arrived in the steady state; a pause that a fault forced is taken out of the time, "
    "and told by itself",
    "bound: the most that a closed pool can use, window / (window + mean answer + 0.05 s)",
    "most in any window, by the clock: of the whole run, its first window included; ! = more than the quota",
    "calls/check: calls of the limiter's scripts, of wxcheck's takes; commands: those within scripts included; "
    "– = can't be told, for one Redis does it all",
)


def cells(row: Row) -> list[str]:
    """The cells of a row, in the order of the headings."""
    costs = row.costs
    return [
        CONTENDERS[row.contender].title,
        row.lane,
        row.model,
        FAULTS[row.fault].title if row.fault else "",
        f"{row.use:.2%}",
        f"{row.bound:.2%}",
        _most(row.most_in_window, row.quota),
        _most(row.most_in_minute, row.quota),
        str(row.quota),
        f"{row.longest_gap:.1f}",
        f"{row.pause:.1f}" if row.pause else "",
        _number(costs.calls),
        _number(costs.limiter_commands),
        _number(costs.commands),
        f"{costs.cpu_ms:.1f}",
        str(costs.state),
    ]


def as_text(rows: Iterable[Row], scale: Scale, machine: str) -> str:
    """The table for a terminal."""
    body = [list(HEADINGS), *(cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in body) for column in range(len(HEADINGS))]
    lines = ["  ".join(_aligned(line, widths)).rstrip() for line in body]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join([f"{scale.describe()}; {machine}", "", *lines, "", *NOTES])


def as_markdown(rows: Iterable[Row], scale: Scale, machine: str) -> str:
    """The table for ``docs/quotas.md``."""
    rule = ["---" if column < _WORDS else "---:" for column in range(len(HEADINGS))]
    lines = [list(HEADINGS), rule, *(cells(row) for row in rows)]
    table = [f"| {' | '.join(line)} |" for line in lines]
    return "\n".join([f"{scale.describe()}; {machine}.", "", *table, "", *(f"* {note}." for note in NOTES), ""])


def _aligned(line: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [
        cell.ljust(width) if column < _WORDS else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(line, widths, strict=True))
    ]


def _most(number: int, quota: int) -> str:
    return f"{number}!" if number > quota else str(number)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
