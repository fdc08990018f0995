"""Access tokens: issued, replaced, expired. Stable and classic ones do not affect each other."""

from __future__ import annotations

import secrets
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from config.days import day_of
from sandbox.answers import Refused

Kind = Literal["stable", "classic"]

#: more tokens than live at once under any option; the oldest is forgotten, and answers 40001 like any unknown token
KNOWN_TOKENS = 4_096
FORCED_PER_DAY = 20
FORCED_APART = 30
_LENGTH = 136


@dataclass(slots=True)
class Token:
    value: str
    appid: str
    #: seconds since the epoch
    expires_at: float
    #: a newer token has taken its place: past its time it is "not latest" (40001), not "expired" (42001)
    replaced: bool = False
    dead: bool = False


class Tokens:
    """Every token of every appId. ``clock`` gives seconds since the epoch."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._known: OrderedDict[str, Token] = OrderedDict()
        self._current: dict[tuple[str, Kind], Token] = {}
        self._forced: dict[str, deque[float]] = {}

    def stable(self, appid: str, force: bool, lifetime: int, overlap: float) -> tuple[str, int]:
        """Return the token of ``stable_token`` and its whole seconds left.

        Raises:
            Refused: 45011, 45009 - forced again within 30 seconds, or for the 21st time today.
        """
        now = self._clock()
        overlap = min(overlap, lifetime / 2)
        current = self._current.get((appid, "stable"))
        if current is not None and (current.dead or current.expires_at <= now):
            current = None
        if force:
            self._count_force(appid, now)
            if current is not None:
                current.dead = True
        elif current is not None:
            left = current.expires_at - now
            if left >= overlap:
                return current.value, int(left)
            current.replaced = True
            current.expires_at = now + overlap
        return self._issue(appid, "stable", lifetime, now)

    def classic(self, appid: str, lifetime: int, overlap: float) -> tuple[str, int]:
        """Return a new token of ``/cgi-bin/token``. The token before works for ``overlap`` seconds more."""
        now = self._clock()
        current = self._current.get((appid, "classic"))
        if current is not None:
            current.replaced = True
            current.expires_at = min(current.expires_at, now + overlap)
        return self._issue(appid, "classic", lifetime, now)

    def owner(self, value: str) -> tuple[str | None, int]:
        """Return the appId of a token, if known, and the errcode: 0, 40001 or 42001."""
        token = self._known.get(value)
        if token is None:
            return None, 40001
        if token.dead:
            return token.appid, 40001
        if token.expires_at <= self._clock():
            return token.appid, 40001 if token.replaced else 42001
        return token.appid, 0

    def invalidate(self) -> int:
        """Kill every live token at once. Return their number."""
        now = self._clock()
        live = [token for token in self._known.values() if not token.dead and token.expires_at > now]
        for token in live:
            token.dead = True
        return len(live)

    def _issue(self, appid: str, kind: Kind, lifetime: int, now: float) -> tuple[str, int]:
        token = Token(f"91_{secrets.token_urlsafe(_LENGTH)}"[:_LENGTH], appid, now + lifetime)
        self._known[token.value] = self._current[appid, kind] = token
        if len(self._known) > KNOWN_TOKENS:
            self._known.popitem(last=False)
        return token.value, lifetime

    def _count_force(self, appid: str, now: float) -> None:
        forced = self._forced.setdefault(appid, deque(maxlen=FORCED_PER_DAY))
        if forced and now - forced[-1] < FORCED_APART:
            raise Refused(45011)
        if len(forced) == FORCED_PER_DAY and day_of(forced[0]) == day_of(now):
            raise Refused(45009)
        forced.append(now)
