"""GeoJSON geometries (RFC 7946): whether one is sound, and what it spans."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, TypeGuard

_DEPTHS = {"Point": 0, "MultiPoint": 1, "LineString": 1, "MultiLineString": 2, "Polygon": 2, "MultiPolygon": 3}
"""How many arrays stand around a position."""
_LEAST = {"LineString": 2, "MultiLineString": 2, "Polygon": 3, "MultiPolygon": 3}
"""Positions in a line. A ring that is not closed can be closed, so three do."""
_FARTHEST = 1e300
_HALF_TURN = 180.0


def is_type(word: object) -> TypeGuard[str]:
    """Whether it is the type of a geometry."""
    return isinstance(word, str) and (word in _DEPTHS or word == "GeometryCollection")


def flaw(geometry: object) -> tuple[str, str] | None:
    """Why this is no geometry, as the path to what is wrong in it and a reason; None where it is one.

    Empty coordinates are sound: they mean a geometry without any place.
    """
    if not isinstance(geometry, Mapping):
        return "", "expected an object"
    kind = geometry.get("type")
    if not is_type(kind):
        return ".type", "expected the type of a geometry"
    if kind == "GeometryCollection":
        return _flaw_of_parts(geometry.get("geometries"))
    coordinates = geometry.get("coordinates")
    if coordinates == []:
        return None
    return _flaw_of(coordinates, _DEPTHS[kind], _LEAST.get(kind, 0), ".coordinates")


def positions(geometry: Mapping[str, Any]) -> Iterator[Sequence[float]]:
    """The positions of a sound geometry, each [lon, lat] or [lon, lat, height]."""
    if geometry["type"] == "GeometryCollection":
        for part in geometry["geometries"]:
            yield from positions(part)
    elif geometry["coordinates"]:
        yield from _positions(geometry["coordinates"], _DEPTHS[geometry["type"]])


def bounds(geometry: Mapping[str, Any]) -> tuple[float, ...] | None:
    """West, south, east, north of a sound geometry, or with heights: west, south, lowest, east, north, highest.

    West is greater than east where it spans the antimeridian, as RFC 7946 has it. None where it has no place.
    """
    found = list(positions(geometry))
    if not found:
        return None
    west, east = span(sorted({position[0] for position in found}))
    south, north = min(position[1] for position in found), max(position[1] for position in found)
    if min(map(len, found)) < 3:
        return west, south, east, north
    heights = [position[2] for position in found]
    return west, south, min(heights), east, north, max(heights)


def span(longitudes: list[float]) -> tuple[float, float]:
    """West and east. What leaves more than half of the globe free in between lies around the antimeridian."""
    gaps = [(after - before, before, after) for before, after in pairwise(longitudes)]
    widest, before, after = max(gaps, default=(0.0, 0.0, 0.0))
    return (after, before) if _HALF_TURN < widest < 2 * _HALF_TURN else (longitudes[0], longitudes[-1])


def _flaw_of_parts(parts: object) -> tuple[str, str] | None:
    if not isinstance(parts, list | tuple):
        return ".geometries", "expected an array"
    for index, part in enumerate(parts):
        found = flaw(part)
        if found is not None:
            return f".geometries[{index}]{found[0]}", found[1]
    return None


def _flaw_of(coordinates: object, depth: int, least: int, place: str) -> tuple[str, str] | None:
    if depth == 0:
        return None if _is_position(coordinates) else (place, "expected two or three numbers")
    if not isinstance(coordinates, list | tuple):
        return place, "expected an array"
    if depth == 1 and 0 < len(coordinates) < least:
        return place, f"expected at least {least} positions"
    for index, part in enumerate(coordinates):
        found = _flaw_of(part, depth - 1, least, f"{place}[{index}]")
        if found is not None:
            return found
    return None


def _is_position(value: object) -> bool:
    return isinstance(value, list | tuple) and len(value) >= 2 and all(map(_is_coordinate, value))


def _is_coordinate(value: object) -> bool:
    # Neither NaN nor what no float can hold.
    return isinstance(value, int | float) and not isinstance(value, bool) and -_FARTHEST < value < _FARTHEST


def _positions(coordinates: Any, depth: int) -> Iterator[Sequence[float]]:
    if depth == 0:
        yield coordinates
        return
    for part in coordinates:
        yield from _positions(part, depth - 1)
