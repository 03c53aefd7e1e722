"""Where something is on the ground: a small map of it as SVG, with a graticule, a scale and north.

There is no land on it, for nothing is fetched. Degrees are drawn as they are, with east and west as wide as they are in
the middle of the map; across the antimeridian they count on.
"""

import math
from collections.abc import Hashable, Iterable, Iterator, Sequence
from itertools import groupby, pairwise
from typing import Any, NamedTuple, TypeAlias

from ..models.geometry import flaw, span

Point: TypeAlias = tuple[float, float]
"""Longitude and latitude in degrees."""

WIDTH, HEIGHT = 270, 196
_LEFT, _TOP, _RIGHT, _BOTTOM = 56, 4, WIDTH - 4, HEIGHT - 18
"""The map; around it is room for the degrees."""
_MARGIN = 0.16
"""Of the larger side, around what is shown."""
_SMALLEST = 0.08
"""Degrees of a map around one point,"""
POINT = 1e-7
"""which is whatever is smaller than this: a centimetre."""
_LINES = 4
"""Lines of the graticule in each direction, at most."""
_SCALE = 80.0
"""Pixels that the scale is long at most."""
_VERTICES = 2000
"""So many corners are drawn. What has more loses some of them evenly."""
_INK = "#3b82d6"
_FLAT = 4e6
"""Square kilometres. What is larger cannot be taken for flat."""
KM = 111.195
"""Kilometres of a degree along a meridian, on a sphere."""


class Outline(NamedTuple):
    """Points that are joined; `closed` where they go around something."""

    points: list[Point]
    closed: bool
    part: Hashable = 0
    """Rings of one polygon have the same one: the first is its border, the others are holes in it."""


def outlines(geometry: object) -> list[Outline]:
    """What a GeoJSON geometry consists of; nothing where it is none, or not on the Earth."""
    if flaw(geometry) is not None:
        return []
    found = [
        Outline([(float(position[0]), float(position[1])) for position in line], closed, part)
        for part, (lines, closed) in enumerate(_parts(geometry))
        for line in lines
        if line
    ]
    on_earth = all(abs(lon) <= 540 and abs(lat) <= 90 for outline in found for lon, lat in outline.points)
    return unwrapped(found) if on_earth else []


def _parts(geometry: Any) -> Iterator[tuple[Sequence[Any], bool]]:
    """Lines that belong together, and whether they are rings."""
    kind, nested = geometry["type"], geometry.get("coordinates")
    match kind:
        case "GeometryCollection":
            for part in geometry["geometries"]:
                yield from _parts(part)
        case "Point":
            yield [[nested] if nested else []], False
        case "MultiPoint":
            yield from (([[position]], False) for position in nested)
        case "LineString":
            yield [nested], False
        case "MultiLineString":
            yield from (([line], False) for line in nested)
        case "Polygon":
            yield nested, True
        case "MultiPolygon":
            yield from ((polygon, True) for polygon in nested)


def unwrapped(found: list[Outline]) -> list[Outline]:
    """Together, as near to each other as they are on the Earth: across the antimeridian the west counts on."""
    west, east = span(sorted({lon for outline in found for lon, _ in outline.points}) or [0.0])
    if west <= east:
        return found
    return [
        outline._replace(points=[(lon + 360 if lon < west else lon, lat) for lon, lat in outline.points])
        for outline in found
    ]


def bounds(found: Iterable[Outline]) -> tuple[float, float, float, float]:
    """West, south, east and north of all of them, at least one."""
    points = [point for outline in found for point in outline.points]
    lons, lats = [lon for lon, _ in points], [lat for _, lat in points]
    return min(lons), min(lats), max(lons), max(lats)


def area(geometry: object) -> float | None:
    """Square kilometres that a polygon, or several, cover; None where that is nothing, or too large to be flat."""
    rings = [outline for outline in outlines(geometry) if outline.closed]
    covered = sum(_covered(list(polygon)) for _, polygon in groupby(rings, lambda ring: ring.part))
    return covered if 0 < covered < _FLAT else None


def _covered(polygon: Sequence[Outline]) -> float:
    """Square kilometres within the first ring, and not within the others."""
    _, south, _, north = bounds(polygon)
    border, *holes = [abs(_shoelace(ring.points)) for ring in polygon]
    return (border - sum(holes)) * narrowing((south + north) / 2) * KM**2


def _shoelace(ring: Sequence[Point]) -> float:
    return sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in pairwise([*ring, ring[0]])) / 2


def narrowing(lat: float) -> float:
    """How much shorter a degree of longitude is than one of latitude."""
    return max(0.01, math.cos(math.radians(lat)))


class _Map(NamedTuple):
    """Which part of the Earth is where on the picture."""

    west: float
    north: float
    per_lon: float
    per_lat: float
    """Pixels of a degree."""

    @classmethod
    def around(cls, found: Sequence[Outline]) -> "_Map":
        west, south, east, north = bounds(found)
        lon, lat = (west + east) / 2, (south + north) / 2
        narrow = narrowing(lat)
        wide, high = (east - west) * narrow, north - south
        most = max(wide, high)
        margin = most * _MARGIN if most > POINT else _SMALLEST
        per_lat = min((_RIGHT - _LEFT) / (wide + 2 * margin), (_BOTTOM - _TOP) / (high + 2 * margin))
        per_lon = per_lat * narrow
        return cls(lon - (_RIGHT - _LEFT) / 2 / per_lon, lat + (_BOTTOM - _TOP) / 2 / per_lat, per_lon, per_lat)

    def x(self, lon: float) -> float:
        return _LEFT + (lon - self.west) * self.per_lon

    def y(self, lat: float) -> float:
        return _TOP + (self.north - lat) * self.per_lat

    @property
    def east(self) -> float:
        return self.west + (_RIGHT - _LEFT) / self.per_lon

    @property
    def south(self) -> float:
        return self.north - (_BOTTOM - _TOP) / self.per_lat


def ground(*geometries: object, title: str) -> str:
    """The map of GeoJSON geometries, "" where there is nothing to draw. `title` is HTML, and says what it is of."""
    each = [outlines(geometry) for geometry in geometries]
    found = unwrapped(
        _thinned([outline._replace(part=(number, outline.part)) for number, one in enumerate(each) for outline in one])
    )
    if not found:
        return ""
    view = _Map.around(found)
    drawn = [*_graticule(view), *_shapes(view, found), _scale(view), _NORTH]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'role="img" style="max-width:100%;color:inherit" font-family="sans-serif" font-size="9.5" fill="currentColor" '
        # Where a page that is not trusted leaves out the drawing, its words stay, and are apart.
        f'stroke="none"><title>{title}</title> {" ".join(drawn)}</svg>'
    )


def _thinned(found: list[Outline]) -> list[Outline]:
    """With no more corners than can be seen; each outline keeps its ends, and a few between."""
    step = math.ceil(sum(len(outline.points) for outline in found) / _VERTICES)
    return [outline._replace(points=_some(outline.points, step)) for outline in found[:_VERTICES]]


def _some(points: list[Point], step: int) -> list[Point]:
    step = min(step, max(1, len(points) // 4))
    return points if step == 1 else [*points[:-1:step], points[-1]]


def _shapes(view: _Map, found: Sequence[Outline]) -> Iterator[str]:
    for _, group in groupby(found, lambda outline: outline.part):
        lines = list(group)
        placed = [[(view.x(lon), view.y(lat)) for lon, lat in line.points] for line in lines]
        if len(placed[0]) == 1:
            x, y = placed[0][0]
            yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{_INK}"/>'
            yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="8" fill="none" stroke="{_INK}" stroke-width="1.2"/>'
            continue
        closed = lines[0].closed
        drawn = "".join(f"M{' '.join(f'{x:.1f},{y:.1f}' for x, y in line)}{'Z' * closed}" for line in placed)
        fill = f'fill="{_INK}" fill-opacity=".25" fill-rule="evenodd"' if closed else 'fill="none"'
        yield f'<path d="{drawn}" {fill} stroke="{_INK}" stroke-width="1.6" stroke-linejoin="round"/>'


def _graticule(view: _Map) -> Iterator[str]:
    yield (
        f'<rect x="{_LEFT}" y="{_TOP}" width="{_RIGHT - _LEFT}" height="{_BOTTOM - _TOP}" fill="none" '
        'stroke="currentColor" stroke-opacity=".5"/>'
    )
    step = _step(view.east - view.west)
    for lon in _multiples(view.west, view.east, step):
        x = view.x(lon)
        yield _line(x, _TOP, x, _BOTTOM)
        if _LEFT + 16 < x < _RIGHT - 16:
            around = (lon + 180) % 360 - 180
            yield _label(x, _BOTTOM + 12, "middle", degrees(around, step, "E", "W"))
    step = _step(view.north - view.south)
    for lat in _multiples(view.south, view.north, step):
        if abs(lat) <= 90:
            y = view.y(lat)
            yield _line(_LEFT, y, _RIGHT, y)
            if _TOP + 4 < y < _BOTTOM - 2:
                yield _label(_LEFT - 4, y + 3, "end", degrees(lat, step, "N", "S"))


def _step(span: float) -> float:
    """Degrees between two lines: a round number, with as many lines as fit."""
    if span > 20:
        return next((step for step in (5.0, 10.0, 15.0, 30.0, 45.0) if span / step <= _LINES), 90.0)
    return _round_up(span / _LINES)


def _round_up(value: float) -> float:
    power = 10.0 ** math.floor(math.log10(value))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= value * 0.999999)


def _multiples(least: float, most: float, step: float) -> Iterator[float]:
    for number in range(math.ceil(least / step), math.floor(most / step) + 1):
        yield number * step


def degrees(value: float, step: float, plus: str, minus: str) -> str:
    """As it stands at a line of a graticule whose lines are `step` apart: `16.5° S`."""
    places = max(0, -math.floor(math.log10(step))) if step < 1 else 0
    text = f"{abs(value):.{places}f}°"
    return text if float(text[:-1]) in {0, 180} else f"{text} {plus if value > 0 else minus}"


def _line(x0: float, y0: float, x1: float, y1: float) -> str:
    return f'<line x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}" stroke="currentColor" stroke-opacity=".2"/>'


def _label(x: float, y: float, anchor: str, text: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill-opacity=".8">{text}</text>'


def _scale(view: _Map) -> str:
    """A bar at the bottom right, of a round length."""
    km = KM / view.per_lat
    length = round_down(_SCALE * km)
    pixels = length / km
    x1, y = _RIGHT - 8, _BOTTOM - 8
    x0 = x1 - pixels
    text = f"{length:,.0f} km" if length >= 1 else f"{length * 1000:.0f} m"
    return (
        f'<path d="M{x0:.1f} {y - 4}V{y}H{x1:.1f}V{y - 4}" fill="none" stroke="currentColor" stroke-width="1.2"/>'
        f'<text x="{(x0 + x1) / 2:.1f}" y="{y - 5}" text-anchor="middle">{text}</text>'
    )


def round_down(value: float) -> float:
    """The largest of 1, 2, 5, 10, 20 and so on that is not larger."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(factor * power for factor in (5, 2, 1) if factor * power <= value * 1.000001)


_NORTH = (
    f'<path d="M{_RIGHT - 12} {_TOP + 16}l-4 11 4 -3 4 3z"/>'
    f'<text x="{_RIGHT - 12}" y="{_TOP + 13}" text-anchor="middle" font-weight="bold">N</text>'
)
