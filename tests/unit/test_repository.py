"""The files around the code agree: Makefile, hooks, Renovate, forms for issues, changelog and version."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tomllib
from typing import Any

import pytest
import yaml

from tests.support.processes import ROOT

MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z][a-z-]*):", MAKEFILE, re.MULTILINE))
LOCKS = ["requirements.lock", "requirements-dev.lock"]
FORMS = sorted(path.name for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml")
CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")

#: options of pip-compile that Renovate knows; it leaves a lock file alone whose head has another one
KNOWN_TO_RENOVATE = {
    "--allow-unsafe",
    "--constraint",
    "--extra",
    "--generate-hashes",
    "--no-emit-index-url",
    "--output-file",
    "--strip-extras",
}


def of_renovate() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / "renovate.json").read_text(encoding="utf-8"))
    return found


def of_yaml(path: str) -> Any:
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


def version_of(folder: str) -> str:
    project = tomllib.loads((ROOT / folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert isinstance(project["version"], str)
    return project["version"]


def test_make_alone_lists_every_target_with_a_line() -> None:
    # as a person calls it, also where this test is run by make
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    command = ["make", "--no-print-directory"]
    printed = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout
    lines = dict(re.findall(r"^make ([a-z-]+) +(.+)$", printed, re.MULTILINE))
    assert set(lines) == TARGETS
    assert len(printed.splitlines()) == len(TARGETS)
    assert max(map(len, printed.splitlines())) <= 120


def test_no_target_is_taken_for_a_file() -> None:
    (phony,) = re.findall(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)
    assert set(phony.split()) == TARGETS


@pytest.mark.parametrize("hook", of_yaml(".pre-commit-config.yaml")["repos"][0]["hooks"], ids=lambda hook: hook["id"])
def test_a_hook_runs_a_program_of_the_lock_file(hook: dict[str, Any]) -> None:
    packages = {"lint-imports": "import-linter", "python": "pytest"}
    program = re.match(r"\.venv/bin/([\w-]+)", hook["entry"])
    assert program, hook["entry"]
    assert hook["language"] == "system"
    locked = (ROOT / "requirements-dev.lock").read_text(encoding="utf-8")
    assert re.search(rf"^{packages.get(program[1], program[1])}==", locked, re.MULTILINE)


def test_hooks_are_of_this_repository_alone() -> None:
    assert [repo["repo"] for repo in of_yaml(".pre-commit-config.yaml")["repos"]] == ["local"]


def test_renovate_finds_both_lock_files_and_no_other() -> None:
    patterns = of_renovate()["pip-compile"]["managerFilePatterns"]
    files = [str(path.relative_to(ROOT)) for path in [*ROOT.glob("*"), *ROOT.glob("tests/old_celery/*")]]
    found = [file for file in files for pattern in patterns if re.search(pattern.strip("/"), file)]
    assert sorted(found) == sorted(LOCKS)


@pytest.mark.parametrize("lock", LOCKS)
def test_renovate_can_repeat_how_a_lock_file_was_made(lock: str) -> None:
    head = (ROOT / lock).read_text(encoding="utf-8")
    (command,) = re.findall(r"^#    pip-compile (.*)$", head, re.MULTILINE)
    options = [word for word in command.split() if word.startswith("-")]
    assert {option.split("=")[0] for option in options} <= KNOWN_TO_RENOVATE
    assert f"--output-file={lock}" in options
    assert command.endswith(" pyproject.toml")


def test_the_packages_that_renovate_groups_are_in_the_lock_file() -> None:
    locked = (ROOT / "requirements-dev.lock").read_text(encoding="utf-8")
    rules = [rule for rule in of_renovate()["packageRules"] if "docker" not in rule.get("matchDatasources", [])]
    for name in [name for rule in rules for name in rule["matchPackageNames"]]:
        assert re.search(rf"^{name.replace('*', '.*')}==", locked, re.MULTILINE), name


@pytest.mark.parametrize("form", FORMS)
def test_a_form_for_an_issue_is_one_that_github_takes(form: str) -> None:
    read = of_yaml(f".github/ISSUE_TEMPLATE/{form}")
    assert set(read) == {"name", "description", "labels", "body"}
    fields = [field for field in read["body"] if field["type"] != "markdown"]
    assert {field["type"] for field in fields} <= {"input", "textarea", "dropdown", "checkboxes"}
    assert all(field["attributes"]["label"] for field in fields)
    assert len({field["id"] for field in fields}) == len(fields)
    assert any(field.get("validations", {}).get("required") for field in fields)


def test_every_version_of_the_changelog_has_its_changes_in_known_groups() -> None:
    versions = re.findall(r"^## \[(\d+\.\d+\.\d+)\] - (unreleased|\d{4}-\d\d-\d\d)$", CHANGELOG, re.MULTILINE)
    assert len(versions) == len(re.findall(r"^## ", CHANGELOG, re.MULTILINE))
    assert versions == sorted(versions, reverse=True)
    assert all(date != "unreleased" for _, date in versions[1:])
    for version in re.split(r"^## ", CHANGELOG, flags=re.MULTILINE)[1:]:
        groups = re.findall(r"^### (.*)$", version, re.MULTILINE)
        known = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"]
        assert groups == [group for group in known if group in groups]
        assert all(re.match(r"\n+\* ", part) for part in re.split(r"^### .*$", version, flags=re.MULTILINE)[1:])


def test_the_version_is_the_changelog_s_first_one_and_the_client_has_the_same() -> None:
    version, date = re.findall(r"^## \[([\d.]+)\] - (\S+)$", CHANGELOG, re.MULTILINE)[0]
    assert version_of(".") == (f"{version}.dev0" if date == "unreleased" else version)
    assert version_of("client") == version_of(".")
