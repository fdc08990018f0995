"""Looks side by side, each bounded: a look that hangs or raises does not stop the others."""

from __future__ import annotations

import queue
import threading
import time
from typing import TYPE_CHECKING

from redis.exceptions import RedisError

from config.refusals import remedy
from ops.doctor.finding import Finding, words
from store.connection import STORE_AWAY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    #: subject, and the function that yields its findings
    Look = tuple[str, Callable[[], Iterable[Finding]]]

#: most looks at one time: each Mini Program is a look
MOST = 16


def side_by_side(looks: Sequence[Look], seconds: float) -> Iterator[Finding]:
    """Yield the findings of ``looks`` in their order, each as soon as the looks before are done.

    ``seconds``: most seconds for all looks. A look that takes longer ends with a finding that says so, and is left to
    itself.
    """
    deadline = time.monotonic() + seconds
    turns = threading.Semaphore(MOST)
    for subject, found in [(subject, _begin(look, subject, turns)) for subject, look in looks]:
        yield from _told(subject, found, deadline, seconds)


def failed(subject: str, error: BaseException) -> Finding:
    """Return the finding about a look that raised."""
    mend = remedy(error, "WXCHECK_REDIS_URL")
    if mend is None and isinstance(error, STORE_AWAY):
        return Finding("bad", subject, f"Redis went away meanwhile: {words(error)}", "look again: wxcheck doctor")
    if isinstance(error, RedisError):
        other = "see which commands and keys Redis allows this user (ACL), and whether it is a Redis of version 7"
        return Finding("bad", subject, f"Redis refuses: {words(error)}", mend or other)
    return Finding("bad", subject, f"could not be looked at: {words(error)}", "report it, it is a fault of wxcheck")


def _begin(
    look: Callable[[], Iterable[Finding]], subject: str, turns: threading.Semaphore
) -> queue.SimpleQueue[Finding | None]:
    """Start a look. Its findings come through the queue, then None."""
    found: queue.SimpleQueue[Finding | None] = queue.SimpleQueue()

    def run() -> None:
        try:
            with turns:
                for finding in look():
                    found.put(finding)
        except Exception as error:  # noqa: BLE001 - the other looks are worth having
            found.put(failed(subject, error))
        finally:
            found.put(None)

    # a daemon: the command ends even while the look hangs
    threading.Thread(target=run, name=f"doctor-{subject}", daemon=True).start()
    return found


def _told(subject: str, found: queue.SimpleQueue[Finding | None], deadline: float, seconds: float) -> Iterator[Finding]:
    while True:
        try:
            finding = found.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            said = f"not looked at to its end within {seconds:.0f} s"
            yield Finding("bad", subject, said, "something on its way does not answer: look again, and see the network")
            return
        if finding is None:
            return
        yield finding
