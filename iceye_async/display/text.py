"""Plain words and numbers for a terminal: durations, sizes, and text from outside made harmless."""

import re
import unicodedata
from collections.abc import Callable
from contextvars import ContextVar


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


def roughly(seconds: float) -> str:
    """Seconds that nobody knows so well: `less than a minute`, `about 12 min`, `about 3 h`."""
    if seconds < 60:
        return "less than a minute"
    return f"about {seconds / 60:.0f} min" if seconds < 5400 else f"about {seconds / 3600:.0f} h"


def size(count: int) -> str:
    """Bytes as a person reads them: `948 B`, `60 kB`, `1.3 GB`."""
    factor, unit = _unit(count)
    return f"{_short(count, factor)} {unit}"


def part(count: int, whole: int) -> str:
    """So many bytes of so many, in one unit: `12 of 948 B`, `0.6 of 1.3 GB`."""
    factor, unit = _unit(whole)
    return f"{_short(count, factor)} of {_short(whole, factor)} {unit}"


def _unit(count: int) -> tuple[int, str]:
    factor, unit = 1, "B"
    if count < 1000:
        return factor, unit
    for unit in ("kB", "MB", "GB", "TB"):  # noqa: B007 - it is used after the loop
        factor *= 1000
        if count / factor < 999.5:
            break
    return factor, unit


def _short(count: int, factor: int) -> str:
    value = count / factor
    return f"{value:.1f}" if factor > 1 and value < 9.95 else f"{value:.0f}"


def harmless(text: str) -> str:
    """The text on one line, without anything that moves a cursor, changes a colour or turns the reading direction."""
    return "".join("?" if _moves(unicodedata.category(char)) else char for char in text)


def _moves(category: str) -> bool:
    return category[0] == "C" or category in {"Zl", "Zp"}


WORDS: ContextVar[Callable[[BaseException], str]] = ContextVar("words", default=str)
"""How errors are told. The command line has options to name where the library names arguments."""


def in_words(error: BaseException) -> str:
    """What the error says, on one line, but for which request it was; its class where it says nothing."""
    return re.sub(r"^[A-Z]+ /\S*: ", "", harmless(WORDS.get()(error))) or type(error).__name__


def outcome(error: BaseException | None) -> str:
    """In a word, how the work ended."""
    if error is None:
        return "complete"
    return "failed" if isinstance(error, Exception) else "stopped"
