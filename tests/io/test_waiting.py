"""Waiting for derivatives: what each answer of the service leads to."""

import asyncio
import itertools
import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import aiohttp.web
import pytest
from aiohttp import web

from iceye_async import (
    BadRequest,
    DecodeError,
    DerivativesNotRequested,
    DerivativeType,
    Forbidden,
    PollError,
    PollPolicy,
    PollTimeout,
    RateLimited,
    ServerError,
    TaskEnded,
    TaskNotFound,
    TransportError,
    Unauthorized,
    UsageError,
)

TASK = "/api/tasking/v2/tasks/t1"
LOOK = f"{TASK}/derivatives"
NOT_YET = (404, {}, b'{"code": "not_found", "message": "no derivative products are available yet"}')
NOW = datetime(2030, 5, 1, 12, tzinfo=UTC)
HOUR, DAY = 3600.0, 86_400.0


def named(answer):
    """A test id that is the same in each process."""
    return getattr(answer, "__name__", repr(answer))


def entry(kind, href):
    assets = [{"type": "geojson", "href": href}] if href else []
    return {"id": f"{kind}-1", "derivativeProductType": f"DC_{kind.upper()}", "assets": assets}


def listing(status, **links):
    return (status, {}, json.dumps({"data": [entry(kind, href) for kind, href in links.items()]}).encode())


def task(status="DONE", opens=-2 * HOUR, now=NOW, **more):
    document = {
        "id": "t1",
        "contractID": "c",
        "pointOfInterest": {"lat": 1.0, "lon": 2.0},
        "imagingMode": "SPOTLIGHT",
        "acquisitionWindow": {
            "start": (NOW + timedelta(seconds=opens)).isoformat(),
            "end": (NOW + timedelta(seconds=opens + HOUR)).isoformat(),
        },
        "status": status,
        "createdAt": NOW.isoformat(),
        "updatedAt": NOW.isoformat(),
        **more,
    }
    return (200, {"Date": format_datetime(now, usegmt=True)}, json.dumps(document).encode())


NONE = listing(206, vessels=None, aircraft=None)
SOME = listing(206, vessels="https://l.example/v", aircraft=None)
ALL = listing(200, vessels="https://l.example/v", aircraft="https://l.example/a")


async def drop(request):
    request.transport.abort()


async def hang(request):
    await asyncio.Event().wait()


# --- the way to the end --------------------------------------------------------------------------------------------


async def test_from_nothing_over_some_to_all(connect, service):
    service.answers(TASK, task())
    service.answers(LOOK, NOT_YET, NOT_YET, NONE, SOME, SOME, ALL)

    updates = [update async for update in connect().await_derivatives("t1")]

    assert [sorted(update.ready) for update in updates] == [[]] + [["DC_VESSELS"]] * 2 + [["DC_AIRCRAFT", "DC_VESSELS"]]
    assert [[found.id for found in update.fresh] for update in updates] == [[], ["vessels-1"], [], ["aircraft-1"]]
    assert [update.complete for update in updates] == [False, False, False, True]
    assert updates[-1].derivatives.final


@pytest.mark.parametrize(
    "types", ["DC_VESSELS", ["DC_VESSELS"], {DerivativeType.VESSELS}, (kind for kind in ["DC_VESSELS"])]
)
async def test_a_wait_for_a_named_type_ends_with_it(connect, service, types):
    service.answers(LOOK, NONE, SOME)

    found = await connect().await_derivatives("t1", types)

    assert found.ready == {"DC_VESSELS"}
    assert not found.final
    assert len(service.requests) == 2


async def test_a_type_that_nobody_knew_is_waited_for_too(connect, service):
    service.answers(LOOK, listing(206, whales=None), listing(200, whales="https://l.example/w"))

    found = await connect().await_derivatives("t1", "DC_WHALES")

    assert found.ready == {"DC_WHALES"}


async def test_a_200_with_an_entry_without_assets_is_not_the_end(connect, service):
    service.answers(LOOK, listing(200, vessels="https://l.example/v", aircraft=None), ALL)

    updates = [update async for update in connect().await_derivatives("t1")]

    assert [update.complete for update in updates] == [False, True]


async def test_what_was_ready_stays_so_when_the_service_forgets_it(connect, service):
    service.answers(TASK, task())
    service.answers(LOOK, SOME, NOT_YET, listing(206, aircraft=None), listing(200, aircraft="https://l.example/a"))

    updates = [update async for update in connect().await_derivatives("t1")]

    assert updates[-1].complete
    assert updates[-1].ready == {"DC_VESSELS", "DC_AIRCRAFT"}
    assert [found.id for update in updates for found in update.fresh] == ["vessels-1", "aircraft-1"]


async def test_an_unreadable_entry_does_not_hide_the_others(connect, service):
    mixed = {"data": [entry("vessels", "https://l.example/v"), {"id": 7, "derivativeProductType": "DC_AIRCRAFT"}]}
    service.answers(LOOK, (206, {}, json.dumps(mixed).encode()), ALL)

    updates = [update async for update in connect().await_derivatives("t1")]

    assert updates[0].ready == {"DC_VESSELS"}
    assert updates[-1].complete


# --- the meanings of 404 ---------------------------------------------------------------------------------------------


async def test_a_task_that_does_not_exist(connect, service):
    service.answers(TASK, (404, {}, b""))
    service.answers(LOOK, NOT_YET)

    with pytest.raises(TaskNotFound):
        await connect().await_derivatives("t1")

    assert [heard.target for heard in service.requests] == [LOOK, TASK]


@pytest.mark.parametrize("status", ["REJECTED", "FAILED", "CANCELED"])
async def test_a_task_that_has_ended(connect, service, status):
    service.answers(TASK, task(status))
    service.answers(LOOK, NOT_YET)

    with pytest.raises(TaskEnded, match=status) as caught:
        await connect().await_derivatives("t1")

    assert (caught.value.status, caught.value.task_id, caught.value.latest) == (status, "t1", None)
    assert len(service.requests) == 2


@pytest.mark.parametrize(
    "shown",
    [
        {"derivativeProductTypes": []},
        {"derivativeProductTypes": ["DC_AIRCRAFT"]},
        {"imagingMode": "STRIPMAP"},
        {"productTypes": ["SLC"]},
    ],
    ids=str,
)
async def test_a_task_that_was_created_without_them(connect, service, shown):
    service.answers(TASK, task("FULFILLED", **shown))
    service.answers(LOOK, NOT_YET)

    with pytest.raises(DerivativesNotRequested) as caught:
        await connect().await_derivatives("t1", "DC_VESSELS")

    assert caught.value.types == {"DC_VESSELS"}
    assert len(service.requests) == 2


@pytest.mark.parametrize(
    "shown",
    [
        {},
        {"derivativeProductTypes": None},
        {"imagingMode": "A_MODE_OF_THIS_CONTRACT"},
        {"productTypes": ["SLC", "GRD-COG"]},
        {"derivativeProductTypes": ["DC_VESSELS"], "imagingMode": "STRIPMAP", "productTypes": ["SLC"]},
    ],
    ids=str,
)
async def test_a_task_that_shows_nothing_of_the_kind_is_waited_for(connect, service, shown):
    service.answers(TASK, task(**shown))
    service.answers(LOOK, NOT_YET, NOT_YET, ALL)

    assert (await connect().await_derivatives("t1", "DC_VESSELS")).final


async def test_the_task_is_asked_sparingly(connect, service):
    service.answers(TASK, task("FULFILLED"))
    service.answers(LOOK, *[NOT_YET] * 50, ALL)

    await connect().await_derivatives("t1")

    assert len(service.asked(TASK)) <= 2


async def test_a_task_that_fails_while_it_is_waited_for_ends_the_wait(connect, service):
    service.answers(TASK, *[task("ACTIVE")] * 3, task("FAILED"))
    service.answers(LOOK, NOT_YET)

    with pytest.raises(TaskEnded) as caught:
        await connect().await_derivatives("t1")

    assert caught.value.status == "FAILED"


async def test_a_200_that_does_not_list_a_wanted_type_is_the_end(connect, service):
    service.answers(LOOK, listing(200, aircraft="https://l.example/a"))

    with pytest.raises(DerivativesNotRequested) as caught:
        await connect().await_derivatives("t1", ["DC_VESSELS", "DC_AIRCRAFT"])

    assert caught.value.types == {"DC_VESSELS"}
    assert {found.id for found in caught.value.latest.derivatives} == {"aircraft-1"}


async def test_an_empty_200_is_the_end(connect, service):
    service.answers(LOOK, listing(200))

    with pytest.raises(DerivativesNotRequested):
        await connect().await_derivatives("t1")


# --- failures ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("status", "error"), [(400, BadRequest), (401, Unauthorized), (403, Forbidden)])
async def test_what_will_not_change_is_raised_at_once(connect, service, status, error):
    service.answers(LOOK, SOME, (status, {}, b'{"code": "NO", "message": "no"}'))
    pending = connect().await_derivatives("t1")

    with pytest.raises(error):
        await pending

    assert len(service.requests) == 2
    assert pending.latest.ready == {"DC_VESSELS"}


@pytest.mark.parametrize(
    "failure",
    [(500, {}, b""), (503, {}, b"<html>"), (200, {}, b"<html>"), (206, {}, b""), (204, {}, b""), drop],
    ids=named,
)
async def test_a_setback_is_outlasted(connect, service, failure):
    service.answers(LOOK, failure, failure, SOME, failure, ALL)

    assert (await connect().await_derivatives("t1", poll=PollPolicy(setbacks=2))).final


async def test_setbacks_are_not_repeated_faster_than_the_policy_polls(connect, service):
    service.answers(LOOK, (503, {}, b""), (503, {}, b""), ALL)

    await connect().await_derivatives("t1", poll=PollPolicy(first=10.0, growth=1.0))

    at = [heard.at for heard in service.requests]
    assert len(at) == 3
    assert all(later - earlier >= 10 for earlier, later in itertools.pairwise(at))


@pytest.mark.parametrize(
    ("failure", "error"), [((503, {}, b""), ServerError), ((206, {}, b"<html>"), DecodeError), (drop, TransportError)]
)
async def test_too_many_setbacks_in_a_row_raise_the_last(connect, service, clock, failure, error):
    service.answers(LOOK, SOME, failure)
    pending = connect().await_derivatives("t1", poll=PollPolicy(setbacks=4))

    with pytest.raises(error):
        await pending

    assert len(clock.waits) == 5
    assert pending.latest.ready == {"DC_VESSELS"}


async def test_the_default_policy_outlasts_half_an_hour_without_the_service(connect, service, clock):
    async def down_for_half_an_hour(request):
        if clock.now() < 1000 + 1800:
            return aiohttp.web.Response(status=503)
        return aiohttp.web.Response(body=ALL[2])

    service.answers(LOOK, down_for_half_an_hour)

    assert (await connect().await_derivatives("t1")).final


async def test_retry_after_on_a_429_is_never_undercut(connect, service):
    service.answers(LOOK, (429, {"Retry-After": "90"}, b""), ALL)

    await connect().await_derivatives("t1", poll=PollPolicy(first=1.0))

    refused, asked = service.requests
    assert asked.at - refused.at >= 90


async def test_retry_after_beyond_the_deadline_is_a_time_out_at_once(connect, service, clock):
    service.answers(LOOK, SOME, (429, {"Retry-After": "7200"}, b""))

    with pytest.raises(PollTimeout) as caught:
        await connect().await_derivatives("t1", poll=PollPolicy(timeout=600.0))

    assert isinstance(caught.value.__cause__, RateLimited)
    assert caught.value.latest.ready == {"DC_VESSELS"}
    assert sum(clock.waits) < 60


# --- the deadline ------------------------------------------------------------------------------------------------


async def test_the_deadline_is_a_time_out_with_what_there_is(connect, service):
    service.answers(LOOK, SOME)
    pending = connect().await_derivatives("t1", poll=PollPolicy(timeout=120.0))

    with pytest.raises(PollTimeout, match="t1") as caught:
        await pending

    assert isinstance(caught.value, TimeoutError)
    assert isinstance(caught.value, PollError)
    assert caught.value.task_id == "t1"
    assert caught.value.latest.ready == {"DC_VESSELS"}
    assert pending.latest == caught.value.latest


async def test_the_last_look_is_at_the_deadline(connect, service):
    service.answers(LOOK, SOME)

    with pytest.raises(PollTimeout):
        await connect().await_derivatives("t1", poll=PollPolicy(first=45.0, ceiling=45.0, timeout=100.0))

    assert service.requests[-1].at - service.requests[0].at == pytest.approx(100.0, abs=0.01)


async def test_a_server_that_hangs_does_not_hold_a_wait_past_its_deadline(connect, service):
    service.answers(LOOK, SOME, hang)
    pending = connect(clock=None).await_derivatives("t1", poll=PollPolicy(first=0.01, timeout=0.5))

    with pytest.raises(PollTimeout) as caught:
        async with asyncio.timeout(10):
            await pending

    assert caught.value.latest.ready == {"DC_VESSELS"}


async def test_a_time_out_of_the_caller_is_not_a_poll_time_out(connect, service):
    async def run_out(request):
        limit.reschedule(asyncio.get_running_loop().time())
        await asyncio.Event().wait()

    service.answers(LOOK, SOME, run_out)
    pending = connect().await_derivatives("t1")

    with pytest.raises(TimeoutError) as caught:
        async with asyncio.timeout(None) as limit:
            await pending

    assert not isinstance(caught.value, PollTimeout)
    assert pending.latest.ready == {"DC_VESSELS"}


# --- before the acquisition window ---------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["RECEIVED", "ACTIVE"])
async def test_a_wait_of_days_costs_a_handful_of_requests(connect, service, clock, status):
    opens = clock.now() + 5 * DAY

    async def answer(request):
        here = timedelta(seconds=clock.now() - 1000)
        code, headers, body = task(status, opens=5 * DAY, now=NOW + here)
        return aiohttp.web.Response(status=code, headers=headers, body=body)

    async def look(request):
        code, _, body = NOT_YET if clock.now() < opens else ALL
        return aiohttp.web.Response(status=code, body=body)

    service.answers(TASK, answer)
    service.answers(LOOK, look)

    await connect().await_derivatives("t1")

    assert clock.now() < opens + HOUR
    assert len(service.requests) <= 40


async def test_before_the_window_no_pause_is_over_six_hours_and_an_early_end_is_noticed(connect, service, clock):
    service.answers(TASK, *[task("ACTIVE", opens=10 * DAY)] * 5, task("CANCELED", opens=10 * DAY))
    service.answers(LOOK, NOT_YET)

    with pytest.raises(TaskEnded):
        await connect().await_derivatives("t1")

    assert max(clock.waits) <= 6 * HOUR * 1.2
    assert clock.now() < 1000 + 2 * DAY


async def test_wall_time_follows_the_date_of_replies(connect, service, clock):
    # The service lives in 2030 here, and its window opens in an hour.
    service.answers(TASK, task("ACTIVE", opens=HOUR))
    service.answers(LOOK, NOT_YET, ALL)

    await connect().await_derivatives("t1")

    looks = service.asked(LOOK)
    assert looks[1].at - looks[0].at == pytest.approx(HOUR, rel=0.2)


# --- the call itself ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "types", [[], (), set(), "", " ", [""], [None], [7], 7, b"DC_VESSELS", [["DC_VESSELS"]]], ids=repr
)
async def test_types_that_make_no_sense_are_refused_at_the_call(connect, service, types):
    client = connect()

    with pytest.raises(UsageError):
        client.await_derivatives("t1", types)

    assert not service.requests


@pytest.mark.parametrize("task_id", ["", " ", ".", "..", None, 7, b"t1", ["t1", "t2"], "x" * 600, "\ud800"], ids=repr)
async def test_an_id_that_cannot_be_one_is_refused_at_the_call(connect, service, task_id):
    client = connect()

    with pytest.raises(UsageError):
        client.await_derivatives(task_id)
    with pytest.raises(UsageError):
        client.products.list(task_id)
    with pytest.raises(UsageError):
        await client.derivatives.get(task_id)

    assert not service.requests


@pytest.mark.parametrize(
    "options",
    [
        {"first": 0},
        {"first": -1},
        {"first": float("nan")},
        {"first": "5"},
        {"growth": 0.5},
        {"ceiling": float("inf")},
        {"timeout": 0},
        {"setbacks": -1},
        {"setbacks": 1.5},
        {"spread": -0.1},
    ],
    ids=str,
)
def test_a_policy_that_makes_no_sense_is_refused(options):
    with pytest.raises(UsageError):
        PollPolicy(**options)


async def test_a_policy_of_milliseconds_is_allowed(connect, service):
    service.answers(LOOK, SOME, SOME, ALL)

    found = await connect(clock=None).await_derivatives("t1", poll=PollPolicy(first=0.001, ceiling=0.002))

    assert found.final


async def test_a_policy_that_is_none_is_refused_at_the_call(connect, service):
    with pytest.raises(UsageError, match="PollPolicy"):
        connect().await_derivatives("t1", poll=5)

    assert service.requests == []


async def test_an_unreadable_entry_is_heard_on_every_look_that_brings_it(connect, service):
    """Each is a setback: a listing that looks like the one before may not be taken for one that could be read."""
    bad = b'{"data": [{"id": "d1", "derivativeProductType": "DC_VESSELS", "assets": []}, {}]}'
    service.answers(LOOK, (206, {}, bad))

    with pytest.raises(DecodeError):
        async with asyncio.timeout(5):
            await connect().await_derivatives("t1", poll=PollPolicy(setbacks=3))

    assert len(service.asked(LOOK)) == 4


# --- products: at the call, and page by page -----------------------------------------------------------------------


@pytest.mark.parametrize("wrong", ["..", "x" * 513, "\ud800", " "], ids=["dots", "long", "surrogate", "blank"])
async def test_a_type_that_can_never_be_asked_for_is_refused_at_the_call(connect, service, wrong):
    with pytest.raises(UsageError):
        connect().await_products("t1", ["GRD", wrong])

    assert service.requests == []


async def test_a_look_that_is_cancelled_between_two_pages_goes_on_with_the_second(connect, service, sample):
    body = json.loads(sample("products-200"))
    served = []

    async def page(request):
        cursor = request.query.get("cursor", "")
        served.append(cursor)
        if served == ["", "2"]:
            step.cancel()
        return web.json_response({"data": body["data"] if cursor else [], "cursor": "" if cursor else "2"})

    window = {"start": "2026-03-01T00:00:00Z", "end": "2026-03-03T00:00:00Z"}
    task = {"id": "t1", "contractID": "c", "status": "DONE", "imagingMode": "SCAN", "acquisitionWindow": window}
    task |= {"pointOfInterest": {"lat": 0, "lon": 0}, "createdAt": window["start"], "updatedAt": window["start"]}
    service.answers("/api/tasking/v2/tasks/t1", (200, {}, json.dumps(task).encode()))
    service.answers("/api/tasking/v2/tasks/t1/products", page)
    waiting = connect().await_products("t1")
    step = asyncio.create_task(anext(waiting))
    with pytest.raises(asyncio.CancelledError):
        await step

    assert len(await waiting) == 1
    assert served == ["", "2", "2"]
