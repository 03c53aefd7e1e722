"""HTTP sessions of the caller: used, never closed, and without a say in how a request is sent."""

import asyncio
import contextlib
import gzip

import aiohttp
import aiohttp.web
import pytest

from iceye_async import Derivative, DerivativeAsset, NotFound, StateError, UsageError

LOOK = "/api/tasking/v2/tasks/t1/derivatives"
NONE_YET = (200, {}, b'{"data": []}')


def found(href):
    return Derivative(id="d", type="DC_VESSELS", task_id="t1", assets=(DerivativeAsset(href=href, type="geojson"),))


async def test_borrowed_sessions_stay_open(connect, service, tmp_path):
    service.answers(LOOK, NONE_YET)
    service.answers("/a.geojson", (200, {}, b"{}"))
    async with aiohttp.ClientSession() as http, aiohttp.ClientSession() as link_http:
        client = connect(http=http, link_http=link_http)
        await client.derivatives.get("t1")
        await client.download(found(f"{service.url}/a.geojson"), tmp_path)

        await client.close()

        assert not http.closed
        assert not link_http.closed


async def test_the_settings_of_a_borrowed_session_do_not_matter(connect, service):
    async def slow(request):
        await asyncio.sleep(0.05)
        return aiohttp.web.json_response({"data": []})

    service.answers(LOOK, slow, (404, {}, b'{"code": "not_found"}'))
    headers = {"Authorization": "Bearer another", "Accept": "text/html", "Cache-Control": "max-age=9"}
    timeout = aiohttp.ClientTimeout(total=0.01)
    async with aiohttp.ClientSession(raise_for_status=True, timeout=timeout, headers=headers) as http:
        client = connect(http=http)
        await client.derivatives.get("t1")
        with pytest.raises(NotFound) as caught:
            await client.derivatives.get("t1")

    assert caught.value.code == "not_found"
    for heard in service.requests:
        assert heard.headers.getall("Authorization") == ["Bearer c4n4ry-token"]
        assert "json" in heard.headers["Accept"]
        assert heard.headers["Cache-Control"] == "no-cache"


async def test_a_borrowed_session_that_does_not_decompress_still_gives_answers(connect, service):
    service.answers(LOOK, (200, {"Content-Encoding": "gzip"}, gzip.compress(b'{"data": []}')))
    async with aiohttp.ClientSession(auto_decompress=False) as http:
        assert (await connect(http=http).derivatives.get("t1")).final


async def test_the_settings_of_a_borrowed_link_session_do_not_matter(connect, other, tmp_path):
    async def slow(request):
        await asyncio.sleep(0.05)
        return aiohttp.web.Response(body=b"whole")

    other.answers("/a.geojson", slow)
    timeout = aiohttp.ClientTimeout(total=0.01)
    async with aiohttp.ClientSession(raise_for_status=True, timeout=timeout) as link_http:
        (path,) = await connect(link_http=link_http).download(found(f"{other.url}/a.geojson"), tmp_path)

    assert path.read_bytes() == b"whole"
    assert "Authorization" not in other.requests[0].headers


async def test_a_cookie_in_a_borrowed_link_session_does_not_reach_the_link_host(connect, other, tmp_path):
    other.answers("/a.geojson", (200, {}, b"{}"))
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(cookie_jar=jar, cookies={"session": "c4n4ry-secret"}) as link_http:
        # Refusing such a session would do as well.
        with contextlib.suppress(UsageError):
            await connect(link_http=link_http).download(found(f"{other.url}/a.geojson"), tmp_path)

    assert all("Cookie" not in heard.headers for heard in other.requests)


@pytest.mark.parametrize(
    "options",
    [
        {"headers": {"Authorization": "Bearer x"}},
        {"headers": {"cookie": "a=b"}},
        {"headers": {"proxy-authorization": "Basic x"}},
    ],
    ids=str,
)
async def test_a_link_session_with_credentials_is_refused(connect, options):
    async with aiohttp.ClientSession(**options) as link_http:
        with pytest.raises(UsageError, match="link_http"):
            connect(link_http=link_http)


@pytest.mark.filterwarnings("ignore::DeprecationWarning:aiohttp", "ignore:.*auth:DeprecationWarning")
@pytest.mark.parametrize("name", ["http", "link_http"])
async def test_a_session_with_an_auth_of_its_own_is_refused(connect, name):
    async with aiohttp.ClientSession(auth=aiohttp.BasicAuth("user", "password")) as session:
        with pytest.raises(UsageError, match=f"{name}="):
            connect(**{name: session})


async def test_closing_ends_a_call_over_a_borrowed_session_too(connect, service):
    arrived = asyncio.Event()

    async def hang(request):
        arrived.set()
        await asyncio.Event().wait()

    service.answers(LOOK, hang)
    async with aiohttp.ClientSession() as http:
        client = connect(http=http, timeout=0.3)
        call = asyncio.create_task(client.derivatives.get("t1"))
        await arrived.wait()

        await client.close()

        with pytest.raises(StateError):
            async with asyncio.timeout(2):
                await call


@pytest.mark.parametrize("name", ["http", "link_http"])
async def test_a_session_that_reads_the_environment_is_refused(connect, name):
    """It would take credentials from .netrc, and send them to the link host."""
    async with aiohttp.ClientSession(trust_env=True) as borrowed:
        with pytest.raises(UsageError, match="trust_env"):
            connect(**{name: borrowed})


@pytest.mark.parametrize("name", ["http", "link_http"])
async def test_a_session_that_is_closed_is_refused(connect, name):
    async with aiohttp.ClientSession() as borrowed:
        pass
    with pytest.raises(UsageError, match=name):
        connect(**{name: borrowed})
