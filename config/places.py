"""The address of a server, for people to read. Pure."""

from __future__ import annotations


def place(url: str) -> str:
    """Return the address in ``url``, or several joined by ``;``, without user, password and query."""
    places = []
    for one in url.split(";"):
        scheme, separator, rest = one.partition("://")
        places.append(f"{scheme}{separator}{rest.rpartition('@')[2].partition('?')[0]}")
    return ";".join(places)
