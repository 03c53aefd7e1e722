"""The work of a batch as a task of its own, which does not hold the batch: dropped, that ends it."""

import asyncio
import contextlib
import logging
from pathlib import Path

from .engine import Engine
from .journal import Journal
from .stopping import on_sigterm

log = logging.getLogger("iceye_async")


class Work:
    """An engine that runs beside whoever drives the batch, over its open journal."""

    def __init__(self, engine: Engine, journal: Journal, named: Path | None) -> None:
        self.engine = engine
        self.journal = journal
        self._named = named
        self.driver: asyncio.Task[object] | None = None
        """Who asks for events, or did last."""
        self._meant = False
        """Whether it was ended by who has it, and in peace."""
        # Beside cancelling it: a group of tasks that fails in the same moment takes the cancellation for its own.
        self._stopped = asyncio.Event()
        # Not nested in whoever drives: it goes on between two steps, and is ended with the batch or its client.
        self._task = asyncio.create_task(self._run(), name="iceye-async-batch")

    def __repr__(self) -> str:
        return f"{self.engine.over} of {self.engine.total} tasks are over"

    @property
    def is_over(self) -> bool:
        """Whether it has ended, or was told to from outside."""
        # A group of tasks that fails cancels the one that waits for it, too; that one has its error to tell still.
        return self._task.done() or (self._task.cancelling() > 0 and not self.engine.failing)

    @property
    def is_left(self) -> bool:
        """Whether who drove it last was cancelled, as a cell of a notebook is: only a traceback may have it still."""
        driver = self.driver
        here = self._task.get_loop() is asyncio.get_running_loop()
        return here and driver is not None and driver.done() and driver.cancelling() > 0

    async def stop(self) -> None:
        """End it, with everything in the journal that was heard."""
        if self._task.get_loop() is not asyncio.get_running_loop():
            # Its loop has ended, or is on its way: nothing of it can be awaited here.
            self.abandon()
            return
        if not self.is_over:
            self._meant = self._is_meant
            self._stopped.set()
            self._task.cancel()
        await asyncio.wait([self._task])
        # A task that is cancelled before its first step does nothing at all.
        await self.journal.close()
        if not self._task.cancelled() and (error := self._task.exception()) is not None:
            raise error

    def abandon(self) -> None:
        """The same, where nothing can be awaited."""
        self._meant = self._is_meant
        with contextlib.suppress(RuntimeError):
            self._task.get_loop().call_soon_threadsafe(self._stopped.set)
            self._task.get_loop().call_soon_threadsafe(self._task.cancel)
        self.journal.abandon()

    async def _run(self) -> None:
        try:
            with on_sigterm(self._terminated):
                await self.engine.run()
                # What it has to hand out is acknowledged until it is stopped.
                await self._stopped.wait()
        finally:
            if not self._meant and not self.engine.ended:
                log.warning("the batch was stopped: %s; %s", self, self._how_to_go_on())
            await self.journal.close()

    @property
    def _is_meant(self) -> bool:
        """Whether whoever drives is not just being cancelled, and ends it on the way out, as after Ctrl-C."""
        return self.driver is None or self.driver.done() or self.driver.cancelling() == 0

    def _terminated(self) -> None:
        """SIGTERM came."""
        if self.driver is not None and not self.driver.done():
            self.driver.cancel("SIGTERM")
        self._stopped.set()
        self._task.cancel()

    def _how_to_go_on(self) -> str:
        if self._named is None:
            return "it had no journal, so the next one begins anew; with journal= it would go on"
        return f"client.await_batch(journal={str(self._named)!r}) goes on"
