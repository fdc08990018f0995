"""The access token of each appId, shared by every process through Redis (``store/tokens/take.lua``)."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Any

from config.logs import Log
from store.scripts import script
from wechat.answers import TokenRefused, Unanswered

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis

    from config.lanes import Lane
    from store.places.shard import Shard

log = Log(__name__)

#: seconds for which the others wait after a failed renewal, before one of them tries
FAILURE_PAUSE = 1
#: the same seconds while the old token lives, and nothing is lost yet
FAILURE_PAUSE_ALIVE = 30
#: seconds for which a refused token is not renewed again, once the platform has given the very same token anew
CONFIRMED = 30
#: seconds between two looks while another process fetches the first token
POLL = 0.05
#: seconds that a token must still live to be worth storing
SHORTEST_LIFE = 1


class Tokens:
    """Hands out the shared token, and takes back a token that the platform refused.

    ``fetch``: asks the platform for a new token of an appId; returns it and the seconds of its life. ``look``: raises
    the news of other processes about an appId, that the platform refuses it.
    """

    def __init__(
        self,
        redis: Redis,
        shard: Shard,
        fetch: Callable[[str], tuple[str, int]],
        look: Callable[[str, Lane], object],
        call_timeout: float,
    ) -> None:
        self._shard = shard
        self._fetch = fetch
        self._look = look
        #: seconds for a renewal, which is one call; afterwards another process may try
        self.lease = call_timeout + 5
        self._take = script(redis, "store/tokens/take")
        self._put = script(redis, "store/tokens/put")
        self._reject = script(redis, "store/tokens/reject")

    def get(self, appid: str, lane: Lane, said: list[Any] | None = None) -> str:
        """Return the current token of ``appid``; renew it first if that is due.

        ``said``: an answer of ``store/tokens/take.lua`` that the caller has already.

        Raises:
            Unanswered: the call for a new token had no usable answer, or other processes have tried in vain for as long
                as a call may take.
            TokenRefused: the platform refused the call for a new token.
            CheckRefused: other processes have learnt that the platform refuses the appId.
        """
        deadline = time.monotonic() + self.lease
        while time.monotonic() < deadline:
            verb, *rest = said or self._take(keys=[self._key(appid)], args=[self.lease])
            said = None
            if verb == "use":
                return str(rest[0])
            if verb == "renew":
                fence, old = rest
                return self._renew(appid, lane, fence, old)
            # the renewing process may just have learnt that the platform refuses this appId
            self._look(appid, lane)
            time.sleep(POLL * random.uniform(0.5, 1.5))  # noqa: S311 - spreads the processes, protects nothing
        raise Unanswered(f"access token: none within {self.lease:.0f} s", taken=False)

    def reject(self, appid: str, token: str) -> None:
        """Mark ``token`` as refused by the platform; the next :meth:`get` renews it, unless that was done already."""
        if self._reject(keys=[self._key(appid)], args=[token]):
            log.warning("token_refused", "it is renewed", appid=appid)

    def _renew(self, appid: str, lane: Lane, fence: int, old: str) -> str:
        try:
            # a refused appId is not called again for each check
            self._look(appid, lane)
            value, lives = self._fetch(appid)
        except BaseException as error:
            pause = FAILURE_PAUSE_ALIVE if old else FAILURE_PAUSE
            self._put(keys=[self._key(appid)], args=[fence, "", 0, pause, CONFIRMED])
            if old and isinstance(error, (Unanswered, TokenRefused)):
                # nothing is lost yet: the old token lives on, and the next call tries again
                log.warning("token_not_renewed", f"{error}; the old one is used on", appid=appid)
                return old
            raise
        lives = max(lives, SHORTEST_LIFE)
        return str(self._put(keys=[self._key(appid)], args=[fence, value, lives, FAILURE_PAUSE, CONFIRMED]))

    def _key(self, appid: str) -> str:
        return self._shard.of_lane("text", appid)[-1]
