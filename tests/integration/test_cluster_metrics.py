"""The ``/metrics`` of a system at work tell what was sent through it, who is at work, and that all is well."""

from __future__ import annotations

import re
import uuid
from functools import partial

import requests

from tests.support.processes import PATIENCE, eventually
from tests.support.system import APPID, QUEUES, System


def told(system: System) -> dict[str, float]:
    """By series, as Prometheus reads them."""
    text = requests.get(f"{system.endpoint_url}/metrics", timeout=10).text
    return {series: float(value) for series, value in re.findall(r"^(\w+(?:\{.*\})?) (\S+)$", text, re.MULTILINE)}


def test_checks_are_counted_by_what_became_of_them_and_who_is_at_work_is_told(system: System) -> None:
    before = told(system)
    assert before["wxcheck_store_up"] == 1
    text = system.app.send_task("wxcheck.check_text", ["sandbox:risky"], queue="wxcheck.text")
    url = f"https://img.example.com/{uuid.uuid4().hex}.jpg?sandbox=risky"
    picture = system.app.send_task("wxcheck.check_media", [url, "image"], queue="wxcheck.media")
    unfetchable = f"https://img.example.com/{uuid.uuid4().hex}.jpg?sandbox=unfetchable"
    failed = system.app.send_task("wxcheck.check_media", [unfetchable, "image"], queue="wxcheck.media")
    assert {text.get(timeout=PATIENCE)["suggest"], picture.get(timeout=PATIENCE)["suggest"]} == {"risky"}
    failed.get(timeout=PATIENCE, propagate=False)

    # a process writes once a second, so what ran before may be counted meanwhile
    def has_risen(pattern: str, number: int) -> bool:
        after = told(system)
        rises = [after[series] - before.get(series, 0) for series in after if re.fullmatch(pattern, series)]
        return sum(rises) >= number

    for pattern, number in (
        (rf'wxcheck_calls_total\{{appid="{APPID}",lane="text",result="sent"\}}', 1),
        (rf'wxcheck_calls_total\{{appid="{APPID}",lane="media",result="sent"\}}', 2),
        (r'wxcheck_verdicts_total\{kind="text",label="\w+",suggest="risky"\}', 1),
        (r'wxcheck_verdicts_total\{kind="image",label="\w+",suggest="risky"\}', 1),
        (r'wxcheck_failures_total\{errcode="[-\w]*",failure="MediaUnavailable"\}', 1),
        (r'wxcheck_push_results_total\{result="(matched|early)"\}', 2),
        (r'wxcheck_push_requests_total\{outcome="queued"\}', 2),
    ):
        eventually(partial(has_risen, pattern, number), f"{pattern} rises by {number} at least")

    def are_at_work() -> bool:
        now = told(system)
        workers = [now[f'wxcheck_queue_workers{{queue="{queue}"}}'] for queue in QUEUES.split(",")]
        return min(*workers, now['wxcheck_processes{kind="endpoint"}']) >= 1

    eventually(are_at_work, "workers and endpoint say that they run")
    now = told(system)
    assert all(f'wxcheck_queue_messages{{queue="{queue}"}}' in now for queue in QUEUES.split(","))
    assert abs(now['wxcheck_clock_offset_seconds{kind="worker"}']) < 5
    assert now[f'wxcheck_lane_state{{appid="{APPID}",lane="text",state="open"}}'] == 1
    assert now[f'wxcheck_quota_limit_calls{{appid="{APPID}",lane="text",window="minute"}}'] == 4000
    assert now["wxcheck_push_delay_seconds_count"] >= before["wxcheck_push_delay_seconds_count"]
