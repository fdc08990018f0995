"""The documents name links, paths, modules, targets of make and decisions that the repository has.

Tests: docs
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from tests.support.processes import ROOT

DOCUMENTS = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "client").glob("*.md"),
        *ROOT.glob("examples/*/*.md"),
        *ROOT.glob("deploy/*/*.md"),
        *(ROOT / ".github").rglob("*.md"),
    ]
)
every_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))

#: made where the project runs, and in no checkout
MADE_LATER = re.compile(r"(\./)?(\.venv|build|secrets)/.*|photo_app\.sqlite3")
#: words with a slash in them that are no paths: spans of traces, a MIME type, a rate, a method of WeChat's API
NO_PATHS = re.compile(r"(apply_async|run)/.*|text/plain|4000/m|URL/appid|quota/get")

#: what lies at the top of the repository
TOPS = [path for path in ROOT.iterdir() if path.name not in {".git", ".venv", "build"}]

FILE_NAME = re.compile(r"[\w.-]+\.(py|lua|md|toml|ya?ml|lock|json5?|sh)")

CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("0*.md"))
INDEX = ROOT / "docs" / "decisions" / "README.md"
every_decision = pytest.mark.parametrize("decision", DECISIONS, ids=lambda path: path.name[:4])


def prose(document: Path) -> str:
    """A document without its fenced blocks."""
    return re.sub(r"^ *```.*?^ *```$", "", document.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def quoted(document: Path) -> list[str]:
    """Everything in backticks."""
    return re.findall(r"`([^`\n]+)`", prose(document))


def slug(heading: str) -> str:
    """The anchor that GitHub makes of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def exists(document: Path, path: str) -> bool:
    """Whether ``path``, which may hold ``*``, is a file or folder of the repository, or lies beside the document."""
    return any(any(folder.glob(path.rstrip("/"))) for folder in (ROOT, document.parent))


@cache
def files_of_the_repository() -> set[str]:
    """The name of every file, wherever it lies."""
    return {path.name for top in TOPS for path in ([top] if top.is_file() else top.rglob("*"))}


@cache
def packages_of_the_repository() -> set[str]:
    """The name of every package, wherever it lies. ``wxcheck`` is left out: tasks and queues begin with it, too."""
    inits = [path for top in TOPS for path in top.rglob("__init__.py")]
    return {path.parent.name for path in inits} - {"wxcheck"}


@every_document
def test_every_link_leads_to_a_file_and_to_a_heading_of_it(document: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text(encoding="utf-8")):
        path, _, anchor = target.partition("#")
        if "://" in target:
            continue
        found = document.parent / path if path else document
        assert found.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", prose(found), re.MULTILINE)
            assert anchor in {slug(heading) for heading in headings}, target


@every_document
def test_every_path_that_is_named_exists(document: Path) -> None:
    for token in quoted(document):
        is_path = re.fullmatch(r"[\w.*-]+(/[\w.*-]+)*/?", token) and "/" in token
        if is_path and not MADE_LATER.fullmatch(token) and not NO_PATHS.fullmatch(token):
            assert exists(document, token), token


@every_document
def test_every_file_that_is_named_without_its_folder_exists(document: Path) -> None:
    files = files_of_the_repository() | {"sitecustomize.py", "shop.py"}
    for token in quoted(document):
        if FILE_NAME.fullmatch(token):
            assert token in files, token


@every_document
def test_every_module_that_is_named_exists(document: Path) -> None:
    packages = packages_of_the_repository()
    for token in quoted(document):
        if not re.fullmatch(r"[a-z_]+(\.\w+)+", token) or FILE_NAME.fullmatch(token):
            continue
        if token.split(".")[0] not in packages or MADE_LATER.fullmatch(token):
            continue
        parts = token.split(".")
        modules = [ROOT.joinpath(*parts[:length]) for length in range(len(parts), 0, -1)]
        found = [module for module in modules if module.is_dir() or module.with_suffix(".py").is_file()]
        assert found, token
        rest = parts[len(found[0].relative_to(ROOT).parts) :]
        source = found[0] / "__init__.py" if found[0].is_dir() else found[0].with_suffix(".py")
        assert all(re.search(rf"\b{name}\b", source.read_text(encoding="utf-8")) for name in rest), token


@every_document
def test_every_target_of_make_that_is_named_exists(document: Path) -> None:
    targets = re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    text = document.read_text(encoding="utf-8")
    code = [*quoted(document), *re.findall(r"^ *```.*?^ *```$", text, flags=re.MULTILINE | re.DOTALL)]
    named = re.findall(r"^make((?: [a-z-]+)+)", "\n".join(code), re.MULTILINE)
    for target in " ".join(named).split():
        assert target in targets, target


def test_contributing_names_every_room() -> None:
    (table,) = re.findall(r"^## The rooms\n(.*?)^## ", CONTRIBUTING, re.MULTILINE | re.DOTALL)
    rooms = {path.name for path in TOPS if path.is_dir() and not path.name.startswith(".") and any(path.rglob("*.py"))}
    assert {room for room in rooms if f"| `{room}/`" not in table and f", `{room}/`" not in table} == set()


@every_decision
def test_a_decision_has_its_parts_and_says_last_when_to_reopen_it(decision: Path) -> None:
    text = decision.read_text(encoding="utf-8")
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == ["Context", "Decision", "Consequences", "Alternatives"]
    assert text.startswith(f"# {decision.name[:4]}. ")
    assert re.fullmatch(r"Reopen when: .+\.", text.rstrip("\n").splitlines()[-1])


def test_the_index_of_decisions_names_each_once_with_its_title() -> None:
    listed = re.findall(r"^\* \[(\d{4})\]\((\S+)\) (.+)$", INDEX.read_text(encoding="utf-8"), re.MULTILINE)
    titles = [path.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ") for path in DECISIONS]
    assert sorted(file for _, file, _ in listed) == [path.name for path in DECISIONS]
    assert sorted(f"{number}. {title}" for number, _, title in listed) == titles
