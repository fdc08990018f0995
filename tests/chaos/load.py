"""The application sends checks of both kinds in chains and chords, and this tells how each has to end."""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from celery import Celery, chain, chord
from celery.canvas import Signature

import wxcheck

#: checks of one chord
ALBUM = 3


@dataclass
class Sent:
    """One canvas that the broker has taken."""

    item: str
    shape: str
    #: task ids of its checks, and whether each is a text
    checks: dict[str, bool]
    #: of what has to run in the end, if all its checks pass: task name
    follow_up: str
    #: whether its check fails whatever happens
    fails: bool = False


@dataclass
class Load:
    """Sends ``checks`` checks over ``seconds``, from a thread of its own, and knows what it has sent.

    ``chords``, ``closings``: of a hundred canvases, as :class:`tests.chaos.scenarios.Scale` says.
    """

    app: Celery
    checks: int
    seconds: float
    chords: int
    closings: int
    random: random.Random
    sent: list[Sent] = field(default_factory=list)
    #: canvases that the application could not get published: it knows that, and nothing is promised of them
    refused: Counter[str] = field(default_factory=Counter)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)
        self._thread.start()

    def join(self, seconds: float) -> None:
        assert self._thread is not None
        self._thread.join(seconds)
        assert not self._thread.is_alive(), "the load is sent"

    @property
    def number(self) -> int:
        """The number of checks that were sent."""
        return sum(len(sent.checks) for sent in list(self.sent))

    def _run(self) -> None:
        began = time.monotonic()
        tried = 0
        while tried < self.checks:
            tried += self._send()
            time.sleep(max(0.0, began + self.seconds * tried / self.checks - time.monotonic()))

    def _send(self) -> int:
        others = (95 - self.chords - self.closings) / 2
        shapes = {"text": others, "media": others, "album": self.chords, "unfetchable": 5, "closing": self.closings}
        (shape,) = self.random.choices([*shapes], [*shapes.values()])
        item = uuid.uuid4().hex
        count = ALBUM if shape == "album" else 1
        try:
            self.sent.append(getattr(self, f"_{shape}")(item))
        except Exception as error:  # noqa: BLE001 - whatever the application is told
            self.refused[type(error).__name__] += count
        return count

    def _task(self, name: str, item: str) -> Signature:
        # Celery takes a result that it cannot store for a failure of the task, and runs its errbacks
        return self.app.signature(f"application.{name}", kwargs={"item": item}, queue="application", ignore_result=True)

    def _check(self, is_text: bool, item: str, magic: str = "pass") -> Signature:
        if is_text:
            return self.app.signature(wxcheck.CHECK_TEXT, args=(f"{item} sandbox:{magic}",), queue=wxcheck.TEXT_QUEUE)
        url = f"https://img.example.com/{uuid.uuid4().hex}.jpg?sandbox={magic}"
        return self.app.signature(wxcheck.CHECK_MEDIA, args=(url,), queue=wxcheck.MEDIA_QUEUE)

    def _chain(self, item: str, is_text: bool, magic: str = "pass") -> dict[str, bool]:
        result = chain(self._check(is_text, item, magic), self._task("publish", item)).apply_async(
            link_error=self._task("hide", item)
        )
        return {result.parent.id: is_text}

    def _text(self, item: str) -> Sent:
        # risky; asked a second time, the platform lets it pass
        return Sent(item, "text", self._chain(item, True, "87014*1"), "publish")

    def _media(self, item: str) -> Sent:
        return Sent(item, "media", self._chain(item, is_text=False), "publish")

    def _unfetchable(self, item: str) -> Sent:
        return Sent(item, "unfetchable", self._chain(item, False, "unfetchable"), "publish", fails=True)

    def _closing(self, item: str) -> Sent:
        is_text = self.random.random() < 0.5
        return Sent(item, "closing", self._chain(item, is_text, "44990*1,pass"), "publish")

    def _album(self, item: str) -> Sent:
        kinds = [True, False, self.random.random() < 0.5]
        header = [self._check(is_text, item) for is_text in kinds]
        body = self._task("album", item).on_error(self._task("hide", item))
        result: Any = chord(header)(body)
        ids = [child.id for child in result.parent.results]
        return Sent(item, "album", dict(zip(ids, kinds, strict=True)), "album")
