"""The bench of overhead reckons and draws right, in its pure parts.

Tests: bench.overhead
"""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree

import pytest

from bench.overhead import names, pushes, slowlog
from bench.overhead.clones import Template
from bench.overhead.figures import FIGURES
from bench.overhead.notes import Note, Notebook, Notes
from bench.overhead.outcome import Row, Target, at_least, at_most, percentile, ratio, steady_rate
from bench.overhead.platform import Platform
from bench.overhead.scale import FULL, QUICK
from bench.overhead.side import ALLOCATOR, CHECKS_ONLY
from bench.overhead.table import HEADINGS, as_markdown, as_text, cells, number
from bench.servers import APPID
from tests.support.compose import SERVICES
from wechat.push.envelope import decrypt, sign

MACHINE = {"cores": "2", "cpu": "a CPU", "system": "Linux 6", "python": "3.11", "redis": "Valkey 9.1.0"}


def row(**changed: Any) -> Row:
    given: dict[str, Any] = {"ours": [90.0, 50.0, 80.0], "peers": [100.0, 100.0, 100.0], "peer": "bare"}
    return Row("text", "text checks", "1/s", **{**given, **changed})


def test_a_ratio_is_the_median_of_the_rounds_ratios_not_the_ratio_of_medians() -> None:
    found = row(ours=[10.0, 20.0, 90.0], peers=[10.0, 40.0, 30.0])
    assert found.ratios == [1.0, 0.5, 3.0]
    assert found.ratio == 1.0
    assert (found.value, found.peer_value) == (20.0, 30.0)


@pytest.mark.parametrize(
    ("target", "reached"), [(at_least(0.8), True), (at_least(0.81), False), (at_most(0.8), True), (at_most(0.7), False)]
)
def test_a_target_is_reached_at_its_bound(target: Target, reached: bool) -> None:
    assert row(target=target).is_reached is reached


def test_a_figure_of_its_own_is_judged_by_its_value() -> None:
    alone = row(ours=[3.0, 4.0, 9.0], peers=[], target=Target("at most", 4, of_value=True))
    assert (alone.is_reached, alone.ratio, alone.ratios) == (True, None, [])
    assert row().is_reached is None


def test_rounds_of_different_numbers_are_no_pairs() -> None:
    with pytest.raises(ValueError, match="zip"):
        _ = row(ours=[1.0]).ratios


def test_there_is_no_ratio_to_nothing() -> None:
    assert ratio(0, 0) == 1
    with pytest.raises(ValueError, match="peer did not run"):
        ratio(1, 0)


def test_a_rate_leaves_out_ramp_up_and_tail() -> None:
    steady = [10 + step / 100 for step in range(100)]  # 100 a second
    steady[:5] = [0.0] * 5
    steady[95:] = [99.0] * 5
    assert steady_rate(steady) == pytest.approx(100)
    assert steady_rate(steady[::-1]) == pytest.approx(100)


def test_a_rate_of_hardly_anything_is_refused() -> None:
    for times in ([], [1.0], [2.0] * 50):
        with pytest.raises(ValueError, match="too few"):
            steady_rate(times)


def test_a_percentile_is_one_of_the_values() -> None:
    values = [float(value) for value in range(1, 101)]
    assert [percentile(values, share) for share in (0.5, 0.99, 1.0)] == [50, 99, 100]
    assert percentile([7.0], 0.99) == 7
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)


def test_the_table_says_what_is_beside_what_and_whether_that_is_enough() -> None:
    table = as_text([row(target=at_least(0.85)), row(ours=[3.5], peers=[], peer="")], "a machine")
    lines = table.splitlines()
    assert lines[0] == "a machine"
    assert lines[2].split() == [heading for heading in HEADINGS if heading]
    assert "text checks [bare]" in lines[4]
    assert lines[4].endswith("0.80  0.50–0.90  ≥ 0.85  missed")
    assert lines[5].split()[-1] == "3.5"
    assert len(cells(row())) == len(HEADINGS)


@pytest.mark.parametrize(("value", "told"), [(0, "0"), (0.01234, "0.0123"), (12.34, "12.3"), (1234.5, "1,234")])
def test_numbers_are_told_with_three_digits(value: float, told: str) -> None:
    assert number(value) == told


def test_a_row_can_be_written_as_json() -> None:
    written = json.loads(json.dumps(row(target=at_least(0.8)).as_json()))
    assert written["ratio"] == {"median": 0.8, "rounds": [0.9, 0.5, 0.8]}
    assert (written["target"], written["reached"], written["peer"]["what"]) == ("≥ 0.8", True, "bare")
    assert row(peers=[], peer="").as_json()["ratio"] is None


ID, FOLLOW, TAG, SENDER = (f"{digit * 8}-1111-4111-8111-111111111111" for digit in "abcd")


def template() -> Template:
    body = [[], {"media_url": "https://img.example.com/1.png"}, {"chain": [{"options": {"task_id": FOLLOW}}]}]
    message = {
        "body": base64.b64encode(json.dumps(body).encode()).decode(),
        "headers": {"id": ID, "root_id": ID},
        "properties": {"correlation_id": ID, "delivery_tag": TAG, "reply_to": SENDER},
    }
    return Template("a-queue", json.dumps(message))


def test_clones_differ_in_their_ids_and_in_nothing_else() -> None:
    clones = template().clones()
    one, other = json.loads(next(clones)), json.loads(next(clones))
    for clone in (one, other):
        headers, properties = clone["headers"], clone["properties"]
        assert headers["id"] == headers["root_id"] == properties["correlation_id"] != ID
        assert properties["reply_to"] == SENDER
        (args, kwargs, embedded) = json.loads(base64.b64decode(clone["body"]))
        assert (args, kwargs["media_url"]) == ([], "https://img.example.com/1.png")
        follow = embedded["chain"][0]["options"]["task_id"]
        assert len({follow, headers["id"], properties["delivery_tag"], ID, FOLLOW, TAG}) == 6
    assert one["headers"]["id"] != other["headers"]["id"]
    assert one["properties"]["delivery_tag"] != other["properties"]["delivery_tag"]
    assert len(json.dumps(one)) == len(template().raw)


def test_a_push_is_signed_and_sealed_as_the_platforms() -> None:
    head, _, body = pushes.request(7, sealed=True).partition(b"\r\n\r\n")
    target = head.split(b" ")[1].decode()
    query = dict(pair.split("=") for pair in target.partition("?")[2].split("&"))
    envelope = json.loads(body)["Encrypt"]
    assert query["nonce"] == "7"
    assert query["msg_signature"] == sign(names.PUSH_TOKEN, query["timestamp"], "7", envelope)
    message, appid = decrypt(envelope, names.PUSH_AES_KEY)
    assert (json.loads(message)["trace_id"], appid) == (names.trace_id(7), APPID)
    assert json.loads(pushes.request(7, sealed=False).partition(b"\r\n\r\n")[2]) == json.loads(message)


def test_a_trace_id_tells_its_number() -> None:
    assert names.number_of(names.trace_id(10_000_123)) == 10_000_123
    assert len(names.trace_id(0)) == len(names.trace_id(2**40)) == 32


def test_notes_are_read_once_and_whole(tmp_path: Path) -> None:
    notes = Notes(tmp_path / "notes")
    assert (notes.fresh(), notes.count()) == ([], 0)
    book = Notebook(str(notes.path))
    book.note(3)
    book.note(4)
    with notes.path.open("ab") as file:
        file.write(b"half")
    found = notes.fresh()
    assert [note.number for note in found] == [3, 4]
    assert 0 <= found[1].at - found[0].at < 10
    assert (notes.fresh(), notes.count()) == ([], 2)
    assert isinstance(found[0], Note)


def test_a_table_of_the_documentation_says_what_was_to_reach() -> None:
    told = as_markdown([row(target=at_least(0.5)), row(target=at_least(2)), row(peers=[])], "a machine").splitlines()
    assert told[2] == "| text checks [bare] | 80 1/s | 100 1/s | 0.80 (0.50–0.90) | ≥ 0.5 ✓ |"
    assert told[3].endswith("| ≥ 2 **missed** |")
    assert told[4:] == ["| text checks [bare] | 80 1/s |  |  |  |", "", "a machine."]


def test_scripts_that_run_one_after_the_other_take_the_sum_of_their_medians() -> None:
    times = {"push": [10, 12, 50], "claim": [4, 4, 4], "fetch": [1] * 60}
    assert slowlog.together(times, ("push", "claim")) == 12 + 4


def results() -> dict[str, Any]:
    rows = [row(target=at_least(0.85)), row(target=at_least(2), ours=[200.0] * 3)]
    seconds = {
        name: [step / 1000 for step in range(1, 900)]
        for name in ("idle", "three bare hops", "backlog, at the platform's quotas", "backlog, quotas lifted")
    }
    sizes = [1000, 10_000]
    return {
        "machine": MACHINE,
        "quick": True,
        "rows": [row.as_json() for row in rows],
        "series": {
            "latency": {"seconds": seconds, "backlog": 20_000},
            "parked": {"sizes": sizes, "state": [900.0, 880.0], "result": [400.0, 390.0], "message": [1500.0, 1490.0]},
            "finish": {
                "sizes": sizes,
                "milliseconds": [[10.0, 11.0, 12.0], [10.0, 12.0, 14.0]],
                "redis_microseconds": [300.0, 310.0],
            },
            "memory": {"checks": [0, 500], "mib": [80.0, 90.0], "seconds": [0.0, 4.0]},
            "closed": {
                "appids": [1, 10],
                "clients": [20, 24],
                "descriptors": [33, 37],
                "threads": [12, 20],
                "commands": [40.0, 40.0],
                "cpu": [1.0, 1.0],
            },
            "scaling": {"processes": [1, 2], "cores": 2, "wxcheck": [100.0, 150.0], "bare": [120.0, 170.0]},
        },
    }


@pytest.fixture
def plots() -> ModuleType:
    from bench.overhead import plots  # here: Matplotlib takes a second of each process that collects the tests

    return plots


def test_every_plot_is_a_small_picture_that_the_same_results_draw_again(tmp_path: Path, plots: ModuleType) -> None:
    written = plots.draw(results(), tmp_path)
    assert [path.stem for path in written] == list(plots.PLOTS)
    for path in written:
        assert ElementTree.parse(path).getroot().tag.endswith("svg")  # noqa: S314 - it was written here
        assert 2_000 < path.stat().st_size < 100_000
        assert "2 cores of a CPU" in path.read_text()
        assert "a quick look" in path.read_text()
    again = plots.draw(results(), tmp_path / "again")
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in written]


def test_what_was_not_measured_is_not_drawn(tmp_path: Path, plots: ModuleType) -> None:
    given = results()
    memory = {"memory": given["series"]["memory"]}
    written = plots.draw({**given, "rows": [], "series": memory}, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [path.name for path in written] == ["memory.svg"]


def test_the_plot_of_what_is_not_measured_this_time_stays(tmp_path: Path, plots: ModuleType) -> None:
    given = results()
    before = plots.draw(given, tmp_path)
    other = {**given["rows"][0], "figure": "trips"}
    assert plots.draw({**given, "rows": [other], "series": {}}, tmp_path) == []
    assert [path for path in before if not path.exists()] == []


def test_a_quick_look_is_smaller_in_everything() -> None:
    for name in ("rounds", "warm_up", "texts", "chains", "pushes", "probes", "backlog", "finishes", "sweeps", "trips"):
        assert getattr(QUICK, name) < getattr(FULL, name), name
    assert FULL.beside == (1_000, 50_000, 200_000, 1_000_000)
    assert FULL.memory == (10_000, 100_000)


def test_every_figure_says_what_it_measures() -> None:
    for name, figure in FIGURES.items():
        module = __import__(figure.run.__module__, fromlist=["run"])
        assert f"``{name}``" in (module.__doc__ or ""), name


def test_workers_are_measured_as_compose_starts_them() -> None:
    workers = {name: service for name, service in SERVICES.items() if name.startswith("worker-")}
    assert workers
    for name, service in workers.items():
        assert ALLOCATOR.items() <= service["environment"].items(), name
        assert any(f"-Q {queue} " in service["command"] for queue in CHECKS_ONLY) is ("cpu_shares" in service), name


def test_the_stand_in_pushes_a_picture_so_long_after_its_answer_or_not_at_all() -> None:
    sent: list[tuple[float, bytes]] = []

    class Endpoint:
        def send(self, request: bytes, _: Any) -> None:
            sent.append((asyncio.get_running_loop().time(), request))

    async def run() -> float:
        platform = Platform(Endpoint(), sealed=False)  # type: ignore[arg-type]
        platform.media()
        platform.set({"push_after": (0.2, 0.4)})
        began = asyncio.get_running_loop().time()
        for _ in range(20):
            platform.media()
        await asyncio.sleep(1)
        return began

    began = asyncio.run(run())
    seconds = [at - began for at, _ in sent]
    assert len(seconds) == 20
    assert min(seconds) >= 0.19
    assert max(seconds) - min(seconds) > 0.02
    assert {request.count(names.trace_id(0).encode()) for _, request in sent} == {0}
