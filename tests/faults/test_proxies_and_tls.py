"""Company networks: `proxy=`, `ssl=`, HTTPS_PROXY and NO_PROXY, and catalogue row B8, for API, token and link hosts."""

import asyncio
import base64
import datetime
import json
import logging
import os
import re
import socket
import ssl
import sys
import textwrap
import traceback
from contextlib import AsyncExitStack, suppress
from urllib.parse import urlsplit

import aiohttp
import pytest
import trustme
from aiohttp import web

from iceye_async import (
    Client,
    ClientCredentials,
    Derivative,
    DerivativeAsset,
    DownloadError,
    IceyeError,
    RetryPolicy,
    TransportError,
    UsageError,
)
from tests.showing import everything

LOOK = "/api/tasking/v2/tasks/t1/derivatives"
USER, PASSWORD, TOKEN, SECRET, SIGNATURE = "firm-user", "pass-1234", "token-4711", "secret-0815", "sig-0042"
SIGN_ON = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
SECRETS = (PASSWORD, TOKEN, SECRET, SIGNATURE, SIGN_ON)
CONTENT = b'{"type": "FeatureCollection", "features": []}'
NAMES = {"API": "api.example", "token": "id.example", "link": "links.example"}
"""The three kinds of hosts, and their names where there is a proxy that finds them."""

VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


def leaked(text):
    return [secret for secret in SECRETS if secret in text]


@pytest.fixture(autouse=True)
def silence(caplog):
    """Every test in this file: no secret is logged, at any level by anybody."""
    caplog.set_level(logging.DEBUG)
    yield
    assert not leaked("".join(f"{record.getMessage()} {record.__dict__}" for record in caplog.get_records("call")))


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """Nothing of the real environment; calling it sets variables."""
    names = ("ICEYE_BASE_URL", "ICEYE_TOKEN_URL", "ICEYE_CLIENT_ID", "ICEYE_CLIENT_SECRET", "ICEYE_ACCESS_TOKEN")
    for name in (*names, *VARIABLES, *map(str.lower, VARIABLES)):
        monkeypatch.delenv(name, raising=False)
    return lambda **values: [monkeypatch.setenv(name, value) for name, value in values.items()]


class Proxy:
    """A forward proxy on loopback that wants a password, tunnels with CONNECT, and finds hosts by `routes` alone.

    It strips its own credentials from plain requests, as RFC 9110 has it, and cannot look into tunnels.
    """

    def __init__(self):
        self.routes = {}
        self.tunnels = []
        self.forwarded = []
        self.refusal = ""
        self.silent = asyncio.Event()
        self.mute = False
        self._writers = []
        self._tasks = set()

    @property
    def url(self):
        return f"{'http' if self.tls is None else 'https'}://{USER}:{PASSWORD}@127.0.0.1:{self.port}"

    async def start(self, tls=None):
        self.tls = tls
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=tls)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def stop(self):
        for writer in self._writers:
            writer.transport.abort()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _serve(self, reader, writer):
        self._tasks.add(asyncio.current_task())
        self._writers.append(writer)
        with suppress(OSError, asyncio.IncompleteReadError):
            await self._answer(reader, writer)
        writer.transport.abort()

    async def _answer(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.rstrip().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines)
        method, target, _ = first.split(" ")
        host = urlsplit(f"//{target}" if method == "CONNECT" else target).hostname
        if self.mute:
            self.silent.set()
            await reader.read()
            return
        allowed = headers.get("proxy-authorization") == f"basic {SIGN_ON.lower()}"
        if self.refusal or not allowed:
            status = self.refusal or "407 Proxy Authentication Required"
            writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
            await writer.drain()
            return
        (self.tunnels if method == "CONNECT" else self.forwarded).append(host)
        there, back = await asyncio.open_connection("127.0.0.1", self.routes[host])
        self._writers.append(back)
        if method == "CONNECT":
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            path = target.partition(host)[2].partition("/")[2]
            kept = [line for line in lines if not line.lower().startswith(("proxy-", "connection:"))]
            back.write("\r\n".join([f"{method} /{path} HTTP/1.1", *kept, "Connection: close", "", ""]).encode())
        await asyncio.gather(_pipe(reader, back), _pipe(there, writer))


async def _pipe(reader, writer):
    while piece := await reader.read(65_536):
        writer.write(piece)
        await writer.drain()
    writer.transport.abort()


class Host:
    """A scripted server of one kind, with the TLS that it speaks. `hellos` counts the handshakes that were begun."""

    def __init__(self, script):
        self.script, self.hellos, self.port = script, 0, 0

    def hello(self, *_):
        self.hellos += 1


@pytest.fixture(scope="session")
def ca():
    """The company's own certificate authority."""
    return trustme.CA(organization_name="Company")


@pytest.fixture(scope="session")
def stranger():
    """A certificate authority that nobody trusts."""
    return trustme.CA(organization_name="Stranger")


@pytest.fixture
def trust(ca):
    """What a user passes as `ssl=`: nothing but the company's CA."""
    context = ssl.create_default_context()
    ca.configure_trust(context)
    return context


@pytest.fixture
async def proxy():
    proxy = Proxy()
    async with await proxy.start():
        yield proxy
        await proxy.stop()


@pytest.fixture
async def start(serve):
    """Starts a scripted server that shows this certificate."""
    async with AsyncExitStack() as stack:

        async def start(certificate):
            host = Host(await serve())
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            certificate.configure_cert(context)
            context.sni_callback = host.hello
            app = web.Application()
            app.router.add_route("*", "/{path:.*}", host.script.handle)
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.05, handler_cancellation=True)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
            host.port = runner.addresses[0][1]
            return host

        yield start


def listing(origin):
    """What the API says, with a link to this origin."""
    asset = {"type": "geojson", "href": f"{origin}/v.geojson?Signature={SIGNATURE}"}
    return json.dumps({"data": [{"id": "d1", "derivativeProductType": "DC_VESSELS", "assets": [asset]}]}).encode()


def script(hosts, origins):
    """Have the three hosts answer."""
    hosts["API"].script.answers(LOOK, (200, {}, listing(origins["link"])))
    hosts["token"].script.answers("/token", (200, {}, b'{"access_token": "%b", "expires_in": 3600}' % TOKEN.encode()))
    hosts["link"].script.answers("/v.geojson", (200, {}, CONTENT))


@pytest.fixture
async def hosts(start, ca, proxy):
    """API, token and link host with certificates of the company CA, which only the proxy can find by name."""
    hosts = {kind: await start(ca.issue_cert(name)) for kind, name in NAMES.items()}
    script(hosts, {kind: f"https://{name}" for kind, name in NAMES.items()})
    proxy.routes = {name: hosts[kind].port for kind, name in NAMES.items()}
    return hosts


def heard(hosts):
    """All requests that reached API, token and link host."""
    return [request for host in hosts.values() for request in host.script.requests]


def credentials(origin="https://id.example"):
    return ClientCredentials(f"{origin}/token", "an-id", SECRET)


async def trip(client, folder):
    """Sign in, look, and fetch the file: one request to each kind of host. Gives what is in the file."""
    (path,) = await client.download(await client.derivatives.get("t1"), to=folder)
    return path.read_bytes()


# --- proxy= and ssl= hold for all three kinds of hosts --------------------------------------------------------------


async def test_a_proxy_and_a_company_ca_hold_for_api_token_and_link_hosts(connect, hosts, proxy, trust, tmp_path):
    """Every request goes through the proxy, once, and every certificate is checked against the company's CA."""
    client = connect("https://api.example", auth=credentials(), proxy=proxy.url, ssl=trust)

    assert await trip(client, tmp_path) == CONTENT

    assert sorted(proxy.tunnels) == sorted(NAMES.values())
    assert [len(host.script.requests) for host in hosts.values()] == [1, 1, 1]


@pytest.mark.parametrize("whose", ["its own", "the caller's"])
async def test_a_company_ca_holds_without_a_proxy(connect, start, ca, trust, tmp_path, whose):
    """`ssl=` is enough for API, token and link hosts that are reached directly, also over borrowed sessions."""
    hosts = {kind: await start(ca.issue_cert("127.0.0.1")) for kind in NAMES}
    origins = {kind: f"https://127.0.0.1:{host.port}" for kind, host in hosts.items()}
    script(hosts, origins)
    async with aiohttp.ClientSession() as http, aiohttp.ClientSession() as links:
        borrowed = {} if whose == "its own" else {"http": http, "link_http": links}
        client = connect(origins["API"], auth=credentials(origins["token"]), ssl=trust, **borrowed)

        assert await trip(client, tmp_path) == CONTENT

    assert [len(host.script.requests) for host in hosts.values()] == [1, 1, 1]


async def test_proxy_and_company_ca_hold_for_borrowed_sessions(connect, hosts, proxy, trust, tmp_path):
    """Sessions of the caller's own go through the proxy too, and trust the same CA."""
    async with aiohttp.ClientSession() as http, aiohttp.ClientSession() as links:
        client = connect(
            "https://api.example", auth=credentials(), proxy=proxy.url, ssl=trust, http=http, link_http=links
        )

        assert await trip(client, tmp_path) == CONTENT

    assert sorted(proxy.tunnels) == sorted(NAMES.values())


async def test_a_proxy_that_is_reached_by_tls_is_trusted_by_the_company_ca(connect, hosts, ca, trust, tmp_path):
    """`proxy="https://..."`: the password does not go over the wire in plain text, and a trip is as without it."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    proxy = Proxy()
    proxy.routes = {name: hosts[kind].port for kind, name in NAMES.items()}

    async with await proxy.start(context):
        client = connect("https://api.example", auth=credentials(), proxy=proxy.url, ssl=trust)
        assert await trip(client, tmp_path) == CONTENT
        await client.close()
        await proxy.stop()

    assert sorted(proxy.tunnels) == sorted(NAMES.values())


async def test_plain_http_on_this_machine_goes_through_the_proxy_that_was_asked_for(
    connect, service, other, proxy, tmp_path
):
    """A sandbox behind `proxy=`: API, token and link requests are forwarded, and the password stays at the proxy."""
    proxy.routes = {"127.0.0.1": int(service.url.rpartition(":")[2]), "localhost": int(other.url.rpartition(":")[2])}
    service.answers("/token", (200, {}, b'{"access_token": "%b", "expires_in": 3600}' % TOKEN.encode()))
    service.answers(LOOK, (200, {}, listing("http://localhost")))
    other.answers("/v.geojson", (200, {}, CONTENT))
    client = connect(service.url, auth=credentials(service.url), proxy=proxy.url)

    assert await trip(client, tmp_path) == CONTENT

    assert proxy.forwarded == ["127.0.0.1", "127.0.0.1", "localhost"]
    assert not [each for each in (*service.requests, *other.requests) if "Proxy-Authorization" in each.headers]


async def test_no_host_behind_the_proxy_hears_the_proxys_password(connect, hosts, proxy, trust, tmp_path):
    """Proxy-Authorization is for the proxy: inside the tunnels there is none, in no spelling."""
    await trip(connect("https://api.example", auth=credentials(), proxy=proxy.url, ssl=trust), tmp_path)

    assert len(heard(hosts)) == 3
    for request in heard(hosts):
        assert not [name for name in request.headers if name.lower().startswith("proxy-")]
        assert not [value for value in request.headers.values() if PASSWORD in value or SIGN_ON in value]


async def test_behind_a_proxy_each_host_gets_its_own_credentials_only(connect, hosts, proxy, trust, tmp_path):
    """The bearer goes to the API, the client secret to the token host, and nothing to the link host."""
    await trip(connect("https://api.example", auth=credentials(), proxy=proxy.url, ssl=trust), tmp_path)

    sent = {kind: host.script.requests[0].headers.get("Authorization", "") for kind, host in hosts.items()}
    assert sent["API"] == f"Bearer {TOKEN}"
    assert sent["token"].startswith("Basic ")
    assert SIGN_ON not in sent["token"]
    assert sent["link"] == ""


async def test_a_wait_goes_through_the_proxy_as_well(connect, hosts, proxy, trust):
    """Looks of a wait take the same way as single calls."""
    client = connect("https://api.example", auth="a-token", proxy=proxy.url, ssl=trust)

    assert (await client.await_derivatives("t1")).final

    assert proxy.tunnels == ["api.example"]


# --- the proxy's password shows nowhere -----------------------------------------------------------------------------


async def test_reprs_behind_a_proxy_do_not_show_its_password(connect, hosts, proxy, trust, tmp_path):
    """Nor does anything that hangs on the client or on what it gives."""
    client = connect("https://api.example", auth=credentials(), proxy=proxy.url, ssl=trust)
    waiting = client.await_derivatives("t1")
    found = await waiting
    download = client.download(found, to=tmp_path)
    await anext(download)

    text = "".join(f"{thing!r}{thing!s}" for thing in (client, waiting, found, download, waiting.latest))
    parts = "".join(f"{part!r}" for thing in (client, waiting, download) for part in parts_of(thing))
    await download

    assert not leaked(text)
    assert PASSWORD not in parts


def parts_of(thing):
    """What a debugger lists of an object."""
    names = [name for kind in type(thing).__mro__ for name in getattr(kind, "__slots__", ())]
    return [*getattr(thing, "__dict__", {}).values(), *(getattr(thing, name, None) for name in names)]


async def test_debug_mode_of_asyncio_does_not_show_the_proxys_password(connect, hosts, proxy, trust, tmp_path, caplog):
    """asyncio's and aiohttp's own log lines of a whole trip hold no secret (and there are some)."""
    asyncio.get_running_loop().set_debug(True)

    await trip(connect("https://api.example", auth=credentials(), proxy=proxy.url, ssl=trust), tmp_path)

    assert {"asyncio", "iceye_async"} <= {record.name for record in caplog.records}
    assert not leaked(caplog.text)


async def call(kind, connect, folder, proxy_url, **options):
    """The first request to a host of this kind."""
    api = "https://api.example"
    auth = credentials() if kind == "token" else TOKEN
    client = connect(api, auth=auth, proxy=proxy_url, retry=RetryPolicy(tries=2), **options)
    if kind != "link":
        return await client.derivatives.get("t1")
    asset = DerivativeAsset(href=f"https://links.example/v.geojson?Signature={SIGNATURE}")
    return await client.download(Derivative(id="d1", type="V", task_id="t1", assets=(asset,)), to=folder)


@pytest.mark.parametrize("fault", ["out of reach", "407", "502", "closes at once"])
@pytest.mark.parametrize("kind", NAMES)
async def test_a_failing_proxy_is_an_error_of_ours_without_its_password(
    connect, hosts, proxy, closed_port, tmp_path, kind, fault
):
    """Not in the message, the attributes, the causes, or the local variables that an error reporter prints."""
    url = proxy.url
    if fault == "out of reach":
        url = closed_port.replace("http://", f"http://{USER}:{PASSWORD}@")
    elif fault == "closes at once":
        proxy.routes = dict.fromkeys(NAMES.values(), int(closed_port.rpartition(":")[2]))
    else:
        proxy.refusal = {"407": "407 Who are you?", "502": "502 Bad Gateway"}[fault]

    with pytest.raises((TransportError, DownloadError)) as caught:
        await call(kind, connect, tmp_path, url)

    assert not leaked(everything(caught.value))
    assert not heard(hosts)


@pytest.mark.parametrize("kind", NAMES)
async def test_a_proxy_that_refuses_the_password_is_named_in_the_error(connect, hosts, proxy, tmp_path, kind):
    """The error says that it is the proxy, so that nobody goes looking at the API."""
    proxy.refusal = "407 Who are you?"

    with pytest.raises(IceyeError, match="proxy"):
        await call(kind, connect, tmp_path, proxy.url)


@pytest.mark.parametrize("broken", ["socks5://{}@proxy.example", "http://{}@", "http://{}@h:99999", "{}@h:1", "//{}@h"])
@pytest.mark.parametrize("way", ["by hand", "from the environment"])
def test_a_proxy_address_that_cannot_be_used_is_refused_and_not_shown(environment, broken, way):
    """The error names the argument or the variable, and no part of the value."""
    url = broken.format(f"{USER}:{PASSWORD}")
    environment(ICEYE_ACCESS_TOKEN="a-token", HTTPS_PROXY=url)

    with pytest.raises(UsageError, match=r"proxy|HTTPS_PROXY") as caught:
        Client(auth="a-token", proxy=url) if way == "by hand" else Client.from_env()

    assert not leaked(f"{caught.value}{caught.value!r}{vars(caught.value)}")
    assert not leaked("".join(traceback.format_exception(caught.value)))


@pytest.mark.parametrize("way", [pytest.param("by hand"), "from the environment"])
def test_a_refused_proxy_address_does_not_show_with_the_locals(environment, way):
    """Error reporters print the local variables of each frame; in none of ours is the proxy's password to be seen."""
    url = f"socks5://{USER}:{PASSWORD}@proxy.example"
    environment(ICEYE_ACCESS_TOKEN="a-token", HTTPS_PROXY=url)

    with pytest.raises(UsageError) as caught:
        Client(auth="a-token", proxy=url) if way == "by hand" else Client.from_env()

    assert not leaked(everything(caught.value))


@pytest.mark.parametrize("kind", ["API", "token"])
async def test_a_proxy_that_never_answers_is_a_time_out(connect, hosts, proxy, tmp_path, kind):
    """`timeout` holds for the proxy's part as well."""
    proxy.mute = True

    async with asyncio.timeout(5):
        with pytest.raises(TransportError):
            await call(kind, connect, tmp_path, proxy.url, timeout=0.1)


async def test_a_proxy_that_never_answers_does_not_hang_a_download(connect, hosts, proxy, tmp_path, monkeypatch):
    """A proxy that takes the CONNECT and says nothing is given up on like a host that stalls."""
    monkeypatch.setattr("iceye_async.downloads.http.STALL", 0.1)
    proxy.mute = True

    async with asyncio.timeout(5):
        with pytest.raises(DownloadError, match="proxy") as caught:
            await call("link", connect, tmp_path, proxy.url)

    assert not leaked(everything(caught.value))


# --- from_env: HTTPS_PROXY and NO_PROXY, read once ------------------------------------------------------------------

CHILD = """
    import asyncio, os, sys
    from iceye_async import Client

    async def main():
        client = Client.from_env()
        os.environ.update({later})
        async with client:
            (path,) = await client.download(await client.derivatives.get("t1"), to=sys.argv[1])
            print(path.read_text())

    asyncio.run(main())
"""


async def child(folder, ca, later, **variables):
    """A process that makes its client from the environment alone; gives what it printed."""
    bundle = folder / "company.pem"
    ca.cert_pem.write_to_path(str(bundle))
    kept = {name: value for name, value in os.environ.items() if name.upper() not in VARIABLES}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-W",
        "error",
        "-c",
        textwrap.dedent(CHILD).format(later=later),
        str(folder / "files"),
        env={**kept, "SSL_CERT_FILE": str(bundle), **variables},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, problems = await process.communicate()
    assert not problems.decode()
    return out.decode().strip()


ACCOUNT = {"ICEYE_TOKEN_URL": "https://id.example/token", "ICEYE_CLIENT_ID": "an-id", "ICEYE_CLIENT_SECRET": SECRET}


@pytest.mark.parametrize("spelling", ["HTTPS_PROXY", "https_proxy"])
async def test_from_env_sends_api_token_and_link_requests_through_https_proxy(hosts, proxy, ca, tmp_path, spelling):
    """A whole process from the environment alone; what it sets after the client was made changes nothing."""
    later = {"HTTPS_PROXY": "http://127.0.0.1:1", "https_proxy": "http://127.0.0.1:1", "NO_PROXY": "*", "no_proxy": "*"}

    printed = await child(tmp_path, ca, later, **ACCOUNT, ICEYE_BASE_URL="https://api.example", **{spelling: proxy.url})

    assert printed.encode() == CONTENT
    assert sorted(proxy.tunnels) == sorted(NAMES.values())


async def test_from_env_reaches_hosts_in_no_proxy_directly(start, hosts, proxy, ca, tmp_path):
    """The API is in NO_PROXY, token and link hosts are not; emptying NO_PROXY later changes nothing."""
    api = await start(ca.issue_cert("localhost"))
    api.script.answers(LOOK, (200, {}, listing("https://links.example")))

    printed = await child(
        tmp_path,
        ca,
        {"NO_PROXY": "", "no_proxy": ""},
        **ACCOUNT,
        ICEYE_BASE_URL=f"https://localhost:{api.port}",
        HTTPS_PROXY=proxy.url,
        NO_PROXY="intranet.example, localhost",
    )

    assert printed.encode() == CONTENT
    assert sorted(proxy.tunnels) == ["id.example", "links.example"]
    assert [name for request in api.script.requests for name in request.headers if "proxy" in name.lower()] == []


async def direct(kind, host, environment, folder):
    """The first request of a client from the environment to this kind of host, at localhost; it does not trust it."""
    origin = f"https://localhost:{host.port}"
    if kind == "token":
        environment(**{**ACCOUNT, "ICEYE_TOKEN_URL": f"{origin}/token"}, ICEYE_BASE_URL="https://api.example")
    else:
        environment(ICEYE_ACCESS_TOKEN=TOKEN, ICEYE_BASE_URL=origin)
    client = Client.from_env()
    asset = DerivativeAsset(href=f"{origin}/v.geojson?Signature={SIGNATURE}")
    found = Derivative(id="d1", type="V", task_id="t1", assets=(asset,))
    async with client:
        with pytest.raises((TransportError, DownloadError)):
            await (client.download(found, to=folder) if kind == "link" else client.derivatives.get("t1"))


@pytest.mark.parametrize("entry", ["localhost", "*", "other.example,localhost", " localhost ", "LOCALHOST"])
@pytest.mark.parametrize("kind", NAMES)
async def test_a_host_in_no_proxy_is_reached_directly(start, stranger, proxy, environment, tmp_path, kind, entry):
    """API, token and link host alike: the connection goes to the host, and the proxy hears of nothing."""
    host = await start(stranger.issue_cert("localhost"))
    proxy.routes = {"localhost": host.port}
    environment(HTTPS_PROXY=proxy.url, NO_PROXY=entry)

    await direct(kind, host, environment, tmp_path)

    assert host.hellos > 0
    assert not proxy.tunnels


@pytest.mark.parametrize("entry", ["", "other.example", "host", "local"])
@pytest.mark.parametrize("kind", NAMES)
async def test_a_host_that_is_not_in_no_proxy_is_not(start, stranger, proxy, environment, tmp_path, kind, entry):
    """Also where an entry is a part of its name but no domain it is in."""
    host = await start(stranger.issue_cert("localhost"))
    proxy.routes = {"localhost": host.port}
    environment(HTTPS_PROXY=proxy.url, NO_PROXY=entry)

    await direct(kind, host, environment, tmp_path)

    assert set(proxy.tunnels) == {"localhost"}


@pytest.mark.parametrize("entry", ["example", ".example", "api.example"])
async def test_no_proxy_may_name_a_domain(start, stranger, proxy, environment, monkeypatch, entry):
    """`NO_PROXY=.example` and `NO_PROXY=example` mean every host in it."""
    host = await start(stranger.issue_cert("api.example"))
    looked_up = []

    async def getaddrinfo(name, port, **_):
        looked_up.append(name)
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", port))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    environment(ICEYE_ACCESS_TOKEN=TOKEN, ICEYE_BASE_URL=f"https://api.example:{host.port}")
    environment(HTTPS_PROXY=proxy.url, NO_PROXY=entry)

    async with Client.from_env() as client:
        with pytest.raises(TransportError):
            await client.derivatives.get("t1")

    assert "api.example" in looked_up
    assert host.hellos > 0
    assert not proxy.tunnels


# --- B8: certificates that do not hold ------------------------------------------------------------------------------

YESTERDAY = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
BAD = ["expired", "wrong host", "unknown CA"]


@pytest.fixture
async def bad(start, serve, ca, stranger, trust, connect, tmp_path):
    """Calls a host of this kind whose certificate is bad in this way; gives the call and the host."""

    async def bad(kind, flaw, way=None):
        name = NAMES[kind] if way else "127.0.0.1"
        certificate = {
            "expired": lambda: ca.issue_cert(name, not_after=YESTERDAY),
            "wrong host": lambda: ca.issue_cert("wrong.example"),
            "unknown CA": lambda: stranger.issue_cert(name),
        }[flaw]()
        host = await start(certificate)
        origin = f"https://{name}" if way else f"https://127.0.0.1:{host.port}"
        if way:
            way.routes = {name: host.port}
        api = origin if kind == "API" else (await serve()).url
        auth = credentials(origin) if kind == "token" else TOKEN
        client = connect(api, auth=auth, ssl=trust, proxy=way.url if way else None)
        asset = DerivativeAsset(href=f"{origin}/v.geojson?Signature={SIGNATURE}")
        found = Derivative(id="d1", type="V", task_id="t1", assets=(asset,))
        calls = {
            "get": lambda: client.derivatives.get("t1"),
            "wait": lambda: client.await_derivatives("t1"),
            "download": lambda: client.download(found, to=tmp_path),
        }
        return calls, host

    return bad


@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize("flaw", BAD)
async def test_b08_a_bad_certificate_is_an_error_at_once(bad, clock, kind, flaw):
    """One handshake, no pause, no second try; the error says what is wrong, and nothing is sent."""
    calls, host = await bad(kind, flaw)

    with pytest.raises(DownloadError if kind == "link" else TransportError) as caught:
        await calls["download" if kind == "link" else "get"]()

    reasons = {"expired": "expired", "wrong host": r"not valid for|mismatch|doesn't match", "unknown CA": "issuer|self"}
    assert re.search(reasons[flaw], str(caught.value))
    assert not caught.value.transient
    assert host.hellos == 1
    assert not host.script.requests
    assert not clock.waits


@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize("flaw", BAD)
async def test_b08_no_error_hints_at_switching_verification_off(bad, kind, flaw):
    """Neither the message nor its causes teach anybody to trust everybody, and they hold no secret."""
    calls, _ = await bad(kind, flaw)

    with pytest.raises(IceyeError) as caught:
        await calls["download" if kind == "link" else "get"]()

    text = everything(caught.value)
    hint = r"(?i)insecure|ssl ?= ?False|verify ?= ?False|verify_ssl|CERT_NONE|check_hostname|unverified|disabl|turn off"
    assert not re.search(hint, text)
    assert not re.search(r"(?i)switch(ing)? .*off|skip|ignore|without verif", str(caught.value))
    assert not leaked(text)


@pytest.mark.parametrize("kind", ["API", "token"])
@pytest.mark.parametrize("flaw", BAD)
async def test_b08_a_wait_does_not_go_on_asking_a_host_with_a_bad_certificate(bad, clock, kind, flaw):
    """A wait for days ends at the first handshake: another look would bring no other certificate."""
    calls, host = await bad(kind, flaw)

    with pytest.raises(TransportError):
        await calls["wait"]()

    assert host.hellos == 1
    assert not clock.waits


@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize("flaw", BAD)
async def test_b08_certificates_are_checked_behind_a_proxy_too(bad, proxy, clock, kind, flaw):
    """A tunnel does not change what is trusted: an error at once, and nothing of the request leaves."""
    if kind != "API":
        proxy.routes = {}
    calls, host = await bad(kind, flaw, way=proxy)

    with pytest.raises(DownloadError if kind == "link" else TransportError):
        await calls["download" if kind == "link" else "get"]()

    assert host.hellos == 1
    assert not host.script.requests
    assert not clock.waits


@pytest.mark.parametrize("kind", NAMES)
async def test_b08_the_system_does_not_trust_a_company_ca_by_itself(start, ca, connect, serve, tmp_path, kind):
    """Without `ssl=` the company's CA is an unknown one, and the error says where to give it."""
    host = await start(ca.issue_cert("127.0.0.1"))
    origin = f"https://127.0.0.1:{host.port}"
    api = origin if kind == "API" else (await serve()).url
    client = connect(api, auth=credentials(origin) if kind == "token" else TOKEN)
    asset = DerivativeAsset(href=f"{origin}/v.geojson?Signature={SIGNATURE}")
    found = Derivative(id="d1", type="V", task_id="t1", assets=(asset,))

    with pytest.raises(IceyeError, match="ssl="):
        await (client.download(found, to=tmp_path) if kind == "link" else client.derivatives.get("t1"))

    assert host.hellos == 1


async def test_b08_one_bad_link_host_does_not_stop_the_other_files(
    start, ca, stranger, connect, trust, serve, tmp_path
):
    """A batch of files from a good and a bad host: the good ones arrive, the bad one is named."""
    good, bad = await start(ca.issue_cert("127.0.0.1")), await start(stranger.issue_cert("127.0.0.1"))
    good.script.answers("/v.geojson", (200, {}, CONTENT))
    found = [
        Derivative(
            id=name,
            type="V",
            task_id="t1",
            assets=(DerivativeAsset(href=f"https://127.0.0.1:{host.port}/v.geojson?Signature={SIGNATURE}"),),
        )
        for name, host in (("d1", bad), ("d2", good))
    ]
    client = connect((await serve()).url, auth=TOKEN, ssl=trust)

    with pytest.raises(DownloadError) as caught:
        await client.download(found, to=tmp_path)

    assert [path.read_bytes() for path in caught.value.done] == [CONTENT]
    assert len(caught.value.failed) == 1
    assert not leaked(everything(caught.value))
