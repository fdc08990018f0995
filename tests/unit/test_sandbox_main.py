"""The sandbox's command line finds its port and its Mini Programs, and explains itself where it is wrong.

Tests: sandbox.__main__, sandbox.credentials
"""

from __future__ import annotations

import re
from typing import Any

import pytest
from click.testing import CliRunner

from config.settings import Settings
from sandbox.__main__ import default_port, is_loopback, main, push_url_of
from sandbox.credentials import DEMO_ENVIRONMENT, programs_of


def settings(**given: Any) -> Settings:
    return Settings(_env_file=None, **given)


@pytest.mark.parametrize(
    ("api_base", "port"),
    [
        ("http://127.0.0.1:9001", 9001),
        ("http://localhost:9001", 9001),
        ("http://127.0.0.1", 80),
        ("https://127.0.0.1:9001", 8090),
        ("https://api.weixin.qq.com", 8090),
        ("http://sandbox:9001", 8090),
    ],
)
def test_the_default_port_is_where_the_workers_look_on_this_machine(api_base: str, port: int) -> None:
    assert default_port(settings(api_base=api_base)) == port


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),  # noqa: S104
        ("::", False),
        ("example.com", False),
    ],
)
def test_a_host_is_of_this_machine_or_not(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


def test_pushes_of_other_mini_programs_go_to_a_url_of_their_own() -> None:
    assert push_url_of("http://x/push", "wx1", "wx1") == "http://x/push"
    assert push_url_of("http://x/push/", "wx2", "wx1") == "http://x/push/wx2"
    assert push_url_of("http://x/push", "wx2", None) == "http://x/push/wx2"
    assert push_url_of("http://x/{appid}/push", "wx1", "wx1") == "http://x/wx1/push"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--host", "0.0.0.0"], "--allow-remote"),  # noqa: S104
        (["--option", "fault_bussy=1"], "fault_bussy"),
        (["--option", "fault_busy"], "name=value"),
        (["--push-url", "ftp://x"], "http(s)"),
    ],
)
def test_a_wrong_command_line_is_explained(arguments: list[str], complaint: str) -> None:
    outcome = CliRunner().invoke(main, ["--port", "0", *arguments])
    assert outcome.exit_code == 2
    assert complaint in outcome.output


def test_the_demonstration_s_credentials_have_the_right_shape() -> None:
    assert re.fullmatch(r"wx[0-9a-f]{16}", DEMO_ENVIRONMENT["WXCHECK_APPID"])
    assert len(DEMO_ENVIRONMENT["WXCHECK_SECRET"]) == 32
    assert re.fullmatch(r"[A-Za-z0-9]{43}", DEMO_ENVIRONMENT["WXCHECK_PUSH_AES_KEY"])
    programs, default, demo = programs_of(settings(appid=None, apps={}, text_per_minute=7))
    assert (list(programs), demo) == ([default], True)
    assert (programs[str(default)].text_per_minute, len(programs[str(default)].aes_keys)) == (7, 1)


def test_configured_mini_programs_take_the_place_of_the_demonstration_s() -> None:
    programs, default, demo = programs_of(settings(appid="wx1", apps={"wx2": {}}))
    assert (set(programs), default, demo) == ({"wx1", "wx2"}, "wx1", False)
