"""Rows F4 to F11 and F16 to F18: what befalls the journal of a batch, by itself; what befalls the batch is elsewhere.

A journal here has six tasks, of which some are over, and events of which some were dealt with: `lived`.
"""

import asyncio
import contextlib
import errno
import json
import logging
import os
import random
import re
import shutil
import signal
import socket
import sqlite3
import stat
import struct
import warnings
import weakref
from pathlib import Path

import pytest

from iceye_async import IceyeError, JournalError
from iceye_async.batch import database, journal, lockfile, place
from iceye_async.batch.history import reading
from iceye_async.batch.journal import Entry, Journal, Setup
from iceye_async.batch.report import BatchReport
from iceye_async.batch.rows import error_facts
from tests.journals import CONNECT, Unflushed, unflush

SETUP = Setup("https://api.example.net", "0011223344556677", ("AIRCRAFT", "VESSELS"), "/data/out")
IDS = tuple(f"3f2a77c0-0000-4000-8000-00000000000{n}" for n in range(6))
forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")


@contextlib.asynccontextmanager
async def opened(path, ids=IDS, setup=SETUP, *, given=None):
    """A journal, and what it started with."""
    one = Journal(path)
    start = await one.open(setup, ids, given=ids is not None if given is None else given)
    try:
        yield one, start
    finally:
        await one.close()


async def start_of(path, ids=None, setup=SETUP, *, given=None):
    async with opened(path, ids, setup, given=given) as (_, start):
        return start


def updated(one, task, *fresh):
    return one.write(Entry(one.next_seq(), task, "updated", {"fresh": [list(entry) for entry in fresh]}))


def completed(one, task):
    body = {"types": ["VESSELS"], "began": 1.0, "ended": 2.0, "requests": 3}
    return one.write(Entry(one.next_seq(), task, "completed", body))


async def live(one):
    """Forty commits."""
    for n in range(10):
        await updated(one, n % 6 + 1, (f"d{n}", "VESSELS"))
        one.acknowledge(n + 1)
        await one.flush()
    await completed(one, 1)
    await completed(one, 2)
    one.acknowledge(12)


async def lived(path):
    async with opened(path) as (one, _):
        await live(one)
    return path


def copied(path, to):
    """The files of a journal as they are now: what the next process finds, if this one ends here."""
    for suffix in ("", "-wal"):
        if (found := Path(f"{path}{suffix}")).exists():
            shutil.copyfile(found, f"{to}{suffix}")
    return to


async def until(done):
    """Another thread has come so far."""
    async with asyncio.timeout(5):
        while not done():  # noqa: ASYNC110 - the thread rings no bell
            await asyncio.sleep(0.001)


@pytest.fixture
def warned(caplog):
    """The warnings so far."""
    caplog.set_level(logging.WARNING, "iceye_async")
    return lambda: [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


def in_a_fork(work):
    """What `work()` gives in a forked child, as JSON; a child that hangs is killed after 5 s."""
    out, into = os.pipe()
    with warnings.catch_warnings():
        # From Python 3.12 on, forking where there are threads (the journal's) is deprecated.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        code = 1
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.setitimer(signal.ITIMER_REAL, 5)
            os.close(out)
            with os.fdopen(into, "w") as pipe:
                json.dump(work(), pipe)
            code = 0
        finally:
            os._exit(code)
    os.close(into)
    with os.fdopen(out) as pipe:
        said = pipe.read()
    _, status = os.waitpid(child, 0)
    assert status == 0, f"the child ended with {status} after saying {said!r}"
    return json.loads(said)


def outcome(run):
    """The kind and the words of the error, or what there was instead."""
    try:
        return ["no error", repr(run())]
    except BaseException as error:  # noqa: BLE001 - the test judges
        return [type(error).__name__, str(error)]


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    unflush(monkeypatch)


# --- F4: power cut ---------------------------------------------------------------------------------------------------


async def test_f04_whatever_a_power_cut_leaves_of_the_log_opens_and_lacks_the_last_commits_at_most(
    tmp_path, record_property
):
    """The file itself is flushed before anything is handed out; of its log any part may be lost."""
    async with opened(tmp_path / "j.db") as (one, _):
        await live(one)
        whole = copied(one.path, tmp_path / "whole.db")
    log = (tmp_path / "whole.db-wal").read_bytes()
    frame = 4096 + 24
    cuts = {0, 1, 31, 32, len(log) - 1, len(log), *range(32, len(log), frame), *range(500, len(log), 9973)}
    kept = []
    for cut in sorted(cuts):
        copy = copied(whole, tmp_path / "copy.db")
        (tmp_path / "copy.db-wal").write_bytes(log[:cut])

        async with opened(copy, None) as (one, start):
            with reading(one.place) as connection:
                bodies = connection.execute("SELECT body FROM events WHERE kind = 'updated' ORDER BY seq").fetchall()
            events = [fresh for (body,) in bodies for fresh, _ in json.loads(body)["fresh"]]
            assert start.damaged is None
            assert len(start.tasks) + start.over == len(IDS), "ids are never lost"
            assert events == [f"d{n}" for n in range(len(events))], "what is missing is the end"
            assert one.next_seq() > 12, "no number is given twice, whatever was lost"
        kept.append((start.over, len(events)))
    record_property("power cuts", len(cuts))

    assert kept == sorted(kept), "the more is left, the more is known"
    assert kept[0] == (0, 0)
    assert kept[-1] == (2, 10)


async def test_f04_ids_that_were_added_outlast_the_log(tmp_path):
    await lived(tmp_path / "j.db")
    async with opened(tmp_path / "j.db", (*IDS, "new")) as (one, _):
        copy = copied(one.path, tmp_path / "copy.db")
    (tmp_path / "copy.db-wal").unlink(missing_ok=True)

    assert (await start_of(copy)).tasks[-1][1] == "new"


async def test_f04_a_power_cut_while_a_journal_is_begun_leaves_none_or_a_whole_one(tmp_path, monkeypatch):
    """It gets its name when it is whole."""
    named = []
    replace = os.replace
    monkeypatch.setattr("os.replace", lambda new, old: named.append(Path(new).read_bytes()) or replace(new, old))
    await start_of(tmp_path / "j.db", IDS)
    (whole,) = named

    (tmp_path / "k.db").write_bytes(whole)
    assert len((await start_of(tmp_path / "k.db")).tasks) == len(IDS)
    (tmp_path / "n.db.new").write_bytes(whole[:5000])
    (tmp_path / "n.db.lock").touch()
    assert len((await start_of(tmp_path / "n.db", IDS)).tasks) == len(IDS)
    assert not (tmp_path / "n.db.new").exists()


# --- F5: two at once -------------------------------------------------------------------------------------------------


async def test_f05_a_second_batch_of_this_process_is_refused(tmp_path):
    async with opened(tmp_path / "j.db") as (one, _):
        with pytest.raises(JournalError, match="in use by another batch of this process"):
            await start_of(tmp_path / "j.db", IDS)
        await updated(one, 1, ("d1", "VESSELS"))

    assert (await start_of(tmp_path / "j.db")).delivered == {1: {"d1": "VESSELS"}}


@forks
async def test_f05_another_process_is_refused_and_told_who_has_it(tmp_path):
    async with opened(tmp_path / "j.db") as (one, _):
        kind, words = in_a_fork(lambda: outcome(lambda: asyncio.run(start_of(tmp_path / "j.db"))))

        assert kind == "JournalError"
        assert f"process {os.getpid()} on {socket.gethostname()}" in words
        await updated(one, 1, ("d1", "VESSELS"))


def test_f05_the_holder_is_named_as_its_file_says(tmp_path):
    held = lockfile.Lockfile(tmp_path / "j.db.lock")
    held.take(tmp_path / "j.db")
    for text, words in [
        ("4711\nother.example.net\n", "process 4711 on other.example.net;"),
        ("4711\n\x1b[2Jevil\n", "process 4711 on [2Jevil"),
        ("", "another process;"),
        ("nonsense", "another process;"),
    ]:
        (tmp_path / "j.db.lock").write_text(text)
        with pytest.raises(JournalError, match=re.escape(words)):
            lockfile.Lockfile(tmp_path / "j.db.lock").take(tmp_path / "j.db")
    held.release()


@forks
def test_f05_the_lock_of_a_process_that_was_killed_is_nobodys(tmp_path):
    async def begin():
        one = Journal(tmp_path / "j.db")
        await one.open(SETUP, IDS, given=True)
        await updated(one, 1, ("d1", "VESSELS"))
        # As after kill -9: nothing is cleaned up.
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(AssertionError, match="ended with 9"):
        in_a_fork(lambda: asyncio.run(begin()))
    assert (tmp_path / "j.db.lock").read_text().split() != [str(os.getpid()), socket.gethostname()]

    start = asyncio.run(start_of(tmp_path / "j.db"))
    assert [(entry.seq, entry.task) for entry, _ in start.unacknowledged] == [(1, 1)]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="nothing tells the open files")
async def test_f05_a_child_that_lives_on_does_not_keep_the_lock(tmp_path):
    """The child of a fork has the descriptor too; were it left open, a killed parent would be locked for ever."""
    async with opened(tmp_path / "j.db"):

        def locks():
            links = [Path(f"/proc/self/fd/{number}") for number in range(3, 200)]
            return len([link for link in links if link.is_symlink() and str(link.readlink()).endswith(".lock")])

        assert locks() == 1
        assert in_a_fork(lambda: outcome(locks)) == ["no error", "0"]


# --- F6: what SQLite may say -----------------------------------------------------------------------------------------


def sql_error(code, name, words):
    error = sqlite3.OperationalError(words)
    error.sqlite_errorcode, error.sqlite_errorname = code, name
    return error


ERRORS = {
    "IOERR": (sql_error(sqlite3.SQLITE_IOERR_WRITE, "SQLITE_IOERR_WRITE", "disk I/O error"), "disk is well"),
    "FSYNC": (sql_error(sqlite3.SQLITE_IOERR_FSYNC, "SQLITE_IOERR_FSYNC", "disk I/O error"), "disk is well"),
    "CORRUPT": (sql_error(sqlite3.SQLITE_CORRUPT, "SQLITE_CORRUPT", "disk image is malformed"), "damaged"),
    "NOTADB": (sql_error(sqlite3.SQLITE_NOTADB, "SQLITE_NOTADB", "file is not a database"), "damaged"),
    "READONLY": (sql_error(sqlite3.SQLITE_READONLY, "SQLITE_READONLY", "readonly database"), "cannot be written"),
    "MOVED": (sql_error(sqlite3.SQLITE_READONLY_DBMOVED, "SQLITE_READONLY_DBMOVED", "moved"), "cannot be written"),
    "CANTOPEN": (sql_error(sqlite3.SQLITE_CANTOPEN, "SQLITE_CANTOPEN", "unable to open"), "cannot be written"),
    "NOMEM": (sql_error(sqlite3.SQLITE_NOMEM, "SQLITE_NOMEM", "out of memory"), "SQLITE_NOMEM"),
}


class Faulty:
    """Connections that fail at a statement, once `error` is set; `room` false: the disk is full."""

    def __init__(self, monkeypatch, at="COMMIT"):
        self.error, self.room, self.tries = None, True, 0
        faults = self

        class Connection(Unflushed):
            def execute(self, sql, *values):
                if sql == "BEGIN IMMEDIATE":
                    # What a disk without room does, by SQLite's own means: no page more than there are.
                    pages = 2**30 if faults.room else 1
                    super().execute(f"PRAGMA max_page_count = {pages}")
                    faults.tries += 1
                if sql == at and faults.error is not None:
                    raise faults.error
                return super().execute(sql, *values)

        monkeypatch.setattr("sqlite3.connect", lambda *args, **options: CONNECT(*args, **options, factory=Connection))


@pytest.mark.parametrize("at", ["BEGIN IMMEDIATE", "COMMIT"])
@pytest.mark.parametrize("name", ERRORS)
async def test_f06_an_error_of_sqlite_is_everybodys_and_what_was_written_before_is_kept(
    tmp_path, monkeypatch, warned, name, at
):
    faulty = Faulty(monkeypatch, at)
    error, words = ERRORS[name]
    async with opened(tmp_path / "j.db") as (one, _):
        await updated(one, 1, ("d1", "VESSELS"))
        faulty.error = error
        for waiting in [updated(one, 1, ("d2", "VESSELS")), updated(one, 2, ("d3", "VESSELS"))]:
            with pytest.raises(JournalError, match=words) as caught:
                await waiting
            assert str(one.path) in str(caught.value)
        assert isinstance(one.error, JournalError)
        faulty.error = None
        with pytest.raises(JournalError, match=words):
            await completed(one, 1)
        with pytest.raises(JournalError, match=words):
            await one.flush()
        one.acknowledge(1)
        assert len(warned()) == 1

        start = await start_of(tmp_path / "j.db", IDS)
        assert start.delivered == {1: {"d1": "VESSELS"}}, "and another may have the file at once"


@pytest.mark.parametrize("name", ["IOERR", "READONLY", "CANTOPEN", "NOMEM"])
async def test_f06_an_error_of_sqlite_while_it_is_opened_is_an_error_that_says_what_to_do(tmp_path, monkeypatch, name):
    await lived(tmp_path / "j.db")
    faulty = Faulty(monkeypatch, "BEGIN IMMEDIATE")
    faulty.error, words = ERRORS[name]

    with pytest.raises(JournalError, match=words):
        await start_of(tmp_path / "j.db", IDS)
    with pytest.raises(JournalError, match=words):
        await start_of(tmp_path / "new.db", IDS)
    assert not (tmp_path / "new.db").exists()
    assert not (tmp_path / "new.db.new").exists()

    faulty.error = None
    assert (await start_of(tmp_path / "j.db", IDS)).over == 2


async def test_f06_a_full_disk_is_waited_for_and_nothing_is_lost(tmp_path, monkeypatch, warned):
    monkeypatch.setattr(journal, "_AGAIN", 0.005)
    faulty = Faulty(monkeypatch)
    async with opened(tmp_path / "j.db") as (one, _):
        await updated(one, 1, ("d0", "VESSELS"))
        faulty.room = False
        waiting = [updated(one, n % 6 + 1, (f"d{n}", "x" * 500)) for n in range(1, 40)]
        waiting.append(completed(one, 3))
        one.acknowledge(1)
        one.count(12)
        tries = faulty.tries
        await until(lambda: faulty.tries >= tries + 4)
        assert one.full
        assert not any(one.done() for one in waiting)
        assert len(BatchReport(one).completed) == 0, "it can be read meanwhile"
        flushed = asyncio.ensure_future(one.flush())

        faulty.room = True
        await asyncio.gather(*waiting, flushed)
        assert not one.full
        assert one.error is None
    assert len(warned()) == 1
    assert "full" in warned()[0]

    start = await start_of(tmp_path / "j.db")
    assert [entry.seq for entry, _ in start.unacknowledged] == list(range(2, 42))
    assert (start.over, start.requests) == (1, 12)


async def test_f06_a_disk_that_stays_full_does_not_keep_it_open(tmp_path, monkeypatch):
    faulty = Faulty(monkeypatch)
    async with opened(tmp_path / "j.db") as (one, _):
        await updated(one, 1, ("d1", "VESSELS"))
        faulty.room = False
        waiting = updated(one, 1, ("d2", "x" * 20_000))
        await one.close()
        with pytest.raises(JournalError, match="no room left"):
            await waiting
    faulty.room = True

    start = await start_of(tmp_path / "j.db")
    assert start.delivered == {1: {"d1": "VESSELS"}}


async def test_f06_no_room_for_shared_memory_is_a_full_disk_too(tmp_path, monkeypatch):
    monkeypatch.setattr(journal, "_AGAIN", 0.005)
    faulty = Faulty(monkeypatch)
    async with opened(tmp_path / "j.db") as (one, _):
        faulty.error = sql_error(sqlite3.SQLITE_IOERR_SHMSIZE, "SQLITE_IOERR_SHMSIZE", "disk I/O error")
        waiting = updated(one, 1, ("d1", "VESSELS"))
        await until(lambda: one.full)
        faulty.error = None
        await waiting


async def test_f06_a_file_that_another_program_has_locked_is_waited_for_a_while(tmp_path):
    async with opened(tmp_path / "j.db") as (one, _):
        other = sqlite3.connect(one.path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        waiting = updated(one, 1, ("d1", "VESSELS"))
        await asyncio.sleep(0.02)
        assert not waiting.done()
        other.execute("ROLLBACK")
        await waiting
        other.close()


async def test_f06_a_file_that_stays_locked_is_an_error_and_the_journal_can_be_gone_on_with(tmp_path, monkeypatch):
    monkeypatch.setattr(database, "BUSY", 0.02)
    async with opened(tmp_path / "j.db") as (one, _):
        await updated(one, 1, ("d1", "VESSELS"))
        other = sqlite3.connect(one.path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(JournalError, match="another program has it locked"):
            await updated(one, 1, ("d2", "VESSELS"))
        other.close()

    assert (await start_of(tmp_path / "j.db")).delivered == {1: {"d1": "VESSELS"}}


async def test_f06_what_is_not_foreseen_is_an_error_too_and_nobody_waits_for_ever(tmp_path, monkeypatch):
    async with opened(tmp_path / "j.db") as (one, _):
        with pytest.raises(JournalError, match="cannot be written"):
            await one.write(Entry(one.next_seq(), 1, "updated", {"fresh": object()}))
    monkeypatch.setattr(database.Database, "_go_on", lambda self: 1 / 0)
    with pytest.raises(JournalError, match="cannot be opened"):
        await start_of(tmp_path / "j.db")


# --- F7: damage ------------------------------------------------------------------------------------------------------


def same(start):
    """What matters of a start."""
    return start._replace(damaged=None)


async def judge(path, whole):
    """Whether the damage was harmless; where it is not, it is noticed, and all ids are there again."""
    try:
        found = await start_of(path)
    except JournalError as error:
        assert re.search("damaged|newer version|not a journal|cannot be written", str(error))  # noqa: PT017
        noticed = "damaged" in str(error)
    else:
        assert found == whole
        return "harmless"
    if not noticed:
        return "refused"
    start = await start_of(path, IDS)
    assert [task_id for _, task_id in start.tasks] == list(IDS)
    assert start.damaged is not None
    assert start.damaged.exists()
    return "noticed"


@pytest.fixture
async def whole(tmp_path):
    """A journal that was closed, and what it starts with."""
    path = await lived(tmp_path / "whole.db")
    content = path.read_bytes()
    return content, await start_of(copied(path, tmp_path / "same.db"))


async def test_f07_a_byte_that_has_changed_is_noticed_or_does_not_matter(tmp_path, whole, record_property):
    content, start = whole
    rng = random.Random(7)  # noqa: S311 - the same bytes each time
    used = [at for at, byte in enumerate(content) if byte]
    places = [*rng.sample(range(100), 40), *rng.sample(used, 70)]
    found = {}
    for at in places:
        path = tmp_path / "flipped.db"
        for old in tmp_path.glob("flipped*"):
            old.unlink()
        path.write_bytes(content[:at] + bytes([content[at] ^ 1 << rng.randrange(8)]) + content[at + 1 :])
        (tmp_path / "flipped.db.lock").touch()

        verdict = await judge(path, start)
        found[verdict] = found.get(verdict, 0) + 1
    record_property("bytes flipped", len(places))

    assert found["noticed"] > 70


async def test_f07_each_value_that_has_changed_is_noticed(tmp_path, whole):
    """Damage that is none to SQLite: another program, or a cosmic ray that hit a digit."""
    content, start = whole
    for statement in [
        "UPDATE tasks SET id = 'other' WHERE number = 3",
        "UPDATE tasks SET outcome = NULL WHERE number = 1",
        "UPDATE tasks SET outcome = 'completed' WHERE number = 3",
        "UPDATE tasks SET outcome = 'failed' WHERE number = 1",
        "UPDATE tasks SET number = 9 WHERE number = 6",
        "UPDATE events SET acknowledged = 0 WHERE seq = 2",
        "UPDATE events SET acknowledged = 1 WHERE seq = 11",
        "UPDATE events SET acknowledged = '' WHERE seq = 2",
        "UPDATE events SET body = '{}' WHERE seq = 2",
        "UPDATE events SET task = 4 WHERE seq = 2",
        "UPDATE events SET kind = 'downloaded' WHERE seq = 2",
        "UPDATE events SET seq = 99 WHERE seq = 2",
        "UPDATE meta SET value = '5' WHERE key = 'requests'",
        "DELETE FROM meta WHERE key = 'requests'",
        "DROP INDEX task_ids",
        "DROP TABLE events",
    ]:
        path = tmp_path / "changed.db"
        for old in tmp_path.glob("changed*"):
            old.unlink()
        path.write_bytes(content)
        connection = sqlite3.connect(path, isolation_level=None)
        connection.execute(statement)
        connection.close()

        assert await judge(path, start) == "noticed", statement


async def test_f07_a_journal_that_was_cut_short_is_noticed(tmp_path, whole):
    content, start = whole
    for length in [0, 1, 15, 99, 100, 512, 4095, 4096, 4097, 8192, len(content) - 4096, len(content) - 1]:
        path = tmp_path / "cut.db"
        for old in tmp_path.glob("cut*"):
            old.unlink()
        path.write_bytes(content[:length])
        (tmp_path / "cut.db.lock").touch()

        assert await judge(path, start) == "noticed", length


async def test_f07_what_was_damaged_is_moved_aside_and_a_warning_says_where(tmp_path, warned):
    await lived(tmp_path / "j.db")
    for number in (1, 2):
        (tmp_path / "j.db").write_bytes(b"nonsense")
        (tmp_path / "j.db-wal").write_bytes(b"a log")

        async with opened(tmp_path / "j.db") as (one, start):
            assert start.damaged == tmp_path / f"j.db.damaged-{number}"
            assert start.damaged.read_bytes() == b"nonsense"
            assert [task_id for _, task_id in start.tasks] == list(IDS)
            await updated(one, 1, ("d1", "VESSELS"))
        assert str(start.damaged) in warned()[-1]
        assert "damaged" in warned()[-1]

    assert (await start_of(tmp_path / "j.db")).delivered == {1: {"d1": "VESSELS"}}


async def test_f07_without_ids_a_damaged_journal_is_left_as_it_is(tmp_path):
    await lived(tmp_path / "j.db")
    content = (tmp_path / "j.db").read_bytes()
    (tmp_path / "j.db").write_bytes(content[:5000])

    with pytest.raises(JournalError, match=r"damaged.*name the task_ids again"):
        await start_of(tmp_path / "j.db")

    assert (tmp_path / "j.db").read_bytes() == content[:5000]
    assert not list(tmp_path.glob("*damaged*"))


async def test_f07_a_log_that_was_removed_is_noticed_and_costs_the_last_commits_only(tmp_path, warned):
    async with opened(tmp_path / "j.db") as (one, _):
        await live(one)
        copy = copied(one.path, tmp_path / "copy.db")
    (tmp_path / "copy.db-wal").unlink()

    async with opened(copy, None) as (one, start):
        assert [task_id for _, task_id in start.tasks] == list(IDS)
        assert one.next_seq() > 12, "the number of an event that somebody has dealt with is not given to another"
    assert len(warned()) == 1
    assert "lost what the last run wrote last" in warned()[0]


async def test_f07_a_clean_end_or_a_log_that_is_there_warns_of_nothing(tmp_path, warned):
    await lived(tmp_path / "j.db")
    await start_of(tmp_path / "j.db")
    async with opened(tmp_path / "j.db", None) as (one, _):
        await updated(one, 3, ("d1", "VESSELS"))
        copy = copied(one.path, tmp_path / "copy.db")
    for _ in range(2):
        with pytest.raises(JournalError, match=r"other\.example\.net"):
            await start_of(copy, None, Setup("https://other.example.net", None, None, None))
    start = await start_of(copy)

    assert "d1" in start.delivered[3], "nor does a refusal cost the log"
    assert warned() == []


async def test_f07_the_log_of_a_journal_that_was_deleted_is_not_taken_for_the_new_ones(tmp_path):
    async with opened(tmp_path / "old.db") as (one, _):
        await live(one)
        copied(one.path, tmp_path / "j.db")
    (tmp_path / "j.db").unlink()

    async with opened(tmp_path / "j.db", ("other",)) as (_, start):
        assert start.tasks == [(1, "other")]

    start = await start_of(tmp_path / "j.db")
    assert (start.tasks, start.delivered) == ([(1, "other")], {})


def someone_elses(path, kind):
    if kind == "text":
        path.write_text("my notes\n" * 1000)
    else:
        connection = sqlite3.connect(path)
        connection.execute("CREATE TABLE mine (x)")
        connection.execute("PRAGMA application_id = 42")
        connection.commit()
        connection.close()


@pytest.mark.parametrize("kind", ["text", "sqlite"])
@pytest.mark.parametrize("ids", [IDS, None])
async def test_f07_a_file_that_never_was_a_journal_is_refused_and_not_touched(tmp_path, kind, ids):
    someone_elses(tmp_path / "j.db", kind)
    before = (tmp_path / "j.db").read_bytes()

    with pytest.raises(JournalError, match="not a journal; it is left as it is"):
        await start_of(tmp_path / "j.db", ids)

    assert {path.name for path in tmp_path.iterdir()} == {"j.db"}
    assert (tmp_path / "j.db").read_bytes() == before


async def test_f07_another_programs_tables_are_refused_also_where_a_journal_was_before(tmp_path):
    await lived(tmp_path / "j.db")
    (tmp_path / "j.db").unlink()
    someone_elses(tmp_path / "j.db", "sqlite")

    with pytest.raises(JournalError, match="not a journal; it is left as it is"):
        await start_of(tmp_path / "j.db", IDS)


async def test_f07_what_is_no_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()

    for name in ("pipe", "folder"):
        with pytest.raises(JournalError, match="not a file"):
            await start_of(tmp_path / name, IDS)
    assert {path.name for path in tmp_path.iterdir()} == {"pipe", "folder"}


async def test_f07_an_empty_file_is_where_a_journal_may_begin(tmp_path):
    (tmp_path / "j.db").touch()

    assert len((await start_of(tmp_path / "j.db", IDS)).tasks) == len(IDS)


# --- F8: versions ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ids", [IDS, None])
async def test_f08_a_journal_of_a_newer_version_is_refused_and_kept(tmp_path, ids):
    await lived(tmp_path / "j.db")
    connection = sqlite3.connect(tmp_path / "j.db", isolation_level=None)
    connection.execute("PRAGMA user_version = 2")
    connection.execute("ALTER TABLE tasks ADD COLUMN news TEXT")
    connection.close()
    before = (tmp_path / "j.db").read_bytes()

    with pytest.raises(JournalError, match=r"newer version.*update iceye-async"):
        await start_of(tmp_path / "j.db", ids)

    assert (tmp_path / "j.db").read_bytes() == before


# --- F9: where a journal cannot be -----------------------------------------------------------------------------------

MOUNTS = r"""22 27 0:20 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:30 / {far} rw,relatime shared:5 master:3 - {kind} server:/export rw
31 30 0:31 / {near} rw - ext4 /dev/sdb1 rw
not a line of it
"""


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "9p", "ceph", "fuse.sshfs", "fuse.rclone", "lustre"])
async def test_f09_a_journal_on_a_network_file_system_is_refused_with_a_way_out(tmp_path, monkeypatch, kind):
    far, near = tmp_path / "far away", tmp_path / "far away" / "near"
    near.mkdir(parents=True)
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        MOUNTS.format(kind=kind, far=str(far).replace(" ", r"\040"), near=str(near).replace(" ", r"\040"))
    )
    monkeypatch.setattr(place, "MOUNTS", mounts)

    with pytest.raises(JournalError, match=rf"network file system \({kind}\).*local disk as journal=.*to="):
        await start_of(far / "j.db", IDS)
    assert list(far.iterdir()) == [near]
    await start_of(near / "j.db", IDS)
    await start_of(tmp_path / "j.db", IDS)


async def test_f09_where_nothing_tells_the_file_system_it_is_tried(tmp_path, monkeypatch):
    monkeypatch.setattr(place, "MOUNTS", tmp_path / "nothing")

    await start_of(tmp_path / "j.db", IDS)


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.ENOSPC, errno.ENOLCK])
async def test_f09_a_place_that_cannot_be_written_is_an_error_that_says_so(tmp_path, monkeypatch, number):
    def refuse(*_, **__):
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr(lockfile, "lock" if number == errno.ENOLCK else "CREATE", refuse)
        if number != errno.ENOLCK:
            patched.setattr("os.open", refuse)
        with pytest.raises(JournalError, match=f"{os.strerror(number)}.*choose a path on a local disk"):
            await start_of(tmp_path / "j.db", IDS)

    assert len((await start_of(tmp_path / "j.db", IDS)).tasks) == len(IDS)


async def test_f09_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(JournalError, match=r"there is no folder .*nowhere; make it"):
        await start_of(tmp_path / "nowhere" / "j.db", IDS)


# --- F10: fork -------------------------------------------------------------------------------------------------------


@forks
async def test_f10_a_forked_child_is_refused_and_closes_nothing_of_its_parents(tmp_path):
    async with opened(tmp_path / "j.db") as (one, _):
        await updated(one, 1, ("d1", "VESSELS"))
        report = BatchReport(one)
        entry = Entry(one.next_seq(), 1, "updated", {"fresh": []})

        def in_the_child():
            told = {
                "write": outcome(lambda: one.write(entry)),
                "acknowledge": outcome(lambda: one.acknowledge(1)),
                "count": outcome(lambda: one.count(1)),
                "flush": outcome(lambda: asyncio.run(one.flush())),
                "report": outcome(lambda: len(report.completed)),
            }
            asyncio.run(one.close())
            one.abandon()
            return told

        told = in_a_fork(in_the_child)
        assert {name: kind for name, (kind, _) in told.items()} == dict.fromkeys(told, "StateError")
        assert all("before this process was forked" in words for _, words in told.values())

        await completed(one, 2)
        assert in_a_fork(lambda: outcome(lambda: asyncio.run(start_of(tmp_path / "j.db"))))[0] == "JournalError"

    assert (await start_of(tmp_path / "j.db")).over == 1


@forks
async def test_f10_a_forked_child_has_a_journal_of_its_own(tmp_path):
    async with opened(tmp_path / "j.db"):
        kind, words = in_a_fork(lambda: outcome(lambda: asyncio.run(start_of(tmp_path / "child.db", IDS)).total))

        assert (kind, words) == ("no error", "6")


@forks
async def test_f10_the_end_of_a_forked_child_removes_no_temporary_journal():
    async with opened(None) as (one, _):
        registry = weakref.finalize._registry
        mine = [end for end in registry if end.peek() and end.peek()[0] in (one, one.place)]
        assert len(mine) == 2

        # What is done at the end of a process.
        in_a_fork(lambda: outcome(lambda: [end() for end in mine]))

        assert one.path.exists()
        await updated(one, 1, ("d1", "VESSELS"))


# --- F11: one writer -------------------------------------------------------------------------------------------------


async def test_f11_nobody_but_the_one_writer_can_write_or_reset_the_log(tmp_path, monkeypatch):
    """The bug of SQLite before 3.51.3 needs a second connection that writes or checkpoints."""
    opens = []
    connect = sqlite3.connect
    monkeypatch.setattr("sqlite3.connect", lambda path, **rest: opens.append(path) or connect(path, **rest))
    async with opened(tmp_path / "j.db") as (one, _):
        await live(one)
        await one.flush()
        log = (tmp_path / "j.db-wal").stat().st_size
        report = BatchReport(one)
        str(report), dict(report.completed), list(report.waiting), report.requests

        with database.reading(one.place) as connection:
            with pytest.raises(sqlite3.OperationalError, match="readonly"):
                connection.execute("UPDATE tasks SET outcome = NULL")
            with contextlib.suppress(sqlite3.OperationalError):
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        assert (tmp_path / "j.db-wal").stat().st_size == log > 0
        written = [uri for uri in opens if "mode=ro" not in uri]
        assert [uri.rpartition("/")[2] for uri in written] == ["j.db.new?mode=rw", "j.db?mode=rw"]


# --- F16: another setup ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setup", "words"),
    [
        (Setup("https://other.example.net", SETUP.account, SETUP.types, SETUP.to), "not of https://other.example.net"),
        (Setup(SETUP.origin, "ffff", SETUP.types, SETUP.to), "another client id"),
        (Setup(SETUP.origin, SETUP.account, ("VESSELS",), SETUP.to), r"types=\['AIRCRAFT', 'VESSELS'\]"),
        (Setup(SETUP.origin, SETUP.account, None, SETUP.to), "not for None"),
        (Setup(SETUP.origin, SETUP.account, SETUP.types, "/elsewhere"), "to='/data/out'"),
        (Setup(SETUP.origin, SETUP.account, SETUP.types, None), "to='/data/out'"),
    ],
)
async def test_f16_a_journal_of_something_else_is_refused_before_it_is_changed(tmp_path, setup, words):
    await lived(tmp_path / "j.db")
    before = (tmp_path / "j.db").read_bytes()

    with pytest.raises(JournalError, match=words):
        await start_of(tmp_path / "j.db", (*IDS, "new"), setup)

    assert (tmp_path / "j.db").read_bytes() == before


async def test_f16_what_is_the_same_or_not_known_is_gone_on_with(tmp_path):
    await lived(tmp_path / "j.db")

    for same in (
        Setup(SETUP.origin, None, SETUP.types, SETUP.to),
        Setup(SETUP.origin, SETUP.account, ("VESSELS", "AIRCRAFT"), SETUP.to),
    ):
        assert (await start_of(tmp_path / "j.db", IDS, same)).setup == SETUP
    # Without ids, everything is as it was begun.
    resumed = await start_of(tmp_path / "j.db", None, Setup(SETUP.origin, SETUP.account, None, None))
    assert resumed.setup == SETUP
    for other in (Setup(SETUP.origin, "ffff", None, None), Setup("https://other.example.net", None, None, None)):
        with pytest.raises(JournalError):
            await start_of(tmp_path / "j.db", None, other)


# --- F17: secrets ----------------------------------------------------------------------------------------------------


async def test_f17_neither_a_link_nor_what_signs_one_is_in_any_file(tmp_path):
    secret = "s3cr3tsign4ture"
    link = f"https://d1.example.net/vessels.geojson?Expires=1&Signature={secret}&Key-Pair-Id={secret}"
    error = IceyeError(f"refused: {link}")
    error.detail, error.where, error.latest = f"see {link}", (link,), [link]
    async with opened(tmp_path / "j.db") as (one, _):
        body = {"error": error_facts(error), "began": 1.0, "ended": 2.0, "requests": 3}
        await one.write(Entry(one.next_seq(), 1, "failed", body))
        report = BatchReport(one)
        report.save(tmp_path / "report.json")
        for path in tmp_path.iterdir():
            assert secret.encode() not in path.read_bytes(), path
        assert "refused: https://d1.example.net/vessels.geojson" in str(report)


async def test_f17_all_files_are_their_owners_alone(tmp_path):
    before = os.umask(0)
    try:
        await lived(tmp_path / "j.db")
        (tmp_path / "j.db").write_bytes(b"nonsense")
        async with opened(tmp_path / "j.db") as (one, _):
            await updated(one, 1, ("d1", "VESSELS"))
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    finally:
        os.umask(before)

    assert modes == dict.fromkeys(["j.db", "j.db-wal", "j.db-shm", "j.db.lock", "j.db.damaged-1"], 0o600)


async def test_f17_the_lock_is_not_taken_through_a_link(tmp_path):
    (tmp_path / "mine").write_text("precious")
    (tmp_path / "j.db.lock").symlink_to(tmp_path / "mine")

    with pytest.raises(JournalError, match=r"j\.db cannot be written"):
        await start_of(tmp_path / "j.db", IDS)

    assert (tmp_path / "mine").read_text() == "precious"


# --- F18: clocks -----------------------------------------------------------------------------------------------------


async def test_f18_what_happened_first_comes_first_whatever_the_clock_said(tmp_path):
    times = [(5000.0, 6000.0), (4000.0, 3000.0), (100.0, 200.0)]
    for task, (began, ended) in enumerate(times, 1):
        async with opened(tmp_path / "j.db") as (one, _):
            body = {"types": ["VESSELS"], "began": began, "ended": ended, "requests": 1}
            await updated(one, task, (f"d{task}", "VESSELS"))
            await one.write(Entry(one.next_seq(), task, "completed", body))

    async with opened(tmp_path / "j.db", None) as (one, start):
        assert [entry.seq for entry, _ in start.unacknowledged] == [1, 2, 3, 4, 5, 6]
        assert [entry.task for entry, _ in start.unacknowledged] == [1, 1, 2, 2, 3, 3]
        told = BatchReport(one)
        assert [outcome.ended.timestamp() for outcome in told.completed.values()] == [6000, 3000, 200]
        assert "-" not in str(told).split("what")[1].replace("-0000", "").replace("-4000", "").replace("-8000", "")


def test_f18_a_journal_knows_no_time_but_that_of_outcomes(tmp_path):
    asyncio.run(lived(tmp_path / "j.db"))
    connection = sqlite3.connect(tmp_path / "j.db")
    schema = " ".join(sql for (sql,) in connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL"))
    connection.close()

    assert not re.search("time|date|stamp", schema)
    assert struct.unpack(">i", (tmp_path / "j.db").read_bytes()[68:72])[0] == database.APPLICATION
