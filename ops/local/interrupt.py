"""SIGINT and SIGTERM as an exception, so that what was started is ended by the same code in every case."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupted(BaseException):
    """SIGINT or SIGTERM came. No Exception, so that nothing on the way out takes it for a fault of its own."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.signal = signal.Signals(number)

    @property
    def exit_code(self) -> int:
        """As shells have it: 130 for SIGINT, 143 for SIGTERM."""
        return 128 + self.signal


@contextmanager
def interruptible() -> Iterator[None]:
    """Within it the first SIGINT or SIGTERM raises Interrupted in the main thread; further ones change nothing.

    The clean-up that the first one sets off is bounded, so that nobody needs the second one. Where it came inside of a
    finalizer, out of which Python lets no exception, it is raised at the end.
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
