"""A second, lenient reading of a message that strict JSON or XML readers refuse. Pure.

The platform passes on users' writing, and does not always escape it: control characters, half a character, numbers
without end. Such a message is still the platform's; only in a verdict each byte matters. Hence this module looks once
more at what the strict readers refuse, and only for the names and texts right below the root. The reading expands
nothing, keeps nothing nested, and takes time that grows with the length alone.
"""

from __future__ import annotations

import json
import re
from html import unescape

from wechat.push.outcomes import Malformed

#: name and text of each member right below the root, in their order; None for a member that is no text
Fields = list[tuple[str, str | None]]

#: the event that is a verdict
VERDICT = "wxa_media_check"
#: the words ``event`` and ``wxa_media_check``, also with something lost or added around them
_EVENT, _VERDICT = (re.compile(rf"(?<!\w){word}(?!\w)", re.ASCII) for word in ("event", VERDICT))

# possessive throughout: a mismatch is known at once, without trying every other way to read the text
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
    """Return the members right below the root of ``text``, which is JSON or XML in its outline.

    Raises:
        Malformed: ``text`` is neither, not whole, or XML with a DTD.
    """
    if text.startswith("{"):
        return _of_json(text)
    if text.startswith("<"):
        return _of_xml(text)
    raise Malformed("the body is neither a JSON object nor XML" if text else "the body is empty")


def says_no_verdict(found: Fields, text: str) -> bool:
    """True if a message with these fields is surely no verdict.

    False is safe: a damaged verdict is refused, and the platform sends it again.
    """
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
    except ValueError:  # an escape unknown to JSON
        return string


def _of_xml(text: str) -> Fields:
    found: Fields = []
    names: list[str] = []
    #: the texts of the open element right below the root; None if no such element is open, or the element holds others
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
