"""The manifest of a folder, as downloads keep it: which asset each file is, with size, ETag and SHA-256."""

import contextlib
import errno
import hashlib
import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath

from attrs import asdict, evolve

from ..errors import DiskFull, DownloadError
from ..holdings import NAME, Holdings, Record
from .plan import Wish
from .system import CREATE, lock, unlock

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
PIECE = 2**20


class Manifest:
    """The records of a folder, to be read and written. Everything here blocks."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._holdings = Holdings(folder)

    def name_for(self, wish: Wish, wanted: str) -> str:
        """The name that this asset has or gets: the wanted one, unless it is another asset's on any file system."""
        return self._name(self._holdings.records(), wish, wanted)

    def _name(self, records: Mapping[str, Record], wish: Wish, wanted: str) -> str:
        known = next((name for name, record in records.items() if record.identity == wish.identity), None)
        if known is not None and PurePosixPath(known).name == known:
            return known
        others = {name.casefold() for name, record in records.items()}
        return wanted if wanted.casefold() not in others else wish.name_apart(wanted)

    def known(self, wish: Wish, *, overwrite: bool, check: Callable[[], None]) -> tuple[str, Record] | None:
        """The record of a file that is there and whole, None where it must be fetched; or what is in its way, raised.

        A file whose size or time is not as recorded is read, and is whole where its SHA-256 is.
        """
        name = self.name_for(wish, wish.name)
        path = self.folder / name
        if not os.path.lexists(path):
            return None
        record = self._holdings.records().get(name)
        if record is not None and record.identity == wish.identity and path.is_file() and not path.is_symlink():
            found = path.stat()
            if found.st_size < record.size:
                return None
            if found.st_size == record.size:
                if found.st_mtime_ns == record.modified:
                    return name, record
                if digest(path, check) == record.sha256:
                    self.note(wish, name, record, path)
                    return name, record
        if overwrite and not path.is_dir():
            return None
        raise in_the_way(path, wish.asset)

    def note(self, wish: Wish, wanted: str, record: Record, path: Path) -> str:
        """Record that what is now in the file at `path` has, or is about to have, the name that this gives."""
        record = evolve(record, modified=path.stat().st_mtime_ns)
        with self._lock, _locked(self.folder / f"{NAME}.lock"):
            before = self._holdings.records()
            name = self._name(before, wish, wanted)
            records = {**before, name: record}
            document = {"version": 1, "files": {key: asdict(value) for key, value in sorted(records.items())}}
            write_whole(self.folder / NAME, json.dumps(document, indent=1).encode(), durable=True)
            return name


def prepare(folder: Path) -> None:
    """Make the folder."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        failure = DownloadError(f"{folder} is a file, not a folder; choose another one", path=folder)
    except OSError as error:
        kind = DiskFull if error.errno in _FULL else DownloadError
        failure = kind(f"{folder} cannot be made: {error.strerror}; choose another folder", path=folder)
    else:
        return
    raise failure


def in_the_way(path: Path, asset: str) -> DownloadError:
    return DownloadError(
        f"{path.name} exists, and not as the manifest of its folder knows it; move it away, or pass overwrite=True",
        path=path,
        asset=asset,
    )


def disk_error(error: OSError, path: Path, asset: str) -> DownloadError:
    """An error of the file system as one of ours."""
    reason = error.strerror or type(error).__name__
    if error.errno in _FULL:
        return DiskFull(f"{path}: no space left on the disk; make room and download again", path=path, asset=asset)
    return DownloadError(
        f"{path}: {reason}; what had arrived is kept where that was possible, download again once it is mended",
        path=path,
        asset=asset,
    )


def digest(path: Path, check: Callable[[], None]) -> str:
    """The SHA-256 of a file; `check` is called between its pieces."""
    found = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while piece := file.read(PIECE):
            check()
            found.update(piece)
    return found.hexdigest()


def write_whole(path: Path, content: bytes, *, durable: bool) -> None:
    """Give the file this content, or leave it as it is; `durable`: it outlasts a power cut."""
    part = path.with_name(f"{path.name}.new")
    part.unlink(missing_ok=True)
    # Made here and now: whatever else has the name, a link out of the folder for instance, is not written to.
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    try:
        written = 0
        while written < len(content):
            written += os.write(handle, content[written:])
        if durable:
            os.fsync(handle)
    finally:
        os.close(handle)
    os.replace(part, path)  # noqa: PTH105 - one call for all that gets its name


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    handle = os.open(path, CREATE, 0o666)
    try:
        lock(handle, wait=True)
        yield
    finally:
        with contextlib.suppress(OSError):
            unlock(handle)
        os.close(handle)
