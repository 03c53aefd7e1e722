"""A service that is dead for ten minutes: what thousands of callers do to it meanwhile, and when it comes back."""

import asyncio
import contextlib
import gc
import random
from dataclasses import dataclass

import pytest

from iceye_async import ClientCredentials, IceyeError, PollPolicy, ServerError, TransportError

MINUTE = 60.0
OUTAGE = 10 * MINUTE
RATE, BURST = 2, 2
"""Requests per second, and how many may go out at once. Less than the waits ask for, as with the default rate."""
TIMEOUT = 60.0
"""Seconds after which a request into a black hole is given up: the client's default."""
WAITS, CALLS, BUDGET = 5_000, 2_000, 100
NONE_YET = (206, {}, b'{"data": [{"id": "d", "derivativeProductType": "DC_VESSELS", "assets": []}]}')
READY = (
    200,
    {},
    b'{"data": [{"id": "d", "derivativeProductType": "DC_VESSELS", "assets": [{"type": "g", "href": "https://l/x"}]}]}',
)
TOKEN = (200, {}, b'{"access_token": "c4n4ry-a", "expires_in": 90}')
"""A token that is used up soon after the service died, whenever that was."""

DEAD = {
    "503": lambda: (503, {}, b"<html>"),
    "no connection": lambda: TransportError("no connection", sent=False),
    "black hole": lambda: TransportError("no whole reply within 60 s"),
}
each_death = pytest.mark.parametrize("how", DEAD)


@dataclass
class Outage:
    """When the service is dead, how (None: it is not), and whether the token endpoint is dead too."""

    begins: float
    how: str | None = None
    token_too: bool = False
    later: tuple = READY
    """What it says after it."""

    @property
    def ends(self):
        return self.begins + OUTAGE

    def strike(self, wire):
        """Script the wire. To be called in its event loop, at time 0."""

        def answer(asked):
            is_token = asked.path == "/token"
            if self.how is not None and self.begins <= asked.at < self.ends and (self.token_too or not is_token):
                return DEAD[self.how]()
            if is_token:
                return TOKEN
            return self.later if asked.at >= self.ends else NONE_YET

        wire.answer = answer
        if self.how == "black hole":
            loop = asyncio.get_running_loop()
            loop.call_at(self.begins, setattr, wire, "latency", TIMEOUT)
            loop.call_at(self.ends, setattr, wire, "latency", wire.latency)

    def requests(self, wire):
        """Requests of any kind while it lasted."""
        return sum(self.begins <= asked.at < self.ends for asked in wire.asked)

    def busiest_after(self, wire):
        """The most requests in any second from its end on."""
        wire.asked = [asked for asked in wire.asked if asked.at >= self.ends - 1]
        return wire.busiest()


def signed_in():
    return ClientCredentials("https://api.example/token", "an-id", "c4n4ry")


@pytest.fixture(autouse=True)
def undisturbed():
    """Garbage is looked for after a test that left much, and not in it, nor in another that measures time."""
    gc.disable()
    yield
    gc.enable()
    if gc.get_count()[0] > 50_000:
        gc.collect()


# --- waits ---------------------------------------------------------------------------------------------------------


def waiting(wire, outage, *, until, most=None, number=WAITS, spread=30.0, **options):
    """So many waits, begun within `spread` seconds, until a moment, or until all are over: how many got what they want.

    It stops early where the outage has cost more than `most` requests: more is not needed to see that it is too much.
    """
    chance = random.Random(16)  # noqa: S311 - no secret

    async def main(client):
        outage.strike(wire)
        enough, answer = asyncio.Event(), wire.answer

        def counted(asked):
            if most is not None and len(wire.asked) % 100 == 0 and outage.requests(wire) > most:
                enough.set()
            return answer(asked)

        async def one(name, begin):
            # Five thousand tasks that were cancelled, each with its traceback, would be a heap of garbage.
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(begin)
                return [found.id for found in await client.await_derivatives(f"t{name}")]

        wire.answer = counted
        waits = [asyncio.create_task(one(name, spread * chance.random())) for name in range(number)]
        stop = asyncio.create_task(enough.wait())
        over = asyncio.gather(*waits, return_exceptions=True)
        await asyncio.wait([over, stop], timeout=until, return_when=asyncio.FIRST_COMPLETED)
        for task in (stop, *waits):
            task.cancel()
        await asyncio.gather(over, stop, return_exceptions=True)
        return sum(wait.result() == ["d"] for wait in waits if not wait.cancelled() and wait.exception() is None)

    return wire.run(main, auth=signed_in(), **options)


BASELINES = {}


def baseline(wire, begins, **options):
    """Requests of the same waits in the same time where there is no outage."""
    key = (begins, *options.items())
    if key not in BASELINES:
        outage = Outage(begins)
        waiting(wire, outage, until=outage.ends, **options)
        BASELINES[key] = outage.requests(wire)
        wire.asked.clear()
    return BASELINES[key]


ENDURED = {}
"""Each kind of outage is endured once, and looked at by several tests."""


@pytest.fixture
def endured(wire):
    """The waits: requests in the outage, the busiest second after it, and for a 503, how many got it in the end.

    The client is one as it is by default, but slower, and its token expires in the outage.
    """

    def endured(how):
        if how not in ENDURED:
            outage = Outage(MINUTE, how)
            until = outage.ends + (60 if how == "503" else 3) * MINUTE
            satisfied = waiting(wire, outage, until=until, rate_limit=RATE)
            ENDURED[how] = outage.requests(wire), outage.busiest_after(wire), satisfied
            wire.asked = []
        return ENDURED[how]

    return endured


@each_death
def test_b16_an_outage_costs_the_service_no_more_requests_than_health(wire, endured, record_property, how):
    requests, *_ = endured(how)
    usual = baseline(wire, MINUTE, rate_limit=RATE)

    record_property("requests of 5,000 waits in ten minutes of health", usual)
    record_property("requests of 5,000 waits in ten minutes of outage", requests)
    assert requests <= 1.1 * usual


@each_death
def test_b16_when_the_service_is_back_no_second_sees_more_than_the_rate_limit(endured, how):
    _, busiest, _ = endured(how)

    # And a request for a token.
    assert busiest <= RATE + BURST + 1


def test_b16_after_the_outage_every_wait_gets_what_it_waited_for(endured):
    *_, satisfied = endured("503")

    assert satisfied == WAITS


@each_death
def test_b16_where_the_token_endpoint_is_dead_too_an_outage_costs_no_more_either(wire, record_property, how):
    """The token has expired, so each wait that is due wants a new one."""
    usual = baseline(wire, MINUTE, rate_limit=RATE)
    outage = Outage(MINUTE, how, token_too=True)

    waiting(wire, outage, until=outage.ends, most=1.1 * usual, rate_limit=RATE)

    record_property("requests of 5,000 waits in ten minutes of health", usual)
    record_property("requests of 5,000 waits in ten minutes of outage", outage.requests(wire))
    assert outage.requests(wire) <= 1.1 * usual


def test_b16_waits_that_had_become_patient_stay_so_in_an_outage(wire, record_property):
    """Where no rate limit hides it: who asked every ten minutes does not begin again with short pauses."""
    poll = PollPolicy(first=200.0, growth=3.0, ceiling=600.0, spread=0.0)
    options = {"rate_limit": 500.0, "poll": poll, "spread": 190.0, "number": 1_000}
    usual = baseline(wire, 790.0, **options)
    outage = Outage(790.0, "503")

    waiting(wire, outage, until=outage.ends, most=1.1 * usual, **options)

    record_property("requests of 1,000 patient waits in ten minutes of health", usual)
    record_property("requests of 1,000 patient waits in ten minutes of outage", outage.requests(wire))
    assert outage.requests(wire) <= 1.1 * usual


def test_b16_when_the_service_is_back_nobody_stampedes_where_there_is_no_rate_limit_either(wire):
    """Waits that were spread over time come back spread over time, and not all in the same moment."""
    poll = PollPolicy(first=550.0, growth=1.0, ceiling=550.0)
    outage = Outage(0.0, "503")

    waiting(wire, outage, until=outage.ends + MINUTE, rate_limit=None, poll=poll, spread=550.0, number=2_000)

    assert 0 < outage.busiest_after(wire) <= 6 * 2_000 / 550


# --- single calls --------------------------------------------------------------------------------------------------

CALLED = {}


@pytest.fixture
def called(wire):
    """Two thousand calls at any moment of an outage: requests from then on, the busiest second, how they ended.

    That is how many failed with an error that says that trying again helps, and how many with another.
    """
    chance = random.Random(16)  # noqa: S311 - no secret

    async def one(client, number, at):
        await asyncio.sleep(at)
        return await client.derivatives.get(f"t{number}")

    def called(how, token_too):
        if (how, token_too) in CALLED:
            return CALLED[how, token_too]
        outage = Outage(100.0, how, token_too)

        async def main(client):
            outage.strike(wire)
            await client.derivatives.get("t0")
            moments = (OUTAGE * chance.random() for _ in range(CALLS))
            calls = [one(client, number, outage.begins + moment - 0.05) for number, moment in enumerate(moments)]
            return await asyncio.gather(*calls, return_exceptions=True)

        ends = wire.run(main, auth=signed_in())
        failed = [end.with_traceback(None) for end in ends if isinstance(end, BaseException)]
        well = sum(isinstance(error, ServerError | TransportError) and error.transient for error in failed)
        sent = sum(asked.at >= outage.begins for asked in wire.asked)
        CALLED[how, token_too] = sent, wire.busiest(), (well, len(failed) - well)
        return CALLED[how, token_too]

    return called


each_calamity = pytest.mark.parametrize(
    ("how", "token_too"),
    [("503", False), ("no connection", False), ("black hole", False), ("503", True)],
    ids=["503", "no connection", "black hole", "503 of the token endpoint too"],
)


@each_calamity
def test_b16_calls_in_an_outage_repeat_themselves_within_the_budget_of_their_client(
    called, record_property, how, token_too
):
    sent, *_ = called(how, token_too)

    record_property("calls in outages", CALLS)
    record_property("requests of calls in outages", sent)
    assert sent <= 1.1 * CALLS + BUDGET


@each_calamity
def test_b16_calls_in_an_outage_end_with_an_answer_or_an_error_that_says_that_trying_again_helps(
    called, how, token_too
):
    *_, (well, otherwise) = called(how, token_too)

    assert otherwise == 0
    # The few that hang in a black hole hold up the others, which get their answer when it is over.
    assert well > 0 or how == "black hole"


@each_calamity
def test_b16_calls_in_an_outage_and_after_it_go_out_at_the_set_rate(called, how, token_too):
    _, busiest, _ = called(how, token_too)

    # By default.
    assert busiest <= 10 + 10


@each_death
def test_b16_when_the_service_is_back_the_next_call_works_at_once(wire, how):
    """Nothing of an outage remains, such as a breaker that has to close first."""
    outage = Outage(1.0, how)

    async def main(client):
        outage.strike(wire)
        await asyncio.sleep(2)
        for number in range(150):
            with pytest.raises(IceyeError):
                await client.derivatives.get(f"t{number}")
            if asyncio.get_running_loop().time() > outage.ends - 3 * TIMEOUT:
                break
        await asyncio.sleep(outage.ends + TIMEOUT - asyncio.get_running_loop().time())
        began = asyncio.get_running_loop().time()
        await client.derivatives.get("t1")
        return asyncio.get_running_loop().time() - began

    assert wire.run(main, auth=signed_in()) < 1
