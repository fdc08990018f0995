"""A message as it lies in a list of Redis, also one that kombu's own class cannot be made of."""

from __future__ import annotations

import sys
from typing import Any

from kombu.transport.virtual import Message as VirtualMessage


class Message(VirtualMessage):  # type: ignore[misc]  # kombu ships no types
    """kombu's, whose making does not fail: its error would end the worker, and the next one that takes the message.

    What is wrong is in ``errors``, as kombu has it of a compression that cannot be undone.
    """

    #: why it cannot be read and what its failure says (:mod:`worker.fetching.reading`)
    fault: tuple[str, str] | None = None

    def __init__(self, payload: dict[str, Any], channel: Any = None, **kwargs: Any) -> None:
        if not isinstance(payload["properties"].get("delivery_info"), dict):
            payload["properties"]["delivery_info"] = {}
        try:
            super().__init__(payload, channel, **kwargs)
        except Exception:  # noqa: BLE001 - whatever it is that somebody has put there
            headers = payload.get("headers")
            sound = {**payload, "body": None, "headers": headers if isinstance(headers, dict) else {}}
            super().__init__(sound, channel, **kwargs)
            self._raw = payload
            said = (
                "its body is not encoded as its properties say, of which base64 and none are read; send it with Celery"
            )
            self.fault = ("encoding", said)
            self.errors.append(sys.exc_info())
