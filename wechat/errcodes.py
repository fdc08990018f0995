"""The meaning of the platform's error codes for a check. Pure.

Source: the "return codes" tables of WeChat's documentation for developers, and codes seen in real traffic.
"""

from __future__ import annotations

from enum import Enum

OK = 0
#: version 1's code for a risky text
RISKY = 87014


class Meaning(Enum):
    """The next step after an answer."""

    VERDICT = "verdict"
    #: renew the access token once, and call once more
    RENEW = "renew"
    #: the quota of this minute is used up: come back in the next minute, no attempt lost
    SNOOZE_MINUTE = "snooze_minute"
    #: the quota of this day is used up: come back after midnight in Shanghai, no attempt lost
    SNOOZE_DAY = "snooze_day"
    #: too many calls within a second: come back after a second, no attempt lost
    SNOOZE_SECOND = "snooze_second"
    #: a fault that passes: try again, a bounded number of times
    RETRY = "retry"
    #: permanent
    REFUSE = "refuse"
    #: permanent, for this call and every other call of this appId, until a person mends the cause
    STOP = "stop"


_MEANINGS = {
    OK: Meaning.VERDICT,
    RISKY: Meaning.VERDICT,
    -1: Meaning.RETRY,
    **dict.fromkeys((40001, 40014, 42001, 41001), Meaning.RENEW),
    **dict.fromkeys((44991, 45011), Meaning.SNOOZE_MINUTE),
    44990: Meaning.SNOOZE_SECOND,
    45009: Meaning.SNOOZE_DAY,
    # the same media too often; user idle; openid
    **dict.fromkeys((87020, 61010, 40003, 43104), Meaning.REFUSE),
    # a bad request
    **dict.fromkeys((40129, 40004, 43002, 43302, 44002, 47001, 40033), Meaning.REFUSE),
    # not authorised; IP not listed; calls have to be signed and encrypted; appId or secret refused
    **dict.fromkeys((48001, 61007, 40164, 40234, 40235), Meaning.STOP),
    **dict.fromkeys((40013, 40125, 40243, 41002, 41004, 50004, 50007, 89503, 89506, 89507), Meaning.STOP),
}


#: codes of a push for a file that the platform could not fetch or judge
_OF_PUSHES = frozenset((-1, *range(-1013, -999)))


def is_known(errcode: int) -> bool:
    """True if ``errcode`` is one of a limited number, fit for a metric's label."""
    return errcode in _MEANINGS or errcode in _OF_PUSHES


def meaning(errcode: int) -> Meaning:
    """Return the next step after ``errcode``. An unknown code is refused: the same call would give the same answer."""
    return _MEANINGS.get(errcode, Meaning.REFUSE)
