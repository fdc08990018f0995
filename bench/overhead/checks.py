"""The checks that both sides run, as messages on their queues."""

from __future__ import annotations

from celery import Celery, chain

from bench.overhead import names
from bench.overhead.clones import Template, template
from bench.servers import APPID
from wxcheck import check_media, check_text

_HIDDEN = {"argsrepr": "(…)", "kwargsrepr": "{…}"}
_PICTURE = {"media_url": names.MEDIA_URL, "media_type": 2}


def text(url: str, **options: int) -> Template:
    """wxcheck's check of a text, alone, its result kept; ``url``: of the Redis. ``options``: of its publication."""
    check = check_text(names.CONTENT, appid=APPID)
    return template(url, lambda app: app.send_task(check.task, kwargs=check.kwargs, **{**check.options, **options}))


def bare_text(url: str) -> Template:
    """The peer's."""
    kwargs = {"content": names.CONTENT}
    return template(url, lambda app: app.send_task(names.CHECK_TEXT, kwargs=kwargs, queue=names.TEXT_QUEUE, **_HIDDEN))


def media(url: str, *, errback: bool = False) -> Template:
    """An application's chain: a check of a picture, and what follows its verdict, or its failure."""

    def send(app: Celery) -> None:
        check = check_media(names.MEDIA_URL, "image")
        # a signature itself would be of the current app
        check = app.signature(check.task, kwargs=check.kwargs, **check.options)
        failed = app.signature(names.ERRBACK, queue=names.ERRBACK_QUEUE)
        follow_up = app.signature(names.FOLLOW_UP, queue=names.FOLLOW_QUEUE)
        chain(check, follow_up).apply_async(link_error=failed if errback else None)

    return template(url, send)


def media_alone(url: str) -> Template:
    """A check of a picture that nothing follows."""

    def send(app: Celery) -> None:
        check = check_media(names.MEDIA_URL, "image")
        app.signature(check.task, kwargs=check.kwargs, **check.options).apply_async()

    return template(url, send)


def bare_media(url: str) -> Template:
    """The peer's: what follows is built later, from the push."""
    return template(
        url, lambda app: app.send_task(names.CHECK_MEDIA, kwargs=_PICTURE, queue=names.MEDIA_QUEUE, **_HIDDEN)
    )


def plain_chain(url: str) -> Template:
    """The peer's chain of three tasks, without a push."""

    def send(app: Celery) -> None:
        chain(
            app.signature(names.CHECK_MEDIA, kwargs=_PICTURE, queue=names.MEDIA_QUEUE, **_HIDDEN),
            app.signature(names.FINISH_AT_ONCE, queue=names.PUSH_QUEUE, **_HIDDEN),
            app.signature(names.FOLLOW_UP, queue=names.FOLLOW_QUEUE, **_HIDDEN),
        ).apply_async()

    return template(url, send)
