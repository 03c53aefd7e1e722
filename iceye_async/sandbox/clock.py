"""The sandbox's time: it starts now, in UTC, and may run faster than the wall clock."""

import asyncio
from datetime import UTC, datetime, timedelta


class SandboxClock:
    """Seconds since the sandbox was started, `speed` of them in each real second. The client's clock too.

    It begins in the sandbox's event loop; after that it can be read from any thread.
    """

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._epoch = datetime.now(UTC)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._origin = 0.0

    def now(self) -> float:
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._origin = self._loop.time()
        return (self._loop.time() - self._origin) * self._speed

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self._speed)

    def utc(self) -> datetime:
        """What a calendar in the sandbox shows."""
        return self._epoch + timedelta(seconds=self.now())
