"""What files need of the system and is not the same on all of them. Only Linux is tested.

On Windows a file has one position, so each file is used by one thread at a time; an open file cannot be renamed
there, and a folder cannot be flushed.
"""

import contextlib
import os
import sys
from functools import lru_cache
from pathlib import Path

CREATE = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
"""Open a file or make it, but no other one through a link."""

if sys.platform == "win32":
    import msvcrt

    _LOCK_AT = 2**62
    RENAMES_OPEN = False

    def lock(handle: int, *, wait: bool) -> None:
        os.lseek(handle, _LOCK_AT, os.SEEK_SET)
        try:
            msvcrt.locking(handle, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
        except OSError:
            raise BlockingIOError from None

    def unlock(handle: int) -> None:
        os.lseek(handle, _LOCK_AT, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_UNLCK, 1)

    def write_at(handle: int, piece: memoryview, offset: int) -> int:
        os.lseek(handle, offset, os.SEEK_SET)
        return os.write(handle, piece)

    def read_at(handle: int, length: int, offset: int) -> bytes:
        os.lseek(handle, offset, os.SEEK_SET)
        return os.read(handle, length)

    def flush(handle: int) -> None:
        os.fsync(handle)

else:
    import fcntl

    RENAMES_OPEN = True
    """Whether a file that is open can get another name."""

    def lock(handle: int, *, wait: bool) -> None:
        """Lock the file until it is closed. Raises `BlockingIOError` where somebody else has, unless it may wait."""
        fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)

    def unlock(handle: int) -> None:
        """Release it, also where a process that was forked meanwhile has the file open."""
        fcntl.flock(handle, fcntl.LOCK_UN)

    def write_at(handle: int, piece: memoryview, offset: int) -> int:
        """Write there; how much was."""
        return os.pwrite(handle, piece, offset)

    def read_at(handle: int, length: int, offset: int) -> bytes:
        """Read there; nothing at the end."""
        return os.pread(handle, length, offset)

    def flush(handle: int) -> None:
        """Have the bytes of the file on the disk."""
        (os.fdatasync if sys.platform == "linux" else os.fsync)(handle)


def flush_folder(folder: Path) -> None:
    """Have the names in it on the disk."""
    with contextlib.suppress(PermissionError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@lru_cache(maxsize=1)
def boot() -> str | None:
    """What changes when the system is started anew; None where nothing tells."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None
