"""Puts the clock of a process forward by SHIFT_SECONDS, where this directory is on its PYTHONPATH."""

from __future__ import annotations

import os
import time

_right = time.time
_shift = float(os.environ["SHIFT_SECONDS"])


def _shifted() -> float:
    return _right() + _shift


time.time = _shifted
