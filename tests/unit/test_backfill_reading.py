"""A backfill reads the lines of a file, and says what is wrong with them.

Tests: ops.backfill.reading, ops.backfill.validation, ops.backfill.survey
"""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from config.settings import Settings
from ops.backfill.faults import CannotGoOn
from ops.backfill.reading import LONGEST, Format, Line, Reader
from ops.backfill.survey import least_seconds
from ops.backfill.validation import LineCheck, check_of
from tests.support.system import APPID, SECRET


@pytest.fixture(scope="module")
def settings() -> Settings:
    return Settings(_env_file=None, appid=APPID, secret=SECRET)


def lines(content: bytes | str, form: Format = "csv") -> list[Line]:
    raw = content.encode() if isinstance(content, str) else content
    return list(Reader(io.BytesIO(raw), form).lines())


def checks(content: bytes | str, settings: Settings, form: Format = "csv") -> list[LineCheck]:
    made = [check_of(line, APPID, settings) for line in lines(content, form)]
    assert not [faults for faults in made if isinstance(faults, list)]
    return [check for check in made if isinstance(check, LineCheck)]


def faults(content: bytes | str, settings: Settings, form: Format = "csv") -> list[str]:
    made = [check_of(line, APPID, settings) for line in lines(content, form)]
    return [str(fault) for found in made if isinstance(found, list) for fault in found]


def test_a_csv_file_with_mark_quotes_and_blank_lines_is_read_by_line_number(settings: Settings) -> None:
    found = checks('\ufeffid,text\r\n\r\n1,"a, ""b""\r\nc"\r\n\r\n2,d\r\n', settings)
    assert [(check.line, check.id, check.kwargs["content"]) for check in found] == [
        (3, "1", 'a, "b"\r\nc'),
        (6, "2", "d"),
    ]


def test_columns_may_be_in_any_order_with_others_between(settings: Settings) -> None:
    reader = Reader(io.BytesIO(b"created,SCENE,openid,content,nickname\nnow,2,o1,hello,Anna\n"), "csv")
    [line] = reader.lines()
    check = check_of(line, APPID, settings)
    assert isinstance(check, LineCheck)
    assert check.kwargs == {"content": "hello", "scene": 2, "openid": "o1", "nickname": "Anna", "appid": APPID}
    assert (check.id, check.lane, check.kind) == ("2", "text", "text")
    assert reader.ignored == {"created"}


def test_jsonl_is_read_line_by_line(settings: Settings) -> None:
    found = checks('\ufeff{"id": 7, "text": "a", "url": null}\n\n{"url": "https://e.com/a.mp3"}', settings, "jsonl")
    assert [(check.line, check.id, check.lane, check.kind) for check in found] == [
        (1, "7", "text", "text"),
        (3, "3", "media", "audio"),
    ]


@pytest.mark.parametrize(
    ("media_type", "kind"), [("", "image"), ("image", "image"), ("2", "image"), ("1", "audio"), ("audio", "audio")]
)
def test_the_kind_of_a_file_is_told_by_its_media_type(settings: Settings, media_type: str, kind: str) -> None:
    [check] = checks(f"url,media_type\nhttps://e.com/a,{media_type}\n", settings)
    assert (check.lane, check.kind) == ("media", kind)


def test_all_faults_of_all_lines_are_told_with_the_field(settings: Settings) -> None:
    found = faults("id,content,url,scene,openid,title\n1,a,,9,,\n,,,,,\n2,b,,,,c\n3,,ftp://e,7,,\n4,a,b,,,\n", settings)
    assert [fault.rsplit(":", 1)[0].split(": ")[0:2] for fault in found] == [
        ["line 2", "openid"],
        ["line 2", "scene"],
        ["line 3", "content, media_url"],
        ["line 4", "title"],
        ["line 5", "openid"],
        ["line 5", "scene"],
        ["line 5", "media_url"],
        ["line 6", "content, media_url"],
    ]


@pytest.mark.parametrize(
    ("line", "field"),
    [
        (b'{"content": "secret words"', "line"),
        (b'["secret words"]', "line"),
        (b'{"content": "\xff secret words"}', "line"),
        (b'{"content": "secret words", "text": "secret words"}', "content"),
        (b'{"content": ["secret words"]}', "content"),
        (b'{"content": "secret words", "id": "two\\nlines"}', "id"),
        (b'{"content": "secret words", "media_type": "image"}', "media_type"),
        (b'{"content": "' + b"x" * LONGEST + b'"}', "line"),
    ],
)
def test_a_fault_names_the_field_and_never_the_content(settings: Settings, line: bytes, field: str) -> None:
    found = faults(b'{"content": "well"}\n' + line + b"\n" + b'{"content": "well"}', settings, "jsonl")
    assert len(found) == 1
    assert found[0].startswith(f"line 2: {field}: ")
    assert "secret words" not in found[0]


def test_a_csv_line_that_is_not_utf8_is_a_fault_of_its_field(settings: Settings) -> None:
    found = faults(b"id,content\n1,\xb4\xf3\xbc\xd2\n2,well\n", settings)
    assert found == ["line 2: content: not UTF-8; save the file as UTF-8 (Excel: CSV UTF-8)"]


def test_a_quote_that_is_not_closed_is_told_where_it_begins(settings: Settings) -> None:
    [fault] = faults('content\nwell\n"secret words\nmore\n', settings)
    assert fault.startswith("line 3: line: no CSV from here on")
    assert "secret words" not in fault


@pytest.mark.parametrize(
    "content", ["secret words\nmore\n", "content,text\na,b\n", "\ufeffid;text\n1;a\n", b"\xff\xfei\0d\0"]
)
def test_a_file_without_columns_that_are_known_is_refused_without_quoting_it(content: bytes | str) -> None:
    with pytest.raises(CannotGoOn, match="the first line names") as refused:
        lines(content)
    assert "secret" not in str(refused.value)


def test_a_long_file_is_not_read_at_once(tmp_path: Path, settings: Settings) -> None:
    path = tmp_path / "long.jsonl"
    path.write_text(f"{json.dumps({'content': 'x'})}\n" * 50_000)
    with path.open("rb") as file:
        found = iter(Reader(file, "jsonl").lines())
        next(found)
        assert file.tell() < 50_000


def test_the_least_time_follows_from_the_minutes_and_the_days_of_the_slower_lane(settings: Settings) -> None:
    program = settings.programs[APPID]
    assert least_seconds(0, 0, program) == 0
    assert least_seconds(4_000, 0, program) == 60
    assert least_seconds(4_000, 4_000, program) == 120
    assert least_seconds(0, 200_001, program) == pytest.approx(86_400 + 60 / 2_000)
    kept_back = program.model_copy(update={"day_reserve": 0.5})
    assert least_seconds(0, 200_000, kept_back) == pytest.approx(86_400 + 100_000 / 2_000 * 60)
