"""Ids of tasks from arguments, files and the standard input. What can be none is refused with its line."""

import codecs
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from ..errors import UsageError
from ..protocol.requests import checked_id
from .running import reading

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SHOWN = 5
"""Lines that are named where they cannot be."""


def ids(arguments: Iterable[str], lists: Iterable[str]) -> tuple[str, ...]:
    """All of them, each once, in order; `-` stands for the standard input."""
    found: dict[str, None] = {}
    flaws: list[str] = []
    for where, text in _given(arguments, lists):
        try:
            found[checked_id(text)] = None
        except UsageError as error:
            flaws.append(f"{where}: {error}")
    if flaws:
        more = f"; and {len(flaws) - _SHOWN} more" if len(flaws) > _SHOWN else ""
        raise UsageError(f"{'; '.join(flaws[:_SHOWN])}{more}")
    if not found:
        raise UsageError("no task ids were given; name them, or a file with --ids, or - for the standard input")
    return tuple(found)


def _given(arguments: Iterable[str], lists: Iterable[str]) -> Iterator[tuple[str, str]]:
    for number, one in enumerate(arguments, 1):
        if one == "-":
            yield from _lines("standard input", _standard_input())
        else:
            yield f"argument {number}", one
    for one in lists:
        yield from _lines("standard input", _standard_input()) if one == "-" else _lines(one, _content(one))


def _standard_input() -> bytes:
    with reading():
        return b"" if sys.stdin is None else sys.stdin.buffer.read()


def _content(name: str) -> bytes:
    try:
        return Path(name).read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        failure = UsageError(f"{name!r} cannot be read as a list of ids: {reason}")
    raise failure


def _ends(text: str) -> list[str]:
    """The lines of a text from whatever system."""
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _lines(name: str, content: bytes) -> Iterator[tuple[str, str]]:
    encoding = next((encoding for mark, encoding in _MARKS if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        row = len(_ends(content[: error.start].decode(encoding, "ignore")))
        value = content[error.start : error.end].hex(" ")
        raise UsageError(f"{name}, line {row}: bytes {value} are no text in {encoding}; save it as UTF-8") from None
    for number, line in enumerate(_ends(text), 1):
        task_id = line.partition("\t")[0].strip()
        if "\0" in line:
            raise UsageError(f"{name}, line {number}: {line[:40]!r} holds NUL bytes; save it as UTF-8 text")
        if task_id and not task_id.startswith("#"):
            yield f"{name}, line {number}", task_id
