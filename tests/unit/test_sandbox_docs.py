from __future__ import annotations

import json
import re
from pathlib import Path

from sandbox import control, scenarios
from sandbox.credentials import DEMO_ENVIRONMENT
from sandbox.options import Options

DOCUMENT = (Path(__file__).parents[2] / "docs" / "sandbox.md").read_text(encoding="utf-8")


def test_every_option_is_documented_with_its_default() -> None:
    listed = dict(re.findall(r"^\| `(\w+)` \| `([^`]+)` \|", DOCUMENT, re.MULTILINE))
    assert listed == {name: json.dumps(field.default) for name, field in Options.model_fields.items()}


def test_every_directive_is_documented_as_in_the_docstring() -> None:
    found = re.findall(r"^``(\S+)`` +(both|media)", scenarios.__doc__ or "", re.MULTILINE)
    listed = re.findall(r"^\| `(\S+)` \| (both|media) \|", DOCUMENT, re.MULTILINE)
    assert listed == found
    assert len(found) >= 20


def test_every_call_of_the_control_api_is_documented() -> None:
    for route in control.ROUTES:
        for method in (route.methods or set()) - {"HEAD"}:
            assert f"`{method} {route.path}" in DOCUMENT
            assert f"``{method} {route.path}" in (control.__doc__ or "")


def test_the_demonstration_s_credentials_are_documented() -> None:
    for name, value in DEMO_ENVIRONMENT.items():
        assert f"{name}={value}\n" in DOCUMENT
