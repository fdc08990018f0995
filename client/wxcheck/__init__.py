"""Signatures, verdicts and failures for an application whose users' content WeChat checks.

    from wxcheck import check_media

    chain(check_media(url, "image"), publish_photo.s(photo_id)).apply_async(link_error=hide_photo.s(photo_id))

:func:`check_text` and :func:`check_media` make Celery signatures. The workers of wxcheck run them and return a
:class:`Verdict`. A check without a verdict fails with one of::

    CheckError
     ├── InvalidCheck          refused before any call: the arguments are wrong, or the message cannot be read
     ├── StaleCheck            waited in the queue for too long
     ├── CheckRefused          the platform's permanent refusal
     ├── PlatformUnavailable   the platform did not answer properly, and the retries are used up
     ├── MediaUnavailable      the platform could not fetch or judge the file
     ├── PushTimeout           no verdict was pushed in time
     └── CheckCancelled        cancelled while it waited for its verdict

A failure is never a pass. The arguments of each failure are JSON values, in the order of its constructor, so that every
result backend carries them.
"""

from __future__ import annotations

import time
from typing import Any, Literal, TypedDict

from celery.canvas import Signature
from celery.signals import before_task_publish

__all__ = [
    "CHECK_MEDIA",
    "CHECK_TEXT",
    "HIGH_PRIORITY",
    "LOW_PRIORITY",
    "MEDIA_QUEUE",
    "NORMAL_PRIORITY",
    "SENT_AT_HEADER",
    "TEXT_QUEUE",
    "WAITING",
    "CheckCancelled",
    "CheckError",
    "CheckRefused",
    "InvalidCheck",
    "Kind",
    "MediaType",
    "MediaUnavailable",
    "PlatformUnavailable",
    "PushTimeout",
    "Scene",
    "StaleCheck",
    "Suggest",
    "Verdict",
    "check_media",
    "check_text",
]

CHECK_TEXT = "wxcheck.check_text"
CHECK_MEDIA = "wxcheck.check_media"
TEXT_QUEUE = "wxcheck.text"
MEDIA_QUEUE = "wxcheck.media"

#: State of a media check between the platform's answer and its push; meta: ``{"trace_id", "since", "deadline"}``,
#: times in seconds since the epoch.
WAITING = "WAITING"

#: Message header: the time at which the check was sent, in seconds since the epoch. A v2 check that is older than
#: ``MAX_AGE`` fails with :class:`StaleCheck`. Importing this module adds the header to every check; an application that
#: enqueues by name alone may add the header itself.
SENT_AT_HEADER = "wxcheck_sent_at"

#: Priorities of checks on a Redis broker, where 0 is the highest. HIGH: urgent. NORMAL: what the signatures below set.
#: LOW: a backfill, which leaves ``DAY_RESERVE`` of the day's quota to the others.
HIGH_PRIORITY, NORMAL_PRIORITY, LOW_PRIORITY = 0, 3, 9

Kind = Literal["text", "image", "audio"]
Suggest = Literal["pass", "review", "risky"]
MediaType = Literal["image", "audio", 1, 2]
Scene = Literal[1, 2, 3, 4]


class Verdict(TypedDict):
    """The platform's judgement of a text, a picture or a sound. Decide on ``suggest``, never on ``label``."""

    kind: Kind
    suggest: Suggest
    #: 100 normal, 10001 advertisement, 20001 politics, 20002 pornography, 20003 abuse, 20006 crime, 20008 fraud,
    #: 20012 vulgar, 20013 copyright, 21000 other
    label: int
    #: version of the platform's API
    version: Literal[1, 2]
    appid: str
    #: the platform's id of the check; a text checked with version 1 has none
    trace_id: str | None
    #: as received; an entry counts only where its own ``errcode`` is 0
    detail: list[dict[str, Any]]


class CheckError(Exception):
    """The content could not be checked. A failure is no verdict: treat the content as not passed."""


class InvalidCheck(CheckError):
    """The check was refused before any call: an argument is wrong, or the workers cannot read its message.

    ``message`` names the fault and its remedy.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class StaleCheck(CheckError):
    """The check waited longer than ``MAX_AGE`` seconds; WeChat refuses users who were idle for two hours.

    Add workers, or raise ``MAX_AGE`` (0 = no bound), and send the check again when the user is back.
    """

    def __init__(self, age: float, max_age: float) -> None:
        super().__init__(age, max_age)
        self.age = age
        self.max_age = max_age

    def __str__(self) -> str:
        return f"the check waited {self.age:.0f} s, longer than MAX_AGE = {self.max_age:.0f} s"


class CheckRefused(CheckError):
    """The platform refused the check for good; sending it again gives the same answer.

    ``errcode`` and ``errmsg`` are the platform's; ``rid`` is the id under which WeChat keeps the call for 7 days.
    """

    def __init__(self, errcode: int, errmsg: str, rid: str | None = None) -> None:
        super().__init__(errcode, errmsg, rid)
        self.errcode = errcode
        self.errmsg = errmsg
        self.rid = rid

    def __str__(self) -> str:
        rid = f" (rid {self.rid})" if self.rid and self.rid not in self.errmsg else ""
        return f"the platform refused the check: {self.errcode} {self.errmsg}{rid}"


class PlatformUnavailable(CheckError):
    """The platform gave no usable answer, and the retries are used up. Send the check again later.

    ``reason`` is the platform's last ``errcode`` (int) or, in a few words, what happened to the last call (str).
    """

    def __init__(self, reason: int | str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"the platform gave no usable answer, and the retries are used up; the last one: {self.reason}"


class MediaUnavailable(CheckError):
    """The platform could not fetch the file, or could not judge the file.

    Make sure that its URL is public and its format one that WeChat reads: pictures jpg, jpeg, png, bmp, gif; sound mp3,
    aac, ac3, wma, flac, vorbis, opus, wav; up to 10 MB. 43104: the appId has no permission for this API, or the openid
    is not one of its users.
    """

    def __init__(self, errcode: int, errmsg: str) -> None:
        super().__init__(errcode, errmsg)
        self.errcode = errcode
        self.errmsg = errmsg

    def __str__(self) -> str:
        said = f"the platform could not judge the file: {self.errcode} {self.errmsg}"
        if self.errcode == 43104:
            said += " (no permission for this API, or the openid is not one of this appId's users)"
        return said


class PushTimeout(CheckError):
    """No verdict was pushed within ``PUSH_TIMEOUT`` seconds. Check that the message-push URL reaches the endpoint."""

    def __init__(self, trace_id: str) -> None:
        super().__init__(trace_id)
        self.trace_id = trace_id

    def __str__(self) -> str:
        return f"no verdict was pushed in time for trace_id {self.trace_id}"


class CheckCancelled(CheckError):
    """The check was cancelled while it waited for its verdict."""

    def __str__(self) -> str:
        return "the check was cancelled while it waited for its verdict"


def check_text(
    content: str | None = None,
    *,
    openid: str | None = None,
    scene: Scene | None = None,
    title: str | None = None,
    nickname: str | None = None,
    signature: str | None = None,
    appid: str | None = None,
) -> Signature:
    """A signature that checks a text; its result is a :class:`Verdict` of kind ``text``.

    ``content`` may be left out where the step before in a chain returns the text. ``openid`` (of a user who was active
    within the last two hours) and ``scene`` (1 profile, 2 comment, 3 forum, 4 social log) select version 2 of the
    platform's API, up to 2,500 characters; without both the check uses version 1, up to 500 KB. ``title`` and
    ``nickname`` belong to version 2, ``signature`` to its scene 1. ``appid`` names a Mini Program other than the
    default.
    """
    return _signature(
        CHECK_TEXT,
        TEXT_QUEUE,
        content=content,
        openid=openid,
        scene=scene,
        title=title,
        nickname=nickname,
        signature=signature,
        appid=appid,
    )


def check_media(
    media_url: str | None = None,
    media_type: MediaType = "image",
    *,
    openid: str | None = None,
    scene: Scene | None = None,
    appid: str | None = None,
) -> Signature:
    """A signature that checks a picture or a sound; its result is a :class:`Verdict` of kind ``image`` or ``audio``.

    ``media_url`` must be open to the public over http(s), one file of up to 10 MB, and may be left out where the step
    before in a chain returns the URL. ``openid``, ``scene`` and ``appid`` are as for :func:`check_text`.
    """
    return _signature(
        CHECK_MEDIA,
        MEDIA_QUEUE,
        media_url=media_url,
        media_type=media_type,
        openid=openid,
        scene=scene,
        appid=appid,
    )


def _note_sent_at(headers: dict[str, Any] | None = None, **_: Any) -> None:
    if headers is not None:
        headers.setdefault(SENT_AT_HEADER, time.time())


for _name in (CHECK_TEXT, CHECK_MEDIA):
    before_task_publish.connect(_note_sent_at, sender=_name, weak=False)


def _signature(task: str, queue: str, **arguments: Any) -> Signature:
    return Signature(
        task,
        kwargs={name: value for name, value in arguments.items() if value is not None},
        options={
            "queue": queue,
            "priority": NORMAL_PRIORITY,
            # the workers read JSON only, whatever the application's own default is
            "serializer": "json",
            # the users' content stays out of events, logs and Flower
            "argsrepr": "(…)",
            "kwargsrepr": "{…}",
        },
    )
