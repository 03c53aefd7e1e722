"""JSON bodies in the service's own spelling, as the API pages show them.

Sources: "Task derivatives", "Task products", "Get a task", "Create a task", "Get task scene", and the error-handling
page. Where a fact is not published, the comment beside it says so.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from . import rasters

SUPPORTED_MODES = frozenset(
    {
        "SPOTLIGHT_EXTENDED_DWELL",
        "SPOTLIGHT_EXTENDED_DWELL_FINE",
        "SPOTLIGHT_FINE_1L",
        "SPOTLIGHT",
        "SPOTLIGHT_FINE",
    }
)
_DETECTED = {"DC_AIRCRAFT": ("aircraft", 4), "DC_VESSELS": ("vessel", 7), "DC_VEHICLES": ("vehicle", 5)}
DERIVATIVE_TYPES = frozenset(_DETECTED)
_TOLD = (
    "reference",
    "exclusivity",
    "priority",
    "sla",
    "incidenceAngle",
    "lookSide",
    "passDirection",
    "imagingDuration",
    "productTypes",
    "eula",
    "notifications",
)
"""What a task has from its order, beside what every task has.

The specification has some of them in every answer, with defaults; the sample answer to a cancel has none, and an entry
of the changelog says that `eula` is left out when unset. So here only what was ordered is told.
"""

# Asset key: media type, title, roles. As in the samples for GRD and GRD-COG; the keys of other types are not published.
ASSETS: Mapping[str, tuple[str, str, list[str] | None]] = {
    "grd-tif": ("image/tiff; application=geotiff", "GRD data file", None),
    "grd-xml": ("application/xml", "GRD metadata file", None),
    "quicklook-png": ("image/png", "Quicklook png file", None),
    "thumbnail-json": ("application/json", "Thumbnail json file", ["metadata"]),
    "thumbnail-png": ("image/png", "Thumbnail png file", ["thumbnail"]),
}


def timestamp(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def moment(text: str) -> datetime:
    """The moment that an RFC 3339 time names; a `ValueError` where it is none."""
    if re.fullmatch(r"[0-9-]{10}[Tt][0-9:]{8}([.][0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})", text) is None:
        raise ValueError(f"not an RFC 3339 time: {text!r}")
    return datetime.fromisoformat(text.upper())


def error(code: str, details: str, *, problem: bool) -> dict[str, str]:
    """An error body: problem+json where the request accepts it, else the plain form."""
    if problem:
        return {"title": code.replace("_", " ").capitalize(), "code": code, "details": details}
    return {"code": code, "message": details}


def task(
    task_id: str, order: Mapping[str, Any], status: str, times: Mapping[str, datetime], *, echo: bool
) -> dict[str, Any]:
    """A task. `order` is the body that created it, `times` are all that it has, by their names."""
    document = {
        "id": task_id,
        "contractID": order["contractID"],
        "pointOfInterest": order["pointOfInterest"],
        "acquisitionWindow": order["acquisitionWindow"],
        "imagingMode": order["imagingMode"],
        "status": status,
        **{name: timestamp(time) for name, time in times.items()},
    }
    for key in (*_TOLD, *(["derivativeProductTypes"] if echo else [])):
        if key in order:
            document[key] = order[key]
    if "deliveries" in order:
        # The three statuses are documented, but not when one becomes another. The `id` is documented to come later.
        delivered = "success" if status == "DONE" else "pending"
        document["deliveries"] = [
            {"locations": entry["locations"], "status": delivered} for entry in order["deliveries"]
        ]
    return document


def scene(order: Mapping[str, Any], taken: datetime) -> dict[str, Any]:
    """How the picture is planned, or was taken. What the order leaves open is made up."""
    duration = order.get("imagingDuration", 10)
    return {
        "imagingTime": {"start": timestamp(taken), "end": timestamp(taken + timedelta(seconds=duration))},
        "duration": duration,
        "lookSide": _chosen(order, "lookSide", "RIGHT"),
        "passDirection": _chosen(order, "passDirection", "DESCENDING"),
        "incidenceAngle": str(_incidence(order)),  # Text, says the specification.
    }


def _chosen(order: Mapping[str, Any], key: str, free: str) -> str:
    """What was ordered, or `free` where any will do."""
    chosen: str = order.get(key, "ANY")
    return free if chosen == "ANY" else chosen


def _incidence(order: Mapping[str, Any]) -> float:
    """Degrees from the vertical: 30, or the nearest to it that was ordered."""
    ordered = order.get("incidenceAngle", {"min": 30, "max": 30})
    return float(min(max(30, ordered["min"]), ordered["max"]))


def bbox(order: Mapping[str, Any]) -> tuple[float, float, float, float]:
    """West, south, east, north of a picture around the point of interest: a twentieth of a degree each way."""
    lat, lon = order["pointOfInterest"]["lat"], order["pointOfInterest"]["lon"]
    return (lon - 0.05, max(-90.0, lat - 0.05), lon + 0.05, min(90.0, lat + 0.05))


def product(
    item_id: str, order: Mapping[str, Any], taken: datetime, ready: datetime, links: Mapping[str, str]
) -> dict[str, Any]:
    """A product as a STAC item, with a link for each asset key."""
    west, south, east, north = bbox(order)
    incidence = _incidence(order)
    assets: dict[str, dict[str, Any]] = {}
    for key, href in links.items():
        media, title, roles = ASSETS[key]
        assets[key] = {"href": href, "title": title, "type": media}
        if roles is not None:
            assets[key]["roles"] = roles
    assets["thumbnail-png"]["coordinates"] = {
        "top_left": [west, north],
        "top_right": [east, north],
        "bottom_left": [west, south],
        "bottom_right": [east, south],
    }
    return {
        "type": "Feature",
        "stac_version": "1.0.0-beta.1",
        "id": item_id,
        "collection": "",
        "bbox": [west, south, east, north],
        "geometry": {
            "type": "Polygon",
            "coordinates": [[[west, south], [east, south], [east, north], [west, north], [west, south]]],
        },
        "properties": {
            "created": timestamp(ready),
            "updated": timestamp(ready),
            "start_datetime": timestamp(taken),
            "end_datetime": timestamp(taken),
            "frame_id": "1_1",
            "iceye:acquisition_mode": "spotlight",
            "iceye:processing_mode": "SLH",
            "iceye:incidence_center": incidence,
            "iceye:incidence_near": incidence - 0.5,
            "iceye:incidence_far": incidence + 0.5,
            "iceye:azimuth_resolution": 1,
            "iceye:range_resolution_center": 1.0,
            "sar:frequency_band": "X",
            "sar:observation_direction": _chosen(order, "lookSide", "RIGHT").lower(),
            "sar:polarizations": ["VV"],
            # Also of GRD-COG: the documented answer to .../products/GRD-COG calls itself GRD.
            "sar:product_type": "GRD",
            "sat:orbit_state": _chosen(order, "passDirection", "DESCENDING").lower(),
        },
        "assets": assets,
    }


def derivative(item_id: str, kind: str, image: str, href: str | None) -> dict[str, Any]:
    """A derivative; without a link it is still being made, and has no image reference, as in the sample for 206."""
    document: dict[str, Any] = {"id": item_id, "derivativeProductType": kind}
    if href is not None:
        document["imageReference"] = image
    document["assets"] = [] if href is None else [{"type": "geojson", "href": href}]
    return document


def detection_file(kind: str) -> str:
    """The last segment of a derivative's link: `vessel-detections.geojson`, as in the samples."""
    return f"{_DETECTED.get(kind, (kind.lower(), 0))[0]}-detections.geojson"


def is_preview(key: str) -> bool:
    """Whether all products of a task have this asset in common."""
    return key.startswith(("quicklook", "thumbnail"))


def media(key: str) -> str:
    """The media type that the link host tells of an asset key or a derivative type."""
    return ASSETS[key][0].partition(";")[0] if key in ASSETS else "application/geo+json"


def told_name(kind: str, key: str, task_id: str, taken: datetime) -> str:
    """What the link host calls a file, in the manner of ICEYE's samples: `ICEYE_GRD_SLH_20138_20230701T101112.tif`.

    `kind` is the type of the product or derivative. What the real host tells, if anything, is not published.
    """
    stem = f"_{int(task_id[:6], 16)}_{taken.astimezone(UTC):%Y%m%dT%H%M%S}"
    if key not in ASSETS:
        return f"ICEYE{stem}_{detection_file(key)}"
    what, _, ending = key.rpartition("-")
    return f"ICEYE{stem}_{what.upper()}.{ending}" if is_preview(key) else f"ICEYE_{kind}_SLH{stem}.{ending}"


def file(key: str, seed: str, order: Mapping[str, Any]) -> bytes:
    """The bytes behind a link: of a product's asset key, or of a derivative type."""
    box = bbox(order)
    if key not in ASSETS:
        name, count = _DETECTED.get(key, (key.lower(), 1))
        return rasters.detections(name, seed + key, box, count)
    if key == "grd-xml":
        return b"<?xml version='1.0'?>\n<GRD><illustrative>true</illustrative></GRD>\n"
    if key == "thumbnail-json":
        return b'{"illustrative": true}'
    picture = rasters.scene(seed, [(120 + 90 * n % 300, 80 + 57 * n % 380) for n in range(7)])
    return rasters.geotiff(picture, box) if key == "grd-tif" else rasters.png(picture)
