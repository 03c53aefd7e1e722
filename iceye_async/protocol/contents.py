"""What files look like at their beginning, against an error page that is passed off as one.

Nothing else is judged: what the files of most assets hold is not published, so an unknown beginning is data.
"""

import re
from collections.abc import Mapping

HEAD = 512
"""Bytes from the beginning of a file that are enough to judge it by."""

_BEGINNINGS: Mapping[str, bytes] = {
    "image/tiff": rb"II\*\0|MM\0\*|II\+\0|MM\0\+",
    "application/x-geotiff": rb"II\*\0|MM\0\*|II\+\0|MM\0\+",
    "image/png": rb"\x89PNG",
    "application/vnd.google-earth.kmz": rb"PK",
    "application/x-nitf": rb"NITF|NSIF",
    "video/mp4": rb"....ftyp",
    "application/json": rb"\s*[\[{]",
    "application/geo+json": rb"\s*[\[{]",
    "geojson": rb"\s*[\[{]",
}
_MARKUP = frozenset({"application/xml", "text/xml", "application/vnd.google-earth.kml+xml", "text/html", "kml", "xml"})
_PAGES = frozenset({"text/html", "application/xml", "text/xml", "application/json", "application/problem+json"})
_HTML = rb"\s*(<!doctype\s+html|<html)"
_ERROR = rb"\s*(<\?xml[^>]*>\s*)?<Error>\s*<Code>"


def is_error_page(head: bytes, told: str, expected: str | None) -> bool:
    """Whether the first bytes of a file are an error page's, where something else was expected.

    `told` is the `Content-Type` of the answer, `expected` what the service says of the asset.
    """
    head, kind = head.removeprefix(b"\xef\xbb\xbf"), _media(expected)
    if not head or (kind in _BEGINNINGS and re.match(_BEGINNINGS[kind], head, re.DOTALL)):
        return False
    if re.match(_ERROR, head):
        return True
    if kind == "text/html":
        return False
    if re.match(_HTML, head, re.IGNORECASE):
        return True
    if kind in _MARKUP or kind not in _BEGINNINGS:
        return False
    return head.lstrip().startswith(b"<") or _media(told) in _PAGES


def _media(text: str | None) -> str:
    return (text or "").partition(";")[0].strip().lower()
