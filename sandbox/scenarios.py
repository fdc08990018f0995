"""Magic values: what a text's content or a media URL asks the sandbox to do with its check. Pure.

The word ``sandbox``, then ``:`` or ``=``, then directives with commas between them, and no spaces: ``sandbox:risky``
anywhere in a text; ``https://img.example/a.jpg?sandbox=risky,early,repeat=3`` or
``https://img.example/sandbox:review.png``. Host and port of a URL are not looked at. The directives end at a space, at
``& # / " ' < >``, a bracket or a character beyond ASCII. An unknown directive, or one with a bad value, is answered
HTTP 400 with the list of those known.

==================  ============  ====================================================================================
directive           for           what happens
==================  ============  ====================================================================================
``pass``            both          the verdict, also without any directive
``review``          both          the verdict ``review``; version 1 knows none and passes
``risky``           both          the verdict ``risky``; version 1: 87014, or ``isrisky`` 1
``label=20002``     both          this label; without a verdict named beside it, 100 passes and any other is risky
``errcode=44991``   both          answered with this error code; ``sandbox:44991`` and ``sandbox:-1`` say the same
``http=502``        both          answered with this HTTP status (400 to 599) and an HTML page
``reset``           both          the connection is closed without an answer; the check is not taken
``reset=taken``     both          the same, but a media check is taken: its push comes
``html``            both          an HTML page with status 200
``garbage``         both          status 200, and half a JSON document
``slow=2``          both          answered this many seconds late
``camel``           both          answered as a cloud call: ``errCode``, ``errMsg``, ``traceId``
``no_trace_id``     both          the answer lacks its ``trace_id``; a media check is taken, its push comes
``no_result``       both          the answer (text) or the push (media) lacks ``result``, under version 1 ``isrisky``
``unfetchable``     media         the push says -1008: the file could not be downloaded
``error=-1009``     media         the push says this error code
``details=3``       media         the v2 push has so many ``detail`` entries; only the first of them counts
``early``           media         pushed, and that answered, before the check is answered
``delay=1.5``       media         pushed this many seconds after the answer
``repeat=3``        media         pushed three times in all
``lost``            media         never pushed
==================  ============  ====================================================================================

``errcode``, ``http``, ``reset``, ``html``, ``garbage`` and ``slow`` take ``*n``: only the first ``n`` checks of this
very content or URL. ``sandbox:-1*2`` fails twice, then works. Several happen in turn:
``sandbox:-1*1,http=502*1,risky``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal
from urllib.parse import unquote, urlsplit

Suggest = Literal["pass", "review", "risky"]

_MAGIC = re.compile(r"""(?<![A-Za-z0-9_.-])sandbox[:=]([^\s&#/"'<>()\[\]{}\u0080-\U0010ffff]+)""")
_EXTENSION = re.compile(r"\.(?:jpe?g|png|bmp|gif|mp3|aac|ac3|wma|flac|ogg|vorbis|opus|wav)$", re.IGNORECASE)
_NUMBER = re.compile(r"-?\d{1,9}", re.ASCII)


class ScenarioError(ValueError):
    """A directive that does not exist, or with a value that it does not take. The message lists those known."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One way for a call to go wrong, on its first ``times`` calls; ``None`` for every call."""

    kind: Literal["errcode", "http", "reset", "html", "garbage"]
    #: the errcode or HTTP status
    value: int = 0
    times: int | None = None
    #: a media check is taken although its call fails
    taken: bool = False


@dataclass(frozen=True, slots=True)
class Scenario:
    """The demands of the directives. The defaults are those without any directive."""

    #: the magic value as written: the word that a keyword verdict names
    written: str = ""
    suggest: Suggest | None = None
    label: int | None = None
    faults: tuple[Fault, ...] = ()
    slow: float = 0
    slow_times: int | None = None
    camel: bool = False
    no_trace_id: bool = False
    no_result: bool = False
    #: the push's errcode, for a file that was not judged
    error: int | None = None
    details: int = 1
    early: bool = False
    delay: float | None = None
    #: number of pushes; None: once, or by the options
    repeat: int | None = None
    lost: bool = False

    @property
    def counted(self) -> bool:
        """True if the number of earlier checks of this content matters."""
        return self.slow_times is not None or any(fault.times is not None for fault in self.faults)

    def fault_at(self, call: int) -> Fault | None:
        """Return the fault of the ``call``-th check of this content, counted from 0; None: no fault."""
        for fault in self.faults:
            if fault.times is None or call < fault.times:
                return fault
            call -= fault.times
        return None

    def slow_at(self, call: int) -> float:
        """Return the seconds by which the ``call``-th check of this content, counted from 0, is answered late."""
        return self.slow if self.slow_times is None or call < self.slow_times else 0


NOTHING = Scenario()


def of_text(text: str) -> Scenario:
    """Return the scenario that a text's content names.

    Raises:
        ScenarioError: unknown directive or bad value.
    """
    return _parse(_MAGIC.findall(text)) if "sandbox" in text else NOTHING


def of_url(url: str) -> Scenario:
    """Return the scenario that path, query or fragment of a media URL name, percent-encoded or not.

    Raises:
        ScenarioError: unknown directive or bad value.
    """
    if "sandbox" not in url:
        return NOTHING
    try:
        parts = urlsplit(url)
        # apart: an encoded separator must not join the words of two parts
        pieces = [parts.path, *parts.query.split("&"), parts.fragment]
    except ValueError:
        pieces = [url]
    return _parse([_EXTENSION.sub("", found) for piece in pieces for found in _MAGIC.findall(unquote(piece))])


def _parse(values: list[str]) -> Scenario:
    scenario = NOTHING
    for value in values:
        for directive in value.rstrip(",.!?;").split(","):
            scenario = _apply(scenario, directive)
    return replace(scenario, written=f"sandbox:{','.join(values)}") if values else scenario


def _apply(scenario: Scenario, directive: str) -> Scenario:
    body, star, count = directive.partition("*")
    name, equals, value = body.partition("=")
    if _NUMBER.fullmatch(body):
        name, equals, value = "errcode", "=", body
    rule = _RULES.get(name)
    if rule is None:
        raise ScenarioError(f"unknown directive {directive[:40]!r}; {KNOWN}")
    if star and name not in _TIMED:
        raise ScenarioError(f"{name} takes no *n, which only {', '.join(sorted(_TIMED))} do")
    times = int(_number(directive, count, 1, 1_000_000)) if star else None
    return rule(scenario, directive, value if equals else None, times)


def _number(directive: str, value: str | None, least: float, most: float, whole: bool = True) -> float:
    pattern = r"-?\d{1,9}" if whole else r"-?\d{1,9}(\.\d{1,9})?"
    if not re.fullmatch(pattern, value or "", re.ASCII) or not least <= float(value or "") <= most:
        kind = "whole number" if whole else "number"
        raise ScenarioError(f"{directive[:40]!r} needs a {kind} from {least:.9g} to {most:.9g}; {KNOWN}")
    return int(value or "") if whole else float(value or "")


Rule = Callable[[Scenario, str, str | None, int | None], Scenario]


def _suggest(suggest: Suggest) -> Rule:
    def rule(scenario: Scenario, directive: str, value: str | None, _: int | None) -> Scenario:
        _bare(directive, value)
        if scenario.suggest not in (None, suggest):
            raise ScenarioError(f"{directive!r} contradicts {scenario.suggest!r} before it: name one verdict")
        return replace(scenario, suggest=suggest)

    return rule


def _flag(**changes: int | bool) -> Rule:
    def rule(scenario: Scenario, directive: str, value: str | None, _: int | None) -> Scenario:
        _bare(directive, value)
        return replace(scenario, **changes)  # type: ignore[arg-type]

    return rule


def _value(field: str, least: float, most: float, whole: bool = True) -> Rule:
    def rule(scenario: Scenario, directive: str, value: str | None, _: int | None) -> Scenario:
        return replace(scenario, **{field: _number(directive, value, least, most, whole)})  # type: ignore[arg-type]

    return rule


def _slow(scenario: Scenario, directive: str, value: str | None, times: int | None) -> Scenario:
    return replace(scenario, slow=_number(directive, value, 0, 600, whole=False), slow_times=times)


def _fault(kind: Literal["errcode", "http", "html", "garbage"], least: int = 0, most: int = 0) -> Rule:
    def rule(scenario: Scenario, directive: str, value: str | None, times: int | None) -> Scenario:
        if least == most:
            _bare(directive, value)
            return _with(scenario, Fault(kind, 0, times))
        return _with(scenario, Fault(kind, int(_number(directive, value, least, most)), times))

    return rule


def _reset(scenario: Scenario, directive: str, value: str | None, times: int | None) -> Scenario:
    if value not in (None, "taken"):
        raise ScenarioError(f"{directive[:40]!r}: reset takes no value but taken; {KNOWN}")
    return _with(scenario, Fault("reset", 0, times, taken=value == "taken"))


def _with(scenario: Scenario, fault: Fault) -> Scenario:
    return replace(scenario, faults=(*scenario.faults, fault))


def _bare(directive: str, value: str | None) -> None:
    if value is not None:
        raise ScenarioError(f"{directive[:40]!r} takes no value; {KNOWN}")


_TIMED = {"errcode", "http", "reset", "html", "garbage", "slow"}

_RULES: dict[str, Rule] = {
    "pass": _suggest("pass"),
    "review": _suggest("review"),
    "risky": _suggest("risky"),
    "label": _value("label", 0, 999_999),
    "errcode": _fault("errcode", -999_999_999, 999_999_999),
    "http": _fault("http", 400, 599),
    "reset": _reset,
    "html": _fault("html"),
    "garbage": _fault("garbage"),
    "slow": _slow,
    "camel": _flag(camel=True),
    "no_trace_id": _flag(no_trace_id=True),
    "no_result": _flag(no_result=True),
    "unfetchable": _flag(error=-1008),
    "error": _value("error", -999_999, 999_999),
    "details": _value("details", 0, 20),
    "early": _flag(early=True),
    "delay": _value("delay", 0, 3600, whole=False),
    "repeat": _value("repeat", 1, 100),
    "lost": _flag(lost=True),
}

KNOWN = f"known are: {', '.join(_RULES)}, and a bare number for errcode"
