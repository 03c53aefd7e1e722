"""The picture of a batch: how many tasks are over, what it asks, and what failed and came last.

    ⠹ ━━━━━━━━━━━╾───────────────────────────────────────  1,204 of 5,000 tasks   24 %
      1,180 completed    24 failed          3,796 waiting      2,360 files, 145 MB
      9.8/s of 10/s      48,211 requests    1 h 02 min         about 12 min left
    ✗ 69be1c84-7a0e-4a54-9d0f-0b6a2f6fd0aa  is REJECTED: there will be no picture
    ✓ 69be1c84-7a0e-4a54-9d0f-0b6a2f6fd0ab  DC_VESSELS; 1 file, 61 kB

It is as large for thousands of tasks as for ten. A low console gets the upper part of it.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from .pens import FAINT
from .sheet import GAP, Sheet
from .text import duration, roughly, size

if TYPE_CHECKING:
    from .batches import BatchBoard

_ID = 36
"""Columns of an id as the service makes them."""
_SHORT_ID = 13
_LEAST_BAR = 6


class BatchPicture:
    """A renderable; each time it is drawn it shows how far the batch is then."""

    def __init__(self, board: "BatchBoard", now: Callable[[], float]) -> None:
        self._board = board
        self._now = now

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        page = _Page(self._board, Sheet.of(console, options, self._now()))
        # The line below is where the cursor is; at the end there is no other picture, and it may scroll away.
        for line in page.lines(None if self._board.over else max(1, console.height - 1)):
            line.no_wrap, line.overflow = True, "crop"
            yield line


class _Page(NamedTuple):
    """A drawing."""

    board: "BatchBoard"
    sheet: Sheet

    def lines(self, height: int | None) -> Iterator[Text]:
        """So many at most."""
        lines = [*self._head(), *self.sheet.grid([*self._counts(), *self._rates()])]
        yield from lines[:height]
        failures = [self._news(one.task_id, one.why, failed=True) for one in self.board.failures]
        if height is None:
            yield from failures
            if (more := self.board.counts.failed - len(failures)) > 0 and failures:
                yield self.sheet.below(f"and {more:,} more failed", FAINT)
            return
        arrivals = [self._news(one.task_id, one.what, failed=False) for one in self.board.arrivals]
        room = max(0, height - len(lines))
        # Half of the room for either, and what one does not need for the other.
        lost = min(len(failures), max(room - len(arrivals), (room + 1) // 2))
        yield from failures[len(failures) - lost :]
        yield from arrivals[len(arrivals) - min(len(arrivals), room - lost) :]

    def _head(self) -> list[Text]:
        counts, sheet, pens = self.board.counts, self.sheet, self.sheet.pens
        mark, style = self._mark
        line = Text.assemble((pens.mark(mark), style))
        if not counts.total:
            return [line.append(pens.cut_end(f"reading {self.board.journal}", sheet.room(line)), "bold")]
        total = f"{counts.total:,}"
        label = f"{counts.over:>{len(total)},} of {total} {'task' if counts.total == 1 else 'tasks'}"
        share = f"{100 * counts.over // counts.total:>4} %"
        beside = sheet.room(line) - len(label) - len(share) - GAP
        if beside >= _LEAST_BAR:
            line.append_text(self._bar(beside)).append(" " * GAP).append(label, "bold")
            return [line.append(share, FAINT)]
        line.append(pens.cut_end(label.lstrip().removesuffix(" tasks"), sheet.room(line)), "bold")
        return [
            line,
            Text(sheet.indent).append_text(self._bar(sheet.room(sheet.indent) - len(share))).append(share, FAINT),
        ]

    def _bar(self, width: int) -> Text:
        counts = self.board.counts
        return self.sheet.pens.bar(counts.over / counts.total, max(1, width), "green", self.sheet.now)

    @property
    def _mark(self) -> tuple[str, str]:
        pens = self.sheet.pens
        marks = {
            "": (pens.spin(self.sheet.now), "cyan"),
            "complete": (pens.whole, "green"),
            "failed": (pens.failed, "red"),
        }
        return marks.get(self.board.over, (pens.whole if self.board.over == "over" else pens.stopped, "yellow"))

    def _counts(self) -> Iterator[tuple[str, str]]:
        counts, board = self.board.counts, self.board
        if not counts.total:
            return
        yield f"{counts.completed:,} completed", "green" if counts.completed else FAINT
        yield f"{counts.failed:,} failed", "red" if counts.failed else FAINT
        yield f"{counts.waiting:,} waiting", "" if counts.waiting else FAINT
        files = f"{board.files:,} {'file' if board.files == 1 else 'files'}, {size(board.bytes)}"
        yield files if board.files else "", FAINT

    def _rates(self) -> Iterator[tuple[str, str]]:
        board = self.board
        if board.over:
            return
        limit = "" if board.limit is None else f" of {board.limit:g}/s"
        yield f"{board.rate:.1f}/s{limit}", FAINT
        yield f"{board.requests:,} {'request' if board.requests == 1 else 'requests'}", FAINT
        yield duration(board.elapsed), FAINT
        yield "" if board.left is None else f"{roughly(board.left)} left", FAINT

    def _news(self, task_id: str, what: str, *, failed: bool) -> Text:
        sheet, pens = self.sheet, self.sheet.pens
        mark, style = (pens.failed, "red") if failed else (pens.whole, "green")
        line = Text.assemble((pens.mark(mark), style))
        if sheet.is_narrow:
            return line.append(pens.cut_to(task_id, sheet.room(line)))
        line.append(pens.cell(task_id, _ID if sheet.is_wide else _SHORT_ID)).append(" " * GAP)
        return line.append(pens.cut_end(what, sheet.room(line)), "" if failed else FAINT)


def summary(board: "BatchBoard", elapsed: str = "") -> Text:
    """One line, when all is over: beside the picture `elapsed` tells how long it took; in a log, the counts."""
    counts = board.counts
    style = {"complete": "bold green", "failed": "bold red"}.get(board.over, "bold yellow")
    tail = [f"{board.requests:,} {'request' if board.requests == 1 else 'requests'}"]
    if elapsed:
        took = f" {'after' if counts.waiting else 'in'} {elapsed}"
        lost = [f"{counts.failed:,} failed"] if counts.failed else []
        return Text.assemble((board.over, style), f"{took}: {', '.join(lost + tail)}")
    told = [f"{counts.completed:,} of {counts.total:,} {'task' if counts.total == 1 else 'tasks'} completed"]
    told += [f"{counts.failed:,} failed"] if counts.failed else []
    told += [f"{counts.waiting:,} waiting"] if counts.waiting else []
    if board.files:
        told.append(f"{board.files:,} {'file' if board.files == 1 else 'files'}, {size(board.bytes)}")
    return Text.assemble((board.over, style), f": {', '.join(told + tail)}")
