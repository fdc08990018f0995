"""An inbox: the queues that a worker reads, in a thread of its own. Each kind of broker has one of its own kind."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, NamedTuple

from config.logs import Log
from store.connection import STORE_AWAY, reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from worker.intake.intake import Intake, Received

log = Log(__name__)

#: seconds until the next try where the broker, or the store, is away
AWAY = 1.0


class Outcome(NamedTuple):
    """What became of messages; the others are filed. Tags."""

    dropped: list[str]
    #: they stay in the inbox
    kept: set[str]


class Inbox:
    """Reads queues, and hands what they hold to the intake. Safe to share between threads."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._queues: list[str] = []
        self._stopped = threading.Event()
        #: those that say that the broker is away
        self._errors: tuple[type[Exception], ...] = STORE_AWAY
        self._is_away = False
        self._thread = threading.Thread(target=self._run, name="inbox", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """Stop reading. What was taken is filed, or goes back, within ``seconds``."""
        self._stopped.set()
        self._thread.join(seconds)

    def serve(self, queues: Iterable[str]) -> None:
        """Read ``queues`` from now on, and no other."""
        self._queues = list(queues)

    def _read_on(self) -> None:
        """Read until the inbox is stopped.

        Raises:
            Exception: any error; the inbox then reads on.
        """
        raise NotImplementedError

    def _take_in(self, received: Sequence[Received]) -> Outcome | None:
        """Take in messages, however long the store is away. Return None if the inbox is stopped meanwhile."""
        batch = self._intake.read(received)
        while True:
            try:
                return Outcome(batch.dropped, set(self._intake.file(batch)))
            except STORE_AWAY as error:
                self._tell_away(f"the store: {reason(error)}")
                if self._stopped.wait(AWAY):
                    return None

    def _tell_away(self, what: str) -> None:
        if not self._is_away:
            log.warning("inbox_away", f"{what}; trying on")
        self._is_away = True

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self._read_on()
            except Exception as error:  # noqa: BLE001 - the thread goes on: without it no check would come in any more
                # the text of the error may quote a message
                kind = type(error).__name__
                if isinstance(error, self._errors):
                    self._tell_away(f"the broker: {kind}")
                else:
                    log.error("intake_failed", f"{kind}; trying on")  # noqa: TRY400
                self._stopped.wait(AWAY)
