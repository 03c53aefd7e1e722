"""The sandbox's time: it starts now, in UTC, and may run faster than the wall clock."""

import asyncio
from datetime import UTC, datetime, timedelta


class SandboxClock:
    """Seconds since the sandbox was made, `speed` of them in each real second. The client's clock too."""

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._epoch = datetime.now(UTC)
        self._origin: float | None = None

    def now(self) -> float:
        real = asyncio.get_running_loop().time()
        if self._origin is None:
            self._origin = real
        return (real - self._origin) * self._speed

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self._speed)

    def utc(self) -> datetime:
        """What a calendar in the sandbox shows."""
        return self._epoch + timedelta(seconds=self.now())
