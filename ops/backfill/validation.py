"""The validation of a line: a check, or all faults of the line. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from config.lanes import QUEUE_OF
from ops.backfill.faults import Fault
from ops.media_names import media_type_of
from wechat.checks import media_check, text_check
from wxcheck import CHECK_MEDIA, CHECK_TEXT, InvalidCheck

if TYPE_CHECKING:
    from config.lanes import Lane
    from config.settings import Settings
    from ops.backfill.reading import Line

ID_CHARACTERS = 200

_OF_TEXT = ("title", "nickname", "signature")
#: stand-in for a wrong value while the others are validated
_RIGHT: dict[str, Any] = {
    "content": "x",
    "media_url": "https://example.com/x",
    "media_type": "image",
    "openid": "x",
    "scene": 2,
}


class LineCheck(NamedTuple):
    """The check of a line without faults."""

    line: int
    #: ``id`` of its row
    id: str
    lane: Lane
    kind: Literal["text", "image", "audio"]
    kwargs: dict[str, Any]
    #: bytes of its call's body
    size: int

    @property
    def task(self) -> str:
        return CHECK_TEXT if self.lane == "text" else CHECK_MEDIA

    @property
    def queue(self) -> str:
        return QUEUE_OF[self.lane]


def check_of(line: Line, appid: str, settings: Settings) -> LineCheck | list[Fault]:
    """Return the check of a line, or its faults."""
    values = dict(line.values)
    faults = [*line.faults]
    if not values and faults:
        return faults
    known = values.pop("id", None)
    shown = _id(known, line.number)
    if shown is None:
        said = f"not a number or one line of 1 to {ID_CHARACTERS} characters; mend it, or leave it out"
        faults.append(Fault(line.number, "id", said))
    _read_numbers(values)
    unreadable = {fault.field for fault in line.faults}
    has_text = "content" in values or "content" in unreadable
    has_media = "media_url" in values or "media_url" in unreadable
    if has_text == has_media:
        said = "both; put them on lines of their own" if has_text else "both are empty; give one"
        faults.append(Fault(line.number, "content, media_url", said))
        return faults
    is_text = has_text
    useless = ("media_type",) if is_text else _OF_TEXT
    for field in useless:
        if values.pop(field, None) is not None:
            said = f"not read of a {'text' if is_text else 'file'}; leave it out"
            faults.append(Fault(line.number, field, said))
    if not is_text and "media_type" not in values and "media_type" not in unreadable:
        values["media_type"] = _kind_of(values.get("media_url"))
    make = text_check if is_text else media_check
    while True:
        try:
            check = make((), {**values, "appid": appid}, settings)
            break
        except InvalidCheck as invalid:
            names, _, said = invalid.message.partition(": ")
            if names == "arguments":  # a value that cannot be read is a fault already
                return faults
            fields = names.split(", ")
            if not unreadable.intersection(fields):
                faults.append(Fault(line.number, names, said))
            _mend(values, fields)
    if faults or shown is None:
        return faults
    return LineCheck(line.number, shown, check.lane, check.kind, {**values, "appid": appid}, len(check.body))


def _read_numbers(values: dict[str, Any]) -> None:
    """Make numbers of digits: a CSV file has no numbers, and a JSON file may have them as text."""
    for field in ("scene", "media_type"):
        value = values.get(field)
        if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}", value.strip(), re.ASCII):
            values[field] = int(value)


def _kind_of(url: object) -> str:
    return media_type_of(url) if isinstance(url, str) else "image"


def _mend(values: dict[str, Any], fields: list[str]) -> None:
    """Take wrong values out of the way, so that the next fault is found."""
    for field in fields:
        if field in _RIGHT:
            values[field] = _RIGHT[field]
        else:
            values.pop(field, None)


def _id(value: object, number: int) -> str | None:
    """Return the ``id`` of a line's row; None if ``value`` cannot be one."""
    if value is None:
        return str(number)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not 0 < len(value) <= ID_CHARACTERS or not value.isprintable():
        return None
    return value
