"""Every place that a check can have in an application's canvas, as data: how it is built, and what has to become of it.

This module, :mod:`tests.matrix.application` (its tasks and its worker) and :mod:`tests.matrix.drive` (sends, waits)
need Celery (5.3 or newer), redis-py and the client module ``wxcheck``, and nothing else of the project: an application
with a Celery of its own runs the same canvases, in an environment of its own, with these two processes:

    PYTHONPATH=ROOT:ROOT/client MATRIX_…=… /its/own/python -m celery -A tests.matrix.application worker -Q matrix …
    PYTHONPATH=ROOT:ROOT/client MATRIX_…=… /its/own/python -m tests.matrix.drive [NAME …]

The second one sends every canvas (or those that are named), does what an operator does about some of them (cancels,
replays), waits until all have ended and prints one line of JSON: of each canvas, by its name, the fields of
:class:`Outcome`. Its exit code is 0 then, whatever the ends are. Whether they are as they should be, :func:`faults`
says; it is to be asked when nothing is on its way any more, for a follow-up that runs twice runs a second time later.
:mod:`tests.matrix.running` does all of this around a whole system, and looks that nothing is left.

wxcheck's own processes need :data:`SETTINGS`. The two processes need in their environment:

=====================  ==============================================================================================
MATRIX_BROKER_URL      the broker and the result backend, as the application's Celery has them
MATRIX_RESULT_BACKEND
MATRIX_RUNS_URL        a Redis in which the application's tasks write down their runs, in the list ``matrix:runs``
MATRIX_SANDBOX_URL     the stand-in platform, which is told to push a lost verdict
MATRIX_OPERATOR        JSON, a list: wxcheck's command line, as ``["/…/.venv/bin/python", "-m", "ops.cli"]`` …
MATRIX_OPERATOR_ENV    … and JSON, a dict: all of the environment that it runs in
=====================  ==============================================================================================
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Union

from celery import chain, chord, group
from celery.canvas import Signature

import wxcheck

#: what wxcheck's workers are to be set to
SETTINGS = {
    # a check whose push is lost is to end soon; every other push comes at once, and is to be in time on any machine
    "PUSH_TIMEOUT": "10",
    # a check fails after two calls, and is replayed
    "API_RETRIES": "1",
    "RETRY_DELAY": "0.1",
}

#: how a task ended: ``pass`` or ``risky`` of a check, what the application's task returned, the class of a failure
#: (of what comes after that in a chain, too); of a group, a list
End = Union[str, list["End"]]  # noqa: UP007 - it is evaluated, by an older Python too


@dataclasses.dataclass(frozen=True)
class Canvas:
    """A canvas, and what has to become of it.

    ``build`` makes it of a :class:`Kit`; ``ends``: how its tasks end, the first of a chain first; ``runs``: the
    application's tasks that run, in their order (``ordered``), each once.
    """

    row: str
    kind: str
    build: Callable[[Kit], Signature]
    ends: tuple[End, ...]
    runs: tuple[str, ...] = ()
    ordered: bool = True
    #: for apply_async
    options: tuple[tuple[str, Any], ...] = ()
    #: what is done about its first task: cancel | revoke (while it waits), replay (when it failed), and deliver (the
    #: platform pushes its lost verdict, while it waits again)
    acts: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.row}, {self.kind}"


@dataclasses.dataclass
class Outcome:
    """The ids of a canvas's tasks and how they ended, in the shape of :attr:`Canvas.ends`; None of
    one that has not. ``token``: the name that its runs are written down under."""

    token: str
    ids: list[Any]
    ends: list[Any]


class Kit:
    """Makes the signatures of one canvas. ``token`` is in each content, and tells runs of it from those of others."""

    def __init__(self, kind: str, token: str) -> None:
        self.kind = kind
        self.token = token
        self._number = 0

    def content(self, directives: str = "pass") -> str:
        """A text, or the URL of a picture, of its own, that says what the stand-in platform is to do about it."""
        self._number += 1
        if self.kind == "text":
            return f"{self.token} {self._number} sandbox:{directives}"
        return f"https://img.example.com/{self.token}/{self._number}.jpg?sandbox={directives}"

    def check(self, directives: str | None = "pass") -> Signature:
        """A check; with None, one whose content comes from the step before."""
        content = () if directives is None else (self.content(directives),)
        return wxcheck.check_text(*content) if self.kind == "text" else wxcheck.check_media(*content)

    def upload(self, directives: str = "pass") -> Signature:
        """A step before a check, which returns its content."""
        return self._task("upload", self.content(directives))

    def publish(self) -> Signature:
        """A step that follows a verdict."""
        return self._task("publish")

    def album(self) -> Signature:
        """A step that follows several."""
        return self._task("album")

    def archive(self) -> Signature:
        """A step that follows any result."""
        return self._task("archive")

    def hide(self) -> Signature:
        """A step that follows a failure, and ..."""
        return self._task("hide")

    def report(self) -> Signature:
        """... what follows it too."""
        return self._task("report")

    def failing(self) -> str:
        """The directive by which a check fails for good after one call: a text by its answer, a picture by its push."""
        return "errcode=40003" if self.kind == "text" else "unfetchable"

    def _task(self, name: str, *args: Any) -> Signature:
        return Signature(f"matrix.{name}", args=args, kwargs={"token": self.token}, options={"queue": "matrix"})


def _canvases() -> list[Canvas]:
    found = []
    for kind in ("text", "media"):
        failure = "CheckRefused" if kind == "text" else "MediaUnavailable"

        def add(row: str, build: Callable[[Kit], Signature], *ends: End, kind: str = kind, **more: Any) -> None:
            found.append(Canvas(row, kind, build, ends, **more))

        add("alone", lambda kit: kit.check("risky"), "risky")
        add(
            "first in a chain",
            lambda kit: chain(kit.check("risky"), kit.publish()),
            *("risky", "published risky"),
            runs=("publish risky",),
        )
        add(
            "in the middle of a chain",
            lambda kit: chain(kit.upload(), kit.check(None), kit.publish()),
            *("uploaded", "pass", "published pass"),
            runs=("upload", "publish pass"),
        )
        add(
            "last in a chain",
            lambda kit: chain(kit.upload("risky"), kit.check(None)),
            *("uploaded", "risky"),
            runs=("upload",),
        )
        add(
            "group",
            lambda kit: group(kit.check(), kit.check("risky"), kit.check()),
            ["pass", "risky", "pass"],
        )
        add(
            "chord",
            lambda kit: chord([kit.check("risky"), kit.check(), kit.check("risky")], kit.album()),
            ["risky", "pass", "risky"],
            "album risky pass risky",
            runs=("album risky pass risky",),
        )
        add(
            "chord of chains",
            lambda kit: chord(
                [chain(kit.upload("risky"), kit.check(None)), chain(kit.check(), kit.publish())], kit.album()
            ),
            ["risky", "published pass"],
            "album risky published pass",
            runs=("album risky published pass", "publish pass", "upload"),
            ordered=False,
        )
        add(
            "chord within a chain",
            lambda kit: chain(kit.upload("risky"), group(kit.check(None), kit.check(None)), kit.album(), kit.archive()),
            "uploaded",
            ["risky", "risky"],
            "album risky risky",
            "archived",
            runs=("upload", "album risky risky", "archive"),
        )
        add(
            "chord with a check that fails",
            lambda kit: chord([kit.check(), kit.check(kit.failing())], kit.album().on_error(kit.hide())),
            ["pass", failure],
            "ChordError",
            runs=("hide",),
        )
        add(
            "links",
            lambda kit: _linked(kit.check(), kit.publish(), kit.archive()),
            "pass",
            runs=("archive", "publish pass"),
            ordered=False,
        )
        add(
            "errbacks",
            lambda kit: _on_error(chain(kit.check(kit.failing()), kit.publish()), kit.hide(), kit.report()),
            *(failure, failure),
            runs=("hide", "report"),
            ordered=False,
        )
        add(
            "a call that is tried again",
            lambda kit: chain(kit.check("errcode=-1*1,risky"), kit.publish()),
            *("risky", "published risky"),
            runs=("publish risky",),
        )
        add(
            "a call that WeChat refuses for its quota",
            lambda kit: chain(kit.check("errcode=44990*1,risky"), kit.publish()),
            *("risky", "published risky"),
            runs=("publish risky",),
        )
        add(
            "countdown",
            lambda kit: chain(kit.check(), kit.publish()),
            *("pass", "published pass"),
            runs=("publish pass",),
            options=(("countdown", 2),),
        )
        add(
            "replay of a dead letter",
            lambda kit: _linked(_on_error(kit.check("errcode=-1*2,risky"), kit.hide()), kit.publish()),
            "risky",
            runs=("hide", "publish risky"),
            acts=("replay",),
        )

    add(
        "replay after a time-out",
        lambda kit: _linked(_on_error(kit.check("lost,risky"), kit.hide()), kit.publish()),
        "risky",
        runs=("hide", "publish risky"),
        acts=("replay", "deliver"),
    )
    add(
        "time-out",
        lambda kit: _on_error(chain(kit.check("lost"), kit.publish()), kit.hide()),
        *("PushTimeout", "PushTimeout"),
        runs=("hide",),
    )
    add(
        "time-out in a chord",
        lambda kit: chord([kit.check(), kit.check("lost")], kit.album().on_error(kit.hide())),
        ["pass", "PushTimeout"],
        "ChordError",
        runs=("hide",),
    )
    for act in ("cancel", "revoke"):
        add(
            act,
            lambda kit: _on_error(chain(kit.check("lost"), kit.publish()), kit.hide()),
            *("CheckCancelled", "CheckCancelled"),
            runs=("hide",),
            acts=(act,),
        )
    add(
        "early push",
        lambda kit: chain(kit.check("risky,early"), kit.publish()),
        *("risky", "published risky"),
        runs=("publish risky",),
    )
    add(
        "repeated push",
        lambda kit: chain(kit.check("risky,repeat=3"), kit.publish()),
        *("risky", "published risky"),
        runs=("publish risky",),
    )
    return found


def _linked(signature: Signature, *links: Signature) -> Signature:
    for link in links:
        signature.link(link)
    return signature


def _on_error(signature: Signature, *errbacks: Signature) -> Signature:
    for errback in errbacks:
        signature.link_error(errback)
    return signature


CANVASES: list[Canvas] = _canvases()


def faults(canvas: Canvas, outcome: Outcome, runs: list[dict[str, Any]]) -> list[str]:
    """The faults of a canvas; ``runs``: those of its own that its application has written down."""
    found = []
    if outcome.ends != list(canvas.ends):
        found.append(f"ended {outcome.ends}, not {list(canvas.ends)}")
    ran = [run["what"] for run in runs]
    if (ran if canvas.ordered else sorted(ran)) != list(canvas.runs):
        found.append(f"ran {ran}, not {list(canvas.runs)}")
    own = _flat(outcome.ids)
    strange = [run for run in runs if run["of"] not in (None, *own)]
    return found + [f"{run['what']} was told of {run['of']}, which is none of {own}" for run in strange]


def _flat(nested: list[Any]) -> list[str]:
    return [each for one in nested for each in (_flat(one) if isinstance(one, list) else [one])]
