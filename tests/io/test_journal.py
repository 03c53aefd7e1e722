"""The journal of a batch: what is written is there next time; and the report that is read from it."""

import asyncio
import contextlib
import csv
import gc
import inspect
import json
import sqlite3
import stat
import subprocess
import sys
import threading
import types
from datetime import UTC, datetime
from pathlib import Path

import pytest

from iceye_async import DiskFull, IceyeError, JournalError, MissingExtra, StateError, TaskEnded, UsageError, errors
from iceye_async.batch.database import Database
from iceye_async.batch.journal import _ENDING, Entry, Journal, Setup
from iceye_async.batch.report import BatchReport
from iceye_async.batch.rows import error_facts, error_from
from tests.journals import unflush

SETUP = Setup("https://api.example.net", None, ("AIRCRAFT", "VESSELS"), "/data/out")
IDS = ("t1", "t2", "t3", "t4")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    unflush(monkeypatch)


@contextlib.asynccontextmanager
async def opened(path, ids=IDS, setup=SETUP, *, given=None):
    """A journal, and what it started with."""
    journal = Journal(path)
    start = await journal.open(setup, ids, given=ids is not None if given is None else given)
    try:
        yield journal, start
    finally:
        await journal.close()


def note(journal, task, kind, **body):
    return journal.write(Entry(journal.next_seq(), task, kind, body))


def updated(journal, task, *fresh):
    return note(journal, task, "updated", fresh=[list(one) for one in fresh])


def downloaded(journal, task, *paths, derivatives=()):
    files = [
        {"asset": f"d1/{path}", "path": path, "size": 3, "sha256": "00", "known": False, "verified": True}
        for path in paths
    ]
    return note(journal, task, "downloaded", derivatives=list(derivatives), files=files)


def completed(journal, task, began=100.0, ended=160.0, requests=7):
    return note(journal, task, "completed", types=["VESSELS"], began=began, ended=ended, requests=requests)


def failed(journal, task, error):
    return note(journal, task, "failed", error=error_facts(error), began=100.0, ended=7300.0, requests=40)


ENDED = TaskEnded("task t2 is CANCELED", task_id="t2", status="CANCELED")


async def lived(path, ids=IDS):
    """A journal with one task completed, one failed, one under way and one of which nothing is known."""
    async with opened(path, ids) as (journal, _):
        await updated(journal, 1, ("d1", "VESSELS"), ("d2", "AIRCRAFT"))
        await downloaded(journal, 1, "t1/a.tif", "t1/b.json", derivatives=["d1", "d2"])
        await completed(journal, 1)
        await updated(journal, 3, ("d3", "VESSELS"))
        await failed(journal, 2, ENDED)
        journal.acknowledge(1)
        journal.acknowledge(2)
        journal.count(99)
    return path


# --- what is written is there next time ------------------------------------------------------------------------------


async def test_a_new_journal_has_each_id_once_in_the_order_given(tmp_path):
    async with opened(tmp_path / "j.db", ("b", "a", "b", "c")) as (_, start):
        assert start == (SETUP, [(1, "b"), (2, "a"), (3, "c")], 3, 0, {}, {}, {}, [], 0, None)


async def test_what_was_written_is_there_in_the_next_run(tmp_path):
    await lived(tmp_path / "j.db")

    async with opened(tmp_path / "j.db", None) as (_, start):
        assert start.setup == SETUP
        assert start.tasks == [(3, "t3"), (4, "t4")]
        assert (start.total, start.over, start.requests) == (4, 2, 99)
        assert start.delivered[3] == {"d3": "VESSELS"}
        assert start.delivered[1] == {"d1": "VESSELS", "d2": "AIRCRAFT"}
        assert start.downloaded == {1: {"d1", "d2"}}


async def test_events_that_nobody_acknowledged_come_again_in_their_order_and_with_their_numbers(tmp_path):
    await lived(tmp_path / "j.db")

    async with opened(tmp_path / "j.db", None) as (journal, start):
        told = [(entry.seq, entry.kind, task_id) for entry, task_id in start.unacknowledged]
        assert told == [(3, "completed", "t1"), (4, "updated", "t3"), (5, "failed", "t2")]
        assert str(error_from(start.unacknowledged[2][0].body["error"])) == str(ENDED)
        for seq, *_ in told:
            journal.acknowledge(seq)

    async with opened(tmp_path / "j.db", None) as (journal, start):
        assert start.unacknowledged == []
        assert start.delivered == {3: {"d3": "VESSELS"}}, "what has been dealt with of tasks that are over is not told"
        assert journal.next_seq() == 6


async def test_ids_are_added_to_those_that_are_in_it(tmp_path):
    await lived(tmp_path / "j.db")

    async with opened(tmp_path / "j.db", ("t9", "t4", "t1", "t9")) as (_, start):
        assert [task_id for _, task_id in start.tasks] == ["t3", "t4", "t9"]
        assert (start.total, start.over) == (5, 2)
        number = {task_id: number for number, task_id in start.tasks}["t9"]
        assert number not in {1, 2, 3, 4}

    async with opened(tmp_path / "j.db", None) as (_, start):
        assert dict(start.tasks)[number] == "t9"


async def test_an_id_may_hold_anything_that_is_text(tmp_path):
    ids = ("../x", "a'b\"; DROP TABLE tasks", "\N{SNOWMAN}", "nul\0in it", "%2f")

    async with opened(tmp_path / "j.db", ids):
        pass

    async with opened(tmp_path / "j.db", None) as (_, start):
        assert [task_id for _, task_id in start.tasks] == list(ids)


async def test_without_ids_there_must_be_a_journal(tmp_path):
    journal = Journal(tmp_path / "j.db")

    with pytest.raises(JournalError, match=r"no journal at .*j\.db; begin one with task_ids"):
        await journal.open(SETUP, None, given=False)

    assert list(tmp_path.iterdir()) == []


async def test_a_journal_without_any_task_is_one(tmp_path):
    async with opened(tmp_path / "j.db", ()) as (_, start):
        assert (start.tasks, start.total) == ([], 0)


async def test_a_link_to_a_journal_is_that_journal(tmp_path):
    (tmp_path / "link.db").symlink_to(tmp_path / "j.db")

    async with opened(tmp_path / "j.db"):
        with pytest.raises(JournalError, match="in use"):
            await Journal(tmp_path / "link.db").open(SETUP, None, given=False)


# --- the thread ------------------------------------------------------------------------------------------------------


class Gate:
    """Holds the first commit back until it is opened; `sizes` are the numbers of entries of all commits."""

    def __init__(self, monkeypatch):
        self.reached, self.open, self.sizes = threading.Event(), threading.Event(), []
        commit = Database.commit

        def committing(database, entries, acknowledged, requests):
            self.sizes.append(len(entries))
            self.reached.set()
            assert self.open.wait(5)
            commit(database, entries, acknowledged, requests)

        monkeypatch.setattr(Database, "commit", committing)


async def test_what_comes_together_is_one_commit_and_one_call_into_the_loop(tmp_path, monkeypatch):
    gate = Gate(monkeypatch)
    async with opened(tmp_path / "j.db") as (journal, _):
        first = updated(journal, 1, ("d0", "VESSELS"))
        assert await asyncio.to_thread(gate.reached.wait, 5)
        written = [updated(journal, 1, (f"d{n}", "VESSELS")) for n in range(1, 1001)]
        loop, calls = asyncio.get_running_loop(), []
        call_soon = loop.call_soon_threadsafe
        monkeypatch.setattr(loop, "call_soon_threadsafe", lambda *call: calls.append(call) or call_soon(*call))

        gate.open.set()
        await asyncio.gather(first, *written)

        assert gate.sizes == [1, 1000]
        assert len(calls) == 2


async def test_it_is_done_only_when_it_is_on_the_disk(tmp_path, monkeypatch):
    gate = Gate(monkeypatch)
    async with opened(tmp_path / "j.db") as (journal, _):
        written = completed(journal, 2)
        assert await asyncio.to_thread(gate.reached.wait, 5)
        assert not written.done()
        gate.open.set()
        await written

        with contextlib.closing(sqlite3.connect(f"file:{journal.path}?mode=ro", uri=True)) as other:
            assert other.execute("SELECT kind FROM events").fetchall() == [("completed",)]
            assert other.execute("SELECT outcome FROM tasks WHERE id = 't2'").fetchall() == [("completed",)]


async def test_futures_are_settled_in_the_thread_of_the_loop(tmp_path):
    async with opened(tmp_path / "j.db") as (journal, _):
        threads = []
        written = updated(journal, 1, ("d1", "VESSELS"))
        written.add_done_callback(lambda _: threads.append(threading.current_thread()))
        await written
        await asyncio.sleep(0)

        assert threads == [threading.current_thread()]


async def test_somebody_who_waits_no_longer_disturbs_nobody(tmp_path):
    async with opened(tmp_path / "j.db") as (journal, _):
        given_up = updated(journal, 1, ("d1", "VESSELS"))
        given_up.cancel()
        await updated(journal, 1, ("d2", "VESSELS"))

    async with opened(tmp_path / "j.db", None) as (_, start):
        assert set(start.delivered[1]) == {"d1", "d2"}


async def test_the_thread_is_a_daemon_that_has_gone_after_close(tmp_path):
    def threads():
        return [thread for thread in threading.enumerate() if thread.name == "iceye-async-journal"]

    async with opened(tmp_path / "j.db"):
        (thread,) = threads()
        assert thread.daemon

    assert threads() == []


async def test_flush_comes_back_when_everything_is_on_the_disk(tmp_path):
    async with opened(tmp_path / "j.db") as (journal, _):
        written = [updated(journal, 1, (f"d{n}", "VESSELS")) for n in range(50)]

        await journal.flush()

        assert all(one.done() for one in written)


async def test_requests_are_counted_at_the_end_too(tmp_path):
    async with opened(tmp_path / "j.db") as (journal, _):
        journal.count(17)

    async with opened(tmp_path / "j.db", None) as (_, start):
        assert start.requests == 17


# --- the end ---------------------------------------------------------------------------------------------------------


async def test_a_closed_journal_is_one_file_beside_its_lock(tmp_path):
    async with opened(tmp_path / "j.db") as (journal, _):
        await updated(journal, 1, ("d1", "VESSELS"))
        assert (tmp_path / "j.db-wal").exists()

    assert {path.name for path in tmp_path.iterdir()} == {"j.db", "j.db.lock"}


async def test_closing_may_be_repeated_and_is_the_end(tmp_path):
    async with opened(tmp_path / "j.db") as (journal, _):
        await journal.close()
        await journal.close()
        journal.abandon()
        with pytest.raises(JournalError, match="is closed"):
            await updated(journal, 1, ("d1", "VESSELS"))
        journal.acknowledge(1)
        await journal.flush()
        with pytest.raises(StateError, match="opened before"):
            await journal.open(SETUP, IDS, given=True)


async def test_a_journal_that_was_not_opened_writes_nothing(tmp_path):
    journal = Journal(tmp_path / "j.db")

    with pytest.raises(StateError, match="not open"):
        journal.write(Entry(1, 1, "updated", {"fresh": []}))
    await journal.close()
    journal.abandon()

    assert list(tmp_path.iterdir()) == []


async def test_an_opening_that_is_cancelled_leaves_the_journal_to_others(tmp_path):
    journal = Journal(tmp_path / "j.db")
    opening = asyncio.create_task(journal.open(SETUP, IDS, given=True))
    await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    journal.abandon()

    async with opened(tmp_path / "j.db") as (_, start):
        assert len(start.tasks) == 4


async def test_a_journal_that_nobody_has_any_more_is_written_and_free(tmp_path):
    journal = Journal(tmp_path / "j.db")
    await journal.open(SETUP, IDS, given=True)
    updated(journal, 1, ("d1", "VESSELS"))

    del journal
    gc.collect()

    async with opened(tmp_path / "j.db", None) as (_, start):
        assert start.delivered == {1: {"d1": "VESSELS"}}


def test_abandoning_needs_no_event_loop(tmp_path):
    journal = Journal(tmp_path / "j.db")

    async def begin():
        await journal.open(SETUP, IDS, given=True)
        updated(journal, 1, ("d1", "VESSELS"))

    asyncio.run(begin())
    journal.abandon()

    async def go_on():
        async with opened(tmp_path / "j.db", None) as (_, start):
            return start.delivered

    assert asyncio.run(go_on()) == {1: {"d1": "VESSELS"}}


async def test_one_that_is_ending_still_is_waited_for_by_the_next(tmp_path, monkeypatch):
    """Its disk is slow: it was told to end, and whoever told it waits no longer."""
    leave, may_leave = Database.leave, threading.Event()

    def leaving(base):
        may_leave.wait(10)
        leave(base)

    monkeypatch.setattr(Database, "leave", leaving)
    monkeypatch.setattr("iceye_async.batch.journal._HASTE", 0.01)
    first = Journal(tmp_path / "j.db")
    await first.open(SETUP, IDS, given=True)
    first.abandon()
    second = Journal(tmp_path / "j.db")
    opening = asyncio.ensure_future(second.open(SETUP, IDS, given=True))
    done, _ = await asyncio.wait([opening], timeout=0.05)
    may_leave.set()

    assert not done
    await opening
    await second.close()
    assert not [writer for writer in _ENDING if writer.path == second.path]


def test_a_program_that_just_ends_loses_nothing(tmp_path):
    program = f"""
import asyncio
from iceye_async.batch.journal import _ENDING, Entry, Journal, Setup
async def begin():
    journal = Journal({str(tmp_path / "j.db")!r})
    await journal.open(Setup("https://api.example.net", None, None, None), ("t1",), given=True)
    for _ in range(500):
        journal.write(Entry(journal.next_seq(), 1, "updated", {{"fresh": []}}))
    return journal
kept = asyncio.run(begin())
"""
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, capture_output=True)

    async def go_on():
        setup = Setup(SETUP.origin, None, None, None)
        async with opened(tmp_path / "j.db", None, setup) as (_, start):
            return len(start.unacknowledged)

    assert asyncio.run(go_on()) == 500
    assert {path.name for path in tmp_path.iterdir()} == {"j.db", "j.db.lock"}


# --- without a name --------------------------------------------------------------------------------------------------


async def test_a_temporary_journal_lives_as_long_as_its_reports():
    async with opened(None) as (journal, _):
        await completed(journal, 1)
        path = journal.path
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        report = BatchReport(journal)
    del journal
    gc.collect()
    assert list(report.completed) == ["t1"]

    del report
    gc.collect()
    assert not path.parent.exists()


async def test_no_room_for_a_temporary_journal_is_an_error(monkeypatch):
    def full(**_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.mkdtemp", full)

    with pytest.raises(JournalError, match=r"temporary journal.*pass journal="):
        Journal(None)


# --- errors ----------------------------------------------------------------------------------------------------------

FACTS = {
    "sent": False,
    "status": 503,
    "code": "TOO_MUCH",
    "title": "Busy",
    "detail": "come back",
    "reference": "ref-1",
    "retry_after": 2.5,
    "request_id": "r-1",
    "where": ("$.data[0].id", "$.x"),
    "task_id": "t1",
    "types": frozenset({"VESSELS", "AIRCRAFT"}),
    "path": Path("/data/out/a.tif"),
    "asset": "d1/image",
    "done": (Path("/data/out/b.tif"),),
}
KINDS = [
    kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, IceyeError) and not name.startswith("_")
]


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_comes_back_as_it_was(kind):
    accepted = inspect.signature(kind.__init__).parameters
    facts = {name: fact for name, fact in FACTS.items() if name in accepted}
    if "status" in facts and issubclass(kind, TaskEnded):
        facts["status"] = "CANCELED"
    error = kind("task t1: it is over", **facts)
    error.given_up = True

    back = error_from(json.loads(json.dumps(error_facts(error))))

    assert type(back) is kind
    assert str(back) == str(error)
    assert {**vars(back), "latest": None} == {**vars(error), "latest": None}
    assert {name: type(fact) for name, fact in vars(back).items()} == {
        name: type(fact) for name, fact in vars(error).items() if name != "latest" or "latest" in vars(back)
    }


def test_the_errors_of_several_files_come_back_with_them():
    error = errors.DownloadError("2 of 3 files", failed={"d1/a": DiskFull("no room", path=Path("/x"))})

    back = error_from(json.loads(json.dumps(error_facts(error))))

    (only,) = back.failed.values()
    assert (type(only), str(only), only.path) == (DiskFull, "no room", Path("/x"))


def test_what_the_service_listed_is_not_kept_with_an_error():
    assert (
        "latest"
        not in error_facts(errors.PollTimeout("too late", latest=["https://x.example.net/?Signature=1"]))["facts"]
    )


def test_an_error_of_somebody_elses_comes_back_as_what_it_is_like():
    class Mine(errors.Forbidden):
        pass

    error = Mine("no", status=403)
    error.culprit = object()

    back = error_from(error_facts(error))

    assert (type(back), str(back), back.status) == (errors.Forbidden, "no", 403)


@pytest.mark.parametrize("name", ["Path", "FutureError", "annotations", "Exception", "__doc__"])
def test_an_error_of_an_unknown_class_is_one_of_ours(name):
    assert type(error_from({"class": name, "message": "odd", "facts": {}})) is IceyeError


# --- the report ------------------------------------------------------------------------------------------------------


@pytest.fixture
async def report(tmp_path):
    async with opened(await lived(tmp_path / "j.db"), None) as (journal, _):
        yield BatchReport(journal)


async def test_the_report_tells_what_has_become_of_each_task(report):
    (task_id, outcome), *others = report.completed.items()

    assert (task_id, others) == ("t1", [])
    assert outcome.types == {"VESSELS"}
    assert outcome.derivative_ids == ("d1", "d2")
    assert outcome.files == (Path("/data/out/t1/a.tif"), Path("/data/out/t1/b.json"))
    assert outcome.began == datetime.fromtimestamp(100, UTC)
    assert outcome.ended == datetime.fromtimestamp(160, UTC)
    assert outcome.requests == 7
    assert report.completed["t1"] == outcome
    error = report.failed["t2"]
    assert (type(error), str(error), error.task_id, error.status) == (TaskEnded, str(ENDED), "t2", "CANCELED")
    assert list(report.waiting) == ["t3", "t4"]
    assert report.requests == 99
    assert repr(report) == "<BatchReport: 1 completed, 1 failed, 2 waiting>"


async def test_the_parts_of_a_report_are_collections(report):
    assert list(report.completed) == list(report.completed.keys()) == ["t1"]
    assert [outcome.requests for outcome in report.completed.values()] == [7]
    assert (len(report.completed), len(report.failed), len(report.waiting)) == (1, 1, 2)
    assert "t1" in report.completed
    assert "t2" not in report.completed
    assert "t3" in report.waiting
    assert "t1" not in report.waiting
    for nobody in ("t2", "t9", "\udcff", 7):
        assert nobody not in report.completed
        assert nobody not in report.waiting
        assert report.completed.get(nobody) is None
        with pytest.raises(KeyError):
            report.completed[nobody]
    assert report.completed == dict(report.completed)
    assert (repr(report.failed), repr(report.waiting)) == ("<1 failed tasks, by id>", "<the ids of 2 tasks>")


async def test_a_report_is_up_to_date(tmp_path):
    async with opened(tmp_path / "j.db") as (journal, _):
        report = BatchReport(journal)
        assert len(report.completed) == 0

        await completed(journal, 4)

        assert list(report.completed) == ["t4"]
    assert list(report.completed) == ["t4"], "after the end too"


async def test_a_report_can_be_gone_through_while_the_journal_is_written(tmp_path):
    ids = tuple(f"t{n}" for n in range(1, 1201))
    async with opened(tmp_path / "j.db", ids) as (journal, _):
        await asyncio.gather(*[completed(journal, n) for n in range(1, 1201)])
        seen = []
        for task_id, outcome in BatchReport(journal).completed.items():
            if len(seen) % 400 == 0:
                await updated(journal, 1, ("d1", "VESSELS"))
            assert outcome.requests == 7
            seen.append(task_id)
        connection = sqlite3.connect(journal.path)
        busy, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        connection.close()

        assert seen == list(ids)
        assert busy == 0, "nobody reads it any more"


def test_a_report_without_a_journal_is_empty(tmp_path):
    report = BatchReport()

    assert (dict(report.completed), dict(report.failed), list(report.waiting), report.requests) == ({}, {}, [], 0)
    assert "t1" not in report.waiting
    assert str(report) == "0 tasks: 0 completed, 0 failed, 0 waiting; 0 requests"
    report.save(tmp_path / "none.json")
    assert json.loads((tmp_path / "none.json").read_text()) == {"requests": 0, "tasks": []}


async def test_a_report_of_a_journal_that_is_gone_says_so(tmp_path):
    async with opened(tmp_path / "j.db") as (journal, _):
        report = BatchReport(journal)
    (tmp_path / "j.db").unlink()

    with pytest.raises(JournalError, match=r"j\.db"):
        len(report.completed)
    assert repr(report) == "<BatchReport: its journal cannot be read>"


async def test_a_report_prints_as_a_table(report):
    assert str(report).splitlines() == [
        "4 tasks: 1 completed, 1 failed, 2 waiting; 99 requests",
        "task  outcome    derivatives  files        took  requests  what",
        "t2    failed               0      0  2 h 00 min        40  TaskEnded: task t2 is CANCELED",
        "t3    waiting              1      0                        VESSELS",
        "t4    waiting              0      0",
        "t1    completed            2      2  1 min 00 s         7  VESSELS",
    ]


async def test_of_many_tasks_the_first_are_printed_and_the_others_counted(tmp_path):
    async with opened(tmp_path / "j.db", tuple(f"t{n}" for n in range(1, 1301))) as (journal, _):
        await asyncio.gather(*[failed(journal, n, ENDED) for n in range(1201, 1231)])
        lines = str(BatchReport(journal)).splitlines()

    assert len(lines) == 43
    assert lines[0].startswith("1,300 tasks: 0 completed, 30 failed, 1,270 waiting")
    assert sum(" failed " in line for line in lines[2:]) == 30, "what failed is printed first"
    assert lines[-1] == "... and 1,260 more"


async def test_nothing_from_outside_moves_the_cursor_or_tears_the_table(tmp_path):
    evil = "t\x1b[2J\x1b]0;title\x07\n\u202eback" + "x" * 500
    async with opened(tmp_path / "j.db", (evil,)) as (journal, _):
        await failed(journal, 1, IceyeError("a\x1b[31m red\nline " * 50))
        printed = str(BatchReport(journal))

    assert printed.isprintable() or set(printed) - {"\n"} == {char for char in printed if char.isprintable()}
    assert len(printed.splitlines()) == 3
    assert max(map(len, printed.splitlines())) < 200


# --- saved -----------------------------------------------------------------------------------------------------------


async def test_a_report_is_saved_as_json(report, tmp_path):
    report.save(tmp_path / "report.json")

    saved = json.loads((tmp_path / "report.json").read_text())
    assert saved["requests"] == 99
    assert saved["tasks"][0] == {
        "task_id": "t1",
        "outcome": "completed",
        "types": ["VESSELS"],
        "derivative_ids": ["d1", "d2"],
        "files": ["/data/out/t1/a.tif", "/data/out/t1/b.json"],
        "began": "1970-01-01T00:01:40+00:00",
        "ended": "1970-01-01T00:02:40+00:00",
        "requests": 7,
        "error": None,
        "message": None,
    }
    assert [(row["task_id"], row["outcome"], row["error"]) for row in saved["tasks"][1:]] == [
        ("t2", "failed", "TaskEnded"),
        ("t3", "waiting", None),
        ("t4", "waiting", None),
    ]


async def test_a_report_is_saved_as_csv(report, tmp_path):
    report.save(str(tmp_path / "report.CSV"))

    with (tmp_path / "report.CSV").open(newline="") as file:
        rows = {row["task_id"]: row for row in csv.DictReader(file)}
    assert list(rows) == ["t1", "t2", "t3", "t4"]
    assert rows["t1"]["derivative_ids"] == "d1;d2"
    assert rows["t1"]["ended"] == "1970-01-01T00:02:40+00:00"
    assert rows["t2"]["message"] == str(ENDED)
    assert rows["t4"]["requests"] == ""


@pytest.mark.parametrize("missing", ["pandas", "pyarrow"])
async def test_parquet_without_what_it_needs_names_it(report, tmp_path, monkeypatch, missing):
    for name in ("pandas", "pyarrow"):
        monkeypatch.setitem(sys.modules, name, None if name == missing else types.ModuleType(name))

    with pytest.raises(MissingExtra, match="pandas and pyarrow"):
        report.save(tmp_path / "report.parquet")

    assert not list(tmp_path.glob("*report*")), "and leaves nothing behind"


async def test_a_report_is_saved_as_parquet_by_pandas(report, tmp_path, monkeypatch):
    pandas = types.ModuleType("pandas")

    class DataFrame:
        def __init__(self, rows, columns):
            self.rows, self.columns = rows, columns

        def to_parquet(self, path, *, index):
            assert index is False
            ended = [None if row["ended"] is None else row["ended"].tzname() for row in self.rows]
            Path(path).write_text(json.dumps([self.columns, [row["task_id"] for row in self.rows], ended]))

    pandas.DataFrame = DataFrame
    monkeypatch.setitem(sys.modules, "pandas", pandas)
    monkeypatch.setitem(sys.modules, "pyarrow", types.ModuleType("pyarrow"))

    report.save(tmp_path / "report.parquet")

    columns, ids, ended = json.loads((tmp_path / "report.parquet").read_text())
    assert columns[:2] == ["task_id", "outcome"]
    assert ids == ["t1", "t2", "t3", "t4"]
    assert ended == ["UTC", "UTC", None, None]


@pytest.mark.parametrize("name", ["report", "report.xlsx", "report.json.gz"])
async def test_any_other_suffix_is_refused(report, tmp_path, name):
    with pytest.raises(UsageError, match=r"\.json, \.csv or \.parquet"):
        report.save(tmp_path / name)


async def test_a_report_that_cannot_be_written_leaves_what_was_there(report, tmp_path, monkeypatch):
    path = tmp_path / "report.json"
    path.write_text("the old one")

    def full(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(DiskFull, match="make room") as caught:
        report.save(path)
    assert caught.value.path == path
    with pytest.raises(UsageError, match="No such file or directory"):
        report.save(tmp_path / "nowhere" / "report.json")

    assert path.read_text() == "the old one"
    assert {found.name for found in tmp_path.glob("*report*")} | {found.name for found in tmp_path.glob(".*")} == {
        "report.json"
    }


async def test_a_saved_report_is_as_readable_as_any_new_file(report, tmp_path):
    (tmp_path / "new").touch()

    report.save(tmp_path / "report.json")

    assert (tmp_path / "report.json").stat().st_mode == (tmp_path / "new").stat().st_mode
