"""Each public call is cancelled at each of its await points, once and once more while it cleans up.

`CancelledError` comes out, nothing stays open, and what was called can be used again.
"""

import asyncio
import itertools
import json
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import web

from iceye_async import Client, ClientCredentials, Derivative, DerivativeAsset, StateError, TaskRequest

TASK = "/api/tasking/v2/tasks/t1"
LOOK = f"{TASK}/derivatives"
BODY = b"0123456789" * 300_000
WINDOW = (datetime.now(UTC), datetime.now(UTC) + timedelta(days=1))


class Counted:
    """Runs an awaitable in a task of its own, which is cancelled at the nth time that it suspends; and maybe again."""

    def __init__(self, awaitable, number, *, again):
        self.awaitable, self.number, self.again = awaitable, number, again

    def __await__(self):
        inner = self.awaitable.__await__()
        resume, value = inner.send, None
        cancelled_at = {self.number, self.number + self.again}
        for number in itertools.count():
            try:
                signal = resume(value)
            except StopIteration as end:
                return end.value
            if number in cancelled_at:
                asyncio.current_task().cancel()
            try:
                resume, value = inner.send, (yield signal)
            except BaseException as error:  # noqa: BLE001 - whatever it is, it goes in
                resume, value = inner.throw, error


async def cancelled_at(number, awaitable, *, again):
    """Whether there was an nth await point to cancel it at. Then `CancelledError` came out."""

    async def run():
        await Counted(awaitable, number, again=again)

    task = asyncio.create_task(run())
    await asyncio.wait([task])
    if not task.cancelled():
        task.result()
    return task.cancelled()


async def whole(pending):
    """What there is at the end of an iteration."""
    return [step async for step in pending]


def asked(client, service, other, folder, clock=None):
    """Every public call, by name. Each is made new for each of its await points."""
    found = Derivative(id="d", type="V", task_id="t1", assets=(DerivativeAsset(href=f"{other.url}/f.json"),))

    async def opened():
        async with Client(service.url, auth="c4n4ry", rate_limit=None, clock=clock) as another:
            await another.tasks.get("t1")

    return {
        "tasks.get": lambda: client.tasks.get("t1"),
        "tasks.create": lambda: client.tasks.create(
            contract_id="c", imaging_mode="SPOTLIGHT", point_of_interest=(0, 0), acquisition_window=WINDOW
        ),
        "tasks.cancel": lambda: client.tasks.cancel("t1"),
        "await tasks.list": lambda: client.tasks.list(),
        "tasks.scene": lambda: client.tasks.scene("t1"),
        "tasks.price": lambda: client.tasks.price(contract_id="c", imaging_mode="SPOTLIGHT", point_of_interest=(0, 0)),
        "tasks.feasibility": lambda: client.tasks.feasibility(
            TaskRequest(contract_id="c", imaging_mode="SCAN", point_of_interest=(0, 0), acquisition_window=WINDOW)
        ),
        "contracts.get": lambda: client.contracts.get("c"),
        "await contracts.list": lambda: client.contracts.list(),
        "derivatives.get": lambda: client.derivatives.get("t1"),
        "await products.list": lambda: client.products.list("t1"),
        "async for products.list": lambda: whole(client.products.list("t1")),
        "await await_task": lambda: client.await_task("t1"),
        "async for await_task": lambda: whole(client.await_task("t1")),
        "await await_products": lambda: client.await_products("t1"),
        "async for await_products": lambda: whole(client.await_products("t1", ["GRD", "SLC"])),
        "await await_derivatives": lambda: client.await_derivatives("t1"),
        "async for await_derivatives": lambda: whole(client.await_derivatives("t1")),
        "await download": lambda: client.download(found, folder),
        "async for download": lambda: whole(client.download(found, folder)),
        "download of a task": lambda: client.download("t1", folder),
        "ClientCredentials.token": lambda: ClientCredentials(f"{service.url}/token", "an-id", "c4n4ry").token(),
        "async with Client": opened,
    }


NAMES = list(asked(None, *[type("Nowhere", (), {"url": ""})] * 2, None))


@pytest.fixture
def task_body():
    window = {"start": "2026-01-01T00:00:00Z", "end": "2026-01-02T00:00:00Z"}
    return json.dumps(
        {
            "id": "t1",
            "contractID": "c",
            "pointOfInterest": {"lat": 0, "lon": 0},
            "acquisitionWindow": window,
            "imagingMode": "SPOTLIGHT",
            "status": "DONE",
            "createdAt": window["start"],
            "updatedAt": window["start"],
        }
    ).encode()


@pytest.fixture
def script(service, other, task_body):
    """Answers that lead each call through all it can go through: a token, a repeat, a pause, pages, a 404."""

    numbers = itertools.count()

    async def token(request):
        return web.json_response({"access_token": f"c4n4ry-{next(numbers)}", "expires_in": 3600})

    def begin(name):
        service.answers("/token", *[(503, {}, b"")] * ("Credentials" not in name), token)
        service.answers(TASK, (503, {}, b""), (429, {"Retry-After": "1"}, b""), (200, {}, task_body))
        one = b'{"data": [' + task_body + b"]}"
        made = (200, {}, one) if "list" in name else (201, {}, task_body)
        service.answers("/api/tasking/v2/tasks", (401, {}, b""), made)
        active = task_body.replace(b"DONE", b"ACTIVE")
        if "cancel" in name:
            service.answers(TASK, (401, {}, b""), (429, {"Retry-After": "1"}, b""), (200, {}, task_body))
        if "await_" in name:
            service.answers(TASK, (503, {}, b""), (200, {}, active), (503, {}, b""), (200, {}, task_body))
        service.answers(f"{TASK}/scene", (503, {}, b""), (200, {}, b"{}"))
        service.answers("/api/tasking/v2/price", (503, {}, b""), (200, {}, b'{"amount": 1, "currency": "EUR"}'))
        service.answers("/api/tasking/v2/feasibility", (503, {}, b""), (200, {}, b'{"feasibility": []}'))
        service.answers("/api/company/v1/contracts", (200, {}, b'{"data": [{"id": "c"}]}'))
        service.answers("/api/company/v1/contracts/c", (503, {}, b""), (200, {}, b'{"id": "c"}'))
        entry = {"id": "d", "derivativeProductType": "V", "assets": [{"href": f"{other.url}/f.json"}]}
        listed = json.dumps({"data": [entry]}).encode()
        on_the_way = [(404, {}, b""), (206, {}, listed)] if "await_derivatives" in name else []
        service.answers(LOOK, (401, {}, b""), *on_the_way, (500, {}, b""), (200, {}, listed))
        item = b'{"id": "p", "properties": {}, "assets": {"a": {"href": "https://links.example/a"}}}'
        there = b'{"data": [' + (item if "await_products" in name else b"") + b"]}"
        service.answers(f"{TASK}/products", (200, {}, b'{"data": [], "cursor": "n"}'), (200, {}, there))
        for kind in ("GRD", "SLC"):
            service.answers(f"{TASK}/products/{kind}", (503, {}, b""), (200, {}, there))
        other.answers("/f.json", (200, {}, BODY))

    return begin


@pytest.mark.parametrize("again", [False, True], ids=["once", "and-again-while-it-cleans-up"])
@pytest.mark.parametrize("name", NAMES)
async def test_a_call_may_be_cancelled_anywhere(
    connect, clock, service, other, script, tmp_path, record_property, name, again
):
    # One request at a time: a place that is lost blocks the next call for ever.
    auth = ClientCredentials(f"{service.url}/token", "an-id", "c4n4ry")
    before = asyncio.all_tasks()
    points = 0
    for number in itertools.count():
        client = connect(auth=auth, in_flight=1, rate_limit=2)
        folder = tmp_path / str(number)
        call = asked(client, service, other, folder, clock)[name]
        script(name)
        if not await cancelled_at(number, call(), again=again):
            break
        points += 1
        async with asyncio.timeout(5):
            assert not list(folder.glob("*.part"))
            script(name)
            await call()
            await client.close()
            # A renewal that was shielded from the cancellation ends with its client, a connection with its server task.
            while asyncio.all_tasks() - before:  # noqa: ASYNC110 - for whatever they are
                await asyncio.sleep(0)
        assert all(path.read_bytes() == BODY for path in folder.glob("d_*"))

    record_property("await points cancelled", points)
    assert points >= 2
    await client.close()
    await connections_are_gone(service, other)


async def connections_are_gone(*servers):
    async with asyncio.timeout(5):
        while any(server.open for server in servers):  # noqa: ASYNC110 - the servers tell nobody
            await asyncio.sleep(0)


@pytest.mark.parametrize("kind", ["await_derivatives", "await_products", "await_task", "products.list", "download"])
async def test_an_object_whose_step_was_cancelled_goes_on_where_it_was(
    connect, service, other, script, tmp_path, record_property, kind
):
    points = 0
    for number in itertools.count():
        client = connect(auth=ClientCredentials(f"{service.url}/token", "an-id", "c4n4ry"), in_flight=1)
        script(kind)
        pending = asked(client, service, other, tmp_path / str(number))[f"await {kind}"]()
        before = pending.latest
        if not await cancelled_at(number, pending, again=False):
            break
        points += 1
        kept = pending.latest
        async with asyncio.timeout(5):
            await pending
        assert before in (None, ())
        assert pending.latest.status == "DONE" if kind == "await_task" else len(pending.latest) >= len(kept or ())
        await client.close()

    record_property("await points cancelled", points)
    assert points >= 2


@pytest.mark.parametrize("again", [False, True], ids=["once", "and-again-while-it-cleans-up"])
async def test_closing_may_be_cancelled_anywhere(connect, service, other, script, tmp_path, record_property, again):
    auth = ClientCredentials(f"{service.url}/token", "an-id", "c4n4ry")
    points = 0
    for number in itertools.count():
        script("closing")
        client = connect(auth=auth)
        await asked(client, service, other, tmp_path / str(number))["await download"]()
        await client.derivatives.get("t1")
        if not await cancelled_at(number, client.close(), again=again):
            break
        points += 1
        with pytest.raises(StateError, match="closed"):
            await client.derivatives.get("t1")
        async with asyncio.timeout(5):
            await client.close()

    record_property("await points cancelled", points)
    assert points >= 1
    await connections_are_gone(service, other)
