"""Prometheus gets numbers and totals under documented labels, and there is an end to these.

Tests: status.prometheus, status.totals, status.labels, callbacks.metrics
"""

from __future__ import annotations

import re
import subprocess
from typing import Any

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from callbacks.metrics import Metrics
from config.names import UNREADABLE
from status.cluster_metrics import cluster_metrics
from status.labels import FAILURES, LABELS, MAX_BUCKETS, MAX_ERRCODES, MAX_TROUBLES
from status.prometheus import families
from tests.support.alerting import APPID, OTHER_APPID, healthy, program
from tests.support.processes import ROOT
from wechat.push.outcomes import Outcome
from wxcheck import CheckError

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


class Reader:
    def read(self) -> dict[str, Any]:
        numbers = healthy()
        numbers["lanes"][0]["opens_at"] = 1764158460.0
        return numbers | {"troubles": [{"key": "a", "level": "bad"}]}

    def totals(self) -> dict[str, int]:
        return {"failed|CheckRefused|40164": 2}


def told(numbers: dict[str, Any], totals: dict[str, int] | None = None) -> Samples:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families(numbers, totals or {})
        for sample in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float | None:
    return samples.get((name, tuple(sorted(labels.items()))))


def labels_of(samples: Samples, label: str) -> set[str]:
    return {found for _, labels in samples for name, found in labels if name == label}


def exposition(families: list[Metric] | None) -> str:
    return Metrics().exposition(families).decode()


def test_quotas_and_lanes_are_told_by_appid_and_lane() -> None:
    numbers = healthy()
    numbers["lanes"][0].update(state="closed", opens_at=1764158460.0)
    samples = told(numbers)
    lane = {"appid": APPID, "lane": "text"}
    assert value(samples, "wxcheck_quota_used_calls", **lane, window="minute") == 12
    assert value(samples, "wxcheck_quota_limit_calls", **lane, window="day") == 2_000_000
    states = {state: value(samples, "wxcheck_lane_state", **lane, state=state) for state in ("open", "closed", "spent")}
    assert states == {"open": 0, "closed": 1, "spent": 0}
    assert value(samples, "wxcheck_lane_opens_timestamp_seconds", **lane) == 1764158460.0
    assert value(samples, "wxcheck_lane_backlog_checks", **lane) == 17
    assert value(samples, "wxcheck_lane_backlog_seconds", **lane) == 3.0


def test_queues_processes_and_what_waits_are_told() -> None:
    numbers = healthy()
    numbers["processes"][0].update(clock_offset_seconds=-30.0, age_seconds=9.0)
    samples = told(numbers)
    assert value(samples, "wxcheck_queue_messages", queue="wxcheck.push") == 7
    assert value(samples, "wxcheck_queue_workers", queue="wxcheck.push") == 2
    assert value(samples, "wxcheck_processes", kind="worker") == 2
    assert value(samples, "wxcheck_heartbeat_age_seconds", kind="worker") == 9.0
    assert value(samples, "wxcheck_clock_offset_seconds", kind="worker") == -30.0
    places = {place: value(samples, "wxcheck_place_checks", place=place) for place in healthy()["places"]}
    assert places == healthy()["places"]
    assert value(samples, "wxcheck_waiting_oldest_seconds") == 12.5
    assert value(samples, "wxcheck_dead_letters") == 0


def test_lifetime_totals_are_counters() -> None:
    totals = {
        f"calls|{APPID}|media|refused": 4,
        "verdict|image|review|20002": 6,
        "failed|CheckRefused|40164": 2,
        "push|late": 3,
        "request|bad_signature": 9,
    }
    samples = told(healthy(), totals)
    assert value(samples, "wxcheck_calls_total", appid=APPID, lane="media", result="refused") == 4
    assert value(samples, "wxcheck_verdicts_total", kind="image", suggest="review", label="20002") == 6
    assert value(samples, "wxcheck_failures_total", failure="CheckRefused", errcode="40164") == 2
    assert value(samples, "wxcheck_push_results_total", result="late") == 3
    assert value(samples, "wxcheck_push_requests_total", outcome="bad_signature") == 9


def test_the_push_delay_is_a_cumulative_histogram_in_seconds() -> None:
    # 7 s is no bucket of today's: it was one of an older release, and counts in the next
    totals = {"delay|1": 3, "delay|2.0": 2, "delay|7": 1, "delay|+Inf": 4, "delay_sum": 12_345}
    samples = told(healthy(), totals)
    buckets = {le: value(samples, "wxcheck_push_delay_seconds_bucket", le=le) for le in ("0.5", "1.0", "2.0", "5.0")}
    assert buckets == {"0.5": 0, "1.0": 3, "2.0": 5, "5.0": 5}
    assert value(samples, "wxcheck_push_delay_seconds_bucket", le="10.0") == 6
    assert value(samples, "wxcheck_push_delay_seconds_bucket", le="+Inf") == 10
    assert value(samples, "wxcheck_push_delay_seconds_count") == 10
    assert value(samples, "wxcheck_push_delay_seconds_sum") == 12.345


def test_what_counts_exists_from_the_start_so_that_the_first_increase_is_seen() -> None:
    samples = told(healthy())
    for result in ("sent", "given_back", "refused", "retried"):
        assert value(samples, "wxcheck_calls_total", appid=APPID, lane="text", result=result) == 0
    for failure in FAILURES:
        assert value(samples, "wxcheck_failures_total", failure=failure, errcode="") == 0
    assert value(samples, "wxcheck_failures_total", failure="PlatformUnavailable", errcode="-1") == 0
    assert value(samples, "wxcheck_verdicts_total", kind="audio", suggest="risky", label="20013") == 0
    for outcome in Outcome:
        assert value(samples, "wxcheck_push_requests_total", outcome=outcome) == 0
    assert value(samples, "wxcheck_push_results_total", result="missing") == 0
    assert value(samples, "wxcheck_push_delay_seconds_count") == 0


def test_every_failure_of_the_client_is_known() -> None:
    classes = {one.__name__ for one in CheckError.__subclasses__() if one.__module__ == "wxcheck"}
    assert set(FAILURES) == classes


def test_what_is_wrong_is_told_by_its_key_and_the_worst_level() -> None:
    numbers = healthy()
    numbers["troubles"] = [{"key": key, "level": level} for key, level in (("a", "bad"), ("b", "warn"), ("a", "warn"))]
    samples = told(numbers)
    assert value(samples, "wxcheck_trouble", trouble="a", level="bad") == 1
    assert value(samples, "wxcheck_trouble", trouble="b", level="warn") == 1
    assert value(samples, "wxcheck_trouble", trouble="a", level="warn") is None
    assert value(samples, "wxcheck_troubles", level="bad") == 1
    assert value(samples, "wxcheck_troubles", level="warn") == 1


def test_what_is_null_or_missing_is_left_out() -> None:
    numbers = healthy()
    numbers["lanes"][0].update(backlog=None, backlog_seconds=None)
    numbers["queues"][0].update(messages=None)
    numbers["waiting"].update(oldest_seconds=None)
    numbers["places"].update(inbox=None)
    del numbers["dead"]
    samples = told(numbers)
    assert value(samples, "wxcheck_lane_backlog_checks", appid=APPID, lane="text") is None
    assert value(samples, "wxcheck_queue_messages", queue="wxcheck.text") is None
    assert value(samples, "wxcheck_place_checks", place="inbox") is None
    assert value(samples, "wxcheck_waiting_oldest_seconds") == 0
    assert value(samples, "wxcheck_dead_letters") is None
    assert {name for name, _ in told({"troubles": []})} <= {name for name, _ in samples}


def test_stale_numbers_tell_the_troubles_alone() -> None:
    numbers = healthy() | {"stale_seconds": 30, "troubles": [{"key": "store_away", "level": "bad"}]}
    assert {name for name, _ in told(numbers)} == {"wxcheck_trouble", "wxcheck_troubles"}


STRANGE = ["", "x" * 300, 'a"b\\c\n', "Geheimwort 中文", "wx999", "-", "１２", "1e400", "nan", "None"]


def test_labels_stay_within_bounds_whatever_is_counted() -> None:
    many = [*STRANGE, *(f"v{number}" for number in range(500)), *map(str, range(40_000, 40_500))]
    totals: dict[str, int] = {}
    for strange in many:
        totals |= {
            f"calls|{strange}|text|sent": 1,
            f"calls|{APPID}|{strange}|sent": 1,
            f"calls|{APPID}|text|{strange}": 1,
        }
        totals |= {
            f"verdict|{strange}|pass|100": 1,
            f"verdict|text|{strange}|100": 1,
            f"verdict|text|pass|{strange}": 1,
        }
        totals |= {f"failed|{strange}|": 1, f"failed|CheckRefused|{strange}": 1, f"push|{strange}": 1}
        totals |= {f"unreadable|{strange}|body": 1, f"unreadable|wxcheck.text|{strange}": 1}
        totals |= {f"request|{strange}": 1, f"delay|{strange}": 1, strange: 1, f"{strange}|a|b": 1}
    numbers = healthy()
    numbers["troubles"] = [{"key": strange, "level": strange} for strange in many]
    numbers["queues"] += [{"name": f"wxcheck.text.{strange}", "messages": 1, "workers": 1} for strange in many]
    numbers["processes"] += [
        {"name": strange, "kind": strange, "version": strange, "age_seconds": 1.0} for strange in many
    ]
    numbers["lanes"][1]["state"] = "strange"
    numbers["lanes"].append({**numbers["lanes"][0], "lane": "strange"})
    samples = told(numbers, totals)
    assert labels_of(samples, "appid") == {APPID, OTHER_APPID}
    assert labels_of(samples, "lane") == {"text", "media"}
    assert labels_of(samples, "result") == {
        *("sent", "given_back", "refused", "retried"),
        *("matched", "early", "repeated", "late", "orphaned", "missing"),
    }
    assert labels_of(samples, "label") == {*LABELS, "other"}
    assert labels_of(samples, "kind") == {"text", "image", "audio", "worker", "endpoint", "board", "other"}
    assert labels_of(samples, "suggest") == {"pass", "review", "risky"}
    assert labels_of(samples, "failure") == {*FAILURES, "other"}
    assert len(labels_of(samples, "errcode")) <= MAX_ERRCODES + 4
    assert labels_of(samples, "outcome") == {*map(str, Outcome)}
    assert labels_of(samples, "queue") == {"wxcheck.text", "wxcheck.media", "wxcheck.push", "other"}
    assert labels_of(samples, "reason") == {*UNREADABLE}
    assert labels_of(samples, "state") == {"open", "slowed", "closed", "stopped", "paused", "spent"}
    assert labels_of(samples, "place") == {"inbox", "lanes", "shelf", "in_hand", "parked", "ready", "outbox"}
    assert labels_of(samples, "level") == {"bad", "warn"}
    assert len(labels_of(samples, "trouble")) <= MAX_TROUBLES + 1
    assert len(labels_of(samples, "le")) <= MAX_BUCKETS
    assert {name for _, labels in samples for name, _ in labels} == {
        *("appid", "lane", "window", "state", "result", "kind", "suggest", "label", "failure", "errcode"),
        *("outcome", "queue", "reason", "trouble", "level", "le", "place"),
    }
    # nothing that failed is lost, only its name
    failed = sum(found for (name, _), found in samples.items() if name == "wxcheck_failures_total")
    assert failed == sum(
        count for field, count in totals.items() if field.startswith("failed|") and field.count("|") == 2
    )


def test_buckets_that_nobody_names_have_an_end_too() -> None:
    samples = told({"waiting": {"count": 0}}, {f"delay|{number}": 1 for number in range(1, 200)})
    buckets = labels_of(samples, "le")
    assert len(buckets) <= MAX_BUCKETS + 1
    assert value(samples, "wxcheck_push_delay_seconds_bucket", le="+Inf") == 199


def test_every_metric_is_documented_with_its_type_and_labels_and_no_other() -> None:
    text = (ROOT / "docs" / "counters.md").read_text(encoding="utf-8")
    listed = {
        name: (kind, set(filter(None, labels.split(","))))
        for name, labels, kind in re.findall(r"^\| `(wxcheck_\w+)(?:\{([\w,]*)\})?` \| (\w+) \|", text, re.MULTILINE)
    }
    told: dict[str, tuple[str, set[str]]] = {}
    for family in text_string_to_metric_families(exposition(cluster_metrics(lambda: {"push_matched": 7}, Reader()))):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        if not name.endswith("_created"):
            told[name] = (family.type, {label for sample in family.samples for label in sample.labels} - {"le"})
    assert listed == told


def test_promtool_has_no_complaint_about_names_types_and_help() -> None:
    text = exposition(cluster_metrics(lambda: {"push_matched": 7}, Reader()))
    done = subprocess.run(
        [program("promtool"), "check", "metrics"], input=text, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_without_the_store_what_the_endpoint_counts_is_told_and_that_the_store_is_away() -> None:
    lines = exposition(None).splitlines()
    assert "wxcheck_store_up 0.0" in lines
    assert 'wxcheck_pushes_total{outcome="queued"} 0.0' in lines
    names = {line.split("{")[0].split(" ")[0] for line in lines if not line.startswith("#")}
    assert {name for name in names if not name.startswith(("wxcheck_pushes_", "wxcheck_publish_"))} == {
        "wxcheck_store_up"
    }


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "12", None, [], {}])
def test_what_is_no_number_is_left_out(value: Any) -> None:
    numbers = healthy()
    numbers["dead"] = value
    assert "wxcheck_dead_letters" not in {name for name, _ in told(numbers)}
