"""Time as the client sees it, so that a sandbox or a test can run it faster."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Protocol


class Clock(Protocol):
    """Monotonic seconds, and a way to let them pass."""

    def now(self) -> float:
        """Seconds on a clock that only goes forward."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Come back that many of this clock's seconds later."""
        ...


class AsyncioClock:
    """The running event loop's own clock."""

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def sleep(self, seconds: float) -> Coroutine[Any, Any, None]:
        # Not `async`: thousands of waits would each hold one frame more.
        return asyncio.sleep(seconds)
