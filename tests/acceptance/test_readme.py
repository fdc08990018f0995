"""The tables, commands and snippets of the README and of docs/ are those of the code, in both languages.

Tests: README.md, README.zh-CN.md
"""

from __future__ import annotations

import ast
import json
import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from pydantic.fields import FieldInfo

import wxcheck
from config.settings import Overrides, Settings
from ops.cli.main import main
from tests.support.commands import wxcheck_command
from tests.support.processes import ROOT, Running
from tests.support.system import System
from wechat.push import outcomes
from wechat.push.outcomes import Outcome, Refusal


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


#: the pages that are in Chinese too
TWINS = [
    "README.md",
    *(f"docs/{page}.md" for page in ("application", "deploying", "endpoint", "settings", "troubleshooting")),
]
#: words of the README at most: what is more belongs into docs/
LENGTH = 1_600


def chinese(name: str) -> str:
    return name.replace(".md", ".zh-CN.md")


def in_both(*names: str) -> pytest.MarkDecorator:
    """Each of the pages as ``page``, in English and in Chinese."""
    pages = [page for name in names for page in (name, chinese(name))]
    return pytest.mark.parametrize("page", [read(page) for page in pages], ids=pages)


def blocks(text: str, language: str = "") -> list[str]:
    """The fenced blocks of a language, without their indentation."""
    found = re.findall(r"^( *)```(\w*)\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL)
    return [block for _, tongue, block in found if tongue == language]


def rows(text: str) -> list[list[str]]:
    """The cells of every row of a table, headings too."""
    lines = re.findall(r"^\| .*\|$", text, re.MULTILINE)
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def default_of(field: FieldInfo) -> str:
    default = field.get_default(call_default_factory=True)
    if default in (None, "", {}):
        return "–"
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def bare(code: str) -> str:
    """Code without its comments, which are in the language of the README."""
    return ast.dump(ast.parse(code))


def links(text: str) -> list[str]:
    """The pages that a page leads to, without their anchors, its twin, and the language of the others."""
    targets = re.findall(r"\]\(([^)#\s]+)", re.sub(r"^\[(?:中文|English)\].*$", "", text, count=1, flags=re.MULTILINE))
    return [target.replace(".zh-CN.md", ".md") for target in targets]


@pytest.mark.parametrize("name", TWINS)
def test_both_languages_have_the_same_structure(name: str) -> None:
    english, other = read(name), read(chinese(name))
    assert re.findall(r"^#+(?= )", english, re.MULTILINE) == re.findall(r"^#+(?= )", other, re.MULTILINE)
    assert [len(row) for row in rows(english)] == [len(row) for row in rows(other)]
    assert blocks(english) == blocks(other)
    assert [bare(code) for code in blocks(english, "python")] == [bare(code) for code in blocks(other, "python")]
    assert sorted(links(english)) == sorted(links(other))


@pytest.mark.parametrize("name", TWINS)
def test_a_page_in_chinese_leads_to_pages_in_chinese_where_they_are(name: str) -> None:
    targets = re.findall(r"\]\(([^)#\s]+\.md)", read(chinese(name)))
    folder = (ROOT / name).parent
    own = (folder / name.split("/")[-1]).name
    assert [target for target in targets if target != own and (folder / chinese(target)).is_file()] == []


def test_the_readme_is_short() -> None:
    assert len(read("README.md").split()) <= LENGTH


@in_both("docs/settings.md")
def test_every_setting_is_listed_with_its_default_and_no_other(page: str) -> None:
    listed = dict(re.findall(r"^\| `([A-Z_]+)` \| (`[^`]+`|–) \|", page, re.MULTILINE))
    assert listed == {name.upper(): default_of(field) for name, field in Settings.model_fields.items()}


@in_both("docs/settings.md")
def test_every_entry_of_apps_is_named_and_no_other(page: str) -> None:
    (sentence,) = re.findall(r"^(?:An entry of `APPS`|`APPS` 的每一项).*?(?:\.|。)$", page, re.MULTILINE | re.DOTALL)
    named = set(re.findall(r"`([a-z_]+)`", sentence))
    assert named == set(Overrides.model_fields)


@in_both("README.md", "docs/application.md")
def test_every_failure_is_listed_and_no_other(page: str) -> None:
    (table,) = re.findall(r"^\| (?:failure|失败) \|.*\n((?:\|.*\n)+)", page, re.MULTILINE)
    listed = [row[0].strip("`") for row in rows(table)]
    assert sorted(listed) == sorted(failure.__name__ for failure in wxcheck.CheckError.__subclasses__())


@in_both("docs/application.md")
def test_the_tasks_are_listed_with_their_queues_and_the_arguments_that_the_client_takes(page: str) -> None:
    makers: dict[str, Callable[..., Any]] = {
        wxcheck.CHECK_TEXT: wxcheck.check_text,
        wxcheck.CHECK_MEDIA: wxcheck.check_media,
    }
    queues = {wxcheck.CHECK_TEXT: wxcheck.TEXT_QUEUE, wxcheck.CHECK_MEDIA: wxcheck.MEDIA_QUEUE}
    listed = {row[0].strip("`"): row[1:] for row in rows(page) if row[0].strip("`") in makers}
    assert set(listed) == set(makers)
    for task, (queue, arguments) in listed.items():
        assert queue == f"`{queues[task]}`"
        parameters = [name for name in makers[task].__annotations__ if name != "return"]
        assert re.findall(r"`([a-z_]+)`", arguments) == parameters
    assert f'"{wxcheck.SENT_AT_HEADER}"' in page


@in_both("README.md", "docs/deploying.md")
def test_the_processes_are_those_of_the_readme(page: str) -> None:
    (processes,) = (block for block in blocks(page) if block.startswith("celery -A worker worker"))
    assert processes in blocks(read("README.md"))


@in_both("docs/application.md")
def test_the_verdict_is_described_with_every_key(page: str) -> None:
    (described,) = (block for block in blocks(page) if block.startswith('{"kind"'))
    assert re.findall(r'"(\w+)":', described) == list(wxcheck.Verdict.__annotations__)


@in_both("docs/endpoint.md")
def test_every_http_status_of_a_refused_push_is_listed(page: str) -> None:
    listed = {int(status) for row in rows(page) for status in re.findall(r"^[2-5]\d\d\b", row[-1])}
    assert listed == {200} | {refusal.status for refusal in Refusal.__subclasses__()}


@in_both("docs/troubleshooting.md")
def test_the_outcomes_that_troubleshooting_names_exist(page: str) -> None:
    named = {"bad_signature", "plain_refused", "undecryptable", "stale_timestamp", "wrong_appid"}
    assert [name for name in named if f"`{name}`" not in page] == []
    assert named <= set(Outcome)


@in_both(*TWINS)
def test_every_command_of_wxcheck_exists(page: str) -> None:
    for command in commands(page):
        if command == "cannot":  # the beginning of a message
            continue
        found: click.Command = main
        for word in command.split():
            assert isinstance(found, click.Group)
            assert word in found.commands, command
            found = found.commands[word]


@in_both("docs/deploying.md")
def test_every_command_of_wxcheck_is_listed(page: str) -> None:
    assert {command.split()[0] for command in commands(page)} == set(main.commands)


def commands(page: str) -> list[str]:
    return re.findall(
        r"(?:^|[`/ ])wxcheck ((?:check|config|[a-z]+)(?: show)?)(?=[ `\"\n])", "\n".join(_code(page)), re.MULTILINE
    )


def _code(page: str) -> list[str]:
    return [*blocks(page), *re.findall(r"`[^`\n]+`", re.sub(r"```.*?```", "", page, flags=re.DOTALL))]


@in_both(*TWINS)
def test_the_targets_of_make_exist(page: str) -> None:
    named = set(re.findall(r"\bmake ([a-z-]+)", "\n".join(_code(page))))
    assert [target for target in named if not re.search(rf"^{target}:", read("Makefile"), re.MULTILINE)] == []


def test_the_table_of_the_demo_is_the_demo_s_own() -> None:
    from ops.local.cases import cases

    (table,) = (block for block in blocks(read("docs/command-line.md")) if block.startswith("┃ sent"))
    shown = [line.split("│")[1].strip() for line in table.splitlines() if line.startswith("│")]
    assert shown == [case.title for case in cases()]


def test_every_counter_is_documented_and_no_other() -> None:
    text = (ROOT / "docs" / "counters.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^\| `((?:push|finish|media|closed|token|dead)_\w+)` \|", text, re.MULTILINE))
    scripts = "\n".join(path.read_text() for path in (ROOT / "store").rglob("*.lua"))
    counted = set(re.findall(r"(?:shard\.count\(|'HINCRBY', KEYS\[[2-9]\], )'(\w+[a-z])'", scripts))
    answers = re.findall(r"said\[i\] = \{'(\w+)'", (ROOT / "store" / "places" / "push.lua").read_text(encoding="utf-8"))
    counted |= {f"push_{what}" for what in answers}
    counted |= {f"media_{ended}" for ended in ("done", "timeout", "cancelled")}
    modules = [
        path.read_text()
        for folder in ("tasks", "worker", "store", "callbacks")
        for path in (ROOT / folder).rglob("*.py")
    ]
    events = re.findall(r'\bcount\([\w.]*\bstore, f?"([^"]+)"\)', "\n".join(modules))
    counted |= {event.replace("{check.lane}", lane) for event in events for lane in ("text", "media")}
    assert listed == counted


def test_every_outcome_of_a_push_is_documented_with_its_status() -> None:
    text = (ROOT / "docs" / "counters.md").read_text(encoding="utf-8")
    listed = {name: int(status) for name, status in re.findall(r"^\| `(\w+)` \| (\d{3}) \|", text, re.MULTILINE)}
    statuses = {refusal.outcome.value: refusal.status for refusal in Refusal.__subclasses__()}
    assert listed == {outcome.value: statuses.get(outcome.value, 200) for outcome in outcomes.Outcome}


def test_the_index_of_the_documentation_names_every_page() -> None:
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    pages = [path.name for path in (ROOT / "docs").glob("*.md") if path.name != "README.md"]
    assert [page for page in [*pages, "decisions/README.md"] if f"({page})" not in index] == []


def test_the_snippets_run_as_they_stand(tmp_path: Path) -> None:
    readme = read("README.md")
    snippets = [*blocks(readme, "python"), *blocks(read("docs/application.md"), "python")]
    application = [snippet for snippet in snippets if snippet.startswith("# shop.py")]
    scripts = [snippet for snippet in snippets if not snippet.startswith("# shop.py")]
    assert (len(application), len(scripts)) == (2, 2)
    (tmp_path / "shop.py").write_text("\n\n".join(application), encoding="utf-8")
    (command,) = re.findall(r"^\.venv/bin/python -c \"(import shop; .*)\"$", readme, re.MULTILINE)
    (printed,) = re.findall(r"^\{'photo'.*$", readme, re.MULTILINE)
    (worker_command,) = re.findall(r"^\.venv/bin/(celery -A shop .*)$", readme, re.MULTILINE)
    (check_command,) = re.findall(r"^\.venv/bin/wxcheck (check .*)$", readme, re.MULTILINE)
    (verdict,) = re.findall(r'^\{"kind".*$', readme, re.MULTILINE)

    system = System(tmp_path)
    try:
        system.sandbox()
        system.endpoint()
        system.worker()
        shop = {"PYTHONPATH": f"{tmp_path}"}
        worker = system.run("shop-worker", worker_command.split(), **shop)
        worker.wait_for(" ready.")

        def run(name: str, code: str) -> str:
            script = tmp_path / f"{name}.py"
            script.write_text(code, encoding="utf-8")
            running: Running = system.run(name, [sys.executable, str(script)], **shop)
            assert running.process.wait(120) == 0, running.output
            return running.output

        assert run("first", command).strip() == printed
        assert run("client", scripts[0]).splitlines() == [
            "pass",
            "2",
            "{'album': 'album-7', 'shown': [True, True]}",
            "['pass', 'pass']",
            "InvalidCheck media_url: no http(s) URL (cloud:); WeChat fetches the file itself, from the public internet",
        ]
        assert run("names", scripts[1]).strip() == "image"
        checked = wxcheck_command(system, *shlex.split(check_command))
        assert checked.returncode == 1, checked.stderr  # risky
        shown, said = json.loads(verdict), json.loads(checked.stdout)
        assert shown == said | {"trace_id": shown["trace_id"], "appid": shown["appid"]}
        assert list(shown) == list(wxcheck.Verdict.__annotations__)
        # the errback of the first snippet, and a web server's thread in place of the main one
        failing = "https://img.example.com/x.jpg?sandbox=unfetchable"
        assert "MediaUnavailable" in run("failing", _IN_A_THREAD.format(url=failing))
    finally:
        system.close()


_IN_A_THREAD = """
import threading, time
import shop

def request():
    result = shop.photo_uploaded("{url}", "photo-2")
    check = result.parent
    while not check.ready():
        time.sleep(0.05)
    print(type(check.result).__name__)

thread = threading.Thread(target=request)
thread.start()
thread.join()
"""
