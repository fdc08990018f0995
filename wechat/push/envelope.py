"""The cryptography of WeChat's message push: signatures, and the AES envelope of secure mode. Pure.

Source: "Message push" in WeChat's documentation for developers, section on encryption and decryption.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from functools import lru_cache

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

#: WeChat's PKCS#7 pads to this many bytes, not to AES' 16
BLOCK = 32
_RANDOM = 16
_LENGTH = 4


class EnvelopeError(ValueError):
    """An encrypted message could not be opened: no base64, another key, or damaged on the way."""


def sign(*parts: str) -> str:
    """Sign ``parts`` with 40 hex digits.

    ``signature`` signs token, timestamp and nonce; ``msg_signature`` signs the Encrypt field too.
    """
    signed = "".join(sorted(parts)).encode("utf-8", "surrogatepass")  # strangers also send what is no Unicode
    return hashlib.sha1(signed).hexdigest()  # noqa: S324 - the platform's choice


def encrypt(message: bytes, appid: str, aes_key: str) -> str:
    """Put ``message`` for ``appid`` into an envelope that :func:`decrypt` opens: base64, the value of ``Encrypt``."""
    body = os.urandom(_RANDOM) + len(message).to_bytes(_LENGTH, "big") + message + appid.encode()
    padding = BLOCK - len(body) % BLOCK
    encryptor = _cipher(aes_key).encryptor()
    return base64.b64encode(encryptor.update(body + bytes([padding]) * padding) + encryptor.finalize()).decode()


def decrypt(envelope: str, aes_key: str) -> tuple[bytes, str]:
    """Return the message in ``envelope`` and the appId of its addressee.

    Raises:
        EnvelopeError: ``envelope`` was not encrypted with ``aes_key``, or is no envelope at all.
    """
    try:
        encrypted = base64.b64decode(envelope, validate=True)
    except (binascii.Error, ValueError):
        raise EnvelopeError("Encrypt is no base64") from None
    if not encrypted or len(encrypted) % 16:
        raise EnvelopeError(f"Encrypt holds {len(encrypted)} bytes, which is no multiple of AES' 16")
    decryptor = _cipher(aes_key).decryptor()
    body = decryptor.update(encrypted) + decryptor.finalize()
    padding = body[-1]
    if not 1 <= padding <= BLOCK or body[-padding:] != bytes([padding]) * padding:
        raise EnvelopeError("Encrypt was made with another EncodingAESKey")
    start = _RANDOM + _LENGTH
    end = start + int.from_bytes(body[_RANDOM:start], "big")
    if end > len(body) - padding:
        raise EnvelopeError("Encrypt was made with another EncodingAESKey")
    try:
        return body[start:end], body[end:-padding].decode("ascii")
    except UnicodeDecodeError:
        raise EnvelopeError("Encrypt was made with another EncodingAESKey") from None


@lru_cache(maxsize=64)
def _cipher(aes_key: str) -> Cipher[modes.CBC]:
    key = base64.b64decode(aes_key + "=")
    return Cipher(algorithms.AES(key), modes.CBC(key[:16]))
