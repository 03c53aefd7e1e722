"""What may befall requests to the sandbox's API and its link host: over plain HTTP, and how the client takes it."""

import asyncio
import contextlib
import itertools
import json
import math
from datetime import timedelta

import aiohttp
import pytest

from iceye_async import (
    ApiError,
    BadRequest,
    Forbidden,
    PollPolicy,
    PollTimeout,
    RateLimited,
    RetryPolicy,
    ServerError,
    TransportError,
    Unauthorized,
)
from iceye_async.events import Requested
from iceye_async.sandbox import Fault, LinkFault, Sandbox, Scenario
from tests.desk import AT_ONCE, BOTH, CONTRACTS, FEASIBILITY, NOBODY, PRICE, TASKS, Line, open_desk, turns

MINUTE, HOUR = 60.0, 3600.0
PROBLEM = {"Accept": "application/json, application/problem+json"}


@pytest.fixture
async def desk():
    scenario = Scenario(**AT_ONCE, derivatives={"DC_VESSELS": 0.0, "DC_AIRCRAFT": 0.0}, seed=7)
    async with open_desk(scenario, BOTH, speed=0) as desk:
        yield desk


@pytest.fixture
async def slow():
    """A desk at which a task can be canceled."""
    async with open_desk(Scenario(seed=7), BOTH, speed=0) as desk:
        yield desk


PRICED = (
    "imagingMode=SPOTLIGHT&pointOfInterest[lat]=1&pointOfInterest[lon]=2&exclusivity=PRIVATE&priority=COMMERCIAL"
    "&sla=SLA_8H&eula=STANDARD"
)
CALLS = {
    "createTask": lambda desk, path: desk.say("POST", TASKS, json=desk.order()),
    "listTasks": lambda desk, path: desk.say("GET", TASKS),
    "getTask": lambda desk, path: desk.say("GET", path),
    "getTaskScene": lambda desk, path: desk.say("GET", f"{path}/scene"),
    "listTaskProducts": lambda desk, path: desk.say("GET", f"{path}/products"),
    "getTaskProduct": lambda desk, path: desk.say("GET", f"{path}/products/GRD"),
    "listTaskDerivatives": lambda desk, path: desk.say("GET", f"{path}/derivatives"),
    "getPrice": lambda desk, path: desk.say("GET", f"{PRICE}?contractID={desk.sandbox.contract_id}&{PRICED}"),
    "checkFeasibility": lambda desk, path: desk.say("POST", FEASIBILITY, json=[desk.order()]),
    "listContracts": lambda desk, path: desk.say("GET", CONTRACTS),
    "getContract": lambda desk, path: desk.say("GET", f"{CONTRACTS}/{desk.sandbox.contract_id}"),
    "cancelTask": lambda desk, path: desk.say("PATCH", path, json={"status": "CANCELED"}),
}
UNHARMED = dict.fromkeys(CALLS, 200) | {"createTask": 201, "cancelTask": 400}
OF_A_TASK = [name for name in CALLS if name in {"cancelTask", "createTask"} or "getTask" in name or "listTask" in name]
OF_A_TASK.remove("listTasks")


async def statuses(desk, count, path=TASKS):
    return [(await desk.say("GET", path)).status for _ in range(count)]


async def tasks(desk):
    return (await desk.get(TASKS))[1]["data"]


# --- which requests --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CALLS)
async def test_a_fault_befalls_the_call_that_it_names_and_no_other(desk, name):
    path = await desk.created()
    desk.sandbox.faults.append(Fault(call=name, status=418, times=math.inf))

    found = {call: (await ask(desk, path)).status for call, ask in CALLS.items()}

    assert found == UNHARMED | {name: 418}
    assert (await desk.sign_in()).status == 200


async def test_a_fault_that_names_none_befalls_all_but_the_token(desk):
    path = await desk.created()
    desk.sandbox.faults.append(Fault(status=418, times=math.inf))

    found = {call: (await ask(desk, path)).status for call, ask in CALLS.items()}

    assert found == dict.fromkeys(CALLS, 418)
    assert (await desk.sign_in()).status == 200


async def test_a_fault_of_the_token_befalls_nothing_else(desk):
    path = await desk.created()
    desk.sandbox.faults.append(Fault(call="token", status=503, times=2))

    found = {call: (await ask(desk, path)).status for call, ask in CALLS.items()}

    assert found == UNHARMED
    assert [(await desk.sign_in()).status for _ in range(3)] == [503, 503, 200]


async def test_what_is_no_call_suffers_nothing(desk):
    desk.sandbox.faults.append(Fault(status=418))

    assert [(await desk.say("GET", path)).status for path in ("/openapi.json", "/nowhere", "/")] == [200, 404, 404]
    assert (await desk.say("DELETE", TASKS)).status == 405
    assert desk.sandbox.faults == [Fault(status=418)]


async def test_a_fault_may_mean_the_tasks_of_a_reference(desk):
    bad, good = await desk.created(reference="bad-1"), await desk.created(reference="good-1")
    plain = await desk.created()
    desk.sandbox.faults.append(Fault(reference="bad-*", status=418, times=math.inf))

    found = {}
    for path, reference in ((bad, "bad-2"), (good, "good-2"), (plain, None)):
        desk.ordered = BOTH | ({} if reference is None else {"reference": reference})
        found[reference] = {name for name, ask in CALLS.items() if (await ask(desk, path)).status == 418}

    assert found == {"bad-2": set(OF_A_TASK), "good-2": set(), None: set()}


async def test_a_reference_is_matched_with_its_case(desk):
    path = await desk.created(reference="BAD-1")
    desk.sandbox.faults.append(Fault(reference="bad-*", status=418))

    assert await statuses(desk, 1, path) == [200]


async def test_a_call_and_a_reference_are_both_meant(desk):
    bad, good = await desk.created(reference="bad"), await desk.created(reference="good")
    desk.sandbox.faults.append(Fault(call="getTask", reference="bad", status=418))

    assert await statuses(desk, 1, f"{bad}/products") == [200]
    assert await statuses(desk, 1, good) == [200]
    assert await statuses(desk, 2, bad) == [418, 200]


async def test_a_fault_lets_some_pass_befalls_some_and_is_over(desk):
    desk.sandbox.faults.append(Fault(skip=2, times=3, status=503))

    assert await statuses(desk, 4) == [200, 200, 503, 503]
    assert desk.sandbox.faults == [Fault(times=1, status=503)]
    assert await statuses(desk, 2) == [503, 200]
    assert desk.sandbox.faults == []


async def test_a_fault_without_end_stays(desk):
    desk.sandbox.faults.append(Fault(skip=1, times=math.inf, status=503))

    assert await statuses(desk, 20) == [200] + [503] * 19
    assert desk.sandbox.faults == [Fault(times=math.inf, status=503)]
    desk.sandbox.faults.clear()
    assert await statuses(desk, 1) == [200]


async def test_a_fault_has_its_time(desk):
    desk.sandbox.faults.append(Fault(after=10.0, until=20.0, times=3, status=503))

    found = []
    for step in (0.0, 9.9, 0.2, 9.8, 0.2, 1000.0):
        await desk.sandbox.advance(step)
        found += await statuses(desk, 1)

    assert found == [200, 200, 503, 503, 200, 200]


async def test_before_its_time_a_fault_does_not_count(desk):
    desk.sandbox.faults.append(Fault(after=10.0, skip=1, times=1, status=503))

    assert await statuses(desk, 5) == [200] * 5
    await desk.sandbox.advance(11)
    assert await statuses(desk, 3) == [200, 503, 200]


async def chance(seed, share=0.5, count=200, **fault):
    async with open_desk(Scenario(seed=seed), speed=0) as desk:
        desk.sandbox.faults.append(Fault(share=share, status=503, **{"times": math.inf, **fault}))
        return await statuses(desk, count)


async def test_a_share_of_the_requests_suffers_by_a_chance_that_the_seed_decides():
    found, same, other = await chance(1), await chance(1), await chance(2)

    assert found == same != other
    for one in (found, other):
        assert 60 < one.count(503) < 140


@pytest.mark.parametrize(("share", "least", "most"), [(0.05, 1, 30), (0.95, 170, 199), (1.0, 200, 200)])
async def test_a_share_is_about_as_large_as_it_says(share, least, most):
    assert least <= (await chance(3, share)).count(503) <= most


async def test_only_those_that_suffer_count_of_a_share():
    found = await chance(4, 0.3, 100, times=3)

    assert found.count(503) == 3
    assert found[:3] != [503] * 3


async def test_the_faults_of_a_scenario_come_one_after_the_other(desk):
    desk.sandbox.faults += [Fault(status=500, skip=1), Fault(status=501, skip=1), Fault(status=502)]

    assert await statuses(desk, 6) == [200, 500, 200, 501, 502, 200]


async def test_a_fault_that_does_not_fit_leaves_the_request_to_the_next(desk):
    desk.sandbox.faults += [
        Fault(call="getContract", status=500),
        Fault(reference="x", status=501),
        Fault(after=100.0, status=502),
        Fault(call="token", status=504),
        Fault(status=503),
    ]

    assert await statuses(desk, 2) == [503, 200]
    assert len(desk.sandbox.faults) == 4


async def test_a_fault_that_chance_spares_leaves_the_request_to_the_next(desk):
    desk.sandbox.faults += [Fault(share=0.2, times=math.inf, status=500), Fault(share=0.2, times=math.inf, status=502)]

    found = await statuses(desk, 200)

    assert 15 < found.count(500) < 75
    assert 10 < found.count(502) < 70
    assert found.count(200) > 80


async def test_faults_are_taken_as_they_are_changed(desk):
    assert await statuses(desk, 1) == [200]
    desk.sandbox.faults.append(Fault(status=503))
    assert await statuses(desk, 2) == [503, 200]
    desk.sandbox.faults[:] = [Fault(status=500, times=5)]
    assert await statuses(desk, 1) == [500]
    desk.sandbox.faults.insert(0, Fault(status=502))
    assert await statuses(desk, 2) == [502, 500]
    del desk.sandbox.faults[0]
    assert await statuses(desk, 1) == [200]


@pytest.mark.parametrize("header", ["", "Bearer nobody", "Basic x", None])
async def test_a_request_without_a_good_token_neither_suffers_nor_counts(desk, header):
    good, fault = desk.headers, Fault(skip=1, status=418)
    desk.sandbox.faults.append(fault)
    desk.headers = {} if header is None else {"Authorization": header}
    assert await statuses(desk, 3) == [401] * 3
    assert desk.sandbox.faults == [fault]

    desk.headers = good
    assert await statuses(desk, 3) == [200, 418, 200]


async def test_wrong_credentials_neither_suffer_nor_count(desk):
    desk.sandbox.faults.append(Fault(call="token", status=503))
    auth = {"Authorization": aiohttp.encode_basic_auth("me", "wrong")}
    async with desk.http.post(
        desk.sandbox.token_url, headers=auth, data={"grant_type": "client_credentials"}
    ) as answer:
        assert answer.status == 401

    assert [(await desk.sign_in()).status for _ in range(2)] == [503, 200]


async def test_what_the_service_refuses_anyway_suffers_too(desk):
    """An unknown task is as good a request as any."""
    desk.sandbox.faults.append(Fault(status=503))

    assert await statuses(desk, 2, f"{TASKS}/{NOBODY}") == [503, 404]


async def test_requests_that_suffer_are_written_down(desk):
    desk.sandbox.requests.clear()
    desk.sandbox.faults.append(Fault(status=503))
    await statuses(desk, 2)

    assert desk.sandbox.requests == [("GET", TASKS)] * 2


async def test_of_many_at_once_as_many_suffer_as_should(desk):
    desk.sandbox.faults.append(Fault(status=503, skip=10, times=25))

    found = await asyncio.gather(*(desk.say("GET", TASKS) for _ in range(60)))

    assert sorted(got.status for got in found) == [200] * 35 + [503] * 25


# --- what befalls them -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 418, 422, 429, 500, 501, 502, 503, 504, 599])
async def test_a_status_comes_with_both_error_bodies(desk, status):
    desk.sandbox.faults.append(Fault(status=status, times=2))

    plain, problem = await desk.say("GET", TASKS), await desk.say("GET", TASKS, PROBLEM)

    assert (plain.status, problem.status) == (status, status)
    assert plain.headers["Content-Type"].startswith("application/json")
    assert problem.headers["Content-Type"].startswith("application/problem+json")
    short, long = json.loads(plain.body), json.loads(problem.body)
    assert set(short) == {"code", "message"}
    assert {"title", "code", "details"} <= set(long) <= {"title", "code", "details", "reference"}
    assert short["code"] == long["code"] != ""
    assert all([*short.values(), *long.values()])


async def test_code_and_details_may_be_given(desk):
    desk.sandbox.faults.append(Fault(status=402, code="ERR_INSUFFICIENT_FUNDS", details="no money — left", times=2))

    plain, problem = await desk.say("GET", TASKS), await desk.say("GET", TASKS, PROBLEM)

    assert json.loads(plain.body) == {"code": "ERR_INSUFFICIENT_FUNDS", "message": "no money — left"}
    assert json.loads(problem.body)["code"] == "ERR_INSUFFICIENT_FUNDS"
    assert json.loads(problem.body)["details"] == "no money — left"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (7, "7"),
        (0, "0"),
        (120.0, "120"),
        (2.5, "3"),
        ("Fri, 02 Jan 2026 00:00:00 GMT",) * 2,
        ("soon", "soon"),
        ("-1", "-1"),
    ],
)
@pytest.mark.parametrize("status", [429, 503, None])
async def test_when_to_come_again_is_told_as_it_was_given(desk, given, told, status):
    desk.sandbox.faults.append(Fault(status=status, retry_after=given))

    got = await desk.say("GET", TASKS)

    assert (got.status, got.headers.getall("Retry-After")) == (status or 200, [told])
    assert "Retry-After" not in (await desk.say("GET", TASKS)).headers


@pytest.mark.parametrize("status", [503, None])
async def test_headers_are_added_replaced_and_removed(desk, status):
    changes = {"X-New": "1", "content-type": "a/b", "Date": None}
    desk.sandbox.faults.append(Fault(status=status, headers=changes))

    got = await desk.say("GET", TASKS)

    assert got.status == (status or 200)
    assert got.headers["X-New"] == "1"
    assert got.headers.getall("Content-Type") == ["a/b"]
    assert "Date" not in got.headers
    assert json.loads(got.body)


async def test_a_header_may_be_the_one_that_retry_after_gives(desk):
    desk.sandbox.faults.append(Fault(status=503, retry_after=5, headers={"Retry-After": None}))

    assert "Retry-After" not in (await desk.say("GET", TASKS)).headers


@pytest.mark.parametrize("status", [200, 206, 302, 404, 502, None])
@pytest.mark.parametrize("body", [b"", b"<html>sorry</html>", b"\xff\x00{", '{"data": \u00e4', '{"data": []}'])
async def test_another_body_is_sent_as_it_is(desk, status, body):
    desk.sandbox.faults.append(Fault(status=status, body=body))

    got = await desk.say("GET", TASKS)

    assert got.status == (status or 200)
    assert got.body == (body.encode() if isinstance(body, str) else body)
    assert int(got.headers["Content-Length"]) == len(got.body)


@pytest.mark.parametrize("status", [204, 304])
async def test_a_status_that_has_no_body_has_none(desk, status):
    desk.sandbox.faults.append(Fault(status=status, times=2))

    assert [(got.status, got.body) for got in [await desk.say("GET", TASKS), await desk.say("GET", TASKS)]] == [
        (status, b""),
        (status, b""),
    ]
    assert await statuses(desk, 1) == [200]


async def test_an_answer_may_be_late(desk):
    path = await desk.created()
    desk.sandbox.faults.append(Fault(delay=30.0, call="getTask"))
    asking = asyncio.ensure_future(desk.say("GET", path))
    assert await statuses(desk, 3) == [200] * 3
    await desk.sandbox.advance(29)
    assert not asking.done()

    await desk.sandbox.advance(2)

    assert (await asking).status == 200


async def test_an_error_may_be_late(desk):
    desk.sandbox.faults.append(Fault(delay=30.0, status=504))
    asking = asyncio.ensure_future(desk.say("GET", TASKS))
    while len(desk.sandbox.faults):
        await turns(1)
    assert await statuses(desk, 1) == [200]
    await desk.sandbox.advance(31)

    assert (await asking).status == 504


async def test_a_token_may_come_late(desk):
    desk.sandbox.faults.append(Fault(call="token", delay=30.0))
    asking = asyncio.ensure_future(desk.sign_in())
    while desk.sandbox.faults:
        await turns(1)
    await desk.sandbox.advance(31)

    assert (await asking).status == 200


@pytest.mark.parametrize("status", [400, 401, 429, 500])
async def test_a_token_may_be_refused_in_the_manner_of_its_endpoint(desk, status):
    desk.sandbox.faults.append(Fault(call="token", status=status, code="invalid_scope", details="not today"))

    got = await desk.sign_in()

    assert got.status == status
    body = json.loads(got.body)
    assert (body["error"], body["error_description"]) == ("invalid_scope", "not today")


# --- carried out, or not ---------------------------------------------------------------------------------------------

WITHOUT = {
    "reset": Fault(call="createTask", reset=0),
    "cut": Fault(call="createTask", cut=0),
    "cut in the middle": Fault(call="createTask", cut=10),
    "reset in the middle": Fault(call="createTask", reset=10),
    "body": Fault(call="createTask", body=b"<html>"),
    "headers": Fault(call="createTask", headers={"Content-Length": "5"}),
    "retry after": Fault(call="createTask", retry_after=5),
}


async def survive(asking):
    try:
        return (await asking).status
    except aiohttp.ClientError:
        return None


@pytest.mark.parametrize("name", WITHOUT)
async def test_without_a_status_the_call_was_carried_out_whatever_is_heard(desk, name):
    desk.sandbox.faults.append(WITHOUT[name])

    await survive(CALLS["createTask"](desk, ""))

    assert len(await tasks(desk)) == 1
    assert desk.sandbox.faults == []


@pytest.mark.parametrize(
    "fault",
    [
        *({"status": 500}, {"status": 201}, {"status": 201, "body": b'{"id": "x"}'}, {"status": 500, "reset": 0}),
        *({"status": 503, "cut": 5}, {"status": 429, "retry_after": 5}),
    ],
    ids=str,
)
async def test_with_a_status_the_call_was_not_carried_out(desk, fault):
    desk.sandbox.faults.append(Fault(call="createTask", **fault))

    await survive(CALLS["createTask"](desk, ""))

    assert await tasks(desk) == []
    assert desk.sandbox.faults == []


@pytest.mark.parametrize(("fault", "status"), [({"reset": 0}, "CANCELED"), ({"status": 500}, "RECEIVED")], ids=str)
async def test_so_it_is_with_canceling(slow, fault, status):
    path = await slow.created()
    slow.sandbox.faults.append(Fault(call="cancelTask", **fault))

    await survive(CALLS["cancelTask"](slow, path))

    assert (await slow.get(path))[1]["status"] == status


async def test_a_late_call_is_carried_out_once(desk):
    desk.sandbox.faults.append(Fault(call="createTask", delay=30.0))
    asking = asyncio.ensure_future(desk.create())
    while desk.sandbox.faults:
        await turns(1)
    await desk.sandbox.advance(60)
    status, task = await asking

    assert status == 201
    assert [one["id"] for one in await tasks(desk)] == [task["id"]]


async def test_a_client_that_does_not_wait_for_a_late_answer_harms_nothing():
    before = asyncio.all_tasks()
    async with open_desk(Scenario(faults=[Fault(delay=30.0)]), speed=0) as desk:
        asking = asyncio.ensure_future(desk.say("GET", TASKS))
        while desk.sandbox.faults:
            await turns(1)
        asking.cancel()
        await asyncio.wait([asking])
        await desk.http.close()
        while asyncio.all_tasks() - before:
            await turns(1)
        await desk.sandbox.advance(60)
        assert await is_well(desk.sandbox)


async def is_well(sandbox):
    async with sandbox.client() as client:
        return len(await client.contracts.list()) == 1


# --- broken off ------------------------------------------------------------------------------------------------------


async def raw(desk, path):
    """A connection on which this was asked."""
    line = Line(f"{desk.sandbox.base_url}{path}")
    await line.ask(**desk.headers)
    return line


async def whole(desk):
    for number in range(8):
        await desk.created(reference=str(number))
    return (await desk.say("GET", TASKS)).body


@pytest.mark.parametrize("kind", ["cut", "reset"])
@pytest.mark.parametrize("count", [0, 1, 100, 1000])
async def test_an_answer_is_broken_off_after_so_many_bytes(desk, kind, count):
    body = await whole(desk)
    desk.sandbox.faults.append(Fault(**{kind: count}))
    line = await raw(desk, TASKS)

    head, received, end = await line.receive_all()
    line.socket.close()

    assert head.startswith("http/1.1 200 ")
    assert f"content-length: {len(body)}\r\n" in head
    assert received == body[:count]
    assert end == ("closed" if kind == "cut" else "reset")


@pytest.mark.parametrize("count", [0, 100])
async def test_an_answer_stalls_after_so_many_bytes(desk, count):
    body = await whole(desk)
    desk.sandbox.faults.append(Fault(stall=count))
    line = await raw(desk, TASKS)

    received = await line.receive(count)

    assert received == body[:count]
    assert await line.is_silent()
    assert await statuses(desk, 1) == [200]
    line.socket.close()


async def test_an_error_may_be_broken_off_too(desk):
    desk.sandbox.faults.append(Fault(status=503, cut=5, retry_after=9))
    line = await raw(desk, TASKS)

    head, received, end = await line.receive_all()
    line.socket.close()

    assert head.startswith("http/1.1 503 ")
    assert "retry-after: 9\r\n" in head
    assert (len(received), end) == (5, "closed")


async def test_an_answer_that_is_shorter_is_whole(desk):
    desk.sandbox.faults += [Fault(cut=100_000), Fault(reset=100_000)]

    assert [json.loads((await desk.say("GET", TASKS)).body) for _ in range(2)] == [{"data": []}] * 2


async def test_a_sandbox_with_stalled_answers_closes():
    before = asyncio.all_tasks()
    async with open_desk(Scenario(faults=[Fault(stall=1, times=math.inf)]), speed=0) as desk:
        lines = [await raw(desk, TASKS) for _ in range(3)]
        for line in lines:
            await line.receive(1)
    await turns(5)

    assert not asyncio.all_tasks() - before
    for line in lines:
        line.socket.close()


# --- faults that make no sense ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        *(
            {"times": 0},
            {"times": -1},
            {"times": 1.5},
            {"times": True},
            {"times": math.nan},
            {"skip": -1},
            {"skip": 0.5},
        ),
        *({"share": 0.0}, {"share": 1.5}, {"share": -0.1}, {"share": math.nan}, {"after": -1.0}, {"until": -1.0}),
        *({"after": 5.0, "until": 5.0}, {"after": math.nan}, {"delay": -1.0}, {"delay": math.inf}, {"cut": -1}),
        *(
            {"cut": 1, "reset": 1},
            {"stall": 0, "cut": 0},
            {"cut": 1.5},
            {"status": 99},
            {"status": 100},
        ),
        *(
            {"status": "500"},
            {"status": True},
            {"headers": {"A": 5}},
            {"headers": {"A B": "c"}},
            {"headers": {"A": "b\n"}},
        ),
        *({"body": 5}, {"status": 429, "call": "getTasks"}, {"call": None}, {"reference": None}, {"reference": 5}),
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", [Fault, LinkFault], ids=["fault", "link fault"])
def test_a_fault_that_makes_no_sense_cannot_be_made(kind, wrong):
    with pytest.raises((ValueError, TypeError)):
        kind(**wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        *({"retry_after": -1}, {"retry_after": math.nan}, {"retry_after": math.inf}, {"retry_after": True}),
        *({"retry_after": "a\nb"}, {"code": 5}, {"details": 5}, {"code": "x"}, {"details": "x"}),
    ],
    ids=str,
)
def test_so_it_is_with_what_only_the_api_has(wrong):
    """A code or details without a status would be in no body."""
    with pytest.raises((ValueError, TypeError)):
        Fault(**wrong)


# --- the link host ---------------------------------------------------------------------------------------------------


async def link_statuses(desk, link, count):
    return [(await desk.fetch(link, "HEAD")).status for _ in range(count)]


async def test_a_link_fault_without_end_stays(desk):
    link = (await desk.links())["grd-tif"]
    desk.link_faults.append(LinkFault(times=math.inf, status=503))

    assert await link_statuses(desk, link, 20) == [503] * 20
    assert desk.link_faults == [LinkFault(times=math.inf, status=503)]


async def test_a_link_fault_has_its_time(desk):
    link = (await desk.links())["grd-tif"]
    desk.link_faults.append(LinkFault(after=10.0, until=20.0, times=math.inf, status=503))

    found = []
    for step in (0.0, 9.9, 0.2, 9.8, 0.2):
        await desk.sandbox.advance(step)
        found += await link_statuses(desk, link, 1)

    assert found == [200, 200, 503, 503, 200]


async def test_a_share_of_the_downloads_suffers(desk):
    link = (await desk.links())["grd-tif"]
    desk.link_faults.append(LinkFault(share=0.5, times=math.inf, status=503))

    found = await link_statuses(desk, link, 200)

    assert 60 < found.count(503) < 140


async def test_a_download_may_be_late(desk):
    link = (await desk.links())["grd-tif"]
    desk.link_faults.append(LinkFault(delay=30.0))
    asking = asyncio.ensure_future(desk.fetch(link))
    while desk.link_faults:
        await turns(1)
    assert await link_statuses(desk, link, 1) == [200]
    await desk.sandbox.advance(29)
    assert not asking.done()
    await desk.sandbox.advance(2)

    assert (await asking).status == 200


# --- the client ------------------------------------------------------------------------------------------------------


class Told(list):
    """The requests of a client, each with the time in the sandbox at which it was answered."""

    def __init__(self, sandbox):
        super().__init__()
        self.sandbox = sandbox

    def __call__(self, event):
        if isinstance(event, Requested):
            self.append((self.sandbox.clock.now() - self.begun, event.path.rpartition("/")[2], event.status))

    def of(self, tail):
        return [(at, status) for at, path, status in self if path == tail]


class Lived:
    """A client of a sandbox in which time stands still while anything happens."""

    def __init__(self, sandbox, client, told):
        self.sandbox, self.client, self.told = sandbox, client, told

    async def order(self, **changes):
        opens = self.sandbox.clock.utc()
        asked = {
            "contract_id": self.sandbox.contract_id,
            "imaging_mode": "SPOTLIGHT",
            "point_of_interest": (60.2, 24.9),
            "acquisition_window": (opens, opens + timedelta(hours=24)),
            "product_types": ["GRD"],
            "derivative_product_types": ["DC_VESSELS"],
        }
        return await self.client.tasks.create(**(asked | changes))

    async def listed(self):
        return len(await self.client.tasks.list())


@pytest.fixture
async def live():
    """A client whose requests are told with their times. Begin as many of them as needed, with the faults of each."""
    async with contextlib.AsyncExitStack() as stack:

        async def begin(*faults, client=None, **scenario):
            sandbox = Sandbox(Scenario(**{"seed": 11, "faults": faults, **scenario}), speed=math.inf)
            told = Told(sandbox)
            await stack.enter_async_context(sandbox)
            told.begun = sandbox.clock.now()
            opened = sandbox.client(on_event=told, **(client or {}))
            return Lived(sandbox, await stack.enter_async_context(opened), told)

        yield begin


async def test_after_429_with_a_time_the_client_waits_just_long_enough_and_goes_on(live):
    lived = await live(Fault(call="listTaskDerivatives", status=429, retry_after=900, times=3))
    task = await lived.order()

    found = await lived.client.await_derivatives(task.id)

    looks = lived.told.of("derivatives")
    assert [status for _, status in looks][:3] == [429] * 3
    assert looks[-1][1] == 200
    for (before, status), (after, _) in itertools.pairwise(looks):
        assert status != 429 or after - before >= 900
    assert found.final


async def test_nobody_asks_before_the_time_that_a_429_told(live):
    """One 429 is felt by all calls of the client, also where it tells a date."""
    until = 2 * HOUR
    lived = await live(Fault(call="listContracts", status=429, retry_after="Thu, 01 Jan 2026 02:00:00 GMT"))
    retrying = asyncio.ensure_future(lived.client.contracts.list())
    while not lived.told.of("contracts"):
        await turns(1)

    outcome, _ = await asyncio.gather(retrying, lived.client.tasks.list(), return_exceptions=True)

    asked = [at for at, path, _ in lived.told if path in {"contracts", "tasks"}]
    assert [at for at in asked[1:] if at < until] == []
    assert isinstance(outcome, RateLimited | list | tuple)


async def test_a_single_call_is_tried_again_after_429(live):
    lived = await live(Fault(call="getTask", status=429, retry_after=30, times=2))
    task = await lived.order()

    assert (await lived.client.tasks.get(task.id)).id == task.id
    times = [at for at, status in lived.told.of(task.id)]
    assert [after - before >= 30 for before, after in itertools.pairwise(times)] == [True, True]


async def test_an_outage_of_ten_minutes_costs_a_wait_no_more_than_that(live):
    begins, ends = 40 * MINUTE, 50 * MINUTE
    outage = Fault(status=503, times=math.inf, after=begins, until=ends)
    lived, calm = await live(outage), await live()
    costs = []
    for one in (lived, calm):
        task = await one.order()
        assert (await one.client.await_derivatives(task.id)).final
        costs.append(len(one.told))

    failed = [at for at, _, status in lived.told if status == 503]
    assert failed
    assert all(begins <= at < ends for at in failed)
    assert [at for at, _, status in lived.told if status != 503 and begins <= at < ends] == []
    assert costs[0] <= costs[1] + 40


async def test_an_outage_of_the_token_endpoint_is_outlasted(live):
    lived = await live(Fault(call="token", status=503, times=2), Fault(call="token", reset=0, skip=2))

    assert await lived.listed() == 0
    assert [status for _, status in lived.told.of("token")][:2] == [503, 503]


@pytest.mark.parametrize(
    ("fault", "error", "attempts"),
    [
        ({"status": 503, "times": math.inf}, ServerError, 1),
        ({"status": 400, "code": "ERR_X", "details": "why"}, BadRequest, 1),
        ({"status": 403}, Forbidden, 1),
        ({"status": 302, "headers": {"Location": "https://elsewhere.example/"}}, ApiError, 1),
        ({"status": 401, "times": 2}, Unauthorized, 2),
    ],
    ids=str,
)
async def test_what_was_not_booked_is_told_and_not_booked(live, fault, error, attempts):
    lived = await live(Fault(call="createTask", **fault))

    with pytest.raises(error) as caught:
        await lived.order()

    assert caught.value.status == fault["status"]
    assert caught.value.code == fault.get("code", caught.value.code)
    assert len([path for _, path, _ in lived.told if path == "tasks"]) == attempts
    lived.sandbox.faults.clear()
    assert await lived.listed() == 0


@pytest.mark.parametrize("fault", [{"status": 429, "retry_after": 20}, {"status": 401}], ids=str)
async def test_what_was_certainly_not_booked_is_booked_by_another_try(live, fault):
    lived = await live(Fault(call="createTask", **fault))

    await lived.order()

    assert await lived.listed() == 1


@pytest.mark.parametrize("fault", [{"reset": 0}, {"cut": 0}, {"cut": 20}, {"reset": 20}], ids=str)
async def test_what_may_have_been_booked_is_not_booked_twice(live, fault):
    lived = await live(Fault(call="createTask", **fault))

    with pytest.raises(TransportError):
        await lived.order()

    assert await lived.listed() == 1


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 500},
        {"body": b"<html>login</html>", "headers": {"Content-Type": "text/html"}},
        {"body": b""},
        {"cut": 3},
        {"reset": 0},
        {"status": 502, "body": "<html>bad gateway</html>"},
        {"status": 401},
        {"delay": 40.0},
    ],
    ids=str,
)
@pytest.mark.parametrize("call", ["listTaskDerivatives", "getTask"])
async def test_what_befalls_a_look_does_not_end_a_wait(live, call, fault):
    lived = await live(Fault(call=call, skip=2, times=2 if fault != {"status": 401} else 1, **fault))
    task = await lived.order()

    found = await lived.client.await_derivatives(task.id)

    assert found.final
    assert found.ready == {"DC_VESSELS"}


async def test_a_time_to_come_again_beyond_the_deadline_ends_the_wait_at_once(live):
    lived = await live(Fault(call="listTaskDerivatives", status=429, retry_after=7200, times=math.inf))
    task = await lived.order()
    begun = lived.sandbox.clock.now()

    with pytest.raises(PollTimeout) as caught:
        await lived.client.await_derivatives(task.id, poll=PollPolicy(timeout=3600))

    assert isinstance(caught.value.__cause__, RateLimited)
    assert lived.sandbox.clock.now() - begun < 3600


async def test_an_answer_that_never_comes_is_a_transport_error(live):
    lived = await live(Fault(call="listContracts", stall=0), client={"timeout": 0.05, "retry": RetryPolicy(tries=1)})
    await lived.listed()

    with pytest.raises(TransportError):
        await lived.client.contracts.list()

    assert len(await lived.client.contracts.list()) == 1


async def test_the_faults_of_one_task_do_not_touch_another(live):
    lived = await live(
        Fault(reference="bad-*", call="listTaskDerivatives", status=403, times=math.inf),
        courses={"ugly-*": {"ends": "FAILED"}},
    )
    bad, good = await lived.order(reference="bad-1"), await lived.order(reference="good-1")

    refused, found = await asyncio.gather(
        *(lived.client.await_derivatives(task.id) for task in (bad, good)), return_exceptions=True
    )

    assert isinstance(refused, Forbidden)
    assert found.final


async def test_a_download_outlasts_what_befalls_it(live, tmp_path):
    faults = [LinkFault(status=503, times=2), LinkFault(cut=1000), LinkFault(reset=5000), LinkFault(delay=20.0)]
    lived = await live(**AT_ONCE, link_faults=faults, sizes={"grd-tif": 100_000})
    task = await lived.order()
    product = (await lived.client.products.list(task.id))[0]

    await lived.client.download(product, to=tmp_path, assets=["grd-tif"])

    [path] = [path for path in tmp_path.iterdir() if path.suffix == ".tif"]
    assert path.stat().st_size == 100_000
    assert lived.sandbox.link_faults == []
    assert [one.status for one in lived.sandbox.link_requests][:2] == [503, 503]


async def test_faults_may_begin_while_a_client_waits(live):
    lived = await live()
    task = await lived.order()
    seen = []
    async for update in (wait := lived.client.await_derivatives(task.id)):
        seen.append(update)
        lived.sandbox.faults.append(Fault(status=503, times=3))

    assert (await wait).final
    assert seen
    assert [status for _, _, status in lived.told].count(503) == 3 * (len(seen) - 1)


# --- what the call itself is answered with an error ------------------------------------------------------------------

EFFECTS = {
    "header": (Fault(headers={"X-A": "b"}), lambda got: got.headers.get("X-A") == "b"),
    "body": (Fault(body="junk"), lambda got: got.body == b"junk"),
    "retry after": (Fault(retry_after=7), lambda got: got.headers.get("Retry-After") == "7"),
}
BROKEN = {"cut": Fault(cut=3), "reset": Fault(reset=3)}


@pytest.mark.parametrize("effect", EFFECTS)
async def test_an_error_of_the_service_itself_is_befallen_too(desk, effect):
    """A 404 is the most frequent answer of derivatives."""
    fault, suffered = EFFECTS[effect]
    desk.sandbox.faults.append(fault)

    got = await desk.say("GET", f"{TASKS}/{NOBODY}/derivatives")

    assert got.status == 404
    assert suffered(got)


@pytest.mark.parametrize("effect", BROKEN)
async def test_an_error_of_the_service_itself_may_break_off_too(desk, effect):
    desk.sandbox.faults.append(BROKEN[effect])

    with pytest.raises(aiohttp.ClientError):
        await desk.say("GET", f"{TASKS}/{NOBODY}")


async def test_closing_does_not_wait_for_a_late_answer(monkeypatch):
    """Neither for the API's nor for the link host's, which never come: time stands still."""
    monkeypatch.setattr("iceye_async.sandbox.server._GRACE", 50.0)
    scenario = Scenario(**AT_ONCE, faults=[Fault(call="getTask", delay=5.0)], link_faults=[LinkFault(delay=5.0)])
    async with open_desk(scenario, {"productTypes": ["GRD"]}, speed=0) as desk:
        path = await desk.created()
        link = (await desk.products(path))[0]["grd-xml"]
        asking = [asyncio.ensure_future(desk.say("GET", path)), asyncio.ensure_future(desk.fetch(link))]
        while desk.sandbox.faults or desk.sandbox.link_faults:
            await turns(1)
        async with asyncio.timeout(20):
            await desk.sandbox.__aexit__()
        ended = await asyncio.gather(*asking, return_exceptions=True)

    assert all(isinstance(end, aiohttp.ClientError) for end in ended)
