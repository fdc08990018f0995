"""The progress of a run: a bar on a terminal, elsewhere a line now and then; always on stderr."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from status.words import duration

if TYPE_CHECKING:
    from collections.abc import Iterator

#: seconds between two lines
INTERVAL = 30.0


class Progress:
    """Counts the rows of a run, and shows their number."""

    def __init__(self, total: int, done: int, interval: float = INTERVAL) -> None:
        self._total = total
        self._done = done
        self._interval = interval
        self._began = self._said = time.monotonic()
        #: lines that ended in this process
        self._here = 0
        self._bar: Any = None
        self._task: Any = None

    def advance(self, lines: int) -> None:
        self._done += lines
        self._here += lines
        if self._bar is not None:
            rate = f"{self._rate():.0f}/s"
            self._bar.update(self._task, completed=self._done, total=max(self._done, self._total), rate=rate)

    def say(self, said: str) -> None:
        if self._bar is None:
            click.echo(f"wxcheck: {said}", err=True)
        else:  # above the bar
            self._bar.console.print(f"wxcheck: {said}", markup=False, highlight=False)

    def tick(self) -> None:
        now = time.monotonic()
        if self._bar is None and now - self._said >= self._interval:
            self._said = now
            rate = self._rate()
            left = duration(max(0, self._total - self._done) / rate) if rate else "?"
            self.say(f"{self._done:,} of {self._total:,} ({rate:.1f}/s, {left} left)")

    def _rate(self) -> float:
        """Return the lines a second since this process began."""
        return self._here / max(time.monotonic() - self._began, 1e-3)

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show a bar within the context, if stderr is a terminal."""
        if not sys.stderr.isatty():
            yield
            return
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        columns = (
            TextColumn("checking"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
        )
        with Bar(*columns, console=Console(stderr=True)) as bar:
            self._task = bar.add_task("checking", total=self._total, completed=self._done, rate="")
            self._bar = bar
            try:
                yield
            finally:
                self._bar = None
