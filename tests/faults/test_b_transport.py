"""Group B, transport: broken connections, broken bodies, throttling, closing and cancelling, as a caller sees them."""

import asyncio
import functools
import gc
import gzip
import itertools
import json
import logging
import socket
import warnings
import zlib
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver

import iceye_async
from iceye_async import (
    ApiError,
    Client,
    ClientCredentials,
    DecodeError,
    Derivative,
    DerivativeAsset,
    Forbidden,
    IceyeError,
    PollPolicy,
    PollTimeout,
    RateLimited,
    RetryPolicy,
    ServerError,
    StateError,
    Token,
    TransportError,
)

pytest_plugins = ["tests.faults.plugin_fault_proxy"]

TASKS = "/api/tasking/v2/tasks"
TASK = f"{TASKS}/t1"
LOOK = f"{TASK}/derivatives"
PRODUCTS = f"{TASK}/products"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
QUICK = 0.1
"""Seconds. The time-out of requests that are to time out, on real sockets."""


# --- what the service says -----------------------------------------------------------------------------------------


def task_named(name):
    document = {
        "id": name,
        "contractID": "c",
        "pointOfInterest": {"lat": 1.0, "lon": 2.0},
        "imagingMode": "SPOTLIGHT",
        "acquisitionWindow": {"start": "2026-01-01T00:00:00Z", "end": "2026-01-02T00:00:00Z"},
        "status": "DONE",
        "createdAt": "2026-01-01T00:00:00Z",
        "updatedAt": "2026-01-01T00:00:00Z",
    }
    return json.dumps(document).encode()


def derivatives_named(name):
    assets = [{"type": "geojson", "href": "https://l.example/a?Signature=c4n4ry"}]
    return json.dumps({"data": [{"id": name, "derivativeProductType": "DC_VESSELS", "assets": assets}]}).encode()


def products_named(name):
    item = {"id": name, "properties": {}, "assets": {"grd": {"href": "https://l.example/b?Signature=c4n4ry"}}}
    return json.dumps({"data": [item]}).encode()


BODIES = {TASK: task_named("t1"), LOOK: derivatives_named("t1"), PRODUCTS: products_named("t1")}
"""Everything is called t1, so that one look at the ids tells whether a result is right."""
READS = {
    "derivatives.get": (LOOK, lambda client: client.derivatives.get("t1")),
    "tasks.get": (TASK, lambda client: client.tasks.get("t1")),
    "products.list": (PRODUCTS, lambda client: client.products.list("t1")),
    "await_derivatives": (LOOK, lambda client: client.await_derivatives("t1")),
}
SINGLE = {name: read for name, read in READS.items() if name != "await_derivatives"}
"""A wait repeats itself by its own policy, the others by the client's."""

KINDS = ["derivatives.get", "await_derivatives"]
"""One of each."""

each_read = pytest.mark.parametrize(("path", "read"), READS.values(), ids=READS)
each_kind = pytest.mark.parametrize(("path", "read"), [READS[name] for name in KINDS], ids=KINDS)
each_single = pytest.mark.parametrize(("path", "read"), SINGLE.values(), ids=SINGLE)


def ids(found):
    return [found.id] if hasattr(found, "id") else [each.id for each in found]


def create(client):
    return client.tasks.create(
        contract_id="c",
        imaging_mode="SPOTLIGHT",
        point_of_interest=(1, 2),
        acquisition_window=(NOW, NOW + timedelta(days=1)),
    )


def date(moment):
    return format_datetime(moment, usegmt=True)


async def hang(request):
    await asyncio.Event().wait()


@pytest.fixture
def api(service):
    """The service, in health."""
    for path, body in BODIES.items():
        service.answers(path, (200, {}, body))
    service.answers(TASKS, (201, {}, BODIES[TASK]))
    return service


def healthy(asked):
    return (200, {}, BODIES[asked.path.partition("?")[0]])


def after(*answers):
    """A wire's answers: these first, then health."""
    left = list(answers)
    return lambda asked: left.pop(0) if left else healthy(asked)


class Raw:
    """Answers each connection with bytes of the test's choice, and closes it. The last answer stands for the rest."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.requests = 0

    async def serve(self, reader, writer):
        try:
            await reader.readuntil(b"\r\n\r\n")
            self.requests += 1
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            for piece in [answer] if isinstance(answer, bytes) else answer():
                writer.write(piece)
                await writer.drain()
        except (OSError, EOFError):
            pass  # The client has heard enough.
        finally:
            writer.close()


@pytest.fixture
async def raw():
    """Starts a server that says nothing but these bytes."""
    servers = []

    async def start(*answers):
        raw = Raw(*answers)
        server = await asyncio.start_server(raw.serve, "127.0.0.1", 0)
        servers.append(server)
        raw.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        return raw

    yield start
    for server in servers:
        server.close()


def whole(body, *headers):
    lines = ["HTTP/1.1 200 OK", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


# --- B1, B2: no connection -----------------------------------------------------------------------------------------


class Resolver(AbstractResolver):
    """Finds each host on this machine at the next of these ports, or fails; the last answer stands for the rest."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = 0

    async def resolve(self, host, port=0, family=socket.AF_INET):
        self.asked += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        found = {"hostname": host, "host": "127.0.0.1", "port": answer, "family": socket.AF_INET}
        return [{**found, "proto": 0, "flags": socket.AI_NUMERICHOST}]

    async def close(self):
        pass


UNKNOWN = OSError(None, "DNS lookup failed")


def port(url):
    return int(url.rpartition(":")[2])


@pytest.fixture
async def resolved(connect):
    """A client whose host name is looked up by this resolver, each time anew."""
    sessions = []

    def make(resolver, **options):
        connector = aiohttp.TCPConnector(resolver=resolver, use_dns_cache=False, force_close=True)
        sessions.append(aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()))
        return connect("http://localhost:1", http=sessions[-1], **options)

    yield make
    for session in sessions:
        await session.close()


@each_read
async def test_b01_a_host_name_that_cannot_be_found_at_first_is_looked_up_again(resolved, api, path, read):
    client = resolved(Resolver(UNKNOWN, UNKNOWN, port(api.url)))

    assert ids(await read(client)) == ["t1"]
    assert len(api.asked(path)) == 1


async def test_b01_a_create_whose_host_was_not_found_never_left_and_is_sent_once_it_is(resolved, api):
    assert (await create(resolved(Resolver(UNKNOWN, port(api.url))))).id == "t1"
    assert len(api.requests) == 1


async def test_b01_a_token_endpoint_whose_name_is_not_found_at_first_is_asked_again(resolved, api):
    api.answers("/token", (200, {}, b'{"access_token": "c4n4ry-a", "expires_in": 3600}'))
    auth = ClientCredentials("http://localhost:1/token", "an-id", "c4n4ry")
    client = resolved(Resolver(UNKNOWN, UNKNOWN, port(api.url)), auth=auth)

    assert ids(await client.derivatives.get("t1")) == ["t1"]


@each_single
async def test_b01_a_host_that_does_not_exist_is_an_error_that_says_so_after_the_tries(resolved, path, read):
    resolver = Resolver(UNKNOWN)

    with pytest.raises(TransportError, match="host name cannot be resolved") as caught:
        await read(resolved(resolver))

    assert resolver.asked == 3
    assert not caught.value.sent


async def test_b01_a_wait_for_a_host_that_does_not_exist_ends_with_the_last_error(resolved):
    resolver = Resolver(UNKNOWN)

    with pytest.raises(TransportError, match="host name cannot be resolved"):
        await resolved(resolver, poll=PollPolicy(setbacks=6)).await_derivatives("t1")

    assert resolver.asked == 7


@each_read
async def test_b02_a_refused_connection_is_tried_again(resolved, api, closed_port, path, read):
    client = resolved(Resolver(port(closed_port), port(closed_port), port(api.url)))

    assert ids(await read(client)) == ["t1"]


async def test_b02_a_create_that_was_refused_a_connection_is_sent_again(resolved, api, closed_port):
    client = resolved(Resolver(port(closed_port), port(api.url)))

    assert (await create(client)).id == "t1"
    assert len(api.requests) == 1


@each_single
async def test_b02_a_service_that_refuses_every_connection_is_an_error_after_the_tries(
    resolved, closed_port, path, read
):
    resolver = Resolver(port(closed_port))

    with pytest.raises(TransportError, match="no connection") as caught:
        await read(resolved(resolver))

    assert resolver.asked == 3
    assert caught.value.transient


NO_HEADERS = {
    "reset at once": {"reset_after": 0},
    "closed at once": {"truncate_after": 0},
    "reset in the status line": {"reset_after": 5},
    "closed in a header": {"cut_header": True},
}
each_way_to_lose_the_headers = pytest.mark.parametrize("fault", NO_HEADERS.values(), ids=NO_HEADERS)


@each_read
@each_way_to_lose_the_headers
async def test_b02_a_reading_call_whose_reply_never_begins_is_sent_again(connect, api, faulty, fault, path, read):
    client = connect((await faulty(api.url, fault, fault, {})).url)

    assert ids(await read(client)) == ["t1"]


@each_way_to_lose_the_headers
async def test_b02_a_create_that_may_have_arrived_is_not_sent_again(connect, api, faulty, fault):
    client = connect((await faulty(api.url, fault)).url)

    with pytest.raises(TransportError) as caught:
        await create(client)

    assert caught.value.sent
    assert len(api.requests) == 1


@each_kind
@pytest.mark.parametrize("fault", [{"latency": 0.01}, {"slices": 3}, {"latency": 0.001, "slices": 50}])
async def test_b02_a_reply_that_is_only_slow_or_comes_in_pieces_is_read_at_once(
    connect, api, faulty, fault, path, read
):
    client = connect((await faulty(api.url, fault)).url)

    assert ids(await read(client)) == ["t1"]
    assert len(api.requests) == 1


# --- B3: a connection that died while it was idle ------------------------------------------------------------------


@each_single
async def test_b03_a_connection_that_died_while_idle_costs_a_reading_call_none_of_its_tries(
    connect, api, faulty, clock, path, read
):
    proxy = await faulty(api.url, {"reset_on_reuse": True}, {})
    client = connect(proxy.url, retry=RetryPolicy(tries=1))
    await read(client)

    assert ids(await read(client)) == ["t1"]
    assert proxy.connections == 2
    assert not clock.waits


async def test_b03_a_connection_that_died_between_two_looks_is_no_setback(connect, api, faulty):
    api.answers(LOOK, (206, {}, b'{"data": []}'), (200, {}, BODIES[LOOK]))
    proxy = await faulty(api.url, {"reset_on_reuse": True}, {})

    assert ids(await connect(proxy.url, poll=PollPolicy(setbacks=0)).await_derivatives("t1")) == ["t1"]


@pytest.mark.parametrize("dead", [5, 8])
async def test_b03_idle_connections_that_all_died_are_used_up_by_a_call_or_two(connect, api, faulty, dead):
    """As after a laptop's sleep, or behind a router that forgets: each of three tries may meet two of them."""
    proxy = await faulty(api.url, *[{"reset_on_reuse": True}] * dead, {})
    client = connect(proxy.url, in_flight=dead)
    begun, go = [], asyncio.Event()

    async def together(request):
        begun.append(request)
        if len(begun) == dead:
            go.set()
        await go.wait()
        return web.Response(body=BODIES[LOOK])

    api.answers(LOOK, *[together] * dead, (200, {}, BODIES[LOOK]))
    await asyncio.gather(*(client.derivatives.get("t1") for _ in range(dead)))
    assert proxy.connections == dead

    if dead > 5:
        with pytest.raises(TransportError):
            await client.derivatives.get("t1")
    assert ids(await client.derivatives.get("t1")) == ["t1"]


async def test_b03_a_create_over_a_connection_that_died_is_not_sent_again_for_nobody_can_tell(connect, api, faulty):
    client = connect((await faulty(api.url, {"reset_on_reuse": True}, {})).url)
    await client.tasks.get("t1")

    with pytest.raises(TransportError):
        await create(client)

    assert not api.asked(TASKS)


# --- B4, B5: nothing, or hardly anything, comes --------------------------------------------------------------------

NEVER = {"no answer": {"black_hole": True}, "a byte now and then": {"slow_body": QUICK / 4}}
each_way_to_be_slow = pytest.mark.parametrize("fault", NEVER.values(), ids=NEVER)


def seconds_since(began):
    return asyncio.get_running_loop().time() - began


@each_read
async def test_b04_a_call_into_a_black_hole_is_made_again_and_answered(connect, api, faulty, path, read):
    client = connect((await faulty(api.url, {"black_hole": True}, {})).url, timeout=QUICK)

    assert ids(await read(client)) == ["t1"]


async def test_b04_a_call_into_nothing_but_black_holes_takes_as_long_as_its_tries(connect, api, faulty):
    proxy = await faulty(api.url, {"black_hole": True})
    began = asyncio.get_running_loop().time()

    with pytest.raises(TransportError, match=r"within 0\.05 s"):
        await connect(proxy.url, timeout=0.05).tasks.get("t1")

    assert proxy.connections == 3
    assert 0.15 <= seconds_since(began) < 5


async def test_b04_a_create_into_a_black_hole_is_not_made_again(connect, api, faulty):
    proxy = await faulty(api.url, {"black_hole": True})

    with pytest.raises(TransportError) as caught:
        await create(connect(proxy.url, timeout=QUICK))

    assert caught.value.sent
    assert proxy.connections == 1


async def test_b04_a_token_endpoint_that_never_answers_at_first_is_asked_again(connect, api, faulty):
    api.answers("/token", (200, {}, b'{"access_token": "c4n4ry-a", "expires_in": 3600}'))
    proxy = await faulty(api.url, {"black_hole": True}, {})
    auth = ClientCredentials(f"{proxy.url}/token", "an-id", "c4n4ry")

    assert ids(await connect(auth=auth, timeout=QUICK).derivatives.get("t1")) == ["t1"]


async def test_b04_a_wait_in_front_of_a_black_hole_ends_at_its_deadline(connect, api, faulty):
    proxy = await faulty(api.url, {"black_hole": True})
    poll = PollPolicy(first=0.01, timeout=0.3)
    began = asyncio.get_running_loop().time()

    with pytest.raises(PollTimeout):
        await connect(proxy.url, clock=None, timeout=0.1).await_derivatives("t1", poll=poll)

    assert 0.3 <= seconds_since(began) < 5


def test_b04_a_look_that_is_never_answered_does_not_hold_up_the_deadline(wire):
    """The deadline is the wait's, also where a single request might take longer."""
    wire.latency = 1e6

    async def main(client):
        with pytest.raises(PollTimeout):
            await client.await_derivatives("t1", poll=PollPolicy(timeout=600))
        return asyncio.get_running_loop().time()

    assert 600 <= wire.run(main, timeout=1e6) < 610


def test_b04_a_queue_behind_black_holes_does_not_hold_up_the_deadline(wire):
    """Every place is taken by a request that hangs; a wait in line for one still ends when it said it would."""
    wire.latency = 1e6

    async def main(client):
        hogs = [asyncio.create_task(client.tasks.get("t1")) for _ in range(3)]
        await asyncio.sleep(1)
        with pytest.raises(PollTimeout):
            await client.await_derivatives("t1", poll=PollPolicy(timeout=600))
        took = asyncio.get_running_loop().time()
        for hog in hogs:
            hog.cancel()
        await asyncio.gather(*hogs, return_exceptions=True)
        return took

    assert wire.run(main, timeout=1e6, in_flight=3) < 615


@each_kind
async def test_b05_a_body_that_trickles_is_given_up_and_asked_for_again(connect, api, faulty, path, read):
    client = connect((await faulty(api.url, {"slow_body": QUICK / 4}, {})).url, timeout=QUICK)

    assert ids(await read(client)) == ["t1"]
    assert len(api.asked(path)) == 2


async def test_b05_a_service_that_only_trickles_is_an_error_after_the_tries(connect, api, faulty):
    proxy = await faulty(api.url, {"slow_body": 0.03})
    began = asyncio.get_running_loop().time()

    with pytest.raises(TransportError, match=r"no whole reply within 0\.05 s"):
        await connect(proxy.url, timeout=0.05).tasks.get("t1")

    assert seconds_since(began) < 5


async def test_b05_a_token_that_trickles_is_asked_for_again(connect, api, faulty):
    api.answers("/token", (200, {}, b'{"access_token": "c4n4ry-a", "expires_in": 3600}'))
    proxy = await faulty(api.url, {"slow_body": QUICK / 4}, {})
    auth = ClientCredentials(f"{proxy.url}/token", "an-id", "c4n4ry")

    assert ids(await connect(auth=auth, timeout=QUICK).derivatives.get("t1")) == ["t1"]


async def test_b05_a_narrow_line_that_is_fast_enough_is_left_to_finish(connect, api, faulty):
    client = connect((await faulty(api.url, {"bandwidth": 5_000})).url, timeout=5)

    assert ids(await client.derivatives.get("t1")) == ["t1"]
    assert len(api.requests) == 1


# --- B6, B7: a body that is not whole ------------------------------------------------------------------------------

EMPTY = b'{"data": []}' + b" " * 100
"""It ends well before its end, so whoever reads a part of it finds good JSON without a single entry."""


@each_read
@pytest.mark.parametrize("missing", [1, 50, 99, 105])
@pytest.mark.parametrize("how", ["truncate_after", "reset_after"])
async def test_b06_a_body_that_was_cut_is_never_read_and_asked_for_again(
    connect, api, raw, faulty, how, missing, path, read
):
    first = whole(EMPTY if path != TASK else task_named("another") + b" " * 100)
    server = await raw(first, whole(BODIES[path]))
    proxy = await faulty(server.url, {how: len(first) - missing}, {})

    assert ids(await read(connect(proxy.url))) == ["t1"]
    assert server.requests == 2


@each_single
async def test_b06_a_body_that_is_always_cut_is_an_error_after_the_tries(connect, raw, path, read):
    server = await raw(whole(EMPTY)[:-1])

    with pytest.raises(TransportError, match="before the reply was whole"):
        await read(connect(server.url))

    assert server.requests == 3


async def test_b06_a_wait_yields_no_update_for_a_cut_body(connect, raw):
    some = whole(derivatives_named("another") + b" " * 100)
    server = await raw(some[:-1], some[:-50], whole(BODIES[LOOK]))

    updates = [ids(update.derivatives) async for update in connect(server.url).await_derivatives("t1")]

    assert updates == [["t1"]]


async def test_b06_a_created_task_whose_answer_was_cut_is_not_created_again(connect, raw):
    server = await raw(whole(BODIES[TASK])[:-1])

    with pytest.raises(TransportError) as caught:
        await create(connect(server.url))

    assert caught.value.sent
    assert server.requests == 1


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
GOOD_CHUNK = b"%x\r\n%s\r\n" % (len(EMPTY), EMPTY)
BAD_CHUNKS = {
    "no terminator": b"",
    "half a terminator": b"0\r\n",
    "a size that is no number": b"zz\r\n{}\r\n0\r\n\r\n",
    "a negative size": b"-5\r\n{}\r\n0\r\n\r\n",
    "a size of 200 digits": b"F" * 200 + b"\r\n{}\r\n0\r\n\r\n",
    "a size and nothing else": b"ffff\r\n",
    "a size larger than what follows": b"ffff\r\n{}\r\n0\r\n\r\n",
    "a size smaller than what follows": b"1\r\n{}   {}\r\n0\r\n\r\n",
    "an empty size": b"\r\n\r\n{}\r\n0\r\n\r\n",
    "garbage": b"\x00\xff\x00\xff\r\n\r\n",
}


@each_kind
@pytest.mark.parametrize("flaw", BAD_CHUNKS.values(), ids=BAD_CHUNKS)
async def test_b07_a_chunked_body_that_breaks_is_never_read_and_asked_for_again(connect, raw, flaw, path, read):
    server = await raw(CHUNKED + GOOD_CHUNK + flaw, whole(BODIES[path]))

    assert ids(await read(connect(server.url, timeout=1))) == ["t1"]
    assert server.requests == 2


async def test_b07_a_service_that_cannot_chunk_is_an_error_after_the_tries(connect, raw):
    server = await raw(CHUNKED + GOOD_CHUNK + b"zz\r\n")

    with pytest.raises(TransportError):
        await connect(server.url).derivatives.get("t1")

    assert server.requests == 3


# --- B9: a service that fails --------------------------------------------------------------------------------------

FAILURES = {
    "html": ({"Content-Type": "text/html"}, b"<html><body><h1>Bad Gateway</h1></body></html>"),
    "nothing": ({}, b""),
    "problem": ({"Content-Type": "application/problem+json"}, b'{"title": "Broken", "code": "internal"}'),
    "garbage": ({"Content-Type": "application/json"}, b"\xff\x00{[" * 50),
    "a false promise": ({"Content-Type": "application/json"}, b'{"data": []}'),
}
each_failure = pytest.mark.parametrize(("headers", "body"), FAILURES.values(), ids=FAILURES)


@pytest.mark.parametrize("pair", list(itertools.product([500, 502, 503, 504], repeat=2)), ids=str)
def test_b09_two_failures_in_a_row_do_not_reach_the_caller(wire, pair):
    wire.answer = after(*[(status, *FAILURES["html"]) for status in pair])

    assert ids(wire.run(lambda client: client.derivatives.get("t1"))) == ["t1"]
    assert len(wire.asked) == 3


@each_failure
@each_read
def test_b09_every_reading_call_outlasts_two_failures(wire, path, read, headers, body):
    wire.answer = after((502, headers, body), (500, headers, body))

    assert ids(wire.run(lambda client: read(client))) == ["t1"]


@each_failure
@each_single
def test_b09_the_third_failure_is_raised_with_its_status_and_without_the_page_around_it(
    wire, path, read, headers, body
):
    wire.answer = after((500, headers, body), (502, headers, body), (503, headers, body))

    with pytest.raises(ServerError) as caught:
        wire.run(lambda client: read(client))

    assert caught.value.status == 503
    assert "<" not in str(caught.value)
    assert len(wire.asked) == 3


# --- B10 to B15: a service that throttles ----------------------------------------------------------------------------


def at_second_request(wire):
    """Seconds from the first reply to the next request."""
    first, second = wire.asked[:2]
    return second.at - first.at - wire.latency


@each_read
@pytest.mark.parametrize("seconds", [1, 17, 120])
@pytest.mark.parametrize("status", [429, 503])
def test_b10_nothing_is_asked_before_the_seconds_are_over(wire, path, read, status, seconds):
    wire.answer = after((status, {"Retry-After": str(seconds)}, b""))

    assert ids(wire.run(lambda client: read(client))) == ["t1"]
    assert at_second_request(wire) >= seconds


@each_read
def test_b10_what_one_caller_was_told_holds_for_every_other_kind_of_call(wire, path, read):
    wire.answer = after((429, {"Retry-After": "60"}, b""))

    async def main(client):
        with pytest.raises(RateLimited):
            await client.derivatives.get("t1")
        return await read(client)

    assert ids(wire.run(main, retry=RetryPolicy(tries=1))) == ["t1"]
    assert at_second_request(wire) >= 60


HTTP_DATES = {
    "RFC 9110": "%a, %d %b %Y %H:%M:%S GMT",
    "RFC 850": "%A, %d-%b-%y %H:%M:%S GMT",
    "asctime": "%a %b %e %H:%M:%S %Y",
}
SKEWS = {"a year behind": -365, "a day behind": -1, "right": 0, "a day ahead": 1, "a year ahead": 365}


@each_kind
@pytest.mark.parametrize("form", HTTP_DATES.values(), ids=HTTP_DATES)
@pytest.mark.parametrize("days", SKEWS.values(), ids=SKEWS)
def test_b11_a_date_counts_from_the_date_of_the_reply_whatever_the_local_clock_says(wire, path, read, form, days):
    moment = datetime.fromtimestamp(1_800_000_000, UTC) - timedelta(days=days)
    headers = {"Date": date(moment), "Retry-After": (moment + timedelta(seconds=90)).strftime(form)}
    wire.answer = after((503, headers, b""))

    assert ids(wire.run(lambda client: read(client))) == ["t1"]
    assert 90 <= at_second_request(wire) < 120


NONSENSE = {
    "nan": "nan",
    "inf": "inf",
    "negative": "-5",
    "a fraction": "1.5",
    "Arabic digits": "\u0663\u0660",
    "superscript": "\u00b2",
    "nothing": "",
    "two values": "5, 6",
    "year 99999": "Fri, 31 Dec 99999 23:59:59 GMT",
    "words": "soon",
    "not UTF-8": "\udcff\udcfe",
    "5000 digits after a sign": "+" + "9" * 5000,
}


@each_kind
@pytest.mark.parametrize("value", NONSENSE.values(), ids=NONSENSE)
@pytest.mark.parametrize("status", [429, 503])
def test_b12_a_retry_after_that_means_nothing_leaves_the_clients_own_pauses(wire, path, read, status, value):
    wire.answer = after((status, {"Retry-After": value}, b""))

    assert ids(wire.run(lambda client: read(client))) == ["t1"]
    assert at_second_request(wire) <= 60


each_length = pytest.mark.parametrize("digits", [20, 400, 5000])


@each_length
@pytest.mark.parametrize("status", [429, 503])
def test_b12_a_retry_after_of_thousands_of_years_is_an_error_soon_with_a_finite_figure_if_any(wire, status, digits):
    wire.answer = lambda asked: (status, {"Retry-After": "9" * digits}, b"")

    async def main(client):
        with pytest.raises(ApiError) as caught:
            await client.derivatives.get("t1")
        return caught.value.retry_after, asyncio.get_running_loop().time()

    retry_after, took = wire.run(main)
    assert retry_after is None or retry_after <= 1e12
    assert took < 60


@each_length
def test_b12_one_429_with_thousands_of_years_does_not_end_a_client_for_good(wire, digits):
    wire.answer = after((429, {"Retry-After": "9" * digits}, b""))

    async def main(client):
        await asyncio.gather(client.derivatives.get("t1"), return_exceptions=True)
        await asyncio.sleep(86_400)
        return await client.derivatives.get("t1")

    assert ids(wire.run(main)) == ["t1"]


@each_single
@pytest.mark.parametrize("status", [429, 503])
def test_b13_a_call_that_is_to_stay_away_for_hours_fails_at_once_and_says_how_long(wire, path, read, status):
    wire.answer = lambda asked: (status, {"Retry-After": "7200"}, b"")

    async def main(client):
        with pytest.raises(ApiError) as caught:
            await read(client)
        return caught.value, asyncio.get_running_loop().time()

    error, took = wire.run(main)
    assert (error.status, error.retry_after) == (status, 7200)
    assert took < 1
    assert len(wire.asked) == 1


@pytest.mark.parametrize("status", [429, 503])
def test_b13_a_wait_that_is_to_stay_away_beyond_its_deadline_ends_at_once_with_the_reason(wire, status):
    wire.answer = lambda asked: (status, {"Retry-After": "7200"}, b"")

    async def main(client):
        with pytest.raises(PollTimeout) as caught:
            await client.await_derivatives("t1", poll=PollPolicy(timeout=3600))
        return caught.value.__cause__, asyncio.get_running_loop().time()

    cause, took = wire.run(main)
    assert (cause.status, cause.retry_after) == (status, 7200)
    assert took < 1


def test_b13_a_wait_that_has_the_time_sits_it_out(wire):
    wire.answer = after((429, {"Retry-After": "7200"}, b""))

    assert ids(wire.run(lambda client: client.await_derivatives("t1"))) == ["t1"]
    assert at_second_request(wire) >= 7200


def test_b14_without_a_hint_the_whole_client_slows_down(wire):
    wire.answer = after((429, {}, b""))

    async def main(client):
        with pytest.raises(RateLimited):
            await client.derivatives.get("t1")
        await asyncio.gather(*(client.tasks.get("t1") for _ in range(5)))

    wire.run(main, retry=RetryPolicy(tries=1, first=4.0))

    assert at_second_request(wire) >= 4


def test_b14_without_a_hint_the_pauses_grow_while_it_goes_on(wire):
    wire.answer = lambda asked: (429, {}, b"")

    async def main(client):
        for _ in range(5):
            with pytest.raises(RateLimited):
                await client.derivatives.get("t1")

    wire.run(main, retry=RetryPolicy(tries=1, first=1.0, ceiling=64.0), rate_limit=None)

    pauses = [later.at - sooner.at for sooner, later in itertools.pairwise(wire.asked)]
    assert all(pause >= 2**row for row, pause in enumerate(pauses))


def test_b14_without_a_hint_no_two_clients_come_back_at_the_same_moment(wire):
    """A hundred programs that were throttled together are spread out by chance when they return."""
    throttled = set()

    def answer(asked):
        if asked.path in throttled:
            return (200, {}, b'{"data": []}')
        throttled.add(asked.path)
        return (429, {}, b"")

    wire.answer = answer

    async def one(number):
        async with Client("https://api.example", auth="a-token", retry=RetryPolicy(first=10.0)) as client:
            await client.derivatives.get(f"t{number}")

    async def main(_):
        await asyncio.gather(*(one(number) for number in range(100)))

    wire.run(main)

    returns = sorted(asked.at for asked in wire.asked)[100:]
    assert len(returns) == 100
    assert returns[-1] - returns[0] > 3
    assert len({round(at, 3) for at in returns}) > 90


RATE_LIMIT_HEADERS = {
    "words": {"RateLimit": "soon", "RateLimit-Policy": ";;;=", "RateLimit-Reset": "tomorrow"},
    "negative": {"RateLimit-Limit": "-1", "RateLimit-Remaining": "-1", "RateLimit-Reset": "-1"},
    "longer": {"RateLimit-Reset": "100000", "X-RateLimit-Reset": "99999999999"},
    "shorter": {"RateLimit-Remaining": "1000", "RateLimit-Reset": "0", "X-RateLimit-Remaining": "1000"},
    "contradictory": {"RateLimit": '"a";r=0;t=1, "a";r=100;t=0', "RateLimit-Remaining": "7"},
    "nan": {"RateLimit-Reset": "nan", "X-RateLimit-Reset": "inf"},
    "not ASCII": {"RateLimit-Reset": "\u0663", "X-RateLimit-Reset": "\udcff"},
}
each_rate_limit = pytest.mark.parametrize("headers", RATE_LIMIT_HEADERS.values(), ids=RATE_LIMIT_HEADERS)


@each_rate_limit
@each_kind
def test_b15_retry_after_wins_over_whatever_rate_limit_headers_say(wire, path, read, headers):
    wire.answer = after((429, {**headers, "Retry-After": "40"}, b""))

    assert ids(wire.run(lambda client: read(client))) == ["t1"]
    assert 40 <= at_second_request(wire) < 80


@each_rate_limit
@each_kind
def test_b15_rate_limit_headers_alone_change_nothing(wire, path, read, headers):
    wire.answer = after((429, headers, b""))

    assert ids(wire.run(lambda client: read(client))) == ["t1"]
    assert at_second_request(wire) <= 60


# --- B17, B18: statuses and bodies that nobody documented ------------------------------------------------------------


@each_single
@pytest.mark.parametrize("status", [402, 405, 410, 418, 451, 501, 505, 507, 600, 999])
def test_b17_a_status_that_is_not_known_to_pass_is_raised_after_one_request(wire, path, read, status):
    wire.answer = lambda asked: (status, {}, b"<html>")

    with pytest.raises(ApiError) as caught:
        wire.run(lambda client: read(client))

    assert caught.value.status == status
    assert len(wire.asked) == 1


@pytest.mark.parametrize("status", [402, 405, 410, 418, 451, 600, 999])
def test_b17_a_wait_ends_with_a_status_that_no_later_look_will_mend(wire, status):
    wire.answer = lambda asked: (status, {}, b"")

    with pytest.raises(ApiError) as caught:
        wire.run(lambda client: client.await_derivatives("t1"))

    assert caught.value.status == status
    assert len(wire.asked) == 1


@pytest.mark.parametrize("status", [501, 505, 507, 520, 599])
def test_b17_a_wait_endures_every_5xx(wire, status):
    wire.answer = after(*[(status, {}, b"")] * 5)

    assert ids(wire.run(lambda client: client.await_derivatives("t1"))) == ["t1"]


@each_single
@pytest.mark.parametrize("status", [600, 999])
async def test_b17_statuses_beyond_http_are_errors_on_a_real_connection_too(connect, service, path, read, status):
    service.answers(path, (status, {}, b""))

    with pytest.raises(ApiError) as caught:
        await read(connect())

    assert caught.value.status == status


NOTHING = {"204": (204, {}, b""), "200": (200, {}, b""), "blanks": (200, {}, b" \r\n\t ")}
each_nothing = pytest.mark.parametrize("nothing", NOTHING.values(), ids=NOTHING)


@each_nothing
@each_read
async def test_b18_an_empty_answer_is_asked_for_once_more(connect, api, path, read, nothing):
    api.answers(path, nothing, (200, {}, BODIES[path]))

    assert ids(await read(connect())) == ["t1"]
    assert len(api.requests) == 2


@each_nothing
@each_single
async def test_b18_a_service_with_nothing_but_empty_answers_is_an_error_soon(connect, service, path, read, nothing):
    service.answers(path, nothing)

    with pytest.raises(DecodeError):
        await read(connect())

    assert 2 <= len(service.requests) <= 3


@pytest.mark.parametrize("status", [200, 201, 204])
async def test_b18_a_task_that_was_created_without_an_answer_is_not_created_again(connect, service, status):
    service.answers(TASKS, (status, {}, b""))

    with pytest.raises(DecodeError):
        await create(connect())

    assert len(service.requests) == 1


# --- B19, B20: too much -------------------------------------------------------------------------------------------

MEBIBYTE = 2**20
ENDLESS = 400
"""Mebibytes, decoded: what a bomb would come to."""


def bomb(wbits):
    """An endless compressed body, a mebibyte at a time."""
    packer = zlib.compressobj(1, zlib.DEFLATED, wbits)
    for _ in range(ENDLESS):
        yield packer.compress(bytes(MEBIBYTE)) + packer.flush(zlib.Z_SYNC_FLUSH)


@pytest.fixture
def exploding():
    """A handler that answers with a bomb, and counts the mebibytes that it got rid of."""

    def make(status, encoding, wbits):
        async def explode(request):
            response = web.StreamResponse(status=status, headers={"Content-Encoding": encoding})
            await response.prepare(request)
            for piece in bomb(wbits):
                await response.write(piece)
                explode.mebibytes += 1
                # A server of its own would not have to be let run.
                await asyncio.sleep(0)
            return response

        explode.mebibytes = 0
        return explode

    return make


each_encoding = pytest.mark.parametrize(("encoding", "wbits"), [("gzip", 31), ("deflate", 15)])


@each_encoding
async def test_b19_a_compressed_bomb_is_an_error_before_it_has_gone_off(connect, service, exploding, encoding, wbits):
    explode = exploding(200, encoding, wbits)
    service.answers(LOOK, explode)

    with pytest.raises(DecodeError, match="MiB"):
        await connect().derivatives.get("t1")

    assert explode.mebibytes < ENDLESS / 2
    assert len(service.requests) == 1


async def test_b19_a_bomb_at_one_look_is_a_setback_of_the_wait(connect, service, exploding):
    service.answers(LOOK, exploding(206, "gzip", 31), (200, {}, BODIES[LOOK]))

    assert ids(await connect().await_derivatives("t1")) == ["t1"]


async def test_b19_a_bomb_in_place_of_a_token_is_an_error(connect, service, exploding):
    service.answers("/token", exploding(200, "gzip", 31))
    auth = ClientCredentials(f"{service.url}/token", "an-id", "c4n4ry")

    with pytest.raises(DecodeError, match="MiB"):
        await connect(auth=auth).derivatives.get("t1")


async def test_b19_a_bomb_around_a_refusal_does_not_hide_the_refusal(connect, service, exploding):
    """Any body still gives the right error from the status alone."""
    service.answers(LOOK, exploding(403, "gzip", 31))

    with pytest.raises(Forbidden):
        await connect().derivatives.get("t1")


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip", "deflate", "compress", "x-unknown"])
async def test_b19_an_encoding_that_cannot_be_undone_is_an_error_of_ours(connect, service, encoding):
    async def answer(request):
        # By hand: the server would not label what it does not know.
        response = web.StreamResponse(headers={"Content-Encoding": encoding, "Content-Length": "6"})
        await response.prepare(request)
        await response.write(b"\xff\x00\xfe\x01\xfd\x02")
        return response

    service.answers(LOOK, answer)

    with pytest.raises((TransportError, DecodeError)):
        await connect().derivatives.get("t1")


async def test_b19_an_honest_compressed_answer_is_read(connect, service):
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    service.answers(LOOK, (200, headers, gzip.compress(BODIES[LOOK])))

    assert ids(await connect().derivatives.get("t1")) == ["t1"]


A_LOT = 100 * MEBIBYTE
"""Bytes. What a server without shame would send."""


def a_million_in_one_header():
    yield b"HTTP/1.1 200 OK\r\nX-Long: " + b"a" * 1_000_000
    yield b"\r\nContent-Length: 0\r\n\r\n"


def a_hundred_thousand_headers():
    yield b"HTTP/1.1 200 OK\r\n"
    for thousand in range(100):
        yield b"".join(b"X-%d-%d: a\r\n" % (thousand, number) for number in range(1_000))
    yield b"Content-Length: 12\r\n\r\n" + EMPTY[:12]


def a_header_without_end():
    yield b"HTTP/1.1 200 OK\r\nX-Endless: "
    for _ in range(A_LOT // 65_536):
        yield b"a" * 65_536


def headers_without_end():
    yield b"HTTP/1.1 200 OK\r\n"
    for _ in range(A_LOT // 65_536):
        yield b"X-Again: and again and again\r\n" * 2_184


def trailers_without_end():
    yield CHUNKED + b"c\r\n" + EMPTY[:12] + b"\r\n0\r\n"
    for _ in range(A_LOT // 65_536):
        yield b"X-Again: and again and again\r\n" * 2_184


def a_status_line_without_end():
    yield b"HTTP/1.1 200 "
    for _ in range(A_LOT // 65_536):
        yield b"OK" * 32_768


def a_chunk_extension_without_end():
    yield CHUNKED + b"c;"
    for _ in range(A_LOT // 65_536):
        yield b"a" * 65_536


TOO_MUCH = [
    a_million_in_one_header,
    a_hundred_thousand_headers,
    a_header_without_end,
    headers_without_end,
    trailers_without_end,
    a_status_line_without_end,
    a_chunk_extension_without_end,
]


def resident():
    """Bytes that this process holds in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="it is Linux that tells how much memory is in use")
@pytest.mark.parametrize("flood", TOO_MUCH)
async def test_b20_a_flood_around_the_body_is_an_error_and_fills_no_memory(connect, raw, flood):
    most, before = 0, resident()

    def watched():
        nonlocal most
        for piece in flood():
            yield piece
            most = max(most, resident())

    server = await raw(watched)

    with pytest.raises(IceyeError):
        await connect(server.url, timeout=5, retry=RetryPolicy(tries=1)).derivatives.get("t1")

    assert most - before < 24 * MEBIBYTE


@pytest.mark.parametrize("flood", TOO_MUCH)
async def test_b20_after_a_flood_the_next_answer_counts(connect, raw, flood):
    server = await raw(flood, whole(BODIES[LOOK]))

    assert ids(await connect(server.url, timeout=5).derivatives.get("t1")) == ["t1"]


# --- B21: closing while calls run ------------------------------------------------------------------------------------

FOUND = Derivative(
    id="d", type="DC_VESSELS", task_id="t1", assets=(DerivativeAsset(href="https://l.example/a?Signature=c4n4ry"),)
)


class Interrupted:
    """The ways in which a call can be waiting when the client is closed: how it got there, and the call."""

    async def request(self, connect, service, faulty):
        """for an answer"""
        service.answers(TASK, hang)
        client = connect(clock=None)
        return client, client.tasks.get("t1")

    async def body(self, connect, service, faulty):
        """for the rest of a body"""
        service.answers(TASK, (200, {}, BODIES[TASK]))
        client = connect((await faulty(service.url, {"slow_body": 1.0})).url, clock=None)
        return client, client.tasks.get("t1")

    async def token(self, connect, service, faulty):
        """for a token"""
        service.answers("/token", hang)
        client = connect(clock=None, auth=ClientCredentials(f"{service.url}/token", "an-id", "c4n4ry"))
        return client, client.tasks.get("t1")

    async def look(self, connect, service, faulty):
        """for the next look"""
        service.answers(LOOK, (206, {}, b'{"data": []}'))
        client = connect(clock=None)
        return client, client.await_derivatives("t1")

    async def retry(self, connect, service, faulty):
        """to try again"""
        service.answers(TASK, (503, {"Retry-After": "100"}, b""))
        client = connect(clock=None)
        return client, client.tasks.get("t1")

    async def throttled(self, connect, service, faulty):
        """until a 429 is over"""
        service.answers(LOOK, (429, {"Retry-After": "100"}, b""))
        client = connect(clock=None, retry=RetryPolicy(tries=1))
        with pytest.raises(RateLimited):
            await client.derivatives.get("t1")
        return client, client.tasks.get("t1")

    async def place(self, connect, service, faulty):
        """for a place among those under way"""
        service.answers(TASK, hang)
        client = connect(clock=None, in_flight=1)
        first = asyncio.create_task(client.tasks.get("t1"))
        await asyncio.sleep(0.01)
        return client, asyncio.gather(first, client.tasks.get("t1"))

    async def turn(self, connect, service, faulty):
        """for its turn under the rate limit"""
        service.answers(TASK, (200, {}, BODIES[TASK]))
        client = connect(clock=None, rate_limit=0.01)
        await client.tasks.get("t1")
        return client, client.tasks.get("t1")

    async def page(self, connect, service, faulty):
        """for the second page"""
        service.answers(PRODUCTS, (200, {}, b'{"data": [], "cursor": "more"}'), hang)
        client = connect(clock=None)
        return client, client.products.list("t1")


WAYS = [name for name in vars(Interrupted) if not name.startswith("_")]


@pytest.mark.parametrize("way", WAYS)
async def test_b21_closing_the_client_ends_whatever_waits_in_it(connect, service, faulty, way):
    client, call = await getattr(Interrupted(), way)(connect, service, faulty)
    pending = asyncio.ensure_future(call)
    await asyncio.sleep(0.02)
    assert not pending.done()

    async with asyncio.timeout(5):
        await client.close()
        with pytest.raises(StateError, match="closed"):
            await pending


@pytest.mark.parametrize("way", WAYS)
async def test_b21_closing_takes_little_time_and_may_be_done_again_and_at_once(connect, service, faulty, way):
    client, call = await getattr(Interrupted(), way)(connect, service, faulty)
    pending = asyncio.ensure_future(call)
    await asyncio.sleep(0.02)

    async with asyncio.timeout(5):
        await asyncio.gather(client.close(), client.close())
        await client.close()

    await asyncio.gather(pending, return_exceptions=True)


async def test_b21_a_wait_that_was_ended_by_closing_keeps_what_had_arrived(connect, service):
    some = json.loads(BODIES[LOOK])["data"]
    some.append({"id": "a1", "derivativeProductType": "DC_AIRCRAFT", "assets": []})
    service.answers(LOOK, (206, {}, json.dumps({"data": some}).encode()))
    client = connect(clock=None)
    wait = client.await_derivatives("t1")
    await anext(wait)
    step = asyncio.create_task(anext(wait))
    await asyncio.sleep(0)

    await client.close()

    with pytest.raises(StateError):
        await step
    assert [found.id for found in wait.latest.fresh] == ["t1"]


async def test_b21_a_thousand_calls_and_waits_end_when_the_client_is_closed(connect, service):
    service.answers(TASK, hang)
    service.answers(LOOK, (206, {}, b'{"data": []}'))
    client = connect(clock=None)
    pending = [asyncio.ensure_future(client.await_derivatives("t1")) for _ in range(200)]
    pending += [asyncio.ensure_future(client.tasks.get("t1")) for _ in range(800)]
    await asyncio.sleep(0.05)

    async with asyncio.timeout(5):
        await client.close()
        ends = await asyncio.gather(*pending, return_exceptions=True)

    assert {type(end) for end in ends} == {StateError}


@pytest.fixture
async def borrowed(connect):
    """A client on an HTTP session that is the caller's own, and that session."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
        yield connect(http=http), http


async def test_b21_a_borrowed_session_that_is_closed_meanwhile_ends_calls_with_an_error_of_ours(borrowed, service):
    client, http = borrowed
    service.answers(TASK, hang)
    pending = asyncio.create_task(client.tasks.get("t1"))
    await asyncio.sleep(0.02)

    await http.close()

    with pytest.raises(IceyeError):
        async with asyncio.timeout(5):
            await pending


async def test_b21_a_call_over_a_borrowed_session_that_was_closed_says_that_the_session_is_closed(borrowed, service):
    client, http = borrowed
    await http.close()

    with pytest.raises(IceyeError, match="closed"):
        async with asyncio.timeout(5):
            await client.tasks.get("t1")


# --- B22: a client that is never closed -----------------------------------------------------------------------------


def forgotten(use, caplog):
    """The warnings, and the log, of a program that forgets its client after using it like this."""

    async def answer(request):
        return web.Response(body=BODIES.get(request.path, b"{}"))

    async def serve_and_forget():
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.05)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        await use(Client(f"http://127.0.0.1:{runner.addresses[0][1]}", auth="a-token"))
        gc.collect()
        await runner.cleanup()

    with warnings.catch_warnings(record=True) as caught, caplog.at_level(logging.INFO):
        warnings.simplefilter("always")
        asyncio.run(serve_and_forget())
        gc.collect()
    return caught, caplog.records


async def one_call(client):
    await client.derivatives.get("t1")


async def many_calls(client):
    await asyncio.gather(*(client.tasks.get("t1") for _ in range(8)))


async def a_wait(client):
    await client.await_derivatives("t1")


async def half_a_wait(client):
    async for _ in client.await_derivatives("t1"):
        break


async def an_opened_one(client):
    await client.__aenter__()
    await client.products.list("t1")


@pytest.mark.parametrize("use", [one_call, many_calls, a_wait, half_a_wait, an_opened_one])
def test_b22_a_client_that_was_never_closed_gives_one_warning_that_names_the_fix(use, caplog):
    caught, logged = forgotten(use, caplog)

    assert [warning.category for warning in caught] == [ResourceWarning]
    assert "async with Client(...)" in str(caught[0].message)
    assert not logged


def test_b22_a_client_that_outlived_its_event_loop_gives_the_one_warning_too(caplog):
    kept = []

    async def keep(client):
        await client.derivatives.get("t1")
        kept.append(client)

    caught, logged = forgotten(keep, caplog)
    with warnings.catch_warnings(record=True) as late:
        warnings.simplefilter("always")
        kept.clear()
        gc.collect()

    assert [warning.category for warning in [*caught, *late]] == [ResourceWarning]
    assert not logged


async def test_b22_a_client_may_be_used_without_entering_it_and_is_then_closed_by_hand(api):
    client = Client(api.url, auth="a-token")

    assert ids(await client.derivatives.get("t1")) == ["t1"]

    await client.close()


# --- B23: cancelling ------------------------------------------------------------------------------------------------


class CancelledAt:
    """Runs a coroutine whose task is cancelled at its nth await point; `struck` tells whether it got there."""

    def __init__(self, call, point):
        self.call, self.point = call, point
        self.struck = False

    def __await__(self):
        steps = self.call.__await__()
        resume = functools.partial(steps.send, None)
        for number in itertools.count(1):
            try:
                signal = resume()
            except StopIteration as end:
                return end.value
            if number == self.point:
                self.struck = asyncio.current_task().cancel()
            resume = functools.partial(steps.send, None)
            try:
                yield signal
            except BaseException as error:  # noqa: BLE001 - it is handed on
                resume = functools.partial(steps.throw, error)


class Renewing:
    """A token source that gives another token where one was refused."""

    async def token(self, stale):
        await asyncio.sleep(0)
        return Token("c4n4ry-a" if stale is None else "c4n4ry-b")


TROUBLE = {
    "none": (),
    "failing": ((503, {}, b""),),
    "throttling": ((429, {"Retry-After": "1"}, b""),),
    "refusing the token": ((401, {}, b""),),
    "empty": ((200, {}, b""),),
}
CANCELLED = {**READS, "tasks.create": (TASKS, create)}


def ours():
    """The tasks that run code of this package."""
    root = iceye_async.__path__[0]
    return [task for task in asyncio.all_tasks() if task.get_coro().cr_code.co_filename.startswith(root)]


@pytest.mark.parametrize("trouble", TROUBLE.values(), ids=TROUBLE)
@pytest.mark.parametrize(("path", "call"), CANCELLED.values(), ids=CANCELLED)
async def test_b23_a_call_can_be_cancelled_at_every_await_point(
    connect, api, faulty, record_property, path, call, trouble
):
    """The cancellation arrives, the place is free, nobody runs on, and the next answer is that of the next call."""
    if path == TASKS and trouble and trouble[0][0] in {200, 503}:
        trouble = ()  # It is not repeated.
    api.answers(f"{TASKS}/t2", (200, {}, task_named("t2")))
    proxy = await faulty(api.url)
    last = (201 if path == TASKS else 200, {}, BODIES.get(path, BODIES[TASK]))
    for point in itertools.count(1):
        api.answers(path, *trouble, last)
        client = connect(proxy.url, auth=Renewing(), in_flight=1, rate_limit=100)
        tortured = CancelledAt(call(client), point)

        async def run(tortured=tortured):
            return await tortured

        (end,) = await asyncio.gather(asyncio.create_task(run()), return_exceptions=True)

        if not tortured.struck:
            break
        assert isinstance(end, asyncio.CancelledError)
        async with asyncio.timeout(5):
            assert (await client.tasks.get("t2")).id == "t2"
        await client.close()
        assert not ours()
    assert ids(end) == ["t1"]
    record_property("await points cancelled", point - 1)
    assert point > 3


async def test_b23_a_cancelled_request_takes_its_connection_with_it(connect, api, faulty):
    """The reply to it may still come, and must not be taken for the reply to another."""
    api.answers(TASK, hang)
    proxy = await faulty(api.url)
    client = connect(proxy.url)
    pending = asyncio.create_task(client.tasks.get("t1"))
    await asyncio.sleep(0.02)

    pending.cancel()
    await asyncio.gather(pending, return_exceptions=True)

    async with asyncio.timeout(5):
        await proxy.idle.wait()


# --- B24: asyncio.timeout around a call -----------------------------------------------------------------------------


def everything_hangs(wire):
    wire.latency = 1e6


def everything_fails(wire):
    wire.answer = lambda asked: (503, {"Retry-After": "9"}, b"")


def everything_is_throttled(wire):
    wire.answer = lambda asked: (429, {"Retry-After": "9"}, b"")


def nothing_is_ready(wire):
    wire.answer = lambda asked: (206, {}, b'{"data": []}')


DELAYS = [everything_hangs, everything_fails, everything_is_throttled]
TIMED = [(delay, read) for delay in DELAYS for _, read in READS.values()]
TIMED.append((nothing_is_ready, READS["await_derivatives"][1]))


@pytest.mark.parametrize(("delay", "read"), TIMED, ids=lambda given: getattr(given, "__name__", "call"))
@pytest.mark.parametrize("seconds", [0.0, 0.01, 7.5])
def test_b24_a_timeout_around_a_call_surfaces_on_time_and_nothing_is_asked_after_it(wire, delay, read, seconds):
    delay(wire)

    async def main(client):
        began = asyncio.get_running_loop().time()
        with pytest.raises(TimeoutError) as caught:
            async with asyncio.timeout(seconds):
                await read(client)
        took = asyncio.get_running_loop().time() - began
        assert not isinstance(caught.value, IceyeError)
        sent = len(wire.asked)
        await asyncio.sleep(3600)
        assert len(wire.asked) == sent
        return took

    assert wire.run(main) == pytest.approx(seconds)


@pytest.mark.parametrize("delay", [*DELAYS, nothing_is_ready])
def test_b24_wait_for_around_a_wait_surfaces_on_time(wire, delay):
    delay(wire)

    async def main(client):
        began = asyncio.get_running_loop().time()
        with pytest.raises(TimeoutError) as caught:
            await asyncio.wait_for(client.await_derivatives("t1"), 100)
        assert not isinstance(caught.value, IceyeError)
        return asyncio.get_running_loop().time() - began

    assert wire.run(main) == pytest.approx(100)


def test_b24_a_timeout_at_the_very_moment_of_the_waits_own_deadline_is_a_timeout_error(wire):
    wire.answer = lambda asked: (206, {}, b'{"data": []}')

    async def main(client):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(60):
                await client.await_derivatives("t1", poll=PollPolicy(timeout=60))
        return asyncio.get_running_loop().time()

    assert wire.run(main) < 65


@pytest.mark.parametrize("what", ["turn", "place", "token"])
def test_b24_a_timeout_around_a_call_in_line_frees_the_line(wire, what):
    """Behind the rate limit, for a place under way, or for a token: who gives up holds up nobody."""

    def answer(asked):
        if asked.path == "/token":
            return (200, {}, b'{"access_token": "c4n4ry-a", "expires_in": 3600}')
        return healthy(asked)

    wire.answer = answer
    wire.latency = 0.05 if what == "turn" else 50.0
    options = {"turn": {"rate_limit": 0.01}, "place": {"in_flight": 1}, "token": {}}[what]
    if what == "token":
        options["auth"] = ClientCredentials("https://api.example/token", "an-id", "c4n4ry")

    async def main(client):
        first = asyncio.create_task(client.tasks.get("t1"))
        await asyncio.sleep(1)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(10):
                await client.tasks.get("t1")
        third = await client.tasks.get("t1")
        await first
        return third, asyncio.get_running_loop().time()

    third, ended = wire.run(main, **options)
    assert third.id == "t1"
    assert ended < 160


async def test_b24_a_timeout_around_a_download_surfaces_and_publishes_nothing(connect, other, tmp_path):
    other.answers("/f.json", hang)
    found = Derivative(id="d", type="V", task_id="t1", assets=(DerivativeAsset(href=f"{other.url}/f.json"),))

    with pytest.raises(TimeoutError) as caught:
        async with asyncio.timeout(QUICK):
            await connect().download(found, tmp_path)

    assert not isinstance(caught.value, IceyeError)
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and not path.name.startswith(".")]
