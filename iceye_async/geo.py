"""Detections as a GeoDataFrame (extra `geo`): of derivatives, or of files that are downloaded already.

No schema of detections is public, so the columns are what the files have, and nothing else: every property is a
column, whatever it holds. Nothing foreign is imported before it is needed, which then takes a second or two.
"""

import asyncio
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeAlias

from .errors import DecodeError, MissingExtra
from .models import Derivative, DerivativeSet, DerivativeUpdate
from .models.geometry import positions
from .protocol.links import clean

if TYPE_CHECKING:
    import geopandas
    from shapely.geometry.base import BaseGeometry

    from .client import Client
    from .detections import Detections

Derivatives: TypeAlias = Derivative | DerivativeSet | DerivativeUpdate | Iterable["Derivatives"]
Files: TypeAlias = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]

_CRS = "EPSG:4326"
_OF_DERIVATIVES = ("task_id", "derivative_id", "derivative_type", "image_reference", "image_id")
_OF_FILES = ("task_id", "derivative_id", "derivative_type", "file")
_EXACT = 2**53
"""Up to here a float holds every whole number."""
_FOREIGN = {"geopandas", "pandas", "shapely", "pyproj", "numpy", "pyogrio", "packaging"}


async def to_geodataframe(client: "Client", derivatives: Derivatives) -> "geopandas.GeoDataFrame":
    """A row for each detection in these derivatives, in WGS 84.

    `derivatives` are a `Derivative`, a `DerivativeSet` or `DerivativeUpdate`, or several of them, also of several
    tasks. Their files are fetched as `client.download()` does it, with renewed links and repeats, into a temporary
    folder that is gone afterwards. One without assets yet has no rows.

    The columns are `task_id`, `derivative_id`, `derivative_type`, `image_reference` and `image_id`; then each property
    that some file has, in order of first appearance; and `geometry`. A property by a name of ours comes as
    `property_<name>`, and ids of the features themselves, where there are any, as `feature_id`. Whole numbers stay
    whole, nested values stay lists and dicts, and links in texts come without what signs them.

    Raises `MissingExtra` without geopandas; `UsageError` for anything but derivatives; `DecodeError` for a file that is
    no GeoJSON; and what `client.download()` raises, also where only one of several files does not come.
    """
    from . import detections

    wanted = detections.listed(derivatives)
    await asyncio.to_thread(_geopandas)
    found = await detections.fetched(client, wanted)
    return await asyncio.to_thread(_frame, found, _OF_DERIVATIVES)


def from_files(files: Files) -> "geopandas.GeoDataFrame":
    """A row for each detection in files that are there, in WGS 84. It needs no client.

    `files` are a path, a folder (all `.geojson` in it and in its folders, but for hidden ones), or several of them:
    what `client.download()` gives, or `BatchOutcome.files`, of which other kinds of files are passed over. The columns
    are `task_id`, `derivative_id` and `derivative_type`, as the manifest of their folder has them, `file` (the path),
    and then as in `to_geodataframe()`.

    Raises `MissingExtra` without geopandas; `UsageError` for what is not there; `DecodeError` for a file that is no
    GeoJSON; `DownloadError` for what the disk does not give, and for a manifest that cannot be read.
    """
    from . import detections

    _geopandas()
    return _frame(detections.of_files(files), _OF_FILES)


def _geopandas() -> ModuleType:
    try:
        import geopandas
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _FOREIGN:
            raise
        raise MissingExtra("a GeoDataFrame needs geopandas: pip install 'iceye-async[geo]'") from None
    return geopandas  # type: ignore[no-any-return]


# --- the frame -------------------------------------------------------------------------------------------------------


def _frame(found: "Sequence[Detections]", base: tuple[str, ...]) -> "geopandas.GeoDataFrame":
    import geopandas

    rows = [(detections, feature) for detections in found for feature in detections.features]
    columns = {name: _series([getattr(detections, name) for detections, _ in rows], text=True) for name in base}
    ours = [*base, "geometry"]
    if any(feature.get("id") is not None for _, feature in rows):
        columns["feature_id"] = _series([feature.get("id") for _, feature in rows])
        ours.append("feature_id")
    names = _names([feature["properties"] for _, feature in rows], ours)
    for name, column in names.items():
        columns[column] = _series([feature["properties"].get(name) for _, feature in rows])
    places = [place for detections in found for place in _places(detections)]
    # An empty list, and one of nothing but None, would not be taken for geometries.
    columns["geometry"] = geopandas.GeoSeries(places, crs=_CRS, dtype="geometry")
    return geopandas.GeoDataFrame(columns, geometry="geometry", crs=_CRS)


def _names(properties: Iterable[Mapping[str, Any]], ours: Sequence[str]) -> dict[str, str]:
    """The column of each property, in order of first appearance."""
    found = {name: name for one in properties for name in one}
    for name in ours:
        if name in found:
            column = f"property_{name}"
            while column in found:
                column = column.replace("property_", "property__", 1)
            found[name] = column
    return found


def _series(values: list[Any], *, text: bool = False) -> Any:
    """The values as a column of the narrowest type that loses none of them. Null and absent mean the same."""
    import pandas

    dtype = _dtype(values, text=text)
    try:
        return pandas.Series(values, dtype=dtype)
    except UnicodeEncodeError:
        # A file with a name that UTF-8 cannot spell.
        return pandas.Series(values, dtype="object")


def _dtype(values: list[Any], *, text: bool) -> str:
    kinds = {type(value) for value in values}
    sparse = type(None) in kinds
    kinds.discard(type(None))
    if kinds == {bool}:
        return "boolean" if sparse else "bool"
    if kinds == {int} and all(-(2**63) <= value < 2**63 for value in values if value is not None):
        return "Int64" if sparse else "int64"
    if kinds == {float} or (kinds == {int, float} and _are_exact(values)):
        return "float64"
    return "str" if kinds == {str} or (text and not kinds) else "object"


def _are_exact(values: Iterable[Any]) -> bool:
    return all(-_EXACT <= value <= _EXACT for value in values if type(value) is int)


# --- geometries ------------------------------------------------------------------------------------------------------


def _places(found: "Detections") -> "list[BaseGeometry | None]":
    """The geometry of each feature, in WGS 84."""
    places = [_place(found, index) for index in range(len(found.features))]
    return places if found.crs is None else _reprojected(places, found)


def _place(found: "Detections", index: int) -> "BaseGeometry | None":
    from shapely.errors import ShapelyError
    from shapely.geometry import shape

    geometry = found.features[index]["geometry"]
    try:
        return None if geometry is None else shape(_even(geometry))
    except (ShapelyError, ValueError, TypeError, OverflowError) as error:
        reason = f"no geometry can be made of it ({type(error).__name__})"
    raise _flawed(found, f"$.features[{index}].geometry", reason)


def _even(geometry: Mapping[str, Any]) -> Mapping[str, Any]:
    """The geometry with as many numbers in each position as all have, and no more than three."""
    lengths = {len(position) for position in positions(geometry)}
    if not lengths or lengths == {2} or lengths == {3}:
        return geometry
    return _cut(geometry, min(3, *lengths))


def _cut(geometry: Mapping[str, Any], length: int) -> dict[str, Any]:
    if geometry["type"] == "GeometryCollection":
        return {**geometry, "geometries": [_cut(part, length) for part in geometry["geometries"]]}

    def cut(coordinates: Any) -> Any:
        is_position = bool(coordinates) and isinstance(coordinates[0], int | float)
        return coordinates[:length] if is_position else [cut(part) for part in coordinates]

    return {**geometry, "coordinates": cut(geometry["coordinates"])}


def _reprojected(places: "list[BaseGeometry | None]", found: "Detections") -> "list[BaseGeometry | None]":
    import geopandas
    import shapely
    from pyproj.exceptions import ProjError

    try:
        moved = geopandas.GeoSeries(places, crs=found.crs, dtype="geometry").to_crs(_CRS)
    except (ProjError, ValueError) as error:
        reason = f"coordinates in {found.crs} cannot be brought to WGS 84 ({type(error).__name__})"
    else:
        numbers = abs(shapely.get_coordinates(moved.array))
        if numbers.size == 0 or math.isfinite(numbers.max()):
            return list(moved)
        reason = f"some coordinates are not of {found.crs}"
    raise _flawed(found, "$.crs", reason)


def _flawed(found: "Detections", place: str, reason: str) -> DecodeError:
    name = clean(os.path.basename(found.file))  # noqa: PTH119 - it may be the name alone
    return DecodeError(f"{name} is not the GeoJSON that it should be: {reason} @ {place}", where=(place,))
