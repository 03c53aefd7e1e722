"""What a client does when service, token endpoint or token source fail it: its budget, its pauses, its old token."""

import asyncio
import gc
import tracemalloc

import pytest

from iceye_async import (
    Client,
    ClientCredentials,
    IceyeError,
    NotFound,
    PollPolicy,
    PollTimeout,
    RateLimited,
    ServerError,
    StateError,
    Token,
    TransportError,
    UsageError,
)

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


def test_a_call_does_not_stand_in_line_behind_hundreds_of_waits(wire):
    """At ten requests a second five hundred looks take almost a minute; a call has the next turn but one."""
    wire.answer = lambda asked: (206, {}, b'{"data": []}') if "derivatives" in asked.path else (404, {}, b"")

    async def main(client):
        waits = [asyncio.ensure_future(client.await_derivatives(f"t{number}")) for number in range(500)]
        await asyncio.sleep(1)
        took = []
        for _ in range(3):
            began = asyncio.get_running_loop().time()
            with pytest.raises(NotFound):
                await client.tasks.get("t1")
            took.append(asyncio.get_running_loop().time() - began)
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
        return took

    assert max(wire.run(main)) < 2
    assert wire.busiest() <= 20


def test_a_404_is_an_answer_and_fills_the_budget_too(wire):
    """Who polls by hand hears hundreds of them, and a 503 now and then."""
    wire.answer = lambda asked: DOWN if len(wire.asked) % 20 == 0 else (404, {}, b"")

    async def main(client):
        ends = []
        for _ in range(3000):
            (end,) = await asyncio.gather(client.derivatives.get("t1"), return_exceptions=True)
            ends.append(type(end))
        return ends

    assert set(wire.run(main, rate_limit=None)) == {NotFound}


@pytest.mark.parametrize("value", ["0", "Sun, 06 Nov 1994 08:49:37 GMT"])
def test_a_429_that_asks_for_no_pause_slows_everybody_down_all_the_same(wire, value):
    wire.answer = lambda asked: (429, {"Retry-After": value}, b"")

    async def main(client):
        await asyncio.gather(*(client.derivatives.get("t1") for _ in range(20)), return_exceptions=True)

    wire.run(main, rate_limit=None, in_flight=1)

    assert wire.busiest() <= 4


def test_a_pause_that_nobody_in_line_has_the_patience_for_gives_each_an_error_of_its_own(wire):
    """Raised in hundreds of tasks, one error would hold the frames of all of them."""
    wire.answer = lambda asked: (429, {"Retry-After": "1000"}, b"")

    async def main(client):
        return await asyncio.gather(*(client.derivatives.get("t1") for _ in range(100)), return_exceptions=True)

    ends = wire.run(main, in_flight=1)

    assert {type(end) for end in ends} == {RateLimited}
    assert len({id(end) for end in ends}) == 100


def test_a_wait_that_sleeps_after_a_failure_does_not_hold_the_body_of_it(wire):
    wire.answer = lambda asked: (503, {}, b"<html>" + bytes(1_000_000))

    async def main(client):
        waits = [asyncio.ensure_future(client.await_derivatives(f"t{number}")) for number in range(20)]
        await asyncio.sleep(30)
        gc.collect()
        held, _ = tracemalloc.get_traced_memory()
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
        return held

    tracemalloc.start()
    try:
        assert wire.run(main, rate_limit=None) < 2_000_000
    finally:
        tracemalloc.stop()


def test_an_early_renewal_that_hangs_holds_nobody_up_while_the_old_token_is_good(wire):
    """The token of an hour is renewed five minutes early. Who begins it waits a little, and all others do not."""
    wire.answer = lambda asked: (200, {}, b'{"data": []}')

    class Hanging:
        """Gives one token, and after that nothing."""

        async def token(self, stale):
            if wire.asked:
                await asyncio.Event().wait()
            return Token("c4n4ry", 3600)

    async def main(client):
        await client.derivatives.get("t1")
        await asyncio.sleep(3400)
        took = []
        for _ in range(5):
            began = asyncio.get_running_loop().time()
            await client.derivatives.get("t1")
            took.append(asyncio.get_running_loop().time() - began)
        return took

    first, *others = wire.run(main, auth=Hanging())

    assert first < 3
    assert max(others) < 0.5


def test_a_wait_learns_at_once_that_the_token_endpoint_pauses_beyond_its_deadline(wire):
    wire.answer = lambda asked: (429, {"Retry-After": "60"}, b"")

    async def main(client):
        began = asyncio.get_running_loop().time()
        with pytest.raises(PollTimeout) as caught:
            await client.await_derivatives("t1", poll=PollPolicy(timeout=30))
        return caught.value.__cause__, asyncio.get_running_loop().time() - began

    cause, took = wire.run(main, auth=ClientCredentials("https://api.example/token", "an-id", "c4n4ry"))

    assert isinstance(cause, RateLimited)
    assert took < 1


def test_calls_in_line_with_a_good_token_do_not_mind_that_the_token_endpoint_pauses(wire):
    """The old token is good for minutes; that the new one has to wait is nothing to those who hold it."""

    def answer(asked):
        if asked.path != "/token":
            return (200, {}, b'{"data": []}')
        if asked.at > 60:
            return (429, {"Retry-After": "600"}, b"")
        return (200, {}, b'{"access_token": "c4n4ry", "expires_in": 3600}')

    wire.answer = answer

    async def main(client):
        await client.derivatives.get("t1")
        await asyncio.sleep(3290)
        calls = [asyncio.create_task(client.derivatives.get("t1")) for _ in range(50)]
        await asyncio.sleep(10)
        calls += [asyncio.create_task(client.derivatives.get("t1")) for _ in range(50)]
        return await asyncio.gather(*calls)

    auth = ClientCredentials("https://api.example/token", "an-id", "c4n4ry")
    assert len(wire.run(main, auth=auth, rate_limit=2)) == 100
    assert [asked.path for asked in wire.asked].count("/token") >= 2


class Failing:
    """A token source of the caller's own that raises."""

    def __init__(self, error):
        self.error = error

    async def token(self, stale):
        raise self.error


def test_what_a_token_source_raised_is_the_cause_of_what_is_raised(wire):
    mine = KeyError("mine")

    async def main(client):
        with pytest.raises(IceyeError, match="KeyError") as caught:
            await client.derivatives.get("t1")
        return caught.value

    assert wire.run(main, auth=Failing(mine)).__cause__ is mine


def test_a_token_source_that_was_cancelled_is_not_taken_for_a_closed_client(wire):
    async def main(client):
        with pytest.raises(IceyeError, match="token source was cancelled") as caught:
            await client.derivatives.get("t1")
        return caught.value

    assert not isinstance(wire.run(main, auth=Failing(asyncio.CancelledError())), StateError)


@pytest.mark.parametrize("told", [None, lambda event: None])
def test_a_token_source_that_gives_none_is_refused_with_a_listener_too(wire, told):
    class Empty:
        async def token(self, stale):
            return None

    async def main(client):
        with pytest.raises(UsageError, match="gave no Token"):
            await client.derivatives.get("t1")

    wire.run(main, auth=Empty(), on_event=told)


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
        with pytest.raises(StateError, match="closed"):
            async with asyncio.timeout(5):
                await call
        over.set()
        return took

    assert wire.run(main) <= 5
