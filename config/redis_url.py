"""URLs of Redis, spelt so that redis-py, kombu, Celery and Flower all read them alike.

``rediss://`` alone means something else to each: kombu speaks without TLS, and waits for ever; Celery refuses the URL;
redis-py asks for a certificate, but does not know ``CERT_REQUIRED``. Pure, except that :func:`plain` looks for files.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

#: schemes of a Redis over TCP, without and with TLS
SCHEMES = ("redis", "rediss")

#: spellings of redis-py -> Python's own constants
_SPELLINGS = {
    "required": ssl.CERT_REQUIRED,
    "optional": ssl.CERT_OPTIONAL,
    "none": ssl.CERT_NONE,
}
_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")


def is_redis(url: str) -> bool:
    """True if this project's own clients can ask the server at ``url``: a single Redis, over TCP."""
    return urlsplit(url).scheme in SCHEMES


def place(url: str) -> str:
    """Return the address in ``url``, or several joined by ``;``, without user, password and query."""
    places = []
    for one in url.split(";"):
        scheme, separator, rest = one.partition("://")
        places.append(f"{scheme}{separator}{rest.partition('?')[0].rpartition('@')[2]}")
    return ";".join(places)


def is_kombus_redis(url: str) -> bool:
    """True if kombu reaches the broker at ``url`` by its Redis transport, over TCP or ``redis+socket://``.

    The Redis transport has options of its own, and each of its queues is a list.
    False for ``sentinel://``: kombu needs the name of a master there, which no setting says.
    """
    return urlsplit(url).scheme.partition("+")[0] in SCHEMES


def plain(url: str) -> str:
    """Return ``url`` with the TLS options of a ``rediss://`` URL spelt out; any other URL comes back unchanged.

    A ``rediss://`` URL without ``ssl_cert_reqs`` asks for a certificate.

    Raises:
        ValueError: an option has an unknown value, stands in a ``redis://`` URL, or names a file that does not exist.
    """
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES:
        return url
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    said = {name: value for name, value in options.items() if name.startswith("ssl_")}
    if parts.scheme == "redis":
        if said:
            raise ValueError(f"{', '.join(said)} belongs to a rediss:// URL: redis:// has no TLS")
        return url
    asked = said.get("ssl_cert_reqs", "required")
    spelt = asked.lower().removeprefix("cert_")
    if spelt not in _SPELLINGS:
        raise ValueError(f"ssl_cert_reqs must be required, optional or none, not {asked!r}")
    for name in _FILES:
        if name in said and not Path(said[name]).is_file():
            raise ValueError(f"{name}: there is no file {said[name]}")
    return urlunsplit(parts._replace(query=urlencode({**options, "ssl_cert_reqs": spelt}, safe="/")))


def tls_options(url: str) -> dict[str, Any] | None:
    """Return the TLS options of ``url``, spelt out by :func:`plain`, in the form of Celery's ``broker_use_ssl``.

    Flower reads this form only. None: the URL has no TLS.
    """
    parts = urlsplit(url)
    if parts.scheme != "rediss":
        return None
    said: dict[str, Any] = {name: value for name, value in parse_qsl(parts.query) if name.startswith("ssl_")}
    if "ssl_check_hostname" in said:
        said["ssl_check_hostname"] = said["ssl_check_hostname"].lower() not in ("false", "0", "no")
    return {**said, "ssl_cert_reqs": _SPELLINGS[said["ssl_cert_reqs"]]}
