"""The settings tell every fault in one message, and no secret in any.

Tests: config.settings, config.misspelt
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from config.misspelt import misspelt
from config.settings import PREFIX, Overrides, Process, Settings, SettingsError, load_settings, origins
from tests.support.processes import ROOT

KEY = "aeskeyOfTheTests0123456789abcdefghijklmnopq"
HUSH = "hush5ecre7hush5ecre7hush5ecre7"


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in os.environ:
        if name.startswith(("WXCHECK_", "CELERY_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def load(monkeypatch: pytest.MonkeyPatch, process: Process = "any", /, **variables: str) -> Settings:
    for name, value in variables.items():
        monkeypatch.setenv(f"WXCHECK_{name}", value)
    # past the cache, which is for processes whose environment stays
    return load_settings.__wrapped__(process)


def faults(monkeypatch: pytest.MonkeyPatch, process: Process = "any", /, **variables: str) -> list[str]:
    """The faults that loading tells, in one message."""
    with pytest.raises(SettingsError) as failure:
        load(monkeypatch, process, **variables)
    first, *lines, last = str(failure.value).split("\n")
    assert first == "wxcheck cannot start, its settings are wrong:"
    assert "docs/settings.md" in last
    assert all(line.startswith("  - WXCHECK_") for line in lines)
    return [line.removeprefix("  - ") for line in lines]


def test_the_defaults_are_those_that_the_table_promises(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(monkeypatch)
    assert settings.redis_url == settings.broker == settings.backend == "redis://127.0.0.1:6379/0"
    assert settings.api_base == "https://api.weixin.qq.com"
    assert settings.token_source == "stable"
    assert (settings.text_per_minute, settings.text_per_day) == (4_000, 2_000_000)
    assert (settings.media_per_minute, settings.media_per_day) == (2_000, 200_000)
    assert settings.day_reserve == 0
    assert (settings.api_timeout, settings.push_timeout, settings.max_age) == (10, 1_860, 6_600)
    assert (settings.callback_host, settings.callback_port) == ("127.0.0.1", 8080)
    assert settings.programs == {}
    assert settings.default_appid is None


def test_an_empty_variable_is_one_that_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [name.upper() for name in Settings.model_fields]
    assert load(monkeypatch, **dict.fromkeys(names, "")) == Settings(_env_file=None)


def test_a_file_named_env_is_read_and_the_environment_outranks_it(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("WXCHECK_APPID=wxfile\nWXCHECK_API_TIMEOUT=5\nOTHER=1\n", encoding="utf-8")
    settings = load(monkeypatch, API_TIMEOUT="6")
    assert (settings.appid, settings.api_timeout) == ("wxfile", 6)


def test_broker_and_backend_may_be_set_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(monkeypatch, BROKER_URL="amqp://rabbit//", RESULT_BACKEND="redis://results/1")
    assert (settings.broker, settings.backend) == ("amqp://rabbit//", "redis://results/1")


def test_every_fault_is_in_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    told = faults(
        monkeypatch,
        "worker",
        REDIS_URL="http://127.0.0.1/",
        API_BASE="ftp://a",
        APPID="wx!",
        TOKEN_SOURCE="magic",
        TEXT_PER_MINUTE="0",
        MEDIA_PER_DAY="many",
        API_TIMEOUT="-1",
        MAX_AGE="-1",
        API_RETRIES="-1",
        CALLBACK_PORT="65536",
        PUSH_PLAIN_ALLOWED="perhaps",
        PUSH_AES_KEY="short",
        APPS="{",
    )
    names = [fault.split(":")[0] for fault in told]
    assert sorted(names) == [
        "WXCHECK_API_BASE",
        "WXCHECK_API_RETRIES",
        "WXCHECK_API_TIMEOUT",
        "WXCHECK_APPID",
        "WXCHECK_APPS",
        "WXCHECK_CALLBACK_PORT",
        "WXCHECK_MAX_AGE",
        "WXCHECK_MEDIA_PER_DAY",
        "WXCHECK_PUSH_AES_KEY",
        "WXCHECK_PUSH_PLAIN_ALLOWED",
        "WXCHECK_REDIS_URL",
        "WXCHECK_TEXT_PER_MINUTE",
        "WXCHECK_TOKEN_SOURCE",
    ]
    assert "not 'magic'" in "\n".join(told)


def test_what_is_missing_is_told_beside_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    told = faults(monkeypatch, "worker", APPID="wxa", API_TIMEOUT="soon")
    assert [fault.split(":")[0].split(" ")[0] for fault in told] == ["WXCHECK_API_TIMEOUT", "WXCHECK_SECRET"]


@pytest.mark.parametrize("variables", [{"APPID": "wx!", "SECRET": "s"}, {"APPS": "{"}])
@pytest.mark.parametrize("process", ["worker", "endpoint"])
def test_a_setting_that_is_wrong_is_not_said_to_be_missing_too(
    monkeypatch: pytest.MonkeyPatch, process: Process, variables: dict[str, str]
) -> None:
    assert len(faults(monkeypatch, process, **variables)) == 1


@pytest.mark.parametrize(
    ("process", "variables", "missing"),
    [
        ("worker", {}, ["WXCHECK_APPID"]),
        ("endpoint", {}, ["WXCHECK_APPID"]),
        ("worker", {"APPID": "wxa"}, ["WXCHECK_SECRET"]),
        ("worker", {"APPID": "wxa", "TOKEN_SOURCE": "none"}, []),
        ("worker", {"APPID": "wxa", "TOKEN_SOURCE": "cloudbase"}, ["WXCHECK_CLOUDBASE_TOKEN_FILE"]),
        ("worker", {"APPID": "wxa", "TOKEN_SOURCE": "classic"}, ["WXCHECK_SECRET"]),
        ("endpoint", {"APPID": "wxa"}, ["WXCHECK_PUSH_TOKEN"]),
        ("endpoint", {"APPID": "wxa", "PUSH_TOKEN": "t"}, []),
        ("worker", {"APPS": '{"wxa": {"secret": "s"}, "wxb": {}}'}, ["WXCHECK_APPS.wxb.secret"]),
        ("endpoint", {"APPS": '{"wxa": {"secret": "s"}}'}, ["WXCHECK_APPS.wxa.push_token"]),
    ],
)
def test_each_process_says_what_it_lacks(
    monkeypatch: pytest.MonkeyPatch, process: Process, variables: dict[str, str], missing: list[str]
) -> None:
    if missing:
        assert [fault.split(" ")[0] for fault in faults(monkeypatch, process, **variables)] == missing
    else:
        load(monkeypatch, process, **variables)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PUSH_AES_KEY", HUSH),
        ("PUSH_AES_KEY_PREVIOUS", HUSH),
        ("PUSH_AES_KEY", HUSH + "=" * 13),
        ("REDIS_URL", f"http://:{HUSH}@127.0.0.1/"),
        ("API_BASE", f"ftp://a:{HUSH}@b"),
        ("APPS", f'{{"wxa": "{HUSH}"'),
        ("APPS", json.dumps({"wxa": HUSH})),
        ("APPS", json.dumps({"wxa": {"secret": [HUSH]}})),
        ("APPS", json.dumps({"wxa": {"push_aes_key": HUSH}})),
        ("APPS", json.dumps({"wxa": {"secrets": HUSH}})),
        ("APPS", json.dumps([HUSH])),
        ("APPS", json.dumps(HUSH)),
    ],
)
def test_a_fault_of_what_may_be_a_secret_is_told_without_its_value(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    told = "\n".join(faults(monkeypatch, **{name: value}))
    assert f"WXCHECK_{name}" in told
    assert "hush" not in told


def test_a_variable_that_celery_would_take_in_place_of_ours_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELERY_RESULT_BACKEND", "redis://127.0.0.1:6379/0")
    load(monkeypatch)  # the same as ours
    monkeypatch.setenv("CELERY_BROKER_URL", "redis://:pass@elsewhere/0")
    with pytest.raises(SettingsError, match=r"CELERY_BROKER_URL is set.*in place of WXCHECK_BROKER_URL") as failure:
        load(monkeypatch)
    assert "pass@" not in str(failure.value)


def test_no_secret_is_in_a_repr(monkeypatch: pytest.MonkeyPatch) -> None:
    key = HUSH.ljust(43, "A")
    entry = {"secret": HUSH, "push_token": HUSH, "push_aes_key": key, "push_aes_key_previous": key}
    settings = load(
        monkeypatch,
        APPID="wxa",
        **{name.upper(): value for name, value in entry.items()},
        APPS=json.dumps({"wxb": entry}),
        REDIS_URL=f"redis://:{HUSH}@127.0.0.1/0",
        BROKER_URL=f"amqp://a:{HUSH}@rabbit//",
        RESULT_BACKEND=f"redis://:{HUSH}@127.0.0.1/1",
    )
    shown = [repr(settings), str(settings), repr(settings.programs), repr(settings.programs["wxb"])]
    shown += [repr(settings.programs["wxb"].aes_keys), f"{settings.apps['wxb']}"]
    assert [text for text in shown if "hush" in text] == []


def test_settings_do_not_change_once_they_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(monkeypatch, APPID="wxa")
    with pytest.raises(ValidationError):
        settings.appid = "wxb"  # type: ignore[misc]  # that is what is tried


def apps(**entries: dict[str, Any]) -> str:
    return json.dumps(entries)


def test_the_default_mini_program_is_appid_or_the_only_one_of_apps(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load(monkeypatch, APPS=apps(wxa={})).default_appid == "wxa"
    assert load(monkeypatch, APPS=apps(wxa={}, wxb={})).default_appid is None
    assert load(monkeypatch, APPID="wxc").default_appid == "wxc"
    assert list(load(monkeypatch).programs) == ["wxc", "wxa", "wxb"]


def test_an_entry_of_apps_inherits_quotas_but_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(
        monkeypatch,
        APPID="wxa",
        SECRET=HUSH,
        PUSH_TOKEN=HUSH,
        PUSH_AES_KEY=KEY,
        PUSH_AES_KEY_PREVIOUS=KEY,
        PUSH_PLAIN_ALLOWED="true",
        TEXT_PER_MINUTE="100",
        MEDIA_PER_DAY="7",
        APPS=apps(wxb={"text_per_minute": 5}, wxc={"secret": "other", "push_plain_allowed": False}),
    )
    mine, second, third = (settings.programs[appid] for appid in ("wxa", "wxb", "wxc"))
    assert (second.text_per_minute, second.media_per_day, second.text_per_day) == (5, 7, 2_000_000)
    assert (mine.text_per_minute, third.text_per_minute) == (100, 100)
    assert (second.push_plain_allowed, third.push_plain_allowed) == (True, False)
    assert (second.secret, second.push_token, second.aes_keys) == (None, None, [])
    assert third.secret is not None
    assert third.secret.get_secret_value() == "other"
    assert [key.get_secret_value() for key in mine.aes_keys] == [KEY, KEY]


def test_an_entry_of_apps_has_the_common_reserve_or_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(monkeypatch, APPID="wxa", DAY_RESERVE="0.2", APPS=apps(wxb={"day_reserve": 0.5}, wxc={}))
    assert [settings.programs[appid].day_reserve for appid in ("wxa", "wxb", "wxc")] == [0.2, 0.5, 0.2]


def test_the_rates_that_an_entry_of_apps_has_of_its_own_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = apps(wxa={"media_per_minute": 9}, wxb={"text_per_minute": 5, "text_per_day": 7}, wxc={"secret": "s"})
    settings = load(monkeypatch, APPID="wxa", TEXT_PER_MINUTE="100", APPS=entries)
    own = {appid: set(program.own_rates) for appid, program in settings.programs.items()}
    assert own == {"wxa": {"media_per_minute"}, "wxb": {"text_per_minute"}, "wxc": set()}


@pytest.mark.parametrize("value", ["1", "-0.1", "nan", "half"])
def test_a_reserve_is_a_share_below_one(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    (told,) = faults(monkeypatch, DAY_RESERVE=value)
    assert told.startswith("WXCHECK_DAY_RESERVE: ")
    assert value in told


@pytest.mark.parametrize("value", ["0", "38.5", "inf"])
def test_a_call_may_take_38_seconds_at_most(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    (told,) = faults(monkeypatch, API_TIMEOUT=value)
    assert told.startswith("WXCHECK_API_TIMEOUT: ")
    assert load(monkeypatch, API_TIMEOUT="38").api_timeout == 38


def test_an_entry_of_apps_may_complete_the_default_mini_program(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(monkeypatch, "worker", APPID="wxa", APPS=apps(wxa={"secret": "s"}, wxb={"secret": "s"}))
    assert settings.default_appid == "wxa"
    assert list(settings.programs) == ["wxa", "wxb"]


@pytest.mark.parametrize(
    "key",
    ["", "a" * 42, "a" * 44, "a" * 42 + "=", "a" * 42 + "汉", "a" * 42 + "!", "a" * 42 + "\n"],
)
def test_an_aes_key_has_43_letters_and_digits(key: str) -> None:
    with pytest.raises(ValidationError, match="43 letters and digits"):
        Settings(_env_file=None, push_aes_key=key)


@pytest.mark.parametrize("command", [["-m", "celery", "-A", "worker", "worker"], ["-m", "callbacks"]])
def test_a_process_that_cannot_start_prints_all_that_it_lacks_and_no_traceback(command: list[str]) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WXCHECK_")}
    environment |= {"WXCHECK_APPID": "wxa", "WXCHECK_CALLBACK_PORT": "many", "WXCHECK_PUSH_AES_KEY": HUSH}
    ended = subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    output = ended.stdout + ended.stderr
    assert ended.returncode != 0
    missing = "WXCHECK_PUSH_TOKEN" if "callbacks" in command else "WXCHECK_SECRET"
    for name in ("WXCHECK_CALLBACK_PORT", "WXCHECK_PUSH_AES_KEY", missing):
        assert output.count(f"- {name}") == 1, output
    assert "Traceback" not in output
    assert "hush" not in output


def test_where_each_setting_came_from_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "wxcheck_secret").write_text("of the file")
    (tmp_path / "wxcheck_appid").write_text("wxOfTheFile")
    (tmp_path / ".env").write_text("WXCHECK_APPID=wxOfDotEnv\nWXCHECK_API_RETRIES=2\nWXCHECK_MAX_AGE=\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(Settings.model_config, "secrets_dir", tmp_path)
    monkeypatch.setenv("WXCHECK_API_RETRIES", "3")
    assert origins() == {"secret": "secrets file", "appid": ".env", "api_retries": "environment"}


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.8.8.8"])
def test_the_board_needs_no_password_on_loopback(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    settings = load(monkeypatch, "board", APPID="wxa", BOARD_HOST=host)
    assert (settings.board_host, settings.board_port, settings.board_password) == (host, 8070, None)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "board.example.com"])  # noqa: S104
def test_the_board_needs_a_password_elsewhere(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    (told,) = faults(monkeypatch, "board", APPID="wxa", BOARD_HOST=host)
    assert told.startswith(f"WXCHECK_BOARD_PASSWORD is missing: {host} can be reached from outside")
    # only the board listens there
    assert load(monkeypatch, "any", APPID="wxa", BOARD_HOST=host).board_host == host
    settings = load(monkeypatch, "board", APPID="wxa", BOARD_HOST=host, BOARD_PASSWORD=HUSH)
    assert HUSH not in repr(settings)


def test_a_short_password_of_the_board_is_refused_without_saying_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert faults(monkeypatch, "any", BOARD_PASSWORD="hush") == [
        "WXCHECK_BOARD_PASSWORD: must have 8 characters or more"
    ]


def test_a_command_line_outranks_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WXCHECK_BOARD_PORT", "1111")
    monkeypatch.setenv("WXCHECK_APPID", "wxa")
    assert load_settings.__wrapped__("board", board_port=2222).board_port == 2222
    monkeypatch.setenv("WXCHECK_API_TIMEOUT", "soon")
    with pytest.raises(SettingsError) as failure:
        load_settings.__wrapped__("board", board_host="0.0.0.0")  # noqa: S104
    assert "WXCHECK_API_TIMEOUT" in str(failure.value)
    assert "0.0.0.0 can be reached" in str(failure.value)


def test_every_misspelt_setting_is_told_with_the_one_that_is_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "wxcheck_secrt").write_text(HUSH)
    (tmp_path / "secrets" / "of_something_else").write_text(HUSH)
    monkeypatch.setitem(Settings.model_config, "secrets_dir", tmp_path / "secrets")
    Path(".env").write_text(f"WXCHECK_PUSH_TOKN={HUSH}\nOTHER=1\n", encoding="utf-8")
    told = faults(
        monkeypatch,
        TEXT_PER_MINUT="4000",
        ZZZ=HUSH,
        API_TIMEOUT="soon",
        APPS=apps(wxa={"text_per_minut": 5, "qqqq": 1}),
    )
    assert {fault.split(":")[0]: fault.rpartition("; did you mean ")[2] for fault in told if "; " in fault} == {
        "WXCHECK_TEXT_PER_MINUT": "WXCHECK_TEXT_PER_MINUTE?",
        "WXCHECK_PUSH_TOKN": "WXCHECK_PUSH_TOKEN?",
        "WXCHECK_SECRT": "WXCHECK_SECRET?",
        "WXCHECK_APPS.wxa.text_per_minut": "text_per_minute?",
    }
    assert {fault for fault in told if "; " not in fault} >= {
        "WXCHECK_ZZZ: in the environment, is no setting",
        "WXCHECK_APPS.wxa.qqqq: is no setting",
    }
    assert any(fault.startswith("WXCHECK_API_TIMEOUT: ") for fault in told)
    assert "hush" not in "\n".join(told)


def test_variables_that_are_for_docker_compose_are_no_fault() -> None:
    compose = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    read = dict.fromkeys(re.findall(r"\$\{(WXCHECK_\w+)", compose), "value")
    assert read
    assert list(misspelt({"in .env": read}, Settings.model_fields, PREFIX)) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("REDIS_SERVICE_HOST", "10.0.0.7"),
        ("REDIS_SERVICE_PORT", "6379"),
        ("REDIS_SERVICE_PORT_STORE", "6379"),
        ("REDIS_PORT", "tcp://10.0.0.7:6379"),
        ("REDIS_PORT_6379_TCP", "tcp://10.0.0.7:6379"),
        ("REDIS_PORT_6379_TCP_ADDR", "10.0.0.7"),
        ("SERVICE_HOST", "10.0.0.7"),
        ("PORT", "tcp://10.0.0.7:8080"),
    ],
)
def test_what_kubernetes_says_of_a_service_is_no_misspelt_setting(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    load(monkeypatch, **{name: value})


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("TEXT_PER_MINUTE", "600000"),
        ("MEDIA_PER_MINUTE", "600000"),
        ("TEXT_PER_DAY", "864000000"),
        ("MEDIA_PER_DAY", "864000000"),
        ("API_TIMEOUT", "38"),
        ("API_RETRIES", "100"),
        ("RETRY_DELAY", "60"),
        ("PUSH_TIMEOUT", "2592000"),
        ("MAX_AGE", "2592000"),
        ("DEAD_LETTER_DAYS", "366"),
        ("CALLBACK_PORT", "65535"),
        ("BOARD_PORT", "65535"),
    ],
)
def test_what_is_numeric_has_a_bound_that_is_told(monkeypatch: pytest.MonkeyPatch, name: str, most: str) -> None:
    load(monkeypatch, **{name: most})
    (told,) = faults(monkeypatch, **{name: str(int(most) + 1)})
    assert told.startswith(f"WXCHECK_{name}: ")
    assert most in told
    if name.endswith(("_MINUTE", "_DAY")):
        monkeypatch.delenv(f"WXCHECK_{name}")
        (told,) = faults(monkeypatch, APPS=apps(wxa={name.lower(): int(most) + 1}))
        assert told.startswith(f"WXCHECK_APPS.wxa.{name.lower()}: ")


def test_every_numeric_setting_has_an_upper_bound() -> None:
    numeric = {"integer", "number"}

    def bounded(schema: dict[str, Any]) -> bool:
        options = [part for part in schema.get("anyOf", [schema]) if part.get("type") in numeric]
        return all({"maximum", "exclusiveMaximum"} & part.keys() for part in options)

    for model in (Settings, Overrides):
        fields = model.model_json_schema()["properties"]
        assert [name for name, schema in fields.items() if not bounded(schema)] == []
