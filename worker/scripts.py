"""Loads the Lua scripts of :mod:`worker.lua`.

Redis runs one script a call and has no libraries. Where several steps are one round trip, a script says in its header
which others it uses, ``-- Uses: begin, quota_take``; each of them is then a local function of that name, which takes
its own KEYS and ARGV, and returns what the script does.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

from redis import Redis
from redis.commands.core import Script

_USES = re.compile(r"^-- Uses: (.+)$", re.MULTILINE)
_FLAGS = re.compile(r"\A#!lua.*\n")


@cache
def _source(name: str) -> str:
    return (files("worker.lua") / f"{name}.lua").read_text(encoding="utf-8")


def whole(name: str) -> str:
    """What Redis is given as the script ``name.lua``: its own flags, those that it uses, and itself."""
    return "".join(_flags(name)) + _body(name)


def _flags(name: str) -> list[str]:
    """The first line of a script, if it says there how Redis is to run it."""
    return _FLAGS.findall(_source(name))


def _body(name: str) -> str:
    text = _FLAGS.sub("", _source(name))
    used = _USES.search(text)
    others = [other.strip() for other in used[1].split(",")] if used is not None else []
    return "".join(f"local function {other}(KEYS, ARGV)\n{_body(other)}\nend\n" for other in others) + text


def script(client: Redis, name: str) -> Script:
    """The script ``name.lua``, callable as ``script(keys=[…], args=[…])``; it is loaded where Redis lacks it."""
    return client.register_script(whole(name))
