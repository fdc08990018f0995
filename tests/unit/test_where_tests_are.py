"""A module's test is found by its file's name, or by a line ``Tests:`` in its head (CONTRIBUTING.md).

Tests: CONTRIBUTING.md
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from functools import cache
from pathlib import Path

from tests.support.processes import ROOT

ROOMS = ("client/wxcheck", "config", "wechat", "store", "sandbox", "worker", "tasks", "status", "callbacks", "ops")

#: kinds of statement that there is anything to test of: not a docstring, an import or a call of ``main()``
DOES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign)

#: words that a head does not begin with: its subject comes first
NO_SUBJECT = ("How", "Of", "What", "Where", "Whether", "Which", "Who", "Whose")


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def dotted(path: Path) -> str:
    """The name that a module is imported by."""
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    return name.removeprefix("client.").removesuffix(".__init__")


@cache
def modules() -> set[str]:
    """The modules of all rooms by the names that they are imported by."""
    return {
        dotted(path)
        for room in ROOMS
        for path in (ROOT / room).rglob("*.py")
        if any(isinstance(statement, DOES) for statement in parsed(path).body)
    }


@cache
def heads() -> dict[Path, str]:
    """The docstring of each test's file."""
    return {path: ast.get_docstring(parsed(path)) or "" for path in sorted((ROOT / "tests").rglob("test_*.py"))}


@cache
def ends() -> dict[str, set[str]]:
    """Modules by each end of their path, with ``_`` for the dots: ``sandbox_tokens`` is ``sandbox.tokens`` alone, while
    ``tokens`` is ``store.tokens.tokens`` too."""
    found: dict[str, set[str]] = defaultdict(set)
    for module in modules():
        parts = module.replace("__", "").split(".")
        for start in range(len(parts)):
            found["_".join(parts[start:])].add(module)
    return found


def meant(path: Path) -> set[str]:
    """The modules that a file's name may mean."""
    return ends().get(path.stem.removeprefix("test_"), set())


def listed(path: Path) -> set[str]:
    """The modules and files that a head names, in its lines ``Tests:``."""
    lines = re.findall(r"^Tests: (.+)$", heads()[path], re.MULTILINE)
    return {name.strip() for line in lines for name in line.split(",")}


def exists(name: str) -> bool:
    """Whether ``name`` is a module or package by its dotted name, or a file or folder of the repository."""
    return file_of(name) is not None or (ROOT / name).exists()


@cache
def file_of(name: str) -> Path | None:
    """The file of a module or package; None of any other name."""
    path = ROOT / ("client" if name.startswith("wxcheck") else "") / name.replace(".", "/")
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


@cache
def imports(path: Path) -> set[str]:
    """The modules of this repository that a file names in its imports."""
    named: set[str] = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            named |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            named |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {name for name in named if file_of(name)}


def reached(path: Path) -> set[str]:
    """The modules that a file imports, and those that these import."""
    found: set[str] = set()
    left = imports(path)
    while left:
        found |= left
        left = {name for module in left if (file := file_of(module)) for name in imports(file)} - found
    return found


def test_every_module_is_named_by_a_test() -> None:
    by_name = set().union(*(meant(path) for path in heads() if len(meant(path)) == 1))
    by_head = set().union(*(listed(path) for path in heads()))
    untested = sorted(modules() - by_name - by_head)
    assert not untested, f"no test's name or head names {untested}"


def test_what_a_head_names_exists() -> None:
    assert [(path.name, name) for path in heads() for name in sorted(listed(path)) if not exists(name)] == []


def test_a_name_that_several_modules_have_is_told_apart_by_the_head() -> None:
    assert [path.name for path in heads() if len(meant(path)) > 1 and not meant(path) & listed(path)] == []


def test_a_head_that_lists_modules_lists_the_one_that_its_file_is_named_after() -> None:
    of_modules = [path for path in heads() if listed(path) & modules()]
    assert [path.name for path in of_modules if len(meant(path)) == 1 and not meant(path) <= listed(path)] == []


def test_a_unit_test_reaches_the_modules_that_it_is_found_by() -> None:
    """Those of other folders may start processes instead."""
    units = [path for path in heads() if path.parent.name == "unit"]
    found_by = {path: listed(path) & modules() or (meant(path) if len(meant(path)) == 1 else set()) for path in units}
    assert [(path.name, own - reached(path)) for path, own in found_by.items() if own - reached(path)] == []


def test_every_head_begins_with_a_sentence_that_has_its_subject_first() -> None:
    first = {path.name: head.split("\n\n")[0] for path, head in heads().items()}
    assert [name for name, head in first.items() if not re.match(r"[A-Z`]", head) or not head.endswith(".")] == []
    assert [name for name, head in first.items() if head.split()[0] in NO_SUBJECT] == []
