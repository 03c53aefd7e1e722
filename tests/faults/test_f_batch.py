"""Group F, batches: what becomes of thousands of tasks that are waited for together when things go wrong.

Rows F1 to F3, F12 to F15, F19, F20 and I5, in virtual time where that is possible; rows about the journal's file are in
the other half of the group. A crash is a copy of the journal, taken at that moment: what a kill -9 would leave;
`../torture/` does kill.
"""

import asyncio
import collections
import contextlib
import errno
import gc
import itertools
import json
import logging
import math
import os
import random
import selectors
import shutil
import signal
import subprocess
import sys
import threading
import time
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from iceye_async import (
    Client,
    DecodeError,
    DownloadError,
    Forbidden,
    IceyeError,
    JournalError,
    PollPolicy,
    ServerError,
    TaskEnded,
    TaskNotFound,
    TransportError,
    UsageError,
)
from iceye_async.batch import Downloaded, Failed, Finished, Updated
from iceye_async.batch.journal import Journal
from iceye_async.sandbox import LinkFault, Sandbox, Scenario
from tests.desk import AT_ONCE, ordered
from tests.faults.fleet import (
    DAY,
    EVEN,
    GONE,
    HOUR,
    MINUTE,
    NO_LIST,
    TASKS,
    Fleet,
    Order,
    copied,
    delivered,
    derivative,
    down,
    ends,
    in_order,
    of,
    play,
    told,
)
from tests.faults.life import said
from tests.faults.test_e_files import WRITES, Disk, of_data

MOMENT = 0.0005
"""Real seconds."""
MISSING = said(404, {"code": "not_found", "message": "no rows in result set"})


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    """Virtual time stands still while the journal's thread has something to write that is waited for."""
    (jump,) = {module._Jump for name, module in sys.modules.items() if name.endswith("faults.conftest")}
    at_once, writing = jump.select, collections.Counter()

    def select(self, timeout=None):
        if writing["now"] and timeout is not None and timeout > 0:
            return selectors.DefaultSelector.select(self, MOMENT)
        return at_once(self, timeout)

    def waited_for(work):
        async def working(*args, **options):
            writing["now"] += 1
            try:
                return await work(*args, **options)
            finally:
                writing["now"] -= 1

        return working

    write = Journal.write

    def written(journal, entry):
        future = write(journal, entry)
        writing["now"] += 1
        future.add_done_callback(lambda _: writing.update(now=-1))
        return future

    monkeypatch.setattr(jump, "select", select)
    monkeypatch.setattr(Journal, "write", written)
    for name in ("open", "close", "flush"):
        monkeypatch.setattr(Journal, name, waited_for(getattr(Journal, name)))


@pytest.fixture
def warned(caplog):
    """The warnings that the package has logged."""
    caplog.set_level(logging.DEBUG, "iceye_async")
    return lambda: [
        record.getMessage()
        for record in caplog.get_records("call")
        if record.name.startswith("iceye_async") and record.levelno >= logging.WARNING
    ]


def mixed(number=12):
    """Tasks of every fate; what is to come of them is known: the ids of their derivatives, none for those that fail."""
    orders = {}
    for index in range(number):
        name = f"t{index:02}"
        match index % 6:
            case 0:
                orders[name] = Order({"DC_VESSELS": 0.0})
            case 1:
                orders[name] = Order({"DC_VESSELS": 3 * MINUTE, "DC_AIRCRAFT": (0.0, 8 * MINUTE)})
            case 2:
                orders[name] = Order({}, stages=[(-HOUR, "ACTIVE"), (5 * MINUTE, "FAILED")])
            case 3:
                orders[name] = Order({"DC_VEHICLES": (index * MINUTE, index * MINUTE + 30.0, 12 * MINUTE)})
            case 4:
                orders[name] = Order(trouble=MISSING)
            case _:
                stages = [(-HOUR, "RECEIVED"), (MINUTE, "ACTIVE"), (9 * MINUTE, "DONE")]
                orders[name] = Order({"DC_VESSELS": 10 * MINUTE, "DC_AIRCRAFT": 11 * MINUTE}, stages=stages)
    return Fleet(orders)


def expected(fleet):
    """The derivatives that come, each once."""
    good = {name: order for name, order in fleet.orders.items() if order.trouble is None}
    return {
        derivative(name, kind, number): 1
        for name, order in good.items()
        for kind, moments in order.kinds.items()
        for number in range(len(moments))
    }


def all_once(fleet, events, report):
    """Nothing was lost and nothing came twice, but for what came again with its id."""
    assert delivered(events) == expected(fleet)
    assert ends(events) == dict.fromkeys(fleet.ids, 1)
    by_id = collections.defaultdict(set)
    for event in events:
        by_id[event.id].add(told(event))
    assert {name: what for name, what in by_id.items() if len(what) > 1} == {}
    assert set(report.completed) | set(report.failed) == set(fleet.ids)
    assert not set(report.completed) & set(report.failed)
    assert list(report.waiting) == []
    assert len(report.completed) == sum(bool(order.kinds) and order.trouble is None for order in fleet.orders.values())


# --- F1: killed at any moment ----------------------------------------------------------------------------------------


class Crashes:
    """What a kill would have left of the journal at some moments, in memory, and what had come until then."""

    def __init__(self, read):
        self.read = read
        self.events, self.found = [], []
        self._asked = 0

    def at_request(self, asked):
        self._asked += 1
        if self._asked % 4 == 1:
            self.keep(asked.at)

    async def at_event(self, event):
        """In the body of the loop: this one is not acknowledged yet."""
        self.events.append(event)
        self.keep(asyncio.get_running_loop().time())

    def keep(self, at):
        if len(self.found) < MOST_CRASHES and (left := self.read()):
            self.found.append(Crash(at, list(self.events), left))


MOST_CRASHES = 100


class Crash(NamedTuple):
    at: float
    before: list[Any]
    left: dict[str, bytes]

    def restored(self, folder):
        """The journal, as it was."""
        place = folder / "left"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        for name, content in self.left.items():
            (place / name).write_bytes(content)
        return place / "batch.db"


@contextlib.contextmanager
def kept_open(journal):
    """Reads the journal. It closes nothing before the end: a file that a process closes loses all locks that it has."""
    numbers = {}

    def read():
        content = {}
        for name in (journal.name, f"{journal.name}-wal"):
            if name not in numbers and (journal.parent / name).exists():
                numbers[name] = os.open(journal.parent / name, os.O_RDONLY)
            if name in numbers:
                content[name] = os.pread(numbers[name], 2**26, 0)
        return content

    try:
        yield read
    finally:
        for number in numbers.values():
            os.close(number)


def crashed(wire, tmp_path, fleet, **given):
    """A whole run, and the crashes that it might have had, at many requests and each event."""
    journal = tmp_path / "batch.db"
    with kept_open(journal) as read:
        crashes = Crashes(read)
        fleet.trouble = crashes.at_request
        run = play(wire, fleet, fleet.ids, journal=journal, each=crashes.at_event, **given)
        fleet.trouble = None
    assert run.error is None
    all_once(fleet, run.events, run.report)
    return crashes.found


def test_f01_killed_at_any_moment_the_same_call_goes_on_and_nothing_is_lost_or_doubled(wire, tmp_path, record_property):
    fleet = mixed()
    found = crashed(wire, tmp_path, fleet)

    chosen = found[:: math.ceil(len(found) / 25)]
    for crash in chosen:
        fleet.began = crash.at + 1.0
        run = play(wire, fleet, fleet.ids, journal=crash.restored(tmp_path))
        assert run.error is None
        all_once(fleet, [*crash.before, *run.events], run.report)
    record_property("batches crashed in virtual time", len(chosen))


def test_f01_killed_at_any_moment_the_journal_alone_is_enough_to_go_on(wire, tmp_path):
    fleet = mixed()
    found = crashed(wire, tmp_path, fleet)

    for crash in found[3 :: max(1, len(found) // 8)]:
        fleet.began = crash.at + 1.0
        run = play(wire, fleet, journal=crash.restored(tmp_path))
        all_once(fleet, [*crash.before, *run.events], run.report)


def test_f01_what_was_acknowledged_and_written_down_does_not_come_again(wire, tmp_path):
    """An event is acknowledged when the next one is asked for; of those before the last one or two none comes again."""
    fleet = mixed()
    found = crashed(wire, tmp_path, fleet)

    for crash in found[:: max(1, len(found) // 8)]:
        fleet.began = crash.at + 1.0
        run = play(wire, fleet, journal=crash.restored(tmp_path))
        repeated = {event.id for event in run.events} & {event.id for event in crash.before}
        assert all(event.again for event in run.events if event.id in repeated)
        # Acknowledged moments before, which may not have been written yet.
        assert repeated <= {event.id for event in crash.before[-20:]}


def test_f01_killed_again_and_again(wire, tmp_path):
    """Each run ends after a few events, by a crash: in the end everything has come, each event with one id."""
    fleet, before, journal = mixed(18), [], None
    for number in itertools.count():
        live = copied(journal, tmp_path / f"life-{number}") if journal else tmp_path / "batch.db"
        came = []

        async def note(event, live=live, came=came, number=number):
            came.append(event)
            if len(came) == 3:
                copied(live, tmp_path / f"left-{number}")

        run = play(wire, fleet, fleet.ids, journal=live, each=note, until=lambda events: len(events) == 3)
        before += run.events
        if len(run.events) < 3:
            break
        journal = tmp_path / f"left-{number}" / "batch.db"
        assert number < 80

    all_once(fleet, before, run.report)


def test_f01_a_finished_task_is_not_asked_again_after_a_kill(wire, tmp_path):
    fleet = mixed()
    found = crashed(wire, tmp_path, fleet)

    for crash in found[:: max(1, len(found) // 6)]:
        fleet.began, fleet.requests = crash.at + 1.0, []
        over = {event.task_id for event in of((Finished, Failed), crash.before)}
        play(wire, fleet, fleet.ids, journal=crash.restored(tmp_path))
        assert [name for name in over if fleet.asked(name)] == []


def test_f01_the_report_of_the_last_run_is_that_of_a_run_without_a_kill(wire, tmp_path):
    fleet = mixed()
    found = crashed(wire, tmp_path, fleet)
    fleet.began = 0.0
    whole = play(wire, fleet, fleet.ids).report

    for crash in found[1 :: max(1, len(found) // 5)]:
        fleet.began = crash.at + 1.0
        report = play(wire, fleet, journal=crash.restored(tmp_path)).report
        assert {name: (done.types, set(done.derivative_ids)) for name, done in report.completed.items()} == {
            name: (done.types, set(done.derivative_ids)) for name, done in whole.completed.items()
        }
        assert {name: (type(error), str(error)) for name, error in report.failed.items()} == {
            name: (type(error), str(error)) for name, error in whole.failed.items()
        }


# --- F2: killed after a file had its name ----------------------------------------------------------------------------

SOON = {**AT_ONCE, "derivatives": {"DC_VESSELS": (0.0, 60.0)}}


async def fetched(sandbox, client, folder, journal, at):
    """Runs a batch of three tasks with downloads to its end; its journal as it was at the first event of this kind."""
    ids = [(await ordered(sandbox, client)).id for _ in range(3)]
    kept, events = None, []
    async for event in client.await_batch(ids, to=folder, journal=journal):
        events.append(event)
        if kept is None and isinstance(event, at):
            kept = copied(journal, journal.parent / "left")
    return ids, events, kept


def whole_files(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))


@pytest.mark.parametrize("at", [Updated, Downloaded], ids=["not written", "written"])
async def test_f02_files_with_their_final_names_are_adopted_and_not_fetched_again(tmp_path, at):
    """Killed before the journal knew of the files, or after."""
    async with Sandbox(Scenario(**SOON), speed=math.inf) as sandbox, sandbox.client() as client:
        ids, first, left = await fetched(sandbox, client, tmp_path / "files", tmp_path / "batch.db", at)
        there, asked = whole_files(tmp_path / "files"), len(sandbox.link_requests)
        assert len(there) == asked == 6

        events = [event async for event in client.await_batch(ids, to=tmp_path / "files", journal=left)]

        assert len(sandbox.link_requests) == asked
        assert whole_files(tmp_path / "files") == there
        files = {file.path: file for event in of(Downloaded, [*first, *events]) for file in event.files}
        assert sorted(files) == there
        assert ends(events) == dict.fromkeys(ids, 1)


async def test_f02_what_was_adopted_has_the_facts_of_what_was_fetched(tmp_path):
    async with Sandbox(Scenario(**SOON), speed=math.inf) as sandbox, sandbox.client() as client:
        ids, first, left = await fetched(sandbox, client, tmp_path / "files", tmp_path / "batch.db", Updated)

        events = [event async for event in client.await_batch(ids, to=tmp_path / "files", journal=left)]

        def facts(events):
            return {
                file.path: (file.asset, file.size, file.sha256, file.verified)
                for event in of(Downloaded, events)
                for file in event.files
            }

        assert facts(events) == facts(first)


async def test_f02_a_file_that_was_changed_meanwhile_is_not_adopted(tmp_path):
    """The manifest knows what it was; the task does not end as if all were well with another file."""
    async with Sandbox(Scenario(**SOON), speed=math.inf) as sandbox, sandbox.client() as client:
        ids, _, left = await fetched(sandbox, client, tmp_path / "files", tmp_path / "batch.db", Updated)
        spoilt = whole_files(tmp_path / "files")[0]
        good = spoilt.read_bytes()
        spoilt.write_bytes(b"something else")

        report = await client.await_batch(ids, to=tmp_path / "files", journal=left)

        assert len(report.completed) == 3 or len(report.failed) == 1
        if len(report.completed) == 3:
            assert spoilt.read_bytes() == good


async def test_f02_a_file_that_was_deleted_meanwhile_is_fetched_again(tmp_path):
    async with Sandbox(Scenario(**SOON), speed=math.inf) as sandbox, sandbox.client() as client:
        ids, _, left = await fetched(sandbox, client, tmp_path / "files", tmp_path / "batch.db", Updated)
        there, asked = whole_files(tmp_path / "files"), len(sandbox.link_requests)
        there[0].unlink()

        await client.await_batch(ids, to=tmp_path / "files", journal=left)

        assert whole_files(tmp_path / "files") == there
        assert len(sandbox.link_requests) == asked + 1


# --- F3: killed in the body of the loop ------------------------------------------------------------------------------


def test_f03_an_event_that_was_not_acknowledged_comes_again_with_its_id(wire, tmp_path):
    fleet = mixed()
    found = [crash for crash in crashed(wire, tmp_path, fleet) if crash.before]
    at_bodies = [
        last for _, group in itertools.groupby(found, lambda crash: len(crash.before)) for last in [next(group)]
    ]

    for crash in at_bodies[::2]:
        fleet.began = crash.at + 1.0
        run = play(wire, fleet, journal=crash.restored(tmp_path))
        (again,) = [event for event in run.events if event.id == crash.before[-1].id]
        assert again.again
        assert told(again) == told(crash.before[-1])


def test_f03_every_kind_of_event_comes_again_first_of_all_but_updates(wire, tmp_path):
    """Ends come at once, without a request; updates after a new look, for links are not stored."""
    fleet = Fleet({"good": Order(), "bad": Order({}, stages="REJECTED")})
    for kind in (Updated, Finished, Failed):
        journal = tmp_path / f"{kind.__name__}.db"
        play(wire, fleet, fleet.ids, journal=journal, until=lambda events, kind=kind: isinstance(events[-1], kind))
        fleet.requests = []
        run = play(wire, fleet, journal=journal, until=lambda events, kind=kind: isinstance(events[-1], kind))
        event = run.events[-1]
        assert event.again
        if kind is Updated:
            assert len(fleet.looks("good")) == 1
            assert [each.assets[0].href != "" for each in event.update.fresh] == [True]
        else:
            assert len(run.events) == 1


def test_f03_what_was_written_and_never_handed_out_comes(wire, tmp_path):
    """The loop body holds the first event for long, meanwhile others are written; then a kill."""
    fleet = Fleet({f"t{number}": Order() for number in range(20)})
    journal = tmp_path / "batch.db"

    async def hold(event):
        await asyncio.sleep(100.0)
        copied(journal, tmp_path / "left")

    first = play(wire, fleet, fleet.ids, journal=journal, each=hold, until=lambda events: True)
    fleet.requests = []
    run = play(wire, fleet, journal=tmp_path / "left" / "batch.db")

    assert delivered(run.events) == {derivative(name): 1 for name in fleet.ids}
    assert ends(run.events) == dict.fromkeys(fleet.ids, 1)
    assert run.events[-1].id != first.events[0].id
    assert first.events[0].id in {event.id for event in run.events}


def test_f03_an_acknowledged_event_does_not_come_again(wire, tmp_path):
    fleet = Fleet({f"t{number}": Order() for number in range(6)})
    journal = tmp_path / "batch.db"
    seen = []
    for _ in range(13):
        run = play(wire, fleet, fleet.ids, journal=journal, until=lambda events: len(events) == 2)
        seen.append([event.id for event in run.events])
        assert [event.again for event in run.events[:1]] == ([True] if len(seen) > 1 and run.events else [False])[
            : len(run.events[:1])
        ]
        if len(run.events) < 2:
            break

    flat = [name for names in seen for name in names]
    assert max(collections.Counter(flat).values()) == 2
    assert len(set(flat)) == 12
    assert all(earlier[-1] == later[0] for earlier, later in itertools.pairwise(seen) if later)


# --- F12: poison -----------------------------------------------------------------------------------------------------

POISON = {
    "500": (500, {}, b""),
    "503 and html": (503, {"Content-Type": "text/html"}, b"<html>"),
    "no JSON": (200, {}, b"<html>"),
    "nothing": (200, {}, b""),
    "another shape": said(200, [1, 2, 3]),
    "wrong fields": said(200, {"data": [{"id": 7}]}),
    "too deep": (200, {}, b"[" * 100_000),
    "no text": (206, {}, b"\xff\xfe\x00"),
    "reset": down,
    "redirect": (302, {"Location": "https://elsewhere.example/"}, b""),
    "418": (418, {}, b""),
    "403": said(403, {"code": "forbidden", "message": "not yours"}),
    "400": said(400, {"code": "bad", "message": "what?"}),
    "404": MISSING,
    "never there": GONE,
}


@pytest.mark.parametrize("poison", POISON.values(), ids=POISON)
def test_f12_a_task_that_cannot_be_had_is_listed_at_the_end_and_the_others_come_as_without_it(wire, poison):
    good = {f"t{number}": Order({"DC_VESSELS": number * MINUTE}) for number in range(10)}
    fleet = Fleet({"bad": Order(trouble=poison), **good})

    when = {}

    async def note(event):
        when[event.task_id] = asyncio.get_running_loop().time()

    run = play(wire, fleet, fleet.ids, each=note, poll=PollPolicy(setbacks=5, timeout=2 * DAY))

    assert run.error is None
    assert set(run.report.completed) == set(good)
    assert set(run.report.failed) == {"bad"}
    assert isinstance(run.report.failed["bad"], IceyeError)
    assert ends(run.events) == dict.fromkeys(fleet.ids, 1)
    assert all(when[f"t{number}"] <= number * MINUTE + 40.0 for number in range(10))


def test_f12_all_kinds_of_poison_at_once(wire):
    good = {f"t{number}": Order({"DC_VESSELS": number * 30.0}) for number in range(30)}
    fleet = Fleet(good | {name: Order(trouble=poison) for name, poison in POISON.items()})

    run = play(wire, fleet, fleet.ids, poll=PollPolicy(setbacks=5, timeout=2 * DAY))

    assert set(run.report.completed) == set(good)
    assert set(run.report.failed) == set(POISON)
    kinds = {name: type(error) for name, error in run.report.failed.items()}
    assert kinds["500"] is kinds["503 and html"] is ServerError
    assert kinds["reset"] is TransportError
    assert kinds["403"] is Forbidden
    assert kinds["404"] is TaskNotFound
    assert issubclass(kinds["too deep"], DecodeError)


def test_f12_a_poison_task_is_asked_no_more_often_than_a_good_one(wire):
    """It has its own back-off: of two hours it does not get more looks than a task that simply waits."""
    fleet = Fleet({"bad": Order(trouble=(500, {}, b"")), "good": Order({"DC_VESSELS": 2 * HOUR})})

    play(wire, fleet, fleet.ids, until=lambda events: any(event.task_id == "good" for event in events))

    assert 5 < len(fleet.asked("bad")) <= len(fleet.asked("good")) * 1.2


def test_f12_a_task_that_recovers_is_no_poison(wire):
    """As many failures as are endured, then an answer, then as many again."""
    fleet = Fleet({"bad": Order({"DC_VESSELS": 12 * MINUTE}), "good": Order({"DC_VESSELS": HOUR})})
    count = itertools.count(1)
    fleet.trouble = lambda asked: (500, {}, b"") if "/bad/deriv" in asked.path and next(count) % 5 else None

    run = play(wire, fleet, fleet.ids, poll=PollPolicy(setbacks=4))

    assert set(run.report.completed) == {"bad", "good"}


def test_f12_a_poison_task_in_the_middle_of_others_fails_after_its_setbacks(wire):
    """The service answers the others, so this task is to blame; it has a night's patience only in an outage."""
    fleet = Fleet({"bad": Order(trouble=(500, {}, b"")), "good": Order({"DC_VESSELS": 10 * HOUR})})

    run = play(wire, fleet, fleet.ids)

    (failed,) = of(Failed, run.events)
    assert isinstance(failed.error, ServerError)
    assert run.events[0] is failed
    assert len(fleet.asked("bad")) < 3 * 81


@pytest.mark.parametrize("trouble", [down, (503, {}, b""), (200, {}, b"<html>")], ids=["down", "503", "login page"])
def test_f12_an_outage_of_two_hours_fails_no_task(wire, trouble):
    fleet = Fleet({f"t{number}": Order({"DC_VESSELS": number * 12 * MINUTE}) for number in range(16)})
    fleet.trouble = lambda asked: (
        (trouble(asked) if callable(trouble) else trouble) if 10 * MINUTE < asked.at < 130 * MINUTE else None
    )

    run = play(wire, fleet, fleet.ids, poll=PollPolicy())

    assert run.error is None
    assert dict(run.report.failed) == {}
    assert len(run.report.completed) == 16
    assert delivered(run.events) == {derivative(name): 1 for name in fleet.ids}


def test_f12_an_outage_from_the_very_start_fails_no_task(wire):
    fleet = Fleet({f"t{number}": Order() for number in range(16)})
    fleet.trouble = lambda asked: down(asked) if asked.at < 2 * HOUR else None

    run = play(wire, fleet, fleet.ids, poll=PollPolicy())

    assert len(run.report.completed) == 16


def test_f12_a_file_that_does_not_come_is_the_failure_of_its_task_alone(tmp_path):
    scenario = Scenario(**AT_ONCE, derivatives={"DC_VESSELS": 0.0}, seed=1)

    async def main():
        async with Sandbox(scenario, speed=math.inf) as sandbox, sandbox.client() as client:
            ids = [(await ordered(sandbox, client)).id for _ in range(6)]
            listing = await client.derivatives.get(ids[2])
            bad = urlsplit(next(iter(listing)).assets[0].href).path
            sandbox.link_faults.append(LinkFault(status=500, times=math.inf))
            chosen = sandbox.link_faults[0]
            report = await client.await_batch([ids[2]], to=tmp_path / "bad")
            sandbox.link_faults.remove(chosen)
            rest = await client.await_batch(ids, to=tmp_path / "good")
            return ids, bad, report, rest, sandbox.clock.now()

    ids, _, report, rest, _ = asyncio.run(main())

    assert isinstance(report.failed[ids[2]], DownloadError)
    assert set(rest.completed) == set(ids)


async def test_f12_a_broken_file_host_for_one_file_leaves_the_others(tmp_path):
    """Every request for one object fails, those for the other objects do not."""
    scenario = Scenario(**AT_ONCE, derivatives={"DC_VESSELS": 0.0})
    async with Sandbox(scenario, speed=math.inf) as sandbox, sandbox.client() as client:
        ids = [(await ordered(sandbox, client)).id for _ in range(6)]
        sandbox.link_faults.append(LinkFault(reset=10, times=3))

        report = await client.await_batch(ids, to=tmp_path / "files")

        assert set(report.completed) == set(ids)
        assert len(whole_files(tmp_path / "files")) == 6


# --- F13: what the body of the loop does -----------------------------------------------------------------------------


def test_f13_a_body_that_raises_loses_nothing(wire, tmp_path):
    """Each time it raises: whoever goes on gets the next event; the report has everything."""
    fleet = mixed()
    wire.answer = fleet.answer

    async def main(client):
        batch, events = client.await_batch(fleet.ids, poll=EVEN, journal=tmp_path / "batch.db"), []
        while True:
            before = len(events)
            with contextlib.suppress(ZeroDivisionError):
                async for event in batch:
                    events.append(event)
                    _ = 1 / 0
            if len(events) == before:
                return events, await batch

    events, report = wire.run(main)

    all_once(fleet, events, report)
    assert len({event.id for event in events}) == len(events)


def test_f13_polling_goes_on_while_the_body_takes_its_time(wire):
    """A body of ten seconds: the others are asked in their time."""
    fleet = Fleet({"first": Order()} | {f"t{number}": Order({"DC_VESSELS": HOUR}) for number in range(20)})
    spans = []

    async def slow(event):
        start = asyncio.get_running_loop().time()
        await asyncio.sleep(200.0)
        spans.append((start, start + 200.0))

    play(wire, fleet, fleet.ids, each=slow, until=lambda events: len(events) == 2)

    start, end = spans[0]
    for name in fleet.ids[1:]:
        assert len([at for at in fleet.asked(name) if start < at < end]) >= 2


def test_f13_a_body_that_never_returns_stops_the_requests_after_five_minutes(wire):
    """Nobody has asked for 300 s: nobody is there. Nothing is lost, and the batch can be stopped."""
    fleet = Fleet({"first": Order()} | {f"t{number}": Order({"DC_VESSELS": DAY}) for number in range(20)})
    wire.answer = fleet.answer

    async def main(client):
        batch = client.await_batch(fleet.ids, poll=EVEN)

        async def drive():
            async for _ in batch:
                await asyncio.Event().wait()

        task = asyncio.create_task(drive())
        await asyncio.sleep(10 * HOUR)
        task.cancel()
        await asyncio.wait([task])
        return batch.latest

    report = wire.run(main)

    assert max(asked.at for asked in wire.asked) < 300.0 + 90.0
    assert len(report.waiting) >= 20


def test_f13_after_a_body_that_took_hours_everything_comes(wire):
    fleet = Fleet({f"t{number:02}": Order({"DC_VESSELS": number * MINUTE}) for number in range(30)})

    async def hours(event):
        if event.task_id == "t00":
            await asyncio.sleep(5 * HOUR)

    run = play(wire, fleet, fleet.ids, each=hours)

    assert delivered(run.events) == {derivative(name): 1 for name in fleet.ids}
    assert len(run.report.completed) == 30


# --- F14: ids --------------------------------------------------------------------------------------------------------

BAD_IDS = {
    "empty": "",
    "blank": "  ",
    "leading": " t1",
    "trailing": "t1\n",
    "no-break": "t1\u00a0",
    "dot": ".",
    "dots": "..",
    "long": "x" * 513,
    "a megabyte": "x" * 1_000_000,
    "a surrogate": "t\ud800",
    "None": None,
    "a number": 7,
    "bytes": b"t1",
    "a list": ["t1"],
}


@pytest.mark.parametrize("bad", BAD_IDS.values(), ids=BAD_IDS)
def test_f14_an_id_that_can_be_none_is_refused_with_its_row_before_anything_is_done(wire, tmp_path, bad):
    async def main(client):
        with pytest.raises(UsageError, match=r"\b(row )?3\b") as caught:
            client.await_batch(["t1", "t2", bad, "t3"], journal=tmp_path / "batch.db", to=tmp_path / "to")
        return caught.value

    error = wire.run(main)

    assert len(str(error)) < 2_000
    assert wire.asked == []
    assert list(tmp_path.iterdir()) == []


def test_f14_many_bad_ids_are_one_error_that_is_not_endless(wire):
    async def main(client):
        with pytest.raises(UsageError) as caught:
            client.await_batch([f" {number}" for number in range(100_000)])
        return caught.value

    message = str(wire.run(main))

    assert "100,000" in message or "100000" in message
    assert len(message) < 5_000


ODD_IDS = [
    "../x",
    "../../etc/passwd",
    "a/b",
    "a?b=c",
    "a#b",
    "a%2fb",
    "täsk-ß",
    "任务",
    "a b",
    "a\\b",
    "C:",
    "con",
    "t;x",
    "...",
    "-rf",
    "a" * 512,
]


def test_f14_odd_ids_are_quoted_and_reach_the_service_as_they_are(wire):
    fleet = Fleet({name: Order() for name in ODD_IDS})

    run = play(wire, fleet, ODD_IDS)

    assert set(run.report.completed) == set(ODD_IDS)
    paths = {asked.path for asked in wire.asked if asked.path.partition("?")[0] != TASKS}
    assert all(path.startswith(f"{TASKS}/") and path.count("/") <= 6 for path in paths)
    assert all(character not in path for path in paths for character in "?# ;")


def test_f14_ids_that_differ_in_case_or_form_are_different_tasks(wire):
    names = ["a", "A", "\u00e9", "e\u0301"]
    fleet = Fleet({name: Order() for name in names})

    run = play(wire, fleet, names)

    assert sorted(run.report.completed) == sorted(names)


async def test_f14_files_of_odd_ids_stay_inside_the_folder(connect, service, other, tmp_path):
    names = ["../x", "../../y", "a/b", "con", "A", "a", "..\\z", "/etc/passwd"]
    other.answers("/f.json", (200, {"ETag": '"e"'}, b'{"type": "FeatureCollection", "features": []}'))
    for number, name in enumerate(names):
        entry = {
            "id": f"d{number}",
            "derivativeProductType": "DC_VESSELS",
            "assets": [{"type": "geojson", "href": f"{other.url}/f.json"}],
        }
        service.answers(f"{TASKS}/{name}/derivatives", said(200, {"data": [entry]}))

    report = await connect().await_batch(names, to=tmp_path / "in" / "to")

    files = [path for outcome in report.completed.values() for path in outcome.files]
    assert dict(report.failed) == {}
    assert len(set(files)) == len(names)
    assert all(path.is_file() and path.resolve().is_relative_to((tmp_path / "in" / "to").resolve()) for path in files)
    assert len({path.parent for path in files}) == len(names)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_f14_a_hundred_thousand_ids_with_duplicates(wire, tmp_path):
    """They are taken in seconds; each counts once, and they are in the journal."""
    ids = [f"task-{number % 50_000:06}" for number in range(100_000)]
    fleet = Fleet({})
    wire.answer = lambda asked: Order().derivatives(unquote(asked.path).split("/")[5], asked.at)
    journal = tmp_path / "batch.db"

    async def main(client):
        batch = client.await_batch(ids, journal=journal)
        start = time.process_time()
        first = await anext(batch)
        return first, time.process_time() - start, len(batch.latest.waiting), str(batch.latest)

    first, took, waiting, table = wire.run(main)

    assert first.task_id.startswith("task-")
    assert took < 6.0
    assert waiting >= 49_900
    assert len(table) < 100_000 or table.count("\n") >= 50_000
    assert fleet.requests == []


# --- F15: a slow consumer --------------------------------------------------------------------------------------------


def test_f15_requests_stop_while_events_wait_and_go_on_when_they_are_taken(wire):
    """600 tasks that are there: with two events each, no more are asked than the 256 events that may wait."""
    fleet = Fleet({f"t{number:03}": Order() for number in range(600)})
    while_held = []

    async def hold(event):
        if not while_held:
            await asyncio.sleep(250.0)
            while_held.append(len(fleet.requests))

    run = play(wire, fleet, fleet.ids, each=hold)

    assert 100 <= while_held[0] <= 290
    assert delivered(run.events) == {derivative(name): 1 for name in fleet.ids}
    assert ends(run.events) == dict.fromkeys(fleet.ids, 1)
    assert in_order(run.events)


def test_f15_a_consumer_that_is_slow_all_the_time_gets_everything(wire, tmp_path):
    fleet = Fleet(
        {f"t{number:03}": Order({"DC_VESSELS": number, "DC_AIRCRAFT": number + 600.0}) for number in range(200)}
    )
    ahead = []

    async def slow(event):
        await asyncio.sleep(20.0)
        ahead.append(None)

    run = play(wire, fleet, fleet.ids, each=slow, journal=tmp_path / "batch.db")

    assert run.error is None
    assert set(delivered(run.events).values()) == {1}
    assert len(delivered(run.events)) == 400
    assert len(run.report.completed) == 200
    assert in_order(run.events)


def test_f15_an_update_that_waited_for_long_still_has_its_derivatives(wire):
    """Whatever it waited, its fresh ones have assets to download."""
    fleet = Fleet({f"t{number:03}": Order() for number in range(150)})

    async def slow(event):
        await asyncio.sleep(60.0)
        if isinstance(event, Updated):
            assert all(each.assets for each in event.update.fresh)

    run = play(wire, fleet, fleet.ids, each=slow)

    assert len(run.report.completed) == 150


async def test_f15_a_full_disk_is_waited_for_and_loses_nothing(tmp_path, monkeypatch):
    """For an hour no file can be written; then there is room, and every file comes."""
    disk = Disk(tmp_path / "files").installed(monkeypatch)
    scenario = Scenario(**AT_ONCE, derivatives={"DC_VESSELS": 0.0})
    async with Sandbox(scenario, speed=math.inf) as sandbox, sandbox.client() as client:
        ids = [(await ordered(sandbox, client)).id for _ in range(4)]
        begun, refused = sandbox.clock.now(), []

        def fails(name, path):
            if name in WRITES and of_data(path) and sandbox.clock.utc().timestamp() < ends_at:
                refused.append(path)
                return errno.ENOSPC
            return None

        ends_at, disk.fails = sandbox.clock.utc().timestamp() + HOUR, fails

        report = await client.await_batch(ids, to=tmp_path / "files")

        assert refused
        assert dict(report.failed) == {}
        assert set(report.completed) == set(ids)
        assert len(whole_files(tmp_path / "files")) == 4
        assert sandbox.clock.now() - begun >= HOUR
        assert len(sandbox.link_requests) < 4 * 130


# --- F19: stopped ----------------------------------------------------------------------------------------------------

CHILD = """
import asyncio, json, sys
from iceye_async import Client, ClientCredentials

async def main(order):
    credentials = ClientCredentials(order["token_url"], order["id"], order["secret"])
    async with Client(order["url"], auth=credentials) as client:
        batch = client.await_batch(order["tasks"], journal=order["journal"], to=order["to"])
        if order["how"] == "iterated":
            async for event in batch:
                print(type(event).__name__, flush=True)
        elif order["how"] == "body":
            async for event in batch:
                print(type(event).__name__, flush=True)
                await asyncio.sleep(3600)
        elif order["how"] == "task":
            print("going", flush=True)
            await asyncio.gather(asyncio.create_task(batch), asyncio.sleep(3600))
        else:
            print("going", flush=True)
            await batch

asyncio.run(main(json.loads(sys.argv[1])))
"""
STOPS = {
    "SIGTERM": (signal.SIGTERM, "iterated", False),
    "SIGINT": (signal.SIGINT, "iterated", False),
    "SIGTERM, awaited in a task": (signal.SIGTERM, "task", False),
    "SIGINT, awaited": (signal.SIGINT, "awaited", False),
    "SIGTERM, in the body": (signal.SIGTERM, "body", False),
    "SIGTERM, while a file comes": (signal.SIGTERM, "iterated", True),
}


@pytest.mark.parametrize(("sign", "how", "files"), STOPS.values(), ids=STOPS)
async def test_f19_a_signal_stops_it_soon_and_says_how_to_go_on(tmp_path, sign, how, files):
    """One task is there at once, the others come later: it is stopped between, and the next run goes on."""
    scenario = Scenario(
        **AT_ONCE,
        derivatives={"DC_VESSELS": 0.0},
        courses={"late": {"fulfilled": 9_000.0, "done": 9_000.0}},
        link_faults=[LinkFault(stall=10, times=math.inf)] if files else [],
    )
    journal = tmp_path / "batch.db"
    async with Sandbox(scenario) as sandbox, sandbox.client() as client:
        ids = [(await ordered(sandbox, client)).id]
        ids += [(await ordered(sandbox, client, reference="late")).id for _ in range(3)]
        order = {
            "url": sandbox.base_url,
            "token_url": sandbox.token_url,
            "id": sandbox.client_id,
            "secret": sandbox.client_secret,
            "tasks": ids,
            "journal": str(journal),
            "to": str(tmp_path / "files") if files else None,
            "how": how,
        }
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", CHILD, json.dumps(order)),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        try:
            await child.stdout.readline()
            while len(sandbox.requests) < 10 or (files and not sandbox.link_requests):  # noqa: ASYNC110 - a process
                await asyncio.sleep(0.01)
            start = time.monotonic()
            child.send_signal(sign)
            _, said = await asyncio.wait_for(child.communicate(), 10)
            took = time.monotonic() - start
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()
        words = said.decode()

        assert took < 5.0
        assert child.returncode != 0
        assert "await_batch" in words
        assert str(journal) in words
        assert sandbox.client_secret not in words
        assert not (tmp_path / "batch.db-wal").exists()
        sandbox.link_faults.clear()
        batch = client.await_batch(journal=journal)
        if how == "body" or files:
            event = await anext(batch)
            assert event.task_id == ids[0]
            # A file that was whole just before the signal is told of now, and for the first time.
            assert event.again or how != "body"
        else:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(batch, 0.2)
        assert len(batch.latest.completed) + len(batch.latest.waiting) == 4
        if files:
            batch.close()


def signals():
    return [signal.getsignal(sign) for sign in (signal.SIGTERM, signal.SIGINT)]


def test_f19_the_handlers_of_a_program_are_left_alone(wire):
    """Who handles SIGTERM himself goes on doing so; who does not has the default again afterwards."""
    fleet = Fleet({"t1": Order()})
    before = signals()
    during = []

    async def note(event):
        during.append(signals())

    assert play(wire, fleet, fleet.ids, each=note).error is None
    assert signals() == before

    mine = lambda number, frame: None  # noqa: E731
    signal.signal(signal.SIGTERM, mine)
    try:
        during.clear()
        play(wire, fleet, fleet.ids, each=note)
        assert [sign[0] for sign in during] == [mine] * len(during)
        assert signal.getsignal(signal.SIGTERM) is mine
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def test_f19_in_another_thread_no_signal_is_touched(wire):
    fleet, runs = Fleet({"t1": Order()}), []
    before = signals()

    def work():
        runs.append(play(wire, fleet, fleet.ids))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(20)

    assert len(runs[0].report.completed) == 1
    assert signals() == before


# --- F20: for days ---------------------------------------------------------------------------------------------------


def spread(number, days, rng):
    """Tasks whose pictures are taken in these days; each is decided soon, and has its derivatives after its imaging."""
    orders = {}
    for index in range(number):
        opens = rng.uniform(0, days * DAY)
        imaged = opens + rng.uniform(0, 6 * HOUR)
        stages = [(-HOUR, "RECEIVED"), (20 * MINUTE, "ACTIVE"), (imaged + HOUR, "DONE")]
        kinds = {"DC_VESSELS": imaged + 1.25 * HOUR, "DC_AIRCRAFT": imaged + 1.5 * HOUR}
        orders[f"t{index:04}"] = Order(
            kinds, stages=stages, opens=opens, closes=opens + 8 * HOUR, plan=imaged, created=-HOUR - index
        )
    return orders


def test_f20_thirty_virtual_days_leak_nothing_and_miss_nothing(wire, tmp_path):
    """A sample; `../simulation/` has the whole."""
    fleet = Fleet(spread(8, 30, random.Random(20)))  # noqa: S311
    measured = []
    late = []

    async def measure(event):
        now = asyncio.get_running_loop().time()
        if isinstance(event, Updated):
            late.extend(now - fleet.orders[event.task_id].kinds[each.type][0] for each in event.update.fresh)
        if isinstance(event, Finished):
            gc.collect()
            measured.append((len(os.listdir("/proc/self/fd")), len(asyncio.all_tasks())))  # noqa: PTH208

    options = {"poll": PollPolicy(timeout=40 * DAY), "journal": tmp_path / "batch.db"}
    run = play(wire, fleet, fleet.ids, each=measure, **options)

    assert run.error is None
    assert delivered(run.events) == expected(fleet)
    assert len(run.report.completed) == 8
    assert run.took > 20 * DAY
    early, last = measured[4], measured[-1]
    assert last[0] <= early[0]
    assert last[1] <= early[1]
    assert sum(late) / len(late) < 60.0
    # Every 30 seconds would be 86,400 requests for each.
    assert len(fleet.requests) / 8 < 1_000


# --- I5: the cell that is run again ----------------------------------------------------------------------------------


def test_i05_a_second_client_on_the_same_journal_is_told_who_has_it(wire, tmp_path):
    """And the first goes on undisturbed."""
    fleet = Fleet({"t1": Order(), "t2": Order({"DC_VESSELS": HOUR})})
    wire.answer = fleet.answer

    async def main(client):
        first = client.await_batch(fleet.ids, journal=tmp_path / "batch.db", poll=EVEN)
        event = await anext(first)
        async with Client("https://api.example", auth="a-token") as again:
            with pytest.raises(JournalError, match="this process"):
                await again.await_batch(fleet.ids, journal=tmp_path / "batch.db", poll=EVEN)
            with pytest.raises(JournalError, match="this process"):
                await again.await_batch(journal=tmp_path / "batch.db", poll=EVEN)
        return event, [event async for event in first], await first

    event, rest, report = wire.run(main)

    assert ends([event, *rest]) == {"t1": 1, "t2": 1}
    assert len(report.completed) == 2


def test_i05_the_cell_that_was_interrupted_and_is_run_again_goes_on(wire, tmp_path):
    """The name is bound anew: the first batch is forgotten, never closed, and the journal is free."""
    fleet = Fleet({"t1": Order(), "t2": Order({"DC_VESSELS": HOUR})})
    wire.answer = fleet.answer

    async def main(_):
        batch, seen = None, []
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(3):
                client = await stack.enter_async_context(Client("https://api.example", auth="a-token"))
                batch = client.await_batch(fleet.ids, journal=tmp_path / "batch.db", poll=EVEN)
                gc.collect()
                async for event in batch:
                    seen.append(event)
                    break
            rest = [event async for event in batch]
            return [*seen, *rest], await batch

    seen, report = wire.run(main)

    assert len({event.id for event in seen[:3]}) == 1
    assert [event.again for event in seen[:3]] == [False, True, True]
    assert ends(seen) == {"t1": 1, "t2": 1}
    assert len(report.completed) == 2


def test_i05_the_same_client_in_the_same_cell_run_again(wire, tmp_path):
    """Here only the batch is made anew; the old one is not driven any more."""
    fleet = Fleet({"t1": Order(), "t2": Order({"DC_VESSELS": HOUR})})
    wire.answer = fleet.answer

    async def main(client):
        for _ in range(2):
            batch = client.await_batch(fleet.ids, journal=tmp_path / "batch.db", poll=EVEN)
            gc.collect()
            async for _event in batch:
                break
        return await batch

    assert len(wire.run(main).completed) == 2


def test_i05_an_interrupted_await_can_be_run_again(wire, tmp_path):
    """The cell was interrupted while it waited: the same cell again."""
    fleet = Fleet({"t1": Order(), "t2": Order({"DC_VESSELS": HOUR})})
    wire.answer = fleet.answer

    async def main(client):
        async def cell():
            return await client.await_batch(fleet.ids, journal=tmp_path / "batch.db", poll=EVEN)

        interrupted = asyncio.create_task(cell())
        while not fleet.looks("t2"):  # noqa: ASYNC110 - virtual time
            await asyncio.sleep(0.1)
        interrupted.cancel()
        await asyncio.wait([interrupted])
        return await cell()

    assert len(wire.run(main).completed) == 2


async def test_i05_two_batches_into_the_same_folder_write_each_file_once_and_whole(tmp_path):
    """Two clients, two journals, the same tasks and folder: both end, and what is there is whole."""
    scenario = Scenario(**AT_ONCE, derivatives={"DC_VESSELS": (0.0, 0.0)}, sizes={"DC_VESSELS": 300_000})
    async with Sandbox(scenario, speed=math.inf) as sandbox, sandbox.client() as one, sandbox.client() as two:
        ids = [(await ordered(sandbox, one)).id for _ in range(3)]

        first, second = await asyncio.gather(
            one.await_batch(ids, to=tmp_path / "files", journal=tmp_path / "1.db"),
            two.await_batch(ids, to=tmp_path / "files", journal=tmp_path / "2.db"),
        )

        assert dict(first.failed) == dict(second.failed) == {}
        assert set(first.completed) == set(second.completed) == set(ids)
        for name in ids:
            assert set(first.completed[name].files) == set(second.completed[name].files)
        assert [path.stat().st_size for path in whole_files(tmp_path / "files")] == [300_000] * 6


async def test_i05_a_new_journal_for_a_folder_that_is_filled_fetches_nothing(tmp_path):
    """The notebook begins anew, with another journal or none; the files are there."""
    scenario = Scenario(**AT_ONCE, derivatives={"DC_VESSELS": (0.0, 0.0)})
    async with Sandbox(scenario, speed=math.inf) as sandbox, sandbox.client() as one, sandbox.client() as two:
        ids = [(await ordered(sandbox, one)).id for _ in range(3)]
        first = await one.await_batch(ids, to=tmp_path / "files", journal=tmp_path / "1.db")
        asked = len(sandbox.link_requests)

        second = await two.await_batch(ids, to=tmp_path / "files")

        assert len(sandbox.link_requests) == asked
        assert {path for done in second.completed.values() for path in done.files} == {
            path for done in first.completed.values() for path in done.files
        }


# --- sweeps of the list ----------------------------------------------------------------------------------------------


def planned(number, *, days=3.0, **more):
    """Tasks whose windows open in these days, of which the scene says nothing."""
    rng, orders = random.Random(7), {}  # noqa: S311
    for index in range(number):
        opens = rng.uniform(0.2 * DAY, days * DAY)
        imaged = opens + rng.uniform(0, 10 * MINUTE)
        stages = [(-HOUR, "RECEIVED"), (20 * MINUTE, "ACTIVE"), (imaged + 5 * MINUTE, "DONE")]
        orders[f"t{index:04}"] = Order(
            {"DC_VESSELS": imaged + 8 * MINUTE},
            stages=stages,
            opens=opens,
            closes=opens + 15 * MINUTE,
            created=-HOUR - index,
            **more,
        )
    return Fleet(orders)


def swept(wire, fleet, **given):
    run = play(wire, fleet, fleet.ids, poll=PollPolicy(), **given)
    assert run.error is None
    assert delivered(run.events) == expected(fleet)
    assert len(run.report.completed) == len(fleet.orders)
    return run


def test_sweeps_of_the_list_take_the_place_of_questions_for_each_task(wire):
    with_list, without = planned(100), planned(100)
    without.swept = NO_LIST

    swept(wire, with_list)
    swept(wire, without)

    assert with_list.sweeps()
    assert len(with_list.requests) < 0.8 * len(without.requests)


def test_sweeps_count_in_the_report_and_not_for_a_task(wire):
    fleet = planned(100)

    report = swept(wire, fleet).report

    own = sum(outcome.requests for outcome in report.completed.values())
    assert own == len(fleet.requests) - len(fleet.sweeps())
    assert report.requests == len(fleet.requests)


def test_sweeps_ask_from_the_oldest_task_on_and_follow_the_cursor(wire):
    fleet = planned(120)
    fleet.orders["stranger"] = Order({"DC_VESSELS": 0.0}, created=-300 * DAY)
    del fleet.orders["stranger"]

    swept(wire, fleet)

    queries = [parse_qs(urlsplit(path).query) for _, path in fleet.requests if path.partition("?")[0] == TASKS]
    assert all("createdAfter" in query for query in queries)
    assert any("cursor" in query for query in queries)


def test_sweeps_of_a_list_with_many_strangers_cost_little_more_than_none(wire):
    """The contract has ten thousand other tasks, younger than the batch: the list is no help, and is found out soon."""
    fleet, alone = planned(60), planned(60)
    alone.swept = NO_LIST
    fleet.swept = lambda asked: strangers(asked, fleet)

    swept(wire, fleet)
    swept(wire, alone)

    assert len(fleet.requests) < 1.5 * len(alone.requests)


def strangers(asked, fleet):
    """Two hundred pages of others."""
    cursor = int(parse_qs(urlsplit(asked.path).query).get("cursor", ["0"])[0])
    others = {f"x{cursor + index}": Order() for index in range(50)}
    data = [order.document(name, asked.at) for name, order in others.items()]
    return said(200, {"data": data, "cursor": str(cursor + 50) if cursor < 10_000 else ""})


LISTS = {
    "403": NO_LIST,
    "404": MISSING,
    "400": said(400, {"code": "bad", "message": "createdAfter?"}),
    "500": (500, {}, b""),
    "no JSON": (200, {}, b"<html>"),
    "empty": said(200, {"data": []}),
    "another shape": said(200, {"tasks": []}),
    "broken off": down,
    "it loops": said(200, {"data": [], "cursor": "again"}),
    "it has no end": lambda asked: (
        strangers(asked, None) if "cursor=9950" not in asked.path else said(200, {"data": [], "cursor": "0"})
    ),
    "unreadable entries": said(200, {"data": [{"id": 7}, None, "t0001"]}),
}


@pytest.mark.parametrize("answer", LISTS.values(), ids=LISTS)
def test_sweeps_of_a_list_that_is_no_good_harm_nothing(wire, answer):
    fleet, alone = planned(15, days=1.0), planned(15, days=1.0)
    fleet.swept, alone.swept = answer, NO_LIST

    run = swept(wire, fleet)
    swept(wire, alone)

    assert len(fleet.requests) < 1.6 * len(alone.requests)
    assert len(of(Finished, run.events)) == 15


def test_sweeps_that_are_refused_are_not_tried_again_for_an_hour(wire):
    fleet = planned(60)
    fleet.swept = NO_LIST

    swept(wire, fleet)

    assert all(later - earlier >= HOUR for earlier, later in itertools.pairwise(fleet.sweeps()))


def lies(status):
    def make():
        fleet = planned(60, days=1.0)
        for index, order in enumerate(fleet.orders.values()):
            if index % 3 == 0:
                order.listed = status
        return fleet

    return make


@pytest.mark.parametrize("status", ["RECEIVED", "ACTIVE", "FULFILLED", "DONE", "SOMETHING_NEW"])
def test_sweeps_of_a_list_that_lies_end_no_task_and_miss_nothing(wire, status):
    """What the list says of a third of the tasks is not so. Judged is by the derivatives themselves."""
    swept(wire, lies(status)())


@pytest.mark.parametrize("status", ["REJECTED", "FAILED", "CANCELED"])
def test_sweeps_that_say_a_task_has_ended_are_believed_only_when_the_task_says_so(wire, status):
    """A list may be stale or wrong; a task that ends is worth one request to be sure."""
    fleet = lies(status)()

    run = play(wire, fleet, fleet.ids, poll=PollPolicy())

    assert dict(run.report.failed) == {}
    assert delivered(run.events) == expected(fleet)


def test_sweeps_of_a_list_that_lacks_some_tasks_do_not_starve_them(wire):
    """Every other task is on no page, as those of another contract."""
    fleet = planned(80, days=2.0)
    fleet.swept = lambda asked: fleet.page(
        parse_qs(urlsplit(asked.path).query), asked.at, lambda name: int(name[1:]) % 2 == 0
    )

    run = swept(wire, fleet)

    late = [
        event.outcome.ended.timestamp() - 1_800_000_000.0 - fleet.orders[event.task_id].kinds["DC_VESSELS"][0]
        for event in of(Finished, run.events)
    ]
    assert max(late) < 5 * MINUTE


def test_sweeps_find_a_task_that_was_canceled(wire):
    """It is noticed within hours, though its window is days ahead."""
    fleet = planned(60)
    canceled = fleet.orders["t0007"]
    canceled.stages, canceled.kinds = [(-HOUR, "ACTIVE"), (3 * HOUR, "CANCELED")], {}

    when = []

    async def note(event):
        if isinstance(event, Failed):
            when.append((event.task_id, asyncio.get_running_loop().time()))

    run = play(wire, fleet, fleet.ids, poll=PollPolicy(), each=note)

    ((name, at),) = when
    assert name == "t0007"
    assert at < 10 * HOUR
    assert isinstance(run.report.failed["t0007"], TaskEnded)
    assert run.report.failed["t0007"].status == "CANCELED"


# --- the rate --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [1.0, 10.0, 50.0])
def test_the_rate_is_kept_to_and_used(wire, rate):
    """With more due than may be asked, as many requests leave as may, and in no second more than the burst."""
    fleet = Fleet({f"t{number:04}": Order({"DC_VESSELS": DAY}) for number in range(400)})

    async def main(client):
        batch = client.await_batch(fleet.ids, poll=PollPolicy(first=1.0, ceiling=1.0))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(batch, min(400.0, 6000.0 / rate))

    wire.answer = fleet.answer
    wire.run(main, rate_limit=rate)

    times = [asked.at for asked in wire.asked if asked.at > 60.0]
    used = (len(times) - 1) / (times[-1] - times[0])
    assert wire.busiest(1.0) <= rate + max(1.0, min(rate, 10.0))
    assert wire.busiest(30.0) <= 30 * rate + max(1.0, min(rate, 10.0))
    assert used >= 0.95 * rate


def test_two_batches_share_the_rate_of_their_client(wire):
    one = Fleet({f"t{number:03}": Order({"DC_VESSELS": 300.0}) for number in range(200)})
    wire.answer = one.answer

    async def main(client):
        return await asyncio.gather(
            client.await_batch(one.ids[:100], poll=PollPolicy(first=1.0, ceiling=1.0)),
            client.await_batch(one.ids[100:], poll=PollPolicy(first=1.0, ceiling=1.0)),
        )

    first, second = wire.run(main, rate_limit=5.0)

    assert (set(first.completed), set(second.completed)) == (set(one.ids[:100]), set(one.ids[100:]))
    assert wire.busiest(1.0) <= 10
    shares = [
        sum(at < 300.0 and path.split("/")[5] in half for at, path in one.requests if path.count("/") > 4)
        for half in (set(one.ids[:100]), set(one.ids[100:]))
    ]
    assert min(shares) > 0.6 * max(shares)


def test_a_429_slows_all_tasks(wire):
    """For as long as it says nobody is asked; then all go on, and no task fails."""
    fleet = Fleet({f"t{number:03}": Order({"DC_VESSELS": 20 * MINUTE}) for number in range(60)})
    refused = []

    def trouble(asked):
        if asked.at > 100.0 and not refused:
            refused.append(asked.at)
            return (429, {"Retry-After": "300"}, b"")
        return None

    fleet.trouble = trouble
    run = play(wire, fleet, fleet.ids, poll=PollPolicy())

    heard = refused[0] + wire.latency
    # Those that were under way when the answer came are not called back.
    assert [at for at, _ in fleet.requests if heard + 0.01 < at < heard + 300.0 - 0.1] == []
    assert len(run.report.completed) == 60


def test_429s_for_hours_fail_no_task(wire):
    fleet = Fleet({f"t{number:03}": Order() for number in range(30)})
    fleet.trouble = lambda asked: (429, {"Retry-After": "60"}, b"") if asked.at < 5 * HOUR else None

    run = play(wire, fleet, fleet.ids, poll=PollPolicy())

    assert len(run.report.completed) == 30


def test_no_task_starves_where_more_is_due_than_may_be_asked(wire):
    """300 tasks at one request a second: everybody has a turn every five minutes."""
    fleet = Fleet({f"t{number:03}": Order({"DC_VESSELS": HOUR}) for number in range(300)})

    run = play(wire, fleet, fleet.ids, poll=PollPolicy(), options={"rate_limit": 1.0})

    assert len(run.report.completed) == 300
    turns = {name: fleet.looks(name) for name in fleet.ids}
    gaps = [later - earlier for at in turns.values() for earlier, later in itertools.pairwise(at)]
    assert max(gaps) < 2.2 * 300
    numbers = [len(at) for at in turns.values()]
    assert max(numbers) - min(numbers) <= 4


def test_the_start_is_spread_and_each_task_has_its_turn(wire):
    fleet = Fleet({f"t{number:03}": Order({"DC_VESSELS": 2 * MINUTE}) for number in range(300)})

    play(wire, fleet, fleet.ids, until=lambda events: True, poll=PollPolicy())

    first = [fleet.asked(name)[0] for name in fleet.ids]
    assert max(first) < 2 * 30.0 + 15.0
    assert wire.busiest(1.0) <= 20


def test_news_is_heard_soon_among_hundreds_that_wait(wire):
    """Of 300 tasks days ahead of their windows and one that is being processed, that one is asked as if alone."""
    fleet = planned(300)
    fleet.orders["now"] = Order({"DC_VESSELS": HOUR, "DC_AIRCRAFT": 1.5 * HOUR}, created=-30.0)
    when = []

    async def note(event):
        when.append((event.task_id, asyncio.get_running_loop().time()))

    play(wire, fleet, fleet.ids, poll=PollPolicy(), each=note, until=lambda events: isinstance(events[-1], Finished))

    assert [name for name, _ in when] == ["now"] * 3
    assert when[0][1] < HOUR + 45.0
    assert when[1][1] < 1.5 * HOUR + 45.0
