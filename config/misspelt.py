"""Names that look like a setting and are none. Pure: the sources are handed in."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

#: what docker-compose.yml reads from the same ``.env``, and no process does
FOR_COMPOSE = (
    "compose_redis_url",
    "compose_redis_memory",
    "compose_redis_mem_limit",
    "compose_apps_endpoint",
    "compose_apps_board",
    "secrets_dir",
)
#: Kubernetes tells every pod where each service is: of one named wxcheck-redis, WXCHECK_REDIS_SERVICE_HOST and more
_OF_SERVICES = re.compile(r"_service_(host|port)(_\w+)?$|_port_\d+_(tcp|udp|sctp)(_(proto|port|addr))?$")
_SERVICE_ADDRESS = re.compile(r"(tcp|udp|sctp)://")
#: how alike two names are, from 0 to 1, of which one may be meant by the other
ALIKE = 0.6


def misspelt(sources: Mapping[str, Mapping[str, str | None]], known: Collection[str], prefix: str) -> Iterator[str]:
    """A line for each name of ``sources`` that begins with ``prefix`` and is no setting.

    ``sources``: what each source holds, by the words for it (``in .env``). ``known``: the settings, in small letters.
    No line quotes a value: it may be the secret whose name was misspelt.
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
    """``; did you mean …?`` with the setting that ``name`` is most like, or nothing."""
    nearest = difflib.get_close_matches(name, list(known), n=1, cutoff=ALIKE)
    shown = [prefix + other.upper() if prefix else other for other in nearest]
    return f"; did you mean {shown[0]}?" if shown else ""


def _is_of_a_service(rest: str, value: str) -> bool:
    name = f"_{rest}"
    return bool(_OF_SERVICES.search(name)) or (name.endswith("_port") and bool(_SERVICE_ADDRESS.match(value)))
