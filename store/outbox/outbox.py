"""Messages that are kept instead of published, for a step of the store that publishes them itself."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_local = threading.local()


@contextmanager
def set_aside() -> Iterator[list[str]]:
    """Keep the messages that this thread publishes meanwhile, as pairs of a broker's list and a message for it.

    If the broker is not a Redis, nothing is kept, and all messages go out.
    """
    kept: list[str] = []
    _local.aside = kept
    try:
        yield kept
    finally:
        _local.aside = None


def kept_messages() -> list[str] | None:
    """Return the list that takes the messages of this thread; None if they go to the broker."""
    aside: list[str] | None = getattr(_local, "aside", None)
    return aside
