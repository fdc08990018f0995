"""The bounds on guesses at the board's password, for one address and for all together. Pure.

A right password costs nothing, so only wrong ones have to wait: each address has a few guesses at once and then one a
second, all together ten a second. A guess that comes sooner waits for its turn. If too many wait, the guess is refused
without a look at the password, so the refusal tells nothing about the password.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict

#: guesses at once, and seconds for each further guess: for an address, and for all addresses together
FREE, SECONDS = 5, 1.0
ALL_FREE, ALL_SECONDS = 20, 0.1
#: most seconds that a guess waits for its turn; a longer wait is refused
PATIENCE = 2.0
#: most addresses to remember, of wrong guesses and of right ones; others' guesses do not delay the latter
MAX_ADDRESSES = 4096


class Guesses:
    """The guesses at one password. ``now``: seconds of a clock that is never set back."""

    def __init__(self) -> None:
        #: time at which all guesses so far have been paid for, by address; the latest to guess comes last
        self._paid: OrderedDict[str, float] = OrderedDict()
        self._all_paid = 0.0
        self._trusted: OrderedDict[str, None] = OrderedDict()

    def turn(self, address: str, now: float) -> float | None:
        """Return the seconds until the turn of a guess from ``address``; None: too many wait before it."""
        trusted = address in self._trusted
        paid = max(self._paid.get(address, 0.0), now)
        all_paid = max(self._all_paid, now)
        wait = paid - now - (FREE - 1) * SECONDS
        if not trusted:
            wait = max(wait, all_paid - now - (ALL_FREE - 1) * ALL_SECONDS)
        if wait > PATIENCE:
            return None
        self._paid[address] = paid + SECONDS
        self._paid.move_to_end(address)
        _forget(self._paid)
        if not trusted:
            self._all_paid = all_paid + ALL_SECONDS
        return max(0.0, wait)

    def right(self, address: str) -> None:
        """Note that the latest guess was right: its turn costs nothing; earlier wrong guesses still count."""
        if address in self._paid:
            self._paid[address] -= SECONDS
        if address not in self._trusted:
            self._all_paid -= ALL_SECONDS
        self._trusted[address] = None
        self._trusted.move_to_end(address)
        _forget(self._trusted)


def address_of(client: tuple[str, int] | None) -> str:
    """Return the address that guesses are counted by, from a client's host and port.

    An IPv6 address counts by its first half: its owner has all addresses with that half.
    """
    host = client[0] if client else ""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host[:64]
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, 64), strict=False).network_address)
    return str(address)


def _forget(addresses: OrderedDict[str, float] | OrderedDict[str, None]) -> None:
    while len(addresses) > MAX_ADDRESSES:
        addresses.popitem(last=False)
