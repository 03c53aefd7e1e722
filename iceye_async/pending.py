"""What is awaited or iterated: pages of a list, and the wait for derivatives.

One object, two readings: `await` gives the whole, `async for` each step. It does nothing until driven. A step that is
cancelled loses nothing, for state is replaced only after an answer, with no await in between; so a `break` leaves
nothing open, and whoever drives the object next goes on from there.
"""

import asyncio
import math
import random
import warnings
from abc import abstractmethod
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from typing import Any, Generic, NoReturn, TypeVar

from .errors import DecodeError, IceyeError, NotPicklable, PaginationLoop, StateError, TaskNotFound
from .models import DerivativeSet, DerivativeUpdate
from .protocol import polling, replies, requests
from .protocol.polling import Ask, Complete, Ended, Heard, PollPolicy, PollState, Setback, TaskSeen
from .protocol.replies import Reply
from .protocol.requests import Request
from .protocol.wire import Flaw, Page, unreadable
from .session import Session, log

R = TypeVar("R", covariant=True)
T = TypeVar("T", covariant=True)
I = TypeVar("I")  # noqa: E741 - an item

_MOST_PAGES = 10_000
_NOTHING: frozenset[str] = frozenset()
_LAST_LOOK = 2.0
"""Seconds that a look which is still unanswered at the deadline is given."""
_FAR = 3600.0
"""Seconds. A look this far from the deadline needs no timer for it: its request has a bound of its own."""


class Pending(Coroutine[Any, Any, R], AsyncIterator[T], Generic[R, T]):
    """Await it for the whole, or iterate it for each step.

    It can be handed to whatever takes a coroutine (`asyncio.create_task`, `gather`, `wait_for`,
    `TaskGroup.create_task`, `asyncio.run`). Two drivers at once are a `StateError`. `latest` holds what there is so
    far, after any error too.
    """

    __slots__ = ("_busy", "_driven", "_inner", "_owner")

    def __init__(self) -> None:
        """Last of all: what was refused before this was never there to be driven, and can still be shown."""
        self._driven = False
        self._busy = False
        self._inner: Coroutine[Any, Any, R] | None = None
        self._owner: asyncio.Task[Any] | None = None

    # --- what a kind of pending object fills in -----------------------------------------------------------------

    @property
    @abstractmethod
    def latest(self) -> Any:
        """What there is so far."""

    @abstractmethod
    async def _step(self) -> Any:
        """Go one step on and give what is to be yielded. Raises `StopAsyncIteration` at the end."""

    @abstractmethod
    def _result(self) -> R:
        """The whole, after the last step."""

    # --- driving -----------------------------------------------------------------------------------------------

    async def __anext__(self) -> T:
        self._take()
        try:
            step: T = await self._step()
            return step
        finally:
            self._busy = False

    def __aiter__(self) -> "Pending[R, T]":
        return self

    async def _drive(self) -> R:
        self._take()
        try:
            while True:
                await self._step()
        except StopAsyncIteration:
            return self._result()
        finally:
            self._busy = False

    def _take(self) -> None:
        if self._busy:
            raise self._refusal()
        self._driven = self._busy = True

    def _refusal(self) -> StateError:
        return StateError(f"{self!r} is being driven already; await or iterate it in one place at a time")

    # --- the coroutine that it is for asyncio -------------------------------------------------------------------

    def __await__(self) -> Generator[Any, Any, R]:
        return self._drive().__await__()

    def send(self, value: Any) -> Any:
        return self._resume(self._coroutine().send, value)

    def throw(self, *exc_info: Any) -> Any:
        return self._resume(self._coroutine().throw, *exc_info)

    def _coroutine(self) -> Coroutine[Any, Any, R]:
        """What the task that drives this drives; nobody else may."""
        task = _current_task()
        if self._inner is None:
            self._driven = True
            self._inner, self._owner = self._drive(), task
        elif task is not self._owner:
            raise self._refusal()
        return self._inner

    def _resume(self, resume: Callable[..., Any], *values: Any) -> Any:
        suspended = False
        try:
            signal = resume(*values)
            suspended = True
            return signal
        finally:
            if not suspended:
                # It returned or failed: the next driver begins with a coroutine of its own.
                self._inner = self._owner = None

    def close(self) -> None:
        """End a drive that is suspended, as a coroutine's `close` does; `StateError` while another task drives it."""
        owned = self._owner is None or self._owner.done() or self._owner is _current_task()
        if self._busy and (self._inner is None or not owned):
            raise StateError(f"{self!r} is being driven; cancel the task that drives it")
        self._driven = True
        if self._inner is not None:
            self._inner.close()
            self._inner = self._owner = None

    def __reduce__(self) -> NoReturn:
        raise NotPicklable(f"{self!r} is work under way and is neither pickled nor copied; what it gave can be")

    def __del__(self, _warn: Callable[..., None] = warnings.warn) -> None:
        if not getattr(self, "_driven", True):
            _warn(f"{self!r} was never awaited or iterated", RuntimeWarning, stacklevel=2, source=self)
        elif hasattr(self, "_driven"):
            self._abandon()

    def _abandon(self) -> None:
        """Let go of what is held open, for nobody will drive this any more."""


class Pages(Pending[tuple[I, ...], I]):
    """All items of a list, page by page; a page is fetched when its first item is asked for.

    `await` gives a tuple of all items, `async for` each item. An item that cannot be read does not hide the others:
    they are given first, then a `DecodeError` names every bad one. A cursor that comes again is a `PaginationLoop`.
    """

    __slots__ = ("_cursor", "_end", "_flaws", "_items", "_read", "_request", "_seen", "_session", "_waiting")

    def __init__(
        self, session: Session, request: Callable[[str | None], Request], read: Callable[[Reply], Page]
    ) -> None:
        self._session = session
        self._request = request
        self._read = read
        self._items: list[I] = []
        self._waiting: deque[I] = deque()
        self._flaws: list[Flaw] = []
        self._cursor: str | None = None
        self._seen: set[str | None] = set()
        self._end: Exception | None = None
        session.check()
        super().__init__()

    def __repr__(self) -> str:
        return f"<pages of {self._request(None).path}: {len(self._items)} items so far>"

    @property
    def latest(self) -> tuple[I, ...]:
        """The items of all pages so far."""
        return tuple(self._items)

    async def _step(self) -> I:
        while not self._waiting:
            if self._end is not None:
                raise self._end.with_traceback(None)
            await self._turn_page()
        return self._waiting.popleft()

    def _result(self) -> tuple[I, ...]:
        return tuple(self._items)

    async def _turn_page(self) -> None:
        page = await self._session.call(self._request(self._cursor), self._read)
        self._seen.add(self._cursor)
        self._items += page.items
        self._waiting += page.items
        where = "" if len(self._seen) == 1 else f"page {len(self._seen)} "
        self._flaws += [flaw._replace(path=where + flaw.path) for flaw in page.flaws]
        self._cursor = page.cursor
        if page.cursor is None:
            self._end = unreadable(self._flaws) if self._flaws else StopAsyncIteration()
        elif page.cursor in self._seen or len(self._seen) >= _MOST_PAGES:
            what = "again" if page.cursor in self._seen else f"after {_MOST_PAGES} pages"
            message = f"the service gave a cursor {what}, so this list has no end; the items so far are on .latest"
            self._end = PaginationLoop(message, where=("$.cursor", *(flaw.path for flaw in self._flaws)))


class DerivativeWait(Pending[DerivativeSet, DerivativeUpdate]):
    """A wait for the derivatives of one task; see `Client.await_derivatives`."""

    __slots__ = (
        "_end",
        "_noted",
        "_outline",
        "_policy",
        "_request",
        "_session",
        "_state",
        "_task_id",
        "_update",
        "_wanted",
    )

    def __init__(self, session: Session, task_id: str, wanted: tuple[str, ...] | None, policy: PollPolicy) -> None:
        self._session = session
        self._task_id = task_id
        self._wanted = wanted
        self._policy = policy
        self._state: PollState | None = None
        self._end: Exception | None = None
        self._noted = _NOTHING
        self._outline: replies.Outline | None = None
        self._request = requests.look_for_derivatives(task_id)
        session.check()
        super().__init__()

    def __repr__(self) -> str:
        update = self.latest
        so_far = (
            "nothing listed yet"
            if update is None
            else f"ready: {', '.join(sorted(update.ready))}; missing: {', '.join(sorted(update.missing))}"
        )
        return f"<wait for derivatives of task {self._task_id}: {so_far}>"

    @property
    def latest(self) -> DerivativeUpdate | None:
        """The last update, or None where nothing was ever listed."""
        return None if self._state is None else self._state.latest

    async def _step(self) -> DerivativeUpdate:
        # One frame, not three: thousands of waits sleep in here.
        clock = self._session.clock
        while self._end is None:
            now = clock.now()
            if self._state is None:
                self._state = polling.begin(self._task_id, self._wanted, self._policy, now)
            if (pause := self._state.due - now) > 0:
                # Said now, and not when it is due.
                self._session.check()
                with self._session.stay():
                    await clock.sleep(pause)
            update = self._moved(await self._heard(self._state))
            if update is not None:
                return update
        raise self._end.with_traceback(None)

    def _moved(self, heard: Heard) -> DerivativeUpdate | None:
        """Move the state along."""
        assert self._state is not None  # noqa: S101 - a look has begun
        now, roll = self._session.clock.now(), random.random()  # noqa: S311 - no secret
        before = self._state
        self._state, update, step = polling.advance(before, heard, now, roll)
        if isinstance(step, Complete):
            self._end = StopAsyncIteration()
        elif isinstance(step, Ended):
            self._end = step.error
        odd = polling.oddity(before, heard, self._state)
        if odd is not None and odd not in self._noted:
            # Once for each wait and kind: a service that is in disorder may be so at every look.
            self._noted |= {odd}
            log.warning(odd, extra={"task_id": self._task_id})
        if update is not None and self._session.listener is not None:
            self._session.listener.updated(self._task_id, update)
        return update

    def _result(self) -> DerivativeSet:
        latest = self.latest
        assert latest is not None  # noqa: S101 - a wait that ended without an error had a last update
        return latest.derivatives

    async def _heard(self, state: PollState) -> Heard:
        """Ask once. What a later look may mend is a setback; anything else is raised."""
        left = math.inf if state.deadline is None else state.deadline - self._session.clock.now()
        try:
            return await (self._ask(state, left) if left > _FAR else self._ask_in_time(state, max(0.0, left)))
        except IceyeError as error:
            if not (error.transient or isinstance(error, DecodeError | TaskNotFound)):
                raise
            # It is kept for as long as the wait sleeps, and its frames hold the whole body.
            return Setback(self._session.cleaned(error).with_traceback(None))

    async def _ask_in_time(self, state: PollState, left: float) -> Heard:
        try:
            async with asyncio.timeout(left + _LAST_LOOK) as bound:
                return await self._ask(state, left)
        except TimeoutError:
            if not bound.expired():
                raise
        raise polling.timed_out(state)

    async def _ask(self, state: PollState, patience: float) -> Heard:
        if state.ask is Ask.TASK:
            request = requests.get_task(self._task_id)
            return TaskSeen(replies.task(await self._session.look(request, patience)), self._session.wall())
        reply = await self._session.look(self._request, patience)
        heard, self._outline = replies.heard(reply, self._task_id, self._outline if state.plain else None)
        return heard


def _current_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:
        # No event loop runs: somebody drives it by hand.
        return None
