"""Where a server is, for people to read. Pure."""

from __future__ import annotations


def place(url: str) -> str:
    """Where a server is, or several of them, without user, password and query."""
    places = []
    for one in url.split(";"):
        scheme, separator, rest = one.partition("://")
        places.append(f"{scheme}{separator}{rest.rpartition('@')[2].partition('?')[0]}")
    return ";".join(places)
