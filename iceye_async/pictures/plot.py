"""What is plotted of detections: where they are, over the quicklook of their image."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import detections
from ..detections import Detections
from ..display.ground import Outline, bounds, outlines
from ..errors import DecodeError, DownloadError, NotFound, UsageError
from ..protocol.links import clean
from .outputs import missing
from .quicklook import Pixels, fetched, picture_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..client import Client
    from ..geo import Derivatives
    from ..models import Product

MOST = 9
"""Tasks of one figure."""
_CLASSES = ("class", "classification", "class_name", "classname", "class_label", "object_class", "category", "label")
"""What the class of a detection may be called: classifications are documented, and no schema is public."""
_LEGEND = 12
"""Classes that have a colour of their own; the rarest others share one."""
OTHERS = "others"
_OVERLAP = 2.0
"""How far the corners that a picture is said to have may lie from its footprint, in its widths."""


async def plot(client: "Client", derivatives: "Derivatives") -> "Figure":
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
    key = _class_key(feature["properties"] for one in found for feature in one.features)
    scenes = [
        Scene(task, marks((one for one in found if one.task_id == task), key), await _pictures(client, task))
        for task in tasks
    ]
    figure: Figure = canvas.drawn(scenes)
    return figure


def _canvas() -> ModuleType:
    """What draws. It takes a second to be imported, in which other tasks go on."""
    try:
        from . import canvas
    except ModuleNotFoundError as error:
        raise missing(error) from None
    return canvas


class Picture(NamedTuple):
    """A product on the ground: its pixels where they could be fetched, and why not where they could not."""

    product: "Product"
    pixels: Pixels | None
    reason: str = ""


class Mark(NamedTuple):
    """One detection: what it is called in the legend, and where it is."""

    label: str
    shape: list[Outline]


class Scene(NamedTuple):
    """What there is of one task."""

    task_id: str
    marks: list[Mark]
    pictures: list[Picture]


# --- pictures --------------------------------------------------------------------------------------------------------


async def _pictures(client: "Client", task_id: str) -> list[Picture]:
    """The products of the task, one for each footprint; those with something to look at before others."""
    try:
        products = await client.products.list(task_id)
    except NotFound:
        return []
    except DecodeError as error:
        products = error.latest or ()
    chosen: dict[str, Product] = {}
    for product in sorted(products, key=lambda product: picture_of(product) is None):
        if outlines(product.geometry):
            chosen.setdefault(str(product.geometry), product)
    return [await _picture(client, product) for product in chosen.values()]


async def _picture(client: "Client", product: "Product") -> Picture:
    if picture_of(product) is None:
        return Picture(product, None, "no quicklook")
    try:
        return Picture(product, await fetched(client, product))
    except (DecodeError, DownloadError) as error:
        # The detections are worth seeing without it.
        return Picture(product, None, f"no quicklook: {type(error).__name__}")


def corners(product: "Product") -> Sequence[tuple[float, float]] | None:
    """Longitude and latitude of the picture's corners: top left, top right, bottom left, bottom right.

    They are documented for the thumbnail; that the quicklook shows the same is presumed. One documented answer has them
    on another continent than its footprint: such corners are not believed.
    """
    west, south, east, north = bounds(outlines(product.geometry))
    wide, high = (east - west) * _OVERLAP, (north - south) * _OVERLAP
    for asset in (product.quicklook, product.thumbnail):
        told = None if asset is None else asset.coordinates
        try:
            found = (
                [
                    (float(told[name][0]), float(told[name][1]))
                    for name in ("top_left", "top_right", "bottom_left", "bottom_right")
                ]
                if told is not None
                else []
            )
        except (KeyError, TypeError, ValueError, IndexError):
            continue
        if found and all(west - wide < lon < east + wide and south - high < lat < north + high for lon, lat in found):
            return found
    return None


# --- marks -----------------------------------------------------------------------------------------------------------


def marks(found: Iterable[Detections], key: str | None) -> list[Mark]:
    """Each detection that is somewhere, by the property with this name, or by its type where it has none."""
    return [
        Mark(_label(one, feature["properties"], key), outlines(feature["geometry"]))
        for one in found
        for feature in one.features
        if feature["geometry"] is not None
    ]


def _class_key(properties: Iterable[Mapping[str, Any]]) -> str | None:
    there = {name.lower(): name for facts in properties for name in facts}
    return next((there[name] for name in _CLASSES if name in there), None)


def _label(one: Detections, facts: Mapping[str, Any], key: str | None) -> str:
    kind = clean(one.derivative_type or "", 40)
    told = None if key is None else facts.get(key)
    return kind if told is None else clean(str(told), 40)


def groups(scenes: Iterable[Scene]) -> dict[str, int]:
    """The labels with how many detections have them, the most frequent first; `OTHERS` where there are too many."""
    counts = Counter(mark.label for scene in scenes for mark in scene.marks)
    ordered = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    if len(ordered) <= _LEGEND:
        return dict(ordered)
    return {**dict(ordered[: _LEGEND - 1]), OTHERS: sum(count for _, count in ordered[_LEGEND - 1 :])}
