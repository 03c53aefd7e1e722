"""The figure that `plot()` gives: matplotlib draws it. This module is imported when somebody plots."""

import io
import math
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, partial
from itertools import chain, groupby
from textwrap import fill
from typing import Any

import shapely
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.image import imread
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Affine2D
from mpl_toolkits.axes_grid1.anchored_artists import AnchoredSizeBar  # type: ignore[import-untyped,unused-ignore]

from ..display.ground import KM, POINT, Outline, Point, bounds, degrees, narrowing, round_down, unwrapped
from ..errors import UsageError
from ..protocol.links import clean, named
from .outputs import Shown
from .plot import LONGEST, OTHERS, Picture, Scene, corners, groups
from .quicklook import Pixels

_MARGIN = 0.06
_SMALLEST = 0.01
"""Degrees of a map."""
_GREY = colormaps["tab10"](7)
_COLOURS = [*(colormaps["tab10"](at) for at in range(10) if at != 7), "black"]
"""Of classes: as many as have one of their own."""
_SPECK = 0.02
"""What is smaller than this part of the map is drawn as a mark: its outline would be hidden by its own halo."""
_MANY = 300
"""Marks beyond which they are smaller, and without a halo, which takes longer than they do."""
_LETTERS, _FEWER = 90, 60
"""In a line below a map: below the only one, and below one beside others."""
_COLUMNS = 3
"""Of the legend, at most."""
_STRAIGHT = 0.02
"""How far a corner of a footprint may lie beside the line of those next to it and be none, in sides of its square."""
_ROUGH = "placed by its footprint, north up (presumed)"


class Map(Shown, Figure):
    """A figure that is not pyplot's: pyplot would keep it, and show it a second time."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        FigureCanvasAgg(self)

    def changed(self) -> bool:
        return bool(self.stale)

    def bundle(self) -> dict[str, str]:
        return {"image/png": b64encode(self._repr_png_()).decode(), "text/plain": repr(self)}

    def _repr_png_(self) -> bytes:
        file = io.BytesIO()
        self.savefig(file, format="png")
        # Saving alone makes it stale.
        self.stale = False
        return file.getvalue()


def drawn(scenes: Sequence[Scene]) -> Map:
    """The figure, with axes for each scene."""
    across = min(3, max(1, len(scenes)))
    down = max(1, math.ceil(len(scenes) / across))
    size = (6.4, 6.0) if across == 1 else (4.4 * across, 4.8 * down)
    figure = Map(figsize=size, layout="constrained", dpi=100)
    counts = groups(scenes)
    colours = {label: _GREY if label == OTHERS else colour for label, colour in zip(counts, _COLOURS, strict=False)}
    for number, scene in enumerate(scenes, 1):
        _draw(figure.add_subplot(down, across, number), scene, colours, _LETTERS if across == 1 else _FEWER)
    if counts:
        _explain(figure, counts, colours)
    elif not scenes:
        figure.text(0.5, 0.5, "no derivatives", ha="center", va="center")
    return figure


def _explain(figure: Map, counts: Mapping[str, int], colours: Mapping[str, Any]) -> None:
    """The legend, in as many columns as there is room for."""
    # In two lists: matplotlib leaves out a label that begins with an underscore.
    lines = [Line2D([], [], color=colours[label], **_MARK) for label in counts]
    labels = [f" {clean(_written(label), LONGEST)} ({count:,})" for label, count in counts.items()]
    for columns in range(min(_COLUMNS, len(labels)), 0, -1):
        legend = figure.legend(lines, labels, loc="outside lower center", ncols=columns, frameon=False)
        for text in legend.get_texts():
            text.set_parse_math(False)
        if legend.get_window_extent().width <= figure.bbox.width:
            break
        if columns > 1:
            legend.remove()


def _written(text: str) -> str:
    """With the signs that the fonts do not have as escapes: matplotlib would warn, and draw all of them alike."""
    known = _glyphs(tuple(FontProperties().get_family()))
    return "".join(
        sign if sign == "\n" or ord(sign) in known else sign.encode("ascii", "backslashreplace").decode()
        for sign in text
    )


@cache
def _glyphs(families: tuple[str, ...]) -> frozenset[int]:
    """The signs that fonts have, by their code points."""
    fonts = [get_font(findfont(FontProperties(family=[family]))) for family in families]
    return frozenset(chain.from_iterable(font.get_charmap() for font in fonts))


_MARK: Mapping[str, Any] = {"linestyle": "none", "marker": "o", "markerfacecolor": "none", "markeredgewidth": 1.6}


def _draw(axes: Axes, scene: Scene, colours: Mapping[str, Any], wide: int) -> None:
    shapes = _Shapes(scene)
    for picture, at, footprint in zip(scene.pictures, shapes.corners, shapes.footprints, strict=True):
        if isinstance(picture.pixels, Pixels):
            axes.imshow(
                imread(io.BytesIO(picture.pixels.png), format="png"),
                cmap="gray",
                vmin=0,
                vmax=1,
                extent=(0, 1, 0, 1),
                transform=_placed(at) + axes.transData,
            )
        for outline in footprint:
            axes.plot(*zip(*_closed(outline), strict=True), color="0.45", linewidth=0.8)
    _frame(axes, shapes.everything)
    _draw_marks(axes, scene, shapes.marks, colours)
    axes.set_title(_written(_title(scene)), fontsize=9, parse_math=False)
    if not any(mark.shape for mark in scene.marks):
        told = "no detections yet" if scene.unfinished else "no detections"
        axes.text(0.5, 0.5, told, transform=axes.transAxes, ha="center", va="center", color="black", bbox=_BOX)
    axes.set_xlabel(fill(_written(_notes(scene)), wide), fontsize=7, parse_math=False)


_BOX = {"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 1.5}


class _Shapes:
    """All that a scene has on the ground, counted on across the antimeridian together."""

    def __init__(self, scene: Scene) -> None:
        footprints = [picture.footprint for picture in scene.pictures]
        placed = [
            Outline(list(_corners(picture, shape)), closed=False)
            for picture, shape in zip(scene.pictures, footprints, strict=True)
        ]
        counts = [*map(len, footprints), *(len(mark.shape) for mark in scene.marks)]
        shapes = [outline for mark in scene.marks for outline in mark.shape]
        self.everything = unwrapped([*placed, *chain.from_iterable(footprints), *shapes])
        rest = iter(self.everything)
        self.corners = [next(rest).points for _ in placed]
        grouped = [[next(rest) for _ in range(count)] for count in counts]
        self.footprints, self.marks = grouped[: len(footprints)], grouped[len(footprints) :]


def _corners(picture: Picture, footprint: list[Outline]) -> Sequence[Point]:
    """Where the picture's corners are: top left, top right, bottom left, bottom right."""
    told = corners(picture.product)
    if told is not None:
        return told
    _, south, _, north = bounds(footprint)
    narrow = narrowing((south + north) / 2)
    # Against the clock, from the one that is farthest to the top left.
    ring = _square(footprint, narrow)
    first = ring.index(max(ring, key=lambda at: at[1] - at[0] * narrow))
    top_left, bottom_left, bottom_right, top_right = [*ring[first:], *ring[:first]]
    return top_left, top_right, bottom_left, bottom_right


def _square(footprint: list[Outline], narrow: float) -> list[Point]:
    """The four corners of a footprint, in one part or several; those of the least rectangle, where it has not four.

    They go around it against the clock. A degree of longitude is so much narrower than one of latitude.
    """
    points = shapely.MultiPoint([(lon * narrow, lat) for outline in footprint for lon, lat in outline.points])
    around = points.convex_hull
    ring = around.simplify(_STRAIGHT * math.sqrt(around.area))
    if ring.geom_type != "Polygon" or len(ring.exterior.coords) != 5:
        ring = shapely.oriented_envelope(points)
    if ring.geom_type != "Polygon":
        # A line, or a point.
        ring = shapely.box(*points.bounds)
    return [(x / narrow, y) for x, y in shapely.orient_polygons(ring).exterior.coords[:-1]]


def _placed(at: Sequence[Point]) -> Affine2D:
    """From a picture of side 1 to degrees, as near to its four corners as a parallelogram comes."""
    (left, top), (right, upper), (low_left, low), (low_right, lower) = at
    across = ((right - left + low_right - low_left) / 2, (upper - top + lower - low) / 2)
    up = ((left - low_left + right - low_right) / 2, (top - low + upper - lower) / 2)
    middle = ((left + right + low_left + low_right) / 4, (top + upper + low + lower) / 4)
    corner = (middle[0] - (across[0] + up[0]) / 2, middle[1] - (across[1] + up[1]) / 2)
    return Affine2D.from_values(*across, *up, *corner)


def _draw_marks(axes: Axes, scene: Scene, shapes: list[list[Outline]], colours: Mapping[str, Any]) -> None:
    many = len(shapes) > _MANY
    (west, east), (south, north) = axes.get_xlim(), axes.get_ylim()
    least = _SPECK * max((east - west) * narrowing((south + north) / 2), north - south)
    size, halo = (4, []) if many else (12, [withStroke(linewidth=3, foreground="white")])
    for label, colour in colours.items():
        drawn = [
            outline
            for mark, shape in zip(scene.marks, shapes, strict=True)
            if mark.label == label or (label == OTHERS and mark.label not in colours)
            for outline in _seen(shape, least)
        ]
        points = [outline.points[0] for outline in drawn if len(outline.points) == 1]
        lines = [_closed(outline) for outline in drawn if len(outline.points) > 1]
        if points:
            axes.plot(*zip(*points, strict=True), color=colour, markersize=size, path_effects=halo, **_MARK)
        if lines:
            axes.add_collection(LineCollection(lines, colors=[colour], linewidths=1.6, path_effects=halo))


def _seen(shape: list[Outline], least: float) -> Iterator[Outline]:
    """As it is drawn: a point for each part, with its holes, that is smaller than so many degrees of latitude."""
    for _, part in groupby(shape, lambda outline: outline.part):
        lines = list(part)
        west, south, east, north = bounds(lines)
        middle = ((west + east) / 2, (south + north) / 2)
        if max((east - west) * narrowing(middle[1]), north - south) < least:
            yield Outline([middle], closed=False)
        else:
            yield from lines


def _closed(outline: Outline) -> list[Point]:
    return [*outline.points, outline.points[0]] if outline.closed else outline.points


def _frame(axes: Axes, shown: Sequence[Outline]) -> None:
    """Limits, degrees, a scale: a degree of longitude is as wide as it is there."""
    west, south, east, north = bounds(shown) if shown else (-180.0, -90.0, 180.0, 90.0)
    narrow = narrowing((south + north) / 2)
    most = max((east - west) * narrow, north - south)
    margin = _MARGIN * most if most > POINT else _SMALLEST
    axes.set_xlim(west - margin / narrow, east + margin / narrow)
    axes.set_ylim(max(-90, south - margin), min(90, north + margin))
    axes.set_aspect(1 / narrow)
    for axis, signs in ((axes.xaxis, "EW"), (axes.yaxis, "NS")):
        axis.set_major_locator(_steps(4 if (east - west) * narrow > (north - south) / 3 or signs == "NS" else 2))
        axis.set_major_formatter(partial(_tick, axis, signs))
    axes.tick_params(labelsize=8)
    axes.grid(visible=True, color="0.6", linewidth=0.4, alpha=0.6)
    wide = (east - west + 2 * margin / narrow) * narrow * KM
    length = round_down(wide / 4)
    text = f"{length:g} km" if length >= 1 else f"{length * 1000:g} m"
    bar = AnchoredSizeBar(
        axes.transData, length / KM / narrow, text, "lower right", fontproperties=FontProperties(size=8)
    )
    bar.patch.set(alpha=0.75, edgecolor="none")
    axes.add_artist(bar)


# So that a label needs no more digits than its step.
_steps = partial(MaxNLocator, steps=[1, 2, 5, 10])


def _tick(axis: Axis, signs: str, value: float, _: int) -> str:
    ticks = axis.get_majorticklocs()
    step = abs(ticks[1] - ticks[0]) if len(ticks) > 1 else 1.0
    return degrees((value + 180) % 360 - 180 if signs == "EW" else value, step, *signs)


def _title(scene: Scene) -> str:
    times: Iterator[Any] = (
        picture.product.acquired for picture in scene.pictures if picture.product.acquired is not None
    )
    begun = min((times.start for times in times), default=None)
    count = sum(bool(mark.shape) for mark in scene.marks)
    told = f"task {clean(scene.task_id, 60)}\n{count:,} detection{'' if count == 1 else 's'}"
    return told if begun is None else f"{told}, acquired {begun:%Y-%m-%d %H:%M:%S} UTC"


def _notes(scene: Scene) -> str:
    """What is to be said below a map."""
    notes = {scene.note, *map(_note, scene.pictures)}
    if scene.unfinished:
        notes.add(f"not there yet: {named(scene.unfinished)}")
    nowhere = sum(not mark.shape for mark in scene.marks)
    if nowhere:
        notes.add(f"{nowhere:,} without a place on the map")
    return "; ".join(sorted(notes - {""}))


def _note(picture: Picture) -> str:
    if isinstance(picture.pixels, UsageError):
        return "no quicklook"
    if not isinstance(picture.pixels, Pixels):
        return f"no quicklook: {type(picture.pixels).__name__}"
    return "" if corners(picture.product) is not None else _ROUGH
