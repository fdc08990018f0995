"""Flower's start: a port that another program has is named in one line."""

from __future__ import annotations

import sys
from typing import Any


def use_flower() -> None:
    """Extend Flower, if this process is one: Celery's command line has loaded Flower by then."""
    flower = sys.modules.get("flower.app")
    if flower is None:
        return
    start = flower.Flower.start_http_server

    def start_http_server(self: Any) -> Any:
        try:
            return start(self)
        except OSError as error:
            options = self.options
            where = options.unix_socket or f"{options.address or 'every address'}, port {options.port}"
            raise SystemExit(
                f"flower: cannot listen on {where}: {error.strerror}; end what listens there, or say another --port "
                "(FLOWER_PORT)"
            ) from None

    flower.Flower.start_http_server = start_http_server
