"""Small real files for the sandbox's links: a cloud-optimised GeoTIFF, a PNG quicklook, and GeoJSON detections.

Everything is made from a seed by the standard library. The sea is noise and the ships are squares: the files are valid,
what they show is not a radar image.
"""

import json
import random
import struct
import zlib
from array import array
from collections.abc import Sequence
from typing import TypeAlias

Pixels: TypeAlias = "array[int]"
SIDE = 512
_TILE = 256


def scene(seed: str, targets: Sequence[tuple[int, int]]) -> Pixels:
    """A SIDE x SIDE picture, 16 bits a pixel, row by row: speckle, and a bright square at each (column, row)."""
    noise = random.Random(seed).randbytes(2 * SIDE * SIDE)
    pixels = array("H", (a * b >> 4 for a, b in zip(noise[::2], noise[1::2], strict=True)))
    for column, row in targets:
        for y in range(max(0, row - 3), min(SIDE, row + 4)):
            for x in range(max(0, column - 3), min(SIDE, column + 4)):
                pixels[y * SIDE + x] = 60_000
    return pixels


def png(pixels: Pixels) -> bytes:
    """The picture at half its size, as an 8-bit grey PNG."""
    half = _halved(pixels)
    side = SIDE // 2
    rows = b"".join(
        b"\0" + bytes(min(255, value >> 4) for value in half[y * side : (y + 1) * side]) for y in range(side)
    )
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
    chance = random.Random(seed)
    west, south, east, north = bbox
    features = [
        {
            "type": "Feature",
            "geometry": {
                "type": "Point",
                "coordinates": [
                    round(chance.uniform(west, east), 6),
                    round(chance.uniform(south, north), 6),
                ],
            },
            "properties": {"illustrative": True, "detected": kind, "number": number},
        }
        for number in range(1, count + 1)
    ]
    note = "Made up by the sandbox: the schema of real detections is not public."
    return json.dumps({"type": "FeatureCollection", "note": note, "features": features}).encode()


def _halved(pixels: Pixels) -> Pixels:
    side = SIDE // 2
    return array("H", (pixels[2 * y * SIDE + 2 * x] for y in range(side) for x in range(side)))


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
