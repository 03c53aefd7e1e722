"""What is said of a bug: one line, and a report in a file that holds no secrets."""

import contextlib
import os
import platform
import re
import tempfile
import traceback
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ..display.text import harmless
from .exits import Exit
from .output import note
from .words import PROGRAM, command, without_secrets

PACKAGES = ("iceye-async", "aiohttp", "attrs", "cattrs", "backoff", "click", "rich")


def bug(error: Exception, arguments: Sequence[str], *, debug: bool) -> Exit:
    """Tell of an error that nobody has foreseen."""
    traced = _traced(error)
    where = _written("\n".join([*versions(), f"command: {command(arguments)}", "", traced]))
    if debug:
        note(traced)
    place = f"; the report {where}, without secrets, helps to mend it" if where else "; --debug shows where"
    note(f"{PROGRAM}: this is a bug in {PROGRAM}: {type(error).__name__}{_at(error)}{place}")
    return Exit.BUG


def versions() -> list[str]:
    """Of what takes part, a line each."""
    found = [f"Python {platform.python_version()} on {platform.system()} {platform.release()}"]
    for package in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            found.append(f"{package} {version(package)}")
    return found


def _traced(error: Exception) -> str:
    """Where it happened, without the values of variables, and with messages that are harmless."""
    lines = traceback.TracebackException.from_exception(error, capture_locals=False).format()
    home = re.escape(str(Path.home()))
    text = "\n".join(harmless(line) for line in "".join(lines).splitlines())
    return without_secrets(re.sub(home, "~", text))


def _at(error: Exception) -> str:
    last = traceback.extract_tb(error.__traceback__)[-1:]
    return "".join(f" at {Path(frame.filename).name}:{frame.lineno}" for frame in last)


def _written(text: str) -> str | None:
    try:
        handle, name = tempfile.mkstemp(prefix=f"{PROGRAM}-report-", suffix=".txt")
        os.close(handle)
        Path(name).write_text(f"{text}\n", encoding="utf-8", errors="backslashreplace")
    except OSError:
        return None
    return name
