"""The files of a batch: what has arrived of a task is brought to the disk, a few tasks at a time.

What fails is put back and waits without keeping anybody: the files of the others come meanwhile.
"""

import asyncio
import heapq
import itertools
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeAlias, TypeVar

from attrs import define

from .. import events
from ..downloads import Download
from ..errors import DiskFull, DownloadError, IceyeError, StateError, Unauthorized
from ..models import Derivative
from ..protocol.links import safe_name
from ..session import Session
from .watched import Watched

log = logging.getLogger("iceye_async")

E = TypeVar("E", bound=IceyeError)
Fetch: TypeAlias = Callable[[tuple[Derivative, ...], Path], Download[Path]]

AT_ONCE = 4
"""Tasks whose files are fetched at the same time; the client's downloads have eight connections in all."""
_ROOM = 1024
"""Fetches that may wait. Where there are so many, nothing more is asked of the service."""
_PAUSES = (15.0, 60.0, 240.0)
"""Seconds before what failed is tried again. Each try repeats by itself what the client's `RetryPolicy` says."""
_NIGHT = 160
"""Tries more, each after the last of these, where nobody's files came since the one before: eleven hours of them."""
_DISK = 30.0
"""Seconds until a disk that was full is tried again."""


@define(eq=False)
class Order:
    """Derivatives of a task that are to be fetched. `goods` is how many orders had come at its last failure."""

    watched: Watched
    task_id: str
    derivatives: tuple[Derivative, ...]
    failures: int = 0
    spared: int = 0
    goods: int = -1


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
        self._folder = folder
        self._fetch = fetch
        self._landed = landed
        self._room = asyncio.Semaphore(_ROOM)
        self._orders: asyncio.Queue[Order] = asyncio.Queue()
        self._later: list[tuple[float, int, Order]] = []
        self._numbers = itertools.count()
        self._put_back = asyncio.Event()
        self._goods = 0
        self._full = False
        self._failing = False

    async def add(self, order: Order) -> None:
        """Stand in line; comes back when there is room in it."""
        await self._room.acquire()
        self._orders.put_nowait(order)

    async def work(self) -> None:
        """Fetch one order after the other, for ever."""
        while True:
            order = await self._orders.get()
            files, error = await self._try(order)
            if error is not None and (pause := self._pause(order, error)) is not None:
                heapq.heappush(self._later, (self._session.clock.now() + pause, next(self._numbers), order))
                self._put_back.set()
                continue
            await self._landed(order, files, error)
            self._room.release()

    async def bring_back(self) -> None:
        """Have tried again, when it is time, what failed; for ever."""
        while True:
            while not self._later:
                self._put_back.clear()
                await self._put_back.wait()
            # The shortest pause is as long as any that may begin meanwhile needs to be noticed.
            pause = min(_PAUSES[0], self._later[0][0] - self._session.clock.now())
            if pause > 0:
                with self._session.stay():
                    await self._session.clock.sleep(pause)
            else:
                self._orders.put_nowait(heapq.heappop(self._later)[2])

    async def _try(self, order: Order) -> tuple[tuple[events.Finished, ...], IceyeError | None]:
        download = self._fetch(order.derivatives, self._folder / safe_name(order.task_id))
        try:
            await download
        except IceyeError as error:
            failure = error.with_traceback(None)
        else:
            self._goods += 1
            self._full = self._failing = False
            return download.latest, None
        of_all = _found(failure, StateError) or _found(failure, Unauthorized)
        if of_all is not None:
            raise of_all
        return download.latest, failure

    def _pause(self, order: Order, error: IceyeError) -> float | None:
        """Seconds until the next try; None where there is none."""
        if _found(error, DiskFull) is not None:
            self._say_full()
            return _DISK
        if order.failures == 0 and not self._failing:
            self._failing = True
            facts = {"task_id": order.task_id, "error": str(error)}
            log.warning("files of a task do not come; they are tried again, and so are those of others", extra=facts)
        outage = order.goods == self._goods
        order.goods = self._goods
        if order.failures < len(_PAUSES):
            order.failures += 1
            return _PAUSES[order.failures - 1]
        if outage and order.spared < _NIGHT and _found(error, IceyeError, transient=True) is not None:
            order.spared += 1
            return _PAUSES[-1]
        return None

    def _say_full(self) -> None:
        if not self._full:
            self._full = True
            log.warning("the disk is full; the batch waits until there is room", extra={"folder": str(self._folder)})


def _found(error: IceyeError, kind: type[E], *, transient: bool = False) -> E | None:
    """The error, or one of those that it is made of, that is of this kind; and may heal, where that is asked for."""
    several = error.failed.values() if isinstance(error, DownloadError) else ()
    return next((one for one in (error, *several) if isinstance(one, kind) and (one.transient or not transient)), None)
