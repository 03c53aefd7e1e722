"""The journal of a batch: what was seen, handed out and downloaded, in a file that outlasts the process.

One thread writes, and it commits whatever has come together since its last commit in one transaction. What it is told
is told from the event loop, and costs that next to nothing; it answers there, once for each commit.
"""

import asyncio
import contextlib
import logging
import os
import queue
import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from ..errors import JournalError, StateError
from .database import Database, failure, is_full
from .place import Place
from .rows import Entry, Setup, Start

__all__ = ["Entry", "Journal", "Setup", "Start"]

log = logging.getLogger("iceye_async")

_AGAIN = 1.0
"""Seconds until a disk that was full is tried again."""
_PATIENCE = 5.0
"""Seconds that closing waits for the disk; without an event loop, `_HASTE`."""
_HASTE = 1.0
_MANY = 10_000
"""What is committed together at most: nothing is heard of it until it is."""

_Written: TypeAlias = asyncio.Future[None]
_Told: TypeAlias = tuple[Entry, _Written] | int | _Written | None
"""An entry, the number of an event that was dealt with, somebody who waits until all is written, or the end."""


class Journal:
    """A journal that one batch writes. Whatever was not closed is, when nobody has it any more or the program ends."""

    def __init__(self, path: Path | None) -> None:
        self.place = Place(path)
        self._writer: _Writer | None = None
        self._closed = False
        self._seq = 0

    @property
    def path(self) -> Path:
        return self.place.path

    async def open(self, setup: Setup, ids: Sequence[str] | None, *, given: bool) -> Start:
        """Begin it with these ids, or go on with what is in it and add them; without any, only go on.

        `given`: types and `to` must be those that it was begun with. Raises `JournalError`.
        """
        if self._writer is not None or self._closed:
            raise StateError(f"{self.path} was opened before; make another Journal")
        loop = asyncio.get_running_loop()
        opened: asyncio.Future[tuple[Start, int]] = loop.create_future()
        self._writer = writer = _Writer(self.place, loop)
        # The thread knows nothing of this object: it can go away while the thread waits for something to write.
        weakref.finalize(self, writer.abandon)
        writer.start(setup, ids, given, opened)
        start, self._seq = await opened
        return start

    def next_seq(self) -> int:
        """The number of the next event. In the event loop only."""
        self._seq += 1
        return self._seq

    def write(self, entry: Entry) -> _Written:
        """Write it down: done when it is on the disk, or a `JournalError`."""
        writer = self._here()
        written = writer.loop.create_future()
        if writer.error is not None or self._closed:
            written.set_exception(JournalError(f"{self.path} is closed" if writer.error is None else str(writer.error)))
        else:
            writer.queue.put((entry, written))
        return written

    def acknowledge(self, seq: int) -> None:
        """The event was dealt with: it does not come again."""
        writer = self._here()
        if not self._closed:
            writer.queue.put(seq)

    def count(self, requests: int) -> None:
        """So many requests the batch has made in all. It is written with whatever is written next."""
        self._here().requests = requests

    async def flush(self) -> None:
        """Come back when everything so far is on the disk. Raises `JournalError` where it cannot be."""
        writer = self._here()
        if writer.error is not None:
            raise JournalError(str(writer.error))
        if not self._closed:
            flushed = writer.loop.create_future()
            writer.queue.put(flushed)
            await flushed

    async def close(self) -> None:
        """Write what is left, and let others have the file. Any number of times; at most 5 s."""
        if (writer := self._leave()) is not None:
            await asyncio.to_thread(writer.join, _PATIENCE)

    def abandon(self) -> None:
        """The same without an event loop, at most 1 s. What that does not suffice for goes on by itself."""
        if (writer := self._leave()) is not None:
            writer.join(_HASTE)

    @property
    def full(self) -> bool:
        """Whether the disk is full. What there is to write waits, and is tried again every second."""
        return self._writer is not None and self._writer.full

    @property
    def error(self) -> JournalError | None:
        """Why nothing can be written any more."""
        return None if self._writer is None else self._writer.error

    def _leave(self) -> "_Writer | None":
        """The writer, told to end; None in a forked child, where there is none."""
        writer = self._writer
        self._closed = True
        if writer is None or writer.pid != os.getpid():
            return None
        writer.end()
        return writer

    def _here(self) -> "_Writer":
        writer = self._writer
        if writer is None:
            raise StateError(f"{self.path} is not open")
        if writer.pid != os.getpid():
            raise StateError(f"{self.path} was opened before this process was forked; a child needs a batch of its own")
        return writer


class _Writer:
    """The thread of a journal, and what it shares with the event loop."""

    def __init__(self, place: Place, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.pid = os.getpid()
        self.queue: queue.SimpleQueue[_Told] = queue.SimpleQueue()
        self.requests: int | None = None
        self.full = False
        self.error: JournalError | None = None
        self.path, self._place = place.path, place
        self._thread: threading.Thread | None = None
        self._ending = self._over = False
        self._opening: tuple[Setup, Sequence[str] | None, bool, asyncio.Future[tuple[Start, int]]] | None = None

    # --- anywhere ----------------------------------------------------------------------------------------------------

    def start(
        self, setup: Setup, ids: Sequence[str] | None, given: bool, opened: "asyncio.Future[tuple[Start, int]]"
    ) -> None:
        self._opening = (setup, ids, given, opened)
        # A daemon: an application that ends without closing its client does not wait for a slow disk.
        self._thread = threading.Thread(target=self._run, name="iceye-async-journal", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Write what there is, and end."""
        if not self._ending:
            self._ending = True
            _ENDING[self] = None
            # Looked at after that, so that one that comes to its end meanwhile does not stay there.
            if self._over:
                _ENDING.pop(self, None)
            self.queue.put(None)

    def join(self, patience: float) -> None:
        # It may be the thread itself that collects what nobody has any more.
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(patience)

    def abandon(self) -> None:
        """Nobody has the journal any more."""
        if self.pid == os.getpid():
            self.end()
            self.join(_HASTE)

    # --- in the thread -----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        # The database is known to this thread only: in a forked child, where the thread is not, nothing closes it.
        database = Database(self._place)
        if self._open(database):
            self._work(database)
        self._over = True
        _ENDING.pop(self, None)

    def _open(self, database: Database) -> bool:
        assert self._opening is not None  # noqa: S101 - it was started
        (setup, ids, given, opened), self._opening = self._opening, None
        for before in list(_ENDING):
            if before.path == self.path:
                before.join(_PATIENCE)
        try:
            start = database.open(setup, ids, given=given)
        except JournalError as error:
            self.error = error.with_traceback(None)
        except Exception as error:  # noqa: BLE001 - whoever waits for it would wait for ever
            self.error = JournalError(f"{self.path} cannot be opened: {error!r}")
        else:
            self._later(_set_result, opened, (start, database.seq))
            return True
        self._answer([opened], self.error)
        return False

    def _work(self, database: Database) -> None:
        waiting: list[_Told] = []
        ended = False
        error: JournalError | None = None
        try:
            while not ended:
                ended = self._gather(waiting)
                self._commit(database, waiting, ended=ended)
            # All that somebody waits for is written.
            with contextlib.suppress(sqlite3.Error):
                database.commit((), (), self.requests)
                database.end()
        except sqlite3.Error as caught:
            error = failure(self.path, caught)
        except Exception as caught:  # noqa: BLE001 - whoever waits for a commit would wait for ever
            error = JournalError(f"{self.path} cannot be written: {caught!r}")
        database.leave()
        if error is not None:
            self._fail(error, waiting)
        while not ended:
            # Nothing can be written any more, and everybody is told so until the journal is closed.
            ended = self._gather(waiting)
            self._refuse(waiting)

    def _gather(self, waiting: list[_Told]) -> bool:
        """Add what there is to do, once there is something; whether that was the last."""
        with contextlib.suppress(queue.Empty):
            told = self.queue.get(timeout=_AGAIN if self.full else None)
            while told is not None:
                waiting.append(told)
                if len(waiting) >= _MANY:
                    return False
                told = self.queue.get_nowait()
            return True
        return False

    def _commit(self, database: Database, waiting: list[_Told], *, ended: bool) -> None:
        """Write what waits. Where the disk is full it goes on waiting, unless that was the end."""
        entries = [told[0] for told in waiting if isinstance(told, tuple)]
        acknowledged = [told for told in waiting if isinstance(told, int)]
        try:
            if entries or acknowledged:
                database.commit(entries, acknowledged, self.requests)
        except sqlite3.Error as error:
            if not is_full(error) or ended:
                raise
            if not self.full:
                self.full = True
                log.warning(
                    "the disk of the journal is full; what is to be written waits until there is room",
                    extra={"journal": str(self.path)},
                )
            return
        self.full = False
        self._answer(_waiters(waiting), None)
        waiting.clear()

    def _fail(self, error: JournalError, waiting: list[_Told]) -> None:
        self.error, self.full = error, False
        log.warning("nothing more can be written to the journal: %s", error)
        self._refuse(waiting)

    def _refuse(self, waiting: list[_Told]) -> None:
        self._answer(_waiters(waiting), self.error)
        waiting.clear()

    def _answer(self, waiters: "list[asyncio.Future[Any]]", error: JournalError | None) -> None:
        if waiters:
            self._later(_settle, waiters, error)

    def _later(self, call: Callable[..., None], *values: object) -> None:
        # Without a loop there is nobody who waits.
        with contextlib.suppress(RuntimeError):
            self.loop.call_soon_threadsafe(call, *values)


_ENDING: dict[_Writer, None] = {}
"""Those that were told to end, and have not come to it yet. Their locks are waited for: they are as good as free."""


def _waiters(waiting: Iterable[_Told]) -> list[_Written]:
    found: list[_Written] = []
    for told in waiting:
        if isinstance(told, tuple):
            found.append(told[1])
        elif isinstance(told, asyncio.Future):
            found.append(told)
    return found


def _set_result(opened: "asyncio.Future[Any]", result: object) -> None:
    if not opened.done():
        opened.set_result(result)


def _settle(waiters: "list[asyncio.Future[Any]]", error: JournalError | None) -> None:
    for waiter in waiters:
        if waiter.done():
            continue
        if error is None:
            waiter.set_result(None)
        else:
            # One for each: a traceback is added to it wherever it is raised.
            waiter.set_exception(JournalError(str(error)))
