"""A finding: the doctor's sentence on one thing."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

#: bad: a fault, warn: a doubt, skipped: not looked at
Level = Literal["ok", "warn", "bad", "skipped"]


class Finding(NamedTuple):
    """The state of one thing, with the remedy if it is not well."""

    level: Level
    subject: str
    said: str
    remedy: str = ""

    @property
    def well(self) -> bool:
        return self.level != "bad"

    def told(self) -> dict[str, Any]:
        """Return the finding as JSON values."""
        return {**self._asdict(), "well": self.well}


def words(error: BaseException) -> str:
    """Return class and text of an error, on one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
