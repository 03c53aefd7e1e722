"""Tasks, products and derivatives as words: rows of a list, and what is known of one. All is harmless to print."""

from collections.abc import Iterator
from datetime import datetime
from itertools import chain, islice
from typing import NamedTuple

from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Column, Table
from rich.text import Text

from ..batch import BatchOutcome, BatchReport
from ..display.text import duration, harmless
from ..models import Derivative, Product, Task
from ..protocol.ordering import TaskRequest
from .words import told

MARKS = {
    "ok": ("\u2713", "green"),
    "warning": ("!", "yellow"),
    "failed": ("\u2717", "red"),
    "skipped": ("-", "bright_black"),
}
_FAINT = "bright_black"
_LAST = 8
"""Columns of what stands last in a row, usually."""
_LEAST = 24
"""Columns that what stands beside a label needs at least."""
_STATUS = {
    "RECEIVED": "cyan",
    "ACTIVE": "cyan",
    "FULFILLED": "green",
    "DONE": "green",
    "REJECTED": "red",
    "FAILED": "red",
    "CANCELED": "yellow",
}


class Cell(NamedTuple):
    """A part of a row. `width`: so many columns at least, for the cells below each other to be aligned."""

    text: str
    width: int = 0
    style: str = ""


def task_row(task: Task) -> list[Cell]:
    status = harmless(task.status)
    return [
        Cell(harmless(task.id), 36),
        Cell(status, 9, _STATUS.get(status, "")),
        Cell(harmless(task.imaging_mode), 16),
        Cell(moment(task.created_at), 17, _FAINT),
        Cell(harmless(task.reference or "")),
    ]


def product_row(product: Product) -> list[Cell]:
    acquired = "" if product.acquired is None else moment(product.acquired.start)
    return [
        Cell(harmless(product.id), 36),
        Cell(harmless(product.product_type or ""), 7, "green"),
        Cell(harmless(product.mode or ""), 10),
        Cell(acquired, 17, _FAINT),
        Cell(harmless(", ".join(product.assets))),
    ]


def derivative_row(derivative: Derivative) -> list[Cell]:
    ready = bool(derivative.assets)
    return [
        Cell(harmless(derivative.id), 36),
        Cell(harmless(derivative.type), 12),
        Cell("ready" if ready else "being made", 10, "green" if ready else _FAINT),
        Cell(harmless(", ".join(asset.type or "file" for asset in derivative.assets))),
    ]


def of_task(task: Task) -> list[tuple[str, str]]:
    """What is known of it, each with its name."""
    window = task.acquisition_window
    found: list[tuple[str, object]] = [
        ("task", task.id),
        ("status", task.status),
        ("contract", task.contract_id),
        ("mode", task.imaging_mode),
        ("point", f"{task.point_of_interest.lat:g}, {task.point_of_interest.lon:g} (latitude, longitude)"),
        ("window", f"{moment(window.start)} to {moment(window.end)}"),
        ("products", _joined(task.product_types)),
        ("derivatives", _joined(task.derivative_product_types)),
        ("reference", task.reference),
        ("created", moment(task.created_at)),
        ("updated", moment(task.updated_at)),
        ("fulfilled", None if task.fulfilled_at is None else moment(task.fulfilled_at)),
        *chosen(task),
        ("delivered", _within(task.products_available_in_seconds)),
    ]
    return [(name, harmless(str(value))) for name, value in found if value is not None]


def chosen(order: TaskRequest | Task) -> list[tuple[str, object]]:
    """What else can be asked for in an order, each with its name; None where it was not."""
    return [
        ("exclusivity", order.exclusivity),
        ("priority", order.priority),
        ("sla", order.sla),
        ("eula", order.eula),
        ("look side", order.look_side),
        ("pass", order.pass_direction),
        ("incidence", None if order.incidence_angle is None else "{:g} to {:g} degrees".format(*order.incidence_angle)),
        ("duration", None if order.imaging_duration is None else f"{order.imaging_duration} s"),
    ]


def outcome_rows(report: BatchReport, most: int | None) -> Iterator[list[Cell]]:
    """A row for each task of a batch, those first that failed; so many at most."""
    failed = ((one, "failed", f"{type(error).__name__}: {told(error)}") for one, error in report.failed.items())
    waiting = ((one, "waiting", "") for one in report.waiting)
    completed = ((one, "completed", _arrived(outcome)) for one, outcome in report.completed.items())
    for task_id, outcome, what in islice(chain(failed, waiting, completed), most):
        style = {"failed": "red", "completed": "green"}.get(outcome, _FAINT)
        yield [Cell(harmless(task_id), 36), Cell(outcome, 9, style), Cell(harmless(what))]


def _arrived(outcome: BatchOutcome) -> str:
    count = len(outcome.files)
    files = f", {count} file{'' if count == 1 else 's'}" if count else ""
    return f"{', '.join(sorted(outcome.types))}{files}"


def moment(time: datetime) -> str:
    """To the minute, in UTC; and in a form that the options take."""
    return f"{time:%Y-%m-%dT%H:%MZ}"


def _joined(words: tuple[str, ...] | None) -> str | None:
    return None if words is None else ", ".join(words) or "none"


def _within(seconds: int | None) -> str | None:
    return None if seconds is None else f"within {duration(seconds)} of the imaging"


def lines(cells: list[Cell], width: int) -> list[RenderableType]:
    """The row on one line where rows like it have room, else its first cell above the others."""
    usual = sum(cell.width + 2 for cell in cells) + _LAST
    whole = _side_by_side(cells)
    if max(usual - 2, cell_len(whole.plain)) <= width:
        return [whole]
    return [Text(cells[0].text, cells[0].style), beside(Text(" "), _side_by_side(cells[1:], aligned=False), 1, width)]


def beside(label: Text, value: Text, columns: int, width: int) -> RenderableType:
    """The label in so many columns and the value right of it, on as many lines as it needs; else below."""
    if width - columns < _LEAST:
        return Group(label, Padding(value, (0, 0, 0, 2))) if label.plain.strip() else Padding(value, (0, 0, 0, 1))
    grid = Table.grid(Column(width=columns, no_wrap=True), Column(overflow="fold"), padding=(0, 1, 0, 0))
    grid.add_row(label, value)
    return grid


def _side_by_side(cells: list[Cell], *, aligned: bool = True) -> Text:
    text = Text()
    for cell in cells if aligned else [cell for cell in cells if cell.text]:
        gap = max(0, cell.width - cell_len(cell.text)) if aligned else 0
        text.append(cell.text, cell.style).append(" " * (gap + 2))
    text.rstrip()
    return text
