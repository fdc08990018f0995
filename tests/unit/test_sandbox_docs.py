"""Every option, directive and call of the sandbox is documented.

Tests: sandbox.control, sandbox.credentials, docs/sandbox.md
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from ops.local.cases import cases
from sandbox import control, scenarios
from sandbox.credentials import DEMO_ENVIRONMENT
from sandbox.options import Options
from sandbox.platform import TEST_PARAGRAPHS

DOCUMENT = (Path(__file__).parents[2] / "docs" / "sandbox.md").read_text(encoding="utf-8")


def test_every_option_is_documented_with_its_default() -> None:
    listed = dict(re.findall(r"^\| `(\w+)` \| `([^`]+)` \|", DOCUMENT, re.MULTILINE))
    assert listed == {name: json.dumps(field.default) for name, field in Options.model_fields.items()}


def test_every_directive_is_documented_as_in_the_docstring() -> None:
    found = re.findall(r"^``(\S+)`` +(both|media)", scenarios.__doc__ or "", re.MULTILINE)
    listed = re.findall(r"^\| `(\S+)` \| (both|media) \|", DOCUMENT, re.MULTILINE)
    assert listed == found
    assert len(found) >= 20


def test_a_test_paragraph_in_chinese_and_one_in_english_are_shown_and_sent_by_the_demo() -> None:
    sent = [case.checks[0].kwargs.get("content") for case in cases()]
    root = Path(__file__).parents[2]
    texts = [(root / name).read_text(encoding="utf-8") for name in ("docs/sandbox.md", "README.md", "README.zh-CN.md")]
    for is_english in (False, True):
        paragraphs = [paragraph for paragraph in TEST_PARAGRAPHS if paragraph.isascii() == is_english]
        assert any(paragraph in sent for paragraph in paragraphs)
        for text in texts:
            assert any(f"`{paragraph}`" in text for paragraph in paragraphs)


def test_every_call_of_the_control_api_is_documented() -> None:
    for route in control.ROUTES:
        for method in (route.methods or set()) - {"HEAD"}:
            assert f"`{method} {route.path}" in DOCUMENT
            assert f"``{method} {route.path}" in (control.__doc__ or "")


def test_the_demonstration_s_credentials_are_documented() -> None:
    for name, value in DEMO_ENVIRONMENT.items():
        assert f"{name}={value}\n" in DOCUMENT
