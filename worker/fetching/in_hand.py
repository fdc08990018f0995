"""Tells a flow that the call of a message that it has in hand goes out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class InHand:
    """A message in hand, handed to the run of its task with its request; may be used from any thread.

    A child process has no flows: there it tells nobody.
    """

    def __init__(self, tell: Callable[[Any, float], None] | None = None, tag: Any = None) -> None:
        self._tell = tell
        self._tag = tag

    def goes_out(self, ahead: float) -> None:
        """Says that the call goes out now. ``ahead``: seconds that its permit lay in the future."""
        if self._tell is not None:
            self._tell(self._tag, ahead)

    def __reduce__(self) -> tuple[type[InHand], tuple[()]]:
        return InHand, ()
