"""Events on their way to whoever drives the batch: into the journal first, then handed out, one after the other."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from ..errors import IceyeError, JournalError
from .events import BatchEvent
from .journal import Entry, Journal

ROOM = 256
"""Events that may wait to be asked for. Where there are so many, nothing more is asked of the service."""


class Sent(NamedTuple):
    """An event, and the number under which it is acknowledged."""

    seq: int
    event: BatchEvent


class Outbox:
    """A line of events, of a bounded length. What cannot be written down is handed out all the same."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._room = asyncio.Semaphore(ROOM)
        self._ready: deque[Sent] = deque()
        self._writing = 0
        self.bell = asyncio.Event()
        self.error: IceyeError | None = None
        """Why nothing more can be written down."""

    @property
    def empty(self) -> bool:
        return not self._ready and self._writing == 0

    async def put(
        self, number: int, task_id: str, kind: str, body: Mapping[str, Any], make: Callable[[str], BatchEvent]
    ) -> None:
        """Write the event of this task down, and hand it out. Comes back when there is room for it."""
        await self._room.acquire()
        seq = self._journal.next_seq()
        self._writing += 1
        sent = Sent(seq, make(named(task_id, seq)))
        self._journal.write(Entry(seq, number, kind, dict(body))).add_done_callback(partial(self._written, sent))

    async def again(self, seq: int, event: BatchEvent) -> None:
        """Hand out what an earlier run has written down."""
        await self._room.acquire()
        self._ready.append(Sent(seq, event))
        self.bell.set()

    def take(self) -> Sent | None:
        """The next event, where there is one."""
        if not self._ready:
            return None
        self._room.release()
        return self._ready.popleft()

    def _written(self, sent: Sent, written: "asyncio.Future[None]") -> None:
        self._writing -= 1
        if written.cancelled():
            return
        error = written.exception()
        if error is not None and self.error is None:
            self.error = error if isinstance(error, IceyeError) else JournalError(str(error))
        self._ready.append(sent)
        self.bell.set()


def named(task_id: str, seq: int) -> str:
    """The id of an event."""
    return f"{task_id}:{seq}"
