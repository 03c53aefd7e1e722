"""`client.await_batch()`: a batch as something that is awaited or iterated, and its work, which goes on beside that."""

import asyncio
import hashlib
from collections.abc import Iterable
from pathlib import Path
from weakref import WeakSet

from ..auth import ClientCredentials
from ..display import markup
from ..display.livecard import Lasting
from ..display.waitcard import IDLE
from ..errors import StateError, UsageError
from ..pending import Pending
from ..protocol import requests
from ..protocol.waiting import PollPolicy
from ..session import Session
from .engine import Engine, Wanted
from .events import BatchEvent
from .journal import Journal, Setup
from .landing import Fetch
from .report import BatchReport
from .work import Work

_AT_WORK: "WeakSet[Batch]" = WeakSet()
_SHOWN = 5
"""Rows that are named where ids are refused."""


class Batch(Pending[BatchReport, BatchEvent], Lasting):
    """Many tasks at once; see `Client.await_batch`."""

    def __init__(
        self,
        session: Session,
        task_ids: tuple[str, ...] | None,
        setup: Setup,
        journal: Path | None,
        policy: PollPolicy,
        fetch: Fetch,
    ) -> None:
        self._session = session
        self._task_ids = task_ids
        self._setup = setup
        self._named = journal
        self._policy = policy
        self._fetch = fetch
        self._report: BatchReport | None = None
        self._work: Work | None = None
        self._handed: int | None = None
        self._end: Exception | None = None
        session.check()
        super().__init__()

    def __repr__(self) -> str:
        if self._work is not None:
            return f"<batch: {self._work}>"
        if self._report is None:
            return f"<batch: {self._left('nothing asked yet')}>"
        return f"<batch, {'stopped' if self._end is None else 'over'}: {self._report!r}>"

    def _repr_html_(self) -> str:
        if self._report is None and self._end is None:
            count = "" if self._task_ids is None else f"<b>{len(self._task_ids):,} tasks</b> &nbsp;"
            return markup.card(count + markup.mark("❚❚", markup.AMBER, IDLE))
        return self.latest._repr_html_()

    @property
    def over(self) -> bool:
        """Whether it has come to its end, good or bad."""
        return self._end is not None or self._session.is_closed

    @property
    def latest(self) -> BatchReport:
        """What has become of the tasks so far, as the journal has it."""
        return BatchReport() if self._report is None else self._report

    def _result(self) -> BatchReport:
        return self.latest

    async def _drive(self) -> BatchReport:
        try:
            return await super()._drive()
        except asyncio.CancelledError:
            if self._named is not None:
                # Nobody may have it any more to drive it on, but the traceback: its journal is free for the next.
                await self.stop()
            raise

    # --- one step --------------------------------------------------------------------------------------------------

    async def _step(self) -> BatchEvent:
        if self._end is not None:
            raise self._end.with_traceback(None)
        self._session.open()
        work = await self._working()
        if self._handed is not None:
            work.journal.acknowledge(self._handed)
            self._handed = None
        work.driver = asyncio.current_task()
        try:
            sent = await work.engine.next()
        except Exception as error:
            if not isinstance(error, StateError):
                self._end = error
            await self.stop()
            self._settle()
            raise
        if sent is None:
            self._end = StopAsyncIteration()
            await self.stop()
            self._settle()
            raise self._end
        self._handed = sent.seq
        return sent.event

    async def _working(self) -> Work:
        """The work, begun where it was not, or was stopped from outside."""
        if self._work is not None and self._work.is_over:
            await self.stop()
        if self._work is None:
            await self._take_over()
            journal = Journal(self._named)
            try:
                self._work = await self._begun(journal)
            finally:
                if self._work is None:
                    journal.abandon()
            _AT_WORK.add(self)
        return self._work

    async def _begun(self, journal: Journal) -> Work:
        start = await journal.open(self._setup, self._task_ids, given=self._task_ids is not None)
        if self._task_ids is not None:
            # The caller's own strings, where it may hold them anyway, and not those of the file.
            own = {one: one for one in self._task_ids}
            start.tasks[:] = [(number, own.get(one, one)) for number, one in start.tasks]
        self._report = BatchReport(journal)
        folder = None if start.setup.to is None else Path(start.setup.to)
        wanted = Wanted(start.setup.types, self._policy, folder)
        engine = Engine(self._session, journal, start, wanted, self._fetch, self._report)
        return Work(engine, journal, self._named)

    async def _take_over(self) -> None:
        """End a batch over the same journal that was left where it was cancelled, so that this one goes on with it."""
        for batch in list(_AT_WORK):
            if self._named is not None and batch.is_left_over(self._named):
                await batch.stop()

    def is_left_over(self, journal: Path) -> bool:
        """Whether it holds this journal, and nobody drives it since it was cancelled."""
        return self._named == journal and not self._busy and self._work is not None and self._work.is_left

    # --- stopping --------------------------------------------------------------------------------------------------

    async def stop(self) -> None:
        """End the work, with everything in the journal that was heard."""
        work, self._work, self._handed = self._work, None, None
        if work is not None:
            await work.stop()

    def close(self) -> None:
        """Stop: what was heard is in the journal, and what was not dealt with comes again."""
        super().close()
        self._abandon()

    def _abandon(self) -> None:
        work, self._work, self._handed = self._work, None, None
        if work is not None and self._session.here:
            work.abandon()


def unique_ids(given: Iterable[str]) -> tuple[str, ...]:
    """The ids of tasks, each once, in the order given. Raises `UsageError` with the rows of those that are none."""
    if isinstance(given, str):
        given = (given,)
    if not isinstance(given, Iterable):
        raise UsageError(f"task_ids are ids of tasks, not {type(given).__name__}")
    found: dict[str, None] = {}
    refused: list[str] = []
    rows = 0
    for row, one in enumerate(given, 1):
        rows = row
        if (why := _flaw(one)) is None:
            found[one] = None
        else:
            refused.append(f"row {row}: {why}")
    if refused:
        more = f"; and {len(refused) - _SHOWN} more" if len(refused) > _SHOWN else ""
        raise UsageError(f"{len(refused)} of {rows} task ids cannot be: {'; '.join(refused[:_SHOWN])}{more}")
    return tuple(found)


def _flaw(given: object) -> str | None:
    try:
        task_id = requests.checked_id(given)
    except UsageError as error:
        return str(error)
    return f"{task_id[:40]!r} has white space around it" if task_id != task_id.strip() else None


def account_of(source: object) -> str | None:
    """What tells one set of credentials from another, and is none of them; None where nothing does."""
    if not isinstance(source, ClientCredentials):
        return None
    return hashlib.sha256(source.client_id.encode()).hexdigest()[:16]
