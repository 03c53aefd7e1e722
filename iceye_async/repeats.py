"""Single calls, repeated: the one loop that does it, and what it may spend.

backoff counts and decides. It can only sleep on asyncio's clock, so it waits 0 s, and the wait is in here.
"""

import random
from collections.abc import Awaitable, Callable, Generator
from typing import TYPE_CHECKING, Any, TypeVar, cast

from .clock import Clock
from .errors import IceyeError
from .protocol.requests import Request
from .protocol.retrying import RetryBudget, RetryPolicy, again
from .watch import Watch

if TYPE_CHECKING:
    from .events import Listener

A = TypeVar("A")


class Repeats:
    """What one client repeats: each call as its policy says, all of them together within one budget."""

    def __init__(self, policy: RetryPolicy, clock: Clock, watch: Watch, listener: "Listener | None") -> None:
        self._policy = policy
        self._clock = clock
        self._watch = watch
        self._listener = listener
        self._budget = RetryBudget()
        self.earn = self._budget.earn

    async def persist(
        self, attempt: Callable[[], Awaitable[A]], request: Request, failed: list[IceyeError] | None = None
    ) -> A:
        """What the first attempt that succeeds gives, or the error of the last one that was worth making.

        `failed` holds the error of an attempt that was made already: most calls never pay for what is set up here.
        """
        import backoff

        # Emptied when it is raised: a frame that held its own error would live until the garbage is collected.
        failures = [] if failed is None else failed
        waits = self._policy.waits(random.random)
        next(waits)

        async def one_more() -> A:
            if failures:
                raise failures.pop()
            return await attempt()

        async def pause(details: Any) -> None:
            await self._pause(request, details["exception"], waits)

        retry = backoff.on_exception(
            backoff.constant,
            IceyeError,
            max_tries=self._policy.tries,
            giveup=lambda error: not again(request, cast("IceyeError", error)),
            on_backoff=pause,
            jitter=None,
            logger=None,
            interval=0,
        )
        return await retry(one_more)()

    async def _pause(self, request: Request, error: IceyeError, waits: Generator[float, IceyeError, None]) -> None:
        """Wait before the next try; or raise the error of this one, where the client has no more tries to spend."""
        if not self._budget.spend():
            raise error
        wait = waits.send(error)
        if self._listener is not None:
            self._listener.retried(request.method, request.path.partition("?")[0], wait, error)
        with self._watch.stay():
            await self._clock.sleep(wait)
