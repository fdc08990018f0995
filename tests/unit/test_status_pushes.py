"""The board tells what became of pushes, and how long after the platform's answer they came."""

from __future__ import annotations

from collections import Counter

from status.pushes import WHAT, delays, push_counts
from store.watch.statistics import DELAYS
from wechat.push.outcomes import Outcome


def test_pushes_are_counted_by_what_became_of_them() -> None:
    counted = Counter({"push|matched": 5, "push|late": 2, "request|ok": 9})
    assert push_counts(counted) == dict.fromkeys((*WHAT, "forged"), 0) | {"matched": 5, "late": 2}


def test_a_wrong_signature_and_a_wrong_time_are_forged() -> None:
    counted = Counter({f"request|{Outcome.BAD_SIGNATURE}": 3, f"request|{Outcome.STALE_TIMESTAMP}": 4})
    assert push_counts(counted)["forged"] == 7


def test_without_a_push_no_delay_is_known() -> None:
    told = delays(Counter())
    assert (told["count"], told["p50"], told["p95"], told["p99"]) == (0, None, None, None)


def test_a_delay_lies_within_its_bucket_as_if_pushes_were_evenly_spread() -> None:
    low, high = DELAYS[2:4]
    told = delays(Counter({f"delay|{high}": 100}))
    assert told["count"] == 100
    assert told["p50"] == round(low + (high - low) * 0.5, 3)
    assert told["p99"] == round(low + (high - low) * 0.99, 3)
    assert [high, 100] in told["buckets"]


def test_a_share_is_counted_over_all_buckets() -> None:
    told = delays(Counter({f"delay|{DELAYS[0]}": 60, f"delay|{DELAYS[1]}": 40}))
    assert told["p50"] == round(DELAYS[0] * 50 / 60, 3)
    assert told["p95"] == round(DELAYS[0] + (DELAYS[1] - DELAYS[0]) * 35 / 40, 3)


def test_beyond_the_last_bound_a_delay_is_told_as_that_bound() -> None:
    told = delays(Counter({"delay|+Inf": 3}))
    assert told["p50"] == told["p99"] == DELAYS[-1]
    assert told["buckets"][-1] == [None, 3]
