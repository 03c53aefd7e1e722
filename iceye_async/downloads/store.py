"""Files on their way to an object store (`obstore`, the extra `cloud`), streamed as they come.

An object is there whole or not at all: what is uploaded becomes visible with the last part of it. Beside it lies its
record, written just before, by which it is known the next time: `.iceye-async/<name>.json`, and the same under a digest
of task, item and asset, so that it is found by these; never with a link. A transfer that breaks goes on by a range
while this runs; a later run begins anew, for no store takes up what was left.
"""

import contextlib
import hashlib
import json
import queue
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

from attrs import asdict, evolve

from ..errors import DownloadError, IceyeError, MissingExtra
from ..holdings import Record, recorded
from ..protocol.linkreplies import Object
from ..protocol.ranges import Spans
from .crew import Crew, Stopped
from .plan import Wish

if TYPE_CHECKING:
    from obstore.store import ObjectStore

_RECORDS = ".iceye-async"
_WAITING = 4
"""Pieces that may wait for the store."""
_PARTS = 9000
"""S3 takes 10,000 parts of an object."""
_LEAST = 5 * 2**20
_AT_ONCE = 2


def is_store(to: object) -> "TypeGuard[ObjectStore]":
    """Whether this is a store of obstore's, which is not imported to find out."""
    return any(kind.__module__.split(".")[0] == "obstore" for kind in type(to).__mro__)


class StoredPart:
    """The bytes of one asset on their way to a store, in order."""

    splittable = False

    def __init__(self, store: "ObjectStore", wish: Wish, crew: Crew, *, overwrite: bool) -> None:
        try:
            import obstore
        except ImportError:  # pragma: no cover - who has a store has this
            raise MissingExtra("a store as to= needs obstore: pip install 'iceye-async[cloud]'") from None
        self._obstore: Any = obstore
        self._store, self._wish, self._crew, self._overwrite = store, wish, crew, overwrite
        self.path: str = wish.name
        self.object = Object()
        self.spans: Spans = ()
        self._upload: _Upload | None = None
        self._digest = hashlib.sha256()

    @property
    def received(self) -> int:
        """How many bytes are on their way or there."""
        return self.spans[-1][1] if self.spans else 0

    @property
    def is_whole(self) -> bool:
        """Whether all of them are."""
        return self.received == self.object.size

    def known(self) -> tuple[str, Record] | None:
        """The object, where it is there and whole already. Raises where something else has its name."""
        with _store_errors(self.path):
            found = self._record(self._pointer) or self._record(_record_of(self._wish.name))
            if found is not None and found[1].identity == self._wish.identity:
                self.path = found[0]
                return self._checked(*found)
            self._take_name(self._wish.name, found)
        return None

    def _checked(self, name: str, record: Record) -> tuple[str, Record] | None:
        """The object, where it is the one that was recorded."""
        head = self._head(name)
        if head is None or self._overwrite_changed(head, record):
            return None
        if head["size"] == record.size and record.modified == _version(head):
            return name, record
        if head["size"] == record.size and record.modified is None and self._digest_of(name) == record.sha256:
            return name, record
        raise self._in_the_way(name)

    def _overwrite_changed(self, head: Any, record: Record) -> bool:
        return self._overwrite and (head["size"] != record.size or record.modified != _version(head))

    def _take_name(self, name: str, found: "tuple[str, Record] | None" = None) -> None:
        """Have this name, or another one where it is another asset's."""
        found = self._record(_record_of(name)) if found is None else found
        if found is not None and found[1].identity != self._wish.identity:
            name = self._wish.name_apart(name)
        if self._head(name) is not None and not self._overwrite:
            raise self._in_the_way(name)
        self.path = name

    def _in_the_way(self, name: str) -> DownloadError:
        message = f"{name} exists in the store, and is not as a record of it says; move it away, or pass overwrite=True"
        return DownloadError(message, path=name, asset=self._wish.asset)

    def _head(self, name: str) -> Any:
        try:
            return self._obstore.head(self._store, name)
        except FileNotFoundError:
            return None

    def _record(self, note: str) -> tuple[str, Record] | None:
        """The name and the record in a note, or None where there is none. One that cannot be read is an error."""
        try:
            text = bytes(self._obstore.get(self._store, note).bytes())
        except FileNotFoundError:
            return None
        try:
            document = json.loads(text)
            return str(document.pop("name")), recorded(document)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            failure = f"{note} in the store cannot be read; move it away, or use another place"
        raise DownloadError(failure, path=self.path, asset=self._wish.asset)

    @property
    def _pointer(self) -> str:
        digest = hashlib.sha256("\0".join(self._wish.identity).encode("utf-8", "surrogatepass")).hexdigest()
        return f"{_RECORDS}/by-asset/{digest[:32]}.json"

    def _note(self, record: Record) -> None:
        text = json.dumps({"name": self.path, **asdict(record)}).encode()
        for note in (_record_of(self.path), self._pointer):
            self._obstore.put(self._store, note, text)

    def _digest_of(self, name: str) -> str:
        found = hashlib.sha256()
        for piece in self._obstore.get(self._store, name).stream(min_chunk_size=2**20):
            self._crew.check()
            found.update(bytes(piece))
        return found.hexdigest()

    @property
    def is_resumable(self) -> bool:
        """No store takes up what was left."""
        return False

    def open(self) -> None:
        """Nothing is kept from an earlier run."""

    def begin(self, found: Object) -> None:
        """From here on it is this object, and nothing of it is uploaded."""
        self._abandon()
        self.object, self.spans = found, ()
        self._digest = hashlib.sha256()

    def check_room(self) -> None:
        """A store has room."""

    def name_it(self, wanted: str) -> None:
        """The host says what the file is called."""
        with _store_errors(wanted):
            self._take_name(wanted)

    def write(self, offset: int, piece: memoryview) -> None:
        """Pass the bytes on."""
        if self._upload is None:
            self._upload = _Upload(self._obstore, self._store, self.path, self.object.size, self._crew)
        self._upload.put(bytes(piece))
        self.spans = ((0, offset + len(piece)),)

    def digest(self, offset: int, piece: memoryview) -> None:  # noqa: ARG002 - they come in order
        """Take them into account for the SHA-256."""
        self._digest.update(piece)

    def publish(self, *, verified: bool) -> tuple[str, Record]:
        """Have the store show it."""
        record = Record(
            *self._wish.identity,
            self.received,
            self.object.etag,
            self._digest.hexdigest(),
            verified=verified,
            kind=self._wish.kind,
        )
        with _store_errors(self.path):
            # The record first: an object without a record would be taken for somebody else's. And once more, with what
            # the store calls this version of it.
            self._note(record)
            if self._upload is None:
                self._obstore.put(self._store, self.path, b"")
            else:
                self._upload.finish()
                self._upload = None
            head = self._head(self.path)
            record = evolve(record, modified=None if head is None else _version(head))
            self._note(record)
        return self.path, record

    def take_over(self, whole: Path | str) -> None:
        """Fill it from an object of this store that holds the same."""
        self.begin(Object())
        with _store_errors(self.path):
            for piece in self._obstore.get(self._store, str(whole)).stream(min_chunk_size=2**20):
                self._crew.check()
                self.write(self.received, memoryview(bytes(piece)))
                self.digest(0, memoryview(bytes(piece)))

    def close(self) -> None:
        """Let go of it: what is not whole was never there."""
        self._abandon()

    def _abandon(self) -> None:
        upload, self._upload = self._upload, None
        if upload is not None:
            upload.abandon()


class _Upload:
    """One object, taken piece by piece by a thread that gives them to the store."""

    def __init__(self, obstore: Any, store: "ObjectStore", path: str, size: int | None, crew: Crew) -> None:
        self._obstore, self._store, self._path, self._crew = obstore, store, path, crew
        self._part = max(_LEAST, -(-(size or 0) // _PARTS))
        self._pieces: queue.Queue[bytes | None] = queue.Queue(_WAITING)
        self._abandoned = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="iceye-async-upload", daemon=True)
        self._thread.start()

    def put(self, piece: bytes | None) -> None:
        while True:
            if self._error is not None:
                raise _told(self._error, self._path)
            try:
                return self._pieces.put(piece, timeout=0.5)
            except queue.Full:
                self._crew.check(patient=False)

    def finish(self) -> None:
        """Come back when the object is there."""
        self.put(None)
        self._thread.join()
        if self._error is not None:
            raise _told(self._error, self._path)

    def abandon(self) -> None:
        """Leave nothing."""
        self._abandoned = True
        while self._thread.is_alive():
            # Whatever it waits for, it comes by and sees that it was abandoned.
            try:
                self._pieces.put_nowait(None)
            except queue.Full:
                with contextlib.suppress(queue.Empty):
                    self._pieces.get_nowait()
            self._thread.join(0.01)

    def _run(self) -> None:
        try:
            self._obstore.put(self._store, self._path, self._given(), chunk_size=self._part, max_concurrency=_AT_ONCE)
        except BaseException as error:  # noqa: BLE001 - obstore raises what it likes; it is raised where it is waited for
            self._error = error

    def _given(self) -> Iterator[bytes]:
        while (piece := self._pieces.get()) is not None:
            yield piece
        if self._abandoned:
            raise InterruptedError


def _version(head: Any) -> str:
    """What changes when an object is replaced."""
    return str(head["e_tag"] or head["last_modified"].isoformat())


def _record_of(name: str) -> str:
    return f"{_RECORDS}/{name}.json"


def _told(error: BaseException, path: str) -> DownloadError:
    """The store's error as one of ours. Only its first line: what follows may be long, and repeat what was sent."""
    line = (str(error).splitlines() or [""])[0][:300]
    return DownloadError(f"{path}: the store refused it ({type(error).__name__}: {line})", path=path)


@contextlib.contextmanager
def _store_errors(path: str) -> Iterator[None]:
    """What obstore raises inside is an error of ours."""
    try:
        yield
    except (IceyeError, Stopped, FileNotFoundError):
        raise
    except Exception as error:  # noqa: BLE001 - obstore raises what it likes
        failure = _told(error, path)
    else:
        return
    raise failure
