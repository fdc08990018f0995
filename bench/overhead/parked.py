"""Parked checks in bulk: one is really parked, and then copied within Redis, whatever keys it has.

Its keys are found by its ids: those whose names hold one, and the fields and members of others that do. Each id, as
text or as bytes, is replaced by one of the copy's own; nothing else of the stored format is known here.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from bench.overhead.clones import put
from bench.overhead.names import TRACE, trace_id
from bench.overhead.side import Side
from bench.servers import RunFailed
from store.connection import connect
from store.places.shard import SHARD

#: number of the first copy; the stand-in's own numbers are below
FIRST = 10_000_000
#: Celery's key of a result begins so
RESULT = b"celery-task-meta-"

#: copies that one call makes: no other client waits longer than a few dozen milliseconds
_BATCH = 500
#: seconds for one answer
_ANSWER = 30.0
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_MARK = b"@@bench-%d@@"

#: ARGV: 1 number of the first copy  2 of the last one  3 number of the first that there is  4 ids as text
#:       5 the command: how many arguments, and these; and so on for each command
#: A mark is the number of an id, from 1, the trace_id last; its bytes are the same number, negative
_COPY = """
local first, last, offset, ids = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local function bytes(text)
  return (string.gsub(string.gsub(text, '-', ''), '%x%x', function(pair) return string.char(tonumber(pair, 16)) end))
end
-- each argument as its parts: a string stays, a number is an id's
local commands, has_bytes, at = {}, false, 5
while at <= #ARGV do
  local command = {}
  for argument = at + 1, at + tonumber(ARGV[at]) do
    local text, parts, from = ARGV[argument], {}, 1
    for before, id, after in string.gmatch(text, '()@@bench%-(%-?%d+)@@()') do
      parts[#parts + 1] = string.sub(text, from, before - 1)
      parts[#parts + 1] = tonumber(id)
      has_bytes = has_bytes or tonumber(id) < 0
      from = after
    end
    command[#command + 1] = from == 1 and text or parts
    if from > 1 then
      parts[#parts + 1] = string.sub(text, from)
    end
  end
  commands[#commands + 1] = command
  at = at + tonumber(ARGV[at]) + 1
end
for number = first, last do
  local of = {}
  for id = 1, ids do
    of[id] = string.format('%08x-0000-4000-8000-%012x', id, number)
    if id == ids then
      of[id] = 'TRACE' .. string.format('%016x', offset + number)
    end
    of[-id] = has_bytes and bytes(of[id])
  end
  for _, command in ipairs(commands) do
    local made = {}
    for place, argument in ipairs(command) do
      if type(argument) == 'string' then
        made[place] = argument
      else
        local parts = {}
        for index, part in ipairs(argument) do
          parts[index] = of[part] or part
        end
        made[place] = table.concat(parts)
      end
    end
    redis.call(unpack(made))
  end
end
return last - first + 1
"""

Command = Sequence[bytes]


@dataclass(frozen=True)
class Parked:
    """What one parked check has in Redis, as commands that write it, with marks in place of its ids."""

    #: beside its result
    state: list[Command]
    #: its result, WAITING
    result: list[Command]
    ids: int

    def copy(self, client: Any, commands: Iterable[Command], first: int, last: int) -> None:
        """Makes the copies ``first`` to ``last``, counted from 0, of what ``commands`` write."""
        told = [argument for command in commands for argument in (len(command), *command)]
        script = client.register_script(_COPY.replace("TRACE", TRACE))
        for start in range(first, last + 1, _BATCH):
            script(args=[start, min(start + _BATCH - 1, last), FIRST, self.ids, *told])


def park_one(side: Side) -> Parked:
    """Has a worker of ``side`` park one check, and reads what it has in Redis then.

    Raises:
        RunFailed: no check is parked.
    """
    number = side.counts()["media"]
    (message,) = islice(side.media.clones(), 1)
    side.tell_platform("set", push_after=None)
    put(side.redis, side.media.queue, [message])
    side.await_count("parked checks", lambda: int(side.redis.zcard(SHARD.key("parked"))), 1, 30)
    side.await_quiet()
    found = json.loads(message)
    texts = sorted({found["headers"]["id"], *_UUID.findall(_body(message))})
    ids = [*texts, trace_id(number)]
    with connect(side.url, _ANSWER, retries=0, text=False) as client:
        commands = list(_commands(client, ids))
    result = [command for command in commands if command[1].startswith(RESULT)]
    state = [command for command in commands if command not in result]
    if not state:
        raise RunFailed("no key of a parked check holds its task id or trace_id; the bench cannot copy it")
    return Parked(state, result, len(ids))


def bulk(side: Side, of: Parked, count: int) -> None:
    """Parks ``count`` copies with all that they have; their numbers count from ``FIRST``."""
    with connect(side.url, _ANSWER, retries=0, text=False) as client:
        of.copy(client, [*of.state, *of.result], 0, count - 1)


def _body(message: str) -> str:
    return base64.b64decode(json.loads(message)["body"]).decode()


def _commands(client: Any, ids: list[str]) -> Iterable[Command]:
    """What writes all that holds one of ``ids``."""
    needles = [(text.encode(), _MARK % number) for number, text in enumerate(ids, 1)]
    needles += [(bytes.fromhex(text.replace("-", "")), _MARK % -number) for number, text in enumerate(ids, 1)]

    def marked(value: bytes) -> bytes:
        for needle, mark in needles:
            value = value.replace(needle, mark)
        return value

    def is_its(value: bytes) -> bool:
        return marked(value) != value

    for key in sorted(client.scan_iter(count=1000)):
        whole = is_its(key)
        for command in _writes(client, key, _any if whole else is_its):
            yield [marked(argument) for argument in command]
        if whole and (left := client.pttl(key)) > 0:
            yield [b"PEXPIRE", marked(key), b"%d" % left]


def _any(_: bytes) -> bool:
    return True


def _writes(client: Any, key: bytes, wanted: Callable[[bytes], bool]) -> Iterable[Command]:
    kind = client.type(key)
    if kind == b"string":
        if wanted(b""):
            yield [b"SET", key, client.get(key) or b""]
    elif kind == b"hash":
        fields = {name: value for name, value in client.hgetall(key).items() if wanted(name)}
        if fields:
            yield [b"HSET", key, *(part for pair in fields.items() for part in pair)]
    elif kind == b"zset":
        for member, score in client.zrange(key, 0, -1, withscores=True):
            if wanted(member):
                yield [b"ZADD", key, b"%.6f" % score, member]
    elif kind == b"set":
        for member in client.smembers(key):
            if wanted(member):
                yield [b"SADD", key, member]
