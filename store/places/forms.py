"""The forms in which the places are asked, and in which they answer. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast

if TYPE_CHECKING:
    from collections.abc import Sequence

    from config.lanes import Lane
    from store.quota.permit import Permit

Queue = Literal["text", "media", "push"]

#: seconds to keep the mark of an ended check, by which a repeated message or push is recognised
KEEP_ENDED = 3600


class Message(NamedTuple):
    """A message that intake has read."""

    id: str
    #: the message itself, as the worker wants it back
    text: str
    kind: Lane
    appid: str
    #: 0 is the highest, 9 the lowest
    priority: int
    #: digest of the check (:mod:`worker.messages`)
    digest: str
    #: not before this time
    at: float | None = None
    #: not after this time, and why: stale | expired
    due: float | None = None
    why: str | None = None
    #: its end, if known: the message is handed to a run that tells the end
    cause: dict[str, Any] | None = None
    #: a check that failed is to run once more; its dead letter goes
    is_replay: bool = False
    #: id under which it is filed if a check with other content is under way under its own: a run then tells so
    spare: str | None = None


class LaneLimits(NamedTuple):
    """The limits of a lane, and what this process knows of it (:class:`store.quota.permit.LaneView`)."""

    kind: Lane
    appid: str
    per_minute: int = 0
    per_day: int = 0
    #: calls of the day that are kept back from checks of low priority
    reserve: int = 0
    version: int = 0
    epoch: int = 0
    day: int = 0
    used: int = 0
    #: microseconds of the pause of a lane without state; -1: the caller does not know
    fresh: int = -1
    #: the settings do not know the appId any more: its checks go to runs that fail them
    is_gone: bool = False


class Held(NamedTuple):
    """A check in the hands of a run."""

    id: str
    run: str
    text: str
    #: the check as the store keeps it (``store/places/shard.lua``)
    check: dict[str, Any]
    #: None: its end is known, it has no token yet, or the settings know its appId no more
    permit: Permit | None = None
    #: access token for the call
    token: str | None = None
    #: fence, and the old token or '': the run renews the token and gives the check back
    renew: tuple[int, str] | None = None
    #: nobody knows whether calls of its lane were sent lately: the run finds out, and gives the check back
    is_first: bool = False
    #: the platform's refusal of the appId (JSON)
    refusal: str | None = None

    @property
    def kind(self) -> Lane:
        return cast("Lane", self.check["kind"])

    @property
    def appid(self) -> str:
        return str(self.check["appid"])

    @property
    def entry(self) -> str:
        """Return the name of its entry in the outbox."""
        return f"{self.id}:{self.run}"

    @property
    def queue(self) -> Queue:
        """Return the queue whose workers run it."""
        return "push" if "trace" in self.check else self.kind

    @property
    def cause(self) -> dict[str, Any] | None:
        return self.check.get("cause")


class LaneReply(NamedTuple):
    """What a take tells of a lane (``store/places/take.lua``)."""

    kind: Lane
    appid: str
    #: send | wait | stop | again | absent | gone | damaged
    verb: str
    #: wait, now, epoch, day, used, detail, Redis' clock; microseconds. Empty: absent, gone
    told: list[Any]


class Take(NamedTuple):
    """The answer to a take."""

    held: list[Held]
    lanes: list[LaneReply]
    #: lanes that are open, and for which the caller gave no limits
    unknown: list[tuple[Lane, str]]
    #: lanes that open next
    next: list[tuple[Lane, str]]
    #: seconds until the next permit may come in a kind with room left; None: none will
    seconds: float | None
    #: queues in which more is due: the room was too small, or a lane has asked for news
    more: list[Queue]


class Pushed(NamedTuple):
    """A push that was matched."""

    #: matched | early | repeated | late | orphaned | newer
    what: str
    id: str | None = None
    #: seconds since the check was parked
    seconds: float | None = None


class Result(NamedTuple):
    """A result in the form of Celery's Redis backend."""

    key: str
    #: JSON
    value: str
    #: seconds to keep the result; 0: for ever
    seconds: int


class Ended(NamedTuple):
    """What a run leaves at the end of a check."""

    #: done | failed | timeout | cancelled
    how: str
    results: Sequence[Result] = ()
    #: pairs of a broker's list and a message for it
    messages: Sequence[tuple[str, str]] = ()
    #: what is to be published and stored elsewhere (JSON); the run relays it, and others do if the run dies
    outbox: str = ""
    #: what is kept of a failure that a person can mend (:mod:`store.dead_letters.dead_letters`, JSON)
    letter: str = ""


class Settled(NamedTuple):
    """A permit that a run lets go."""

    permit: Permit
    #: the call was answered; else nothing was sent. A call whose answer did not come is not settled
    was_sent: bool
