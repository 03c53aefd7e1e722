"""Group E, transfers: connections that break, links that run out, hosts that answer something else than was asked.

Rows E1 to E19. What is wrong with disks, names and rivals is the other half of the group. Each test is run over the
client's own connections and over a borrowed session.
"""

import asyncio
import functools
import gzip
import hashlib
import itertools
import json
import os
import re
import shutil
import time
import zlib
from datetime import UTC, datetime, timedelta
from email.utils import formatdate

import aiohttp
import pytest
from aiohttp import web

from iceye_async import (
    Derivative,
    DerivativeAsset,
    DownloadError,
    IceyeError,
    IntegrityError,
    LinkExpired,
    Product,
    ProductAsset,
    RetryPolicy,
)
from iceye_async.downloads import Failed, Finished, Interrupted, Progressed, Started
from iceye_async.sandbox import LinkFault, Sandbox, Scenario
from tests.faults.link_host import DENIED, MODIFIED, REQUEST_ID, LinkHost, Stored, Turn, improper

LOOK = "/api/tasking/v2/tasks/t1/derivatives"
PRODUCTS = "/api/tasking/v2/tasks/t1/products"
MIB = 2**20
AGAIN = 8 * MIB
"""Bytes that may be fetched again for one disturbance."""
BIG = 16 * MIB
SIZE = 3 * MIB
CUT = 2_000_000
"""Where it breaks."""
CHUNK = MIB
"""What a break may cost: a piece that had not come whole."""
HOUR = 3600.0
MARGIN = 300.0
"""Seconds of life below which a link is renewed before it is used."""
MANIFEST = ".iceye-async.json"
TIFF = b"II*\0" + bytes(range(256)) * 100
HTML = b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body>Please sign in</body></html>"
tenths = pytest.mark.parametrize("tenth", range(11))


@functools.cache
def noise(size, seed=b"noise"):
    """Bytes of which no two stretches are alike."""
    return hashlib.shake_256(seed).digest(size)


BODY = noise(SIZE)


def digest(body):
    return hashlib.sha256(body).hexdigest()


# --- the link host, the API that gives out its links, and the client -------------------------------------------------


@pytest.fixture
async def host():
    """A link host with one file of 3 MB, `/f.json`. It never hears a credential, whatever the test is about."""
    async with LinkHost() as host:
        host.files["/f.json"] = Stored(BODY)
        yield host
    assert not improper(host.heard)


@pytest.fixture(params=["own", "borrowed"])
async def links(request):
    """The session for links, where it is borrowed."""
    if request.param == "own":
        yield None
        return
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
def dial(links, connect):
    """Makes a client of the scripted API that fetches links either way."""
    return functools.partial(connect, link_http=links)


@pytest.fixture
def eager(monkeypatch):
    """A large file gets its further connections at once, whatever they bring."""
    for name, value in {"_TRIAL": 0.0001, "_GAIN": 0.0, "_WORTH": MIB, "_HUNG": 0.3}.items():
        monkeypatch.setattr(f"iceye_async.downloads.transfer.{name}", value)


def link(host, path="/f.json", number=1, expires=None):
    """A link that looks like a real one; without `expires` it lives one hour."""
    expires = int(time.time() + HOUR) if expires is None else expires
    return f"{host.url}{path}?Expires={expires}&Signature=c4n4ry-{number}~&Key-Pair-Id=K"


def found(href, name="d1"):
    return Derivative(id=name, type="DC_VESSELS", task_id="t1", assets=(DerivativeAsset(href=href, type="geojson"),))


def product(**assets):
    """A product of these assets: key (with `_` for `-`) to link and media type."""
    made = {key.replace("_", "-"): ProductAsset(href=href, type=kind) for key, (href, kind) in assets.items()}
    return Product(id="p1", task_id="t1", assets=made)


class Issuer:
    """The API's lists of `d1` and `p1`: each time with new links, which live one hour by the clock of the test.

    The host accepts no link after that, nor one whose number is in `revoked`. `readable`: whether a link tells its end.
    """

    def __init__(self, clock, host):
        self.clock, self.host = clock, host
        self.readable, self.life, self.looks = True, HOUR, 0
        self.paths = {"geojson": "/f.json"}
        self.moved = None
        self.revoked = set()
        self._ends = {}
        self._start = time.time() - clock.now()

    def now(self):
        return self._start + self.clock.now()

    def skew(self, seconds):
        """The service's calendar is so much ahead of ours."""
        self._start += seconds

    async def __call__(self, request):
        self.looks += 1
        self._ends[self.looks] = self.now() + self.life
        made = [self._derivative()] if request.path == LOOK else [self._product()]
        return web.json_response({"data": made, "cursor": ""}, headers={"Date": formatdate(self.now(), usegmt=True)})

    def _derivative(self):
        assets = [{"type": key, "href": self._link(path)} for key, path in self.paths.items()]
        return {"id": "d1", "derivativeProductType": "DC_VESSELS", "assets": assets}

    def _product(self):
        assets = {key: {"href": self._link(path)} for key, path in self.paths.items()}
        return {"id": "p1", "type": "Feature", "properties": {"sar:product_type": "GRD"}, "assets": assets}

    def _link(self, path):
        host = self.host if self.moved is None or self.looks == 1 else self.moved
        expires = f"Expires={int(self._ends[self.looks])}&" if self.readable else ""
        return f"{host.url}{path}?{expires}Signature=c4n4ry-{self.looks}~&Key-Pair-Id=K"

    def allows(self, target):
        number = number_of(target)
        return number not in self.revoked and self.now() < self._ends[number]


def number_of(target):
    """Which listing of the issuer a link is from."""
    return int(re.search(r"c4n4ry-(\d+)~", target)[1])


@pytest.fixture
def issuer(clock, host, service):
    issuer = Issuer(clock, host)
    host.allows = issuer.allows
    service.answers(LOOK, issuer)
    service.answers(PRODUCTS, issuer)
    return issuer


async def listed(client):
    """The derivative, as the API has just listed it."""
    (derivative,) = await client.derivatives.get("t1")
    return derivative


# --- what came of it -------------------------------------------------------------------------------------------------


def left(folder):
    """Everything in the folder but the manifest and its lock."""
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith(MANIFEST))


def published(folder):
    return [name for name in left(folder) if not name.startswith(".")]


def arrived(download, folder, body=BODY, *, verified=True):
    """The download is one file, whole, and there is nothing besides it."""
    (event,) = download.latest
    assert isinstance(event, Finished)
    assert digest(event.path.read_bytes()) == digest(body)
    assert (event.size, event.sha256, event.verified) == (len(body), digest(body), verified)
    assert left(folder) == [event.path.name]
    return event


def told(error, folder, *words, asset="d1"):
    """The error has its facts, says what to do, and nothing of the link."""
    assert isinstance(error, DownloadError)
    assert error.asset is not None
    assert error.asset.startswith(f"{asset}/")
    assert error.path is not None
    assert error.path.parent == folder
    assert not error.path.exists()
    assert error.asset in str(error)
    assert re.search(r"\b(again|ask|check|look|tells?|report|use|pass|see|contact)\b", str(error)), str(error)
    for word in words:
        assert word in str(error)
    assert "Signature" not in str(error)
    return error


async def failure(download, kind=DownloadError):
    with pytest.raises(kind) as caught:
        await download
    return caught.value


async def events_of(download):
    """All that it tells, up to the error if there is one. Nothing has its final name before it is whole."""
    events = []
    try:
        async for event in download:
            if not isinstance(event, Finished) and event.path.exists():
                # Only the first is waited for: a later one may be read when `Finished` is to be told next.
                assert any(isinstance(earlier, Progressed) for earlier in events)
                assert event.path.stat().st_size == event.size
            events.append(event)
    except DownloadError:
        pass
    return events


def resumed(asked, at, etag='"e1"'):
    """The request goes on where the one before broke off, if the file is still the same."""
    if at > CHUNK:
        assert asked.range is not None
    if asked.range is not None:
        assert asked.if_range == etag
        assert at - CHUNK <= asked.start <= at


def fetched(host, size=SIZE, breaks=1):
    """So much was sent in all: for each break no more than a chunk twice."""
    assert size <= host.sent <= size + breaks * CHUNK


async def interrupted(client, thing, folder, host, *turns):
    """A run that ends with an error after these turns, and leaves what can be resumed."""
    host.turns = list(turns)
    error = await failure(client.download(thing, folder))
    assert not published(folder)
    host.turns, host.ever = [], Turn()
    host.heard.clear()
    return error


# --- E1: reset on the way --------------------------------------------------------------------------------------------


@tenths
async def test_e01_a_reset_at_every_tenth_of_the_file_costs_no_more_than_one_chunk(dial, host, tmp_path, tenth):
    body = noise(BIG)
    host.files["/f.json"] = Stored(body)
    host.turns = [Turn(reset=BIG * tenth // 10)]
    download = dial().download(found(link(host)), tmp_path)

    await download

    arrived(download, tmp_path, body)
    assert host.sent - BIG <= AGAIN
    for asked in host.gets:
        if asked.range is not None and asked.start:
            assert asked.if_range == '"e1"'


async def test_e01_a_large_file_comes_over_several_connections_at_once(dial, host, eager, tmp_path):
    """Or the tests of large files would not be about them."""
    body = noise(BIG)
    host.files["/f.json"] = Stored(body)
    host.ever = Turn(drip=(4 * 65_536, 0.001))
    download = dial().download(found(link(host)), tmp_path)

    await download

    arrived(download, tmp_path, body)
    assert len({asked.start for asked in host.gets}) >= 4
    assert all(asked.if_range == '"e1"' for asked in host.gets[1:])
    assert host.sent - BIG <= AGAIN


@tenths
async def test_e01_a_small_file_goes_on_where_it_was_reset(dial, host, tmp_path, tenth):
    host.turns = [Turn(reset=SIZE * tenth // 10)]
    download = dial().download(found(link(host)), tmp_path)

    await download

    arrived(download, tmp_path)
    assert len(host.gets) <= 2
    assert host.gets[0].range is None or host.gets[0].start == 0
    if 0 < tenth < 10:
        resumed(host.gets[1], SIZE * tenth // 10)
        fetched(host)


async def test_e01_a_reset_after_each_tenth_is_told_and_paused_for_each_time(dial, host, clock, tmp_path):
    host.turns = [Turn(reset=SIZE // 10) for _ in range(9)]
    download = dial(retry=RetryPolicy(tries=9)).download(found(link(host)), tmp_path)

    events = await events_of(download)

    arrived(download, tmp_path)
    breaks = [event for event in events if isinstance(event, Interrupted)]
    assert len(breaks) == 9
    assert [event.received for event in breaks] == [asked.start for asked in host.gets[1:]]
    assert all(event.wait >= 0 for event in breaks)
    assert [event.wait for event in breaks] == pytest.approx(clock.waits)
    assert all(isinstance(event.error, IceyeError) for event in breaks)
    fetched(host, breaks=9)
    assert [event.size for event in events if isinstance(event, Started)] == [SIZE]


async def test_e01_all_parts_of_a_large_file_are_reset_over_and_over(dial, host, eager, tmp_path):
    body = noise(BIG)
    host.files["/f.json"] = Stored(body)
    host.turns = [Turn(reset=MIB + 1000 * n) for n in range(12)]
    # A reset takes with it what had not left yet, which may be everything.
    download = dial(retry=RetryPolicy(tries=8)).download(found(link(host)), tmp_path)

    await download

    arrived(download, tmp_path, body)
    assert host.sent - BIG <= 12 * AGAIN


@pytest.mark.parametrize("links", ["own"], indirect=True)
@pytest.mark.parametrize("step", [1, 10_000, SIZE // 9])
async def test_e01_every_new_byte_is_a_new_lease_of_tries(dial, host, tmp_path, step):
    """Over a borrowed session aiohttp keeps back what had come when a connection broke, so there it may be none."""
    host.turns = [Turn(reset=step) for _ in range(8)]
    download = dial(retry=RetryPolicy(tries=2)).download(found(link(host)), tmp_path)

    await download

    arrived(download, tmp_path)
    assert len(host.gets) == 9
    fetched(host, breaks=8)


@pytest.mark.parametrize("tries", [1, 2, 5])
async def test_e01_resets_without_a_byte_end_with_an_error_after_as_many_tries_as_the_policy_has(
    dial, host, tmp_path, tries
):
    host.ever = Turn(reset=0)

    error = await failure(dial(retry=RetryPolicy(tries=tries)).download(found(link(host)), tmp_path))

    told(error, tmp_path)
    assert len(host.gets) == tries
    assert not published(tmp_path)


RAW = {
    "before a byte": b"",
    "in the status line": b"HTTP/1.1 20",
    "in a header": b"HTTP/1.1 200 OK\r\nContent-Le",
    "in the length": b'HTTP/1.1 200 OK\r\nETag: "e1"\r\nContent-Length: 31',
    "before the body": b"HTTP/1.1 200 OK\r\nContent-Length: 3145728\r\n\r\n",
}


@pytest.mark.parametrize("reset", [True, False], ids=["reset", "closed"])
@pytest.mark.parametrize("raw", RAW.values(), ids=RAW)
async def test_e01_an_answer_that_ends_before_its_body_is_asked_for_again(dial, host, tmp_path, raw, reset):
    host.turns = [Turn(raw=raw, raw_reset=reset)]
    download = dial().download(found(link(host)), tmp_path)

    await download

    arrived(download, tmp_path)
    assert len(host.gets) == 2


async def test_e01_what_is_left_of_a_reset_is_resumed_by_the_next_client(dial, host, tmp_path):
    error = await interrupted(
        dial(retry=RetryPolicy(tries=1)), found(link(host)), tmp_path, host, Turn(reset=CUT), Turn(reset=0)
    )
    told(error, tmp_path)
    assert len(left(tmp_path)) == 2
    download = dial().download(found(link(host, number=2)), tmp_path)

    events = await events_of(download)

    arrived(download, tmp_path)
    (asked,) = host.gets
    resumed(asked, CUT)
    assert events[0].resumed == asked.start
    fetched(host, SIZE - CUT)


async def test_e01_nothing_is_listening_any_more(dial, closed_port, tmp_path):
    error = await failure(dial().download(found(f"{closed_port}/f.json?Signature=c4n4ry"), tmp_path))

    told(error, tmp_path)
    assert left(tmp_path) == []


async def test_e01_of_two_files_a_reset_of_one_does_not_touch_the_other(dial, host, tmp_path):
    other = noise(SIZE, b"other")
    host.files["/g.json"] = Stored(other, etag='"e2"')
    host.turns = [Turn(reset=CUT)]
    things = [found(link(host)), found(link(host, "/g.json"), "d2")]

    paths = await dial().download(things, tmp_path)

    assert [path.read_bytes() for path in paths] == [BODY, other]
    fetched(host, 2 * SIZE)


# --- E2: cut short, closed cleanly -----------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", [0, 1, SIZE // 3, SIZE - 1])
async def test_e02_a_body_cut_short_of_its_length_goes_on(dial, host, tmp_path, cut):
    host.turns = [Turn(cut=cut)]
    download = dial().download(found(link(host)), tmp_path)

    events = await events_of(download)

    arrived(download, tmp_path)
    assert len(host.gets) == 2
    fetched(host)
    assert sum(isinstance(event, Interrupted) for event in events) == 1
    if cut:
        resumed(host.gets[1], cut)


async def test_e02_a_body_that_is_always_cut_is_never_renamed(dial, host, tmp_path):
    host.turns = [Turn(cut=SIZE - 1)]
    host.ever = Turn(cut=0)
    download = dial(retry=RetryPolicy(tries=3)).download(found(link(host)), tmp_path)

    events = await events_of(download)

    failed = events[-1]
    assert isinstance(failed, Failed)
    told(failed.error, tmp_path)
    assert published(tmp_path) == []
    assert not [event for event in events if isinstance(event, Finished)]
    assert 3 <= len(host.gets) <= 4


async def test_e02_the_last_byte_is_fetched_by_the_next_run(dial, host, tmp_path):
    client = dial(retry=RetryPolicy(tries=2))
    await interrupted(client, found(link(host)), tmp_path, host, Turn(cut=SIZE - 1), Turn(cut=0), Turn(cut=0))
    download = client.download(found(link(host)), tmp_path)

    await download

    arrived(download, tmp_path)
    fetched(host, 1)


async def test_e02_a_large_file_cut_in_each_of_its_parts_comes_whole(dial, host, eager, tmp_path):
    body = noise(BIG)
    host.files["/f.json"] = Stored(body)
    host.turns = [Turn(cut=5 * MIB), *(Turn(cut=MIB // 2) for _ in range(6))]
    download = dial(retry=RetryPolicy(tries=8)).download(found(link(host)), tmp_path)

    await download

    arrived(download, tmp_path, body)
    assert host.sent - BIG <= 7 * AGAIN


async def test_e02_a_length_that_is_too_large_by_one_never_makes_a_file(dial, host, tmp_path):
    host.ever = Turn(headers={"Content-Length": str(SIZE + 1)}, cut=SIZE, ignore_range=True)
    download = dial(retry=RetryPolicy(tries=3)).download(found(link(host)), tmp_path)

    error = await failure(download)

    told(error, tmp_path)
    assert published(tmp_path) == []
    assert len(host.gets) < 10


# --- E3: cut short, and no length ------------------------------------------------------------------------------------


@tenths
async def test_e03_a_chunked_body_cut_at_every_tenth_goes_on_where_the_file_has_a_strong_etag(
    dial, host, tmp_path, tenth
):
    host.turns = [Turn(chunked=True, cut=SIZE * tenth // 10)]
    download = dial().download(found(link(host)), tmp_path)

    await download

    # The answer to a range tells the size, and so does the whole file.
    arrived(download, tmp_path)
    assert len(host.gets) == 2
    if tenth:
        resumed(host.gets[1], SIZE * tenth // 10)


@pytest.mark.parametrize("cut", [0, 1, SIZE // 2, SIZE])
async def test_e03_a_chunked_body_without_an_etag_begins_anew(dial, host, tmp_path, cut):
    host.files["/f.json"] = Stored(BODY, etag=None)
    host.turns = [Turn(chunked=True, cut=cut)]
    host.ever = Turn(chunked=True)
    download = dial().download(found(link(host)), tmp_path)

    await download

    arrived(download, tmp_path, verified=False)
    assert [asked.range for asked in host.gets] == [None, None]


async def test_e03_a_whole_chunked_body_is_published_and_marked_unverified(dial, host, tmp_path):
    host.ever = Turn(chunked=True)
    download = dial().download(found(link(host)), tmp_path)

    events = await events_of(download)

    arrived(download, tmp_path, verified=False)
    assert events[0].size is None
    assert len(host.gets) == 1


async def test_e03_a_chunked_body_that_is_always_cut_is_never_published(dial, host, tmp_path):
    host.files["/f.json"] = Stored(BODY, etag=None, modified=None)
    host.ever = Turn(chunked=True, cut=SIZE)

    error = await failure(dial(retry=RetryPolicy(tries=3)).download(found(link(host)), tmp_path))

    told(error, tmp_path)
    assert left(tmp_path) == []
    assert len(host.gets) < 10


HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNKS = {
    "no number": HEAD + b"5\r\nabcde\r\nzz\r\nabcde\r\n0\r\n\r\n",
    "negative": HEAD + b"5\r\nabcde\r\n-5\r\nabcde\r\n0\r\n\r\n",
    "empty size": HEAD + b"5\r\nabcde\r\n\r\n",
    "longer than its size": HEAD + b"5\r\nabcdefgh\r\n0\r\n\r\n",
    "shorter than its size": HEAD + b"ff\r\nabcde\r\n0\r\n\r\n",
    "endless size line": HEAD + b"5" * CUT,
    "no last chunk": HEAD + b"5\r\nabcde\r\n",
}


@pytest.mark.parametrize("raw", CHUNKS.values(), ids=CHUNKS)
async def test_e03_broken_chunks_never_make_a_file(dial, host, tmp_path, raw):
    host.ever = Turn(raw=raw)

    error = await failure(dial(retry=RetryPolicy(tries=2)).download(found(link(host)), tmp_path))

    told(error, tmp_path)
    assert published(tmp_path) == []
    assert len(host.gets) < 10


@pytest.mark.parametrize("raw", CHUNKS.values(), ids=CHUNKS)
async def test_e03_after_broken_chunks_the_file_comes_whole(dial, host, tmp_path, raw):
    host.turns = [Turn(raw=raw)]
    download = dial().download(found(link(host)), tmp_path)

    await download

    arrived(download, tmp_path)


async def test_e03_a_body_that_ends_with_the_connection_is_not_taken_for_verified(dial, host, tmp_path):
    host.ever = Turn(endless=True)
    download = dial().download(found(link(host)), tmp_path)

    try:
        await download
    except IntegrityError as error:
        told(error, tmp_path)
        assert published(tmp_path) == []
    else:
        arrived(download, tmp_path, verified=False)


async def test_e03_the_rest_of_a_file_of_known_size_may_end_with_the_connection_but_not_before(dial, host, tmp_path):
    host.turns = [Turn(cut=CUT), Turn(endless=True, cut=CUT), Turn(endless=True)]
    download = dial().download(found(link(host)), tmp_path)

    await download

    arrived(download, tmp_path)


# --- E4: more than was announced -------------------------------------------------------------------------------------


@pytest.mark.parametrize("headers", [{}, {"Connection": "close"}], ids=["kept open", "closed"])
async def test_e04_bytes_beyond_the_announced_length_are_an_integrity_error(dial, host, links, tmp_path, headers):
    host.ever = Turn(headers=headers, extra=b"more than that")
    download = dial().download(found(link(host)), tmp_path)
    if links is not None:
        # aiohttp shows nothing of what comes after the length that was announced.
        await download
        arrived(download, tmp_path)
        return

    error = await failure(download, IntegrityError)

    told(error, tmp_path)
    assert left(tmp_path) == []


@pytest.mark.parametrize("late", [False, True], ids=["with the body", "after it"])
async def test_e04_bytes_that_stand_between_two_answers_spoil_neither_file(dial, host, tmp_path, late):
    """The next request on such a connection would read them as its answer."""
    other = noise(SIZE, b"other")
    host.files["/g.json"] = Stored(other, etag='"e2"')
    host.turns = [Turn(extra=b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nWRONG", late=late)]
    client = dial()
    try:
        await client.download(found(link(host)), tmp_path)
    except IntegrityError:
        assert left(tmp_path) == []

    (path,) = await client.download(found(link(host, "/g.json"), "d2"), tmp_path)

    assert path.read_bytes() == other


@pytest.mark.parametrize("chunked", [False, True], ids=["with a length", "chunked"])
async def test_e04_a_part_that_is_longer_than_it_says_is_never_written_beyond_its_end(dial, host, tmp_path, chunked):
    said = {"Content-Range": f"bytes {CUT}-{SIZE - 1}/{SIZE}", "ETag": '"e1"'}
    host.turns = [Turn(cut=CUT), Turn(status=206, headers=said, body=BODY[CUT:] + b"more", chunked=chunked)]
    download = dial().download(found(link(host)), tmp_path)

    try:
        await download
    except IntegrityError as error:
        told(error, tmp_path)
        assert published(tmp_path) == []
        assert left(tmp_path) == []
    else:
        arrived(download, tmp_path)


async def test_e04_a_chunked_body_that_grows_beyond_the_size_told_before_is_not_published(dial, host, tmp_path):
    """The size was told by the first answer; the second one comes without one and with more."""
    host.turns = [Turn(cut=CUT)]
    host.ever = Turn(chunked=True, ignore_range=True, body=BODY + b"more")
    download = dial().download(found(link(host)), tmp_path)

    try:
        await download
    except IntegrityError as error:
        told(error, tmp_path)
        assert published(tmp_path) == []
    else:
        arrived(download, tmp_path, BODY + b"more", verified=False)


LENGTHS = {
    "two that differ": Turn(doubled=(("Content-Length", str(SIZE - 5)),)),
    "negative": Turn(headers={"Content-Length": "-1", "Connection": "close"}, cut=SIZE),
    "no number": Turn(headers={"Content-Length": "many", "Connection": "close"}, cut=SIZE),
    "a list": Turn(headers={"Content-Length": f"{SIZE}, {SIZE - 5}", "Connection": "close"}, cut=SIZE),
    "underscores": Turn(headers={"Content-Length": "3_145_728", "Connection": "close"}, cut=SIZE - 5),
    "Arabic digits": Turn(headers={"Content-Length": "+" + str(SIZE), "Connection": "close"}, cut=SIZE - 5),
}


async def test_e04_a_length_that_is_shorter_than_the_body_makes_no_file(dial, host, links, tmp_path):
    host.ever = Turn(headers={"Content-Length": str(SIZE - 5)})
    download = dial().download(found(link(host)), tmp_path)
    if links is not None:
        # aiohttp shows nothing of what comes after the length that was announced.
        await download
        arrived(download, tmp_path, BODY[:-5])
        return

    error = await failure(download, IntegrityError)

    told(error, tmp_path)
    assert left(tmp_path) == []


@pytest.mark.parametrize("turn", LENGTHS.values(), ids=LENGTHS)
async def test_e04_lengths_that_are_none_or_contradict_never_make_a_wrong_file(dial, host, tmp_path, turn):
    host.ever = turn
    download = dial(retry=RetryPolicy(tries=2)).download(found(link(host)), tmp_path)

    try:
        await download
    except DownloadError as error:
        told(error, tmp_path)
        assert published(tmp_path) == []
    else:
        (event,) = download.latest
        assert event.path.read_bytes() == BODY


async def test_e04_chunks_beside_a_length_are_no_wrong_file(dial, host, tmp_path):
    host.ever = Turn(chunked=True, headers={"Content-Length": str(SIZE - 5)})
    download = dial(retry=RetryPolicy(tries=2)).download(found(link(host)), tmp_path)

    try:
        await download
    except DownloadError as error:
        told(error, tmp_path)
        assert published(tmp_path) == []
    else:
        (event,) = download.latest
        assert event.path.read_bytes() == BODY


# --- E5: the link has run out before it is used ----------------------------------------------------------------------


async def test_e05_a_link_that_has_run_out_is_renewed_before_the_host_hears_of_it(dial, host, clock, issuer, tmp_path):
    client = dial()
    derivative = await listed(client)
    clock.time += HOUR + 1
    download = client.download(derivative, tmp_path)

    await download

    arrived(download, tmp_path)
    assert issuer.looks == 2
    assert [number_of(asked.target) for asked in host.heard] == [2]


@pytest.mark.parametrize(("life", "looks"), [(MARGIN - 10, 2), (MARGIN + 10, 1)], ids=["below", "above"])
async def test_e05_a_link_is_renewed_in_its_last_five_minutes_and_not_before(
    dial, host, clock, issuer, tmp_path, life, looks
):
    client = dial()
    derivative = await listed(client)
    clock.time += HOUR - life
    download = client.download(derivative, tmp_path)

    await download

    arrived(download, tmp_path)
    assert issuer.looks == looks
    assert [number_of(asked.target) for asked in host.heard] == [looks]


@pytest.mark.parametrize("skew", [-86_400, 86_400], ids=["we are ahead", "we are behind"])
@pytest.mark.parametrize(("life", "looks"), [(MARGIN - 10, 2), (MARGIN + 10, 1)], ids=["below", "above"])
async def test_e05_the_life_of_a_link_is_read_by_the_calendar_of_the_service(
    dial, host, clock, issuer, tmp_path, life, looks, skew
):
    issuer.skew(skew)
    client = dial()
    derivative = await listed(client)
    clock.time += HOUR - life
    download = client.download(derivative, tmp_path)

    await download

    arrived(download, tmp_path)
    assert issuer.looks == looks
    assert [number_of(asked.target) for asked in host.heard] == [looks]


async def test_e05_a_link_refused_with_403_is_renewed_once(dial, host, issuer, tmp_path):
    client = dial()
    derivative = await listed(client)
    issuer.revoked = {1}
    download = client.download(derivative, tmp_path)

    await download

    arrived(download, tmp_path)
    assert issuer.looks == 2
    assert [number_of(asked.target) for asked in host.heard] == [1, 2]


async def test_e05_a_second_403_is_the_end(dial, host, issuer, tmp_path):
    client = dial()
    derivative = await listed(client)
    issuer.revoked = {1, 2, 3}

    error = await failure(client.download(derivative, tmp_path), LinkExpired)

    told(error, tmp_path, "403")
    assert error.request_id == REQUEST_ID
    assert [number_of(asked.target) for asked in host.heard] == [1, 2]
    assert issuer.looks == 2
    assert left(tmp_path) == []


async def test_e05_nine_assets_of_a_product_share_one_renewal(dial, host, clock, issuer, tmp_path):
    issuer.paths = {f"part-{n}": f"/part-{n}" for n in range(9)}
    bodies = {path: noise(10_000, path.encode()) for path in issuer.paths.values()}
    host.files = {path: Stored(body, etag=f'"{path}"') for path, body in bodies.items()}
    client = dial()
    made = await client.products.list("t1")
    clock.time += HOUR

    paths = await client.download(made, tmp_path)

    assert [path.read_bytes() for path in paths] == list(bodies.values())
    assert issuer.looks == 2
    assert {number_of(asked.target) for asked in host.heard} == {2}
    assert len(host.heard) == 9


async def test_e05_nine_refusals_share_one_renewal(dial, host, issuer, tmp_path):
    issuer.paths = {f"part-{n}": f"/part-{n}" for n in range(9)}
    issuer.readable = False
    bodies = {path: noise(10_000, path.encode()) for path in issuer.paths.values()}
    host.files = {path: Stored(body, etag=f'"{path}"') for path, body in bodies.items()}
    client = dial()
    made = await client.products.list("t1")
    issuer.revoked = {1}

    paths = await client.download(made, tmp_path)

    assert [path.read_bytes() for path in paths] == list(bodies.values())
    assert issuer.looks == 2
    assert len(host.heard) <= 18


async def test_e05_a_derivative_made_by_hand_is_renewed_too(dial, host, issuer, tmp_path):
    download = dial().download(found(link(host, number=0, expires=1)), tmp_path)

    await download

    arrived(download, tmp_path)
    assert issuer.looks == 1
    assert [number_of(asked.target) for asked in host.heard] == [1]


GONE = {
    "no such task": (404, {}, b'{"code": "not_found", "message": "no"}'),
    "forbidden": (403, {}, b'{"code": "forbidden", "message": "no"}'),
    "not in the list": (200, {}, b'{"data": []}'),
    "without assets": (206, {}, b'{"data": [{"id": "d1", "derivativeProductType": "DC_VESSELS", "assets": []}]}'),
    "not readable": (200, {}, b"<html>"),
    "down": (500, {}, b""),
}


@pytest.mark.parametrize("answer", GONE.values(), ids=GONE)
async def test_e05_a_link_that_is_over_and_cannot_be_renewed_is_an_error_that_says_so(
    dial, host, service, tmp_path, answer
):
    service.answers(LOOK, answer)
    host.allows = lambda target: False

    error = await failure(dial().download(found(link(host)), tmp_path), IceyeError)

    told(error, tmp_path)
    assert len(host.heard) <= 3
    assert left(tmp_path) == []


async def test_e05_what_the_host_called_the_request_is_told_though_the_link_could_not_be_renewed(
    dial, host, service, tmp_path
):
    service.answers(LOOK, GONE["not in the list"])
    host.allows = lambda target: False

    error = await failure(dial().download(found(link(host)), tmp_path), LinkExpired)

    assert error.request_id == REQUEST_ID


@pytest.mark.parametrize("answer", GONE.values(), ids=GONE)
async def test_e05_a_link_in_its_last_minutes_is_used_where_it_cannot_be_renewed(dial, host, service, tmp_path, answer):
    service.answers(LOOK, answer)
    download = dial().download(found(link(host, expires=int(time.time() + MARGIN / 2))), tmp_path)

    await download

    arrived(download, tmp_path)


async def test_e05_a_renewed_link_that_may_not_be_followed_is_refused(dial, host, service, tmp_path):
    listing = {"data": [{"id": "d1", "derivativeProductType": "DC_VESSELS", "assets": [{"type": "geojson"}]}]}
    listing["data"][0]["assets"][0]["href"] = "file:///etc/f.json?Signature=c4n4ry"
    service.answers(LOOK, (200, {}, json.dumps(listing).encode()))
    host.allows = lambda target: False

    error = await failure(dial().download(found(link(host)), tmp_path))

    assert len(host.heard) == 1
    assert left(tmp_path) == []
    assert error.asset is not None


# --- E6 and E7: the link runs out while the file is on its way -------------------------------------------------------


def later(clock, seconds):
    """Moves the clock."""

    def move():
        clock.time += seconds

    return move


async def test_e06_a_link_that_runs_out_during_one_long_answer_does_not_stop_it(dial, host, clock, issuer, tmp_path):
    host.turns = [Turn(pause=SIZE // 2, then=later(clock, 3 * HOUR))]
    client = dial()
    download = client.download(await listed(client), tmp_path)

    await download

    arrived(download, tmp_path)
    assert len(host.heard) == 1
    assert issuer.looks == 1


async def test_e06_the_same_with_a_large_file_costs_at_most_one_renewal(dial, host, eager, clock, issuer, tmp_path):
    body = noise(BIG)
    host.files["/f.json"] = Stored(body)
    host.turns = [Turn(pause=MIB, then=later(clock, 3 * HOUR))]
    client = dial()
    download = client.download(await listed(client), tmp_path)

    await download

    arrived(download, tmp_path, body)
    assert issuer.looks <= 2
    # What was on its way when the hour was suddenly over may be refused.
    assert sum(asked.status == 403 for asked in host.heard) <= 3
    assert host.sent - BIG <= AGAIN


@tenths
async def test_e07_run_out_and_then_dropped_it_goes_on_with_a_new_link(dial, host, clock, issuer, tmp_path, tenth):
    at = SIZE * tenth // 10
    host.turns = [Turn(reset=at, pause=at, then=later(clock, HOUR))]
    client = dial()
    download = client.download(await listed(client), tmp_path)

    await download

    arrived(download, tmp_path)
    if tenth == 10:
        return
    assert issuer.looks == 2
    assert [number_of(asked.target) for asked in host.heard] == [1, 2]
    fetched(host)
    if tenth:
        resumed(host.heard[1], at)


async def test_e07_a_refusal_after_a_drop_is_renewed_and_resumed_too(dial, host, issuer, tmp_path):
    """The link does not tell its end: the host has to say it."""
    issuer.readable = False
    host.turns = [Turn(reset=CUT, pause=CUT, then=lambda: issuer.revoked.add(1))]
    client = dial()
    download = client.download(await listed(client), tmp_path)

    await download

    arrived(download, tmp_path)
    assert issuer.looks == 2
    assert [number_of(asked.target) for asked in host.gets if asked.status in {200, 206}] == [1, 2]
    resumed(host.gets[-1], CUT)


async def test_e07_a_transfer_of_many_hours_gets_as_many_links_as_it_needs(dial, host, clock, issuer, tmp_path):
    host.turns = [Turn(reset=SIZE // 5, pause=SIZE // 5, then=later(clock, HOUR)) for _ in range(4)]
    client = dial()
    download = client.download(await listed(client), tmp_path)

    await download

    arrived(download, tmp_path)
    assert issuer.looks == 5
    assert [number_of(asked.target) for asked in host.heard] == [1, 2, 3, 4, 5]
    fetched(host)


async def test_e07_each_link_that_brought_bytes_may_be_refused_in_its_time(dial, host, issuer, tmp_path):
    """Links that do not tell their end, and a file that takes longer than two of them live."""
    issuer.readable = False
    host.turns = [
        Turn(reset=SIZE // 5, pause=SIZE // 5, then=functools.partial(issuer.revoked.add, number))
        for number in range(1, 4)
    ]
    client = dial()
    download = client.download(await listed(client), tmp_path)

    await download

    arrived(download, tmp_path)
    assert issuer.looks == 4
    fetched(host)


async def test_e07_the_parts_of_a_large_file_share_one_renewal(dial, host, eager, clock, issuer, tmp_path):
    body = noise(BIG)
    host.files["/f.json"] = Stored(body)
    once = itertools.count()

    def over():
        if not next(once):
            clock.time += HOUR

    host.turns = [Turn(reset=2 * MIB, pause=MIB, then=over), *(Turn(reset=2 * MIB) for _ in range(3))]
    client = dial()
    download = client.download(await listed(client), tmp_path)

    await download

    arrived(download, tmp_path, body)
    assert issuer.looks == 2
    assert host.sent - BIG <= 4 * AGAIN


@pytest.mark.parametrize("etag", ['"e1"', '"e2"'], ids=["same file", "another file"])
async def test_e07_the_new_link_may_lead_to_another_host(dial, host, clock, issuer, tmp_path, etag):
    host.turns = [Turn(reset=CUT, pause=CUT, then=later(clock, HOUR))]
    async with LinkHost() as moved:
        body = BODY if etag == '"e1"' else noise(SIZE, b"other")
        moved.files["/f.json"] = Stored(body, etag=etag, modified="Fri, 02 Jan 2026 00:00:00 GMT")
        issuer.moved = moved
        client = dial()
        download = client.download(await listed(client), tmp_path)

        await download

        arrived(download, tmp_path, body)
        fetched(moved, SIZE - CUT if etag == '"e1"' else SIZE)
        assert not improper(moved.heard)


async def test_e07_what_an_earlier_run_left_is_resumed_with_a_link_that_was_renewed(
    dial, host, clock, issuer, tmp_path
):
    client = dial(retry=RetryPolicy(tries=1))
    derivative = await listed(client)
    await interrupted(client, derivative, tmp_path, host, Turn(reset=CUT), Turn(reset=0))
    clock.time += 5 * HOUR
    download = client.download(derivative, tmp_path)

    await download

    arrived(download, tmp_path)
    (asked,) = host.heard
    assert number_of(asked.target) == 2
    resumed(asked, CUT)


# --- E8: refused for another reason ----------------------------------------------------------------------------------

REFUSALS = {
    "denied": DENIED,
    "unknown key": b"<Error><Code>InvalidKey</Code><Message>Unknown Key</Message></Error>",
    "by country": b"<HTML><BODY>The Amazon CloudFront distribution is configured to block access from your country.",
    "by address": b"",
    "the link echoed": b"<Error><Resource>/f.json?Signature=c4n4ry-1~</Resource></Error>",
    "nonsense": bytes(range(256)) * 1000,
}


@pytest.mark.parametrize("body", REFUSALS.values(), ids=REFUSALS)
async def test_e08_a_403_that_stays_is_an_error_after_one_renewal(dial, host, issuer, tmp_path, body):
    host.allows = lambda target: True
    host.ever = Turn(status=403, headers={"X-Amz-Cf-Id": REQUEST_ID}, body=body)
    client = dial()

    error = await failure(client.download(await listed(client), tmp_path), LinkExpired)

    told(error, tmp_path, "403")
    assert error.request_id == REQUEST_ID
    assert REQUEST_ID in str(error)
    assert len(host.heard) == 2
    assert issuer.looks == 2
    assert left(tmp_path) == []


@pytest.mark.parametrize("header", ["X-Amz-Cf-Id", "x-amz-cf-id", "X-Amz-Request-Id"])
async def test_e08_the_error_holds_the_request_id_of_the_host(dial, host, issuer, tmp_path, header):
    host.allows = lambda target: True
    host.ever = Turn(status=403, headers={header: "the-id"}, body=DENIED)
    client = dial()

    error = await failure(client.download(await listed(client), tmp_path), LinkExpired)

    assert error.request_id == "the-id"


async def test_e08_a_403_without_a_request_id_has_none(dial, host, issuer, tmp_path):
    host.allows = lambda target: True
    host.ever = Turn(status=403, body=DENIED)
    client = dial()

    assert (await failure(client.download(await listed(client), tmp_path), LinkExpired)).request_id is None


@pytest.mark.parametrize("status", [400, 401, 402, 404, 405, 407, 410, 411, 418, 451])
async def test_e08_any_other_refusal_is_an_error_at_once(dial, host, issuer, tmp_path, status):
    host.ever = Turn(status=status, headers={"X-Amz-Cf-Id": REQUEST_ID, "WWW-Authenticate": "Basic"}, body=DENIED)
    client = dial()

    error = await failure(client.download(await listed(client), tmp_path))

    told(error, tmp_path, str(status))
    assert error.request_id == REQUEST_ID
    assert len(host.heard) == 1
    assert issuer.looks == 1
    assert left(tmp_path) == []


async def test_e08_an_asset_that_is_refused_does_not_stop_the_others(dial, host, issuer, tmp_path):
    issuer.paths = {f"part-{n}": f"/part-{n}" for n in range(5)}
    host.files = {path: Stored(BODY) for path in issuer.paths.values()}
    host.allows = lambda target: "part-2" not in target
    client = dial()

    error = await failure(client.download(await client.products.list("t1"), tmp_path))

    assert type(error) is DownloadError
    assert list(error.failed) == ["p1/part-2"]
    assert isinstance(error.failed["p1/part-2"], LinkExpired)
    assert sorted(path.name for path in error.done) == left(tmp_path)
    assert len(error.done) == 4
    assert issuer.looks == 2
    assert sum("part-2" in asked.target for asked in host.heard) == 2


async def test_e08_refused_half_way_for_good_what_came_is_kept(dial, host, issuer, tmp_path):
    host.turns = [Turn(reset=CUT, pause=CUT, then=lambda: issuer.revoked.update({1, 2}))]
    client = dial()

    error = await failure(client.download(await listed(client), tmp_path), LinkExpired)

    told(error, tmp_path, "403")
    assert issuer.looks == 2
    assert len(host.heard) == 3
    assert published(tmp_path) == []
    host.heard.clear()
    download = client.download(await listed(client), tmp_path)
    await download
    arrived(download, tmp_path)
    fetched(host, SIZE - CUT)


TROUBLES = {str(status): Turn(status=status) for status in (400, 403, 404, 416, 429, 500, 503)}
TROUBLES |= {"reset": Turn(reset=0), "cut": Turn(cut=0), "ignored": Turn(ignore_range=True)}


@pytest.mark.parametrize("turn", TROUBLES.values(), ids=TROUBLES)
async def test_e08_a_host_that_refuses_further_connections_is_not_stormed(
    dial, host, issuer, clock, eager, tmp_path, turn
):
    """One connection carries a large file; whatever asks for parts of it beside that one gets nothing."""
    body = noise(BIG)
    host.files["/f.json"] = Stored(body)
    host.ever = Turn(drip=(2 * 65_536, 0.002))
    host.allows = lambda target: True
    host.judge = lambda asked: turn if asked.range and not clock.waits and len(host.heard) < 60 else None
    client = dial()
    download = client.download(await listed(client), tmp_path)

    try:
        await download
    except DownloadError as error:
        told(error, tmp_path)
        assert published(tmp_path) == []
    else:
        arrived(download, tmp_path, body)
    assert len(host.gets) < 20
    assert issuer.looks < 5


# --- E9: links that do not tell when they run out --------------------------------------------------------------------


@pytest.mark.parametrize(("age", "looks"), [(0, 1), (HOUR - MARGIN - 10, 1), (HOUR - MARGIN + 10, 2), (86_400, 2)])
async def test_e09_a_link_without_an_end_lives_one_hour_from_when_it_was_read(
    dial, host, clock, issuer, tmp_path, age, looks
):
    issuer.readable = False
    client = dial()
    derivative = await listed(client)
    clock.time += age
    download = client.download(derivative, tmp_path)

    await download

    arrived(download, tmp_path)
    assert issuer.looks == looks
    assert [number_of(asked.target) for asked in host.heard] == [looks]


async def test_e09_the_same_goes_for_products(dial, host, clock, issuer, tmp_path):
    issuer.readable = False
    client = dial()
    made = await client.products.list("t1")
    clock.time += HOUR - MARGIN + 10

    await client.download(made, tmp_path)

    assert issuer.looks == 2
    assert [number_of(asked.target) for asked in host.heard] == [2]


@pytest.mark.parametrize("jump", [-86_400.0, 86_400.0])
async def test_e09_a_jump_of_the_wall_clock_makes_no_link_old(dial, host, issuer, tmp_path, monkeypatch, jump):
    issuer.readable = False
    client = dial()
    derivative = await listed(client)
    wall = time.time
    monkeypatch.setattr(time, "time", lambda: wall() + jump)
    download = client.download(derivative, tmp_path)

    await download

    arrived(download, tmp_path)
    assert issuer.looks == 1


async def test_e09_before_each_request_the_age_is_looked_at_again(dial, host, clock, issuer, tmp_path):
    issuer.readable = False
    host.turns = [Turn(reset=CUT, pause=CUT, then=later(clock, HOUR - MARGIN + 10))]
    client = dial()
    download = client.download(await listed(client), tmp_path)

    await download

    arrived(download, tmp_path)
    assert [number_of(asked.target) for asked in host.heard] == [1, 2]
    assert issuer.looks == 2


@pytest.mark.parametrize(
    "expires",
    ["", "soon", "nan", "inf", "-5", "1e400", "9" * 20, "9" * 5000, "٣٤", "0x10", "1&Expires=2", "%31", "1.5"],
)
async def test_e09_an_end_that_cannot_be_read_stops_no_download(dial, host, service, issuer, tmp_path, expires):
    host.allows = lambda target: True
    (target,) = [link(host, expires=re.sub(r"[^\x00-\x7f]+", "%D9%A3", expires))]
    download = dial().download(found(target), tmp_path)

    await download

    arrived(download, tmp_path)
    assert issuer.looks <= 1
    assert len(host.heard) == 1


# --- E10: another file under the same link ---------------------------------------------------------------------------

NEW = {"same length": noise(SIZE, b"new"), "longer": noise(2 * SIZE, b"new"), "shorter": noise(2_500_000, b"new")}
each_new = pytest.mark.parametrize("new", NEW.values(), ids=NEW)


def replace(host, body, etag='"e2"', modified="Fri, 02 Jan 2026 00:00:00 GMT"):
    """Puts another file there."""

    def put():
        host.files["/f.json"] = Stored(body, etag=etag, modified=modified)

    return put


@each_new
async def test_e10_a_file_replaced_between_two_parts_begins_anew(dial, host, tmp_path, new):
    host.turns = [Turn(cut=CUT, pause=CUT, then=replace(host, new))]
    download = dial().download(found(link(host)), tmp_path)

    await download

    arrived(download, tmp_path, new)
    resumed(host.gets[1], CUT)
    assert host.gets[1].status == 200
    assert len(host.gets) == 2


@each_new
async def test_e10_a_part_with_another_etag_is_not_mixed_in_though_the_host_gave_it(dial, host, tmp_path, new):
    """A host that does not look at If-Range."""
    host.ever = Turn(ignore_condition=True)
    host.turns = [Turn(cut=CUT, pause=CUT, then=replace(host, new))]
    download = dial().download(found(link(host)), tmp_path)

    await download

    arrived(download, tmp_path, new)
    assert len(host.gets) <= 4


@pytest.mark.parametrize("etag", [None, '"e1"'], ids=["no ETag", "the same ETag"])
async def test_e10_a_part_of_a_file_of_another_size_is_not_mixed_in(dial, host, tmp_path, etag):
    new = NEW["longer"]
    host.ever = Turn(ignore_condition=True)
    host.turns = [Turn(cut=CUT, pause=CUT, then=replace(host, new, etag))]
    download = dial().download(found(link(host)), tmp_path)

    try:
        await download
    except IntegrityError as error:
        told(error, tmp_path)
        assert published(tmp_path) == []
    else:
        arrived(download, tmp_path, new)


async def test_e10_where_only_the_date_tells_it_nothing_is_mixed_in(dial, host, tmp_path):
    new = NEW["same length"]
    host.files["/f.json"] = Stored(BODY, etag=None)
    host.ever = Turn(ignore_condition=True)
    host.turns = [Turn(cut=CUT, pause=CUT, then=replace(host, new, None))]
    download = dial().download(found(link(host)), tmp_path)

    await download

    arrived(download, tmp_path, new)


@each_new
async def test_e10_a_file_replaced_between_two_runs_begins_anew(dial, host, tmp_path, new):
    client = dial(retry=RetryPolicy(tries=1))
    await interrupted(client, found(link(host)), tmp_path, host, Turn(cut=CUT), Turn(cut=0))
    replace(host, new)()
    download = client.download(found(link(host)), tmp_path)

    await download

    arrived(download, tmp_path, new)
    assert len(host.gets) == 1
    resumed(host.gets[0], CUT)


@pytest.mark.parametrize("status", [200, 206])
async def test_e10_one_part_of_another_file_does_not_spoil_a_large_one(dial, host, eager, tmp_path, status):
    body, new = noise(BIG), Stored(noise(BIG, b"new"), etag='"e2"')
    host.files["/f.json"] = Stored(body)
    host.turns = [Turn(cut=5 * MIB), Turn(stored=new, ignore_condition=True, ignore_range=status == 200)]
    download = dial().download(found(link(host)), tmp_path)

    try:
        await download
    except IntegrityError as error:
        told(error, tmp_path)
        assert published(tmp_path) == []
    else:
        assert download.latest[0].path.read_bytes() in {body, new.body}
        arrived(download, tmp_path, download.latest[0].path.read_bytes())


async def test_e10_a_file_that_is_replaced_all_the_time_is_given_up(dial, host, tmp_path):
    turns = itertools.count(2)

    def renamed():
        number = next(turns)
        host.files["/f.json"] = Stored(noise(SIZE, b"%d" % number), etag=f'"e{number}"', modified=None)

    host.ever = Turn(cut=CUT, pause=CUT, then=renamed)

    error = await failure(dial(retry=RetryPolicy(tries=3)).download(found(link(host)), tmp_path))

    told(error, tmp_path)
    assert published(tmp_path) == []
    assert len(host.gets) < 50


# --- E11: no strong ETag ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("etag", [None, 'W/"e1"', "", "e1"], ids=["none", "weak", "empty", "not quoted"])
async def test_e11_without_a_strong_etag_the_date_is_the_condition(dial, host, tmp_path, etag):
    host.files["/f.json"] = Stored(BODY, etag=etag)
    host.turns = [Turn(cut=CUT)]
    download = dial().download(found(link(host)), tmp_path)

    await download

    arrived(download, tmp_path)
    resumed(host.gets[1], CUT, MODIFIED)
    fetched(host)


@pytest.mark.parametrize("etag", [None, 'W/"e1"'], ids=["none", "weak"])
async def test_e11_the_next_run_goes_on_by_the_date_too(dial, host, tmp_path, etag):
    host.files["/f.json"] = Stored(BODY, etag=etag)
    client = dial(retry=RetryPolicy(tries=1))
    await interrupted(client, found(link(host)), tmp_path, host, Turn(cut=CUT), Turn(cut=0))
    download = client.download(found(link(host)), tmp_path)

    await download

    arrived(download, tmp_path)
    resumed(host.gets[0], CUT, MODIFIED)


@pytest.mark.parametrize("etag", [None, 'W/"e1"'], ids=["none", "weak"])
async def test_e11_without_etag_and_date_it_begins_anew(dial, host, tmp_path, etag):
    host.files["/f.json"] = Stored(BODY, etag=etag, modified=None)
    host.turns = [Turn(cut=CUT)]
    download = dial().download(found(link(host)), tmp_path)

    events = await events_of(download)

    arrived(download, tmp_path)
    assert [(asked.range, asked.if_range) for asked in host.gets] == [(None, None)] * 2
    assert host.sent == SIZE + CUT
    assert [event.received for event in events if isinstance(event, Progressed)][-1] == SIZE


async def test_e11_what_could_not_be_resumed_is_not_left(dial, host, tmp_path):
    host.files["/f.json"] = Stored(BODY, etag='W/"e1"', modified=None)
    await interrupted(dial(retry=RetryPolicy(tries=1)), found(link(host)), tmp_path, host, Turn(cut=CUT), Turn(cut=0))

    assert left(tmp_path) == []


async def test_e11_a_date_without_a_size_is_not_enough(dial, host, tmp_path):
    host.files["/f.json"] = Stored(BODY, etag=None)
    host.turns = [Turn(cut=CUT, chunked=True)]
    download = dial().download(found(link(host)), tmp_path)

    await download

    arrived(download, tmp_path)
    assert [asked.range for asked in host.gets] == [None, None]


async def test_e11_a_date_that_is_none_does_no_harm(dial, host, tmp_path):
    host.files["/f.json"] = Stored(BODY, etag=None, modified="yesterday at noon")
    host.turns = [Turn(cut=CUT)]
    download = dial().download(found(link(host)), tmp_path)

    await download

    arrived(download, tmp_path)
    assert len(host.gets) == 2


async def test_e11_a_large_file_without_any_condition_comes_whole(dial, host, eager, tmp_path):
    body = noise(BIG)
    host.files["/f.json"] = Stored(body, etag=None, modified=None)
    host.turns = [Turn(cut=3 * MIB)]
    download = dial().download(found(link(host)), tmp_path)

    await download

    arrived(download, tmp_path, body)
    assert all(asked.range is None for asked in host.gets)


# --- E12: the host does not do ranges --------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", [1, CUT, SIZE - 1])
@pytest.mark.parametrize("chunked", [False, True], ids=["with a length", "chunked"])
async def test_e12_a_200_to_a_range_starts_over(dial, host, tmp_path, cut, chunked):
    host.turns = [Turn(cut=cut)]
    host.ever = Turn(ignore_range=True, chunked=chunked)
    download = dial().download(found(link(host)), tmp_path)

    await download

    (event,) = download.latest
    assert event.path.read_bytes() == BODY
    assert left(tmp_path) == [event.path.name]
    resumed(host.gets[1], cut)
    assert len(host.gets) == 2


@pytest.mark.parametrize("header", [None, "none", "bytes"])
async def test_e12_a_large_file_of_a_host_without_ranges_comes_whole(dial, host, eager, tmp_path, header):
    body = noise(BIG)
    host.files["/f.json"] = Stored(body)
    whole = {"ignore_range": True, "headers": {"Accept-Ranges": header}}
    host.turns = [Turn(**whole, cut=10 * MIB)]
    host.judge = lambda asked: Turn(**whole) if 1 < len(host.heard) < 60 else None
    download = dial().download(found(link(host)), tmp_path)

    await download

    arrived(download, tmp_path, body)
    assert len(host.gets) < 20


async def test_e12_a_host_that_forgets_its_ranges_in_the_midst_of_a_large_file(dial, host, eager, tmp_path):
    body = noise(BIG)
    host.files["/f.json"] = Stored(body)
    host.turns = [Turn(cut=5 * MIB), Turn(cut=MIB), Turn(ignore_range=True)]
    download = dial().download(found(link(host)), tmp_path)

    await download

    arrived(download, tmp_path, body)


async def test_e12_the_next_run_starts_over_too(dial, host, tmp_path):
    client = dial(retry=RetryPolicy(tries=1))
    await interrupted(client, found(link(host)), tmp_path, host, Turn(cut=CUT), Turn(cut=0))
    host.ever = Turn(ignore_range=True)
    download = client.download(found(link(host)), tmp_path)

    events = await events_of(download)

    arrived(download, tmp_path)
    assert max(event.received for event in events if isinstance(event, Progressed)) == SIZE


async def test_e12_a_host_that_starts_over_and_breaks_off_each_time_is_given_up(dial, host, tmp_path):
    """Each answer brings bytes, and none brings one that was not there before."""
    host.ever = Turn(ignore_range=True, cut=CUT)

    error = await failure(dial(retry=RetryPolicy(tries=3)).download(found(link(host)), tmp_path))

    told(error, tmp_path)
    assert published(tmp_path) == []
    assert len(host.gets) < 20


# --- E13: not the part that was asked for ----------------------------------------------------------------------------

RANGES = {
    "starts later": "bytes {after}-{last}/{size}",
    "starts earlier": "bytes {before}-{last}/{size}",
    "starts at zero": "bytes 0-{last}/{size}",
    "ends later": "bytes {start}-{beyond}/{larger}",
    "ends earlier": "bytes {start}-{short}/{size}",
    "beyond its total": "bytes {start}-{beyond}/{size}",
    "larger total": "bytes {start}-{last}/{larger}",
    "smaller total": "bytes {start}-{last}/{smaller}",
    "of zero": "bytes {start}-{last}/0",
    "unsatisfied": "bytes */{size}",
    "backwards": "bytes {last}-{start}/{size}",
    "no numbers": "bytes a-b/c",
    "words": "the rest",
    "empty": "",
    "other unit": "items {start}-{last}/{size}",
    "no unit": "{start}-{last}/{size}",
    "no total": "bytes {start}-{last}",
    "empty total": "bytes {start}-{last}/",
    "negative": "bytes -{start}-{last}/{size}",
    "huge": "bytes {start}-" + "9" * 5000 + "/" + "9" * 5000,
    "list": "bytes {start}-{last}/{size}, {start}-{last}/{size}",
    "none": None,
}
each_range = pytest.mark.parametrize("given", RANGES.values(), ids=RANGES)


@each_range
async def test_e13_a_wrong_content_range_once_does_not_spoil_the_file(dial, host, tmp_path, given):
    host.turns = [Turn(cut=CUT), Turn(headers={"Content-Range": given})]
    download = dial().download(found(link(host)), tmp_path)

    try:
        await download
    except DownloadError as error:
        told(error, tmp_path)
        assert published(tmp_path) == []
    else:
        arrived(download, tmp_path)
    assert len(host.gets) <= 4


@each_range
async def test_e13_a_wrong_content_range_each_time_ends_soon(dial, host, tmp_path, given):
    host.turns = [Turn(cut=CUT)]
    host.ever = Turn(headers={"Content-Range": given})
    download = dial(retry=RetryPolicy(tries=2)).download(found(link(host)), tmp_path)

    try:
        await download
    except DownloadError as error:
        told(error, tmp_path)
        assert published(tmp_path) == []
    else:
        arrived(download, tmp_path)
    assert len(host.gets) < 10


async def test_e13_a_total_that_is_not_told_is_no_fault(dial, host, tmp_path):
    host.turns = [Turn(cut=CUT), Turn(headers={"Content-Range": "bytes {start}-{last}/*"})]
    download = dial().download(found(link(host)), tmp_path)

    await download

    arrived(download, tmp_path)
    fetched(host)


@pytest.mark.parametrize("shift", [1, 50_000])
async def test_e13_a_part_that_begins_elsewhere_is_not_written_where_it_was_expected(dial, host, tmp_path, shift):
    host.turns = [Turn(cut=CUT), Turn(shift=shift)]
    download = dial().download(found(link(host)), tmp_path)

    try:
        await download
    except DownloadError as error:
        told(error, tmp_path)
        assert published(tmp_path) == []
    else:
        arrived(download, tmp_path)


async def test_e13_a_part_that_is_less_than_was_asked_for_is_taken_and_the_rest_asked_for(dial, host, tmp_path):
    host.turns = [Turn(cut=CUT), Turn(shorten=500_000)]
    download = dial().download(found(link(host)), tmp_path)

    await download

    arrived(download, tmp_path)
    fetched(host)


@pytest.mark.parametrize("given", [f"bytes 0-{CUT - 1}/{SIZE}", f"bytes 5-{CUT + 4}/{SIZE}", None, "nonsense"])
async def test_e13_a_206_that_nobody_asked_for_is_no_file(dial, host, tmp_path, given):
    host.turns = [Turn(status=206, body=BODY[:CUT], headers={"Content-Range": given, "ETag": '"e1"'})]
    download = dial().download(found(link(host)), tmp_path)

    try:
        await download
    except DownloadError as error:
        told(error, tmp_path)
        assert published(tmp_path) == []
    else:
        arrived(download, tmp_path)


async def test_e13_several_parts_in_one_answer_are_no_part(dial, host, tmp_path):
    parts = b"--b\r\nContent-Range: bytes 2000000-2000004/3145728\r\n\r\n01234\r\n--b--\r\n"
    kind = {"Content-Type": "multipart/byteranges; boundary=b", "Content-Range": None, "ETag": '"e1"'}
    host.turns = [Turn(cut=CUT), Turn(status=206, body=parts, headers=kind)]
    download = dial().download(found(link(host)), tmp_path)

    try:
        await download
    except DownloadError as error:
        told(error, tmp_path)
        assert published(tmp_path) == []
    else:
        arrived(download, tmp_path)


@pytest.mark.parametrize("name", ["starts later", "starts at zero", "beyond its total", "smaller total", "none"])
async def test_e13_in_a_large_file_no_byte_goes_to_a_wrong_place(dial, host, eager, tmp_path, name):
    body = noise(BIG)
    host.files["/f.json"] = Stored(body)
    host.turns = [Turn(cut=5 * MIB), Turn(headers={"Content-Range": RANGES[name]})]
    download = dial().download(found(link(host)), tmp_path)

    try:
        await download
    except DownloadError as error:
        told(error, tmp_path)
        assert published(tmp_path) == []
    else:
        arrived(download, tmp_path, body)


# --- E14: the range cannot be given ----------------------------------------------------------------------------------


def complete(folder, body, size):
    """What an interrupted run left was the whole file, as far as its sidecar goes; `size`: what the host had told."""
    (sidecar,) = folder.glob(".*.part.json")
    (part,) = folder.glob(".*.part")
    part.write_bytes(body)
    facts = json.loads(sidecar.read_text())
    sidecar.write_text(json.dumps(facts | {"size": size, "written": [[0, len(body)]]}))


async def test_e14_a_body_that_lacks_nothing_but_its_end_is_not_fetched_again(dial, host, tmp_path):
    host.turns = [Turn(chunked=True, cut=SIZE)]
    download = dial().download(found(link(host)), tmp_path)

    await download

    arrived(download, tmp_path)
    assert len(host.gets) == 2
    fetched(host)


@pytest.mark.parametrize("size", [None, SIZE], ids=["size unknown", "size known"])
async def test_e14_a_partial_that_is_the_whole_is_published_without_a_byte_more(dial, host, tmp_path, size):
    turn = Turn(chunked=True, cut=CUT)
    await interrupted(dial(retry=RetryPolicy(tries=1)), found(link(host)), tmp_path, host, turn, Turn(reset=0))
    complete(tmp_path, BODY, size)
    download = dial().download(found(link(host)), tmp_path)

    await download

    arrived(download, tmp_path)
    assert host.sent == 0
    assert [asked.status for asked in host.gets] in [[416], []]


@pytest.mark.parametrize("total", [None, "bytes */{size}", "bytes */", "bytes 0-1/2", "bytes */2500000", "bytes */*"])
async def test_e14_a_416_that_does_not_confirm_the_size_starts_over(dial, host, tmp_path, total):
    turn = Turn(chunked=True, cut=CUT)
    await interrupted(dial(retry=RetryPolicy(tries=1)), found(link(host)), tmp_path, host, turn, Turn(reset=0))
    complete(tmp_path, BODY, None)
    total = total and total.replace("{size}", str(SIZE + 1))
    host.turns = [Turn(status=416, headers={"Content-Range": total})]
    download = dial().download(found(link(host)), tmp_path)

    await download

    arrived(download, tmp_path)
    assert host.gets[-1].range is None
    assert len(host.gets) == 2


@pytest.mark.parametrize("etag", ['"e1"', '"e2"'], ids=["the same ETag", "another ETag"])
async def test_e14_a_partial_that_is_longer_than_the_file_is_thrown_away(dial, host, tmp_path, etag):
    client = dial(retry=RetryPolicy(tries=1))
    await interrupted(client, found(link(host)), tmp_path, host, Turn(cut=CUT), Turn(cut=0))
    new = noise(50_000, b"new")
    replace(host, new, etag)()
    download = dial().download(found(link(host)), tmp_path)

    await download

    arrived(download, tmp_path, new)


async def test_e14_a_416_to_a_partial_that_lies_within_the_file_starts_over(dial, host, tmp_path):
    host.turns = [Turn(cut=CUT), Turn(status=416, headers={"Content-Range": f"bytes */{SIZE}"})]
    download = dial().download(found(link(host)), tmp_path)

    await download

    arrived(download, tmp_path)
    assert len(host.gets) <= 4


async def test_e14_nothing_but_416_ends_with_an_error(dial, host, tmp_path):
    host.turns = [Turn(cut=CUT)]
    host.ever = Turn(status=416, headers={"Content-Range": f"bytes */{SIZE}"})

    error = await failure(dial(retry=RetryPolicy(tries=3)).download(found(link(host)), tmp_path))

    told(error, tmp_path, "416")
    assert published(tmp_path) == []
    assert len(host.gets) < 10


async def test_e14_a_416_to_a_request_without_a_range_is_an_error(dial, host, tmp_path):
    host.ever = Turn(status=416, headers={"Content-Range": f"bytes */{SIZE}"})

    error = await failure(dial().download(found(link(host)), tmp_path))

    told(error, tmp_path, "416")
    assert left(tmp_path) == []


async def test_e14_an_empty_file_that_says_so_with_416_is_not_published_over_a_partial(dial, host, tmp_path):
    client = dial(retry=RetryPolicy(tries=1))
    await interrupted(client, found(link(host)), tmp_path, host, Turn(cut=CUT), Turn(cut=0))
    replace(host, b"", '"e1"')()
    download = dial().download(found(link(host)), tmp_path)

    await download

    arrived(download, tmp_path, b"")


# --- E15: encoded though nobody asked for it -------------------------------------------------------------------------

ENCODED = {"gzip": gzip.compress(BODY), "deflate": zlib.compress(BODY), "br": noise(9_000, b"br"), "zstd": noise(9_000)}


@pytest.mark.parametrize(
    "name", ["gzip", "GZIP", "x-gzip", "deflate", "br", "zstd", "gzip, identity", "identity, gzip"]
)
async def test_e15_an_encoded_file_is_an_error_at_once(dial, host, tmp_path, name):
    kind = next(kind for kind in ENCODED if kind in name.lower())
    host.ever = Turn(body=ENCODED[kind], headers={"Content-Encoding": name})

    error = await failure(dial().download(found(link(host)), tmp_path), IntegrityError)

    told(error, tmp_path)
    assert "encod" in str(error)
    assert len(host.gets) == 1
    assert left(tmp_path) == []


async def test_e15_an_encoded_rest_is_never_put_behind_the_plain_beginning(dial, host, tmp_path):
    host.turns = [Turn(cut=CUT)]
    host.ever = Turn(headers={"Content-Encoding": "gzip"})

    error = await failure(dial().download(found(link(host)), tmp_path), IntegrityError)

    told(error, tmp_path)
    assert published(tmp_path) == []
    assert len(host.gets) == 2


@pytest.mark.parametrize("name", ["identity", "Identity", ""])
async def test_e15_an_encoding_that_is_none_is_none(dial, host, tmp_path, name):
    host.ever = Turn(headers={"Content-Encoding": name})
    download = dial().download(found(link(host)), tmp_path)

    await download

    arrived(download, tmp_path)


async def test_e15_a_file_that_is_a_gzip_file_stays_one(dial, host, tmp_path):
    host.files["/f.json"] = Stored(ENCODED["gzip"], type="application/gzip")
    download = dial().download(found(link(host)), tmp_path)

    await download

    arrived(download, tmp_path, ENCODED["gzip"])


@pytest.mark.parametrize("name", ["gzip, chunked", "gzip", "chunked, gzip", "identity, chunked", "xchunked"])
async def test_e15_a_transfer_encoding_that_is_not_only_chunks_never_makes_a_wrong_file(dial, host, tmp_path, name):
    packed = ENCODED["gzip"] if "gzip" in name else BODY
    host.ever = Turn(chunked=True, body=packed, headers={"Transfer-Encoding": name, "Connection": "close"})
    download = dial(retry=RetryPolicy(tries=2)).download(found(link(host)), tmp_path)

    try:
        await download
    except DownloadError as error:
        told(error, tmp_path)
        assert published(tmp_path) == []
    else:
        assert name == "identity, chunked"
        (event,) = download.latest
        assert event.path.read_bytes() == BODY


# --- E16: a page instead of the file ---------------------------------------------------------------------------------

XML = b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>NoSuchKey</Code><Message>No such key.</Message></Error>'
JSON = b'{"message": "Internal error", "code": "internal"}'
KML = b'<?xml version="1.0"?><kml xmlns="http://www.opengis.net/kml/2.2"><Document/></kml>'
GEOJSON = b'{"type": "FeatureCollection", "features": []}'
MEDIA = {
    "grd_tif": "image/tiff; application=geotiff",
    "grd_xml": "application/xml",
    "quicklook_png": "image/png",
    "quicklook_kml": "application/vnd.google-earth.kml+xml",
    "quickortho_kmz": "application/vnd.google-earth.kmz",
    "thumbnail_json": "application/json",
    "grd_json": "application/geo+json",
    "slc": None,
}
PNG = b"\x89PNG\r\n\x1a\n" + bytes(1000)
ZIP = b"PK\x03\x04" + bytes(1000)
PAGES = {
    "HTML for a TIFF": ("grd_tif", "text/html; charset=utf-8", HTML),
    "XML for a TIFF": ("grd_tif", "application/xml", XML),
    "JSON for a TIFF": ("grd_tif", "application/json", JSON),
    "problem for a TIFF": ("grd_tif", "application/problem+json", JSON),
    "HTML that calls itself a TIFF": ("grd_tif", "image/tiff", HTML),
    "XML that calls itself a TIFF": ("grd_tif", "image/tiff", XML),
    "HTML of no type": ("grd_tif", None, HTML),
    "HTML after spaces": ("grd_tif", "text/html", b"\r\n\t  " + HTML),
    "HTML after a byte order mark": ("grd_tif", "binary/octet-stream", b"\xef\xbb\xbf" + HTML),
    "HTML in capitals": ("grd_tif", "binary/octet-stream", b"<HTML><BODY>no</BODY></HTML>"),
    "HTML in UTF-16": ("grd_tif", "text/html; charset=utf-16", HTML.decode().encode("utf-16")),
    "HTML for a PNG": ("quicklook_png", "text/html", HTML),
    "HTML for a KMZ": ("quickortho_kmz", "text/html", HTML),
    "HTML for JSON": ("thumbnail_json", "text/html", HTML),
    "HTML for GeoJSON that calls itself JSON": ("grd_json", "application/json", HTML),
    "HTML for XML": ("grd_xml", "text/html", HTML),
    "XML for JSON": ("thumbnail_json", "application/xml", XML),
}
GOOD = {
    "TIFF as bytes": ("grd_tif", "binary/octet-stream", TIFF),
    "TIFF as a TIFF": ("grd_tif", "image/tiff", TIFF),
    "TIFF of no type": ("grd_tif", None, TIFF),
    "TIFF of a type that is none": ("grd_tif", "???", TIFF),
    "BigTIFF": ("grd_tif", "binary/octet-stream", b"II+\0" + bytes(1000)),
    "TIFF of the other end": ("grd_tif", "binary/octet-stream", b"MM\0*" + bytes(1000)),
    "XML": ("grd_xml", "application/xml", b'<?xml version="1.0"?><Auxiliary_Container/>'),
    "XML as text": ("grd_xml", "text/xml", b"<Auxiliary_Container/>"),
    "XML as bytes": ("grd_xml", "binary/octet-stream", b"<Auxiliary_Container/>"),
    "KML as KML": ("quicklook_kml", "application/vnd.google-earth.kml+xml", KML),
    "KML as XML": ("quicklook_kml", "application/xml", KML),
    "KML as bytes": ("quicklook_kml", "binary/octet-stream", KML),
    "PNG": ("quicklook_png", "image/png", PNG),
    "KMZ": ("quickortho_kmz", "application/vnd.google-earth.kmz", ZIP),
    "KMZ as zip": ("quickortho_kmz", "application/zip", ZIP),
    "JSON": ("thumbnail_json", "application/json", GEOJSON),
    "GeoJSON as JSON": ("grd_json", "application/json", GEOJSON),
    "GeoJSON as text": ("grd_json", "text/plain", GEOJSON),
    "HDF5 of an asset without a type": ("slc", "binary/octet-stream", b"\x89HDF\r\n\x1a\n" + bytes(1000)),
    "empty": ("grd_tif", "image/tiff", b""),
}


@pytest.mark.parametrize(("key", "kind", "page"), PAGES.values(), ids=PAGES)
async def test_e16_a_page_instead_of_the_file_is_an_error_at_once(dial, host, tmp_path, key, kind, page):
    host.files["/f"] = Stored(page, type=kind)

    error = await failure(dial().download(product(**{key: (link(host, "/f"), MEDIA[key])}), tmp_path), IntegrityError)

    told(error, tmp_path, asset="p1")
    assert b"sign in" not in str(error).encode().lower()
    assert len(host.gets) == 1
    assert left(tmp_path) == []


@pytest.mark.parametrize(("key", "kind", "body"), GOOD.values(), ids=GOOD)
async def test_e16_what_the_asset_is_meant_to_be_is_no_error_page(dial, host, tmp_path, key, kind, body):
    host.files["/f"] = Stored(body, type=kind)
    download = dial().download(product(**{key: (link(host, "/f"), MEDIA[key])}), tmp_path)

    await download

    arrived(download, tmp_path, body)


@pytest.mark.parametrize("kind", ["text/html", "application/json", "binary/octet-stream", None])
async def test_e16_a_page_instead_of_detections_is_no_file(dial, host, tmp_path, kind):
    host.files["/f.json"] = Stored(HTML, type=kind)

    error = await failure(dial().download(found(link(host)), tmp_path), IntegrityError)

    told(error, tmp_path)
    assert left(tmp_path) == []


@pytest.mark.parametrize(
    "kind", ["application/json", "application/geo+json", "text/plain", "binary/octet-stream", None]
)
async def test_e16_detections_may_call_themselves_what_they_like(dial, host, tmp_path, kind):
    host.files["/f.json"] = Stored(GEOJSON, type=kind)
    download = dial().download(found(link(host)), tmp_path)

    await download

    arrived(download, tmp_path, GEOJSON)


async def test_e16_a_page_that_comes_in_small_pieces_is_one_too(dial, host, tmp_path):
    host.files["/f"] = Stored(HTML, type=None)
    host.ever = Turn(drip=(1, 0.0), chunked=True)

    error = await failure(
        dial().download(product(grd_tif=(link(host, "/f"), MEDIA["grd_tif"])), tmp_path), IntegrityError
    )

    told(error, tmp_path, asset="p1")
    assert left(tmp_path) == []


async def test_e16_a_page_in_answer_to_a_range_does_not_cost_what_was_there(dial, host, tmp_path):
    """Somebody's sign-in page came between; the rest is still to be had afterwards."""
    host.turns = [Turn(cut=CUT)]
    host.ever = Turn(status=200, body=HTML, headers={"Content-Type": "text/html"})
    client = dial()

    error = await failure(client.download(found(link(host)), tmp_path), IntegrityError)

    told(error, tmp_path)
    assert len(host.gets) == 2
    assert published(tmp_path) == []
    host.ever = Turn()
    host.heard.clear()
    download = client.download(found(link(host)), tmp_path)
    await download
    arrived(download, tmp_path)
    fetched(host, SIZE - CUT)


async def test_e16_a_page_for_one_asset_does_not_stop_the_others(dial, host, tmp_path):
    host.files = {"/a": Stored(TIFF), "/b": Stored(HTML, type="text/html"), "/c": Stored(KML)}
    made = product(
        grd_tif=(link(host, "/a"), MEDIA["grd_tif"]),
        quickortho_tif=(link(host, "/b"), MEDIA["grd_tif"]),
        grd_xml=(link(host, "/c"), MEDIA["grd_xml"]),
    )

    error = await failure(dial().download(made, tmp_path))

    assert list(error.failed) == ["p1/quickortho-tif"]
    assert isinstance(error.failed["p1/quickortho-tif"], IntegrityError)
    assert sorted(path.read_bytes() for path in error.done) == sorted([TIFF, KML])


# --- E17: very small and very large ----------------------------------------------------------------------------------


@pytest.mark.parametrize("chunked", [False, True], ids=["with a length", "chunked"])
@pytest.mark.parametrize("body", [b"", b"x", b"xy"], ids=["nothing", "one byte", "two bytes"])
async def test_e17_the_smallest_files_are_files(dial, host, tmp_path, body, chunked):
    host.files["/f.json"] = Stored(body)
    host.ever = Turn(chunked=chunked)
    download = dial().download(found(link(host)), tmp_path)

    # It may have its name already when its beginning is told.
    events = [event async for event in download]

    arrived(download, tmp_path, body, verified=not chunked)
    assert events[0].size == (None if chunked else len(body))
    assert len(host.gets) == 1


async def test_e17_the_one_byte_of_a_file_may_be_cut_off(dial, host, tmp_path):
    host.files["/f.json"] = Stored(b"x")
    host.turns = [Turn(cut=0), Turn(reset=0)]
    download = dial().download(found(link(host)), tmp_path)

    await download

    arrived(download, tmp_path, b"x")
    assert len(host.gets) == 3


@pytest.mark.parametrize("size", [65_535, 65_536, 65_537, MIB - 1, MIB, MIB + 1, 8 * MIB, 8 * MIB + 1])
async def test_e17_files_about_as_large_as_the_pieces_they_come_in(dial, host, tmp_path, size):
    body = noise(size)
    host.files["/f.json"] = Stored(body)
    download = dial().download(found(link(host)), tmp_path)

    events = await events_of(download)

    arrived(download, tmp_path, body)
    assert [event.received for event in events if isinstance(event, Progressed)][-1] == size


LARGE = {"4 GiB and a byte": 2**32 + 1, "60 GB": 60_000_000_000}
PERIOD = 1_000_003
ROOM = shutil._ntuple_diskusage(10**15, 0, 10**15)
each_large = pytest.mark.parametrize("size", LARGE.values(), ids=LARGE)


def large(size):
    """A file so large that nobody ever has all of it. Its bytes come again after a million or so."""
    twice = 2 * noise(PERIOD)
    return Stored(virtual=size, read=lambda start, stop: twice[start % PERIOD :][: stop - start])


@pytest.fixture
def roomy(monkeypatch):
    """A disk for the largest files, on which a file of holes is digested without being read."""
    monkeypatch.setattr("shutil.disk_usage", lambda path: ROOM)
    monkeypatch.setattr("iceye_async.downloads.part.PartFile._digest_all", lambda self: "0" * 64)


async def nearly(client, host, folder, size, *spans):
    """An earlier run left all of the file but what is between these spans."""
    await interrupted(client, found(link(host)), folder, host, Turn(cut=CUT), Turn(cut=0))
    (sidecar,) = folder.glob(".*.part.json")
    facts = json.loads(sidecar.read_text())
    assert facts["size"] == size
    sidecar.write_text(json.dumps(facts | {"written": spans}))
    (part,) = folder.glob(".*.part")
    os.truncate(part, spans[-1][1])


@each_large
async def test_e17_the_last_megabyte_of_a_very_large_file(dial, host, roomy, tmp_path, size):
    stored = host.files["/f.json"] = large(size)
    await nearly(dial(retry=RetryPolicy(tries=1)), host, tmp_path, size, (0, size - MIB))
    download = dial().download(found(link(host)), tmp_path)

    events = await events_of(download)

    (event,) = download.latest
    assert (event.size, event.path.stat().st_size) == (size, size)
    assert left(tmp_path) == [event.path.name]
    with event.path.open("rb") as file:
        file.seek(size - MIB)
        assert file.read() == stored.part(size - MIB, size)
        file.seek(0)
        assert file.read(1000) == stored.part(0, 1000)
    assert [(asked.start, asked.sent) for asked in host.gets] == [(size - MIB, MIB)]
    assert host.gets[0].if_range == '"e1"'
    assert (events[0].size, events[0].resumed) == (size, size - MIB)


@each_large
async def test_e17_a_gap_beyond_four_gigabytes_is_filled_and_nothing_else(dial, host, roomy, tmp_path, size):
    stored = host.files["/f.json"] = large(size)
    gap = size - 3 * MIB
    await nearly(dial(retry=RetryPolicy(tries=1)), host, tmp_path, size, (0, gap), (gap + MIB, size))
    host.turns = [Turn(reset=MIB // 2)]
    download = dial().download(found(link(host)), tmp_path)

    await download

    (event,) = download.latest
    assert event.path.stat().st_size == size
    with event.path.open("rb") as file:
        file.seek(gap)
        assert file.read(MIB) == stored.part(gap, gap + MIB)
        assert file.read() == bytes(2 * MIB)
    assert host.sent <= 2 * MIB


@each_large
async def test_e17_the_size_of_a_very_large_file_is_told_and_counted_right(dial, host, roomy, tmp_path, size):
    host.files["/f.json"] = large(size)
    host.turns = [Turn(cut=CUT)]
    host.ever = Turn(reset=0)
    download = dial(retry=RetryPolicy(tries=1)).download(found(link(host)), tmp_path)

    events = await events_of(download)

    assert events[0].size == size
    progress = [event for event in events if isinstance(event, Progressed)]
    assert (progress[-1].size, progress[-1].totals.size) == (size, size)
    assert isinstance(events[-1], Failed)
    assert published(tmp_path) == []


# --- E18: silence ----------------------------------------------------------------------------------------------------

STALL = 0.15
"""Seconds of real silence after which an answer is given up here."""


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr("iceye_async.downloads.http.STALL", STALL)


@pytest.mark.parametrize("after", [0, 1, SIZE // 2, SIZE - 1])
async def test_e18_a_transfer_that_falls_silent_goes_on_by_another_request(dial, host, impatient, tmp_path, after):
    host.turns = [Turn(stall=after)]
    download = dial().download(found(link(host)), tmp_path)

    events = await events_of(download)

    arrived(download, tmp_path)
    assert len(host.gets) == 2
    fetched(host)
    assert sum(isinstance(event, Interrupted) for event in events) == 1
    if after:
        resumed(host.gets[1], after)


async def test_e18_a_large_file_falls_silent_in_several_parts(dial, host, eager, impatient, tmp_path):
    body = noise(BIG)
    host.files["/f.json"] = Stored(body)
    host.turns = [Turn(stall=MIB), Turn(stall=MIB), Turn(stall=0)]
    download = dial().download(found(link(host)), tmp_path)

    await download

    arrived(download, tmp_path, body)
    assert host.sent - BIG <= 3 * AGAIN


async def test_e18_silence_that_does_not_end_is_an_error_that_tells_how_long_it_was(dial, host, impatient, tmp_path):
    host.ever = Turn(stall=0)

    error = await failure(dial(retry=RetryPolicy(tries=2)).download(found(link(host)), tmp_path))

    told(error, tmp_path, "0.15 s")
    assert published(tmp_path) == []
    assert len(host.gets) == 2


async def test_e18_no_answer_at_all_is_asked_for_again(dial, host, impatient, tmp_path):
    silent = asyncio.Event()
    answer = host._answer

    async def hold(asked, reader, writer):
        if not silent.is_set():
            silent.set()
            host.heard.append(asked)
            await reader.read()
            return False
        return await answer(asked, reader, writer)

    host._answer = hold
    download = dial().download(found(link(host)), tmp_path)

    await download

    arrived(download, tmp_path)
    assert len(host.gets) == 2


async def test_e18_the_time_out_of_a_request_is_none_for_a_transfer(dial, host, tmp_path):
    """A file of hours comes whole, as long as it does not fall silent."""
    host.ever = Turn(drip=(SIZE // 8, 0.05))
    download = dial(timeout=0.1).download(found(link(host)), tmp_path)

    await download

    arrived(download, tmp_path)
    assert len(host.gets) == 1


async def test_e18_slow_is_not_silent(dial, host, impatient, tmp_path):
    host.ever = Turn(drip=(SIZE // 10, STALL / 3))
    download = dial().download(found(link(host)), tmp_path)

    await download

    arrived(download, tmp_path)
    assert len(host.gets) == 1


async def test_e18_a_reader_that_takes_its_time_is_no_silence_of_the_host(dial, host, impatient, tmp_path):
    """Who looks at each event for long is not punished for it."""
    download = dial().download(found(link(host)), tmp_path)
    async for event in download:
        if isinstance(event, Started):
            await asyncio.sleep(2 * STALL)

    arrived(download, tmp_path)
    assert len(host.gets) == 1


# --- E19: sent elsewhere ---------------------------------------------------------------------------------------------

STATUSES = [300, 301, 302, 303, 304, 305, 307, 308]


@pytest.mark.parametrize("status", STATUSES)
async def test_e19_a_redirect_to_another_host_is_not_followed(dial, host, other, service, tmp_path, status):
    other.answers("/g.json", (200, {}, BODY))
    host.ever = Turn(status=status, headers={"Location": f"{other.url}/g.json?Signature=c4n4ry-9"}, body=b"")

    error = await failure(dial().download(found(link(host)), tmp_path))

    told(error, tmp_path, str(status))
    assert other.requests == []
    assert service.requests == []
    assert len(host.heard) == 1
    assert left(tmp_path) == []


PLACES = {
    "plain http": "http://d1.example.net/f.json?Signature=c4n4ry",
    "https": "https://d1.example.net/f.json?Signature=c4n4ry",
    "without a scheme": "//d1.example.net/f.json",
    "the same host": "/g.json?Signature=c4n4ry",
    "the same link": "",
    "a file": "file:///etc/passwd",
    "an address of the cloud": "http://169.254.169.254/latest/meta-data/",
    "with a password": "https://user:c4n4ry@d1.example.net/",
    "no place": None,
    "nonsense": "http://[",
}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
async def test_e19_no_redirect_is_followed_wherever_it_leads(dial, host, tmp_path, place):
    host.files["/g.json"] = Stored(BODY)
    host.ever = Turn(status=302, headers={"Location": place}, body=b"")

    error = await failure(dial().download(found(link(host)), tmp_path))

    told(error, tmp_path, "302")
    assert len(host.heard) == 1
    assert left(tmp_path) == []


async def test_e19_the_api_as_a_target_gets_no_token_from_a_redirect(dial, host, service, tmp_path):
    host.ever = Turn(status=307, headers={"Location": f"{service.url}/api/tasking/v2/tasks"}, body=b"")

    await failure(dial().download(found(link(host)), tmp_path))

    assert service.requests == []


async def test_e19_a_redirect_half_way_is_an_error_and_what_came_is_kept(dial, host, other, tmp_path):
    host.turns = [Turn(cut=CUT)]
    host.ever = Turn(status=302, headers={"Location": f"{other.url}/f.json"}, body=b"")
    client = dial()

    error = await failure(client.download(found(link(host)), tmp_path))

    told(error, tmp_path, "302")
    assert other.requests == []
    assert published(tmp_path) == []
    host.ever = Turn()
    host.heard.clear()
    download = client.download(found(link(host)), tmp_path)
    await download
    arrived(download, tmp_path)
    resumed(host.gets[0], CUT)


# --- the same in the sandbox -----------------------------------------------------------------------------------------

VESSELS = 3_000_000


@pytest.fixture
async def sandbox():
    at_once = Scenario(
        decided=0, imaged=0, fulfilled=0, done=0, derivatives={"DC_VESSELS": 0.0}, sizes={"DC_VESSELS": VESSELS}
    )
    async with Sandbox(at_once) as sandbox:
        yield sandbox


async def vessels(client, sandbox):
    """The derivative of a task of the sandbox."""
    now = datetime.now(UTC)
    task = await client.tasks.create(
        contract_id=sandbox.contract_id,
        imaging_mode="SPOTLIGHT",
        point_of_interest=(60.2, 24.9),
        acquisition_window=(now - timedelta(hours=1), now + timedelta(hours=24)),
        product_types=["GRD"],
        derivative_product_types=["DC_VESSELS"],
    )
    (derivative,) = await client.derivatives.get(task.id)
    return derivative


async def in_sandbox(sandbox, links, folder, *faults):
    """The file after these faults, and the file without any."""
    quick = RetryPolicy(tries=3, first=0.001)
    async with sandbox.client(link_http=links, retry=quick) as client:
        derivative = await vessels(client, sandbox)
        (good,) = await client.download(derivative, folder / "good")
        sandbox.link_requests.clear()
        sandbox.link_faults.extend(faults)
        (path,) = await client.download(derivative, folder / "faulty")
    assert path.stat().st_size == VESSELS
    assert left(folder / "faulty") == [path.name]
    return path.read_bytes(), good.read_bytes()


@pytest.mark.parametrize("tenth", range(1, 10))
async def test_e01_in_the_sandbox_a_reset_is_outlived_too(sandbox, links, tmp_path, tenth):
    body, good = await in_sandbox(sandbox, links, tmp_path, LinkFault(reset=VESSELS * tenth // 10))

    assert body == good
    assert len(sandbox.link_requests) == 2


@pytest.mark.parametrize("chunked", [False, True], ids=["with a length", "chunked"])
async def test_e02_in_the_sandbox_a_cut_body_goes_on(sandbox, links, tmp_path, chunked):
    body, good = await in_sandbox(sandbox, links, tmp_path, LinkFault(cut=2_000_000, chunked=chunked))

    assert body == good
    first, second = sandbox.link_requests
    assert (first.status, second.status) == (200, 206)
    assert second.range.startswith("bytes=")
    assert second.if_range is not None
    assert second.sent <= VESSELS - 2_000_000 + CHUNK


async def test_e05_in_the_sandbox_a_link_that_never_lives_is_an_error_after_one_renewal(links, tmp_path):
    dead = Scenario(decided=0, imaged=0, fulfilled=0, done=0, derivatives={"DC_VESSELS": 0.0}, link_life=-10.0)
    async with Sandbox(dead) as sandbox, sandbox.client(link_http=links) as client:
        derivative = await vessels(client, sandbox)
        error = await failure(client.download(derivative, tmp_path), LinkExpired)

    assert "link" in str(error)
    assert left(tmp_path) == []
    assert 1 <= len(sandbox.link_requests) <= 2


async def test_e10_in_the_sandbox_a_replaced_file_is_never_mixed(sandbox, links, tmp_path):
    replaced = LinkFault(etag='"other"', times=5)
    body, good = await in_sandbox(sandbox, links, tmp_path, LinkFault(cut=2_000_000), replaced)

    assert body != good
    assert body[:1000] != good[:1000]
    assert sandbox.link_requests[-1].status == 200


async def test_e12_in_the_sandbox_a_range_that_is_ignored_starts_over(sandbox, links, tmp_path):
    body, good = await in_sandbox(sandbox, links, tmp_path, LinkFault(cut=2_000_000), LinkFault(ignore_range=True))

    assert body == good
    assert [asked.status for asked in sandbox.link_requests] == [200, 200]


async def test_e18_in_the_sandbox_silence_is_outlived_too(sandbox, links, impatient, tmp_path):
    body, good = await in_sandbox(sandbox, links, tmp_path, LinkFault(stall=2_000_000))

    assert body == good
    assert len(sandbox.link_requests) == 2
