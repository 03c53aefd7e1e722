"""Small real files for the sandbox's links: a cloud-optimised GeoTIFF, a PNG quicklook, and GeoJSON detections.

Everything is made from a seed by the standard library. The ground is speckle, and what is detected on it are bright
rectangles, where the detections say they are: the files are valid, what they show is not a radar image.
"""

import json
import math
import random
import struct
import sys
import zlib
from array import array
from collections.abc import Iterable, Iterator
from typing import TypeAlias

Pixels: TypeAlias = "array[int]"
Place: TypeAlias = tuple[float, float]
"""Where something is in a picture: its parts of the way from west to east, and from south to north."""
SIDE = 512
_TILE = 256
_TARGET = 60_000
# Amplitudes of speckle have a Rayleigh distribution; this is the high byte of one, by where it stands among them.
_SPECKLE = bytes(round(9 * math.sqrt(-2 * math.log(1 - (rank + 0.5) / 256))) for rank in range(256))
_GREY = bytes(min(255, 4 * high) for high in range(256))


def places(seed: str, count: int) -> Iterator[Place]:
    """Where that many things are."""
    chance = random.Random(seed)
    for _ in range(count):
        east = chance.random()
        yield east, chance.random()


def scene(seed: str, targets: Iterable[tuple[Place, int, int]]) -> Pixels:
    """A SIDE x SIDE picture, 16 bits a pixel, row by row: speckle, and targets with so many pixels on each side."""
    chance = random.Random(seed)
    drawn = bytearray(2 * SIDE * SIDE)
    drawn[0::2] = chance.randbytes(SIDE * SIDE)
    drawn[1::2] = chance.randbytes(SIDE * SIDE).translate(_SPECKLE)
    pixels = array("H", bytes(drawn))
    if sys.byteorder == "big":
        pixels.byteswap()
    for (east, north), wide, high in targets:
        column, row = int(east * SIDE), int((1 - north) * SIDE)
        left, right = max(0, column - wide), min(SIDE, column + wide + 1)
        for y in range(max(0, row - high), min(SIDE, row + high + 1)):
            pixels[y * SIDE + left : y * SIDE + right] = array("H", [_TARGET]) * (right - left)
    return pixels


def png(pixels: Pixels) -> bytes:
    """The picture at half its size, as an 8-bit grey PNG."""
    half = _halved(pixels)
    if sys.byteorder == "big":
        half.byteswap()
    side = SIDE // 2
    grey = half.tobytes()[1::2].translate(_GREY)
    rows = b"".join(b"\0" + grey[y * side : (y + 1) * side] for y in range(side))
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows, 6)), (b"IEND", b"")]
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


def geotiff(pixels: Pixels, bbox: tuple[float, float, float, float]) -> bytes:
    """The picture as a tiled, deflated, georeferenced (EPSG:4326) TIFF with one overview, headers first.

    `bbox` is west, south, east, north in degrees.
    """
    full, overview = _tiles(pixels, SIDE), _tiles(_halved(pixels), SIDE // 2)
    west, south, east, north = bbox
    geo = [
        (33550, 12, struct.pack("<3d", (east - west) / SIDE, (north - south) / SIDE, 0.0)),
        (33922, 12, struct.pack("<6d", 0, 0, 0, west, north, 0)),
        (34735, 3, struct.pack("<16H", 1, 1, 0, 3, 1024, 0, 1, 2, 1025, 0, 1, 1, 2048, 0, 1, 4326)),
    ]
    first = 8
    second = first + len(_directory(SIDE, full, 0, 0, geo, overview=False))
    data = second + len(_directory(SIDE // 2, overview, 0, 0, [], overview=True))
    # The overview's data comes first: who reads a small picture reads the head of the file.
    full_data = data + sum(map(len, overview))
    directories = [
        _directory(SIDE, full, full_data, first, geo, overview=False, following=second),
        _directory(SIDE // 2, overview, data, second, [], overview=True),
    ]
    return struct.pack("<2sHI", b"II", 42, first) + b"".join([*directories, *overview, *full])


def detections(kind: str, seed: str, bbox: tuple[float, float, float, float], count: int) -> bytes:
    """GeoJSON with `count` points in the box. Each says that it is made up, for the real schema is not public."""
    west, south, east, north = bbox
    features = [
        {
            "type": "Feature",
            "geometry": {
                "type": "Point",
                "coordinates": [round(west + x * (east - west), 6), round(south + y * (north - south), 6)],
            },
            "properties": {"illustrative": True, "detected": kind, "number": number},
        }
        for number, (x, y) in enumerate(places(seed, count), 1)
    ]
    note = "Made up by the sandbox: the schema of real detections is not public."
    return json.dumps({"type": "FeatureCollection", "note": note, "features": features}).encode()


def _halved(pixels: Pixels) -> Pixels:
    half = array("H")
    for row in range(0, SIDE, 2):
        half += pixels[row * SIDE : (row + 1) * SIDE : 2]
    return half


def _tiles(pixels: Pixels, side: int) -> list[bytes]:
    tiles = []
    for top in range(0, side, _TILE):
        for left in range(0, side, _TILE):
            rows = (pixels[y * side + left : y * side + left + _TILE] for y in range(top, top + _TILE))
            tiles.append(zlib.compress(b"".join(row.tobytes() for row in rows), 6))
    return tiles


def _directory(
    side: int,
    tiles: list[bytes],
    data: int,
    at: int,
    geo: list[tuple[int, int, bytes]],
    *,
    overview: bool,
    following: int = 0,
) -> bytes:
    """One image file directory at byte `at`, with its values behind it; its tiles lie from byte `data` on."""
    offsets = [data + sum(map(len, tiles[:index])) for index in range(len(tiles))]
    fields = [
        (254, 4, struct.pack("<I", 1 if overview else 0)),
        (256, 4, struct.pack("<I", side)),
        (257, 4, struct.pack("<I", side)),
        (258, 3, struct.pack("<H", 16)),
        (259, 3, struct.pack("<H", 8)),
        (262, 3, struct.pack("<H", 1)),
        (277, 3, struct.pack("<H", 1)),
        (284, 3, struct.pack("<H", 1)),
        (322, 3, struct.pack("<H", _TILE)),
        (323, 3, struct.pack("<H", _TILE)),
        (324, 4, struct.pack(f"<{len(tiles)}I", *offsets)),
        (325, 4, struct.pack(f"<{len(tiles)}I", *map(len, tiles))),
        (339, 3, struct.pack("<H", 1)),
        *geo,
    ]
    size = {3: 2, 4: 4, 12: 8}
    values_at = at + 2 + 12 * len(fields) + 4
    entries, values = b"", b""
    for tag, kind, value in fields:
        inline = value.ljust(4, b"\0") if len(value) <= 4 else struct.pack("<I", values_at + len(values))
        entries += struct.pack("<HHI", tag, kind, len(value) // size[kind]) + inline
        values += b"" if len(value) <= 4 else value
    return struct.pack("<H", len(fields)) + entries + struct.pack("<I", following) + values
