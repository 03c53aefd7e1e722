"""What may be interrupted: requests that take too long, and whatever waits when the client is closed.

`asyncio.timeout` makes a timer and two coroutines for each use, which for a request costs as much as half of reading
its reply. All requests of a session have the same bound, so the one that began first is the first to be late: one timer
serves all that are under way.
"""

import asyncio
import copy
from collections import deque
from types import TracebackType
from typing import Self

from .errors import IceyeError, StateError


class Watch:
    """Bounds what runs inside `with watch.bound():` to so many seconds of the event loop; later: `TimeoutError`.

    What waits inside `with watch.stay():` may take as long as it likes, until somebody interrupts it.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._running: deque[_Bound] = deque()
        self._staying: set[Stay] = set()
        self._timer: asyncio.TimerHandle | None = None

    def bound(self) -> "_Bound":
        return _Bound(self)

    def stay(self, line: object = None, patience: float = float("inf")) -> "Stay":
        """`line` is what it waits for; `patience`, how many seconds that may take before it would rather fail."""
        return Stay(self._staying, line, patience)

    def close(self) -> None:
        """Interrupt whatever runs or waits."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for bound in self._running:
            if not bound.ended:
                bound.interrupt()
        for stay in self._staying:
            stay.interrupt(StateError("the client was closed meanwhile"))

    def dismiss(self, line: object, seconds: float, error: IceyeError) -> None:
        """Let whoever stands in this line and has less patience fail with the error."""
        for stay in self._staying:
            if stay.line is line and stay.patience < seconds:
                # Each raises an error of its own, for tracebacks grow with every raise.
                stay.interrupt(copy.copy(error))

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


def _this_task() -> asyncio.Task[object]:
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("there is no task that could be interrupted")
    return task


class _Bound:
    __slots__ = ("_cancelling", "_late", "_task", "_watch", "began", "ended")

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._task: asyncio.Task[object] | None = None
        self._late = False
        self.ended = False

    def __enter__(self) -> None:
        self._task = _this_task()
        self._cancelling = self._task.cancelling()
        self.began = self._task.get_loop().time()
        self._watch.add(self)

    def interrupt(self) -> None:
        if not self._late and self._task is not None:
            self._late = True
            self._task.cancel()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.ended = True
        # It may have to stay in line behind one that hangs, and a task is large.
        task, self._task = self._task, None
        self._watch.remove()
        # As asyncio.timeout does: only our own cancellation becomes a time-out, never one from outside.
        ours = self._late and task is not None and task.uncancel() <= self._cancelling
        if ours and kind is asyncio.CancelledError:
            raise TimeoutError from error


class Stay:
    """One wait that can be interrupted with an error, which it then raises."""

    # Thousands of waits are inside one at any time.
    __slots__ = ("_cancelling", "_error", "_staying", "_task", "line", "patience")

    def __init__(self, staying: "set[Stay]", line: object, patience: float) -> None:
        self._staying = staying
        self._error: IceyeError | None = None
        self.line, self.patience = line, patience

    def __enter__(self) -> Self:
        self._task = _this_task()
        self._cancelling = self._task.cancelling()
        self._staying.add(self)
        return self

    def interrupt(self, error: IceyeError) -> None:
        if self._error is None:
            self._error = error
            self._task.cancel()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._staying.discard(self)
        if self._error is None:
            return
        if self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise self._error from None
