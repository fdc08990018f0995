"""An option of the sandbox is checked by name, and no refusal repeats a value."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.options import OptionError, Options, parse_option


def test_the_defaults_push_every_verdict_once_and_soon() -> None:
    options = Options()
    assert options.push_delay == (0.1, 0.5)
    shares = [name for name in Options.model_fields if name.startswith(("fault_", "push_repeat", "push_lost"))]
    assert [name for name in shares if getattr(options, name)] == []


def test_changing_leaves_the_others_and_the_old_options_alone() -> None:
    before = Options().changed({"fault_busy": 0.5, "cloudbase_token": "cb"})
    after = before.changed({"push_format": "xml"})
    assert (after.fault_busy, after.push_format, before.push_format) == (0.5, "xml", "json")
    assert after.cloudbase_token is not None
    assert after.cloudbase_token.get_secret_value() == "cb"


@pytest.mark.parametrize(
    "changes",
    [
        {"fault_busy": 1.1},
        {"fault_busy": -0.1},
        {"fault_busy": float("nan")},
        {"push_mode": "open"},
        {"push_delay": [2, 1]},
        {"push_delay": [-1, 1]},
        {"push_delay": 1},
        {"push_attempts": 0},
        {"text_per_minute": "many"},
        {"token_seconds": 0},
    ],
)
def test_a_bad_value_is_refused_by_name(changes: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match=next(iter(changes))):
        Options().changed(changes)


def test_an_unknown_option_is_refused_by_name() -> None:
    with pytest.raises(OptionError, match="fault_bussy"):
        Options().changed({"fault_bussy": 0.1})


def test_no_refusal_repeats_a_value() -> None:
    with pytest.raises(OptionError) as caught:
        Options().changed({"cloudbase_token": ["hush-hush"]})
    assert "hush-hush" not in str(caught.value)


def test_the_cloudbase_token_is_not_shown() -> None:
    options = Options().changed({"cloudbase_token": "hush-hush"})
    assert "hush-hush" not in repr(options) + options.model_dump_json()


@pytest.mark.parametrize(
    ("argument", "parsed"),
    [
        ("fault_busy=0.1", ("fault_busy", 0.1)),
        ("push_delay=[0, 1]", ("push_delay", [0, 1])),
        ("push_format=xml", ("push_format", "xml")),
        ("ip_refused=true", ("ip_refused", True)),
        ("cloudbase_token=a=b", ("cloudbase_token", "a=b")),
    ],
)
def test_an_option_of_the_command_line_is_json_or_a_string(argument: str, parsed: tuple[str, Any]) -> None:
    assert parse_option(argument) == parsed


def test_an_option_of_the_command_line_needs_a_value() -> None:
    with pytest.raises(OptionError, match="name=value"):
        parse_option("fault_busy")
