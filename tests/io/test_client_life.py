"""From opening to closing: one event loop, closed once for all, never copied, and missed when forgotten."""

import asyncio
import copy
import gc
import pickle

import aiohttp
import pytest
from aioresponses import aioresponses

from iceye_async import Client, ClientCredentials, Derivative, DerivativeAsset, StateError, Token, UsageError

TASK = "/api/tasking/v2/tasks/t1"
LOOK = f"{TASK}/derivatives"
NONE_YET = (200, {}, b'{"data": []}')
FOUND = Derivative(id="d", type="DC_VESSELS", task_id="t1", assets=(DerivativeAsset(href="https://l.example/a"),))

CALLS = {
    "derivatives.get": lambda client: client.derivatives.get("t1"),
    "tasks.get": lambda client: client.tasks.get("t1"),
    "products.list": lambda client: client.products.list("t1"),
    "await_derivatives": lambda client: client.await_derivatives("t1"),
    "download": lambda client: client.download(FOUND, "nowhere"),
}


async def test_close_may_be_called_any_number_of_times(connect, service):
    service.answers(LOOK, NONE_YET)
    client = connect()
    await client.derivatives.get("t1")

    await client.close()
    await client.close()


async def test_a_client_that_was_never_used_can_be_closed():
    await Client(auth="c4n4ry-token").close()


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
async def test_a_closed_client_refuses_every_call(connect, service, call):
    client = connect()
    await client.close()

    with pytest.raises(StateError, match="closed"):
        await call(client)

    assert not service.requests


@pytest.mark.parametrize("name", ["products.list", "await_derivatives", "download"])
async def test_a_closed_client_refuses_at_the_call_itself(connect, name):
    client = connect()
    await client.close()

    with pytest.raises(StateError, match="closed"):
        CALLS[name](client)


async def test_a_closed_client_is_not_opened_again(connect):
    client = connect()
    await client.close()

    with pytest.raises(StateError, match="closed"):
        async with client:
            pass


async def test_what_was_begun_before_the_close_cannot_go_on_after_it(connect, service):
    service.answers(LOOK, (206, {}, b'{"data": []}'))
    service.answers(f"{TASK}/products", (200, {}, b'{"data": [], "cursor": "more"}'))
    client = connect()
    waiting, listing = client.await_derivatives("t1"), client.products.list("t1")
    await anext(waiting)
    asked = len(service.requests)

    await client.close()

    for pending in (waiting, listing):
        with pytest.raises(StateError, match="closed"):
            await pending
    assert len(service.requests) == asked


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_another_event_loop_is_refused(call):
    client = Client("https://api.example", auth="c4n4ry-token")

    async def use():
        with aioresponses() as mocked:
            mocked.get(f"https://api.example{LOOK}", body=b'{"data": []}')
            await client.derivatives.get("t1")

    async def use_again():
        with pytest.raises(StateError, match="event loop"):
            await call(client)

    asyncio.run(use())
    asyncio.run(use_again())
    asyncio.run(client.close())


@pytest.mark.parametrize("what", ["answer", "token"])
async def test_closing_ends_a_call_under_way_with_a_state_error(connect, service, what):
    arrived = asyncio.Event()

    async def hang(request):
        arrived.set()
        await asyncio.Event().wait()

    service.answers(LOOK, hang if what == "answer" else NONE_YET)
    service.answers("/token", hang)
    auth = "c4n4ry-token" if what == "answer" else ClientCredentials(f"{service.url}/token", "id", "secret")
    client = connect(auth=auth)
    call = asyncio.create_task(client.derivatives.get("t1"))
    await arrived.wait()

    await client.close()

    with pytest.raises(StateError):
        async with asyncio.timeout(5):
            await call


def test_a_forgotten_client_warns_and_names_the_fix():
    async def forget():
        # The HTTP session is borrowed, so that only the client is forgotten.
        async with aiohttp.ClientSession() as http:
            client = Client("https://api.example", auth="c4n4ry-token", http=http)
            with aioresponses() as mocked:
                mocked.get(f"https://api.example{LOOK}", body=b'{"data": []}')
                await client.derivatives.get("t1")

    def run():
        asyncio.run(forget())
        gc.collect()

    with pytest.warns(ResourceWarning, match=r"was not closed; use `async with"):
        run()


def test_a_client_that_was_never_opened_need_not_be_closed():
    Client("https://api.example", auth="c4n4ry-token")
    gc.collect()


@pytest.mark.parametrize("duplicate", [pickle.dumps, copy.copy, copy.deepcopy], ids=["pickle", "copy", "deepcopy"])
@pytest.mark.parametrize(
    "thing",
    [
        Client("https://api.example", auth="c4n4ry-token"),
        ClientCredentials("https://id.example/token", "an-id", "c4n4ry-secret"),
        Token("c4n4ry-token"),
    ],
    ids=lambda thing: type(thing).__name__,
)
def test_what_holds_a_secret_is_not_pickled_or_copied(thing, duplicate):
    with pytest.raises(UsageError) as caught:
        duplicate(thing)

    assert "c4n4ry-token" not in str(caught.value)
    assert "c4n4ry-secret" not in str(caught.value)


@pytest.mark.parametrize(
    "option",
    [
        {"timeout": 0},
        {"timeout": float("nan")},
        {"timeout": None},
        {"in_flight": 0},
        {"in_flight": 1.5},
        {"rate_limit": 0},
        {"rate_limit": -1},
        {"rate_limit": float("inf")},
        {"proxy": "proxy.example:3128"},
        {"proxy": "socks5://proxy.example"},
    ],
    ids=str,
)
def test_an_option_that_makes_no_sense_is_refused(option):
    with pytest.raises(UsageError):
        Client("https://api.example", auth="c4n4ry-token", **option)
