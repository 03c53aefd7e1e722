"""Group D, polling: what a wait makes of a service that contradicts itself, and of a clock that does."""

import asyncio
import collections
import itertools
import json
import logging
import random
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from aiohttp import web

from iceye_async import (
    ClientCredentials,
    DerivativesNotRequested,
    IceyeError,
    NotFound,
    PaginationLoop,
    PollPolicy,
    PollTimeout,
    TaskEnded,
    TaskNotFound,
    Token,
    TransportError,
    UsageError,
)
from tests.faults.crowds import crowd_of

TASK = "/api/tasking/v2/tasks/t1"
LOOK = f"{TASK}/derivatives"
PRODUCTS = f"{TASK}/products"
EPOCH = 1_800_000_000.0
MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
LINK = "https://l.example/{}?Expires=1&Signature=c4n4ry-signature"
NOT_YET = (404, {}, b'{"code": "not_found", "message": "no derivative products are available yet"}')
EVEN = PollPolicy(first=30.0, growth=1.0, ceiling=30.0, spread=0.0)
"""A look every 30 s."""


# --- what the service says -----------------------------------------------------------------------------------------


def entry(name, ready=True, kind=None):
    """A derivative; `v1` is of type DC_V unless `kind` says otherwise."""
    assets = [{"type": "geojson", "href": LINK.format(name)}] if ready else []
    return {"id": name, "derivativeProductType": kind or f"DC_{name[0].upper()}", "assets": assets}


def listing(status, *entries, **headers):
    return (status, headers, json.dumps({"data": entries}).encode())


def date(seconds):
    return {"Date": format_datetime(datetime.fromtimestamp(seconds, UTC), usegmt=True)}


def task(status="DONE", *, opens=EPOCH - 2 * HOUR, now=EPOCH, **more):
    start = datetime.fromtimestamp(opens, UTC)
    document = {
        "id": "t1",
        "contractID": "c",
        "pointOfInterest": {"lat": 1.0, "lon": 2.0},
        "imagingMode": "SPOTLIGHT",
        "acquisitionWindow": {"start": start.isoformat(), "end": (start + timedelta(days=1)).isoformat()},
        "status": status,
        "createdAt": start.isoformat(),
        "updatedAt": start.isoformat(),
        **more,
    }
    return (200, date(now), json.dumps(document).encode())


def page(*names, **cursor):
    items = [{"id": name, "properties": {}, "assets": {"k": {"href": LINK.format(name)}}} for name in names]
    return (200, {}, json.dumps({"data": items, **cursor}).encode())


NONE = listing(206, entry("v1", ready=False), entry("a1", ready=False))
SOME = listing(206, entry("v1"), entry("a1", ready=False))
BOTH = listing(206, entry("v1"), entry("a1"))
ALL = listing(200, entry("v1"), entry("a1"))


def reset(asked):
    return TransportError("the connection broke")


def in_turn(*answers):
    """The answers one after the other; the last one for ever. A callable is asked."""
    rest = list(answers)

    def answer(asked):
        said = rest.pop(0) if len(rest) > 1 else rest[0]
        return said(asked) if callable(said) else said

    return answer


def serve(wire, *looks, shown=None):
    """Looks are answered in turn, and so is the task. By default it is DONE."""
    look = in_turn(*looks)
    tell = in_turn(*(shown or [task()]))
    wire.answer = lambda asked: look(asked) if asked.path.endswith("/derivatives") else tell(asked)


def looks(wire):
    return [asked for asked in wire.asked if asked.path == LOOK]


async def drained(steps, seen):
    """Notes each step as it comes, and gives the error that ended them, if one did."""
    try:
        async for step in steps:
            seen.append(step)
    except IceyeError as error:
        return error


def watch(wire, types=None, poll=EVEN, **options):
    """The updates of a wait in virtual time, and the error that ended it, if one did."""

    async def main(client):
        updates = []
        return updates, await drained(client.await_derivatives("t1", types, poll=poll), updates)

    return wire.run(main, **options)


def waited(wire, types=None, poll=EVEN, **options):
    """The derivatives that a wait in virtual time ends with."""

    async def main(client):
        return await client.await_derivatives("t1", types, poll=poll)

    return wire.run(main, **options)


def fresh(updates):
    return [found.id for update in updates for found in update.fresh]


def ready(updates):
    return [sorted(update.ready) for update in updates]


@pytest.fixture
def warned(caplog):
    """The warnings that the package has logged."""
    caplog.set_level(logging.DEBUG, "iceye_async")
    return lambda: [
        record
        for record in caplog.get_records("call")
        if record.name.startswith("iceye_async") and record.levelno >= logging.WARNING
    ]


# --- D1 to D3: a 404 has three meanings ----------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["RECEIVED", "ACTIVE", "FULFILLED", "DONE"])
def test_d01_a_404_of_a_task_that_stands_is_waited_for_to_the_deadline(wire, status):
    """Nothing comes for an hour: the wait looks again and again, lastly at its deadline, and then says so."""
    serve(wire, NOT_YET, shown=[task(status)])

    updates, error = watch(wire, poll=PollPolicy(timeout=HOUR))

    assert isinstance(error, PollTimeout)
    assert (updates, error.latest, error.task_id) == ([], None, "t1")
    assert len(looks(wire)) > 5
    assert looks(wire)[-1].at == pytest.approx(HOUR, abs=1.0)


@pytest.mark.parametrize("status", ["ACTIVE", "FULFILLED", "DONE"])
def test_d01_what_comes_after_many_404s_is_delivered(wire, status):
    serve(wire, *[NOT_YET] * 40, SOME, ALL, shown=[task(status)])

    updates, error = watch(wire)

    assert error is None
    assert fresh(updates) == ["v1", "a1"]


@pytest.mark.parametrize("types", [None, ["DC_V"]], ids=str)
@pytest.mark.parametrize(
    "body", [b"", b"<html>", b'{"code": "TASK_NOT_FOUND", "message": "no such task"}'], ids=["none", "html", "json"]
)
def test_d02_a_task_that_does_not_exist_is_an_error_once_the_task_itself_was_asked_for(wire, body, types):
    serve(wire, (404, {}, body), shown=[(404, {}, body)])

    _, error = watch(wire, types)

    assert isinstance(error, TaskNotFound)
    assert isinstance(error, NotFound)
    assert [asked.path for asked in wire.asked] == [LOOK, TASK]


@pytest.mark.parametrize("trouble", [(503, {}, b""), (200, {}, b"<html>"), reset], ids=["503", "html", "reset"])
def test_d02_a_lookup_that_fails_proves_nothing(wire, trouble):
    """The task could not be asked: the wait goes on, and gets what comes."""
    serve(wire, NOT_YET, NOT_YET, NOT_YET, ALL, shown=[trouble, trouble, task()])

    assert waited(wire).final


def test_d02_a_task_that_was_there_before_is_not_taken_for_a_wrong_id(wire):
    """One confused answer of the service about a task that it knew does not end a wait of days."""
    serve(wire, *[NOT_YET] * 30, ALL, shown=[task("ACTIVE"), (404, {}, b""), task("ACTIVE")])

    assert waited(wire).final


UNREQUESTED = {
    "an empty echo": {"derivativeProductTypes": []},
    "an echo without it": {"derivativeProductTypes": ["DC_A"]},
    "a mode that has none": {"imagingMode": "STRIPMAP"},
    "no GRD": {"productTypes": ["SLC", "QLK"]},
}


@pytest.mark.parametrize("status", ["RECEIVED", "ACTIVE", "FULFILLED", "DONE"])
@pytest.mark.parametrize("shown", UNREQUESTED.values(), ids=UNREQUESTED)
def test_d03_derivatives_that_were_not_requested_are_an_error_at_once(wire, shown, status):
    serve(wire, NOT_YET, shown=[task(status, **shown)])

    _, error = watch(wire, ["DC_V"])

    assert isinstance(error, DerivativesNotRequested)
    assert error.types == {"DC_V"}
    assert wire.asked[-1].at < 1.0
    assert len(wire.asked) == 2


UNPROVEN = {
    "no echo": {},
    "a null echo": {"derivativeProductTypes": None},
    "an unknown mode": {"imagingMode": "A_MODE_OF_THIS_CONTRACT"},
    "GRD-COG": {"productTypes": ["GRD-COG"]},
    "an echo beats the mode": {"derivativeProductTypes": ["DC_V", "DC_A"], "imagingMode": "SCAN"},
    "an echo beats the products": {"derivativeProductTypes": ["DC_V", "DC_A"], "productTypes": ["SLC"]},
}


@pytest.mark.parametrize("shown", UNPROVEN.values(), ids=UNPROVEN)
def test_d03_what_the_task_does_not_show_is_waited_for(wire, shown):
    serve(wire, NOT_YET, NOT_YET, ALL, shown=[task(**shown)])

    assert waited(wire, ["DC_V"]).ready == {"DC_V", "DC_A"}


# --- D4 to D9: what a listing says, and takes back -----------------------------------------------------------------


def test_d04_each_ready_derivative_is_yielded_exactly_once_on_the_way(wire):
    """Three 206 without news between: an update for each, and each derivative fresh in one of them only."""
    serve(wire, NONE, SOME, SOME, SOME, BOTH, ALL)

    updates, error = watch(wire)

    assert error is None
    assert [[found.id for found in update.fresh] for update in updates] == [[], ["v1"], [], [], ["a1"], []]
    assert [update.complete for update in updates] == [False] * 5 + [True]


def test_d04_types_that_nobody_asked_for_are_listed_and_not_fresh(wire):
    serve(wire, NONE, listing(206, entry("v1", ready=False), entry("a1")), BOTH)

    updates, error = watch(wire, ["DC_V"])

    assert error is None
    assert fresh(updates) == ["v1"]
    assert {found.id for found in updates[-1].derivatives} == {"v1", "a1"}


def test_d04_an_ordinary_wait_logs_no_warning(wire, warned):
    serve(wire, NOT_YET, NONE, SOME, BOTH, ALL)

    watch(wire)

    assert warned() == []


def test_d05_a_206_where_everything_has_assets_is_not_the_end(wire):
    """The status is authoritative: more types may follow, so a wait for everything goes on until the 200."""
    more = listing(200, entry("v1"), entry("a1"), entry("c1"))
    serve(wire, *[BOTH] * 60, more)

    updates, error = watch(wire)

    assert error is None
    assert len(updates) == 61
    assert fresh(updates) == ["v1", "a1", "c1"]
    assert [update.complete for update in updates] == [False] * 60 + [True]


def test_d05_a_wait_for_named_types_ends_as_soon_as_they_are_there(wire):
    """Who names what he wants need not wait for a 200."""
    serve(wire, BOTH)

    assert not waited(wire, ["DC_V", "DC_A"]).final
    assert len(wire.asked) == 1


def test_d05_a_206_that_stays_although_nothing_is_missing_is_warned_of_once(wire, warned):
    serve(wire, *[BOTH] * 60, ALL)

    watch(wire)

    assert len(warned()) == 1
    assert "t1" in str(vars(warned()[0]))


def test_d06_a_200_with_an_entry_without_assets_is_not_complete(wire):
    """The service says that it is done, and lists what is not there: the data decide."""
    serve(wire, listing(200, entry("v1"), entry("a1", ready=False)), SOME, ALL)

    updates, error = watch(wire)

    assert error is None
    assert [update.complete for update in updates] == [False, False, True]


def test_d06_a_200_that_never_gets_its_assets_ends_at_the_deadline_with_what_there_is(wire):
    serve(wire, listing(200, entry("v1"), entry("a1", ready=False)))

    updates, error = watch(wire, poll=PollPolicy(timeout=HOUR))

    assert isinstance(error, PollTimeout)
    assert error.latest.ready == {"DC_V"}
    assert error.latest.missing == {"DC_A"}
    assert fresh(updates) == ["v1"]
    assert "DC_A" in str(error)


def test_d06_a_200_without_all_its_assets_is_warned_of_once(wire, warned):
    serve(wire, *[listing(200, entry("v1"), entry("a1", ready=False))] * 10, ALL)

    watch(wire)

    assert len(warned()) == 1
    assert "t1" in str(vars(warned()[0]))


@pytest.mark.parametrize("before", [[], [NOT_YET], [NONE]], ids=["at once", "after a 404", "after a 206"])
def test_d06_an_empty_200_says_that_there_are_none(wire, before):
    """Judged by the contract, not by the row: with nothing ever ready, an empty 200 means none were requested."""
    serve(wire, *before, listing(200))

    updates, error = watch(wire)

    assert isinstance(error, DerivativesNotRequested)
    assert fresh(updates) == []


def test_d06_an_empty_200_for_a_wanted_type_names_the_type(wire):
    serve(wire, listing(200))

    _, error = watch(wire, ["DC_V"])

    assert isinstance(error, DerivativesNotRequested)
    assert error.types == {"DC_V"}


def test_d06_an_empty_200_takes_nothing_back(wire):
    serve(wire, BOTH, listing(200))

    updates, error = watch(wire)

    assert error is None
    assert updates[-1].ready == {"DC_V", "DC_A"}
    assert updates[-1].complete


def test_d06_an_entry_that_cannot_be_read_keeps_a_200_from_being_the_end(wire):
    broken = listing(200, entry("v1"), {"id": 7, "derivativeProductType": "DC_A", "assets": []})
    serve(wire, broken, ALL)

    updates, error = watch(wire)

    assert error is None
    assert [update.complete for update in updates] == [False, True]
    assert fresh(updates) == ["v1", "a1"]


REGRESSIONS = {
    "206, then 404": [SOME, NOT_YET, ALL],
    "206, then 404 for long": [SOME, *[NOT_YET] * 20, ALL],
    "200, then 206": [listing(200, entry("v1"), entry("a1", ready=False)), NONE, ALL],
    "an item vanishes": [SOME, listing(206, entry("a1", ready=False)), ALL],
    "an item vanishes for good": [SOME, listing(206, entry("a1", ready=False)), listing(200, entry("a1"))],
    "assets vanish": [SOME, NONE, NONE, ALL],
    "everything vanishes": [SOME, listing(206), ALL],
    "it comes and goes": [SOME, NONE, SOME, NOT_YET, SOME, NONE, ALL],
}


@pytest.mark.parametrize("answers", REGRESSIONS.values(), ids=REGRESSIONS)
def test_d07_what_was_ready_stays_and_is_not_delivered_twice(wire, answers):
    serve(wire, *answers)

    updates, error = watch(wire)

    assert error is None
    assert fresh(updates) == ["v1", "a1"]
    assert {found.id for found in updates[-1].derivatives if found.assets} == {"v1", "a1"}


@pytest.mark.parametrize("answers", REGRESSIONS.values(), ids=REGRESSIONS)
def test_d07_no_update_has_less_than_the_one_before(wire, answers):
    serve(wire, *answers)

    updates, _ = watch(wire)

    for earlier, later in itertools.pairwise(updates):
        assert earlier.ready <= later.ready
        assert earlier.derivatives.ready <= later.derivatives.ready


TAKEN_BACK = {
    "a 404": [SOME, NOT_YET, SOME],
    "a 206": [listing(200, entry("v1"), entry("a1", ready=False)), SOME],
    "an item": [SOME, listing(206, entry("a1", ready=False)), SOME],
    "its assets": [SOME, NONE, SOME],
}


@pytest.mark.parametrize("answers", TAKEN_BACK.values(), ids=TAKEN_BACK)
def test_d07_a_service_that_takes_something_back_is_warned_of_once(wire, warned, answers):
    """However often it does so; and the warning says of which task, and shows no link."""
    serve(wire, *answers * 5, ALL)

    watch(wire)

    said = [record.getMessage() for record in warned()]
    assert 1 <= len(said) == len(set(said))
    assert all("t1" in str(vars(record)) and "c4n4ry-signature" not in str(vars(record)) for record in warned())


def test_d07_where_nothing_was_listed_nothing_is_said_to_be_taken_back(wire, warned):
    serve(wire, NOT_YET, listing(206), NOT_YET, SOME, ALL)

    watch(wire)

    assert warned() == []


def test_d08_flapping_ends_with_the_union(wire):
    only_v, only_a = listing(206, entry("v1")), listing(206, entry("a1"))
    serve(wire, NOT_YET, only_v, (500, {}, b""), NOT_YET, only_a, reset, (502, {}, b"<html>"), NOT_YET, listing(200))

    updates, error = watch(wire)

    assert error is None
    assert fresh(updates) == ["v1", "a1"]
    assert {found.id for found in updates[-1].derivatives} == {"v1", "a1"}


@pytest.mark.parametrize("seed", range(25))
def test_d08_whatever_the_order_each_derivative_comes_once_and_none_is_lost(wire, seed):
    """A hundred answers by chance: of today, of yesterday, wrong, broken; then the truth."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    names = ["v1", "v2", "a1", "c1"]
    answers = []
    for _ in range(100):
        there = {name: chance.random() < 0.3 for name in names}
        listed = [entry(name, ready) for name, ready in there.items() if chance.random() < 0.7]
        incomplete = [*listed, entry("z1", ready=False)]
        trouble = [NOT_YET, (500, {}, b""), (429, {}, b""), (206, {}, b'{"data": [{'), reset]
        answers.append(chance.choice([listing(206, *listed), listing(200, *incomplete), *trouble]))
    serve(wire, *answers, listing(200, *map(entry, [*names, "z1"])))

    updates, error = watch(wire)

    assert error is None
    assert sorted(fresh(updates)) == sorted([*names, "z1"])
    assert [update.complete for update in updates] == [False] * (len(updates) - 1) + [True]


def test_d09_the_same_id_twice_is_one_derivative(wire):
    serve(wire, listing(206, entry("v1"), entry("v1")), listing(200, entry("v1"), entry("v1")))

    updates, error = watch(wire)

    assert error is None
    assert fresh(updates) == ["v1"]
    assert len(updates[-1].derivatives) == 1


@pytest.mark.parametrize("order", [[True, False], [False, True]], ids=["first", "last"])
def test_d09_of_the_same_id_the_entry_with_assets_counts(wire, order):
    serve(wire, listing(200, *(entry("v1", ready) for ready in order)))

    (found,) = waited(wire)

    assert found.assets


def test_d09_two_derivatives_of_one_type_are_both_kept(wire):
    serve(wire, listing(206, entry("v1"), entry("v2", ready=False)), listing(200, entry("v1"), entry("v2")))

    updates, error = watch(wire)

    assert error is None
    assert fresh(updates) == ["v1", "v2"]
    assert [found.id for found in updates[-1].derivatives.of("DC_V")] == ["v1", "v2"]


def test_d09_a_type_is_ready_when_all_its_entries_are(wire):
    serve(wire, listing(206, entry("v1"), entry("v2", ready=False)), listing(206, entry("v1"), entry("v2")))

    updates, _ = watch(wire, ["DC_V"])

    assert ready(updates) == [[], ["DC_V"]]
    assert [update.complete for update in updates] == [False, True]


# --- D10 to D12: the task changes meanwhile ------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["REJECTED", "FAILED", "CANCELED"])
@pytest.mark.parametrize("before", ["RECEIVED", "ACTIVE"])
def test_d10_a_task_that_ends_in_its_window_ends_the_wait_within_the_hour(wire, before, status):
    """With the default policy, and a task that stood for two hours."""
    ends = 2 * HOUR
    serve(wire, NOT_YET, shown=[lambda asked: task(before if asked.at < ends else status, now=EPOCH + asked.at)] * 2)

    _, error = watch(wire, poll=PollPolicy())

    assert isinstance(error, TaskEnded)
    assert (error.status, error.task_id) == (status, "t1")
    assert status in str(error)
    assert ends <= wire.asked[-1].at < ends + HOUR


@pytest.mark.parametrize("status", ["REJECTED", "FAILED", "CANCELED"])
def test_d10_a_task_that_ends_days_before_its_window_is_noticed_within_hours(wire, status):
    opens, ends = EPOCH + 10 * DAY, 2 * DAY
    serve(
        wire,
        NOT_YET,
        shown=[lambda asked: task("ACTIVE" if asked.at < ends else status, opens=opens, now=EPOCH + asked.at)] * 2,
    )

    _, error = watch(wire, poll=PollPolicy())

    assert isinstance(error, TaskEnded)
    assert ends <= wire.asked[-1].at < ends + 7 * HOUR
    assert len(wire.asked) < 40


def test_d10_a_task_that_ended_keeps_what_had_arrived(wire):
    serve(wire, SOME, NOT_YET, shown=[task("CANCELED")])

    updates, error = watch(wire)

    assert isinstance(error, TaskEnded)
    assert error.latest.ready == {"DC_V"}
    assert fresh(updates) == ["v1"]


@pytest.mark.parametrize("status", ["QUEUED_FOR_PLANNING", "CANCELLED", "done", ""])
def test_d11_a_status_that_nobody_knew_is_waited_through(wire, status):
    serve(wire, *[NOT_YET] * 10, ALL, shown=[task(status)])

    assert waited(wire).final


def test_d11_the_time_out_says_the_status_in_the_words_of_the_service(wire):
    serve(wire, NOT_YET, shown=[task("QUEUED_FOR_PLANNING")])

    _, error = watch(wire, poll=PollPolicy(timeout=HOUR))

    assert isinstance(error, PollTimeout)
    assert "QUEUED_FOR_PLANNING" in str(error)


def test_d11_the_task_has_the_status_in_the_words_of_the_service(wire):
    serve(wire, NOT_YET, shown=[task("QUEUED_FOR_PLANNING")])

    assert wire.run(lambda client: client.tasks.get("t1")).status == "QUEUED_FOR_PLANNING"


def test_d12_a_list_asked_for_again_once_the_task_is_done_has_the_extra_products_too(wire):
    """What came with FULFILLED, and then that and what came with DONE, each product once in each list."""
    pages = in_turn(page("grd", "slc"), page("grd", "slc", cursor="2"), page("sicd", "csi"))
    wire.answer = pages

    async def main(client):
        return await client.products.list("t1"), await client.products.list("t1")

    fulfilled, done = wire.run(main)

    assert [product.id for product in fulfilled] == ["grd", "slc"]
    assert [product.id for product in done] == ["grd", "slc", "sicd", "csi"]


# --- D13: lists without an end -------------------------------------------------------------------------------------


def endless(wire, cursor):
    """Every page has one product of its own, and a cursor that is `cursor(number of the page)`."""
    number = itertools.count()

    def answer(asked):
        here = next(number)
        return page(f"p{here}", cursor=cursor(here))

    wire.answer = answer


def listed(wire):
    """What an iteration gave, the error that ended it, and what the object has afterwards."""

    async def main(client):
        pages, seen = client.products.list("t1"), []
        error = await drained(pages, seen)
        return [product.id for product in seen], error, [product.id for product in pages.latest]

    return wire.run(main, rate_limit=None)


CURSORS = {
    "the same": (lambda _: "c", 2),
    "a cycle of two": (lambda number: "cd"[number % 2], 3),
    "a cycle of fifty": (lambda number: f"c{number % 50}", 51),
    "back to the second": (lambda number: f"c{number % 7 if number < 7 else 1}", 8),
}


@pytest.mark.parametrize(("cursor", "requests"), CURSORS.values(), ids=CURSORS)
def test_d13_a_cursor_that_comes_again_is_an_error_that_keeps_the_pages(wire, cursor, requests):
    endless(wire, cursor)

    seen, error, latest = listed(wire)

    assert isinstance(error, PaginationLoop)
    assert len(wire.asked) == requests
    assert seen == latest == [f"p{number}" for number in range(requests)]


def test_d13_a_list_that_never_ends_is_given_up_and_its_pages_are_kept(wire):
    """A new cursor with every page, for ever."""
    wire.latency = 0.0
    endless(wire, lambda number: f"c{number}")

    seen, error, latest = listed(wire)

    assert isinstance(error, PaginationLoop)
    assert seen == latest
    assert len(seen) == len(wire.asked) <= 20_000


# --- D14: the deadline ---------------------------------------------------------------------------------------------


def hang_from(wire, number):
    """From this request on, nothing is answered for a day."""
    answer, count = wire.answer, itertools.count(2)

    def slow(asked):
        if next(count) >= number:
            wire.latency = DAY
        return answer(asked)

    wire.answer = slow
    wire.latency = DAY if number == 1 else wire.latency


def test_d14_the_deadline_between_two_looks(wire):
    """The last look is at the deadline, and what had arrived is on the error."""
    serve(wire, SOME)

    updates, error = watch(wire, poll=PollPolicy(first=45.0, growth=1.0, ceiling=45.0, spread=0.0, timeout=100.0))

    assert isinstance(error, PollTimeout)
    assert isinstance(error, TimeoutError)
    assert [asked.at for asked in looks(wire)] == pytest.approx([0, 45, 90, 100], abs=0.5)
    assert error.latest == updates[-1]
    assert error.latest.ready == {"DC_V"}


DEADLINES = {
    "at a look": ([SOME], 2),
    "at the task": ([SOME, NOT_YET], 3),
    "at the first look": ([SOME], 1),
}


@pytest.mark.parametrize(("answers", "hangs"), DEADLINES.values(), ids=DEADLINES)
def test_d14_the_deadline_while_a_request_is_under_way(wire, answers, hangs):
    """A service that has fallen silent does not hold a wait past its deadline (but for the moment of a last look)."""
    serve(wire, *answers)
    hang_from(wire, hangs)

    async def main(client):
        started = asyncio.get_running_loop().time()
        pending = client.await_derivatives("t1", poll=PollPolicy(timeout=100.0))
        with pytest.raises(PollTimeout) as caught:
            await pending
        return caught.value, pending.latest, asyncio.get_running_loop().time() - started

    error, latest, took = wire.run(main)

    assert took <= 105
    assert error.latest == latest
    assert (latest is not None and latest.ready == {"DC_V"}) == (hangs > 1)


def test_d14_the_deadline_in_line_behind_the_rate_limit(wire):
    """Ten waits share a client that may ask once in ten minutes; none is held longer than it wanted to wait."""
    serve(wire, SOME)

    async def main(client):
        waits = [client.await_derivatives("t1", poll=PollPolicy(timeout=100.0)) for _ in range(10)]
        errors = await asyncio.gather(*waits, return_exceptions=True)
        return errors, asyncio.get_running_loop().time()

    errors, took = wire.run(main, rate_limit=1 / 600)

    assert [type(error) for error in errors] == [PollTimeout] * 10
    assert took <= 105


def test_d14_the_deadline_while_a_token_is_asked_for(wire):
    class Source:
        """Its second token never comes."""

        first = True

        async def token(self, stale):
            if not self.first:
                await asyncio.Event().wait()
            self.first = False
            return Token("a-token", 50.0)

    serve(wire, SOME)

    async def main(client):
        with pytest.raises(PollTimeout) as caught:
            await client.await_derivatives("t1", poll=PollPolicy(timeout=100.0))
        return caught.value, asyncio.get_running_loop().time()

    error, took = wire.run(main, auth=Source())

    assert error.latest.ready == {"DC_V"}
    assert took <= 105


@pytest.mark.parametrize("status", [429, 503])
def test_d14_a_pause_that_ends_after_the_deadline_is_not_waited_for(wire, status):
    serve(wire, SOME, (status, {"Retry-After": "7200"}, b""))

    _, error = watch(wire, poll=PollPolicy(first=30.0, timeout=600.0))

    assert isinstance(error, PollTimeout)
    assert getattr(error.__cause__, "status", None) == status
    assert error.latest.ready == {"DC_V"}
    assert wire.asked[-1].at < 60


def test_d14_a_wait_after_the_time_out_gets_the_rest(wire):
    """The task id and `latest` are all that is needed to go on."""
    serve(wire, *[SOME] * 5, ALL)

    async def main(client):
        with pytest.raises(PollTimeout) as caught:
            await client.await_derivatives("t1", poll=PollPolicy(first=30.0, growth=1.0, timeout=100.0))
        error = caught.value
        return error, await client.await_derivatives(error.task_id, error.latest.missing)

    error, rest = wire.run(main)

    assert error.latest.missing == {"DC_A"}
    assert rest.ready == {"DC_V", "DC_A"}


def test_d14_the_time_out_shows_neither_token_nor_signature(wire):
    serve(wire, SOME)

    _, error = watch(wire, poll=PollPolicy(timeout=100.0))

    assert "c4n4ry-signature" not in f"{error} {error!r} {error.latest!r} {vars(error)}"
    assert "a-token" not in f"{error} {error!r} {error.latest!r} {vars(error)}"


# --- D15: intervals that make no sense -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["first", "ceiling", "timeout"])
@pytest.mark.parametrize(
    "value", [0, -1, -1e-9, float("nan"), float("inf"), "5", True, 10**400, [5]], ids=lambda value: repr(value)[:12]
)
def test_d15_an_interval_that_is_no_time_is_refused(name, value):
    with pytest.raises(UsageError, match=name):
        PollPolicy(**{name: value})


@pytest.mark.parametrize("name", ["first", "ceiling"])
def test_d15_an_interval_of_none_is_refused(name):
    with pytest.raises(UsageError, match=name):
        PollPolicy(**{name: None})


@pytest.mark.parametrize("tiny", [1e-9, 5e-324])
def test_d15_an_interval_of_almost_nothing_does_not_ask_faster_than_the_rate(wire, tiny):
    serve(wire, *[SOME] * 300, ALL)

    assert waited(wire, poll=PollPolicy(first=tiny, ceiling=tiny)).final
    assert wire.busiest() <= 20


@pytest.mark.parametrize(
    "huge",
    [{"first": 1e9}, {"first": 1e9, "ceiling": 1e9}, {"growth": 1e308}, {"first": 1e308, "ceiling": 1.7e308}],
    ids=str,
)
@pytest.mark.parametrize("answer", [SOME, NOT_YET, (500, {}, b"")], ids=["206", "404", "500"])
def test_d15_an_interval_of_decades_still_ends_at_the_deadline(wire, huge, answer):
    serve(wire, answer, shown=[task("ACTIVE")])

    _, error = watch(wire, poll=PollPolicy(**huge, timeout=HOUR, setbacks=1000))

    assert isinstance(error, PollTimeout)
    assert looks(wire)[-1].at == pytest.approx(HOUR, abs=1.0)


# --- D16: thousands at once ----------------------------------------------------------------------------------------

WAITS = crowd_of(5000)


def crowd(wire, size, *, until, poll=None, **options):
    """So many waits at once; until that time the service says 206, and then 200."""
    wire.answer = lambda asked: (206 if asked.at < until else 200, {}, (SOME if asked.at < until else ALL)[2])

    async def main(client):
        return await asyncio.gather(*(client.await_derivatives(f"t{number}", poll=poll) for number in range(size)))

    return wire.run(main, **options)


def test_d16_thousands_of_waits_at_once_never_ask_faster_than_the_rate(wire):
    """No second sees more than the rate, and the ten that may come at once."""
    crowd(wire, WAITS, until=0, rate_limit=10.0)

    assert len(wire.asked) == WAITS
    assert wire.busiest() <= 20


@pytest.mark.parametrize("rate", [0.5, 2.5, 45.5, 120.0])
def test_d16_whatever_the_rate_a_crowd_keeps_to_it(wire, rate):
    crowd(wire, 400, until=0, rate_limit=rate)

    assert len(wire.asked) == 400
    assert wire.busiest() <= rate + 10


def test_d16_of_thousands_of_waits_at_once_none_starves(wire):
    """Every wait gets its look while each of the others gets one: nobody is passed by."""
    found = crowd(wire, WAITS, until=300.0)

    asked = collections.Counter(asked.path for asked in wire.asked)
    assert len(found) == len(asked) == WAITS
    assert max(asked.values()) - min(asked.values()) <= 1
    assert wire.busiest() <= 20


# --- D17: a computer that sleeps, and clocks that step -------------------------------------------------------------


def leap(seconds):
    """The monotonic clock goes on while nothing runs, as on a computer whose clock counts its sleep."""
    asyncio.get_running_loop()._jump.passed += seconds


def sleepers(wire, size, *, slept_at, look_at_sleep, poll=EVEN, **options):
    """So many waits; at `slept_at` virtual seconds `look_at_sleep()` is called, once. Returns results or errors."""

    async def main(client):
        waits = [client.await_derivatives(f"t{number}", poll=poll) for number in range(size)]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(guarded(wait)) for wait in waits]
            await asyncio.sleep(slept_at)
            look_at_sleep()
        return [task.result() for task in tasks]

    return wire.run(main, **options)


async def guarded(wait):
    try:
        return await wait
    except IceyeError as error:
        return error


def after(wire, moment):
    return [asked for asked in wire.asked if asked.at >= moment]


MINUTELY = PollPolicy(first=60.0, growth=1.0, ceiling=60.0)


def test_d17_after_a_sleep_of_eight_hours_each_wait_looks_once_before_any_looks_again(wire):
    wire.answer = lambda asked: SOME if asked.at < 8 * HOUR + 500 else ALL

    found = sleepers(wire, 500, slept_at=300.0, look_at_sleep=lambda: leap(8 * HOUR), poll=MINUTELY)

    # A look that was under way when the computer fell asleep is that wait's look after waking.
    woken = [asked.path for asked in wire.asked if asked.at >= 8 * HOUR or 0 < 300 - asked.at <= wire.latency]
    assert len(set(woken[:500])) == 500
    assert all(each.final for each in found)


def test_d17_after_a_sleep_the_looks_are_spread_by_the_rate_limit(wire):
    wire.answer = lambda asked: SOME if asked.at < 8 * HOUR else ALL

    sleepers(wire, 500, slept_at=300.0, look_at_sleep=lambda: leap(8 * HOUR), poll=MINUTELY)

    assert len(after(wire, 8 * HOUR)) == 500
    assert wire.busiest() <= 20


@pytest.mark.parametrize("answer", [ALL, SOME], ids=["ready", "not ready"])
def test_d17_a_deadline_that_passed_in_the_sleep_still_allows_one_look(wire, answer):
    """Where the clock counts the sleep, so does the deadline; but nobody is sent away without having looked."""
    wire.answer = lambda asked: SOME if asked.at < 8 * HOUR else answer

    found = sleepers(
        wire,
        5,
        slept_at=100.0,
        look_at_sleep=lambda: leap(8 * HOUR),
        poll=PollPolicy(first=60.0, growth=1.0, timeout=HOUR),
    )

    assert len(after(wire, 8 * HOUR)) == 5
    if answer is ALL:
        assert all(each.final for each in found)
    else:
        assert [type(each) for each in found] == [PollTimeout] * 5


def test_d17_a_deadline_that_passed_in_the_sleep_ends_many_waits_promptly(wire):
    """Those whose turn comes at once look once more; a deadline is not put off for a line of hundreds."""
    wire.answer = lambda asked: SOME if asked.at < 8 * HOUR else ALL

    found = sleepers(
        wire,
        500,
        slept_at=100.0,
        look_at_sleep=lambda: leap(8 * HOUR),
        poll=PollPolicy(first=60.0, growth=1.0, timeout=HOUR),
    )

    ends = collections.Counter(type(each).__name__ for each in found)
    assert set(ends) == {"DerivativeSet", "PollTimeout"}
    assert ends["DerivativeSet"] >= 20
    assert all(each.latest.ready for each in found if isinstance(each, PollTimeout))
    assert wire.asked[-1].at < 8 * HOUR + 110


def test_d17_a_clock_that_stood_still_in_the_sleep_leaves_the_waits_as_they_were(wire):
    """The service is eight hours on, and the connections are dead: each wait looks at its usual time, and goes on."""
    slept = []

    def answer(asked):
        if not slept:
            return SOME
        return reset if asked.at < slept[0] + 20 else ALL

    wire.answer = answer
    found = sleepers(
        wire,
        50,
        slept_at=100.0,
        look_at_sleep=lambda: slept.append(100.0),
        poll=PollPolicy(first=30.0, growth=1.0, ceiling=30.0, spread=0.0, timeout=HOUR),
    )

    assert all(each.final for each in found)
    looks_of_each = collections.Counter(asked.path for asked in after(wire, 100.0))
    assert set(looks_of_each.values()) <= {1, 2}
    assert wire.asked[-1].at < 200


def test_d17_a_token_whose_life_ended_in_the_sleep_is_renewed_once_for_all(wire):
    tokens = itertools.count()

    def answer(asked):
        if asked.path == "/token":
            return (200, {}, b'{"access_token": "token-%d", "expires_in": 3600}' % next(tokens))
        expected = "Bearer token-0" if asked.at < 8 * HOUR else "Bearer token-1"
        if asked.headers["Authorization"] != expected:
            return (401, {}, b"")
        return SOME if asked.at < 8 * HOUR else ALL

    wire.answer = answer
    auth = ClientCredentials("https://id.example/token", "id", "secret")

    found = sleepers(wire, 100, slept_at=100.0, look_at_sleep=lambda: leap(8 * HOUR), poll=MINUTELY, auth=auth)

    assert all(each.final for each in found)
    assert len([asked for asked in wire.asked if asked.path == "/token"]) == 2


def test_d17_after_a_sleep_in_a_retry_after_pause_nobody_asked_before_its_end(wire):
    """Ten hours of quiet were asked for, eight of them slept through: the other two are waited for."""
    wire.answer = lambda asked: (429, {"Retry-After": "36000"}, b"") if asked.at < 10 * HOUR - 1 else ALL

    found = sleepers(wire, 50, slept_at=100.0, look_at_sleep=lambda: leap(8 * HOUR))

    assert all(each.final for each in found)
    first = wire.asked[0].at
    assert not [asked for asked in wire.asked if first + 1 < asked.at < first + 10 * HOUR]
    assert wire.busiest() <= 20


@pytest.fixture
def step(monkeypatch):
    """`step(seconds)` moves the wall clock of this computer, and nothing else."""
    real, moved = time.time, [0.0]
    monkeypatch.setattr(time, "time", lambda: real() + moved[0])

    def step(seconds):
        moved[0] = seconds

    return step


STEPS = [0.0, DAY, -DAY]


def stepping(step, seconds, answer):
    """Answers as given, and sets the wall clock meanwhile."""

    async def respond(request):
        step(seconds)
        status, headers, body = answer
        return web.Response(status=status, headers=headers, body=body)

    return respond


@pytest.mark.parametrize("seconds", STEPS)
async def test_d17_a_wall_clock_that_steps_does_not_move_the_looks_of_a_wait(connect, service, step, seconds):
    service.answers(LOOK, NONE, stepping(step, seconds, SOME), SOME, SOME, ALL)

    await connect().await_derivatives("t1", poll=EVEN)

    assert [heard.at for heard in service.requests] == [1000, 1030, 1060, 1090, 1120]


@pytest.mark.parametrize("seconds", STEPS)
async def test_d17_a_wall_clock_that_steps_does_not_move_the_deadline(connect, service, step, seconds):
    service.answers(LOOK, NONE, stepping(step, seconds, SOME), SOME)

    with pytest.raises(PollTimeout):
        await connect().await_derivatives("t1", poll=PollPolicy(first=400.0, growth=1.0, ceiling=400.0, timeout=HOUR))

    assert service.requests[-1].at == pytest.approx(1000 + HOUR)


@pytest.mark.parametrize("seconds", STEPS)
@pytest.mark.parametrize(
    "pause", [{"Retry-After": "90"}, {"Retry-After": format_datetime(datetime.fromtimestamp(EPOCH + 90, UTC), True)}]
)
async def test_d17_a_wall_clock_that_steps_does_not_move_the_end_of_a_pause(connect, service, step, pause, seconds):
    service.answers(LOOK, stepping(step, seconds, (429, {**pause, **date(EPOCH)}, b"")), ALL)

    await connect().await_derivatives("t1", poll=PollPolicy(first=1.0, growth=1.0, spread=0.0))

    assert service.requests[1].at == pytest.approx(1090, abs=1.0)


@pytest.mark.parametrize("seconds", STEPS)
async def test_d17_a_wall_clock_that_steps_does_not_move_the_renewal_of_a_token(connect, service, step, seconds):
    service.answers("/token", stepping(step, seconds, (200, {}, b'{"access_token": "a", "expires_in": 3600}')))
    service.answers(LOOK, *[SOME] * 119, ALL)
    client = connect(auth=ClientCredentials(f"{service.url}/token", "id", "secret"))

    await client.await_derivatives("t1", poll=EVEN)

    assert [heard.at for heard in service.asked("/token")] == [1000, 1000 + 3300]


@pytest.mark.parametrize("seconds", STEPS)
async def test_d17_a_wall_clock_that_steps_does_not_move_the_opening_of_a_window(connect, service, step, seconds):
    """The window opens by the clock of the service, which is in its replies."""
    service.answers(TASK, stepping(step, seconds, task("ACTIVE", opens=EPOCH + 2 * HOUR)))
    service.answers(LOOK, NOT_YET, ALL)

    await connect().await_derivatives("t1", poll=EVEN)

    assert service.asked(LOOK)[1].at == pytest.approx(1000 + 2 * HOUR, abs=5)


def test_d17_what_the_deadline_means_to_a_computer_that_sleeps_is_documented():
    """Where a user reads about `timeout`, he reads whether the time asleep counts."""
    words = (PollPolicy.__doc__ or "").lower()

    assert any(word in words for word in ("monotonic", "asleep", "suspend", "sleeps"))


# --- D18: what stands between --------------------------------------------------------------------------------------


@pytest.fixture
async def asked_for_everything(connect, service):
    """All kinds of requests of the reading API, as the service got them."""
    service.answers(LOOK, NOT_YET, NONE, ALL)
    service.answers(TASK, task())
    service.answers(PRODUCTS, page("a", cursor="2"), page("b"))
    client = connect()
    await client.await_derivatives("t1", poll=EVEN)
    await client.derivatives.get("t1")
    await client.tasks.get("t1")
    await client.products.list("t1")
    return service.requests


async def test_d18_every_request_tells_caches_to_ask_again(asked_for_everything):
    assert len(asked_for_everything) == 8
    assert all("no-cache" in heard.headers["Cache-Control"] for heard in asked_for_everything)


@pytest.mark.parametrize("header", ["Range", "If-Range", "If-None-Match", "If-Modified-Since"])
async def test_d18_no_request_of_the_api_asks_for_a_part_or_for_news_only(asked_for_everything, header):
    assert not [heard for heard in asked_for_everything if header in heard.headers]


@pytest.mark.parametrize("stale", [NOT_YET, NONE, listing(206)], ids=["404", "206", "empty"])
def test_d18_a_stale_answer_takes_nothing_back(wire, stale):
    serve(wire, SOME, stale, SOME, stale, stale, ALL)

    updates, error = watch(wire)

    assert error is None
    assert fresh(updates) == ["v1", "a1"]


def test_d18_a_206_that_a_proxy_has_marked_as_a_byte_range_is_a_listing(wire):
    status, _, body = SOME
    serve(wire, (status, {"Content-Range": f"bytes 0-{len(body) - 1}/{len(body)}", "Age": "300"}, body), ALL)

    updates, error = watch(wire)

    assert error is None
    assert ready(updates) == [["DC_V"], ["DC_A", "DC_V"]]


def test_d18_a_206_that_a_proxy_has_cut_to_a_byte_range_is_outlasted(wire):
    _, _, body = ALL
    serve(wire, SOME, (206, {"Content-Range": f"bytes 0-19/{len(body)}"}, body[:20]), ALL)

    updates, error = watch(wire)

    assert error is None
    assert fresh(updates) == ["v1", "a1"]
