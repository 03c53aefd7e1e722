"""A batch as it is used: driven in every way, its events, its report, and the journal with which it goes on."""

import asyncio
import contextlib
import csv
import gc
import json
import logging
import math
import os
import pickle
import re
import socket
import sqlite3
import warnings
from collections.abc import AsyncIterator, Coroutine
from datetime import UTC, datetime

import pytest
from aiohttp import web
from aioresponses import aioresponses

from iceye_async import (
    BatchEvent,
    BatchOutcome,
    BatchReport,
    Client,
    ClientCredentials,
    DerivativesNotRequested,
    DerivativeType,
    DerivativeUpdate,
    Forbidden,
    IceyeError,
    JournalError,
    MissingExtra,
    PollPolicy,
    PollTimeout,
    StateError,
    TaskEnded,
    TaskNotFound,
    Unauthorized,
    UsageError,
)
from iceye_async.batch import Downloaded, Failed, Finished, Updated
from iceye_async.events import Finished as FileFinished
from iceye_async.sandbox import Sandbox, Scenario
from tests.desk import AT_ONCE, ordered

TASKS = "/api/tasking/v2/tasks"
REJECTED = "rejected"


def look(name):
    return f"{TASKS}/{name}/derivatives"


def listing(status, name, **there):
    """`vessels=True` has assets, `vessels=False` is on the list without any."""
    entries = [
        {
            "id": f"{name}-{kind}",
            "derivativeProductType": f"DC_{kind.upper()}",
            "assets": [{"type": "geojson", "href": "https://l.example/f?Signature=c4n4ry"}] if ready else [],
        }
        for kind, ready in there.items()
    ]
    return (status, {}, json.dumps({"data": entries}).encode())


def shown(name, status="DONE", **more):
    now = datetime.now(UTC).isoformat()
    document = {
        "id": name,
        "contractID": "c",
        "pointOfInterest": {"lat": 1.0, "lon": 2.0},
        "imagingMode": "SPOTLIGHT",
        "acquisitionWindow": {"start": "2020-01-01T00:00:00Z", "end": "2020-01-02T00:00:00Z"},
        "status": status,
        "createdAt": "2020-01-01T00:00:00Z",
        "updatedAt": now,
        **more,
    }
    return (200, {}, json.dumps(document).encode())


def some(name):
    return listing(206, name, vessels=True, aircraft=False)


def both(name):
    return listing(200, name, vessels=True, aircraft=True)


NONE = (404, {}, b'{"code": "not_found", "message": "none"}')


@pytest.fixture
def tasks(service):
    """t1 is over after a 206 and a 200, t2 at once; t3 is REJECTED, and of t4 nobody has heard."""
    service.answers(TASKS, (403, {}, b""))
    service.answers(look("t1"), some("t1"), both("t1"))
    service.answers(look("t2"), listing(200, "t2", vessels=True))
    service.answers(look("t3"), NONE)
    service.answers(f"{TASKS}/t1", shown("t1"))
    service.answers(f"{TASKS}/t3", shown("t3", "REJECTED"))
    service.answers(look("t4"), NONE)
    service.answers(f"{TASKS}/t4", NONE)
    return ["t1", "t2", "t3", "t4"]


@pytest.fixture
def gate(service, tasks):
    """The second answer about t1 waits until `gate.set()`; `gate.reached` is set when it is asked for."""
    gate = asyncio.Event()
    gate.reached = asyncio.Event()

    async def held(request):
        gate.reached.set()
        await gate.wait()
        return web.Response(status=200, body=both("t1")[2])

    service.answers(look("t1"), some("t1"), held)
    return gate


async def collect(batch):
    return [event async for event in batch]


def kinds(events):
    return [type(event).__name__ for event in events]


# --- the ways to drive it --------------------------------------------------------------------------------------------


async def test_awaited_it_gives_the_report(connect, tasks):
    report = await connect().await_batch(tasks)

    assert isinstance(report, BatchReport)
    assert set(report.completed) == {"t1", "t2"}
    assert set(report.failed) == {"t3", "t4"}
    assert list(report.waiting) == []


async def test_iterated_it_gives_each_event(connect, tasks):
    events = await collect(connect().await_batch(tasks))

    assert all(isinstance(event, BatchEvent) for event in events)
    assert kinds(event for event in events if event.task_id == "t1") == ["Updated", "Updated", "Finished"]
    assert kinds(event for event in events if event.task_id == "t2") == ["Updated", "Finished"]
    assert kinds(event for event in events if event.task_id in {"t3", "t4"}) == ["Failed", "Failed"]


async def test_it_is_a_coroutine_and_an_iterator(connect, tasks):
    batch = connect().await_batch(tasks)

    assert isinstance(batch, Coroutine)
    assert isinstance(batch, AsyncIterator)
    batch.close()


async def test_nothing_is_asked_and_no_file_is_made_before_it_is_driven(connect, service, tasks, tmp_path):
    batch = connect().await_batch(tasks, journal=tmp_path / "batch.db", to=tmp_path / "files")
    await asyncio.sleep(0)

    assert not service.requests
    assert list(tmp_path.iterdir()) == []
    batch.close()


async def test_after_a_break_an_await_goes_on_and_the_report_has_everything(connect, service, tasks):
    batch = connect().await_batch(tasks)
    async for event in batch:
        assert isinstance(event, BatchEvent)
        break

    report = await batch

    assert len(report.completed) + len(report.failed) == 4
    assert len(service.asked(look("t1"))) == 2
    assert len(service.asked(look("t2"))) == 1


async def test_after_a_break_a_second_iteration_goes_on_where_the_first_stopped(connect, service, tasks):
    batch = connect().await_batch(tasks)
    first = [await anext(batch), await anext(batch)]

    events = [*first, *await collect(batch)]

    assert len({event.id for event in events}) == len(events) == 7
    assert len(service.asked(look("t1"))) == 2


async def test_after_the_end_nothing_is_asked_and_nothing_comes(connect, service, tasks):
    batch = connect().await_batch(tasks)
    await collect(batch)
    asked = len(service.requests)

    report = await batch
    assert await collect(batch) == []
    assert await batch is not None
    assert len(report.completed) == 2
    assert len(service.requests) == asked


async def test_latest_is_the_report_so_far(connect, gate, tasks):
    batch = connect().await_batch(tasks)
    driver = asyncio.create_task(collect(batch))
    await gate.reached.wait()

    assert isinstance(batch.latest, BatchReport)
    assert "t1" in batch.latest.waiting
    assert "t1" not in batch.latest.completed
    gate.set()
    await driver
    assert list(batch.latest.waiting) == []


async def test_a_cancelled_step_loses_nothing(connect, service, gate, tasks):
    batch = connect().await_batch(["t1"])
    first = await anext(batch)
    step = asyncio.ensure_future(anext(batch))
    await gate.reached.wait()
    step.cancel()
    with pytest.raises(asyncio.CancelledError):
        await step
    gate.set()

    events = [first, *await collect(batch)]

    assert kinds(events) == ["Updated", "Updated", "Finished"]
    assert [[fresh.id for fresh in event.update.fresh] for event in events[:2]] == [["t1-vessels"], ["t1-aircraft"]]


async def test_a_step_that_wait_for_gives_up_can_be_taken_again(connect, gate, tasks):
    batch = connect().await_batch(["t1"])
    events = [await anext(batch)]
    for _ in range(3):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(batch), 0.02)
    gate.set()

    events += await collect(batch)

    assert kinds(events) == ["Updated", "Updated", "Finished"]


async def test_a_cancelled_await_can_be_awaited_again(connect, gate, tasks):
    batch = connect().await_batch(tasks)
    task = asyncio.create_task(batch)
    await gate.reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    gate.set()

    assert set((await batch).completed) == {"t1", "t2"}


async def test_no_task_is_left_behind_by_a_cancellation(connect, gate, tasks):
    before = asyncio.all_tasks()
    batch = connect().await_batch(tasks)
    task = asyncio.create_task(batch)
    await gate.reached.wait()
    task.cancel()
    await asyncio.wait([task])
    batch.close()
    await asyncio.sleep(0.05)

    left = asyncio.all_tasks() - before
    assert [task for task in left if "RequestHandler" not in repr(task)] == []


async def test_as_a_task_in_gather_in_wait_for_and_in_a_task_group(connect, service, tasks):
    client = connect()

    assert len((await asyncio.create_task(client.await_batch(["t2"]))).completed) == 1
    assert len((await asyncio.gather(client.await_batch(["t2"])))[0].completed) == 1
    assert len((await asyncio.wait_for(client.await_batch(["t2"]), 5)).completed) == 1
    async with asyncio.TaskGroup() as group:
        task = group.create_task(client.await_batch(["t2"]))
    assert len(task.result().completed) == 1


def test_in_asyncio_run():
    client = Client("https://api.example", auth="c4n4ry-token")
    with aioresponses() as mocked:
        mocked.get(f"https://api.example{look('t2')}", status=200, body=listing(200, "t2", vessels=True)[2])
        report = asyncio.run(client.await_batch(["t2"]))
    asyncio.run(client.close())

    assert set(report.completed) == {"t2"}


DRIVERS = {
    "await": lambda batch: batch,
    "anext": anext,
    "async for": collect,
    "task": asyncio.create_task,
    "wait_for": lambda batch: asyncio.wait_for(batch, 5),
}


@pytest.mark.parametrize("second", DRIVERS.values(), ids=DRIVERS)
@pytest.mark.parametrize("first", ["task", "async for"])
async def test_a_second_driver_is_refused_and_does_not_disturb_the_first(connect, gate, tasks, first, second):
    batch = connect().await_batch(tasks)
    driver = asyncio.create_task(batch if first == "task" else collect(batch))
    await gate.reached.wait()

    with pytest.raises(StateError, match="already"):
        async with asyncio.timeout(1):
            await second(batch)

    gate.set()
    async with asyncio.timeout(2):
        await driver
    assert len(batch.latest.completed) == 2


async def test_dropped_undriven_it_warns(connect, tasks):
    def drop():
        connect().await_batch(tasks)

    with pytest.warns(RuntimeWarning, match="never awaited or iterated"):
        drop()


async def test_cancelled_before_its_first_step_or_closed_it_is_silent(connect, service, tasks):
    client = connect()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        task = asyncio.create_task(client.await_batch(tasks))
        task.cancel()
        await asyncio.wait([task])
        client.await_batch(tasks).close()
        del task
        gc.collect()

    assert not service.requests


async def test_dropped_half_way_it_is_silent_and_leaves_its_journal_free(connect, gate, tasks, tmp_path):
    client = connect()
    batch = client.await_batch(tasks, journal=tmp_path / "batch.db")
    await anext(batch)
    del batch
    gc.collect()
    gate.set()

    report = await client.await_batch(tasks, journal=tmp_path / "batch.db")

    assert len(report.completed) + len(report.failed) == 4


async def test_a_body_that_raises_leaves_it_usable(connect, tasks):
    batch = connect().await_batch(tasks)
    with contextlib.suppress(ZeroDivisionError):
        async for _ in batch:
            _ = 1 / 0

    assert len((await batch).completed) == 2


async def test_it_cannot_be_pickled(connect, tasks):
    batch = connect().await_batch(tasks)

    with pytest.raises(UsageError):
        pickle.dumps(batch)
    batch.close()


# --- events ----------------------------------------------------------------------------------------------------------


async def test_an_update_has_the_derivatives_with_their_links(connect, tasks):
    events = await collect(connect().await_batch(["t1"]))

    updates = [event.update for event in events if isinstance(event, Updated)]
    assert all(isinstance(update, DerivativeUpdate) for update in updates)
    assert [[fresh.id for fresh in update.fresh] for update in updates] == [["t1-vessels"], ["t1-aircraft"]]
    assert updates[0].fresh[0].assets[0].href.startswith("https://l.example/")
    assert (updates[0].ready, updates[0].missing) == ({"DC_VESSELS"}, {"DC_AIRCRAFT"})
    assert updates[1].complete


async def test_a_206_without_news_is_no_event(connect, service, tasks):
    service.answers(look("t1"), *[some("t1")] * 6, both("t1"))

    events = await collect(connect().await_batch(["t1"]))

    assert kinds(events) == ["Updated", "Updated", "Finished"]


async def test_ids_of_events_are_strings_and_all_different_and_nothing_comes_again(connect, tasks):
    events = await collect(connect().await_batch(tasks))

    assert all(isinstance(event.id, str) and event.id for event in events)
    assert len({event.id for event in events}) == len(events)
    assert not any(event.again for event in events)


async def test_no_link_is_in_the_repr_of_an_event(connect, tasks):
    for event in await collect(connect().await_batch(tasks)):
        assert event.task_id in repr(event)
        assert "c4n4ry" not in repr(event)


async def test_named_types_are_enough(connect, service, tasks):
    """A task ends with its wanted types, without waiting for the rest; others are not fresh."""
    service.answers(look("t1"), listing(206, "t1", vessels=True, aircraft=True, vehicles=False))

    events = await collect(connect().await_batch(["t1"], [DerivativeType.VESSELS]))

    assert kinds(events) == ["Updated", "Finished"]
    assert [fresh.id for fresh in events[0].update.fresh] == ["t1-vessels"]
    assert events[1].outcome.types == {"DC_VESSELS"}
    assert events[1].outcome.derivative_ids == ("t1-vessels",)


async def test_a_bare_string_is_one_id_and_one_type(connect, tasks):
    report = await connect().await_batch("t2", "DC_VESSELS")

    assert list(report.completed) == ["t2"]


async def test_duplicates_are_one_task_and_a_generator_will_do(connect, service, tasks):
    report = await connect().await_batch(name for name in ["t2", "t2", "t2"])

    assert list(report.completed) == ["t2"]
    assert len(service.asked(look("t2"))) == 1


async def test_no_ids_are_an_empty_report(connect, service, tasks):
    report = await connect().await_batch([])

    assert (dict(report.completed), dict(report.failed), list(report.waiting)) == ({}, {}, [])
    assert report.requests == 0
    assert "0" in str(report)
    assert not service.requests


# --- the report ------------------------------------------------------------------------------------------------------


async def test_an_outcome_has_types_ids_times_and_requests(connect, service, tasks):
    report = await connect().await_batch(tasks)

    outcome = report.completed["t1"]
    assert isinstance(outcome, BatchOutcome)
    assert outcome.types == {"DC_VESSELS", "DC_AIRCRAFT"}
    assert sorted(outcome.derivative_ids) == ["t1-aircraft", "t1-vessels"]
    assert outcome.files == ()
    assert outcome.began.tzinfo is not None
    assert outcome.began <= outcome.ended
    assert outcome.requests == len([asked for asked in service.requests if "/t1" in asked.target])
    assert report.requests == len(service.requests)


async def test_an_error_in_the_report_is_like_the_one_of_the_event(connect, service, tasks):
    service.answers(look("t2"), (403, {"X-Request-Id": "r-1"}, b'{"code": "forbidden", "message": "not yours"}'))
    service.answers(look("t5"), listing(200, "t5", aircraft=True))
    batch = connect().await_batch(["t1", "t2", "t3", "t4", "t5"], ["DC_VESSELS"])
    events = await collect(batch)

    raised = {event.task_id: event.error for event in events if isinstance(event, Failed)}
    failed = (await batch).failed

    assert {name: type(error) for name, error in raised.items()} == {
        "t2": Forbidden,
        "t3": TaskEnded,
        "t4": TaskNotFound,
        "t5": DerivativesNotRequested,
    }
    for name, error in raised.items():
        again = failed[name]
        assert type(again) is type(error)
        assert str(again) == str(error)
        facts = {fact: value for fact, value in vars(error).items() if fact != "latest"}
        assert {fact: value for fact, value in vars(again).items() if fact != "latest"} == facts
    assert (failed["t2"].status, failed["t2"].code, failed["t2"].request_id) == (403, "forbidden", "r-1")
    assert failed["t3"].status == "REJECTED"
    assert failed["t5"].types == {"DC_VESSELS"}


async def test_the_time_of_a_task_that_is_over_is_a_poll_timeout_of_its_own(connect, service, tasks):
    service.answers(look("t1"), some("t1"))

    report = await connect().await_batch(["t1", "t2"], poll=PollPolicy(timeout=600.0))

    error = report.failed["t1"]
    assert isinstance(error, PollTimeout)
    assert error.task_id == "t1"
    assert set(report.completed) == {"t2"}


async def test_its_mappings_are_mappings(connect, tasks):
    report = await connect().await_batch(tasks)

    assert len(report.completed) == 2
    assert "t1" in report.completed
    assert "t3" not in report.completed
    assert report.completed.get("nobody") is None
    with pytest.raises(KeyError):
        report.failed["t1"]
    assert {name for name, _ in report.failed.items()} == {"t3", "t4"}
    assert dict(report.completed).keys() == report.completed.keys()
    assert "t1" not in report.waiting


async def test_printed_it_is_a_table_and_its_repr_is_short(connect, tasks):
    report = await connect().await_batch(tasks)

    table = str(report)
    assert all(name in table for name in tasks)
    assert "TaskEnded" in table or "REJECTED" in table
    assert len(repr(report)) < 200
    assert "c4n4ry" not in table + repr(report)


async def test_saved_as_json_and_csv_it_has_a_row_for_each_task(connect, tasks, tmp_path):
    report = await connect().await_batch(tasks)

    report.save(tmp_path / "report.json")
    report.save(str(tmp_path / "report.csv"))

    rows = json.loads((tmp_path / "report.json").read_text("utf-8"))["tasks"]
    assert len(rows) == 4
    assert all(any(name in json.dumps(row) for row in rows) for name in tasks)
    with (tmp_path / "report.csv").open(newline="", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    assert len(table) == 4
    assert sorted(row[next(iter(row))] for row in table) == tasks
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.csv", "report.json"]
    assert "c4n4ry" not in "".join(path.read_text("utf-8") for path in tmp_path.iterdir())


async def test_saved_as_parquet_it_names_what_it_needs(connect, tasks, tmp_path):
    report = await connect().await_batch(["t2"])
    try:
        import pandas  # noqa: F401
        import pyarrow  # noqa: F401
    except ImportError:
        with pytest.raises(MissingExtra, match="pandas"):
            report.save(tmp_path / "report.parquet")
        assert list(tmp_path.iterdir()) == []
    else:
        report.save(tmp_path / "report.parquet")


@pytest.mark.parametrize("name", ["report", "report.xlsx", "report.json.gz"])
async def test_another_suffix_is_refused(connect, tasks, tmp_path, name):
    report = await connect().await_batch(["t2"])

    with pytest.raises(UsageError, match="csv"):
        report.save(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


async def test_without_a_journal_the_report_lives_on_and_its_file_goes_with_it(
    connect, tasks, tmp_path, monkeypatch, aviary
):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    client = connect()
    report = await client.await_batch(["t1", "t2"])
    await client.close()
    gc.collect()

    assert len(report.completed) == 2
    assert report.completed["t1"].types == {"DC_VESSELS", "DC_AIRCRAFT"}
    del report
    # The tests keep errors, which keep where they were raised.
    aviary.errors.clear()
    gc.collect()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


async def test_a_journal_is_read_while_a_batch_is_driven_over_it_and_afterwards(connect, gate, tasks, tmp_path):
    batch = connect().await_batch(tasks, journal=tmp_path / "night.db")
    running = asyncio.create_task(collect(batch))
    await gate.reached.wait()

    report = BatchReport.read(tmp_path / "night.db")
    assert report.running
    assert "t1" in report.waiting
    gate.set()
    await running

    assert not report.running
    assert {row["task_id"]: row["outcome"] for row in report.rows()} == {
        "t1": "completed",
        "t2": "completed",
        "t3": "failed",
        "t4": "failed",
    }


async def test_a_run_that_was_killed_does_not_run(connect, tasks, tmp_path):
    await connect().await_batch(tasks, journal=tmp_path / "night.db")
    with contextlib.closing(sqlite3.connect(tmp_path / "night.db")) as connection, connection:
        connection.execute("UPDATE meta SET value = '1' WHERE key = 'open'")
    report = BatchReport.read(tmp_path / "night.db")
    assert report.running

    (tmp_path / "night.db.lock").write_text(f"{2**22 + 1}\n{socket.gethostname()}\n")
    assert not report.running

    (tmp_path / "night.db.lock").write_text(f"{os.getpid()}\nelsewhere\n")
    assert not report.running


@pytest.mark.parametrize("content", [None, b"", b"no journal", b"SQLite format 3\0 and more"], ids=str)
def test_what_is_no_journal_cannot_be_read(tmp_path, content):
    path = tmp_path / "night.db"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(JournalError, match=re.escape(str(path))):
        BatchReport.read(path)


def test_a_report_of_nothing_does_not_run():
    assert not BatchReport().running


async def test_with_a_journal_the_report_can_be_read_when_the_client_is_closed(connect, tasks, tmp_path):
    client = connect()
    report = await client.await_batch(tasks, journal=tmp_path / "batch.db")
    await client.close()

    assert len(report.completed) == 2
    assert "t1" in str(report)


# --- the journal -----------------------------------------------------------------------------------------------------


async def test_what_is_over_is_not_asked_again(connect, service, tasks, tmp_path):
    journal = tmp_path / "batch.db"
    await connect().await_batch(tasks, journal=journal)
    asked = len(service.requests)

    report = await connect().await_batch(tasks, journal=journal)
    resumed = await connect().await_batch(journal=journal)

    assert len(service.requests) == asked
    assert set(report.completed) == set(resumed.completed) == {"t1", "t2"}
    assert report.requests == resumed.requests == asked


async def test_an_await_acknowledges_what_it_saw(connect, tasks, tmp_path):
    await connect().await_batch(tasks, journal=tmp_path / "batch.db")

    assert await collect(connect().await_batch(journal=tmp_path / "batch.db")) == []


async def test_it_goes_on_without_ids_with_the_types_that_it_had(connect, service, gate, tasks, tmp_path):
    client = connect()
    batch = client.await_batch(tasks, ["DC_VESSELS", "DC_AIRCRAFT"], journal=tmp_path / "batch.db")
    driver = asyncio.create_task(collect(batch))
    await gate.reached.wait()
    await client.close()
    await asyncio.wait([driver])
    gate.set()

    report = await connect().await_batch(journal=tmp_path / "batch.db")

    # Only vessels were ordered for t2: it is not complete with them.
    assert report.completed["t1"].types == {"DC_VESSELS", "DC_AIRCRAFT"}
    assert isinstance(report.failed["t2"], DerivativesNotRequested)


async def test_ids_are_added_to_those_that_are_in_it(connect, service, tasks, tmp_path):
    await connect().await_batch(["t2"], journal=tmp_path / "batch.db")

    report = await connect().await_batch(["t1", "t2"], journal=tmp_path / "batch.db")

    assert set(report.completed) == {"t1", "t2"}
    assert len(service.asked(look("t2"))) == 1


async def test_an_empty_list_of_ids_goes_on_with_what_is_in_it(connect, tasks, tmp_path):
    await connect().await_batch(["t2"], journal=tmp_path / "batch.db")

    assert set((await connect().await_batch([], journal=tmp_path / "batch.db")).completed) == {"t2"}


async def test_an_unacknowledged_event_comes_again_with_its_id(connect, service, tasks, tmp_path):
    client = connect()
    batch = client.await_batch(["t2"], journal=tmp_path / "batch.db")
    first, last = await anext(batch), await anext(batch)
    await client.close()
    asked = len(service.requests)

    events = await collect(connect().await_batch(journal=tmp_path / "batch.db"))

    assert kinds([first, last]) == ["Updated", "Finished"]
    assert [(event.id, event.again, event.task_id) for event in events] == [(last.id, True, "t2")]
    assert events[0].outcome.derivative_ids == ("t2-vessels",)
    assert len(service.requests) == asked


async def test_an_unacknowledged_update_comes_again_with_links_of_a_new_look(connect, service, tasks, tmp_path):
    client = connect()
    batch = client.await_batch(["t2"], journal=tmp_path / "batch.db")
    first = await anext(batch)
    await client.close()

    events = await collect(connect().await_batch(journal=tmp_path / "batch.db"))

    assert kinds(events) == ["Updated", "Finished"]
    assert (events[0].id, events[0].again) == (first.id, True)
    assert [fresh.id for fresh in events[0].update.fresh] == ["t2-vessels"]
    assert events[0].update.fresh[0].assets[0].href
    assert len(service.asked(look("t2"))) == 2


DIFFERENT = {
    "other types": ({"types": ["DC_AIRCRAFT"]}, "types"),
    "all types": ({"types": None}, "types"),
    "a folder": ({"types": ["DC_VESSELS"], "to": "files"}, "to"),
}


@pytest.mark.parametrize(("changes", "word"), DIFFERENT.values(), ids=DIFFERENT)
async def test_what_is_asked_for_must_be_as_it_was(connect, service, tasks, tmp_path, changes, word):
    await connect().await_batch(["t2"], ["DC_VESSELS"], journal=tmp_path / "batch.db")
    asked = len(service.requests)
    if "to" in changes:
        changes = {**changes, "to": tmp_path / changes["to"]}

    with pytest.raises(JournalError, match=word):
        await connect().await_batch(["t1", "t2"], journal=tmp_path / "batch.db", **changes)

    assert len(service.requests) == asked
    assert len((await connect().await_batch(journal=tmp_path / "batch.db")).completed) == 1


async def test_the_order_of_types_does_not_matter(connect, tasks, tmp_path):
    await connect().await_batch(["t1"], ["DC_VESSELS", "DC_AIRCRAFT"], journal=tmp_path / "batch.db")

    types = [DerivativeType.AIRCRAFT, "DC_VESSELS", "DC_VESSELS"]
    assert len((await connect().await_batch(["t1"], types, journal=tmp_path / "batch.db")).completed) == 1


async def test_a_journal_of_another_service_or_account_is_refused(connect, service, other, tasks, tmp_path):
    def signed_in(client_id):
        return ClientCredentials(f"{service.url}/token", client_id, "c4n4ry-secret")

    service.answers("/token", (200, {}, b'{"access_token": "c4n4ry", "expires_in": 3600}'))
    await connect(auth=signed_in("one")).await_batch(["t2"], journal=tmp_path / "batch.db")

    with pytest.raises(JournalError):
        await connect(other.url, auth=signed_in("one")).await_batch(journal=tmp_path / "batch.db")
    with pytest.raises(JournalError):
        await connect(auth=signed_in("two")).await_batch(journal=tmp_path / "batch.db")
    assert not other.requests
    assert len((await connect(auth=signed_in("one")).await_batch(journal=tmp_path / "batch.db")).completed) == 1


async def test_without_ids_there_must_be_a_journal(connect, service, tmp_path):
    with pytest.raises(JournalError):
        await connect().await_batch(journal=tmp_path / "batch.db")

    assert not service.requests
    assert [path.name for path in tmp_path.iterdir() if not path.name.endswith(".lock")] == []


async def test_no_link_and_no_token_is_in_it(connect, gate, tasks, tmp_path):
    batch = connect().await_batch(tasks, journal=tmp_path / "batch.db")
    driver = asyncio.create_task(collect(batch))
    await gate.reached.wait()
    gate.set()
    await driver
    del batch, driver

    for path in tmp_path.iterdir():
        content = path.read_bytes()
        assert b"l.example" not in content
        assert b"c4n4ry" not in content
        assert path.stat().st_mode & 0o077 == 0


async def test_a_journal_that_was_given_up_to_an_error_goes_on(connect, service, tasks, tmp_path):
    """An error of the whole batch, raised to its driver: the same object can be driven on when the cause is gone."""
    for name, *answers in (("t1", some("t1"), both("t1")), ("t2", both("t2")), ("t3", NONE), ("t4", NONE)):
        service.answers(look(name), (401, {}, b""), *answers)
    client = connect()
    batch = client.await_batch(tasks, journal=tmp_path / "batch.db")
    with pytest.raises(Unauthorized):
        await batch

    assert "t1" in batch.latest.waiting
    report = await connect().await_batch(journal=tmp_path / "batch.db")
    assert set(report.completed) == {"t1", "t2"}


# --- refused at the call ---------------------------------------------------------------------------------------------

WRONG = {
    "neither ids nor a journal": {},
    "no iterable": {"task_ids": 7},
    "no types": {"task_ids": ["t1"], "types": []},
    "a type that is none": {"task_ids": ["t1"], "types": [7]},
    "a blank type": {"task_ids": ["t1"], "types": [" "]},
    "a policy that is none": {"task_ids": ["t1"], "poll": 30.0},
    "a journal that is no path": {"task_ids": ["t1"], "journal": 7},
    "a folder that is no path": {"task_ids": ["t1"], "to": 7},
    "bytes": {"task_ids": b"t1"},
}


@pytest.mark.parametrize("given", WRONG.values(), ids=WRONG)
async def test_a_call_that_is_wrong_is_refused_at_the_call(connect, service, given):
    client = connect()

    with pytest.raises(UsageError):
        client.await_batch(given.get("task_ids"), **{key: value for key, value in given.items() if key != "task_ids"})

    gc.collect()
    assert not service.requests


async def test_a_store_is_no_folder(connect, service):
    store = pytest.importorskip("obstore.store")

    with pytest.raises(UsageError):
        connect().await_batch(["t1"], to=store.MemoryStore())


async def test_bad_ids_are_refused_at_the_call_with_all_their_rows(connect, service):
    with pytest.raises(UsageError) as caught:
        connect().await_batch(["t1", " t2", "t3", "", "t5", None])

    message = str(caught.value)
    assert all(f"{row}" in message for row in (2, 4, 6))
    assert "t5" not in message


async def test_a_closed_client_refuses_it_at_the_call_or_the_first_step(connect, tasks):
    client = connect()
    await client.close()

    with pytest.raises(StateError, match="closed"):
        await client.await_batch(tasks)


async def test_another_event_loop_is_refused(connect, tasks):
    client = connect()
    await client.await_batch(["t2"])

    def elsewhere():
        async def inside():
            await client.await_batch(["t2"])

        asyncio.run(inside())

    with pytest.raises(StateError, match="loop"):
        await asyncio.to_thread(elsewhere)


# --- its surroundings ------------------------------------------------------------------------------------------------


async def test_a_client_that_is_closed_meanwhile_ends_it_and_the_next_goes_on(connect, gate, tasks, tmp_path):
    client = connect()
    batch = client.await_batch(tasks, journal=tmp_path / "batch.db")
    driver = asyncio.create_task(batch)
    await gate.reached.wait()
    async with asyncio.timeout(5):
        await client.close()
        with pytest.raises(StateError):
            await driver
    assert "t1" in batch.latest.waiting
    gate.set()

    report = await connect().await_batch(journal=tmp_path / "batch.db")

    assert set(report.completed) == {"t1", "t2"}
    assert set(report.failed) == {"t3", "t4"}


async def test_a_driver_that_is_cancelled_is_told_how_to_go_on_where_there_is_a_journal(connect, gate, tasks, tmp_path):
    """A cancelled driver leaves a journal that another process could go on with at once."""
    client = connect()
    batch = client.await_batch(tasks, journal=tmp_path / "batch.db")
    driver = asyncio.create_task(collect(batch))
    await gate.reached.wait()
    driver.cancel()
    await asyncio.wait([driver])
    batch.close()
    gate.set()

    assert set((await connect().await_batch(journal=tmp_path / "batch.db")).completed) == {"t1", "t2"}


async def test_two_batches_at_once_do_not_disturb_each_other(connect, service, tasks, tmp_path):
    client = connect()

    one, two = await asyncio.gather(
        client.await_batch(["t1", "t3"], journal=tmp_path / "1.db"), client.await_batch(["t2", "t4"])
    )

    assert (set(one.completed), set(one.failed)) == ({"t1"}, {"t3"})
    assert (set(two.completed), set(two.failed)) == ({"t2"}, {"t4"})


async def test_beside_a_batch_the_client_does_other_things(connect, service, gate, tasks):
    client = connect()
    driver = asyncio.create_task(client.await_batch(tasks))
    await gate.reached.wait()

    assert (await client.tasks.get("t3")).status == "REJECTED"
    assert (await client.await_derivatives("t2")).final
    gate.set()
    assert len((await driver).completed) == 2


async def test_refused_credentials_end_the_batch_and_a_new_client_goes_on(connect, service, tasks, tmp_path):
    service.answers(look("t1"), (401, {}, b""))
    batch = connect().await_batch(tasks, journal=tmp_path / "batch.db")

    with pytest.raises(Unauthorized):
        await batch

    assert "t1" in batch.latest.waiting
    assert "t1" not in batch.latest.failed
    service.answers(look("t1"), some("t1"), both("t1"))
    report = await connect(auth="c4n4ry-new").await_batch(journal=tmp_path / "batch.db")
    assert set(report.completed) == {"t1", "t2"}
    assert set(report.failed) == {"t3", "t4"}


async def test_events_before_the_end_by_an_error_are_not_lost(connect, service, tasks, tmp_path):
    """What was written before the credentials were refused comes, then or in the next run."""
    service.answers(look("t1"), some("t1"), (401, {}, b""))
    events = []
    batch = connect().await_batch(tasks, journal=tmp_path / "batch.db")
    with pytest.raises(Unauthorized):  # noqa: PT012 - what came before the error counts
        async for event in batch:
            events.append(event)  # noqa: PERF401
    service.answers(look("t1"), both("t1"))

    events += await collect(connect().await_batch(journal=tmp_path / "batch.db"))

    by_id = {event.id: event for event in events}
    fresh = [each.id for event in by_id.values() if isinstance(event, Updated) for each in event.update.fresh]
    assert sorted(fresh) == ["t1-aircraft", "t1-vessels", "t2-vessels"]
    assert sorted(event.task_id for event in by_id.values() if isinstance(event, Finished | Failed)) == tasks


async def test_an_ordinary_batch_logs_no_warning(connect, tasks, caplog, tmp_path):
    caplog.set_level(logging.DEBUG, "iceye_async")
    await connect().await_batch(["t1", "t2"], journal=tmp_path / "batch.db")

    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


# --- files -----------------------------------------------------------------------------------------------------------


@pytest.fixture
async def sandbox():
    scenario = Scenario(
        **AT_ONCE,
        derivatives={"DC_VESSELS": 0.0, "DC_AIRCRAFT": 120.0},
        courses={REJECTED: {"ends": "REJECTED"}},
    )
    async with Sandbox(scenario, speed=math.inf) as sandbox:
        yield sandbox


BOTH_TYPES = {"derivative_product_types": ["DC_VESSELS", "DC_AIRCRAFT"]}


async def test_files_come_to_a_folder_for_each_task_before_it_has_finished(sandbox, tmp_path):
    async with sandbox.client() as client:
        ids = [(await ordered(sandbox, client, **BOTH_TYPES)).id for _ in range(3)]
        batch = client.await_batch(ids, to=tmp_path / "files", journal=tmp_path / "batch.db")

        events = await collect(batch)
        report = await batch

    for name in ids:
        own = [event for event in events if event.task_id == name]
        assert isinstance(own[0], Updated)
        assert isinstance(own[-1], Finished)
        files = [file for event in own if isinstance(event, Downloaded) for file in event.files]
        assert all(isinstance(file, FileFinished) for file in files)
        assert {file.path.parent for file in files} == {tmp_path / "files" / name}
        assert all(file.path.stat().st_size == file.size and len(file.sha256) == 64 for file in files)
        assert len(files) == 2
        assert set(own[-1].outcome.files) == set(report.completed[name].files) == {file.path for file in files}
        updated = [fresh.id for event in own if isinstance(event, Updated) for fresh in event.update.fresh]
        assert sorted(updated) == sorted(report.completed[name].derivative_ids)
    assert len(sandbox.link_requests) == 6


async def test_a_download_comes_after_the_update_of_its_derivatives(sandbox, tmp_path):
    async with sandbox.client() as client:
        name = (await ordered(sandbox, client, **BOTH_TYPES)).id

        events = await collect(client.await_batch([name], to=tmp_path))

    assert kinds(events) == ["Updated", "Downloaded", "Updated", "Downloaded", "Finished"]
    for update, download in (events[:2], events[2:4]):
        (fresh,), (file,) = update.update.fresh, download.files
        assert fresh.id in file.asset


async def test_a_task_that_fails_has_no_folder_and_disturbs_no_other(sandbox, tmp_path):
    async with sandbox.client() as client:
        good = (await ordered(sandbox, client)).id
        bad = (await ordered(sandbox, client, reference=REJECTED)).id

        report = await client.await_batch([bad, good], to=tmp_path / "files")

    assert isinstance(report.failed[bad], TaskEnded)
    assert len(report.completed[good].files) == 1
    assert [path.name for path in (tmp_path / "files").iterdir() if not path.name.startswith(".")] == [good]


async def test_a_relative_folder_stays_where_it_was(sandbox, tmp_path, monkeypatch):
    """The next run may begin in another working directory."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    async with sandbox.client() as client:
        name = (await ordered(sandbox, client, **BOTH_TYPES)).id
        batch = client.await_batch([name], to="files", journal="batch.db")
        await anext(batch)
    monkeypatch.chdir(tmp_path / "elsewhere")

    async with sandbox.client() as client:
        report = await client.await_batch(journal=tmp_path / "batch.db")

    assert {path.parent for path in report.completed[name].files} == {tmp_path / "files" / name}
    assert list((tmp_path / "elsewhere").iterdir()) == []


async def test_an_unacknowledged_download_comes_again_with_its_files(sandbox, tmp_path):
    async with sandbox.client() as client:
        name = (await ordered(sandbox, client)).id
        batch = client.await_batch([name], to=tmp_path / "files", journal=tmp_path / "batch.db")
        while not isinstance(event := await anext(batch), Downloaded):
            pass
    asked = len(sandbox.link_requests)

    async with sandbox.client() as client:
        events = await collect(client.await_batch(journal=tmp_path / "batch.db"))

    assert kinds(events) == ["Downloaded", "Finished"]
    assert (events[0].id, events[0].again) == (event.id, True)
    assert [(file.path, file.size, file.sha256) for file in events[0].files] == [
        (file.path, file.size, file.sha256) for file in event.files
    ]
    assert len(sandbox.link_requests) == asked


async def test_links_that_end_while_events_wait_are_renewed(tmp_path):
    """The body of the loop is slow, and a link lives a minute: the files come all the same."""
    scenario = Scenario(**AT_ONCE, derivatives={"DC_VESSELS": 0.0}, link_life=60.0)
    async with Sandbox(scenario, speed=math.inf) as sandbox, sandbox.client() as client:
        ids = [(await ordered(sandbox, client)).id for _ in range(3)]
        batch = client.await_batch(ids, to=tmp_path / "files")
        async for _ in batch:
            await sandbox.clock.sleep(200.0)

        assert len((await batch).completed) == 3


async def test_everything_that_leaves_a_batch_is_an_error_of_this_package(connect, service, tasks, tmp_path):
    """A journal in a place where none can be, a folder that is a file."""
    (tmp_path / "file").write_text("mine")

    for given in (
        {"journal": tmp_path / "file" / "batch.db"},
        {"journal": tmp_path},
        {"journal": tmp_path / "file"},
        {"journal": tmp_path / "no" / "such" / "batch.db"},
    ):
        with contextlib.suppress(IceyeError):
            await connect().await_batch(["t2"], **given)
    assert (tmp_path / "file").read_text() == "mine"
