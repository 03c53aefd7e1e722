"""The sandbox's link host, over plain HTTP: ranges by the letter of RFC 9110, and what goes wrong when it should."""

import asyncio
import contextlib
import io
import logging
import re
import socket
import struct
import time
from datetime import timedelta
from email.utils import parsedate_to_datetime
from urllib.parse import parse_qsl, urlsplit

import aiohttp
import pytest
import rasterio

from iceye_async.sandbox import LinkFault, LinkRequest, Scenario, documents
from tests.desk import AT_ONCE, BOTH, Line, turns
from tests.desk import open_desk as open_any_desk

SIZE = 3_000_001


@contextlib.asynccontextmanager
async def open_desk(**scenario):
    given = AT_ONCE | {"derivatives": {"DC_VESSELS": 0.0}} | scenario
    async with open_any_desk(Scenario(**given), BOTH | {"derivativeProductTypes": ["DC_VESSELS"]}) as desk:
        yield desk


@pytest.fixture
async def desk():
    async with open_desk(sizes={"DC_VESSELS": SIZE, "grd-xml": 0, "thumbnail-json": 1}) as desk:
        yield desk


@pytest.fixture
async def big(desk):
    """The link to a file of 3 MB, most of it noise."""
    return (await desk.links())["DC_VESSELS"]


@pytest.fixture
async def line(big):
    line = Line(big)
    yield line
    line.socket.close()


@pytest.fixture
def complaints():
    """What aiohttp and asyncio log."""
    records = []
    handler = logging.Handler()
    handler.emit = records.append
    loggers = [logging.getLogger(name) for name in ("aiohttp", "aiohttp.server", "asyncio")]
    for log in loggers:
        log.addHandler(handler)
    yield records
    for log in loggers:
        log.removeHandler(handler)


def is_xml_error(got):
    return got.headers["Content-Type"] == "application/xml" and re.match(rb"<\?xml[^>]*><Error><Code>", got.body)


def share_bytes(first, second):
    """Whether two files have any byte in common at the same place, but for the first few."""
    return any(a == b for a, b in zip(first[16:], second[16:], strict=True))


# --- whole files -------------------------------------------------------------------------------------------------


async def test_a_file_comes_with_its_length_validators_and_the_offer_of_ranges(desk, big):
    got = await desk.fetch(big)

    assert got.status == 200
    assert len(got.body) == SIZE
    assert int(got.headers["Content-Length"]) == SIZE
    assert re.fullmatch(r'"[^"]+"', got.headers["ETag"])
    assert parsedate_to_datetime(got.headers["Last-Modified"]) <= parsedate_to_datetime(got.headers["Date"])
    assert got.headers["Accept-Ranges"] == "bytes"
    assert got.headers["Content-Type"] == "application/geo+json"
    assert got.headers["x-amz-cf-id"]
    assert "Content-Disposition" not in got.headers
    assert "Content-Range" not in got.headers


async def test_a_head_is_the_head_of_a_get(desk, big):
    whole, head = await desk.fetch(big), await desk.fetch(big, "HEAD", Range="bytes=0-9")

    assert (head.status, head.body) == (200, b"")
    for name in ("Content-Length", "Content-Type", "ETag", "Last-Modified", "Accept-Ranges"):
        assert head.headers[name] == whole.headers[name]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
async def test_other_methods_are_refused(desk, big, method):
    got = await desk.fetch(big, method)

    assert got.status == 405
    assert got.headers["Allow"] == "GET, HEAD"


async def test_a_file_is_the_same_each_time(desk, big):
    first, second = await desk.fetch(big), await desk.fetch(big)

    assert first.body == second.body
    assert first.headers["ETag"] == second.headers["ETag"]
    assert first.headers["Last-Modified"] == second.headers["Last-Modified"]


async def test_files_differ_and_so_do_their_etags(desk):
    here, there = await desk.links(), await desk.links()
    answers = [await desk.fetch(links[key]) for links in (here, there) for key in ("grd-tif", "quicklook-png")]

    assert len({got.body for got in answers}) == 4
    assert len({got.headers["ETag"] for got in answers}) == 4


async def test_dates_are_those_at_which_things_were_ready():
    async with open_desk(imaged=100, fulfilled=20, derivatives={"DC_VESSELS": 3.0}) as desk:
        begun = desk.clock.utc()
        path = await desk.created()
        desk.clock.time = 500
        product = (await desk.products(path))[0]["grd-tif"]
        _, listing = await desk.get(f"{path}/derivatives")

        of_product = await desk.fetch(product)
        of_derivative = await desk.fetch(listing["data"][0]["assets"][0]["href"])

    assert parsedate_to_datetime(of_product.headers["Last-Modified"]) == begun + timedelta(seconds=120)
    assert parsedate_to_datetime(of_derivative.headers["Last-Modified"]) == begun + timedelta(seconds=123)


# --- sizes, names, sharing ---------------------------------------------------------------------------------------


async def test_a_file_is_as_big_as_the_scenario_says_and_begins_as_the_real_one():
    async with open_desk(sizes={"grd-tif": SIZE, "DC_VESSELS": 2_000_000, "quicklook-png": 100}) as desk:
        links = await desk.links()
        bodies = {key: (await desk.fetch(link)).body for key, link in links.items()}

    with rasterio.open(io.BytesIO(bodies["grd-tif"])) as picture:
        assert picture.read(1).max() == 60_000
    assert len(bodies["grd-tif"]) == SIZE
    assert len(bodies["DC_VESSELS"]) == 2_000_000
    assert bodies["DC_VESSELS"].startswith(b'{"type": "FeatureCollection"')
    assert len(bodies["quicklook-png"]) == 100
    assert bodies["quicklook-png"].startswith(b"\x89PNG")
    assert 0 < len(bodies["thumbnail-png"]) < 1_000_000


async def test_a_file_may_be_empty_or_one_byte(desk):
    links = await desk.links()
    empty, tiny = await desk.fetch(links["grd-xml"]), await desk.fetch(links["thumbnail-json"])

    assert (empty.status, empty.body, empty.headers["Content-Length"]) == (200, b"", "0")
    assert (tiny.status, tiny.body, tiny.headers["Content-Length"]) == (200, b"{", "1")


async def test_no_part_of_a_big_file_is_like_another(desk, big):
    """A piece that was written to a wrong place shows."""
    body = (await desk.fetch(big, Range="bytes=1000000-")).body
    blocks = [body[start : start + 64] for start in range(0, len(body) - 64, 64)]

    assert len(set(blocks)) == len(blocks)


async def test_sixty_gigabytes_are_no_trouble():
    size = 60 * 10**9
    async with open_desk(sizes={"DC_VESSELS": size}) as desk:
        link = (await desk.links())["DC_VESSELS"]
        head = await desk.fetch(link, "HEAD")
        end = await desk.fetch(link, Range=f"bytes={size - 5}-")

    assert int(head.headers["Content-Length"]) == size
    assert end.headers["Content-Range"] == f"bytes {size - 5}-{size - 1}/{size}"
    assert len(end.body) == 5


async def test_a_file_is_made_once(desk, monkeypatch):
    made = []
    make = documents.file
    monkeypatch.setattr(documents, "file", lambda *what: made.append(what[0]) or make(*what))
    path = await desk.created()
    for product in [*(await desk.products(path)), *(await desk.products(path))]:
        for link in product.values():
            await desk.fetch(link, Range="bytes=0-9")

    assert sorted(made) == sorted(documents.keys_of("GRD"))


async def test_by_wish_the_host_names_the_files():
    async with open_desk(names=True) as desk:
        path = await desk.created()
        links = await desk.products(path)
        told = [
            [(await desk.fetch(link, method)).headers["Content-Disposition"] for link in product.values()]
            for product in links
            for method in ("GET", "HEAD")
        ]
        names = [[re.fullmatch('attachment; filename="(.+)"', one)[1] for one in product] for product in told]

    assert names[0] == names[1]
    assert [name.rpartition(".")[2] for name in names[0]] == ["tif", "xml", "png", "json", "png"]
    for name in names[0]:
        assert re.fullmatch(r"ICEYE_[A-Za-z0-9_.-]+", name)
    assert names[0][0] != names[2][0]
    assert names[0][2:] == names[2][2:]


async def test_by_wish_a_detection_file_has_a_name_too():
    async with open_desk(names=True) as desk:
        got = await desk.fetch((await desk.links())["DC_VESSELS"])

    assert re.search(r'filename="ICEYE_.+_vessel-detections\.geojson"', got.headers["Content-Disposition"])


async def test_the_products_of_a_task_share_their_previews(desk):
    grd, cog = await desk.products(await desk.created())
    other, _ = await desk.products(await desk.created())

    for key in ("quicklook-png", "thumbnail-png", "thumbnail-json"):
        assert urlsplit(grd[key]).path == urlsplit(cog[key]).path
        assert grd[key] != cog[key]
        assert urlsplit(grd[key]).path != urlsplit(other[key]).path
        assert (await desk.fetch(grd[key])).body == (await desk.fetch(cog[key])).body
        assert (await desk.fetch(grd[key])).status == (await desk.fetch(cog[key])).status == 200
    for key in ("grd-tif", "grd-xml"):
        assert urlsplit(grd[key]).path != urlsplit(cog[key]).path


# --- links -------------------------------------------------------------------------------------------------------


async def test_a_link_is_signed_as_cloudfront_signs(desk, big):
    query = dict(parse_qsl(urlsplit(big).query, strict_parsing=True))

    assert list(query) == ["Expires", "Signature", "Key-Pair-Id"]
    assert int(query["Expires"]) == desk.clock.utc().timestamp() + 3600


@pytest.mark.parametrize(("now", "status"), [(-1, 200), (0, 200), (1, 403)])
@pytest.mark.parametrize("life", [0.0, 7.0, 3600.0, 86400.0])
async def test_a_link_lives_as_long_as_the_scenario_says(life, now, status):
    async with open_desk(link_life=life) as desk:
        link = (await desk.links())["grd-xml"]
        desk.clock.time = life + now
        got = await desk.fetch(link)

    assert got.status == status


async def test_an_expired_link_is_403_with_the_id_of_the_request(desk, big):
    desk.clock.time = 3601
    first, second = await desk.fetch(big), await desk.fetch(big)

    assert first.status == 403
    assert is_xml_error(first)
    assert b"<Code>AccessDenied</Code>" in first.body
    assert first.headers["x-amz-cf-id"] != second.headers["x-amz-cf-id"]
    assert "ETag" not in first.headers


async def test_a_link_may_end_while_the_file_is_on_its_way(desk, big, line):
    await line.ask(Connection="close")
    await line.receive(1)
    desk.clock.time = 4000

    _, body, end = await line.receive_all()

    assert (len(body), end) == (SIZE, "closed")
    assert (await desk.fetch(big)).status == 403


@pytest.mark.parametrize(
    "spoil",
    [
        lambda link: link + "&x=1",
        lambda link: link + "&Expires=1",
        lambda link: link.replace("Key-Pair-Id=", "Key-Pair-Id=x"),
        lambda link: link.partition("&Key-Pair-Id")[0],
        lambda link: link.replace("/vessel-", "/vessel%2D"),
        lambda link: link.replace("/vessel-", "/%ff"),
        lambda link: re.sub("Expires=[0-9]+", "Expires=soon", link),
        lambda link: re.sub("Signature=[^&]+", "Signature=%ff%00", link),
        lambda link: re.sub("/[^/?]+/vessel[^?]+", "/", link),
    ],
    ids=["more", "twice", "other key", "no key", "other spelling", "bytes", "no number", "no text", "no file"],
)
async def test_a_link_that_is_not_as_it_was_given_is_403(desk, big, spoil):
    line = Line(spoil(big))
    await line.ask(Connection="close")
    head, body, _ = await line.receive_all()
    line.socket.close()

    assert head.startswith("http/1.1 403 ")
    assert b"<Code>AccessDenied</Code>" in body


@pytest.mark.parametrize("name", ["Authorization", "Cookie", "Proxy-Authorization", "cookie"])
async def test_credentials_are_refused_whatever_the_link(desk, big, name):
    got = await desk.fetch(big, **{name: "a=b"})

    assert got.status == 400
    assert is_xml_error(got)


# --- ranges ------------------------------------------------------------------------------------------------------

SPANS = [
    ("bytes=0-0", 0, 1),
    ("bytes=0-9", 0, 10),
    ("bytes=5-5", 5, 6),
    ("bytes=1000000-2999999", 1_000_000, 3_000_000),
    ("bytes=7-", 7, SIZE),
    ("bytes=3000000-", SIZE - 1, SIZE),
    ("bytes=3000000-9999999999999999999999999999", SIZE - 1, SIZE),
    ("bytes=0-99999999", 0, SIZE),
    ("bytes=0-", 0, SIZE),
    ("bytes=-1", SIZE - 1, SIZE),
    ("bytes=-1000", SIZE - 1000, SIZE),
    ("bytes=-99999999", 0, SIZE),
    ("bytes=00-09", 0, 10),
    ("BYTES=0-9", 0, 10),
]


@pytest.mark.parametrize(("field", "start", "stop"), SPANS)
async def test_a_range_gives_just_these_bytes(desk, big, field, start, stop):
    whole, got = await desk.fetch(big), await desk.fetch(big, Range=field)

    assert got.status == 206
    assert got.body == whole.body[start:stop]
    assert got.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{SIZE}"
    assert int(got.headers["Content-Length"]) == stop - start
    for name in ("ETag", "Last-Modified", "Content-Type", "Accept-Ranges"):
        assert got.headers[name] == whole.headers[name]


@pytest.mark.parametrize("field", [f"bytes={SIZE}-", f"bytes={SIZE}-{SIZE}", "bytes=99999999-", "bytes=-0"])
async def test_a_range_of_no_byte_is_416_and_tells_the_size(desk, big, field):
    got = await desk.fetch(big, Range=field)

    assert got.status == 416
    assert got.headers["Content-Range"] == f"bytes */{SIZE}"
    assert is_xml_error(got)


NONSENSE = [
    *("bytes=0-1,3-4", "bytes=0-1, 1-2", "bytes=", "bytes=-", "bytes=5-4", "bytes=a-b", "bytes=1", "bytes 0-9"),
    *("bytes=0-9x", "bytes=--5", "bytes=+1-5", "bytes= 0-9", "bytes=0 -9", "0-9", "items=0-9", "bytes=0x1-5", "=0-1"),
    *("bytes=\u0661-", "bytes=" + "9" * 5000 + "-"),
]


@pytest.mark.parametrize("field", NONSENSE, ids=lambda field: field[:20].encode("ascii", "replace").decode())
async def test_several_ranges_or_nonsense_give_the_whole(desk, big, field):
    got = await desk.fetch(big, Range=field)

    assert (got.status, len(got.body)) == (200, SIZE)
    assert "Content-Range" not in got.headers


async def test_two_range_headers_are_several_ranges(desk, big):
    async with desk.http.get(big, headers=[("Range", "bytes=0-1"), ("Range", "bytes=0-1")]) as answer:
        assert answer.status == 200

    assert desk.heard[-1].range == "bytes=0-1, bytes=0-1"


@pytest.mark.parametrize(
    ("field", "status"), [("bytes=0-", 416), ("bytes=0-9", 416), ("bytes=-0", 416), ("bytes=-5", 200)]
)
async def test_of_an_empty_file_no_range_can_be_had(desk, field, status):
    got = await desk.fetch((await desk.links())["grd-xml"], Range=field)

    assert got.status == status
    assert got.headers.get("Content-Range") == ("bytes */0" if status == 416 else None)


def other_spellings(date):
    moment = parsedate_to_datetime(date)
    return [moment.strftime("%A, %d-%b-%y %H:%M:%S GMT"), moment.strftime("%a %b %e %H:%M:%S %Y")]


@pytest.mark.parametrize("which", ["etag", "date", "rfc 850 date", "asctime date"])
async def test_a_range_of_the_version_that_there_is_is_given(desk, big, which):
    whole = await desk.fetch(big)
    date = whole.headers["Last-Modified"]
    spellings = [whole.headers["ETag"], date, *other_spellings(date)]
    validator = dict(zip(["etag", "date", "rfc 850 date", "asctime date"], spellings, strict=True))[which]

    got = await desk.fetch(big, Range="bytes=5-9", If_Range=validator)

    assert (got.status, got.body) == (206, whole.body[5:10])
    assert (desk.heard[-1].range, desk.heard[-1].if_range) == ("bytes=5-9", validator)


@pytest.mark.parametrize(
    "change",
    [
        lambda etag, date: '"another"',
        lambda etag, date: f"W/{etag}",
        lambda etag, date: etag.strip('"'),
        lambda etag, date: f'{etag}, "x"',
        lambda etag, date: etag.upper(),
        lambda etag, date: "*",
        lambda etag, date: "Thu, 01 Jan 2026 00:00:01 GMT",
        lambda etag, date: "Wed, 31 Dec 2025 23:59:59 GMT",
        lambda etag, date: "Fri, 01 Jan 2027 00:00:00 GMT",
        lambda etag, date: date.replace("GMT", "+0000"),
        lambda etag, date: "yesterday",
    ],
    ids=[
        *("another", "weak", "without quotes", "two tags", "other case", "star", "later", "earlier", "a year later"),
        *("zone", "no date"),
    ],
)
async def test_a_range_of_any_other_version_gives_the_whole(desk, big, change):
    head = (await desk.fetch(big, "HEAD")).headers
    assert head["Last-Modified"] == "Thu, 01 Jan 2026 00:00:00 GMT"

    got = await desk.fetch(big, Range="bytes=5-9", If_Range=change(head["ETag"], head["Last-Modified"]))

    assert (got.status, len(got.body)) == (200, SIZE)


async def test_of_another_version_no_range_is_unsatisfiable(desk, big):
    got = await desk.fetch(big, Range=f"bytes={SIZE}-", If_Range='"another"')

    assert got.status == 200


async def test_a_weak_tag_does_not_even_match_itself(desk, big):
    desk.link_faults.append(LinkFault(etag='W/"1"', times=2))
    head = await desk.fetch(big, "HEAD")

    got = await desk.fetch(big, Range="bytes=5-9", If_Range=head.headers["ETag"])

    assert head.headers["ETag"] == 'W/"1"'
    assert got.status == 200


async def test_if_range_without_a_range_means_nothing(desk, big):
    assert (await desk.fetch(big, If_Range='"another"')).status == 200


# --- which requests suffer ---------------------------------------------------------------------------------------


async def statuses(desk, link, count):
    return [(await desk.fetch(link, "HEAD")).status for _ in range(count)]


async def test_a_fault_lets_some_pass_befalls_some_and_is_over(desk, big):
    desk.link_faults.append(LinkFault(skip=2, times=3, status=503))

    assert await statuses(desk, big, 4) == [200, 200, 503, 503]
    assert desk.link_faults == [LinkFault(times=1, status=503)]
    assert await statuses(desk, big, 2) == [503, 200]
    assert desk.link_faults == []


async def test_faults_come_one_after_the_other(desk, big):
    desk.link_faults += [LinkFault(status=500, skip=1), LinkFault(status=501, skip=1), LinkFault(status=502)]

    assert await statuses(desk, big, 6) == [200, 500, 200, 501, 502, 200]


async def test_a_fault_means_the_paths_that_it_names(desk):
    links = await desk.links()
    desk.link_faults += [
        LinkFault(path="detections", status=500, times=2),
        LinkFault(path="/grd-", status=501, times=2),
    ]

    assert await statuses(desk, links["grd-tif"], 1) == [501]
    assert await statuses(desk, links["quicklook-png"], 1) == [200]
    assert await statuses(desk, links["DC_VESSELS"], 3) == [500, 500, 200]
    assert await statuses(desk, links["grd-xml"], 2) == [501, 200]


async def test_a_request_that_is_refused_anyway_uses_up_no_fault(desk, big):
    desk.link_faults.append(LinkFault(status=500))
    await desk.fetch(big, Cookie="a=b")
    await desk.fetch(big.replace("Signature=", "Signature=x"))
    await desk.fetch(big, "POST")

    assert await statuses(desk, big, 2) == [500, 200]


@pytest.mark.parametrize(
    "wrong",
    [
        *({"times": 0}, {"skip": -1}, {"cut": -1}, {"cut": 1, "reset": 1}, {"stall": 0, "cut": 0}, {"status": 100}),
        *({"etag": "v2"}, {"etag": '"a"b"'}, {"headers": {"Retry-After": 5}}),
    ],
    ids=str,
)
def test_a_fault_that_makes_no_sense_cannot_be_made(wrong):
    with pytest.raises((ValueError, TypeError)):
        LinkFault(**wrong)


# --- what they suffer --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [302, 403, 404, 416, 418, 429, 500, 503, 599])
async def test_a_status_comes_with_an_xml_error(desk, big, status):
    desk.link_faults.append(LinkFault(status=status, headers={"Retry-After": "7"}))

    got = await desk.fetch(big, Range="bytes=0-9")

    assert got.status == desk.heard[-1].status == status
    assert is_xml_error(got)
    assert got.headers["x-amz-cf-id"]
    assert got.headers["Retry-After"] == "7"
    assert "ETag" not in got.headers


async def test_a_status_with_a_body_is_just_that(desk, big):
    desk.link_faults.append(LinkFault(status=206, body=b"hello", headers={"Content-Range": "bytes 7-3/x"}))

    got = await desk.fetch(big)

    assert (got.status, got.body) == (206, b"hello")
    assert got.headers["Content-Type"] == "application/geo+json"
    assert got.headers["Content-Range"] == "bytes 7-3/x"
    assert "ETag" not in got.headers


@pytest.mark.parametrize("status", [204, 304])
async def test_a_status_that_has_no_body_has_none(desk, big, status):
    desk.link_faults.append(LinkFault(status=status))

    got = await desk.fetch(big)

    assert (got.status, got.body) == (status, b"")
    assert desk.heard[-1].sent == 0
    assert (await desk.fetch(big)).status == 200


async def test_other_bytes_are_a_file_of_their_own(desk, big):
    real = await desk.fetch(big)
    desk.link_faults.append(LinkFault(body=b"<html>sorry", headers={"Content-Type": "text/html"}, times=4))

    whole = await desk.fetch(big)
    part = await desk.fetch(big, Range="bytes=1-4", If_Range=whole.headers["ETag"])
    by_tag = await desk.fetch(big, Range="bytes=1-4", If_Range=real.headers["ETag"])
    by_date = await desk.fetch(big, Range="bytes=1-4", If_Range=real.headers["Last-Modified"])

    assert (whole.status, whole.body, whole.headers["Content-Type"]) == (200, b"<html>sorry", "text/html")
    assert (part.status, part.body) == (206, b"html")
    assert by_tag.status == by_date.status == 200


async def test_headers_are_replaced_added_and_removed(desk, big):
    changes = {"etag": '"mine"', "Last-Modified": None, "X-New": "1", "Date": "now", "content-type": "a/b"}
    desk.link_faults.append(LinkFault(headers=changes))

    got = await desk.fetch(big)

    assert got.headers.getall("ETag") == ['"mine"']
    assert "Last-Modified" not in got.headers
    assert got.headers["X-New"] == "1"
    assert got.headers.getall("Date") == ["now"]
    assert got.headers.getall("Content-Type") == ["a/b"]
    assert len(got.body) == SIZE


async def test_without_a_length_the_body_ends_where_the_connection_does(desk, big, line):
    desk.link_faults.append(LinkFault(headers={"content-length": None}))
    await line.ask()

    head, body, end = await line.receive_all()

    assert "content-length" not in head
    assert "transfer-encoding" not in head
    assert (len(body), end) == (SIZE, "closed")


@pytest.mark.parametrize("told", [SIZE - 1000, SIZE + 1000])
async def test_a_length_may_lie(desk, big, line, told):
    desk.link_faults.append(LinkFault(headers={"Content-Length": str(told)}))
    await line.ask()

    head, body, end = await line.receive_all()

    assert f"content-length: {told}\r\n" in head
    assert (len(body), end) == (SIZE, "closed")


@pytest.mark.parametrize("field", ["bytes=0-", "bytes=1000-2000"])
async def test_a_range_may_be_ignored(desk, big, field):
    desk.link_faults.append(LinkFault(ignore_range=True))

    got = await desk.fetch(big, Range=field)

    assert (got.status, len(got.body)) == (200, SIZE)
    assert "Content-Range" not in got.headers


@pytest.mark.parametrize(("field", "status"), [("bytes=10-", 206), ("x", 200)])
async def test_a_length_may_be_left_out(desk, big, field, status):
    whole = await desk.fetch(big)
    desk.link_faults += [LinkFault(chunked=True), LinkFault(chunked=True)]

    got, head = await desk.fetch(big, Range=field), await desk.fetch(big, "HEAD")

    assert (got.status, got.body) == (status, whole.body[10 if status == 206 else 0 :])
    assert got.headers["Transfer-Encoding"] == "chunked"
    assert "Content-Length" not in got.headers
    assert "Content-Length" not in head.headers


async def test_http_1_0_knows_no_chunks(desk, big, line):
    desk.link_faults.append(LinkFault(chunked=True))
    await line.ask(version="1.0")

    head, body, _ = await line.receive_all()

    assert "transfer-encoding" not in head
    assert len(body) == SIZE


async def test_bytes_come_after_the_end(desk, big, line):
    desk.link_faults.append(LinkFault(extra=b"surplus"))
    await line.ask(Connection="close", Range="bytes=0-99")

    head, body, _ = await line.receive_all()

    assert "content-length: 100\r\n" in head
    assert (len(body), body[100:]) == (107, b"surplus")
    assert desk.heard[-1].sent == 100


async def test_bytes_come_after_the_last_chunk(desk, big, line):
    desk.link_faults.append(LinkFault(extra=b"surplus", chunked=True))
    await line.ask(Connection="close", Range="bytes=0-9")

    _, body, _ = await line.receive_all()

    assert body.endswith(b"0\r\n\r\nsurplus")


async def test_bytes_come_after_an_empty_file(desk):
    desk.link_faults.append(LinkFault(extra=b"surplus"))
    line = Line((await desk.links())["grd-xml"])
    await line.ask(Connection="close")

    head, body, _ = await line.receive_all()
    line.socket.close()

    assert "content-length: 0\r\n" in head
    assert body == b"surplus"


async def test_a_file_may_be_replaced_by_another_of_the_same_length(desk, big):
    old = await desk.fetch(big)
    desk.link_faults += [LinkFault(etag='"v2"', times=5), LinkFault(etag='"v3"')]

    new = await desk.fetch(big)
    part = await desk.fetch(big, Range="bytes=5-1500000", If_Range='"v2"')
    by_date = await desk.fetch(big, Range="bytes=5-9", If_Range=new.headers["Last-Modified"])
    by_old_tag = await desk.fetch(big, Range="bytes=5-9", If_Range=old.headers["ETag"])
    by_old_date = await desk.fetch(big, Range="bytes=5-9", If_Range=old.headers["Last-Modified"])
    newest = await desk.fetch(big)

    assert [new.headers["ETag"], newest.headers["ETag"]] == ['"v2"', '"v3"']
    assert len(new.body) == SIZE
    assert new.body[:8] == old.body[:8] == b'{"type":'
    assert not share_bytes(old.body, new.body)
    assert not share_bytes(newest.body, new.body)
    assert (part.status, part.body) == (206, new.body[5:1_500_001])
    assert by_date.status == 206
    assert by_old_tag.status == by_old_date.status == 200
    assert parsedate_to_datetime(new.headers["Last-Modified"]) < parsedate_to_datetime(new.headers["Date"])


async def test_even_one_byte_is_another_when_it_is_replaced(desk):
    link = (await desk.links())["thumbnail-json"]
    desk.link_faults.append(LinkFault(etag='"v2"'))

    assert (await desk.fetch(link)).body != (await desk.fetch(link)).body


# --- broken off --------------------------------------------------------------------------------------------------

ENDS = [0, 1, 100, 65_536, 1_000_000, SIZE - 1, SIZE]


@pytest.mark.parametrize("count", ENDS)
async def test_a_cut_ends_the_connection_as_if_all_were_well(desk, big, line, count):
    desk.link_faults.append(LinkFault(cut=count))
    await line.ask()

    head, body, end = await line.receive_all()

    assert f"content-length: {SIZE}\r\n" in head
    assert (len(body), end) == (count, "closed")
    assert desk.heard[-1].sent == count


@pytest.mark.parametrize("count", ENDS)
async def test_a_reset_is_a_reset(desk, big, line, count):
    desk.link_faults.append(LinkFault(reset=count))
    await line.ask()

    head, body, end = await line.receive_all()

    assert f"content-length: {SIZE}\r\n" in head
    assert end == "reset"
    assert len(body) == count if count < 200_000 else 0 < len(body) <= count
    assert desk.heard[-1].sent == count


@pytest.mark.parametrize("count", [0, 1, 1_000_000, SIZE])
async def test_a_stall_is_silence(desk, big, line, count):
    desk.link_faults.append(LinkFault(stall=count))
    await line.ask()

    body = await line.receive(count)

    assert len(body) == count
    assert await line.is_silent()
    assert desk.heard[-1].sent == count


async def test_the_bytes_are_those_of_the_one_answer(desk, big, line):
    desk.link_faults.append(LinkFault(cut=10))
    await line.ask(Range="bytes=500-999")

    head, body, _ = await line.receive_all()

    assert "content-range: bytes 500-999/" in head
    assert body == (await desk.fetch(big)).body[500:510]


async def test_an_answer_that_is_shorter_ends_well(desk, big, line):
    desk.link_faults.append(LinkFault(reset=1000, extra=b"x"))
    await line.ask(Range="bytes=0-99", Connection="close")

    _, body, end = await line.receive_all()

    assert (len(body), end) == (101, "closed")


async def test_an_error_may_be_broken_off_too(desk, big, line):
    desk.link_faults.append(LinkFault(status=500, cut=5))
    await line.ask()

    head, body, _ = await line.receive_all()

    assert head.startswith("http/1.1 500 ")
    assert body == b"<?xml"


async def test_a_cut_before_the_last_chunk_leaves_the_body_open(desk, big):
    desk.link_faults.append(LinkFault(cut=SIZE, chunked=True))

    with pytest.raises(aiohttp.ClientPayloadError):
        await desk.fetch(big)


async def test_a_head_has_nothing_to_break_off(desk, big):
    desk.link_faults.append(LinkFault(cut=0))

    assert (await desk.fetch(big, "HEAD")).status == 200
    assert desk.link_faults == []


# --- what was asked ----------------------------------------------------------------------------------------------


def _heard(path, range_, if_range, status, sent, method="GET"):
    return LinkRequest(method=method, path=path, range=range_, if_range=if_range, status=status, sent=sent)


async def test_every_request_is_written_down_without_its_signature(desk, big):
    path = urlsplit(big).path
    await desk.fetch(big)
    await desk.fetch(big, "HEAD")
    await desk.fetch(big, Range="bytes=5-9", If_Range='"x"')
    await desk.fetch(big, Range="bytes=5-9")
    await desk.fetch(big, Range=f"bytes={SIZE}-")
    await desk.fetch(f"{desk.sandbox.link_url}/nothing?Signature=x")
    await desk.fetch(big, Cookie="a=b")

    *good, missing, refused, forbidden = desk.heard
    assert good == [
        _heard(path, None, None, 200, SIZE),
        _heard(path, None, None, 200, 0, "HEAD"),
        _heard(path, "bytes=5-9", '"x"', 200, SIZE),
        _heard(path, "bytes=5-9", None, 206, 5),
    ]
    assert (missing.status, missing.range) == (416, f"bytes={SIZE}-")
    assert (refused.status, refused.path) == (403, "/nothing")
    assert forbidden.status == 400
    assert all(one.sent > 0 for one in (missing, refused, forbidden))


# --- good manners ------------------------------------------------------------------------------------------------


HUGE = 50_000_000
"""Bytes of a file that no connection can hold as a whole."""


async def rest(before):
    """Until there are no tasks but those that were there before."""
    while asyncio.all_tasks() - before:
        await turns(1)


@pytest.mark.parametrize("fault", [LinkFault(), LinkFault(stall=1000), LinkFault(chunked=True)], ids=str)
@pytest.mark.parametrize("how", ["close", "reset"])
async def test_a_client_that_hangs_up_leaves_nothing_behind(fault, how, complaints):
    async with open_desk(sizes={"DC_VESSELS": HUGE}) as desk:
        link = (await desk.links())["DC_VESSELS"]
        before = asyncio.all_tasks()
        desk.link_faults.append(fault)
        line = Line(link)
        await line.ask()
        await line.receive(1000)
        if how == "reset":
            line.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        line.socket.close()
        await rest(before)

        assert desk.heard[-1].sent < HUGE
        assert (await desk.fetch(link, "HEAD")).status == 200
    assert complaints == []


@pytest.mark.parametrize("fault", [LinkFault(stall=1000), LinkFault(), LinkFault(cut=30_000_000)], ids=str)
async def test_closing_the_sandbox_waits_for_nobody(fault, complaints):
    """Neither for an answer that stalls, nor for a client that does not read."""
    before = asyncio.all_tasks()
    async with open_desk(sizes={"DC_VESSELS": HUGE}) as desk:
        lines = []
        link = (await desk.links())["DC_VESSELS"]
        desk.link_faults += [fault] * 3
        for _ in range(3):
            lines.append(Line(link))
            await lines[-1].ask()
            await lines[-1].receive(1000)
        await desk.http.close()
        begun = time.monotonic()
    took = time.monotonic() - begun
    await turns(2)

    assert took < 0.9
    assert not asyncio.all_tasks() - before
    for line in lines:
        line.socket.close()
    assert complaints == []


async def test_broken_off_answers_leave_nothing_behind(desk, big, complaints):
    await desk.http.close()
    before = asyncio.all_tasks()
    for fault in (LinkFault(cut=1000), LinkFault(reset=1000), LinkFault(cut=0, chunked=True), LinkFault(extra=b"x")):
        desk.link_faults.append(fault)
        line = Line(big)
        await line.ask(Connection="close")
        await line.receive_all()
        line.socket.close()
    await rest(before)

    assert complaints == []


async def test_a_big_file_does_not_keep_the_loop_from_others(monkeypatch):
    """Not even when the client takes it as fast as it comes: nothing is sent in pieces of more than 256 KiB."""
    longest, turns_taken = 0, 0
    async with open_desk(sizes={"DC_VESSELS": HUGE}) as desk:
        link = (await desk.links())["DC_VESSELS"]

        async def watch():
            nonlocal turns_taken, longest
            while True:
                sent = desk.heard[-1].sent if desk.heard else 0
                await asyncio.sleep(0)
                turns_taken += 1
                longest = max(longest, (desk.heard[-1].sent if desk.heard else 0) - sent)

        watching = asyncio.ensure_future(watch())
        await desk.fetch(link)
        watching.cancel()

    assert turns_taken > HUGE / 2**18
    assert longest <= 2 * 2**18


async def test_many_ranges_at_once_are_one_file(desk, big):
    whole = (await desk.fetch(big)).body
    parts = [(start, min(start + 100_000, SIZE)) for start in range(0, SIZE, 100_000)]

    answers = await asyncio.gather(*(desk.fetch(big, Range=f"bytes={start}-{stop - 1}") for start, stop in parts))

    assert b"".join(got.body for got in answers) == whole
    assert {got.status for got in answers} == {206}


async def test_on_one_connection_answers_follow_each_other(desk, big):
    whole = (await desk.fetch(big)).body
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as http:
        for start in (0, 5, 1_000_000):
            async with http.get(big, headers={"Range": f"bytes={start}-{start + 9}"}) as answer:
                assert await answer.read() == whole[start : start + 10]
            async with http.head(big) as answer:
                assert answer.status == 200
