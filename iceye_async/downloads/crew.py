"""What the threads of a download share with the event loop, and what all downloads of a client share.

Each file is carried by a thread that waits for the network and the disk; everything that belongs to the event loop (a
new link, a pause on the client's clock, an event for the caller) is asked of it from there. The threads belong to the
client, which waits for them when it is closed.
"""

import asyncio
import concurrent.futures
import contextlib
import contextvars
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, NamedTuple, TypeVar

from yarl import URL

from ..errors import IceyeError, StateError
from ..events import DownloadEvent, Progressed
from ..session import Session

A = TypeVar("A")

MOST = 8
"""Connections to link hosts that one client has open at once."""
_GRACE = 10.0
"""Seconds that connections are held open while nobody drives the download."""
_SOON = 0.5
"""Seconds between two looks whether the event loop is still there."""


class Stopped(Exception):
    """Nobody wants this any more: it was cancelled, closed or left alone."""


class Threads:
    """The threads of a client's downloads, and how many of them may have a connection."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._free = MOST
        self._alive: set[threading.Thread] = set()
        self._crews: set[Crew] = set()
        self._waiting: deque[Crew] = deque()
        self._closed = False

    def check(self) -> None:
        """Raise `StateError` once the client is closed."""
        if self._closed:
            raise StateError("the client was closed meanwhile")

    def take(self, crew: "Crew", *, wait: bool) -> bool:
        """A place for one more connection, or False; with `wait`, the crew's bell then rings when there is one."""
        with self._lock:
            if self._free:
                self._free -= 1
                return True
            if wait and crew not in self._waiting:
                self._waiting.append(crew)
            return False

    def give(self) -> None:
        """The place is free for the next."""
        with self._lock:
            self._free += 1
        self.pass_on()

    def pass_on(self) -> None:
        """Let the crew know that has waited longest, where there is a free place."""
        with self._lock:
            crew = self._waiting.popleft() if self._waiting and self._free else None
        if crew is not None:
            crew.ring()

    def withdraw(self, crew: "Crew") -> None:
        """It waits no longer, and perhaps leaves a place that it was told of."""
        with self._lock:
            if crew in self._waiting:
                self._waiting.remove(crew)
        self.pass_on()

    def start(self, crew: "Crew", work: Callable[[], None]) -> None:
        """Do the work in a thread that has been given a place."""
        context = contextvars.copy_context()

        def run() -> None:
            try:
                context.run(work)
            finally:
                with self._lock:
                    self._alive.discard(thread)
                self.give()
                crew.left()

        # Daemons: an application that ends without closing its client must not wait for a slow host. What is on the
        # disk by then is gone on with like after a crash.
        thread = threading.Thread(target=run, name="iceye-async-download", daemon=True)
        with self._lock:
            self._alive.add(thread)
            self._crews.add(crew)
        crew.joined()
        started = False
        try:
            thread.start()
            started = True
        finally:
            if not started:
                with self._lock:
                    self._alive.discard(thread)
                self.give()
                crew.left()

    def forget(self, crew: "Crew") -> None:
        """It has ended."""
        with self._lock:
            self._crews.discard(crew)
        self.withdraw(crew)

    async def close(self) -> None:
        """Stop whatever is under way, and join the threads."""
        self._closed = True
        self.stop()
        if self._alive:
            await asyncio.to_thread(self._join)

    def stop(self) -> None:
        with self._lock:
            crews = list(self._crews)
        for crew in crews:
            crew.stop()

    def _join(self) -> None:
        until = time.monotonic() + 5.0
        with self._lock:
            alive = [thread for thread in self._alive if thread.ident is not None]
        for thread in alive:
            thread.join(max(0.0, until - time.monotonic()))


class Told(NamedTuple):
    """What a thread has to say of its job: an event, or (None) that it has left it."""

    job: Any
    event: DownloadEvent | BaseException | None


async def _bare(work: Callable[[], Coroutine[Any, Any, A]]) -> A:
    """What the work gives. Its error comes without the frames in which it was raised, for these hold links."""
    try:
        return await work()
    except IceyeError as error:
        failure = error.with_traceback(None)
    raise failure


class Crew:
    """The threads of one download, between the start of its first file and its end or interruption."""

    def __init__(self, session: Session, threads: Threads) -> None:
        self.session, self.threads = session, threads
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Condition()
        self._told: deque[Told] = deque()
        self._bell = asyncio.Event()
        self._open: set[socket.socket] = set()
        self._asked: set[concurrent.futures.Future[Any]] = set()
        self._stopped = False
        self._resting: float | None = time.monotonic()
        self.running = 0

    # --- in the event loop -------------------------------------------------------------------------------------------

    def drive(self) -> None:
        """Somebody waits for the next event: the threads go on."""
        with self._lock:
            self._resting = None
            self._lock.notify_all()

    def next(self) -> Told | None:
        """What was told, first things first. With it they rest, until somebody waits again."""
        with self._lock:
            if not self._told:
                return None
            self._resting = time.monotonic()
            self._lock.notify_all()
            return self._told.popleft()

    async def wait(self) -> None:
        """Come back when there is something new."""
        await self._bell.wait()
        self._bell.clear()

    async def gone(self) -> None:
        """Wait until no thread is left."""
        while self.running:
            await self.wait()

    async def let_go(self, patience: float) -> None:
        """Stop the threads and wait until they have gone, at most so many seconds, and cancelled or not."""
        self.stop()
        until = time.monotonic() + patience
        while self.running and (left := until - time.monotonic()) > 0:
            with contextlib.suppress(asyncio.CancelledError, TimeoutError):
                await asyncio.wait_for(self.wait(), left)

    def joined(self) -> None:
        with self._lock:
            self.running += 1

    # --- anywhere ----------------------------------------------------------------------------------------------------

    @property
    def is_stopped(self) -> bool:
        """Whether its threads are on their way out."""
        return self._stopped

    def stop(self) -> None:
        """Interrupt every thread, wherever it waits."""
        with self._lock:
            self._stopped = True
            self._lock.notify_all()
            asked = list(self._asked)
            for sock in self._open:
                # Not the method of a TLS socket: that would make it read what is encrypted as if it were the file.
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(sock, socket.SHUT_RDWR)
        for future in asked:
            with contextlib.suppress(RuntimeError):
                future.cancel()
        self.threads.forget(self)
        self.ring()

    def ring(self) -> None:
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._bell.set)

    # --- in a thread -------------------------------------------------------------------------------------------------

    def left(self) -> None:
        with self._lock:
            self.running -= 1
            self._lock.notify_all()
        self.ring()

    def left_for(self, seconds: float) -> None:
        """Wait until one of its threads has gone, at most so long."""
        with self._lock:
            if self.running:
                self._lock.wait(seconds)

    def check(self, *, patient: bool = True) -> None:
        """Go on, or wait until somebody drives again. Raises `Stopped` where nobody will, or does for long.

        What is not `patient` goes on by itself in the latter case: what it has could not be gone on with.
        """
        if self._resting is not None and not self._stopped:
            with self._lock:
                while self._resting is not None and not self._stopped:
                    if (left := self._patience()) <= 0:
                        if patient:
                            raise Stopped
                        break
                    self._lock.wait(left)
        if self._stopped or self._loop.is_closed():
            raise Stopped

    def _patience(self) -> float:
        """Seconds that are left until nobody can be said to drive any more."""
        return _GRACE if self._resting is None else self._resting + _GRACE - time.monotonic()

    def tell(self, job: Any, event: DownloadEvent | BaseException | None, *, wait: bool = False) -> None:
        """Pass an event on; with `wait`, come back when somebody has it. Of progress only the last word counts."""
        told = Told(job, event)
        with self._lock:
            if isinstance(event, Progressed) and (before := self._last(job)) is not None:
                self._told[before] = told
                return
            self._told.append(told)
        self.ring()
        with self._lock:
            while wait and not self._stopped and self._patience() > 0 and any(other is told for other in self._told):
                self._lock.wait(_SOON)

    def _last(self, job: Any) -> int | None:
        """Where the last word of this job stands, where it is one of progress that nobody has heard yet."""
        for index in range(len(self._told) - 1, -1, -1):
            if self._told[index].job is job:
                return index if isinstance(self._told[index].event, Progressed) else None
        return None

    @contextlib.contextmanager
    def interrupts(self, sock: socket.socket) -> Iterator[None]:
        """What waits for this socket inside ends when the crew is stopped."""
        with self._lock:
            if self._stopped:
                raise Stopped
            self._open.add(sock)
        try:
            yield
        finally:
            with self._lock:
                self._open.discard(sock)

    def in_loop(self, work: Callable[[], Coroutine[Any, Any, A]]) -> A:
        """What the coroutine gives, or raises, that is run in the event loop. Raises `Stopped` when that has ended."""
        self.check()
        coroutine = _bare(work)
        try:
            future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        except RuntimeError:
            coroutine.close()
            raise Stopped from None
        with self._lock:
            self._asked.add(future)
        try:
            while not concurrent.futures.wait([future], timeout=_SOON).done:
                if self._loop.is_closed():
                    raise Stopped
                self.check()
            return future.result()
        except concurrent.futures.CancelledError:
            raise Stopped from None
        finally:
            with self._lock:
                self._asked.discard(future)
            if not future.done():
                future.cancel()

    def pause(self, seconds: float) -> None:
        """Let so many seconds of the client's clock pass."""

        async def sleep() -> None:
            with self.session.stay():
                await self.session.clock.sleep(seconds)

        self.in_loop(sleep)

    def later(self, work: Callable[..., object], *values: Any) -> None:
        """Have it called in the event loop."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(work, *values)

    def witness(self, url: URL, seconds: float, outcome: int | IceyeError) -> None:
        """Say what came of a request."""
        if (told := self.session.witness) is not None:
            self.later(told, "GET", url, seconds, outcome)
