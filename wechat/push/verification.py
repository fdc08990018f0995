"""The proof that a request to the push URL is the platform's, and the message in it. Pure.

Source: "Message push" in WeChat's documentation for developers. Plain mode signs token, timestamp and nonce; secure
mode signs the encrypted body too; compatible mode is secure mode with the plain fields, which prove nothing, beside.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Sequence
from urllib.parse import parse_qsl

from config.settings import MiniProgram
from wechat.push import envelope
from wechat.push.messages import Message, cleaned_or_other, is_verdict, outline, read
from wechat.push.outcomes import BadSignature, Malformed, PlainRefused, StaleTimestamp, Undecryptable, WrongAppid

#: the query, decoded, in its order; a name may occur more than once
Params = Sequence[tuple[str, str]]

#: seconds between a request's timestamp and now, either way; for so long a stranger could repeat a request
MAX_SKEW = 600
#: most bytes of a body
MAX_BODY = 1 << 20
#: most bytes of a body that is read before anything is verified; the platform's are a few thousand
MAX_UNSIGNED = 16_384

_SECONDS = re.compile(r"[0-9]{1,12}", re.ASCII)


def read_query(raw: bytes) -> Params:
    """Return the query of an ASGI scope, decoded."""
    text = raw.decode("latin-1")
    if "%" in text or "+" in text:
        return parse_qsl(text, keep_blank_values=True)
    # the platform's own query escapes nothing
    pairs = (part.partition("=") for part in text.split("&") if part)
    return [(name, value) for name, _, value in pairs]


def check_url(program: MiniProgram, params: Params, now: float) -> str:
    """Return the ``echostr`` that answers the platform's check of the push URL, the same in every mode.

    Raises:
        BadSignature: the request is not the platform's.
        StaleTimestamp: its timestamp is too far from ``now`` (seconds since the epoch).
    """
    timestamp, nonce = _one(params, "timestamp"), _one(params, "nonce")
    _check_signature(program, _one(params, "signature"), timestamp, nonce)
    _check_age(timestamp, now)
    return _one(params, "echostr")


def check_query(program: MiniProgram, params: Params, now: float) -> int:
    """Return how many bytes of a push are worth reading, by the proof in its query: strangers get no megabyte.

    Raises:
        BadSignature: the request is not the platform's.
        StaleTimestamp: its timestamp is too far from ``now`` (seconds since the epoch).
    """
    timestamp, nonce = _one(params, "timestamp"), _one(params, "nonce")
    given = {name for name, _ in params}
    # Secure mode has this signature too, which proves nothing about the body but keeps strangers from the parser
    signed = "signature" in given or "msg_signature" not in given
    if signed:
        _check_signature(program, _one(params, "signature"), timestamp, nonce)
    _check_age(timestamp, now)
    return MAX_BODY if signed else MAX_UNSIGNED


def open_push(program: MiniProgram, params: Params, body: bytes, now: float) -> Message:
    """Return the message that the platform pushed to ``program``; of an encrypted push, only the decrypted part.

    Raises:
        BadSignature: the request is not the platform's.
        StaleTimestamp: its timestamp is too far from ``now`` (seconds since the epoch).
        PlainRefused: the push is not encrypted, although this Mini Program has a key.
        WrongAppid: the push is for another Mini Program, or a verdict for one.
        Undecryptable: no key opens the push.
        Malformed: the push is neither JSON nor XML; or what is, or may have been, a verdict cannot be read.
    """
    if len(body) > check_query(program, params, now):
        raise BadSignature(f"the query has no signature, and the body more than {MAX_UNSIGNED} bytes")
    return open_body(program, params, body)


def open_body(program: MiniProgram, params: Params, body: bytes) -> Message:
    """Return the message as :func:`open_push` does, from a body read within the bound of :func:`check_query`.

    Raises:
        BadSignature, PlainRefused, WrongAppid, Undecryptable, Malformed: as in :func:`open_push`.
    """
    timestamp, nonce = _one(params, "timestamp"), _one(params, "nonce")
    outer = outline(body)
    if "Encrypt" in outer:
        encrypted = outer["Encrypt"]
        if not isinstance(encrypted, str):
            raise Malformed("Encrypt is no string")
        encrypted = encrypted.strip()
        _check_signature(program, _one(params, "msg_signature"), timestamp, nonce, encrypted)
        message = read(_decrypted(program, encrypted))
    else:
        # With a msg_signature alone nothing has been checked so far: a stranger may have taken Encrypt away
        _check_signature(program, _one(params, "signature"), timestamp, nonce)
        if program.push_aes_key is not None and not program.push_plain_allowed:
            raise PlainRefused("the push is not encrypted, although an AES key is set")
        message = cleaned_or_other(outer)
    if is_verdict(message) and _appid(message, program) != program.appid:
        raise WrongAppid("the verdict names another appid")
    return message


def _appid(message: Message, program: MiniProgram) -> object:
    named = message.get("appid", program.appid)
    return named.strip() if isinstance(named, str) else named


def _decrypted(program: MiniProgram, encrypted: str) -> bytes:
    if not program.aes_keys:
        raise Undecryptable("the push is encrypted, and no AES key is set")
    addressee = None
    for key in program.aes_keys:
        try:
            message, addressee = envelope.decrypt(encrypted, key.get_secret_value())
        except envelope.EnvelopeError:
            continue  # perhaps the other key opens the envelope
        if addressee in (program.appid, program.component_appid):
            return message
    if addressee is not None:
        raise WrongAppid("the encrypted message is addressed to another appid")
    raise Undecryptable("none of the AES keys opens the push")


def _one(params: Params, name: str) -> str:
    values = [value for key, value in params if key == name]
    if len(values) != 1:
        raise BadSignature(f"the query has {name} {len(values)} times, not once")
    return values[0]


def _check_signature(program: MiniProgram, given: str, *signed: str) -> None:
    token = program.push_token.get_secret_value() if program.push_token is not None else ""
    if not token:  # anybody can sign with an empty token
        raise BadSignature("no push token is set")
    expected = envelope.sign(token, *signed)
    if not hmac.compare_digest(given.encode("utf-8", "surrogatepass"), expected.encode()):
        raise BadSignature("the signature is wrong")


def _check_age(timestamp: str, now: float) -> None:
    if not _SECONDS.fullmatch(timestamp):
        raise StaleTimestamp("the timestamp is no number of seconds")
    age = now - int(timestamp)
    if abs(age) > MAX_SKEW:
        raise StaleTimestamp(f"the timestamp is {age:.0f} s old, which is not within {MAX_SKEW} s")
