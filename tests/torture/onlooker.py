"""What anybody sees of a folder into which a download goes: whole files under final names, or none."""

import contextlib
import hashlib
import json
from pathlib import Path

from iceye_async.downloads import Finished
from tests.conftest import CANARY
from tests.torture.storm import ITEM, TASK, Storm

MANIFEST = ".iceye-async.json"


class Onlooker:
    """Looks into the folder whenever the storm has sent a piece; what may not be is a complaint."""

    def __init__(self, folder: Path, storm: Storm) -> None:
        self.folder = folder
        self._storm = storm
        self._known: set[tuple[str, int, int, int]] = set()
        storm.watch = self.look

    @property
    def names(self) -> list[str]:
        """The names that are no secret."""
        return [name for name in self._all if not name.startswith(".")]

    @property
    def _all(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir()) if self.folder.exists() else []

    def look(self) -> None:
        """Whatever has a final name is one version of the object, from its first byte to its last."""
        for name in self.names:
            path = self.folder / name
            found = path.stat()
            facts = (name, found.st_ino, found.st_size, found.st_mtime_ns)
            if facts in self._known:
                continue
            self._known.add(facts)
            if hashlib.sha256(path.read_bytes()).hexdigest() not in {one.sha256 for one in self._storm.versions}:
                self._storm.complaints.append(f"{name} was seen when it was not whole ({found.st_size} bytes)")

    def look_for_links(self) -> None:
        """No link is in any file but the object itself."""
        for name in self._all:
            path = self.folder / name
            # What is just being written may have its other name by now.
            with contextlib.suppress(FileNotFoundError):
                small = not name.endswith(".part") and path.stat().st_size < 100_000
                if small and CANARY.encode() in path.read_bytes():
                    self._storm.complaints.append(f"a signature is in {name}")

    def judge(self, finished: Finished) -> None:
        """Assert that all is well after all: the object, once, whole, known, and not sent too often.

        It is the object as it is now, or as it was when an answer began that brought the rest of it.
        """
        storm = self._storm
        current = next((one for one in storm.versions if one.sha256 == finished.sha256), storm.current)
        self.look()
        self.look_for_links()
        assert storm.complaints == []
        assert hashlib.sha256(Path(finished.path).read_bytes()).hexdigest() == current.sha256
        assert (finished.size, finished.sha256, finished.verified) == (current.size, current.sha256, True)
        assert self._all == sorted([MANIFEST, f"{MANIFEST}.lock", Path(finished.path).name])
        (record,) = json.loads((self.folder / MANIFEST).read_bytes())["files"].items()
        facts = ("task", "item", "asset", "size", "etag", "sha256")
        assert record[0] == Path(finished.path).name
        assert [record[1][fact] for fact in facts] == [
            *(TASK, ITEM, "geojson"),
            *(current.size, current.etag, current.sha256),
        ]
        for epoch in storm.epochs:
            assert epoch.again <= epoch.bound, f"{epoch} was sent too much"
