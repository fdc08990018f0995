"""The replay of a dead letter: its check is filed anew, under its task id."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from kombu.utils import json

from store.places.forms import Message
from worker.intake.filing import entry_of
from worker.messages import message_of
from wxcheck import SENT_AT_HEADER

if TYPE_CHECKING:
    from worker.runtime import Runtime


def replay(runtime: Runtime, task_id: str) -> bool:
    """Run a check again, with everything that follows it.

    False: it has no letter, its letter has no content, or a check with other content is under way under its task id.
    """
    text = runtime.dead_letters.message(task_id)
    if text is None:
        return False
    kept, now = json.loads(text), time.time()
    # the age counts anew: a person has decided to check the content now
    kept["headers"].update({"retries": 0, "expires": None, SENT_AT_HEADER: now})
    entry = entry_of(message_of(kept), kept["queue"], runtime.settings, now)
    if not isinstance(entry, Message):
        return False
    return runtime.places.file([entry._replace(is_replay=True, spare=None)]) == ["filed"]
