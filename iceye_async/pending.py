"""What is awaited or iterated, and the simplest of it: the pages of a list.

One object, two readings: `await` gives the whole, `async for` each step. It does nothing until driven. A step that is
cancelled loses nothing, for state is replaced only after an answer, with no await in between; so a `break` leaves
nothing open, and whoever drives the object next goes on from there.
"""

import asyncio
import warnings
from abc import abstractmethod
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from typing import Any, Generic, NoReturn, TypeVar

from .errors import NotPicklable, StateError
from .models.listed import Listed
from .protocol.paging import Book
from .protocol.replies import Reply
from .protocol.requests import Request
from .protocol.wire import Page
from .session import Session

R = TypeVar("R", covariant=True)
T = TypeVar("T", covariant=True)
I = TypeVar("I")  # noqa: E741 - an item


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

    def _left(self, so_far: str) -> str:
        """The words for a repr: what there is so far, or that nobody has awaited it yet."""
        # What was refused while it was made can be shown, too.
        return so_far if getattr(self, "_driven", False) else "not awaited yet"

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

    __slots__ = ("_book", "_read", "_request", "_session", "_waiting")

    def __init__(
        self, session: Session, request: Callable[[str | None], Request], read: Callable[[Reply], Page]
    ) -> None:
        self._session = session
        self._request = request
        self._read = read
        self._book = Book()
        self._waiting: deque[I] = deque()
        session.check()
        super().__init__()

    def __repr__(self) -> str:
        left = self._left(f"{len(self._book.items)} items so far")
        return f"<pages of {self._request(None).path.partition('?')[0]}: {left}>"

    @property
    def latest(self) -> tuple[I, ...]:
        """The items of all pages so far."""
        return Listed(self._book.items)

    async def _step(self) -> I:
        while not self._waiting:
            if self._book.over:
                raise StopAsyncIteration if self._book.error is None else self._book.error.with_traceback(None)
            page = await self._session.call(self._request(self._book.cursor), self._read)
            self._book.add(page)
            self._waiting += page.items
        return self._waiting.popleft()

    def _result(self) -> tuple[I, ...]:
        return Listed(self._book.items)


def _current_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:
        # No event loop runs: somebody drives it by hand.
        return None
