"""Downloads that cannot go well: nothing is published, nothing is left, and the error says which and why."""

import asyncio
import errno
import os
from pathlib import Path

import pytest
from aiohttp import web

from iceye_async import (
    Derivative,
    DerivativeAsset,
    DiskFull,
    DownloadError,
    IceyeError,
    IntegrityError,
    LinkExpired,
    NotFound,
    Product,
    ProductAsset,
    RetryPolicy,
    StateError,
    TaskNotFound,
    TransportError,
    UsageError,
)
from iceye_async.downloads import Failed, Finished

KNOWN = (
    b'{"id": "t1", "contractID": "c1", "imagingMode": "SPOTLIGHT", "pointOfInterest": {"lat": 1, "lon": 2}, '
    b'"acquisitionWindow": {"start": "2026-01-01T00:00:00Z", "end": "2026-01-02T00:00:00Z"}, "status": "ACTIVE", '
    b'"createdAt": "2026-01-01T00:00:00Z", "updatedAt": "2026-01-01T00:00:00Z"}'
)

TASK = "/api/tasking/v2/tasks/t1"


def named(answer):
    """A test id that is the same in each process."""
    return getattr(answer, "__name__", repr(answer))


def found(href, name="d1"):
    return Derivative(id=name, type="DC_VESSELS", task_id="t1", assets=(DerivativeAsset(href=href, type="geojson"),))


def product(**links):
    assets = {key.replace("_", "-"): ProductAsset(href=href) for key, href in links.items()}
    return Product(id="p1", task_id="t1", assets=assets)


def left(folder):
    """Everything in the folder but the manifest and its lock."""
    return [path.name for path in folder.iterdir() if not path.name.startswith(".iceye-async.json")]


async def cut_short(request):
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b"x" * 100)
    request.transport.close()
    return response


async def drop_half_way(request):
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(b"x" * 100)
    await asyncio.sleep(0.01)
    request.transport.abort()
    return response


async def drop(request):
    request.transport.abort()


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (cut_short, DownloadError),
        (drop_half_way, DownloadError),
        (drop, DownloadError),
        ((403, {}, b"<Error><Code>AccessDenied</Code></Error>"), LinkExpired),
        ((404, {}, b""), DownloadError),
        ((200, {"Content-Encoding": "gzip"}, b"not gzip"), IntegrityError),
        ((204, {}, b""), DownloadError),
        ((206, {"Content-Range": "bytes 0-1/9"}, b"{}"), DownloadError),
        ((503, {}, b""), DownloadError),
    ],
    ids=named,
)
async def test_what_does_not_come_whole_is_not_published(connect, other, tmp_path, answer, error):
    other.answers("/f.json", answer)
    download = connect().download(found(f"{other.url}/f.json"), tmp_path)

    with pytest.raises(error) as caught:
        await download

    assert caught.value.asset.startswith("d1/")
    assert caught.value.path.parent == tmp_path
    assert download.latest == ()
    assert left(tmp_path) == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_of_the_link_host_is_not_followed(connect, service, other, tmp_path, status):
    other.answers("/f.json", (status, {"Location": f"{service.url}/elsewhere"}, b""))

    with pytest.raises(DownloadError, match=str(status)):
        await connect().download(found(f"{other.url}/f.json"), tmp_path)

    assert not service.requests
    assert left(tmp_path) == []


async def test_a_link_host_out_of_reach_is_an_error(connect, closed_port, tmp_path):
    with pytest.raises((DownloadError, TransportError)):
        await connect().download(found(f"{closed_port}/f.json"), tmp_path)

    assert left(tmp_path) == []


async def test_what_breaks_once_is_tried_again(connect, other, clock, tmp_path):
    other.answers("/f.json", cut_short, (503, {}, b""), (200, {}, b"whole"))

    (path,) = await connect().download(found(f"{other.url}/f.json"), tmp_path)

    assert path.read_bytes() == b"whole"
    assert len(clock.waits) == 2


async def test_after_a_failure_a_new_download_brings_the_file(connect, other, tmp_path):
    other.answers("/f.json", cut_short, (200, {}, b"whole"))
    client = connect(retry=RetryPolicy(tries=1))
    with pytest.raises(DownloadError):
        await client.download(found(f"{other.url}/f.json"), tmp_path)

    (path,) = await client.download(found(f"{other.url}/f.json"), tmp_path)

    assert path.read_bytes() == b"whole"


# --- several -----------------------------------------------------------------------------------------------------


async def test_one_that_fails_does_not_stop_the_others(connect, other, tmp_path):
    other.answers("/f.json", (200, {}, b"good"))
    other.answers("/gone.json", (403, {}, b""))
    several = [found(f"{other.url}/{name}.json", item) for name, item in [("f", "a"), ("gone", "b"), ("f", "c")]]
    download = connect().download(several, tmp_path)

    with pytest.raises(DownloadError) as caught:
        await download

    assert type(caught.value) is DownloadError
    assert [path.name for path in caught.value.done] == ["a_f.json", "c_f.json"]
    assert all(path.read_bytes() == b"good" for path in caught.value.done)
    ((asset, error),) = caught.value.failed.items()
    assert asset.startswith("b/")
    assert isinstance(error, LinkExpired)
    assert [event.path for event in download.latest] == list(caught.value.done)


async def test_iterated_a_failure_is_an_event_and_the_error_comes_last(connect, other, tmp_path):
    other.answers("/f.json", (200, {}, b"good"))
    other.answers("/gone.json", (403, {}, b""))
    events = []

    async def run():
        async for event in connect().download([found(f"{other.url}/{n}.json", n) for n in ("gone", "f")], tmp_path):
            events.append(event)  # noqa: PERF401 - what came before the error counts

    with pytest.raises(DownloadError):
        await run()

    ends = [event for event in events if isinstance(event, Failed | Finished)]
    assert {type(event) for event in ends} == {Failed, Finished}
    assert [type(event.error) for event in ends if isinstance(event, Failed)] == [LinkExpired]


# --- which assets --------------------------------------------------------------------------------------------------


async def test_only_the_named_assets_are_fetched(connect, other, tmp_path):
    other.answers("/a", (200, {}, b"a"))
    other.answers("/b", (200, {}, b"b"))
    thing = product(grd_tif=f"{other.url}/a", quicklook_png=f"{other.url}/b")

    (path,) = await connect().download(thing, tmp_path, assets="quicklook-png")

    assert path.read_bytes() == b"b"
    assert [heard.target for heard in other.requests] == ["/b"]


@pytest.mark.parametrize("assets", ["no-such", ["grd-tif", "no-such"], [], [""], [7], 7], ids=repr)
async def test_a_key_that_no_asset_has_is_refused_at_the_call(connect, other, tmp_path, assets):
    client = connect()

    with pytest.raises(UsageError):
        client.download(product(grd_tif=f"{other.url}/a"), tmp_path, assets=assets)

    assert not other.requests


async def test_an_entry_without_assets_is_passed_over(connect, other, tmp_path):
    other.answers("/f.json", (200, {}, b"{}"))
    empty = Derivative(id="d0", type="DC_AIRCRAFT", task_id="t1")

    assert len(await connect().download([empty, found(f"{other.url}/f.json")], tmp_path)) == 1
    assert await connect().download(empty, tmp_path) == ()


@pytest.mark.parametrize(
    "thing",
    [None, 7, b"t1", "", " ", "..", ["t1"], [None], {"id": "p1"}, object()],
    ids=lambda thing: type(thing).__name__,
)
async def test_what_cannot_be_downloaded_is_refused_at_the_call(connect, service, tmp_path, thing):
    client = connect()

    with pytest.raises(UsageError):
        client.download(thing, tmp_path)

    assert not service.requests


@pytest.mark.parametrize("to", [None, 7, b"here"], ids=repr)
async def test_what_is_no_folder_name_is_refused_at_the_call(connect, to):
    client = connect()

    with pytest.raises(UsageError):
        client.download(found("https://l.example/f"), to)


@pytest.mark.parametrize("there", [True, False])
async def test_a_task_without_anything_yet_is_told_from_a_wrong_id(connect, service, tmp_path, there):
    service.answers(f"{TASK}/products", (404, {}, b""))
    service.answers(f"{TASK}/derivatives", (404, {}, b""))
    service.answers(TASK, (200, {}, KNOWN) if there else (404, {}, b""))

    with pytest.raises(NotFound) as caught:
        await connect().download("t1", tmp_path)

    assert isinstance(caught.value, TaskNotFound) is not there


async def test_a_task_with_products_only_comes_home(connect, service, other, tmp_path):
    body = f'{{"data": [{{"id": "p1", "properties": {{}}, "assets": {{"k": {{"href": "{other.url}/a"}}}}}}]}}'
    service.answers(f"{TASK}/products", (200, {}, body.encode()))
    service.answers(f"{TASK}/derivatives", (404, {}, b""))
    other.answers("/a", (200, {}, b"a"))

    (path,) = await connect().download("t1", tmp_path)

    assert path.read_bytes() == b"a"


async def test_the_same_asset_twice_is_one_file(connect, other, tmp_path):
    other.answers("/f.json", (200, {}, b"{}"))
    thing = found(f"{other.url}/f.json")

    assert len(await connect().download([thing, [thing]], tmp_path)) == 1
    assert len(other.requests) == 1


# --- the folder ----------------------------------------------------------------------------------------------------


async def test_a_file_that_nobody_knows_is_neither_trusted_nor_replaced(connect, other, tmp_path):
    (tmp_path / "d1_f.json").write_bytes(b"mine")

    with pytest.raises(DownloadError, match="overwrite=True") as caught:
        await connect().download(found(f"{other.url}/f.json"), tmp_path)

    assert caught.value.path == tmp_path / "d1_f.json"
    assert (tmp_path / "d1_f.json").read_bytes() == b"mine"
    assert not other.requests


async def test_overwrite_replaces_it(connect, other, tmp_path):
    (tmp_path / "d1_f.json").write_bytes(b"mine")
    other.answers("/f.json", (200, {}, b"theirs"))

    (path,) = await connect().download(found(f"{other.url}/f.json"), tmp_path, overwrite=True)

    assert path.read_bytes() == b"theirs"


async def test_overwrite_that_fails_leaves_the_old_file(connect, other, tmp_path):
    (tmp_path / "d1_f.json").write_bytes(b"mine")
    other.answers("/f.json", cut_short)

    with pytest.raises(DownloadError):
        await connect().download(found(f"{other.url}/f.json"), tmp_path, overwrite=True)

    assert (tmp_path / "d1_f.json").read_bytes() == b"mine"


async def test_overwrite_does_not_remove_a_folder(connect, other, tmp_path):
    (tmp_path / "d1_f.json").mkdir()

    with pytest.raises(DownloadError):
        await connect().download(found(f"{other.url}/f.json"), tmp_path, overwrite=True)

    assert (tmp_path / "d1_f.json").is_dir()


async def test_a_link_in_the_file_system_is_not_followed_out_of_the_folder(connect, other, tmp_path):
    other.answers("/f.json", (200, {}, b"theirs"))
    (tmp_path / "outside").write_bytes(b"mine")
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "d1_f.json").symlink_to(tmp_path / "outside")
    (folder / ".d1_f.json.part").symlink_to(tmp_path / "outside")

    with pytest.raises(DownloadError):
        await connect().download(found(f"{other.url}/f.json"), folder)
    with pytest.raises(DownloadError):
        await connect().download(found(f"{other.url}/f.json"), folder, overwrite=True)

    assert (tmp_path / "outside").read_bytes() == b"mine"


async def test_a_part_that_an_earlier_run_left_is_not_in_the_way(connect, other, tmp_path):
    (tmp_path / ".d1_f.json.part").write_bytes(b"half of something longer than the file")
    other.answers("/f.json", (200, {}, b"whole"))

    (path,) = await connect().download(found(f"{other.url}/f.json"), tmp_path)

    assert path.read_bytes() == b"whole"


async def test_a_folder_that_is_a_file_is_an_error(connect, other, tmp_path):
    (tmp_path / "file").write_bytes(b"mine")

    with pytest.raises(DownloadError, match="file"):
        await connect().download(found(f"{other.url}/f.json"), tmp_path / "file")
    with pytest.raises(DownloadError):
        await connect().download(found(f"{other.url}/f.json"), tmp_path / "file" / "below")

    assert not other.requests
    assert (tmp_path / "file").read_bytes() == b"mine"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
async def test_a_full_disk_says_so_and_leaves_nothing(connect, other, tmp_path, monkeypatch, number):
    def full(handle, piece, offset):
        raise OSError(number, "no space left")

    monkeypatch.setattr("os.pwrite", full)
    other.answers("/f.json", (200, {}, b"{}"))

    with pytest.raises(DiskFull, match="make room") as caught:
        await connect().download(found(f"{other.url}/f.json"), tmp_path)

    assert caught.value.path == tmp_path / "d1_f.json"
    assert left(tmp_path) == []


async def test_a_full_disk_is_told_also_where_the_sidecar_has_no_room_either(connect, other, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr("os.write", full)
    monkeypatch.setattr("iceye_async.downloads.part._OFTEN", 0.0)
    other.answers("/f.json", (200, {"ETag": '"e"'}, b"x" * 100_000))

    with pytest.raises(DiskFull):
        await connect().download(found(f"{other.url}/f.json"), tmp_path)

    assert [name for name in left(tmp_path) if not name.startswith(".")] == []


async def test_a_folder_that_is_a_file_is_named(connect, other, tmp_path):
    (tmp_path / "taken").write_text("")
    other.answers("/f.json", (200, {}, b"{}"))

    with pytest.raises(DownloadError, match="taken is a file, not a folder"):
        await connect().download(found(f"{other.url}/f.json"), tmp_path / "taken")


async def test_a_disk_that_is_full_at_the_last_flush_leaves_nothing(connect, other, tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr("os.fsync", full)
    other.answers("/f.json", (200, {}, b"{}"))

    with pytest.raises(DiskFull):
        await connect().download(found(f"{other.url}/f.json"), tmp_path)

    assert left(tmp_path) == []


# --- names and links that nobody should trust ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "hostile",
    [
        "../../up",
        "/etc/passwd",
        "..",
        "C:\\x",
        "a\x00b",
        "con",
        "a\nb",
        "\u202egnp.exe",
        "x" * 400,
        ".iceye-async.json",
        "",
        "~",
    ],
    ids=repr,
)
async def test_hostile_names_stay_in_the_folder(connect, other, tmp_path, hostile):
    other.answers("/f", (200, {}, b"{}"))
    folder = tmp_path / "a" / "b"
    things = [
        Product(id=hostile, task_id=hostile, assets={hostile: ProductAsset(href=f"{other.url}/f", type=hostile)}),
        Derivative(
            id=hostile, type=hostile, task_id="t", assets=(DerivativeAsset(href=f"{other.url}/f", type=hostile),)
        ),
    ]

    for thing in things:
        (path,) = await connect().download(thing, folder)

        assert path.parent == folder
        assert path.resolve().parent == folder.resolve()
        assert path.read_bytes() == b"{}"
        assert len(path.name.encode()) <= 200
        assert path.name.isprintable()
        assert path.name.isascii()
        assert not path.name.startswith(".")
    assert [path for path in tmp_path.rglob("*") if path.is_file() and path.parent != folder] == []


async def test_names_that_differ_only_in_case_are_two_files(connect, other, tmp_path):
    other.answers("/a", (200, {}, b"a"))
    other.answers("/b", (200, {}, b"b"))

    paths = await connect().download(product(x=f"{other.url}/a", X=f"{other.url}/b"), tmp_path)

    assert len({path.name.casefold() for path in paths}) == 2
    assert sorted(path.read_bytes() for path in paths) == [b"a", b"b"]


@pytest.mark.parametrize(
    "href",
    [
        "http://l.example/f",
        "https://127.0.0.1/f",
        "https://localhost/f",
        "https://[::1]/f",
        "https://10.1.2.3/f",
        "https://192.168.1.1/f",
        "https://169.254.169.254/latest/meta-data",
        "https://[::ffff:127.0.0.1]/f",
        "https://2130706433/f",
        "https://0x7f.1/f",
        "https://metadata.google.internal/f",
        "https://user:password@l.example/f",
        "file:///etc/passwd",
        "ftp://l.example/f",
        "data:,x",
        "//l.example/f",
        "/f",
        "f",
        "",
        "https://",
        "https://l.example/a b",
        "https://l.example/\r\nX: y",
        "https://l.example/" + "a" * 70_000,
    ],
    ids=lambda href: href[:40],
)
async def test_a_link_to_nowhere_public_is_refused(connect, tmp_path, href, monkeypatch):
    async def never(*args, **options):
        raise AssertionError("a request was made")

    monkeypatch.setattr("aiohttp.ClientSession._request", never)
    client = connect("https://api.example", auth="x")

    with pytest.raises(IceyeError) as caught:
        await client.download(found(href), tmp_path)

    assert isinstance(caught.value, DownloadError | UsageError)
    assert not left(tmp_path)


# --- files that somebody else wrote, and crashes ---------------------------------------------------------------------


async def test_a_file_that_appears_meanwhile_is_not_replaced(connect, other, tmp_path):
    other.answers("/f.json", (200, {}, b"{}"))
    download = connect().download(found(f"{other.url}/f.json"), tmp_path)
    started = await anext(download)
    started.path.write_text("precious")

    with pytest.raises(DownloadError, match="overwrite=True"):
        await download

    assert started.path.read_text() == "precious"


async def test_after_a_crash_before_the_rename_the_file_is_fetched_again(connect, other, tmp_path, monkeypatch):
    other.answers("/f.json", (200, {}, b"{}"))
    client = connect()
    real = os.replace

    def crash(source, target):
        if Path(target).name == "d1_f.json":
            raise OSError(errno.EIO, "gone")
        real(source, target)

    monkeypatch.setattr(os, "replace", crash)
    with pytest.raises(DownloadError):
        await client.download(found(f"{other.url}/f.json"), tmp_path)
    monkeypatch.undo()

    (path,) = await client.download(found(f"{other.url}/f.json"), tmp_path)

    assert path.read_bytes() == b"{}"


async def test_a_body_whose_end_nobody_tells_is_not_taken_for_whole(connect, tmp_path):
    async def half(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhalf of it")
        writer.close()

    server = await asyncio.start_server(half, "127.0.0.1", 0)
    async with server:
        link = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/f.json"
        with pytest.raises(IntegrityError, match="where the file ends"):
            await connect().download(found(link), tmp_path)

    assert left(tmp_path) == []


async def test_a_part_file_that_was_renamed_while_its_lock_was_waited_for_is_left_alone(
    connect, other, tmp_path, monkeypatch
):
    """Whoever held the lock has finished: what is open now is the finished file, which must not be emptied."""
    other.answers("/f.json", (200, {}, b"{}"))
    finished = tmp_path / "d1_f.json"

    def lock(handle, *, wait):
        (tmp_path / ".d1_f.json.part").replace(finished)
        finished.write_text("whole")

    monkeypatch.setattr("iceye_async.downloads.part.lock", lock)
    with pytest.raises(DownloadError):
        await connect().download(found(f"{other.url}/f.json"), tmp_path)

    assert finished.read_text() == "whole"


async def test_a_closed_client_touches_no_folder(connect, other, tmp_path):
    client = connect()
    download = client.download(found(f"{other.url}/f.json"), tmp_path / "new")
    await client.close()

    with pytest.raises(StateError):
        await download

    assert not (tmp_path / "new").exists()


async def test_an_unreadable_product_does_not_stop_the_readable_ones(connect, service, other, tmp_path):
    good = f'{{"id": "p1", "properties": {{}}, "assets": {{"k": {{"href": "{other.url}/a"}}}}}}'
    service.answers(f"{TASK}/products", (200, {}, f'{{"data": [{good}, {{}}]}}'.encode()))
    service.answers(f"{TASK}/derivatives", (404, {}, b""))
    other.answers("/a", (200, {}, b"a"))

    with pytest.raises(DownloadError) as caught:
        await connect().download("t1", tmp_path)

    assert [path.read_bytes() for path in caught.value.done] == [b"a"]
    assert set(caught.value.failed) == {"products"}


async def test_assets_of_a_derivative_are_named_by_their_type(connect, other, tmp_path):
    other.answers("/a.kml", (200, {}, b"kml"))
    assets = (
        DerivativeAsset(href=f"{other.url}/a.json", type="geojson"),
        DerivativeAsset(href=f"{other.url}/a.kml", type="kml"),
    )
    both = Derivative(id="d1", type="DC_VESSELS", task_id="t1", assets=assets)

    (path,) = await connect().download(both, tmp_path, assets=["kml"])

    assert path.read_bytes() == b"kml"
