"""The places of the checks, and their moves. Each move is one script: a check is in exactly one place.

    inbox ──file──▶ lane ──take──▶ in hand ──finish──▶ ended
              │      ▲ ▲             │ │ │
              └▶ shelf ┘ └─give_back─┘ │ └─park─▶ parked ──push, time-out, cancel──▶ ready ──take──▶ in hand
                 ▲                     │
                 └─────give_back───────┘

What knows its end before a call, because it was cancelled, say, goes to *ready* as well. Times are in seconds since the
epoch, by Redis' clock, unless said otherwise.
"""

from __future__ import annotations

import json
import time
import uuid
from collections import Counter
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, cast

from redis.exceptions import ResponseError

from config.lanes import LANES
from config.logs import Log
from store.connection import STORE_AWAY
from store.dead_letters.dead_letters import MOST_BYTES, MOST_LETTERS
from store.keys import COUNTERS, DEAD, DEAD_BYTES, DEAD_LETTERS
from store.places.forms import KEEP_ENDED, Held, LaneReply, Pushed, Take
from store.places.shard import Shard
from store.quota import clock
from store.quota.permit import Permit
from store.quota.permits import BACKFILL_PRIORITY, LOOK_AHEAD, LOOK_AHEAD_LOW, MARGIN, START, WINDOW
from store.scripts import script

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from redis import Redis

    from config.lanes import Lane
    from store.places.forms import Ended, LaneLimits, Message, Queue, Result, Settled

log = Log(__name__)

#: most entries of each kind that are brought on in one step, so that no script takes long
BATCH = 64
#: most open lanes of a kind that one take looks at (``store/places/take.lua``)
LANES_AT_ONCE = 16
#: seconds for which an entry of the outbox is left to its run, or to a relay; entries that a relay claims at once
RELAY_LEASE, RELAYED_AT_ONCE = 30.0, 16
#: seconds until an entry that cannot be brought on is tried again
PUT_OFF = 60.0
#: seconds to keep a push that no check waits for: its check may be between the platform's answer and the store
KEEP_EARLY = 600

#: sets whose entries come up by time; what comes back from a hand may be stale by then
_BY_TIME = ("shelf", "parked", "hand", "stale", "ended", "early_due")

_SCRIPTS = (
    *("file", "take", "give_back", "park", "push", "cancel", "reopen", "due", "bring", "finish", "relay"),
    "advance",
)

_SECOND, _MICRO = 1000, 1_000_000


class Places:
    """The places of one shard, for the processes of a cluster. Safe to share between threads.

    ``call_timeout``: seconds for one call in all. ``token_lease``: seconds that a renewal of an access token may take;
    None: calls need no token. ``inbox``: keys of the messages that were taken from the broker and are not filed yet,
    and of their index, if the broker is this Redis.
    """

    def __init__(
        self,
        redis: Redis,
        shard: Shard,
        watch: clock.Watch,
        call_timeout: float,
        token_lease: float | None = None,
        inbox: tuple[str, str] | None = None,
    ) -> None:
        self._redis = redis
        self._shard = shard
        self._watch = watch
        self._timeout = call_timeout + START
        #: seconds from the send time on for which a run has a check; afterwards another run gets it
        self.lease = self._timeout + MARGIN
        self._token_lease = token_lease or 0.0
        self._inbox = inbox or ()
        self._scripts = {name: script(redis, f"store/places/{name}") for name in _SCRIPTS}

    def file(self, messages: Sequence[Message], tags: Sequence[str] = ()) -> list[str]:
        """File at most :data:`BATCH` messages, and say of each: filed | repeated | taken | newer | gone.

        ``tags``: of the messages in the inbox, from which they are removed in the same step, but for newer ones.
        """
        lanes = list(dict.fromkeys((message.kind, message.appid) for message in messages))
        question = {"entries": [_entry(message, tag) for message, tag in zip_longest(messages, tags)]}
        keys = (DEAD, DEAD_LETTERS, DEAD_BYTES, *self._inbox)
        return cast("list[str]", self._ask("file", lanes, question, [message.text for message in messages], keys))

    def take(
        self, room: Mapping[Queue, int], lanes: Sequence[LaneLimits], kinds: Sequence[Lane] = ("text", "media")
    ) -> Take:
        """Take checks into hand, at most ``room`` of each queue, and of the lanes of ``kinds`` as permits come."""
        began, before = clock.ours(), time.monotonic()
        if not self._watch.knows(began):
            self.keep_time()
        latest, steady = self._watch.at(began)
        question = {
            "latest": latest,
            "steady": steady,
            "window": int(WINDOW * _MICRO),
            "timeout": int(self._timeout * _MICRO),
            "run": uuid.uuid4().hex[:16],
            "kinds": [{"kind": kind, "room": room.get(kind, 0)} for kind in kinds],
            "push": room.get("push", 0),
            "lease": int(self.lease * _SECOND),
            "ahead": int(LOOK_AHEAD * _MICRO),
            "ahead_low": int(LOOK_AHEAD_LOW * _MICRO),
            "low": BACKFILL_PRIORITY,
            "most": LANES_AT_ONCE,
            "token": self._token_lease,
            "lanes": [{**lane._asdict(), "n": max(1, round(lane.per_minute * WINDOW / 60))} for lane in lanes],
        }
        said, *taken = self._ask("take", [(lane.kind, lane.appid) for lane in lanes], question)
        after = time.monotonic()
        # a list in it that is empty is {}, as cjson writes it
        known = json.loads(said)
        replies = []
        for kind, appid, verb, *told in known["lanes"]:
            exact = [value if at == 5 else int(value) for at, value in enumerate(told)]
            replies.append(LaneReply(kind, appid, verb, exact))
            if exact:
                self._watch.add(began, clock.ours(), exact[-1])
        return Take(
            held=[self._held(*one, before=before, after=after) for one in taken],
            lanes=replies,
            unknown=[(kind, appid) for kind, appid in known["unknown"]],
            next=[(kind, appid) for kind, appid in known["next"]],
            seconds=None if known["at"] < 0 else max(0.0, (known["at"] - known["now"]) / _SECOND),
            more=list(known["more"]),
        )

    def give_back(
        self,
        held: Held,
        settled: Settled | None = None,
        at: float | None = None,
        text: str = "",
        shown: Result | None = None,
    ) -> str:
        """Let a check wait again, at its old place, or on the shelf until ``at``.

        ``text``: message that takes the place of the old one. ``shown``: result that shows it on the shelf.

        Returns:
            its place then: lane | shelf | ready (its end became known meanwhile); or lost (another run has it).
        """
        question = {"at": _milliseconds(at)}
        return self._move("give_back", held, settled, question, [text, *(shown or ())[1:]], (shown or ())[:1])

    def park(
        self,
        held: Held,
        trace_id: str,
        seconds: float,
        settled: Settled | None = None,
        shown: Result | None = None,
        media: str = "image",
    ) -> str:
        """Park a media check until its push comes, or for ``seconds``.

        ``shown``: result that shows it waiting. ``media``: image | audio, which the push does not tell.

        Returns:
            parked | ready (its end is known already) | traced (another check has this ``trace_id``) | lost
        """
        question = {"trace": trace_id, "wait": int(seconds * _SECOND), "media": media}
        return self._move("park", held, settled, question, (shown or ())[1:], (shown or ())[:1])

    def push(self, pushes: Sequence[tuple[str, str, str]], tags: Sequence[str] = ()) -> list[Pushed]:
        """Match at most :data:`BATCH` pushes (appId, ``trace_id``, JSON) with the checks that wait for them.

        ``tags``: as those of :meth:`file`.
        """
        question = {
            "pushes": [
                _known({"appid": appid, "trace": trace, "tag": tag})
                for (appid, trace, _), tag in zip_longest(pushes, tags)
            ],
            "keep": KEEP_EARLY * _SECOND,
        }
        said = self._ask("push", [], question, [text for *_, text in pushes], keys=self._inbox)
        return [Pushed(what, *([found[0], found[1] / _SECOND] if found else [])) for what, *found in said]

    def cancel(self, task_ids: Sequence[str], ended: str = "cancelled") -> list[str]:
        """Cancel at most :data:`BATCH` checks wherever they wait. Return the place of each until now; '' for none."""
        texts = cast("list[str | None]", self._redis.hmget(self._shard.key("checks"), list(task_ids)))
        checks = {task_id: json.loads(text) for task_id, text in zip(task_ids, texts, strict=True) if text is not None}
        lanes = list(dict.fromkeys(_lane_of(check) for check in checks.values() if "kind" in check))
        if not checks:
            return [""] * len(task_ids)
        said = self._ask("cancel", lanes, {"ids": list(checks), "ended": ended})
        places = dict(zip(checks, said, strict=True))
        return [places.get(task_id, "") for task_id in task_ids]

    def reopen(self) -> None:
        """Let all lanes that open later be looked at now."""
        for kind in LANES:
            keys = [self._shard.key(f"open:{kind}"), self._shard.key(f"wake:{kind}")]
            while int(self._scripts["reopen"](keys=keys, args=[BATCH])) == BATCH:
                pass

    def bring_on(self) -> dict[str, int]:
        """Bring on what has waited for as long as it may, at most :data:`BATCH` of each kind. Return their numbers."""
        keys = [self._shard.key(name) for name in ("checks", *_BY_TIME)]
        found = self._scripts["due"](keys=keys, args=[BATCH])
        return Counter(self._bring_on([(_BY_TIME[number - 1], entry, text) for number, entry, text in found]))

    def _bring_on(self, due: Sequence[tuple[str, str, str]]) -> Iterator[str]:
        """Bring on entries (set, entry, check) that are due, and yield the set of each that was moved."""
        if not due:
            return
        try:
            lanes = dict.fromkeys(_lane_of(json.loads(text)) for *_, text in due if text)
            is_moved = self._ask("bring", list(lanes), {"due": [entry[:2] for entry in due]})
        except STORE_AWAY:
            raise
        except (ResponseError, ValueError, LookupError) as error:
            if len(due) > 1:
                # one of them is at fault, and holds up no other
                for one in due:
                    yield from self._bring_on([one])
                return
            ((name, entry, _),) = due
            log.error("not_brought_on", f"{type(error).__name__}: {error}; tried again later", task_id=entry)  # noqa: TRY400 - a script's error
            self._redis.zadd(self._shard.key(name), {entry: int((time.time() + PUT_OFF) * _SECOND)}, xx=True)
        else:
            yield from (name for (name, *_), moved in zip(due, is_moved, strict=True) if moved)

    def finish(self, held: Held, ended: Ended, settled: Settled | None = None) -> str:
        """End a check with its result and what follows. Return ended | lost, or the place that it has since.

        May be repeated.

        Raises:
            redis.exceptions.ResponseError: the store refuses the end, and nothing was done.
        """
        question = {
            "how": ended.how,
            "keep": KEEP_ENDED * _SECOND,
            "relay": int(RELAY_LEASE * _SECOND),
            "results": len(ended.results),
            "letters": MOST_LETTERS,
            "bytes": MOST_BYTES,
        }
        keys = [DEAD, DEAD_LETTERS, DEAD_BYTES]
        keys += [result.key for result in ended.results] + [name for name, _ in ended.messages]
        args: list[str | int] = [
            ended.outbox,
            ended.letter,
            *(said for result in ended.results for said in result[1:]),
            *(text for _, text in ended.messages),
        ]
        return self._move("finish", held, settled, question, args, keys)

    def relay(self) -> list[tuple[str, str]]:
        """Claim entries of the outbox that their runs did not relay; entry and text (JSON) of each."""
        keys = [self._shard.key("outbox"), self._shard.key("outbox_due")]
        said = self._scripts["relay"](keys=keys, args=[RELAYED_AT_ONCE, int(RELAY_LEASE * _SECOND)])
        return [(entry, text) for entry, text in said]

    def advance(
        self,
        entry: str,
        rest: str = "",
        results: Sequence[Result] = (),
        messages: Sequence[tuple[str, str]] = (),
        lease: float = RELAY_LEASE,
    ) -> str | None:
        """Let results and messages of an entry out, with which the entry ends, and keep the ``rest`` (JSON).

        ``lease``: seconds for which the rest is left to this relay.

        Returns:
            the entry of the rest, also if there is no rest; or None: the entry is there no more, and nothing was done.

        Raises:
            redis.exceptions.ResponseError: a list is something else, and nothing was done.
        """
        keys = [self._shard.key("outbox"), self._shard.key("outbox_due")]
        keys += [result.key for result in results] + [name for name, _ in messages]
        after = f"{entry}+"
        args: list[str | int] = [entry, rest, after, int(lease * _SECOND), len(results)]
        args += [said for result in results for said in result[1:]] + [text for _, text in messages]
        return after if self._scripts["advance"](keys=keys, args=args) else None

    def forget(self, held: Held) -> None:
        """Forget a check in hand that no script can end, unless another run has it since."""
        if not self.is_held(held):
            return
        with self._redis.pipeline(transaction=False) as pipe:
            for name in ("hand", "stale"):
                pipe.zrem(self._shard.key(name), held.id)
            for name in ("checks", "messages"):
                pipe.hdel(self._shard.key(name), held.id)
            pipe.execute()

    def show(self, task_id: str) -> dict[str, Any] | None:
        """Return a check as the store keeps it (``store/places/shard.lua``), or None."""
        text = cast("str | None", self._redis.hget(self._shard.key("checks"), task_id))
        return json.loads(text) if text is not None else None

    def is_held(self, held: Held) -> bool:
        """True while the run has its check in hand."""
        check = self.show(held.id) or {}
        return (check.get("place"), check.get("run")) == ("hand", held.run)

    def keep_time(self) -> None:
        """Read Redis' clock, to notice when it is put forward or back. Call about once a second."""
        self._watch.read(self._redis.time)
        if self._watch.has_stepped():
            # by a clock that was put back, lanes would open later by as much
            self.reopen()

    def _move(
        self,
        name: str,
        held: Held,
        settled: Settled | None,
        question: dict[str, Any],
        args: Sequence[str | int],
        keys: Sequence[str],
    ) -> str:
        """Have a script move a check that a run has in hand. Return its place then, or lost."""
        told = {"id": held.id, "run": held.run, **question}
        if settled is not None:
            bucket, day, epoch = settled.permit.bucket, settled.permit.day, settled.permit.epoch
            told["permit"] = {"bucket": bucket, "sent": int(settled.was_sent), "day": day, "epoch": epoch}
        return str(self._ask(name, [(held.kind, held.appid)], told, args, keys))

    def _ask(
        self,
        name: str,
        lanes: Sequence[tuple[Lane, str]],
        question: dict[str, Any],
        args: Sequence[str | int] = (),
        keys: Sequence[str] = (),
    ) -> Any:
        told = {"lanes": [{"kind": kind, "appid": appid} for kind, appid in lanes], **question}
        of_lanes = [key for lane in lanes for key in self._shard.of_lane(*lane)]
        return self._scripts[name](
            keys=[*self._shard.own(), COUNTERS, *of_lanes, *keys],
            args=[json.dumps(_known(told), separators=(",", ":")), *args],
        )

    def _held(self, task_id: str, text: str, said: str, *, before: float, after: float) -> Held:
        check = json.loads(said)
        permit, renew = check.pop("permit", None), check.pop("renew", None)
        if permit is not None:
            seconds = permit["ahead"] / _MICRO
            permit = Permit(
                epoch=int(permit["epoch"]),
                bucket=permit["bucket"],
                day=permit["day"],
                ahead=seconds,
                send_at=after + seconds,
                begin_by=before + seconds + START,
                over_by=before + seconds + self._timeout,
            )
        return Held(
            id=task_id,
            run=check["run"],
            text=text,
            check=check,
            permit=permit,
            token=check.pop("token", None),
            renew=(renew[0], renew[1]) if renew else None,
            is_first=check.pop("absent", False),
            refusal=check.pop("refusal", None),
        )


def _known(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _milliseconds(seconds: float | None) -> int | None:
    return None if seconds is None else int(seconds * _SECOND)


def _entry(message: Message, tag: str | None) -> dict[str, Any]:
    told = {**message._asdict(), "at": _milliseconds(message.at), "due": _milliseconds(message.due), "tag": tag}
    del told["text"]
    return _known(told)


def _lane_of(check: Mapping[str, Any]) -> tuple[Lane, str]:
    return check["kind"], check["appid"]
