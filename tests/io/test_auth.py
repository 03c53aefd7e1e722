"""The access token: asked for as documented, renewed early and by one request, and refused for good only once."""

import asyncio
import base64
import json
from urllib.parse import parse_qs

import pytest
from aiohttp import web

from iceye_async import (
    ApiError,
    ClientCredentials,
    DecodeError,
    IceyeError,
    RateLimited,
    ServerError,
    Token,
    TransportError,
    Unauthorized,
    UsageError,
)

LOOK = "/api/tasking/v2/tasks/t1/derivatives"
NONE_YET = (200, {}, b'{"data": []}')


def token(value, expires_in=3600, **more):
    return (200, {}, json.dumps({"access_token": value, "expires_in": expires_in, **more}).encode())


def bearers(service):
    return [heard.headers["Authorization"] for heard in service.asked(LOOK)]


@pytest.fixture
def client(connect, service):
    """A client that signs in at the scripted token endpoint."""
    service.answers(LOOK, NONE_YET)
    return connect(auth=ClientCredentials(f"{service.url}/token", "an-id", "c4n4ry-secret"), in_flight=2000)


async def test_the_token_request_is_as_documented(client, service):
    service.answers("/token", token("one", token_type="Bearer", scope=""))

    await client.derivatives.get("t1")

    (asked,) = service.asked("/token")
    assert asked.method == "POST"
    assert asked.headers["Authorization"] == "Basic " + base64.b64encode(b"an-id:c4n4ry-secret").decode()
    assert asked.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert parse_qs(asked.body.decode()) == {"grant_type": ["client_credentials"]}
    assert bearers(service) == ["Bearer one"]


async def test_credentials_alone_can_be_asked_for_a_token(service):
    service.answers("/token", token("one", 1800))

    got = await ClientCredentials(f"{service.url}/token", "an-id", "c4n4ry-secret").token()

    assert (got.value, got.expires_in) == ("one", 1800)


@pytest.mark.parametrize(
    ("body", "good_until"),
    [
        ({"expires_in": 3600}, 3300),
        ({"expires_in": "3600"}, 3300),
        ({"expires_in": 1000}, 800),
        ({"expires_in": 10}, 8),
        ({"expires_in": 86_400}, 86_100),
        ({}, 240),
        ({"expires_in": None}, 240),
        ({"expires_in": "soon"}, 240),
        ({"expires_in": [3600]}, 240),
        ({"expires_in": True}, 240),
        ({"expires_in": 0}, 240),
        ({"expires_in": -5}, 240),
    ],
    ids=str,
)
async def test_a_token_is_renewed_a_little_before_its_life_ends(client, service, clock, body, good_until):
    service.answers("/token", *((200, {}, json.dumps({"access_token": name, **body}).encode()) for name in "ab"))
    await client.derivatives.get("t1")

    clock.time += good_until - 0.5
    await client.derivatives.get("t1")
    clock.time += 1.0
    await client.derivatives.get("t1")

    assert bearers(service) == ["Bearer a", "Bearer a", "Bearer b"]


async def test_an_endless_life_is_cut_to_a_month(client, service, clock):
    service.answers("/token", token("a", 10**12), token("b"))
    await client.derivatives.get("t1")

    clock.time += 31 * 86_400
    await client.derivatives.get("t1")

    assert bearers(service) == ["Bearer a", "Bearer b"]


async def test_a_thousand_callers_make_one_token_request(client, service):
    service.answers("/token", token("a"))

    await asyncio.gather(*(client.derivatives.get("t1") for _ in range(1000)))

    assert len(service.asked("/token")) == 1
    assert len(service.asked(LOOK)) == 1000


async def test_cancelling_the_caller_that_started_the_renewal_harms_no_other(client, service):
    arrived, release = asyncio.Event(), asyncio.Event()

    async def slow_token(request):
        arrived.set()
        await release.wait()
        return web.json_response({"access_token": "a", "expires_in": 3600})

    service.answers("/token", slow_token)
    first, second = (asyncio.create_task(client.derivatives.get("t1")) for _ in range(2))
    await arrived.wait()

    first.cancel()
    await asyncio.sleep(0)
    release.set()

    assert (await second).final
    assert first.cancelled()
    assert len(service.asked("/token")) == 1


async def test_a_failed_renewal_reaches_every_waiter_once_and_the_next_call_starts_anew(client, service):
    service.answers("/token", (401, {}, b'{"error": "invalid_client"}'), token("a"))

    errors = await asyncio.gather(*(client.derivatives.get("t1") for _ in range(20)), return_exceptions=True)

    assert {type(error) for error in errors} == {Unauthorized}
    assert len({id(error) for error in errors}) == 20
    assert len(service.asked("/token")) == 1
    assert (await client.derivatives.get("t1")).final


async def test_an_early_renewal_that_fails_leaves_the_old_token_in_use(client, service, clock):
    service.answers("/token", token("a"), (503, {}, b""))
    await client.derivatives.get("t1")

    clock.time += 3400
    await client.derivatives.get("t1")

    assert bearers(service) == ["Bearer a", "Bearer a"]


async def test_an_early_renewal_that_fails_is_not_repeated_for_each_call(client, service, clock):
    service.answers("/token", token("a"), (503, {}, b""))
    await client.derivatives.get("t1")
    clock.time += 3400
    await client.derivatives.get("t1")
    asked = len(service.asked("/token"))

    await asyncio.gather(*(client.derivatives.get("t1") for _ in range(50)))

    assert len(service.asked("/token")) == asked


async def test_a_token_that_has_run_out_is_not_sent(client, service, clock):
    service.answers("/token", token("a"), (503, {}, b""))
    await client.derivatives.get("t1")
    clock.time += 3700

    with pytest.raises(ServerError):
        await client.derivatives.get("t1")

    assert bearers(service) == ["Bearer a"]


@pytest.mark.parametrize("status", [400, 401])
async def test_a_wrong_client_secret_is_an_error_at_once(client, service, clock, status):
    service.answers("/token", (status, {}, b'{"error": "invalid_client"}'))

    with pytest.raises(ApiError, match="client_id and client_secret") as caught:
        await client.derivatives.get("t1")

    assert caught.value.status == status
    assert "token endpoint" in str(caught.value)
    assert len(service.requests) == 1
    assert not clock.waits


async def test_a_wrong_token_url_is_an_error_that_names_it(client, service):
    service.answers("/token", (404, {}, b"<html>"))

    with pytest.raises(ApiError, match="check token_url") as caught:
        await client.derivatives.get("t1")

    assert caught.value.status == 404
    assert len(service.requests) == 1


@pytest.mark.parametrize(
    "body",
    [b"<html>Please sign in, Ms Example</html>", b"", b"[]", b"{}", b'{"access_token": 7}', b'{"access_token": ""}'],
)
async def test_a_token_answer_that_holds_none_is_unreadable_and_not_quoted(client, service, body):
    service.answers("/token", (200, {"Content-Type": "text/html"}, body))

    with pytest.raises(DecodeError) as caught:
        await client.derivatives.get("t1")

    assert "Ms Example" not in str(caught.value)
    assert not service.asked(LOOK)


@pytest.mark.parametrize("value", ["a\nb", "a b", "t\u00f6ken", "a\r\nX-Injected: 1"])
async def test_a_token_that_no_header_can_hold_is_an_error(client, service, value):
    service.answers("/token", token(value))

    with pytest.raises(DecodeError) as caught:
        await client.derivatives.get("t1")

    assert value not in str(caught.value)


async def test_the_token_endpoint_may_fail_for_a_while(client, service):
    service.answers("/token", (500, {}, b""), (503, {}, b"<html>"), token("a"))

    assert (await client.derivatives.get("t1")).final


async def test_a_throttled_token_request_waits_and_all_callers_share_the_wait(client, service):
    service.answers("/token", (429, {"Retry-After": "7"}, b""), token("a"))

    await asyncio.gather(*(client.derivatives.get("t1") for _ in range(20)))

    refused, granted = service.asked("/token")
    assert granted.at - refused.at >= 7


async def test_a_token_endpoint_that_throttles_for_good_is_rate_limited(client, service):
    service.answers("/token", (429, {"Retry-After": "7"}, b""))

    with pytest.raises(RateLimited) as caught:
        await client.derivatives.get("t1")

    assert caught.value.retry_after == 7


@pytest.mark.parametrize("status", [500, 503, 429])
async def test_a_token_endpoint_that_stays_down_is_asked_no_more_often_than_the_policy_says(client, service, status):
    service.answers("/token", (status, {}, b""))

    with pytest.raises(IceyeError) as caught:
        await client.derivatives.get("t1")

    assert caught.value.status == status
    assert len(service.asked("/token")) == 3


async def test_a_token_request_is_not_redirected(client, service, other):
    service.answers("/token", (307, {"Location": f"{other.url}/token"}, b""))

    with pytest.raises(ApiError) as caught:
        await client.derivatives.get("t1")

    assert caught.value.status == 307
    assert not other.requests


async def test_a_token_endpoint_out_of_reach_is_a_transport_error(connect, service, clock, closed_port):
    client = connect(auth=ClientCredentials(f"{closed_port}/token", "an-id", "c4n4ry-secret"))

    with pytest.raises(TransportError):
        await client.derivatives.get("t1")

    assert len(clock.waits) == 2
    assert not service.requests


async def test_a_refused_token_is_renewed_once_and_the_request_replayed(client, service):
    service.answers("/token", token("a"), token("b"))
    service.answers(LOOK, (401, {}, b""), NONE_YET)

    assert (await client.derivatives.get("t1")).final

    assert bearers(service) == ["Bearer a", "Bearer b"]


async def test_a_second_refusal_is_unauthorized(client, service):
    service.answers("/token", token("a"), token("b"), token("c"))
    service.answers(LOOK, (401, {}, b'{"code": "unauthorized", "message": "no"}'))

    with pytest.raises(Unauthorized) as caught:
        await client.derivatives.get("t1")

    assert caught.value.code == "unauthorized"
    assert bearers(service) == ["Bearer a", "Bearer b"]


async def test_a_fixed_token_that_is_refused_is_not_sent_again(connect, service):
    service.answers(LOOK, (401, {}, b""))

    with pytest.raises(Unauthorized):
        await connect(auth="c4n4ry-token").derivatives.get("t1")

    assert len(service.requests) == 1


async def test_a_403_renews_nothing(client, service):
    service.answers("/token", token("a"), token("b"))
    service.answers(LOOK, (403, {}, b""))

    with pytest.raises(ApiError):
        await client.derivatives.get("t1")

    assert len(service.asked("/token")) == 1


async def test_a_storm_of_refusals_makes_one_renewal(client, service):
    revoked = False

    async def answer(request):
        if request.headers["Authorization"] == "Bearer a" and revoked:
            return web.json_response({}, status=401)
        return web.json_response({"data": []})

    service.answers("/token", token("a"), token("b"), token("c"))
    service.answers(LOOK, answer)
    await client.derivatives.get("t1")
    revoked = True

    await asyncio.gather(*(client.derivatives.get("t1") for _ in range(500)))

    assert len(service.asked("/token")) == 2


class Source:
    """Hands out its tokens one after the other and notes what it was told is stale."""

    def __init__(self, *tokens):
        self.tokens, self.stale = list(tokens), []

    async def token(self, stale):
        self.stale.append(stale)
        return self.tokens.pop(0)


async def test_a_source_of_the_callers_own_is_asked_when_needed(connect, service, clock):
    source = Source(Token("a", 1000), Token("b", 1000), Token("c", 1000))
    service.answers(LOOK, NONE_YET, NONE_YET, (401, {}, b""), NONE_YET)
    client = connect(auth=source)

    await client.derivatives.get("t1")
    clock.time += 900
    await client.derivatives.get("t1")
    await client.derivatives.get("t1")

    assert bearers(service) == ["Bearer a", "Bearer b", "Bearer b", "Bearer c"]
    assert source.stale == [None, None, "b"]


async def test_a_source_that_has_no_other_token_means_unauthorized(connect, service):
    service.answers(LOOK, (401, {}, b""))

    with pytest.raises(Unauthorized):
        await connect(auth=Source(Token("a"), Token("a"))).derivatives.get("t1")

    assert len(service.requests) == 1


@pytest.mark.parametrize("given", ["a-bare-string", None, Token("a", "3600")], ids=["str", "None", "life is a str"])
async def test_a_source_that_gives_no_token_is_an_error_of_ours(connect, service, given):
    service.answers(LOOK, NONE_YET)

    with pytest.raises(IceyeError):
        await connect(auth=Source(given, given)).derivatives.get("t1")


async def test_a_throttled_token_endpoint_is_left_alone_by_everybody(connect, service, clock):
    service.answers("/token", (429, {"Retry-After": "600"}, b""))
    client = connect(auth=ClientCredentials(f"{service.url}/token", "an-id", "c4n4ry-secret"))

    for _ in range(5):
        with pytest.raises(RateLimited) as caught:
            await client.derivatives.get("t1")
        assert 590 < caught.value.retry_after <= 600

    assert len(service.asked("/token")) == 1


async def test_a_renewal_that_was_cancelled_before_it_began_does_not_wedge_the_client(connect, service):
    service.answers("/token", (200, {}, b'{"access_token": "a", "expires_in": 3600}'))
    service.answers("/api/tasking/v2/tasks/t1/derivatives", (200, {}, b'{"data": []}'))
    client = connect(auth=ClientCredentials(f"{service.url}/token", "an-id", "c4n4ry-secret"))
    before = asyncio.all_tasks()
    call = asyncio.create_task(client.derivatives.get("t1"))
    await asyncio.sleep(0)
    (renewal,) = asyncio.all_tasks() - before - {call}
    renewal.cancel()
    await asyncio.wait([call])

    assert (await client.derivatives.get("t1")).final


def test_a_secret_that_is_no_text_is_refused_and_not_shown():
    with pytest.raises(UsageError) as caught:
        ClientCredentials("https://t.example/token", "an-id", "topsecret\udcff")

    assert "topsecret" not in str(caught.value)
    assert caught.value.__context__ is None
