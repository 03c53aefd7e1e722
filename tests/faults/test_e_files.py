"""Group E, files: full and failing disks, kills, rivals, names that nobody should trust, links, and cancelling.

Rows E20 to E30. What is lost on the network is the other half of the group. Here the link host is a scripted one that
resumes; it counts the bytes that it sends, and holds still where a test says so.
"""

import asyncio
import contextlib
import errno
import fcntl
import functools
import gc
import hashlib
import io
import itertools
import json
import os
import re
import resource
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
import unicodedata
import warnings
import zipfile
from pathlib import Path
from urllib.parse import quote, urlsplit
from xml.etree import ElementTree as Etree

import pytest
from aiohttp import web

from iceye_async import (
    Derivative,
    DerivativeAsset,
    DiskFull,
    DownloadError,
    IceyeError,
    InProgress,
    IntegrityError,
    LinkExpired,
    Product,
    ProductAsset,
)
from iceye_async.downloads import Failed, Finished, Progressed, Started

TASK = "/api/tasking/v2/tasks/t1"
MIB = 2**20
BIG = 24 * MIB
AGAIN = 8 * MIB
"""Bytes that may be fetched again for one disturbance."""
SOON = 2.0
"""Seconds within which a download stops that is told to."""
MANIFEST = ".iceye-async.json"
MODIFIED = "Thu, 01 Jan 2026 00:00:00 GMT"


# --- the link host ---------------------------------------------------------------------------------------------------


@functools.cache
def noise(size):
    """Bytes of which no two stretches are alike."""
    return hashlib.shake_256(b"noise").digest(size)


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
    """A file on the link host. It counts what it sends, and once that is `hold` bytes it is silent until `released`."""

    def __init__(self, body, etag='"e1"', *, chunked=False, **headers):
        self.body, self.chunked = body, chunked
        self.headers = {"ETag": etag, "Last-Modified": MODIFIED, "Accept-Ranges": "bytes", **headers}
        self.sent = 0
        self.hold = None
        self.ranges = []
        self.held, self.released = asyncio.Event(), asyncio.Event()

    async def __call__(self, request):
        self.ranges.append(request.headers.get("Range"))
        status, part, headers = self._part(request)
        if not self.chunked and status != 416:
            headers["Content-Length"] = str(len(part))
        response = web.StreamResponse(status=status, headers=headers)
        request.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)
        with given_up(request):
            await response.prepare(request)
            if request.method == "GET" and status != 416:
                await self._send(response, part)
        return response

    def _part(self, request):
        size, headers = len(self.body), dict(self.headers)
        if "Range" not in request.headers or request.headers.get("If-Range") not in {None, headers["ETag"], MODIFIED}:
            return 200, range(size), headers
        wanted = range(size)[request.http_range]
        if not wanted:
            return 416, wanted, {"Content-Range": f"bytes */{size}"}
        headers["Content-Range"] = f"bytes {wanted[0]}-{wanted[-1]}/{size}"
        return 206, wanted, headers

    async def _send(self, response, part):
        for at in range(part.start, part.stop, 65_536):
            if self.hold is not None and self.sent >= self.hold:
                self.held.set()
                await self.released.wait()
            piece = self.body[at : min(at + 65_536, part.stop)]
            await response.write(piece)
            self.sent += len(piece)

    async def half_way(self, task):
        """Until so many bytes are sent. A download that ends before is the test's failure, and no reason to wait."""
        held = asyncio.create_task(self.held.wait())
        await asyncio.wait([held, task], return_when=asyncio.FIRST_COMPLETED)
        assert not task.done(), task
        await held

    def release(self):
        self.hold = None
        self.released.set()


@pytest.fixture
def big(other):
    """A file of 24 MiB on the link host; it is what `found(other)` leads to."""
    hosted = Hosted(noise(BIG))
    other.answers("/f.json", hosted)
    return hosted


@pytest.fixture
def small(other):
    """A file of 300 kB there."""
    hosted = Hosted(noise(300_000))
    other.answers("/f.json", hosted)
    return hosted


def found(other, path="/f.json", name="d1", kind="geojson", task="t1"):
    asset = DerivativeAsset(href=f"{other.url}{path}", type=kind)
    return Derivative(id=name, type="DC_VESSELS", task_id=task, assets=(asset,))


def product(other, *keys, name="p1", task="t1"):
    """A product with these asset keys, and their bytes on the link host: each key's own."""
    assets = {}
    for number, key in enumerate(keys):
        other.answers(f"/{name}-{number}", Hosted(content(key)))
        assets[key] = ProductAsset(href=f"{other.url}/{name}-{number}", type="image/tiff")
    return Product(id=name, task_id=task, assets=assets)


def content(key):
    return b"II*\0" + key.encode("utf-8", "surrogatepass")


# --- what is in the folder -------------------------------------------------------------------------------------------


def left(folder):
    """Everything in the folder but the manifest and its lock."""
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith(MANIFEST))


def shown(folder):
    """What a user sees in the folder."""
    return [name for name in left(folder) if not name.startswith(".")]


def kept(folder):
    """The parts and sidecars that wait to be resumed."""
    return [name for name in left(folder) if name.endswith((".part", ".part.json"))]


def manifest(folder):
    return json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]


def state(folder):
    """Names, bytes and records, without what no two runs have in common."""
    facts = {name: {k: v for k, v in record.items() if k != "modified"} for name, record in manifest(folder).items()}
    return {name: (folder / name).read_bytes() for name in left(folder)}, facts


def tree(folder):
    """All that is below a folder."""
    return {path: path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


def open_files(folder):
    """What this process has open in the folder."""
    return [target for target in descriptors() if target.startswith(str(folder))]


def descriptors():
    targets = []
    for number in os.listdir("/proc/self/fd") if Path("/proc/self/fd").exists() else ():  # noqa: PTH208
        with contextlib.suppress(OSError):
            targets.append(os.readlink(f"/proc/self/fd/{number}"))  # noqa: PTH115
    return targets


def connections(script):
    """How many connections to this origin somebody in this process holds. Its own ends are not counted."""
    table, port = Path("/proc/net/tcp"), f":{urlsplit(script.url).port:04X}"
    rows = map(str.split, table.read_text().splitlines()[1:]) if table.exists() else ()
    return sum(row[2].endswith(port) and row[9] != "0" for row in rows)


async def until(true):
    """Until it is so; it must be soon."""
    async with asyncio.timeout(SOON):
        while not true():  # noqa: ASYNC110 - what other threads and the other side do sets no event
            await asyncio.sleep(0.001)


async def events_of(download):
    return [event async for event in download]


async def all_known(download):
    """Whether every file was there, and none was fetched."""
    return all(isinstance(event, Finished) and event.known for event in await events_of(download))


async def stopped_half_way(client, hosted, thing, folder, after=16 * MIB):
    """A download that is cancelled when the host has sent so many bytes."""
    hosted.hold = after
    task = asyncio.create_task(client.download(thing, folder))
    await hosted.half_way(task)
    task.cancel()
    done, _ = await asyncio.wait([task], timeout=SOON)
    assert done
    assert task.cancelled()


async def comes_whole(client, hosted, thing, folder):
    """The file, and how many bytes of it were there before the first request."""
    hosted.release()
    events = [event async for event in client.download(thing, folder)]
    same = events[-1].path.read_bytes() == hosted.body
    assert same
    assert events[-1].sha256 == hashlib.sha256(hosted.body).hexdigest()
    assert manifest(folder)[events[-1].path.name]["size"] == len(hosted.body)
    assert left(folder) == [events[-1].path.name]
    return sum(event.resumed for event in events if isinstance(event, Started))


# --- faults of the operating system ----------------------------------------------------------------------------------

WRITES = ("write", "pwrite", "writev", "pwritev")
FLUSHES = ("fsync", "fdatasync")
RENAMES = ("replace", "rename", "link")
MAKES = ("mkdir", "ftruncate", "truncate", "posix_fallocate")
READS = ("read", "pread", "readv", "preadv", "stat", "lstat", "fstat", "listdir", "scandir", "lseek", "access")
REMOVES = ("unlink", "remove")
CALLS = ("open", "close", "flock", *WRITES, *FLUSHES, *RENAMES, *MAKES, *READS, *REMOVES)
NATURAL = {
    "ENOSPC": ("open", "close", *WRITES, *FLUSHES, *RENAMES, *MAKES),
    "EDQUOT": ("open", "close", *WRITES, *FLUSHES),
    "EIO": CALLS,
    "EACCES": ("open", *RENAMES, *REMOVES, "mkdir", "stat", "lstat", "listdir"),
    "EMFILE": ("open",),
    "EROFS": ("open", *RENAMES, *REMOVES, "mkdir", "ftruncate"),
    "ENAMETOOLONG": ("open", *RENAMES, "mkdir", "stat", "lstat"),
    "ENOLCK": ("flock",),
}
"""Which calls fail with what, on systems as they are."""


class Disk:
    """Stands before the functions of `os` (and `open`), for what is in one folder; elsewhere all goes well.

    `fails(name, path)` gives the number of the error that this call is to raise, or None. Of a rename the path is the
    new name. A `close` that fails has closed, as on Linux.
    """

    def __init__(self, folder):
        self.folder = str(folder)
        self.calls = []
        self.fails = lambda name, path: None
        self._lock = threading.RLock()
        self._link = os.readlink

    def installed(self, monkeypatch):
        for name in CALLS:
            if hasattr(os, name):
                monkeypatch.setattr(os, name, self._wrapped(name, getattr(os, name)))
        monkeypatch.setattr(fcntl, "flock", self._wrapped("flock", fcntl.flock))
        opened = self._wrapped("open", io.open)
        monkeypatch.setattr("builtins.open", opened)
        monkeypatch.setattr("io.open", opened)
        return self

    def _wrapped(self, name, real):
        @functools.wraps(real)
        def call(*args, **options):
            if (path := self._path(name, args, options)) is None:
                return real(*args, **options)
            with self._lock:
                self.calls.append((name, path))
                number = self.fails(name, path)
            if number is None:
                return real(*args, **options)
            if name == "close":
                real(*args, **options)
            raise OSError(number, os.strerror(number), path)

        return call

    def _path(self, name, args, options):
        """The path of a call that is about something in the folder, else None."""
        is_rename = name in RENAMES
        given = args[1] if is_rename and len(args) > 1 else args[0] if args else None
        base = options.get("dst_dir_fd" if is_rename else "dir_fd")
        if isinstance(given, int):
            # Opening a descriptor as a file object opens nothing.
            path = None if name == "open" else self._of(given)
        elif given is None:
            path = None
        else:
            path = os.path.join(self._of(base) or "", os.fsdecode(given)) if base is not None else os.fsdecode(given)  # noqa: PTH118
        return path if path is not None and f"{path}/".startswith(f"{self.folder}/") else None

    def _of(self, descriptor):
        try:
            return self._link(f"/proc/self/fd/{descriptor}")
        except OSError:
            return None


def of_data(path):
    """Whether a call is about the bytes on their way, not about what is written beside them."""
    return path.endswith(".part") and MANIFEST not in path


def onto_final(path):
    return not Path(path).name.startswith(".")


@pytest.fixture
def disk(tmp_path, monkeypatch):
    return Disk(tmp_path / "to").installed(monkeypatch)


def run_quietly(*command):
    """Whether a command of the system does what it should."""
    program = shutil.which(command[0])
    return program is not None and subprocess.run([program, *command[1:]], capture_output=True).returncode == 0


class Volume:
    """A file system of its own, of a few MiB, in memory."""

    def __init__(self, folder):
        self.folder = folder

    def has(self, size, *options):
        return run_quietly("mount", "-o", ",".join(["remount", f"size={size}", *options]), str(self.folder))

    @property
    def free(self):
        return shutil.disk_usage(self.folder).free

    def fill(self, leave=0):
        """Somebody else's file, with all the room that there is."""
        with (self.folder / "filler").open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while self.free > leave:
                file.write(bytes(min(65_536, self.free - leave)))


@pytest.fixture
def volume(tmp_path):
    """A small disk; where the tests may not mount one they are skipped, and only the simulated faults are tried."""
    folder = tmp_path / "volume"
    folder.mkdir()
    if not run_quietly("mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", str(folder)):
        pytest.skip("mounting needs more rights than these tests have")
    yield Volume(folder)
    run_quietly("umount", "-l", str(folder))


# --- E20: no room ----------------------------------------------------------------------------------------------------


async def test_e20_a_file_larger_than_the_free_room_is_refused_before_it_is_written(
    connect, other, big, tmp_path, monkeypatch
):
    """Where the host tells the size, nobody's disk is filled to find out."""
    folder = tmp_path / "to"
    real = os.statvfs

    def nearly_full(path):
        facts = list(real(path))
        facts[3] = facts[4] = 4 * MIB // facts[1]
        return os.statvfs_result(facts)

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "statvfs", nearly_full)
        patch.setattr(os, "posix_fallocate", full, raising=False)
        with pytest.raises(DiskFull) as caught:
            await connect().download(found(other), folder)

    assert caught.value.path.parent == folder
    assert shown(folder) == []
    assert sum(path.stat().st_blocks * 512 for path in folder.iterdir()) < 100_000
    await comes_whole(connect(), big, found(other), folder)


async def test_e20_on_a_real_disk_that_is_too_small_next_to_nothing_is_written(connect, other, big, volume):
    volume.has("8m")

    with pytest.raises(DiskFull) as caught:
        await connect().download(found(other), volume.folder)

    assert caught.value.path.parent == volume.folder
    assert shown(volume.folder) == []
    assert volume.free > 7 * MIB
    volume.has("40m")
    await comes_whole(connect(), big, found(other), volume.folder)


async def test_e20_a_real_disk_that_fills_up_under_a_file_of_unknown_size(connect, other, volume):
    hosted = Hosted(noise(BIG), chunked=True)
    other.answers("/f.json", hosted)
    volume.has("8m")

    with pytest.raises(DiskFull) as caught:
        await connect().download(found(other), volume.folder)

    assert caught.value.path.parent == volume.folder
    assert shown(volume.folder) == []
    volume.has("40m")
    await comes_whole(connect(), hosted, found(other), volume.folder)


async def test_e20_a_real_disk_that_somebody_else_fills_meanwhile_keeps_what_was_there(connect, other, big, volume):
    big.hold = 16 * MIB
    task = asyncio.create_task(connect().download(found(other), volume.folder))
    await big.half_way(task)
    volume.fill()
    big.release()
    result = (await asyncio.gather(task, return_exceptions=True))[0]
    if not isinstance(result, DiskFull):
        # The room was reserved: that is as good.
        assert result[0].read_bytes() == big.body
        return
    assert shown(volume.folder) == ["filler"]
    assert kept(volume.folder)
    (volume.folder / "filler").unlink()

    assert await comes_whole(connect(), big, found(other), volume.folder) > 0

    assert big.sent <= BIG + AGAIN


async def test_e20_to_go_on_only_the_rest_needs_room(connect, other, big, volume):
    await stopped_half_way(connect(), big, found(other), volume.folder)
    volume.fill(leave=20 * MIB)
    assert volume.free < BIG
    big.release()

    (path,) = await connect().download(found(other), volume.folder)

    assert path.read_bytes() == big.body


async def test_e20_no_room_for_one_does_not_stop_the_others(connect, other, big, volume):
    volume.has("8m")
    for path in ("/a.json", "/c.json"):
        other.answers(path, Hosted(noise(10_000)))
    several = [found(other, "/a.json", "a"), found(other), found(other, "/c.json", "c")]

    with pytest.raises(DownloadError) as caught:
        await connect().download(several, volume.folder)

    assert [type(error) for error in caught.value.failed.values()] == [DiskFull]
    assert [path.read_bytes() for path in caught.value.done] == [noise(10_000)] * 2


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT], ids=errno.errorcode.get)
@pytest.mark.parametrize(
    ("calls", "about"),
    [(("open",), of_data), (WRITES, of_data), (FLUSHES, of_data), (RENAMES, onto_final)],
    ids=["before", "during", "at fsync", "at rename"],
)
async def test_e20_a_full_disk_at_any_stage_leaves_no_final_name_and_no_harm(
    connect, other, small, disk, tmp_path, calls, about, number
):
    folder = tmp_path / "to"
    disk.fails = lambda name, path: number if name in calls and about(path) else None

    with pytest.raises(DiskFull, match="make room") as caught:
        await connect().download(found(other), folder)

    assert caught.value.path.parent == folder
    assert shown(folder) == []
    assert open_files(folder) == []
    disk.fails = lambda name, path: None
    await comes_whole(connect(), small, found(other), folder)


async def test_e20_what_was_there_when_a_rename_had_no_room_is_not_fetched_again(connect, other, big, disk, tmp_path):
    disk.fails = lambda name, path: errno.ENOSPC if name in RENAMES and onto_final(path) else None
    with pytest.raises(DiskFull):
        await connect().download(found(other), tmp_path / "to")
    disk.fails = lambda name, path: None

    await comes_whole(connect(), big, found(other), tmp_path / "to")

    assert big.sent <= BIG + AGAIN


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO], ids=errno.errorcode.get)
async def test_e20_bytes_that_a_failed_flush_may_have_lost_are_not_trusted(
    connect, other, small, disk, tmp_path, number
):
    """After an fsync that fails, systems drop what they could not write, and the next fsync succeeds."""
    folder = tmp_path / "to"

    def lost(name, path):
        if name not in FLUSHES or not of_data(path):
            return None
        with Path(path).open("r+b") as part:
            part.write(bytes(len(small.body)))
        return number

    disk.fails = lost
    with pytest.raises(DownloadError):
        await connect().download(found(other), folder)
    disk.fails = lambda name, path: None

    await comes_whole(connect(), small, found(other), folder)


async def test_e20_a_system_that_writes_less_than_it_is_given_is_asked_again(
    connect, other, small, tmp_path, monkeypatch
):
    """As it does where a disk is nearly full, or a signal comes: each write writes half of it, which is no error."""
    thing = found(other)
    await connect().download(thing, tmp_path / "clean")
    with monkeypatch.context() as patch:
        write, pwrite = os.write, os.pwrite
        patch.setattr(os, "write", lambda handle, data: write(handle, data[: max(1, len(data) // 2)]))
        patch.setattr(os, "pwrite", lambda handle, data, at: pwrite(handle, data[: max(1, len(data) // 2)], at))
        await connect().download(thing, tmp_path / "short")

    assert state(tmp_path / "short") == state(tmp_path / "clean")
    assert await all_known(connect().download(thing, tmp_path / "short"))


async def test_e20_a_real_disk_with_room_for_the_file_but_not_for_the_manifest(connect, other, volume):
    """The old manifest stays as it is, or the new one is whole."""
    things = [product(other, *(f"k{key}" for key in range(50)), name=f"p{number}") for number in range(4)]
    await connect().download(things, volume.folder)
    before = manifest(volume.folder)
    volume.fill(leave=16_384)
    result = (
        await asyncio.gather(connect().download(product(other, "grd", name="q"), volume.folder), return_exceptions=True)
    )[0]

    assert isinstance(result, DiskFull) or len(manifest(volume.folder)) == 201
    assert before.items() <= manifest(volume.folder).items()
    (volume.folder / "filler").unlink()
    await connect().download(product(other, "grd", name="q"), volume.folder)
    assert len(manifest(volume.folder)) == 201


async def test_e20_a_disk_that_fills_up_after_two_thirds_goes_on_from_there(connect, other, big, disk, tmp_path):
    folder = tmp_path / "to"
    written = itertools.count()

    def full(name, path):
        """Small writes or large ones: a few of each fit."""
        return errno.ENOSPC if name in WRITES and of_data(path) and next(written) >= 5 else None

    disk.fails = full
    with pytest.raises(DiskFull):
        await connect().download(found(other), folder)
    assert shown(folder) == []
    assert kept(folder)
    disk.fails = lambda name, path: None

    assert await comes_whole(connect(), big, found(other), folder) > 0


# --- E20, E21: each call of the operating system fails once ----------------------------------------------------------


@pytest.mark.parametrize("kind", NATURAL)
async def test_e21_each_call_of_the_system_fails_once_and_the_next_run_ends_as_if_nothing_had_been(
    connect, other, small, tmp_path, monkeypatch, record_property, kind
):
    client, thing, number = connect(), found(other), getattr(errno, kind)
    await client.download(thing, tmp_path / "clean")
    clean = state(tmp_path / "clean")
    calls, misses = await tried(client, thing, tmp_path / "dry", clean, monkeypatch, None, 0)
    counted = [name for name, _ in calls]
    assert {"open", "close"} <= set(counted)
    assert set(counted) & set(FLUSHES)
    assert set(counted) & set(RENAMES)

    chosen = [nth for nth, name in enumerate(counted) if name in NATURAL[kind]]
    for nth in chosen:
        _, wrong = await tried(client, thing, tmp_path / f"{nth}", clean, monkeypatch, nth, number)
        path = calls[nth][1].removeprefix(str(tmp_path / "dry"))
        misses += [f"call {nth}, {counted[nth]}({path}): {each}" for each in wrong]
    record_property("calls of the system failed once", len(chosen))

    assert misses == []


async def tried(client, thing, folder, clean, monkeypatch, nth, number):
    """A download in which the nth call fails, then one without a fault. The calls of the first, and what was wrong."""
    disk, turn, wrong = Disk(folder), itertools.count(), []
    disk.fails = lambda name, path: number if next(turn) == nth else None
    with monkeypatch.context() as patch:
        disk.installed(patch)
        try:
            await client.download(thing, folder)
        except DownloadError as error:
            if error.path is None or not error.path.is_relative_to(folder):
                wrong.append(f"the path is {error.path}")
            if isinstance(error, DiskFull) is not (number in {errno.ENOSPC, errno.EDQUOT}):
                wrong.append(f"raised {error!r}")
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told
            wrong.append(f"raised {error!r}")
    broken = [path.name for path in folder.glob("[!.]*") if path.read_bytes() != noise(300_000)]
    wrong += [f"published {name} with wrong bytes" for name in broken]
    wrong += [f"left {target} open" for target in open_files(folder)]
    try:
        await client.download(thing, folder)
        if state(folder) != clean:
            wrong.append(f"the next run left {left(folder)} and {manifest(folder)}")
    except Exception as error:  # noqa: BLE001
        wrong.append(f"the next run raised {error!r}")
    return disk.calls, wrong


# --- E21: what a disk refuses ----------------------------------------------------------------------------------------

REFUSALS = ["EACCES", "EPERM", "EROFS", "EMFILE", "ENFILE", "EIO", "ENAMETOOLONG", "ELOOP", "ENXIO", "ESTALE"]


@pytest.mark.parametrize("kind", REFUSALS)
async def test_e21_a_part_that_cannot_be_made_is_an_error_with_its_path(connect, other, small, disk, tmp_path, kind):
    folder, number = tmp_path / "to", getattr(errno, kind)
    disk.fails = lambda name, path: number if name == "open" and of_data(path) else None

    with pytest.raises(DownloadError, match=re.escape(os.strerror(number))) as caught:
        await connect().download(found(other), folder)

    assert not isinstance(caught.value, DiskFull | InProgress)
    assert caught.value.path.parent == folder
    assert left(folder) == []
    disk.fails = lambda name, path: None
    await comes_whole(connect(), small, found(other), folder)


@pytest.mark.parametrize("kind", ["EACCES", "EROFS", "EIO", "ENAMETOOLONG"])
async def test_e21_a_folder_that_cannot_be_made_is_an_error_with_its_path(connect, other, small, disk, tmp_path, kind):
    disk.fails = lambda name, path: getattr(errno, kind) if name == "mkdir" else None

    with pytest.raises(DownloadError) as caught:
        await connect().download(found(other), tmp_path / "to")

    assert caught.value.path is not None
    assert caught.value.path.is_relative_to(tmp_path / "to")
    assert not (tmp_path / "to").exists()
    assert small.sent == 0


async def test_e21_a_real_disk_that_is_read_only(connect, other, small, volume):
    volume.has("40m", "ro")

    with pytest.raises(DownloadError) as caught:
        await connect().download(found(other), volume.folder)

    assert not isinstance(caught.value, DiskFull)
    assert caught.value.path.parent == volume.folder
    assert list(volume.folder.iterdir()) == []
    volume.has("40m", "rw")
    await comes_whole(connect(), small, found(other), volume.folder)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
async def test_e21_a_real_folder_that_belongs_to_somebody_else(connect, other, small, tmp_path):
    tmp_path.chmod(0o555)
    try:
        with pytest.raises(DownloadError) as caught:
            await connect().download(found(other), tmp_path)
    finally:
        tmp_path.chmod(0o755)

    assert caught.value.path.parent == tmp_path


async def test_e21_a_real_limit_on_the_size_of_files(connect, other, big, tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4 * MIB, limits[1]))
    try:
        with pytest.raises(DownloadError) as caught:
            await connect().download(found(other), tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    assert caught.value.path.parent == tmp_path
    assert shown(tmp_path) == []
    await comes_whole(connect(), big, found(other), tmp_path)


OUT_OF_FILES = """
import os, resource

async def main(link, folder):
    async with Client(link.rpartition("/")[0], auth="a-token", retry=RetryPolicy(tries=1)) as client:
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) - 1 + int(sys.argv[3]), limits[1]))
        try:
            await client.download(thing(link), folder)
        except IceyeError as error:
            print(type(error).__name__)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        await client.download(thing(link), folder)
        print("whole")
"""


@pytest.mark.parametrize("free", [0, 1, 3])
async def test_e21_a_process_that_has_no_more_files_to_open_says_so_and_can_go_on(
    other, small, tmp_path, start_child, free
):
    child = start_child(other, tmp_path, str(free), main=OUT_OF_FILES)

    told = await child.ended()

    assert child.returncode == 0, child.errors
    assert told[-1] == "whole"
    assert set(told[:-1]) <= {"DownloadError", "TransportError"}
    assert (tmp_path / shown(tmp_path)[0]).read_bytes() == small.body
    assert len(left(tmp_path)) == 1


@pytest.mark.parametrize("deep", [1, 40], ids=["one long name", "a long path"])
async def test_e21_a_folder_whose_name_is_too_long(connect, other, small, tmp_path, deep):
    folder = tmp_path.joinpath(*["x" * (300 if deep == 1 else 200)] * deep)

    with pytest.raises(DownloadError) as caught:
        await connect().download(found(other), folder)

    assert caught.value.path is not None
    assert tree(tmp_path) == {} or deep > 1
    assert small.sent == 0


def a_folder(path):
    path.mkdir()


def a_full_folder(path):
    path.mkdir()
    (path / "precious").write_text("precious")


def a_pipe(path):
    os.mkfifo(path)


def a_socket(path):
    with socket.socket(socket.AF_UNIX) as bound, contextlib.chdir(path.parent):
        bound.bind(path.name)


def a_stranger(path):
    path.write_text("precious")


KINDS = [a_folder, a_full_folder, a_pipe, a_socket]


async def name_of(client, thing, tmp_path):
    """The final name that it gets."""
    (path,) = await client.download(thing, tmp_path / "elsewhere")
    return path.name


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
async def test_e21_what_is_no_file_is_never_opened_and_replaced_only_on_demand(
    connect, other, small, tmp_path, kind, overwrite
):
    """A pipe that was opened would wait for its other end for good; a folder is never replaced."""
    client, folder = connect(), tmp_path / "to"
    folder.mkdir()
    taken = folder / await name_of(client, found(other), tmp_path)
    kind(taken)
    before = stat.S_IFMT(taken.lstat().st_mode), tree(folder)

    if overwrite and not taken.is_dir():
        await client.download(found(other), folder, overwrite=True)
        assert taken.is_file()
        assert taken.read_bytes() == small.body
        return
    with pytest.raises(DownloadError) as caught:
        await client.download(found(other), folder, overwrite=overwrite)

    assert caught.value.path == taken
    assert before == (stat.S_IFMT(taken.lstat().st_mode), {path: x for path, x in tree(folder).items() if known(path)})
    assert not kept(folder)


def known(path):
    return not path.name.startswith(MANIFEST)


@pytest.mark.parametrize("beside", [".{}.part", ".{}.part.json", MANIFEST, f"{MANIFEST}.lock", f"{MANIFEST}.part"])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
async def test_e21_what_is_no_file_where_one_of_ours_should_be_ends_in_an_error_or_a_whole_file(
    connect, other, small, tmp_path, kind, beside
):
    client, folder = connect(), tmp_path / "to"
    folder.mkdir()
    name = await name_of(client, found(other), tmp_path)
    kind(folder / beside.format(name))

    async with asyncio.timeout(3):
        try:
            (path,) = await client.download(found(other), folder)
        except DownloadError as error:
            assert error.path is not None  # noqa: PT017
            assert shown(folder) == []
        else:
            assert path.read_bytes() == small.body
    assert open_files(folder) == []
    assert all(text in {None, b"precious"} for path, text in tree(folder).items() if "precious" in path.name)


async def test_e21_a_folder_that_goes_away_meanwhile(connect, other, big, tmp_path):
    folder = tmp_path / "to"
    big.hold = 4 * MIB
    task = asyncio.create_task(connect().download(found(other), folder))
    await big.half_way(task)
    shutil.rmtree(folder)
    big.release()

    (result,) = await asyncio.gather(task, return_exceptions=True)

    assert isinstance(result, DownloadError)
    assert result.path is not None
    assert open_files(folder) == []
    await comes_whole(connect(), big, found(other), folder)


async def test_e21_a_refusal_for_one_does_not_stop_the_others(connect, other, disk, tmp_path):
    for path in ("/a.json", "/b.json", "/c.json"):
        other.answers(path, Hosted(noise(10_000)))
    disk.fails = lambda name, path: errno.EACCES if name == "open" and of_data(path) and "b_b.json" in path else None

    with pytest.raises(DownloadError) as caught:
        await connect().download([found(other, f"/{name}.json", name) for name in "abc"], tmp_path / "to")

    assert [path.read_bytes() for path in caught.value.done] == [noise(10_000)] * 2
    assert len(caught.value.failed) == 1


# --- programs of their own -------------------------------------------------------------------------------------------

HEAD = """
import asyncio, socket, sys
import iceye_async.downloads
from iceye_async import Client, Derivative, DerivativeAsset, IceyeError, RetryPolicy

def connect_shortly(self, address, connect=socket.socket.connect):
    self.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    return connect(self, address)

socket.socket.connect = connect_shortly

def thing(link):
    asset = DerivativeAsset(href=link, type="geojson")
    return Derivative(id="d1", type="DC_VESSELS", task_id="t1", assets=(asset,))
"""
DOWNLOADS = """
async def main(link, folder):
    async with Client(link.rpartition("/")[0], auth="a-token") as client:
        try:
            async for event in client.download(thing(link), folder):
                print(type(event).__name__, flush=True)
        except IceyeError as error:
            print(type(error).__name__, flush=True)
"""
TAIL = """
asyncio.run(main(*sys.argv[1:3]))
"""


class Child:
    """A process that runs a download from the link host of this one."""

    def __init__(self, program, *args):
        self.process = subprocess.Popen(
            [sys.executable, "-W", "default", "-c", program, *args],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.errors = ""

    @property
    def returncode(self):
        return self.process.returncode

    async def ended(self):
        """The lines that it printed."""
        lines, self.errors = await asyncio.to_thread(self.process.communicate, timeout=20)
        return lines.splitlines()

    async def killed(self):
        self.process.kill()
        return await self.ended()


@pytest.fixture
def start_child():
    with contextlib.ExitStack() as stack:

        def start(other, folder, *args, main=DOWNLOADS, before=""):
            program = HEAD + main + before + TAIL
            child = Child(program, f"{other.url}/f.json", str(folder), *args)
            stack.enter_context(child.process)
            stack.callback(child.process.kill)
            return child

        yield start


# --- E22: killed -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [4 * MIB, 12 * MIB, 20 * MIB], ids=lambda after: f"{after // MIB} MiB")
async def test_e22_after_a_kill_the_next_run_fetches_what_is_missing(connect, other, big, tmp_path, start_child, after):
    big.hold = after
    child = start_child(other, tmp_path)
    await big.held.wait()

    await child.killed()

    assert shown(tmp_path) == []
    await comes_whole(connect(), big, found(other), tmp_path)
    assert big.sent <= BIG + AGAIN


async def test_e22_killed_again_and_again_it_still_gets_there(connect, other, big, tmp_path, start_child):
    for after in (10 * MIB, 18 * MIB):
        big.hold, big.held = after, asyncio.Event()
        child = start_child(other, tmp_path)
        await big.held.wait()
        await child.killed()
        assert shown(tmp_path) == []

    await comes_whole(connect(), big, found(other), tmp_path)

    assert big.sent <= BIG + 2 * AGAIN


async def test_e22_what_a_killed_run_left_is_thrown_away_where_the_host_has_another_object(
    connect, other, big, tmp_path, start_child
):
    big.hold = 12 * MIB
    child = start_child(other, tmp_path)
    await big.held.wait()
    await child.killed()
    new = Hosted(noise(BIG + 1)[1:], '"e2"', **{"Last-Modified": "Fri, 02 Jan 2026 00:00:00 GMT"})
    other.answers("/f.json", new)

    await comes_whole(connect(), new, found(other), tmp_path)


DEADLY = """
import os, signal
from pathlib import Path

def deadly(name, when, about):
    real = getattr(os, name)
    def call(*args, **options):
        target = Path(os.readlink(f"/proc/self/fd/{args[0]}") if isinstance(args[0], int) else os.fspath(args[-1])).name
        if about == "final" and target.startswith(".") or about != "final" and not target.endswith(about):
            return real(*args, **options)
        if when == "after":
            real(*args, **options)
        os.kill(os.getpid(), signal.SIGKILL)
    setattr(os, name, call)

for name in sys.argv[3].split(","):
    deadly(name, *sys.argv[4:6])
"""
POINTS = [
    ("fsync,fdatasync", "before", "f.json.part"),
    ("fsync,fdatasync", "after", "f.json.part"),
    ("replace,rename,link", "before", "final"),
    ("replace,rename,link", "after", "final"),
    ("replace,rename", "before", MANIFEST),
    ("replace,rename", "after", MANIFEST),
    ("replace,rename", "before", ".part.json"),
    ("replace,rename", "after", ".part.json"),
]


@pytest.mark.parametrize(("calls", "when", "about"), POINTS, ids=lambda value: value.partition(",")[0])
async def test_e22_killed_around_what_publishes_it_a_file_is_absent_or_whole(
    connect, other, big, tmp_path, start_child, calls, when, about
):
    child = start_child(other, tmp_path, calls, when, about, before=DEADLY)
    await child.ended()
    assert child.returncode == -signal.SIGKILL, child.errors
    assert all((tmp_path / name).read_bytes() == big.body for name in shown(tmp_path))

    await connect().download(found(other), tmp_path)

    (name,) = left(tmp_path)
    assert (tmp_path / name).read_bytes() == big.body
    assert manifest(tmp_path)[name]["sha256"] == hashlib.sha256(big.body).hexdigest()
    assert big.sent <= BIG + AGAIN


FLUSHED = """
import os, shutil

def remembered(name):
    real = getattr(os, name)
    def call(descriptor):
        real(descriptor)
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        if os.path.isfile(path):
            shutil.copyfile(path, os.path.join(sys.argv[3], os.path.basename(path)))
    setattr(os, name, call)

remembered("fsync")
remembered("fdatasync")
"""


def boot_id():
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


async def test_e22_after_a_power_cut_only_bytes_that_had_reached_the_disk_count(
    connect, other, big, tmp_path, start_child
):
    """The power is cut by hand: what was not flushed becomes zeros, and the computer has started anew."""
    folder, flushed = tmp_path / "to", tmp_path / "flushed"
    flushed.mkdir()
    big.hold = 20 * MIB
    child = start_child(other, folder, str(flushed), before=FLUSHED)
    await big.held.wait()
    await child.killed()
    (part,) = folder.glob(".*.part")
    safe = flushed / part.name
    durable = safe.read_bytes() if safe.exists() else b""
    part.write_bytes(durable.ljust(part.stat().st_size, b"\0"))
    (sidecar,) = folder.glob(".*.part.json")
    text = sidecar.read_text()
    boot = boot_id()
    assert boot in text
    sidecar.write_text(text.replace(boot, "00000000-1111-2222-3333-444444444444"))

    resumed = await comes_whole(connect(), big, found(other), folder)

    assert resumed <= len(durable)


@pytest.mark.parametrize(
    "harm",
    [
        lambda part, sidecar: sidecar.unlink(),
        lambda part, sidecar: sidecar.write_bytes(b""),
        lambda part, sidecar: sidecar.write_bytes(bytes(sidecar.stat().st_size)),
        lambda part, sidecar: sidecar.write_bytes(sidecar.read_bytes()[:-20]),
        lambda part, sidecar: sidecar.write_text("[]"),
        lambda part, sidecar: sidecar.write_text("null"),
        lambda part, sidecar: sidecar.write_text("[" * 100_000),
        lambda part, sidecar: sidecar.write_text(re.sub(r'("version": *)\d+', r"\g<1>999", sidecar.read_text())),
        lambda part, sidecar: sidecar.write_text(re.sub(r"\d+", "-1", sidecar.read_text())),
        lambda part, sidecar: sidecar.write_text(sidecar.read_text().replace("t1", "t2").replace("d1", "d2")),
        lambda part, sidecar: sidecar.write_bytes(b"\xff" * 1000),
        lambda part, sidecar: part.unlink(),
        lambda part, sidecar: os.truncate(part, 1000),
        lambda part, sidecar: os.truncate(part, 0),
        lambda part, sidecar: part.write_bytes(part.read_bytes().ljust(BIG + MIB, b"x")),
    ],
    ids=[
        "no sidecar",
        "empty sidecar",
        "sidecar of zeros",
        "half a sidecar",
        "a list",
        "null",
        "deep",
        "newer version",
        "negative numbers",
        "somebody else's",
        "no text",
        "no part",
        "short part",
        "empty part",
        "long part",
    ],
)
async def test_e22_whatever_a_crash_made_of_part_and_sidecar_the_file_ends_right(connect, other, big, tmp_path, harm):
    client = connect()
    await stopped_half_way(client, big, found(other), tmp_path, after=12 * MIB)
    (part,) = tmp_path.glob(".*.part")
    (sidecar,) = tmp_path.glob(".*.part.json")

    harm(part, sidecar)

    await comes_whole(client, big, found(other), tmp_path)


async def test_e22_a_sidecar_holds_no_link(connect, other, big, tmp_path):
    thing = found(other, "/f.json?Signature=s3cr3t&Key-Pair-Id=k3y")

    await stopped_half_way(connect(), big, thing, tmp_path)

    (sidecar,) = tmp_path.glob(".*.part.json")
    assert not [word for word in ("s3cr3t", "k3y", "http", other.url) if word in sidecar.read_text()]


# --- E23: two at once ------------------------------------------------------------------------------------------------


async def test_e23_another_process_that_downloads_the_same_is_told_and_harms_nothing(
    connect, other, big, tmp_path, start_child
):
    big.hold = 8 * MIB
    child = start_child(other, tmp_path)
    await big.held.wait()

    with pytest.raises(InProgress) as caught:
        await connect().download(found(other), tmp_path)

    assert caught.value.path.parent == tmp_path
    big.release()
    told = await child.ended()
    assert told[-1] == "Finished", child.errors
    assert (tmp_path / shown(tmp_path)[0]).read_bytes() == big.body
    assert big.sent <= BIG + AGAIN
    assert (await events_of(connect().download(found(other), tmp_path)))[-1].known


async def test_e23_once_a_rival_is_killed_the_file_is_free_again(connect, other, big, tmp_path, start_child):
    big.hold = 8 * MIB
    child = start_child(other, tmp_path)
    await big.held.wait()
    with pytest.raises(InProgress):
        await connect().download(found(other), tmp_path)

    await child.killed()

    await comes_whole(connect(), big, found(other), tmp_path)


async def test_e23_processes_that_race_end_with_one_whole_file(other, big, tmp_path, start_child):
    children = [start_child(other, tmp_path) for _ in range(3)]

    told = [await child.ended() for child in children]

    assert {lines[-1] for lines in told} <= {"Finished", "InProgress"}
    assert "Finished" in {lines[-1] for lines in told}
    (name,) = left(tmp_path)
    assert (tmp_path / name).read_bytes() == big.body
    assert list(manifest(tmp_path)) == [name]


@pytest.mark.parametrize("clients", [1, 2])
async def test_e23_tasks_that_race_end_with_one_whole_file_that_came_once(connect, other, big, tmp_path, clients):
    several = [connect() for _ in range(clients)]

    results = await asyncio.gather(
        *(client.download(found(other), tmp_path) for client in several * 4), return_exceptions=True
    )

    (name,) = left(tmp_path)
    assert (tmp_path / name).read_bytes() == big.body
    assert all(isinstance(result, InProgress) or result == (tmp_path / name,) for result in results)
    assert (tmp_path / name,) in results
    assert big.sent <= BIG + AGAIN


@pytest.mark.parametrize("spelt", ["same", "dots", "link"])
async def test_e23_a_rival_is_noticed_however_the_folder_is_spelt(connect, other, big, tmp_path, spelt):
    folder = tmp_path / "to"
    (tmp_path / "link").symlink_to(folder)
    big.hold = 8 * MIB
    first = asyncio.create_task(connect().download(found(other), folder))
    await big.half_way(first)
    other_name = {"same": folder, "dots": folder / ".." / "to", "link": tmp_path / "link"}[spelt]

    with pytest.raises(InProgress):
        await connect().download(found(other), other_name)

    big.release()
    assert (await first)[0].read_bytes() == big.body


async def test_e23_the_name_is_free_again_after_a_failure_and_after_a_cancel(connect, other, big, tmp_path):
    client = connect()
    await stopped_half_way(client, big, found(other), tmp_path, after=4 * MIB)
    other.answers("/f.json", (404, {}, b""))
    with pytest.raises(DownloadError):
        await client.download(found(other), tmp_path)
    other.answers("/f.json", big)

    await comes_whole(client, big, found(other), tmp_path)


async def test_e23_writers_of_different_files_in_one_folder_lose_no_record(connect, other, tmp_path):
    things = [product(other, *(f"k{key}" for key in range(5)), name=f"p{number}") for number in range(8)]

    await asyncio.gather(*(connect().download(thing, tmp_path) for thing in things))

    assert len(manifest(tmp_path)) == len(left(tmp_path)) == 40


# --- E24: what is there already --------------------------------------------------------------------------------------


@pytest.fixture
async def there(connect, other, small, tmp_path):
    """A file that came home before."""
    (path,) = await connect().download(found(other), tmp_path)
    small.sent = 0
    return path


@pytest.mark.parametrize("overwrite", [False, True])
async def test_e24_the_same_is_not_fetched_again(connect, other, small, tmp_path, there, overwrite):
    (event,) = await events_of(connect().download(found(other), tmp_path, overwrite=overwrite))

    assert event.known
    assert event.sha256 == hashlib.sha256(small.body).hexdigest()
    assert small.sent == 0


async def test_e24_the_same_bytes_with_another_time_are_looked_at_and_known(connect, other, small, tmp_path, there):
    """As after a copy or a restored backup."""
    os.utime(there, (1, 1))

    (event,) = await events_of(connect().download(found(other), tmp_path))

    assert event.known
    assert small.sent == 0


CHANGES = {
    "same size, one byte": lambda body: b"\0" + body[1:],
    "same size, all bytes": lambda body: bytes(len(body)),
    "longer": lambda body: body + b"x",
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
async def test_e24_a_file_that_was_changed_is_neither_trusted_nor_replaced(
    connect, other, small, tmp_path, there, change
):
    changed = change(small.body)
    there.write_bytes(changed)
    os.utime(there, (1, 1))

    with pytest.raises(DownloadError, match="overwrite=True") as caught:
        await connect().download(found(other), tmp_path)

    assert caught.value.path == there
    assert there.read_bytes() == changed
    assert small.sent == 0


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
async def test_e24_with_overwrite_a_file_that_was_changed_is_replaced(connect, other, small, tmp_path, there, change):
    there.write_bytes(change(small.body))
    os.utime(there, (1, 1))

    await connect().download(found(other), tmp_path, overwrite=True)

    assert there.read_bytes() == small.body
    (event,) = await events_of(connect().download(found(other), tmp_path))
    assert event.known


@pytest.mark.parametrize("size", [0, 1, 1000, 299_999])
async def test_e24_a_truncated_file_is_fetched_again(connect, other, small, tmp_path, there, size):
    os.truncate(there, size)

    (path,) = await connect().download(found(other), tmp_path)

    assert path == there
    assert path.read_bytes() == small.body


async def test_e24_a_file_of_the_right_bytes_that_nobody_wrote_down_is_not_trusted(
    connect, other, small, tmp_path, there
):
    (tmp_path / MANIFEST).unlink()

    with pytest.raises(DownloadError, match="overwrite=True"):
        await connect().download(found(other), tmp_path)

    assert there.read_bytes() == small.body
    await connect().download(found(other), tmp_path, overwrite=True)
    assert manifest(tmp_path)[there.name]["size"] == len(small.body)


async def test_e24_a_record_of_something_else_is_no_proof(connect, other, small, tmp_path, there):
    """The name is that of another item, as after somebody moved files about."""
    document = json.loads((tmp_path / MANIFEST).read_text())
    document["files"][there.name]["item"] = "another"
    (tmp_path / MANIFEST).write_text(json.dumps(document))
    there.write_bytes(b"another's")

    with contextlib.suppress(DownloadError):
        # An error, or another name of its own.
        (path,) = await connect().download(found(other), tmp_path)
        assert path != there
        assert path.read_bytes() == small.body

    assert there.read_bytes() == b"another's"


async def test_e24_an_overwrite_that_fails_leaves_the_old_file(connect, other, small, tmp_path, there):
    there.write_bytes(b"mine")
    os.utime(there, (1, 1))
    other.answers("/f.json", (404, {}, b""))

    with pytest.raises(DownloadError):
        await connect().download(found(other), tmp_path, overwrite=True)

    assert there.read_bytes() == b"mine"


async def test_e24_an_overwrite_that_is_killed_half_way_leaves_the_old_file(connect, other, big, tmp_path):
    client = connect()
    name = await name_of(client, found(other), tmp_path)
    folder = tmp_path / "to"
    folder.mkdir()
    (folder / name).write_bytes(b"mine")
    big.sent = 0
    big.hold = 12 * MIB
    task = asyncio.create_task(client.download(found(other), folder, overwrite=True))
    await big.half_way(task)

    task.cancel()
    await asyncio.wait([task])

    assert (folder / name).read_bytes() == b"mine"
    big.release()
    await client.download(found(other), folder, overwrite=True)
    assert (folder / name).read_bytes() == big.body


# --- E25: names that nobody should trust -----------------------------------------------------------------------------

HOSTILE = [
    "../x",
    "..\\x",
    "../../../../etc/passwd",
    "/etc/x",
    "C:\\x",
    "C:x",
    "\\\\server\\share\\x",
    "//server/share/x",
    "\\\\?\\C:\\x",
    "a/b",
    "a\\b",
    ".",
    "..",
    "...",
    "",
    " ",
    "a\x00b",
    "a\nb",
    "a\r\nb",
    "a\tb",
    "con",
    "CON",
    "nul.tif",
    "NUL.tar.gz",
    "aux.",
    "com1.tif",
    "LPT9",
    "com\u00b9",
    "conin$",
    "trailing.",
    "trailing ",
    "trailing.tif. .",
    "x" * 300,
    "\u00e9" * 300,
    f"{'x' * 300}.tif",
    "%2f",
    "..%2f..%2fx",
    "%00",
    "-rf",
    "--help",
    "\x1b[31mred\x1b[0m",
    "\x1b]0;title\x07",
    "\x9b31m",
    "\u202egnp.exe",
    "a\u200bb",
    "\ufeffa",
    "a:b",
    "a:$DATA",
    "a*b?",
    'a"b<c>|d',
    "~",
    "~root",
    "$HOME",
    "`id`",
    ".hidden",
    ".iceye-async.json",
    ".iceye-async.json.lock",
    ".x.part",
    "x.part.json",
    "\ud800",
    "\U0001f6f0",
    "\u2215etc\u2215x",
]
RESERVED = {"con", "prn", "aux", "nul"} | {f"{device}{number}" for device in ("com", "lpt") for number in range(10)}


def is_safe(name):
    """One segment that every system takes as it stands, and no tool takes for an option or a hidden file."""
    return (
        re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*", name) is not None
        and not name.endswith(".")
        and name.partition(".")[0].lower() not in RESERVED
        and len(name) <= 200
    )


def hostile_things(other, hostile):
    """This text wherever a name is made from text."""
    asset = ProductAsset(href=f"{other.url}/f.json", type=hostile)
    kind = DerivativeAsset(href=f"{other.url}/f.json", type=hostile)
    last = DerivativeAsset(href=f"{other.url}/{quote(hostile, safe='', errors='surrogatepass')}", type="geojson")
    # The scripted host has no paths with a line break in them.
    by_link = [Derivative(id="d2", type="DC_VESSELS", task_id="t1", assets=(last,))] * ("\n" not in hostile)
    return [
        Product(id="p1", task_id="t1", assets={hostile: asset}),
        Product(id=hostile, task_id="t1", assets={"grd-tif": asset}),
        Derivative(id=hostile, type="DC_VESSELS", task_id="t1", assets=(kind,)),
        Derivative(id="d1", type=hostile, task_id=hostile, assets=(kind,)),
        *by_link,
    ]


@pytest.fixture
def anywhere(other, monkeypatch):
    """Each path of the link host leads to this file."""
    hosted = Hosted(noise(1000))

    class Everywhere(dict):
        def get(self, path, default=None):
            return [hosted]

    monkeypatch.setattr(other, "_answers", Everywhere())
    return hosted


@pytest.mark.parametrize("hostile", HOSTILE, ids=ascii)
async def test_e25_a_hostile_name_is_made_safe_and_the_same_each_time(connect, other, anywhere, tmp_path, hostile):
    client, folder, again = connect(), tmp_path / "a" / "b", tmp_path / "again"
    things = hostile_things(other, hostile)
    paths = await client.download(things, folder)

    assert [path for path in paths if not is_safe(path.name)] == []
    assert {path.parent for path in paths} == {folder}
    assert {path.resolve().parent for path in paths} == {folder.resolve()}
    assert len({path.name.casefold() for path in paths}) == len(things)
    assert {path.read_bytes() for path in paths} == {anywhere.body}
    assert [path for path in tmp_path.rglob("*") if path.is_file() and path.parent != folder] == []

    # One after the other, and in the other order: the names are the same.
    alone = [(await connect().download(thing, again))[0] for thing in reversed(things)]
    assert [path.name for path in paths] == [path.name for path in reversed(alone)]


@pytest.mark.parametrize("hostile", HOSTILE, ids=ascii)
async def test_e25_the_manifest_maps_each_name_back(connect, other, anywhere, tmp_path, hostile):
    things = hostile_things(other, hostile)

    paths = await connect().download(things, tmp_path)

    records = [manifest(tmp_path)[path.name] for path in paths]
    assert [(record["task"], record["item"]) for record in records] == [(thing.task_id, thing.id) for thing in things]
    assert [record["asset"] for record in records][:2] == [hostile, "grd-tif"]
    assert await all_known(connect().download(things, tmp_path))


@pytest.mark.parametrize("hostile", HOSTILE, ids=ascii)
async def test_e25_a_hostile_name_that_the_link_host_tells_is_made_safe(connect, other, tmp_path, hostile):
    told = quote(hostile, safe="", errors="surrogatepass")
    disposition = {"Content-Disposition": f"attachment; filename*=UTF-8''{told}"}
    other.answers("/f.json", Hosted(noise(1000), **disposition))
    folder = tmp_path / "a" / "b"

    (path,) = await connect().download(found(other), folder)
    (again,) = await connect().download(found(other), tmp_path / "again")

    assert is_safe(path.name)
    assert path.parent == folder
    assert "d1" in path.name
    assert again.name == path.name
    assert path.read_bytes() == noise(1000)
    assert [path for path in tmp_path.rglob("*") if path.is_file() and path.parent not in {folder, again.parent}] == []
    assert manifest(folder)[path.name]["item"] == "d1"


@pytest.mark.parametrize(
    "told",
    [
        'attachment; filename="../../x"',
        'attachment; filename="..\\\\..\\\\x"',
        'attachment; filename="/etc/x"',
        'attachment; filename="C:\\x"',
        "attachment; filename=../x",
        "attachment; filename=",
        "attachment; filename",
        'attachment; filename=""',
        'attachment; filename="unclosed',
        "attachment; filename*=UTF-8''%ff%fe",
        "attachment; filename*=no-such-charset''x",
        "attachment; filename*=''",
        "attachment; filename*=x",
        'attachment; filename*0="../"; filename*1="x"',
        'attachment; filename="a"; filename="../b"',
        "attachment;;;;",
        "=",
        ";",
        "",
        "inline",
        f'attachment; filename="{"x" * 4000}"',
        'attachment; filename="=?utf-8?b?Li4veA==?="',
        'attachment; filename=".iceye-async.json"',
    ],
    ids=lambda told: told[:45],
)
async def test_e25_a_content_disposition_of_any_form_gives_a_safe_name(connect, other, tmp_path, told):
    other.answers("/f.json", Hosted(noise(1000), **{"Content-Disposition": told}))
    folder = tmp_path / "a" / "b"

    (path,) = await connect().download(found(other), folder)

    assert is_safe(path.name)
    assert path.parent == folder
    assert "d1" in path.name
    assert path.read_bytes() == noise(1000)
    assert [path for path in tmp_path.rglob("*") if path.is_file() and path.parent != folder] == []


# --- E26: names that are equal to somebody ---------------------------------------------------------------------------

EQUAL = {
    "case": ("grd-tif", "GRD-TIF"),
    "case of three": ("abc", "ABC", "Abc"),
    "sharp s": ("stra\u00dfe", "STRASSE", "strasse"),
    "NFC": (unicodedata.normalize("NFC", "\u00e9t\u00e9"), unicodedata.normalize("NFD", "\u00e9t\u00e9")),
    "NFKC": ("\ufb01le", "file"),
    "dotted i": ("\u0130", "i\u0307", "I", "i", "\u0131"),
    "kelvin": ("\u212a", "k", "K"),
    "what is unsafe": ("a/b", "a\\b", "a_b", "a:b"),
    "trailing dots": ("a", "a.", "a..", "a "),
    "cut off": ("x" * 300, "x" * 301, f"{'x' * 299}y"),
    "suffix": ("grd", "grd.tif", "grd.TIF"),
}
each_equal = pytest.mark.parametrize("keys", EQUAL.values(), ids=EQUAL)


def folded(name):
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


@each_equal
async def test_e26_names_that_some_system_takes_for_equal_are_different_files(connect, other, tmp_path, keys):
    thing = product(other, *keys)

    paths = await connect().download(thing, tmp_path)

    assert len({folded(path.name) for path in paths}) == len(keys)
    assert {path.read_bytes() for path in paths} == {content(key) for key in keys}


@each_equal
async def test_e26_the_names_are_the_same_one_by_one_in_any_order(connect, other, tmp_path, keys):
    thing = product(other, *keys)
    together = {path.read_bytes(): path.name for path in await connect().download(thing, tmp_path / "together")}
    forwards = {key: (await connect().download(thing, tmp_path / "f", assets=[key]))[0].name for key in keys}
    back = {key: (await connect().download(thing, tmp_path / "b", assets=[key]))[0].name for key in reversed(keys)}

    assert {content(key): name for key, name in forwards.items()} == together
    assert back == forwards


@each_equal
async def test_e26_the_manifest_maps_each_back_and_nothing_is_fetched_twice(connect, other, tmp_path, keys):
    thing = product(other, *keys)
    paths = await connect().download(thing, tmp_path)
    asked = len(other.requests)

    records = manifest(tmp_path)
    again = await events_of(connect().download(thing, tmp_path))

    assert {content(records[path.name]["asset"]) for path in paths} == {path.read_bytes() for path in paths}
    assert all(content(records[path.name]["asset"]) == path.read_bytes() for path in paths)
    assert all(event.known for event in again)
    assert len(other.requests) == asked


@pytest.mark.parametrize("together", [True, False], ids=["together", "one by one"])
async def test_e26_ids_that_differ_in_case_are_different_files(connect, other, tmp_path, together):
    things = [product(other, "grd-tif", name=name) for name in ("p1", "P1")]
    calls = [things] if together else [[thing] for thing in things]

    for call in calls:
        await connect().download(call, tmp_path)

    assert len({name.casefold() for name in left(tmp_path)}) == 2
    assert {record["item"] for record in manifest(tmp_path).values()} == {"p1", "P1"}
    assert await all_known(connect().download(things, tmp_path))


@pytest.mark.parametrize("together", [True, False], ids=["together", "one by one"])
async def test_e26_the_same_basename_in_two_derivatives_is_two_files(connect, other, tmp_path, together):
    for path in ("/a/vessels.geojson", "/b/vessels.geojson"):
        other.answers(path, Hosted(path.encode()))
    things = [found(other, "/a/vessels.geojson", "d1"), found(other, "/b/vessels.geojson", "d2")]
    calls = [things] if together else [[thing] for thing in things]

    paths = [path for call in calls for path in await connect().download(call, tmp_path)]

    assert [path.read_bytes() for path in paths] == [b"/a/vessels.geojson", b"/b/vessels.geojson"]
    assert len(left(tmp_path)) == 2


@pytest.mark.parametrize("together", [True, False], ids=["together", "one by one"])
async def test_e26_the_same_id_and_basename_in_two_tasks_is_two_files(connect, other, tmp_path, together):
    for path in ("/a/vessels.geojson", "/b/vessels.geojson"):
        other.answers(path, Hosted(path.encode()))
    things = [found(other, f"/{task}/vessels.geojson", task=task) for task in "ab"]
    calls = [things] if together else [[thing] for thing in things]

    paths = [path for call in calls for path in await connect().download(call, tmp_path)]

    assert [path.read_bytes() for path in paths] == [b"/a/vessels.geojson", b"/b/vessels.geojson"]
    assert len(left(tmp_path)) == 2
    assert {record["task"] for record in manifest(tmp_path).values()} == {"a", "b"}
    assert await all_known(connect().download(things, tmp_path))


@pytest.mark.parametrize("told", [("f.tif", "f.tif"), ("f.tif", "F.TIF"), ("\u00e9.tif", "e\u0301.tif")], ids=ascii)
@pytest.mark.parametrize("when", ["together", "at once", "one by one"])
async def test_e26_two_assets_for_which_the_host_tells_one_name_are_two_files(connect, other, tmp_path, told, when):
    assets = {}
    for number, name in enumerate(told):
        disposition = {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(name)}"}
        other.answers(f"/{number}", Hosted(noise(1000 + number), **disposition))
        assets[f"k{number}"] = ProductAsset(href=f"{other.url}/{number}", type="image/tiff")
    thing = Product(id="p1", task_id="t1", assets=assets)

    if when == "together":
        await connect().download(thing, tmp_path)
    elif when == "at once":
        await asyncio.gather(*(connect().download(thing, tmp_path, assets=[key]) for key in assets))
    else:
        for key in assets:
            await connect().download(thing, tmp_path, assets=[key])

    assert len({folded(name) for name in left(tmp_path)}) == 2
    sizes = {record["asset"]: (tmp_path / name).stat().st_size for name, record in manifest(tmp_path).items()}
    assert sizes == {"k0": 1000, "k1": 1001}
    asked = len(other.requests)
    assert await all_known(connect().download(thing, tmp_path))
    assert len(other.requests) == asked


# --- E27: links in the file system -----------------------------------------------------------------------------------


@pytest.fixture
def outside(tmp_path):
    """A place that no download has any business in."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "precious").write_bytes(b"precious")
    return folder


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("leads", ["precious", "nowhere", ".", ".."])
async def test_e27_a_link_at_the_final_name_is_not_followed(connect, other, small, tmp_path, outside, leads, overwrite):
    client, folder = connect(), tmp_path / "to"
    folder.mkdir()
    name = await name_of(client, found(other), tmp_path)
    (folder / name).symlink_to(outside / leads)
    before = tree(outside)

    try:
        (path,) = await client.download(found(other), folder, overwrite=overwrite)
    except DownloadError as error:
        assert error.path == folder / name  # noqa: PT017
        assert (folder / name).is_symlink()
    else:
        assert overwrite
        assert not path.is_symlink()
        assert path.read_bytes() == small.body

    assert tree(outside) == before


async def test_e27_a_link_to_the_right_bytes_is_not_a_finished_file(connect, other, small, tmp_path, outside):
    client, folder = connect(), tmp_path / "to"
    (path,) = await client.download(found(other), folder)
    path.rename(outside / "moved")
    path.symlink_to(outside / "moved")

    with pytest.raises(DownloadError):
        await client.download(found(other), folder)

    assert (outside / "moved").read_bytes() == small.body


OURS = [".{}.part", ".{}.part.json", MANIFEST, f"{MANIFEST}.lock", f"{MANIFEST}.part"]


@pytest.mark.parametrize("leads", ["precious", "nowhere"])
@pytest.mark.parametrize("beside", OURS)
async def test_e27_a_link_in_the_place_of_a_file_of_ours_is_not_followed(
    connect, other, small, tmp_path, outside, beside, leads
):
    client, folder = connect(), tmp_path / "to"
    folder.mkdir()
    name = await name_of(client, found(other), tmp_path)
    (folder / beside.format(name)).symlink_to(outside / leads)
    before = tree(outside)

    with contextlib.suppress(DownloadError):
        (path,) = await client.download(found(other), folder)
        assert path.read_bytes() == small.body
        assert not path.is_symlink()

    assert tree(outside) == before
    assert [name for name in shown(folder) if (folder / name).is_symlink()] == []


@pytest.mark.parametrize("beside", [".{}.part", ".{}.part.json", f"{MANIFEST}.part"])
async def test_e27_a_hard_link_in_the_place_of_a_part_is_not_written_through(
    connect, other, small, tmp_path, outside, beside
):
    client, folder = connect(), tmp_path / "to"
    folder.mkdir()
    name = await name_of(client, found(other), tmp_path)
    (folder / beside.format(name)).hardlink_to(outside / "precious")

    with contextlib.suppress(DownloadError):
        (path,) = await client.download(found(other), folder)
        assert path.read_bytes() == small.body

    assert (outside / "precious").read_bytes() == b"precious"


async def test_e27_a_part_that_is_swapped_for_a_link_meanwhile_is_not_published(connect, other, big, tmp_path, outside):
    folder = tmp_path / "to"
    big.hold = 12 * MIB
    task = asyncio.create_task(connect().download(found(other), folder))
    await big.half_way(task)
    for part in folder.glob(".*.part"):
        part.unlink()
        part.symlink_to(outside / "precious")
    big.release()

    (result,) = await asyncio.gather(task, return_exceptions=True)

    assert isinstance(result, DownloadError) or result[0].read_bytes() == big.body
    assert [name for name in shown(folder) if (folder / name).is_symlink()] == []
    assert [name for name in shown(folder) if (folder / name).read_bytes() != big.body] == []
    assert tree(outside) == {outside / "precious": b"precious"}


async def test_e27_a_part_that_is_swapped_for_another_file_meanwhile_is_not_published(connect, other, big, tmp_path):
    big.hold = 12 * MIB
    task = asyncio.create_task(connect().download(found(other), tmp_path))
    await big.half_way(task)
    for part in tmp_path.glob(".*.part"):
        part.unlink()
        part.write_bytes(bytes(BIG))
    big.release()

    (result,) = await asyncio.gather(task, return_exceptions=True)

    assert isinstance(result, DownloadError) or result[0].read_bytes() == big.body
    assert [name for name in shown(tmp_path) if (tmp_path / name).read_bytes() != big.body] == []


async def test_e27_a_final_name_that_becomes_a_link_meanwhile_is_not_followed(connect, other, big, tmp_path, outside):
    folder = tmp_path / "to"
    name = await name_of(connect(), found(other), tmp_path)
    big.sent, big.hold = 0, 12 * MIB
    task = asyncio.create_task(connect().download(found(other), folder))
    await big.half_way(task)
    (folder / name).symlink_to(outside / "precious")
    big.release()

    (result,) = await asyncio.gather(task, return_exceptions=True)

    assert isinstance(result, DownloadError)
    assert (folder / name).is_symlink()
    assert tree(outside) == {outside / "precious": b"precious"}


async def test_e27_a_folder_that_is_swapped_for_a_link_meanwhile_is_not_followed(
    connect, other, big, tmp_path, outside
):
    folder = tmp_path / "to"
    big.hold = 12 * MIB
    task = asyncio.create_task(connect().download(found(other), folder))
    await big.half_way(task)
    folder.rename(tmp_path / "moved")
    folder.symlink_to(outside)
    big.release()

    await asyncio.gather(task, return_exceptions=True)

    assert tree(outside) == {outside / "precious": b"precious"}


@pytest.mark.parametrize("through", ["the folder", "a parent"])
async def test_e27_a_folder_that_the_user_reaches_through_a_link_is_a_folder(
    connect, other, small, tmp_path, outside, through
):
    """Where the user's own path leads is the root; large disks are often reached like this."""
    (tmp_path / "link").symlink_to(outside)
    folder = tmp_path / "link" if through == "the folder" else tmp_path / "link" / "below"

    (path,) = await connect().download(found(other), folder)

    assert path.parent == folder
    assert path.read_bytes() == small.body


# --- E28: nothing is opened ------------------------------------------------------------------------------------------


def zipped(*entries):
    made = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        warnings.simplefilter("ignore")
        for name, body in entries:
            archive.writestr(name, body)
    return made.getvalue()


ENTITIES = b"""<?xml version="1.0"?><!DOCTYPE kml [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">
<!ENTITY c SYSTEM "file:///etc/passwd">]><kml xmlns="http://www.opengis.net/kml/2.2">&b;&c;</kml>"""
OPENED = {
    "bomb": ("quickortho-kmz", zipped(("doc.kml", bytes(4 * MIB)))),
    "slip": ("quickortho-kmz", zipped(("../../slipped", b"x"), ("/etc/slipped", b"x"))),
    "nested": ("quickortho-kmz", zipped(("a.kmz", zipped(("doc.kml", b"x"))))),
    "twice": ("quickortho-kmz", zipped(("doc.kml", b"x"), ("doc.kml", b"y"))),
    "cut off": ("quickortho-kmz", zipped(("doc.kml", b"x" * 1000))[:-30]),
    "entities": ("quicklook-kml", ENTITIES),
    "xml": ("grd-xml", ENTITIES),
}
MEDIA = {
    "kmz": "application/vnd.google-earth.kmz",
    "kml": "application/vnd.google-earth.kml+xml",
    "xml": "application/xml",
}


@pytest.mark.parametrize("served", ["as it is", "application/octet-stream", "application/zip"])
@pytest.mark.parametrize(("key", "body"), OPENED.values(), ids=OPENED)
async def test_e28_an_archive_or_document_is_stored_byte_for_byte_and_never_opened(
    connect, other, tmp_path, monkeypatch, key, body, served
):
    def never(*args, **options):
        raise AssertionError("it was opened")

    monkeypatch.setattr(zipfile.ZipFile, "__init__", never)
    monkeypatch.setattr(Etree, "XMLParser", never)
    media = MEDIA[key.rpartition("-")[2]]
    other.answers("/f", Hosted(body, **{"Content-Type": media if served == "as it is" else served}))
    thing = Product(id="p1", task_id="t1", assets={key: ProductAsset(href=f"{other.url}/f", type=media)})

    (path,) = await connect().download(thing, tmp_path / "to")

    assert path.read_bytes() == body
    assert [path.name] == left(tmp_path / "to")
    assert list(tmp_path.iterdir()) == [tmp_path / "to"]


# --- E29: one of many ------------------------------------------------------------------------------------------------


def listing(things):
    """The service's list of these products."""
    data = [
        {
            "id": thing.id,
            "properties": {},
            "assets": {key: {"href": asset.href, "type": asset.type} for key, asset in thing.assets.items()},
        }
        for thing in things
    ]
    return json.dumps({"data": data}).encode()


async def cut_off(request):
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b"x" * 100)
    request.transport.close()
    return response


FAILURES = {
    "404": ((404, {}, b""), DownloadError),
    "410": ((410, {}, b""), DownloadError),
    "403": ((403, {"x-amz-cf-id": "r1"}, b"<Error><Code>AccessDenied</Code></Error>"), LinkExpired),
    "500": ((500, {}, b""), DownloadError),
    "redirect": ((302, {"Location": "/elsewhere"}, b""), DownloadError),
    "encoded": ((200, {"Content-Encoding": "gzip"}, b"\x1f\x8b"), IntegrityError),
    "error page": ((200, {"Content-Type": "text/html"}, b"<html><body>Sorry</body></html>"), IntegrityError),
    "cut off": (cut_off, DownloadError),
}


async def test_e29_of_200_assets_one_fails_and_the_next_run_touches_only_that_one(connect, other, tmp_path):
    things = [product(other, *(f"k{key}" for key in range(10)), name=f"p{number:02}") for number in range(20)]
    other.answers("/p07-3", (404, {}, b""))
    with pytest.raises(DownloadError) as caught:
        await connect().download(things, tmp_path)

    assert list(caught.value.failed) == ["p07/k3"]
    assert len(set(caught.value.done)) == 199
    assert len(left(tmp_path)) == len(manifest(tmp_path)) == 199
    assert all(content(manifest(tmp_path)[path.name]["asset"]) == path.read_bytes() for path in caught.value.done)
    assert "1 of 200" in str(caught.value)

    other.answers("/p07-3", Hosted(content("k3")))
    asked = len(other.requests)
    events = await events_of(connect().download(things, tmp_path))

    assert len(left(tmp_path)) == 200
    assert {heard.target for heard in other.requests[asked:]} == {"/p07-3"}
    finished = [event for event in events if isinstance(event, Finished)]
    assert len(finished) == 200
    assert [event.asset for event in finished if not event.known] == ["p07/k3"]


@pytest.mark.parametrize(("answer", "error"), FAILURES.values(), ids=FAILURES)
async def test_e29_one_that_fails_for_any_reason_stops_no_other_and_is_listed(
    connect, service, other, tmp_path, answer, error
):
    things = [product(other, "a", "b", "c", name=f"p{number}") for number in range(4)]
    other.answers("/p2-1", answer)
    service.answers(f"{TASK}/products", (200, {}, listing(things)))
    download = connect().download(things, tmp_path)
    events = []

    async def run():
        async for event in download:
            events.append(event)  # noqa: PERF401 - what came before the error counts

    with pytest.raises(DownloadError) as caught:
        await run()

    assert type(caught.value) is DownloadError
    assert {asset: type(failure) for asset, failure in caught.value.failed.items()} == {"p2/b": error}
    assert len(caught.value.done) == len(left(tmp_path)) == 11
    assert sorted(event.path for event in download.latest) == sorted(caught.value.done)
    (failed,) = [event for event in events if isinstance(event, Failed)]
    assert failed.asset == "p2/b"
    assert isinstance(failed.error, error)


async def test_e29_several_that_fail_are_all_listed(connect, other, tmp_path):
    things = [product(other, "a", "b", name=f"p{number}") for number in range(5)]
    for number in range(4):
        other.answers(f"/p{number}-0", (404, {}, b""))

    with pytest.raises(DownloadError) as caught:
        await connect().download(things, tmp_path)

    assert sorted(caught.value.failed) == [f"p{number}/a" for number in range(4)]
    assert all(
        isinstance(error, DownloadError) and error.asset == asset for asset, error in caught.value.failed.items()
    )
    assert len(caught.value.done) == 6


async def test_e29_a_lone_asset_that_fails_is_its_own_error(connect, other, tmp_path):
    other.answers("/f.json", FAILURES["error page"][0])

    with pytest.raises(IntegrityError) as caught:
        await connect().download(found(other), tmp_path)

    assert caught.value.failed == {}
    assert left(tmp_path) == []


# --- E30: cancelled --------------------------------------------------------------------------------------------------


async def test_e30_a_cancelled_download_keeps_what_came_and_lets_go_of_everything(connect, other, big, tmp_path):
    client = connect()

    await stopped_half_way(client, big, found(other), tmp_path)

    assert shown(tmp_path) == []
    assert {name.rpartition(".")[2] for name in kept(tmp_path)} == {"part", "json"}
    assert open_files(tmp_path) == []
    await until(lambda: connections(other) == 0)
    assert await comes_whole(client, big, found(other), tmp_path) > 0
    assert big.sent <= BIG + AGAIN


async def test_e30_what_a_cancelled_download_left_serves_the_next_client(connect, other, big, tmp_path):
    client = connect()
    await stopped_half_way(client, big, found(other), tmp_path)
    await client.close()

    assert await comes_whole(connect(), big, found(other), tmp_path) > 0
    assert big.sent <= BIG + AGAIN


async def test_e30_the_same_object_can_be_awaited_after_a_cancel(connect, other, big, tmp_path):
    download = connect().download(found(other), tmp_path)
    big.hold = 16 * MIB
    task = asyncio.create_task(download)
    await big.half_way(task)
    task.cancel()
    await asyncio.wait([task], timeout=SOON)
    big.release()

    (path,) = await download

    assert path.read_bytes() == big.body
    assert big.sent <= BIG + AGAIN


async def test_e30_a_time_out_of_the_caller_is_a_cancel_like_any_other(connect, other, big, tmp_path):
    limit = asyncio.timeout(None)

    async def limited():
        async with limit:
            await connect().download(found(other), tmp_path)

    big.hold = 16 * MIB
    task = asyncio.create_task(limited())
    await big.half_way(task)
    limit.reschedule(0.0)
    await asyncio.wait([task], timeout=SOON)

    assert isinstance(task.exception(), TimeoutError)
    assert open_files(tmp_path) == []
    await until(lambda: connections(other) == 0)
    assert await comes_whole(connect(), big, found(other), tmp_path) > 0
    assert big.sent <= BIG + AGAIN


async def test_e30_the_failure_of_a_sibling_cancels_it(connect, other, big, tmp_path):
    big.hold = 16 * MIB

    async def fail():
        await big.held.wait()
        raise LookupError

    async def both():
        async with asyncio.TaskGroup() as group:
            group.create_task(connect().download(found(other), tmp_path))
            group.create_task(fail())

    with pytest.raises(ExceptionGroup) as caught:
        await both()

    assert caught.group_contains(LookupError)
    assert open_files(tmp_path) == []
    await until(lambda: connections(other) == 0)


async def test_e30_several_at_once_are_all_let_go(connect, other, tmp_path):
    many = [Hosted(noise(2 * MIB + number)) for number in range(12)]
    for number, hosted in enumerate(many):
        hosted.hold = MIB
        other.answers(f"/{number}.json", hosted)
    things = [found(other, f"/{number}.json", f"d{number}") for number in range(12)]
    client = connect()
    task = asyncio.create_task(client.download(things, tmp_path))
    await until(lambda: sum(hosted.held.is_set() for hosted in many) >= 2)

    task.cancel()
    done, _ = await asyncio.wait([task], timeout=SOON)

    assert done
    assert shown(tmp_path) == []
    assert open_files(tmp_path) == []
    await client.close()
    assert connections(other) == 0
    for hosted in many:
        hosted.release()
    assert len(await connect().download(things, tmp_path)) == 12
    assert [path.stat().st_size for path in sorted(tmp_path.glob("d*"))]


async def test_e30_cancelled_between_two_tries_it_stops_at_once(connect, other, tmp_path):
    class Stopped:
        """A clock on which no pause ends."""

        def __init__(self):
            self.asleep = asyncio.Event()

        def now(self):
            return 1000.0

        async def sleep(self, seconds):
            self.asleep.set()
            await asyncio.Event().wait()

    clock = Stopped()
    other.answers("/f.json", (503, {}, b""))
    task = asyncio.create_task(connect(clock=clock).download(found(other), tmp_path))
    await asyncio.wait_for(clock.asleep.wait(), SOON)

    task.cancel()
    done, _ = await asyncio.wait([task], timeout=SOON)

    assert done
    assert open_files(tmp_path) == []
    assert left(tmp_path) == []


async def test_e30_cancelled_before_the_host_has_answered_it_stops_at_once(connect, other, tmp_path):
    asked, dropped = asyncio.Event(), asyncio.Event()

    async def silent(request):
        asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            dropped.set()

    other.answers("/f.json", silent)
    task = asyncio.create_task(connect().download(found(other), tmp_path))
    await asked.wait()

    task.cancel()
    done, _ = await asyncio.wait([task], timeout=SOON)

    assert done
    assert left(tmp_path) == []
    assert open_files(tmp_path) == []
    await asyncio.wait_for(dropped.wait(), SOON)


async def test_e30_cancelled_while_it_connects_it_stops_at_once(connect, tmp_path):
    """Nobody takes the connection: the queue of this port is full."""
    with contextlib.ExitStack() as stack:
        port = stack.enter_context(socket.socket())
        port.bind(("127.0.0.1", 0))
        port.listen(0)
        for _ in range(2):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(port.getsockname())
        asset = DerivativeAsset(href=f"http://127.0.0.1:{port.getsockname()[1]}/f.json", type="geojson")
        thing = Derivative(id="d1", type="DC_VESSELS", task_id="t1", assets=(asset,))
        client = connect()
        threads = set(threading.enumerate())
        task = asyncio.create_task(client.download(thing, tmp_path))
        await until(lambda: set(threading.enumerate()) - threads)
        began = time.monotonic()

        task.cancel()
        done, _ = await asyncio.wait([task], timeout=SOON)
        await client.close()

        assert done
        assert time.monotonic() - began < SOON
        assert left(tmp_path) == []


async def test_e30_cancelled_while_a_link_is_renewed_it_stops_at_once(connect, service, other, tmp_path):
    asked = asyncio.Event()

    async def silent(request):
        asked.set()
        await asyncio.Event().wait()

    other.answers("/f.json", (403, {}, b"<Error><Code>AccessDenied</Code></Error>"))
    service.answers(f"{TASK}/derivatives", silent)
    task = asyncio.create_task(connect().download(found(other), tmp_path))
    await asyncio.wait_for(asked.wait(), SOON)

    task.cancel()
    done, _ = await asyncio.wait([task], timeout=SOON)

    assert done
    assert left(tmp_path) == []
    assert open_files(tmp_path) == []


async def test_e30_cancelled_twice_in_a_row_it_still_lets_go(connect, other, big, tmp_path):
    big.hold = 12 * MIB
    task = asyncio.create_task(connect().download(found(other), tmp_path))
    await big.half_way(task)

    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    done, _ = await asyncio.wait([task], timeout=SOON)

    assert done
    assert open_files(tmp_path) == []
    await until(lambda: connections(other) == 0)
    await comes_whole(connect(), big, found(other), tmp_path)


async def test_e30_where_nothing_can_be_resumed_nothing_is_left(connect, other, tmp_path):
    """A weak ETag and no date: nobody could tell whether the rest belongs to it."""
    hosted = Hosted(noise(BIG), 'W/"e1"')
    del hosted.headers["Last-Modified"]
    other.answers("/f.json", hosted)

    await stopped_half_way(connect(), hosted, found(other), tmp_path)

    await until(lambda: left(tmp_path) == [])


async def test_e30_after_an_early_break_the_rest_is_there_for_the_next(connect, other, big, tmp_path):
    client = connect()
    big.hold = 16 * MIB
    download = client.download(found(other), tmp_path)
    async for event in download:
        if isinstance(event, Progressed):
            break
    assert shown(tmp_path) == []

    del download
    gc.collect()

    await until(lambda: connections(other) == 0)
    await until(lambda: open_files(tmp_path) == [])
    assert {name.rpartition(".")[2] for name in kept(tmp_path)} == {"part", "json"}
    assert await comes_whole(client, big, found(other), tmp_path) > 0


async def test_e30_closing_the_client_after_an_early_break_lets_go_and_keeps_what_came(connect, other, big, tmp_path):
    client = connect()
    big.hold = 16 * MIB
    download = client.download(found(other), tmp_path)
    async for event in download:
        if isinstance(event, Progressed):
            break
    began = time.monotonic()

    await client.close()

    assert time.monotonic() - began < SOON
    assert open_files(tmp_path) == []
    assert connections(other) == 0
    assert {name.rpartition(".")[2] for name in kept(tmp_path)} == {"part", "json"}
    assert await comes_whole(connect(), big, found(other), tmp_path) > 0


async def test_e30_closing_the_client_under_a_running_download_ends_it_soon(connect, other, big, tmp_path):
    client = connect()
    big.hold = 16 * MIB
    task = asyncio.create_task(client.download(found(other), tmp_path))
    await big.half_way(task)

    await asyncio.wait_for(client.close(), SOON)
    done, _ = await asyncio.wait([task], timeout=SOON)

    assert done
    assert isinstance(task.exception(), IceyeError)
    assert open_files(tmp_path) == []
    await until(lambda: connections(other) == 0)
    assert await comes_whole(connect(), big, found(other), tmp_path) > 0


async def test_e30_many_cancels_leave_no_file_socket_or_thread(connect, other, big, tmp_path):
    before = threading.active_count()
    client = connect()
    for round_ in range(20):
        big.held, big.sent = asyncio.Event(), 0
        await stopped_half_way(client, big, found(other), tmp_path / f"{round_}", after=(1 + round_ % 3) * MIB)
    assert open_files(tmp_path) == []

    await client.close()

    assert connections(other) == 0
    await until(lambda: threading.active_count() <= before)


@pytest.mark.parametrize("times", [1, 2])
async def test_e30_ctrl_c_stops_a_program_soon_and_the_next_run_goes_on(
    connect, other, big, tmp_path, start_child, times
):
    big.hold = 16 * MIB
    child = start_child(other, tmp_path)
    await big.held.wait()
    began = time.monotonic()

    for _ in range(times):
        child.process.send_signal(signal.SIGINT)
    told = await child.ended()

    assert time.monotonic() - began < SOON
    assert child.returncode == -signal.SIGINT
    assert "Finished" not in told
    assert "KeyboardInterrupt" in child.errors
    if times == 1:
        assert not [word for word in ("Unclosed", "ResourceWarning", "never", "ignored") if word in child.errors]
    assert shown(tmp_path) == []
    assert {name.rpartition(".")[2] for name in kept(tmp_path)} == {"part", "json"}
    assert await comes_whole(connect(), big, found(other), tmp_path) > 0
    assert big.sent <= BIG + AGAIN


async def test_e30_sigterm_is_survived_like_a_kill(connect, other, big, tmp_path, start_child):
    big.hold = 16 * MIB
    child = start_child(other, tmp_path)
    await big.held.wait()

    child.process.terminate()
    await child.ended()

    assert child.returncode == -signal.SIGTERM
    assert shown(tmp_path) == []
    assert await comes_whole(connect(), big, found(other), tmp_path) > 0
    assert big.sent <= BIG + AGAIN
