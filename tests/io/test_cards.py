"""What a model, a report and a wait look like in a notebook: HTML that is safe, readable anywhere, and true."""

import asyncio
import math
import pickle
import re
import sys
import types
import weakref
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from iceye_async import (
    Derivative,
    DerivativeAsset,
    DerivativeSet,
    DerivativeUpdate,
    Interval,
    PollPolicy,
    PollTimeout,
    Position,
    Product,
    ProductAsset,
    ProductUpdate,
    Task,
    TransportError,
)
from iceye_async.batch import printing
from iceye_async.batch.history import TaskRecord
from iceye_async.display import following
from iceye_async.display.cell import Output
from iceye_async.display.ground import area, ground
from iceye_async.display.livecard import Lasting
from iceye_async.events import Failed
from iceye_async.models.listed import Listed
from iceye_async.protocol import replies
from iceye_async.protocol.replies import Reply
from iceye_async.sandbox import Sandbox
from iceye_async.waits import Waiting
from tests.desk import ordered

LINK = "https://d1.cloudfront.net/abc/vessels.geojson?Expires=1234567890&Signature=c4n4ry~signature&Key-Pair-Id=K"
HOSTILE = f"<script>alert(1)</script>\" onmouseover='x' &amp; {LINK}\n\u202e"
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
SQUARE = {"type": "Polygon", "coordinates": [[[0, 0], [0.1, 0], [0.1, 0.1], [0, 0.1], [0, 0]]]}
TAGS = {"div", "span", "b", "code", "table", "tr", "td", "th", "progress"}
TAGS |= {"svg", "title", "rect", "line", "text", "path", "polygon", "polyline", "circle"}
ATTRIBUTES = {
    "style",
    "value",
    "max",
    "xmlns",
    "width",
    "height",
    "viewbox",
    "role",
    "aria-label",
    "points",
    "fill",
    "x",
}
ATTRIBUTES |= {
    "y",
    "x1",
    "x2",
    "y1",
    "y2",
    "cx",
    "cy",
    "r",
    "d",
    "stroke",
    "stroke-width",
    "stroke-linejoin",
    "font-size",
}
ATTRIBUTES |= {"stroke-opacity", "fill-opacity", "fill-rule", "text-anchor", "font-family", "font-weight"}


class Seen(HTMLParser):
    """What a browser makes of it: the tags and attributes, and the text in order."""

    def __init__(self, markup):
        super().__init__()
        self.tags, self.attributes, self.texts, self.open = set(), set(), [], []
        self.feed(markup)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data.strip())

    @property
    def text(self):
        return " ".join(filter(None, self.texts))


def seen(thing):
    return Seen(thing._repr_html_())


def derivative(name="d1", kind="DC_VESSELS", ready=True, image=None):
    assets = (DerivativeAsset(href=LINK, type="geojson"),) if ready else ()
    return Derivative(id=name, type=kind, task_id="t1", assets=assets, image_reference=image)


def update(*derivatives, fresh=(), missing=(), complete=False, final=False):
    return DerivativeUpdate(
        derivatives=DerivativeSet(derivatives, final=final),
        fresh=tuple(fresh),
        ready=frozenset(one.type for one in derivatives if one.assets),
        missing=frozenset(missing),
        complete=complete,
    )


def product(**facts):
    return Product(**{"id": "p1", "task_id": "t1", "geometry": SQUARE, **facts})


def task(**facts):
    return Task(
        **{
            "id": "t1",
            "contract_id": "c1",
            "status": "ACTIVE",
            "imaging_mode": "SPOTLIGHT",
            "point_of_interest": Position(-33.9, 18.4),
            "acquisition_window": Interval(NOON, NOON + timedelta(days=2)),
            "created_at": NOON,
            "updated_at": NOON,
            **facts,
        }
    )


@pytest.fixture
def documented(sample):
    """The products of the API page."""

    def read(name):
        return replies.products(Reply(200, {}, sample(name)), "t1").items[0]

    return read


def hostile_things():
    """Each kind of thing, with text from outside wherever there can be any."""
    asset = ProductAsset(href=LINK, title=HOSTILE, type=HOSTILE, roles=(HOSTILE,))
    bad = Derivative(
        id=HOSTILE,
        type=HOSTILE,
        task_id=HOSTILE,
        image_reference=HOSTILE,
        assets=(DerivativeAsset(href=LINK, type=HOSTILE),),
    )
    odd = Product(
        id=HOSTILE,
        task_id=HOSTILE,
        product_type=HOSTILE,
        mode=HOSTILE,
        frame_id=HOSTILE,
        look_side=HOSTILE,
        orbit_state=HOSTILE,
        polarizations=(HOSTILE,),
        assets={HOSTILE: asset},
        geometry={**SQUARE, HOSTILE: HOSTILE},
    )
    words = ["id", "contract_id", "status", "imaging_mode", "reference", "exclusivity", "priority", "sla", "eula"]
    words += ["look_side", "pass_direction"]
    return {
        "product": odd,
        "products": ProductUpdate(
            products=(odd,), fresh=(odd,), ready=frozenset({HOSTILE}), missing=frozenset({HOSTILE}), complete=True
        ),
        "derivative": bad,
        "derivatives": DerivativeSet((bad,), final=True),
        "update": update(bad, fresh=[bad], missing=[HOSTILE]),
        "task": task(**dict.fromkeys(words, HOSTILE), product_types=(HOSTILE,), derivative_product_types=(HOSTILE,)),
    }


# --- safe ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", hostile_things())
def test_whatever_comes_from_outside_is_text(name):
    page = seen(hostile_things()[name])

    assert page.tags <= TAGS
    assert page.attributes <= ATTRIBUTES
    assert "<script>alert(1)</script>" in page.text
    assert "\u202e" not in page.text


@pytest.mark.parametrize("name", hostile_things())
def test_no_signed_link_is_in_it(name):
    markup = hostile_things()[name]._repr_html_()

    assert "c4n4ry" not in markup
    assert "Expires" not in markup


@pytest.mark.parametrize("name", hostile_things())
def test_nothing_is_fetched_or_run_and_no_colour_needs_a_background(name):
    """It is read in a light page and in a dark one, and years later."""
    markup = re.sub(r'xmlns="http://www\.w3\.org/2000/svg"', "", hostile_things()[name]._repr_html_())
    styles = ";".join(re.findall(r'style="([^"]*)"', markup))

    assert not re.search(r"(?i)(src|href|url\(|@import)\s*=?", re.sub(r">[^<]*<", "><", markup))
    assert set(re.findall(r"(?<![-\w])color:([^;]+)", styles)) <= {
        "inherit",
        "#2da160",
        "#c77c11",
        "#e0483e",
        "#3b82d6",
    }
    assert set(re.findall(r"background[-\w]*:([^;]+)", styles)) <= {"none"}


# --- products --------------------------------------------------------------------------------------------------------


def test_a_product_tells_how_it_was_acquired_in_units(documented):
    text = seen(documented("products-200")).text

    for told in (
        "GRD product a91ccf1b-bbf1-4775-ba1d-2003cada8d32",
        "acquired 2024-12-13 12:58:22 UTC, 10.0 s",
        "frame 4407788_1",
        "polarization VV",
        "look left, descending",
        "incidence 33.3° (32 near, 34.6 far)",
        "resolution 3 m in azimuth, 2.47 m in range (2.56 near, 2.39 far)",
        "covers 2,094 km²",
        "grd-tif GRD data file image/tiff; application=geotiff",
    ):
        assert told in text


def test_roles_have_a_column_where_there_are_any(documented):
    assert "thumbnail-png Thumbnail png file image/png thumbnail" in seen(documented("products-by-type-200")).text
    assert "roles" not in seen(documented("products-200")).text


def test_what_is_not_known_of_a_product_is_not_mentioned():
    text = seen(product(geometry=None)).text

    assert text == "Product product p1 task t1"


def test_the_products_of_a_wait_are_a_table_with_one_map():
    one, two = product(product_type="GRD"), product(id="p2", product_type="QLK", acquired=Interval(NOON, NOON))
    page = seen(
        ProductUpdate(
            products=(one, two), fresh=(two,), ready=frozenset({"GRD"}), missing=frozenset({"SLC"}), complete=False
        )
    )

    assert "2 products of task t1 ✓ GRD" in page.text
    assert "○ SLC" in page.text
    assert "QLK p2 2026-05-01 12:00:00 UTC 0 ● new" in page.text
    assert "complete" not in page.text
    assert page.tags >= {"svg"}


async def test_a_list_of_products_or_tasks_is_a_table_and_a_tuple_still(task_of):
    client, known = task_of
    await client.await_derivatives(known)
    products, tasks = await client.products.list(known), await client.tasks.list()

    assert seen(products).text.startswith(f"1 product of task {known} type product frame acquired assets")
    assert seen(products).tags >= {"svg"}
    assert f"1 task status task mode point of interest window opens reference ✓ DONE {known} " in seen(tasks).text
    assert seen(await client.await_products(known, ["GRD"])).text == seen(products).text
    assert isinstance(products, tuple)
    assert products == (products[0],)
    assert repr(products) == repr((products[0],))
    assert pickle.loads(pickle.dumps(products)) == products  # noqa: S301 - our own
    assert seen(products[:1]).text == seen(products).text
    assert products[0] == products[:1][0]
    pages = client.products.list(known)
    assert [product.id async for product in pages] == [product.id for product in products]
    assert seen(pages.latest).text == seen(products).text
    assert "the first" not in seen(products).text
    assert (await client.contracts.list())._repr_html_() is None
    assert Listed(())._repr_html_() is None


@pytest.mark.parametrize("make", [product, task], ids=["products", "tasks"])
def test_of_a_thousand_the_first_have_a_row_and_a_place(make):
    page = seen(Listed([make(id=f"x{number}") for number in range(1000)]))

    assert "and 960 more" in page.text
    assert page.text.endswith("the first 40 of 1,000")
    assert len(page.text) < 8000


# --- derivatives -----------------------------------------------------------------------------------------------------


def test_a_set_tells_which_are_ready_and_whether_the_service_is_done():
    listed = DerivativeSet([derivative(image="i1"), derivative("d2", "DC_AIRCRAFT", ready=False)], final=False)

    text = seen(listed).text

    assert text.startswith("2 derivatives of task t1")
    assert "○ not final" in text
    assert "DC_VESSELS d1 i1 geojson ✓ ready" in text
    assert "DC_AIRCRAFT d2 ○ being made" in text
    assert "✓ final" in seen(DerivativeSet([derivative()], final=True)).text


def test_an_empty_set_is_said_to_be_empty():
    assert seen(DerivativeSet([], final=True)).text.startswith("0 derivatives")


def test_an_update_tells_what_is_new_and_what_is_missing():
    one, two = derivative(), derivative("d2", "DC_AIRCRAFT")

    text = seen(update(one, two, fresh=[two], missing=["DC_VEHICLES"])).text

    assert "✓ DC_AIRCRAFT" in text
    assert "○ DC_VEHICLES" in text
    assert "DC_AIRCRAFT d2 geojson ● new" in text
    assert "DC_VESSELS d1 geojson ✓ ready" in text
    assert "complete" not in text
    assert "complete" in seen(update(one, complete=True)).text


def test_a_derivative_alone_is_a_row():
    assert "DC_VESSELS d1 geojson ✓ ready" in seen(derivative()).text


def test_of_a_hundred_the_first_are_shown_and_the_rest_counted():
    page = seen(DerivativeSet([derivative(f"d{number}") for number in range(100)], final=True))

    assert page.text.startswith("100 derivatives")
    assert page.text.endswith("and 60 more")
    assert page.text.count("DC_VESSELS") == 40


# --- tasks -----------------------------------------------------------------------------------------------------------


def test_a_task_tells_what_was_ordered_and_where():
    page = seen(task(product_types=("GRD", "SICD"), imaging_duration=10, reference="harbour-17", priority="COMMERCIAL"))

    for told in (
        "task t1 ○ ACTIVE",
        "mode SPOTLIGHT",
        "point of interest 33.90000° S, 18.40000° E",
        "window 2026-05-01 12:00 to 2026-05-03 12:00 UTC (2 d 00 h)",
        "products GRD, SICD",
        "imaging 10 s",
        "terms COMMERCIAL",
        "reference harbour-17",
    ):
        assert told in page.text
    assert "derivatives" not in page.text
    assert page.tags >= {"svg", "circle"}
    assert re.search(r"18\.4\d?° E", page.text)
    assert re.search(r"33\.9\d?° S", page.text)


@pytest.mark.parametrize(("status", "sign"), [("DONE", "✓"), ("FULFILLED", "●"), ("FAILED", "✗"), ("NEW_ONE", "○")])
def test_a_status_has_a_sign_and_its_name(status, sign):
    assert f"task t1 {sign} {status}" in seen(task(status=status)).text


# --- the map ---------------------------------------------------------------------------------------------------------


def drawing(geometry):
    return parsed(ground(geometry, title="x"))


def parsed(markup):
    return ElementTree.fromstring(markup)  # noqa: S314 - it is our own


def tagged(svg, name):
    return [node for node in svg.iter() if node.tag.rpartition("}")[2] == name]


def labels(svg):
    return [node.text for node in tagged(svg, "text")]


def shapes(svg):
    """Of each shape its rings or lines, each as the points that are joined."""
    drawn = [node.get("d") for node in tagged(svg, "path") if node.get("stroke-linejoin")]
    return [
        [[tuple(map(float, pair.split(","))) for pair in line.rstrip("Z").split()] for line in path.split("M")[1:]]
        for path in drawn
    ]


def outline(svg):
    return shapes(svg)[0][0]


def scale(svg):
    """Pixels of a kilometre, as the bar has it."""
    [text] = [text for text in labels(svg) if text.endswith(("m",))]
    path = next(node.get("d") for node in tagged(svg, "path") if "H" in node.get("d"))
    start, end = float(re.match(r"M([\d.]+)", path)[1]), float(re.search(r"H([\d.]+)", path)[1])
    number, unit = text.split()
    return (end - start) / (float(number.replace(",", "")) / (1 if unit == "km" else 1000))


def haversine(here, there):
    (lon0, lat0), (lon1, lat1) = ([math.radians(value) for value in point] for point in (here, there))
    half = math.sin((lat1 - lat0) / 2) ** 2 + math.cos(lat0) * math.cos(lat1) * math.sin((lon1 - lon0) / 2) ** 2
    return 2 * 6371.0 * math.asin(math.sqrt(half))


def test_the_documented_footprint_lies_among_its_degrees(documented):
    svg = drawing(documented("products-200").geometry)

    assert {"16.5° S", "17.0° S", "54.5° W", "N"} <= set(labels(svg))
    assert all(56 <= x <= 266 and 4 <= y <= 178 for x, y in outline(svg))


@pytest.mark.parametrize("lat", [-70.0, -17.0, 0.0, 52.0])
@pytest.mark.parametrize("size", [0.001, 0.1, 2.0])
def test_the_scale_is_true(lat, size):
    ring = [[10, lat], [10 + size, lat], [10 + size, lat + size], [10, lat + size], [10, lat]]
    svg = drawing({"type": "Polygon", "coordinates": [ring]})
    points = outline(svg)

    for end in (1, 3):
        pixels = math.dist(points[0], points[end])
        assert pixels / scale(svg) == pytest.approx(haversine(ring[0], ring[end]), rel=0.06)


def test_north_is_up_and_east_is_right():
    points = outline(drawing({"type": "Polygon", "coordinates": [[[5, 50], [6, 50], [6, 51], [5, 50]]]}))

    assert points[1][0] > points[0][0]
    assert points[2][1] < points[1][1]


def test_across_the_antimeridian_it_is_one_small_thing():
    ring = [[179.5, 10], [-179.5, 10], [-179.5, 11], [179.5, 11], [179.5, 10]]
    cut = {
        "type": "MultiPolygon",
        "coordinates": [
            [[[179.5, 10], [180, 10], [180, 11], [179.5, 11], [179.5, 10]]],
            [[[-180, 10], [-179.5, 10], [-179.5, 11], [-180, 11], [-180, 10]]],
        ],
    }
    for geometry in ({"type": "Polygon", "coordinates": [ring]}, cut):
        told = labels(drawing(geometry))

        assert {"179.5° E", "179.5° W", "50 km"} <= set(told)


@pytest.mark.parametrize(
    "geometry",
    [
        {"type": "Point", "coordinates": [4.05, 51.95]},
        {"type": "Point", "coordinates": [0, 90]},
        {"type": "MultiPoint", "coordinates": [[1, 2], [3, 4]]},
        {"type": "LineString", "coordinates": [[1, 2, 100], [3, 4, 100]]},
        {"type": "GeometryCollection", "geometries": [SQUARE, {"type": "Point", "coordinates": [0, 0]}]},
        {"type": "Polygon", "coordinates": [[[-180, -90], [180, -90], [180, 90], [-180, 90], [-180, -90]]]},
        {"type": "Polygon", "coordinates": [[[7, 50]] * 4]},
        {"type": "LineString", "coordinates": [[0, 0], [5e-324, 0]]},
    ],
)
def test_every_geometry_has_a_map(geometry):
    svg = drawing(geometry)

    assert labels(svg)
    assert len(tagged(svg, "line")) >= 1


@pytest.mark.parametrize(
    "geometry",
    [
        None,
        {},
        [],
        "POLYGON",
        {"type": "Polygon"},
        {"type": "Polygon", "coordinates": []},
        {"type": "Polygon", "coordinates": [[]]},
        {"type": "Polygon", "coordinates": [[["1", None]]]},
        {"type": "Polygon", "coordinates": [[[0, 91], [1, 1]]]},
        {"type": "Point", "coordinates": [float("nan"), 0]},
        {"type": "Point", "coordinates": [1e400, 0]},
        {"type": "Circle", "coordinates": [0, 0]},
        {"type": [], "coordinates": [0, 0]},
    ],
)
def test_what_is_nowhere_has_none(geometry):
    assert ground(geometry, title="x") == ""
    assert area(geometry) is None


NUMBERS = (
    st.floats(-600, 600) | st.integers(-200, 200) | st.sampled_from([float("inf"), float("nan"), None, "1", 1e308])
)
POSITIONS = st.lists(NUMBERS, max_size=3)
COORDINATES = st.recursive(POSITIONS, lambda inside: st.lists(inside, max_size=5), max_leaves=12)
KINDS = ["Point", "MultiPoint", "LineString", "MultiLineString", "Polygon", "MultiPolygon", "GeometryCollection", "?"]


@given(st.fixed_dictionaries({"type": st.sampled_from(KINDS), "coordinates": COORDINATES, "geometries": COORDINATES}))
def test_whatever_a_geometry_holds_the_map_can_be_read(geometry):
    markup = ground(geometry, title="x")

    area(geometry)
    if markup:
        assert "nan" not in markup
        assert "inf" not in markup
        parsed(markup)


def test_a_hole_is_no_part_of_what_is_filled():
    hole = [[0.02, 0.02], [0.04, 0.02], [0.04, 0.04], [0.02, 0.02]]
    svg = drawing({"type": "Polygon", "coordinates": [SQUARE["coordinates"][0], hole]})

    assert [len(shape) for shape in shapes(svg)] == [2]
    assert next(node for node in tagged(svg, "path") if node.get("fill-rule")).get("fill-rule") == "evenodd"


def test_two_products_of_one_footprint_do_not_empty_each_other():
    both = ground(SQUARE, SQUARE, {"type": "Polygon"}, None, title="x")

    assert len(shapes(parsed(both))) == 2


def test_something_far_away_moves_nothing_else():
    """Only what is nearer that way is counted on across the antimeridian."""
    near = {"type": "Polygon", "coordinates": [[[-1, 50], [1, 50], [1, 51], [-1, 50]]]}
    points = outline(parsed(ground(near, {"type": "Point", "coordinates": [170, 0]}, title="x")))

    assert max(x for x, _ in points) - min(x for x, _ in points) < 5


def test_many_small_polygons_are_still_polygons():
    triangles = [[[[n / 100, 0], [n / 100 + 0.01, 0], [n / 100, 0.01], [n / 100, 0]]] for n in range(3000)]
    svg = drawing({"type": "MultiPolygon", "coordinates": triangles})

    assert tagged(svg, "circle") == []
    assert {len(shape[0]) for shape in shapes(svg)} == {4}


def test_words_of_a_drawing_that_is_left_out_stay_apart():
    """A page that is not trusted shows the text without the drawing."""
    words = re.sub("<[^>]*>", "", ground(SQUARE, title="footprint of x")).split()

    assert words[:3] == ["footprint", "of", "x"]
    assert {"0.05°", "E", "N", "km"} <= set(words)


def test_of_a_million_corners_a_few_thousand_are_drawn():
    ring = [[math.cos(n / 1000) * 0.1, math.sin(n / 1000) * 0.1] for n in range(100_000)]

    assert len(ground({"type": "Polygon", "coordinates": [ring]}, title="x")) < 40_000


def test_an_area_is_what_is_covered():
    hole = [[0.02, 0.02], [0.04, 0.02], [0.04, 0.04], [0.02, 0.04], [0.02, 0.02]]
    around = SQUARE["coordinates"][0]

    whole = area(SQUARE)

    assert whole == pytest.approx(123.6, rel=0.01)
    assert area({"type": "Polygon", "coordinates": [around, hole]}) == pytest.approx(whole * 0.96, rel=0.001)
    assert area({"type": "MultiPolygon", "coordinates": [[around, hole], [around]]}) == pytest.approx(
        whole * 1.96, 0.001
    )
    assert area({"type": "LineString", "coordinates": around}) is None


# --- reports ---------------------------------------------------------------------------------------------------------


async def test_a_report_is_a_table_of_its_tasks(task_of, tmp_path):
    client, known = task_of
    batch = client.await_batch([known, "no <b>such</b> task"], to=tmp_path, journal=tmp_path / "night.db")
    assert seen(batch).text == "2 tasks ❚❚ not awaited yet: await it to begin"
    assert repr(batch) == "<batch: not awaited yet>"

    report = await batch

    page = seen(report)
    assert page.text.startswith("2 tasks ✓ 1 completed ✗ 1 failed ")
    assert "stopped" not in page.text
    assert "the first" not in page.text
    assert "no <b>such</b> task ✗ failed" in page.text
    assert f"{known} ✓ completed 1 1" in page.text
    assert seen(batch).text == page.text
    assert repr(batch) == "<batch, over: <BatchReport: 1 completed, 1 failed, 0 waiting>>"


async def test_a_batch_that_was_interrupted_says_so(tmp_path, monkeypatch):
    async with Sandbox(speed=0) as sandbox, sandbox.client() as client:
        batch = client.await_batch([(await ordered(sandbox, client)).id])
        driven = asyncio.create_task(batch)
        while not sandbox.requests[3:]:  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0)
        under_way = seen(batch).text
        driven.cancel()
        await asyncio.wait([driven])
        await batch.stop()

        assert "stopped" not in under_way
        assert seen(batch).text.startswith("1 task ○ 1 waiting ■ stopped ")
        again = client.await_batch(batch.latest.waiting, journal=tmp_path / "j.db")
        driven = asyncio.create_task(again)
        while not (tmp_path / "j.db.lock").exists():  # noqa: ASYNC110 - a thread makes it
            await asyncio.sleep(0)
        while again._report is None:  # noqa: ASYNC110
            await asyncio.sleep(0)
        # One that is driven on another machine, over the same folder, may go on.
        monkeypatch.setattr("socket.gethostname", lambda: "elsewhere")
        assert "stopped" not in seen(again).text
        assert not again.latest.running
        driven.cancel()
        await asyncio.wait([driven])
        assert "stopped" in seen(again).text


def test_what_is_told_of_a_failed_task_says_once_which_it_is():
    gone = {"class": "TaskEnded", "facts": {}, "message": "task t+1 is FAILED: its derivatives can no longer come"}
    record = TaskRecord("t+1", "failed", {"error": gone, "began": 0.0, "ended": 9.0, "requests": 1}, (), (), ())

    page = Seen(printing.card({"failed": 1}, 1, [record], stopped=False))

    assert page.text.endswith("t+1 ✗ failed 0 0 9 s 1 TaskEnded: FAILED: its derivatives can no longer come")
    assert "1 task ✗ 1 failed 1 request task outcome" in page.text
    assert printing.text({"failed": 1}, 1, [record]).startswith("1 task: 1 failed; 1 request\n")


async def test_what_the_service_says_of_a_failed_task_is_text(connect, service):
    words = b'{"code": "no", "message": "<img src=x onerror=alert(1)> https://l.example/f?Expires=1&Signature=s"}'
    service.answers("/api/tasking/v2/tasks/t1/derivatives", (403, {"Content-Type": "application/json"}, words))

    report = await connect().await_batch(["t1"])

    page = seen(report)
    assert page.tags <= TAGS
    assert "t1 ✗ failed" in page.text
    assert "Forbidden: 403" in page.text
    assert "<img" in page.text
    assert "Signature" not in report._repr_html_()


async def test_a_report_whose_journal_is_gone_says_so(task_of, tmp_path):
    client, known = task_of
    report = await client.await_batch([known], journal=tmp_path / "night.db")
    (tmp_path / "night.db").unlink()

    assert seen(report).text == "<BatchReport: its journal cannot be read>"


# --- waits -----------------------------------------------------------------------------------------------------------


@pytest.fixture
async def task_of():
    """A client, and a task that is imaged as soon as it can be."""
    async with Sandbox(speed=math.inf) as sandbox, sandbox.client() as client:
        yield client, (await ordered(sandbox, client)).id


async def test_a_wait_tells_how_it_stands(task_of):
    client, known = task_of
    wait = client.await_derivatives(known, ["DC_VESSELS"], poll=PollPolicy(first=0.01, timeout=None))

    before = seen(wait).text
    looks = [seen(wait).text async for _ in wait]

    assert before.startswith(f"❚❚ waiting for the derivatives of task {known}")
    assert before.endswith("not awaited yet: await it to begin DC_VESSELS · not there yet")
    assert looks[-1].startswith("✓ complete for the derivatives")
    assert "DC_VESSELS ✓ ready" in looks[-1]
    assert "ACTIVE" not in looks[-1]
    assert wait.over


async def test_a_wait_that_has_it_all_tells_no_status_that_it_heard_before(task_of, monkeypatch):
    client, known = task_of
    wait = client.await_derivatives(known)
    monkeypatch.setattr(type(wait), "standing", property(lambda wait: evolve(standing, status="ACTIVE")))
    standing = Waiting.standing.fget(wait)

    before = seen(wait).text
    await wait

    assert "task ○ ACTIVE" in before
    assert "ACTIVE" not in seen(wait).text


async def test_a_wait_that_failed_says_why(task_of):
    client, known = task_of
    wait = client.await_derivatives(known, poll=PollPolicy(timeout=60.0))
    with pytest.raises(PollTimeout):
        await wait

    text = seen(wait).text
    assert text.startswith(f"✗ deadline passed for the derivatives of task {known} ")
    assert f"why task {known}: " in text
    assert "next look" not in text


async def test_between_two_steps_of_a_loop_it_goes_on(task_of):
    """The body of the loop may take as long as a download does."""
    client, known = task_of
    wait = client.await_task(known, "DONE", poll=PollPolicy(first=60.0))
    async for _ in wait:
        between = seen(wait).text
        break

    assert between.startswith("● waiting for the status")
    assert "next look in" in between
    await wait


async def test_a_wait_that_is_driven_tells_when_it_looks_next_and_what_goes_wrong(task_of):
    client, known = task_of
    wait = client.await_task(known, "DONE")
    driven = asyncio.create_task(wait)
    await asyncio.sleep(0)

    text = seen(wait).text
    await driven

    assert text.startswith(f"● waiting for the status of task {known}")
    assert "until DONE next look under way deadline in 16 d 00 h" in text
    assert re.search(r" as of \d{4}-\d\d-\d\d \d\d:\d\d UTC", text)
    assert "task ✓ DONE" in seen(wait).text


# --- live ------------------------------------------------------------------------------------------------------------


class Counter(Lasting):
    """Something that changes."""

    def __init__(self):
        self.count, self.over = 0, False

    over = False

    def _repr_html_(self):
        return f"<b>{self.count}</b>"

    def __repr__(self):
        return f"{self.count}"


@pytest.fixture
def outputs(monkeypatch):
    """The outputs of the cells of a kernel, by how each was drawn in turn."""
    drawn = []

    def display(bundle, *, raw, display_id):
        assert raw
        if display_id is True:
            display_id = len(drawn)
            drawn.append([])
        mine = drawn[display_id]
        mine.append(bundle)
        return types.SimpleNamespace(display_id=display_id, update=lambda bundle, *, raw: mine.append(bundle))

    ipython, module = types.ModuleType("IPython"), types.ModuleType("IPython.display")
    ipython.get_ipython = lambda: types.SimpleNamespace(kernel=object(), execution_count=1)
    module.display = display
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    monkeypatch.setattr("iceye_async.display.livecard.EVERY", 0.004)
    return drawn


async def test_what_is_shown_keeps_up_until_it_is_over(outputs):
    """Also after its cell: the next ones drive what it shows."""
    thing = Counter()
    thing._ipython_display_()
    for count in (1, 2):
        thing.count = count
        await asyncio.sleep(0.01)
    thing.count, thing.over = 3, True
    await asyncio.sleep(0.01)
    thing.count = 4
    await asyncio.sleep(0.01)

    assert [bundle["text/html"] for bundle in outputs[0]] == ["<b>0</b>", "<b>1</b>", "<b>2</b>", "<b>3</b>"]
    assert [bundle["text/plain"] for bundle in outputs[0]] == ["0", "1", "2", "3"]


async def test_a_card_that_fails_harms_nothing_else(outputs, task_of, caplog, monkeypatch):
    client, known = task_of
    wait = client.await_derivatives(known)
    wait._ipython_display_()
    monkeypatch.setattr("iceye_async.display.cell.Output.draw", lambda *_: 1 / 0)

    assert (await wait).final

    assert "a card failed" in caplog.text


async def test_what_comes_to_its_end_is_drawn_at_once(outputs, task_of, monkeypatch):
    """The last cell of a notebook may be over before the next look."""
    monkeypatch.setattr("iceye_async.display.livecard.EVERY", 3600)
    client, known = task_of
    wait, batch = client.await_derivatives(known), client.await_batch([known])
    wait._ipython_display_()
    batch._ipython_display_()

    await asyncio.gather(wait, batch)

    shown = [Seen(drawn[-1]["text/html"]).text for drawn in outputs]
    assert shown[0].startswith("✓ complete")
    assert shown[1].startswith("1 task ✓ 1 completed")


async def test_what_nobody_has_any_more_is_let_go(outputs):
    thing = Counter()
    thing._ipython_display_()
    alive = weakref.ref(thing)

    del thing
    await asyncio.sleep(0.01)

    assert alive() is None
    assert len(outputs[0]) == 1


async def test_a_wait_and_a_batch_keep_up(outputs, task_of, tmp_path):
    client, known = task_of
    wait, batch = client.await_derivatives(known), client.await_batch([known])
    wait._ipython_display_()
    batch._ipython_display_()

    await asyncio.gather(wait, batch)
    await asyncio.sleep(0.01)

    shown = [Seen(drawn[-1]["text/html"]).text for drawn in outputs]
    assert shown[0].startswith("✓ complete for the derivatives")
    assert shown[1].startswith("1 task ✓ 1 completed")
    assert len(outputs[0]) > 2


async def test_what_keeps_up_does_so_for_the_cell_that_runs(outputs, monkeypatch):
    """A kernel tells by the context for which cell something is drawn; the one that showed it may be long over."""
    runs, drawn_for = ContextVar("runs", default="whichever runs"), []
    draw = Output.draw
    monkeypatch.setattr(Output, "draw", lambda *given: (drawn_for.append(runs.get()), draw(*given)))
    runs.set("the first")
    thing = Counter()
    thing._ipython_display_()

    thing.count = 1
    await asyncio.sleep(0.02)

    assert drawn_for == ["whichever runs"]


async def test_what_is_shown_again_keeps_up_in_both_places(outputs):
    """It is one output in two cells, which is drawn once."""
    thing = Counter()
    thing._ipython_display_()
    thing._ipython_display_()

    thing.count = 1
    await asyncio.sleep(0.01)

    [drawn] = outputs
    assert [bundle["text/plain"] for bundle in drawn] == ["0", "0", "1"]


async def test_what_is_shown_from_a_thread_is_shown_as_it_stands(outputs):
    """Nothing could come back to it there."""
    with pytest.raises(NotImplementedError):
        await asyncio.to_thread(Counter()._ipython_display_)
    assert outputs == []


async def test_a_wait_whose_client_is_closed_says_so_and_is_over(task_of):
    client, known = task_of
    wait, batch = client.await_task(known), client.await_batch([known])
    assert not wait.over
    assert not batch.over

    await client.close()

    assert wait.over
    assert batch.over
    assert seen(wait).text.startswith("■ stopped for the status of task")
    assert "why its client is closed" in seen(wait).text
    assert "await" not in seen(wait).text
    wait.close()
    batch.close()


async def test_in_a_terminal_there_is_nothing_to_draw_over(outputs, monkeypatch):
    monkeypatch.setattr(sys.modules["IPython"], "get_ipython", lambda: types.SimpleNamespace())

    with pytest.raises(NotImplementedError):
        Counter()._ipython_display_()
    assert outputs == []


async def test_a_wait_that_is_followed_in_a_notebook_is_a_card_with_its_files(outputs, task_of, tmp_path):
    client, known = task_of
    wait = client.await_derivatives(known)
    looks = []

    with following(wait, clock=client.clock, console=Console(force_jupyter=True)) as screen:
        async for update in wait:
            screen.updated(update)
            async for event in client.download(update.fresh, to=tmp_path):
                screen.told(event)
                looks.append(Seen(outputs[0][-1]["text/html"]))

    [drawn] = outputs
    last = Seen(drawn[-1]["text/html"])
    assert last.text.startswith("✓ complete in ")
    assert "DC_VESSELS ✓ ready 1 file, 1.3 kB 7 detections" in last.text
    assert drawn[-1]["text/plain"].startswith("✓ task")
    assert all(look.tags <= TAGS and look.attributes <= ATTRIBUTES for look in [*looks, last])
    assert not any("Signature" in bundle["text/html"] for bundle in drawn)


async def test_a_file_that_fails_is_on_the_card_with_its_reason(outputs, task_of, tmp_path):
    client, known = task_of
    wait = client.await_derivatives(known)
    failed = Failed(asset="d1/geojson", path=tmp_path / "<i>.geojson", error=TransportError("no reply <b>at all</b>"))

    with following(wait, clock=client.clock, console=Console(force_jupyter=True)) as screen:
        screen.told(failed)
        await wait

    page = Seen(outputs[0][-1]["text/html"])
    assert "<i>.geojson ✗ failed no reply <b>at all</b>" in page.text
    assert page.tags <= TAGS
