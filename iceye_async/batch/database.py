"""The SQLite file of a journal: how it is begun, checked, added to and read. Everything here blocks.

Only whoever has the lock writes, through one connection; others read, and never write or checkpoint. So the one known
way to lose commits in WAL mode, two connections of which one resets the log while the other writes
(https://sqlite.org/wal.html#walresetbug), is closed, whatever the version of SQLite.
"""

import contextlib
import json
import logging
import os
import sqlite3
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ..downloads.system import flush_folder
from ..errors import JournalError
from ..protocol.links import clean
from .lockfile import Lockfile
from .place import Place
from .rows import HIGH, OVER, Entry, Setup, Start, event_sum, meta_sum, task_sum

log = logging.getLogger("iceye_async")

APPLICATION = int.from_bytes(b"ICEY", "big")
"""What tells a journal from other files of SQLite."""
VERSION = 1
BUSY = 3.0
"""Seconds that are waited for another program that has the file locked."""
_META = "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL, crc INTEGER NOT NULL) WITHOUT ROWID"
_TASKS = "CREATE TABLE tasks (number INTEGER PRIMARY KEY, id TEXT NOT NULL, outcome TEXT, crc INTEGER NOT NULL)"
_EVENTS = (
    "CREATE TABLE events (seq INTEGER PRIMARY KEY, task INTEGER NOT NULL, kind TEXT NOT NULL, body TEXT NOT NULL,"
    " acknowledged INTEGER NOT NULL, crc INTEGER NOT NULL)"
)
_TABLES = (_META, _TASKS, _EVENTS)
_INDEXES = (
    "CREATE UNIQUE INDEX task_ids ON tasks (id)",
    "CREATE INDEX task_events ON events (task)",
)
_APART = 1_000_000
"""Event numbers left out after a run that did not end by itself: it may have used more than the disk knows."""
_DAMAGE = frozenset(
    {
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_FORMAT,
        sqlite3.SQLITE_MISMATCH,
        # A statement of ours that cannot be: the schema is not ours any more.
        sqlite3.SQLITE_ERROR,
    }
)


class _Damaged(Exception):
    """This is no journal any more; the message says what was seen."""


class Database:
    """The connection of the one who writes."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._lock = Lockfile(place.lock)
        self._connection: sqlite3.Connection | None = None
        self._counted = 0
        self.seq = 0
        """The number of the last event, or of one after it."""

    # --- opening -----------------------------------------------------------------------------------------------------

    def open(self, setup: Setup, ids: Sequence[str] | None, *, given: bool) -> Start:
        """Begin a journal, or go on with the one that there is. Raises `JournalError`."""
        try:
            opened = False
            try:
                start = self._open(setup, ids, given=given)
                opened = True
                return start
            finally:
                if not opened:
                    self.leave()
        except sqlite3.Error as error:
            raise failure(self._place.path, error) from None
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise JournalError(
                f"{self._place.path} cannot be written: {reason}; choose a path on a local disk, with room, "
                "that you may write to as journal="
            ) from None

    def _open(self, setup: Setup, ids: Sequence[str] | None, *, given: bool) -> Start:
        place = self._place
        place.check()
        locked_before = place.lock.exists()
        if not locked_before and not place.is_empty() and _application(place) != APPLICATION:
            raise _foreign(place.path)
        if ids is None and not locked_before and place.is_empty():
            raise _missing(place.path)
        self._lock.take(place.path)
        place.pid = os.getpid()
        if not os.path.lexists(place.path) or (not locked_before and place.is_empty()):
            if ids is None:
                raise _missing(place.path)
            start = self._begin(setup, ids)
        else:
            self._peek(setup, given=given)
            try:
                start = self._go_on()
            except _Damaged as error:
                moved = self._set_aside(clean(str(error), 100), ids)
                start = self._begin(setup, ids or ())._replace(damaged=moved)
            else:
                start = start if ids is None else self._add(ids, start)
                self._mark_open()
        return start

    def _begin(self, setup: Setup, ids: Iterable[str]) -> Start:
        """Make a journal, whole or not at all: a file that has the name of a journal is one."""
        place = self._place
        tasks = list(enumerate(dict.fromkeys(ids), 1))
        place.unlink_beginning()
        os.close(os.open(place.beginning, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        made = False
        try:
            with contextlib.closing(_connect(f"{place.beginning.as_uri()}?mode=rw")) as connection:
                _fill(connection, setup, tasks)
            if not place.temporary:
                with place.beginning.open("rb+") as file:
                    os.fsync(file.fileno())
            # The log of a journal that somebody deleted would be taken for that of this one.
            place.unlink_beside(place.path)
            os.replace(place.beginning, place.path)  # noqa: PTH105 - one call for all that gets its name
            made = True
        finally:
            if not made:
                place.unlink_beginning()
        if not place.temporary:
            flush_folder(place.path.parent)
        self._connect()
        return Start(setup, tasks, len(tasks), 0, {}, {}, {}, [], 0, None)

    def _peek(self, setup: Setup, *, given: bool) -> None:
        """Refuse what is about something else, before anything is changed; warn of a run whose log is gone."""
        place = self._place
        logged = place.wal.exists()
        try:
            with contextlib.closing(_connect(place.uri("ro"))) as connection:
                meta = dict(_checked_meta(connection))
            stored = Setup.from_json(meta["setup"])
        except (sqlite3.Error, _Damaged, ValueError, KeyError, TypeError):
            # What is wrong with it is said by whoever reads all of it.
            return
        _compare(place.path, stored, setup, given=given)
        if not logged and meta.get("open") == "1":
            log.warning(
                "the journal has lost what the last run wrote last: that much is asked for, and handed out, again",
                extra={"journal": str(place.path)},
            )

    def _set_aside(self, reason: str, ids: Sequence[str] | None) -> Path:
        place = self._place
        if ids is None:
            raise JournalError(
                f"{place.path} is damaged ({reason}); name the task_ids again: it is then moved aside and begun anew, "
                "and files that are on the disk are not fetched again"
            )
        self._disconnect()
        moved = place.set_aside()
        log.warning(
            "the journal was damaged and is begun anew: what was in it is handed out again; the old one is %s",
            moved,
            extra={"journal": str(place.path), "reason": reason},
        )
        return moved

    def _go_on(self) -> Start:
        """Connect, and read everything there is. Raises `_Damaged`."""
        try:
            return self._read(self._connect())
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", None)
            # Without a code: text that is not UTF-8.
            if code is None or code & 0xFF in _DAMAGE or code == sqlite3.SQLITE_IOERR_SHORT_READ:
                raise _Damaged(str(error)) from None
            raise
        except (ValueError, KeyError, TypeError) as error:
            raise _Damaged(f"{type(error).__name__} in a row") from None

    def _connect(self) -> sqlite3.Connection:
        self._connection = connection = _connect(self._place.uri("rw"))
        _check_kind(self._place.path, connection)
        # It changes two bytes of the first page, which is flushed with the first checkpoint.
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA journal_mode = WAL")
        if not self._place.temporary:
            connection.execute("PRAGMA synchronous = NORMAL")
        return connection

    def _read(self, connection: sqlite3.Connection) -> Start:
        if (verdict := connection.execute("PRAGMA integrity_check(1)").fetchone()[0]) != "ok":
            raise _Damaged(verdict)
        meta = dict(_checked_meta(connection))
        setup = Setup.from_json(meta["setup"])
        self._counted = int(meta["requests"])
        tasks, total, last = _unfinished(connection)
        known, waiting, self.seq = _history(connection, {number for number, _ in tasks}, last)
        if meta["open"] != "0":
            self.seq += _APART
        return Start(setup, tasks, total, total - len(tasks), *known, waiting, self._counted, None)

    def _add(self, ids: Sequence[str], found: Start) -> Start:
        """Put the ids that are not in it yet at the end."""
        connection = self._here()
        last = connection.execute("SELECT COALESCE(MAX(number), 0) FROM tasks").fetchone()[0]
        before = connection.total_changes
        connection.execute("BEGIN IMMEDIATE")
        rows = map(_task, enumerate(ids, last + 1))
        connection.executemany("INSERT OR IGNORE INTO tasks VALUES (?, ?, NULL, ?)", rows)
        connection.execute("COMMIT")
        added = connection.total_changes - before
        new = connection.execute("SELECT number, id FROM tasks WHERE number > ? ORDER BY number", (last,))
        return found._replace(tasks=[*found.tasks, *new], total=found.total + added)

    def _mark_open(self) -> None:
        connection = self._here()
        connection.execute("BEGIN IMMEDIATE")
        _note(connection, "open", "1")
        connection.execute("COMMIT")
        # A log that is lost, in a power cut for instance, takes no ids with it.
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    # --- writing -----------------------------------------------------------------------------------------------------

    def commit(self, entries: Sequence[Entry], acknowledged: Collection[int], requests: int | None) -> None:
        """Write all of it, or nothing. Raises `sqlite3.Error`."""
        connection = self._here()
        done = False
        connection.execute("BEGIN IMMEDIATE")
        try:
            connection.executemany("INSERT INTO events VALUES (?, ?, ?, ?, 0, ?)", map(_row, entries))
            connection.executemany(
                "UPDATE tasks SET outcome = ?, crc = crc + ? WHERE number = ? AND outcome IS NULL",
                [(entry.kind, HIGH * OVER[entry.kind], entry.task) for entry in entries if entry.kind in OVER],
            )
            connection.executemany(
                "UPDATE events SET acknowledged = 1, crc = crc + ? WHERE seq = ? AND acknowledged = 0",
                [(HIGH, seq) for seq in acknowledged],
            )
            if requests is not None and requests != self._counted:
                _note(connection, "requests", str(requests))
            connection.execute("COMMIT")
            done = True
        finally:
            if not done and connection.in_transaction:
                with contextlib.suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
        if requests is not None:
            self._counted = requests

    def end(self) -> None:
        """Note that nothing is left to be written, and make it one file again."""
        connection = self._here()
        connection.execute("BEGIN IMMEDIATE")
        _note(connection, "open", "0")
        connection.execute("COMMIT")
        # Where somebody reads it right now it stays in two.
        with contextlib.suppress(sqlite3.Error):
            connection.execute("PRAGMA busy_timeout = 200")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute("PRAGMA journal_mode = DELETE")

    def leave(self) -> None:
        """Close the file, and let others have it."""
        self._disconnect()
        self._place.pid = None
        self._lock.release()

    def _disconnect(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None

    def _here(self) -> sqlite3.Connection:
        assert self._connection is not None  # noqa: S101 - it was opened
        return self._connection


def found(path: Path) -> Place:
    """Where the journal with this name is. Raises `JournalError` where there is none that can be read."""
    place = Place(path)
    place.check()
    if place.is_empty():
        raise _missing(place.path)
    if _application(place) != APPLICATION:
        raise _foreign(place.path)
    try:
        with reading(place) as connection:
            _check_kind(place.path, connection)
    except _Damaged as error:
        failure = JournalError(f"{place.path} is damaged ({error}); name the task_ids again, and it is begun anew")
    else:
        return place
    raise failure


@contextlib.contextmanager
def reading(place: Place) -> Iterator[sqlite3.Connection]:
    """A connection that reads what is there now. Raises `JournalError` where it cannot."""
    place.here()
    try:
        with contextlib.closing(_connect(place.uri("ro"))) as connection:
            yield connection
    except sqlite3.Error as error:
        raise failure(place.path, error) from None


def is_full(error: sqlite3.Error) -> bool:
    """Whether there was no room on the disk. Of the shared memory SQLite calls that an input/output error."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and (code & 0xFF == sqlite3.SQLITE_FULL or code == sqlite3.SQLITE_IOERR_SHMSIZE)


def failure(path: Path, error: sqlite3.Error) -> JournalError:
    """What SQLite says, as an error of ours that says what to do."""
    code = getattr(error, "sqlite_errorcode", None)
    primary = None if code is None else code & 0xFF
    if is_full(error):
        what = "there is no room left on its disk; make some, and go on with the same journal="
    elif primary in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        what = "another program has it locked; end that, and go on with the same journal="
    elif primary in {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH}:
        what = f"it cannot be written ({error}); choose a path on a local disk that you may write to as journal="
    elif primary in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
        what = f"it is damaged ({error}); name the task_ids again: it is then moved aside and begun anew"
    else:
        name = getattr(error, "sqlite_errorname", type(error).__name__)
        what = f"{error} ({name}); see that its disk is well, and go on with the same journal="
    return JournalError(f"{path}: {what}")


# --- rows ------------------------------------------------------------------------------------------------------------


def _connect(uri: str) -> sqlite3.Connection:
    return sqlite3.connect(uri, uri=True, timeout=BUSY, isolation_level=None)


def _application(place: Place) -> int | None:
    """Whose file it is, found out without a change to it; None where it is not one of SQLite's."""
    try:
        with contextlib.closing(_connect(place.uri("ro&immutable=1"))) as connection:
            connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
            return int(connection.execute("PRAGMA application_id").fetchone()[0])
    except sqlite3.Error:
        return None


def _foreign(path: Path) -> JournalError:
    return JournalError(f"{path} is not a journal; it is left as it is: choose another name as journal=")


def _missing(path: Path) -> JournalError:
    return JournalError(f"there is no journal at {path}; begin one with task_ids")


def _check_kind(path: Path, connection: sqlite3.Connection) -> None:
    """Raise where it is not ours, not whole, or from the future."""
    schema = [sql for (sql,) in connection.execute("SELECT sql FROM sqlite_master ORDER BY rowid") if sql is not None]
    ours = connection.execute("PRAGMA application_id").fetchone()[0] == APPLICATION
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if not ours and schema and _TASKS not in schema:
        raise _foreign(path)
    if ours and version > VERSION:
        raise JournalError(
            f"{path} is of a newer version of this package (journal {version}, this one knows {VERSION}); "
            "update iceye-async, or choose another name as journal="
        )
    if not ours or version != VERSION or schema != [*_TABLES, *_INDEXES]:
        raise _Damaged("its tables are not there" if ours else "its header is not a journal's")


def _fill(connection: sqlite3.Connection, setup: Setup, tasks: Iterable[tuple[int, str]]) -> None:
    """Everything that a new journal has. Until it has its name it need not outlast anything."""
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("PRAGMA journal_mode = MEMORY")
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(f"PRAGMA application_id = {APPLICATION}")
    connection.execute(f"PRAGMA user_version = {VERSION}")
    for statement in _TABLES:
        connection.execute(statement)
    for key, value in (("setup", setup.to_json()), ("requests", "0"), ("open", "1")):
        _note(connection, key, value)
    connection.executemany("INSERT INTO tasks VALUES (?, ?, NULL, ?)", map(_task, tasks))
    # After the rows: sorting once is twice as fast as finding a place for each.
    for statement in _INDEXES:
        connection.execute(statement)
    connection.execute("COMMIT")
    connection.execute("PRAGMA journal_mode = WAL")


def _note(connection: sqlite3.Connection, key: str, value: str) -> None:
    connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?, ?)", (key, value, meta_sum(key, value)))


def _task(task: tuple[int, str]) -> tuple[int, str, int]:
    number, task_id = task
    return number, task_id, task_sum(number, task_id)


def _row(entry: Entry) -> tuple[int, int, str, str, int]:
    seq, task, kind, body = entry
    text = json.dumps(body, separators=(",", ":"))
    return seq, task, kind, text, event_sum(seq, task, kind, text)


def _checked_meta(connection: sqlite3.Connection) -> Iterator[tuple[str, str]]:
    for key, value, crc in connection.execute("SELECT key, value, crc FROM meta"):
        if crc != meta_sum(key, value):
            raise _Damaged("a row of meta is not as it was written")
        yield key, value


def _unfinished(connection: sqlite3.Connection) -> tuple[list[tuple[int, str]], int, int]:
    """The tasks that are not over; how many there are in all, and the highest number."""
    tasks: list[tuple[int, str]] = []
    total = number = 0
    for number, task_id, outcome, crc in connection.execute("SELECT * FROM tasks ORDER BY number"):
        if crc != task_sum(number, task_id, outcome):
            raise _Damaged(f"task {number} is not as it was written")
        total += 1
        if outcome is None:
            tasks.append((number, task_id))
    return tasks, total, number


_Known = tuple[dict[int, dict[str, str]], dict[int, frozenset[str]], dict[int, set[str]]]
_History = tuple[_Known, list[tuple[Entry, str]], int]


def _history(connection: sqlite3.Connection, unfinished: set[int], last: int) -> _History:
    """What was delivered, ready and downloaded of tasks that matter; what nobody acknowledged; the last number."""
    waiting: list[Entry] = []
    seq = 0
    for seq, task, kind, body, acknowledged, crc in connection.execute("SELECT * FROM events ORDER BY seq"):
        if crc != event_sum(seq, task, kind, body, acknowledged) or not 0 < task <= last:
            raise _Damaged(f"event {seq} is not as it was written")
        if not acknowledged:
            waiting.append(Entry(seq, task, kind, json.loads(body)))
    delivered: defaultdict[int, dict[str, str]] = defaultdict(dict)
    ready: dict[int, frozenset[str]] = {}
    downloaded: defaultdict[int, set[str]] = defaultdict(set)
    matter = unfinished.union(entry.task for entry in waiting)
    told = "SELECT task, kind, body FROM events WHERE kind IN ('updated', 'downloaded') ORDER BY seq"
    for task, kind, body in connection.execute(told):
        if task not in matter:
            continue
        if kind == "updated":
            delivered[task].update(json.loads(body)["fresh"])
            ready[task] = frozenset(json.loads(body).get("ready", ()))
        else:
            downloaded[task].update(json.loads(body)["derivatives"])
    names = {entry.task: _id_of(connection, entry.task) for entry in waiting}
    known = dict(delivered), ready, dict(downloaded)
    return known, [(entry, names[entry.task]) for entry in waiting], seq


def _id_of(connection: sqlite3.Connection, number: int) -> str:
    row: tuple[Any, ...] | None = connection.execute("SELECT id FROM tasks WHERE number = ?", (number,)).fetchone()
    if row is None:
        raise _Damaged(f"task {number} is not there")
    return str(row[0])


def _compare(path: Path, stored: Setup, setup: Setup, *, given: bool) -> None:
    """Raise `JournalError` where this call is about something else than what the journal was begun for."""
    if stored.origin != setup.origin:
        raise JournalError(f"{path} is a journal of {stored.origin}, not of {setup.origin}; use another journal=")
    if stored.account is not None and setup.account is not None and stored.account != setup.account:
        raise JournalError(f"{path} was begun with another client id; use that one, or another journal=")
    if (given or setup.types is not None) and _set_of(stored.types) != _set_of(setup.types):
        raise JournalError(
            f"{path} was begun for types={_words(stored.types)}, not for {_words(setup.types)}; pass the same, or use "
            "another journal="
        )
    if (given or setup.to is not None) and stored.to != setup.to:
        raise JournalError(
            f"{path} was begun with to={stored.to!r}, not with {setup.to!r}; pass the same, or use another journal="
        )


def _set_of(types: tuple[str, ...] | None) -> frozenset[str] | None:
    return None if types is None else frozenset(types)


def _words(types: tuple[str, ...] | None) -> str:
    return "None" if types is None else repr(sorted(types))
