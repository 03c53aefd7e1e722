"""Signing in, when something is wrong with it: catalogue rows A1 to A17."""

import asyncio
import json
import logging
import math
import time
import traceback
from email.utils import formatdate

import aiohttp
import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver

from iceye_async import (
    ApiError,
    Client,
    ClientCredentials,
    DecodeError,
    Derivative,
    DerivativeAsset,
    DerivativeSet,
    Forbidden,
    IceyeError,
    PollPolicy,
    RateLimited,
    ServerError,
    StateError,
    TaskNotFound,
    Token,
    TransportError,
    Unauthorized,
    UsageError,
)
from tests.faults.crowds import crowd_of
from tests.showing import everything

TASK = "/api/tasking/v2/tasks/t1"
LOOK = f"{TASK}/derivatives"
NONE = (200, {}, b'{"data": []}')
READY = (
    b'{"data": [{"id": "d1", "derivativeProductType": "DC_VESSELS", '
    b'"assets": [{"type": "geojson", "href": "https://links.example/v.geojson?Signature=s"}]}]}'
)
PARTLY = b'{"data": [{"id": "d1", "derivativeProductType": "DC_VESSELS", "assets": []}]}'

SECRET = "secret-0815"
DAY = 86_400.0
PROMPT = 0.5
"""Seconds in which a service answers also where the machine is busy; one that hangs is waited for as long."""
QUICK = PollPolicy(first=10.0, growth=1.0, ceiling=10.0, spread=0.0)


def said(value, expires_in=3600):
    """What a token endpoint says."""
    return (200, {}, json.dumps({"access_token": value, "expires_in": expires_in}).encode())


def bearers(service, path=LOOK):
    return [heard.headers["Authorization"] for heard in service.asked(path)]


async def hang(request):
    await asyncio.Event().wait()


async def drop(request):
    request.transport.abort()
    return web.Response()


def named(answer):
    """A test id that is the same in each process."""
    return answer.__name__ if callable(answer) else str(answer)


@pytest.fixture(autouse=True)
def silence(caplog):
    """Every test in this file: no token and no client secret is logged, at any level by anybody."""
    caplog.set_level(logging.DEBUG, "iceye_async")
    caplog.set_level(logging.DEBUG, "aiohttp")
    yield
    logged = "".join(f"{record.getMessage()} {record.__dict__}" for record in caplog.get_records("call"))
    assert not [secret for secret in (SECRET, "token-", "Bearer", "Basic") if secret in logged]


@pytest.fixture
def credentials(service):
    return ClientCredentials(f"{service.url}/token", "an-id", SECRET)


@pytest.fixture
def client(connect, service, credentials):
    """A client that signs in at the scripted token endpoint; its time is manual."""
    service.answers(LOOK, NONE)
    return connect(auth=credentials, in_flight=2000)


class Account:
    """The service as the wire has it: gives tokens, refuses those that are revoked or have run out."""

    def __init__(self, wire, life=3600.0, always=None):
        self.life, self.always, self.issued = life, always, 0
        self.refused = 0
        self.look = NONE
        self._good = {}
        self._wire = wire
        wire.answer = self

    def __call__(self, asked):
        now = asyncio.get_running_loop().time()
        if asked.path == "/token":
            self.issued += 1
            value = self.always or f"token-{self.issued}"
            self._good[value] = now + self.life
            return said(value, self.life)
        if self._good.get(asked.headers["Authorization"].removeprefix("Bearer "), 0.0) <= now:
            self.refused += 1
            return 401, {}, b""
        return self.look(asked) if callable(self.look) else self.look

    def revoke(self):
        self._good.clear()

    def run(self, main, **options):
        auth = ClientCredentials("https://id.example/token", "an-id", SECRET)
        return self._wire.run(main, **{"auth": auth, "rate_limit": None, "in_flight": 10_000, **options})

    async def send(self, client, count, latency=0.05):
        """That many calls, all of them under way, whose answers come so many seconds later."""
        self._wire.latency, before = latency, len(self._wire.asked)
        calls = [asyncio.create_task(client.derivatives.get("t1")) for _ in range(count)]
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(self._wire.asked) == before + count
        self._wire.latency = 0.05
        return calls


@pytest.fixture
def account(wire):
    return Account(wire)


class Source:
    """A token source of the caller's own. Gives (or raises) its tokens one after the other, the last for ever."""

    def __init__(self, *tokens, takes=0.0):
        self.tokens, self.takes, self.calls, self.at_once = list(tokens), takes, 0, 0

    async def token(self, stale):
        self.calls += 1
        self.at_once += 1
        assert self.at_once == 1
        try:
            await asyncio.sleep(self.takes)
        finally:
            self.at_once -= 1
        token = self.tokens.pop(0) if len(self.tokens) > 1 else self.tokens[0]
        if isinstance(token, Exception):
            raise token
        return token


# --- A1: wrong credentials, wrong token URL ------------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 401, 403])
async def test_a01_a_wrong_client_secret_fails_every_waiter_at_once(client, service, clock, status):
    """Everybody who waits for the token is told that the credentials are wrong, after one request and no pause."""
    service.answers("/token", (status, {}, b'{"error": "invalid_client"}'))

    errors = await asyncio.gather(*(client.derivatives.get("t1") for _ in range(200)), return_exceptions=True)

    assert {(type(error), error.status) for error in errors} == {(type(errors[0]), status)}
    assert isinstance(errors[0], ApiError)
    assert "client_secret" in str(errors[0])
    assert len(service.requests) == 1
    assert not clock.waits


CALLS = {
    "derivatives.get": lambda client, _: client.derivatives.get("t1"),
    "tasks.get": lambda client, _: client.tasks.get("t1"),
    "products.list": lambda client, _: client.products.list("t1"),
    "await_derivatives": lambda client, _: client.await_derivatives("t1"),
    "download": lambda client, folder: client.download("t1", to=folder),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
async def test_a01_a_wrong_token_url_is_never_taken_for_a_missing_task(client, service, clock, tmp_path, call):
    """A 404 of the token endpoint names token_url; it is neither a task that is missing nor 'not ready yet'."""
    service.answers("/token", (404, {}, b"<html>Not found</html>"))

    with pytest.raises(ApiError, match="token_url") as caught:
        await call(client, tmp_path)

    assert caught.value.status == 404
    assert not isinstance(caught.value, TaskNotFound)
    assert not clock.waits


@pytest.mark.parametrize(
    ("call", "status"),
    [
        pytest.param(
            call,
            status,
            id=f"{name}-{status}",
        )
        for name, call in CALLS.items()
        for status in (400, 401, 404)
    ],
)
async def test_a01_wrong_credentials_end_every_kind_of_call_after_one_request(client, service, tmp_path, call, status):
    """No call goes on asking with credentials, or at an address, that the token endpoint has just refused."""
    service.answers("/token", (status, {}, b""))

    with pytest.raises(ApiError):
        await call(client, tmp_path)

    assert len(service.requests) == 1


@pytest.mark.parametrize("status", [400, 401, 404])
async def test_a01_a_refusal_that_echoes_the_secret_is_shown_without_it(client, service, status):
    """Nothing that could be printed of the error holds the client secret, in any of its spellings."""
    echo = {"code": f"bad {SECRET}", "message": f"client {SECRET} is not known"}
    service.answers("/token", (status, {}, json.dumps(echo).encode()))

    with pytest.raises(ApiError) as caught:
        await client.derivatives.get("t1")

    basic = service.requests[0].headers["Authorization"].removeprefix("Basic ")
    assert not [secret for secret in (SECRET, basic) if secret in everything(caught.value)]


# --- A2: the token endpoint fails for a while ----------------------------------------------------------------------


@pytest.mark.parametrize("answer", [(500, {}, b""), (502, {}, b"<html>"), (503, {}, b""), drop, hang], ids=named)
async def test_a02_a_token_endpoint_that_fails_twice_is_survived(connect, service, credentials, answer):
    """Two failed token requests in a row are not felt by the caller."""
    service.answers("/token", answer, answer, said("token-1"))
    service.answers(LOOK, NONE)

    assert (await connect(auth=credentials, timeout=PROMPT).derivatives.get("t1")).final


@pytest.mark.parametrize(
    ("answer", "kind"), [((503, {}, b""), ServerError), (drop, TransportError), (hang, TransportError)], ids=named
)
async def test_a02_a_dead_token_endpoint_is_asked_no_more_often_for_many_callers(
    connect, service, credentials, answer, kind
):
    """All callers share the tries of one renewal, and all are told what went wrong."""
    service.answers("/token", answer)
    client = connect(auth=credentials, timeout=0.1, in_flight=2000)

    errors = await asyncio.gather(*(client.derivatives.get("t1") for _ in range(300)), return_exceptions=True)

    assert {type(error) for error in errors} == {kind}
    assert len(service.asked("/token")) == 3
    assert not service.asked(LOOK)


@pytest.mark.parametrize(
    "answer", [(500, {}, b""), (503, {}, b""), (429, {"Retry-After": "60"}, b""), drop, hang], ids=named
)
async def test_a02_an_early_renewal_that_fails_leaves_the_old_token_in_use(
    connect, service, credentials, clock, answer
):
    """While the old token is still good, a token endpoint that is down is felt by nobody."""
    service.answers("/token", said("token-1", 1000), answer)
    service.answers(LOOK, NONE)
    client = connect(auth=credentials, timeout=PROMPT)
    await client.derivatives.get("t1")
    clock.time += 850

    assert (await client.derivatives.get("t1")).final

    assert set(bearers(service)) == {"Bearer token-1"}


def test_a02_a_wait_outlives_twenty_minutes_without_a_token_endpoint(wire, account):
    """A wait for days goes on by itself when the token endpoint is back."""
    account.look = lambda asked: (200, {}, READY) if asked.at > 10_000 else (206, {}, PARTLY)

    def answer(asked):
        down = asked.path == "/token" and 3300 <= asked.at < 4800
        return (503, {}, b"") if down else account(asked)

    wire.answer = answer

    found = account.run(lambda client: client.await_derivatives("t1"))

    assert found.ready == {"DC_VESSELS"}
    assert account.refused == 0


# --- A3: the token endpoint throttles -------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["seconds", "date"])
async def test_a03_a_throttled_token_request_is_repeated_once_for_all_callers(client, service, form):
    """The service is left alone for as long as it asked, and then asked once more, whatever the number of callers."""
    now = 1_700_000_000
    headers = {"Retry-After": "7" if form == "seconds" else formatdate(now + 7, usegmt=True)}
    service.answers("/token", (429, {**headers, "Date": formatdate(now, usegmt=True)}, b""), said("token-1"))

    await asyncio.gather(*(client.derivatives.get("t1") for _ in range(100)))

    refused, granted = service.asked("/token")
    assert granted.at - refused.at >= 7


def test_a03_who_calls_during_the_wait_shares_it(wire, account):
    """A call that begins while the others wait asks for no token of its own."""
    wire.answer = lambda asked: (429, {"Retry-After": "60"}, b"") if asked.at < 59 else account(asked)

    async def main(client):
        async def late(seconds):
            await asyncio.sleep(seconds)
            return await client.derivatives.get("t1")

        return await asyncio.gather(*(late(seconds) for seconds in range(0, 60, 3)))

    assert len(account.run(main)) == 20
    assert [round(asked.at) < 60 for asked in wire.asked if asked.path == "/token"] == [True, False]


def test_a03_a_wait_sits_out_a_long_throttling_of_the_token_endpoint(wire, account):
    """Not one token request leaves before the time the service named, though waits and calls go on wanting one."""
    account.look = (200, {}, READY)
    wire.answer = lambda asked: (429, {"Retry-After": "1200"}, b"") if asked.at < 600 else account(asked)

    async def main(client):
        waits = [asyncio.create_task(client.await_derivatives("t1")) for _ in range(20)]
        for _ in range(10):
            await asyncio.sleep(60)
            with pytest.raises(RateLimited) as caught:
                await client.derivatives.get("t1")
            assert 0 < caught.value.retry_after <= 1200
        return await asyncio.gather(*waits)

    assert all(found.ready == {"DC_VESSELS"} for found in account.run(main))
    first, second = (asked.at for asked in wire.asked if asked.path == "/token")
    assert second - first >= 1200


def test_a03_closing_the_client_ends_the_wait_for_the_token_endpoint(wire, account):
    """Nobody sits out a `Retry-After` of a minute and a half for a client that is closed."""
    wire.answer = lambda _: (429, {"Retry-After": "90"}, b"")

    async def main(client):
        calls = [asyncio.create_task(client.derivatives.get("t1")) for _ in range(20)]
        await asyncio.sleep(1)
        await client.close()
        errors = await asyncio.gather(*calls, return_exceptions=True)
        return {type(error) for error in errors}, asyncio.get_running_loop().time()

    kinds, ended = account.run(main)

    assert kinds == {StateError}
    assert ended < 1 + 5


# --- A4: a 200 that holds no token ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b"<html>Please sign in, Ms Example</html>",
        b"",
        b"   ",
        b'{"access_token": "token-1", "expires_',
        b"null",
        b"[]",
        b'"Ms Example"',
        b"{}",
        b'{"access_token": null}',
        b'{"access_token": {"value": "Ms Example"}}',
        b'{"access_token": ""}',
        b"\xff\xfe\x00",
        b"[" * 100_000,
    ],
    ids=lambda body: repr(body[:24]),
)
async def test_a04_an_answer_that_holds_no_token_is_unreadable_and_not_quoted(client, service, body):
    """It is a `DecodeError`, soon, and what was in the body is in no text of it."""
    service.answers("/token", (200, {"Content-Type": "text/html"}, body))

    with pytest.raises(DecodeError) as caught:
        await client.derivatives.get("t1")

    assert not [text for text in ("Ms Example", "token-1") if text in everything(caught.value)]
    assert len(service.asked("/token")) <= 3
    assert not service.asked(LOOK)


async def test_a04_a_token_answer_that_breaks_off_is_asked_for_again(client, service):
    """Half a token is no token: the connection that closed too early is a failed try, not an answer."""

    async def cut(request):
        response = web.StreamResponse(headers={"Content-Length": "60"})
        await response.prepare(request)
        await response.write(b'{"access_token": "token-1"}')
        request.transport.close()
        return response

    service.answers("/token", cut, said("token-2"))

    await client.derivatives.get("t1")

    assert bearers(service) == ["Bearer token-2"]


# --- A5, A6: how long a token lives ---------------------------------------------------------------------------------

LIVES = {
    "missing": b"",
    "null": b', "expires_in": null',
    "text": b', "expires_in": "3600"',
    "words": b', "expires_in": "soon"',
    "0": b', "expires_in": 0',
    "-0.0": b', "expires_in": -0.0',
    "negative": b', "expires_in": -3600',
    "endless": b', "expires_in": 1000000000000',
    "endless text": b', "expires_in": "1e300"',
    "inf as text": b', "expires_in": "inf"',
    "nan as text": b', "expires_in": "nan"',
    "400 digits": b', "expires_in": 1' + b"0" * 400,
    "true": b', "expires_in": true',
    "a list": b', "expires_in": [3600]',
    "an object": b', "expires_in": {"seconds": 3600}',
}


@pytest.mark.parametrize("life", LIVES.values(), ids=LIVES)
async def test_a05_whatever_the_life_of_a_token_it_serves_many_calls_and_not_for_ever(client, service, clock, life):
    """A life that is missing, zero, negative or endless neither asks for a token per call nor keeps one for good."""
    service.answers("/token", *((200, {}, b'{"access_token": "token-%d"%b}' % (number, life)) for number in (1, 2)))

    for _ in range(10):
        await client.derivatives.get("t1")
        clock.time += 1
    clock.time += 40 * DAY
    await client.derivatives.get("t1")

    assert bearers(service) == ["Bearer token-1"] * 10 + ["Bearer token-2"]


@pytest.mark.parametrize("life", [b"NaN", b"Infinity", b"-Infinity", b"1e400"])
async def test_a05_a_life_that_json_does_not_know_is_clamped_or_an_error_of_ours(client, service, life):
    """A number that is none ends the call with our error or is taken for a token of unknown life."""
    service.answers("/token", (200, {}, b'{"access_token": "token-1", "expires_in": %b}' % life))

    try:
        await client.derivatives.get("t1")
        await client.derivatives.get("t1")
    except DecodeError:
        assert not service.asked(LOOK)
    assert len(service.asked("/token")) == 1


@pytest.mark.parametrize("life", [0, -1, math.nan, math.inf, -math.inf, 1e308, True], ids=str)
async def test_a05_a_source_of_the_callers_own_may_give_any_life(connect, service, life):
    """Whatever number a token source gives as seconds, calls go on, and the source is not asked for each."""
    service.answers(LOOK, NONE)
    source = Source(Token("token-1", life))
    client = connect(auth=source)

    await client.derivatives.get("t1")
    await client.derivatives.get("t1")

    assert source.calls == 1


async def test_a05_a_life_that_no_float_can_hold_is_clamped_or_an_error_of_ours(connect, service):
    """A whole number of seconds with 400 digits is a very long life, or an `IceyeError`."""
    service.answers(LOOK, NONE)

    try:
        await connect(auth=Source(Token("token-1", 10**400))).derivatives.get("t1")
    except IceyeError:
        assert not service.requests


@pytest.mark.parametrize("life", [1.0, 10.0, 60.0, 250.0])
def test_a06_a_life_shorter_than_the_margin_does_not_ask_for_each_request(wire, account, life):
    """Tokens that live shorter than five minutes are renewed about as often as they end, and are never sent late."""
    account.life = life
    wire.latency = life / 1000

    async def main(client):
        for _ in range(200):
            await client.derivatives.get("t1")
            await asyncio.sleep(life / 20)

    account.run(main)

    assert 10 <= account.issued <= 15
    assert account.refused == 0


# --- A7: the moment of expiry ---------------------------------------------------------------------------------------

CALLERS = crowd_of(10_000)


@pytest.mark.parametrize("age", [3300.0, 3600.0], ids=["renewal", "expiry"])
def test_a07_a_crowd_of_callers_makes_one_token_request(wire, account, age):
    """However many callers find the token used up, one request brings the next one, and everybody gets an answer."""

    async def main(client):
        await client.derivatives.get("t1")
        await asyncio.sleep(age)
        found = await asyncio.gather(*(client.derivatives.get("t1") for _ in range(CALLERS)))
        return {type(each) for each in found}

    assert account.run(main) == {DerivativeSet}
    assert account.issued == 2
    assert account.refused == 0
    assert len(wire.asked) == 2 + 1 + CALLERS


def test_a07_a_crowd_of_callers_asks_a_source_of_the_callers_own_once(wire):
    """A custom token source is asked once for all of them, too."""
    wire.answer = lambda _: NONE
    source = Source(Token("token-1"), takes=0.5)

    async def main(client):
        await asyncio.gather(*(client.derivatives.get("t1") for _ in range(CALLERS)))

    wire.run(main, auth=source, rate_limit=None, in_flight=CALLERS)

    assert source.calls == 1


# --- A8: a caller is cancelled --------------------------------------------------------------------------------------


@pytest.mark.parametrize("when", [0.0, 0.025, 0.05], ids=["as it begins", "half way", "as it ends"])
@pytest.mark.parametrize("who", [0, 1, 50, 99], ids=["the first", "the second", "a middle one", "the last"])
@pytest.mark.parametrize("why", ["first use", "401"])
def test_a08_cancelling_one_caller_during_a_renewal_harms_no_other(account, why, who, when):
    """Whoever is cancelled, the renewal goes on, and all others get their answers from it."""

    async def main(client):
        if why == "401":
            await client.derivatives.get("t1")
            account.revoke()
        calls = [asyncio.create_task(client.derivatives.get("t1")) for _ in range(100)]
        await asyncio.sleep(when + (0.05 if why == "401" else 0.0))
        calls[who].cancel()
        results = await asyncio.gather(*calls, return_exceptions=True)
        return type(results.pop(who)), {type(result) for result in results}

    assert account.run(main) == (asyncio.CancelledError, {DerivativeSet})
    assert account.issued == (1 if why == "first use" else 2)


def test_a08_a_renewal_whose_callers_are_all_cancelled_leaves_the_client_usable(account):
    """Nobody is left to wait for the token, and the next call works."""

    async def main(client):
        calls = [asyncio.create_task(client.derivatives.get("t1")) for _ in range(100)]
        await asyncio.sleep(0.025)
        for call in calls:
            call.cancel()
        results = await asyncio.gather(*calls, return_exceptions=True)
        return {type(result) for result in results}, (await client.derivatives.get("t1")).final

    assert account.run(main) == ({asyncio.CancelledError}, True)
    assert account.issued <= 2


def test_a08_a_time_out_of_the_caller_that_began_the_renewal_is_its_own(account):
    """`asyncio.timeout` around one call ends that call, and no other."""

    async def main(client):
        async def hasty():
            async with asyncio.timeout(0.01):
                await client.derivatives.get("t1")

        return await asyncio.gather(hasty(), *(client.derivatives.get("t1") for _ in range(9)), return_exceptions=True)

    hasty, *others = account.run(main)

    assert type(hasty) is TimeoutError
    assert {type(other) for other in others} == {DerivativeSet}
    assert account.issued == 1


# --- A9: a renewal fails --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("auth", ["credentials", "a source of the caller's own"])
def test_a09_every_waiter_gets_an_error_of_its_own(wire, account, auth):
    """A hundred waiters raise a hundred errors: none grows with the tracebacks of the others."""
    wire.answer = lambda _: (401, {}, b"")
    source = Source(Unauthorized("no", status=401), takes=0.1)

    async def main(client):
        return await asyncio.gather(*(client.derivatives.get("t1") for _ in range(100)), return_exceptions=True)

    errors = account.run(main, **({} if auth == "credentials" else {"auth": source}))

    assert {type(error) for error in errors} == {Unauthorized}
    assert len({id(error) for error in errors}) == 100
    assert max(len(traceback.extract_tb(error.__traceback__)) for error in errors) < 30


def test_a09_the_call_after_a_failed_renewal_starts_a_new_one(wire, account):
    """A failure is not kept: whoever calls next asks again."""
    wire.answer = lambda asked: (401, {}, b"") if asked.at < 1 else account(asked)

    async def main(client):
        with pytest.raises(Unauthorized):
            await client.derivatives.get("t1")
        await asyncio.sleep(1)
        return await client.derivatives.get("t1")

    assert account.run(main).final


@pytest.mark.parametrize("error", [OSError, KeyError, RuntimeError, TimeoutError, ZeroDivisionError])
def test_a09_a_source_that_fails_is_an_error_of_ours(wire, error):
    """What a token source of the caller's own raises reaches the caller as an `IceyeError`, and is not kept."""
    wire.answer = lambda _: NONE
    source = Source(error("the vault is sealed"))

    async def main(client):
        with pytest.raises(IceyeError):
            await client.derivatives.get("t1")
        source.tokens = [Token("token-1")]
        return await client.derivatives.get("t1")

    assert wire.run(main, auth=source).final


# --- A10: a token is revoked ----------------------------------------------------------------------------------------


def test_a10_a_token_revoked_in_the_middle_of_a_wait_is_not_felt(account):
    """The wait renews the token once and goes on; no update is lost or repeated."""
    seen = []

    async def main(client):
        async for update in client.await_derivatives("t1", poll=QUICK):
            seen.append([derivative.id for derivative in update.fresh])
            if len(seen) == 2:
                account.revoke()
            if len(seen) == 4:
                account.look = (200, {}, READY)

    account.look = (206, {}, PARTLY)
    account.run(main)

    assert seen == [[], [], [], [], ["d1"]]
    assert account.issued == 2


def test_a10_a_hundred_waits_share_one_renewal(account):
    """All waits of a client find the token refused at about the same time; one renewal serves them all."""

    async def main(client):
        waits = [asyncio.create_task(client.await_derivatives("t1", poll=QUICK)) for _ in range(100)]
        await asyncio.sleep(25)
        account.revoke()
        await asyncio.sleep(25)
        account.look = (200, {}, READY)
        return await asyncio.gather(*waits)

    account.look = (206, {}, PARTLY)

    assert all(found.ready == {"DC_VESSELS"} for found in account.run(main))
    assert account.issued == 2


async def test_a10_a_second_refusal_is_unauthorized(client, service, clock):
    """A new token that is refused like the old one ends the call, after one renewal and one replay."""
    service.answers("/token", said("token-1"), said("token-2"), said("token-3"))
    service.answers(LOOK, (401, {}, b'{"code": "unauthorized", "message": "no"}'))

    with pytest.raises(Unauthorized):
        await client.derivatives.get("t1")

    assert bearers(service) == ["Bearer token-1", "Bearer token-2"]
    assert not clock.waits


async def test_a10_a_wait_that_is_refused_for_good_keeps_what_it_had(client, service):
    """`Unauthorized` ends the wait at once, and what had arrived is on `.latest`."""
    service.answers("/token", said("token-1"), said("token-2"), said("token-3"))
    service.answers(LOOK, (206, {}, READY), (401, {}, b""))
    waiting = client.await_derivatives("t1", poll=QUICK)

    with pytest.raises(Unauthorized):
        await waiting

    assert waiting.latest.ready == {"DC_VESSELS"}
    assert len(service.asked("/token")) == 2


def test_a10_a_revoked_token_while_the_token_endpoint_is_down_is_survived_by_a_wait(wire, account):
    """The wait goes on when there are tokens again."""
    account.look = lambda asked: (200, {}, READY) if asked.at > 600 else (206, {}, PARTLY)

    def answer(asked):
        return (503, {}, b"") if asked.path == "/token" and 90 <= asked.at < 400 else account(asked)

    wire.answer = answer

    async def main(client):
        asyncio.get_running_loop().call_at(100, account.revoke)
        return await client.await_derivatives("t1", poll=QUICK)

    assert account.run(main).ready == {"DC_VESSELS"}


# --- A11: a storm of refusals ---------------------------------------------------------------------------------------

REFUSED = crowd_of(5000)


async def storm(account, client, count=REFUSED):
    """So many calls under way with one token, all refused, over the time of several renewals."""
    waves = [await account.send(client, count // 10, latency=0.05 + 0.1 * wave) for wave in range(10)]
    account.revoke()
    return await asyncio.gather(*(call for wave in waves for call in wave), return_exceptions=True)


def test_a11_a_crowd_of_refusals_makes_one_renewal(account):
    """Those that are refused later find the new token there, and use it."""

    async def main(client):
        await client.derivatives.get("t1")
        return await storm(account, client)

    assert {type(result) for result in account.run(main)} == {DerivativeSet}
    assert account.refused == REFUSED
    assert account.issued == 2


def test_a11_refusals_that_come_when_the_next_token_is_refused_too_renew_once_per_token(account):
    """Three tokens are revoked one after the other: each costs one renewal, and late refusals cost none."""

    async def main(client):
        await client.derivatives.get("t1")
        late = await account.send(client, 1000, latency=30.0)
        for _ in range(3):
            calls = await account.send(client, 1000)
            account.revoke()
            assert {type(found) for found in await asyncio.gather(*calls)} == {DerivativeSet}
        return await asyncio.gather(*late)

    assert {type(found) for found in account.run(main)} == {DerivativeSet}
    assert account.issued == 4


def test_a11_a_storm_that_no_token_calms_ends_after_one_renewal(wire, account):
    """The service refuses every token: everybody is told so, and nobody goes on renewing."""
    refuse = []
    wire.answer = lambda asked: (401, {}, b"") if refuse and asked.path != "/token" else account(asked)

    async def main(client):
        await client.derivatives.get("t1")
        refuse.append(True)
        return await storm(account, client, 1000)

    assert {type(result) for result in account.run(main)} == {Unauthorized}
    assert account.issued == 2


def test_a11_a_token_endpoint_that_gives_the_same_token_again_is_asked_once(wire, account):
    """A token endpoint that hands out its one cached token is not asked by each of 5,000 refused calls."""
    account.always = "token-0"
    refuse = []
    wire.answer = lambda asked: (401, {}, b"") if refuse and asked.path != "/token" else account(asked)

    async def main(client):
        await client.derivatives.get("t1")
        refuse.append(True)
        results = await storm(account, client)
        issued = account.issued
        refuse.clear()
        return results, issued, await client.derivatives.get("t1")

    results, issued, after = account.run(main)

    assert {type(result) for result in results} == {Unauthorized}
    assert issued == 2
    assert after.final


SAME = Token("token-0")


@pytest.mark.parametrize(
    ("second", "count"),
    [(SAME, 1000), (Token("token-0"), REFUSED), (Token("token-1"), 1000)],
    ids=["the same object", "the same value", "a new token"],
)
def test_a11_a_source_of_the_callers_own_is_asked_once_for_the_storm(wire, account, second, count):
    """One renewal per token generation, also where the generation after it has the same value."""
    source = Source(SAME, second, takes=0.05)
    refuse = []

    def answer(asked):
        return (401, {}, b"") if refuse and "token-0" in asked.headers["Authorization"] else NONE

    wire.answer = answer

    async def main(client):
        await client.derivatives.get("t1")
        refuse.append(True)
        return await storm(account, client, count)

    results = account.run(main, auth=source)

    assert {type(result) for result in results} == {DerivativeSet if second.value == "token-1" else Unauthorized}
    assert source.calls == 2


@pytest.mark.parametrize(
    "second",
    [pytest.param(SAME, id="the same object"), pytest.param(Token("token-0"), id="the same value")],
)
def test_a11_a_source_that_had_no_other_token_is_asked_again_by_a_later_call(wire, account, second):
    """A source whose next token comes from elsewhere, and late: once it is there, the next refusal brings it."""
    source = Source(SAME, second, Token("token-1"))
    wire.answer = lambda asked: NONE if "token-1" in asked.headers["Authorization"] else (401, {}, b"")

    async def main(client):
        with pytest.raises(Unauthorized):
            await client.derivatives.get("t1")
        await asyncio.sleep(60)
        return await client.derivatives.get("t1")

    assert account.run(main, auth=source).final
    assert source.calls == 3


# --- A12: clocks ----------------------------------------------------------------------------------------------------


@pytest.fixture
def jump(monkeypatch):
    """Sets the computer's wall clock so many seconds off; no other clock notices."""
    real = time.time

    def jump(seconds):
        monkeypatch.setattr(time, "time", lambda: real() + seconds)

    return jump


@pytest.mark.parametrize("seconds", [DAY, -DAY, 3600, -3600, 400 * DAY], ids=str)
async def test_a12_the_wall_clock_may_jump(client, service, clock, jump, seconds):
    """A wall clock that jumps neither renews a token early nor keeps it longer: its age is monotonic."""
    service.answers("/token", *(said(f"token-{number}") for number in range(1, 4)))
    service.answers(LOOK, (200, {"Date": "Thu, 01 Jan 2026 00:00:00 GMT"}, b'{"data": []}'))
    await client.derivatives.get("t1")
    jump(seconds)
    clock.time += 3200
    await client.derivatives.get("t1")
    clock.time += 200
    await client.derivatives.get("t1")

    assert bearers(service) == ["Bearer token-1", "Bearer token-1", "Bearer token-2"]


@pytest.mark.parametrize("during", ["idle", "a wait"])
def test_a12_a_suspend_that_the_clock_did_not_see_is_mended_by_one_renewal(account, during):
    """The token ran out while the client's clock stood still: the service refuses it, and one renewal helps all."""
    account.look = (206, {}, PARTLY)

    async def main(client):
        if during == "idle":
            await client.derivatives.get("t1")
            account.revoke()
            account.look = NONE
            return await asyncio.gather(*(client.derivatives.get("t1") for _ in range(500)))
        waits = [asyncio.create_task(client.await_derivatives("t1", poll=QUICK)) for _ in range(500)]
        await asyncio.sleep(15)
        account.revoke()
        account.look = (200, {}, READY)
        return await asyncio.gather(*waits)

    assert {type(found) for found in account.run(main)} == {DerivativeSet}
    assert account.issued == 2


@pytest.mark.parametrize("hours", [8, 24 * 30])
async def test_a12_a_suspend_that_the_clock_saw_renews_before_anything_is_sent(client, service, clock, hours):
    """After waking, everybody shares one renewal, and the old token is not even tried."""
    service.answers("/token", said("token-1"), said("token-2"))
    await client.derivatives.get("t1")
    clock.time += hours * 3600

    await asyncio.gather(*(client.derivatives.get("t1") for _ in range(50)))

    assert bearers(service) == ["Bearer token-1"] + ["Bearer token-2"] * 50
    assert len(service.asked("/token")) == 2


@pytest.mark.parametrize("saw", [True, False], ids=["the clock saw it", "the clock stood still"])
async def test_a12_a_suspend_in_the_middle_of_a_renewal_is_mended(client, service, clock, saw):
    """The token that arrives after eight hours may be dead on arrival: the next refusal renews it."""

    async def sleep_over(request):
        clock.time += 8 * 3600 if saw else 0
        return web.json_response({"access_token": "token-1", "expires_in": 3600})

    async def answer(request):
        dead = request.headers["Authorization"] == "Bearer token-1"
        return web.json_response({"data": []}, status=401 if dead else 200)

    service.answers("/token", sleep_over, said("token-2"))
    service.answers(LOOK, answer)

    assert (await client.derivatives.get("t1")).final

    assert len(service.asked("/token")) == 2


# --- A13: redirects -------------------------------------------------------------------------------------------------

REDIRECTS = [
    (301, "another host"),
    (302, "another host"),
    (303, "another host"),
    (307, "another host"),
    (308, "another host"),
    (307, "another scheme"),
    (302, "the same origin"),
    (308, "a path"),
    (301, "nonsense"),
    (303, "none"),
]


def location(service, other, kind):
    """A `Location` header of this kind, with something secret in it."""
    leads = {
        "another host": f"{other.url}/steal?code=s3cr3t",
        "another scheme": f"{service.url.replace('http', 'https')}/steal?code=s3cr3t",
        "the same origin": f"{service.url}/steal?code=s3cr3t",
        "a path": "/steal?code=s3cr3t",
        "nonsense": "http://[s3cr3t",
    }
    return {"Location": leads[kind]} if kind in leads else {}


@pytest.mark.parametrize("call", ["get", "wait"])
@pytest.mark.parametrize(("status", "kind"), REDIRECTS)
async def test_a13_a_redirect_is_not_followed(connect, service, other, status, kind, call):
    """It is an `ApiError` with the 3xx status, at once; the token goes nowhere else, and the target is not quoted."""
    service.answers(LOOK, (status, location(service, other, kind), b"<a href='/steal?code=s3cr3t'>here</a>"))
    client = connect(auth="token-1")

    with pytest.raises(ApiError, match="redirect") as caught:
        await (client.derivatives.get("t1") if call == "get" else client.await_derivatives("t1"))

    assert caught.value.status == status
    assert "s3cr3t" not in everything(caught.value)
    assert len(service.requests) == 1
    assert not other.requests


@pytest.mark.parametrize(("status", "kind"), REDIRECTS)
async def test_a13_a_token_request_is_not_redirected(client, service, other, status, kind):
    """The client secret goes to the token URL as it was given, and to nothing else."""
    service.answers("/token", (status, location(service, other, kind), b""))

    with pytest.raises(ApiError, match="token") as caught:
        await client.derivatives.get("t1")

    assert caught.value.status == status
    assert "s3cr3t" not in everything(caught.value)
    assert len(service.requests) == 1
    assert not other.requests


# --- A14: where credentials may be sent -----------------------------------------------------------------------------

UNSAFE = [
    "http://platform.iceye.com",
    "http://platform.iceye.com:443",
    "HTTP://platform.iceye.com",
    "http://127.0.0.1.evil.example",
    "http://localhost.evil.example",
    "http://127.0.0.1@evil.example",
    "http://192.168.0.1",
    "http://169.254.169.254",
    "http://[::ffff:10.0.0.1]",
    "ws://platform.iceye.com",
    "file:///etc/passwd",
    "https:/platform.iceye.com",
    "https//platform.iceye.com",
    "https://platform.iceye.com:99999",
    "https://[::1",
    "https://id:secret-0815@platform.iceye.com",
]


@pytest.mark.parametrize("url", UNSAFE)
def test_a14_an_address_that_would_show_the_credentials_is_refused(monkeypatch, url):
    """Refused when the client is made, by hand or from the environment, before anything could be sent."""
    monkeypatch.setenv("ICEYE_BASE_URL", url)
    monkeypatch.setenv("ICEYE_ACCESS_TOKEN", "token-1")
    for name in ("ICEYE_TOKEN_URL", "ICEYE_CLIENT_ID", "ICEYE_CLIENT_SECRET"):
        monkeypatch.delenv(name, raising=False)
    makers = (
        lambda: Client(url, auth="token-1"),
        lambda: ClientCredentials(url, "an-id", SECRET),
        lambda: ClientCredentials(f"{url}/token", "an-id", SECRET),
        Client.from_env,
    )
    for make in makers:
        with pytest.raises(UsageError) as caught:
            make()
        assert SECRET not in str(caught.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.8.8.8", "[::1]"])
def test_a14_a_sandbox_on_this_machine_may_be_plain_http(host):
    """Loopback is the one place where http is fine."""
    Client(f"http://{host}:8000", auth=ClientCredentials(f"http://{host}:8000/token", "an-id", SECRET))


class NoSuchHost(AbstractResolver):
    """Knows no host at all."""

    def __init__(self):
        self.asked = []

    async def resolve(self, host, port=0, family=0):
        self.asked.append(host)
        raise OSError(-2, "Name or service not known")

    async def close(self):
        pass


async def test_a14_a_host_name_with_a_typo_is_an_error_that_says_where_to_look(connect):
    """No connection, so nothing is sent; the error says that the name cannot be found and the address is to check."""
    resolver = NoSuchHost()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(resolver=resolver)) as http:
        client = connect("https://platfrom.iceye.example", auth="token-1", http=http)

        with pytest.raises(TransportError, match="address") as caught:
            await client.derivatives.get("t1")

    assert set(resolver.asked) == {"platfrom.iceye.example"}
    assert "token-1" not in everything(caught.value)


@pytest.mark.parametrize(
    "url", ["https://a..b.example", f"https://{'a' * 64}.example", "https://a b.example", "https://%zz"]
)
async def test_a14_a_host_name_that_cannot_be_one_is_an_error_of_ours(connect, url):
    """Refused when the client is made, or an error of no connection at the first call; never a foreign exception."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(resolver=NoSuchHost())) as http:
        with pytest.raises((UsageError, TransportError)):
            await connect(url, auth="token-1", http=http).derivatives.get("t1")


# --- A15: 403 is not 401 --------------------------------------------------------------------------------------------

LOOKS = {
    "derivatives.get": lambda client: client.derivatives.get("t1"),
    "await_derivatives": lambda client: client.await_derivatives("t1"),
}


@pytest.mark.parametrize("call", LOOKS.values(), ids=LOOKS)
async def test_a15_a_403_is_forbidden_at_once(client, service, clock, call):
    """No renewal, no second try: the credentials are good, and do not allow it."""
    service.answers("/token", said("token-1"), said("token-2"))
    service.answers(LOOK, (403, {}, b'{"code": "NO_SCOPE", "message": "not your contract"}'))

    with pytest.raises(Forbidden) as caught:
        await call(client)

    assert (caught.value.code, caught.value.detail) == ("NO_SCOPE", "not your contract")
    assert len(service.asked(LOOK)) == len(service.asked("/token")) == 1
    assert not clock.waits


# --- A16: nothing of the environment signs in -----------------------------------------------------------------------


@pytest.fixture
def everywhere(connect, service, other, tmp_path):
    """A client that asks token endpoint, API and link host, each by the name localhost, and each twice."""
    local = service.url.replace("127.0.0.1", "localhost")
    cookie = {"Set-Cookie": "session=kept; Path=/"}
    document = {"access_token": "token-1", "expires_in": 1}
    service.answers("/token", (200, cookie, json.dumps(document).encode()))
    service.answers(LOOK, (200, cookie, b'{"data": []}'))
    other.answers("/f", (200, cookie, b"content"))
    links = other.url.replace("127.0.0.1", "localhost")
    found = [
        Derivative(id=name, type="V", task_id="t1", assets=(DerivativeAsset(href=f"{links}/f?{name}"),))
        for name in "ab"
    ]

    async def ask(clock):
        client = connect(local, auth=ClientCredentials(f"{local}/token", "an-id", SECRET))
        for _ in range(2):
            await client.derivatives.get("t1")
            clock.time += 3600
        await client.download(found, to=tmp_path / "files")
        return service.asked("/token"), service.asked(LOOK), other.asked("/f")

    return ask


async def test_a16_a_netrc_file_signs_nobody_in(everywhere, clock, monkeypatch, tmp_path):
    """Only the token that was given goes to the API, and nothing at all to the link host."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine localhost login a password b\nmachine 127.0.0.1 login a password b\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HOME", str(tmp_path))

    tokens, looks, files = await everywhere(clock)

    assert {heard.headers["Authorization"] for heard in looks} == {"Bearer token-1"}
    assert all(heard.headers.getall("Authorization")[0].startswith("Basic YW4taWQ6") for heard in tokens)
    assert not [heard for heard in files if "Authorization" in heard.headers]


async def test_a16_a_proxy_of_the_environment_is_not_used_unasked(everywhere, clock, monkeypatch, serve):
    """A client made by hand sends nothing through HTTP_PROXY, HTTPS_PROXY or ALL_PROXY."""
    proxy = await serve()
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        for spelling in (name, name.lower()):
            monkeypatch.setenv(spelling, proxy.url.replace("http://", "http://user:pass@"))
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)

    tokens, looks, files = await everywhere(clock)

    assert (len(tokens), len(looks), len(files)) == (2, 2, 2)
    assert not proxy.requests


async def test_a16_cookies_are_neither_kept_nor_sent(everywhere, clock):
    """What token endpoint, API and link host set as a cookie comes back to none of them."""
    tokens, looks, files = await everywhere(clock)

    assert (len(tokens), len(looks), len(files)) == (2, 2, 2)
    assert not [heard for heard in (*tokens, *looks, *files) if "Cookie" in heard.headers]


async def test_a16_a_borrowed_link_session_does_not_come_to_hold_cookies_half_way(connect, other, tmp_path):
    """`link_http=` that keeps cookies is refused when it is given, or serves every file without sending any."""
    other.answers("/f", (200, {"Set-Cookie": "session=kept; Path=/"}, b"content"))
    links = other.url.replace("127.0.0.1", "localhost")
    async with aiohttp.ClientSession() as borrowed:
        try:
            client = connect(link_http=borrowed)
        except UsageError:
            return
        for name in "ab":
            asset = DerivativeAsset(href=f"{links}/f?{name}")
            await client.download(Derivative(id=name, type="V", task_id="t1", assets=(asset,)), to=tmp_path)

    assert not [heard for heard in other.requests if "Cookie" in heard.headers]


# --- A17: a token that no header can hold ---------------------------------------------------------------------------

UNUSABLE = {
    "empty": "",
    "newline in it": "topsecret\nmore",
    "newline at its end": "topsecret\n",
    "carriage return": "topsecret\rX-Injected: 1",
    "CR LF": "topsecret\r\nX-Injected: 1",
    "NUL": "topsecret\0",
    "tab": "topsecret\tmore",
    "non-ASCII": "t\u00f6psecret",
    "no-break space": "topsecret\u00a0",
    "BOM": "\ufefftopsecret",
    "full-width": "\uff54opsecret",
    "half a character": "topsecret\ud800",
}


@pytest.mark.parametrize("token", UNUSABLE.values(), ids=UNUSABLE)
def test_a17_a_token_that_no_header_can_hold_is_refused_and_not_shown(token):
    """Refused when it is given, and the error says why without the token in it."""
    for make in (lambda: Client(auth=token), lambda: Token(token)):
        with pytest.raises(UsageError, match="token") as caught:
            make()
        assert "psecret" not in str(caught.value)


@pytest.mark.parametrize("way", ["by hand", "from the environment"])
def test_a17_a_refused_token_does_not_show_with_the_locals(monkeypatch, way):
    """Error reporters print the local variables of each frame; in none of ours is the token to be seen."""
    for variable in ("ICEYE_TOKEN_URL", "ICEYE_CLIENT_ID", "ICEYE_CLIENT_SECRET", "ICEYE_BASE_URL"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("ICEYE_ACCESS_TOKEN", "topsecret\nmore")

    with pytest.raises(UsageError) as caught:
        Client(auth="topsecret\nmore") if way == "by hand" else Client.from_env()

    assert "psecret" not in everything(caught.value)


@pytest.mark.parametrize("name", ["newline in it", "CR LF", "tab", "non-ASCII", "BOM", "full-width"])
def test_a17_a_token_of_the_environment_that_no_header_can_hold_is_refused(monkeypatch, name):
    """The same from ICEYE_ACCESS_TOKEN, as it comes out of a file that was pasted wrongly."""
    for variable in ("ICEYE_TOKEN_URL", "ICEYE_CLIENT_ID", "ICEYE_CLIENT_SECRET", "ICEYE_BASE_URL"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("ICEYE_ACCESS_TOKEN", UNUSABLE[name].replace("topsecret", "topsecret-in-the-middle"))

    with pytest.raises(UsageError) as caught:
        Client.from_env()

    assert "psecret" not in str(caught.value)


@pytest.mark.parametrize("end", ["\n", "\r\n", " ", "\u00a0"], ids=ascii)
async def test_a17_space_at_the_end_of_the_environments_token_is_never_sent(monkeypatch, service, end):
    """What a token read from a file ends with is cut off, or the token is refused."""
    for variable in ("ICEYE_TOKEN_URL", "ICEYE_CLIENT_ID", "ICEYE_CLIENT_SECRET"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("ICEYE_ACCESS_TOKEN", f"token-1{end}")
    monkeypatch.setenv("ICEYE_BASE_URL", service.url)
    service.answers(LOOK, NONE)

    try:
        async with Client.from_env() as client:
            await client.derivatives.get("t1")
    except UsageError:
        assert not service.requests
    assert set(bearers(service)) <= {"Bearer token-1"}


@pytest.mark.parametrize("name", [name for name in UNUSABLE if name not in {"empty", "half a character"}])
async def test_a17_a_token_endpoint_that_gives_such_a_token_is_an_error_that_does_not_show_it(client, service, name):
    """It is a `DecodeError`; nothing goes to the API."""
    service.answers("/token", said(UNUSABLE[name]))

    with pytest.raises(DecodeError) as caught:
        await client.derivatives.get("t1")

    assert "psecret" not in everything(caught.value)
    assert not service.asked(LOOK)


# --- no secret in what an error reporter prints ---------------------------------------------------------------------


@pytest.mark.parametrize("answer", [drop, hang, (401, {}, b""), (500, {}, b""), (200, {}, b"<")], ids=named)
@pytest.mark.parametrize("where", ["API", "token endpoint"])
async def test_a10_no_traceback_shows_token_or_secret_not_even_with_locals(
    connect, service, credentials, answer, where
):
    """Error reporters print the local variables of each frame; none of ours holds a secret that shows."""
    service.answers("/token", said("token-1") if where == "API" else answer)
    service.answers(LOOK, answer)

    with pytest.raises(IceyeError) as caught:
        await connect(auth=credentials, timeout=0.05).derivatives.get("t1")

    basic = service.requests[0].headers["Authorization"].removeprefix("Basic ")
    assert not [secret for secret in ("token-1", SECRET, basic) if secret in everything(caught.value)]
