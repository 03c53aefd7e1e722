"""What has arrived of the tasks of a batch, handed out and brought to the disk; and how each of them ends.

It also hands out again what an earlier run left unacknowledged, and fetches what that left unfetched.
"""

from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from attrs import evolve

from .. import events
from ..errors import DownloadError, IceyeError, PollError
from ..models import Derivative, DerivativeSet, DerivativeUpdate
from ..protocol.waiting import Listing
from ..session import Session
from .events import Downloaded, Failed, Finished, Updated
from .journal import Entry, Journal, Start
from .landing import Fetch, Landing, Order
from .outbox import Outbox, named
from .report import BatchReport
from .rows import error_facts, error_from
from .watched import Listed, Watched


class Arrivals:
    """What follows from what was heard. `over` is called with each task of which nothing more is wanted."""

    def __init__(
        self,
        session: Session,
        journal: Journal,
        start: Start,
        folder: Path | None,
        fetch: Fetch,
        report: BatchReport,
        over: Callable[[Watched], None],
    ) -> None:
        self._session = session
        self._report = report
        self._over = over
        self.outbox = Outbox(journal)
        self.landing = None if folder is None else Landing(session, folder, fetch, landed=self._landed)
        self._began = session.clock.now()
        self._folder = Path() if folder is None else folder
        self._loading: dict[int, int] = {}
        self._ending: dict[int, tuple[Watched, IceyeError | None, tuple[str, ...]]] = {}
        self._lost: dict[int, IceyeError] = {}
        self._owed: dict[int, deque[Entry]] = {}
        self._unfetched: dict[int, set[str]] = {}
        self._at_once: list[tuple[Entry, str]] = []
        self.to_repay: dict[int, str] = {}
        """Tasks that are over, of which links are needed once more to hand out what nobody acknowledged."""
        self._take_up(start)

    # --- what an earlier run left ----------------------------------------------------------------------------------

    def _take_up(self, start: Start) -> None:
        unfinished = {number for number, _ in start.tasks}
        for entry, task_id in start.unacknowledged:
            if entry.task in self._owed or entry.kind == "updated":
                # Its links are not in the journal: they come with the next listing, and what came after it then too.
                self._owed.setdefault(entry.task, deque()).append(entry)
                if entry.task not in unfinished:
                    self.to_repay[entry.task] = task_id
            else:
                self._at_once.append((entry, task_id))
        if self.landing is not None:
            for number, known in start.delivered.items():
                missing = set(known).difference(start.downloaded.get(number, ()))
                if missing and number in unfinished:
                    self._unfetched[number] = missing

    def owes(self, number: int) -> bool:
        """Whether something is to be done with the next listing of this task."""
        return number in self._owed or number in self._unfetched

    @property
    def all_redelivered(self) -> bool:
        """Whether everything was handed out again that needs no links."""
        return not self._at_once

    async def redeliver(self) -> None:
        """Hand it out."""
        for entry, task_id in self._at_once:
            await self._again(entry, task_id)
        self._at_once = []

    # --- what has arrived ------------------------------------------------------------------------------------------

    async def take(self, watched: Watched, task_id: str, heard: Listing, update: DerivativeUpdate | None) -> None:
        """Hand out, and fetch, what the listing brought."""
        number = watched.number
        if watched.owes:
            await self._repay(watched, heard, update)
            if watched.is_over:
                return
        if update is None or not update.fresh:
            return
        fresh = [[entry.id, str(entry.type)] for entry in update.fresh]
        await self.outbox.put(
            number,
            task_id,
            "updated",
            {"fresh": fresh, "ready": sorted(update.ready)},
            lambda name: Updated(task_id=task_id, id=name, update=update),
        )
        if self.landing is not None:
            await self._order(watched, update.fresh)

    async def _repay(self, watched: Watched, heard: Listing | None, update: DerivativeUpdate | None) -> None:
        """What an earlier run has left to be done once there are links."""
        watched.owes = False
        number, task_id = watched.number, watched.task_id
        there = {entry.id: entry for entry in (() if heard is None else heard.derivatives) if entry.assets}
        owed = self._owed.pop(number, deque())
        unfetched = self._unfetched.get(number, set())
        still_to_come = unfetched.difference(there)
        for entry in owed:
            await self._again(entry, task_id, there, update)
        if found := tuple(there[one] for one in unfetched if one in there):
            await self._order(watched, found)
        if still_to_come:
            self._unfetched[number] = still_to_come
            watched.owes = True
        else:
            self._unfetched.pop(number, None)
        if self.to_repay.pop(number, None) is not None:
            self._over(watched)

    async def _again(
        self,
        entry: Entry,
        task_id: str,
        there: dict[str, Derivative] | None = None,
        update: DerivativeUpdate | None = None,
    ) -> None:
        """Hand out an event of an earlier run."""
        name, body = named(task_id, entry.seq), entry.body
        if entry.kind == "updated":
            known = there or {}
            fresh = tuple(known.get(one, Derivative(id=one, type=kind, task_id=task_id)) for one, kind in body["fresh"])
            types = frozenset(entry.type for entry in fresh)
            if update is None:
                update = DerivativeUpdate(
                    derivatives=DerivativeSet(fresh, final=False),
                    fresh=fresh,
                    ready=types,
                    missing=frozenset(),
                    complete=False,
                )
            event: Updated | Downloaded | Finished | Failed = Updated(
                task_id=task_id, id=name, again=True, update=evolve(update, fresh=fresh)
            )
        elif entry.kind == "downloaded":
            files = tuple(events.Finished(**{**file, "path": self._folder / file["path"]}) for file in body["files"])
            event = Downloaded(task_id=task_id, id=name, again=True, files=files)
        elif entry.kind == "completed":
            event = Finished(task_id=task_id, id=name, again=True, report=self._report)
        else:
            event = Failed(task_id=task_id, id=name, again=True, error=error_from(body["error"]))
        await self.outbox.again(entry.seq, event)

    # --- files -----------------------------------------------------------------------------------------------------

    async def _order(self, watched: Watched, derivatives: Iterable[Derivative]) -> None:
        assert self.landing is not None  # noqa: S101 - there is a folder
        self._loading[watched.number] = self._loading.get(watched.number, 0) + 1
        await self.landing.add(Order(watched, watched.task_id, tuple(derivatives)))

    async def _landed(self, order: Order, files: tuple[events.Finished, ...], error: IceyeError | None) -> None:
        number, task_id = order.watched.number, order.task_id
        if error is not None:
            self._lost.setdefault(number, error)
        if files:
            body = {
                "derivatives": [] if error is not None else [one.id for one in order.derivatives],
                "files": [_row(file, self._folder) for file in files],
            }
            await self.outbox.put(
                number, task_id, "downloaded", body, lambda name: Downloaded(task_id=task_id, id=name, files=files)
            )
        self._loading[number] -= 1
        if self._loading[number] == 0:
            del self._loading[number]
            if (ending := self._ending.pop(number, None)) is not None:
                await self._conclude(*ending)

    # --- the end of a task -----------------------------------------------------------------------------------------

    async def end(self, watched: Watched, error: IceyeError | None, types: tuple[str, ...] = ()) -> None:
        """Nothing more is asked about it."""
        if watched.owes:
            await self._repay(watched, None, None)
            if watched.is_over:
                return
        lost = self._unfetched.pop(watched.number, None)
        if lost and error is None:
            what = f"task {watched.task_id}: {', '.join(sorted(lost))} cannot be fetched: the service lists it no more"
            error = DownloadError(what)
        if watched.number in self._loading:
            self._ending[watched.number] = (watched, error, types)
            return
        await self._conclude(watched, error, types)

    async def _conclude(self, watched: Watched, error: IceyeError | None, types: tuple[str, ...]) -> None:
        task_id, number = watched.task_id, watched.number
        lost = self._lost.pop(number, None)
        error = lost if error is None else error
        # Both by the service's clock, of which nothing was heard yet when it began.
        ended = self._session.wall()
        began = ended - (self._session.clock.now() - self._began)
        facts = {"began": began, "ended": ended, "requests": watched.requests}
        if error is None:
            body = {"types": list(types), **facts}
            await self.outbox.put(
                number, task_id, "completed", body, lambda name: Finished(task_id=task_id, id=name, report=self._report)
            )
        else:
            failure = _shown(error)
            await self.outbox.put(
                number,
                task_id,
                "failed",
                {"error": error_facts(failure), **facts},
                lambda name: Failed(task_id=task_id, id=name, error=failure),
            )
        self._over(watched)


def _shown(error: IceyeError) -> IceyeError:
    """The error as a caller gets it: `latest` in it is an update."""
    if isinstance(error, PollError) and isinstance(error.latest, Listed):
        kept = error.latest
        error.latest = DerivativeUpdate(
            derivatives=kept.derivatives, fresh=(), ready=kept.ready, missing=kept.missing, complete=False
        )
    return error


def _row(file: events.Finished, folder: Path) -> dict[str, Any]:
    """A file as the journal has it."""
    return {
        "asset": file.asset,
        "path": Path(file.path).relative_to(folder).as_posix(),
        "size": file.size,
        "sha256": file.sha256,
        "known": file.known,
        "verified": file.verified,
    }
