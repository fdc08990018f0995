"""Names that the bench's own processes share."""

from __future__ import annotations

import struct

#: tasks of the bare peer
CHECK_TEXT = "bench.check_text"
CHECK_MEDIA = "bench.check_media"
RECEIVE = "bench.receive"
FINISH = "bench.finish"
FINISH_AT_ONCE = "bench.finish_at_once"
#: of the application, which follows on both sides
FOLLOW_UP = "bench.follow_up"
ERRBACK = "bench.errback"

TEXT_QUEUE = "bench.text"
MEDIA_QUEUE = "bench.media"
PUSH_QUEUE = "bench.push"
FOLLOW_QUEUE = "bench.follow"
#: of errbacks, which nobody consumes
ERRBACK_QUEUE = "bench.errback"

#: what every check of the bench is about
CONTENT = "what a lovely day, and what a nice pair of shoes you have got there"
MEDIA_URL = "https://img.example.com/2026/11/26/a-picture-of-shoes.jpg"

PUSH_PATH = "/wechat/push"
PUSH_TOKEN = "a-token-of-the-bench"
PUSH_AES_KEY = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"

#: variable with the file where an application notes its follow-ups, and an endpoint what it has read
NOTES = "BENCH_NOTES"
#: a note: number of a check, and seconds since the epoch
NOTE = struct.Struct("<qd")


#: every trace_id begins so; the number of its check follows, in hex
TRACE = "5bc0ffee2a77e517"


def trace_id(number: int) -> str:
    """Of the check of this number."""
    return f"{TRACE}{number:016x}"


def number_of(of: str) -> int:
    """The other way round."""
    return int(of.removeprefix(TRACE), 16)
