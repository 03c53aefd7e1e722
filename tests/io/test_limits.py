"""How fast a client asks: its rate, how many requests are under way, and what a 429 does to all of them."""

import asyncio

import pytest
from aiohttp import web

from iceye_async import RateLimited, RetryPolicy
from iceye_async.limits import RateLimit

TASKS = "/api/tasking/v2/tasks"
LOOK = f"{TASKS}/t1/derivatives"
NONE_YET = (200, {}, b'{"data": []}')


async def test_the_rate_limit_holds_for_all_callers_together(connect, service, clock):
    service.answers(LOOK, NONE_YET)
    client = connect(rate_limit=5)
    start = clock.now()

    await asyncio.gather(*(client.derivatives.get("t1") for _ in range(40)))

    # A second's worth may go out at once; after that it is an even five a second. (The clock may move while a request
    # is on its way, so a request is never heard before it was sent, and maybe after.)
    sent = sorted(heard.at - start for heard in service.requests)
    assert len(sent) == 40
    assert all(at >= (number - 5) / 5 for number, at in enumerate(sent))


async def test_no_rate_limit_means_no_waiting(connect, service, clock):
    service.answers(LOOK, NONE_YET)
    client = connect(rate_limit=None)

    await asyncio.gather(*(client.derivatives.get("t1") for _ in range(40)))

    assert not clock.waits


async def test_no_more_requests_are_under_way_than_allowed(connect, service):
    under_way, most = 0, 0

    async def answer(request):
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        for _ in range(20):
            await asyncio.sleep(0)
        under_way -= 1
        return web.json_response({"data": []})

    service.answers(LOOK, answer)
    client = connect(in_flight=3)

    await asyncio.gather(*(client.derivatives.get("t1") for _ in range(30)))

    assert most == 3
    assert len(service.requests) == 30


async def test_a_cancelled_call_gives_its_place_to_the_next(connect, service):
    arrived = asyncio.Event()

    async def hang(request):
        arrived.set()
        await asyncio.Event().wait()

    service.answers(LOOK, hang)
    service.answers(f"{TASKS}/t2/derivatives", NONE_YET)
    client = connect(in_flight=1)
    stuck = asyncio.create_task(client.derivatives.get("t1"))
    next_one = asyncio.create_task(client.derivatives.get("t2"))
    await arrived.wait()

    stuck.cancel()

    assert (await next_one).final


async def test_a_429_for_one_caller_holds_back_the_others(connect, service):
    service.answers(LOOK, (429, {"Retry-After": "30"}, b""))
    service.answers(f"{TASKS}/t2/derivatives", NONE_YET)
    client = connect(retry=RetryPolicy(tries=1))
    with pytest.raises(RateLimited):
        await client.derivatives.get("t1")

    await client.derivatives.get("t2")

    refused, asked = service.requests
    assert asked.at - refused.at >= 30


async def test_a_429_holds_back_calls_that_were_already_in_line(connect, service):
    service.answers(LOOK, (429, {"Retry-After": "30"}, b""), NONE_YET)
    client = connect(in_flight=1)

    await asyncio.gather(*(client.derivatives.get("t1") for _ in range(5)))

    refused, *rest = service.requests
    assert len(rest) == 5
    assert all(heard.at - refused.at >= 30 for heard in rest)


async def test_a_429_without_a_hint_holds_the_others_back_too(connect, service):
    service.answers(LOOK, (429, {}, b""))
    service.answers(f"{TASKS}/t2/derivatives", NONE_YET)
    client = connect(retry=RetryPolicy(tries=1, first=4.0))
    with pytest.raises(RateLimited):
        await client.derivatives.get("t1")

    await client.derivatives.get("t2")

    refused, asked = service.requests
    assert asked.at - refused.at >= 4


async def test_while_the_service_wants_hours_of_quiet_a_call_says_so_without_a_request(connect, service):
    service.answers(LOOK, (429, {"Retry-After": "3600"}, b""))
    client = connect()
    with pytest.raises(RateLimited):
        await client.derivatives.get("t1")

    with pytest.raises(RateLimited) as caught:
        await client.derivatives.get("t2")

    assert caught.value.retry_after == pytest.approx(3600)
    assert len(service.requests) == 1


async def test_who_already_waits_hears_of_a_long_pause_and_does_not_wait_for_its_end(connect, service, clock):
    """Six callers queue; one hears that everybody is to stay away for ten minutes, and nobody hangs for them."""
    service.answers(LOOK, (429, {"Retry-After": "600"}, b""))
    client = connect(rate_limit=2, in_flight=1, retry=RetryPolicy(tries=1))

    found = await asyncio.gather(*(client.derivatives.get("t1") for _ in range(6)), return_exceptions=True)

    assert all(isinstance(error, RateLimited) and error.retry_after > 500 for error in found)
    assert len(service.requests) < 6
    assert sum(clock.waits) < 600


async def test_a_pause_that_begins_while_somebody_waits_for_his_turn_holds_for_him_too(clock):
    limit = RateLimit(1.0, clock)
    await limit.turn(600)
    real = clock.sleep

    async def sleep(seconds):
        clock.sleep = real
        limit.pause(60)
        await real(seconds)

    clock.sleep = sleep

    assert await limit.turn(600)
    assert clock.now() >= 1060
