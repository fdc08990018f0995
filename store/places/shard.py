"""The keys of a shard. Everything of one appId lies in one shard; a script touches one shard, and declares each key.

``store/places/shard.lua`` reads the same order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from config.lanes import Lane

#: ``checks``     hash: id -> the check (JSON; its fields: ``store/places/shard.lua``)
#: ``messages``   hash: id -> its message, as long as the check is not ended
#: ``hand``       sorted set: id of each check that a worker runs, by the end of its lease
#: ``shelf``      the same by the time of the return to its lane
#: ``parked``     the same by the time until which its push may come
#: ``ended``      the same by the time until which the mark of the ended check is kept
#: ``stale``      ids of checks in a lane, on the shelf or in hand, by the time from which on they are not sent any more
#: ``traces``     hash: ``appid:trace_id`` -> id of a check that waits for its push or has ended
#: ``early``      hash: ``appid:trace_id`` -> push that nobody waits for yet (JSON)
#: ``early_due``  sorted set: the same, by the time until which the push is kept
#: ``sequence``   string: a number that rises with each check that begins to wait
#: ``known``      hash: a field for each lane that this Redis has seen (``store/quota/birth.lua``)
#: ``outbox``     hash: ``id:run`` -> what is to be published and stored elsewhere, since the check has ended (JSON)
#: ``outbox_due`` sorted set: the same, by the time from which on a relay may take it up
#: ``open:…``     sorted set: appId of each lane with waiting checks, by the time at which its next permit may come
#:                (0: the check that has had its token renewed is next)
#: ``ready:…``    sorted set: ids of checks whose end is known and which wait for a run, by rank and time
#:                (:data:`RANK`)
#: ``wake:…``     list: one entry while there is something for a worker that waits
OWN = (
    *("checks", "messages", "hand", "shelf", "parked", "ended", "stale"),
    *("traces", "early", "early_due", "sequence", "known", "outbox", "outbox_due"),
    *("open:text", "open:media", "ready:text", "ready:media", "ready:push", "wake:text", "wake:media", "wake:push"),
)
#: what a rank is worth in a score of ``ready:…``; the rest of the score is the time
RANK = 2**48
#: of each lane:
#: ``lane``     sorted set of the ids that wait, by priority and sequence
#: ``quota``    hash: the permits, and the reasons that close the lane; never expires (``store/quota/lane.lua``)
#: ``ring``     string: permits by the fortieth of a second in which their calls were answered, or will be at the latest
#: ``settled``  list of permits that are to be settled
#: ``token``    of both lanes of an appId. Hash: the access token, and its renewal (``store/tokens/take.lua``)
OF_LANE = ("lane", "quota", "ring", "settled", "token")


class Shard(NamedTuple):
    """The names of a shard's keys; times in them are in milliseconds since the epoch, by Redis' clock."""

    prefix: str
    number: int

    def key(self, name: str) -> str:
        return f"{self.prefix}:{{{self.number}}}:{name}"

    def own(self) -> list[str]:
        """Return the keys of :data:`OWN`, in their order."""
        return [self.key(name) for name in OWN]

    def of_lane(self, kind: Lane, appid: str) -> list[str]:
        """Return the keys of :data:`OF_LANE`, in their order."""
        *of_kind, token = OF_LANE
        return [*(self.key(f"{name}:{kind}:{appid}") for name in of_kind), self.key(f"{token}:{appid}")]


#: the shard of everything: one Redis has one
SHARD = Shard("wxcheck", 0)
