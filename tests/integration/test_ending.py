"""A run's follow-ups and results go out as Celery would have sent them, once the store has its end.

Tests: worker.ending.left, worker.ending.publications, worker.ending.backend, worker.ending.relay
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

import pytest
import redis
from celery import Celery, chain, chord, current_app, group
from celery.app.task import Context
from kombu import Exchange, Queue
from kombu.exceptions import OperationalError

import wxcheck
from config.settings import Settings
from store.places.forms import Result
from tests.support.processes import PATIENCE, eventually
from tests.support.rabbitmq import RabbitMQ, needs_rabbitmq
from tests.support.system import PlainClient
from worker.ending.backend import use_backend
from worker.ending.left import ChordPart, Left, NewerFormat, keeping, read_left
from worker.ending.publications import KeepingAMQP, publication, publish
from worker.ending.relay import REFUSALS, Relay, bring_out_left

if TYPE_CHECKING:
    from store.places.places import Places

#: Celery's own call
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated setex")

VERDICT = {"suggest": "pass"}
ACCEPTED = ["json", "yaml", "pickle"]

ELSEWHERE = "redis://elsewhere.example/0"
#: settings of a worker whose broker is not the store's Redis, and of one whose results are not there either
BROKER_APART = Settings(_env_file=None, broker_url=ELSEWHERE)
APART = Settings(_env_file=None, broker_url=ELSEWHERE, result_backend=ELSEWHERE)


class World:
    """A worker's Celery, and the outbox of its store."""

    def __init__(self, results: redis.Redis, broker: str) -> None:
        self.redis = results
        url = "redis://{host}:{port}/0".format(**results.get_connection_kwargs())
        self.app = PlainClient("ending", amqp=KeepingAMQP, broker=broker or url, backend=url, set_as_current=False)
        self.app.conf.update(task_serializer="json", accept_content=["json"], result_expires=3600)
        use_backend(self.app)
        self.app.task(name="app.publish")(_nothing)
        self.app.task(name="app.album")(_nothing)
        # app.hide is a task of another process: Celery runs the errbacks that it knows itself
        self.queue = f"app-{uuid.uuid4().hex}"
        #: text of its one entry; None: it was removed
        self.outbox: str | None = None
        self.on_advance: Callable[[str], object] = lambda _: None
        #: whether the results are the store's, and those that it has written in the step of an advance
        self.stores_directly = False
        self.stored: list[Result] = []

    def sig(self, name: str = "app.publish", **options: Any) -> Any:
        return self.app.signature(name, queue=self.queue, **options)

    def keeps(self, do: Callable[[], object]) -> Left:
        left = Left()
        with keeping(left):
            do()
        return left

    def relays(self, left: Left) -> bool:
        """As the run does: what it leaves is in the outbox, and goes out."""
        self.outbox = left.text()
        return self._relay(left)

    def another_relays(self) -> bool:
        """As another process does, once the run has died."""
        assert self.outbox is not None
        return self._relay(read_left(self.outbox))

    def _relay(self, left: Left) -> bool:
        settings = BROKER_APART if self.stores_directly else APART
        return Relay(self.app, cast("Places", self), settings, "task:run", left).bring_out()

    def advance(self, entry: str, rest: str, results: Sequence[Result] = (), *_: Any) -> str | None:
        """As the store does."""
        self.on_advance(rest)
        if self.outbox is None:
            return None
        self.outbox = rest or None
        self.stored += results
        return f"{entry}+"

    def ends(self, request: dict[str, Any], state: str = "SUCCESS", result: Any = None) -> Left:
        """What a run leaves whose task has ended."""
        context = Context({"delivery_info": {}, **request})
        if state == "SUCCESS":
            return self.keeps(
                lambda: self.app.backend.mark_as_done(context.id, result or VERDICT, request=context, state=state)
            )
        return self.keeps(lambda: self.app.backend.mark_as_failure(context.id, result, request=context))

    def messages(self, queue: str = "") -> list[Any]:
        """What lies in a queue; afterwards it does no more."""
        found = []
        with self.app.connection_for_read() as connection, connection.channel() as channel:
            bound = self.app.amqp.queues[queue or self.queue].bind(channel)
            bound.declare()
            while (message := bound.get(no_ack=True, accept=ACCEPTED)) is not None:
                found.append(message)
        return found

    def names(self) -> list[tuple[str, Any]]:
        """Task and arguments of each message that lies in the queue."""
        return [(message.headers["task"], message.payload[0]) for message in self.messages()]


def _nothing(*_: Any) -> None:
    """Is never run."""


@pytest.fixture(scope="module")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    needs_rabbitmq()
    node = RabbitMQ(tmp_path_factory.mktemp("ending"))
    yield node.url
    node.close()


@pytest.fixture(params=["Redis"])
def world(request: pytest.FixtureRequest, server: redis.Redis) -> Iterator[World]:
    found = World(server, request.getfixturevalue("rabbitmq") if request.param == "RabbitMQ" else "")
    # a group makes its tasks by the app of its process
    before = current_app._get_current_object()
    found.app.set_current()
    yield found
    before.set_current()
    found.app.close()


ON_EACH_BROKER = pytest.mark.parametrize("world", ["Redis", "RabbitMQ"], indirect=True)


def said(message: Any) -> dict[str, Any]:
    """What a message says, without what tells apart two that are sent one after the other."""
    left_out = ("delivery_tag", "root_id", "id", "correlation_id", "delivery_info", "application_headers", "expiration")
    return {
        "body": message.payload,
        "headers": {name: value for name, value in message.headers.items() if name not in left_out},
        "properties": {name: value for name, value in message.properties.items() if name not in left_out},
        "routing": {name: (message.delivery_info or {}).get(name) for name in ("exchange", "routing_key")},
        "content": (message.content_type, message.content_encoding),
    }


OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "priority": {"priority": 6},
    "countdown and expiry": {
        "eta": datetime(2031, 1, 1, tzinfo=UTC),
        "expires": datetime(2031, 1, 2, tzinfo=UTC),
    },
    "compression": {"compression": "gzip"},
    "headers": {"headers": {"tenant": "一", "numbers": [1, 2]}, "shadow": "its name"},
    "delivery mode": {"delivery_mode": 1},
    "time limits": {"time_limit": 30, "soft_time_limit": 20},
}


@ON_EACH_BROKER
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_a_message_that_was_kept_is_the_one_that_celery_would_have_sent(world: World, options: dict[str, Any]) -> None:
    task_id = str(uuid.uuid4())
    following = chain(world.sig(args=("你好",)), world.sig("app.album"))
    following.set(link_error=world.sig("app.hide"), **options)
    following.apply_async(task_id=task_id)
    (direct,) = world.messages()
    left = world.keeps(lambda: following.apply_async(task_id=task_id))
    assert world.messages() == [], "it is kept"
    world.relays(read_left(left.text()))
    (relayed,) = world.messages()
    shown, as_sent = said(relayed), said(direct)
    # each of a chain gets an id of its own
    for one in (shown, as_sent):
        one["body"] = json.loads(json.dumps(one["body"]))
        _without_ids(one["body"])
    assert shown == as_sent
    assert ("expiration" in relayed.properties) == ("expiration" in direct.properties)


def _without_ids(value: Any) -> None:
    if isinstance(value, dict):
        for name in ("task_id", "root_id", "parent_id", "reply_to"):
            value.pop(name, None)
        value = list(value.values())
    for one in value if isinstance(value, list) else ():
        _without_ids(one)


@ON_EACH_BROKER
def test_an_exchange_and_a_queue_of_the_application_s_own_are_declared(world: World) -> None:
    name = f"own-{uuid.uuid4().hex}"
    own = Queue(name, Exchange(f"{name}-exchange", type="topic"), routing_key="photos.#")
    world.app.conf.task_queues = [own]
    world.app.amqp.queues.add(own)
    left = world.keeps(lambda: world.app.send_task("app.publish", queue=name, routing_key="photos.new"))
    world.relays(read_left(left.text()))
    (message,) = world.messages(name)
    assert message.delivery_info["routing_key"] == "photos.new"


def test_other_serializers_are_kept_as_they_are(world: World) -> None:
    for serializer in ("yaml", "pickle"):
        task = world.sig(args=({"a": 1},))
        left = world.keeps(lambda task=task, serializer=serializer: task.apply_async(serializer=serializer))  # type: ignore[misc]
        world.relays(read_left(left.text()))
        (message,) = world.messages()
        assert message.decode()[0] == [{"a": 1}] or tuple(message.decode()[0]) == ({"a": 1},)


def test_what_nobody_keeps_goes_out_at_once(world: World) -> None:
    world.sig(args=(1,)).apply_async()
    assert world.names() == [("app.publish", [1])]
    left = Left()
    with keeping(left), keeping(inner := Left()):
        world.sig(args=(2,)).apply_async()
    assert (len(left.publications), len(inner.publications)) == (0, 1)
    world.sig(args=(3,)).apply_async()
    assert world.names() == [("app.publish", [3])]


def test_a_result_is_stored_when_it_goes_out(world: World) -> None:
    task_id = str(uuid.uuid4())
    result = world.app.AsyncResult(task_id)
    left = world.ends({"id": task_id})
    assert result.state == "PENDING"
    world.relays(read_left(left.text()))
    assert (result.state, result.get(timeout=PATIENCE)) == ("SUCCESS", VERDICT)
    assert 3500 < int(world.redis.ttl(f"celery-task-meta-{task_id}")) <= 3600
    failed = str(uuid.uuid4())
    left = world.ends({"id": failed}, "FAILURE", wxcheck.CheckRefused(87014, "risky", "rid"))
    world.relays(read_left(left.text()))
    with pytest.raises(wxcheck.CheckRefused) as raised:
        world.app.AsyncResult(failed).get(timeout=PATIENCE)
    assert raised.value.args == (87014, "risky", "rid")


def test_those_who_wait_for_a_result_are_told(world: World) -> None:
    task_id = str(uuid.uuid4())
    with world.redis.pubsub() as subscribed:
        subscribed.subscribe(f"celery-task-meta-{task_id}")
        world.relays(world.ends({"id": task_id}))

        def told() -> bool:
            message = subscribed.get_message(timeout=0.1)
            return message is not None and message["type"] == "message"

        eventually(told, "it is told")


def test_a_failure_fails_what_was_to_follow_and_calls_the_errbacks(world: World) -> None:
    first, second = str(uuid.uuid4()), str(uuid.uuid4())
    request = {
        "id": first,
        "root_id": first,
        "chain": [dict(world.sig().set(task_id=second))],
        "errbacks": [dict(world.sig("app.hide"))],
    }
    world.relays(read_left(world.ends(request, "FAILURE", wxcheck.InvalidCheck("content: empty")).text()))
    assert [world.app.AsyncResult(one).state for one in (first, second)] == ["FAILURE", "FAILURE"]
    assert world.names() == [("app.hide", [first])]


class Chord:
    """A chord that was applied; its header's tasks are in nobody's hands."""

    def __init__(self, world: World, header: list[Any], body: Any) -> None:
        self.world = world
        #: whether the chord was still there each time that something of it was kept
        self.keys_at_advance: list[bool] = []
        world.on_advance = lambda rest: self.keys_at_advance.append(bool(self.keys())) if rest else None
        self.result = chord(header)(body)
        self.requests = []
        for message in world.messages():
            _, _, embedded = message.payload
            fields = {name: message.headers[name] for name in ("id", "group", "group_index", "root_id")}
            self.requests.append({**fields, "chord": embedded["chord"]})

    def keys(self) -> list[str]:
        """The key of its size, without which it can never be completed; gone with its body."""
        group_id = self.requests[0]["group"]
        return [key for key in self.world.redis.scan_iter(f"*{group_id}*") if key.endswith(".s")]


@ON_EACH_BROKER
def test_the_body_of_a_chord_goes_out_with_its_last_part(world: World) -> None:
    album = Chord(world, [world.sig(), world.sig()], world.sig("app.album"))
    one, two = album.requests
    world.relays(world.ends(one, result={"suggest": "pass"}))
    assert world.names() == []
    world.relays(world.ends(two, result={"suggest": "risky"}))
    assert world.names() == [("app.album", [[{"suggest": "pass"}, {"suggest": "risky"}]])]
    assert album.keys() == []
    assert world.app.AsyncResult(two["id"]).state == "SUCCESS"


def test_a_part_that_comes_again_counts_once(world: World) -> None:
    album = Chord(world, [world.sig(), world.sig()], world.sig("app.album"))
    one, two = album.requests
    for _ in range(3):
        world.relays(world.ends(one))
    assert world.names() == []
    world.relays(world.ends(two))
    world.relays(world.ends(two))
    assert [name for name, _ in world.names()] == ["app.album"]


class Dies(BaseException):
    """A process ends here."""


def test_a_relay_that_dies_before_it_has_the_body_leaves_it_to_another(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    album = Chord(world, [world.sig()], world.sig("app.album"))
    left = world.ends(album.requests[0])

    def dies(rest: str) -> None:
        if "app.album" in rest and not read_left(rest).chord_parts:
            raise Dies

    with monkeypatch.context() as patch:
        patch.setattr(world, "on_advance", dies)
        with pytest.raises(Dies):
            world.relays(left)
    assert world.names() == []
    assert album.keys()
    assert not world.another_relays(), "the other one may be about to send it"
    # its claim expires
    world.redis.delete(world.app.backend.get_key_for_group(album.requests[0]["group"], ".c"))
    world.another_relays()
    assert world.names() == [("app.album", [[VERDICT]])]
    assert album.keys() == []


def test_a_relay_that_dies_before_it_sends_the_body_leaves_it_to_another(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    album = Chord(world, [world.sig()], world.sig("app.album"))

    def dies(*_: Any, **__: Any) -> None:
        raise Dies

    with monkeypatch.context() as patch:
        patch.setattr("worker.ending.relay.publish", dies)
        with pytest.raises(Dies):
            world.relays(world.ends(album.requests[0]))
    assert (world.names(), album.keys()) == ([], [])
    world.another_relays()
    assert world.names() == [("app.album", [[VERDICT]])]


def test_an_outage_of_the_store_does_not_fail_a_chord(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    album = Chord(world, [world.sig()], world.sig("app.album"))

    def away(*_: Any) -> None:
        raise redis.ConnectionError("gone")

    with monkeypatch.context() as patch:
        patch.setattr(world, "advance", away)
        assert not world.relays(world.ends(album.requests[0]))
    assert album.result.state == "PENDING"
    world.another_relays()
    assert world.names() == [("app.album", [[VERDICT]])]
    assert album.keys() == []


def test_a_relay_whose_store_is_away_when_it_has_the_body_gives_up_its_claim(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    album = Chord(world, [world.sig()], world.sig("app.album"))

    def away(rest: str) -> None:
        if "app.album" in rest and not read_left(rest).chord_parts:
            raise redis.ConnectionError("gone")

    with monkeypatch.context() as patch:
        patch.setattr(world, "on_advance", away)
        assert not world.relays(world.ends(album.requests[0]))
    assert (world.names(), album.result.state) == ([], "PENDING")
    assert world.another_relays(), "it need not wait until the claim expires"
    assert world.names() == [("app.album", [[VERDICT]])]
    assert album.keys() == []


def test_what_is_out_does_not_go_out_again_if_the_store_is_away_for_a_moment_after_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.ending.relay.STORE_PAUSE", 0)
    outages = iter([redis.ConnectionError("gone"), redis.TimeoutError("frozen")])

    def away(_: str) -> None:
        for error in outages:
            raise error

    world.on_advance = away
    assert world.relays(world.keeps(lambda: world.sig().apply_async()))
    assert world.outbox is None
    assert world.names() == [("app.publish", [])]


def test_a_result_that_is_the_stores_is_written_once_what_follows_is_out(world: World) -> None:
    world.stores_directly = True
    key = f"celery-task-meta-{uuid.uuid4().hex}"
    left = world.keeps(lambda: world.sig().apply_async())
    left.results.append(Result(key, "{}", 60))
    assert world.relays(left)
    assert (world.names(), world.stored) == ([("app.publish", [])], [Result(key, "{}", 60)])
    assert not world.redis.exists(key), "the step writes it, and nothing before"


def test_an_entry_that_cannot_be_read_holds_up_no_other(world: World) -> None:
    left = world.keeps(lambda: world.sig().apply_async())
    world.outbox = left.text()
    entries = [("damaged:run", ""), ("older:run", '{"v": 1}'), ("task:run", world.outbox)]

    class Outbox:
        relay = staticmethod(lambda: entries)
        advance = staticmethod(world.advance)

    places = cast("Places", Outbox())
    assert bring_out_left(world.app, places, APART) == len(entries)
    assert world.names() == [("app.publish", [])]


def test_a_broker_that_is_away_is_waited_for_once_and_what_is_refused_holds_up_no_other(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = world.keeps(lambda: world.sig().apply_async()).text()
    tries: list[str] = []

    class Outbox:
        relay = staticmethod(lambda: [("one:run", text), ("two:run", text)])

        @staticmethod
        def advance(entry: str, *_: Any) -> str:
            return f"{entry}+"

    def brought_out(error: Exception) -> int:
        def fails(*_: Any, **__: Any) -> None:
            tries.append("")
            raise error

        tries.clear()
        monkeypatch.setattr("worker.ending.relay.publish", fails)
        return bring_out_left(world.app, cast("Places", Outbox()), APART)

    assert (brought_out(OperationalError("gone")), len(tries)) == (0, 1)
    assert (brought_out(ValueError("no such serializer")), len(tries)) == (2, 2)


def test_an_outage_of_the_results_does_not_fail_a_chord(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    album = Chord(world, [world.sig()], world.sig("app.album"))

    def away(*_: Any, **__: Any) -> None:
        raise redis.ConnectionError("gone")

    with monkeypatch.context() as patch:
        patch.setattr("celery.backends.redis.GroupResult.restore", away)
        assert not world.relays(world.ends(album.requests[0]))
    assert album.result.state == "PENDING"
    assert album.keys()
    # its claim expires
    world.redis.delete(world.app.backend.get_key_for_group(album.requests[0]["group"], ".c"))
    world.another_relays()
    assert world.names() == [("app.album", [[VERDICT]])]


def test_what_another_relay_has_brought_out_is_left_to_it(world: World) -> None:
    album = Chord(world, [world.sig()], world.sig("app.album"))
    world.on_advance = lambda _: setattr(world, "outbox", None)
    assert world.relays(world.ends(album.requests[0]))
    assert world.names() == []
    assert album.result.state == "PENDING"


def test_a_chord_with_a_part_that_fails_fails_and_calls_its_errback(world: World) -> None:
    body = world.sig("app.album").on_error(world.sig("app.hide"))
    album = Chord(world, [world.sig(), world.sig()], body)
    one, two = album.requests
    world.relays(world.ends(one))
    world.relays(read_left(world.ends(two, "FAILURE", wxcheck.InvalidCheck("content: empty")).text()))
    assert album.result.state == "FAILURE"
    assert "InvalidCheck" in repr(album.result.result)
    assert [name for name, _ in world.names()] == ["app.hide"]
    assert all(album.keys_at_advance), "its failure was in the store before its keys were removed"


def test_a_body_that_is_a_group_goes_out_whole(world: World) -> None:
    album = Chord(world, [world.sig()], group(world.sig("app.album"), world.sig("app.hide")))
    world.relays(read_left(world.ends(album.requests[0]).text()))
    assert sorted(world.names()) == [("app.album", [[VERDICT]]), ("app.hide", [[VERDICT]])]


def test_a_header_of_chains_is_joined(world: World) -> None:
    header = [chain(world.sig(), world.sig()), group(world.sig(), world.sig())]
    result = chord(header)(world.sig("app.album"))
    ends = 0
    while ends < 4:
        for message in world.messages():
            if message.headers["task"] == "app.album":
                continue
            _, _, embedded = message.payload
            request = {**{name: message.headers.get(name) for name in ("id", "group", "group_index", "root_id")}}
            request |= {"chord": embedded["chord"], "chain": embedded["chain"]}
            ends += 1
            left = world.ends(request, result={"number": ends})
            if embedded["chain"]:
                following = world.app.signature(embedded["chain"].pop())
                kept = world.keeps(lambda following=following: following.apply_async((VERDICT,)))  # type: ignore[misc]
                left.publications += kept.publications
            world.relays(read_left(left.text()))
            if ends == 4:
                break
    (message,) = world.messages()
    assert message.headers["id"] == result.id
    assert message.payload[0] == [[{"number": 4}, {"number": 2}, {"number": 3}]]


def test_nothing_is_lost_if_a_message_cannot_be_published(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    left = world.ends({"id": str(uuid.uuid4())})
    left.publications += world.keeps(lambda: world.sig(args=(1,)).apply_async()).publications

    def away(*_: Any, **__: Any) -> None:
        raise OSError("the broker is away")

    with monkeypatch.context() as patch:
        patch.setattr("worker.ending.relay.publish", away)
        assert not world.relays(left)
    assert world.names() == []
    world.another_relays()
    assert world.names() == [("app.publish", [1])]


class Refused:
    """A check whose follow-up goes to a queue that is another kind of key; it has an errback."""

    def __init__(self, world: World, **request: Any) -> None:
        self.world = world
        self.queue = f"broken-{uuid.uuid4().hex}"
        world.redis.set(self.queue, "a text, where a list should be")
        self.id = str(uuid.uuid4())
        errbacks = [dict(world.sig("app.hide"))]
        self.left = world.ends({"id": self.id})
        self.left.publications += world.keeps(lambda: world.sig().set(queue=self.queue).apply_async()).publications
        self.left.request = {"id": self.id, "errbacks": errbacks, **request}

    def is_tried(self) -> None:
        """Until the last time but one."""
        assert not self.world.relays(self.left)
        for _ in range(REFUSALS - 2):
            assert not self.world.another_relays()


def test_what_is_refused_for_good_fails_its_check_by_name_after_some_attempts(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    check = Refused(world)
    result = world.app.AsyncResult(check.id)
    check.is_tried()
    assert (result.state, world.names()) == ("PENDING", []), "who sees a verdict may rely on what follows"
    assert not world.another_relays()
    assert f"attempt {REFUSALS} of {REFUSALS}, then the check fails" in caplog.text
    assert world.another_relays()
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        result.get(timeout=PATIENCE)
    assert world.names() == [("app.hide", [check.id])]


def test_what_was_refused_and_is_mended_goes_out(world: World) -> None:
    check = Refused(world)
    check.is_tried()
    world.redis.delete(check.queue)
    assert world.another_relays()
    assert world.app.AsyncResult(check.id).get(timeout=PATIENCE) == VERDICT
    assert [message.headers["task"] for message in world.messages(check.queue)] == ["app.publish"]


def test_a_broker_that_is_away_for_long_is_no_refusal(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    left = world.keeps(lambda: world.sig(args=(1,)).apply_async())

    def away(*_: Any, **__: Any) -> None:
        raise ConnectionResetError

    with monkeypatch.context() as patch:
        patch.setattr("worker.ending.relay.publish", away)
        assert not world.relays(left)
        for _ in range(2 * REFUSALS):
            assert not world.another_relays()
    assert world.another_relays()
    assert world.names() == [("app.publish", [1])]


def test_what_is_out_already_does_not_go_out_again_with_the_rest(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    left = world.keeps(lambda: [world.sig(args=(number,)).apply_async() for number in (1, 2)])
    published: list[int] = []

    def breaks_off(*args: Any, **options: Any) -> None:
        if published:
            raise ConnectionResetError
        published.append(1)
        publish(*args, **options)

    with monkeypatch.context() as patch:
        patch.setattr("worker.ending.relay.publish", breaks_off)
        assert not world.relays(left)
    assert world.names() == [("app.publish", [1])]
    assert world.another_relays()
    assert world.names() == [("app.publish", [2])]


def test_a_failure_whose_errback_is_refused_too_is_given_up(world: World) -> None:
    check = Refused(world)
    check.left.request["errbacks"] = [dict(world.sig("app.hide").set(queue=check.queue))]
    check.is_tried()
    for _ in range(REFUSALS):
        assert not world.another_relays()
    assert world.outbox is not None
    assert not world.another_relays()
    assert world.outbox is None, "nobody tries it any more"


def test_a_chord_whose_part_is_refused_fails_with_its_errback_and_never_sends_its_body(world: World) -> None:
    body = world.sig("app.album").on_error(world.sig("app.hide"))
    album = Chord(world, [world.sig(), world.sig()], body)
    one, two = album.requests
    world.on_advance = lambda _: None
    check = Refused(world, **{**one, "errbacks": []})
    check.left.chord_parts = world.ends(one).chord_parts
    check.is_tried()
    assert not world.another_relays()
    assert world.another_relays()
    assert album.result.state == "FAILURE"
    assert [name for name, _ in world.names()] == ["app.hide"]
    # the part that was refused may be sent again under its task id
    for request in (one, two):
        world.relays(world.ends(request))
    assert world.names() == []


def test_a_chord_whose_body_is_refused_fails_and_its_parts_keep_their_verdicts(world: World) -> None:
    queue = f"broken-{uuid.uuid4().hex}"
    body = world.sig("app.album").set(queue=queue).on_error(world.sig("app.hide"))
    album = Chord(world, [world.sig()], body)
    world.on_advance = lambda _: None
    world.redis.set(queue, "a text, where a list should be")
    left = world.ends(album.requests[0])
    left.request = album.requests[0]
    assert not world.relays(left)
    for _ in range(REFUSALS - 1):
        assert not world.another_relays()
    assert world.another_relays()
    assert album.result.state == "FAILURE"
    assert world.app.AsyncResult(album.requests[0]["id"]).get(timeout=PATIENCE) == VERDICT
    assert [name for name, _ in world.names()] == ["app.hide"]


def test_a_message_that_nobody_can_compress_is_refused_at_once() -> None:
    with pytest.raises(KeyError, match="not-installed"):
        publication([], serializer="json", compression="not-installed")


def test_what_a_later_version_has_written_is_left_to_it() -> None:
    left = Left([Result("key", "{}", 60)], [{"body": "[]"}], [ChordPart({"id": "a"}, "SUCCESS", 1)])
    assert read_left(left.text()) == left
    assert bool(left)
    later = json.dumps({**json.loads(left.text()), "v": 2})
    with pytest.raises(NewerFormat, match="format 2, and this version reads 1"):
        read_left(later)
    assert not Left()


def test_a_message_is_kept_though_its_broker_is_away() -> None:
    left = Left()
    with Celery("away", amqp=KeepingAMQP, broker="redis://127.0.0.1:1/0", set_as_current=False) as app, keeping(left):
        app.send_task("app.publish", queue="anywhere", ignore_result=True)
    assert len(left.publications) == 1
