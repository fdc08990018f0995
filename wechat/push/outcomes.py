"""The outcomes of a push: every outcome that is counted, and the refusals, each with its HTTP status.

Refusal
 ├── BadSignature        403
 ├── StaleTimestamp      403
 ├── WrongAppid          403
 ├── PlainRefused        403
 ├── Malformed           400
 ├── Undecryptable       400
 ├── NoTraceId           400
 ├── Incomplete          400
 ├── UnknownAppid        404
 ├── TooLarge            413
 └── BrokerUnavailable   503
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar


class Outcome(StrEnum):
    """The values of the label ``outcome`` of ``wxcheck_pushes_total``."""

    QUEUED = "queued"
    NOT_A_VERDICT = "not_a_verdict"
    URL_CHECK = "url_check"
    BAD_SIGNATURE = "bad_signature"
    STALE_TIMESTAMP = "stale_timestamp"
    WRONG_APPID = "wrong_appid"
    PLAIN_REFUSED = "plain_refused"
    MALFORMED = "malformed"
    UNDECRYPTABLE = "undecryptable"
    NO_TRACE_ID = "no_trace_id"
    INCOMPLETE = "incomplete"
    UNKNOWN_APPID = "unknown_appid"
    TOO_LARGE = "too_large"
    BROKER_UNAVAILABLE = "broker_unavailable"


class Refusal(Exception):
    """A push was refused. The message names the fault, and quotes nothing from the push.

    ``outcome`` is counted and answered, ``status`` is the HTTP status, ``remedy`` tells the operator what to do.
    """

    outcome: ClassVar[Outcome]
    status: ClassVar[int]
    remedy: ClassVar[str]


class BadSignature(Refusal):
    outcome = Outcome.BAD_SIGNATURE
    status = 403
    remedy = "compare PUSH_TOKEN with the Token of the message-push settings; strangers' requests end here too"


class StaleTimestamp(Refusal):
    outcome = Outcome.STALE_TIMESTAMP
    status = 403
    remedy = "set this machine's clock; if it is right, somebody repeats an old push"


class WrongAppid(Refusal):
    outcome = Outcome.WRONG_APPID
    status = 403
    remedy = (
        "give each Mini Program its own push URL /wechat/push/{appid}; for a third-party platform set COMPONENT_APPID"
    )


class PlainRefused(Refusal):
    outcome = Outcome.PLAIN_REFUSED
    status = 403
    remedy = (
        "switch the message-push settings to secure mode, or set PUSH_PLAIN_ALLOWED=true (in APPS: push_plain_allowed) "
        "to take plain pushes too, whose signature does not cover the body"
    )


class Malformed(Refusal):
    outcome = Outcome.MALFORMED
    status = 400
    remedy = "see whether a proxy on the way changes bodies"


class Undecryptable(Refusal):
    outcome = Outcome.UNDECRYPTABLE
    status = 400
    remedy = (
        "set PUSH_AES_KEY to the EncodingAESKey of the message-push settings, "
        "and PUSH_AES_KEY_PREVIOUS to the one before while it changes"
    )


class NoTraceId(Refusal):
    outcome = Outcome.NO_TRACE_ID
    status = 400
    remedy = "without its trace_id a verdict belongs to no check; report it to the platform"


class Incomplete(Refusal):
    outcome = Outcome.INCOMPLETE
    status = 400
    remedy = "see whether the network or a proxy on the way is slow"


class UnknownAppid(Refusal):
    outcome = Outcome.UNKNOWN_APPID
    status = 404
    remedy = "the push URL must end in the appId of a Mini Program of APPID or APPS"


class TooLarge(Refusal):
    outcome = Outcome.TOO_LARGE
    status = 413
    remedy = "the platform's pushes are a few KB; this is a stranger's"


class BrokerUnavailable(Refusal):
    outcome = Outcome.BROKER_UNAVAILABLE
    status = 503
    remedy = "see that the broker of BROKER_URL (or REDIS_URL) runs, has memory left and takes writes"
