"""Files on their way home: whole or not at all, by the link as it was given, and not fetched twice."""

import asyncio
import hashlib
import json
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import web

from iceye_async import Derivative, DerivativeAsset, DownloadError, InProgress, StateError
from iceye_async.downloads import Finished, Progressed, Started
from iceye_async.sandbox import Sandbox, Scenario

BODY = bytes(range(256)) * 20_000  # 5 MB: several chunks


def found(href, name="d1"):
    return Derivative(id=name, type="DC_VESSELS", task_id="t1", assets=(DerivativeAsset(href=href, type="geojson"),))


def files(folder):
    """What a user sees in the folder: the names without a leading dot."""
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def parts(folder):
    return [path for path in folder.rglob("*") if path.name.endswith(".part")]


@pytest.fixture
def linked(other):
    """A derivative whose file is on the scripted link host."""
    other.answers("/vessels.geojson", (200, {"ETag": '"e1"'}, BODY))
    return found(f"{other.url}/vessels.geojson")


# --- whole files -------------------------------------------------------------------------------------------------


@pytest.fixture
async def sandbox():
    at_once = dict.fromkeys(["DC_VESSELS", "DC_AIRCRAFT"], 0.0)
    async with Sandbox(Scenario(decided=0, imaged=0, fulfilled=0, done=0, derivatives=at_once)) as sandbox:
        yield sandbox


async def ordered(client, sandbox):
    now = datetime.now(UTC)
    task = await client.tasks.create(
        contract_id=sandbox.contract_id,
        imaging_mode="SPOTLIGHT",
        point_of_interest=(60.2, 24.9),
        acquisition_window=(now - timedelta(hours=1), now + timedelta(hours=24)),
        product_types=["GRD"],
        derivative_product_types=["DC_VESSELS", "DC_AIRCRAFT"],
    )
    return task.id


async def test_a_task_comes_home_with_its_products_and_derivatives(sandbox, tmp_path):
    async with sandbox.client() as client:
        task_id = await ordered(client, sandbox)
        download = client.download(task_id, tmp_path / "made" / "here")

        paths = await download

    assert len(paths) == 5 + 2
    assert all(path.parent == tmp_path / "made" / "here" for path in paths)
    assert files(tmp_path / "made" / "here") == sorted(path.name for path in paths)
    assert [event.path for event in download.latest] == list(paths)
    for event in download.latest:
        content = event.path.read_bytes()
        assert (event.size, event.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert not parts(tmp_path)


async def test_every_name_holds_the_id_of_its_item(sandbox, tmp_path):
    async with sandbox.client() as client:
        task_id = await ordered(client, sandbox)
        (product,) = await client.products.list(task_id)
        derivatives = await client.derivatives.get(task_id)
        of_product = await client.download(product, tmp_path)
        of_derivatives = await client.download(derivatives, tmp_path)

    assert all(path.name.startswith(product.id) for path in of_product)
    assert {path.name for path in of_derivatives} == {
        f"{found.id}_{kind}-detections.geojson" for found, kind in zip(derivatives, ["vessel", "aircraft"], strict=True)
    }


async def test_the_events_tell_how_far_a_file_is(connect, linked, tmp_path):
    events = [event async for event in connect().download(linked, tmp_path)]

    assert isinstance(events[0], Started)
    assert events[0].size == len(BODY)
    received = [event.received for event in events if isinstance(event, Progressed)]
    assert received == sorted(set(received))
    assert received[-1] == len(BODY)
    assert isinstance(events[-1], Finished)
    assert events[-1].sha256 == hashlib.sha256(BODY).hexdigest()
    assert not events[-1].known


async def test_while_a_file_is_on_its_way_its_final_name_is_not_there(connect, linked, tmp_path):
    async for event in connect().download(linked, tmp_path):
        assert event.path.exists() == isinstance(event, Finished)

    assert event.path.read_bytes() == BODY


async def test_a_file_of_unknown_length_comes_whole(connect, other, tmp_path):
    async def chunked(request):
        response = web.StreamResponse()
        await response.prepare(request)
        for start in range(0, len(BODY), 500_000):
            await response.write(BODY[start : start + 500_000])
        return response

    other.answers("/f.json", chunked)

    (path,) = await connect().download(found(f"{other.url}/f.json"), tmp_path)

    assert path.read_bytes() == BODY


async def test_an_empty_file_is_a_file(connect, other, tmp_path):
    other.answers("/f.json", (200, {}, b""))

    (path,) = await connect().download(found(f"{other.url}/f.json"), tmp_path)

    assert path.read_bytes() == b""


# --- what the link host hears ----------------------------------------------------------------------------------------


async def test_a_link_is_sent_byte_for_byte(connect, other, tmp_path):
    target = "/a%2Fb/~f%7E.geojson?Expires=1&Signature=a~b%2Fc%7e+d==&Policy=%C3%BC&x=a%20b&Key-Pair-Id=K"
    other.answers("/a/b/~f~.geojson", (200, {}, b"{}"))

    await connect().download(found(f"{other.url}{target}"), tmp_path)

    assert other.requests[0].target == target


async def test_the_link_host_gets_no_token_no_cookie_and_is_asked_for_plain_bytes(
    connect, service, linked, other, tmp_path
):
    service.answers("/api/tasking/v2/tasks/t1/derivatives", (200, {"Set-Cookie": "a=b; Path=/"}, b'{"data": []}'))
    client = connect()
    await client.derivatives.get("t1")

    await client.download(linked, tmp_path)

    (heard,) = other.requests
    assert heard.headers["Accept-Encoding"] == "identity"
    assert not {"Authorization", "Cookie", "Proxy-Authorization", "Range", "Referer"} & set(heard.headers)


async def test_a_cookie_of_the_link_host_is_not_kept(connect, other, tmp_path):
    other.answers("/f.json", (200, {"Set-Cookie": "a=b; Path=/"}, b"{}"))

    await connect().download([found(f"{other.url}/f.json?{n}", f"d{n}") for n in range(2)], tmp_path)

    assert all("Cookie" not in heard.headers for heard in other.requests)


# --- what is there already -------------------------------------------------------------------------------------------


async def test_a_known_file_is_not_fetched_again(connect, linked, other, tmp_path):
    client = connect()
    (path,) = await client.download(linked, tmp_path)

    again = client.download(linked, tmp_path)

    assert await again == (path,)
    assert again.latest[0].known
    assert again.latest[0].sha256 == hashlib.sha256(BODY).hexdigest()
    assert len(other.requests) == 1


async def test_a_known_file_is_known_to_the_next_client_too(connect, linked, other, tmp_path):
    await connect().download(linked, tmp_path)
    await connect().download(linked, tmp_path)

    assert len(other.requests) == 1


async def test_a_known_file_that_was_truncated_is_fetched_again(connect, linked, tmp_path):
    client = connect()
    (path,) = await client.download(linked, tmp_path)
    path.write_bytes(BODY[:1000])

    await client.download(linked, tmp_path)

    assert path.read_bytes() == BODY


async def test_a_known_file_that_was_deleted_is_fetched_again(connect, linked, tmp_path):
    client = connect()
    (path,) = await client.download(linked, tmp_path)
    path.unlink()

    await client.download(linked, tmp_path)

    assert path.read_bytes() == BODY


async def test_with_a_damaged_manifest_nothing_is_trusted_or_replaced(connect, linked, tmp_path):
    client = connect()
    (path,) = await client.download(linked, tmp_path)
    (manifest,) = tmp_path.glob(".*.json")
    manifest.write_text("{")

    with pytest.raises(DownloadError, match=r"cannot be read .*move it away"):
        await client.download(linked, tmp_path)

    assert path.read_bytes() == BODY
    assert manifest.read_text() == "{"


async def test_the_manifest_holds_facts_and_no_link(connect, other, tmp_path):
    other.answers("/f.json", (200, {"ETag": '"e1"'}, b"{}"))
    await connect().download(found(f"{other.url}/f.json?Signature=s3cr3t"), tmp_path)

    for path in tmp_path.iterdir():
        assert "s3cr3t" not in path.read_text()
        assert other.url not in path.read_text()
        assert "http" not in path.read_text()
    (manifest,) = tmp_path.glob(".*.json")
    (facts,) = json.loads(manifest.read_text())["files"].values()
    assert {"task": "t1", "item": "d1", "size": 2, "etag": '"e1"'}.items() <= facts.items()
    assert facts["sha256"] == hashlib.sha256(b"{}").hexdigest()


# --- stopped half-way ------------------------------------------------------------------------------------------------


async def test_after_a_break_an_await_goes_on_with_the_same_response(connect, linked, other, tmp_path):
    download = connect().download(linked, tmp_path)
    async for event in download:
        if isinstance(event, Progressed):
            break
    assert files(tmp_path) == []

    (path,) = await download

    assert path.read_bytes() == BODY
    assert len(other.requests) == 1


async def begun(client, thing, folder):
    """A download that stopped after its first bytes."""
    download = client.download(thing, folder)
    async for event in download:
        if isinstance(event, Progressed):
            return download
    raise AssertionError("no bytes came")


async def test_dropped_half_way_what_came_is_kept_for_the_next_download(connect, linked, other, tmp_path):
    client = connect()
    download = await begun(client, linked, tmp_path)

    del download
    await client.close()
    assert files(tmp_path) == []
    (path,) = await connect().download(linked, tmp_path)

    assert path.read_bytes() == BODY
    assert not parts(tmp_path)
    heard = other.requests[-1].headers
    assert heard["If-Range"] == '"e1"'
    assert int(heard["Range"].removeprefix("bytes=").removesuffix("-")) > 0


async def test_closing_the_client_half_way_ends_the_transfer(connect, linked, other, tmp_path):
    client = connect()
    download = await begun(client, linked, tmp_path)

    await client.close()

    with pytest.raises(StateError):
        await download
    assert files(tmp_path) == []
    assert len(other.requests) == 1


async def test_what_cannot_be_told_from_another_object_is_not_kept(connect, other, tmp_path):
    """Without an ETag and a date nothing says that the rest would be of the same file."""
    other.answers("/f.json", (200, {}, BODY))
    client = connect()
    await begun(client, found(f"{other.url}/f.json"), tmp_path)

    await client.close()

    assert files(tmp_path) == []
    assert not parts(tmp_path)


async def test_left_alone_for_long_it_lets_go_of_its_connection_and_goes_on_later(
    connect, linked, other, tmp_path, monkeypatch
):
    monkeypatch.setattr("iceye_async.downloads.crew._GRACE", 0.05)
    download = await begun(connect(), linked, tmp_path)
    async with asyncio.timeout(5):
        while other.open:  # noqa: ASYNC110 - the server tells nobody
            await asyncio.sleep(0)

    (path,) = await download

    assert path.read_bytes() == BODY
    assert "Range" in other.requests[-1].headers


async def test_cancelled_half_way_nothing_is_left_and_an_await_brings_it_whole(connect, other, tmp_path):
    half_way = asyncio.Event()

    async def stall(request):
        response = web.StreamResponse(headers={"Content-Length": str(len(BODY))})
        await response.prepare(request)
        await response.write(BODY[:2_000_000])
        half_way.set()
        await asyncio.Event().wait()

    other.answers("/f.json", stall, (200, {}, BODY))
    download = connect().download(found(f"{other.url}/f.json"), tmp_path)
    task = asyncio.create_task(download)
    await half_way.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert files(tmp_path) == []
    assert not parts(tmp_path)

    (path,) = await download

    assert path.read_bytes() == BODY


async def test_an_await_after_the_end_asks_nothing(connect, linked, other, tmp_path):
    download = connect().download(linked, tmp_path)
    await download

    assert len(await download) == 1
    assert [event async for event in download] == []
    assert len(other.requests) == 1


async def test_a_second_download_of_the_same_file_at_once_is_refused(connect, linked, tmp_path):
    client = connect()
    first = client.download(linked, tmp_path)
    await anext(first)

    with pytest.raises(InProgress):
        await client.download(linked, tmp_path)

    (path,) = await first
    assert path.read_bytes() == BODY
