"""A product as a pystac item (extra `stac`): what its own document says, without links, and valid.

The documented items are of STAC 1.0.0-beta.1, say "" where they mean nothing, and leave out `datetime`, which every
valid item has. An item with a collection is only valid with a link to it, and there is none to give.
"""

import os
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ..errors import DecodeError, MissingExtra, UsageError
from ..holdings import Holdings, asset_name, distinct
from ..protocol.links import clean, mask_text, mask_within
from .geometry import bounds, flaw

if TYPE_CHECKING:
    import pystac

    from .product import Product, ProductAsset

_OF_THE_ITEM = {
    *("type", "stac_version", "stac_extensions", "id", "collection", "bbox", "geometry"),
    *("properties", "assets", "links"),
}
_OF_AN_ASSET = {"href", "title", "type", "roles"}
_ZULU = r"(?a)\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"
_TIMES = ("start_datetime", "end_datetime", "created", "updated")


def item(product: "Product", folder: "str | os.PathLike[str] | None") -> "pystac.Item":
    """The item, with assets under their local names, or those that are in a folder; see `Product.to_pystac`."""
    stac = _pystac()
    geometry = _geometry(product)
    properties, moment = _properties(product)
    made: pystac.Item = stac.Item(
        id=mask_text(product.id),
        geometry=geometry,
        bbox=None if geometry is None else _bbox(product, geometry),
        datetime=moment,
        properties=properties,
        stac_extensions=_extensions(product.document.get("stac_extensions")),
        extra_fields=_others(product.document, _OF_THE_ITEM),
    )
    hrefs = _names(product) if folder is None else _paths(product, Path(folder))
    for key, href in hrefs.items():
        made.add_asset(mask_text(key), _asset(stac, product, key, href))
    return made


def _pystac() -> ModuleType:
    try:
        import pystac
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in {"pystac", "dateutil"}:
            raise
        raise MissingExtra("to_pystac needs pystac: pip install 'iceye-async[stac]'") from None
    return pystac


# --- the item --------------------------------------------------------------------------------------------------------


def _geometry(product: "Product") -> dict[str, Any] | None:
    if product.geometry is None:
        return None
    found = flaw(product.geometry)
    if found is not None:
        place = f"$.geometry{found[0]}"
        raise DecodeError(f"the footprint of product {clean(product.id, 60)}: {found[1]} @ {place}", where=(place,))
    if product.geometry["type"] == "GeometryCollection":
        raise UsageError(
            f"the footprint of product {clean(product.id, 60)} is a GeometryCollection, and no STAC item may have one"
        )
    geometry: dict[str, Any] = mask_within(product.geometry)
    if bounds(geometry) is None:
        return None
    if geometry["type"] == "Polygon":
        geometry["coordinates"] = _closed(geometry["coordinates"])
    if geometry["type"] == "MultiPolygon":
        geometry["coordinates"] = [_closed(rings) for rings in geometry["coordinates"] if any(rings)]
    return geometry


def _closed(rings: list[list[Any]]) -> list[list[Any]]:
    """Each ring with its first position at its end, as RFC 7946 has it."""
    return [ring if ring[0][:2] == ring[-1][:2] else [*ring, ring[0]] for ring in rings if ring]


def _bbox(product: "Product", geometry: dict[str, Any]) -> list[float]:
    told = product.bbox or ()
    return list(told if len(told) in {4, 6} else bounds(geometry) or ())


def _properties(product: "Product") -> tuple[dict[str, Any], datetime | None]:
    """The properties of the document, and the one time where it tells one; else they hold a beginning and an end."""
    told = product.document.get("properties") or {}
    found = {key: value for key, value in mask_within(told).items() if value is not None and value != ""}
    if isinstance(product.document.get("collection"), str) and product.document["collection"]:
        found.setdefault("collection", mask_text(product.document["collection"]))
    times = {name: _utc(found.pop(name, None)) for name in ("datetime", *_TIMES)}
    moment = times.pop("datetime")
    if product.acquired is not None:
        times["start_datetime"], times["end_datetime"] = product.acquired
    span = (times["start_datetime"], times["end_datetime"])
    if None in span:
        # One without the other is not valid.
        times["start_datetime"] = times["end_datetime"] = None
        if moment is None:
            raise UsageError(
                f"product {clean(product.id, 60)} tells no time (neither datetime nor start_datetime and "
                "end_datetime), and there is no STAC item without one"
            )
    found |= {name: _spelled(told.get(name), time) for name, time in times.items() if time is not None}
    return found, moment


def _utc(value: object) -> datetime | None:
    """The time, in UTC; None where it is none, or says of no zone where it is."""
    try:
        time = datetime.fromisoformat(value.upper()) if isinstance(value, str) else None
        return None if time is None or time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _spelled(told: object, time: datetime) -> str:
    """As the document has it, where STAC allows that."""
    if isinstance(told, str) and re.fullmatch(_ZULU, told) and _utc(told) == time:
        return told
    return time.isoformat().replace("+00:00", "Z")


def _extensions(told: object) -> list[str]:
    """Those that are named as of today: by the address of a schema."""
    named = told if isinstance(told, list) else []
    return list(dict.fromkeys(mask_text(name) for name in named if isinstance(name, str) and name.startswith("https:")))


def _others(document: Mapping[str, Any], known: set[str]) -> dict[str, Any]:
    others = {key: value for key, value in document.items() if key not in known and value is not None}
    found: dict[str, Any] = mask_within(others)
    return found


# --- its assets ------------------------------------------------------------------------------------------------------


def _names(product: "Product") -> dict[str, str]:
    """The name that a download gives each asset."""
    wanted = [
        ((product.task_id, product.id, key), asset_name(product.id, key, asset.type))
        for key, asset in product.assets.items()
    ]
    return {key: f"./{name}" for key, name in zip(product.assets, distinct(wanted), strict=True)}


def _paths(product: "Product", folder: Path) -> dict[str, str]:
    """Where each asset is that is in the folder, as its manifest says."""
    if not folder.is_dir():
        raise UsageError(f"there is no folder {clean(str(folder))}; download the product first")
    found = dict(_held(product, folder))
    return {key: found[key] for key in product.assets if key in found}


def _held(product: "Product", folder: Path) -> Iterator[tuple[str, str]]:
    place = Path(os.path.abspath(folder))  # noqa: PTH100 - links in it are kept
    for name, record in Holdings(folder).records().items():
        # A name in a manifest that somebody wrote must not lead out of the folder.
        is_name = PurePosixPath(name).name == name
        if (record.task, record.item) == (product.task_id, product.id) and is_name and (place / name).is_file():
            yield record.asset, (place / name).as_posix()


def _asset(stac: ModuleType, product: "Product", key: str, href: str) -> "pystac.Asset":
    asset: ProductAsset = product.assets[key]
    told = (product.document.get("assets") or {}).get(key) or {}
    others = _others(told, _OF_AN_ASSET)
    if asset.coordinates is not None:
        others.setdefault("coordinates", mask_within(asset.coordinates))
    if not isinstance(others.get("description", "text"), str):
        del others["description"]
    made: pystac.Asset = stac.Asset(
        href=href,
        title=mask_text(asset.title) if asset.title else None,
        media_type=mask_text(asset.type) if asset.type else None,
        roles=[mask_text(role) for role in asset.roles] or None,
        extra_fields=others,
    )
    return made
