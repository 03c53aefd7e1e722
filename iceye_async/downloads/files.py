"""Files that appear whole or not at all, and the folder's record of those that did.

A file is written under another name, checked, flushed to the disk and renamed. The manifest beside it holds, by name,
which asset it is, with size, ETag and SHA-256; it never holds a link. Everything here blocks, and runs in `Writers`.
"""

import asyncio
import contextlib
import errno
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any, TypeVar

from attrs import asdict, frozen

from ..errors import DiskFull, DownloadError, InProgress, StateError
from .plan import Wish

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows: an open part file cannot be replaced there, which is lock enough
    fcntl = None  # type: ignore[assignment]

A = TypeVar("A")

MANIFEST = ".iceye-async.json"
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class Writers:
    """The threads that write files. They belong to a client, which joins them when it is closed."""

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None
        self._closed = False

    async def run(self, work: Callable[..., A], *values: Any) -> A:
        """Do blocking work off the event loop. If the caller is cancelled, the work is still waited for."""
        if self._closed:
            raise StateError("the client was closed meanwhile")
        if self._pool is None:
            self._pool = ThreadPoolExecutor(max_workers=4, thread_name_prefix="iceye-async-files")
        future = asyncio.get_running_loop().run_in_executor(self._pool, work, *values)
        try:
            return await asyncio.shield(future)
        finally:
            # A write is not undone by cancelling it, once or twice: only when it is over may its file be closed.
            while not future.done():
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.wait([future])

    async def close(self) -> None:
        """Join the threads."""
        self._closed = True
        if self._pool is not None:
            pool, self._pool = self._pool, None
            await asyncio.to_thread(pool.shutdown)


@frozen
class Record:
    """What the manifest says of a file."""

    task: str
    item: str
    asset: str
    size: int
    etag: str | None
    sha256: str

    def is_of(self, wish: Wish) -> bool:
        return (self.task, self.item, self.asset) == wish.identity


class PartFile:
    """A file on its way: locked while it is written, and gone unless it is published."""

    def __init__(self, folder: Path, wish: Wish) -> None:
        self.path = folder / wish.name
        self.size = 0
        self._wish = wish
        self._folder = folder
        self._part = folder / f".{wish.name}.part"
        self._digest = hashlib.sha256()
        self._file: IO[bytes] | None = None
        self._replaces = False

    def open(self) -> None:
        """Make it, empty. Raises `InProgress` where somebody else is writing it."""
        # Whatever has the name by now may be replaced, or nobody would have opened this.
        self._replaces = os.path.lexists(self.path)
        self._file = _open_locked(self._part, self.path, self._wish)
        self._file.truncate()

    def write(self, chunk: bytes) -> None:
        assert self._file is not None  # noqa: S101 - it was opened
        self._file.write(chunk)
        self._digest.update(chunk)
        self.size += len(chunk)

    def publish(self, etag: str | None) -> Record:
        """Give it its final name, after its bytes are on the disk, and note it in the manifest."""
        assert self._file is not None  # noqa: S101 - it was opened
        self._file.flush()
        os.fsync(self._file.fileno())
        if not self._replaces and os.path.lexists(self.path):
            raise _in_the_way(self.path, self._wish)
        record = Record(*self._wish.identity, self.size, etag, self._digest.hexdigest())
        # The record first: a name without a record would be taken for somebody else's file, were this the last line.
        _note(self._folder, self._wish.name, record)
        self._part.replace(self.path)
        self._file.close()
        self._file = None
        _flush_folder(self._folder)
        return record

    def discard(self) -> None:
        """Remove it, unless it was published."""
        if self._file is not None:
            file, self._file = self._file, None
            # Closing writes what is still buffered, which a full disk refuses once more.
            with contextlib.suppress(OSError):
                self._part.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                file.close()


def prepare(folder: Path) -> None:
    """Make the folder."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        failure = DownloadError(f"{folder} is a file, not a folder; choose another one", path=folder)
    except OSError as error:
        failure = DownloadError(f"{folder} cannot be made: {error.strerror}; choose another folder", path=folder)
    else:
        return
    raise failure


def known(folder: Path, wish: Wish, *, overwrite: bool) -> Record | None:
    """The record of a file that is there and whole, None where it must be fetched; or what is in its way, raised."""
    path = folder / wish.name
    if not os.path.lexists(path):
        return None
    record = _read(folder).get(wish.name)
    if record is not None and record.is_of(wish) and path.is_file() and not path.is_symlink():
        size = path.stat().st_size
        if size == record.size:
            return record
        if size < record.size:
            return None
    if overwrite and not path.is_dir():
        return None
    raise _in_the_way(path, wish)


def _in_the_way(path: Path, wish: Wish) -> DownloadError:
    return DownloadError(
        f"{path.name} exists, and the manifest of its folder does not know it; move it away, or pass overwrite=True",
        path=path,
        asset=wish.asset,
    )


def disk_error(error: OSError, path: Path, asset: str) -> DownloadError:
    """An error of the file system as one of ours."""
    reason = error.strerror or type(error).__name__
    if error.errno in _FULL:
        return DiskFull(f"{path}: no space left on the disk; make room and download again", path=path, asset=asset)
    return DownloadError(f"{path}: {reason}", path=path, asset=asset)


# --- the manifest ----------------------------------------------------------------------------------------------


def _read(folder: Path) -> dict[str, Record]:
    """The records. A manifest that cannot be read is an error, so that nothing is trusted or replaced because of it."""
    path = folder / MANIFEST
    try:
        document = json.loads(path.read_bytes())
        if document["version"] == 1:
            return {str(name): Record(**facts) for name, facts in document["files"].items()}
        reason = "is of a newer version of this package"
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        reason = f"cannot be read ({type(error).__name__})"
    raise DownloadError(f"{path} {reason}; move it away, or use another folder", path=path)


def _note(folder: Path, name: str, record: Record) -> None:
    with _locked(folder / f"{MANIFEST}.lock"):
        records = _read(folder) | {name: record}
        document = {"version": 1, "files": {key: asdict(value) for key, value in sorted(records.items())}}
        part = folder / f"{MANIFEST}.part"
        with part.open("w", encoding="utf-8") as file:
            json.dump(document, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        part.replace(folder / MANIFEST)


def _flush_folder(folder: Path) -> None:
    # Windows cannot open a folder; there the rename is as durable as the file system makes it.
    with contextlib.suppress(PermissionError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("ab") as file:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _open_locked(part: Path, final: Path, wish: Wish) -> IO[bytes]:
    """The part file, ours alone. Nothing of it is changed before it is."""
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    file = os.fdopen(os.open(part, flags, 0o666), "r+b")
    try:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Who held the lock may have renamed it since: then this handle is the finished file, not a part.
        ours = part.exists() and os.path.samestat(os.fstat(file.fileno()), part.stat())
    except BlockingIOError:
        ours = False
    if ours:
        return file
    file.close()
    message = f"{final.name} is being downloaded by somebody else right now; wait for it, or use another folder"
    raise InProgress(message, path=final, asset=wish.asset)
