"""The survey of a file before anything is sent: its faults, its checks, and the least time that they take."""

from __future__ import annotations

import hashlib
import math
from typing import IO, TYPE_CHECKING, NamedTuple

from config.days import DAY
from ops.backfill.reading import Reader
from ops.backfill.validation import check_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from config.settings import MiniProgram, Settings
    from ops.backfill.faults import Fault
    from ops.backfill.reading import Format


class Survey(NamedTuple):
    """The numbers of a file."""

    texts: int
    media: int
    #: lines with a fault
    invalid: int
    #: names in the file that are not read
    ignored: list[str]

    @property
    def lines(self) -> int:
        return self.texts + self.media + self.invalid


def survey(
    file: IO[bytes],
    form: Format,
    appid: str,
    settings: Settings,
    tell: Callable[[Iterable[Fault]], None],
) -> Survey:
    """Validate every line. ``tell`` is called with the faults of each line that has some.

    Raises:
        CannotGoOn: the first line lacks the columns, or names one twice.
    """
    reader = Reader(file, form)
    lanes = {"text": 0, "media": 0}
    invalid = 0
    for line in reader.lines():
        check = check_of(line, appid, settings)
        if isinstance(check, list):
            invalid += 1
            tell(check)
        else:
            lanes[check.lane] += 1
    return Survey(lanes["text"], lanes["media"], invalid, sorted(reader.ignored))


def digest(file: IO[bytes]) -> tuple[str, int]:
    """Return SHA-256 and size of a file."""
    file.seek(0)
    summed = hashlib.sha256()
    while part := file.read(1 << 20):
        summed.update(part)
    return summed.hexdigest(), file.tell()


def least_seconds(texts: int, media: int, program: MiniProgram) -> float:
    """Return the least seconds for so many checks, by the quotas of minute and day that low priority may use."""
    return max(
        _lane_seconds(texts, program.text_per_minute, program.text_per_day * (1 - program.day_reserve)),
        _lane_seconds(media, program.media_per_minute, program.media_per_day * (1 - program.day_reserve)),
    )


def _lane_seconds(count: int, per_minute: int, per_day: float) -> float:
    if not count:
        return 0.0
    a_day = max(1, math.floor(per_day))
    whole, rest = divmod(count - 1, a_day)
    return whole * DAY + (rest + 1) / per_minute * 60
