"""A text or URL with the magic word tells the sandbox what shall become of it."""

from __future__ import annotations

import pytest

from sandbox import scenarios
from sandbox.scenarios import NOTHING, Fault, ScenarioError, of_text, of_url


def test_a_text_without_the_magic_word_asks_for_nothing() -> None:
    assert of_text("Tea at five, and a sandbox for the children: risky?") is NOTHING


@pytest.mark.parametrize("text", ["sandbox:risky", "你好 sandbox=risky，再见", "(sandbox:risky)", "so sandbox:risky."])
def test_the_magic_word_is_found_anywhere_in_a_text(text: str) -> None:
    assert of_text(text).suggest == "risky"


def test_directives_are_separated_by_commas_and_written_down_for_the_keyword() -> None:
    scenario = of_text("a sandbox:review,label=20012,camel,no_trace_id,no_result b")
    assert (scenario.suggest, scenario.label, scenario.camel) == ("review", 20012, True)
    assert (scenario.no_trace_id, scenario.no_result) == (True, True)
    assert scenario.written == "sandbox:review,label=20012,camel,no_trace_id,no_result"


@pytest.mark.parametrize(
    "url",
    [
        "https://img.example/a.jpg?sandbox=risky,early,repeat=3",
        "https://img.example/a.jpg?x=1&sandbox=risky,early,repeat=3&y=2",
        "https://img.example/a.jpg?sandbox=risky%2Cearly%2Crepeat%3D3",
        "https://img.example/sandbox:risky,early,repeat=3/a.jpg",
        "https://img.example/sandbox:risky,early,repeat=3.jpg",
        "https://img.example/sandbox%3Arisky,early,repeat=3.PNG?x=1",
        "https://img.example/a.jpg#sandbox:risky,early,repeat=3",
    ],
)
def test_the_magic_word_is_found_in_path_query_and_fragment_of_a_url(url: str) -> None:
    scenario = of_url(url)
    assert (scenario.suggest, scenario.early, scenario.repeat) == ("risky", True, 3)


@pytest.mark.parametrize("url", ["http://sandbox:8090/a.jpg", "https://sandbox.example/a.jpg", "https://x/mysandbox=1"])
def test_a_host_named_sandbox_asks_for_nothing(url: str) -> None:
    assert of_url(url) is NOTHING


def test_what_befalls_media_only_is_read() -> None:
    scenario = of_url("https://x/?sandbox=error=-1009,details=3,delay=1.5,lost")
    assert (scenario.error, scenario.details, scenario.delay, scenario.lost) == (-1009, 3, 1.5, True)
    assert of_url("https://x/?sandbox=unfetchable").error == -1008


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("sandbox:errcode=44991", Fault("errcode", 44991)),
        ("sandbox:44991", Fault("errcode", 44991)),
        ("sandbox:-1*2", Fault("errcode", -1, 2)),
        ("sandbox:http=502", Fault("http", 502)),
        ("sandbox:reset", Fault("reset")),
        ("sandbox:reset=taken*1", Fault("reset", 0, 1, taken=True)),
        ("sandbox:html", Fault("html")),
        ("sandbox:garbage*3", Fault("garbage", 0, 3)),
    ],
)
def test_each_fault_is_read(text: str, fault: Fault) -> None:
    assert of_text(text).faults == (fault,)


def test_faults_with_a_count_happen_in_turn_and_then_no_more() -> None:
    scenario = of_text("sandbox:-1*2,http=502*1,risky")
    assert scenario.counted
    kinds = [fault and fault.kind for fault in map(scenario.fault_at, range(5))]
    assert kinds == ["errcode", "errcode", "http", None, None]


def test_a_fault_without_a_count_never_ends() -> None:
    scenario = of_text("sandbox:45009")
    assert not scenario.counted
    assert scenario.fault_at(10_000) == Fault("errcode", 45009)


def test_slow_may_have_a_count_of_its_own() -> None:
    assert [of_text("sandbox:slow=2.5*1").slow_at(call) for call in range(2)] == [2.5, 0]
    assert of_text("sandbox:slow=2").slow_at(99) == 2


@pytest.mark.parametrize(
    "directive",
    [
        "risqy",
        "risky;early",
        "risky=1",
        "risky*2",
        "early=yes",
        "label",
        "label=red",
        "label=1.5",
        "repeat=0",
        "repeat=101",
        "delay=-1",
        "delay=nan",
        "http=200",
        "reset=late",
        "html=1",
        "-1*0",
        "-1*",
        "risky,,early",
        "risky,pass",
    ],
)
def test_a_typo_does_not_pass_silently(directive: str) -> None:
    with pytest.raises(ScenarioError):
        of_text(f"sandbox:{directive} more")


def test_the_complaint_names_the_directive_and_lists_those_known() -> None:
    with pytest.raises(ScenarioError, match=r"'risqy'.*pass, review, risky"):
        of_url("https://x/?sandbox=risqy")


def test_every_directive_stands_in_the_table_of_the_docstring() -> None:
    table = scenarios.__doc__ or ""
    assert [name for name in scenarios._RULES if f"\n``{name}" not in table] == []
