"""What a batch endures, and what ends it or one of its tasks: files, lists, credentials, journals, loops."""

import asyncio
import json
import logging
import math
import sqlite3

import pytest

from iceye_async import (
    Client,
    DownloadError,
    JournalError,
    RateLimited,
    ServerError,
    StateError,
    TransportError,
    Unauthorized,
)
from iceye_async.batch import Downloaded, Updated, database
from iceye_async.batch.engine import Engine
from iceye_async.batch.patience import Patience
from iceye_async.batch.watched import Watched
from iceye_async.protocol.polling import begin
from iceye_async.protocol.waiting import Goal, PollPolicy
from iceye_async.sandbox import Sandbox, Scenario
from iceye_async.session import Session
from tests.desk import AT_ONCE, ordered

POLICY = PollPolicy(setbacks=2)
DOWN = ServerError("down", status=503)


@pytest.fixture
async def sandbox():
    """Time in it jumps."""
    async with Sandbox(Scenario(), speed=math.inf) as sandbox:
        yield sandbox


class Broken:
    """A download that fails."""

    latest = ()

    def __init__(self, error):
        self.error = error

    def __await__(self):
        raise self.error
        yield


async def several(sandbox, client, number, apart=0.0):
    return [(await ordered(sandbox, client, opens=apart * turn)).id for turn in range(number)]


# --- files -----------------------------------------------------------------------------------------------------------


async def test_an_hour_without_the_link_host_fails_no_task(sandbox, tmp_path):
    async with sandbox.client(rate_limit=None) as client:
        ids = await several(sandbox, client, 5, apart=600.0)
        batch = client.await_batch(ids, to=tmp_path)
        fetch, began = batch._fetch, []

        def gone(derivatives, folder):
            began.append(sandbox.clock.now())
            down = began[-1] - began[0] < 3600.0
            return Broken(TransportError("no network")) if down else fetch(derivatives, folder)

        batch._fetch = gone
        report = await batch

    assert len(report.completed) == 5
    assert began[-1] - began[0] >= 3600.0


async def test_files_that_fail_keep_nobody_elses_waiting(sandbox, tmp_path):
    async with sandbox.client(rate_limit=None) as client:
        ids = await several(sandbox, client, 8)
        ids.append((await ordered(sandbox, client, opens=40.0)).id)
        batch = client.await_batch(ids, to=tmp_path)
        fetch, seen = batch._fetch, {}

        def fetching(derivatives, folder):
            if derivatives[0].task_id != ids[-1]:
                return Broken(DownloadError("it is no file"))
            seen["fetching"] = sandbox.clock.now()
            return fetch(derivatives, folder)

        batch._fetch = fetching
        async for event in batch:
            if event.task_id == ids[-1]:
                seen[type(event)] = sandbox.clock.now()
        report = await batch

    # Not when it is whole: that is brought about by threads, for which time that jumps does not wait.
    assert seen["fetching"] - seen[Updated] < 10.0
    assert Downloaded in seen
    assert set(report.completed) == {ids[-1]}
    assert {type(error) for error in report.failed.values()} == {DownloadError}


async def test_credentials_that_are_refused_to_files_end_the_batch_and_no_task(sandbox, tmp_path):
    async with sandbox.client(rate_limit=None) as client:
        batch = client.await_batch(await several(sandbox, client, 3), to=tmp_path)
        refused = Unauthorized("refused", status=401)
        batch._fetch = lambda *_: Broken(DownloadError("2 of 2", failed={"a": DOWN, "b": refused}))

        with pytest.raises(Unauthorized):
            await batch

    assert len(batch.latest.waiting) == 3


# --- the list of tasks -----------------------------------------------------------------------------------------------


async def test_a_list_that_failed_once_is_swept_again(sandbox, monkeypatch):
    asked, look = {"list": 0, "task": 0}, Session.look

    def looking(session, request, patience):
        path = request.path.partition("?")[0]
        if path.endswith("/tasks"):
            asked["list"] += 1
            if asked["list"] == 6:
                return failing()
        asked["task"] += path.rpartition("/")[0].endswith("/tasks")
        return look(session, request, patience)

    async def failing():
        raise DOWN

    async with sandbox.client(rate_limit=None) as client:
        ids = [(await ordered(sandbox, client, opens=3 * 86_400.0 + 60.0 * turn)).id for turn in range(60)]
        monkeypatch.setattr(Session, "look", looking)
        batch = client.await_batch(ids)
        driver = asyncio.create_task(batch)
        while batch._work is None:  # noqa: ASYNC110 - a thread opens the journal
            await asyncio.sleep(0.001)
        await sandbox.clock.sleep(2.5 * 86_400.0)
        driver.cancel()
        await asyncio.wait([driver])
        await batch.stop()

    # Eight at first, to know how old they are, and those that were due while the list was left alone.
    assert asked["list"] > 10
    assert asked["task"] < 60


# --- credentials -----------------------------------------------------------------------------------------------------


async def test_one_task_that_is_refused_does_not_end_the_others(sandbox, monkeypatch):
    async with sandbox.client(rate_limit=None) as client:
        ids, send, refusals = await several(sandbox, client, 12), Session.send, []

        async def sending(session, request, *given, **named):
            if ids[7] in request.path and len(refusals) < 5:
                refusals.append(request.path)
                raise Unauthorized("refused", status=401)
            return await send(session, request, *given, **named)

        monkeypatch.setattr(Session, "send", sending)
        report = await client.await_batch(ids)

    assert len(refusals) == 5
    assert set(report.completed) == set(ids)


def test_what_is_refused_to_all_ends_the_batch():
    patience, refused = Patience(at_once=3), Unauthorized("refused", status=401)

    assert [patience.ends_all(refused, number, 10) for number in (1, 2, 2, 3)] == [False] * 4
    assert patience.ends_all(refused, 4, 10)
    patience.goods += 1
    assert not patience.ends_all(refused, 5, 10)
    assert patience.ends_all(refused, 5, 1)


def test_throttling_is_no_part_of_an_outage():
    """It costs a task nothing, so there is nothing to be taken off when the outage is over."""
    begun = begin(Goal.DERIVATIVES, "t", None, POLICY, 0.0)
    watched, patience = Watched(1, "t", begun, 0.0), Patience(at_once=3)
    patience.before(watched, begun, DOWN)
    patience.before(watched, begun, DOWN)

    patience.before(watched, begun, RateLimited("slower", status=429))

    assert watched.spared == 1


# --- the journal, and how a batch ends -------------------------------------------------------------------------------


async def test_a_journal_that_fails_with_the_last_event_is_an_error(sandbox, monkeypatch, tmp_path):
    commit = database.Database.commit

    def committing(base, entries, acknowledged, requests):
        if any(entry.kind == "completed" for entry in entries):
            raise sqlite3.OperationalError("disk I/O error")
        commit(base, entries, acknowledged, requests)

    monkeypatch.setattr(database.Database, "commit", committing)
    async with sandbox.client() as client:
        with pytest.raises(JournalError):
            await client.await_batch(await several(sandbox, client, 2), journal=tmp_path / "j.db")


@pytest.mark.parametrize("turns", range(8))
async def test_a_batch_can_be_stopped_in_the_moment_in_which_it_fails(connect, service, monkeypatch, turns):
    """A group of tasks that fails cancels the one that waits for it: that is no stop, and none must be taken for it."""
    failed = asyncio.Event()

    async def work(engine):
        await failed.wait()
        raise JournalError("the disk is gone")

    monkeypatch.setattr(Engine, "_work", work)
    batch = connect().await_batch(["t1"])
    driven = asyncio.create_task(anext(batch))
    while batch._work is None:  # noqa: ASYNC110 - a thread opens the journal
        await asyncio.sleep(0)
    await asyncio.sleep(0)

    failed.set()
    for _ in range(turns):
        await asyncio.sleep(0)
    await asyncio.wait_for(batch.stop(), 5)

    with pytest.raises((JournalError, StateError)):
        await asyncio.wait_for(driven, 5)


async def test_types_and_folder_are_compared_without_ids_too(sandbox, tmp_path):
    async with sandbox.client() as client:
        ids, journal = await several(sandbox, client, 1), tmp_path / "j.db"
        await client.await_batch(ids, ["DC_VESSELS"], journal=journal)

        with pytest.raises(JournalError, match="types"):
            await client.await_batch(None, ["DC_AIRCRAFT"], journal=journal)
        with pytest.raises(JournalError, match="to="):
            await client.await_batch(to=tmp_path / "files", journal=journal)
        assert len((await client.await_batch(journal=journal)).completed) == 1


@pytest.mark.parametrize("closed", [True, False])
def test_a_client_is_closed_from_another_loop_when_its_own_has_ended(closed, tmp_path):
    loop = asyncio.new_event_loop()
    client = Client("http://127.0.0.1:9", auth="a-token")
    batch = client.await_batch([f"t{number}" for number in range(20)], journal=tmp_path / "j.db")

    async def begun():
        driver = asyncio.create_task(batch)
        while batch._work is None:  # noqa: ASYNC110 - a thread opens the journal
            await asyncio.sleep(0.001)
        return driver

    driver = loop.run_until_complete(begun())
    if closed:
        driver.cancel()
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.wait(asyncio.all_tasks(loop) or {driver}))
        loop.close()

    asyncio.run(asyncio.wait_for(client.close(), 5.0))

    if not closed:
        loop.run_until_complete(asyncio.wait([driver]))
        loop.close()
    if not driver.cancelled():
        driver.exception()
    assert not (tmp_path / "j.db-wal").exists()


@pytest.mark.parametrize("cancelled", [True, False])
async def test_who_is_interrupted_in_the_body_is_told_how_to_go_on(sandbox, tmp_path, caplog, cancelled):
    """As by Ctrl-C; and nobody is told who has just had enough."""
    caplog.set_level(logging.WARNING, "iceye_async")
    async with sandbox.client() as other:
        ids = await several(sandbox, other, 1) + [(await ordered(sandbox, other, opens=86_400.0)).id]

    async def main():
        async with sandbox.client() as client:
            async for _ in client.await_batch(ids, journal=tmp_path / "j.db"):
                if not cancelled:
                    break
                reached.set()
                await asyncio.Event().wait()

    reached = asyncio.Event()
    task = asyncio.create_task(main())
    if cancelled:
        await reached.wait()
        task.cancel()
    await asyncio.wait([task])

    assert ("await_batch" in caplog.text) is cancelled


async def test_an_event_that_is_owed_comes_where_there_are_no_links_any_more(tmp_path):
    """Of a task that is over, whose derivatives are a 404 by now: without assets, and the batch ends."""
    async with Sandbox(Scenario(**AT_ONCE, derivatives={"DC_VESSELS": 0.0}), speed=math.inf) as sandbox:
        async with sandbox.client() as client:
            [task_id] = await several(sandbox, client, 1)
            batch = client.await_batch([task_id], journal=tmp_path / "j.db")
            event = await anext(batch)
            while not batch.latest.completed:  # noqa: ASYNC110 - a thread writes it
                await asyncio.sleep(0.01)
            await batch.stop()
        send = Session.send

        async def sending(session, request, *given, **named):
            reply = await send(session, request, *given, **named)
            return reply._replace(status=404, body=b"{}") if request.path.endswith("/derivatives") else reply

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Session, "send", sending)
            async with sandbox.client() as client:
                began = sandbox.clock.now()
                events = [event async for event in client.await_batch(journal=tmp_path / "j.db")]
                took = sandbox.clock.now() - began

    assert events[0].id == event.id
    assert events[0].again
    assert [entry.assets for entry in events[0].update.fresh] == [()]
    assert took < 60.0


async def test_what_was_ready_stays_ready_in_the_next_run(tmp_path):
    """Vessels are handed out, the run ends, and then the service lists only aircraft, as all there is."""
    scenario = Scenario(**AT_ONCE, derivatives={"DC_VESSELS": 0.0, "DC_AIRCRAFT": 3600.0})
    async with Sandbox(scenario, speed=math.inf) as sandbox:
        both = ["DC_VESSELS", "DC_AIRCRAFT"]
        async with sandbox.client() as client:
            task_id = (await ordered(sandbox, client, derivative_product_types=both)).id
            batch = client.await_batch([task_id], both, journal=tmp_path / "j.db")
            await anext(batch)
            await batch.stop()
        send = Session.send

        async def sending(session, request, *given, **named):
            reply = await send(session, request, *given, **named)
            if request.path.endswith("/derivatives") and reply.status != 404:
                document = json.loads(reply.body)
                document["data"] = [one for one in document["data"] if one["derivativeProductType"] == "DC_AIRCRAFT"]
                reply = reply._replace(body=json.dumps(document).encode())
            return reply

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Session, "send", sending)
            async with sandbox.client() as client:
                report = await client.await_batch(journal=tmp_path / "j.db")

    assert set(report.completed) == {task_id}
    assert report.completed[task_id].types == {"DC_VESSELS", "DC_AIRCRAFT"}
