"""JSON bodies in the service's own spelling, as the API pages show them.

Sources: "Task derivatives", "Task products", "Get a task", "Create a task", "Get task scene", and the error-handling
page. Where a fact is not published, the comment beside it says so.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any

from attrs import frozen

from . import rasters
from .terms import MODES

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
_DRAWN = {"DC_AIRCRAFT": (3, 3), "DC_VESSELS": (6, 2), "DC_VEHICLES": (2, 1)}
"""Pixels on each side of what is detected, in the pictures."""
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

# Asset key: media type, title, roles. As in the samples for GRD and GRD-COG. The keys of other types are not published:
# here they are, with their media types, as in ICEYE's open data, and their titles in the manner of the samples. SLC,
# CSI and VID, which are being phased out, are not in the open data: ICEYE's plugin for QGIS looks for `slc` where there
# is no `slc-cog`; that the others are like it is presumed, and so are their media types.
_COG = "image/tiff; application=geotiff; profile=cloud-optimized"
ASSETS: Mapping[str, tuple[str, str, list[str] | None]] = {
    "slc": ("application/x-hdf5", "SLC data file", ["data"]),
    "csi": ("application/x-hdf5", "CSI data file", ["data"]),
    "vid": ("video/mp4", "VID data file", ["data"]),
    "slc-cog": ("application/x-geotiff", "SLC data file", ["data"]),
    "slc-json": ("application/geo+json", "SLC metadata file", ["metadata"]),
    "csi-cog": ("application/x-geotiff", "CSI data file", ["data"]),
    "csi-json": ("application/geo+json", "CSI metadata file", ["metadata"]),
    "vid-cog": ("application/x-geotiff", "VID data file", ["data"]),
    "vid-json": ("application/geo+json", "VID metadata file", ["metadata"]),
    "qlk-cog": (_COG, "QLK data file", ["overview", "visual"]),
    "qlk-json": ("application/geo+json", "QLK metadata file", ["metadata"]),
    "sicd": ("application/x-nitf", "SICD data file", ["data"]),
    "sicd-xml": ("application/xml", "SICD metadata file", ["metadata"]),
    "sidd": ("application/x-nitf", "SIDD data file", ["data"]),
    "sidd-xml": ("application/xml", "SIDD metadata file", ["metadata"]),
    "grd-tif": ("image/tiff; application=geotiff", "GRD data file", None),
    "grd-xml": ("application/xml", "GRD metadata file", None),
    "quicklook-png": ("image/png", "Quicklook png file", None),
    "thumbnail-json": ("application/json", "Thumbnail json file", ["metadata"]),
    "thumbnail-png": ("image/png", "Thumbnail png file", ["thumbnail"]),
}
_PREVIEWS = ("quicklook-png", "thumbnail-json", "thumbnail-png")
_DATA: Mapping[str, tuple[str, ...]] = {
    "GRD": ("grd-tif", "grd-xml"),
    "GRD-COG": ("grd-tif", "grd-xml"),
    "SLC": ("slc",),
    "CSI": ("csi",),
    "VID": ("vid",),
    "SLC-COG": ("slc-cog", "slc-json"),
    "CSI-COG": ("csi-cog", "csi-json"),
    "VID-COG": ("vid-cog", "vid-json"),
    "QLK": ("qlk-cog", "qlk-json"),
    "SICD": ("sicd", "sicd-xml"),
    "SIDD": ("sidd", "sidd-xml"),
}


_SIDE = 0.1
"""Degrees of a picture."""


def _within(degrees: float, most: float, size: float) -> float:
    """The nearest middle of something so large that lies between -most and most."""
    return max(size / 2 - most, min(most - size / 2, degrees))


@frozen
class Picture:
    """One of the pictures of a task, which are taken one after the other, from south to north."""

    task_id: str
    order: Mapping[str, Any]
    """The body that created the task."""
    taken: datetime
    """When the first one was begun."""
    frame: int
    """Which one it is; the first is 1."""
    frames: int

    @property
    def bbox(self) -> tuple[float, float, float, float]:
        """West, south, east, north: a tenth of a degree each way. The point of interest is in the middle of all.

        Where that would be beyond a pole or the antimeridian, it is near the edge.
        """
        spot = self.order["pointOfInterest"]
        south = _within(spot["lat"], 90.0, _SIDE * self.frames) + _SIDE * (self.frame - 1 - self.frames / 2)
        west = _within(spot["lon"], 180.0, _SIDE) - _SIDE / 2
        return (round(west, 6), round(south, 6), round(west + _SIDE, 6), round(south + _SIDE, 6))

    @property
    def times(self) -> tuple[datetime, datetime]:
        """Its beginning and its end."""
        part = timedelta(seconds=_duration(self.order) / self.frames)
        return (self.taken + (self.frame - 1) * part, self.taken + self.frame * part)

    @property
    def number(self) -> int:
        """Of the whole strip."""
        return int(self.task_id[:6], 16)


def timestamp(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def moment(text: str) -> datetime:
    """The moment that an RFC 3339 time names; a `ValueError` where it is none."""
    if re.fullmatch(r"[0-9-]{10}[Tt][0-9:]{8}([.][0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})", text) is None:
        raise ValueError(f"not an RFC 3339 time: {text!r}")
    return datetime.fromisoformat(text.upper())


def code(status: int) -> str:
    """What an error with this status is called if nothing more is known. Few codes are published; these are made up."""
    phrase = HTTPStatus(status).phrase if status in set(HTTPStatus) else f"error {status}"
    return re.sub("[^a-z0-9]+", "_", phrase.lower())


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
    duration = _duration(order)
    return {
        "imagingTime": {"start": timestamp(taken), "end": timestamp(taken + timedelta(seconds=duration))},
        "duration": duration,
        "lookSide": _chosen(order, "lookSide", "RIGHT"),
        "passDirection": _chosen(order, "passDirection", "DESCENDING"),
        "incidenceAngle": str(_incidence(order)),  # Text, says the specification.
    }


def _duration(order: Mapping[str, Any]) -> int:
    """Seconds; those of a spot unless something else was ordered."""
    duration: int = order.get("imagingDuration", 10)
    return duration


def _chosen(order: Mapping[str, Any], key: str, free: str) -> str:
    """What was ordered, or `free` where any will do."""
    chosen: str = order.get(key, "ANY")
    return free if chosen == "ANY" else chosen


def _incidence(order: Mapping[str, Any]) -> float:
    """Degrees from the vertical: 30, or the nearest to it that was ordered."""
    ordered = order.get("incidenceAngle", {"min": 30, "max": 30})
    return float(min(max(30, ordered["min"]), ordered["max"]))


def keys_of(kind: str) -> tuple[str, ...]:
    """The asset keys of a product of this type."""
    return (*_DATA[kind], *_PREVIEWS)


def product(item_id: str, kind: str, picture: Picture, ready: datetime, links: Mapping[str, str]) -> dict[str, Any]:
    """A product as a STAC item, with a link for each asset key."""
    order, (west, south, east, north) = picture.order, picture.bbox
    incidence = _incidence(order)
    begun, ended = picture.times
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
            "start_datetime": timestamp(begun),
            "end_datetime": timestamp(ended),
            "frame_id": f"{picture.number}_{picture.frame}",
            # Of the sample's "stripmap" only; that the others are told in the same manner is presumed.
            "iceye:acquisition_mode": order["imagingMode"].partition("_")[0].lower(),
            "iceye:processing_mode": MODES[order["imagingMode"]],
            "iceye:incidence_center": incidence,
            "iceye:incidence_near": incidence - 0.5,
            "iceye:incidence_far": incidence + 0.5,
            "iceye:azimuth_resolution": 1,
            "iceye:range_resolution_center": 1.0,
            "sar:frequency_band": "X",
            "sar:observation_direction": _chosen(order, "lookSide", "RIGHT").lower(),
            "sar:polarizations": ["VV"],
            # For the documented answer to .../products/GRD-COG calls itself GRD.
            "sar:product_type": "GRD" if kind == "GRD-COG" else kind,
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


_ENDINGS = {"cog": "tif", "sicd": "nitf", "sidd": "nitf", "slc": "h5", "csi": "h5", "vid": "mp4"}


def told_name(kind: str, key: str, picture: Picture) -> str:
    """What the link host calls a file, in the manner of ICEYE's samples: `ICEYE_GRD_SLH_20138_20230701T101112.tif`.

    `kind` is the type of the product or derivative. What the real host tells, if anything, is not published.
    """
    stem = f"_{picture.number}_{picture.times[0].astimezone(UTC):%Y%m%dT%H%M%S}"
    if key not in ASSETS:
        return f"ICEYE{stem}_{detection_file(key)}"
    what, _, ending = key.rpartition("-")
    if is_preview(key):
        return f"ICEYE{stem}_{what.upper()}.{ending}"
    ending = _ENDINGS.get(ending, ending)
    return f"ICEYE_{kind}_{MODES[picture.order['imagingMode']]}{stem}.{ending}"


_BEGINNINGS = {
    "sicd": b"NITF02.10",
    "sidd": b"NITF02.10",
    "slc": b"\x89HDF\r\n\x1a\n",
    "csi": b"\x89HDF\r\n\x1a\n",
    "vid": b"\0\0\0\x18ftypmp42",
}
"""By which a file of this kind is known."""


def file(key: str, picture: Picture, number: int) -> bytes:
    """The bytes behind a link: of a product's asset key, or of the derivative of a type that has this number."""
    seed = picture.task_id if number == 1 else f"{picture.task_id} {number}"
    if key not in ASSETS:
        name, count = _DETECTED.get(key, (key.lower(), 1))
        return rasters.detections(name, seed + key, picture.bbox, count)
    match key.rpartition("-")[2]:
        case "xml":
            name = key.partition("-")[0].upper()
            return f"<?xml version='1.0'?>\n<{name}><illustrative>true</illustrative></{name}>\n".encode()
        case "json":
            return b'{"illustrative": true}'
        case "sicd" | "sidd" | "slc" | "csi" | "vid" as what:
            return _BEGINNINGS[what] + b" and, but for this beginning, illustrative\n"
    targets = [
        (place, *_DRAWN[kind]) for kind, (_, count) in _DETECTED.items() for place in rasters.places(seed + kind, count)
    ]
    drawn = rasters.scene(seed, targets)
    return rasters.png(drawn) if key.endswith("-png") else rasters.geotiff(drawn, picture.bbox)
