"""Closing a client ends whatever waits in it: at once, and with an error that says so."""

import asyncio
import contextlib
import gc
import logging
import warnings

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from iceye_async import Client, Derivative, DerivativeAsset, RateLimited, StateError, Token

TASK = "/api/tasking/v2/tasks/t1"
LOOK = f"{TASK}/derivatives"
NONE_YET = (200, {}, b'{"data": []}')
SOME = (206, {}, b'{"data": []}')


class StandingClock:
    """Who sleeps here sleeps for ever, once `asleep` is set."""

    def __init__(self):
        self.time = 1000.0
        self.asleep = asyncio.Event()

    def now(self):
        return self.time

    async def sleep(self, seconds):
        self.asleep.set()
        await asyncio.Event().wait()


@pytest.fixture
def standing():
    return StandingClock()


async def closed_while_asleep(client, standing, awaitable):
    """The error with which the awaitable ends when the client is closed while it sleeps."""

    async def drive():
        return await awaitable

    task = asyncio.create_task(drive())
    await standing.asleep.wait()
    await client.close()
    with pytest.raises(StateError, match="closed") as caught:
        async with asyncio.timeout(5):
            await task
    assert task.cancelling() == 0
    return caught.value


async def test_a_wait_between_two_looks_ends(connect, service, standing):
    service.answers(LOOK, SOME)
    client = connect(clock=standing)
    wait = client.await_derivatives("t1")

    await closed_while_asleep(client, standing, wait)

    assert wait.latest is not None


@pytest.mark.parametrize("answer", [(503, {}, b""), (429, {"Retry-After": "60"}, b"")], ids=["repeat", "throttled"])
async def test_a_call_that_waits_to_be_repeated_ends(connect, service, standing, answer):
    service.answers(LOOK, answer)
    client = connect(clock=standing)

    await closed_while_asleep(client, standing, client.derivatives.get("t1"))


async def test_calls_that_wait_for_their_turn_end(connect, service, standing):
    service.answers(LOOK, NONE_YET)
    client = connect(clock=standing, rate_limit=1, in_flight=2)
    await client.derivatives.get("t1")
    calls = [asyncio.create_task(client.derivatives.get("t1")) for _ in range(20)]
    await standing.asleep.wait()

    await client.close()

    async with asyncio.timeout(5):
        ends = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(end) for end in ends} == {StateError}
    assert len(service.requests) == 1


async def test_a_call_that_waits_for_another_to_finish_ends(connect, service):
    arrived = asyncio.Event()

    async def hang(request):
        arrived.set()
        await asyncio.Event().wait()

    service.answers(LOOK, hang)
    client = connect(in_flight=1)
    calls = [asyncio.create_task(client.derivatives.get("t1")) for _ in range(3)]
    await arrived.wait()

    await client.close()

    async with asyncio.timeout(5):
        ends = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(end) for end in ends} == {StateError}


@pytest.mark.parametrize("borrowed", [False, True], ids=["own", "borrowed"])
async def test_a_download_ends_and_leaves_nothing_behind(connect, other, tmp_path, borrowed):
    async def some_of_it(request):
        response = web.StreamResponse(headers={"Content-Length": "2000000"})
        await response.prepare(request)
        await response.write(b"x" * 1000)
        await asyncio.Event().wait()

    other.answers("/file", some_of_it)
    found = Derivative(
        id="d", type="V", task_id="t1", assets=(DerivativeAsset(href=f"{other.url}/file?Signature=c4n4ry"),)
    )
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as links:
        client = connect(link_http=links if borrowed else None)
        download = client.download(found, tmp_path)
        await anext(download)
        step = asyncio.create_task(download)
        await asyncio.sleep(0)

        await client.close()

        with pytest.raises(StateError, match="closed"):
            async with asyncio.timeout(5):
                await step
    assert not [path for path in tmp_path.iterdir() if not path.name.startswith(".iceye-async")]


@pytest.mark.parametrize("borrowed", [False, True], ids=["own", "borrowed"])
async def test_a_download_between_two_steps_is_let_go_of(connect, other, tmp_path, borrowed):
    other.answers("/file", (200, {}, b"x" * 5_000_000))
    found = Derivative(id="d", type="V", task_id="t1", assets=(DerivativeAsset(href=f"{other.url}/file"),))
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as links:
        client = connect(link_http=links if borrowed else None)
        download = client.download(found, tmp_path)
        await anext(download)
        await anext(download)

        await client.close()

        assert not list(tmp_path.glob(".*.part"))
        async with asyncio.timeout(5):
            while other.open:  # noqa: ASYNC110 - the server tells nobody
                await asyncio.sleep(0)
        with pytest.raises(StateError, match="closed"):
            await download


async def test_a_closing_that_is_cancelled_wakes_the_waits_all_the_same(connect, service, standing):
    class Slow:
        """Gives one token at once, and is in no hurry to give up the second."""

        async def token(self, stale):
            if stale is None:
                return Token("c4n4ry")
            try:
                await asyncio.Event().wait()
            finally:
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.sleep(0.2)

    service.answers(LOOK, SOME)
    service.answers(TASK, (401, {}, b""))
    client = connect(auth=Slow(), clock=standing)
    wait = asyncio.ensure_future(client.await_derivatives("t1"))
    await standing.asleep.wait()
    refused = asyncio.create_task(client.tasks.get("t1"))
    while not service.asked(TASK):  # noqa: ASYNC110 - the server tells nobody
        await asyncio.sleep(0)
    await asyncio.sleep(0.01)
    closing = asyncio.create_task(client.close())
    await asyncio.sleep(0)

    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing

    for call in (wait, refused):
        with pytest.raises(StateError, match="closed"):
            async with asyncio.timeout(5):
                await call
    await asyncio.sleep(0.25)


async def test_whoever_cancels_while_the_client_is_closed_gets_the_cancellation(connect, service, standing):
    service.answers(LOOK, SOME)
    client = connect(clock=standing)
    task = asyncio.create_task(anext(client.await_derivatives("t1")))
    await task
    wait = client.await_derivatives("t1")
    task = asyncio.ensure_future(wait)
    await standing.asleep.wait()

    task.cancel()
    await client.close()

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_long_pause_fails_single_calls_also_behind_waits_that_sit_it_out(connect, service, standing):
    """Waits hold every place in the queue for an hour; a call that would wait two minutes at most is told at once."""
    service.answers(LOOK, (429, {"Retry-After": "3600"}, b""))
    service.answers(f"{TASK}", NONE_YET)
    client = connect(clock=standing, in_flight=1)
    first, second = (asyncio.ensure_future(client.await_derivatives("t1")) for _ in range(2))
    queued = asyncio.create_task(client.tasks.get("t1"))
    await standing.asleep.wait()

    for call in (queued, client.tasks.get("t1")):
        with pytest.raises(RateLimited) as caught:
            async with asyncio.timeout(5):
                await call
        assert caught.value.retry_after == 3600

    assert not first.done()
    assert not second.done()
    for wait in (first, second):
        wait.cancel()
    await asyncio.gather(first, second, return_exceptions=True)


def test_a_forgotten_client_says_so_once_and_nobody_else_does(caplog):
    async def answer(request):
        return web.json_response({"data": []})

    async def forget():
        app = web.Application()
        app.router.add_get(LOOK, answer)
        async with TestServer(app) as server:
            client = Client(str(server.make_url("")), auth="c4n4ry-token")
            await client.derivatives.get("t1")
            del client
            gc.collect()

    with warnings.catch_warnings(record=True) as caught, caplog.at_level(logging.WARNING):
        warnings.simplefilter("always")
        asyncio.run(forget())
        gc.collect()

    assert [warning.category for warning in caught] == [ResourceWarning]
    assert "use `async with Client(...)` or `await client.close()`" in str(caught[0].message)
    assert not caplog.records
