"""The loader of the Lua scripts. Each script lies beside the module that runs it: ``store/places/take.lua``.

Redis runs one script a call and has no libraries. A script that does several steps in one round trip names the scripts
that it uses in its header: ``-- Uses: store/places/shard, store/tokens/take``. Each of them becomes a local function
named after its package and itself (``tokens_take``), which takes its own KEYS and ARGV and returns its script's answer.
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
    """Return the text of ``name.lua`` for Redis: its flags, the scripts that it uses, and its own lines.

    ``name``: path without the suffix, from the root of the project.
    """
    return "".join(_FLAGS.findall(source(name))) + _body(name)


def _body(name: str) -> str:
    text = _FLAGS.sub("", source(name))
    used = _USES.search(text)
    others = [other.strip() for other in used[1].split(",")] if used is not None else []
    return "".join(f"local function {function_of(other)}(KEYS, ARGV)\n{_body(other)}\nend\n" for other in others) + text


def function_of(name: str) -> str:
    """Return the name of the local function for a script that others use: ``quota_take``."""
    return "_".join(name.split("/")[-2:])


def script(client: Redis, name: str) -> Script:
    """Return the script ``name.lua``, callable as ``script(keys=[…], args=[…])``; a call loads it if Redis lacks it."""
    return client.register_script(whole(name))
