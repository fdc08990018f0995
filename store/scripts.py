"""Loads the Lua scripts, each of which lies beside the module that runs it: ``store/records/lease.lua``.

Redis runs one script a call and has no libraries. Where several steps are one round trip, a script names in its header
the others that it uses: ``-- Uses: store/tokens/take, store/quota/take``. Each of them becomes a local function named
by its package and itself (``tokens_take``), which takes its own KEYS and ARGV and returns what its script returns.
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
def source(name: str) -> str:
    package, _, script_name = name.rpartition("/")
    return (files(package.replace("/", ".")) / f"{script_name}.lua").read_text(encoding="utf-8")


def whole(name: str) -> str:
    """The text that Redis is given as the script ``name.lua``: its flags, the scripts that it uses, and its own lines.

    ``name``: its path without the suffix, from the root of the project.
    """
    return "".join(_FLAGS.findall(source(name))) + _body(name)


def _body(name: str) -> str:
    text = _FLAGS.sub("", source(name))
    used = _USES.search(text)
    others = [other.strip() for other in used[1].split(",")] if used is not None else []
    return "".join(f"local function {function_of(other)}(KEYS, ARGV)\n{_body(other)}\nend\n" for other in others) + text


def function_of(name: str) -> str:
    """The name of the local function that a script becomes in those that use it: ``quota_take``."""
    return "_".join(name.split("/")[-2:])


def script(client: Redis, name: str) -> Script:
    """The script ``name.lua``, callable as ``script(keys=[…], args=[…])``; it is loaded where Redis lacks it."""
    return client.register_script(whole(name))
