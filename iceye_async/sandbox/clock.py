"""The sandbox's time: it runs, maybe faster than the wall clock, or it moves by steps.

Stepped time stands still while anything happens. It moves when somebody says so, or, where it jumps, to the moment that
is waited for next, as soon as nothing happens any more: a wait of days then takes as long as its requests do.
"""

import asyncio
import heapq
import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

SEEDED_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
"""When stepped time begins where all is to be the same each time."""

_QUIET = 0.001
"""Real seconds in which nothing happens,"""
_QUIET_WHILE_SENDING = 0.05
"""More of them where a client has not taken all of an answer: it may be writing to its disk, or never come back."""
_PASSES = 20
"""and then so many turns of the event loop: what one end of a connection wrote has come to the other by then."""

Sleeper: TypeAlias = tuple[float, int, asyncio.Future[None]]


class SandboxClock(ABC):
    """Seconds since the sandbox was made, and what a calendar in it shows. The client's clock too."""

    def __init__(self, epoch: datetime | None = None) -> None:
        self._epoch = datetime.now(UTC) if epoch is None else epoch
        self._sending = 0

    @abstractmethod
    def now(self) -> float: ...

    @abstractmethod
    async def sleep(self, seconds: float) -> None: ...

    @abstractmethod
    async def advance(self, seconds: float) -> None:
        """Let time pass, where it does not pass by itself."""

    def stir(self) -> None:  # noqa: B027 - time that runs does not care
        """Something happened."""

    @contextmanager
    def sending(self) -> Iterator[None]:
        """In here an answer is on its way: time that jumps gives it a while to go on."""
        self._sending += 1
        try:
            yield
        finally:
            self._sending -= 1
            self.stir()

    def utc(self) -> datetime:
        return self._epoch + timedelta(seconds=self.now())


def clock(speed: float, epoch: datetime | None) -> SandboxClock:
    """Of so many seconds in a real one; of none: stepped by hand; of infinitely many: it jumps.

    `epoch` is where stepped time begins, if that is not now.
    """
    if not speed >= 0:
        raise ValueError(f"speed is sandbox seconds in a real one, 0 or more, or inf; not {speed}")
    if 0 < speed < math.inf:
        return RunningClock(speed)
    return SteppedClock(epoch, jumps=speed == math.inf)


class RunningClock(SandboxClock):
    """It begins in the sandbox's event loop; after that it can be read from any thread."""

    def __init__(self, speed: float) -> None:
        super().__init__()
        self._speed = speed
        self._loop: asyncio.AbstractEventLoop | None = None
        self._origin = 0.0

    def now(self) -> float:
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._origin, self._epoch = self._loop.time(), datetime.now(UTC)
        return (self._loop.time() - self._origin) * self._speed

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self._speed)

    async def advance(self, seconds: float) -> None:  # noqa: ARG002 - it never can
        raise RuntimeError("time runs in this sandbox; only with speed=0 or inf it can be advanced")


class SteppedClock(SandboxClock):
    """It can be read from any thread, and slept on in the sandbox's event loop.

    What happens in other threads it does not see: time may jump before they are done.
    """

    def __init__(self, epoch: datetime | None, *, jumps: bool) -> None:
        super().__init__(epoch)
        self._time = 0.0
        self._jumps = jumps
        self._sleepers: list[Sleeper] = []
        self._numbers = itertools.count()
        self._awaiting_quiet: list[asyncio.Future[None]] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stirred = 0
        self._looking = False

    def now(self) -> float:
        return self._time

    async def sleep(self, seconds: float) -> None:
        future = self._future()
        if seconds > 0:
            heapq.heappush(self._sleepers, (self._time + seconds, next(self._numbers), future))
            self._look_for_quiet()
            await future
        else:
            await asyncio.sleep(0)

    async def advance(self, seconds: float) -> None:
        if not 0 <= seconds < math.inf:
            raise ValueError(f"time can be advanced by a number of seconds, not by {seconds}")
        until = self._time + seconds
        await self._quiet()
        while (due := self._next()) is not None and due <= until:
            self._wake(due)
            await self._quiet()
        self._time = max(self._time, until)
        await self._quiet()

    def stir(self) -> None:
        self._stirred += 1

    def _future(self) -> asyncio.Future[None]:
        loop = asyncio.get_running_loop()
        if self._loop not in {None, loop}:
            raise RuntimeError(
                "stepped time is of one event loop; a sandbox for others needs a speed above 0 and below inf"
            )
        self._loop = loop
        self.stir()
        return loop.create_future()

    async def _quiet(self) -> None:
        """Until nothing happens any more."""
        future = self._future()
        self._awaiting_quiet.append(future)
        self._look_for_quiet()
        await future

    def _next(self) -> float | None:
        """When somebody is to wake next; who was cancelled is forgotten."""
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)
        return self._sleepers[0][0] if self._sleepers else None

    def _wake(self, due: float) -> None:
        """It is then, and who sleeps until then wakes."""
        self._time = max(self._time, due)
        self.stir()
        while (wake := self._next()) is not None and wake <= self._time:
            heapq.heappop(self._sleepers)[2].set_result(None)

    # --- from callbacks, for a task would have to be ended by somebody -----------------------------------------

    def _look_for_quiet(self) -> None:
        if self._loop is not None and not self._looking and self._is_wanted():
            self._looking = True
            quiet = _QUIET_WHILE_SENDING if self._sending else _QUIET
            self._loop.call_later(quiet, self._look, self._loop, self._stirred, 0)

    def _look(self, loop: asyncio.AbstractEventLoop, stirred: int, passes: int) -> None:
        if stirred == self._stirred and passes < _PASSES:
            loop.call_soon(self._look, loop, stirred, passes + 1)
            return
        self._looking = False
        if stirred == self._stirred:
            self._move()
        self._look_for_quiet()

    def _is_wanted(self) -> bool:
        return bool(self._awaiting_quiet) or (self._jumps and self._next() is not None)

    def _move(self) -> None:
        """It is quiet."""
        waiting, self._awaiting_quiet = self._awaiting_quiet, []
        awaited = [future for future in waiting if not future.done()]
        for future in awaited:
            future.set_result(None)
        due = self._next()
        if not awaited and self._jumps and due not in {None, math.inf}:
            self._wake(due)
