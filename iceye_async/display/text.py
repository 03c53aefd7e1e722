"""Plain words and numbers for a terminal: durations, sizes, and text from outside made harmless."""

import unicodedata


def duration(seconds: float) -> str:
    """Seconds as a person reads them: `42 s`, `3 min 05 s`, `2 h 07 min`, `3 d 04 h`."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60:02} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3600:02} h"


def size(count: int) -> str:
    """Bytes as a person reads them: `948 B`, `60 kB`, `1.3 GB`."""
    if count < 1000:
        return f"{count} B"
    value, unit = float(count), "B"
    for unit in ("kB", "MB", "GB", "TB"):  # noqa: B007 - it is used after the loop
        value /= 1000
        if value < 999.5:
            break
    return f"{value:.1f} {unit}" if value < 10 else f"{value:.0f} {unit}"


def harmless(text: str) -> str:
    """The text without anything that moves a cursor, changes a colour or turns the reading direction."""
    return "".join(char if unicodedata.category(char)[0] != "C" else "?" for char in text)
