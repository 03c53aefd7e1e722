"""What has become of the tasks of a batch, read from its journal when it is looked at."""

import os
from collections.abc import Callable, Collection, ItemsView, Iterator, Mapping, ValuesView
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import frozen

from ..errors import IceyeError
from . import printing, saving
from .history import TaskRecord, error_of, numbers, one, pages, reading, sayable, time_of

if TYPE_CHECKING:
    from .journal import Journal
    from .place import Place

V = TypeVar("V", covariant=True)

_PAGE = 500
"""Tasks that are read at once."""


@frozen(kw_only=True)
class BatchOutcome:
    """What was wanted of a task is there.

    `began` and `requests` (about this task alone) are those of the run that ended it.
    """

    types: frozenset[str]
    derivative_ids: tuple[str, ...]
    files: tuple[Path, ...]
    began: datetime
    ended: datetime
    requests: int


class BatchReport:
    """What has become of the tasks of a batch, those of earlier runs over its journal included.

    It is read from the journal when it is looked at, which takes milliseconds, also in the event loop; so it is up to
    date while the batch goes on. Printed it is a table. Whatever reads it raises `JournalError` where the journal is
    gone or damaged.
    """

    __slots__ = ("_place",)

    def __init__(self, journal: "Journal | None" = None) -> None:
        # Not the journal itself: one that nobody drives any more can go, while its file is read.
        self._place = None if journal is None else journal.place

    @classmethod
    def read(cls, journal: str | os.PathLike[str]) -> "BatchReport":
        """The report of a journal, also while a batch is driven over it, in this process or another.

        Raises `JournalError` where there is none.
        """
        from .database import found

        report = cls()
        report._place = found(Path(journal))
        return report

    @property
    def running(self) -> bool:
        """Whether a batch is being driven over its journal right now, in whatever process of this machine."""
        return self._is_driven() is True

    @property
    def completed(self) -> Mapping[str, BatchOutcome]:
        """By task id, what has arrived of those that got all that was wanted."""
        return _Tasks(self._place, "completed", _outcome)

    @property
    def failed(self) -> Mapping[str, IceyeError]:
        """By task id, why no more will come of it: an error of the same class, with the same message and facts."""
        return _Tasks(self._place, "failed", error_of)

    @property
    def waiting(self) -> Collection[str]:
        """The ids of the tasks that are not over."""
        return _Ids(self._place, None)

    @property
    def requests(self) -> int:
        """The looks of the batch, of all its runs, those at many tasks at once included.

        Of a run that was killed those since its last event are not among them.
        """
        if self._place is None:
            return 0
        with reading(self._place) as connection:
            return int(connection.execute("SELECT value FROM meta WHERE key = 'requests'").fetchone()[0])

    def save(self, path: str | Path) -> None:
        """Write a row for each task to a .json, .csv or .parquet file, whole or not at all.

        Times are in UTC. In CSV several values in one cell are separated by `;`. Parquet needs pandas and pyarrow
        (`MissingExtra`), and has all rows in memory.
        """
        saving.save(self, Path(path))

    def __repr__(self) -> str:
        try:
            counts = self._counts()
        except IceyeError:
            return "<BatchReport: its journal cannot be read>"
        return f"<BatchReport: {', '.join(f'{count:,} {word}' for word, count in counts.items())}>"

    def __str__(self) -> str:
        return printing.text(self._counts(), self.requests, self._first())

    def _repr_html_(self) -> str:
        try:
            counts = self._counts()
            stopped = counts["waiting"] > 0 and self._is_driven() is False
            return printing.card(counts, self.requests, self._first(), stopped=stopped)
        except IceyeError:
            return printing.unreadable(self)

    def _is_driven(self) -> bool | None:
        """None where that is for another machine to know."""
        from .lockfile import holder_lives

        if self._place is None:
            return False
        with reading(self._place) as connection:
            opened = connection.execute("SELECT value FROM meta WHERE key = 'open'").fetchone()
        # It says so of a run that was killed, too.
        return holder_lives(self._place.lock) if opened is not None and opened[0] == "1" else False

    def _counts(self) -> dict[str, int]:
        found: dict[str | None, int] = {}
        if self._place is not None:
            with reading(self._place) as connection:
                found = dict(connection.execute("SELECT outcome, COUNT(*) FROM tasks GROUP BY outcome").fetchall())
        return {
            "completed": found.get("completed", 0),
            "failed": found.get("failed", 0),
            "waiting": found.get(None, 0),
        }

    def _first(self) -> list[TaskRecord]:
        """As many as are told of: those that failed before those that are under way."""
        outcomes = ("failed", None, "completed")
        first = [entry for outcome in outcomes for entry in next(pages(self._place, outcome, printing.SHOWN), [])]
        return first[: printing.SHOWN]

    def rows(self) -> Iterator[dict[str, Any]]:
        """Each task as a flat dict of plain values, times aware: what `save` writes."""
        for outcome in ("completed", "failed", None):
            for page in pages(self._place, outcome, _PAGE):
                yield from map(saving.flat, page)


# --- collections -----------------------------------------------------------------------------------------------------


class _Tasks(Mapping[str, V]):
    """The tasks with one outcome, by their ids."""

    __slots__ = ("_make", "_outcome", "_place")

    def __init__(self, place: "Place | None", outcome: str, make: "Callable[[TaskRecord], V]") -> None:
        self._place, self._outcome, self._make = place, outcome, make

    def __getitem__(self, task_id: str) -> V:
        task = one(self._place, task_id)
        if task is None or task.outcome != self._outcome:
            raise KeyError(task_id)
        return self._make(task)

    def __contains__(self, task_id: object) -> bool:
        return task_id in _Ids(self._place, self._outcome)

    def __iter__(self) -> Iterator[str]:
        return iter(_Ids(self._place, self._outcome))

    def __len__(self) -> int:
        return len(_Ids(self._place, self._outcome))

    def __repr__(self) -> str:
        return f"<{len(self)} {self._outcome} tasks, by id>"

    def items(self) -> ItemsView[str, V]:
        return _Items(self)

    def values(self) -> ValuesView[V]:
        return _Values(self)

    def pairs(self) -> Iterator[tuple[str, V]]:
        """Many at a time."""
        for page in pages(self._place, self._outcome, _PAGE):
            for task in page:
                yield task.id, self._make(task)


class _Items(ItemsView[str, V]):
    _mapping: _Tasks[V]

    def __iter__(self) -> Iterator[tuple[str, V]]:
        return self._mapping.pairs()


class _Values(ValuesView[V]):
    _mapping: _Tasks[V]

    def __iter__(self) -> Iterator[V]:
        return (value for _, value in self._mapping.pairs())


class _Ids(Collection[str]):
    """The ids of the tasks with one outcome."""

    __slots__ = ("_outcome", "_place")

    def __init__(self, place: "Place | None", outcome: str | None) -> None:
        self._place, self._outcome = place, outcome

    def __contains__(self, task_id: object) -> bool:
        if self._place is None or not isinstance(task_id, str):
            return False
        with reading(self._place) as connection:
            row = connection.execute("SELECT outcome FROM tasks WHERE id = ?", (sayable(task_id),)).fetchone()
        return row is not None and row[0] == self._outcome

    def __iter__(self) -> Iterator[str]:
        last = 0
        while rows := self._after(last):
            last = rows[-1][0]
            yield from (task_id for _, task_id in rows)

    def __len__(self) -> int:
        if self._place is None:
            return 0
        with reading(self._place) as connection:
            counted = "SELECT COUNT(*) FROM tasks WHERE outcome IS ?"
            return int(connection.execute(counted, (self._outcome,)).fetchone()[0])

    def __repr__(self) -> str:
        return f"<the ids of {len(self)} tasks>"

    def _after(self, last: int) -> list[tuple[int, str]]:
        if self._place is None:
            return []
        with reading(self._place) as connection:
            return numbers(connection, self._outcome, last, _PAGE * 10)


def _outcome(task: TaskRecord) -> BatchOutcome:
    return BatchOutcome(
        types=frozenset(task.end["types"]),
        derivative_ids=task.derivatives,
        files=task.files,
        began=time_of(task.end["began"]),
        ended=time_of(task.end["ended"]),
        requests=task.end["requests"],
    )
