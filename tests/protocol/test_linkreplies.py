"""What a link host's answer means: the table at the top of `linkreplies`, row by row."""

import pytest
from multidict import CIMultiDict

from iceye_async.protocol.linkreplies import (
    Anew,
    Expired,
    Later,
    Object,
    Refused,
    Take,
    Whole,
    meaning,
)

KNOWN = Object(size=100, etag='"e"', modified="Mon, 01 Jan 2024 00:00:00 GMT")


def heard(status, asked=None, known=KNOWN, **headers):
    return meaning(status, CIMultiDict({name.replace("_", "-"): text for name, text in headers.items()}), asked, known)


# --- the whole ---------------------------------------------------------------------------------------------------


def test_a_200_is_the_whole_whatever_was_asked_for():
    found = heard(200, (50, None), Content_Length="80", ETag='"new"', Accept_Ranges="bytes")

    assert found == Take((0, 80), Object(size=80, etag='"new"'), anew=True, ranges=True)


def test_a_chunked_body_has_no_size_and_may_be_taken():
    found = heard(200, Transfer_Encoding="chunked", Content_Length="80")

    assert found == Take((0, None), Object(), anew=True, ranges=False)


@pytest.mark.parametrize(
    "length", [{}, {"Content_Length": "-1"}, {"Content_Length": "ten"}, {"Content_Length": "1" * 30}]
)
def test_a_body_whose_end_nobody_tells_is_asked_for_again(length):
    """Its headers may have been cut off."""
    found = heard(200, **length)

    assert found == Later("the link host does not say where the file ends", broken=True)


@pytest.mark.parametrize(("etag", "kept"), [('"e"', '"e"'), ('W/"e"', None), ("e", None), ('""', None), ("", None)])
def test_only_a_strong_etag_tells_objects_apart(etag, kept):
    assert heard(200, Content_Length="1", ETag=etag).object.etag == kept


@pytest.mark.parametrize("status", [200, 206])
@pytest.mark.parametrize("encoding", ["gzip", "br", "identity, gzip"])
def test_an_encoding_that_was_not_asked_for_is_refused(status, encoding):
    found = heard(status, (0, None), Content_Length="1", Content_Encoding=encoding)

    assert isinstance(found, Refused)
    assert found.broken


@pytest.mark.parametrize("transfer", ["gzip, chunked", "gzip", "xchunked", "identity, chunked"])
def test_a_way_of_sending_that_nobody_can_read_is_refused(transfer):
    found = heard(200, Transfer_Encoding=transfer)

    assert isinstance(found, Refused)
    assert found.broken


def test_identity_is_no_encoding():
    assert isinstance(heard(200, Content_Length="1", Content_Encoding="Identity"), Take)


# --- validators --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("known", "validator"),
    [
        (KNOWN, '"e"'),
        (Object(size=1, modified="Mon"), "Mon"),
        (Object(modified="Mon"), None),
        (Object(size=1), None),
        (Object(etag='"e"'), '"e"'),
    ],
)
def test_what_a_part_can_be_asked_for_by(known, validator):
    assert known.validator == validator


# --- parts -------------------------------------------------------------------------------------------------------


def test_the_part_that_was_asked_for_goes_on():
    found = heard(206, (50, None), Content_Range="bytes 50-99/100", Content_Length="50", ETag='"e"')

    assert found == Take((50, 100), KNOWN, anew=False, ranges=True)


def test_a_shorter_part_is_taken_as_far_as_it_goes():
    assert heard(206, (50, 90), Content_Range="bytes 50-59/100", ETag='"e"').span == (50, 60)


def test_a_part_of_a_file_of_unknown_size_keeps_what_is_known():
    assert heard(206, (50, None), Content_Range="bytes 50-99/*", ETag='"e"').object == KNOWN
    unsized = Object(etag='"e"')
    assert heard(206, (50, None), unsized, Content_Range="bytes 50-99/100", ETag='"e"').object.size == 100


def test_a_validator_that_is_not_repeated_still_holds():
    assert isinstance(heard(206, (50, None), Content_Range="bytes 50-99/100"), Take)


def test_by_a_date_the_date_counts():
    dated = Object(size=100, modified="Mon")

    assert isinstance(heard(206, (50, None), dated, Content_Range="bytes 50-99/100", Last_Modified="Mon"), Take)
    assert isinstance(heard(206, (50, None), dated, Content_Range="bytes 50-99/100", Last_Modified="Tue"), Anew)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content_Range": "bytes a-b/n"},
        {"Content_Range": "bytes */100"},
        {"Content_Range": "bytes 49-99/100"},
        {"Content_Range": "bytes 51-99/100"},
        {"Content_Range": "bytes 50-99/101"},
        {"Content_Range": "bytes 50-99/100", "Content_Length": "49"},
        {"Content_Range": "bytes 50-99/100", "ETag": '"other"'},
    ],
    ids=str,
)
def test_a_part_of_something_else_begins_anew(headers):
    assert isinstance(heard(206, (50, None), **headers), Anew)


def test_more_than_was_asked_for_begins_anew():
    assert isinstance(heard(206, (50, 60), Content_Range="bytes 50-99/100", ETag='"e"'), Anew)


def test_a_part_that_nobody_asked_for_is_refused():
    found = heard(206, Content_Range="bytes 0-49/100")

    assert isinstance(found, Refused)
    assert found.broken


# --- no bytes ----------------------------------------------------------------------------------------------------


UNSIZED = Object(etag='"e"')


def test_a_416_at_the_end_says_that_it_was_whole():
    assert heard(416, (100, None), UNSIZED, Content_Range="bytes */100") == Whole(100)


def test_a_416_that_contradicts_the_size_begins_anew():
    assert isinstance(heard(416, (40, None), Content_Range="bytes */40"), Anew)


@pytest.mark.parametrize("told", ["bytes */99", "bytes */101", "bytes */*", ""])
def test_a_416_elsewhere_begins_anew(told):
    assert isinstance(heard(416, (100, None), UNSIZED, Content_Range=told), Anew)


def test_a_416_that_nobody_asked_for_is_refused():
    assert isinstance(heard(416), Refused)


def test_a_403_is_a_link_that_is_not_accepted():
    assert heard(403) == Expired()


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_what_may_pass_is_for_later(status):
    assert heard(status) == Later(f"the link host answered {status}")


@pytest.mark.parametrize("status", [100, 204, 301, 302, 400, 401, 404, 410, 501, 999])
def test_anything_else_is_refused(status):
    found = heard(status)

    assert isinstance(found, Refused)
    assert not found.broken
    assert str(status) in found.reason
