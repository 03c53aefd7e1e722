"""Detections as plain GeoJSON features: of derivatives, whose files are fetched for it, or of files that are there.

The real schema of detection files is not public, so nothing is presumed but what GeoJSON (RFC 7946) is.
"""

import asyncio
import errno
import os
import re
import stat
import tempfile
import threading
from collections.abc import Awaitable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import evolve, field, frozen

from .errors import DecodeError, DiskFull, DownloadError, UsageError
from .holdings import Holdings, Record
from .models import Derivative, DerivativeSet, DerivativeUpdate, Product, Task
from .models.geometry import flaw, is_type
from .protocol.links import clean, mask_text, mask_within
from .protocol.wire import decode

if TYPE_CHECKING:
    from .client import Client

_READABLE = {"geojson", "json", "application/geo+json", "application/json", "application/vnd.geo+json"}
"""What a file of detections may be called by the service; the documented word is the first."""
_ASSETS = r"(?i)((geo)?json|asset|application/.*json.*)(-\d+)?"
"""Keys of such files in a manifest."""
_SUFFIXES = {".geojson", ".json"}
# As urn:ogc:def:crs:EPSG::3857, http://www.opengis.net/def/crs/EPSG/0/3857 or EPSG:3857.
_CRS = r"(?ai)(?:urn:ogc:def:crs:|https?://www\.opengis\.net/def/crs/)?([a-z]{2,8})[:/](?:[\d.]*[:/])?(\w{1,20})"
_WGS_84 = {"OGC:CRS84", "OGC:CRS84H", "EPSG:4326", "EPSG:4979"}


@frozen(kw_only=True)
class Detections:
    """The features of one file, and what it is about; no text in it holds a signed link.

    Each feature is a dict with `type`, `geometry` (sound, or None) and `properties` (a dict), and what else it had.
    """

    features: tuple[dict[str, Any], ...] = field(repr=lambda features: f"<{len(features)}>")
    file: str
    """Of one that was fetched, the name; it is gone again."""
    crs: str | None = None
    """As `EPSG:3857`; None where the coordinates are longitudes and latitudes in WGS 84, as in all GeoJSON of today."""
    task_id: str | None = None
    derivative_id: str | None = None
    derivative_type: str | None = None
    image_reference: str | None = None
    image_id: str | None = None


def check_client(client: object) -> None:
    """That files can be fetched with it."""
    if not callable(getattr(client, "download", None)):
        raise UsageError(f"client is the Client to fetch files with, not {type(client).__name__}")


# --- of derivatives --------------------------------------------------------------------------------------------------


def listed(thing: object) -> tuple[Derivative, ...]:
    """The derivatives in a thing, each once, with those assets that are GeoJSON.

    Raises `UsageError` for anything else, and where none of them has any, and says what to do instead.
    """
    found: dict[tuple[str, str], Derivative] = {}
    for derivative in _derivatives(thing):
        known = found.get((derivative.task_id, derivative.id))
        if known is None or derivative.assets or not known.assets:
            found[derivative.task_id, derivative.id] = derivative
    readable = {derivative: _readable(derivative) for derivative in found.values()}
    lost = [derivative for derivative, left in readable.items() if derivative.assets and not left.assets]
    if lost and not any(left.assets for left in readable.values()):
        types = ", ".join(sorted({clean(str(asset.type), 60) for derivative in lost for asset in derivative.assets}))
        raise UsageError(
            f"derivative {clean(lost[0].id, 60)} has no GeoJSON, but {types}; client.download() brings its files"
        )
    return tuple(readable.values())


async def fetched(client: "Client", wanted: tuple[Derivative, ...]) -> list[Detections]:
    """The detections of each file of derivatives that are `listed`, in their order; those without assets have none yet.

    The files come as `client.download()` brings them, into a temporary folder that is gone afterwards. Raises its
    errors, `DecodeError` for what is no GeoJSON, and `UsageError`.
    """
    check_client(client)
    if not any(derivative.assets for derivative in wanted):
        return []
    with temporary() as folder:
        try:
            return await _brought(client, wanted, Path(folder))
        except DownloadError as error:
            # What had arrived goes with the folder.
            error.done = ()
            raise


def temporary() -> tempfile.TemporaryDirectory[str]:
    """A folder that is gone after a `with`. Raises `DownloadError` or `DiskFull` where there can be none."""
    try:
        return tempfile.TemporaryDirectory(prefix="iceye-async-", ignore_cleanup_errors=True)
    except OSError as error:
        kind = DiskFull if error.errno in {errno.ENOSPC, errno.EDQUOT} else DownloadError
        failure = kind(f"no temporary folder can be made: {error.strerror}; name another place in TMPDIR")
    raise failure


async def _brought(client: "Client", wanted: tuple[Derivative, ...], folder: Path) -> list[Detections]:
    paths = await client.download(wanted, folder)
    stop = threading.Event()
    try:
        return await asyncio.to_thread(_all_of, {(it.task_id, it.id): it for it in wanted}, paths, stop)
    finally:
        # Cancelled: the thread reads its file to the end, and no other.
        stop.set()


def _all_of(
    wanted: Mapping[tuple[str, str], Derivative], paths: tuple[Path, ...], stop: threading.Event
) -> list[Detections]:
    records = Holdings(paths[0].parent).records() if paths else {}
    found = []
    for path in paths:
        if stop.is_set():
            break
        derivative = wanted[records[path.name].task, records[path.name].item]
        detections = read(
            path,
            task_id=derivative.task_id,
            derivative_id=derivative.id,
            derivative_type=derivative.type,
            image_reference=derivative.image_reference,
            image_id=derivative.image_id,
        )
        found.append(evolve(detections, file=path.name))
    return found


def _derivatives(thing: object) -> Iterator[Derivative]:
    if isinstance(thing, Derivative):
        yield thing
    elif isinstance(thing, DerivativeSet | DerivativeUpdate):
        yield from thing
    else:
        _check(thing, "derivatives")
        if isinstance(thing, str | bytes | Mapping) or not isinstance(thing, Iterable):
            raise UsageError(f"expected derivatives, not {_named(thing)}; {_hint(thing)}")
        for part in thing:
            yield from _derivatives(part)


def _check(thing: object, wanted: str) -> None:
    """Refuse what was not awaited."""
    if isinstance(thing, Awaitable) or hasattr(thing, "__aiter__"):
        raise UsageError(f"expected {wanted}, not what gives them: write `await` before {_named(thing)}")


def _named(thing: object) -> str:
    return f"a {type(thing).__name__}" if not isinstance(thing, str) else "text"


def _hint(thing: object) -> str:
    if isinstance(thing, os.PathLike):
        return "files that are there are read with geo.from_files()"
    if isinstance(thing, str):
        return "of a task pass `await client.derivatives.get(task_id)` or `await client.await_derivatives(task_id)`"
    if isinstance(thing, Product | Task):
        owner = "product.task_id" if isinstance(thing, Product) else "task.id"
        return f"detections are in the derivatives of a task: pass `await client.derivatives.get({owner})`"
    if isinstance(thing, Mapping):
        return "pass its .values()"
    return "pass a DerivativeSet, derivatives, or several of them; files that are there are read with geo.from_files()"


def _readable(derivative: Derivative) -> Derivative:
    """The derivative with those assets alone that can be read."""
    # By type, so that what is left keeps its keys, by which a download finds it again.
    assets = tuple(asset for asset in derivative.assets if asset.type is None or _plain(asset.type) in _READABLE)
    return evolve(derivative, assets=assets)


def _plain(media_type: str) -> str:
    return media_type.partition(";")[0].strip().lower()


# --- of files --------------------------------------------------------------------------------------------------------


def of_files(thing: object) -> list[Detections]:
    """The detections of each file among these: a file, those in a folder by their names, or several of both.

    What they are about is as the manifest of their folder has it. Other files that downloads bring are passed over.
    """
    manifests = _Manifests()
    paths: dict[str, Path] = {}
    for path in _paths(thing, manifests):
        # Each once, also where it is named beside its folder.
        paths.setdefault(os.path.abspath(path), path)  # noqa: PTH100 - links are kept
    return [_of_file(path, manifests.record(path)) for path in paths.values()]


class _Manifests:
    """What is known of files, each by the manifest of its folder."""

    def __init__(self) -> None:
        self._folders: dict[Path, Holdings] = {}

    def record(self, path: Path) -> Record | None:
        folder = self._folders.setdefault(path.parent, Holdings(path.parent))
        return folder.records().get(path.name)

    def is_known(self, path: Path, *, as_detections: bool) -> bool:
        """Whether it is of detections, or of something else: what describes a product's thumbnail, for instance."""
        record = self.record(path)
        return record is not None and (re.fullmatch(_ASSETS, record.asset) is not None) is as_detections


def _of_file(path: Path, record: Record | None) -> Detections:
    if record is None:
        return read(path)
    return read(path, task_id=record.task, derivative_id=record.item, derivative_type=record.kind)


def _paths(thing: object, manifests: _Manifests) -> list[Path]:
    if isinstance(thing, str | os.PathLike):
        path = _path(thing)
        return _in_folder(path, manifests) if _is_folder(path) else [_by_name(path)]
    _check(thing, "paths")
    if isinstance(thing, bytes | Mapping) or not isinstance(thing, Iterable):
        raise UsageError(
            f"expected a path, a folder, or several paths such as `await client.download(...)` gives, "
            f"not {_named(thing)}; of a BatchOutcome pass .files"
        )
    return [path for part in thing for path in _one_of_several(part, manifests)]


def _one_of_several(part: object, manifests: _Manifests) -> list[Path]:
    if not isinstance(part, str | os.PathLike):
        _check(part, "paths")
        hint = "; derivatives are read with geo.to_geodataframe()" if isinstance(part, Derivative) else ""
        raise UsageError(f"expected paths, not {_named(part)}{hint}")
    path = _path(part)
    if _is_folder(path):
        return _in_folder(path, manifests)
    if path.name.startswith(".") or path.suffix.lower() not in _SUFFIXES:
        return []
    is_other = path.suffix.lower() == ".json" and manifests.is_known(path, as_detections=False)
    return [] if is_other else [path]


def _path(given: "str | os.PathLike[Any]") -> Path:
    text = os.fspath(given)
    if not isinstance(text, str) or not text or "\0" in text:
        raise UsageError("a path is text that is not empty and has no NUL in it")
    if re.match(r"(?i)https?://", text):
        raise UsageError("expected paths, not a link; client.download() brings what it leads to")
    return Path(text)


def _is_folder(path: Path) -> bool:
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except FileNotFoundError:
        failure: Exception = UsageError(f"there is no file or folder {clean(str(path))}")
    except (OSError, ValueError) as error:
        failure = _unread(path, error)
    raise failure


def _by_name(path: Path) -> Path:
    if path.suffix.lower() not in _SUFFIXES:
        raise UsageError(f"{clean(path.name)} is no GeoJSON by its name, which ends in .geojson or .json")
    return path


def _in_folder(folder: Path, manifests: _Manifests) -> list[Path]:
    """The GeoJSON in a folder and in those in it, but for what is hidden, such as a notebook's checkpoints."""
    found: list[Path] = []

    def refuse(error: OSError) -> None:
        raise _unread(Path(str(error.filename or folder)), error)

    for here, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for path in (Path(here, name) for name in sorted(names) if not name.startswith(".")):
            suffix = path.suffix.lower()
            # Detections whose link called them so may end in .json; what else does is only known by the manifest.
            if suffix == ".geojson" or (suffix == ".json" and manifests.is_known(path, as_detections=True)):
                found.append(path)
    return found


# --- one file --------------------------------------------------------------------------------------------------------


def read(
    path: Path,
    *,
    task_id: str | None = None,
    derivative_id: str | None = None,
    derivative_type: str | None = None,
    image_reference: str | None = None,
    image_id: str | None = None,
) -> Detections:
    """The detections in a file: a collection of features, one feature, or a bare geometry. It blocks.

    Raises `DecodeError` that names the file, and in `where` what in it is wrong; `UsageError` where there is no such
    file; `DownloadError` where the disk does not give it.
    """
    body = _bytes(path)
    name = clean(path.name)
    try:
        document = decode(body)
    except DecodeError as error:
        reason, where = str(error).removeprefix("the answer "), error.where
    else:
        features = _features(document, name)
        facts = (task_id, derivative_id, derivative_type, image_reference, image_id)
        masked = [None if fact is None else mask_text(str(fact)) for fact in facts]
        return Detections(
            features=features,
            file=str(path),
            crs=_crs(document, name),
            task_id=masked[0],
            derivative_id=masked[1],
            derivative_type=masked[2],
            image_reference=masked[3],
            image_id=masked[4],
        )
    raise DecodeError(f"{name} {reason}", where=where)


def _bytes(path: Path) -> bytes:
    try:
        # A pipe would never end, nor even open.
        if stat.S_ISREG(path.stat().st_mode):
            return path.read_bytes()
        failure: Exception = UsageError(f"{clean(str(path))} is no file")
    except FileNotFoundError:
        failure = UsageError(f"there is no file {clean(str(path))}")
    except OSError as error:
        failure = _unread(path, error)
    raise failure


def _unread(path: Path, error: Exception) -> DownloadError:
    reason = getattr(error, "strerror", None) or type(error).__name__
    return DownloadError(f"{clean(str(path))} cannot be read: {reason}", path=path)


def _features(document: Any, name: str) -> tuple[dict[str, Any], ...]:
    kind = document.get("type") if type(document) is dict else None
    if kind == "Feature":
        return (_feature(document, "", name),)
    if is_type(kind):
        return (_feature({"type": "Feature", "geometry": document}, "", name, of="$"),)
    if kind != "FeatureCollection":
        raise _flawed(name, "$", "expected GeoJSON: features, one feature, or a geometry")
    features = document.get("features")
    if type(features) is not list:
        raise _flawed(name, "$.features", "expected an array")
    return tuple(_feature(feature, f".features[{index}]", name) for index, feature in enumerate(features))


def _feature(feature: Any, place: str, name: str, of: str | None = None) -> dict[str, Any]:
    if type(feature) is not dict or feature.get("type", "Feature") != "Feature":
        raise _flawed(name, f"${place}", "expected a feature")
    properties = feature.get("properties")
    if properties is not None and type(properties) is not dict:
        raise _flawed(name, f"${place}.properties", "expected an object")
    geometry = feature.get("geometry")
    found = None if geometry is None else flaw(geometry)
    if found is not None:
        raise _flawed(name, f"{of or f'${place}.geometry'}{found[0]}", found[1])
    others = {key: value for key, value in feature.items() if key not in {"type", "geometry", "properties"}}
    return {
        "type": "Feature",
        "geometry": None if geometry is None else _bare(geometry),
        "properties": mask_within(properties or {}),
        **mask_within(others),
    }


def _bare(geometry: dict[str, Any]) -> dict[str, Any]:
    """A sound geometry without anything that is none of its places, and so without texts."""
    if geometry["type"] == "GeometryCollection":
        return {"type": "GeometryCollection", "geometries": [_bare(part) for part in geometry["geometries"]]}
    return {"type": geometry["type"], "coordinates": geometry["coordinates"]}


def _crs(document: dict[str, Any], name: str) -> str | None:
    """The system of coordinates, where it is named as GeoJSON had it before 2016, and is not the one of today."""
    told = document.get("crs")
    if told is None:
        return None
    facts = told.get("properties") if type(told) is dict and told.get("type", "name") == "name" else None
    crs = facts.get("name") if type(facts) is dict else None
    found = re.fullmatch(_CRS, crs.strip()) if type(crs) is str else None
    if found is None:
        raise _flawed(name, "$.crs", "expected the name of a system of coordinates, as urn:ogc:def:crs:EPSG::3857")
    code = f"{found[1]}:{found[2]}".upper()
    return None if code in _WGS_84 else code


def _flawed(name: str, place: str, reason: str) -> DecodeError:
    return DecodeError(f"{name} is not the GeoJSON that it should be: {reason} @ {place}", where=(place,))
