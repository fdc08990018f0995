"""Draws the plots of a bench from its results. What was not measured is not drawn.

On an opaque light ground, so that pages in light and in dark show them alike; the same results make the same bytes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.machine import in_a_line

OURS, PEER, THIRD, FOURTH, GRAY = "#1f6feb", "#d9730d", "#2a9d4a", "#a03fb8", "#6e7781"
_NAMES = {"wxcheck": OURS, "bare": PEER}

_STYLE: dict[Any, Any] = {
    "svg.hashsalt": "wxcheck",
    # letters as letters: smaller, and found by a search
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["Helvetica", "Arial", "DejaVu Sans", "sans-serif"],
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#57606a",
    "axes.labelcolor": "#24292f",
    "text.color": "#24292f",
    "xtick.color": "#57606a",
    "ytick.color": "#57606a",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#d8dee4",
    "grid.linewidth": 0.6,
    "figure.facecolor": "#ffffff",
    "axes.facecolor": "#ffffff",
    "savefig.facecolor": "#ffffff",
    "legend.frameon": False,
    "path.simplify": True,
}
#: points of a line at the most: it keeps the files small
_POINTS = 200


def draw(results: dict[str, Any], directory: Path) -> list[Path]:
    """Writes ``NAME.svg`` for each plot that ``results``, as the JSON of a run has them, are enough for."""
    directory.mkdir(parents=True, exist_ok=True)
    machine = _machine(results)
    written = []
    with mpl.rc_context(_STYLE):
        for name, (figure, plot) in PLOTS.items():
            series = results["rows"] if figure is None else results["series"].get(figure)
            if not series:
                continue
            path = directory / f"{name}.svg"
            canvas = Figure(figsize=(7.2, 4.2), layout="constrained")
            if plot(canvas.subplots(), series):
                _write(canvas, path, machine)
                written.append(path)
    return written


def throughput(axes: Axes, rows: list[dict[str, Any]]) -> bool:
    """Bars of both sides, each pair in shares of the peer's."""
    shown = [("text", "1/s", "text checks"), ("media", "1/s", "media chains"), ("endpoint", "1/s", "pushes received")]
    found = [(title, _first(rows, figure, unit)) for figure, unit, title in shown]
    pairs = [(title, row) for title, row in found if row is not None]
    if not pairs:
        return False
    for place, (_, row) in enumerate(pairs):
        bars = (("wxcheck", row["wxcheck"], OURS, -0.2), ("bare Celery", row["peer"], PEER, 0.2))
        for label, side, color, aside in bars:
            height = row["ratio"]["median"] if side is row["wxcheck"] else 1
            axes.bar(place + aside, height, 0.36, color=color, label=label if place == 0 else None)
            told = f"{side['median']:,.0f}/s"
            axes.annotate(told, (place + aside, 0.03), ha="center", va="bottom", fontsize=9, color="#ffffff")
        bound = float(re.sub(r"[^0-9.]", "", row["target"]))
        axes.plot([place - 0.4, place], [bound, bound], color="#24292f", linewidth=1.2, linestyle="--")
    axes.plot([], [], color="#24292f", linewidth=1.2, linestyle="--", label="target")
    axes.set_xticks(range(len(pairs)), [title for title, _ in pairs])
    axes.set_ylabel("to bare Celery = 1")
    axes.set_title("Throughput of one process, beside bare Celery")
    axes.set_xlim(-0.6, len(pairs) - 0.4)
    _legend(axes)
    return True


def latency(axes: Axes, series: dict[str, Any]) -> bool:
    """The share of the pushes whose follow-up had started after so many milliseconds."""
    told = {
        "idle": ("wxcheck, idle", OURS, "-"),
        "three bare hops": ("three bare hops, idle", PEER, "-"),
        "backlog, at the platform's quotas": ("beside a backlog, platform's quotas", THIRD, "-"),
        "backlog, quotas lifted": ("beside a backlog, quotas lifted", FOURTH, "-"),
    }
    for name, (label, color, style) in told.items():
        ordered = sorted(series["seconds"][name])
        step = max(1, len(ordered) // _POINTS)
        points = [*range(0, len(ordered), step), len(ordered) - 1]
        axes.plot(
            [ordered[point] * 1000 for point in points],
            [(point + 1) / len(ordered) for point in points],
            color=color,
            linestyle=style,
            label=label,
            drawstyle="steps-post",
        )
    axes.set_xscale("log")
    axes.set_xlabel("milliseconds from the push to its follow-up")
    axes.set_ylabel("share of the pushes")
    axes.set_ylim(0, 1.02)
    axes.set_title(f"Latency of a push, idle and beside 2 × {series['backlog']:,} waiting checks")
    _legend(axes)
    return True


def parked(axes: Axes, series: dict[str, Any]) -> bool:
    """Bytes for each check against their number."""
    sizes = series["sizes"]
    both = [state + result for state, result in zip(series["state"], series["result"], strict=True)]
    axes.plot(sizes, both, color=THIRD, marker="o", label="parked check with its WAITING result")
    axes.plot(sizes, series["state"], color=OURS, marker="o", label="parked check")
    axes.plot(sizes, series["message"], color=PEER, marker="o", label="the same chain's message in a queue")
    axes.plot(sizes, [1.6 * of for of in series["message"]], color="#24292f", linestyle="--", label="target: 1.6 times")
    axes.set_xscale("log")
    axes.set_ylim(0, 1.25 * max(*both, *[1.6 * of for of in series["message"]]))
    axes.set_xlabel("checks parked, or waiting")
    axes.set_ylabel("bytes each")
    axes.set_title("Memory in Redis for each parked check")
    _legend(axes)
    return True


def finish(axes: Axes, series: dict[str, Any]) -> bool:
    """Milliseconds of a finish against the number of parked checks: the middle, and nine of ten."""
    sizes, taken = series["sizes"], [sorted(of) for of in series["milliseconds"]]
    middles = [of[len(of) // 2] for of in taken]
    bounds = [[of[int(len(of) * share)] for of in taken] for share in (0.05, 0.95)]
    axes.fill_between(sizes, bounds[0], bounds[1], color=OURS, alpha=0.15, linewidth=0, label="nine of ten")
    axes.plot(sizes, middles, color=OURS, marker="o", label="push to follow-up, median")
    micro = [of / 1000 for of in series["redis_microseconds"]]
    axes.plot(sizes, micro, color=THIRD, marker="o", label="of it in Redis' scripts")
    axes.axhline(1.1 * middles[0], color="#24292f", linestyle="--", linewidth=1.2, label="target: 1.1 times")
    axes.set_xscale("log")
    axes.set_ylim(0, 1.35 * max(bounds[1]))
    axes.set_xlabel("checks that are parked meanwhile")
    axes.set_ylabel("milliseconds")
    axes.set_title("Finishing one push, by the number of parked checks")
    _legend(axes)
    return True


def memory(axes: Axes, series: dict[str, Any]) -> bool:
    """Memory of a worker against the checks that it has done."""
    axes.plot(series["checks"], series["mib"], color=OURS, label="one worker process, RSS")
    axes.set_ylim(0, 1.2 * max(series["mib"]))
    axes.set_xlabel("text checks done")
    axes.set_ylabel("MiB")
    axes.set_title("Memory of a worker")
    _legend(axes)
    return True


def scaling(axes: Axes, series: dict[str, Any]) -> bool:
    """Checks a second against the number of worker processes."""
    processes = series["processes"]
    for kind, label in (("wxcheck", "wxcheck"), ("bare", "bare Celery")):
        axes.plot(processes, series[kind], color=_NAMES[kind], marker="o", label=label)
    up_to = [number for number in processes if number <= series["cores"]]
    ideal = [series["wxcheck"][0] * number for number in up_to]
    axes.plot(up_to, ideal, color=GRAY, linestyle="--", label=f"wxcheck in proportion, up to {series['cores']} cores")
    axes.set_xticks(processes)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("worker processes")
    axes.set_ylabel("text checks a second")
    axes.set_title("Text checks by worker processes (Redis and platform on the same cores)")
    _legend(axes)
    return True


def appids(axes: Axes, series: dict[str, Any]) -> bool:
    """What an idle worker holds and asks, against the number of appIds whose checks wait."""
    shown = (
        ("clients", "Redis clients", OURS),
        ("descriptors", "descriptors", PEER),
        ("threads", "threads, each started by a call", GRAY),
        ("commands", "commands to Redis a second", THIRD),
    )
    for name, label, color in shown:
        axes.plot(series["appids"], series[name], color=color, marker="o", label=label)
    axes.set_xscale("log")
    axes.set_ylim(0, 1.25 * max(max(series[name]) for name, _, _ in shown))
    axes.set_xlabel("appIds whose day's quota is gone, four checks waiting for each")
    axes.set_ylabel("of one worker")
    axes.set_title("A worker while nothing may be sent, by the number of Mini Programs")
    _legend(axes)
    return True


Plot = Callable[[Axes, Any], bool]

#: by the file's name: whose series it is drawn from (None: the rows), and how
PLOTS: dict[str, tuple[str | None, Plot]] = {
    "throughput": (None, throughput),
    "latency": ("latency", latency),
    "parked": ("parked", parked),
    "finish": ("finish", finish),
    "memory": ("memory", memory),
    "scaling": ("scaling", scaling),
    "appids": ("closed", appids),
}


def _legend(axes: Axes) -> None:
    """Below the plot, where it covers nothing."""
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2, fontsize=9)


def _write(canvas: Figure, path: Path, machine: str) -> None:
    canvas.supxlabel(machine, fontsize=7, color=GRAY)
    # without a date the same results make the same file
    canvas.savefig(path, format="svg", metadata={"Date": None, "Creator": None})
    text = path.read_text()
    path.write_text("\n".join(line.rstrip() for line in text.splitlines()) + "\n")


def _first(rows: list[dict[str, Any]], figure: str, unit: str) -> dict[str, Any] | None:
    return next(
        (row for row in rows if row["figure"] == figure and row["unit"] == unit and row["peer"] and row["target"]), None
    )


def _machine(results: dict[str, Any]) -> str:
    line = in_a_line(results["machine"])
    machine, _, packages = line.partition("; ")
    quick = "; a quick look" if results.get("quick") else ""
    celery = packages.partition(",")[0]
    return f"{machine}, {celery}{quick}"
