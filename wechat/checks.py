"""The reader of a check's arguments, which builds the body of the call. Pure: a wrong argument costs no call.

No error quotes content or URLs, since errors reach logs and Flower.
"""

from __future__ import annotations

import inspect
import json
import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from config.lanes import Lane
from wxcheck import InvalidCheck, Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from config.settings import Settings

#: bytes of UTF-8; the platform has answered "ok" to longer texts without reading them
V1_TEXT_BYTES = 500 * 1024
#: characters
V2_TEXT_CHARACTERS = 2500
URL_CHARACTERS = 2048
OPENID_CHARACTERS = 128

TEXT_PATH = "/wxa/msg_sec_check"
MEDIA_PATH = "/wxa/media_check_async"
PATHS: dict[Lane, str] = {"text": TEXT_PATH, "media": MEDIA_PATH}

_MEDIA_TYPES: dict[object, tuple[int, Kind]] = {
    "audio": (1, "audio"),
    1: (1, "audio"),
    "image": (2, "image"),
    2: (2, "image"),
}
#: the body escapes these characters, and WeChat does not unescape: WeChat would judge a text with a literal \\u0000
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")

#: values that look like an appId, a number or one of our words
_PLAIN = re.compile(r"[A-Za-z0-9_-]{1,20}")


@dataclass(frozen=True, repr=False)
class Check:
    """A check with valid arguments: its lane, the path of its call and the body (raw UTF-8)."""

    appid: str
    lane: Lane
    kind: Kind
    version: Literal[1, 2]
    path: str
    body: bytes


def text_check(args: Sequence[Any], kwargs: Mapping[str, Any], settings: Settings) -> Check:
    """Build the check from the arguments of ``wxcheck.check_text``.

    Raises:
        InvalidCheck: an argument is wrong; the message names the argument.
    """

    return _call(_text_parameters, settings, args, kwargs)


def media_check(args: Sequence[Any], kwargs: Mapping[str, Any], settings: Settings) -> Check:
    """Build the check from the arguments of ``wxcheck.check_media``.

    Raises:
        InvalidCheck: an argument is wrong; the message names the argument.
    """
    return _call(_media_parameters, settings, args, kwargs)


def _text_parameters(
    settings: Settings,
    content: object,
    openid: object = None,
    scene: object = None,
    title: object = None,
    nickname: object = None,
    signature: object = None,
    appid: object = None,
) -> Check:
    appid = _appid(appid, settings)
    user = _user(openid, scene)
    extras = {"title": title, "nickname": nickname, "signature": signature}
    fields = {name: _text(name, value) for name, value in extras.items() if value is not None}
    if fields and not user:
        raise InvalidCheck(f"{', '.join(fields)}: only read with openid and scene; give both, or leave it out")
    if "signature" in fields and user["scene"] != 1:
        raise InvalidCheck(f"signature: only read in scene 1 (profile), not in scene {user['scene']}")
    text = _text("content", content)
    if not user and (size := len(text.encode())) > V1_TEXT_BYTES:
        raise InvalidCheck(f"content: {size} bytes, more than the {V1_TEXT_BYTES} that version 1 reads; split it")
    if user and len(text) > V2_TEXT_CHARACTERS:
        raise InvalidCheck(
            f"content: {len(text)} characters, more than the {V2_TEXT_CHARACTERS} that version 2 reads; split it"
        )
    body = {"content": text, **user, **fields}
    return Check(appid, "text", "text", 2 if user else 1, TEXT_PATH, _encode(body))


def _media_parameters(
    settings: Settings,
    media_url: object,
    media_type: object = "image",
    openid: object = None,
    scene: object = None,
    appid: object = None,
) -> Check:
    appid = _appid(appid, settings)
    user = _user(openid, scene)
    known = _MEDIA_TYPES.get(media_type) if isinstance(media_type, (str, int)) else None
    if known is None or isinstance(media_type, bool):
        raise InvalidCheck(f'media_type: {_shown(media_type)} is none of "image" (2) and "audio" (1)')
    number, kind = known
    body = {"media_url": _url(media_url), "media_type": number, **user}
    return Check(appid, "media", kind, 2 if user else 1, MEDIA_PATH, _encode(body))


def _call(
    parameters: Callable[..., Check], settings: Settings, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Check:
    signature = _signature(parameters)
    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError as error:
        raise InvalidCheck(f"arguments: {error}; there are {', '.join(signature.parameters)}") from None
    return parameters(settings, *bound.args, **bound.kwargs)


@cache
def _signature(parameters: Callable[..., Check]) -> inspect.Signature:
    """Return the signature of the task: all ``parameters`` but the settings."""
    _, *of_the_task = inspect.signature(parameters).parameters.values()
    return inspect.Signature(of_the_task)


def _appid(appid: object, settings: Settings) -> str:
    if appid is None:
        if settings.default_appid is None:
            raise InvalidCheck(f"appid: missing, and none is the default; one of {', '.join(settings.programs)}")
        return settings.default_appid
    if not isinstance(appid, str) or appid not in settings.programs:
        raise InvalidCheck(f"appid: {_shown(appid)} is not configured; set WXCHECK_APPID or add it to WXCHECK_APPS")
    return appid


def _user(openid: object, scene: object) -> dict[str, Any]:
    """Return the fields that version 2 adds to a body; none for version 1."""
    if openid is None and scene is None:
        return {}
    if openid is None or scene is None:
        missing = "openid" if openid is None else "scene"
        raise InvalidCheck(f"{missing}: missing; version 2 wants openid and scene together, version 1 neither")
    if not isinstance(openid, str) or not 0 < len(openid) <= OPENID_CHARACTERS or not openid.isprintable():
        raise InvalidCheck(f"openid: not a string of 1 to {OPENID_CHARACTERS} characters")
    if not isinstance(scene, int) or isinstance(scene, bool) or scene not in (1, 2, 3, 4):
        raise InvalidCheck(f"scene: {_shown(scene)} is none of 1 profile, 2 comment, 3 forum, 4 social log")
    return {"version": 2, "openid": openid, "scene": scene}


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise InvalidCheck(f"{name}: a {type(value).__name__}, not a string")
    if not value:
        raise InvalidCheck(f"{name}: empty")
    found = _CONTROL.search(value)
    if found:
        raise InvalidCheck(f"{name}: control character U+{ord(found[0]):04X} at {found.start()}; remove it")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InvalidCheck(f"{name}: lone surrogate at {error.start}, which UTF-8 cannot write; remove it") from None
    return value


def _url(value: object) -> str:
    url = _text("media_url", value)
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname)
        _ = parts.port  # raises ValueError if the port is no number
    except ValueError:
        valid = False
    if not valid or re.search(r"\s", url):
        scheme = re.match(r"[a-zA-Z][a-zA-Z0-9+.-]{0,19}(?=:)", url)
        of = f" ({scheme[0]}:)" if scheme else ""
        raise InvalidCheck(f"media_url: no http(s) URL{of}; WeChat fetches the file itself, from the public internet")
    if len(url) > URL_CHARACTERS:
        raise InvalidCheck(f"media_url: {len(url)} characters, more than {URL_CHARACTERS}")
    return url


def _shown(value: object) -> str:
    """Return a value as an error may show it: in an argument of the wrong place the value could be content."""
    if isinstance(value, int) or (isinstance(value, str) and _PLAIN.fullmatch(value)):
        return repr(value)
    return f"a {type(value).__name__} of {len(value)} characters" if isinstance(value, str) else type(value).__name__


def _encode(body: dict[str, Any]) -> bytes:
    # raw UTF-8: WeChat does not unescape, and passes escaped Chinese without reading the text
    return json.dumps(body, ensure_ascii=False).encode()
