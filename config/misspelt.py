"""Names that look like a setting and are none. Pure: the caller hands in the sources."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

#: names that only docker-compose.yml reads from the same ``.env``
FOR_COMPOSE = (
    "compose_redis_url",
    "compose_redis_memory",
    "compose_redis_mem_limit",
    "compose_apps_endpoint",
    "compose_apps_board",
    "secrets_dir",
)
#: Kubernetes tells every pod the address of each service: a service wxcheck-redis sets WXCHECK_REDIS_SERVICE_HOST and
#: more
_OF_SERVICES = re.compile(r"_service_(host|port)(_\w+)?$|_port_\d+_(tcp|udp|sctp)(_(proto|port|addr))?$")
_SERVICE_ADDRESS = re.compile(r"(tcp|udp|sctp)://")
#: likeness of two names, from 0 to 1, above which one may be meant by the other
ALIKE = 0.6


def misspelt(sources: Mapping[str, Mapping[str, str | None]], known: Collection[str], prefix: str) -> Iterator[str]:
    """Yield a line for each name in ``sources`` that begins with ``prefix`` and is no setting.

    ``sources``: a source in words (``in .env``) -> its names and values. ``known``: the settings, in small letters. No
    line quotes a value, since the misspelt name may hold a secret.
    """
    for where, names in sources.items():
        for name, value in names.items():
            if not name.upper().startswith(prefix):
                continue
            rest = name[len(prefix) :].lower()
            if rest in known or rest in FOR_COMPOSE or _is_of_a_service(rest, value or ""):
                continue
            yield f"{prefix}{rest.upper()}: {where}, is no setting{meant(rest, known, prefix)}"


def meant(name: str, known: Iterable[str], prefix: str = "") -> str:
    """Return ``; did you mean …?`` with the setting most like ``name``, or an empty string."""
    nearest = difflib.get_close_matches(name, list(known), n=1, cutoff=ALIKE)
    shown = [prefix + other.upper() if prefix else other for other in nearest]
    return f"; did you mean {shown[0]}?" if shown else ""


def _is_of_a_service(rest: str, value: str) -> bool:
    name = f"_{rest}"
    return bool(_OF_SERVICES.search(name)) or (name.endswith("_port") and bool(_SERVICE_ADDRESS.match(value)))
