"""Waits for checks as an application does, with ``get()``, and catches failures by their class.

``python -m tests.matrix.wait``; :mod:`tests.matrix.canvases` says what it needs. Prints what it saw as JSON.
"""

from __future__ import annotations

import json
import uuid
from typing import Any

import celery
import kombu
import redis
from celery import chain, chord, group

import wxcheck
from tests.matrix.application import app, publish
from tests.matrix.canvases import Kit

#: seconds; generous, for a deadline that passes only when something is wrong
PATIENCE = 60


def suggested(verdicts: list[Any]) -> list[str]:
    return [verdict["suggest"] for verdict in verdicts]


def failure(signature: Any) -> list[Any]:
    """The class of a failure and what it holds."""
    try:
        signature.apply_async().get(timeout=PATIENCE)
    except wxcheck.CheckError as error:
        return [type(error).__name__, *error.args]
    return ["none"]


def main() -> None:
    text, media = (Kit(kind, uuid.uuid4().hex) for kind in ("text", "media"))
    app.set_default()
    told = app.send_task(wxcheck.CHECK_TEXT, kwargs={"content": text.content("risky")}, queue=wxcheck.TEXT_QUEUE)
    # what a header holds beside checks ends in the application's own worker, with its Celery
    own = publish.s({"suggest": "pass"}, token=text.token).set(queue="matrix")
    seen = {
        "versions": [celery.__version__, kombu.__version__, redis.__version__],
        "by name": told.get(timeout=PATIENCE)["suggest"],
        "text": text.check("risky").apply_async().get(timeout=PATIENCE)["suggest"],
        "picture": media.check("risky").apply_async().get(timeout=PATIENCE)["suggest"],
        "group": suggested(group(media.check(), text.check("risky")).apply_async().get(timeout=PATIENCE)),
        "chain": chain(media.check(), media.publish()).apply_async().get(timeout=PATIENCE),
        "chord": chord([media.check("risky"), own, text.check()], media.album()).apply_async().get(timeout=PATIENCE),
        "urgent": text.check().apply_async(priority=wxcheck.HIGH_PRIORITY).get(timeout=PATIENCE)["suggest"],
        "invalid": failure(wxcheck.check_media("cloud://a.jpg"))[0],
        "unavailable": failure(media.check("unfetchable"))[:2],
    }
    app.conf.task_protocol = 1
    vars(app).pop("amqp", None)  # it has read the setting
    seen["protocol 1"] = chain(text.check("risky"), text.publish()).apply_async().get(timeout=PATIENCE)
    print(json.dumps(seen))


if __name__ == "__main__":
    main()
