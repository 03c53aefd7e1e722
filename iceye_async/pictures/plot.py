"""What is plotted of detections: where they are, over the quicklook of their image."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import detections
from ..detections import Detections
from ..display.ground import Outline, Point, bounds, outlines
from ..errors import ApiError, DecodeError, IceyeError, TransportError, Unauthorized, UsageError
from ..protocol.links import clean
from .outputs import missing
from .quicklook import Pixels, fetched, picture_of

if TYPE_CHECKING:
    from ..client import Client
    from ..geo import Derivatives
    from ..models import Derivative, Product
    from .canvas import Map

MOST = 9
"""Tasks of one figure."""
_CLASSES = ("class", "classification", "class_name", "classname", "class_label", "object_class", "category", "label")
"""What the class of a detection may be called: classifications are documented, and no schema is public."""
_LEGEND = 10
"""Colours of classes; the rarest classes share one, where there are more."""
LONGEST = 40
"""Letters of a class in the legend."""
OTHERS = "others"
_CORNERS = ("top_left", "top_right", "bottom_left", "bottom_right")
_OVERLAP = 2.0
"""How far the corners that a picture is said to have may lie from its footprint, in its widths."""


async def plot(client: "Client", derivatives: "Derivatives") -> "Map":
    """See `notebook.plot`."""
    canvas = await asyncio.to_thread(_canvas)
    wanted = detections.listed(derivatives)
    tasks = list(dict.fromkeys(derivative.task_id for derivative in wanted))
    if len(tasks) > MOST:
        raise UsageError(
            f"a figure has room for {MOST} tasks, not {len(tasks)}; plot them in parts, or all at once with "
            "`(await iceye_async.geo.to_geodataframe(client, derivatives)).plot()`"
        )
    found = await detections.fetched(client, wanted)
    other = next((one for one in found if one.crs is not None), None)
    if other is not None:
        raise UsageError(
            f"{other.file} has its coordinates in {other.crs}; iceye_async.geo.to_geodataframe() makes degrees of them"
        )
    pictures = await _pictures(client, tasks)
    figure: Map = await asyncio.to_thread(lambda: canvas.drawn(_scenes(wanted, found, pictures)))
    await figure.put()
    return figure


def _canvas() -> ModuleType:
    """What draws. It takes a second to be imported, in which other tasks go on."""
    try:
        from . import canvas
    except ModuleNotFoundError as error:
        raise missing(error) from None
    return canvas


class Picture(NamedTuple):
    """A product on the ground: its pixels, or why they are not there."""

    product: "Product"
    pixels: Pixels | IceyeError

    @property
    def footprint(self) -> list[Outline]:
        """At least one outline."""
        return footprint(self.product)


class Mark(NamedTuple):
    """One detection: what it is called in the legend, and where it is; nowhere, where it has no place on the Earth."""

    label: str
    shape: list[Outline]


class Scene(NamedTuple):
    """What there is of one task."""

    task_id: str
    marks: list[Mark]
    pictures: list[Picture]
    unfinished: set[str]
    """The types of which something is being made still."""
    note: str
    """Why there are no pictures, or not all; "" where there is nothing to say."""


def _scenes(
    wanted: Iterable["Derivative"], found: Iterable[Detections], pictures: Mapping[str, tuple[list[Picture], str]]
) -> list[Scene]:
    return [
        Scene(
            task_id,
            marks(one for one in found if one.task_id == task_id),
            those,
            {one.type for one in wanted if one.task_id == task_id and not one.assets},
            note,
        )
        for task_id, (those, note) in pictures.items()
    ]


# --- pictures --------------------------------------------------------------------------------------------------------


async def _pictures(client: "Client", tasks: Iterable[str]) -> dict[str, tuple[list[Picture], str]]:
    """Of each task the products, one for each frame, and what is to be said of them.

    The detections are worth seeing without them.
    """
    chosen = {task: await _products(client, task) for task in tasks}
    products = [product for listed, _ in chosen.values() for product in listed]
    found = iter(await fetched(client, products))
    return {
        task: ([Picture(product, next(found)) for product in listed], note) for task, (listed, note) in chosen.items()
    }


async def _products(client: "Client", task_id: str) -> tuple[list["Product"], str]:
    listing = client.products.list(task_id)
    try:
        products = _framed(await listing)
    except DecodeError as error:
        # One that cannot be read does not hide the others.
        return _framed(listing.latest), f"products: {type(error).__name__}"
    except Unauthorized:
        raise
    except (ApiError, TransportError) as error:
        return [], f"products: {type(error).__name__}"
    return products, "" if products else "no product with a footprint"


def _framed(products: Iterable["Product"]) -> list["Product"]:
    """One for each frame; those with something to look at before others."""
    chosen: dict[str, Product] = {}
    for product in sorted(products, key=lambda product: picture_of(product) is None):
        if footprint(product):
            chosen.setdefault(product.frame_id or str(product.geometry or product.bbox), product)
    return list(chosen.values())


def footprint(product: "Product") -> list[Outline]:
    """Where the product is: its bounding box, where it has no geometry; nothing where it has neither."""
    found = outlines(product.geometry)
    if found or product.bbox is None or len(product.bbox) not in {4, 6}:
        return found
    half = len(product.bbox) // 2
    (west, south), (east, north) = product.bbox[:2], product.bbox[half : half + 2]
    return outlines({"type": "Polygon", "coordinates": [[[west, south], [east, south], [east, north], [west, north]]]})


def corners(product: "Product") -> Sequence[Point] | None:
    """Longitude and latitude of the picture's corners: top left, top right, bottom left, bottom right.

    They are documented for the thumbnail; that the quicklook shows the same is presumed. One documented answer has them
    on another continent than its footprint: such corners are not believed.
    """
    west, south, east, north = bounds(footprint(product))
    wide, high = (east - west) * _OVERLAP, (north - south) * _OVERLAP
    for asset in (product.quicklook, product.thumbnail):
        found = () if asset is None else _named_corners(asset.coordinates, (west + east) / 2)
        if found and all(west - wide < lon < east + wide and south - high < lat < north + high for lon, lat in found):
            return found
    return None


def _named_corners(told: object, near: float) -> Sequence[Point]:
    """As an asset has them, around that longitude; none where it has not all."""
    try:
        found = [told[name] for name in _CORNERS]  # type: ignore[index]
        return [(lon + 360 * round((near - lon) / 360), lat) for lon, lat in ((float(x), float(y)) for x, y in found)]
    except (KeyError, TypeError, ValueError, OverflowError):
        return ()


# --- marks -----------------------------------------------------------------------------------------------------------


def marks(found: Iterable[Detections]) -> list[Mark]:
    """Each detection, by its class, or by its type where it has no property for one."""
    return [
        Mark(_label(one, feature["properties"]), outlines(feature["geometry"]))
        for one in found
        for feature in one.features
    ]


def _label(one: Detections, facts: Mapping[str, Any]) -> str:
    named = {
        name.lower(): value for name, value in facts.items() if isinstance(value, str | int | float) and value != ""
    }
    told = next((named[name] for name in _CLASSES if name in named), one.derivative_type or "")
    return clean(str(told), LONGEST)


def groups(scenes: Iterable[Scene]) -> dict[str, int]:
    """The labels with how many detections have them, the most frequent first; `OTHERS` where there are too many."""
    counts = Counter(mark.label for scene in scenes for mark in scene.marks if mark.shape)
    ordered = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    if len(ordered) <= _LEGEND:
        return dict(ordered)
    shown = [entry for entry in ordered if entry[0] != OTHERS][: _LEGEND - 1]
    return {**dict(shown), OTHERS: sum(counts.values()) - sum(count for _, count in shown)}
