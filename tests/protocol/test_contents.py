"""An error page that is passed off as a file, and files that are none."""

import pytest

from iceye_async.protocol.contents import is_error_page

TIFF = "image/tiff; application=geotiff"
HTML = b"<!DOCTYPE html><html><body>Sign in</body></html>"
XML = b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code></Error>'
KML = b'<?xml version="1.0"?><kml xmlns="http://www.opengis.net/kml/2.2"/>'


@pytest.mark.parametrize(
    "expected", [TIFF, "image/png", "geojson", "application/json", "application/xml", None, "what"]
)
@pytest.mark.parametrize("page", [HTML, b"\xef\xbb\xbf" + HTML, b"\n\n  <html>", XML, b"<Error><Code>x</Code></Error>"])
def test_a_page_is_told_whatever_was_expected(page, expected):
    assert is_error_page(page, "application/octet-stream", expected)


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"II*\0rest", TIFF),
        (b"MM\0*rest", TIFF),
        (b"II+\0rest", TIFF),
        (b"MM\0+rest", "application/x-geotiff"),
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"PK\x03\x04", "application/vnd.google-earth.kmz"),
        (b"NITF02.10", "application/x-nitf"),
        (b"\0\0\0\x20ftypisom", "video/mp4"),
        (b' {"type": "FeatureCollection"}', "geojson"),
        (b"[]", "application/json"),
        (KML, "application/vnd.google-earth.kml+xml"),
        (b"<GRD/>", "application/xml"),
        (HTML, "text/html"),
        (b"", TIFF),
        (b"anything at all", None),
        (b"<anything/>", None),
        (b"\x00\x01", "image/tiff"),
        (b"x" * 500, "geojson"),
    ],
)
@pytest.mark.parametrize("told", ["application/octet-stream", "", "binary/octet-stream"])
def test_a_file_is_no_page(head, expected, told):
    assert not is_error_page(head, told, expected)


@pytest.mark.parametrize(
    "told", ["text/html", "TEXT/HTML; charset=utf-8", "application/json", "application/problem+json"]
)
def test_what_calls_itself_a_page_where_a_picture_was_expected_is_one(told):
    assert is_error_page(b'{"message": "no"}', told, TIFF)
    assert not is_error_page(b"II*\0", told, TIFF)


def test_markup_where_a_picture_was_expected_is_a_page():
    assert is_error_page(b"<oops>", "", TIFF)
