"""Which message this is, where it cannot be read as JSON or XML has to be. Pure.

The platform passes on what users write, and does not always escape it: control characters, half a character, numbers
without end. Whatever such a message holds, it is the platform's; only of a verdict each byte matters. So what the
strict readers refuse is looked at once more, for no more than the names and texts right below its root. Nothing is
expanded, nothing nested is kept, and the time it takes grows with the length alone.
"""

from __future__ import annotations

import json
import re
from html import unescape

from wechat.push.outcomes import Malformed

#: name and text of each member right below the root, in their order; None where that is no text
Fields = list[tuple[str, str | None]]

#: the event that is a verdict
VERDICT = "wxa_media_check"
#: the same, and the kind of message that events are, also where something was lost or added around them
_EVENT, _VERDICT = (re.compile(rf"(?<!\w){word}(?!\w)", re.ASCII) for word in ("event", VERDICT))

# possessive throughout: what does not match is known at once, not after every other way to read it
_STRING = r'"([^"\\]*+(?:\\.[^"\\]*+)*+)"'
_JSON = re.compile(rf'{_STRING}(\s*+:)?|([{{\[]++)|([}}\]]++)|[^"{{}}\[\]]++', re.DOTALL)
_XML = re.compile(
    r"<!\[CDATA\[(?P<cdata>.*?)\]\]>"
    r"|<!--.*?-->"
    r"|<\?.*?\?>"
    r"|</(?P<end>[^\s<>/]++)\s*+>"
    r"""|<(?P<start>[^\s<>/!?"']++)(?:[^<>"']++|"[^"]*+"|'[^']*+')*+>"""
    r"|(?P<text>[^<]++)",
    re.DOTALL,
)


def fields(text: str) -> Fields:
    """What stands right below the root of ``text``, which is JSON or XML in its outline.

    Raises:
        Malformed: it is neither, not whole, or XML with a DTD.
    """
    if text.startswith("{"):
        return _of_json(text)
    if text.startswith("<"):
        return _of_xml(text)
    raise Malformed("the body is neither a JSON object nor XML" if text else "the body is empty")


def says_no_verdict(found: Fields, text: str) -> bool:
    """Whether a message of these fields is surely no verdict: one that was damaged on its way is to come again."""
    kinds = [value or "" for name, value in found if name == "MsgType"]
    events = [value or "" for name, value in found if name == "Event"]
    if kinds and not any(_EVENT.search(kind) for kind in kinds):
        return True
    if kinds and events:
        return not any(_VERDICT.search(event) for event in events)
    return VERDICT not in text


def _of_json(text: str) -> Fields:
    found: Fields = []
    depth = place = 0
    while place < len(text):
        token = _JSON.match(text, place)
        if token is None:
            raise Malformed("the JSON is not whole")
        string, colon, opened, closed = token.groups()
        if opened is not None:
            depth += len(opened)
        elif closed is not None:
            depth -= len(closed)
        elif string is not None and depth == 1:
            if colon is not None:
                found.append((_unescaped(string), None))
            elif found and found[-1][1] is None:
                found[-1] = found[-1][0], _unescaped(string)
        place = token.end()
        if depth <= 0:
            break
    if depth or text[place:].strip():
        raise Malformed("the JSON is not whole")
    return found


def _unescaped(string: str) -> str:
    try:
        return str(json.loads(f'"{string}"', strict=False))
    except ValueError:  # an escape that JSON does not know
        return string


def _of_xml(text: str) -> Fields:
    found: Fields = []
    names: list[str] = []
    #: the texts of the element that is right below the root; None where it holds others, or none is open
    said: list[str] | None = None
    place = 0
    closed = False
    while not closed:
        token = _XML.match(text, place)
        if token is None:
            raise Malformed("the XML is not whole, or has a DTD")
        place = token.end()
        start, end = token["start"], token["end"]
        if start is not None:
            empty = token.group().endswith("/>")
            if len(names) == 1:
                found.append((start, ""))
            said = [] if len(names) == 1 and not empty else None
            if not empty:
                names.append(start)
            closed = not names
        elif end is not None:
            if not names or names.pop() != end:
                raise Malformed("the XML is not whole")
            if said is not None:
                found[-1] = found[-1][0], "".join(said)
            said = None
            closed = not names
        elif said is not None:
            said.append(token["cdata"] or unescape(token["text"] or ""))
    if text[place:].strip():
        raise Malformed("the XML is not whole")
    return found
