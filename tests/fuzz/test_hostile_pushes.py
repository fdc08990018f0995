"""The push URL answers any bytes by its table, soon, and queues nothing that is no verdict.

Tests: callbacks.app, wechat.push.lenient

Bodies are made from the platform's own pushes (``tests/vectors/push.json``), cut, joined, repeated and with bytes
changed, and from what readers of JSON and XML are known to fall over. Half of them are signed, as a message is that the
platform sends on for a stranger; the rest are the stranger's own.

A second round is of messages that are signed and whole, whatever is written in them: one that is no verdict is always
taken, and one that is a verdict is never taken for another message.

``FUZZ_SECONDS`` says for how long, both together: 5 in ``make test``, a minute in ``make test-long``, ten minutes in
``make fuzz``.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from celery import Celery
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from callbacks.app import create_app
from config.settings import Settings
from wechat.push import envelope
from wechat.push.outcomes import Outcome

SECONDS = float(os.environ.get("FUZZ_SECONDS", "5"))
#: seconds in which each is answered, on a machine that has other things to do as well
SOON = 20.0
#: examples between two looks at the clock
ROUND = 200
#: seconds in which chance gets everywhere, on such a machine
EVERYWHERE = 90.0

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "push.json").read_text(encoding="utf-8"))
TOKEN, KEY, APPID = VECTORS["token"], VECTORS["encoding_aes_key"], VECTORS["appid"]
SEEDS = [
    text.encode()
    for vector in {**VECTORS["official"], **VECTORS["synthetic"]}.values()
    for text in (vector.get("plain"), vector.get("body"))
    if text
]
PLAIN_APPID = "wx0000000000000001"

#: what a table of answers allows, and nothing else
STATUSES: dict[int, set[str]] = {
    200: {"success"},
    403: {Outcome.BAD_SIGNATURE, Outcome.STALE_TIMESTAMP, Outcome.WRONG_APPID, Outcome.PLAIN_REFUSED},
    400: {Outcome.MALFORMED, Outcome.UNDECRYPTABLE, Outcome.NO_TRACE_ID, Outcome.INCOMPLETE},
    404: {Outcome.UNKNOWN_APPID},
    413: {Outcome.TOO_LARGE},
}

TRAPS = [
    b"[" * 100_000,
    b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    b'{"MsgType":"event","Event":"wxa_media_check","trace_id":"t","version":1' + b"0" * 5000 + b"}",
    b'{"trace_id":1e999999,"a":-0,"b":NaN,"c":Infinity}',
    b'{"a":"\\ud800","\\ud800":"a","__type__":{"__value__":1}}',
    b'{"a":1,"a":2}',
    b"\xef\xbb\xbf{}",
    b"\xff\xfe{\x00}\x00",
    b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;">]><x>&b;</x>',
    b'<!DOCTYPE x SYSTEM "file:///etc/passwd"><x>1</x>',
    b'<!DOCTYPE x [<!ENTITY e SYSTEM "http://127.0.0.1:1/">]><x>&e;</x>',
    b"<xml>" + b"<a>" * 30_000 + b"</a>" * 30_000 + b"</xml>",
    b"<xml " + b" ".join(b'a%d="1"' % number for number in range(2000)) + b"/>",
    b'<?xml version="1.0" encoding="utf-16"?><xml/>',
    b"<xml><![CDATA[" + b"]]" * 10_000,
    b"\x00" * 70_000,
    b"",
]


def mutated(seed: bytes) -> SearchStrategy[bytes]:
    """``seed`` with some of it cut out, said twice, or changed."""
    place = st.integers(0, len(seed))

    def change(parts: tuple[int, int, bytes, int]) -> bytes:
        start, end, put, times = min(parts[:2]), max(parts[:2]), parts[2], parts[3]
        return seed[:start] + put + seed[start:end] * times + seed[end:]

    return st.tuples(place, place, st.binary(max_size=8) | st.sampled_from(TOKENS), st.integers(0, 3)).map(change)


TOKENS = [
    b'"',
    b"{",
    b"}",
    b"[",
    b"]",
    b"<",
    b">",
    b"&",
    b"\\u0000",
    b"\\",
    b"null",
    b"1e309",
    b"-1",
    b"\xf0\x9f",
    b"]]>",
]
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
names = st.sampled_from(
    [
        *("MsgType", "Event", "appid", "trace_id", "version", "errcode", "errmsg", "result", "detail", "isrisky"),
        *("status_code", "Encrypt", "suggest", "label"),
    ]
)
messages = st.dictionaries(names, values, max_size=10).map(
    lambda made: json.dumps({"MsgType": "event", "Event": "wxa_media_check", **made}).encode("utf-8", "surrogatepass")
)
bodies = (
    st.sampled_from(SEEDS).flatmap(mutated)
    | messages
    | messages.flatmap(mutated)
    | st.sampled_from(TRAPS)
    | st.binary(max_size=300)
)


#: what the platform passes on of what users write, and of other events: JSON and XML let less into a text
written = (
    st.text(max_size=30)
    | st.text(st.characters(max_codepoint=0x20), max_size=8)
    | st.binary(max_size=12).map(lambda raw: raw.decode("utf-8", "surrogateescape"))
    | st.sampled_from(
        ["wxa_media_check", "<Event>wxa_media_check</Event>", "&nbsp;", "&#0;", "<!DOCTYPE x>", "\x1d", "\ufffe", "]]"]
    )
)
numbers = st.sampled_from(["1", "9" * 5000, "1e999", "NaN", "-Infinity", "-0", "1.5"])
tags = st.sampled_from(
    ["Content", "EventKey", "trace_id", "appid", "errcode", "errmsg", "isrisky", "MsgId", "__type__"]
)
kinds = st.sampled_from(
    [("text", None), ("image", "wxa_media_check"), ("event", "user_enter_tempsession"), ("event", "wxa_media_checks")]
)


def quoted(text: str) -> str:
    """As a careless writer of JSON does: control characters stay as they are."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def in_json(members: list[tuple[str, str]], draw: Any) -> str:
    nested = '{"a":[' * draw(st.sampled_from([0, 1, 40, 5000]))
    closed = "]}" * nested.count("[")
    more = [f'"nested":{nested}1{closed}', f'"number":{draw(numbers)}'] if draw(st.booleans()) else []
    return "{" + ",".join([f"{quoted(name)}:{quoted(text)}" for name, text in members] + more) + "}"


def in_xml(members: list[tuple[str, str]], draw: Any) -> str:
    nested = draw(
        st.sampled_from(["", "<result><a/><a/></result>", "<detail><errcode>1</errcode></detail>" * 2, "<a:b/>"])
    )
    elements = [f"<{name}><![CDATA[{text.replace(']]>', '')}]]></{name}>" for name, text in members]
    return f"<xml>{''.join(elements)}{nested}</xml>"


@st.composite
def whole_messages(draw: Any, *, verdict: bool) -> bytes:
    """A message as it is written carelessly; one of a verdict has something that no strict reader takes, or nothing."""
    kind, event = ("event", "wxa_media_check") if verdict else draw(kinds)
    members = [("MsgType", kind), *([("Event", event)] if event is not None else [])]
    members += [("trace_id", "t")] if verdict else []
    members += draw(st.lists(st.tuples(tags, written), max_size=5))
    text: str = draw(st.sampled_from([in_json, in_xml]))(draw(st.permutations(members)), draw)
    return text.encode("utf-8", "surrogateescape") if "\ud800" not in text else text.encode("utf-8", "replace")


class Served:
    """The endpoint in this process, and a broker for it."""

    def __init__(self) -> None:
        apps: Any = {PLAIN_APPID: {"push_token": TOKEN}}
        chosen = Settings(appid=APPID, push_token=TOKEN, push_aes_key=KEY, apps=apps)
        self.app = Celery("fuzz", broker="memory://fuzz", set_as_current=False)
        self.app.conf.update(task_serializer="json", accept_content=["json"])
        self._loop = asyncio.new_event_loop()
        # what the endpoint does not catch is raised here
        transport = httpx.ASGITransport(create_app(chosen, self.app))
        self._client = httpx.AsyncClient(transport=transport, base_url="http://fuzz")

    def post(self, path: str, params: dict[str, str], body: bytes) -> httpx.Response:
        return self._loop.run_until_complete(self._client.post(path, params=params, content=body))

    def queued(self) -> Iterator[dict[str, Any]]:
        """The arguments of each message on the queue."""
        with self.app.connection_for_read() as connection:
            queue = self.app.amqp.queues["wxcheck.push"](connection.default_channel)
            while (message := queue.get(no_ack=True)) is not None:
                _, kwargs, _ = message.payload
                yield kwargs

    def close(self) -> None:
        self._loop.run_until_complete(self._client.aclose())
        self._loop.close()
        self.app.close()


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    served = Served()
    yield served
    served.close()


def query(body: bytes, signed: bool, draw: Any) -> dict[str, str]:
    now = str(int(time.time()))
    if not signed:
        text = st.text(max_size=12)
        return {name: draw(text) for name in draw(st.sets(st.sampled_from(["timestamp", "nonce", "signature"])))}
    return {"timestamp": now, "nonce": "n", "signature": envelope.sign(TOKEN, now, "n")}


@st.composite
def requests(draw: Any) -> tuple[str, dict[str, str], bytes]:
    """Path, query and body of a request: encrypted and signed, signed only, or neither."""
    body = draw(bodies)
    how = draw(st.sampled_from(["encrypted", "plain", "plain", "stranger"]))
    if how == "encrypted":
        addressee = draw(st.sampled_from([APPID, APPID, PLAIN_APPID, ""]))
        encrypted = envelope.encrypt(body, addressee, KEY)
        params = query(body, True, draw)
        params["msg_signature"] = envelope.sign(TOKEN, params["timestamp"], "n", encrypted)
        return "/wechat/push", params, json.dumps({"Encrypt": encrypted}).encode()
    path = draw(
        st.sampled_from([f"/wechat/push/{PLAIN_APPID}", "/wechat/push", "/wechat/push/wx%00", "/wechat/push/%"])
    )
    return path, query(body, how == "plain", draw), body


@st.composite
def signed(draw: Any, message: SearchStrategy[bytes]) -> tuple[str, dict[str, str], bytes, bytes]:
    """Path, query and body of a push in secure or plain mode, and the message in it."""
    body = draw(message)
    params = query(body, True, draw)
    if draw(st.booleans()):
        return f"/wechat/push/{PLAIN_APPID}", params, body, body
    encrypted = envelope.encrypt(body, APPID, KEY)
    params["msg_signature"] = envelope.sign(TOKEN, params["timestamp"], "n", encrypted)
    return "/wechat/push", params, json.dumps({"Encrypt": encrypted}).encode(), body


def rounds(is_everywhere: Callable[[], bool]) -> Iterator[None]:
    """Yields for half of ``SECONDS``, and on until chance got everywhere."""
    began = time.monotonic()
    while (passed := time.monotonic() - began) < SECONDS / 2 or (passed < EVERYWHERE and not is_everywhere()):
        yield


@pytest.mark.timeout(SECONDS + 180)
def test_a_signed_message_that_is_no_verdict_is_always_taken_and_a_verdict_never_as_one(served: Served) -> None:
    taken = refused = 0

    @settings(max_examples=ROUND, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(signed(whole_messages(verdict=False)))
    def send_other(request: tuple[str, dict[str, str], bytes, bytes]) -> None:
        answer = served.post(*request[:3])
        assert (answer.status_code, answer.text) == (200, "success")
        assert not list(served.queued())

    @settings(max_examples=ROUND, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(signed(whole_messages(verdict=True)))
    def send_verdict(request: tuple[str, dict[str, str], bytes, bytes]) -> None:
        nonlocal taken, refused
        answer = served.post(*request[:3])
        queued = len(list(served.queued()))
        assert (answer.status_code == 200) == (queued == 1), (answer.text, queued)
        taken += queued
        refused += not queued

    # what the first round put there
    list(served.queued())
    for _ in rounds(lambda: bool(taken and refused)):
        send_other()
        send_verdict()
    assert taken
    assert refused


@pytest.mark.timeout(SECONDS + 180)
def test_any_bytes_are_answered_by_the_table_and_only_verdicts_get_on_the_queue(served: Served) -> None:
    answered: Counter[int] = Counter()
    slowest = 0.0

    @settings(max_examples=ROUND, database=None, suppress_health_check=list(HealthCheck))
    @given(requests())
    def ask(request: tuple[str, dict[str, str], bytes]) -> None:
        nonlocal slowest
        began = time.monotonic()
        answer = served.post(*request)
        slowest = max(slowest, time.monotonic() - began)
        assert answer.status_code in STATUSES, answer.text
        assert answer.text in STATUSES[answer.status_code]
        answered[answer.status_code] += 1

    found: list[dict[str, Any]] = []
    everywhere = set(STATUSES) - {413}
    for _ in rounds(lambda: bool(found) and everywhere <= set(answered)):
        ask()
        found.extend(served.queued())
    assert slowest < SOON
    # it got everywhere, and not only to the first check
    assert everywhere <= set(answered), answered
    for kwargs in found:
        push = kwargs["push"]
        assert set(kwargs) == {"appid", "push", "received_at"}
        assert isinstance(push["trace_id"], str)
        assert push["trace_id"]
        assert push["version"] in (1, 2)
    assert 0 < len(found) <= answered[200]
