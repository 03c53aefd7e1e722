"""How often a client repeats itself when the service is down, and how long closing it may take."""

import asyncio

import pytest

from iceye_async import Client, ServerError, StateError, TransportError

DOWN = (503, {}, b"")


def test_each_call_is_repeated_while_the_budget_lasts_and_then_made_once(wire):
    wire.answer = lambda asked: DOWN

    async def main(client):
        for _ in range(200):
            with pytest.raises(ServerError):
                await client.derivatives.get("t1")

    wire.run(main, rate_limit=None)

    assert len(wire.asked) == 200 + 100


def test_answers_fill_the_budget_again(wire):
    async def main(client):
        wire.answer = lambda asked: DOWN
        for _ in range(60):
            with pytest.raises(ServerError):
                await client.derivatives.get("t1")
        wire.answer = lambda asked: (200, {}, b'{"data": []}')
        for _ in range(10):
            await client.derivatives.get("t1")
        wire.asked.clear()
        wire.answer = lambda asked: DOWN
        with pytest.raises(ServerError):
            await client.derivatives.get("t1")

    wire.run(main, rate_limit=None)

    assert len(wire.asked) == 3


def test_a_token_source_that_never_gives_up_does_not_hold_up_closing(wire):
    over = asyncio.Event()

    class Stubborn:
        async def token(self, stale):
            while not over.is_set():
                try:
                    await over.wait()
                except asyncio.CancelledError:
                    continue
            raise TransportError("no token")

    async def main(_):
        client = Client("https://api.example", auth=Stubborn())
        call = asyncio.create_task(client.tasks.get("t1"))
        await asyncio.sleep(1)
        began = asyncio.get_running_loop().time()
        await client.close()
        took = asyncio.get_running_loop().time() - began
        over.set()
        with pytest.raises((StateError, TransportError)):
            await call
        return took

    assert wire.run(main) <= 5
