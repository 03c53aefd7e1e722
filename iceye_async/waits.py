"""The three waits: for a status, for products, for derivatives. They ask and sleep; `protocol.polling` decides.

The wait comes before the look, so an update reaches the caller at once, and the caller's own work counts towards the
pause.
"""

import math
import random
from abc import abstractmethod
from typing import ClassVar, TypeVar

from . import looks
from .display.livecard import Lasting
from .errors import ApiError, BadRequest, DecodeError, Forbidden, IceyeError, StateError, TransportError
from .models import DerivativeSet, DerivativeUpdate, Product, ProductUpdate, Task
from .models.listed import Listed
from .pending import Pending
from .protocol import polling, replies, requests
from .protocol.links import clean, named
from .protocol.paging import Book
from .protocol.requests import Request
from .protocol.waiting import (
    Ask,
    Complete,
    Ended,
    Goal,
    Heard,
    PollPolicy,
    PollState,
    Products,
    Setback,
    Standing,
    Update,
    endurable,
    standing,
)
from .session import Session, log

R = TypeVar("R", covariant=True)
U = TypeVar("U", bound=Update, covariant=True)

_NOTHING: frozenset[str] = frozenset()


class Waiting(Pending[R, U], Lasting):
    """A wait for something of one task."""

    __slots__ = (
        "__weakref__",
        "_book",
        "_end",
        "_noted",
        "_outline",
        "_policy",
        "_request",
        "_session",
        "_state",
        "_task_id",
        "_wanted",
    )
    goal: ClassVar[Goal]

    def __init__(self, session: Session, task_id: str, wanted: tuple[str, ...] | None, policy: PollPolicy) -> None:
        self._session = session
        self._task_id = task_id
        self._wanted = wanted
        self._policy = policy
        self._state: PollState | None = None
        self._end: Exception | None = None
        self._noted = _NOTHING
        self._outline: replies.Outline | None = None
        self._book: Book | None = None
        self._request = self._first_look()
        session.check()
        super().__init__()

    def __repr__(self) -> str:
        return f"<wait for the {self.goal.what} of task {self._task_id}: {self._left(self._so_far())}>"

    @property
    def task_id(self) -> str:
        """Whose wait it is."""
        return self._task_id

    @property
    def wanted(self) -> tuple[str, ...]:
        """The statuses or types that are waited for; none for everything that the service lists."""
        return () if self._wanted is None else self._wanted

    @property
    def standing(self) -> Standing:
        """Where it stands, for whoever shows it: the task's status, the next look, the deadline, failures in a row."""
        if self._state is None:
            return standing(self._begun(0.0), 0.0)
        try:
            now = self._session.clock.now()
        except RuntimeError:
            # Outside of its event loop there is no time.
            now = self._state.due
        return standing(self._state, now)

    @property
    def over(self) -> bool:
        """Whether it has come to its end: with all that was waited for, or because nothing more will come."""
        return self._end is not None or self._session.is_closed

    def _repr_html_(self) -> str:
        from .display import waitcard

        if self._end is not None:
            return waitcard.waiting(self, waitcard.ending(self._end), error=self._end)
        if self._session.is_closed:
            return waitcard.waiting(self, "stopped", error=StateError("its client is closed"))
        if self._busy:
            return waitcard.waiting(self, "under way")
        return waitcard.waiting(self, "between looks" if self._driven else "idle")

    def _first_look(self) -> Request:
        """What is asked first, and over and over. Raises `UsageError` where it could never be asked."""
        return requests.get_task(self._task_id)

    @abstractmethod
    def _so_far(self) -> str:
        """What there is, in a few words."""

    async def _step(self) -> Update:
        # One frame, not three: thousands of waits sleep in here.
        clock = self._session.clock
        while self._end is None:
            now = clock.now()
            if self._state is None:
                self._state = self._begun(now)
            if (pause := self._state.due - now) > 0:
                # Said now, and not when it is due.
                self._session.check()
                with self._session.stay():
                    await clock.sleep(pause)
            update = self._moved(await self._heard(self._state))
            if update is not None:
                return update
        raise self._end.with_traceback(None)

    def _begun(self, now: float) -> PollState:
        return polling.begin(self.goal, self._task_id, self._wanted, self._policy, now)

    def _moved(self, heard: Heard) -> Update | None:
        """Move the state along."""
        assert self._state is not None  # noqa: S101 - a look has begun
        now, roll = self._session.clock.now(), random.random()  # noqa: S311 - no secret
        before = self._state
        self._state, update, step = polling.advance(before, heard, now, roll)
        if isinstance(step, Complete):
            self._end = StopAsyncIteration()
            self._settle()
        elif isinstance(step, Ended):
            self._end = step.error
            self._settle()
        odd = polling.oddity(before, heard, self._state)
        if odd is not None and odd not in self._noted:
            # Once for each wait and kind: a service that is in disorder may be so at every look.
            self._noted |= {odd}
            log.warning(odd, extra={"task_id": self._task_id})
        if update is not None and self._session.listener is not None:
            self._session.listener.updated(self._task_id, update)
        return update

    async def _heard(self, state: PollState) -> Heard:
        """Ask once. What a later look may mend is a setback; anything else is raised."""
        left = math.inf if state.deadline is None else state.deadline - self._session.clock.now()
        try:
            if left > looks.FAR:
                return await self._ask(state, left)
            left = max(0.0, left)
            return await looks.in_time(self._ask(state, left), state, left)
        except IceyeError as error:
            if not endurable(error):
                raise
            return Setback(looks.kept(self._session, error))

    async def _ask(self, state: PollState, patience: float) -> Heard:
        if state.ask is Ask.DERIVATIVES:
            reply = await self._session.look(self._request, patience)
            heard, self._outline = replies.heard(reply, self._task_id, self._outline if state.plain else None)
            return heard
        if state.ask is Ask.TASK:
            return await looks.at_task(self._session, self._task_id, patience)
        if state.ask is Ask.SCENE:
            return await looks.at_scene(self._session, self._task_id, patience)
        return await self._ask_for_products(state.gathered.turn[0], patience)

    async def _ask_for_products(self, kind: str | None, patience: float) -> Products:
        # Where a look was cancelled it goes on from the page that it had come to.
        book = self._book = Book() if self._book is None else self._book
        try:
            while not book.over:
                # That a list is not there yet is an answer; that the rest of one is not there, none.
                ask = requests.look_for_products if book.cursor is None else requests.list_products
                reply = await self._session.look(ask(self._task_id, kind, book.cursor), patience)
                if reply.status == 404:
                    break
                book.add(replies.products(reply, self._task_id))
        except (ApiError, DecodeError, TransportError) as error:
            self._book = None
            # What is refused for one type must not hide what another type, or an earlier page, has.
            if not (book.items or endurable(error) or isinstance(error, BadRequest | Forbidden)):
                raise
            return Products(kind, tuple(book.items), looks.kept(self._session, error))
        self._book = None
        return Products(kind, tuple(book.items), book.error)


class TaskWait(Waiting[Task, Task]):
    """A wait for a status of one task; see `Client.await_task`."""

    __slots__ = ()
    goal = Goal.TASK

    @property
    def latest(self) -> Task | None:
        """The task as it was last seen, or None where it never was."""
        return None if self._state is None else self._state.latest

    def _so_far(self) -> str:
        return "not seen yet" if self.latest is None else clean(self.latest.status, 60)

    def _result(self) -> Task:
        assert self.latest is not None  # noqa: S101 - a wait that ended without an error saw it
        return self.latest


class ProductWait(Waiting[tuple[Product, ...], ProductUpdate]):
    """A wait for the products of one task; see `Client.await_products`."""

    __slots__ = ()
    goal = Goal.PRODUCTS

    def _first_look(self) -> Request:
        for kind in self._wanted or ():
            requests.look_for_products(self._task_id, kind, None)
        return super()._first_look()

    @property
    def latest(self) -> ProductUpdate | None:
        """The last update (or a later look that brought nothing but new links), or None where nothing was listed."""
        return None if self._state is None else self._state.latest

    def _so_far(self) -> str:
        return _ready_and_missing(self.latest)

    def _result(self) -> tuple[Product, ...]:
        assert self.latest is not None  # noqa: S101 - a wait that ended without an error had a last update
        return Listed(self.latest.products)


class DerivativeWait(Waiting[DerivativeSet, DerivativeUpdate]):
    """A wait for the derivatives of one task; see `Client.await_derivatives`."""

    __slots__ = ()
    goal = Goal.DERIVATIVES

    def _first_look(self) -> Request:
        return requests.look_for_derivatives(self._task_id)

    @property
    def latest(self) -> DerivativeUpdate | None:
        """The last update, or None where nothing was ever listed."""
        return None if self._state is None else self._state.latest

    def _so_far(self) -> str:
        return _ready_and_missing(self.latest)

    def _result(self) -> DerivativeSet:
        assert self.latest is not None  # noqa: S101 - a wait that ended without an error had a last update
        return self.latest.derivatives


def _ready_and_missing(update: ProductUpdate | DerivativeUpdate | None) -> str:
    if update is None:
        return "nothing listed yet"
    ready, missing = named(update.ready) or "nothing", named(update.missing) or "nothing"
    return f"ready: {ready}; missing: {missing}"
