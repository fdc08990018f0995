"""The bench of quotas counts and measures right, in its pure parts.

Tests: bench.quota, bench.machine, bench.redis_load
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import mean, median

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from bench.machine import CpuMeter, cpu_seconds
from bench.quota.arrivals import ArrivalFile, pack
from bench.quota.faults import FAULTS, KILL_EVERY, STOPPED_FOR
from bench.quota.feeder import backlog
from bench.quota.latency import MODELS, SPELL, latency
from bench.quota.result import Look, Row, costs_of, row_of
from bench.quota.scale import FULL, SHORT
from bench.quota.table import HEADINGS, as_markdown, as_text, cells
from bench.quota.windows import (
    SECOND,
    Span,
    arrivals_within,
    bound_of_use,
    gaps,
    longest_gap,
    most_in_any_minute,
    most_in_any_window,
    use_of_quota,
)
from bench.quota.wxcheck_worker import with_stepped_clock
from bench.redis_load import Load
from ops.local.processes import ROOT
from tests.support.ports import free_port

TIMES = st.lists(st.integers(0, 200), max_size=60)


@given(TIMES, st.integers(1, 100))
def test_the_most_arrivals_in_any_window_are_those_of_a_naive_count(times: list[int], window: int) -> None:
    # the fullest window can be moved forward until it starts at an arrival
    naive = max((sum(start <= time < start + window for time in times) for start in times), default=0)
    assert most_in_any_window(times, window) == naive


@given(TIMES, st.integers(1, 100))
def test_the_most_arrivals_in_any_minute_are_those_of_a_naive_count(times: list[int], minute: int) -> None:
    naive = max(sum(start <= time < start + minute for time in times) for start in range(0, 201, minute))
    assert most_in_any_minute(times, minute) == naive


@given(TIMES, st.integers(1, 100))
def test_no_minute_by_the_clock_holds_more_than_the_fullest_window(times: list[int], minute: int) -> None:
    assert most_in_any_minute(times, minute) <= most_in_any_window(times, minute)


def test_arrivals_that_are_one_window_apart_are_not_in_the_same_one() -> None:
    assert most_in_any_window([0, 60 * SECOND], 60 * SECOND) == 1
    assert most_in_any_window([0, 60 * SECOND - 1], 60 * SECOND) == 2


def test_a_window_across_the_turn_of_a_minute_is_found_only_by_the_sliding_count() -> None:
    times = [59, 59, 60, 60]
    assert most_in_any_window(times, 60) == 4
    assert most_in_any_minute(times, 60) == 2


@pytest.mark.parametrize("count", [most_in_any_window, most_in_any_minute])
def test_a_window_without_length_is_refused(count: object) -> None:
    with pytest.raises(ValueError, match="0 ns is no length of time"):
        count([1], 0)  # type: ignore[operator]


@given(TIMES, st.integers(0, 200), st.integers(0, 200))
def test_gaps_are_where_no_arrival_is_and_cover_the_whole_span(times: list[int], one: int, other: int) -> None:
    span = Span(min(one, other), max(one, other))
    found = list(gaps(times, span))
    assert sum(gap.length for gap in found) == span.length
    assert all(not gap.start < time < gap.end for gap in found for time in times)
    assert longest_gap(times, span) == max((gap.length for gap in found), default=0)


def test_the_use_is_one_where_each_window_holds_the_whole_quota() -> None:
    times = [n * SECOND for n in range(180)]
    assert use_of_quota(times, Span(0, 180 * SECOND), quota=60, window=60 * SECOND) == 1.0
    assert use_of_quota(times, Span(0, 180 * SECOND), quota=120, window=60 * SECOND) == 0.5


def test_a_pause_that_a_fault_forced_does_not_lower_the_use() -> None:
    times = [n * SECOND for n in range(180) if not 60 <= n < 120]
    span = Span(0, 180 * SECOND)
    assert use_of_quota(times, span, 60, 60 * SECOND) == pytest.approx(2 / 3)
    assert use_of_quota(times, span, 60, 60 * SECOND, pause=longest_gap(times, span)) == pytest.approx(1, abs=0.01)


def test_the_use_of_no_time_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing is left"):
        use_of_quota([], Span(0, 10), 1, 1, pause=10)


def test_the_bound_is_that_of_a_pool_whose_permits_come_back_a_window_after_the_answer() -> None:
    assert bound_of_use(60, 0.2) == pytest.approx(60 / 60.25)
    assert bound_of_use(60, 0.55) == pytest.approx(0.990, abs=0.0001)


@pytest.mark.parametrize("model", MODELS)
def test_a_latency_model_draws_the_same_times_again_with_the_same_seed(model: str) -> None:
    once, again, other = (latency(model, seed) for seed in (7, 7, 8))
    first = [once(n) for n in range(200)]
    assert first == [again(n) for n in range(200)]
    assert first != [other(n) for n in range(200)]


def test_the_latency_models_are_what_their_names_say() -> None:
    drawn = {model: _drawn(model) for model in MODELS}
    assert 0.19 <= min(drawn["calm"]) <= max(drawn["calm"]) <= 0.21
    assert median(drawn["log-normal"]) == pytest.approx(0.316, abs=0.01)
    assert 0.93 < mean(0.2 < time < 0.5 for time in drawn["log-normal"]) < 0.98
    assert mean(time == 4 for time in drawn["stalls"]) == pytest.approx(0.01, abs=0.004)


def test_the_shift_changes_by_eight_tenths_of_a_second_every_twenty_seconds() -> None:
    draw = latency("shift", 1)
    assert [round(draw(now), 1) for now in (0, 19.9, 20.1, 39.9, 40.1)] == [0.2, 0.2, 1.0, 1.0, 0.2]


def test_an_unknown_latency_model_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(ValueError, match="'slow' is none of calm, log-normal, shift, stalls"):
        latency("slow", 1)


def test_arrivals_are_read_while_the_file_grows_and_half_a_record_is_left(tmp_path: Path) -> None:
    path = tmp_path / "arrivals"
    arrivals = ArrivalFile(path)
    arrivals.update()
    assert arrivals.first() is None
    second = pack(20, 1020, 4, "media")
    path.write_bytes(pack(10, 1010, 2, "text") + second[:5])
    arrivals.update()
    assert arrivals.lanes["text"].times == [10]
    assert arrivals.lanes["media"].times == []
    with path.open("ab") as file:
        file.write(second[5:] + pack(30, 1030, 6, "text"))
    arrivals.update()
    assert arrivals.lanes["text"].times == [10, 30]
    assert arrivals.lanes["media"].wall_times == [1020]
    assert arrivals.lanes["text"].mean_answer(Span(0, 31)) == pytest.approx(4e-9)
    assert arrivals.lanes["text"].mean_answer(Span(0, 30)) == pytest.approx(2e-9)
    assert arrivals.lanes["text"].mean_answer(Span(40, 50)) == 0
    assert arrivals.first() == 10


def test_a_backlog_lasts_for_the_run_and_is_no_larger_than_redis_bears() -> None:
    seconds = FULL.warm_up + FULL.measured
    assert 4000 * seconds / 60 < backlog(4000, seconds, FULL) < 30_000


def test_a_worker_is_killed_every_five_seconds_each_in_its_turn() -> None:
    done: list[int] = []

    class Target:
        def replace_worker(self, number: int) -> None:
            done.append(number)

    steps = FAULTS["kill"].steps(FULL, 4)
    for step in steps:
        step.do(Target())  # type: ignore[arg-type]
    assert [step.at for step in steps] == [turn * KILL_EVERY for turn in range(48)]
    assert done == [0, 1, 2, 3] * 12


@pytest.mark.parametrize("scale", [FULL, SHORT])
def test_every_worker_that_is_stopped_goes_on_five_seconds_later(scale: object) -> None:
    done: list[tuple[str, int]] = []

    class Target:
        def stop_worker(self, number: int) -> None:
            done.append(("stop", number))

        def continue_worker(self, number: int) -> None:
            done.append(("continue", number))

    steps = FAULTS["stop"].steps(scale, 4)  # type: ignore[arg-type]
    for step in sorted(steps, key=lambda step: step.at):
        step.do(Target())  # type: ignore[arg-type]
    assert steps[1].at - steps[0].at == STOPPED_FOR
    assert done[:4] == [("stop", 0), ("continue", 0), ("stop", 1), ("continue", 1)]
    assert len(done) % 2 == 0


def test_the_full_scale_measures_whole_windows_and_whole_shifts_of_latency() -> None:
    assert FULL.measured % FULL.window == FULL.measured % (2 * SPELL) == 0


@pytest.mark.parametrize("scale", [FULL, SHORT])
def test_a_fault_leaves_time_for_the_pause_after_it(scale: object) -> None:
    for fault in FAULTS.values():
        last = max(step.at for step in fault.steps(scale, 4))  # type: ignore[arg-type]
        if fault.pauses:
            assert last + 2 * scale.warm_up < scale.measured_with_fault  # type: ignore[attr-defined]


def test_a_script_reads_the_stepped_clock_instead_of_redis_own() -> None:
    stepped = with_stepped_clock("#!lua flags=no-writes\nlocal t = redis.call('TIME')\nreturn t", "bench:clock")
    first, *rest = stepped.splitlines()
    assert first == "#!lua flags=no-writes"
    assert rest[0] == "local function bench_time()"
    assert "redis.call('GET', 'bench:clock')" in stepped
    assert rest[-2:] == ["local t = bench_time()", "return t"]


def test_a_script_without_a_clock_stays_as_it_is() -> None:
    assert with_stepped_clock("return redis.call('GET', 'TIME')", "k") == "return redis.call('GET', 'TIME')"


def test_every_script_of_the_quota_that_reads_the_clock_can_be_stepped() -> None:
    sources = [path.read_text() for room in ("quota", "places") for path in (ROOT / "store" / room).glob("*.lua")]
    reading = [source for source in sources if "TIME" in source]
    assert reading
    assert all("bench_time()" in with_stepped_clock(source, "k") for source in reading)


def test_the_cpu_time_of_a_process_that_has_gone_stays_counted() -> None:
    meter = CpuMeter()
    with subprocess.Popen([sys.executable, "-c", "sum(range(10**7)); input()"], stdin=subprocess.PIPE) as child:
        deadline = time.monotonic() + 30
        while meter.look([child.pid]) < 0.05:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        used = meter.look([child.pid])
        assert child.stdin is not None
        child.stdin.close()
    assert cpu_seconds(child.pid) is None
    own = cpu_seconds(os.getpid())
    assert own
    assert meter.look([child.pid]) == used
    assert meter.look([os.getpid()]) >= used + own


def look(commands: int, broker: int | None, cpu: float, calls: int) -> Look:
    return Look(
        store=Load({"evalsha": commands, "get": commands}, cpu),
        broker=None if broker is None else Load({"brpop": broker}, cpu),
        cpu=cpu,
        recorder_cpu=cpu / 10,
        scripts={"store/places/take": calls, "store/places/park": 3 * calls},
    )


def test_costs_are_told_for_each_check_of_the_steady_state() -> None:
    costs = costs_of(look(10, 100, 1, 5), look(30, 500, 3, 125), 100, 10, state=7, limiter="store/places/take")
    assert costs.calls == pytest.approx(1.2)
    assert costs.limiter_commands == pytest.approx(0.4)
    assert costs.commands == pytest.approx(4.4)
    assert costs.cpu_ms == pytest.approx(20)
    assert costs.recorder == pytest.approx(0.02)
    assert costs_of(look(10, 100, 1, 5), look(30, 500, 3, 125), 100, 10, 7, limiter=None).calls == pytest.approx(0.2)


def test_what_the_limiter_costs_is_not_told_where_one_redis_does_it_all() -> None:
    costs = costs_of(look(10, None, 1, 5), look(30, None, 3, 125), 100, 10, state=7, limiter=None)
    assert costs.calls is None
    assert costs.limiter_commands is None
    assert costs.commands == pytest.approx(0.4)


def row(times: list[int], quota: int) -> Row:
    before = look(0, 0, 0, 0)
    file = [time * SECOND for time in times]
    arrivals = ArrivalFile(Path("none")).lanes["text"]
    arrivals.times, arrivals.wall_times, arrivals.delays = file, file, [SECOND // 5] * len(file)
    span = Span(60 * SECOND, 180 * SECOND)
    costs = costs_of(before, before, arrivals_within(file, span), 120, 0, None)
    return row_of(
        arrivals,
        span,
        contender="wxcheck-text",
        lane="text",
        model="calm",
        fault="redis-lost",
        pauses=True,
        quota=quota,
        window=60,
        started=0,
        costs=costs,
    )


def test_a_burst_in_the_first_window_counts_as_the_most_but_not_as_use() -> None:
    found = row([1] * 120 + list(range(60, 180)), quota=60)
    assert found.most_in_window == 121  # the first of the steady state comes 59 s after the burst
    assert found.over
    assert found.use == pytest.approx(1, abs=0.01)


def test_the_longest_gap_is_told_as_the_pause_that_a_fault_forced_and_does_not_lower_the_use() -> None:
    found = row([*range(100), *range(160, 180)], quota=60)
    assert found.pause == found.longest_gap == 61
    assert found.use == pytest.approx(1, abs=0.03)


def test_a_run_in_which_nothing_came_in_the_steady_state_used_nothing() -> None:
    assert row([1, 2], quota=60).use == 0.0
    assert not row([], quota=60).over


def test_the_tables_say_what_was_over_and_hold_every_row() -> None:
    rows = [row(list(range(180)), quota=60), row([1] * 120, quota=60)]
    assert all(len(cells(one)) == len(HEADINGS) for one in rows)
    text, markdown = as_text(rows, SHORT, "a machine"), as_markdown(rows, SHORT, "a machine")
    assert "120!" in text
    assert "short scale: text 400, media 200 in 6 s" in text
    assert markdown.count("\n| wxcheck, text |") == 2
    assert len({line.count("|") for line in markdown.splitlines() if line.startswith("|")}) == 1


def test_the_rows_can_be_written_as_json() -> None:
    written = json.loads(json.dumps(row([1] * 120, quota=60).as_json()))
    assert (written["over"], written["costs"]["checks"]) == (True, 0)


def test_the_recording_server_answers_as_the_platform_and_notes_what_arrives(tmp_path: Path) -> None:
    port, file = free_port(), tmp_path / "arrivals"
    command = [sys.executable, "-m", "bench.quota.recorder", "--port", str(port), "--file", str(file)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as server, requests.Session() as session:
        try:
            assert server.stdout is not None
            assert b"recording at" in server.stdout.readline()
            before = time.monotonic_ns()
            base = f"http://127.0.0.1:{port}"
            text = session.post(f"{base}/wxa/msg_sec_check?access_token=t", data=b"{}", timeout=60)
            media = session.post(f"{base}/wxa/media_check_async", data=b"{}", timeout=60).json()
            token = session.post(f"{base}/cgi-bin/stable_token", data=b"{}", timeout=60).json()
            asked = {"cgi_path": "/wxa/msg_sec_check"}
            quota = session.post(f"{base}/cgi-bin/openapi/quota/get", json=asked, timeout=60).json()
            after = time.monotonic_ns()
        finally:
            server.terminate()
            server.wait(10)
    assert text.json() == {"errcode": 0, "errmsg": "ok"}
    assert text.elapsed.total_seconds() >= 0.19
    assert (media["errcode"], len(media["trace_id"])) == (0, 32)
    assert token["access_token"]
    assert quota["quota"] == {"daily_limit": 2_000_000, "used": 1, "remain": 1_999_999}
    arrivals = ArrivalFile(file)
    arrivals.update()
    assert [len(arrivals.lanes[lane].times) for lane in ("text", "media")] == [1, 1]
    assert before < arrivals.lanes["text"].times[0] < arrivals.lanes["media"].times[0] < after


def _drawn(model: str) -> list[float]:
    draw = latency(model, 1)
    return [draw(0) for _ in range(5000)]
