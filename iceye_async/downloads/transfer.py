"""The bytes of one file: which of them whose turn it is to bring, and the threads that read and write them.

One connection carries a file. A large one, whose host gives parts of it, gets another connection when that makes it
faster, which is tried and measured: the last half of the largest claim goes to it. What a connection leaves undone is
a gap again. Beside the threads that read there is one that digests, which takes as long as half of reading, and writes
where reading is more work; with as many buffers as keep all of them busy. Memory does not grow with the file.
"""

import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from ..holdings import Record
from ..protocol.linkreplies import Object
from ..protocol.ranges import Spans, added, gaps, held
from .crew import Crew
from .http import Answer

PIECE = 2**20
_LITTLE = 2**16
_ALONE = 8 * 2**20
"""Bytes up to which a file is written by the thread that reads it."""
_WORTH = 16 * 2**20
"""Bytes that are worth a connection of their own."""
_TRIAL = 2.0
"""Seconds that are measured before and after one more connection."""
_GAIN = 1.15
"""What it must bring, to be kept and followed by another."""
_MOST = 4
"""Connections for one file."""
_HUNG = 5.0
"""Seconds without a byte from any helper, after which the thread that leads brings the rest by itself."""


class Target(Protocol):
    """Where the bytes of one file go: a folder, or an object store."""

    object: Object

    @property
    def path(self) -> Path | str:
        """The final name that it has or will have."""
        ...

    @property
    def spans(self) -> Spans:
        """Which bytes are here."""
        ...

    @property
    def splittable(self) -> bool:
        """Whether bytes may be written in any order."""
        ...

    @property
    def received(self) -> int:
        """How many bytes are here."""
        ...

    @property
    def is_whole(self) -> bool:
        """Whether all of them are."""
        ...

    @property
    def is_resumable(self) -> bool:
        """Whether it can be gone on with after it was let go of."""
        ...

    def known(self) -> tuple[Path | str, Record] | None:
        """The file, where it is there and whole already."""
        ...

    def open(self) -> None:
        """Be ready to take bytes, and see what an earlier run has left."""
        ...

    def begin(self, found: Object) -> None:
        """From here on it is a part of this object, and nothing of it is here."""
        ...

    def check_room(self) -> None:
        """Raise `DiskFull` where what is missing has no room."""
        ...

    def name_it(self, wanted: str) -> None:
        """The host says what the file is called."""
        ...

    def write(self, offset: int, piece: memoryview) -> None:
        """Put the bytes where they belong. May be called by several threads at once where it is splittable."""
        ...

    def digest(self, offset: int, piece: memoryview) -> None:
        """Take them into account for the SHA-256, after they were written."""
        ...

    def publish(self, *, verified: bool) -> tuple[Path | str, Record]:
        """Give it its final name."""
        ...

    def take_over(self, whole: Any) -> None:
        """Fill it from a file that holds the same."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class Claim:
    """Bytes that a connection is to bring: from `at` up to `end`, which may be given to another one meanwhile."""

    def __init__(self, at: int, end: int | None) -> None:
        self.begin, self.at, self.end = at, at, end
        self.limit: int | None = None
        """Where the bytes end that its answer holds."""
        self.given_up = False
        self.answer: Answer | None = None


class Cut(Exception):
    """The answer ended before the claim did."""


class Transfer:
    """The file on its way. One thread leads; more help while that is worth it."""

    def __init__(
        self, target: Target, crew: Crew, wrote: Callable[[], None], help_with: "Callable[[Transfer, Claim], bool]"
    ) -> None:
        self._target, self._crew = target, crew
        self._wrote, self._help_with = wrote, help_with
        self._lock = threading.Condition()
        self._taken = target.spans
        self._claims: list[Claim] = []
        self._helpers = 0
        self._scribe: _Scribe | None = None
        self._since = (time.monotonic(), held(self._taken))
        self._before: float | None = None
        self._settled = not target.splittable
        self.ranges = False
        """Whether the host gives parts, and they can be told to be of the same object."""

    # --- whose turn it is --------------------------------------------------------------------------------------------

    def claim(self) -> Claim | None:
        """For the thread that leads: what to bring next. None where all is here, after waiting for the helpers."""
        have, since = -1, 0.0
        while True:
            with self._lock:
                claim = self._free()
                if claim is not None or not self._helpers:
                    return claim
                if (now := held(self._taken)) != have:
                    have, since = now, time.monotonic()
                elif time.monotonic() - since > _HUNG:
                    self._take_back()
                    continue
                self._lock.wait(0.1)
            self._crew.check()

    def _take_back(self) -> None:
        """What helpers have not brought is a gap again, whatever they are waiting for."""
        for claim in self._claims:
            claim.end = claim.at
            claim.given_up = True
            if claim.answer is not None:
                claim.answer.interrupt()

    def _free(self) -> Claim | None:
        size = self._target.object.size
        if size is None:
            claim = Claim(held(self._taken), None)
            self._claims.append(claim)
            return claim
        covered = self._taken
        for other in self._claims:
            covered = added(covered, (other.at, size if other.end is None else other.end))
        free = gaps(covered, size)
        if free:
            claim = Claim(*free[0])
        else:
            largest = max(self._claims, key=_left, default=None)
            if largest is None or _left(largest) < 2 * _WORTH:
                return None
            assert largest.end is not None  # noqa: S101 - it has a size
            middle = largest.end - _left(largest) // 2
            claim, largest.end = Claim(middle, largest.end), middle
        self._claims.append(claim)
        return claim

    def leave(self, claim: Claim) -> None:
        """What is left of it is a gap again; or it stays with whom it was taken from, where nothing of it came."""
        with self._lock:
            claim.answer = None
            self._claims.remove(claim)
            for other in self._claims if claim.at == claim.begin else ():
                if other.end == claim.at and claim.end is not None and (other.limit or 0) >= claim.end:
                    other.end = claim.end
            self._lock.notify_all()

    def anew(self, found: Object) -> None:
        """Begin from zero, with this object."""
        self._dismiss()
        self.flush()
        self._target.begin(found)
        with self._lock:
            self._taken = ()
        self._since, self._before = (time.monotonic(), 0), None

    def announced(self, claim: Claim, start: int, end: int | None) -> None:
        """The answer holds these bytes."""
        with self._lock:
            claim.at, claim.limit = start, end
            if claim.end is None or (end is not None and end < claim.end):
                claim.end = end

    # --- reading -----------------------------------------------------------------------------------------------------

    def read(self, claim: Claim, answer: Answer, head: bytes, *, leads: bool) -> None:
        """Bring the bytes of the claim, of which `head` was read already. Raises `Cut`, and what reading raises."""
        size = self._target.object.size
        if self._scribe is None and (size is None or size - claim.at > _ALONE):
            self._scribe = _Scribe(self._put)
        scribe = self._scribe
        own = memoryview(bytearray(_LITTLE)) if scribe is None else None
        while claim.end is None or claim.at < claim.end:
            self._crew.check(patient=self._target.is_resumable)
            view = own if own is not None else scribe.buffer(self._crew)  # type: ignore[union-attr]
            read = False
            try:
                if head:
                    view[: len(head)], got, head = head, len(head), b""
                else:
                    got = self._got(claim, answer, view)
                read = True
            finally:
                if scribe is not None and not read:
                    scribe.back(view)
            with self._lock:
                at = claim.at
                # Another may have been given the end of it meanwhile.
                kept = got if claim.end is None else max(0, min(got, claim.end - at))
                claim.at += kept
                self._taken = added(self._taken, (at, at + kept))
            if scribe is None:
                self._put(at, view[:kept], written=False)
            else:
                # Half the work each: who decrypts has enough of it.
                early = not answer.decrypts and self._target.splittable
                if early:
                    self._write(at, view[:kept], scribe)
                scribe.put(at, view, kept, written=early)
            if got == 0:
                if claim.end is not None and claim.at < claim.end and not claim.given_up:
                    raise Cut
                return
            if leads:
                self._grow()

    def _got(self, claim: Claim, answer: Answer, view: memoryview) -> int:
        length = len(view) if claim.end is None else min(len(view), claim.end - claim.at)
        return 0 if claim.given_up or length <= 0 else answer.readinto(view[:length])

    def _write(self, offset: int, piece: memoryview, scribe: "_Scribe") -> None:
        try:
            self._target.write(offset, piece)
        except OSError as error:
            scribe.fail(error)
            raise

    def _put(self, offset: int, piece: memoryview, written: bool) -> None:
        if not len(piece):
            return
        if not written:
            self._target.write(offset, piece)
        self._target.digest(offset, piece)
        self._wrote()

    def flush(self) -> None:
        """Come back when all that was read is written. Raises the error that writing had."""
        if self._scribe is not None:
            self._scribe.flush()

    # --- helpers -----------------------------------------------------------------------------------------------------

    def _grow(self) -> None:
        """Try one more connection, and keep it where it has made the file come faster."""
        now = time.monotonic()
        since, had = self._since
        size = self._target.object.size
        if self._settled or not self.ranges or size is None or now - since < _TRIAL:
            return
        have = held(self._taken)
        rate = (have - had) / (now - since)
        self._since = (now, have)
        if self._before is not None and rate < self._before * _GAIN:
            self._settled = True
            self._dismiss(1)
            return
        left = size - have
        if self._helpers + 1 >= _MOST or left < 2 * _WORTH or left < 2 * _TRIAL * rate:
            self._settled = True
        elif self._crew.threads.take(self._crew, wait=False):
            self._before = rate
            with self._lock:
                self._helpers += 1
            if self._scribe is not None:
                self._scribe.add_buffer()
            self._hire()

    def _hire(self) -> None:
        try:
            self._crew.threads.start(self._crew, self._help)
        except RuntimeError:
            # The system gives no more threads.
            self._settled = True
            with self._lock:
                self._helpers -= 1

    def _help(self) -> None:
        try:
            while True:
                with self._lock:
                    claim = self._free()
                if claim is None:
                    return
                try:
                    helped = self._help_with(self, claim)
                finally:
                    self.leave(claim)
                if not helped or claim.given_up:
                    self._settled = True
                    return
        finally:
            with self._lock:
                self._helpers -= 1
                self._lock.notify_all()

    def hired(self, claim: Claim, answer: Answer) -> None:
        """This claim is filled by this answer, which can be interrupted."""
        with self._lock:
            claim.answer = answer

    def _dismiss(self, most: int | None = None) -> None:
        """Send the helpers away: all of them and wait for it, or the last."""
        with self._lock:
            helped = [claim for claim in self._claims if claim.answer is not None]
            for claim in helped if most is None else helped[-most:]:
                claim.given_up = True
                if claim.answer is not None:
                    claim.answer.interrupt()
        while most is None:
            with self._lock:
                if not self._helpers:
                    return
                for claim in self._claims:
                    if claim.answer is not None and not claim.given_up:
                        claim.given_up = True
                        claim.answer.interrupt()
                self._lock.wait(0.1)

    def close(self) -> None:
        """End all threads of this file but the one that calls."""
        self._dismiss()
        if self._scribe is not None:
            self._scribe.close()


def _left(claim: Claim) -> int:
    return 0 if claim.end is None else claim.end - claim.at


class _Scribe:
    """A thread that digests what others have read, and writes it where they have not."""

    def __init__(self, write: Callable[[int, memoryview, bool], None]) -> None:
        self._write = write
        self._free: queue.SimpleQueue[memoryview] = queue.SimpleQueue()
        self._full: queue.SimpleQueue[tuple[int, memoryview, int, bool] | threading.Event | None] = queue.SimpleQueue()
        self._error: Exception | None = None
        for _ in range(3):
            self.add_buffer()
        self._thread = threading.Thread(target=self._run, name="iceye-async-scribe", daemon=True)
        self._thread.start()

    def add_buffer(self) -> None:
        self._free.put(memoryview(bytearray(PIECE)))

    def buffer(self, crew: Crew) -> memoryview:
        """An empty buffer, as soon as there is one."""
        while True:
            if self._error is not None:
                raise self._error
            try:
                return self._free.get(timeout=0.5)
            except queue.Empty:
                crew.check(patient=False)

    def back(self, buffer: memoryview) -> None:
        """It was not used."""
        self._free.put(buffer)

    def put(self, offset: int, buffer: memoryview, length: int, *, written: bool) -> None:
        """Have so much of the buffer written, unless it was, and digested."""
        self._full.put((offset, buffer, length, written))

    def fail(self, error: Exception) -> None:
        """Writing failed elsewhere: nothing more is written."""
        self._error = error

    def flush(self) -> None:
        """Come back when everything is written. Raises the error that there was."""
        written = threading.Event()
        self._full.put(written)
        written.wait()
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Write what there is, and end."""
        self._full.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (work := self._full.get()) is not None:
            if isinstance(work, threading.Event):
                work.set()
                continue
            offset, buffer, length, written = work
            if self._error is None:
                try:
                    self._write(offset, buffer[:length], written)
                except Exception as error:  # noqa: BLE001 - it is raised where it is waited for
                    self._error = error
            self._free.put(buffer)
