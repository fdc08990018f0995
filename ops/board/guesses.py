"""How often the board's password may be guessed: by one address, and by all together. Pure.

A password that was right costs nothing, so only wrong ones have to wait: each address has a few guesses at once and
then one a second, all together ten a second. Whoever comes sooner waits for their turn, and where too many do, is sent
away without a look at the password; what is refused so tells nothing about it.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict

#: guesses at once, and seconds for each further one: of an address, of all addresses together
FREE, SECONDS = 5, 1.0
ALL_FREE, ALL_SECONDS = 20, 0.1
#: seconds that one who guesses waits for the turn; longer, and it is sent away
PATIENCE = 2.0
#: addresses that are remembered: of wrong guesses, and of a right one, which the others' guesses do not delay
MAX_ADDRESSES = 4096


class Guesses:
    """The guesses at one password. ``now``: seconds of a clock that is never set back."""

    def __init__(self) -> None:
        #: when all guesses so far have been paid for, by address: the one that guessed last comes last
        self._paid: OrderedDict[str, float] = OrderedDict()
        self._all_paid = 0.0
        self._trusted: OrderedDict[str, None] = OrderedDict()

    def turn(self, address: str, now: float) -> float | None:
        """Seconds until the password of ``address`` is to be looked at; None: it is not, too many wait before it."""
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
        """The password that had its turn was right: the turn costs nothing, the wrong ones before it still do."""
        if address in self._paid:
            self._paid[address] -= SECONDS
        if address not in self._trusted:
            self._all_paid -= ALL_SECONDS
        self._trusted[address] = None
        self._trusted.move_to_end(address)
        _forget(self._trusted)


def address_of(client: tuple[str, int] | None) -> str:
    """Who guesses, of a client's host and port: an IPv4 address, or the first half of an IPv6 one, which its owner
    has all of."""
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
