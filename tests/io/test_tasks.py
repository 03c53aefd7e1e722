"""Tasks and contracts as they go over the wire: the service's words, one booking, every answer read."""

import asyncio
import json
import pickle
import re
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime
from urllib.parse import parse_qsl

import pytest
from aiohttp import web

from iceye_async import (
    Allowance,
    AngleRange,
    ApiError,
    BadRequest,
    ClientCredentials,
    Contract,
    DecodeError,
    Feasibility,
    Forbidden,
    IceyeError,
    ImagingMode,
    Interval,
    NotFound,
    PaginationLoop,
    Price,
    RateLimited,
    RetryPolicy,
    Scene,
    ServerError,
    StateError,
    Task,
    TaskNotFound,
    TaskRequest,
    TaskStatus,
    Token,
    TransportError,
    Unauthorized,
    UsageError,
)

API = "/api/tasking/v2"
TASKS = f"{API}/tasks"
TASK = f"{TASKS}/t1"
SCENE = f"{TASK}/scene"
PRICE = f"{API}/price"
FEASIBILITY = f"{API}/feasibility"
CONTRACTS = "/api/company/v1/contracts"
CONTRACT = f"{CONTRACTS}/c1"

START = datetime(2026, 3, 1, tzinfo=UTC)
END = START + timedelta(days=2)
ONCE = RetryPolicy(tries=1)
ORDER = {
    "contract_id": "c1",
    "imaging_mode": "SPOTLIGHT",
    "point_of_interest": (60.19, 24.83),
    "acquisition_window": (START, END),
}
OFFER = {"contract_id": "c1", "imaging_mode": "SPOTLIGHT", "point_of_interest": (60.19, 24.83)}
ORDERED = {
    "contractID": "c1",
    "imagingMode": "SPOTLIGHT",
    "pointOfInterest": {"lat": 60.19, "lon": 24.83},
    "acquisitionWindow": {"start": "2026-03-01T00:00:00Z", "end": "2026-03-03T00:00:00Z"},
}
CANCELED = {
    "acquisitionWindow": {"start": "2026-03-01T00:00:00Z", "end": "2026-03-03T00:00:00Z"},
    "contractID": "c1",
    "createdAt": "2026-02-20T12:00:00.123456Z",
    "id": "t1",
    "imagingMode": "SPOTLIGHT",
    "pointOfInterest": {"lat": 60.19, "lon": 24.83},
    "status": "CANCELED",
    "updatedAt": "2026-02-20T13:00:00.67Z",
}
"""A task of the eight fields that the documented cancel answer has."""
PLAN = {"imagingTime": {"start": "2026-03-02T10:00:00Z", "end": "2026-03-02T10:00:10Z"}, "duration": 10}
AGREED = {
    "id": "c1",
    "name": "Harbour watch",
    "start": "2026-01-01",
    "end": "2026-12-31T23:59:59Z",
    "imagingModes": {"allowed": ["SPOTLIGHT", "TENANT_MODE"]},
    "priority": {"allowed": ["BACKGROUND", "COMMERCIAL"], "default": "COMMERCIAL"},
    "exclusivity": {"allowed": ["PRIVATE", "PUBLIC"], "default": "PUBLIC"},
    "eula": {"allowed": ["STANDARD"], "default": "STANDARD"},
    "sla": {"allowed": ["SLA_8H", "SLA_3H"], "default": "SLA_8H"},
}
MODES = [
    "SPOTLIGHT",
    "SPOTLIGHT_FINE",
    "SPOTLIGHT_FINE_1L",
    "SPOTLIGHT_EXTENDED_DWELL",
    "SPOTLIGHT_EXTENDED_DWELL_FINE",
]


def answer(document, status=200, **headers):
    return (status, headers, json.dumps(document).encode())


def task(**changes):
    return {**CANCELED, "status": "ACTIVE", **changes}


def page(*items, **rest):
    return answer({"data": list(items), **rest})


def query(heard):
    """The parameters of a request, in any order."""
    return sorted(parse_qsl(heard.target.partition("?")[2], keep_blank_values=True))


def one(service):
    """The only request there was."""
    (heard,) = service.requests
    return heard


def ids(found):
    return [item.id for item in found]


async def drop(request):
    request.transport.abort()


async def hang(request):
    await asyncio.Event().wait()


class Renewing:
    """Tokens of which the first is not taken."""

    async def token(self, stale):
        return Token("c4n4ry-second" if stale == "c4n4ry-first" else "c4n4ry-first")


def request(**changes):
    return TaskRequest(**{**ORDER, **changes})


DOORS = {
    "create": (TASKS, lambda client: client.tasks.create(**ORDER)),
    "get": (TASK, lambda client: client.tasks.get("t1")),
    "list": (TASKS, lambda client: client.tasks.list()),
    "cancel": (TASK, lambda client: client.tasks.cancel("t1")),
    "scene": (SCENE, lambda client: client.tasks.scene("t1")),
    "price": (PRICE, lambda client: client.tasks.price(**OFFER)),
    "feasibility": (FEASIBILITY, lambda client: client.tasks.feasibility([request()])),
    "contracts.list": (CONTRACTS, lambda client: client.contracts.list()),
    "contracts.get": (CONTRACT, lambda client: client.contracts.get("c1")),
}
"""Each call, the path it asks, and how it is made."""
GOOD = {
    "create": answer(task(), 201),
    "get": answer(task()),
    "list": page(task()),
    "cancel": answer(CANCELED),
    "scene": answer(PLAN),
    "price": answer({"amount": 5, "currency": "EUR"}),
    "feasibility": answer({"feasibility": [{"result": "FEASIBLE"}]}),
    "contracts.list": page(AGREED),
    "contracts.get": answer(AGREED),
}
"""An answer that each call can read."""
READS = [name for name in DOORS if name not in {"create", "cancel"}]


# --- what is asked ---------------------------------------------------------------------------------------------


async def test_a_task_is_created_by_one_post(connect, service):
    service.answers(TASKS, answer(task(status="RECEIVED"), 201))

    booked = await connect().tasks.create(**ORDER, reference="r1")

    heard = one(service)
    assert (heard.method, heard.target) == ("POST", TASKS)
    assert heard.headers["Content-Type"].partition(";")[0] == "application/json"
    assert json.loads(heard.body) == {**ORDERED, "reference": "r1"}
    assert isinstance(booked, Task)
    assert (booked.id, booked.status) == ("t1", TaskStatus.RECEIVED)


async def test_a_task_is_asked_for_by_its_path(connect, service):
    service.answers(TASK, answer(task()))

    found = await connect().tasks.get("t1")

    assert (one(service).method, one(service).target, one(service).body) == ("GET", TASK, b"")
    assert found.document == task()


async def test_a_task_is_cancelled_by_its_status_alone(connect, service):
    service.answers(TASK, answer(CANCELED))

    found = await connect().tasks.cancel("t1")

    heard = one(service)
    assert (heard.method, heard.target) == ("PATCH", TASK)
    assert heard.headers["Content-Type"].partition(";")[0] == "application/json"
    assert json.loads(heard.body) == {"status": "CANCELED"}
    assert found.status is TaskStatus.CANCELED


async def test_a_scene_is_asked_for_below_its_task(connect, service):
    service.answers(SCENE, answer(PLAN))

    await connect().tasks.scene("t1")

    assert (one(service).method, one(service).target, one(service).body) == ("GET", SCENE, b"")


async def test_a_price_is_asked_for_with_all_in_the_query(connect, service):
    service.answers(PRICE, answer({"amount": 5, "currency": "EUR"}))

    await connect().tasks.price(
        **{**OFFER, "imaging_mode": ImagingMode.SCAN},
        exclusivity="PRIVATE",
        priority="COMMERCIAL",
        sla="SLA_8H",
        eula="STANDARD",
    )

    heard = one(service)
    assert (heard.method, heard.target.partition("?")[0], heard.body) == ("GET", PRICE, b"")
    assert query(heard) == [
        ("contractID", "c1"),
        ("eula", "STANDARD"),
        ("exclusivity", "PRIVATE"),
        ("imagingMode", "SCAN"),
        ("pointOfInterest[lat]", "60.19"),
        ("pointOfInterest[lon]", "24.83"),
        ("priority", "COMMERCIAL"),
        ("sla", "SLA_8H"),
    ]


async def test_the_brackets_of_a_price_are_percent_encoded(connect, service):
    service.answers(PRICE, answer({"amount": 5, "currency": "EUR"}))

    await connect().tasks.price(**OFFER)

    assert "pointOfInterest%5Blat%5D=60.19" in one(service).target
    assert "pointOfInterest%5Blon%5D=24.83" in one(service).target


async def test_what_is_left_out_of_a_price_is_not_asked(connect, service):
    service.answers(PRICE, answer({"amount": 5, "currency": "EUR"}))

    await connect().tasks.price(**OFFER, sla=None)

    assert [name for name, _ in query(one(service))] == [
        "contractID",
        "imagingMode",
        "pointOfInterest[lat]",
        "pointOfInterest[lon]",
    ]


async def test_words_of_a_price_stay_one_parameter_each(connect, service):
    service.answers(PRICE, answer({"amount": 5, "currency": "EUR"}))

    await connect().tasks.price(**{**OFFER, "contract_id": "a&b=c d+e#f%20ä"}, sla="?/")

    assert dict(query(one(service)))["contractID"] == "a&b=c d+e#f%20ä"
    assert dict(query(one(service)))["sla"] == "?/"


async def test_feasibility_is_asked_with_an_array_of_what_would_be_booked(connect, service):
    service.answers(FEASIBILITY, answer({"feasibility": [{"result": "FEASIBLE"}, {"result": "NOT_FEASIBLE"}]}))
    service.answers(TASKS, answer(task(), 201))
    more = {"reference": "r2", "product_types": ["GRD-COG"], "incidence_angle": (20, 35), "look_side": "LEFT"}
    client = connect()

    await client.tasks.feasibility([request(), request(**more)])
    await client.tasks.create(**ORDER)
    await client.tasks.create(**ORDER, **more)

    asked, first, second = service.requests
    assert (asked.method, asked.target) == ("POST", FEASIBILITY)
    assert asked.headers["Content-Type"].partition(";")[0] == "application/json"
    assert json.loads(asked.body) == [json.loads(first.body), json.loads(second.body)]


async def test_a_single_request_counts_as_one(connect, service):
    service.answers(FEASIBILITY, answer({"feasibility": [{"result": "FEASIBLE"}]}))

    found = await connect().tasks.feasibility(request())

    assert json.loads(one(service).body) == [ORDERED]
    assert [each.result for each in found] == ["FEASIBLE"]


async def test_any_collection_of_requests_will_do(connect, service):
    service.answers(FEASIBILITY, answer({"feasibility": [{"result": "FEASIBLE"}] * 2}))

    await connect().tasks.feasibility((request(), request(reference="r2")))

    assert [each.get("reference") for each in json.loads(one(service).body)] == [None, "r2"]


async def test_a_contract_is_asked_for_by_its_path(connect, service):
    service.answers(CONTRACT, answer(AGREED))

    await connect().contracts.get("c1")

    assert (one(service).method, one(service).target, one(service).body) == ("GET", CONTRACT, b"")


@pytest.mark.parametrize(
    ("path", "ask"),
    [
        ("tasks/a/b?c#d", lambda client: client.tasks.get("a/b?c#d")),
        ("tasks/a/b?c#d", lambda client: client.tasks.cancel("a/b?c#d")),
        ("tasks/a/b?c#d/scene", lambda client: client.tasks.scene("a/b?c#d")),
        ("contracts/a/b?c#d", lambda client: client.contracts.get("a/b?c#d")),
    ],
    ids=["get", "cancel", "scene", "contracts.get"],
)
async def test_an_id_stays_one_segment_of_the_path(connect, service, path, ask):
    with pytest.raises(ApiError):
        await ask(connect())

    assert one(service).target.endswith(path.replace("a/b?c#d", "a%2Fb%3Fc%23d"))


# --- lists -----------------------------------------------------------------------------------------------------


async def test_tasks_are_listed_page_by_page(connect, service):
    service.answers(TASKS, page(task(id="a"), task(id="b"), cursor="2"), page(task(id="c"), cursor=""))

    found = await connect().tasks.list()

    assert isinstance(found, tuple)
    assert ids(found) == ["a", "b", "c"]
    assert [heard.method for heard in service.requests] == ["GET", "GET"]
    assert [query(heard) for heard in service.requests] == [[("limit", "50")], [("cursor", "2"), ("limit", "50")]]


async def test_the_filters_are_sent_in_the_words_of_the_service(connect, service):
    service.answers(TASKS, page())
    east = timezone(timedelta(hours=3))

    await connect().tasks.list(contract_id="c 1", created_after=START, created_before=END.astimezone(east))

    assert query(one(service)) == [
        ("contractID", "c 1"),
        ("createdAfter", "2026-03-01T00:00:00Z"),
        ("createdBefore", "2026-03-03T00:00:00Z"),
        ("limit", "50"),
    ]


@pytest.mark.parametrize(
    ("filters", "sent"),
    [
        ({"contract_id": "c1"}, {"contractID"}),
        ({"created_after": START}, {"createdAfter"}),
        ({"created_before": START}, {"createdBefore"}),
        ({"contract_id": None, "created_after": None, "created_before": None}, set()),
    ],
    ids=str,
)
async def test_a_filter_that_is_left_out_is_not_sent(connect, service, filters, sent):
    service.answers(TASKS, page())

    await connect().tasks.list(**filters)

    assert {name for name, _ in query(one(service))} == {"limit", *sent}


async def test_the_filters_go_with_every_page(connect, service):
    service.answers(TASKS, page(task(id="a"), cursor="2"), page(task(id="b"), cursor="3"), page(task(id="c")))

    await connect().tasks.list(contract_id="c1", created_after=START, created_before=END)

    first, *others = [query(heard) for heard in service.requests]
    assert len(others) == 2
    assert [[pair for pair in other if pair[0] != "cursor"] for other in others] == [first, first]
    assert [dict(other)["cursor"] for other in others] == ["2", "3"]


async def test_a_cursor_is_sent_back_as_it_came(connect, service):
    service.answers(TASKS, page(task(), cursor="a+b/c=&d e%2Fü"), page())
    service.answers(CONTRACTS, page(AGREED, cursor="a+b/c=&d e%2Fü"), page())
    client = connect()

    await client.tasks.list()
    await client.contracts.list()

    assert [dict(query(heard)).get("cursor") for heard in service.requests] == [None, "a+b/c=&d e%2Fü"] * 2


LISTS = {
    "tasks": (TASKS, lambda client: client.tasks.list(), lambda name: task(id=name)),
    "contracts": (CONTRACTS, lambda client: client.contracts.list(), lambda name: {"id": name}),
}


@pytest.mark.parametrize(("path", "ask", "item"), LISTS.values(), ids=LISTS)
@pytest.mark.parametrize("end", [{}, {"cursor": None}, {"cursor": ""}], ids=str)
async def test_a_list_ends_with_any_of_the_three_empty_cursors(connect, service, path, ask, item, end):
    service.answers(path, page(item("a"), cursor="2"), page(item("b"), **end))

    assert ids(await ask(connect())) == ["a", "b"]
    assert len(service.requests) == 2


@pytest.mark.parametrize(("path", "ask", "item"), LISTS.values(), ids=LISTS)
async def test_a_list_without_items_is_an_empty_tuple(connect, service, path, ask, item):
    service.answers(path, page(cursor=""))

    assert await ask(connect()) == ()


@pytest.mark.parametrize(("path", "ask", "item"), LISTS.values(), ids=LISTS)
async def test_an_empty_page_in_the_middle_is_not_the_end(connect, service, path, ask, item):
    service.answers(path, page(item("a"), cursor="2"), page(cursor="3"), page(item("b")))

    assert ids(await ask(connect())) == ["a", "b"]


@pytest.mark.parametrize(("path", "ask", "item"), LISTS.values(), ids=LISTS)
async def test_iterated_a_page_is_fetched_when_its_first_item_is_wanted(connect, service, path, ask, item):
    service.answers(path, page(item("a"), item("b"), cursor="2"), page(item("c")))

    asked = [(each.id, len(service.requests)) async for each in ask(connect())]

    assert asked == [("a", 1), ("b", 1), ("c", 2)]


@pytest.mark.parametrize(("path", "ask", "item"), LISTS.values(), ids=LISTS)
@pytest.mark.parametrize("cursors", [["2", "2"], ["2", "3", "2"]], ids=str)
async def test_a_cursor_that_comes_again_is_an_error_that_keeps_the_pages(connect, service, path, ask, item, cursors):
    service.answers(path, *(page(item(str(number)), cursor=cursor) for number, cursor in enumerate(cursors)))
    pages = ask(connect())

    with pytest.raises(PaginationLoop):
        await pages

    assert ids(pages.latest) == [str(number) for number in range(len(cursors))]
    assert len(service.requests) == len(cursors)


@pytest.mark.parametrize(("path", "ask", "item"), LISTS.values(), ids=LISTS)
async def test_of_a_list_the_good_items_are_kept_and_every_bad_one_is_named(connect, service, path, ask, item):
    service.answers(path, page(item("a"), item(None), 7, item("b")))
    pages = ask(connect())

    with pytest.raises(DecodeError) as caught:
        await pages

    assert caught.value.where == ("$.data[1].id", "$.data[2]")
    assert ids(pages.latest) == ["a", "b"]


@pytest.mark.parametrize(("path", "ask", "item"), LISTS.values(), ids=LISTS)
async def test_a_page_that_fails_for_a_while_is_asked_for_again(connect, service, path, ask, item):
    service.answers(path, page(item("a"), cursor="2"), (503, {}, b""), page(item("b")))

    assert ids(await ask(connect())) == ["a", "b"]


# --- what the service refuses ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "ask"), DOORS.values(), ids=DOORS)
@pytest.mark.parametrize(
    ("status", "error"), [(400, BadRequest), (401, Unauthorized), (403, Forbidden), (409, ApiError), (500, ServerError)]
)
async def test_a_status_is_a_typed_error_with_what_the_service_says(connect, service, path, ask, status, error):
    service.answers(path, answer({"title": "No", "code": "WHY", "details": "not this one"}, status))

    with pytest.raises(error) as caught:
        await ask(connect(retry=ONCE))

    assert (caught.value.status, caught.value.code, caught.value.detail) == (status, "WHY", "not this one")
    assert "not this one" in str(caught.value)


@pytest.mark.parametrize(
    ("door", "error"),
    [(door, TaskNotFound if door in {"get", "cancel"} else NotFound) for door in DOORS],
)
async def test_what_is_not_there_is_said_to_be_missing(connect, service, door, error):
    path, ask = DOORS[door]
    service.answers(path, (404, {}, b""))

    with pytest.raises(NotFound) as caught:
        await ask(connect())

    assert type(caught.value) is error
    assert len(service.requests) == 1


@pytest.mark.parametrize(("path", "ask"), DOORS.values(), ids=DOORS)
async def test_a_call_that_must_stay_away_for_hours_raises_at_once(connect, service, path, ask):
    service.answers(path, (429, {"Retry-After": "7200"}, b""))

    with pytest.raises(RateLimited) as caught:
        await ask(connect())

    assert caught.value.retry_after == 7200
    assert len(service.requests) == 1


@pytest.mark.parametrize(("path", "ask"), DOORS.values(), ids=DOORS)
async def test_a_redirect_is_an_error_and_the_other_host_hears_nothing(connect, service, other, path, ask):
    service.answers(path, (307, {"Location": f"{other.url}/elsewhere"}, b""))

    with pytest.raises(ApiError) as caught:
        await ask(connect())

    assert caught.value.status == 307
    assert not other.requests


async def test_a_mode_that_makes_no_derivatives_is_refused_with_the_five_that_do(connect, service):
    """Of a mode that only the contract knows the service is the judge."""
    service.answers(
        TASKS, answer({"title": "No", "code": "INCOMPATIBLE_IMAGING_MODE_FOR_DERIVATIVES", "details": "sorry"}, 400)
    )

    with pytest.raises(BadRequest) as caught:
        await connect().tasks.create(
            **{**ORDER, "imaging_mode": "TENANT_MODE"}, product_types="GRD", derivative_product_types="DC_VESSELS"
        )

    assert caught.value.code == "INCOMPATIBLE_IMAGING_MODE_FOR_DERIVATIVES"
    assert caught.value.status == 400
    words = re.findall(r"\w+", str(caught.value))
    assert all(mode in words for mode in MODES)


async def test_any_other_refusal_does_not_speak_of_modes(connect, service):
    service.answers(TASKS, answer({"code": "ERR_INSUFFICIENT_FUNDS", "message": "insufficient funds"}, 400))

    with pytest.raises(BadRequest, match="insufficient funds") as caught:
        await connect().tasks.create(**ORDER)

    assert caught.value.code == "ERR_INSUFFICIENT_FUNDS"
    assert "SPOTLIGHT_FINE_1L" not in str(caught.value)


async def test_why_a_task_cannot_be_cancelled_any_more_is_the_services_word(connect, service):
    service.answers(TASK, answer({"code": "TOO_LATE", "message": "the task is DONE"}, 409))

    with pytest.raises(ApiError, match="the task is DONE") as caught:
        await connect().tasks.cancel("t1")

    assert caught.value.code == "TOO_LATE"
    assert len(service.requests) == 1


# --- repeated, or not ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("door", READS)
@pytest.mark.parametrize(
    "failure", [(500, {}, b""), (503, {"Retry-After": "1"}, b""), drop], ids=["500", "503", "drop"]
)
async def test_what_only_asks_is_asked_again(connect, service, door, failure):
    path, ask = DOORS[door]
    service.answers(path, failure, GOOD[door])

    await ask(connect())

    first, second = service.requests
    assert (first.method, first.target, first.body) == (second.method, second.target, second.body)


@pytest.mark.parametrize("door", DOORS)
async def test_a_call_that_was_throttled_is_repeated_when_it_may_be(connect, service, door):
    path, ask = DOORS[door]
    service.answers(path, (429, {"Retry-After": "3"}, b""), GOOD[door])

    await ask(connect())

    first, second = service.requests
    assert second.at - first.at >= 3
    assert (first.method, first.target, first.body) == (second.method, second.target, second.body)


@pytest.mark.parametrize("door", DOORS)
async def test_a_call_after_a_401_goes_out_again_with_a_new_token(connect, service, door):
    path, ask = DOORS[door]
    service.answers(path, (401, {}, b""), GOOD[door])

    await ask(connect(auth=Renewing()))

    first, second = service.requests
    assert [heard.headers["Authorization"] for heard in (first, second)] == [
        "Bearer c4n4ry-first",
        "Bearer c4n4ry-second",
    ]
    assert (first.method, first.target, first.body) == (second.method, second.target, second.body)


@pytest.mark.parametrize("door", DOORS)
async def test_a_call_that_never_left_is_repeated(connect, clock, closed_port, door):
    with pytest.raises(TransportError) as caught:
        await DOORS[door][1](connect(closed_port, retry=RetryPolicy(tries=4)))

    assert not caught.value.sent
    assert len(clock.waits) == 3


async def test_feasibility_has_more_time_than_another_call(connect, service):
    """The service may work on it for two minutes."""
    arrived, others_gave_up = asyncio.Event(), asyncio.Event()

    async def think(request):
        arrived.set()
        await others_gave_up.wait()
        return await plain(answer({"feasibility": [{"result": "FEASIBLE"}]}))

    service.answers(FEASIBILITY, think)
    service.answers(TASK, hang)
    client = connect(timeout=0.05, retry=ONCE)
    asked = asyncio.create_task(client.tasks.feasibility([request()]))
    await arrived.wait()

    with pytest.raises(TransportError):
        await client.tasks.get("t1")
    others_gave_up.set()

    assert [each.result for each in await asked] == ["FEASIBLE"]


async def plain(scripted):
    status, headers, body = scripted
    return web.Response(status=status, headers=headers, body=body)


# --- a create that may have been carried out -------------------------------------------------------------------

LOST = {
    "500": ((500, {}, b""), ServerError),
    "502": ((502, {}, b"<html>"), ServerError),
    "503": ((503, {"Retry-After": "1"}, b""), ServerError),
    "504": ((504, {}, b'{"code": "SLOW", "message": "too slow"}'), ServerError),
    "connection lost": (drop, TransportError),
    "no answer in time": (hang, TransportError),
    "empty 201": ((201, {}, b""), DecodeError),
    "201 of garbage": ((201, {}, b"<html>Welcome</html>"), DecodeError),
    "201 of null": ((201, {}, b"null"), DecodeError),
    "201 of another thing": ((201, {}, b'{"data": []}'), DecodeError),
    "201 without an id": (answer({**CANCELED, "id": None}, 201), DecodeError),
    "200 cut short": ((200, {}, b'{"id": "t1"'), DecodeError),
    "empty 202": ((202, {}, b""), DecodeError),
    "204": ((204, {}, b""), DecodeError),
}


async def lost_create(connect, service, failure, **changes):
    """The error of a create that may have been carried out; it was sent once."""
    service.answers(TASKS, failure)
    client = connect(timeout=0.3 if failure is hang else 60.0)
    with pytest.raises((ServerError, TransportError, DecodeError, ApiError)) as caught:
        await client.tasks.create(**{**ORDER, **changes})
    assert len(service.requests) == 1
    return caught.value


@pytest.mark.parametrize(("failure", "error"), LOST.values(), ids=LOST)
async def test_a_create_that_may_have_been_carried_out_is_not_repeated_and_says_so(connect, service, failure, error):
    lost = await lost_create(connect, service, failure)

    assert isinstance(lost, error)
    assert "may have been booked" in str(lost)


@pytest.mark.parametrize(("failure", "error"), LOST.values(), ids=LOST)
async def test_after_a_lost_create_it_is_said_how_to_find_the_task(connect, service, failure, error):
    message = str(await lost_create(connect, service, failure, contract_id="contract-7"))

    assert "client.tasks.list(contract_id=" in message
    assert "contract-7" in message
    assert "created_after=" in message


@pytest.mark.parametrize(("failure", "error"), LOST.values(), ids=LOST)
async def test_after_a_lost_create_the_reference_tells_the_task_from_others(connect, service, failure, error):
    message = str(await lost_create(connect, service, failure, reference="harbour-17"))

    assert "harbour-17" in message


async def test_whoever_gave_no_reference_is_advised_to(connect, service):
    assert "reference" in str(await lost_create(connect, service, (503, {}, b"")))


async def test_the_facts_of_a_lost_create_are_kept(connect, service):
    lost = await lost_create(
        connect, service, (503, {"Retry-After": "7", "X-Request-Id": "q-1"}, b'{"code": "BUSY", "message": "later"}')
    )

    assert (lost.status, lost.code, lost.retry_after, lost.request_id) == (503, "BUSY", 7, "q-1")
    assert lost.transient
    assert "later" in str(lost)


async def test_where_a_lost_answer_could_not_be_read_is_kept(connect, service):
    lost = await lost_create(connect, service, answer({**CANCELED, "id": 7, "status": None}, 201))

    assert set(lost.where) == {"$.id", "$.status"}


async def test_an_answer_that_never_came_counts_as_sent(connect, service):
    assert (await lost_create(connect, service, drop)).sent


async def test_the_error_of_a_lost_create_survives_pickle(connect, service):
    lost = await lost_create(connect, service, (503, {}, b""), reference="harbour-17")
    twin = pickle.loads(pickle.dumps(lost))  # noqa: S301 - our own bytes

    assert (type(twin), str(twin), twin.status) == (ServerError, str(lost), 503)


def moment_in(message):
    """The time that a message gives for `created_after`, whether as text or as a datetime."""
    parts = [int(part) for part in re.findall(r"\d+", message.partition("created_after=")[2])[:6]]
    count = 6 if len(parts) > 5 and parts[5] < 60 else 5
    return datetime(*parts[:count], tzinfo=UTC)


async def test_the_time_to_look_from_is_not_after_the_task_was_sent(connect, service):
    arrived = []

    async def note_and_drop(request):
        arrived.append(datetime.now(UTC))
        request.transport.abort()

    moment = moment_in(str(await lost_create(connect, service, note_and_drop)))

    assert arrived[0] - timedelta(hours=1) <= moment <= arrived[0]


async def test_the_time_to_look_from_is_by_the_clock_of_the_service(connect, service):
    """A computer whose clock is ahead would look past the task."""
    told = datetime(2025, 6, 1, 12, tzinfo=UTC)
    service.answers(TASK, answer(task(), Date=format_datetime(told, usegmt=True)))
    service.answers(TASKS, drop)
    client = connect()
    await client.tasks.get("t1")

    with pytest.raises(TransportError) as caught:
        await client.tasks.create(**ORDER)

    assert told - timedelta(hours=1) <= moment_in(str(caught.value)) <= told + timedelta(seconds=5)


@pytest.mark.parametrize(
    "refusal", [(400, {}, b""), (403, {}, b""), (404, {}, b""), (429, {"Retry-After": "7200"}, b"")], ids=str
)
async def test_a_create_that_was_refused_is_not_said_to_be_booked(connect, service, refusal):
    service.answers(TASKS, refusal)

    with pytest.raises(ApiError) as caught:
        await connect().tasks.create(**ORDER, reference="harbour-17")

    assert "booked" not in str(caught.value)


async def test_a_create_that_never_left_is_not_said_to_be_booked(connect, closed_port):
    with pytest.raises(TransportError) as caught:
        await connect(closed_port).tasks.create(**ORDER)

    assert "booked" not in str(caught.value)


async def test_a_create_that_is_lost_after_it_was_throttled_is_not_repeated_again(connect, service):
    service.answers(TASKS, (429, {"Retry-After": "1"}, b""), drop, answer(task(), 201))

    with pytest.raises(TransportError, match="may have been booked"):
        await connect().tasks.create(**ORDER)

    assert len(service.requests) == 2


async def test_a_cancelled_create_is_a_cancellation(connect, service):
    arrived = asyncio.Event()

    async def tell_and_hang(request):
        arrived.set()
        await hang(request)

    service.answers(TASKS, tell_and_hang)
    call = asyncio.create_task(connect().tasks.create(**ORDER))
    await arrived.wait()

    call.cancel()

    with pytest.raises(asyncio.CancelledError):
        await call


# --- a cancel that may have been carried out -------------------------------------------------------------------

UNHEARD = {name: case for name, case in LOST.items() if name in {"503", "connection lost", "no answer in time"}}
UNHEARD["empty 200"] = ((200, {}, b""), DecodeError)
UNHEARD["200 of garbage"] = ((200, {}, b"<html>Bye</html>"), DecodeError)


@pytest.mark.parametrize(("failure", "error"), UNHEARD.values(), ids=UNHEARD)
async def test_a_cancel_that_may_have_been_carried_out_is_not_repeated_and_says_so(connect, service, failure, error):
    service.answers(TASK, failure)

    with pytest.raises(error) as caught:
        await connect(timeout=0.3 if failure is hang else 60.0).tasks.cancel("t1")

    assert len(service.requests) == 1
    assert re.search(r"may (already )?(be|have been) cancell?ed", str(caught.value))
    assert "tasks.get" in str(caught.value)


@pytest.mark.parametrize("refusal", [(400, {}, b""), (404, {}, b""), (409, {}, b"")], ids=str)
async def test_a_cancel_that_was_refused_is_not_said_to_have_worked(connect, service, refusal):
    service.answers(TASK, refusal)

    with pytest.raises(ApiError) as caught:
        await connect().tasks.cancel("t1")

    assert not re.search(r"cancell?ed", str(caught.value))


async def test_a_cancel_that_never_left_is_not_said_to_have_worked(connect, closed_port):
    with pytest.raises(TransportError) as caught:
        await connect(closed_port).tasks.cancel("t1")

    assert not re.search(r"cancell?ed", str(caught.value))


# --- refused before anything is sent ---------------------------------------------------------------------------

ODD_IDS = [None, 5, b"t1", True, ["t1"], "", " ", ".", "..", "\ud800", "x" * 513]
BY_ID = {
    "get": lambda client, given: client.tasks.get(given),
    "cancel": lambda client, given: client.tasks.cancel(given),
    "scene": lambda client, given: client.tasks.scene(given),
    "contracts.get": lambda client, given: client.contracts.get(given),
}


@pytest.mark.parametrize("ask", BY_ID.values(), ids=BY_ID)
@pytest.mark.parametrize("given", ODD_IDS, ids=lambda given: ascii(given)[:20])
async def test_what_can_be_no_id_is_refused(connect, service, ask, given):
    with pytest.raises(UsageError):
        await ask(connect(), given)

    assert not service.requests


NAIVE = START.replace(tzinfo=None)


@pytest.mark.parametrize(
    ("filters", "name"),
    [
        *[({"contract_id": wrong}, "contract_id") for wrong in ("", " ", 5, b"c", ["c1"], True, "\ud800")],
        *[({"created_after": wrong}, "created_after") for wrong in (NAIVE, START.date(), "2026-03-01", 5, True)],
        *[({"created_before": wrong}, "created_before") for wrong in (NAIVE, START.date(), "2026-03-01", 5, True)],
        ({"created_after": END, "created_before": START}, "created_after"),
        ({"created_after": START, "created_before": START}, "created_after"),
        ({"created_after": datetime.min.replace(tzinfo=timezone(timedelta(hours=1)))}, "created_after"),
    ],
    ids=ascii,
)
async def test_a_filter_that_cannot_be_is_refused_by_name(connect, service, filters, name):
    with pytest.raises(UsageError, match=name):
        await connect().tasks.list(**filters)

    assert not service.requests


@pytest.mark.parametrize(
    ("change", "name"),
    [
        *[({"contract_id": wrong}, "contract_id") for wrong in (None, "", " ", 5, b"c", "\ud800")],
        *[({"imaging_mode": wrong}, "imaging_mode") for wrong in (None, "", 5, ["SCAN"])],
        *[
            ({"point_of_interest": wrong}, "point_of_interest")
            for wrong in (None, (91, 0), (0, 181), (float("nan"), 0), (True, 0), (1,), "60,24", 5)
        ],
        *[({name: wrong}, name) for name in ("exclusivity", "priority", "sla", "eula") for wrong in ("", 5, b"x")],
    ],
    ids=ascii,
)
async def test_a_price_that_cannot_be_asked_is_refused_by_name(connect, service, change, name):
    with pytest.raises(UsageError, match=name):
        await connect().tasks.price(**{**OFFER, **change})

    assert not service.requests


@pytest.mark.parametrize(
    "given",
    [[], (), set(), None, 5, "c1", "", b"x", ORDER, [ORDER], [None], ["c1"], True, [[]]],
    ids=lambda x: str(x)[:20],
)
async def test_feasibility_of_what_is_no_request_is_refused(connect, service, given):
    with pytest.raises(UsageError):
        await connect().tasks.feasibility(given)

    assert not service.requests


async def test_one_wrong_request_among_good_ones_is_refused(connect, service):
    with pytest.raises(UsageError, match="TaskRequest"):
        await connect().tasks.feasibility([request(), {"contractID": "c1"}])

    assert not service.requests


@pytest.mark.parametrize(
    "change",
    [
        {"contract_id": ""},
        {"imaging_mode": None},
        {"point_of_interest": (91, 0)},
        {"acquisition_window": (END, START)},
        {"acquisition_window": (NAIVE, END)},
        {"product_types": []},
        {"derivative_product_types": "DC_VESSELS"},
        {"derivative_product_types": "DC_VESSELS", "product_types": "GRD", "imaging_mode": "SCAN"},
        {"reference": "x" * 257},
        {"incidence_angle": (40, 20)},
        {"imaging_duration": 0},
        {"look_side": ""},
    ],
    ids=str,
)
async def test_a_task_that_cannot_be_is_refused_before_it_is_sent(connect, service, change):
    with pytest.raises(UsageError):
        await connect().tasks.create(**{**ORDER, **change})

    assert not service.requests


# --- answers that cannot be read -------------------------------------------------------------------------------


BODIES = [b"", b"<html>Sign in</html>", b"\xff\xfe", b"null", b"[]", b"5", b'"x"', b"{}"]


# Nothing of a scene is on every answer, so that an empty one can be read.
@pytest.mark.parametrize(
    ("door", "body"),
    [(door, body) for door in DOORS for body in BODIES if (door, body) != ("scene", b"{}")],
    ids=ascii,
)
async def test_an_unreadable_answer_is_a_decode_error(connect, service, door, body):
    path, ask = DOORS[door]
    service.answers(path, (201 if door == "create" else 200, {}, body))

    with pytest.raises(DecodeError) as caught:
        await ask(connect())

    assert caught.value.where
    assert all(place.startswith("$") for place in caught.value.where)


WRONG = {
    "get": [
        ({"incidenceAngle": "20-35"}, "$.incidenceAngle"),
        ({"incidenceAngle": [20, 35]}, "$.incidenceAngle"),
        ({"incidenceAngle": {"min": "20", "max": 35}}, "$.incidenceAngle.min"),
        ({"incidenceAngle": {"min": 20, "max": True}}, "$.incidenceAngle.max"),
        ({"status": 5}, "$.status"),
        ({"contractID": None}, "$.contractID"),
        ({"productTypes": "GRD"}, "$.productTypes"),
        ({"acquisitionWindow": {"start": "2026-03-01T00:00:00Z", "end": 5}}, "$.acquisitionWindow.end"),
    ],
    "scene": [
        ({"imagingTime": "2026-03-02T10:00:00Z"}, "$.imagingTime"),
        ({"imagingTime": []}, "$.imagingTime"),
        ({"imagingTime": {"start": 5, "end": "2026-03-02T10:00:10Z"}}, "$.imagingTime.start"),
        ({"imagingTime": {"start": "2026-03-02T10:00:00Z", "end": "soon"}}, "$.imagingTime.end"),
        ({"duration": "ten"}, "$.duration"),
        ({"duration": True}, "$.duration"),
        ({"lookSide": 5}, "$.lookSide"),
        ({"passDirection": ["ASCENDING"]}, "$.passDirection"),
        ({"azimuth": "north"}, "$.azimuth"),
        *[({"incidenceAngle": wrong}, "$.incidenceAngle") for wrong in (True, [28.5], {"min": 20})],
    ],
    "price": [
        ({"amount": "5"}, "$.amount"),
        ({"amount": 5.5}, "$.amount"),
        ({"amount": True}, "$.amount"),
        ({"amount": None}, "$.amount"),
        ({"currency": 978}, "$.currency"),
        ({"currency": None}, "$.currency"),
    ],
    "feasibility": [
        ({"feasibility": None}, "$.feasibility"),
        ({"feasibility": {"result": "FEASIBLE"}}, "$.feasibility"),
        ({"feasibility": ["FEASIBLE"]}, "$.feasibility[0]"),
        ({"feasibility": [{}]}, "$.feasibility[0].result"),
        ({"feasibility": [{"result": True}]}, "$.feasibility[0].result"),
        ({"feasibility": [{"result": "FEASIBLE"}, {"result": None}]}, "$.feasibility[1].result"),
    ],
    "contracts.get": [
        *[({"id": wrong}, "$.id") for wrong in (None, 5, True, [])],
        ({"name": 5}, "$.name"),
        ({"start": 1767225600}, "$.start"),
        ({"end": {}}, "$.end"),
        ({"imagingModes": "SPOTLIGHT"}, "$.imagingModes"),
        ({"imagingModes": {"allowed": "SPOTLIGHT"}}, "$.imagingModes.allowed"),
        ({"imagingModes": {"allowed": ["SPOTLIGHT", 5]}}, "$.imagingModes.allowed[1]"),
        ({"imagingModes": {"allowed": [["SPOTLIGHT", 5]]}}, "$.imagingModes.allowed[0][1]"),
        ({"priority": "COMMERCIAL"}, "$.priority"),
        ({"priority": {"allowed": "COMMERCIAL"}}, "$.priority.allowed"),
        ({"exclusivity": {"allowed": [None]}}, "$.exclusivity.allowed[0]"),
        ({"eula": {"allowed": ["STANDARD"], "default": 5}}, "$.eula.default"),
        ({"sla": []}, "$.sla"),
    ],
}


@pytest.mark.parametrize(
    ("door", "change", "place"),
    [(door, change, place) for door, cases in WRONG.items() for change, place in cases],
    ids=str,
)
async def test_what_is_of_the_wrong_kind_is_named_by_its_place(connect, service, door, change, place):
    path, ask = DOORS[door]
    status, headers, body = GOOD[door]
    service.answers(path, (status, headers, json.dumps({**json.loads(body), **change}).encode()))

    with pytest.raises(DecodeError) as caught:
        await ask(connect())

    assert caught.value.where == (place,)


async def test_in_a_list_what_is_of_the_wrong_kind_is_named_with_its_item(connect, service):
    service.answers(TASKS, page(task(), task(incidenceAngle={"min": 20, "max": "x"})))
    service.answers(CONTRACTS, page({"id": "c1"}, {"id": "c2", "imagingModes": {"allowed": [["A", None]]}}))
    client = connect()

    with pytest.raises(DecodeError) as tasks:
        await client.tasks.list()
    with pytest.raises(DecodeError) as contracts:
        await client.contracts.list()

    assert tasks.value.where == ("$.data[1].incidenceAngle.max",)
    assert contracts.value.where == ("$.data[1].imagingModes.allowed[0][1]",)


# --- tasks that can be read ------------------------------------------------------------------------------------


async def told(connect, service, door, document):
    """What a call makes of this document."""
    path, ask = DOORS[door]
    service.answers(path, answer(document))
    return await ask(connect())


async def test_a_task_says_what_was_ordered(connect, service):
    webhook = {"webhook": {"id": "w1", "new": [1]}}
    deliveries = [{"id": "", "locations": [{"configID": "l1", "path": "in"}], "status": "pending"}]
    found = await told(
        connect,
        service,
        "get",
        task(incidenceAngle={"min": 20, "max": 35}, notifications=webhook, deliveries=deliveries),
    )

    assert isinstance(found.incidence_angle, AngleRange)
    assert (found.incidence_angle.min, found.incidence_angle.max) == (20, 35)
    assert found.notifications == webhook
    assert list(found.deliveries) == deliveries


async def test_of_a_task_only_eight_fields_are_always_there(connect, service):
    found = await told(connect, service, "get", CANCELED)

    assert (found.id, found.contract_id, found.status) == ("t1", "c1", TaskStatus.CANCELED)
    assert found.updated_at == datetime(2026, 2, 20, 13, 0, 0, 670_000, UTC)
    assert (found.incidence_angle, found.notifications, found.deliveries) == (None, None, None)


@pytest.mark.parametrize("key", ["incidenceAngle", "notifications", "deliveries", "imagingDuration", "lookSide"])
async def test_null_is_absent_in_a_task(connect, service, key):
    assert await told(connect, service, "get", task(**{key: None})) == await told(connect, service, "get", task())


async def test_a_status_and_a_mode_that_nobody_documented_are_kept(connect, service):
    found = await told(connect, service, "get", task(status="PAUSED", imagingMode="TENANT_MODE", lookSide="UP"))

    assert (found.status, found.imaging_mode, found.look_side) == ("PAUSED", "TENANT_MODE", "UP")


async def test_fields_that_nobody_documented_are_kept(connect, service):
    document = task(novel={"deep": [None, 1.5]})

    assert (await told(connect, service, "get", document)).document == document


async def test_a_task_is_booked_with_any_answer_that_says_so(connect, service):
    """The page shows 201; what matters is the task."""
    assert (await told(connect, service, "create", task())).id == "t1"


# --- scenes ----------------------------------------------------------------------------------------------------


async def test_a_scene_says_when_and_how_the_picture_is_taken(connect, service):
    document = {
        **PLAN,
        "lookSide": "RIGHT",
        "passDirection": "DESCENDING",
        "incidenceAngle": "28.5",
        "azimuth": 191.25,
        "novel": [1],
    }
    found = await told(connect, service, "scene", document)

    assert isinstance(found, Scene)
    assert found.task_id == "t1"
    assert found.imaging_time == Interval(
        datetime(2026, 3, 2, 10, tzinfo=UTC), datetime(2026, 3, 2, 10, 0, 10, tzinfo=UTC)
    )
    assert (found.duration, found.look_side, found.pass_direction) == (10, "RIGHT", "DESCENDING")
    assert (found.incidence_angle, found.azimuth) == (28.5, 191.25)
    assert found.document == document


@pytest.mark.parametrize(
    ("sent", "angle"),
    [
        ("28.5", 28.5),
        ("28", 28.0),
        ("0", 0.0),
        (28.5, 28.5),
        (28, 28.0),
        (0, 0.0),
        ("steep", None),
        ("28.5°", None),
        ("", None),
        ("NaN", None),
        ("inf", None),
        ("-Infinity", None),
        ("1e999", None),
        (None, None),
    ],
    ids=repr,
)
async def test_the_angle_of_a_scene_is_a_number_however_it_is_sent(connect, service, sent, angle):
    found = await told(connect, service, "scene", {**PLAN, "incidenceAngle": sent})

    assert found.incidence_angle == angle
    assert angle is None or type(found.incidence_angle) is float
    assert found.document["incidenceAngle"] == sent


@pytest.mark.parametrize("key", ["imagingTime", "lookSide", "passDirection", "incidenceAngle", "azimuth"])
async def test_null_is_absent_in_a_scene(connect, service, key):
    rest = {name: value for name, value in PLAN.items() if name != key}

    assert await told(connect, service, "scene", {**rest, key: None}) == await told(connect, service, "scene", rest)


async def test_a_scene_that_is_not_planned_yet_has_no_time(connect, service):
    found = await told(connect, service, "scene", {"duration": 10})

    assert (found.imaging_time, found.duration) == (None, 10)
    assert (found.look_side, found.pass_direction, found.incidence_angle, found.azimuth) == (None,) * 4


async def test_words_of_a_scene_that_nobody_documented_are_kept(connect, service):
    found = await told(connect, service, "scene", {**PLAN, "lookSide": "UP", "passDirection": "POLAR"})

    assert (found.look_side, found.pass_direction) == ("UP", "POLAR")


# --- prices and feasibility ------------------------------------------------------------------------------------


async def test_a_price_has_an_amount_and_a_currency(connect, service):
    document = {"amount": 123_456, "currency": "EUR", "novel": {"tax": 0}}
    found = await told(connect, service, "price", document)

    assert isinstance(found, Price)
    assert (found.amount, found.currency) == (123_456, "EUR")
    assert found.document == document


@pytest.mark.parametrize("amount", [0, -5, 2**63 - 1])
async def test_an_amount_is_any_whole_number(connect, service, amount):
    assert (await told(connect, service, "price", {"amount": amount, "currency": "EUR"})).amount == amount


async def test_feasibility_is_told_in_the_order_of_the_answer(connect, service):
    results = [{"result": "FEASIBLE", "novel": 1}, {"result": "NOT_FEASIBLE"}, {"result": "PERHAPS"}]
    found = await told(connect, service, "feasibility", {"feasibility": results})

    assert isinstance(found, tuple)
    assert all(isinstance(each, Feasibility) for each in found)
    assert [each.result for each in found] == ["FEASIBLE", "NOT_FEASIBLE", "PERHAPS"]
    assert [each.document for each in found] == results


# --- contracts -------------------------------------------------------------------------------------------------


async def test_a_contract_says_what_may_be_ordered(connect, service):
    document = {**AGREED, "novel": {"caps": [1]}}
    found = await told(connect, service, "contracts.get", document)

    assert isinstance(found, Contract)
    assert (found.id, found.name) == ("c1", "Harbour watch")
    assert (found.start, found.end) == ("2026-01-01", "2026-12-31T23:59:59Z")
    assert found.imaging_modes == (ImagingMode.SPOTLIGHT, "TENANT_MODE")
    assert isinstance(found.priority, Allowance)
    assert (found.priority.allowed, found.priority.default) == (("BACKGROUND", "COMMERCIAL"), "COMMERCIAL")
    assert (found.exclusivity.allowed, found.exclusivity.default) == (("PRIVATE", "PUBLIC"), "PUBLIC")
    assert (found.eula.allowed, found.eula.default) == (("STANDARD",), "STANDARD")
    assert (found.sla.allowed, found.sla.default) == (("SLA_8H", "SLA_3H"), "SLA_8H")
    assert found.document == document


@pytest.mark.parametrize(
    ("allowed", "modes"),
    [
        (["SPOTLIGHT", "SCAN"], ("SPOTLIGHT", "SCAN")),
        ([["SPOTLIGHT", "SCAN"]], ("SPOTLIGHT", "SCAN")),
        ([["SPOTLIGHT"], ["SCAN"]], ("SPOTLIGHT", "SCAN")),
        ([], ()),
        ([[]], ()),
    ],
    ids=str,
)
async def test_the_modes_of_a_contract_are_flat_however_they_are_nested(connect, service, allowed, modes):
    document = {"id": "c1", "imagingModes": {"allowed": allowed}}

    assert (await told(connect, service, "contracts.get", document)).imaging_modes == modes


async def test_a_contract_in_a_list_is_read_like_one_alone(connect, service):
    service.answers(CONTRACTS, page({**AGREED, "imagingModes": {"allowed": [["SPOTLIGHT", "TENANT_MODE"]]}}))

    (listed,) = await connect().contracts.list()

    assert listed == await told(connect, service, "contracts.get", AGREED)


async def test_of_a_contract_only_the_id_is_always_there(connect, service):
    found = await told(connect, service, "contracts.get", {"id": "c1"})

    assert found.id == "c1"
    assert (found.name, found.start, found.end, found.imaging_modes) == (None,) * 4
    assert (found.priority, found.exclusivity, found.eula, found.sla) == (None,) * 4


@pytest.mark.parametrize("key", [key for key in AGREED if key != "id"])
async def test_null_is_absent_in_a_contract(connect, service, key):
    rest = {name: value for name, value in AGREED.items() if name != key}

    assert await told(connect, service, "contracts.get", {**rest, key: None}) == await told(
        connect, service, "contracts.get", rest
    )


async def test_what_a_contract_allows_may_have_no_default(connect, service):
    for extra in ({}, {"default": None}):
        document = {"id": "c1", "sla": {"allowed": ["SLA_8H"], **extra}}
        found = await told(connect, service, "contracts.get", document)

        assert (found.sla.allowed, found.sla.default) == (("SLA_8H",), None)


# --- what was certainly not booked ------------------------------------------------------------------------------


TOKEN_TROUBLE = {"503": (503, {}, b""), "html": (200, {}, b"<html>"), "gone": drop}


@pytest.mark.parametrize("trouble", TOKEN_TROUBLE.values(), ids=TOKEN_TROUBLE)
@pytest.mark.parametrize("refused", [False, True], ids=["the first token", "a token after a 401"])
async def test_an_order_that_no_token_was_there_for_is_not_said_to_be_booked(connect, service, trouble, refused):
    good = (200, {}, b'{"access_token": "c4n4ry-a", "expires_in": 3600}')
    service.answers("/token", *([good] if refused else []), trouble)
    service.answers(TASKS, (401, {}, b""))
    client = connect(auth=ClientCredentials(f"{service.url}/token", "an-id", "c4n4ry"))

    with pytest.raises(IceyeError) as caught:
        await client.tasks.create(**ORDER)

    assert "booked" not in str(caught.value)


async def test_the_time_to_look_from_is_by_the_date_of_the_very_answer_that_was_lost(connect, service):
    service.answers(TASKS, (500, {"Date": "Sun, 01 Mar 2026 12:00:00 GMT"}, b""))

    with pytest.raises(ServerError) as caught:
        await connect().tasks.create(**ORDER)

    assert "2026-03-01T11:5" in str(caught.value)


async def test_an_order_under_way_when_the_client_is_closed_may_have_been_carried_out(connect, service):
    client = connect()

    async def never(request):
        await client.close()
        return web.Response()

    service.answers(TASKS, never)

    with pytest.raises(StateError, match="it may have been carried out all the same"):
        await client.tasks.create(**ORDER)


WAYS = {
    "create_task": asyncio.create_task,
    "gather": asyncio.gather,
    "wait_for": lambda order: asyncio.wait_for(order, 5),
}


@pytest.mark.parametrize("way", WAYS)
async def test_a_warning_points_at_the_line_of_the_caller_however_it_is_awaited(connect, service, way):
    service.answers(TASKS, (201, {}, json.dumps(CANCELED).encode()))
    client = connect()

    with pytest.warns(FutureWarning) as caught:
        order = client.tasks.create(**ORDER, product_types=["SLC"])
    await WAYS[way](order)

    assert [found.filename for found in caught] == [__file__]
