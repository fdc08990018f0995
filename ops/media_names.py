"""Tells what a URL leads to by its ending, where nobody has said it."""

from __future__ import annotations

from typing import Literal

_SOUNDS = (".mp3", ".aac", ".ac3", ".wma", ".flac", ".ogg", ".opus", ".wav", ".m4a")


def media_type_of(url: str) -> Literal["audio", "image"]:
    """``audio`` where the path of ``url`` ends like a sound's, else ``image``."""
    return "audio" if url.split("?")[0].lower().endswith(_SOUNDS) else "image"
