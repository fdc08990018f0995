"""Each documented error code has a meaning."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wechat.errcodes import OK, RISKY, Meaning, meaning

TABLE = {
    Meaning.VERDICT: [0, 87014],
    Meaning.RETRY: [-1],
    Meaning.RENEW: [40001, 40014, 42001, 41001],
    Meaning.SNOOZE_MINUTE: [44991, 45011],
    Meaning.SNOOZE_SECOND: [44990],
    Meaning.SNOOZE_DAY: [45009],
    Meaning.REFUSE: [87020, 61010, 40003, 43104, 40129, 40004, 43002, 43302, 44002, 47001, 40033],
    Meaning.STOP: [
        *(48001, 61007, 40164, 40234, 40235),
        *(40013, 40125, 40243, 41002, 41004, 50004, 50007, 89503, 89506, 89507),
    ],
}


@pytest.mark.parametrize(
    ("errcode", "asked"), [(errcode, asked) for asked, errcodes in TABLE.items() for errcode in errcodes]
)
def test_a_documented_code_asks_for_what_its_documentation_says(errcode: int, asked: Meaning) -> None:
    assert meaning(errcode) is asked


def test_the_table_names_every_meaning() -> None:
    assert set(TABLE) == set(Meaning)


@given(st.integers())
def test_an_unknown_code_is_a_refusal_and_never_a_verdict(errcode: int) -> None:
    known = [code for codes in TABLE.values() for code in codes]
    if errcode not in known:
        assert meaning(errcode) is Meaning.REFUSE
    assert (meaning(errcode) is Meaning.VERDICT) == (errcode in (OK, RISKY))
