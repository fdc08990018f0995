"""A message in hand: by it a run tells the message's flow that the call is being sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class InHand:
    """A message in hand, which the request hands to the run of its task. Safe to share between threads.

    A child process has no flows: there nobody is told.
    """

    def __init__(self, tell: Callable[[Any, float], None] | None = None, tag: Any = None) -> None:
        self._tell = tell
        self._tag = tag

    def goes_out(self, ahead: float) -> None:
        """Tell the flow that the call is being sent. ``ahead``: seconds that its permit lay in the future."""
        if self._tell is not None:
            self._tell(self._tag, ahead)

    def __reduce__(self) -> tuple[type[InHand], tuple[()]]:
        return InHand, ()
