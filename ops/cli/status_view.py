"""The board's numbers as lines for a terminal. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.text import Text

from ops.output import COLOURS
from status.labels import PLACES
from status.words import Lang, moment, printable, say, span

if TYPE_CHECKING:
    from collections.abc import Iterator

Numbers = dict[str, Any]

BAR = 10
_SPARKS = "▁▂▃▄▅▆▇█"
_LEVELS = {"bad": "bold red", "warn": "bold yellow"}
_STATES = {"open": "green", "slowed": "yellow", "paused": "yellow", "closed": "red", "stopped": "red", "spent": "red"}
#: most failures to show, the newest first
NEWEST = 5


def lines(numbers: Numbers, lang: Lang) -> Iterator[Text]:
    """Return the lines of the numbers, the troubles first. Without a store the numbers may be old, or absent."""
    yield from _troubles(numbers, lang)
    if numbers.get("stale_seconds"):
        old = say(lang, "these numbers are {} old: the store does not answer", span(lang, numbers["stale_seconds"]))
        yield Text(old, "yellow")
    if "lanes" not in numbers:
        return
    for name, part in (
        ("lanes", _lanes),
        ("places", _places),
        ("queues", _queues),
        ("pushes", _pushes),
        ("verdicts", _verdicts),
        ("failures", _failures),
        ("processes", _processes),
    ):
        yield Text("")
        yield Text(say(lang, name), "bold underline")
        yield from part(numbers, lang)


def bar(share: float) -> Text:
    """Return a gauge of ten cells."""
    # a used gauge is never empty, and only a full one is full
    full = BAR if share >= 1 else max(int(share * BAR), int(share > 0))
    return Text("█" * full + "░" * (BAR - full), "green" if share < 0.8 else "yellow" if share < 1 else "red")


def sparkline(minutes: list[list[float]]) -> Text:
    """Return a cell for each minute ``[at, sent, given_back, refused]``, a full one for the most calls sent.

    Yellow: checks were given back. Red: calls were refused.
    """
    most = max((minute[1] for minute in minutes), default=0)
    line = Text()
    for _, sent, given_back, refused in minutes:
        cell = _SPARKS[min(7, int(sent * 8 / most))] if sent else "·" if given_back or refused else " "
        line.append(cell, "red" if refused else "yellow" if given_back else "green")
    return line


def _troubles(numbers: Numbers, lang: Lang) -> Iterator[Text]:
    troubles = numbers.get("troubles") or []
    if not troubles:
        yield Text(say(lang, "all is well"), "bold green")
    for number, trouble in enumerate(troubles):
        style = _LEVELS.get(trouble["level"], "bold")
        also = "" if number == 0 else f"{say(lang, 'also')}: "
        remedy = f"  {say(lang, 'Remedy')}: {trouble['remedy'][lang]}"
        yield Text.assemble((also, ""), (trouble["said"][lang], style), (remedy, ""))


def _lanes(numbers: Numbers, lang: Lang) -> Iterator[Text]:
    if not numbers["lanes"]:
        yield Text(f"  {say(lang, 'no Mini Program is set')}")
    for lane in numbers["lanes"]:
        state = lane["state"]
        line = Text(f"  {lane['appid']} {say(lang, lane['lane'])}  ")
        line.append(say(lang, state), _STATES.get(state, ""))
        if lane["why"]:
            line.append(f": {lane['why'][lang]}")
        if lane["opens_at"]:
            line.append(f"; {say(lang, 'opens in {}', span(lang, max(0.0, lane['opens_at'] - numbers['at'])))}")
        yield line
        used = Text("    ")
        for unit in ("minute", "day"):
            of = lane[unit]
            used.append(f"{say(lang, unit)} ")
            used.append_text(bar(of["used"] / of["limit"] if of["limit"] else 1.0))
            used.append(f" {of['used']:,}/{of['limit']:,}   ")
        if lane["backlog"] is not None:
            used.append(f"{say(lang, 'backlog')} {lane['backlog']:,}")
            if lane["backlog_seconds"]:
                used.append(f", {say(lang, 'about {}', span(lang, lane['backlog_seconds']))}")
        yield used
        if any(sum(minute[1:]) for minute in lane["hour"]):
            peak = max(minute[1] for minute in lane["hour"])
            hour = Text(f"    {say(lang, 'hour')} ")
            hour.append_text(sparkline(lane["hour"]))
            yield hour.append(f" {say(lang, 'peak {} a minute', f'{peak:,}')}")


def _places(numbers: Numbers, lang: Lang) -> Iterator[Text]:
    line = Text("  ")
    for number, place in enumerate(PLACES):
        count = numbers["places"][place]
        # the inbox is unknown where the broker is away
        shown = "–" if count is None else f"{count:,}"
        line.append(f"{'  ' if number else ''}{say(lang, place.replace('_', ' '))} ")
        line.append(shown, "" if count == 0 else "bold")
    yield line
    yield Text(f"  {say(lang, 'dead letters')} {numbers['dead']:,}", "dim")


def _queues(numbers: Numbers, lang: Lang) -> Iterator[Text]:
    width = max((len(queue["name"]) for queue in numbers["queues"]), default=0)
    for queue in numbers["queues"]:
        messages = "–" if queue["messages"] is None else f"{queue['messages']:,}"  # the broker is away
        said = say(lang, "{} messages, {} workers", messages, queue["workers"])
        yield Text.assemble(f"  {queue['name']:<{width}}  ", (said, "" if queue["workers"] else "red"))


def _pushes(numbers: Numbers, lang: Lang) -> Iterator[Text]:
    waiting = numbers["waiting"]
    said = say(lang, "{} parked", f"{waiting['count']:,}")
    if waiting["oldest_seconds"] is not None:
        said += f", {say(lang, 'the oldest for {}', span(lang, waiting['oldest_seconds']))}"
    yield Text(f"  {said}")
    delay = waiting["delay"]
    if delay["count"]:
        told = "  ".join(f"{p} {span(lang, delay[p])}" for p in ("p50", "p95", "p99") if delay[p] is not None)
        yield Text(f"  {say(lang, 'push delay')} {told}  ({say(lang, 'of {} in the last hour', delay['count'])})")
    for unit in ("hour", "day"):
        told = "  ".join(f"{say(lang, name)} {count:,}" for name, count in waiting[unit].items() if count)
        yield Text(f"  {say(lang, unit)}: {told or say(lang, 'none')}")


def _verdicts(numbers: Numbers, lang: Lang) -> Iterator[Text]:
    if not numbers["verdicts"]:
        yield Text(f"  {say(lang, 'none')}")
    for verdict in numbers["verdicts"]:
        yield Text.assemble(
            f"  {say(lang, verdict['kind'])} ",
            (say(lang, verdict["suggest"]), COLOURS.get(verdict["suggest"], "")),
            f" {verdict['label']}  {say(lang, 'hour')} {verdict['hour']:,}  {say(lang, 'day')} {verdict['day']:,}",
        )


def _failures(numbers: Numbers, lang: Lang) -> Iterator[Text]:
    failures = numbers["failures"]
    if not failures["classes"] and not failures["newest"]:
        yield Text(f"  {say(lang, 'none')}")
    for failure in failures["classes"]:
        counts = f"{say(lang, 'hour')} {failure['hour']:,}  {say(lang, 'day')} {failure['day']:,}"
        yield Text.assemble(("  " + _failure(failure), "red" if failure["hour"] else ""), f"  {counts}")
        yield Text(f"    {say(lang, 'Remedy')}: {failure['remedy'][lang]}")
    for failure in failures["newest"][:NEWEST]:
        rid = f"rid {printable(failure['rid'])}" if failure["rid"] else ""
        said = [moment(failure["at"])[:19], _failure(failure), failure["appid"] or "-", failure["task_id"] or "-", rid]
        yield Text("  " + "  ".join(said).rstrip())


def _failure(failure: Numbers) -> str:
    return failure["name"] if failure["errcode"] is None else f"{failure['name']} {failure['errcode']}"


def _processes(numbers: Numbers, lang: Lang) -> Iterator[Text]:
    if not numbers["processes"]:
        yield Text(f"  {say(lang, 'none')}", "red")
    for process in numbers["processes"]:
        said = [process["name"], say(lang, process["kind"]), process["version"]]
        if process["kind"] == "worker":
            said += [f"{process['pool']}, {say(lang, 'slots')} {process['slots']}", ", ".join(process["queues"])]
        said.append(say(lang, "seen {} ago", span(lang, process["age_seconds"])))
        line = Text("  " + "  ".join(str(part) for part in said if part))
        if abs(process["clock_offset_seconds"] or 0) >= 1:
            line.append("  " + say(lang, "clock off by {}", span(lang, process["clock_offset_seconds"])), "red")
        yield line
