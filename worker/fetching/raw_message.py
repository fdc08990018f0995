"""A message as it lies in a list of Redis, even if kombu's own class refuses it."""

from __future__ import annotations

import sys
from typing import Any

from kombu.transport.virtual import Message as VirtualMessage


class Message(VirtualMessage):  # type: ignore[misc]  # kombu ships no types
    """kombu's message, whose making does not fail: an error would end each worker that takes the message.

    ``errors`` holds the fault, as it does in kombu for a compression that cannot be undone.
    """

    #: kind of the fault, and text of the failure (:mod:`worker.fetching.reading`); None for a sound message
    fault: tuple[str, str] | None = None

    def __init__(self, payload: dict[str, Any], channel: Any = None, **kwargs: Any) -> None:
        if not isinstance(payload["properties"].get("delivery_info"), dict):
            payload["properties"]["delivery_info"] = {}
        try:
            super().__init__(payload, channel, **kwargs)
        except Exception:  # noqa: BLE001 - anything may lie in a list
            headers = payload.get("headers")
            sound = {**payload, "body": None, "headers": headers if isinstance(headers, dict) else {}}
            super().__init__(sound, channel, **kwargs)
            self._raw = payload
            said = (
                "its body is not encoded as its properties say, of which base64 and none are read; send it with Celery"
            )
            self.fault = ("encoding", said)
            self.errors.append(sys.exc_info())
