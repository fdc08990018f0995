"""Lengths of time in both languages. Pure."""

from __future__ import annotations

from status.remedies import Said


def span(seconds: float) -> Said:
    """``80 s``, ``12 min``, ``3.4 h``."""
    if seconds < 90:
        return {"en": f"{seconds:.0f} s", "zh": f"{seconds:.0f} 秒"}
    if seconds < 5400:
        return {"en": f"{seconds / 60:.0f} min", "zh": f"{seconds / 60:.0f} 分钟"}
    return {"en": f"{seconds / 3600:.1f} h", "zh": f"{seconds / 3600:.1f} 小时"}
