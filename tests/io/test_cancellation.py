"""Cancelled at each of its await points in turn, a call leaves a client that works and a folder that is clean."""

import asyncio
import itertools
import json

import pytest

from iceye_async import ClientCredentials, Derivative, DerivativeAsset

LOOK = "/api/tasking/v2/tasks/t1/derivatives"
TOKEN = (200, {}, b'{"access_token": "a", "expires_in": 3600}')
ENTRY = {"id": "d", "derivativeProductType": "V", "assets": [{"href": "https://l.example/f"}]}
SOME = (206, {}, json.dumps({"data": [ENTRY]}).encode())
ALL = (200, {}, json.dumps({"data": [ENTRY]}).encode())
BODY = b"0123456789" * 300_000


class CancelledAt:
    """Runs an awaitable, and cancels it when it suspends for the nth time, as `Task.cancel` would."""

    def __init__(self, awaitable, number):
        self.awaitable, self.number = awaitable, number

    def __await__(self):
        inner = self.awaitable.__await__()
        for number in itertools.count():
            try:
                signal = inner.send(None)
                if number == self.number:
                    if signal is not None:
                        signal.cancel()
                    signal = inner.throw(asyncio.CancelledError())
            except StopIteration as end:
                return end.value
            yield signal


async def each_cancellation(run):
    """Runs `run(number)` cancelled at its first await point, then at its second, until there is none left."""
    for number in itertools.count():
        try:
            await CancelledAt(run(number), number)
        except asyncio.CancelledError:
            yield number
        else:
            assert number > 0
            return


@pytest.fixture
def client(connect, service):
    """One request at a time, so that a lost place would block the next call for ever."""
    service.answers("/token", TOKEN)
    service.answers(LOOK, ALL)
    auth = ClientCredentials(f"{service.url}/token", "an-id", "c4n4ry-secret")
    return lambda: connect(auth=auth, in_flight=1, rate_limit=2)


async def test_a_cancelled_call_does_not_block_the_next(client):
    clients = []

    def run(number):
        clients.append(client())
        return clients[-1].derivatives.get("t1")

    async for _ in each_cancellation(run):
        async with asyncio.timeout(5):
            assert (await clients[-1].derivatives.get("t1")).final


async def test_a_cancelled_wait_goes_on_where_it_was(client, service):
    waits = []

    def run(number):
        service.answers(LOOK, SOME, ALL)
        waits.append(client().await_derivatives("t1"))
        return waits[-1]

    async for _ in each_cancellation(run):
        seen = waits[-1].latest
        async with asyncio.timeout(5):
            found = await waits[-1]
        assert found.final
        assert seen is None or not seen.complete


async def test_a_cancelled_download_leaves_a_clean_folder_and_can_go_on(connect, other, tmp_path):
    other.answers("/f.json", (200, {}, BODY))
    found = Derivative(id="d", type="V", task_id="t1", assets=(DerivativeAsset(href=f"{other.url}/f.json"),))
    client, downloads = connect(), []

    def run(number):
        downloads.append(client.download(found, tmp_path / str(number)))
        return downloads[-1]

    async for number in each_cancellation(run):
        folder = tmp_path / str(number)
        if folder.exists():
            assert not list(folder.glob("*.part"))
            assert all(path.read_bytes() == BODY for path in folder.glob("d_*"))
        async with asyncio.timeout(5):
            (path,) = await downloads[-1]
        assert path.read_bytes() == BODY
