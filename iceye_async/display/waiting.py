"""`following()`: show how a wait stands, and the files that come meanwhile."""

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from ..clock import AsyncioClock
from ..events import DownloadEvent, Failed, Finished, Interrupted
from ..models import DerivativeUpdate, ProductUpdate, Task
from ..protocol.lifecycle import IMAGED
from ..protocol.waiting import Goal, Standing, Update
from .board import Board, surfaces
from .shelf import Shelf, counted
from .text import duration, harmless, in_words
from .waitcard import ending, waiting

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from ..waits import Waiting
    from .surfaces import Surface

MOST = 20
"""So many statuses are kept, the last ones."""
_FOREVER, _SOON = 1000 * 86_400.0, 3600.0
"""Seconds. A deadline that is farther or nearer has no date."""


class Ticking(Protocol):
    """Seconds on a clock that only goes forward."""

    def now(self) -> float: ...


@contextmanager
def following(
    wait: "Waiting[Any, Any]", *, clock: Ticking | None = None, console: "Console | None" = None
) -> "Iterator[Following]":
    """Shows the wait while it is driven inside, and at the end how it stands.

        wait = client.await_derivatives(task_id)
        with following(wait) as screen:
            async for update in wait:
                screen.updated(update)
                async for event in client.download(update.fresh, to="detections"):
                    screen.told(event)

    In a terminal and in a notebook a picture is redrawn in place: the task's status, what is there of each type with
    its files, what is under way, the next look, the deadline, and failures. Elsewhere a plain line tells of each thing
    that is new. `clock` is whose seconds have gone by, where it is not real time. `console` is as for `bars()`.

    Errors are those of the wait. A display that fails is given up, with a warning in the log, and the wait goes on.
    Without rich: `MissingExtra`.
    """
    shown, now = surfaces().shown, surfaces().now
    with shown(WaitBoard(wait, clock, now), console) as surface:
        yield Following(surface)


class Following:
    """Told what a wait gives, and how downloads go on meanwhile."""

    def __init__(self, surface: "Surface") -> None:
        self._surface = surface

    def updated(self, update: Update) -> None:
        """After each step of the wait."""
        self._surface.told(update)

    def told(self, event: DownloadEvent) -> None:
        """After each step of a download; several may go on at once."""
        self._surface.told(event)


class Seen(NamedTuple):
    """The task was in this status. `at` is the service's own time, where a wait for a status gave it."""

    status: str
    elapsed: float
    at: datetime | None


class WaitBoard(Board):
    """How a wait stands, as a picture or as lines."""

    def __init__(self, wait: "Waiting[Any, Any]", clock: Ticking | None, now: Callable[[], float]) -> None:
        from .waitpicture import WaitPicture

        self._wait = wait
        self._is_real = clock is None or isinstance(clock, AsyncioClock)
        self._now = now if clock is None else clock.now
        self._began = self._now()
        self.task_id = harmless(wait.task_id)
        self.wanted = tuple(map(harmless, wait.wanted))
        self.goal = wait.goal
        self.shelf = Shelf(() if self.goal is Goal.TASK else wait.wanted)
        self.history: deque[Seen] = deque(maxlen=MOST)
        self.over = ""
        """How it ended, in a word, once it has."""
        self._error: BaseException | None = None
        self._latest: Any = None
        self._said = Said()
        self._picture = WaitPicture(self, now)

    # --- how it stands ---------------------------------------------------------------------------------------------

    @property
    def standing(self) -> Standing:
        return self._wait.standing

    @property
    def elapsed(self) -> float:
        return self._now() - self._began

    @property
    def status(self) -> str | None:
        """Of the task, where it is known."""
        return self.history[-1].status if self.history else None

    @property
    def complete(self) -> bool:
        """Whether all that is waited for is there."""
        if self.goal is Goal.TASK:
            return self.status in self.wanted
        return self._latest is not None and bool(self._latest.complete)

    def look(self) -> None:
        """See what the wait has heard."""
        latest = self._wait.latest
        if latest is not None and latest is not self._latest:
            self._see(latest)
        status = self.standing.status
        if status is not None:
            self._note(status, None)

    def _see(self, update: Update) -> None:
        self._latest = update
        if isinstance(update, Task):
            self._note(update.status, update.updated_at)
        else:
            self.shelf.seen(update)

    def _note(self, status: str, at: datetime | None) -> None:
        status = harmless(status)
        if status != self.status:
            self.history.append(Seen(status, self.elapsed, at))

    def _close(self, error: BaseException | None) -> None:
        self.look()
        self.over, self._error = ending(error), error
        if self.over == "complete" and not self.complete:
            # Whoever drove it has left off.
            self.over = "stopped"

    # --- a picture -------------------------------------------------------------------------------------------------

    @property
    def calm(self) -> bool:
        return not self.shelf.account.under_way

    @property
    def picture(self) -> "RenderableType":
        self.look()
        return self._picture

    @property
    def markup(self) -> str:
        state = self.over or "under way"
        return waiting(self._wait, state, error=self._error, shelf=self.shelf, elapsed=self.elapsed)

    def told(self, event: Any, now: float) -> None:
        if isinstance(event, Task | ProductUpdate | DerivativeUpdate):
            self._see(event)
        else:
            self.shelf.told(event, now)

    def end(self, error: BaseException | None) -> Iterable["RenderableType"]:
        from .waitpicture import summary

        self._close(error)
        if self.complete and self.goal is not Goal.TASK and self.status not in IMAGED:
            # It was seen so before there was anything, and has gone on since.
            self.history.clear()
        yield self._picture
        yield summary(self, duration(self.elapsed))

    # --- lines -----------------------------------------------------------------------------------------------------

    def begin(self) -> Iterable[str]:
        what = " or ".join(self.wanted) if self.goal is Goal.TASK else ", ".join(self.wanted)
        yield self._line(f"task {self.task_id}: waiting for {what or f'its {self.goal.what}'}, {self._until()}")

    def _until(self) -> str:
        left = self.standing.left
        if left is None:
            return "without a deadline"
        if not self._is_real or left > _FOREVER or left < _SOON:
            return f"for at most {duration(left)}"
        return f"until {datetime.now(UTC) + timedelta(seconds=left):%Y-%m-%d %H:%M} UTC"

    def lines(self, event: Any) -> Iterable[str]:
        self.look()
        yield from map(self._line, self._said.news(self))
        if isinstance(event, Finished | Failed | Interrupted):
            from . import picture

            count = counted(self.shelf.last.found) if self.shelf.last and isinstance(event, Finished) else ""
            yield self._line(f"{picture.line(event)}{count and f', {count}'}")

    def last(self, error: BaseException | None) -> Iterable[str]:
        from .waitpicture import summary

        self._close(error)
        yield from map(self._line, self._said.news(self))
        yield self._line(summary(self).plain)

    def _line(self, text: str) -> str:
        return f"[{duration(self.elapsed):>12}] {text}"


class Said:
    """What was written already, so that each thing is written once."""

    def __init__(self) -> None:
        self._status: str | None = None
        self._making: set[str] = set()
        self._ready: set[str] = set()
        self._failures = 0

    def news(self, board: WaitBoard) -> Iterator[str]:
        """What to write now."""
        yield from self._of_failures(board.standing)
        if board.status != self._status:
            self._status = board.status
            yield f"the task is {board.status}"
        yield from self._of_types(board.shelf)

    def _of_types(self, shelf: Shelf) -> Iterator[str]:
        making = [kind.name for kind in shelf.kinds.values() if kind.listed and not kind.ready]
        ready = [name for name in shelf.ready if name not in self._ready]
        if not ready and all(name in self._making for name in making):
            return
        self._ready |= set(ready)
        self._making |= set(making)
        missing = [name for name in shelf.missing if name not in making]
        told = [f"{', '.join(ready)} ready"] if ready else []
        told += [f"being made: {', '.join(making)}"] if making else []
        told += [f"missing: {', '.join(missing)}"] if missing else []
        yield "; ".join(told)

    def _of_failures(self, standing: Standing) -> Iterator[str]:
        before, self._failures = self._failures, standing.setbacks
        if standing.error is not None and not before:
            then = f"; next look in {duration(math.ceil(standing.next_look))}" if standing.next_look > 0 else ""
            yield f"a look failed: {in_words(standing.error)}{then}"
        elif before and not standing.setbacks:
            yield f"the service answers again, after {before:,} failed {'look' if before == 1 else 'looks'}"
