"""SIGINT and SIGTERM as an exception, so that one piece of code ends all processes in every case."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupted(BaseException):
    """SIGINT or SIGTERM came. No Exception, so that no handler on the way out takes it for a fault of its own."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.signal = signal.Signals(number)

    @property
    def exit_code(self) -> int:
        """Return the exit code of shells: 130 for SIGINT, 143 for SIGTERM."""
        return 128 + self.signal


@contextmanager
def interruptible() -> Iterator[None]:
    """Make the first SIGINT or SIGTERM within the context raise Interrupted in the main thread.

    Further signals change nothing: the clean-up after the first one is bounded, so nobody needs a second. A signal
    within a finalizer, out of which Python lets no exception, is raised at the end of the context.
    """
    came: int | None = None

    def raise_once(number: int, _: FrameType | None) -> None:
        nonlocal came
        if came is None:
            came = number
            raise Interrupted(number)

    before = {number: signal.signal(number, raise_once) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
        if came is not None:
            raise Interrupted(came)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
