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
from typing import TYPE_CHECKING, Any, TypeVar, cast

from config.lanes import LANES
from store.dead_letters.dead_letters import MOST_BYTES, MOST_LETTERS
from store.keys import COUNTERS, DEAD, DEAD_BYTES, DEAD_LETTERS, NEVER
from store.places.forms import Held, LaneReply, Pushed, Take
from store.places.shard import Shard
from store.quota import clock
from store.quota.permit import Permit
from store.quota.permits import BACKFILL_PRIORITY, LOOK_AHEAD, LOOK_AHEAD_LOW, START, WINDOW
from store.records.records import MARGIN
from store.scripts import script

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from redis import Redis

    from config.lanes import Lane
    from store.places.forms import Ended, LaneLimits, Message, Queue, Result, Settled

T = TypeVar("T")

#: most entries of each kind that are brought on in one step, so that no script takes long
BATCH = 64
#: most open lanes of a kind that one take looks at (``store/places/take.lua``)
LANES_AT_ONCE = 16
#: seconds for which a run may have a check whose end is known; afterwards another run gets it
LEASE = 60.0
#: seconds for which an entry of the outbox is left to its run, or to a relay; entries that a relay claims at once
RELAY_LEASE, RELAYED_AT_ONCE = 30.0, 16
#: seconds to keep a push that no check waits for: its check may be between the platform's answer and the store
KEEP_EARLY = 600

#: sets whose entries come up by time; what comes back from a hand may be stale by then
_BY_TIME = ("shelf", "parked", "hand", "stale", "ended", "early_due")

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
        self._token_lease = token_lease or 0.0
        self._inbox = inbox or ()
        self._file = script(redis, "store/places/file")
        self._take = script(redis, "store/places/take")
        self._give_back = script(redis, "store/places/give_back")
        self._park = script(redis, "store/places/park")
        self._push = script(redis, "store/places/push")
        self._cancel = script(redis, "store/places/cancel")
        self._reopen = script(redis, "store/places/reopen")
        self._due = script(redis, "store/places/due")
        self._bring = script(redis, "store/places/bring")
        self._finish = script(redis, "store/places/finish")
        self._relay = script(redis, "store/places/relay")
        self._amend = script(redis, "store/places/amend")
        self._relayed = script(redis, "store/places/relayed")

    def file(self, messages: Sequence[Message], tags: Sequence[str] = ()) -> list[str]:
        """File at most :data:`BATCH` messages, and say of each: filed | repeated | taken | newer.

        ``tags``: of the messages in the inbox, from which they are removed in the same step, but for newer ones.
        """
        lanes = list(dict.fromkeys((message.kind, message.appid) for message in messages))
        question = {"entries": [_entry(message, tag) for message, tag in _with_tags(messages, tags)]}
        texts = [message.text for message in messages]
        return cast("list[str]", self._ask(self._file, lanes, question, texts, keys=self._inbox))

    def take(
        self, room: Mapping[Queue, int], lanes: Sequence[LaneLimits], kinds: Sequence[Lane] = ("text", "media")
    ) -> Take:
        """Take checks into hand, at most ``room`` of each queue, and of the lanes of ``kinds`` as permits come."""
        began, before = clock.ours(), time.monotonic()
        question = {
            **self._clock(began),
            "window": int(WINDOW * _MICRO),
            "timeout": int(self._timeout * _MICRO),
            "run": uuid.uuid4().hex[:16],
            "kinds": [{"kind": kind, "room": room.get(kind, 0)} for kind in kinds],
            "push": room.get("push", 0),
            "lease": int(LEASE * _SECOND),
            "longest": int((self._timeout + MARGIN) * _SECOND),
            "ahead": int(LOOK_AHEAD * _MICRO),
            "ahead_low": int(LOOK_AHEAD_LOW * _MICRO),
            "low": BACKFILL_PRIORITY,
            "most": LANES_AT_ONCE,
            "token": self._token_lease,
        }
        limits = [
            {
                "n": max(1, round(lane.per_minute * WINDOW / 60)),
                "per_day": lane.per_day,
                "reserve": lane.reserve,
                "version": lane.version,
                "epoch": lane.epoch,
                "day": lane.day,
                "used": lane.used,
                "fresh": lane.fresh,
                "gone": lane.is_gone or None,
                "number": number,
            }
            for number, lane in enumerate(lanes)
        ]
        names = [(lane.kind, lane.appid) for lane in lanes]
        said, *told = self._ask(self._take, names, question, [], limits)
        after = time.monotonic()
        known = json.loads(said)
        replies = []
        for number, verb, *numbers in known["lanes"] or ():
            detail = numbers[5] if len(numbers) > 5 else 0
            exact = [int(value) if at != 5 else detail for at, value in enumerate(numbers)]
            replies.append(LaneReply(*names[int(number)], verb, exact))
            if exact:
                self._watch.add(began, clock.ours(), exact[-1])
        held = [
            self._held(*entry, before=before, after=after)
            for entry in zip(told[::3], told[1::3], told[2::3], strict=True)
        ]
        return Take(
            held=held,
            lanes=replies,
            unknown=[(kind, appid) for kind, appid in known["unknown"] or ()],
            next=[(kind, appid) for kind, appid in known["next"] or ()],
            seconds=None if known["at"] < 0 else max(0.0, (known["at"] - known["now"]) / _SECOND),
            more=known["more"] or [],
        )

    def give_back(self, held: Held, settled: Settled | None = None, at: float | None = None, text: str = "") -> str:
        """Let a check wait again, at its old place, or on the shelf until ``at``.

        ``text``: message that takes the place of the old one.

        Returns:
            its place then: lane | shelf | ready (its end became known meanwhile); or lost (another run has it).
        """
        question = {
            "id": held.id,
            "run": held.run,
            "permit": _settled(settled),
            "at": None if at is None else int(at * _SECOND),
        }
        return str(self._ask(self._give_back, [(held.kind, held.appid)], question, [text]))

    def park(
        self,
        held: Held,
        trace_id: str,
        seconds: float,
        settled: Settled | None = None,
        shown: Result | None = None,
    ) -> str:
        """Park a media check until its push comes, or for ``seconds``. ``shown``: result that shows it waiting.

        Returns:
            parked | ready (its end is known already) | traced (another check has this ``trace_id``) | lost
        """
        key, value, shown_for = shown or (NEVER, "", 0)
        question = {
            "id": held.id,
            "run": held.run,
            "trace": trace_id,
            "wait": int(seconds * _SECOND),
            "permit": _settled(settled),
        }
        return str(self._ask(self._park, [(held.kind, held.appid)], question, [value, shown_for], keys=[key]))

    def push(self, pushes: Sequence[tuple[str, str, str]], tags: Sequence[str] = ()) -> list[Pushed]:
        """Match at most :data:`BATCH` pushes (appId, ``trace_id``, JSON) with the checks that wait for them.

        ``tags``: as those of :meth:`file`.
        """
        question = {
            "pushes": [
                {"appid": appid, "trace": trace, **({"tag": tag} if tag else {})}
                for (appid, trace, _), tag in _with_tags(pushes, tags)
            ],
            "keep": KEEP_EARLY * _SECOND,
        }
        said = self._ask(self._push, [], question, [text for *_, text in pushes], keys=self._inbox)
        return [Pushed(what, *([found[0], found[1] / _SECOND] if found else [])) for what, *found in said]

    def cancel(self, task_ids: Sequence[str], ended: str = "cancelled") -> list[str]:
        """Cancel at most :data:`BATCH` checks wherever they wait. Return the place of each until now; '' for none."""
        texts = cast("list[str | None]", self._redis.hmget(self._shard.key("checks"), list(task_ids)))
        checks = {task_id: json.loads(text) for task_id, text in zip(task_ids, texts, strict=True) if text is not None}
        lanes = list(dict.fromkeys(_lane_of(check) for check in checks.values() if "kind" in check))
        if not checks:
            return [""] * len(task_ids)
        said = self._ask(self._cancel, lanes, {"ids": list(checks), "ended": ended})
        places = dict(zip(checks, said, strict=True))
        return [places.get(task_id, "") for task_id in task_ids]

    def reopen(self, kinds: Sequence[Lane] = LANES) -> int:
        """Let all lanes that open later be looked at now, and return their number."""
        number = 0
        for kind in kinds:
            keys = [self._shard.key(f"open:{kind}"), self._shard.key(f"wake:{kind}")]
            found = BATCH
            while found == BATCH:
                found = int(self._reopen(keys=keys, args=[BATCH]))
                number += found
        return number

    def bring_on(self) -> dict[str, int]:
        """Bring on what has waited for as long as it may, at most :data:`BATCH` of each kind. Return their numbers."""
        keys = [self._shard.key(name) for name in ("checks", *_BY_TIME)]
        _, *found = self._due(keys=keys, args=[BATCH])
        due, lanes = [], []
        for number, entry, text in zip(found[::3], found[1::3], found[2::3], strict=True):
            due.append((_BY_TIME[number - 1], entry))
            if text:
                lanes.append(_lane_of(json.loads(text)))
        if not due:
            return {}
        said = self._ask(self._bring, list(dict.fromkeys(lanes)), {"due": due})
        moved: dict[str, int] = {}
        for (name, _), what in zip(due, said, strict=True):
            if what:
                moved[name] = moved.get(name, 0) + 1
        return moved

    def finish(self, held: Held, ended: Ended, settled: Settled | None = None) -> str:
        """End a check with its result and what follows. Return ended | lost, or the place that it has since.

        May be repeated.

        Raises:
            redis.exceptions.ResponseError: the store refuses the end, and nothing was done.
        """
        question = {
            "id": held.id,
            "run": held.run,
            "how": ended.how,
            "permit": _settled(settled),
            "keep": int(ended.keep * _SECOND),
            "relay": int(RELAY_LEASE * _SECOND),
            "results": len(ended.results),
            "letters": MOST_LETTERS,
            "bytes": MOST_BYTES,
        }
        keys = [DEAD, DEAD_LETTERS, DEAD_BYTES, COUNTERS]
        keys += [result.key for result in ended.results] + [name for name, _ in ended.messages]
        args: list[str | int] = [
            ended.outbox,
            ended.letter,
            *(said for result in ended.results for said in result[1:]),
            *(text for _, text in ended.messages),
        ]
        return str(self._ask(self._finish, [(held.kind, held.appid)], question, args, keys=keys))

    def relay(self) -> list[tuple[str, str]]:
        """Claim entries of the outbox that their runs did not relay; entry and text (JSON) of each."""
        keys = [self._shard.key("outbox"), self._shard.key("outbox_due")]
        said = self._relay(keys=keys, args=[RELAYED_AT_ONCE, int(RELAY_LEASE * _SECOND)])
        return list(zip(said[::2], said[1::2], strict=True))

    def amend(self, entry: str, text: str) -> bool:
        """Replace an entry of the outbox, and keep it from other relays for longer. False: it is there no more."""
        keys = [self._shard.key("outbox"), self._shard.key("outbox_due")]
        return bool(self._amend(keys=keys, args=[entry, text, int(RELAY_LEASE * _SECOND)]))

    def relayed(self, entry: str) -> None:
        """Remove an entry of the outbox: all in it is published and stored."""
        self._relayed(keys=[self._shard.key("outbox"), self._shard.key("outbox_due")], args=[entry])

    def show(self, task_id: str) -> dict[str, Any] | None:
        """Return a check as the store keeps it (``store/places/shard.lua``), or None."""
        text = cast("str | None", self._redis.hget(self._shard.key("checks"), task_id))
        return json.loads(text) if text is not None else None

    def keep_time(self) -> None:
        """Read Redis' clock, to notice when it is put forward or back. Call about once a second."""
        self._watch.read(self._redis.time)

    def _ask(
        self,
        asked: Any,
        lanes: Sequence[tuple[Lane, str]],
        question: dict[str, Any],
        args: Sequence[str | int] = (),
        limits: Sequence[dict[str, Any]] = (),
        keys: Sequence[str] = (),
    ) -> Any:
        of_lanes = [{"kind": kind, "appid": appid} for kind, appid in lanes]
        for lane, limit in zip(of_lanes, limits, strict=False):
            lane.update({name: value for name, value in limit.items() if value is not None})
        whole = {
            **question,
            "lanes": of_lanes,
        }
        every_key = [*self._shard.own(), *(key for lane in lanes for key in self._shard.of_lane(*lane)), *keys]
        said = {name: value for name, value in whole.items() if value is not None}
        return asked(keys=every_key, args=[json.dumps(said, separators=(",", ":")), *args])

    def _clock(self, now: float) -> dict[str, int]:
        if not self._watch.knows(now):
            self.keep_time()
        latest, steady = self._watch.at(now)
        return {"latest": latest, "steady": steady}

    def _held(self, task_id: str, text: str, said: str, *, before: float, after: float) -> Held:
        check = json.loads(said)
        permit, renew = check.pop("permit", None), check.pop("renew", None)
        token, refusal = check.pop("token", None), check.pop("refusal", None)
        granted = None
        if permit is not None:
            seconds = permit["ahead"] / _MICRO
            granted = Permit(
                key=(check["appid"], check["kind"]),
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
            permit=granted,
            token=token,
            renew=(renew[0], renew[1]) if renew else None,
            is_first=check.pop("absent", False),
            is_gone=check.pop("gone", False),
            refusal=refusal,
        )


def _settled(settled: Settled | None) -> dict[str, int] | None:
    if settled is None:
        return None
    permit = settled.permit
    return {"bucket": permit.bucket, "sent": int(settled.was_sent), "day": permit.day, "epoch": permit.epoch}


def _with_tags(those: Sequence[T], tags: Sequence[str]) -> Iterator[tuple[T, str | None]]:
    each: Sequence[str | None] = tags or [None] * len(those)
    return zip(those, each, strict=True)


def _entry(message: Message, tag: str | None) -> dict[str, Any]:
    entry = {
        "id": message.id,
        "kind": message.kind,
        "appid": message.appid,
        "priority": message.priority,
        "of": message.digest,
        "cause": message.cause,
        "why": message.why,
        "replay": message.is_replay or None,
        "spare": message.spare,
        "tag": tag,
        "at": None if message.at is None else int(message.at * _SECOND),
        "due": None if message.due is None else int(message.due * _SECOND),
    }
    return {name: value for name, value in entry.items() if value is not None}


def _lane_of(check: Mapping[str, Any]) -> tuple[Lane, str]:
    return check["kind"], check["appid"]
