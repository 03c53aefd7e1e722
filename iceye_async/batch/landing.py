"""The files of a batch: what has arrived of a task is brought to the disk, a few tasks at a time."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple, TypeAlias

from .. import events
from ..downloads import Download
from ..errors import DiskFull, DownloadError, IceyeError, StateError, Unauthorized
from ..models import Derivative
from ..protocol.links import safe_name
from ..session import Session
from .watched import Watched

log = logging.getLogger("iceye_async")

Fetch: TypeAlias = Callable[[tuple[Derivative, ...], Path], Download[Path]]

AT_ONCE = 4
"""Tasks whose files are fetched at the same time; the client's downloads have eight connections in all."""
_ROOM = 256
"""Fetches that may stand in line. Where there are so many, nothing more is asked of the service."""
_PAUSES = (15.0, 60.0, 240.0)
"""Seconds before what failed is tried again. Each try repeats by itself what the client's `RetryPolicy` says."""
_DISK = 30.0
"""Seconds until a disk that was full is tried again."""


class Order(NamedTuple):
    """Derivatives of a task that are to be fetched."""

    watched: Watched
    task_id: str
    derivatives: tuple[Derivative, ...]


class Landing:
    """Fetches what it is given, in the order in which that comes."""

    def __init__(
        self,
        session: Session,
        folder: Path,
        fetch: Fetch,
        *,
        landed: Callable[[Order, tuple[events.Finished, ...], IceyeError | None], Awaitable[None]],
    ) -> None:
        self._session = session
        self.folder = folder
        self._fetch = fetch
        self._landed = landed
        self._orders: asyncio.Queue[Order] = asyncio.Queue(_ROOM)
        self._full = False

    def folder_of(self, task_id: str) -> Path:
        return self.folder / safe_name(task_id)

    async def add(self, order: Order) -> None:
        """Stand in line; comes back when there is room in it."""
        await self._orders.put(order)

    async def work(self) -> None:
        """Fetch one order after the other, for ever."""
        while True:
            order = await self._orders.get()
            files, error = await self._persist(order)
            await self._landed(order, files, error)

    async def _persist(self, order: Order) -> tuple[tuple[events.Finished, ...], IceyeError | None]:
        pauses = iter(_PAUSES)
        while True:
            download = self._fetch(order.derivatives, self.folder_of(order.task_id))
            try:
                await download
            except (StateError, Unauthorized):
                raise
            except IceyeError as error:
                failure = error.with_traceback(None)
            else:
                self._full = False
                return download.latest, None
            if _is_full(failure):
                self._say_full()
                pause: float | None = _DISK
            else:
                pause = next(pauses, None)
            if pause is None:
                return download.latest, failure
            with self._session.stay():
                await self._session.clock.sleep(pause)

    def _say_full(self) -> None:
        if not self._full:
            self._full = True
            log.warning("the disk is full; the batch waits until there is room", extra={"folder": str(self.folder)})


def _is_full(error: IceyeError) -> bool:
    several = error.failed.values() if isinstance(error, DownloadError) else ()
    return isinstance(error, DiskFull) or any(isinstance(one, DiskFull) for one in several)
