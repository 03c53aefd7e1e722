"""`client.download()`: the plan of a download, its files carried by threads, and their events for whoever drives it.

Nothing happens unless it is driven: between two steps its threads rest. Left alone for some seconds, dropped, closed or
cancelled, they let go of their connections and keep what can be gone on with.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from attrs import define

from ..errors import DecodeError, DownloadError, IceyeError, NotFound, StateError, UsageError
from ..events import DownloadEvent, Failed, Finished
from ..pending import Pending
from ..protocol import requests
from ..protocol.retrying import RetryPolicy
from ..resources import Derivatives, Products, Tasks
from ..session import Session
from . import plan
from .carrier import Carrier
from .crew import Crew, Threads
from .http import IDLE, Links
from .manifest import Manifest
from .meters import Tally
from .part import PartFile
from .plan import Downloadable, Item, Wish
from .renewal import Renewals
from .store import StoredPart, is_store
from .transfer import Target

if TYPE_CHECKING:
    from obstore.store import ObjectStore

Place = TypeVar("Place", Path, str)

_PATIENCE = 2.0
"""Seconds that a cancelled step waits for its threads to let go. Only a name that is being resolved takes longer."""


class Shared:
    """What the downloads of one client share."""

    def __init__(self, session: Session, policy: RetryPolicy) -> None:
        self._session = session
        self.policy = policy
        self.threads = Threads()
        self.links = Links(session)

    def sweep_later(self) -> None:
        """No connection is kept for longer than it should be, also where nothing more is fetched."""
        asyncio.get_running_loop().call_later(IDLE + 1, self.links.sweep)

    async def close(self) -> None:
        """End all threads, and close what is kept open; but in a process that was forked, what is its parent's."""
        if not self._session.here:
            return
        await self.threads.close()
        self.links.close()


@define(eq=False)
class _Job:
    """A file that is wanted. `twin` is another one that is fetched from the same place, and only once."""

    wish: Wish
    twin: "_Job | None" = None
    whole: Finished | None = None
    failed: bool = False


class Download(Pending[tuple[Place, ...], DownloadEvent], Generic[Place]):
    """Files on their way; see `Client.download`."""

    def __init__(
        self,
        session: Session,
        shared: Shared,
        thing: Downloadable,
        to: "Path | ObjectStore",
        words: tuple[str, ...] | None,
        *,
        overwrite: bool,
    ) -> None:
        self._crew: Crew | None = None
        self._leaving: Crew | None = None
        self._waiting: deque[_Job] | None = None
        self._carried: dict[Carrier, _Job] = {}
        self._told: deque[DownloadEvent] = deque()
        self._session, self._shared = session, shared
        self._to, self._words, self._overwrite = to, words, overwrite
        self._place = str(to) if isinstance(to, Path) else type(to).__name__
        self._total = 0
        self._jobs: list[_Job] = []
        self._failed: dict[str, IceyeError] = {}
        self._end: Exception | None = None
        self._target: Callable[[Wish, Crew], Target]
        if is_store(to):
            self._target = partial(_stored, to, overwrite=overwrite)
        else:
            self._target = partial(_in_folder, Manifest(cast("Path", to)), overwrite=overwrite)
        session.check()
        if isinstance(thing, str):
            requests.get_task(thing)
            self._thing: str | tuple[Item, ...] = thing
        else:
            self._thing = plan.items(thing)
            plan.chosen(plan.wishes(self._thing), words)
        super().__init__()

    def __repr__(self) -> str:
        left = "nothing asked yet" if self._waiting is None else f"{len(self.latest)} of {self._total} files"
        return f"<download to {self._place!r}: {self._left(left)}>"

    @property
    def latest(self) -> tuple[Finished, ...]:
        """A `Finished` for each file that is whole, in the order in which they were asked for."""
        return tuple(job.whole for job in self._jobs if job.whole is not None)

    def close(self) -> None:
        """Stop: let go of the connections, and keep what a later download can go on with. Whole files stay."""
        super().close()
        self._abandon()

    def _abandon(self) -> None:
        if self._crew is not None and self._session.here:
            self._crew.stop()

    def client_closed(self) -> None:
        """Let go of what is open."""
        self._abandon()

    def _result(self) -> tuple[Place, ...]:
        return tuple(cast("Place", event.path) for event in self.latest)

    # --- one step ----------------------------------------------------------------------------------------------------

    async def _step(self) -> DownloadEvent:
        if self._end is not None:
            raise self._end.with_traceback(None)
        self._session.open()
        await self._plan()
        event = self._told.popleft() if self._told else await self._next()
        if event is None:
            self._end = self._over()
            raise self._end
        if self._session.listener is not None:
            self._session.listener.tell(event)
        return event

    async def _plan(self) -> None:
        if self._waiting is not None:
            return
        found = plan.wishes(await self._items())
        try:
            wishes = plan.chosen(found, self._words)
        except UsageError as error:
            # Only now it is known what there is; it need not be asked for again to say the same.
            self._end = error
            raise
        jobs: dict[tuple[str, str, str], _Job] = {}
        self._waiting = deque()
        for wish in wishes:
            job = _Job(wish, twin=jobs.get(wish.source))
            jobs.setdefault(wish.source, job)
            self._waiting.append(job)
        self._jobs = list(self._waiting)
        self._total = len(wishes)
        self._tally = Tally(len(wishes))
        self._renewals = Renewals(self._session)

    async def _next(self) -> DownloadEvent | None:
        """The next event, or None after the last. Whatever interrupts it stops all threads, and waits for that."""
        if self._crew is not None and self._crew.is_stopped:
            # Closed from outside, and driven again.
            await self._interrupted(self._crew)
        crew = self._working()
        rested = False
        try:
            if self._leaving is not None:
                await self._leaving.gone()
                self._leaving = None
            while (event := self._heard(crew)) is None:
                self._send(crew)
                crew.drive()
                if not self._carried and not self._waiting:
                    rested = True
                    self._shared.sweep_later()
                    return None
                with self._session.stay():
                    await crew.wait()
                if crew.is_stopped:
                    raise StateError(f"{self!r} was closed meanwhile; await it again to go on")
        except GeneratorExit:
            # Closed by hand, where nothing can be awaited any more.
            rested = True
            self._crew, self._leaving = None, crew
            crew.stop()
            self._requeue(crew)
            raise
        else:
            rested = True
            return event
        finally:
            self._shared.threads.withdraw(crew)
            if not rested:
                await self._interrupted(crew)

    def _working(self) -> Crew:
        self._shared.threads.check()
        if self._crew is None:
            self._crew = Crew(self._session, self._shared.threads)
        return self._crew

    def _send(self, crew: Crew) -> None:
        """Start what may be started."""
        assert self._waiting is not None  # noqa: S101 - it is planned
        for job in list(self._waiting):
            if job.twin is not None and job.twin.whole is None and not job.twin.failed:
                continue
            if not self._shared.threads.take(crew, wait=True):
                return
            self._waiting.remove(job)
            carrier = Carrier(
                job.wish,
                self._target(job.wish, crew),
                crew=crew,
                links=self._shared.links,
                renewals=self._renewals,
                policy=self._shared.policy,
                tally=self._tally,
                twin=None if job.twin is None else job.twin.whole,
            )
            self._carried[carrier] = job
            self._start(crew, carrier)
        self._shared.threads.pass_on()

    def _start(self, crew: Crew, carrier: Carrier) -> None:
        try:
            self._shared.threads.start(crew, carrier.run)
        except RuntimeError:
            self._again(self._carried.pop(carrier))
            failure = DownloadError("the system gives this process no more threads; close some, and download again")
        else:
            return
        raise failure

    def _heard(self, crew: Crew) -> DownloadEvent | None:
        """The next event that the threads have told."""
        while (told := crew.next()) is not None:
            event = told.event
            if event is None:
                # It was left alone for too long: it goes on where it was.
                self._again(self._carried.pop(told.job))
            elif isinstance(event, BaseException):
                self._again(self._carried.pop(told.job))
                raise event
            else:
                if isinstance(event, Finished | Failed):
                    self._ended(self._carried.pop(told.job), event)
                return event
        return None

    def _again(self, job: _Job) -> None:
        assert self._waiting is not None  # noqa: S101 - it is planned
        self._waiting.appendleft(job)

    def _ended(self, job: _Job, event: Finished | Failed) -> None:
        if isinstance(event, Finished):
            job.whole = event
        else:
            job.failed = True
            self._failed[job.wish.asset] = event.error

    async def _interrupted(self, crew: Crew) -> None:
        """Stop the threads, and keep what they had to say."""
        self._crew, self._leaving = None, crew
        await crew.let_go(_PATIENCE)
        self._requeue(crew)

    def _requeue(self, crew: Crew) -> None:
        """What is not over is to be done again."""
        while (told := crew.next()) is not None:
            if isinstance(told.event, Finished | Failed):
                self._ended(self._carried.pop(told.job), told.event)
                self._told.append(told.event)
        for job in self._carried.values():
            self._again(job)
        self._carried.clear()

    # --- the beginning and the end -----------------------------------------------------------------------------------

    def _over(self) -> Exception:
        if not self._failed:
            return StopAsyncIteration()
        first = next(iter(self._failed.values()))
        if self._total == len(self._failed) == 1 and not self.latest:
            return first
        lost = len([job for job in self._jobs if job.failed])
        what = f"{lost} of {self._total} files did not arrive" if lost else "not everything on the lists could be read"
        message = f"{what}; the first: {first}"
        return DownloadError(message, done=self._result(), failed=self._failed)

    async def _items(self) -> tuple[Item, ...]:
        if not isinstance(self._thing, str):
            return self._thing
        found: list[Item] = []
        absent: list[NotFound] = []
        products = Products(self._session).list(self._thing)
        try:
            found += await products
        except NotFound as error:
            absent.append(error)
        except DecodeError as error:
            # One that cannot be read does not stop the others, and is among what failed.
            found += products.latest
            self._failed["products"] = error
        try:
            found += await Derivatives(self._session).get(self._thing)
        except NotFound as error:
            absent.append(error)
        except DecodeError as error:
            found += error.latest or ()
            self._failed["derivatives"] = error
        if len(absent) == 2:
            # A wrong id, or nothing there yet: the task tells which.
            await Tasks(self._session).get(self._thing)
            raise absent[0]
        return tuple(found)


def _in_folder(manifest: Manifest, wish: Wish, crew: Crew, *, overwrite: bool) -> Target:
    return PartFile(manifest, wish, crew, overwrite=overwrite)


def _stored(store: Any, wish: Wish, crew: Crew, *, overwrite: bool) -> Target:
    return StoredPart(store, wish, crew, overwrite=overwrite)
