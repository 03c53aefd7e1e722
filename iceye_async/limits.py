"""How often the API is asked: an even rate that a 429 can pause, first come first served."""

import asyncio

from .clock import Clock

_NEVER = float("-inf")


class RateLimit:
    """A generic cell rate algorithm: `rate` requests a second; a second's worth, but no more than ten, at once.

    Who waits holds a lock and looks at the clock again when it wakes, so a pause that begins meanwhile holds for it,
    and a waiter that is cancelled gives its turn to the next.
    """

    def __init__(self, rate: float | None, clock: Clock) -> None:
        self._clock = clock
        self.interval = 0.0 if rate is None else 1 / rate
        """Seconds between two requests, where many want to be sent."""
        self._allowance = 0.0 if rate is None else max(0.0, min(rate, 10.0) - 1) / rate
        self._next = _NEVER
        self._paused_until = _NEVER
        self._turn = asyncio.Lock()

    @property
    def busy(self) -> bool:
        """Whether a request would have to wait for its turn."""
        if self.interval == 0 and self._paused_until == _NEVER:
            return False
        return self._turn.locked() or self._delay() > 0

    def take(self) -> None:
        """Count a request that goes out now."""
        if self.interval:
            self._next = max(self._next, self._clock.now()) + self.interval

    async def turn(self, patience: float) -> bool:
        """Come back when a request may be sent; with False, where a pause is longer than `patience` seconds."""
        if self.busy:
            async with self._turn:
                while (delay := self._delay()) > 0:
                    if self.paused > patience:
                        return False
                    await self._clock.sleep(delay)
        self.take()
        return True

    def pause(self, seconds: float) -> None:
        """Let nobody through for this long."""
        self._paused_until = max(self._paused_until, self._clock.now() + seconds)

    @property
    def paused(self) -> float:
        """Seconds until anybody is let through again."""
        return 0.0 if self._paused_until == _NEVER else max(0.0, self._paused_until - self._clock.now())

    def _delay(self) -> float:
        return max(self._next - self._allowance, self._paused_until) - self._clock.now()
