"""The named events that the source says, as it is written."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, cast

from tests.support.processes import ROOT

#: the rooms of the processes, and who speaks there
SPEAKERS = {
    "store": "worker",
    "wechat": "worker",
    "worker": "worker",
    "tasks": "worker",
    "callbacks": "endpoint",
    "status": "board",
    "ops/board": "board",
    "sandbox": "sandbox",
}

LEVELS = ("debug", "info", "warning", "error")
#: names of what is a :class:`config.logs.Log`, or takes the same
LOGS = ("log", "_warnings")

_UNNAMED = re.compile(r"\blogg(?:er|ing)\.(?:debug|info|warning|error|exception|critical|log)\(")


class Said(NamedTuple):
    """One place where an event is said."""

    event: str
    #: of its logger; None where it depends
    level: str | None
    speaker: str
    #: named where it is said
    fields: frozenset[str]
    where: str


def said() -> Iterator[Said]:
    """Every event of the source, at each place where it is said."""
    for module, call in _calls():
        where = f"{module.relative_to(ROOT)}:{call.lineno}"
        speaker = next(SPEAKERS[room] for room in SPEAKERS if module.is_relative_to(ROOT / room))
        fields = frozenset(keyword.arg for keyword in call.keywords if keyword.arg)
        function = call.func
        level: str | None
        if isinstance(function, ast.Name):
            name, level = call.args[2], "info"
        elif isinstance(function, ast.Attribute) and function.attr == "log":
            name, level = call.args[1], None
        else:
            name, level = call.args[0], cast("ast.Attribute", function).attr
        for event in _named(name, where):
            yield Said(event, level, speaker, fields, where)


def unnamed() -> list[str]:
    """The places where the source writes into the log without a name, as only Python's own loggers do."""
    found: list[str] = []
    for folder in SPEAKERS:
        for module in sorted((ROOT / folder).rglob("*.py")):
            lines = module.read_text(encoding="utf-8").splitlines()
            found.extend(f"{module}:{number}" for number, line in enumerate(lines, 1) if _UNNAMED.search(line))
    return found


def _calls() -> Iterator[tuple[Path, ast.Call]]:
    for folder in SPEAKERS:
        for module in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and _speaks(node.func):
                    yield module, node


def _speaks(function: ast.expr) -> bool:
    if isinstance(function, ast.Name):
        return function.id == "announce"
    if not isinstance(function, ast.Attribute) or function.attr not in (*LEVELS, "log"):
        return False
    owner = function.value
    return (owner.id if isinstance(owner, ast.Name) else getattr(owner, "attr", "")) in LOGS


def _named(node: ast.expr, where: str) -> list[str]:
    """The event's name; all that a name in two halves can be."""
    match node:
        case ast.Constant(value=str(name)):
            return [name]
        case ast.IfExp(body=one, orelse=other):
            return _named(one, where) + _named(other, where)
        case ast.JoinedStr(values=[ast.Constant(value="push_"), ast.FormattedValue(value=ast.Name(id="what"))]):
            script = (ROOT / "store" / "places" / "push.lua").read_text(encoding="utf-8")
            answers = "\n".join(re.findall(r"said\[i\] = \{(.*)\}", script))
            # the intake takes a push of a newer check for an early one
            return sorted({f"push_{what}" for what in re.findall(r"(?<!== )'(\w+)'", answers)} - {"push_newer"})
    raise AssertionError(f"{where}: the name of an event is to stand there as it is, or nobody finds it")
