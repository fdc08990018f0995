"""The cryptography of a push agrees with the platform's own published examples."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import string
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given
from hypothesis import strategies as st

from wechat.push.envelope import EnvelopeError, decrypt, encrypt, sign

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "push.json").read_text(encoding="utf-8"))
TOKEN, KEY, APPID = VECTORS["token"], VECTORS["encoding_aes_key"], VECTORS["appid"]
ALL = {**VECTORS["official"], **VECTORS["synthetic"]}
OTHER_KEY = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"


def sealed(body: bytes) -> str:
    """``body``, a multiple of 16 bytes that is padded already, encrypted."""
    key = base64.b64decode(KEY + "=")
    encryptor = Cipher(algorithms.AES(key), modes.CBC(key[:16])).encryptor()
    return base64.b64encode(encryptor.update(body) + encryptor.finalize()).decode()


@pytest.mark.parametrize("name", [name for name, vector in ALL.items() if "signature" in vector])
def test_the_published_signatures_are_recomputed(name: str) -> None:
    vector = ALL[name]
    assert sign(TOKEN, vector["timestamp"], vector["nonce"]) == vector["signature"]


@pytest.mark.parametrize("name", [name for name, vector in ALL.items() if "msg_signature" in vector])
def test_the_published_signatures_of_encrypted_messages_are_recomputed(name: str) -> None:
    vector = ALL[name]
    assert sign(TOKEN, vector["timestamp"], vector["nonce"], vector["Encrypt"]) == vector["msg_signature"]


@pytest.mark.parametrize("name", [name for name, vector in ALL.items() if "plain" in vector])
def test_the_published_envelopes_open(name: str) -> None:
    vector = ALL[name]
    assert decrypt(vector["Encrypt"], KEY) == (vector["plain"].encode(), APPID)


def test_a_signature_is_the_sha1_of_the_sorted_parts() -> None:
    assert sign("b", "c", "a") == hashlib.sha1(b"abc").hexdigest()  # noqa: S324


def test_parts_that_are_no_unicode_can_be_signed() -> None:
    assert len(sign("token", "\ud800")) == 40


@given(st.binary(max_size=300), st.text(string.ascii_letters + string.digits, max_size=40))
def test_what_was_encrypted_is_decrypted(message: bytes, appid: str) -> None:
    assert decrypt(encrypt(message, appid, KEY), KEY) == (message, appid)


@given(st.integers(0, 70))
def test_padding_is_one_to_32_bytes(size: int) -> None:
    assert len(base64.b64decode(encrypt(b"x" * size, "", KEY))) % 32 == 0


def test_two_envelopes_of_one_message_differ() -> None:
    assert encrypt(b"{}", APPID, KEY) != encrypt(b"{}", APPID, KEY)


def test_another_key_does_not_open_it() -> None:
    with pytest.raises(EnvelopeError):
        decrypt(VECTORS["synthetic"]["v2_pass_json"]["Encrypt"], OTHER_KEY)


@pytest.mark.parametrize("envelope", ["", "=", "no base64!", "AAAA", "密文", "\ud800", "A" * 43 + "\n"])
def test_what_is_no_envelope_is_refused(envelope: str) -> None:
    with pytest.raises(EnvelopeError):
        decrypt(envelope, KEY)


@pytest.mark.parametrize(
    "body",
    [
        b"\x01" * 16,  # shorter than its own head
        bytes(16) + b"\xff\xff\xff\xff" + bytes(11) + b"\x01",  # a length beyond its end
        bytes(31) + b"\x00",  # no padding at all
        bytes(31) + b"\x21",  # more of it than a block
        bytes(30) + b"\x03\x02",  # padding bytes that differ
        bytes(16) + b"\x20" * 16,  # padding as long as the whole, and more
        bytes(20) + b"\xff\xfe" + b"\x0a" * 10,  # an appId that is no ASCII
    ],
)
def test_what_decrypts_to_no_message_is_refused(body: bytes) -> None:
    with pytest.raises(EnvelopeError):
        decrypt(sealed(body), KEY)


@given(st.binary(max_size=200))
def test_random_bytes_never_raise_anything_else(noise: bytes) -> None:
    with contextlib.suppress(EnvelopeError):
        message, _ = decrypt(base64.b64encode(noise).decode(), KEY)
        assert len(message) < len(noise)
