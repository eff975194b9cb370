"""How numbers, times and names are put into words, on the page as on the terminal."""

from __future__ import annotations

import math
import re
from datetime import datetime

MINUTE_S = 60
HOUR_S = 3600
DAY_S = 86400


def format_number(value: float, digits: int = 4) -> str:
    """Write a number with `digits` significant digits, without needless zeros.

    >>> format_number(0.93124), format_number(48842), format_number(0.00001234)
    ('0.9312', '48,842', '1.234e-05')
    """
    if not math.isfinite(value):
        return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
    if value == int(value) and abs(value) < 1e9:
        return f"{int(value):,}"
    if abs(value) >= 10**digits:
        return f"{value:,.0f}" if abs(value) < 1e9 else f"{value:.{digits - 1}e}"
    return f"{value:.{digits}g}"


def format_tick(value: float) -> str:
    """Write a number as short as an axis needs it: 12000 becomes ``12k``.

    >>> format_tick(12000), format_tick(2.5e6), format_tick(0.0001), format_tick(0.25)
    ('12k', '2.5M', '1e-4', '0.25')
    """
    if value == 0:
        return "0"
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.4g}{letter}"
    if abs(value) < 1e-3:
        mantissa, _, exponent = f"{value:.3e}".partition("e")
        return f"{float(mantissa):g}e{int(exponent)}"
    return f"{value:.4g}"


def format_duration(seconds: float) -> str:
    """Write a duration in its two largest units.

    >>> format_duration(0.4), format_duration(75), format_duration(7380)
    ('0.4 s', '1 min 15 s', '2 h 3 min')
    """
    if not math.isfinite(seconds):
        return "unknown"
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for unit_s, unit, next_s, following in (
        (DAY_S, "d", HOUR_S, "h"),
        (HOUR_S, "h", MINUTE_S, "min"),
        (MINUTE_S, "min", 1, "s"),
    ):
        if whole >= unit_s:
            rest = whole % unit_s // next_s
            return (
                f"{whole // unit_s} {unit} {rest} {following}"
                if rest
                else f"{whole // unit_s} {unit}"
            )
    return f"{whole} s"


def format_time(iso: str) -> str:
    """Write an ISO time without fractions of a second; leave anything else as it is."""
    try:
        moment = datetime.fromisoformat(iso)
    except ValueError:
        return iso
    zone = f" {moment.tzname()}" if moment.tzinfo else ""
    return f"{moment:%Y-%m-%d %H:%M}{zone}"


def format_count(count: int, noun: str) -> str:
    """Write a count with its noun: ``1 sample``, ``48,842 samples``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def readable(name: str) -> str:
    """Turn a file or metric name into words: ``samples-step-000400`` becomes ``samples step 400``."""
    words = re.sub(r"[_\-]+", " ", name).strip()
    return re.sub(r"\b0+(?=\d)", "", words)


def natural_order(name: str) -> list[tuple[int, int, str]]:
    """Sort key that puts ``step-9`` before ``step-10``."""
    parts = re.findall(r"\d+|\D+", name)
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts]
