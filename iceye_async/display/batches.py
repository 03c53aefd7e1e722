"""`batching()`: show how far a batch is, however many tasks it has."""

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from attrs import define, field

from .. import events
from ..batch import BatchEvent, Downloaded, Failed, Finished, Updated
from ..errors import IceyeError
from .board import Board, surfaces
from .tempo import Rate, Trend
from .text import duration, harmless, in_words, outcome, size

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from ..batch.batch import Batch
    from .surfaces import Surface

FEW = 20
"""So many tasks at most have a line each in a log; and of so many it is told there why they failed."""
KEPT = 5
"""So many of the last failures and arrivals are kept."""
_COUNT = 1.0
"""Seconds between two looks into the journal."""
_REPORT = 10.0
"""Seconds between two lines of counts."""


@contextmanager
def batching(
    batch: "Batch", *, journal: str | Path, rate: float | None, console: "Console | None" = None
) -> "Iterator[Batching]":
    """Shows the batch while it is driven inside, and at the end what has become of it.

        batch = client.await_batch(task_ids, journal="night.db")
        with batching(batch, journal="night.db", rate=10.0) as screen:
            async for event in batch:
                screen.told(event)

    In a terminal and in a notebook a picture is redrawn in place: how many tasks are over, completed, failed and
    waiting, files, requests, and the last failures and arrivals; it is as large for thousands of tasks as for ten.
    Elsewhere plain lines tell of each task while they are few, else now and then of the counts and of the first
    failures. `rate` is the client's limit in requests a second, None where it has none; `console` is as for `bars()`.

    Errors are those of the batch. A display that fails is given up, with a warning in the log, and the batch goes on.
    Without rich: `MissingExtra`.
    """
    shown, now = surfaces().shown, surfaces().now
    board = BatchBoard(batch, str(journal), rate, now)
    with shown(board, console) as surface:
        yield Batching(surface, board)


class Batching:
    """Told what a batch gives, and of the requests of its client."""

    def __init__(self, surface: "Surface", board: "BatchBoard") -> None:
        self._surface = surface
        self._board = board

    def told(self, event: BatchEvent) -> None:
        """After each step of the batch."""
        self._surface.told(event)

    def requested(self, event: events.Event) -> None:
        """What the client tells `on_event`; only its requests to the API count."""
        self._board.requested(event)


class Counts(NamedTuple):
    """Of the tasks of a batch, as its journal has them."""

    completed: int = 0
    failed: int = 0
    waiting: int = 0

    @property
    def over(self) -> int:
        return self.completed + self.failed

    @property
    def total(self) -> int:
        return self.over + self.waiting


class Loss(NamedTuple):
    """A task that failed, and why."""

    task_id: str
    why: str


@define
class Arrival:
    """A task of which something has come: types, and files."""

    task_id: str
    types: list[str] = field(factory=list)
    files: int = 0
    bytes: int = 0

    @property
    def what(self) -> str:
        """In a few words."""
        files = f"{self.files:,} {'file' if self.files == 1 else 'files'}, {size(self.bytes)}" if self.files else ""
        return "; ".join(filter(None, (", ".join(self.types), files)))


class BatchBoard(Board):
    """How far a batch is, as a picture or as lines."""

    def __init__(self, batch: "Batch", journal: str, rate: float | None, now: Callable[[], float]) -> None:
        from .batchpicture import BatchPicture

        self._batch = batch
        self._now = now
        self._began = now()
        self.journal = harmless(journal)
        self.limit = rate
        self.counts = Counts()
        self.requests, self.pace, self.trend = 0, Rate(), Trend()
        self.files, self.bytes = 0, 0
        self.failures: deque[Loss] = deque(maxlen=KEPT)
        self.arrivals: deque[Arrival] = deque(maxlen=KEPT)
        self.over = ""
        """How it ended, in a word, once it has."""
        self._counted = -math.inf
        self._said: Counts | None = None
        self._reported = -math.inf
        self._told_failures = 0
        self._picture = BatchPicture(self, now)

    # --- how far it is ---------------------------------------------------------------------------------------------

    @property
    def elapsed(self) -> float:
        return self._now() - self._began

    @property
    def left(self) -> float | None:
        """Seconds until all is over, where the last while tells; else None."""
        return None if self.over else self.trend.left(self.counts.waiting, self.elapsed)

    @property
    def rate(self) -> float:
        """Requests a second, over the last ten."""
        return self.pace.at(self._now())

    def requested(self, event: events.Event) -> None:
        """Counts it, if it is a request to the API."""
        if isinstance(event, events.Requested) and event.path.startswith("/api/"):
            self.requests += 1
            self.pace.count(self._now())

    def count(self, *, at_once: bool = False) -> None:
        """Look into the journal, unless that was done a moment ago. One that cannot be read is the batch's business."""
        now = self._now()
        if now < self._counted + _COUNT and not at_once:
            return
        self._counted = now
        report = self._batch.latest
        try:
            self.counts = Counts(len(report.completed), len(report.failed), len(report.waiting))
        except IceyeError:
            return
        self.trend.seen(self.elapsed, self.counts.over)

    # --- the board -------------------------------------------------------------------------------------------------

    @property
    def picture(self) -> "RenderableType":
        self.count()
        return self._picture

    @property
    def calm(self) -> bool:
        return True

    def told(self, event: Any, now: float) -> None:  # noqa: ARG002 - nothing hangs on when
        # Before the first event there may be no journal yet, and a short batch is over within a second.
        self.count(at_once=not self.counts.total)
        if isinstance(event, Failed):
            self.failures.append(Loss(harmless(event.task_id), why(event)))
        elif isinstance(event, Updated):
            arrival = self._arrival(event)
            arrival.types = sorted({*arrival.types, *(harmless(one.type) for one in event.update.fresh)})
        elif isinstance(event, Downloaded):
            arrival, bytes_ = self._arrival(event), sum(file.size for file in event.files)
            arrival.files, arrival.bytes = arrival.files + len(event.files), arrival.bytes + bytes_
            if not event.again:
                self.files, self.bytes = self.files + len(event.files), self.bytes + bytes_

    def _arrival(self, event: BatchEvent) -> Arrival:
        """The row of the event's task, a new one where it has none."""
        task_id = harmless(event.task_id)
        found = next((one for one in self.arrivals if one.task_id == task_id), None)
        if found is None:
            found = Arrival(task_id)
            self.arrivals.append(found)
        return found

    def end(self, error: BaseException | None) -> Iterable["RenderableType"]:
        from .batchpicture import summary

        self._close(error)
        if self._has_begun(error):
            yield self._picture
            yield summary(self, duration(self.elapsed))

    def _close(self, error: BaseException | None) -> None:
        self.count(at_once=True)
        self.over = outcome(error)
        if self.over == "complete" and self.counts.waiting:
            # Whoever drove it has left off.
            self.over = "stopped"
        elif self.over == "complete" and self.counts.failed:
            self.over = "over"

    # --- lines -----------------------------------------------------------------------------------------------------

    def lines(self, event: Any) -> Iterable[str]:
        self.count()
        if self._said is None and self.counts.total:
            self._said = self.counts
            limit = "" if self.limit is None else f", at most {self.limit:g} requests a second"
            so_far = counted(self.counts) if self.counts.over else tasks(self.counts.total)
            yield self._line(f"{so_far}; journal {self.journal}{limit}")
        yield from map(self._line, self._of_event(event))
        if self._is_due():
            self._said, self._reported = self.counts, self._now()
            yield self._line(f"{counted(self.counts)}, {self.requests:,} requests")

    def _of_event(self, event: Any) -> Iterator[str]:
        if isinstance(event, Failed):
            self._told_failures += 1
            if self._told_failures <= FEW:
                yield f"{harmless(event.task_id)}: failed: {why(event)}"
        elif isinstance(event, Finished) and 0 < self.counts.total <= FEW:
            yield f"{harmless(event.task_id)}: {_became(event)}"

    def _is_due(self) -> bool:
        """Whether counts are to be told: of many tasks now and then, and only what has changed."""
        if self.counts.total <= FEW or self.counts == self._said:
            return False
        return self._now() >= self._reported + _REPORT

    def last(self, error: BaseException | None) -> Iterable[str]:
        from .batchpicture import summary

        self._close(error)
        if self._has_begun(error):
            yield self._line(summary(self).plain)

    def _has_begun(self, error: BaseException | None) -> bool:
        """Whether there is something to tell: a journal that cannot be opened has no tasks."""
        return error is None or self.counts.total > 0

    def _line(self, text: str) -> str:
        return f"[{duration(self.elapsed):>12}] {text}"


def tasks(number: int) -> str:
    """`5,000 tasks`."""
    return f"{number:,} {'task' if number == 1 else 'tasks'}"


def counted(counts: Counts) -> str:
    """`204 of 5,000 tasks over: 200 completed, 4 failed`."""
    head = f"{counts.over:,} of {tasks(counts.total)} over"
    return f"{head}: {counts.completed:,} completed, {counts.failed:,} failed"


def why(event: Failed) -> str:
    """The error's own words, but for the task: that is named already."""
    return in_words(event.error).removeprefix(f"task {harmless(event.task_id)}").lstrip(": ")


def _became(event: Finished) -> str:
    """What there is of the task, as the journal has it."""
    try:
        found = event.outcome
    except (IceyeError, KeyError):
        return "complete"
    types = ", ".join(sorted(map(harmless, found.types)))
    files = f"; {len(found.files):,} {'file' if len(found.files) == 1 else 'files'}" if found.files else ""
    return f"complete: {types}{files}"
