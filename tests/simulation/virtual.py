"""An event loop whose time jumps to the next thing that happens, in step with the threads that belong to it.

The journal's thread writes only while the loop waits, and then all that there is to write, so that what a crash leaves
behind is the same each time. While a file is on its way no time passes at all.
"""

import asyncio
import contextlib
import queue
import selectors
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from iceye_async.batch.journal import Journal, _Writer
from iceye_async.downloads.crew import Crew, Threads


class Work:
    """What threads have to do. `written` is called whenever everything that was told the journal is on the disk."""

    def __init__(self) -> None:
        self.written: Callable[[], None] = lambda: None
        self._count = 0
        self._turn = threading.Condition()
        self._untold = 0
        self._allowed = False

    # --- in the event loop -------------------------------------------------------------------------------------------

    @property
    def is_under_way(self) -> bool:
        return self._count > 0

    @contextlib.contextmanager
    def allowed(self) -> Iterator[None]:
        """The journal may be written in here."""
        with self._turn:
            self._allowed = True
            self._turn.notify_all()
        try:
            yield
        finally:
            with self._turn:
                self._allowed = False

    def write(self) -> None:
        """Have everything written that the journal was told."""
        if self._untold:
            with self.allowed(), self._turn:
                self._turn.wait_for(lambda: not self._untold, timeout=10.0)
            self.written()

    @contextlib.contextmanager
    def _one(self) -> Iterator[None]:
        self._count += 1
        try:
            yield
        finally:
            self._count -= 1

    def _over(self) -> None:
        self._count -= 1

    # --- in the thread of the journal --------------------------------------------------------------------------------

    def _told(self) -> None:
        with self._turn:
            self._untold += 1

    def _committing(self, commit: Callable[[], None], waiting: list[Any]) -> None:
        with self._turn:
            self._turn.wait_for(lambda: self._allowed)
        before = len(waiting)
        commit()
        with self._turn:
            self._untold -= before - len(waiting)
            self._turn.notify_all()

    # --- where it is heard of ----------------------------------------------------------------------------------------

    def watch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Count what threads are given to do."""
        made, commit = _Writer.__init__, _Writer._commit

        def making(writer: _Writer, *args: Any) -> None:
            made(writer, *args)
            writer.queue = _Counted(self._told)

        def committing(writer: _Writer, database: Any, waiting: list[Any], *, ended: bool) -> None:
            self._committing(lambda: commit(writer, database, waiting, ended=ended), waiting)

        monkeypatch.setattr(_Writer, "__init__", making)
        monkeypatch.setattr(_Writer, "_commit", committing)
        for name in ("open", "close"):
            monkeypatch.setattr(Journal, name, self._awaited(getattr(Journal, name)))
        self._watch_downloads(monkeypatch)

    def _watch_downloads(self, monkeypatch: pytest.MonkeyPatch) -> None:
        start, left, in_loop = Threads.start, Crew.left, Crew.in_loop

        def starting(threads: Threads, crew: Crew, work: Callable[[], None]) -> None:
            self._count += 1
            start(threads, crew, work)

        def leaving(crew: Crew) -> None:
            left(crew)
            crew._loop.call_soon_threadsafe(self._over)

        def asking(crew: Crew, work: Any) -> Any:
            async def asked() -> Any:
                # Meanwhile the thread waits for the event loop.
                self._count -= 1
                try:
                    return await work()
                finally:
                    self._count += 1

            return in_loop(crew, asked)

        monkeypatch.setattr(Threads, "start", starting)
        monkeypatch.setattr(Crew, "left", leaving)
        monkeypatch.setattr(Crew, "in_loop", asking)

    def _awaited(self, method: Any) -> Any:
        async def awaited(*args: Any, **options: Any) -> Any:
            with self._one():
                return await method(*args, **options)

        return awaited


class _Counted(queue.SimpleQueue[Any]):
    """Tells of everything that is put into it, but for the end."""

    def __init__(self, told: Callable[[], None]) -> None:
        super().__init__()
        self._told = told

    def put(self, item: Any, *_: Any) -> None:  # type: ignore[override]
        if item is not None:
            self._told()
        super().put(item)


class _Jump(selectors.DefaultSelector):
    """Where others would wait for the time, it passes it."""

    def __init__(self, work: Work) -> None:
        super().__init__()
        self.passed = 0.0
        self._work = work

    def select(self, timeout: float | None = None) -> Any:
        # As everywhere, a turn of the loop takes some time: who waits for less than a float can tell waits for it.
        self.passed += 1e-9
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        self._work.write()
        if timeout is None or self._work.is_under_way:
            with self._work.allowed():
                # A thread wakes the loop when it is done. It may be one that nobody was told of, hence the bound.
                return super().select(0.002)
        ready = super().select(0)
        if not ready:
            self.passed += max(0.0, timeout)
        return ready


class PatientLoop(asyncio.SelectorEventLoop):
    """Days in a blink, and threads in between."""

    def __init__(self, work: Work) -> None:
        self._jump = _Jump(work)
        super().__init__(self._jump)

    def time(self) -> float:
        return self._jump.passed

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        # From Python 3.12 on it has a time-out, which would be over before a thread can end.
        await super().shutdown_default_executor()
