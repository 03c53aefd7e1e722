"""Downloads to an object store: streamed, an object whole or not at all, and none fetched twice."""

import asyncio
import builtins
import contextlib
import gc
import hashlib
import json
import socket
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from aiohttp import web

from iceye_async import (
    Derivative,
    DerivativeAsset,
    DownloadError,
    IceyeError,
    LinkExpired,
    MissingExtra,
    Product,
    ProductAsset,
    UsageError,
)
from iceye_async.downloads import Failed, Finished, Progressed, Started

obstore = pytest.importorskip("obstore")
stores = pytest.importorskip("obstore.store")

MIB = 2**20
BODY = hashlib.shake_256(b"store").digest(12 * MIB)
SOON = 2.0


@pytest.fixture(autouse=True)
def short_pipes(monkeypatch):
    """Next to nothing is between the link host and the client: what the one has sent, the other has read."""
    connect = socket.socket.connect

    def connect_shortly(self, address):
        if self.family == socket.AF_INET:
            self.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect_shortly)


@contextlib.contextmanager
def given_up(request):
    """An answer that ends half-way takes its connection with it, with all that nobody will read any more."""
    transport = request.transport
    try:
        yield
    except BaseException:
        transport.abort()
        raise


class Hosted:
    """A file on the link host that resumes. It is silent after `hold` bytes, or hangs up at each of `drops`."""

    def __init__(self, body=BODY, *, hold=None, drops=()):
        self.body, self.hold, self.drops = body, hold, list(drops)
        self.sent = 0
        self.held, self.released = asyncio.Event(), asyncio.Event()

    async def __call__(self, request):
        wanted = range(len(self.body))[request.http_range]
        headers = {"ETag": '"e1"', "Accept-Ranges": "bytes", "Content-Length": str(len(wanted))}
        if "Range" in request.headers:
            headers["Content-Range"] = f"bytes {wanted[0]}-{wanted[-1]}/{len(self.body)}"
        response = web.StreamResponse(status=206 if "Range" in request.headers else 200, headers=headers)
        request.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)
        with given_up(request):
            await response.prepare(request)
            await self._send(request, response, wanted)
        return response

    async def _send(self, request, response, wanted):
        for at in range(wanted.start, wanted.stop, 65_536):
            if self.hold is not None and self.sent >= self.hold:
                self.held.set()
                await self.released.wait()
            if self.drops and self.sent >= self.drops[0]:
                self.drops.pop(0)
                request.transport.abort()
                return
            piece = self.body[at : min(at + 65_536, wanted.stop)]
            await response.write(piece)
            self.sent += len(piece)

    async def half_way(self, task):
        """Until so many bytes are sent. A download that ends before is the test's failure, and no reason to wait."""
        held = asyncio.create_task(self.held.wait())
        await asyncio.wait([held, task], return_when=asyncio.FIRST_COMPLETED)
        assert not task.done(), task
        await held


@pytest.fixture(params=["memory", "local"])
def store(request, tmp_path):
    """Where objects go: in memory, or a folder that is used as a store."""
    return stores.MemoryStore() if request.param == "memory" else stores.LocalStore(tmp_path / "bucket", mkdir=True)


@pytest.fixture
def hosted(other):
    hosted = Hosted()
    other.answers("/f.json", hosted)
    return hosted


def found(other, path="/f.json", name="d1"):
    asset = DerivativeAsset(href=f"{other.url}{path}?Signature=c4n4ry", type="geojson")
    return Derivative(id=name, type="DC_VESSELS", task_id="t1", assets=(asset,))


def several(other, count=5):
    """A product of so many assets, which are all there."""
    assets = {}
    for number in range(count):
        other.answers(f"/{number}", (200, {"ETag": '"e1"'}, content(number)))
        assets[f"k{number}"] = ProductAsset(href=f"{other.url}/{number}?Signature=c4n4ry", type="image/tiff")
    return Product(id="p1", task_id="t1", assets=assets)


def content(number):
    return b"II*\0" + bytes([number]) * 1000


def everything(store):
    """All that anybody sees in the store, by name."""
    names = [found["path"] for found in store.list().collect()]
    return {name: bytes(store.get(name).bytes()) for name in names}


def objects(store):
    """What a user sees in it, by name."""
    return {name: body for name, body in everything(store).items() if not name.startswith(".") and "/." not in name}


def notes(store):
    """What the client remembers of the store, by name."""
    return set(everything(store)) - set(objects(store))


def connections(script):
    """How many connections to this origin somebody in this process holds. Its own ends are not counted."""
    table, port = Path("/proc/net/tcp"), f":{urlsplit(script.url).port:04X}"
    rows = map(str.split, table.read_text().splitlines()[1:]) if table.exists() else ()
    return sum(row[2].endswith(port) and row[9] != "0" for row in rows)


def half_made(tmp_path):
    """Files of uploads that were begun, in a folder that is used as a store."""
    return [path.name for path in tmp_path.rglob("*") if "#" in path.name]


async def events_of(download):
    return [event async for event in download]


async def until(true):
    """Until it is so; it must be soon."""
    async with asyncio.timeout(SOON):
        while not true():  # noqa: ASYNC110 - what other threads and the other side do sets no event
            await asyncio.sleep(0.001)


# --- whole -----------------------------------------------------------------------------------------------------------


async def test_an_object_comes_whole_under_the_name_that_a_file_would_have(connect, other, hosted, store):
    result = await connect().download(found(other), store)

    assert result == ("d1_f.json",)
    assert objects(store) == {"d1_f.json": BODY}


async def test_the_type_of_what_it_is_of_is_noted_beside_it(connect, other, hosted, store):
    await connect().download(found(other), store)

    assert {json.loads(everything(store)[name])["kind"] for name in notes(store)} == {"DC_VESSELS"}


async def test_the_names_are_text_in_results_events_and_the_report(connect, other, hosted, store):
    download = connect().download(found(other), store)
    events = await events_of(download)

    assert {type(event.path) for event in events} == {str}
    assert isinstance(events[0], Started)
    assert events[0].size == len(BODY)
    assert any(isinstance(event, Progressed) for event in events)
    (finished,) = download.latest
    assert events[-1] == finished
    assert (finished.size, finished.sha256) == (len(BODY), hashlib.sha256(BODY).hexdigest())
    assert finished.verified
    assert not finished.known


async def test_several_come_in_the_order_in_which_they_were_asked_for(connect, other, store):
    thing = several(other, 20)

    names = await connect().download(thing, store)

    assert [bytes(store.get(name).bytes()) for name in names] == [content(number) for number in range(20)]
    assert set(objects(store)) == set(names)


@pytest.mark.parametrize("body", [b"", b"x", b"x" * (5 * MIB), b"x" * (5 * MIB + 1)], ids=len)
async def test_objects_of_any_size_are_whole(connect, other, store, body):
    other.answers("/f.json", (200, {"ETag": '"e1"'}, body))

    (name,) = await connect().download(found(other), store)

    assert objects(store) == {name: body}


async def test_an_object_of_unknown_size_is_whole_and_said_to_be_unverified(connect, other, store):
    async def chunked(request):
        response = web.StreamResponse()
        await response.prepare(request)
        for start in range(0, len(BODY), MIB):
            await response.write(BODY[start : start + MIB])
        return response

    other.answers("/f.json", chunked)
    download = connect().download(found(other), store)

    (name,) = await download

    assert objects(store) == {name: BODY}
    assert not download.latest[0].verified


async def test_a_store_that_is_a_folder_within_another_gets_its_objects_there(connect, other, hosted):
    outer = stores.MemoryStore()

    await connect().download(found(other), prefixed(outer, "a/b"))

    assert set(objects(outer)) == {"a/b/d1_f.json"}


def prefixed(store, prefix):
    made = getattr(stores, "PrefixStore", None)
    if made is None:
        pytest.skip("this obstore has no PrefixStore")
    return made(store, prefix)


async def test_hostile_names_are_one_safe_segment(connect, other, store):
    other.answers("/f.json", (200, {}, b"x"))
    href = f"{other.url}/f.json"
    things = [
        Product(id=hostile, task_id="t1", assets={hostile: ProductAsset(href=href)})
        for hostile in ("../x", "/etc/x", "a/b", "..", "", "a\nb", "con", "x" * 400, "%2f", "a//b", "a\\b")
    ]

    names = await connect().download(things, store)

    assert len(set(names)) == len(things)
    assert all("/" not in name and name.isascii() and name.isprintable() and not name.startswith(".") for name in names)
    assert set(objects(store)) == set(names)


async def test_the_result_is_in_no_local_folder(connect, other, hosted, tmp_path, monkeypatch):
    """It is streamed: nothing is put on the local disk on its way."""
    monkeypatch.chdir(tmp_path)
    opened = []
    real = builtins.open
    monkeypatch.setattr(builtins, "open", lambda *args, **options: opened.append(args[0]) or real(*args, **options))

    await connect().download(found(other), stores.MemoryStore())

    assert list(tmp_path.iterdir()) == []


# --- no partial object -----------------------------------------------------------------------------------------------


async def test_while_an_object_is_on_its_way_nobody_sees_it(connect, other, hosted, store):
    hosted.hold = 10 * MIB
    task = asyncio.create_task(connect().download(found(other), store))
    await hosted.half_way(task)

    assert objects(store) == {}

    hosted.hold = None
    hosted.released.set()
    assert await task == ("d1_f.json",)
    assert objects(store) == {"d1_f.json": BODY}


async def test_every_object_that_an_event_calls_finished_is_there_and_no_other(connect, other, store):
    thing = several(other)
    finished = set()

    async for event in connect().download(thing, store):
        if isinstance(event, Finished):
            finished.add(event.path)
            assert finished <= set(objects(store))

    assert finished == set(objects(store))


async def cut_off(request):
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b"x" * 100)
    request.transport.close()
    return response


@pytest.mark.parametrize(
    "answer",
    [
        (404, {}, b""),
        (403, {}, b"<Error/>"),
        (500, {}, b""),
        (302, {"Location": "/x"}, b""),
        (200, {"Content-Encoding": "gzip"}, b"\x1f\x8b"),
        (200, {"Content-Type": "text/html"}, b"<html>Sorry</html>"),
        (200, {"Content-Type": "application/xml"}, b"<?xml version='1.0'?><Error><Code>Slow</Code></Error>"),
        cut_off,
    ],
    ids=["404", "403", "500", "redirect", "encoded", "error page", "error document", "cut off"],
)
async def test_a_source_that_fails_leaves_no_object(connect, other, store, tmp_path, answer):
    other.answers("/f.json", answer)

    with pytest.raises(DownloadError) as caught:
        await connect().download(found(other), store)

    assert caught.value.asset.startswith("d1/")
    assert objects(store) == {}
    assert half_made(tmp_path) == []


async def test_a_source_that_breaks_for_good_in_the_middle_leaves_no_object(connect, other, store, tmp_path):
    async def half(request):
        response = web.StreamResponse(headers={"Content-Length": str(len(BODY)), "ETag": '"e1"'})
        await response.prepare(request)
        if "Range" not in request.headers:
            await response.write(BODY[: 8 * MIB])
        request.transport.abort()

    other.answers("/f.json", half)

    with pytest.raises(DownloadError):
        await connect().download(found(other), store)

    assert objects(store) == {}
    assert half_made(tmp_path) == []


@pytest.mark.parametrize("drops", [[1 * MIB], [6 * MIB], [2 * MIB, 4 * MIB, 7 * MIB, 11 * MIB]], ids=str)
async def test_connections_that_drop_are_gone_on_with(connect, other, store, drops):
    hosted = Hosted(drops=drops)
    other.answers("/f.json", hosted)

    (name,) = await connect().download(found(other), store)

    assert objects(store) == {name: BODY}
    assert hosted.drops == []
    assert hosted.sent <= len(BODY) + 8 * MIB * len(drops)


async def test_an_object_that_is_replaced_meanwhile_is_never_mixed(connect, other, store):
    """Another ETag after a drop: from the start, or an error, but not the head of one and the tail of the other."""
    new = bytes(reversed(BODY))

    async def replaced(request):
        first = len(other.asked("/f.json")) == 1
        body, etag = (BODY, '"e1"') if first else (new, '"e2"')
        response = web.StreamResponse(headers={"Content-Length": str(len(body)), "ETag": etag})
        await response.prepare(request)
        if first:
            await response.write(body[: 6 * MIB])
            request.transport.abort()
        else:
            await response.write(body)
        return response

    other.answers("/f.json", replaced)

    with contextlib.suppress(DownloadError):
        await connect().download(found(other), store)

    assert set(objects(store).values()) <= {new}


async def test_one_that_fails_does_not_stop_the_others(connect, other, store, tmp_path):
    thing = several(other)
    other.answers("/2", (403, {}, b""))
    download = connect().download(thing, store)
    events = []

    async def run():
        async for event in download:
            events.append(event)  # noqa: PERF401 - what came before the error counts

    with pytest.raises(DownloadError) as caught:
        await run()

    assert {type(path) for path in caught.value.done} == {str}
    assert len(caught.value.done) == len(objects(store)) == 4
    assert {asset: type(error) for asset, error in caught.value.failed.items()} == {"p1/k2": LinkExpired}
    assert [type(event.path) for event in events if isinstance(event, Failed)] == [str]
    assert [event.path for event in download.latest] == list(caught.value.done)
    assert half_made(tmp_path) == []


# --- stopped half-way ------------------------------------------------------------------------------------------------


async def test_a_cancelled_download_leaves_no_object_and_lets_go_soon(connect, other, hosted, store, tmp_path):
    hosted.hold = 10 * MIB
    task = asyncio.create_task(connect().download(found(other), store))
    await hosted.half_way(task)

    task.cancel()
    done, _ = await asyncio.wait([task], timeout=SOON)

    assert done
    assert task.cancelled()
    assert objects(store) == {}
    await until(lambda: connections(other) == 0)
    await until(lambda: half_made(tmp_path) == [])
    hosted.hold = None
    hosted.released.set()
    assert await connect().download(found(other), store) == ("d1_f.json",)
    assert objects(store) == {"d1_f.json": BODY}


async def test_after_an_early_break_nothing_is_left_open_and_no_object_is_there(
    connect, other, hosted, store, tmp_path
):
    hosted.hold = 10 * MIB
    download = connect().download(found(other), store)
    async for event in download:
        if isinstance(event, Progressed):
            break

    del download
    gc.collect()

    await until(lambda: connections(other) == 0)
    assert objects(store) == {}
    await until(lambda: half_made(tmp_path) == [])


async def test_after_an_early_break_an_await_brings_it_whole(connect, other, hosted, store):
    download = connect().download(found(other), store)
    async for event in download:
        if isinstance(event, Progressed):
            break

    assert await download == ("d1_f.json",)
    assert objects(store) == {"d1_f.json": BODY}


async def test_closing_the_client_half_way_leaves_no_object(connect, other, hosted, store, tmp_path):
    client = connect()
    hosted.hold = 10 * MIB
    task = asyncio.create_task(client.download(found(other), store))
    await hosted.half_way(task)

    await asyncio.wait_for(client.close(), SOON)
    done, _ = await asyncio.wait([task], timeout=SOON)

    assert done
    assert isinstance(task.exception(), IceyeError)
    assert objects(store) == {}
    await until(lambda: connections(other) == 0)
    await until(lambda: half_made(tmp_path) == [])


# --- what is there already -------------------------------------------------------------------------------------------


async def test_a_known_object_is_not_fetched_again(connect, other, store):
    thing = several(other)
    names = await connect().download(thing, store)
    other.requests.clear()

    again = connect().download(thing, store)

    assert await again == names
    assert all(event.known for event in again.latest)
    assert [event.sha256 for event in again.latest] == [hashlib.sha256(content(n)).hexdigest() for n in range(5)]
    assert other.requests == []


async def test_an_object_that_nobody_knows_is_neither_trusted_nor_replaced(connect, other, hosted, store):
    store.put("d1_f.json", b"mine")

    with pytest.raises(DownloadError, match="overwrite=True") as caught:
        await connect().download(found(other), store)

    assert str(caught.value.path) == "d1_f.json"
    assert objects(store) == {"d1_f.json": b"mine"}
    assert hosted.sent == 0


async def test_overwrite_replaces_it_and_then_it_is_known(connect, other, hosted, store):
    store.put("d1_f.json", b"mine")

    await connect().download(found(other), store, overwrite=True)

    assert objects(store) == {"d1_f.json": BODY}
    (event,) = await events_of(connect().download(found(other), store))
    assert event.known


async def test_overwrite_that_fails_leaves_the_old_object(connect, other, store):
    store.put("d1_f.json", b"mine")
    other.answers("/f.json", cut_off)

    with pytest.raises(DownloadError):
        await connect().download(found(other), store, overwrite=True)

    assert objects(store) == {"d1_f.json": b"mine"}


async def test_a_known_object_that_was_deleted_is_fetched_again(connect, other, hosted, store):
    await connect().download(found(other), store)
    store.delete("d1_f.json")

    await connect().download(found(other), store)

    assert objects(store) == {"d1_f.json": BODY}


async def test_a_known_object_that_somebody_replaced_by_a_longer_one_is_not_trusted(connect, other, hosted, store):
    await connect().download(found(other), store)
    store.put("d1_f.json", BODY + b"x")

    with pytest.raises(DownloadError, match="overwrite=True"):
        await connect().download(found(other), store)

    assert objects(store) == {"d1_f.json": BODY + b"x"}


async def test_a_known_object_that_somebody_replaced_by_one_of_the_same_size_is_not_trusted(
    connect, other, hosted, store
):
    await connect().download(found(other), store)
    await asyncio.sleep(0.01)  # a store tells versions apart by time and size
    store.put("d1_f.json", bytes(len(BODY)))

    with pytest.raises(DownloadError, match="overwrite=True"):
        await connect().download(found(other), store)

    assert objects(store) == {"d1_f.json": bytes(len(BODY))}


async def test_a_known_object_that_somebody_replaced_by_a_shorter_one_is_not_trusted(connect, other, hosted, store):
    await connect().download(found(other), store)
    store.put("d1_f.json", BODY[:1000])
    result = (await asyncio.gather(connect().download(found(other), store), return_exceptions=True))[0]

    # As a file that was truncated, it may be fetched again; as anything else that nobody knows, it may be refused.
    if isinstance(result, DownloadError):
        assert "overwrite=True" in str(result)
        assert objects(store) == {"d1_f.json": BODY[:1000]}
    else:
        assert objects(store) == {"d1_f.json": BODY}


async def test_the_store_remembers_facts_and_no_link(connect, other, store):
    thing = several(other)
    await connect().download(thing, store)

    texts = [everything(store)[note].decode() for note in notes(store)]
    assert texts
    for text in texts:
        assert not [word for word in ("c4n4ry", "Signature", "http", other.url) if word in text]
    assert hashlib.sha256(content(0)).hexdigest() in "".join(texts)


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000, b'{"size": "x"}'], ids=lambda text: repr(text[:12])
)
async def test_with_notes_that_cannot_be_read_nothing_is_trusted_or_replaced(connect, other, hosted, store, text):
    await connect().download(found(other), store)
    store.put("d1_f.json", b"mine")
    for note in notes(store):
        store.put(note, text)

    with pytest.raises(DownloadError):
        await connect().download(found(other), store)

    assert objects(store) == {"d1_f.json": b"mine"}
    assert {everything(store)[note] for note in notes(store)} == {text}


async def test_downloads_to_one_store_at_once_lose_no_record(connect, other, store):
    for number in range(12):
        other.answers(f"/{number}.json", (200, {}, content(number)))
    things = [found(other, f"/{number}.json", f"d{number}") for number in range(12)]
    client = connect()

    await asyncio.gather(*(client.download(thing, store) for thing in things))
    other.requests.clear()

    events = await events_of(connect().download(things, store))
    assert len(events) == 12
    assert all(event.known for event in events)
    assert other.requests == []


async def test_two_downloads_of_the_same_object_at_once_end_with_one_whole_object(connect, other, hosted, store):
    client = connect()

    results = await asyncio.gather(*(client.download(found(other), store) for _ in range(4)), return_exceptions=True)

    assert ("d1_f.json",) in results
    assert all(result == ("d1_f.json",) or isinstance(result, DownloadError) for result in results)
    assert objects(store) == {"d1_f.json": BODY}


# --- stores that refuse ----------------------------------------------------------------------------------------------


async def test_a_folder_that_is_no_longer_one_is_an_error_of_ours(connect, other, hosted, tmp_path):
    store = stores.LocalStore(tmp_path / "bucket", mkdir=True)
    (tmp_path / "bucket").rmdir()
    (tmp_path / "bucket").write_text("in the way")

    with pytest.raises(DownloadError) as caught:
        await connect().download(found(other), store)

    assert caught.value.asset is None or caught.value.asset.startswith("d1/")
    assert (tmp_path / "bucket").read_text() == "in the way"


@pytest.mark.parametrize("status", [403, 404, 500])
async def test_a_bucket_that_refuses_is_an_error_of_ours_without_its_keys(
    connect, other, hosted, serve, aviary, status
):
    cloud = await serve()

    async def refuse(request):
        return web.Response(status=status, text="<Error><Code>No</Code><Message>no</Message></Error>")

    class Everywhere(dict):
        def get(self, path, default=None):
            return [refuse]

    cloud._answers = Everywhere()
    store = stores.S3Store(
        "bucket",
        endpoint=cloud.url,
        region="us-east-1",
        aws_access_key_id="c4n4ry-key",
        aws_secret_access_key="c4n4ry-secret",
        client_options={"allow_http": True},
        retry_config={"max_retries": 0},
    )

    with pytest.raises(DownloadError) as caught:
        await connect().download(found(other), store)

    assert "c4n4ry" not in f"{caught.value} {caught.value!r} {vars(caught.value)}"
    assert cloud.requests


# --- what is no store ------------------------------------------------------------------------------------------------

URLS = [
    "s3://bucket/x",
    "s3://bucket",
    "S3://bucket/x",
    "s3a://bucket/x",
    "gs://bucket/x",
    "az://container/x",
    "abfs://container/x",
    "memory://x",
    "memory:///",
    "file:///tmp/x",
    "https://bucket.s3.amazonaws.com/x",
]


@pytest.mark.parametrize("url", URLS)
async def test_an_address_as_text_is_refused_at_the_call_with_the_way_to_make_a_store(
    connect, other, tmp_path, monkeypatch, url
):
    monkeypatch.chdir(tmp_path)
    client = connect()

    with pytest.raises(UsageError, match=r"obstore\.store\.from_url"):
        client.download(found(other), url)

    assert list(tmp_path.iterdir()) == []
    assert other.requests == []


async def test_the_secret_in_an_address_is_not_told(connect, other):
    client = connect()

    with pytest.raises(UsageError) as caught:
        client.download(found(other), "s3://key:hunter2@bucket/x?Signature=hunter3")

    assert "hunter" not in str(caught.value)


@pytest.mark.parametrize(
    "to", [None, 7, b"here", object(), [], {}, stores.MemoryStore], ids=lambda to: type(to).__name__
)
async def test_what_is_neither_folder_nor_store_is_refused_at_the_call(connect, other, to):
    client = connect()

    with pytest.raises(UsageError):
        client.download(found(other), to)


async def test_without_obstore_the_extra_is_named(connect, other, hosted, monkeypatch):
    store = stores.MemoryStore()
    for name in [name for name in sys.modules if name.split(".")[0] == "obstore"]:
        monkeypatch.setitem(sys.modules, name, None)
    for name in [name for name in sys.modules if name.startswith("iceye_async.downloads.")]:
        module = sys.modules[name]
        for attribute in ("obstore", "put_async", "list_async"):
            assert not hasattr(module, attribute), "obstore is imported where nobody asked for a store"

    with pytest.raises(MissingExtra, match="cloud"):
        await connect().download(found(other), store)

    assert objects(store) == {}


async def test_a_local_folder_needs_no_obstore(connect, other, hosted, tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "obstore"]:
        monkeypatch.setitem(sys.modules, name, None)

    (path,) = await connect().download(found(other), tmp_path)

    assert path.read_bytes() == BODY


async def test_a_local_store_and_a_folder_give_the_same_names(connect, other, tmp_path):
    thing = several(other)
    paths = await connect().download(thing, tmp_path / "folder")

    names = await connect().download(thing, stores.LocalStore(tmp_path / "store", mkdir=True))

    assert [path.name for path in paths] == list(names)
    assert [path.read_bytes() for path in paths] == [(tmp_path / "store" / name).read_bytes() for name in names]


async def test_a_store_gives_the_name_that_the_host_tells_as_a_folder_does(connect, other, store, tmp_path):
    headers = {"ETag": '"e1"', "Content-Disposition": 'attachment; filename="ICEYE_X11_SLF_GRD.tif"'}
    other.answers("/f.json", (200, headers, BODY))
    (path,) = await connect().download(found(other), tmp_path / "folder")

    (name,) = await connect().download(found(other), store)

    assert name == path.name
    assert objects(store) == {name: BODY}


async def test_the_same_id_and_name_in_two_tasks_is_two_objects(connect, other, store):
    things = []
    for task in ("a", "b"):
        other.answers(f"/{task}/f.json", (200, {}, task.encode()))
        asset = DerivativeAsset(href=f"{other.url}/{task}/f.json", type="geojson")
        things.append(Derivative(id="d1", type="DC_VESSELS", task_id=task, assets=(asset,)))

    names = [name for thing in things for name in await connect().download(thing, store)]

    assert [bytes(store.get(name).bytes()) for name in names] == [b"a", b"b"]
    assert len(objects(store)) == 2
