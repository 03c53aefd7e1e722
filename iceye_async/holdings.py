"""What a folder of downloads holds: the names of its files, and what its manifest says of each; never a link.

A name is trusted because it stands in the manifest, not because a file has it.
"""

import hashlib
import json
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, TypeAlias

from attrs import field, fields, frozen
from attrs.validators import instance_of, optional

from .errors import DownloadError
from .protocol.links import mask_text, safe_name

NAME = ".iceye-async.json"
"""The manifest of a folder."""

Identity: TypeAlias = tuple[str, str, str]
"""Which asset it is: the ids of its task and of its item, and its key."""

_SUFFIXES = {
    "image/tiff": ".tif",
    "application/x-geotiff": ".tif",
    "image/png": ".png",
    "application/xml": ".xml",
    "application/json": ".json",
    "application/geo+json": ".json",
    "application/vnd.google-earth.kml+xml": ".kml",
    "application/vnd.google-earth.kmz": ".kmz",
    "application/x-nitf": ".nitf",
    "video/mp4": ".mp4",
}


@frozen
class Record:
    """What is known of one file.

    A change of it is noticed by `modified`: its time in nanoseconds, or what an object store calls the version.
    `verified` is false where nobody had told its size; `kind` is the type of the product or derivative, where known.
    """

    task: str = field(validator=instance_of(str))
    item: str = field(validator=instance_of(str))
    asset: str = field(validator=instance_of(str))
    size: int = field(validator=instance_of(int))
    etag: str | None = field(validator=optional(instance_of(str)))
    sha256: str = field(validator=instance_of(str))
    modified: int | str | None = field(default=None, validator=optional(instance_of((int, str))))
    verified: bool = field(default=True, validator=instance_of(bool), kw_only=True)
    kind: str | None = field(default=None, validator=optional(instance_of(str)), kw_only=True)

    @property
    def identity(self) -> Identity:
        return (self.task, self.item, self.asset)


class Holdings:
    """What the manifest of a folder says. Reading it blocks."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._seen: tuple[tuple[int, int, int] | None, Mapping[str, Record]] = (None, {})

    def records(self) -> Mapping[str, Record]:
        """The records by file name; none where there is no manifest.

        One that cannot be read is a `DownloadError`: nothing is trusted or replaced because of it.
        """
        path = self.folder / NAME
        try:
            found = path.stat()
            if not stat.S_ISREG(found.st_mode):
                raise TypeError  # noqa: TRY301 - a pipe would never end
            seen = (found.st_ino, found.st_size, found.st_mtime_ns)
            before, records = self._seen
            if seen == before:
                return records
            document = json.loads(path.read_bytes())
            if document["version"] == 1:
                records = {str(name): recorded(facts) for name, facts in document["files"].items()}
                self._seen = (seen, records)
                return records
            reason = "is of a newer version of this package"
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            reason = f"cannot be read ({type(error).__name__})"
        raise DownloadError(f"{path} {reason}; move it away, or use another folder", path=path)


def recorded(facts: Mapping[str, Any]) -> Record:
    """The record that was written as these facts, by this version or by a newer one that knows more."""
    known = {attribute.name for attribute in fields(Record)}
    return Record(**{name: fact for name, fact in facts.items() if name in known})


def asset_name(item_id: str, key: str, media_type: str | None) -> str:
    """The name of a product's file, where the link host has none for it."""
    suffix = _SUFFIXES.get((media_type or "").partition(";")[0].strip().lower(), "")
    # Nobody knows what an id or a key may be; as a link it would bring its signature into the name.
    return safe_name(f"{mask_text(item_id)}_{mask_text(key)}{'' if key.endswith(suffix) else suffix}")


def name_apart(wanted: str, identity: Identity) -> str:
    """The name of an asset where the wanted one is another asset's."""
    digest = hashlib.sha256("\0".join(identity).encode("utf-8", "surrogatepass")).hexdigest()[:10]
    path = PurePosixPath(wanted)
    return f"{path.stem}-{digest}{path.suffix}"


def distinct(wanted: Iterable[tuple[Identity, str]]) -> list[str]:
    """A name for each asset, no two of them the same on any file system."""
    taken: set[str] = set()
    names = []
    for identity, name in wanted:
        free = name if name.casefold() not in taken else name_apart(name, identity)
        taken.add(free.casefold())
        names.append(free)
    return names
