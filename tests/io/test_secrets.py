"""What must never be shown: tokens, client secrets, signed queries and proxy passwords."""

import asyncio
import logging
import traceback

import aiohttp
import pytest
from aiohttp import web

from iceye_async import (
    Client,
    ClientCredentials,
    Derivative,
    DerivativeAsset,
    IceyeError,
    PollPolicy,
    RetryPolicy,
    Token,
)
from tests.showing import chain, everything

LOOK = "/api/tasking/v2/tasks/t1/derivatives"
TOKEN, SECRET, SIGNATURE, PASSWORD = "c4n4ry-tok", "c4n4ry-sec", "c4n4ry~%2F0042", "c4n4ry-pass"
SECRETS = (TOKEN, SECRET, SIGNATURE, PASSWORD, "c4n4ry~/0042")
ECHO = (
    f'{{"code": "BAD {TOKEN}", "message": "got {TOKEN} {SECRET} https://l.example/f?Signature={SIGNATURE}"}}'.encode()
)
# The token endpoint can echo only what it was sent.
TOKEN_ECHO = ECHO.replace(TOKEN.encode(), b"")


def named(answer):
    """A test id that is the same in each process."""
    return getattr(answer, "__name__", repr(answer))


@pytest.fixture(autouse=True)
def silence(caplog):
    """Every test in this file: nothing is logged, at any level by anybody, that holds a secret."""
    caplog.set_level(logging.DEBUG)
    yield
    logged = "".join(f"{record.getMessage()} {record.__dict__}" for record in caplog.get_records("call"))
    assert not [secret for secret in SECRETS if secret in logged]


async def drop(request):
    request.transport.abort()


async def cut_short(request):
    response = web.StreamResponse(headers={"Content-Length": "999"})
    await response.prepare(request)
    await response.write(ECHO)
    request.transport.close()
    return response


async def hang(request):
    await asyncio.Event().wait()


@pytest.mark.parametrize("status", [302, 400, 401, 403, 404, 418, 429, 500, 503])
async def test_an_error_that_echoes_the_token_is_shown_without_it(connect, service, status):
    service.answers(LOOK, (status, {"Location": f"https://x.example/?t={TOKEN}"}, ECHO.replace(SECRET.encode(), b"")))

    with pytest.raises(IceyeError) as caught:
        await connect(auth=TOKEN).derivatives.get("t1")

    assert not [secret for secret in SECRETS if secret in everything(caught.value)]


@pytest.mark.parametrize("answer", [drop, cut_short, hang, (200, {}, ECHO), (200, {}, b"<" + ECHO)], ids=named)
async def test_a_broken_exchange_is_shown_without_the_token(connect, service, answer):
    service.answers(LOOK, answer)

    with pytest.raises(IceyeError) as caught:
        await connect(auth=TOKEN, timeout=0.1, retry=RetryPolicy(tries=2)).derivatives.get("t1")

    assert not [secret for secret in SECRETS if secret in everything(caught.value)]


@pytest.mark.parametrize(
    "answer",
    [
        (400, {}, TOKEN_ECHO),
        (401, {}, TOKEN_ECHO),
        (500, {}, TOKEN_ECHO),
        (200, {}, TOKEN_ECHO),
        (200, {}, b"<" + TOKEN_ECHO),
        drop,
        cut_short,
    ],
    ids=named,
)
async def test_a_failing_token_request_is_shown_without_the_client_secret(connect, service, answer):
    service.answers("/token", answer)
    service.answers(LOOK, (200, {}, b'{"data": []}'))
    client = connect(auth=ClientCredentials(f"{service.url}/token", "an-id", SECRET))

    with pytest.raises(IceyeError) as caught:
        await client.derivatives.get("t1")

    basic = service.requests[0].headers["Authorization"].removeprefix("Basic ")
    shown = everything(caught.value)
    assert SECRET not in shown
    assert basic not in shown


async def test_a_token_that_no_header_can_hold_is_not_shown(connect, service):
    service.answers("/token", (200, {}, f'{{"access_token": "{TOKEN}\\n"}}'.encode()))

    with pytest.raises(IceyeError) as caught:
        await connect(auth=ClientCredentials(f"{service.url}/token", "an-id", SECRET)).derivatives.get("t1")

    assert TOKEN not in everything(caught.value)


async def test_reprs_hold_no_secret(connect, service):
    service.answers(LOOK, (200, {}, b'{"data": []}'))
    token = Token(TOKEN)
    credentials = ClientCredentials("https://id.example/token", "an-id", SECRET)
    client = connect(auth=TOKEN, proxy=None)
    behind = Client("https://api.example", auth=credentials, proxy=f"http://user:{PASSWORD}@proxy.example:1")
    await client.derivatives.get("t1")

    for thing in (token, credentials, client, behind):
        shown = f"{thing!r} {thing!s}"
        assert not [secret for secret in SECRETS if secret in shown]


async def test_reprs_of_what_is_pending_hold_no_signature(connect, service, tmp_path):
    body = f'{{"data": [{{"id": "d", "derivativeProductType": "V", "assets": [{{"href": "https://l.example/f?{SIGNATURE}"}}]}}]}}'
    service.answers(LOOK, (200, {}, body.encode()))
    client = connect(auth=TOKEN)
    waiting = client.await_derivatives("t1")
    found = await waiting
    download = client.download(found, tmp_path)

    shown = repr([found, *found, next(iter(found)).assets, waiting, waiting.latest, download])
    download.close()

    assert "https://l.example/f?..." in shown
    assert SIGNATURE not in shown


@pytest.mark.parametrize("answer", [(403, {}, ECHO), (404, {}, ECHO), (302, {"Location": "/x"}, ECHO), drop, cut_short])
async def test_a_failed_download_is_shown_without_the_signature(connect, other, tmp_path, answer):
    other.answers("/f", answer)
    found = [
        Derivative(
            id=name, type="V", task_id="t1", assets=(DerivativeAsset(href=f"{other.url}/f?Signature={SIGNATURE}"),)
        )
        for name in "ab"
    ]

    with pytest.raises(IceyeError) as caught:
        await connect(auth=TOKEN).download(found, tmp_path)

    assert not [secret for secret in SECRETS if secret in everything(caught.value)]


@pytest.mark.parametrize("base", ["http", "https"])
async def test_a_proxy_that_fails_is_shown_without_its_password(connect, closed_port, base):
    proxy = closed_port.replace("http://", f"http://user:{PASSWORD}@")
    client = connect(f"{base}://127.0.0.1:1", auth=TOKEN, proxy=proxy, retry=RetryPolicy(tries=1))

    with pytest.raises(IceyeError, match="proxy") as caught:
        await client.derivatives.get("t1")

    assert PASSWORD not in everything(caught.value)


async def test_a_proxy_that_refuses_is_shown_without_its_password(connect, service):
    async def refuse(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        client = connect("https://api.example", auth=TOKEN, proxy=f"http://user:{PASSWORD}@127.0.0.1:{port}")

        with pytest.raises(IceyeError, match="proxy") as caught:
            await client.derivatives.get("t1")

    assert PASSWORD not in everything(caught.value)


async def test_a_wait_that_times_out_is_shown_without_the_token(connect, service):
    service.answers(LOOK, (503, {}, ECHO.replace(SECRET.encode(), b"")))

    with pytest.raises(TimeoutError) as caught:
        await connect(auth=TOKEN).await_derivatives("t1", poll=PollPolicy(timeout=60.0))

    assert not [secret for secret in SECRETS if secret in everything(caught.value)]


async def test_an_error_of_aiohttp_is_neither_cause_nor_context(connect, service):
    service.answers(LOOK, drop)

    with pytest.raises(IceyeError) as caught:
        await connect(auth=TOKEN).derivatives.get("t1")

    assert not [link for link in chain(caught.value) if isinstance(link, aiohttp.ClientError)]


async def test_an_unreadable_token_answer_does_not_hang_on_the_error(connect, service):
    service.answers("/token", (200, {}, f'{{"access_token": "{TOKEN}", '.encode()))

    with pytest.raises(IceyeError) as caught:
        await connect(auth=ClientCredentials(f"{service.url}/token", "an-id", SECRET)).derivatives.get("t1")

    assert not [link for link in chain(caught.value) if TOKEN in repr(vars(link))]


async def test_each_request_is_logged_at_debug_by_path_and_status(connect, service, caplog):
    service.answers(LOOK, (200, {}, b'{"data": []}'))

    await connect(auth=TOKEN).derivatives.get("t1")

    (record,) = (record for record in caplog.records if record.name == "iceye_async")
    assert record.levelno == logging.DEBUG
    assert (record.method, record.path, record.status) == ("GET", LOOK, 200)


async def test_a_time_out_around_a_call_does_not_lead_to_frames_that_hold_the_token(connect, service):
    """Its cause is a cancellation that went through aiohttp, where the headers are locals."""
    service.answers(LOOK, hang)
    client = connect(auth=TOKEN)

    with pytest.raises(TimeoutError) as caught:
        await asyncio.wait_for(client.derivatives.get("t1"), 0.05)

    for link in chain(caught.value):
        for frame, _ in traceback.walk_tb(link.__traceback__):
            if frame.f_code.co_filename != __file__:
                assert TOKEN not in repr(frame.f_locals)
