"""The values that options take, and options that several commands have. What cannot be is refused with what can."""

import os
import re
from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from importlib.util import find_spec
from math import inf
from pathlib import Path
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from ..models import DerivativeType, ImagingMode, ProductType, TaskStatus

F = TypeVar("F", bound=Callable[..., Any])
N = TypeVar("N", int, float)

_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


def duration(text: str) -> float:
    """Seconds, from a number with its unit."""
    found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)([smhd]?)", text.strip())
    seconds = float(found[1]) * _UNITS[found[2]] if found else 0.0
    if seconds <= 0:
        raise click.BadParameter(f"{text!r} is no time above 0, such as 90, 90s, 15m, 2h or 3d")
    return seconds


def amount(text: str) -> float:
    """A number above 0."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < inf:
        raise click.BadParameter(f"{text!r} is not a number above 0")
    return number


def port(text: str) -> int:
    """A number that a port can have."""
    if not re.fullmatch(r"\d{1,5}", text) or int(text) > 65_535:
        raise click.BadParameter(f"{text!r} is not a port, 0..65535")
    return int(text)


def when(text: str) -> datetime:
    """A date, or a date and time; UTC unless it says otherwise."""
    try:
        found = datetime.fromisoformat(text.strip())
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        raise click.BadParameter(f"{text!r} is no ISO date or time, such as 2026-11-28 or 2026-11-28T06:30Z") from None


def window(text: str) -> tuple[datetime, datetime]:
    """Two of these with a slash between them."""
    start, slash, end = text.partition("/")
    if not slash:
        raise click.BadParameter(f"{text!r} is no START/END, such as 2026-11-28/2026-12-01T12:00Z")
    opens, closes = when(start), when(end)
    if opens >= closes:
        raise click.BadParameter(f"{text!r} ends before it has begun; it is START/END")
    return opens, closes


def point(text: str) -> tuple[float, float]:
    """Latitude and longitude in degrees."""
    lat, lon = _pair(text, float, "LAT,LON in degrees, such as 51.95,4.05")
    if not (-90 <= lat <= 90 and -180 <= lon <= 180):
        raise click.BadParameter(f"{text!r} is not on the globe; it is LAT,LON in degrees, such as 51.95,4.05")
    return lat, lon


def angles(text: str) -> tuple[int, int]:
    """The smallest and the largest, in whole degrees."""
    least, most = _pair(text, int, "MIN,MAX in whole degrees, such as 15,40")
    if not 0 <= least <= most <= 90:
        raise click.BadParameter(f"{text!r} is no MIN,MAX in whole degrees, the smaller first, such as 15,40")
    return least, most


def _pair(text: str, read: Callable[[str], N], what: str) -> tuple[N, N]:
    try:
        first, second = (read(one) for one in text.split(","))
    except ValueError:
        raise click.BadParameter(f"{text!r} is no {what}") from None
    return first, second


def word(text: str) -> str:
    """Anything but nothing: an empty variable of the shell must not be taken for an option that was left out."""
    if not text.strip():
        raise click.BadParameter("it is empty")
    return text


def place(text: str) -> str:
    """A folder that files can come to: that is seen now, and not when the first of them does."""
    path = Path(word(text)).absolute()
    if "://" in text:
        raise click.BadParameter(f"{text!r} is an address; files are brought to folders of this machine")
    there = next(one for one in (path, *path.parents) if one.exists())
    if not there.is_dir():
        raise click.BadParameter(f"{str(there)!r} is a file, not a folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise click.BadParameter(f"{str(there)!r} cannot be written to")
    return text


def report(text: str) -> str:
    """A file that a report can be saved as: that is seen now, and not after days."""
    path = Path(text)
    if path.suffix.lower() not in {".json", ".csv", ".parquet"}:
        raise click.BadParameter(f"{text!r} is no report; its name ends with .json, .csv or .parquet")
    if not path.absolute().parent.is_dir():
        raise click.BadParameter(f"there is no folder {str(path.parent)!r}")
    if path.is_dir() or not os.access(path.absolute().parent, os.W_OK | os.X_OK):
        raise click.BadParameter(f"{text!r} cannot be written")
    if path.suffix.lower() == ".parquet" and not (find_spec("pandas") and find_spec("pyarrow")):
        raise click.BadParameter(f"{text!r} needs pandas and pyarrow: pip install pandas pyarrow")
    return text


def words(
    *names: str, known: type[StrEnum], text: str, multiple: bool = True, required: bool = False
) -> Callable[[F], F]:
    """An option for words of the service: those that are known, in whatever case, and others as they are."""

    def read(text: str) -> str:
        return next((one.value for one in known if one == text.upper()), word(text))

    def offered(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
        return [one.value for one in known if one.startswith(incomplete.upper())]

    repeated = "  May be repeated." if multiple else ""
    return click.option(
        *names, type=read, multiple=multiple, required=required, metavar="WORD", help=f"{text}{repeated}",
        shell_complete=offered,
    )  # fmt: skip


derivative_types = words("--type", "types", known=DerivativeType, text="Only these, as DC_VESSELS.")
product_types = words("--type", "kinds", known=ProductType, text="Only these, as GRD-COG.")
mode = words(
    "--mode", "imaging_mode", known=ImagingMode, text="As SPOTLIGHT or STRIPMAP.", multiple=False, required=True
)
ordered_products = words("--product", "product_types", known=ProductType, text="As GRD.")
ordered_derivatives = words(
    "--derivative", "derivative_product_types", known=DerivativeType,
    text="What to look for in it, as DC_VESSELS; needs --product GRD.",
)  # fmt: skip
until = words("--until", "until", known=TaskStatus, text="The status; FULFILLED or DONE unless given.")

timeout = click.option(
    "--timeout", type=duration, metavar="TIME", help="Give up after so long: 90, 15m, 2h, 3d.  [default: 16d]"
)
every = click.option(
    "--every", type=amount, metavar="SECONDS", help="Look at least so often after the imaging.  [default: 25]"
)
links = click.option("--links", is_flag=True, help="Print signed links whole. They are secrets for an hour.")
overwrite = click.option("--overwrite", is_flag=True, help="Replace files that are in the way and are not known here.")
yes = click.option("--yes", is_flag=True, help="Do not ask first.")


def files(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The shell completes names of files."""
    return [CompletionItem(incomplete, type="file")]


def file(
    *names: str, text: str, read: Callable[[str], str] = word, required: bool = False, multiple: bool = False
) -> Callable[[F], F]:
    """An option for the name of a file."""
    return click.option(
        *names, type=read, required=required, multiple=multiple, shell_complete=files, metavar="FILE", help=text
    )


def folders(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The shell completes names of folders."""
    return [CompletionItem(incomplete, type="dir")]


def folder(text: str, *, required: bool = True) -> Callable[[F], F]:
    """`--to`"""
    return click.option("--to", type=place, metavar="FOLDER", required=required, shell_complete=folders, help=text)
