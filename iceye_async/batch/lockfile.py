"""The lock of a journal: whoever has it is its only writer. It ends with the process that has it, however that ends."""

import contextlib
import os
import socket
import weakref
from pathlib import Path

from ..downloads.system import CREATE, lock, unlock
from ..errors import JournalError

_HELD: "weakref.WeakSet[Lockfile]" = weakref.WeakSet()


class Lockfile:
    """A file that says in which process of which machine the journal beside it is written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle: int | None = None
        self._owner = 0

    def take(self, journal: Path) -> None:
        """Have the lock. Raises `JournalError` that names who has it, and `OSError` where nobody can."""
        handle = os.open(self.path, CREATE, 0o600)
        taken = False
        try:
            lock(handle, wait=False)
            os.ftruncate(handle, 0)
            os.write(handle, f"{os.getpid()}\n{socket.gethostname()}\n".encode())
            taken = True
        except BlockingIOError:
            holder = os.read(handle, 1000).decode("utf-8", "replace")
        finally:
            if not taken:
                os.close(handle)
        if not taken:
            raise JournalError(_in_use(journal, holder))
        self._handle, self._owner = handle, os.getpid()
        _HELD.add(self)

    def release(self) -> None:
        """Let others have it. The file stays: without it nobody could tell a damaged journal from another file."""
        handle, self._handle = self._handle, None
        if handle is not None and self._owner == os.getpid():
            _HELD.discard(self)
            with contextlib.suppress(OSError):
                unlock(handle)
            os.close(handle)

    def let_go(self) -> None:
        """Give up what a fork has copied. The lock stays with the process that took it, and ends with that."""
        handle, self._handle = self._handle, None
        if handle is not None:
            os.close(handle)


def holder_lives(path: Path) -> bool | None:
    """Whether the process that had the lock last runs; None where it is one of another machine.

    It is not asked by taking the lock: whoever wants it in that moment would be refused.
    """
    try:
        pid, _, host = path.read_text(encoding="utf-8", errors="replace").partition("\n")
        if host.strip() != socket.gethostname():
            return None
        if os.name != "nt":  # There this would end the process.
            os.kill(int(pid), 0)
    except (OSError, ValueError, OverflowError) as error:
        return isinstance(error, PermissionError)
    return True


def _in_use(journal: Path, holder: str) -> str:
    pid, _, host = holder.partition("\n")
    if not pid.strip().isdigit():
        who = "another process"
    elif int(pid) == os.getpid() and host.strip() == socket.gethostname():
        who = "another batch of this process"
    else:
        who = f"process {pid.strip()} on {''.join(char for char in host if char.isprintable())}"
    return f"{journal} is in use by {who}; one batch at a time writes a journal: wait for it, or end it"


def _forked() -> None:
    for held in list(_HELD):
        held.let_go()
    _HELD.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
