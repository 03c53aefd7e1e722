"""What a journal holds of its tasks, read a page at a time: whoever reads never keeps it from being written."""

import contextlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import IceyeError
from .rows import Setup, error_from

if TYPE_CHECKING:
    from sqlite3 import Connection

    from .place import Place


class TaskRecord(NamedTuple):
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


def one(place: "Place | None", task_id: str) -> TaskRecord | None:
    if place is None or not isinstance(task_id, str):
        return None
    with reading(place) as connection:
        found = "SELECT number, id, outcome FROM tasks WHERE id = ?"
        row = connection.execute(found, (sayable(task_id),)).fetchone()
        return None if row is None else _records(connection, [row[:2]], row[2])[0]


def pages(place: "Place | None", outcome: str | None, size: int) -> Iterator[list[TaskRecord]]:
    last = 0
    while place is not None:
        with reading(place) as connection:
            found = numbers(connection, outcome, last, size)
            records = _records(connection, found, outcome)
        if not records:
            return
        last = found[-1][0]
        yield records


def numbers(connection: "Connection", outcome: str | None, last: int, size: int) -> list[tuple[int, str]]:
    query = "SELECT number, id FROM tasks WHERE outcome IS ? AND number > ? ORDER BY number LIMIT ?"
    return connection.execute(query, (outcome, last, size)).fetchall()


def _records(connection: "Connection", numbers: list[tuple[int, str]], outcome: str | None) -> list[TaskRecord]:
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
        TaskRecord(
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


def sayable(task_id: str) -> str:
    """The id as SQLite can be asked for it; what cannot be an id is nobody's."""
    return task_id.encode("utf-8", "replace").decode()


def error_of(task: TaskRecord) -> IceyeError:
    return error_from(task.end["error"])


def time_of(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
