"""How values are written for people: counts with separators, shares in percent, unknown as a dash."""

from __future__ import annotations

import math
from typing import Any

UNKNOWN = "-"
_BLOCKS = 10


def text(value: Any) -> str:
    """Any value: nothing as a dash, yes and no for booleans, lists with commas."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return UNKNOWN
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(text(item) for item in value) or UNKNOWN
    if isinstance(value, dict):
        return ", ".join(f"{key}={text(item)}" for key, item in value.items()) or UNKNOWN
    return str(value)


def count(value: Any) -> str:
    """A whole number with separators: 1,234,567."""
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else text(value)


def decimal(value: Any) -> str:
    """A number with four digits after the point."""
    return f"{value:.4f}" if _finite(value) else text(value)


def share(value: Any) -> str:
    """A fraction in percent: 0.4963 is 49.6 %."""
    return f"{100 * value:.1f} %" if _finite(value) else text(value)


def bar(value: Any) -> str:
    """A fraction as ten blocks, the filled ones first; nothing where it is unknown."""
    if not _finite(value):
        return ""
    filled: int = min(_BLOCKS, max(round(_BLOCKS * value), int(value > 0)))
    return "█" * filled + "░" * (_BLOCKS - filled)


def percentage(value: Any) -> str:
    """A number that is a percentage already, such as an accuracy."""
    return f"{value:.2f} %" if _finite(value) else text(value)


def scientific(value: Any) -> str:
    """A small number: 2.4e-07."""
    return f"{value:.2g}" if _finite(value) else text(value)


def times(value: Any) -> str:
    """A factor: 1.98x."""
    return f"{value:.2f}x" if _finite(value) else text(value)


def rate(value: Any) -> str:
    """Something per second, without a fraction: 1,234."""
    return f"{value:,.0f}" if _finite(value) else text(value)


def shape(value: Any) -> str:
    """A shape: 3x32x32."""
    return "x".join(str(size) for size in value) if value else text(None)


def _finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
