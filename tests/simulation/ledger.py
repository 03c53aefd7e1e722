"""What somebody has who drives a batch through crashes: every event that was handed out, and what may not be."""

from collections.abc import Mapping
from typing import Any

from iceye_async.batch import BatchEvent, BatchReport, Downloaded, Failed, Finished, Updated
from iceye_async.errors import DecodeError, IceyeError, TaskEnded
from tests.simulation.plans import BROKEN, Result


class Ledger:
    """Judges each event as it comes. `complaints` are what may never be."""

    def __init__(self) -> None:
        self.complaints: list[str] = []
        self.results: dict[str, tuple[Any, ...]] = {}
        """What each event said, by its id."""
        self.delivered: dict[tuple[str, str], str] = {}
        """In which event each derivative came."""
        self.files: dict[str, Any] = {}
        """What was told of each file, by its path."""
        self.ended: dict[str, str] = {}
        """By which event each task ended."""
        self.repeated = 0
        self._acknowledged: set[str] = set()
        self._settled: set[str] = set()
        self._this_run: set[str] = set()

    def begin(self) -> None:
        """Another run begins."""
        # What was acknowledged and not written down by now never will be.
        self._this_run, self._acknowledged = set(), set()

    def hear(self, event: BatchEvent) -> None:
        """An event was handed out."""
        says, known = _said(event), self.results.get(event.id)
        if event.id in self._this_run:
            self._complain(event, "came twice in one run")
        self._this_run.add(event.id)
        if known is not None:
            self.repeated += 1
            if event.id in self._settled:
                self._complain(event, "came again after it was acknowledged, and that was written down")
            if not event.again:
                self._complain(event, "does not say that it came before")
            if known != says:
                self._complain(event, f"says {says} and said {known} before")
            return
        self.results[event.id] = says
        self._hear_first(event)

    def _hear_first(self, event: BatchEvent) -> None:
        if event.task_id in self.ended:
            self._complain(event, f"came after {self.ended[event.task_id]}, the end of its task")
        match event:
            case Updated(update=update):
                if not update.fresh:
                    self._complain(event, "holds nothing fresh")
                for derivative in update.fresh:
                    if not derivative.assets:
                        self._complain(event, f"holds {derivative.id} without assets")
                    before = self.delivered.setdefault((event.task_id, derivative.id), event.id)
                    if before != event.id:
                        self._complain(event, f"delivers {derivative.id} which {before} delivered")
            case Downloaded(files=files):
                for file in files:
                    if str(file.path) in self.files:
                        self._complain(event, f"tells of {file.path} once more")
                    self.files[str(file.path)] = file
            case Finished() | Failed():
                self.ended[event.task_id] = event.id
            case _:
                self._complain(event, "is of no documented kind")

    @property
    def over(self) -> set[str]:
        """The tasks that have ended, but for those of which an update must be handed out once more, with links."""
        owing = {said[1] for name, said in self.results.items() if said[0] == "Updated" and not self._is_told(name)}
        return set(self.ended) - owing

    def _is_told(self, name: str) -> bool:
        """Whether an event cannot come again in this run."""
        return name in self._settled or name in self._this_run

    def acknowledge(self, event: BatchEvent) -> None:
        """The next one is asked for."""
        self._acknowledged.add(event.id)

    def settle(self) -> None:
        """What was acknowledged is written down for good."""
        self._settled |= self._acknowledged

    def judge(self, expected: Mapping[str, Result], report: BatchReport, *, whole: bool) -> None:
        """The end: all is as it must be, in the report and, where all was heard (`whole`), in what was heard."""
        assert self.complaints == []
        found = reported(report)
        wanted = {task_id: result if result.is_completed else result.end for task_id, result in expected.items()}
        assert found.keys() == wanted.keys()
        wrong = {task_id: (end, wanted[task_id]) for task_id, end in found.items() if end != wanted[task_id]}
        assert not wrong, wrong
        assert list(report.waiting) == []
        if whole:
            heard = {task_id: frozenset(one for task, one in self.delivered if task == task_id) for task_id in expected}
            assert heard == {task_id: result.derivatives for task_id, result in expected.items()}
            assert set(self.ended) == set(expected)

    def _complain(self, event: BatchEvent, why: str) -> None:
        self.complaints.append(f"{type(event).__name__} {event.id} {why}")


def reported(report: BatchReport) -> dict[str, Result | tuple[str, str]]:
    """How each task ended, and what those that were completed got."""
    completed = {
        task_id: Result(("completed", ""), frozenset(outcome.derivative_ids))
        for task_id, outcome in report.completed.items()
    }
    return completed | {task_id: _ended(error) for task_id, error in report.failed.items()}


def _ended(error: IceyeError) -> tuple[str, str]:
    if error.transient or isinstance(error, DecodeError):
        return BROKEN, ""
    return type(error).__name__, getattr(error, "status", "") if isinstance(error, TaskEnded) else ""


def _said(event: BatchEvent) -> tuple[Any, ...]:
    """What an event says, but for what may be another each time: links."""
    match event:
        case Updated(update=update):
            what: Any = frozenset((one.id, str(one.type)) for one in update.fresh)
        case Downloaded(files=files):
            what = frozenset((str(file.path), file.size, file.sha256) for file in files)
        case Finished(outcome=outcome):
            what = (outcome.types, frozenset(outcome.derivative_ids), frozenset(outcome.files), outcome.ended)
        case Failed(error=error):
            what = (_ended(error), str(error))
        case _:
            what = event
    return type(event).__name__, event.task_id, what
