"""The table of the bench. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from bench.overhead.outcome import Row

HEADINGS = ("figure", "what", "unit", "wxcheck", "peer", "ratio", "spread", "target", "")
#: columns that hold words
_WORDS = (0, 1, 2, 7, 8)


def cells(row: Row) -> list[str]:
    """The cells of a row, in the order of the headings."""
    ratios = row.ratios
    reached = {None: "", True: "reached", False: "missed"}[row.is_reached]
    return [
        row.figure,
        f"{row.title} [{row.peer}]" if row.peer else row.title,
        row.unit,
        number(row.value),
        number(row.peer_value) if row.peer_value is not None else "",
        f"{row.ratio:.2f}" if row.ratio is not None else "",
        f"{min(ratios):.2f}–{max(ratios):.2f}" if len(ratios) > 1 else "",
        row.target.told(row.unit) if row.target else "",
        reached,
    ]


def as_text(rows: Iterable[Row], conditions: str) -> str:
    """The table for a terminal, with the machine above it."""
    body = [list(HEADINGS), *(cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in body) for column in range(len(HEADINGS))]
    lines = ["  ".join(_aligned(line, widths)).rstrip() for line in body]
    lines.insert(1, "  ".join("-" * width for width in widths))
    notes = "what [peer]; ratio: wxcheck to peer, the median over the rounds; spread: the least and the most of them"
    return "\n".join([conditions, "", *lines, "", notes])


def as_markdown(rows: Iterable[Row], conditions: str) -> str:
    """The table of ``docs/performance.md``, with the machine below it."""
    lines = ["| figure | wxcheck | peer | ratio (least–most) | to reach |", "|---|---|---|---|---|"]
    for row in rows:
        _, what, unit, ours, peer, ratio, spread, target, reached = cells(row)
        unit = f" {unit}" if unit else ""
        cell = f"{target} {'✓' if reached == 'reached' else '**missed**'}" if target else ""
        told = (what, ours + unit, peer and peer + unit, f"{ratio} ({spread})" if spread else ratio, cell)
        lines.append(f"| {' | '.join(told)} |")
    return "\n".join([*lines, "", f"{conditions}.", ""])


def number(value: float) -> str:
    """Three significant digits, and whole numbers in full."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _aligned(line: list[str], widths: list[int]) -> list[str]:
    return [
        cell.ljust(width) if column in _WORDS else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(line, widths, strict=True))
    ]
