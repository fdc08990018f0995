"""A script is given to Redis whole, with the scripts that it uses before it."""

from __future__ import annotations

import re

import pytest

from store.scripts import function_of, source, whole
from tests.support.processes import ROOT

SCRIPTS = sorted(path.relative_to(ROOT).with_suffix("").as_posix() for path in (ROOT / "store").rglob("*.lua"))
USES = {name: found[1].split(", ") for name in SCRIPTS if (found := re.search(r"^-- Uses: (.+)$", source(name), re.M))}


def own_lines(name: str) -> str:
    """A script without its flags."""
    return re.sub(r"\A#!lua.*\n", "", source(name))


def test_a_used_script_is_a_function_named_by_its_package_and_itself() -> None:
    assert function_of("store/quota/lane") == "quota_lane"


@pytest.mark.parametrize("name", USES)
def test_every_script_that_one_uses_stands_whole_before_its_own_lines(name: str) -> None:
    text = whole(name)
    assert text.endswith(own_lines(name))
    others = text.removesuffix(own_lines(name))
    for used in USES[name]:
        assert (
            f"{own_lines(used)}\nend\n" in others.partition(f"local function {function_of(used)}(KEYS, ARGV)\n")[2]
        ), used


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_flags_are_those_of_the_script_itself_on_its_first_line(name: str) -> None:
    flags = [line for line in source(name).splitlines() if line.startswith("#!lua")]
    assert [line for line in whole(name).splitlines() if line.startswith("#!lua")] == flags
    assert not flags or whole(name).startswith(flags[0])
