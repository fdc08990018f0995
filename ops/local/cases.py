"""The cases of the demo: checks to send, and their right outcomes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from celery.canvas import Signature, chain, chord, group
from celery.result import AsyncResult

from ops.local.demo_app import HIDE_PHOTO, PUBLISH_ALBUM, PUBLISH_PHOTO, PUBLISH_POST, QUEUE
from wxcheck import check_media, check_text

#: a user who was just active, as the sandbox believes of every well-formed openid
OPENID = "oDemoUser0000000000000000000"
#: WeChat's own test paragraph, as its documentation prints it in Chinese and in English: risky under version 1
RISKY_PARAGRAPH = "特3456书yuuo莞6543李zxcz蒜7782法fgnv级"
RISKY_PARAGRAPH_IN_ENGLISH = "Special 3456 book yuuo guan 6543 li zxcz garlic 7782 fa fgnv grade"


@dataclass(frozen=True)
class Case:
    """Checks, the follow-up that hangs on them, and how both have to end."""

    #: a few words for the table
    title: str
    #: the checks: one in a chain, several in the header of a chord
    checks: list[Signature]
    #: right end of each check: fields of its verdict, or the name of its failure's class
    expected: list[dict[str, Any] | str]
    #: the follow-up of the chain, the body of the chord
    follow_up: str
    #: the task that has to run once: the follow-up or the errback
    runs: str
    #: right result of that task
    outcome: dict[str, Any]
    #: deliveries of each media check's verdict
    pushes: int = 1

    def send(self, subject: str) -> list[AsyncResult]:
        """Enqueue the case. Return the results of its checks, in order. ``subject``: id of the post, photo or album."""
        follow_up = _signature(self.follow_up, subject)
        if len(self.checks) > 1:
            return list(chord(group(self.checks), follow_up).apply_async().parent.results)
        errback = _signature(HIDE_PHOTO, subject) if self.follow_up == PUBLISH_PHOTO else None
        return [chain(self.checks[0], follow_up).apply_async(link_error=errback).parent]


def cases() -> list[Case]:
    """Return every case of the demo, with new signatures: a signature carries its time."""
    return [
        _text("an innocent text, version 1", "pass", 1, content="今天天气真好"),
        _text("an innocent text, version 2", "pass", 2, content="今天天气真好", openid=OPENID, scene=2),
        _text("WeChat's own risky paragraph, version 1", "risky", 1, content=RISKY_PARAGRAPH),
        _text("the same in English, version 1", "risky", 1, content=RISKY_PARAGRAPH_IN_ENGLISH),
        _text("a risky text, version 2", "risky", 2, content="sandbox:risky", openid=OPENID, scene=3),
        _photo("a picture", "pass", "holiday.jpg"),
        _photo("a picture, version 1", "pass", "old.jpg", version=1),
        _photo("a risky picture", "risky", "casino.jpg?sandbox=risky"),
        _photo("a picture to be looked at", "review", "beach.png?sandbox=review"),
        _photo("an audio clip", "pass", "hello.mp3", media_type="audio"),
        _failing("a picture that cannot be fetched", "MediaUnavailable", _url("gone.jpg?sandbox=unfetchable")),
        _album(
            "an album of three pictures: a chord",
            [("one.jpg", "pass"), ("two.jpg?sandbox=risky", "risky"), ("three.jpg", "pass")],
        ),
        _photo("a picture whose verdict is pushed three times", "pass", "again.jpg?sandbox=repeat=3", pushes=3),
        _photo("a picture whose verdict overtakes the answer", "risky", "fast.jpg?sandbox=risky,early"),
        _failing("a picture that is no URL: refused here, no call", "InvalidCheck", "cloud://photos/1.jpg"),
    ]


def _url(name: str) -> str:
    return f"https://img.example.com/{name}"


def _signature(task: str, subject: str) -> Signature:
    """Return a signature by name: another program has the task."""
    return Signature(task, args=(subject,), options={"queue": QUEUE})


def _text(title: str, suggest: str, version: int, **arguments: Any) -> Case:
    expected = {"kind": "text", "suggest": suggest, "version": version}
    return Case(title, [check_text(**arguments)], [expected], PUBLISH_POST, PUBLISH_POST, {"shown": suggest == "pass"})


def _photo(
    title: str, suggest: str, name: str, *, version: int = 2, media_type: Any = "image", pushes: int = 1
) -> Case:
    user: dict[str, Any] = {"openid": OPENID, "scene": 1} if version == 2 else {}
    check = check_media(_url(name), media_type, **user)
    expected = {"kind": media_type, "suggest": suggest, "version": version}
    return Case(title, [check], [expected], PUBLISH_PHOTO, PUBLISH_PHOTO, {"shown": suggest == "pass"}, pushes)


def _failing(title: str, failure: str, url: str) -> Case:
    check = check_media(url, "image", openid=OPENID, scene=1)
    return Case(title, [check], [failure], PUBLISH_PHOTO, HIDE_PHOTO, {"shown": False, "failure": failure})


def _album(title: str, photos: list[tuple[str, str]]) -> Case:
    checks = [check_media(_url(name), "image", openid=OPENID, scene=1) for name, _ in photos]
    expected: list[dict[str, Any] | str] = [
        {"kind": "image", "suggest": suggest, "version": 2} for _, suggest in photos
    ]
    shown = [suggest == "pass" for _, suggest in photos]
    return Case(title, checks, expected, PUBLISH_ALBUM, PUBLISH_ALBUM, {"shown": shown})
