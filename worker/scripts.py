"""Loads the Lua scripts of :mod:`worker.lua`."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from redis import Redis
from redis.commands.core import Script


@cache
def _source(name: str) -> str:
    return (files("worker.lua") / f"{name}.lua").read_text(encoding="utf-8")


def script(client: Redis, name: str) -> Script:
    """The script ``name.lua``, callable as ``script(keys=[…], args=[…])``; it is loaded where Redis lacks it."""
    return client.register_script(_source(name))
