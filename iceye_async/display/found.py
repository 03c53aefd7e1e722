"""How much was detected, by the file that says so."""

import json
from pathlib import Path

LARGEST = 20_000_000
"""Bytes of a file that is looked into: it is read at once, while everything else waits."""


def detections(path: Path | str) -> int | None:
    """How many features a file on the disk holds; None where it is no GeoJSON, too large, or cannot be read."""
    if not isinstance(path, Path) or path.suffix.lower() != ".geojson":
        return None
    try:
        if path.stat().st_size >= LARGEST:
            return None
        features = json.loads(path.read_bytes())["features"]
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
    return len(features) if isinstance(features, list) else None
