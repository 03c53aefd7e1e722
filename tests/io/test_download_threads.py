"""Threads and event loop together: what is stopped, closed, forked or refused in the midst of a download."""

import asyncio
import os
import resource
import socket
import threading
from pathlib import Path

import pytest
from aiohttp import web

from iceye_async import (
    Client,
    Derivative,
    DerivativeAsset,
    DownloadError,
    Product,
    ProductAsset,
    RetryPolicy,
    StateError,
    UsageError,
)
from iceye_async.downloads import Finished, Progressed
from iceye_async.downloads.carrier import Carrier
from iceye_async.downloads.http import _Connection, _Origin

BODY = bytes(range(256)) * 8_000
LIST = "/api/tasking/v2/tasks/t1/derivatives"


def found(href, name="d1"):
    return Derivative(id=name, type="DC_VESSELS", task_id="t1", assets=(DerivativeAsset(href=href, type="geojson"),))


@pytest.fixture
def linked(other):
    other.answers("/f.json", (200, {"ETag": '"e1"'}, BODY))
    return found(f"{other.url}/f.json")


async def begun(download):
    """It has brought its first bytes, and nobody drives it."""
    async for event in download:
        if isinstance(event, Progressed):
            return download
    raise AssertionError("no bytes came")


def test_the_host_header_names_no_port_where_it_is_the_usual_one():
    """A host that signs its links with their `Host` would refuse them."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        connection = _Connection(_Origin("https://links.example/f", {}, local=False), ours)
        connection.http.putrequest("GET", "/f")
        connection.http.endheaders()

        assert b"\r\nHost: links.example\r\n" in theirs.recv(1000)


# --- stopped, and driven again -------------------------------------------------------------------------------------


async def test_a_download_that_was_closed_goes_on_when_it_is_driven_again(connect, linked, tmp_path):
    download = await begun(connect().download(linked, tmp_path))

    download.close()

    async with asyncio.timeout(5):
        (path,) = await download
    assert path.read_bytes() == BODY


async def test_closing_by_hand_in_the_midst_of_a_step_is_possible(connect, linked, tmp_path):
    download = connect().download(linked, tmp_path)
    download.send(None)

    download.close()

    async with asyncio.timeout(5):
        (path,) = await download
    assert path.read_bytes() == BODY


async def test_a_client_that_another_loop_may_not_close_goes_on(connect, linked, other, tmp_path):
    client = connect()
    download = await begun(client.download(linked, tmp_path))

    with pytest.raises(StateError, match="event loop"):
        await asyncio.to_thread(asyncio.run, client.close())

    async with asyncio.timeout(5):
        (path,) = await download
    assert path.read_bytes() == BODY
    # Over the same connection: nothing was interrupted.
    assert len(other.requests) == 1


async def test_a_cancellation_is_heard_while_an_earlier_thread_cannot_be_interrupted(
    connect, linked, tmp_path, monkeypatch
):
    """Nothing can call back a thread that looks up a name."""
    resolve, go_on = socket.getaddrinfo, threading.Event()

    def slow(*args, **options):
        go_on.wait(10)
        return resolve(*args, **options)

    monkeypatch.setattr("iceye_async.downloads.download._PATIENCE", 0.05)
    monkeypatch.setattr("socket.getaddrinfo", slow)
    download = connect().download(linked, tmp_path)

    for _ in range(2):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await download
    go_on.set()

    (path,) = await download
    assert path.read_bytes() == BODY


async def test_a_mistake_of_ours_is_seen_and_the_file_is_not_forgotten(connect, linked, tmp_path, monkeypatch):
    download = connect().download(linked, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(Carrier, "_carry", lambda self: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            await download

    (path,) = await download

    assert path.read_bytes() == BODY


async def test_what_cannot_be_gone_on_with_is_brought_to_its_end_for_a_slow_consumer(
    connect, other, tmp_path, monkeypatch
):
    monkeypatch.setattr("iceye_async.downloads.crew._GRACE", 0.01)
    other.answers("/f.json", (200, {}, BODY * 5))
    download = connect().download(found(f"{other.url}/f.json"), tmp_path)
    async for event in download:
        if not isinstance(event, Finished):
            await asyncio.to_thread(threading.Event().wait, 0.03)

    assert event.path.read_bytes() == BODY * 5
    assert len(other.requests) == 1


async def test_where_there_are_no_more_threads_the_error_says_so(connect, linked, tmp_path, monkeypatch):
    client = connect()
    start = threading.Thread.start

    def refuse(self):
        if self.name.startswith("iceye-async"):
            raise RuntimeError("can't start new thread")
        start(self)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(DownloadError, match="threads"):
            await client.download(linked, tmp_path)

    assert len(await client.download(linked, tmp_path)) == 1


# --- what others hold ------------------------------------------------------------------------------------------------


def descriptors(name):
    """Second descriptors of what is open with a name that ends like this."""
    entries = Path("/proc/self/fd").iterdir()
    return [os.dup(int(entry.name)) for entry in entries if os.path.realpath(entry).endswith(name)]


async def test_a_process_that_was_forked_meanwhile_does_not_keep_the_file_locked(connect, linked, tmp_path):
    """A fork shares what is open, and with it the lock; so does a second descriptor of it."""
    download = await begun(connect().download(linked, tmp_path))
    held = descriptors(".d1_f.json.part")
    assert held
    try:
        download.close()

        async with asyncio.timeout(5):
            (path,) = await download
    finally:
        for handle in held:
            os.close(handle)

    assert path.read_bytes() == BODY


async def test_a_process_with_more_than_a_thousand_files_open_can_download(connect, linked, tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2048:
        pytest.skip("the system allows no more")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2048), hard))
    null = os.open(os.devnull, os.O_RDONLY)
    many = [os.dup(null) for _ in range(1100)]
    try:
        client = connect()
        for number in range(2):
            (path,) = await client.download(linked, tmp_path / str(number))
            assert path.read_bytes() == BODY
    finally:
        for handle in [null, *many]:
            os.close(handle)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_a_preview_whose_first_copy_was_moved_away_is_fetched_again(connect, other, tmp_path):
    other.answers("/p", (200, {}, b"preview"))
    things = [
        Product(id=name, task_id="t1", assets={"thumbnail-png": ProductAsset(href=f"{other.url}/p")}) for name in "ab"
    ]
    (tmp_path / "done").mkdir()

    async for event in connect().download(things, tmp_path / "to"):
        if isinstance(event, Finished):
            event.path.rename(tmp_path / "done" / event.path.name)

    assert sorted(path.name for path in (tmp_path / "done").iterdir()) == ["a_thumbnail-png", "b_thumbnail-png"]


# --- what the host says ----------------------------------------------------------------------------------------------


async def test_a_416_that_contradicts_the_size_never_makes_a_shorter_file(connect, other, tmp_path):
    async def cut(request):
        response = web.StreamResponse(headers={"Content-Length": str(len(BODY)), "ETag": '"e1"'})
        await response.prepare(request)
        await response.write(BODY[:1000])
        request.transport.close()
        return response

    def short(request):
        start = request.headers["Range"].removeprefix("bytes=").rstrip("-")
        return web.Response(status=416, headers={"Content-Range": f"bytes */{start}"})

    async def refuse(request):
        return short(request)

    other.answers("/f.json", cut, refuse, (200, {"ETag": '"e1"'}, BODY))

    (path,) = await connect().download(found(f"{other.url}/f.json"), tmp_path)

    assert path.read_bytes() == BODY


async def test_a_part_of_a_file_of_unknown_size_is_not_taken_for_its_end(connect, other, tmp_path):
    async def broken(request):
        response = web.StreamResponse(headers={"ETag": '"e1"'})
        response.enable_chunked_encoding()
        await response.prepare(request)
        await response.write(BODY[:1000])
        request.transport.close()
        return response

    async def part(request):
        start = int(request.headers["Range"].removeprefix("bytes=").rstrip("-"))
        if start == len(BODY):
            return web.Response(status=416, headers={"Content-Range": f"bytes */{start}"})
        end = min(start + 700_000, len(BODY))
        told = {"Content-Range": f"bytes {start}-{end - 1}/*", "ETag": '"e1"'}
        return web.Response(status=206, headers=told, body=BODY[start:end])

    other.answers("/f.json", broken, part)

    (path,) = await connect().download(found(f"{other.url}/f.json"), tmp_path)

    assert path.read_bytes() == BODY


async def test_chunks_that_are_announced_in_an_odd_way_are_not_part_of_the_file(connect, tmp_path):
    async def odd(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked \r\n\r\n5\r\nabcde\r\n0\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(odd, "127.0.0.1", 0) as server:
        link = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/f.json"
        try:
            (path,) = await connect().download(found(link), tmp_path)
        except DownloadError:
            return
    assert path.read_bytes() == b"abcde"


async def test_whether_the_size_was_told_is_remembered(connect, other, tmp_path):
    async def chunked(request):
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(BODY)
        return response

    other.answers("/f.json", chunked)
    client, thing = connect(), found(f"{other.url}/f.json")
    first, again = client.download(thing, tmp_path), client.download(thing, tmp_path)
    await first
    await again

    assert [(event.known, event.verified) for download in (first, again) for event in download.latest] == [
        (False, False),
        (True, False),
    ]


async def test_a_service_that_wants_to_be_left_alone_for_an_hour_is_not_waited_for(
    connect, service, other, clock, tmp_path
):
    service.answers(LIST, (503, {"Retry-After": "3600"}, b""))
    other.answers("/f.json", (403, {}, b""))

    with pytest.raises(DownloadError):
        await connect(retry=RetryPolicy(tries=5)).download(found(f"{other.url}/f.json"), tmp_path)

    assert max(clock.waits, default=0) < 120


async def test_a_folder_that_no_system_can_name_is_refused_at_the_call(connect):
    with pytest.raises(UsageError):
        connect().download("t1", "a\ud800b")


def test_when_the_loop_ends_the_download_ends(tmp_path):
    """Nobody is left for whom it could go on."""

    async def main():
        stalled = asyncio.Event()

        async def stall(reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b'HTTP/1.1 200 OK\r\nETag: "e"\r\nContent-Length: 10000000\r\n\r\n' + b"x" * 100_000)
            await writer.drain()
            await stalled.wait()
            writer.close()

        server = await asyncio.start_server(stall, "127.0.0.1", 0)
        client = Client("http://127.0.0.1:9", auth="a-token")
        await begun(client.download(found(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/f"), tmp_path))
        await client.close()
        stalled.set()
        server.close()
        await server.wait_closed()

    asyncio.run(main())

    assert not [thread for thread in threading.enumerate() if thread.name.startswith("iceye-async")]
