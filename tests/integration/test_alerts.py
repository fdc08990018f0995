"""Each alert of deploy/prometheus fires for its fault, and for nothing else, and ends with the fault.

Tests: callbacks.metrics, deploy/prometheus

Debian's promtool runs the rules in its virtual time.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from callbacks.metrics import Metrics
from status.prometheus import families
from tests.support.alerting import ALERTS, BUSY, DEPLOY, FAULTS, HEALTHY_RATES, Fault, program
from tests.support.processes import ROOT

#: minutes: all is well, then the fault is there, then all is well again until the end
BEGIN, HEAL, END = 35, 80, 100

#: those that the rules look at
METRICS = {name for rule in ALERTS for name in re.findall(r"wxcheck_\w+", rule["expr"])}

WELL = Fault("none")


def samples(fault: Fault, minutes: int = 60) -> dict[str, tuple[bool, float]]:
    """By series of one endpoint's ``/metrics``: whether it counts, and its value after so many minutes of a fault."""
    metrics = Metrics()
    for outcome, rate in fault.requests.items():
        for _ in range(round(rate * minutes)):
            metrics.count(outcome)
    totals = {name: round(rate * minutes) for name, rate in {**HEALTHY_RATES, **fault.rates}.items()}
    cluster = list(families(fault.numbers(), totals)) if fault.store_up else None
    exposition = metrics.exposition(cluster).decode()
    return dict(_read(text_string_to_metric_families(exposition))) if fault.up else {}


def _read(found: Iterable[Metric]) -> Iterator[tuple[str, tuple[bool, float]]]:
    for family in found:
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sample.labels.items())
            yield f"{sample.name}{{{labels}}}", (family.type in ("counter", "histogram"), sample.value)


def input_series(fault: Fault, job: str, endpoints: int) -> Iterator[dict[str, str]]:
    """The series that the rules look at, as Prometheus would have scraped them each minute from so many endpoints."""
    well, faulty = samples(WELL), samples(fault)
    for series in sorted({*well, *faulty}):
        counts, before = well.get(series, faulty.get(series, (False, 0.0)))
        always_zero = before == faulty.get(series, (counts, before))[1] == 0
        if always_zero or not any(series.startswith(f"{name}{{") for name in METRICS):
            continue
        values = _counter(before, faulty.get(series)) if counts else _gauge(well.get(series), faulty.get(series))
        for endpoint in range(endpoints):
            name, _, labels = series.partition("{")
            own = f'instance="{endpoint}",job="{job}"'
            yield {"series": f"{name}{{{own}{',' if labels != '}' else ''}{labels}", "values": values}
    for endpoint in range(endpoints):
        up = _gauge((False, 1), (False, int(fault.up)))
        yield {"series": f'up{{instance="{endpoint}",job="{job}"}}', "values": up}


def _counter(before: float, faulty: tuple[bool, float] | None) -> str:
    """Values that rise steadily; ``before`` and ``faulty``: by how much in 60 minutes."""
    slow = before / 60
    fast = (faulty[1] if faulty else before) / 60
    first, last = slow * BEGIN, slow * BEGIN + fast * (HEAL - BEGIN)
    middle = f"{first}+{fast}x{HEAL - BEGIN - 1}" if faulty else f"_x{HEAL - BEGIN}"
    return f"0+{slow}x{BEGIN - 1} {middle} {last}+{slow}x{END - HEAL}"


def _gauge(well: tuple[bool, float] | None, faulty: tuple[bool, float] | None) -> str:
    def constant(found: tuple[bool, float] | None, minutes: int) -> str:
        return f"{found[1]}+0x{minutes - 1}" if found else f"_x{minutes}"

    return " ".join((constant(well, BEGIN), constant(faulty, HEAL - BEGIN), constant(well, END - HEAL)))


def rule_of(fault: Fault) -> dict[str, Any]:
    """The alert's rule; of two with one name, the one for this fault's level."""
    levels = {trouble["level"] for trouble in fault.numbers()["troubles"]}
    named = [rule for rule in ALERTS if rule["alert"] == fault.alert]
    return next(
        rule for rule in named if len(named) == 1 or any(f'level="{level}"' in rule["expr"] for level in levels)
    )


def expectations(fault: Fault) -> Iterator[tuple[int, list[str]]]:
    """Minutes, and the alerts that fire then: these and no other."""
    yield BEGIN - 1, []
    if fault is not BUSY:
        rule = rule_of(fault)
        minutes = int(str(rule.get("for", "0m")).removesuffix("m"))
        if minutes:
            yield BEGIN + minutes - 1, []
        if not re.search(r"\[|offset", rule["expr"]):
            yield BEGIN + minutes, [fault.alert]
    yield HEAL - 1, [] if fault is BUSY else [fault.alert]
    yield END, []


def check(minute: int, alerts: list[str], job: str) -> dict[str, Any]:
    """Promtool's way to say that of ``job`` these alerts fire, and no other."""
    samples = [{"labels": f'{{alertname="{alert}"}}', "value": 1} for alert in alerts]
    expr = f'group by (alertname) (ALERTS{{alertstate="firing",job="{job}"}})'
    return {"expr": expr, "eval_time": f"{minute}m", "exp_samples": samples}


def run(directory: Path, series: Iterable[dict[str, str]], checks: Iterable[dict[str, Any]]) -> None:
    """Runs promtool's test of the rules; fails with what it says."""
    file = directory / "tests.yml"
    test = {"interval": "1m", "input_series": list(series), "promql_expr_test": list(checks)}
    content = {"rule_files": [str(DEPLOY / "alerts.yml")], "evaluation_interval": "1m", "tests": [test]}
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    done = subprocess.run(
        [program("promtool"), "test", "rules", str(file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_rules_and_the_configuration_load() -> None:
    for command in (["rules", "alerts.yml"], ["config", "prometheus.yml"]):
        done = subprocess.run(
            [program("promtool"), "check", *command], cwd=DEPLOY, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_its_fault_here_and_says_what_to_do() -> None:
    assert {id(rule_of(fault)) for fault in FAULTS} == {id(rule) for rule in ALERTS}
    for rule in ALERTS:
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert set(rule["annotations"]) == {"summary", "description"}


def test_the_troubles_that_the_rules_name_are_the_board_s() -> None:
    keys = set(re.findall(r'_trouble\(\s*f?"(\w+)', (ROOT / "status" / "troubles.py").read_text(encoding="utf-8")))
    named = " ".join(re.findall(r'trouble(?:=|!~)"([\w|]+)"', " ".join(rule["expr"] for rule in ALERTS)))
    # that of a lane ends in its state
    assert {key.replace("lane_closed", "lane_") for key in re.findall(r"\w+", named)} <= keys


def test_what_has_an_alert_of_its_own_is_told_once(tmp_path: Path) -> None:
    series = [
        {"series": f'wxcheck_trouble{{job="wxcheck",trouble="{key}",level="bad"}}', "values": "1+0x30"}
        for key in ("no_worker", "appid_refused", "platform_away", "day_quota_gone", "clock_off")
    ]
    run(tmp_path, [{"series": 'up{job="wxcheck"}', "values": "1+0x30"}, *series], [check(30, [], "wxcheck")])


def test_every_alert_is_listed_with_its_severity_and_no_other() -> None:
    text = (DEPLOY / "README.md").read_text(encoding="utf-8")
    listed = [
        (name, severity)
        for name, severities in re.findall(r"^\| `(Wxcheck\w+)` \| ([a-z, ]+) \|", text, re.MULTILINE)
        for severity in severities.split(", ")
    ]
    assert listed == [(rule["alert"], rule["labels"]["severity"]) for rule in ALERTS]


def test_each_alert_fires_for_its_fault_alone_after_its_time_and_until_it_is_mended(tmp_path: Path) -> None:
    # each fault in a cluster of its own, and so in a job of its own; beside them one that is busy, and wakes nobody
    clusters = {f"wxcheck-{number}": fault for number, fault in enumerate([*FAULTS, BUSY])}
    endpoints = {job: 2 if fault is BUSY else 1 for job, fault in clusters.items()}
    series = [one for job, fault in clusters.items() for one in input_series(fault, job, endpoints[job])]
    run(
        tmp_path, series, (check(*expected, job) for job, fault in clusters.items() for expected in expectations(fault))
    )


def test_a_long_queue_that_gets_shorter_wakes_nobody_and_one_that_does_not_does(tmp_path: Path) -> None:
    jobs = {"wxcheck-shorter": "9000-100x60", "wxcheck-longer": "9000+100x60"}
    series = [{"series": f'up{{job="{job}"}}', "values": "1+0x60"} for job in jobs]
    for job, values in jobs.items():
        series.append({"series": f'wxcheck_queue_messages{{job="{job}",queue="wxcheck.text"}}', "values": values})
    expected = [check(60, [], "wxcheck-shorter"), check(60, ["WxcheckQueueNotDrained"], "wxcheck-longer")]
    run(tmp_path, series, expected)


def test_an_endpoint_that_is_not_scraped_at_all_is_missed(tmp_path: Path) -> None:
    run(tmp_path, [{"series": 'up{job="node"}', "values": "1+0x10"}], [check(10, ["WxcheckEndpointDown"], "")])
