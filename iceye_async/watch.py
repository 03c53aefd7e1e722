"""How long a request may take. One timer serves all that are under way.

`asyncio.timeout` makes a timer and two coroutines for each use, which for a request costs as much as half of reading
its reply. All requests of a session have the same bound, so the one that began first is the first to be late.
"""

import asyncio
from collections import deque
from types import TracebackType


class Watch:
    """Bounds whatever runs inside `with watch.bound():` to so many seconds of the event loop; later: `TimeoutError`."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._running: deque[_Bound] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def bound(self) -> "_Bound":
        return _Bound(self)

    def close(self) -> None:
        """Interrupt whatever is running."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for bound in self._running:
            if not bound.ended:
                bound.interrupt()

    def add(self, bound: "_Bound") -> None:
        self._running.append(bound)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self.seconds, self._ring)

    def remove(self) -> None:
        """Forget what has ended, as far as nothing older is still running."""
        while self._running and self._running[0].ended:
            self._running.popleft()

    def _ring(self) -> None:
        loop = asyncio.get_running_loop()
        while self._running and (self._running[0].ended or self._running[0].began + self.seconds <= loop.time()):
            bound = self._running.popleft()
            if not bound.ended:
                bound.interrupt()
        self._timer = None
        if self._running:
            self._timer = loop.call_at(self._running[0].began + self.seconds, self._ring)


class _Bound:
    __slots__ = ("_cancelling", "_late", "_task", "_watch", "began", "ended")

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._late = False
        self.ended = False

    def __enter__(self) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a bound needs a task to interrupt")
        self._task = task
        self._cancelling = task.cancelling()
        self.began = task.get_loop().time()
        self._watch.add(self)

    def interrupt(self) -> None:
        if not self._late:
            self._late = True
            self._task.cancel()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.ended = True
        self._watch.remove()
        # As asyncio.timeout does: only our own cancellation becomes a time-out, never one from outside.
        if self._late and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error
