"""The platform's reading of the body of a call, and its judgement of a text. Pure.

The body has to be raw UTF-8. WeChat does not unescape ``\\uXXXX``: Chinese that arrives so is answered *pass* without
having been read, here too.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from sandbox.answers import Refused
from sandbox.scenarios import NOTHING, Scenario, of_text, of_url

#: bytes of UTF-8; a longer v1 text is answered 0 unread
V1_TEXT_BYTES = 512_000
#: characters; a longer v2 text is answered 45002
V2_TEXT_CHARACTERS = 2_500
#: WeChat's own test paragraphs, as its documentation prints them in Chinese and in English: 87014 under version 1, pass
#: under version 2
TEST_PARAGRAPHS = (
    "特3456书yuuo莞6543李zxcz蒜7782法fgnv级",
    "完2347全dfji试3726测asad感3847知qwez到",
    "Special 3456 book yuuo guan 6543 li zxcz garlic 7782 fa fgnv grade",
    "Finished 2347 all dfji test 3726 test asad feeling 3847 know qwez to",
)

KINDS = {1: "audio", 2: "image"}

_OPENID = re.compile(r"o[A-Za-z0-9_-]{5,63}")
_ESCAPE = re.compile(r"\\(u[0-9A-Fa-f]{4}|.)", re.DOTALL)

_RISKY = Scenario(suggest="risky")


@dataclass(frozen=True, slots=True)
class Check:
    """One call to either API, as far as the platform has read it."""

    kind: str
    version: int
    #: key by which ``*n`` counts
    key: str
    scenario: Scenario


def read_body(raw: bytes) -> tuple[dict[str, Any], bool]:
    """The JSON object of a call, its ``\\uXXXX`` left as they stand, and whether one of them hides a character
    beyond ASCII, so that what it says was not read.

    Raises:
        Refused: 44002 nothing there, 47001 not UTF-8, not JSON or no object.
    """
    if not raw.strip():
        raise Refused(44002)
    hidden = False

    def keep(escape: re.Match[str]) -> str:
        nonlocal hidden
        if len(escape[1]) == 1:
            return escape[0]
        hidden = hidden or int(escape[1][1:], 16) > 127
        return "\\" + escape[0]

    try:
        text = raw.decode()
        if "\\u" in text:
            text = _ESCAPE.sub(keep, text)
        body = json.loads(text, strict=False)
    except (ValueError, RecursionError):
        raise Refused(47001) from None
    if not isinstance(body, dict):
        raise Refused(47001)
    return body, hidden


def read_text(raw: bytes) -> Check:
    """A call of ``msg_sec_check``.

    Raises:
        Refused: 40003, 40129, 44002, 45002, 47001.
        ScenarioError: a magic value with an unknown directive.
    """
    body, hidden = read_body(raw)
    content = body.get("content")
    if content in (None, ""):
        raise Refused(44002)
    if not isinstance(content, str):
        raise Refused(47001)
    version = _version(body)
    if version == 2:
        if len(content) > V2_TEXT_CHARACTERS:
            raise Refused(45002)
        extra = (body.get(name) for name in ("title", "nickname", "signature"))
        content = "\n".join([content, *(value for value in extra if isinstance(value, str))])
    return Check("text", version, content, NOTHING if hidden else _scenario_of(content, version))


def read_media(raw: bytes) -> Check:
    """A call of ``media_check_async``.

    Raises:
        Refused: 40003, 40004, 40129, 44002, 47001.
        ScenarioError: a magic value with an unknown directive.
    """
    body, _ = read_body(raw)
    url = body.get("media_url")
    if url in (None, ""):
        raise Refused(44002)
    if not isinstance(url, str):
        raise Refused(47001)
    media_type = body.get("media_type")
    kind = KINDS.get(media_type) if isinstance(media_type, int) and not isinstance(media_type, bool) else None
    if kind is None:
        raise Refused(40004)
    scenario = of_url(url)
    if not url.lower().startswith(("http://", "https://")):
        # the call itself is taken: the platform tries the file later
        scenario = Scenario(error=-1008)
    return Check(kind, _version(body), url, scenario)


def _version(body: dict[str, Any]) -> int:
    if body.get("version") not in (2, "2"):
        return 1
    openid, scene = body.get("openid"), body.get("scene")
    if not isinstance(openid, str) or not _OPENID.fullmatch(openid):
        raise Refused(40003)
    if scene not in (1, 2, 3, 4) or isinstance(scene, bool):
        raise Refused(40129)
    return 2


def _scenario_of(content: str, version: int) -> Scenario:
    if version == 1 and len(content.encode()) > V1_TEXT_BYTES:
        return NOTHING
    if version == 1 and any(paragraph in content for paragraph in TEST_PARAGRAPHS):
        return _RISKY
    return of_text(content)
