"""What has become of the tasks of a batch, read from its journal when it is looked at."""

import contextlib
import errno
import importlib
import json
import os
from collections.abc import Callable, Collection, ItemsView, Iterator, Mapping, ValuesView
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO, TypeVar

from attrs import frozen

from ..display import markup
from ..display.text import duration, harmless, in_words
from ..errors import DiskFull, IceyeError, MissingExtra, UsageError
from .rows import Setup, error_from

if TYPE_CHECKING:
    from sqlite3 import Connection

    from .journal import Journal
    from .place import Place

V = TypeVar("V", covariant=True)

_PAGE = 500
"""Tasks that are read at once. Whoever goes through a report never keeps the journal from being written."""
_SHOWN = 40
"""Tasks that are printed."""
_COLUMNS = (
    "task_id",
    "outcome",
    "types",
    "derivative_ids",
    "files",
    "began",
    "ended",
    "requests",
    "error",
    "message",
)
_HEAD = ("task", "outcome", "derivatives", "files", "took", "requests", "what")
_NUMBERS = ("derivatives", "files", "took", "requests")
_SIGNS = {
    "completed": ("✓", markup.GREEN),
    "failed": ("✗", markup.RED),
    "waiting": ("○", markup.AMBER),
}
_LONGEST = 48
_LONGEST_WORDS = 70
_LONGEST_REASON = 200


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
        from .lockfile import holder_lives

        if self._place is None:
            return False
        with reading(self._place) as connection:
            opened = connection.execute("SELECT value FROM meta WHERE key = 'open'").fetchone()
        # It says so of a run that was killed, too.
        return opened is not None and opened[0] == "1" and holder_lives(self._place.lock)

    @property
    def completed(self) -> Mapping[str, BatchOutcome]:
        """By task id, what has arrived of those that got all that was wanted."""
        return _Tasks(self._place, "completed", _outcome)

    @property
    def failed(self) -> Mapping[str, IceyeError]:
        """By task id, why no more will come of it: an error of the same class, with the same message and facts."""
        return _Tasks(self._place, "failed", _error)

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
        path = Path(path)
        write = _WRITERS.get(path.suffix.lower())
        if write is None:
            raise UsageError(f"{path}: a report is saved as .json, .csv or .parquet, by the suffix of the name")
        try:
            _whole(path, lambda part: write(self, part))
        except OSError as error:
            failure = _not_written(path, error)
        else:
            return
        raise failure

    def __repr__(self) -> str:
        try:
            counts = self._counts()
        except IceyeError:
            return "<BatchReport: its journal cannot be read>"
        return f"<BatchReport: {', '.join(f'{count:,} {word}' for word, count in counts.items())}>"

    def __str__(self) -> str:
        counts = self._counts()
        total = sum(counts.values())
        told = ", ".join(f"{count:,} {word}" for word, count in counts.items())
        head = f"{total:,} task{'' if total == 1 else 's'}: {told}; {_requests(self.requests)}"
        shown = [task for outcome in ("failed", None, "completed") for task in self._first(outcome)][:_SHOWN]
        lines = [head, *_table([_cells(task) for task in shown])] if shown else [head]
        return "\n".join([*lines, f"... and {total - len(shown):,} more"] if total > len(shown) else lines)

    def _repr_html_(self) -> str:
        try:
            counts, requests = self._counts(), self.requests
            shown = [_card_row(task) for outcome in ("failed", None, "completed") for task in self._first(outcome)]
            left = counts["waiting"] > 0 and not self.running
        except IceyeError:
            return markup.card(markup.said(repr(self)))
        total = sum(counts.values())
        told = " &nbsp; ".join(
            markup.mark(*_SIGNS[word], f"{count:,} {word}") for word, count in counts.items() if count
        )
        if left:
            told += f" &nbsp; {markup.mark('■', markup.AMBER, 'stopped')}"
        title = f"<b>{total:,} task{'' if total == 1 else 's'}</b> &nbsp;{told}"
        asked = markup.faint(_requests(requests))
        return markup.card(f"{title} &nbsp;{asked}", markup.table(_HEAD, shown, total=total, right=_NUMBERS))

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

    def _first(self, outcome: str | None) -> "list[_Task]":
        return next(_pages(self._place, outcome, _SHOWN), [])

    def rows(self) -> Iterator[dict[str, Any]]:
        """Each task as a flat dict of plain values, times aware: what `save` writes."""
        for outcome in ("completed", "failed", None):
            for page in _pages(self._place, outcome, _PAGE):
                yield from map(_flat, page)


# --- collections -----------------------------------------------------------------------------------------------------


class _Tasks(Mapping[str, V]):
    """The tasks with one outcome, by their ids."""

    __slots__ = ("_make", "_outcome", "_place")

    def __init__(self, place: "Place | None", outcome: str, make: "Callable[[_Task], V]") -> None:
        self._place, self._outcome, self._make = place, outcome, make

    def __getitem__(self, task_id: str) -> V:
        task = _one(self._place, task_id)
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
        for page in _pages(self._place, self._outcome, _PAGE):
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
            row = connection.execute("SELECT outcome FROM tasks WHERE id = ?", (_sayable(task_id),)).fetchone()
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
            return _numbers(connection, self._outcome, last, _PAGE * 10)


# --- reading ---------------------------------------------------------------------------------------------------------


class _Task(NamedTuple):
    """What the journal holds of one task."""

    id: str
    outcome: str | None
    end: dict[str, Any]
    types: tuple[str, ...]
    derivatives: tuple[str, ...]
    files: tuple[Path, ...]


def reading(place: "Place") -> "contextlib.AbstractContextManager[Connection]":
    """The journal's file, open. SQLite is loaded by whoever has a batch, and by nobody else."""
    from .database import reading

    return reading(place)


def _one(place: "Place | None", task_id: str) -> _Task | None:
    if place is None or not isinstance(task_id, str):
        return None
    with reading(place) as connection:
        found = "SELECT number, id, outcome FROM tasks WHERE id = ?"
        row = connection.execute(found, (_sayable(task_id),)).fetchone()
        return None if row is None else _tasks(connection, [row[:2]], row[2])[0]


def _pages(place: "Place | None", outcome: str | None, size: int) -> Iterator[list[_Task]]:
    last = 0
    while place is not None:
        with reading(place) as connection:
            numbers = _numbers(connection, outcome, last, size)
            tasks = _tasks(connection, numbers, outcome)
        if not tasks:
            return
        last = numbers[-1][0]
        yield tasks


def _numbers(connection: "Connection", outcome: str | None, last: int, size: int) -> list[tuple[int, str]]:
    query = "SELECT number, id FROM tasks WHERE outcome IS ? AND number > ? ORDER BY number LIMIT ?"
    return connection.execute(query, (outcome, last, size)).fetchall()


def _tasks(connection: "Connection", numbers: list[tuple[int, str]], outcome: str | None) -> list[_Task]:
    ends: dict[int, dict[str, Any]] = {}
    derivatives: dict[int, dict[str, str]] = {number: {} for number, _ in numbers}
    files: dict[int, dict[Path, None]] = {number: {} for number, _ in numbers}
    root = Path(_root(connection) or "")
    places = ",".join("?" * len(numbers))
    query = f"SELECT task, kind, body FROM events WHERE task IN ({places}) ORDER BY seq"  # noqa: S608 - question marks
    for task, kind, text in connection.execute(query, [number for number, _ in numbers]):
        body = json.loads(text)
        if kind == "updated":
            derivatives[task].update(body["fresh"])
        elif kind == "downloaded":
            files[task].update(dict.fromkeys(root / file["path"] for file in body["files"]))
        else:
            ends[task] = body
    return [
        _Task(
            task_id,
            outcome,
            ends.get(number, {}),
            tuple(sorted(set(derivatives[number].values()))),
            tuple(derivatives[number]),
            tuple(files[number]),
        )
        for number, task_id in numbers
    ]


def _root(connection: "Connection") -> str | None:
    return Setup.from_json(connection.execute("SELECT value FROM meta WHERE key = 'setup'").fetchone()[0]).to


def _sayable(task_id: str) -> str:
    """The id as SQLite can be asked for it; what cannot be an id is nobody's."""
    return task_id.encode("utf-8", "replace").decode()


def _outcome(task: _Task) -> BatchOutcome:
    return BatchOutcome(
        types=frozenset(task.end["types"]),
        derivative_ids=task.derivatives,
        files=task.files,
        began=_time(task.end["began"]),
        ended=_time(task.end["ended"]),
        requests=task.end["requests"],
    )


def _error(task: _Task) -> IceyeError:
    return error_from(task.end["error"])


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


# --- printing --------------------------------------------------------------------------------------------------------


def _cells(task: _Task) -> tuple[str, ...]:
    took = "" if not task.end else duration(max(0.0, task.end["ended"] - task.end["began"]))
    asked = "" if not task.end else f"{task.end['requests']:,}"
    error = task.end.get("error")
    what = ", ".join(task.end.get("types", task.types)) if error is None else f"{error['class']}: {error['message']}"
    return (
        _short(task.id, _LONGEST),
        task.outcome or "waiting",
        f"{len(task.derivatives):,}",
        f"{len(task.files):,}",
        took,
        asked,
        _short(what, _LONGEST_WORDS),
    )


def _table(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[column]) for row in [_HEAD, *rows]) for column in range(len(_HEAD))]
    return [
        "  ".join(
            cell.rjust(width) if name in _NUMBERS else cell.ljust(width)
            for name, cell, width in zip(_HEAD, row, widths, strict=True)
        ).rstrip()
        for row in [_HEAD, *rows]
    ]


def _requests(count: int) -> str:
    return f"{count:,} request{'' if count == 1 else 's'}"


def _card_row(task: _Task) -> list[str]:
    """The same as HTML."""
    task_id, outcome, *told, what = _cells(task)
    if "error" in task.end:
        what = f"{task.end['error']['class']}: {in_words(_error(task))}"
    return [
        markup.code(task_id),
        markup.mark(*_SIGNS[outcome], outcome),
        *map(markup.said, told),
        markup.said(what, _LONGEST_REASON),
    ]


def _short(text: str, longest: int) -> str:
    text = harmless(text)
    return text if len(text) <= longest else f"{text[: longest - 3]}..."


# --- saving ----------------------------------------------------------------------------------------------------------


def _flat(task: _Task) -> dict[str, Any]:
    """A task as one row, of plain values."""
    error = task.end.get("error")
    values = (
        task.id,
        task.outcome or "waiting",
        task.end.get("types", list(task.types)),
        list(task.derivatives),
        [str(file) for file in task.files],
        _time(task.end["began"]) if task.end else None,
        _time(task.end["ended"]) if task.end else None,
        task.end.get("requests"),
        None if error is None else error["class"],
        None if error is None else error["message"],
    )
    return dict(zip(_COLUMNS, values, strict=True))


def _write_json(report: BatchReport, path: Path) -> None:
    with _text(path) as file:
        file.write(f'{{"requests": {report.requests}, "tasks": [')
        separator = "\n"
        for row in report.rows():
            file.write(separator + json.dumps(row, default=_iso))
            separator = ",\n"
        file.write("\n]}\n")


def _write_csv(report: BatchReport, path: Path) -> None:
    import csv

    with _text(path) as file:
        writer = csv.writer(file)
        writer.writerow(_COLUMNS)
        for row in report.rows():
            writer.writerow([_cell(value) for value in row.values()])


def _write_parquet(report: BatchReport, path: Path) -> None:
    try:
        pandas = importlib.import_module("pandas")
        importlib.import_module("pyarrow")
    except ImportError:
        raise MissingExtra("a report as .parquet needs pandas and pyarrow: pip install pandas pyarrow") from None
    rows = list(report.rows())
    pandas.DataFrame(rows, columns=list(_COLUMNS)).to_parquet(path, index=False)


_WRITERS: dict[str, Callable[[BatchReport, Path], None]] = {
    ".json": _write_json,
    ".csv": _write_csv,
    ".parquet": _write_parquet,
}


def _text(path: Path) -> TextIO:
    return path.open("w", encoding="utf-8", newline="")


def _iso(time: datetime) -> str:
    return time.isoformat()


def _cell(value: Any) -> Any:
    if isinstance(value, list):
        return ";".join(value)
    return _iso(value) if isinstance(value, datetime) else value


def _whole(path: Path, write: Callable[[Path], None]) -> None:
    """Have the file written under another name, and give it its own when it is whole."""
    part = path.with_name(f".{path.name[:100]}.part")
    part.unlink(missing_ok=True)
    # Made here and now, so that nothing else that has the name is written to.
    os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    try:
        write(part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _not_written(path: Path, error: OSError) -> IceyeError:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return DiskFull(f"{path}: no space left on the disk; make room and save again", path=path)
    return UsageError(f"{path} cannot be written: {error.strerror or type(error).__name__}; choose another path")
