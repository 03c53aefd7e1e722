"""One request of the API: what goes out, what is not followed, and how long it may take."""

import asyncio
import gzip

import pytest
from aiohttp import web

from iceye_async import ApiError, DecodeError, Forbidden, RetryPolicy, ServerError, TransportError

TASK = "/api/tasking/v2/tasks/t1"
LOOK = f"{TASK}/derivatives"
NONE_YET = (200, {}, b'{"data": []}')
ONCE = RetryPolicy(tries=1)


async def hang(request):
    await asyncio.Event().wait()


def drip(first, *more):
    async def answer(request):
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(first)
        for piece in more:
            await response.write(piece)
        return response

    return answer


async def test_each_request_carries_the_token_and_asks_for_fresh_json(connect, service):
    service.answers(LOOK, NONE_YET)
    client = connect()

    await client.derivatives.get("t1")
    await client.derivatives.get("t1")

    for heard in service.requests:
        assert heard.headers.getall("Authorization") == ["Bearer c4n4ry-token"]
        assert "application/json" in heard.headers["Accept"]
        assert "application/problem+json" in heard.headers["Accept"]
        assert heard.headers["Cache-Control"] == "no-cache"
        assert "Range" not in heard.headers
        assert "Cookie" not in heard.headers


async def test_a_cookie_that_the_service_sets_is_not_kept(connect, service):
    service.answers(LOOK, (200, {"Set-Cookie": "session=1"}, b'{"data": []}'))
    client = connect()

    await client.derivatives.get("t1")
    await client.derivatives.get("t1")

    assert "Cookie" not in service.requests[-1].headers


async def test_an_id_stays_one_segment_of_the_path(connect, service):
    service.answers("/api/tasking/v2/tasks/a/b?c#d/derivatives", NONE_YET)

    await connect().derivatives.get("a/b?c#d")

    assert service.requests[0].target == "/api/tasking/v2/tasks/a%2Fb%3Fc%23d/derivatives"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_an_error_and_the_other_host_hears_nothing(connect, service, other, status):
    service.answers(LOOK, (status, {"Location": f"{other.url}/elsewhere"}, b""))

    with pytest.raises(ApiError) as caught:
        await connect().derivatives.get("t1")

    assert caught.value.status == status
    assert not caught.value.transient
    assert len(service.requests) == 1
    assert not other.requests


async def test_the_two_documented_error_bodies_are_read(connect, service):
    service.answers(LOOK, (403, {}, b'{"title": "No", "code": "NO_SCOPE", "details": "not yours", "reference": "r-1"}'))
    service.answers(TASK, (403, {"X-Request-Id": "q-7"}, b'{"code": "NO_SCOPE", "message": "not yours"}'))
    client = connect()

    with pytest.raises(Forbidden) as problem:
        await client.derivatives.get("t1")
    with pytest.raises(Forbidden) as plain:
        await client.tasks.get("t1")

    facts = problem.value
    assert (facts.code, facts.title, facts.detail, facts.reference) == ("NO_SCOPE", "No", "not yours", "r-1")
    assert (plain.value.code, plain.value.detail, plain.value.request_id) == ("NO_SCOPE", "not yours", "q-7")


@pytest.mark.parametrize("body", [b"", b"<html>Bad gateway</html>", b"\xff\xfe", b"[" * 5000, b"null", b'{"code": 7}'])
async def test_an_error_with_any_other_body_is_known_by_its_status(connect, service, body):
    service.answers(LOOK, (502, {}, body))

    with pytest.raises(ServerError) as caught:
        await connect(retry=ONCE).derivatives.get("t1")

    assert caught.value.status == 502
    assert caught.value.code is None


@pytest.mark.parametrize("body", [b"", b"<html>Sign in</html>", b"\xff\xfe", b"[" * 5000, b"null", b'{"data": {}}'])
async def test_an_unreadable_answer_is_a_decode_error(connect, service, body):
    service.answers(LOOK, (200, {"Content-Type": "text/html"}, body))

    with pytest.raises(DecodeError):
        await connect().derivatives.get("t1")


@pytest.mark.parametrize("kind", ["plain", "chunked", "gzip"])
async def test_a_body_over_the_cap_is_refused(connect, service, monkeypatch, kind):
    monkeypatch.setattr("iceye_async.exchange.BODY_CAP", 50_000)
    body = b" " * 4_000_000 + b'{"data": []}'
    answers = {
        "plain": (200, {}, body),
        "chunked": drip(*(body[start : start + 65_536] for start in range(0, len(body), 65_536))),
        "gzip": (200, {"Content-Encoding": "gzip"}, gzip.compress(body)),
    }
    service.answers(LOOK, answers[kind])
    service.answers(f"{TASK}2/derivatives", NONE_YET)
    client = connect()

    with pytest.raises(DecodeError, match="longer than"):
        await client.derivatives.get("t1")
    assert len(await client.derivatives.get("t12")) == 0


async def test_a_gzip_body_within_the_cap_is_read(connect, service):
    service.answers(LOOK, (200, {"Content-Encoding": "gzip"}, gzip.compress(b'{"data": []}')))

    assert (await connect().derivatives.get("t1")).final


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "unheard-of"])
async def test_a_body_that_is_not_encoded_as_it_says_is_an_error_of_ours(connect, service, encoding):
    service.answers(LOOK, (200, {"Content-Encoding": encoding}, b"\x00not compressed at all"))

    with pytest.raises((TransportError, DecodeError)):
        await connect().derivatives.get("t1")


async def test_headers_that_never_come_are_a_time_out(connect, service):
    service.answers(LOOK, hang)

    with pytest.raises(TransportError, match=r"0\.05 s") as caught:
        await connect(timeout=0.05, retry=ONCE).derivatives.get("t1")

    assert caught.value.transient


async def test_a_body_that_stops_half_way_is_a_time_out(connect, service):
    async def stall(request):
        response = web.StreamResponse(headers={"Content-Length": "100"})
        await response.prepare(request)
        await response.write(b'{"data"')
        await hang(request)

    service.answers(LOOK, stall)

    with pytest.raises(TransportError):
        await connect(timeout=0.05, retry=ONCE).derivatives.get("t1")


async def test_time_outs_of_many_requests_are_their_own(connect, service):
    service.answers(LOOK, hang)
    service.answers(f"{TASK}2/derivatives", NONE_YET)
    client = connect(timeout=0.5, retry=ONCE)

    results = await asyncio.gather(
        *(client.derivatives.get(task) for task in ["t1", "t12"] * 4), return_exceptions=True
    )

    assert [type(result).__name__ for result in results] == ["TransportError", "DerivativeSet"] * 4


async def test_a_time_out_of_the_caller_stays_one(connect, service):
    service.answers(LOOK, hang)
    service.answers(f"{TASK}2/derivatives", NONE_YET)
    client = connect()

    with pytest.raises(TimeoutError) as caught:
        async with asyncio.timeout(0.05):
            await client.derivatives.get("t1")

    assert type(caught.value) is TimeoutError
    assert (await client.derivatives.get("t12")).final


async def test_cancelling_a_call_is_a_cancellation(connect, service):
    arrived = asyncio.Event()

    async def tell_and_hang(request):
        arrived.set()
        await hang(request)

    service.answers(LOOK, tell_and_hang)
    call = asyncio.create_task(connect().derivatives.get("t1"))
    await arrived.wait()

    call.cancel()

    with pytest.raises(asyncio.CancelledError):
        await call


async def test_plain_http_behind_an_https_address_is_a_tls_error_and_not_repeated(connect, clock):
    async def speak_at_once(reader, writer):
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await reader.read()
        writer.close()

    server = await asyncio.start_server(speak_at_once, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    client = connect(f"https://127.0.0.1:{port}")

    async with server:
        with pytest.raises(TransportError, match="TLS") as caught:
            await client.derivatives.get("t1")

    assert not caught.value.transient
    assert not clock.waits
