"""A URL leads to a sound if its path ends like one's, and else to a picture."""

from __future__ import annotations

import pytest

from ops.media_names import media_type_of


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("https://a.example/song.mp3", "audio"),
        ("https://a.example/SONG.M4A?sign=1", "audio"),
        ("https://a.example/cat.jpg", "image"),
        ("https://a.example/cat.jpg?name=song.mp3", "image"),
        ("https://a.example/mp3", "image"),
        ("https://a.example/", "image"),
    ],
)
def test_the_ending_of_the_path_tells(url: str, kind: str) -> None:
    assert media_type_of(url) == kind
