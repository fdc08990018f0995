"""The platform's messages: from the bytes of a body to a dict, and from the dict to the verdict for the queue. Pure.

The first byte tells JSON from XML; ``Content-Type`` is not reliable. Only verdicts are read strictly: of any other
message nothing is used, so its content does not matter (:mod:`wechat.push.lenient`). Source: "wxa_media_check" in
WeChat's documentation of mediaCheckAsync, versions 1 and 2.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from config.names import MAX_ERRMSG
from wechat.push import lenient
from wechat.push.outcomes import Malformed, NoTraceId

Message = dict[str, Any]

#: levels of lists and objects; the platform's messages have three
MAX_DEPTH = 32
#: characters; the platform's are 26 and 32
MAX_TRACE_ID = 128

#: fields that tell a verdict from other messages
_KIND = ("MsgType", "Event")
#: values of ``suggest`` in a result or a detail, the mildest first
_STRICTNESS = ("pass", "review", "risky")
_BLANKS = " \t\r\n"
#: elements of an XML message that this module reads, so a second one is an error
_READ_ONCE = {"Encrypt", "MsgType", "Event", "appid", "trace_id", "version"}
_READ_ONCE |= {"errcode", "errmsg", "result", "isrisky", "status_code"}
#: a decimal number that fits into 64 bits
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}", re.ASCII)


def parse(body: bytes) -> Message:
    """Return the message in ``body``, as it came: JSON values, or the strings of an XML message's elements.

    In XML, ``detail`` is a list of dicts, one for each element of that name, and ``result`` a dict.

    Raises:
        Malformed: ``body`` is neither a JSON object nor an XML document, or one that no platform sends.
    """
    return _parsed(_text_of(body))


def outline(body: bytes) -> Message:
    """Return the result of :func:`parse`, or the ``Encrypt`` or the kind of a body that :func:`parse` refuses.

    The kind is ``MsgType`` and ``Event`` of a message that is surely no verdict.

    Raises:
        Malformed: the body is none of these.
    """
    try:
        return parse(body)
    except Malformed as refusal:
        found = lenient.fields(_lenient_text_of(body))
        encrypted = {value for name, value in found if name == "Encrypt"}
        if not encrypted:
            return _other(body, refusal)
        if len(encrypted) > 1:
            raise
        return {"Encrypt": encrypted.pop()}


def read(body: bytes) -> Message:
    """Return the message in ``body``, :func:`cleaned`; of an unreadable message that is no verdict, MsgType and Event.

    Raises:
        Malformed: ``body`` is no message, or an unreadable one that is or may have been a verdict.
    """
    try:
        text = _text_of(body)
        message = _parsed(text)
    except Malformed as refusal:
        return _other(body, refusal)
    return message if _is_clean(text) else cleaned_or_other(message)


def cleaned_or_other(message: Message) -> Message:
    """Return ``message``, :func:`cleaned`; if that fails and it is no verdict, its ``MsgType`` and ``Event``.

    Raises:
        Malformed: ``message`` is a verdict, and cannot be cleaned.
    """
    try:
        return cleaned(message)
    except Malformed:
        if is_verdict(message):
            raise
        return {name: _text(value) for name in _KIND if isinstance(value := message.get(name), str)}


def cleaned(message: Message) -> Message:
    """Return a copy of ``message`` that every JSON writer and reader on the way to the worker takes.

    Half a surrogate pair, which UTF-8 cannot hold, becomes "?".

    Raises:
        Malformed: ``message`` is nested too deeply, or kombu would read one of its keys as an instruction.
    """
    return {_key(name): _cleaned(value, 1) for name, value in message.items()}


def normalised_push(message: Message) -> Message | None:
    """Return a ``wxa_media_check`` in its form for the queue; None for every other message.

    Version 2::

        {"trace_id": str, "version": 2, "errcode": int | None, "errmsg": str,
         "result": {"suggest": str, "label": int | None} | None, "detail": [dict, …]}

    Version 1::

        {"trace_id": str, "version": 1, "isrisky": int | None, "status_code": int | None, "errmsg": str,
         "detail": [dict, …]}

    A missing or unreadable value is None, and None is never a pass. ``detail`` is as received. ``status_code`` and
    ``errcode`` are signed; the platform also writes -1008 as the unsigned 4294966288. A missing ``errcode`` is 0 if
    result and details agree. ``errmsg`` is cut after ``MAX_ERRMSG`` characters.

    Raises:
        NoTraceId: the push names no check that it could belong to.
    """
    if not is_verdict(message):
        return None
    push: Message = {"trace_id": _trace_id(message.get("trace_id")), "version": _version(message)}
    detail = _detail(message.get("detail"))
    if push["version"] == 2:
        result = _result(message.get("result"))
        errcode = _signed(message["errcode"]) if "errcode" in message else _implied_errcode(result, detail)
        push |= {"errcode": errcode, "result": result}
    else:
        push |= {
            "isrisky": _integer(message.get("isrisky")),
            "status_code": _signed(message.get("status_code")),
        }
    errmsg = message.get("errmsg")
    return push | {"errmsg": errmsg[:MAX_ERRMSG] if isinstance(errmsg, str) else "", "detail": detail}


def is_verdict(message: Message) -> bool:
    """True if ``message`` is a ``wxa_media_check``."""
    return _word(message.get("MsgType")) == "event" and _word(message.get("Event")) == lenient.VERDICT


def _text_of(body: bytes) -> str:
    try:
        return body.decode("utf-8-sig").lstrip(_BLANKS)
    except UnicodeDecodeError:
        raise Malformed("the body is no UTF-8") from None


def _lenient_text_of(body: bytes) -> str:
    return body.decode("utf-8-sig", "replace").lstrip(_BLANKS)


def _other(body: bytes, refusal: Malformed) -> Message:
    """Return MsgType and Event of a message that is surely no verdict; else raise ``refusal``."""
    text = _lenient_text_of(body)
    try:
        found = lenient.fields(text)
    except Malformed:
        raise refusal from None
    if not lenient.says_no_verdict(found, text):
        raise refusal
    return {name: _text(value) for name, value in found if name in _KIND and value is not None}


def _parsed(text: str) -> Message:
    if text.startswith("{"):
        return _from_json(text)
    if text.startswith("<"):
        return _from_xml(text)
    raise Malformed("the body is neither a JSON object nor XML" if text else "the body is empty")


def _is_clean(text: str) -> bool:
    """True if the text of a message shows that nothing needs cleaning, as in the platform's own messages.

    Half a surrogate pair comes only from an escape, and so does a disguised ``__type__``.
    """
    return (
        "\\u" not in text and "__type__" not in text and text.count("{") + text.count("[") + text.count("<") < MAX_DEPTH
    )


def _from_json(text: str) -> Message:
    try:
        message = _DECODER.decode(text)
    except ValueError:  # the decoder's own message quotes the text
        raise Malformed("the body is no valid JSON") from None
    except RecursionError:
        raise Malformed(f"the JSON is nested deeper than {MAX_DEPTH} levels") from None
    if not isinstance(message, dict):
        raise Malformed("the JSON is no object")
    return message


def _object(pairs: list[tuple[str, Any]]) -> Message:
    members = dict(pairs)
    if len(members) != len(pairs):
        # readers differ in which of the two they take, so a sender could show one of them another verdict
        raise Malformed("a name occurs twice in a JSON object")
    return members


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise Malformed("a number in the JSON is too large")
    return number


def _bounded(digits: str) -> int:
    if len(digits) > 20:
        raise Malformed("a number in the JSON is too large")
    return int(digits)


def _constant(name: str) -> float:
    raise Malformed(f"the JSON holds {name}, which is no JSON")


#: shared by all messages: json.loads would make a decoder for each
_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_float=_finite, parse_constant=_constant, parse_int=_bounded
)


def _from_xml(text: str) -> Message:
    try:
        root: Element = fromstring(text, forbid_dtd=True, forbid_entities=True, forbid_external=True)
    except (ParseError, DefusedXmlException):
        raise Malformed("the body is no valid XML, or has a DTD") from None
    message: Message = {}
    detail: list[dict[str, str]] = []
    for element in root:
        name = element.tag
        if name == "detail":
            if len(element):
                detail.append(_children(element))
        elif name in message:
            if name in _READ_ONCE:
                raise Malformed(f"the XML has {name} twice")
        elif name == "result":
            message[name] = _children(element)
        else:
            message[name] = element.text or ""
    if root.find("detail") is not None:
        message["detail"] = detail
    return message


def _children(element: Element) -> dict[str, str]:
    children = {child.tag: child.text or "" for child in element}
    if len(children) != len(element):
        raise Malformed(f"an element within {element.tag} occurs twice")
    return children


def _key(name: str) -> str:
    if name == "__type__":
        raise Malformed("the key __type__ is no name of the platform's")  # kombu would build an object from it
    return _text(name)


def _cleaned(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return _text(value)
    if not isinstance(value, dict | list):
        return value
    if depth == MAX_DEPTH:
        raise Malformed(f"the JSON is nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, dict):
        return {_key(name): _cleaned(member, depth + 1) for name, member in value.items()}
    return [_cleaned(item, depth + 1) for item in value]


def _text(value: str) -> str:
    return value.encode("utf-8", "replace").decode()


def _word(value: object) -> object:
    """Return ``value`` without the blanks around it, which laid-out XML has."""
    return value.strip() if isinstance(value, str) else value


def _trace_id(value: object) -> str:
    value = _word(value)
    if not isinstance(value, str) or not value:
        raise NoTraceId("the verdict has no trace_id")
    if len(value) > MAX_TRACE_ID:
        raise NoTraceId(f"the trace_id has {len(value)} characters, more than {MAX_TRACE_ID}")
    if not value.isprintable():
        raise NoTraceId("the trace_id has characters that cannot be printed")
    return value


def _version(message: Message) -> int:
    if _integer(message.get("version")) == 2:
        return 2
    return 2 if "isrisky" not in message and ("result" in message or "errcode" in message) else 1


def _integer(value: object) -> int | None:
    """Return ``value`` as a number, else None; numbers are strings in XML, and at times in JSON."""
    if isinstance(value, str) and _INTEGER.fullmatch(value.strip()):
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _signed(value: object) -> int | None:
    number = _integer(value)
    return number - 2**32 if number is not None and 2**31 <= number < 2**32 else number


def _result(value: object) -> Message | None:
    if not isinstance(value, dict):
        return None
    suggest = _word(value.get("suggest"))
    if not isinstance(suggest, str) or not suggest:
        return None
    return {"suggest": suggest, "label": _integer(value.get("label"))}


def _implied_errcode(result: Message | None, detail: list[Message]) -> int | None:
    """Return the errcode of a push without one: 0 if the result is what the details come to, else None.

    A detail counts if its errcode is 0 or missing; a detail without ``suggest`` says nothing. The result must be the
    strictest ``suggest`` of the details that count. If no detail says anything, nothing confirms the result.
    """
    if result is None or result["suggest"] not in _STRICTNESS:
        return None
    said = [
        _word(entry["suggest"])
        for entry in detail
        if _integer(entry.get("errcode", 0)) == 0 and entry.get("suggest") not in (None, "")
    ]
    if not said or any(not isinstance(suggest, str) or suggest not in _STRICTNESS for suggest in said):
        return None
    strictest = max(map(_STRICTNESS.index, said))
    return 0 if _STRICTNESS[strictest] == result["suggest"] else None


def _detail(value: object) -> list[Message]:
    entries = value if isinstance(value, list) else [value]
    return [entry for entry in entries if isinstance(entry, dict)]
