"""The services of docker-compose.yml, as docker compose reads them."""

from __future__ import annotations

import re
from typing import Any

import yaml

from tests.support.processes import ROOT

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]

#: the innermost ones, which may stand within another
_VARIABLE = re.compile(r"\$\{(\w+)(?:(:-|:\?|:\+)([^${}]*))?\}")


class Missing(Exception):
    """A variable that the compose file requires is not set."""


def interpolated(value: str, variables: dict[str, str]) -> str:
    """``value`` as docker compose reads it: ``${NAME}``, ``${NAME:-default}``, ``${NAME:?message}``, ``${NAME:+rest}``,
    each of them within another too, and ``$$``."""

    def replaced(match: re.Match[str]) -> str:
        name, operator, rest = match.groups()
        found = variables.get(name, "")
        if not found and operator == ":?":
            raise Missing(f"{name}: {rest}")
        if operator == ":+":
            return rest if found else ""
        return found or (rest if operator == ":-" else "")

    parts = value.split("$$")
    while any(_VARIABLE.search(part) for part in parts):
        parts = [_VARIABLE.sub(replaced, part) for part in parts]
    return "$".join(parts)


def environment_of(service: str, variables: dict[str, str]) -> dict[str, str]:
    declared = SERVICES[service].get("environment", {})
    return {name: interpolated(str(value), variables) for name, value in declared.items()}
