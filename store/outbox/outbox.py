"""Messages that are kept instead of published, for a step of the store that publishes them itself."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

#: the broker's lists, and a message for each, that this thread keeps; None: its messages go to the broker
kept_messages: ContextVar[list[tuple[str, str]] | None] = ContextVar("kept_messages", default=None)


@contextmanager
def set_aside() -> Iterator[list[tuple[str, str]]]:
    """Keep the messages that this thread publishes meanwhile, each with the broker's list that it is for.

    If the broker is not a Redis, nothing is kept, and all messages go out.
    """
    kept: list[tuple[str, str]] = []
    before = kept_messages.set(kept)
    try:
        yield kept
    finally:
        kept_messages.reset(before)
