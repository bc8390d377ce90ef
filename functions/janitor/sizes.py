"""Bytes for a reader."""

from __future__ import annotations

UNITS = ("bytes", "KB", "MB", "GB", "TB", "PB")


def shown(size: int) -> str:
    """*size* in its largest binary unit, as S3's console and bills count: "4.2 GB"."""
    amount, unit = float(size), 0
    while round(amount, 1) >= 1024 and unit < len(UNITS) - 1:
        amount, unit = amount / 1024, unit + 1
    return f"{amount:.1f} {UNITS[unit]}" if unit else f"{size} bytes"
