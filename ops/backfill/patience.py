"""The wait for a broker or a store that is away."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

from ops.backfill.faults import CannotGoOn
from worker.ending.backend import passes

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

#: seconds between two tries
AGAIN = 1.0


class Patience:
    """Waits at most ``seconds`` for each absence, and says so once each time."""

    def __init__(self, seconds: float, say: Callable[[str], None]) -> None:
        self._seconds = seconds
        self._say = say

    def act(self, act: Callable[[], T]) -> T:
        """Call ``act`` again and again while broker or store are away. Return its result.

        Raises:
            CannotGoOn: broker or store were away for too long.
            any other error of ``act``.
        """
        since: float | None = None
        while True:
            try:
                done = act()
            except Exception as error:
                if not passes(error):
                    raise
                now = time.monotonic()
                if since is None:
                    since = now
                    self._say(f"broker or store are away ({type(error).__name__}); waiting for them")
                elif now - since > self._seconds:
                    said = f"broker or store were away for {self._seconds:.0f} s; the same command goes on"
                    raise CannotGoOn(said) from None
                time.sleep(min(AGAIN, self._seconds))
            else:
                if since is not None:
                    self._say("broker and store are back")
                return done
