"""A file on its way: under another name, locked, with a sidecar by which a later run can go on with it.

The sidecar says which object it is a part of, and which bytes of it are here: `written` ones outlast a process that is
killed, `durable` ones a power cut, so after one only these count (the system's boot id tells). It never holds a link.
Everything here blocks, and but for `write` is called by one thread at a time.
"""

import contextlib
import hashlib
import json
import os
import shutil
import stat
import threading
import time
from pathlib import Path

from ..errors import DiskFull, DownloadError, InProgress
from ..holdings import Record
from ..protocol.linkreplies import Object
from ..protocol.ranges import Spans, added, are_spans, gaps, held
from .crew import Crew
from .manifest import PIECE, Manifest, in_the_way, prepare, write_whole
from .plan import Wish
from .system import CREATE, RENAMES_OPEN, boot, flush, flush_folder, lock, read_at, unlock, write_at

_HOLDERS: dict[str, Crew] = {}
"""Who of this process writes which part."""
_MOMENT = 0.01
_EACH = 2 * 2**20
"""Bytes after which the sidecar is written again, so that a process that is killed has no more than that to repeat."""
_OFTEN = 0.25
"""Seconds after which it is, on a slow line."""
_SYNC_EACH = 8 * 2**20
_SYNC_OFTEN = 1.0


class PartFile:
    """The bytes of one asset that are here. `object` is what they are a part of, `spans` which they are."""

    splittable = True
    """Whether bytes may be written in any order."""

    def __init__(self, manifest: Manifest, wish: Wish, crew: Crew, *, overwrite: bool) -> None:
        self._manifest, self._wish, self._crew, self._overwrite = manifest, wish, crew, overwrite
        self._folder = manifest.folder
        self._part = self._folder / f".{wish.name}.part"
        self._sidecar = self._folder / f".{wish.name}.part.json"
        self.path = self._folder / wish.name
        self.object = Object()
        self.spans: Spans = ()
        self._durable: Spans = ()
        self._handle = -1
        self._digest = hashlib.sha256()
        self._digested = 0
        self._noted = self._synced = (0, 0.0)
        self._syncing: threading.Thread | None = None
        self._sync_error: OSError | None = None
        self._replaces = False
        self._place: os.stat_result
        self._lock = threading.Lock()

    @property
    def received(self) -> int:
        """How many bytes are here."""
        return held(self.spans)

    @property
    def is_whole(self) -> bool:
        """Whether all of them are."""
        return self.object.size is not None and not gaps(self.spans, self.object.size)

    # --- before ------------------------------------------------------------------------------------------------------

    def known(self) -> tuple[Path, Record] | None:
        """The file, where it is there and whole already."""
        prepare(self._folder)
        found = self._manifest.known(self._wish, overwrite=self._overwrite, check=self._crew.check)
        if found is None:
            self.path = self._folder / self._manifest.name_for(self._wish, self._wish.name)
            return None
        if not os.path.lexists(self._part):
            # What a crash just after the last rename has left.
            self._sidecar.unlink(missing_ok=True)
        return self._folder / found[0], found[1]

    def open(self) -> None:
        """Open it, and see what an earlier run has left. Raises `InProgress` where somebody else is writing it."""
        while not self._opened():
            self._crew.check()
            holder = _HOLDERS.get(self._key)
            if holder is not None and holder.is_stopped:
                # An earlier download of this process is on its way out.
                holder.left_for(_MOMENT)
            elif self._opened():
                # It has gone between the two looks.
                break
            else:
                name = self.path.name
                message = f"{name} is being downloaded by somebody else right now; wait for it, or use another folder"
                raise InProgress(message, path=self.path, asset=self._wish.asset)
        _HOLDERS[self._key] = self._crew
        # Whatever has the name by now may be replaced, or it would be known or in the way.
        self._replaces = os.path.lexists(self.path)
        self._place = self._folder.stat()
        self._recall()

    @property
    def _key(self) -> str:
        return os.path.realpath(self._part)

    def _opened(self) -> bool:
        """Open and lock it. Who held the lock may have renamed it since: then it is the finished file, not a part."""
        handle = os.open(self._part, CREATE, 0o666)
        ours = False
        try:
            lock(handle, wait=False)
            found = os.fstat(handle)
            if found.st_nlink > 1:
                # It has another name, which is none of ours to write to.
                self._part.unlink()
                return self._opened()
            ours = os.path.samestat(found, os.lstat(self._part))
        except (BlockingIOError, FileNotFoundError):
            pass
        finally:
            if not ours:
                os.close(handle)
        if ours:
            self._handle = handle
        return ours

    def _recall(self) -> None:
        try:
            if not stat.S_ISREG(os.lstat(self._sidecar).st_mode):
                return
            document = json.loads(self._sidecar.read_bytes())
            found = Object(size=document["size"], etag=document["etag"], modified=document["modified"])
            same_boot = document["boot"] is not None and document["boot"] == boot()
            durable = document["durable"]
            spans = document["written"] if same_boot else durable
            identity = [document[key] for key in ("task", "item", "asset")]
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return
        end = os.fstat(self._handle).st_size
        if (
            document.get("version") == 1
            and identity == list(self._wish.identity)
            and found.validator is not None
            and all(are_spans(these, end if found.size is None else min(end, found.size)) for these in (spans, durable))
        ):
            self.object = found
            self.spans, self._durable = (tuple((first, last) for first, last in these) for these in (spans, durable))

    # --- on the way --------------------------------------------------------------------------------------------------

    def begin(self, found: Object) -> None:
        """From here on it is a part of this object, and nothing of it is here."""
        self._wait_for_sync()
        if os.path.lexists(self._sidecar):
            # Gone for good before the first byte: it must never be held to speak of what comes now.
            self._sidecar.unlink()
            flush_folder(self._folder)
        os.ftruncate(self._handle, 0)
        self.object, self.spans, self._durable = found, (), ()
        self._digest, self._digested = hashlib.sha256(), 0
        self._noted = self._synced = (0, 0.0)

    def check_room(self) -> None:
        """Raise `DiskFull` where what is missing has no room."""
        if self.object.size is None:
            return
        missing = self.object.size - self.received
        free = shutil.disk_usage(self._folder).free
        if missing > free:
            message = f"{self.path}: {missing:,} bytes are missing and the disk has {free:,}; make room, download again"
            raise DiskFull(message, path=self.path, asset=self._wish.asset)

    def name_it(self, wanted: str) -> None:
        """The host says what the file is called."""
        self._call_it(self._manifest.name_for(self._wish, wanted))

    def _call_it(self, name: str) -> None:
        if name == self.path.name:
            return
        self.path = self._folder / name
        self._replaces = self._overwrite and os.path.lexists(self.path)
        self._check_way()

    def _check_way(self) -> None:
        """Take another name where this one is another asset's by now; raise where it is anything else's."""
        if self.path.is_dir() or (not self._replaces and os.path.lexists(self.path)):
            # A record is written before its file appears, so it tells.
            name = self._manifest.name_for(self._wish, self.path.name)
            if name == self.path.name:
                raise in_the_way(self.path, self._wish.asset)
            self._call_it(name)

    def write(self, offset: int, piece: memoryview) -> None:
        """Put the bytes where they belong."""
        if self._sync_error is not None:
            raise self._sync_error
        done = 0
        while done < len(piece):
            done += write_at(self._handle, piece[done:], offset + done)
        with self._lock:
            self.spans = added(self.spans, (offset, offset + len(piece)))
            received, now = self.received, time.monotonic()
            if received - self._noted[0] >= _EACH or now - self._noted[1] >= _OFTEN:
                self._note()
            if received - self._synced[0] >= _SYNC_EACH and now - self._synced[1] >= _SYNC_OFTEN:
                self._sync_aside()

    def digest(self, offset: int, piece: memoryview) -> None:
        """Take them into account for the SHA-256 where they come next; the others are read for it at the end."""
        if offset == self._digested:
            self._digest.update(piece)
            self._digested += len(piece)

    def _note(self) -> None:
        self._noted = (self.received, time.monotonic())
        if self.object.validator is None:
            return
        self._check_folder()
        task, item, asset = self._wish.identity
        document = {
            "version": 1,
            "task": task,
            "item": item,
            "asset": asset,
            "size": self.object.size,
            "etag": self.object.etag,
            "modified": self.object.modified,
            "written": self.spans,
            "durable": self._durable,
            "boot": boot(),
        }
        write_whole(self._sidecar, json.dumps(document).encode(), durable=False)

    def _sync_aside(self) -> None:
        """Have on the disk what is written so far, without holding up what is still coming."""
        if self._syncing is not None and self._syncing.is_alive():
            return
        self._synced = (self.received, time.monotonic())
        spans = self.spans

        def sync() -> None:
            try:
                flush(self._handle)
                self._durable = spans
            except OSError as error:
                # The system may have dropped what it could not write: only what was durable before still counts.
                self._sync_error = error

        self._syncing = threading.Thread(target=sync, name="iceye-async-sync", daemon=True)
        self._syncing.start()

    def _wait_for_sync(self) -> None:
        if self._syncing is not None:
            self._syncing.join()
            self._syncing = None

    # --- afterwards --------------------------------------------------------------------------------------------------

    def publish(self, *, verified: bool) -> tuple[Path, Record]:
        """Give it its final name, after its bytes are on the disk, and note it in the manifest."""
        self._wait_for_sync()
        self._flush()
        sha256 = self._digest_all()
        self._check_folder()
        if not os.path.samestat(os.fstat(self._handle), os.lstat(self._part)):
            raise DownloadError(f"{self._part} was replaced meanwhile; download again", path=self.path)
        # Another asset that the host calls the same may have come first, now or while this is noted.
        self._call_it(self._manifest.name_for(self._wish, self.path.name))
        self._check_way()
        record = Record(
            *self._wish.identity, self.received, self.object.etag, sha256, verified=verified, kind=self._wish.kind
        )
        # The record first: a name without a record would be taken for somebody else's file, were this the last line.
        self._call_it(self._manifest.note(self._wish, self.path.name, record, self._part))
        flush_folder(self._folder)
        if not RENAMES_OPEN:
            self._shut()
        os.replace(self._part, self.path)  # noqa: PTH105 - one call for all that gets its name
        flush_folder(self._folder)
        self._sidecar.unlink(missing_ok=True)
        self._shut()
        return self.path, record

    def _flush(self) -> None:
        """Have exactly its bytes on the disk."""
        if self._sync_error is not None:
            raise self._sync_error
        try:
            if os.fstat(self._handle).st_size != self.received:
                os.ftruncate(self._handle, self.received)
            os.fsync(self._handle)
        except OSError as error:
            self._sync_error = error
            raise

    def _check_folder(self) -> None:
        """Raise where the folder is another one than before: a link out of it may have its name."""
        if not os.path.samestat(self._place, self._folder.stat()):
            raise DownloadError(f"{self._folder} was replaced meanwhile; download again", path=self.path)

    def _digest_all(self) -> str:
        """The SHA-256; what did not come in order, or came in an earlier run, is read for it."""
        size = self.received
        while self._digested < size:
            self._crew.check(patient=self.is_resumable)
            piece = read_at(self._handle, PIECE, self._digested)
            if not piece:
                raise DownloadError(f"{self._part} was truncated meanwhile; download again", path=self.path)
            self._digest.update(piece)
            self._digested += len(piece)
        return self._digest.hexdigest()

    def take_over(self, whole: Path) -> None:
        """Fill it from a file of this folder that holds the same."""
        self.begin(Object(size=whole.stat().st_size))
        with whole.open("rb", buffering=0) as file:
            while piece := file.read(PIECE):
                self._crew.check()
                at = self.received
                self.write(at, memoryview(piece))
                self.digest(at, memoryview(piece))

    def close(self) -> None:
        """Let go of it: kept where a later run can go on with it, else removed."""
        if self._handle < 0:
            return
        self._wait_for_sync()
        if self._sync_error is not None:
            self.spans = self._durable
        if self.is_resumable and self.spans:
            # A disk that is full refuses this too; the sidecar that is there still holds.
            with contextlib.suppress(OSError, DownloadError):
                self._note()
        else:
            for name in (self._sidecar, self._part):
                with contextlib.suppress(OSError):
                    name.unlink(missing_ok=True)
        self._shut()

    @property
    def is_resumable(self) -> bool:
        """Whether a later run can go on with what is here."""
        return self.object.validator is not None

    def _shut(self) -> None:
        handle, self._handle = self._handle, -1
        if handle >= 0:
            with contextlib.suppress(OSError):
                unlock(handle)
            with contextlib.suppress(OSError):
                os.close(handle)
            # Only then: whoever finds it locked must find out by whom.
            if _HOLDERS.get(self._key) is self._crew:
                del _HOLDERS[self._key]
