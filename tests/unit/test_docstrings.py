"""Docstrings and comments name modules, functions, classes and files that exist, each by its name of today.

Tests: bench, callbacks, client, config, ops, sandbox, status, store, tasks, wechat, worker
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import io
import re
import tokenize
from collections import Counter
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.processes import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOMS = ("bench", "callbacks", "client", "config", "ops", "sandbox", "status", "store", "tasks", "wechat", "worker")
SOURCES = sorted(path for room in (*ROOMS, "examples", "tests") for path in (ROOT / room).rglob("*.py"))
SCRIPTS = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.lua"))
#: how many files have a name: a docstring may name a file without its folder where no other has that name
FILES = Counter(
    path.name for room in (*ROOMS, "docs", "deploy", "examples", "tests") for path in (ROOT / room).rglob("*")
)

REFERENCE = re.compile(r":(?:mod|func|class|meth|attr|data|exc):`~?([\w.]+)`")
#: a dotted name in double backticks that begins with a room
QUOTED = re.compile(rf"``((?:{'|'.join(ROOMS)})(?:\.[A-Za-z_]\w*)+)``")
FILE = re.compile(r"(?<![\w./…*<{-])[\w./-]*\w\.(?:lua|py|md)\b(?!\.)")
#: names that stand for any file
EXAMPLES = {"name.lua"}


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def prose(path: Path) -> str:
    """Return the docstrings and comments of a file."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".lua":
        return "\n".join(re.findall(r"--\s*(.*)", text))
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = [ast.get_docstring(node) or "" for node in ast.walk(parsed(path)) if isinstance(node, kinds)]
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return "\n".join([*docstrings, *(token.string for token in tokens if token.type == tokenize.COMMENT)])


@cache
def defined(path: Path) -> set[str]:
    """Return every name that a module binds: at its top, in its classes, and on ``self``."""
    return set(bindings(parsed(path)))


def bindings(module: ast.Module) -> Iterator[str]:
    for node in ast.walk(module):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr
        elif isinstance(node, ast.alias):
            yield node.asname or node.name.rpartition(".")[2]


def split(name: str) -> tuple[Path, list[str]] | None:
    """Return the longest module of this repository that ``name`` begins with, and the names after it."""
    parts = (f"client.{name}" if name.split(".")[0] == "wxcheck" else name).split(".")
    for length in range(len(parts), 0, -1):
        module = ROOT.joinpath(*parts[:length])
        for path in (module / "__init__.py", module.parent / f"{module.name}.py"):
            if path.is_file():
                return path, parts[length:]
    return None


def is_defined(name: str, within: Path) -> bool:
    """True if ``name`` is bound in the module ``within``, or is a module, a name of a module, or an installed name."""
    if set(name.split(".")) <= defined(within):
        return True
    found = split(name)
    if found is not None:
        path, rest = found
        return set(rest) <= defined(path)
    module, _, attribute = name.rpartition(".")
    try:
        return bool(module) and hasattr(importlib.import_module(module), attribute)
    except ImportError:
        return False


def is_file(name: str, within: Path) -> bool:
    """True if ``name`` is a path from the repository's root, a file beside ``within``, or the only file so named."""
    if (ROOT / name).is_file() or (within.parent / name).is_file():
        return True
    return FILES[name] == 1


def is_command(name: str) -> bool:
    """True if ``python -m`` can run ``name``: a module or package of this repository, or an installed one."""
    found = split(name)
    if found is not None:
        return not found[1] and (found[0].name != "__init__.py" or found[0].with_name("__main__.py").is_file())
    return importlib.util.find_spec(name) is not None


def test_every_reference_leads_to_a_name_that_exists() -> None:
    found = [
        (str(path.relative_to(ROOT)), name)
        for path in SOURCES
        for name in REFERENCE.findall(prose(path)) + QUOTED.findall(prose(path))
        if not is_defined(name, path) and not is_file(name, path)
    ]
    assert found == []


def test_every_file_that_is_named_exists() -> None:
    found = [
        (str(path.relative_to(ROOT)), name)
        for path in [*SOURCES, *SCRIPTS]
        for name in FILE.findall(prose(path))
        if name not in EXAMPLES and not is_file(name, path)
    ]
    assert found == []


def test_every_module_that_is_named_as_a_command_exists() -> None:
    found = [
        (str(path.relative_to(ROOT)), name)
        for path in SOURCES
        for name in re.findall(r"python -m ([a-z_]\w*(?:\.\w+)*)", prose(path))
        if not is_command(name)
    ]
    assert found == []


def test_a_script_opens_with_a_sentence_that_begins_with_its_verb() -> None:
    first = {path: re.sub(r"\A(#!.*\n)*", "", path.read_text(encoding="utf-8")).partition("\n")[0] for path in SCRIPTS}
    assert [line for line in first.values() if not re.match(r"-- [A-Z][a-z]+s\b", line)] == []
