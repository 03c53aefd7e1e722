"""The picture of a wait: the task, a row for each type or file, what is wrong, and when it goes on.

    ⠹ task 69be1c84-7a0e-4a54-9d0f-0b6a2f6fd0aa  FULFILLED                 1 of 2 ready
    ✓ DC_VESSELS   vessel-detections.geojson                 61 kB        17 detections
    · DC_AIRCRAFT  not there yet
      1 h 02 min   next look in 12 s         15 d 22 h left

A narrower console gets two lines for each file; a low one, only the types.
"""

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from ..protocol.lifecycle import ENDED, IMAGED
from ..protocol.waiting import Goal, Standing
from .pens import FAINT
from .sheet import GAP, Sheet
from .shelfpicture import Entry, ShelfPicture
from .text import duration, in_words, size

if TYPE_CHECKING:
    from .waiting import Seen, WaitBoard

_ELAPSED, _NEXT = 11, 24
"""Columns: `23 h 59 min`, `next look in 23 h 59 min`."""
_WHEN = 19
"""Columns: `28 Nov 23:55:00 UTC`."""
_LOW = 8
"""Rows below which there is one line for each concern."""


class WaitPicture:
    """A renderable; each time it is drawn it shows how the wait stands then."""

    def __init__(self, board: "WaitBoard", now: Callable[[], float]) -> None:
        self._board = board
        self._now = now

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        board = self._board
        labels = [seen.status for seen in board.history] if board.goal is Goal.TASK else board.shelf.names
        longest = max(map(cell_len, labels), default=0)
        page = _Page(board, Sheet.of(console, options, self._now()), longest)
        # The line below is where the cursor is; at the end there is no other picture, and it may scroll away.
        for line in page.lines(None if board.over else max(1, console.height - 1)):
            line.no_wrap, line.overflow = True, "crop"
            yield line


class _Page(NamedTuple):
    """A drawing; `longest` is how wide the names of types are."""

    board: "WaitBoard"
    sheet: Sheet
    longest: int

    def lines(self, height: int | None) -> Iterator[Text]:
        """So many at most."""
        low = height is not None and height < _LOW
        head, trouble, foot = self._head(), self._trouble(1 if low else 3), self._foot()
        if low:
            # What is wrong counts more than when it goes on, and that more than the rest.
            head, foot = head[:1], [] if trouble else foot[:1]
        room = None if height is None else max(0, height - len(head) - len(trouble) - len(foot))
        yield from [*head, *self._fitting(room), *trouble, *foot][:height]

    def _fitting(self, room: int | None) -> Iterator[Text]:
        entries = list(self._entries())
        if room is not None and sum(map(len, entries)) > room:
            if self.board.goal is not Goal.TASK:
                entries = list(ShelfPicture(self.sheet, self.board.shelf, self.longest).sums())
            if sum(map(len, entries)) > room:
                # The last statuses count; the first types do.
                entries = [entry[:1] for entry in entries]
                entries = entries[-room:] if self.board.goal is Goal.TASK else self._first(entries, room)
        yield from (line for entry in entries[:room] for line in entry)

    def _first(self, entries: list[Entry], room: int) -> list[Entry]:
        more = len(entries) - room + 1
        return entries if more <= 1 else [*entries[: room - 1], [self.sheet.below(f"and {more} more", FAINT)]]

    def _entries(self) -> Iterator[Entry]:
        board, sheet = self.board, self.sheet
        if board.goal is Goal.TASK:
            yield from map(self._status, board.history)
            if not (board.complete or board.over):
                yield [self._alone(" or ".join(board.wanted))]
            return
        if not board.shelf.all and not board.over:
            yield [self._alone(f"no {board.goal.what} yet")]
        yield from ShelfPicture(sheet, board.shelf, self.longest).entries()

    def _alone(self, text: str) -> Text:
        """What has not come."""
        line = Text.assemble((self.sheet.pens.mark(self.sheet.pens.missing), FAINT))
        return line.append(self.sheet.pens.cut_end(text, self.sheet.room(line)), FAINT)

    # --- the task --------------------------------------------------------------------------------------------------

    def _head(self) -> list[Text]:
        board, sheet, pens = self.board, self.sheet, self.sheet.pens
        status = "" if board.status is None or board.goal is Goal.TASK else pens.cut_end(board.status, 24)
        kinds = board.shelf.kinds
        ready = "" if board.over or not kinds else f"{len(board.shelf.ready)} of {len(kinds)} ready"
        if sheet.is_narrow:
            ready = ready.removesuffix(" ready").replace(" of ", "/")
        line = Text.assemble((pens.mark(self._mark[0]), self._mark[1]))
        if not sheet.is_wide:
            line.append(pens.cut_to(board.task_id, sheet.room(line)), "bold")
            second = Text(sheet.indent).append(status, _colour(status)).append(" " * GAP if status and ready else "")
            return [line, second.append(ready, FAINT)] if status or ready else [line]
        beside = cell_len(status) + len(ready) + 2 * GAP
        line.append(pens.cut_to(f"task {board.task_id}", sheet.room(line) - beside), "bold")
        line.append(" " * GAP if status else "").append(status, _colour(status))
        return [line.append(pens.cell(ready, sheet.room(line), right=True), FAINT) if ready else line]

    @property
    def _mark(self) -> tuple[str, str]:
        pens = self.sheet.pens
        if not self.board.over:
            return pens.spin(self.sheet.now), "cyan"
        if self.board.over == "complete":
            return pens.whole, "green"
        return (pens.stopped, "yellow") if self.board.over == "stopped" else (pens.failed, "red")

    def _status(self, seen: "Seen") -> Entry:
        """One that the task was in, when the service says it came to it, and when that was seen."""
        sheet, pens = self.sheet, self.sheet.pens
        mark = pens.failed if seen.status in ENDED else pens.whole
        line = sheet.row(mark, _colour(seen.status) or "green", seen.status, self.longest)
        if not sheet.is_narrow:
            when = "" if seen.at is None else f"{seen.at:%d %b %H:%M:%S} UTC"
            line.append(pens.cut_end(when, sheet.room(line)))
        if sheet.is_wide:
            line.append(" " * (_WHEN - len(when) + GAP) + f"after {duration(seen.elapsed)}", FAINT)
        return [line]

    # --- what is wrong, and when it goes on ------------------------------------------------------------------------

    def _trouble(self, most: int) -> list[Text]:
        standing = self.board.standing
        if standing.error is None or self.board.over:
            return []
        looks = "1 look" if standing.setbacks == 1 else f"{standing.setbacks:,} looks in a row"
        return self.sheet.wrapped("!", f"{looks} failed: {in_words(standing.error)}", "yellow", most)

    def _foot(self) -> list[Text]:
        if self.board.over:
            return []
        sheet, cell = self.sheet, self.sheet.pens.cell
        standing, elapsed = self.board.standing, duration(self.board.elapsed)
        look, left = self._look(standing), "" if standing.left is None else f"{duration(standing.left)} left"
        if sheet.is_wide:
            told = [cell(elapsed, _ELAPSED), cell(look, _NEXT), left]
            return [sheet.below((" " * GAP).join(told).rstrip(), FAINT)]
        if sheet.is_narrow:
            return [sheet.below(text, FAINT) for text in (look.replace("next look in", "next"), elapsed, left) if text]
        whole = f"{cell(elapsed, _ELAPSED)}{' ' * GAP}{left}".rstrip()
        return [sheet.below(look, FAINT), sheet.below(whole, FAINT)]

    def _look(self, standing: Standing) -> str:
        if standing.next_look > 0:
            return f"next look in {duration(math.ceil(standing.next_look))}"
        # While files are fetched nobody may be driving the wait.
        return "" if self.board.shelf.account.under_way else "asking now"


def _colour(status: str) -> str:
    return "red" if status in ENDED else "green" if status in IMAGED else ""


def summary(board: "WaitBoard", elapsed: str = "") -> Text:
    """One line, when all is over. `elapsed` is how long it took, where that is to be said."""
    shelf = board.shelf
    style = {"complete": "bold green", "stopped": "bold yellow"}.get(board.over, "bold red")
    if board.goal is Goal.TASK:
        told = [f"the task is {board.status}" if board.status else "the task was not seen"]
    else:
        told = [f"{len(shelf.ready)} of {len(shelf.kinds)} ready" if shelf.kinds else f"no {board.goal.what}"]
    if shelf.whole + shelf.failed:
        failed = f", {shelf.failed:,} failed" if shelf.failed else ""
        told.append(f"{shelf.whole:,} {'file' if shelf.whole == 1 else 'files'}{failed}, {size(shelf.bytes)}")
    took = f" {'in' if board.over == 'complete' else 'after'} {elapsed}" if elapsed else ""
    return Text.assemble((board.over, style), f"{took}: {', '.join(told)}")
