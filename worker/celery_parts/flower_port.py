"""Flower, whose port another program has, says so in a line."""

from __future__ import annotations

import sys
from typing import Any


def use_flower() -> None:
    """Has the Flower of this process do so, where it is one: Celery's command line has then loaded it."""
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
