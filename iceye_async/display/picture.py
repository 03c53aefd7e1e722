"""The picture of a download, by rich: a row for each file under way and one for the whole, in whatever width there is.

    69be-...-grd-tif.tif  ━━━━━━━━━━╾──────────  1.2 of 3.4 GB   48 MB/s         46 s
    3 of 12 files         ━━━╾─────────────────  4.1 of 9.9 GB  110 MB/s         53 s

A narrower console gets two lines for each; a very narrow one less on them. It needs no colour: what is there is drawn
with a heavy line, what is missing with a light one. Where the encoding has no such lines, plain letters do.
"""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Column, Table
from rich.text import Text

from ..events import Failed, Finished, Interrupted
from .account import Account, Row, name, reason
from .pens import FAINT, Pens
from .sheet import GAP, NARROW, WIDE
from .text import duration, size

_AMOUNT, _RATE, _LEFT = 13, 8, 11
"""Columns: `9.9 of 999 MB`, `9.9 MB/s`, `23 h 59 min`."""
_LEAST_BAR, _LONGEST_BAR = 6, 40


class Picture:
    """A renderable; each time it is drawn it shows what the account holds then."""

    def __init__(self, account: Account, now: Callable[[], float]) -> None:
        self._account = account
        self._now = now
        self._longest = 0

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for line in self._lines(options, console.height):
            line.no_wrap, line.overflow = True, "crop"
            yield line

    def _lines(self, options: ConsoleOptions, height: int) -> Iterator[Text]:
        account, pens, width, now = self._account, Pens.of(options), options.max_width, self._now()
        if not account.anything:
            yield pens.bar(None, min(_LONGEST_BAR, width), "green", now)
            return
        label = files(account, short=width < NARROW)
        rows = list(account.under_way.values())
        # Below them come the count of those that have no room, the whole, and the line where the cursor is.
        each = 1 if width >= WIDE else 2
        room = max(0, (height - 2 - each) // each)
        shown, more = rows[:room], len(rows) - room
        # It never shrinks, so that the bars stay where they are when a file with a long name is whole.
        self._longest = max([self._longest, cell_len(label), *(cell_len(row.name) for row in shown)])
        page = _Page(pens, width, now, self._longest, cell_len(label))
        for row in shown:
            yield from page.row(row, row.pace.share, "cyan" if row.resumes is None else "yellow")
        if more > 0:
            yield Text(f"and {more} more", FAINT)
        yield from page.row(Row(label, account.whole), account.share, "green", "bold")


class _Page(NamedTuple):
    """Where a row's columns are; `longest` is that of all names, `least` that of one which must be legible."""

    pens: Pens
    width: int
    now: float
    longest: int
    least: int

    def row(self, row: Row, share: float | None, colour: str, style: str = "") -> Iterator[Text]:
        if self.width < NARROW:
            yield Text(self.pens.cell(row.name, self.width), style)
            yield self._little(row, share, colour)
            return
        figures = self._figures(row)
        beside = cell_len(figures.plain) + GAP if self.width >= WIDE else 0
        room = self.width - beside - GAP
        named = min(self.longest, max(self.least, room * 3 // 5), room - _LEAST_BAR)
        bar = self.pens.bar(share, min(_LONGEST_BAR, room - named), colour, self.now)
        first = Text.assemble((self.pens.cell(row.name, named), style), " " * GAP, bar)
        if self.width >= WIDE:
            yield Text.assemble(first, " " * GAP, figures)
            return
        yield first
        # Dim, so that the names stand out.
        yield Text(" " * (self.width - cell_len(figures.plain)), FAINT).append_text(figures)

    def _figures(self, row: Row) -> Text:
        cell, gap = self.pens.cell, " " * GAP
        text = Text(cell(row.pace.amount, _AMOUNT, right=True) + gap)
        if row.resumes is not None:
            return text.append(cell(goes_on(row.resumes - self.now), _RATE + GAP + _LEFT, right=True), "yellow")
        if row.pace.share == 1.0:
            # It is looked over and gets its name: no more bytes come.
            return text.append(" " * (_RATE + GAP + _LEFT))
        left = row.pace.left(self.now)
        text.append(cell(f"{size(int(row.pace.rate(self.now)))}/s", _RATE, right=True) + gap)
        return text.append(cell("" if left is None else duration(math.ceil(left)), _LEFT, right=True))

    def _little(self, row: Row, share: float | None, colour: str) -> Text:
        if row.resumes is not None:
            return Text(self.pens.cell(goes_on(row.resumes - self.now), self.width), colour)
        amount = self.pens.cell(row.pace.amount, min(_AMOUNT, self.width), right=True)
        room = self.width - _AMOUNT - 1
        if room < _LEAST_BAR:
            return Text(amount)
        return Text.assemble(self.pens.bar(share, room, colour, self.now), " ", amount)


def files(account: Account, *, short: bool = False) -> str:
    """`3 of 12 files, 1 failed`; short, `3/12, 1 failed`."""
    total = account.finished if account.files is None else account.files
    failed = f", {account.failed} failed" if account.failed else ""
    if short:
        return f"{account.finished}/{total}{failed}"
    some = f"{account.finished} of " if account.finished != total else ""
    return f"{some}{total} {'file' if total == 1 else 'files'}{failed}"


def goes_on(seconds: float) -> str:
    return f"goes on in {duration(math.ceil(seconds))}" if seconds > 0 else "goes on now"


def line(event: Finished | Failed | Interrupted) -> str:
    """What happened to a file, in full and without a picture."""
    if isinstance(event, Finished):
        return f"{name(event)}: {_whole(event)}"
    if isinstance(event, Failed):
        return f"{name(event)}: failed: {reason(event)}"
    return f"{name(event)}: interrupted at {size(event.received)}: {reason(event)}; {goes_on(event.wait)}"


def notice(event: Finished | Failed, options: ConsoleOptions) -> RenderableType:
    """What happened to a file, above the bars: one line if it is whole, what there is to say if it failed."""
    pens = Pens.of(options)
    if isinstance(event, Failed):
        lines = Table.grid("", Column(overflow="fold"), padding=(0, 1, 0, 0))
        lines.add_row(Text(pens.failed, "red"), Text(pens.written(f"{name(event)}: {reason(event)}")))
        return lines
    mark, named = (f"{pens.whole} ", "green"), pens.written(name(event))
    most = options.max_width - len(mark[0])
    tail = f"  {_whole(event)}" if most >= NARROW else f"  {size(event.size)}"
    shown = pens.cell(named, min(cell_len(named), max(0, most - len(tail))))
    text = Text.assemble(mark, shown, (tail, FAINT))
    text.no_wrap, text.overflow = True, "crop"
    return text


def _whole(event: Finished) -> str:
    remark = ", there already" if event.known else "" if event.verified else ", size not checked"
    return size(event.size) + remark


def summary(account: Account, seconds: float, how: str) -> Text | None:
    """One line, when all is over; None where there is nothing to tell."""
    if not account.anything:
        return None
    style = {"complete": "bold green", "failed": "bold red"}.get(how, "bold yellow")
    text = Text.assemble((f"{how}: " if how == "stopped" else "") + files(account), style=style)
    text.append(f", {size(account.whole.received)} in {duration(seconds)}")
    if account.known:
        text.append(f"; {account.known} there already")
    return text
