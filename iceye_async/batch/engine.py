"""The work of a batch: some workers who ask about whoever is due next, and what follows from the answers.

It runs beside whoever drives the batch, and stops asking while nobody takes its events. What is heard of a task moves
that task alone; an error ends the batch only where it would be every task's (the credentials, the client, the journal).
"""

import asyncio
import contextlib
import logging
import math
import random
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from .. import looks
from ..errors import IceyeError, NotFound, StateError
from ..models import DerivativeUpdate, Task
from ..protocol import derivative_lists, polling, replies, requests, wire
from ..protocol.lifecycle import ENDED, IMAGED
from ..protocol.waiting import (
    WAIT,
    Ask,
    Complete,
    Ended,
    Goal,
    Heard,
    Listing,
    NoScene,
    Nothing,
    Outlook,
    PollPolicy,
    PollState,
    Setback,
    Step,
    TaskSeen,
    Update,
    floor_of,
)
from ..session import Session
from ..watch import Stay
from .arrivals import Arrivals
from .journal import Journal, Start
from .landing import AT_ONCE, Fetch
from .outbox import Sent
from .patience import Patience, advance, outlasts, relieved
from .report import BatchReport
from .schedule import Schedule
from .sweeps import COUNTED, TOGETHER, Sweeps, oldest
from .watched import Listed, Watched

log = logging.getLogger("iceye_async")

_ALONE = 300.0
"""Seconds without anybody who asks for an event, after which nothing is asked of the service."""
_SOON = 120.0
"""Seconds. Who is due later than that rests until then; and who is followed, always: that is rarely asked."""
_FEW = 10
"""So few tasks are looked at for what is wanted at once, and not followed first."""
_SAMPLES = 8
"""Tasks that are asked one by one at first, to know how old those of the batch are."""


class Wanted(NamedTuple):
    """What is wanted of each task."""

    types: tuple[str, ...] | None
    policy: PollPolicy
    folder: Path | None


class _Woken(IceyeError):
    """Something is due sooner than what was slept for."""


class Engine:
    """A batch at work, over an open journal."""

    def __init__(
        self, session: Session, journal: Journal, start: Start, wanted: Wanted, fetch: Fetch, report: BatchReport
    ) -> None:
        self._session, self._clock = session, session.clock
        self._journal = journal
        self._wanted = wanted
        self.total = start.total
        self.requests = start.requests
        self._arrivals = Arrivals(session, journal, start, wanted.folder, fetch, report, self._drop)
        self._outbox = self._arrivals.outbox
        self._schedule, self._sweeps = Schedule(), Sweeps()
        self._by_id: dict[str, Watched] = {}
        self._line = asyncio.Lock()
        self._sleeping: tuple[float, Stay] | None = None
        self._listening = True
        self._asked = self._clock.now()
        self._sweeping = False
        self._counted = -math.inf
        self._samples: set[int] = set()
        self._is_sampled = True
        self._dated = False
        self._patience = Patience(session.in_flight)
        self._noted: set[str] = set()
        self._done = asyncio.Event()
        self._stopped = False
        self.failing = False
        """Whether one of its workers has failed: the others are on their way out, and it with them."""
        self.error: BaseException | None = None
        self._left = 0
        self._begin(start)

    # --- what there is to do ---------------------------------------------------------------------------------------

    def _begin(self, start: Start) -> None:
        now = self._clock.now()
        gap = self._session.interval
        few = len(start.tasks) <= _FEW
        apart = max(1, len(start.tasks) // _SAMPLES)
        begun = polling.begin(Goal.DERIVATIVES, "", self._wanted.types, self._wanted.policy, now)._replace(ask=Ask.TASK)
        for turn, (number, task_id) in enumerate(start.tasks):
            sampled = not few and turn % apart == 0 and len(self._samples) < _SAMPLES
            # A turn of its own for each: what is due again soon need not wait until all the others have begun.
            due = now if sampled else now + turn * gap
            known = start.delivered.get(number)
            direct = few or known is not None
            watched = Watched(number, task_id, begun, due)
            if direct and watched.state is not None:
                told, ready = () if known is None else tuple(known), start.ready.get(number, frozenset())
                watched.state = watched.state._replace(ask=Ask.DERIVATIVES, delivered=told, ready=ready)
            if sampled and not direct:
                watched.alone = True
                self._samples.add(number)
            self._watch(watched)
        for number, task_id in self._arrivals.to_repay.items():
            self._watch(
                Watched(number, task_id, polling.begin(Goal.DERIVATIVES, "", None, self._wanted.policy, now), now)
            )
        self._is_it_done()

    def _watch(self, watched: Watched) -> None:
        watched.owes = self._arrivals.owes(watched.number)
        self._by_id[watched.task_id] = watched
        self._left += 1
        self._schedule.put(watched)
        watched.rest()

    # --- whoever drives it -----------------------------------------------------------------------------------------

    async def next(self) -> Sent | None:
        """The next event; None after the last. Raises what ended the batch, once everything else was handed out."""
        rested = self._is_left_alone(self._clock.now())
        self._listening = True
        if rested:
            self._wake(-math.inf)
        try:
            while (sent := self._outbox.take()) is None:
                error = self.error or self._outbox.error or self._journal.error
                if error is not None and self._outbox.empty:
                    raise error.with_traceback(None)
                if self.ended:
                    return None
                if self._stopped and error is None and not self._done.is_set():
                    raise StateError("the batch was stopped meanwhile; await it again to go on")
                with self._session.stay():
                    await self._outbox.bell.wait()
                self._outbox.bell.clear()
            return sent
        finally:
            self._listening = False
            self._asked = self._clock.now()

    @property
    def over(self) -> int:
        """How many of the tasks nothing is wanted of any more."""
        return self.total - self._left + len(self._arrivals.to_repay)

    @property
    def ended(self) -> bool:
        """Whether everything was done and handed out."""
        return self._done.is_set() and self._outbox.empty

    async def run(self) -> None:
        """Work until all is done, or what ends the batch is on `error`."""
        try:
            async with asyncio.TaskGroup() as group:
                works = [self._redeliver, *[self._work] * self._session.in_flight]
                if (landing := self._arrivals.landing) is not None:
                    works += [*[landing.work] * AT_ONCE, landing.bring_back]
                working = [group.create_task(self._telling(work)) for work in works]
                await self._done.wait()
                for one in working:
                    one.cancel()
        except BaseExceptionGroup as group:
            self.error = _first(group)
        finally:
            self._stopped = True
            self._journal.count(self.requests)
            self._outbox.bell.set()

    async def _telling(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """What it works on; where that fails, it is known before the group of all workers hears of it."""
        try:
            await work()
        except Exception:
            self.failing = True
            raise

    def _is_it_done(self) -> None:
        if self._left == 0 and self._arrivals.all_redelivered:
            self._done.set()
            self._outbox.bell.set()

    async def _redeliver(self) -> None:
        await self._arrivals.redeliver()
        self._is_it_done()

    # --- workers ---------------------------------------------------------------------------------------------------

    async def _work(self) -> None:
        while True:
            if self._outbox.error is not None:
                raise self._outbox.error
            turn = self._turn_now()
            await (turn if turn is not None else await self._turn_to_come())

    def _turn_now(self) -> Coroutine[Any, Any, None] | None:
        """What is to be done right now, if anything is."""
        now = self._clock.now()
        if self._is_left_alone(now):
            return None
        if (watched := self._schedule.first(now)) is not None:
            return self._look(watched, now)
        held = self._sweeping or len(self._samples) > 0
        if self._dated and not held and now >= self._counted + COUNTED and self._schedule.following_due() <= now:
            self._counted = now
            if self._sweeps.worthwhile(len(self._schedule.due_until(now + TOGETHER)), now):
                self._sweeping = True
                return self._sweep()
        watched = self._schedule.next(now, held=held)
        return None if watched is None else self._look(watched, now)

    async def _turn_to_come(self) -> Coroutine[Any, Any, None]:
        """The same, once there is something. One worker sleeps until then; the others stand in line behind it."""
        async with self._line:
            while (turn := self._turn_now()) is None:
                now = self._clock.now()
                held = self._sweeping or len(self._samples) > 0
                await self._sleep(math.inf if self._is_left_alone(now) else self._schedule.due(held=held) - now)
            return turn

    def _is_left_alone(self, now: float) -> bool:
        return not self._listening and now - self._asked > _ALONE

    async def _sleep(self, pause: float) -> None:
        with contextlib.suppress(_Woken), self._session.stay() as stay:
            self._sleeping = (self._clock.now() + pause, stay)
            try:
                if pause < math.inf:
                    await self._clock.sleep(pause)
                else:
                    await asyncio.get_running_loop().create_future()
            finally:
                self._sleeping = None

    def _wake(self, due: float) -> None:
        """Whoever sleeps for longer than until then looks again who is due."""
        if self._sleeping is not None and due < self._sleeping[0]:
            stay, self._sleeping = self._sleeping[1], None
            stay.interrupt(_Woken())

    def _put(self, watched: Watched) -> None:
        self._schedule.put(watched)
        if self._sleeping is not None:
            self._wake(watched.due)
        if watched.follows or watched.due - self._clock.now() > _SOON:
            watched.rest()

    # --- a look ----------------------------------------------------------------------------------------------------

    async def _look(self, watched: Watched, now: float) -> None:
        state = watched.state
        assert state is not None  # noqa: S101 - it was due
        left = math.inf if state.deadline is None else max(0.0, state.deadline - now)
        watched.requests += 1
        self.requests += 1
        listed: bytes | None = None
        heard: Heard | None = None
        end: IceyeError | None = None
        try:
            if state.ask is Ask.DERIVATIVES:
                look = self._session.look(_request(state.task_id), left)
                reply = await (look if left > looks.FAR else looks.in_time(look, state, left))
                listed = None if reply.status == 404 else wire.without_links(reply.body)
                if listed is None or not _is_unchanged(watched, state, listed, reply.status):
                    heard, _ = replies.heard(reply, state.task_id)
            else:
                ask = looks.at_task if state.ask is Ask.TASK else looks.at_scene
                seeing = ask(self._session, state.task_id, left)
                heard = await (seeing if left > looks.FAR else looks.in_time(seeing, state, left))
            # A scene that could not be had is no answer.
            self._patience.goods += not isinstance(heard, NoScene)
        except IceyeError as error:
            if self._patience.ends_all(error, watched.number, self._left):
                raise
            failure = looks.kept(self._session, error)
            heard, end = Setback(failure), None if outlasts(failure) else failure
        if self._samples:
            self._sampled(watched.number)
        if watched.spared and not isinstance(heard, Setback):
            # A 404 is half an answer, which does not begin the count anew.
            state = relieved(watched, state)
        if end is not None:
            await self._arrivals.end(watched, end)
        elif heard is None:
            roll = random.random()  # noqa: S311 - no secret
            state, _, step = derivative_lists.unchanged(state, self._clock.now(), roll)
            if step is not WAIT:
                await self._stepped(watched, state, None, step)
                return
            watched.state = state
            self._put(watched)
        else:
            await self._tell(watched, state, heard, listed)

    def _sampled(self, number: int) -> None:
        self._samples.discard(number)
        if not self._samples:
            self._wake(-math.inf)

    async def _tell(self, watched: Watched, before: PollState, heard: Heard, listed: bytes | None = None) -> None:
        """Move the task along by what was heard of it."""
        now, roll = self._clock.now(), random.random()  # noqa: S311 - no secret
        if isinstance(heard, TaskSeen):
            self._note(watched, heard.task)
        elif isinstance(heard, Setback):
            if isinstance(heard.error, NotFound) and before.ask is Ask.TASK and watched.requests == 1:
                # Nothing was asked of it but whether it is there: what is wanted decides, as it does for a single wait.
                watched.alone = False
                await self._stepped(watched, before._replace(ask=Ask.DERIVATIVES, due=now), None, WAIT)
                return
            before = self._patience.before(watched, before, heard.error)
        elif isinstance(heard, Nothing) and watched.number in self._arrivals.to_repay:
            # It is over, and only links were wanted once more.
            await self._arrivals.end(watched, None)
            return
        state, update, step = advance(before, heard, now, roll)
        self._remark(before, heard, state)
        if (
            isinstance(heard, TaskSeen)
            and step is WAIT
            and state.outlook.status in IMAGED
            and before.outlook.status is None
        ):
            # It may all be there by now.
            state = state._replace(due=now)
        if update is not None and self._session.listener is not None:
            self._session.listener.updated(before.task_id, update)
        if isinstance(heard, Listing):
            assert listed is not None  # noqa: S101 - that is how it was heard
            assert update is None or isinstance(update, DerivativeUpdate)  # noqa: S101
            self._journal.count(self.requests)
            await self._arrivals.take(watched, before.task_id, heard, update)
            if watched.is_over:
                return
            state = _packed(state, heard, listed)
        await self._stepped(watched, state, update, step)

    def _note(self, watched: Watched, task: Task) -> None:
        if math.isnan(watched.created):
            watched.created = task.created_at.timestamp()
            # Now it is known from when on the list must be asked for to have it.
            watched.alone, self._dated = False, True

    async def _stepped(self, watched: Watched, state: PollState, update: Update | None, step: Step) -> None:
        watched.state = state
        if isinstance(step, Ended):
            await self._arrivals.end(watched, step.error)
        elif isinstance(step, Complete):
            assert isinstance(update, DerivativeUpdate)  # noqa: S101 - it is complete with it
            await self._arrivals.end(watched, None, tuple(sorted(update.ready)))
        else:
            self._put(watched)

    def _remark(self, before: PollState, heard: Heard, after: PollState) -> None:
        odd = polling.oddity(before, heard, after)
        if odd is not None and odd not in self._noted:
            # Once for each kind: a service in disorder may be so for thousands of tasks.
            self._noted.add(odd)
            log.warning(odd, extra={"task_id": before.task_id})

    def _drop(self, watched: Watched) -> None:
        """Nothing more is wanted of this task."""
        self._by_id.pop(watched.task_id, None)
        watched.state = None
        self._left -= 1
        self._journal.count(self.requests)
        self._is_it_done()

    # --- many at a time --------------------------------------------------------------------------------------------

    async def _sweep(self) -> None:
        """Look tasks up in the list of all; those that it does not have are asked one by one."""
        now = self._clock.now()
        waiting = {watched.number: watched for watched in self._schedule.due_until(now + TOGETHER)}
        since = oldest((watched.created for watched in self._schedule.followed()), sampled=self._is_sampled)
        whole = False
        try:
            whole = await self._leaf_through(None if since is None else datetime.fromtimestamp(since, UTC), waiting)
        except IceyeError as error:
            if self._patience.ends_all(error, 0, self._left):
                raise
            self._sweeps.failed(self._clock.now(), transient=error.transient, floor=floor_of(error))
        else:
            self._sweeps.ended(whole=whole)
            if whole:
                self._is_sampled = False
        finally:
            self._sweeping = False
        for watched in waiting.values() if whole else ():
            # Those of which nobody has said that they are not there wait for the next sweep, or their turn.
            if not watched.is_over and not watched.busy:
                watched.alone = True
                self._put(watched)
        self._wake(-math.inf)

    async def _leaf_through(self, since: datetime | None, waiting: dict[int, Watched]) -> bool:
        """Tell each task what the list says of it, and take it from `waiting`; whether it was seen to its end."""
        cursor: str | None = None
        seen: set[str | None] = set()
        while cursor not in seen:
            seen.add(cursor)
            self.requests += 1
            reply = await self._session.look(requests.list_tasks(created_after=since, cursor=cursor), math.inf)
            page, wall = replies.page(reply, Task), self._session.wall()
            self._patience.goods += 1
            for task in page.items:
                await self._looked_up(TaskSeen(task, wall), waiting)
            cursor = page.cursor
            if cursor is None or not waiting:
                self._sweeps.page()
                return True
            if not self._sweeps.page():
                return False
        return False

    async def _looked_up(self, heard: TaskSeen, waiting: dict[int, Watched]) -> None:
        watched = self._by_id.get(heard.task.id)
        state = None if watched is None or watched.busy else watched.state
        if watched is None or state is None or state.ask is not Ask.TASK:
            return
        was_due = waiting.pop(watched.number, None) is not None
        if not was_due and state.outlook.status == heard.task.status:
            return
        if heard.task.status in IMAGED or heard.task.status in ENDED:
            # What moves a task for good is not taken from a list: its derivatives, or the task, are asked for at once.
            watched.alone = heard.task.status in ENDED
            ask = Ask.TASK if watched.alone else Ask.DERIVATIVES
            watched.state = state._replace(ask=ask, due=self._clock.now())
            self._put(watched)
        else:
            watched.busy = True
            await self._tell(watched, state, heard)


# Those that are asked every few seconds; of a hundred thousand that wait, most are not.
_request = lru_cache(maxsize=2048)(requests.look_for_derivatives)


def _is_unchanged(watched: Watched, state: PollState, listed: bytes, status: int) -> bool:
    """Whether the listing differs from the one before it in nothing but links."""
    known = state.latest
    return type(known) is Listed and not watched.owes and known.body == listed and known.final is (status == 200)


def _packed(state: PollState, heard: Listing, body: bytes) -> PollState:
    """The state of a task with a listing, made small: thousands of them wait."""
    latest = state.latest
    if state.plain:
        latest = Listed(body, state.task_id, heard.final, latest.ready, latest.missing)
    return state._replace(latest=latest, outlook=_settled(state.outlook.status))


@lru_cache(maxsize=64)
def _settled(status: str | None) -> Outlook:
    """What counts of a task's outlook once there are listings."""
    return Outlook(status)


def _first(error: BaseException) -> BaseException:
    """What ended the workers; of several, the first."""
    return _first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error
