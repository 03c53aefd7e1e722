"""Where a journal is: its files, whether they may be there, and how they are moved aside or removed."""

import contextlib
import os
import re
import shutil
import tempfile
import weakref
from pathlib import Path

from ..errors import JournalError, StateError

MOUNTS = Path("/proc/self/mountinfo")
_BESIDE = ("-wal", "-shm", "-journal")
"""What SQLite keeps beside a file, and needs to read it."""
# Locks and shared memory do not reach the other machines there, and both are what keeps a journal whole.
_FAR = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "smb2", "9p", "afs", "ceph", "glusterfs", "lustre", "beegfs", "gpfs"}
)
_FAR_FUSE = frozenset({"sshfs", "glusterfs", "ceph", "ceph-fuse", "rclone", "s3fs", "gcsfuse", "davfs2", "goofys"})


class Place:
    """The files of a journal. A temporary one is removed when nobody holds its place any more."""

    def __init__(self, path: Path | None) -> None:
        self.temporary = path is None
        self.pid: int | None = None
        """The process that writes there right now, where one does."""
        if path is None:
            try:
                folder = Path(tempfile.mkdtemp(prefix="iceye-async-"))
            except OSError as error:
                raise JournalError(f"there is no room for a temporary journal: {error}; pass journal=") from None
            self.path = folder / "journal.db"
            weakref.finalize(self, _remove, folder, os.getpid())
        else:
            # Another name for the same file, through a link, must not lead to another lock.
            self.path = Path(os.path.realpath(path))

    @property
    def lock(self) -> Path:
        return self.path.with_name(f"{self.path.name}.lock")

    @property
    def beginning(self) -> Path:
        """What a new journal is called until it is whole."""
        return self.path.with_name(f"{self.path.name}.new")

    @property
    def wal(self) -> Path:
        return self.path.with_name(f"{self.path.name}-wal")

    def uri(self, mode: str) -> str:
        return f"{self.path.as_uri()}?mode={mode}"

    def check(self) -> None:
        """Raise `JournalError` where no journal can be."""
        folder = self.path.parent
        if not folder.is_dir():
            raise JournalError(f"{self.path}: there is no folder {folder}; make it, or choose another journal=")
        if self.path.exists() and not self.path.is_file():
            raise JournalError(f"{self.path} is not a file; choose another journal=")
        kind = None if self.temporary else file_system(folder)
        if kind is not None and (kind in _FAR or kind.removeprefix("fuse.") in _FAR_FUSE):
            raise JournalError(
                f"{self.path} is on a network file system ({kind}), where a journal does not stay whole; "
                "choose a path on a local disk as journal=, the files themselves may go there with to="
            )

    def here(self) -> None:
        """Raise `StateError` in a process that was forked while the journal was open."""
        if self.pid is not None and self.pid != os.getpid():
            raise StateError(f"{self.path} was opened before this process was forked; use it where it was opened")

    def is_empty(self) -> bool:
        """Whether nothing is there, or nothing in it."""
        try:
            return self.path.stat().st_size == 0
        except FileNotFoundError:
            return True

    def set_aside(self) -> Path:
        """Move the files away; where the journal is then."""
        number = 1
        while os.path.lexists(moved := self.path.with_name(f"{self.path.name}.damaged-{number}")):
            number += 1
        for suffix in (*_BESIDE, ""):
            with contextlib.suppress(FileNotFoundError):
                Path(f"{self.path}{suffix}").rename(f"{moved}{suffix}")
        return moved

    def unlink_beginning(self) -> None:
        self.beginning.unlink(missing_ok=True)
        self.unlink_beside(self.beginning)

    def unlink_beside(self, path: Path) -> None:
        """Remove what SQLite may have left beside this file."""
        for suffix in _BESIDE:
            Path(f"{path}{suffix}").unlink(missing_ok=True)


def file_system(folder: Path) -> str | None:
    """The type of the file system that the folder is on; None where nothing tells."""
    try:
        lines = MOUNTS.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return None
    found, longest = None, -1
    for line in lines:
        # The fields before the hyphen vary in number: https://docs.kernel.org/filesystems/proc.html, 3.5.
        before, _, after = line.partition(" - ")
        fields = before.split(" ")
        if len(fields) < 5 or not after:
            continue
        mounted = Path(re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), fields[4]))
        # Of two on the same folder the later one is seen.
        if folder.is_relative_to(mounted) and len(mounted.parts) >= longest:
            found, longest = after.split(" ")[0], len(mounted.parts)
    return found


def _remove(folder: Path, owner: int) -> None:
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)
