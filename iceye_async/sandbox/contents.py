"""The bytes behind a link: a real file, and noise after it up to the size that a scenario wants.

They are never in memory as a whole, so a file of 50 GB costs no more than one of 2 MB.
"""

import hashlib
import zlib

from attrs import evolve, frozen

_PIECE = 256 * 1024
_PERIOD = 1_048_573
"""Bytes after which the noise repeats: a prime, so that a piece in a wrong place is always found to be wrong."""
_KEPT = 16
"""Bytes at the beginning by which the type of a file is known."""


@frozen(repr=False)
class Content:
    """So many bytes: `head`, then noise. `turn` tells versions apart: all but the first bytes are changed by it."""

    head: bytes
    size: int
    etag: str
    _noise: bytes = b""
    turn: int = 0

    def piece(self, start: int, stop: int) -> bytes | memoryview:
        """Bytes from `start` on, before `stop`: at least one, and as many as there are at hand without copying."""
        stop = min(stop, start + _PIECE)
        if start < len(self.head):
            found = memoryview(self.head)[start:stop]
        else:
            at = (start - len(self.head)) % _PERIOD
            found = memoryview(self._noise)[at : at + stop - start]
        return self._turned(found, start) if self.turn else found

    def _turned(self, found: memoryview, start: int) -> bytes:
        kept = max(0, min(_KEPT, self.size // 2) - start)
        table = bytes((value + self.turn) % 256 for value in range(256))
        return bytes(found[:kept]) + bytes(found[kept:]).translate(table)


def content(file: bytes, size: int | None = None, seed: str = "") -> Content:
    """The file, cut or filled up with noise to the size in bytes."""
    size = len(file) if size is None else size
    if size <= len(file):
        return Content(file[:size], size, _etag(file[:size]))
    noise = hashlib.shake_128(seed.encode()).digest(_PERIOD)
    return Content(file, size, _etag(file, noise, str(size).encode()), noise + noise[:_PIECE])


def replaced(old: Content, etag: str) -> Content:
    """Another version of the same length, which is of the same type by its first bytes and has no other in common."""
    return evolve(old, etag=etag, turn=1 + zlib.crc32(etag.encode()) % 255)


def _etag(*parts: bytes) -> str:
    return f'"{hashlib.md5(b"".join(parts), usedforsecurity=False).hexdigest()}"'
