"""Where something is on the ground: a small map of it as SVG, with a graticule, a scale and north.

There is no land on it, for nothing is fetched. Degrees are drawn as they are, with east and west as wide as they are in
the middle of the map; across the antimeridian they count on.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple, TypeAlias

Point: TypeAlias = tuple[float, float]
"""Longitude and latitude in degrees."""

WIDTH, HEIGHT = 270, 196
_LEFT, _TOP, _RIGHT, _BOTTOM = 56, 4, WIDTH - 4, HEIGHT - 18
"""The map; around it is room for the degrees."""
_MARGIN = 0.16
"""Of the larger side, around what is shown."""
_SMALLEST = 0.08
"""Degrees of a map around one point."""
_LINES = 4
"""Lines of the graticule in each direction, at most."""
_SCALE = 80.0
"""Pixels that the scale is long at most."""
_VERTICES = 2000
"""So many corners are drawn. What has more loses some of them evenly."""
_DEEPEST = 8
_FLAT = 4e6
"""Square kilometres. What is larger cannot be taken for flat."""
KM = 111.195
"""Kilometres of a degree along a meridian, on a sphere."""


class Outline(NamedTuple):
    """Points that are joined; `closed` where they go around something."""

    points: list[Point]
    closed: bool


def outlines(geometry: object) -> list[Outline]:
    """What a GeoJSON geometry consists of; nothing where it is none, or not on the Earth."""
    try:
        found = [Outline([_point(pair) for pair in line], closed) for line, closed in _lines(geometry, 0)]
    except (TypeError, ValueError, KeyError, IndexError, OverflowError):
        return []
    return unwrapped([outline for outline in found if outline.points])


def _lines(geometry: Any, depth: int) -> Iterator[tuple[Sequence[Any], bool]]:
    if geometry is None or depth > _DEEPEST:
        return
    kind = geometry["type"]
    if kind == "GeometryCollection":
        for part in geometry["geometries"]:
            yield from _lines(part, depth + 1)
        return
    nested = geometry["coordinates"]
    match kind:
        case "Point":
            yield [nested], False
        case "MultiPoint":
            yield from (([pair], False) for pair in nested)
        case "LineString":
            yield nested, False
        case "MultiLineString":
            yield from ((line, False) for line in nested)
        case "Polygon":
            yield from ((ring, True) for ring in nested)
        case "MultiPolygon":
            yield from ((ring, True) for polygon in nested for ring in polygon)


def _point(pair: Sequence[Any]) -> Point:
    lon, lat = float(pair[0]), float(pair[1])
    if not (abs(lon) <= 540 and abs(lat) <= 90):
        raise ValueError("not on the Earth")
    return lon, lat


def unwrapped(found: list[Outline]) -> list[Outline]:
    """Across the antimeridian the west counts on from the east."""
    every = [lon for outline in found for lon, _ in outline.points]
    if not every or max(every) - min(every) <= 180:
        return found
    return [
        Outline([(lon + 360 if lon < 0 else lon, lat) for lon, lat in outline.points], outline.closed)
        for outline in found
    ]


def bounds(found: Iterable[Outline]) -> tuple[float, float, float, float]:
    """West, south, east and north of all of them, at least one."""
    points = [point for outline in found for point in outline.points]
    lons, lats = [lon for lon, _ in points], [lat for _, lat in points]
    return min(lons), min(lats), max(lons), max(lats)


def area(geometry: object) -> float | None:
    """Square kilometres that a polygon, or several, cover; None where that is nothing, or too large to be flat."""
    kind = geometry.get("type") if isinstance(geometry, Mapping) else None
    if not isinstance(geometry, Mapping) or kind not in {"Polygon", "MultiPolygon"} or not outlines(geometry):
        return None
    polygons = [geometry["coordinates"]] if kind == "Polygon" else geometry["coordinates"]
    covered = sum(map(_covered, polygons))
    return covered if 0 < covered < _FLAT else None


def _covered(polygon: Sequence[Any]) -> float:
    """Square kilometres within the first ring, and not within the others."""
    rings = [outline.points for outline in outlines({"type": "Polygon", "coordinates": polygon})]
    lats = [lat for ring in rings for _, lat in ring]
    border, *holes = [abs(_shoelace(ring)) for ring in rings] or [0.0]
    narrow = narrowing((max(lats) + min(lats)) / 2) if lats else 1.0
    return (border - sum(holes)) * narrow * KM**2


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
        margin = most * _MARGIN if most > 0 else _SMALLEST
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


def ground(geometry: object, *, title: str) -> str:
    """The map of a GeoJSON geometry, "" where there is nothing to draw. `title` is HTML, for who does not see it."""
    found = _thinned(outlines(geometry))
    if not found:
        return ""
    view = _Map.around(found)
    drawn = [*_graticule(view), *(_drawn(view, outline) for outline in found), _scale(view), _NORTH]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'role="img" aria-label="{title}" style="max-width:100%;color:inherit" font-family="sans-serif" '
        f'font-size="9.5" fill="currentColor" stroke="none">{"".join(drawn)}</svg>'
    )


def _thinned(found: list[Outline]) -> list[Outline]:
    step = math.ceil(sum(len(outline.points) for outline in found) / _VERTICES) or 1
    return [Outline(outline.points[::step], outline.closed) for outline in found[:_VERTICES]]


def _drawn(view: _Map, outline: Outline) -> str:
    placed = [(view.x(lon), view.y(lat)) for lon, lat in outline.points]
    if len(placed) == 1:
        x, y = placed[0]
        return (
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="#3b82d6"/>'
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="8" fill="none" stroke="#3b82d6" stroke-width="1.2"/>'
        )
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
    shape, fill = ("polygon", "rgba(59,130,214,.25)") if outline.closed else ("polyline", "none")
    return f'<{shape} points="{points}" fill="{fill}" stroke="#3b82d6" stroke-width="1.6" stroke-linejoin="round"/>'


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
