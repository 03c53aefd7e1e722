"""`notebook.show()` and `notebook.plot()`: pictures of real downloads, safe to be saved."""

import asyncio
import base64
import io
import itertools
import json
import math
import re
import sys
import types

import numpy
import pytest
from attrs import evolve
from matplotlib.collections import LineCollection
from mpl_toolkits.axes_grid1.anchored_artists import AnchoredSizeBar
from PIL import Image

import iceye_async
from iceye_async import (
    DecodeError,
    Derivative,
    DerivativeSet,
    DownloadError,
    MissingExtra,
    NotFound,
    TransportError,
    Unauthorized,
    UsageError,
    notebook,
)
from iceye_async.sandbox import LinkFault, Sandbox, Scenario, documents, rasters
from tests.desk import AT_ONCE, ordered
from tests.io.test_geo import temporary  # noqa: F401 - a fixture of all tests here

ALL = {"derivative_product_types": ["DC_VESSELS", "DC_AIRCRAFT"]}


@pytest.fixture
async def sandbox():
    soon = {"DC_VESSELS": 0.0, "DC_AIRCRAFT": 0.0}
    async with Sandbox(Scenario(**AT_ONCE, derivatives=soon), speed=math.inf) as sandbox:
        yield sandbox


@pytest.fixture
async def client(sandbox):
    async with sandbox.client() as client:
        yield client


@pytest.fixture
def cell(monkeypatch):
    """What is put into the output of a cell, each as it is last; `execution_count` is which one runs."""
    cell = types.SimpleNamespace(execution_count=7, kernel=object(), shown=[])

    def display(thing, *, raw=False, display_id=None):
        if not raw:
            try:
                return thing._ipython_display_()
            except NotImplementedError:
                pass
        cell.shown.append(thing)
        place = len(cell.shown) - 1
        return types.SimpleNamespace(update=lambda thing, *, raw: cell.shown.__setitem__(place, thing))

    ipython, module = types.ModuleType("IPython"), types.ModuleType("IPython.display")
    ipython.get_ipython, ipython.version_info = (lambda: cell), (9, 0)
    module.display = cell.display = display
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    return cell


async def product_of(sandbox, client, *kinds):
    task = await ordered(sandbox, client, product_types=list(kinds) or ["GRD"])
    products = await client.await_products(task.id)
    return next(product for product in products if not kinds or product.product_type == kinds[-1])


async def derivatives_of(sandbox, client, **changes):
    return await client.await_derivatives((await ordered(sandbox, client, **(ALL | changes))).id)


def detected(monkeypatch, *features, **others):
    """The sandbox's files of detections hold these."""
    body = json.dumps({"type": "FeatureCollection", "features": list(features), **others}).encode()
    monkeypatch.setattr(rasters, "detections", lambda *_: body)


def feature(*at, **properties):
    return {"type": "Feature", "geometry": {"type": "Point", "coordinates": list(at)}, "properties": properties}


def served(monkeypatch, body, *keys):
    """The link host gives this for these assets, or for all."""
    real = documents.file
    monkeypatch.setattr(documents, "file", lambda key, *rest: body if key in keys or not keys else real(key, *rest))


def picture(mode="RGB", size=(40, 20), kind="PNG", colour=None):
    file = io.BytesIO()
    Image.new(mode, size, colour).save(file, kind)
    return file.getvalue()


def embedded(shown):
    [data] = re.findall(r'<img src="data:image/png;base64,([^"]+)"', shown._repr_html_())
    return Image.open(io.BytesIO(base64.b64decode(data)))


# --- show ------------------------------------------------------------------------------------------------------------


async def test_a_product_is_shown_with_its_quicklook(sandbox, client):
    product = await product_of(sandbox, client)

    shown = await iceye_async.notebook.show(client, product)

    assert embedded(shown).size == (256, 256)
    assert "acquired" in shown._repr_html_()
    assert "<svg" in shown._repr_html_()
    assert repr(shown) == f"<quicklook of product {product.id}, 256 x 256 pixels>"


async def test_no_link_is_in_what_is_shown(sandbox, client):
    product = await product_of(sandbox, client)

    shown = await notebook.show(client, product)

    links = [asset.href for asset in product.assets.values()]
    assert links
    assert not any(link in shown._repr_html_() or link in repr(shown) for link in links)
    assert "Signature" not in shown._repr_html_()


async def test_only_the_quicklook_is_fetched(sandbox, client):
    product = await product_of(sandbox, client)

    await notebook.show(client, product)

    assert len(sandbox.link_requests) == 1


async def test_a_product_without_a_quicklook_shows_its_thumbnail(sandbox, client):
    product = await product_of(sandbox, client)
    without = {key: asset for key, asset in product.assets.items() if "quicklook" not in key}

    shown = await notebook.show(client, evolve(product, assets=without))

    assert embedded(shown).size == (256, 256)


async def test_a_quicklook_that_is_a_geotiff_of_16_bits_is_stretched(sandbox, client):
    product = await product_of(sandbox, client, "GRD", "QLK")
    only = {key: asset for key, asset in product.assets.items() if key == "qlk-cog"}

    pixels = embedded(await notebook.show(client, evolve(product, assets=only)))

    assert pixels.size == (512, 512)
    assert pixels.getextrema() == (0, 255)


@pytest.mark.parametrize("odd", [1e9, math.nan])
async def test_one_odd_pixel_does_not_decide_what_is_seen(sandbox, client, monkeypatch, odd):
    values = numpy.tile(numpy.arange(100, dtype="float32"), (100, 1))
    values[50, 50] = odd
    file = io.BytesIO()
    Image.fromarray(values).save(file, "TIFF")
    served(monkeypatch, file.getvalue(), "qlk-cog")
    product = await product_of(sandbox, client, "GRD", "QLK")
    only = {key: asset for key, asset in product.assets.items() if key == "qlk-cog"}

    pixels = numpy.asarray(embedded(await notebook.show(client, evolve(product, assets=only))))

    assert pixels[0, 0] == 0
    assert pixels[0, 99] == 255
    assert 110 < pixels[0, 50] < 145


async def test_a_large_picture_is_made_smaller(sandbox, client, monkeypatch):
    served(monkeypatch, picture(size=(3000, 1500)))
    product = await product_of(sandbox, client)

    shown = await notebook.show(client, product)

    assert embedded(shown).size == (1024, 512)
    assert "3,000 x 1,500 pixels" in shown._repr_html_()


@pytest.mark.parametrize(
    "body",
    [
        b"\x89PNG\r\n\x1a\n" + bytes(100),
        picture()[:60],
        picture(size=(20_000, 20_000), mode="1"),
        b"\x89PNG\r\n\x1a\nIHDR<svg onload='alert(1)'/>",
    ],
    ids=["empty", "cut", "bomb", "disguised"],
)
async def test_what_is_no_picture_is_told_so(sandbox, client, monkeypatch, body):
    served(monkeypatch, body)
    product = await product_of(sandbox, client)

    with pytest.raises(DecodeError, match=rf"quicklook of product {product.id} is no picture .* client.download\(\)"):
        await notebook.show(client, product)


async def test_a_picture_that_is_too_large_to_be_trusted_is_told_so(sandbox, client, monkeypatch):
    """Pillow only warns of it; here warnings are errors, and none of them leaves."""
    served(monkeypatch, picture(size=(40, 20)))
    monkeypatch.setattr("PIL.Image.MAX_IMAGE_PIXELS", 500)
    product = await product_of(sandbox, client)

    with pytest.raises(DecodeError, match="DecompressionBombWarning"):
        await notebook.show(client, product)


async def test_a_product_with_nothing_to_look_at_names_what_it_has(sandbox, client):
    product = await product_of(sandbox, client)
    only = {"grd-tif": product.assets["grd-tif"]}

    with pytest.raises(UsageError, match="no quicklook and no thumbnail to show; its assets are grd-tif"):
        await notebook.show(client, evolve(product, assets=only))


@pytest.mark.parametrize(
    ("thing", "hint"),
    [
        (None, "`await client.products.list(task_id)` gives those of a task"),
        ("a task id", "`await client.products.list(task_id)` gives those of a task"),
        ([], "show them one by one: `for product in products: await show(client, product)`"),
        (asyncio.Event().wait, "`await client.products.list(task_id)` gives"),
        ({}, "`await client.products.list(task_id)` gives"),
        ([Derivative(id="d", type="X", task_id="t")], "`await iceye_async.notebook.plot(client, derivatives)` shows"),
        (
            DerivativeSet((), final=True),
            "`await iceye_async.notebook.plot(client, derivatives)` shows what was detected",
        ),
    ],
)
async def test_what_cannot_be_shown_is_refused_before_anything_is_asked(client, sandbox, thing, hint):
    asked = len(sandbox.requests)

    with pytest.raises(UsageError, match=f"takes one Product, not {type(thing).__name__}; {re.escape(hint)}"):
        await notebook.show(client, thing)
    assert len(sandbox.requests) == asked


async def test_without_a_client_nothing_can_be_shown(sandbox, client):
    product = await product_of(sandbox, client)

    with pytest.raises(UsageError, match="client is the Client to fetch files with, not NoneType"):
        await notebook.show(None, product)


async def test_what_was_not_awaited_is_refused_with_the_word_that_is_missing(client):
    products = client.products.list("t1")

    with pytest.raises(UsageError, match="not Pages; write `await` before it"):
        await notebook.show(client, products)
    products.close()


async def test_a_picture_of_another_kind_of_colours_is_shown(sandbox, client, monkeypatch):
    served(monkeypatch, picture("CMYK", kind="JPEG", colour=(0, 255, 255, 0)))

    shown = embedded(await notebook.show(client, await product_of(sandbox, client)))

    red, green, blue = shown.convert("RGB").getpixel((5, 5))
    assert red > 200
    assert max(green, blue) < 60


async def test_without_pillow_the_extra_is_named(sandbox, client, monkeypatch):
    product = await product_of(sandbox, client)
    monkeypatch.setitem(sys.modules, "PIL", None)
    monkeypatch.setitem(sys.modules, "PIL.Image", None)

    with pytest.raises(MissingExtra, match=r"pip install 'iceye-async\[notebook\]'"):
        await notebook.show(client, product)
    assert sandbox.link_requests == []


async def test_an_error_of_the_link_host_is_that_of_a_download(sandbox, client):
    product = await product_of(sandbox, client)
    sandbox.link_faults.append(LinkFault(path="quicklook", status=404))

    with pytest.raises(DownloadError, match="404"):
        await notebook.show(client, product)


async def test_a_show_that_is_cancelled_leaves_nothing(sandbox, client):
    product = await product_of(sandbox, client)
    sandbox.link_faults.append(LinkFault(path="quicklook", delay=300))
    showing = asyncio.create_task(notebook.show(client, product))
    while not sandbox.link_requests:  # noqa: ASYNC110 - there is no event for it
        await asyncio.sleep(0)

    showing.cancel()

    with pytest.raises(asyncio.CancelledError):
        await showing


async def test_it_is_put_into_the_cell_and_appears_there_once(sandbox, client, cell):
    """Wherever in a cell it stands: in a loop, or as its last line."""
    product = await product_of(sandbox, client)

    shown = await notebook.show(client, product)
    cell.display(shown)

    assert cell.shown == [{"text/html": shown._repr_html_(), "text/plain": repr(shown)}]
    cell.execution_count += 1
    cell.display(shown)
    assert cell.shown[1:] == [shown]


# --- plot ------------------------------------------------------------------------------------------------------------


def points(figure):
    """The marks on the maps, by their colour."""
    return {
        line.get_color(): tuple(sorted(zip(*line.get_data(), strict=True)))
        for axes in figure.axes
        for line in axes.lines
        if line.get_marker() == "o"
    }


def legend(figure):
    """The colours by the labels."""
    [legend] = figure.legends
    return {text.get_text(): line.get_color() for text, line in zip(legend.texts, legend.legend_handles, strict=True)}


def words(figure):
    return " ".join(text.get_text() for axes in figure.axes for text in [axes.title, axes.xaxis.label, *axes.texts])


def placed(axes, number=0):
    """Where the corners of a picture lie: top left, top right, bottom left, bottom right; in degrees."""
    to_degrees = axes.images[number].get_transform() - axes.transData
    return [
        tuple(round(float(value), 6) for value in to_degrees.transform(at)) for at in ((0, 1), (1, 1), (0, 0), (1, 0))
    ]


async def test_detections_lie_where_they_are_over_the_quicklook(sandbox, client, monkeypatch):
    detected(monkeypatch, feature(24.88, 60.21), feature(24.9, 60.18))
    derivatives = await derivatives_of(sandbox, client)

    figure = await iceye_async.notebook.plot(client, derivatives)

    told = legend(figure)
    assert set(told) == {" DC_VESSELS (2)", " DC_AIRCRAFT (2)"}
    assert points(figure) == dict.fromkeys(told.values(), ((24.88, 60.21), (24.9, 60.18)))
    [axes] = figure.axes
    assert placed(axes) == [(24.85, 60.25), (24.95, 60.25), (24.85, 60.15), (24.95, 60.15)]
    assert axes.get_aspect() == pytest.approx(1 / math.cos(math.radians(60.2)), rel=0.01)
    assert "4 detections, acquired" in words(figure)
    assert "presumed" not in words(figure)


async def test_the_picture_is_the_fetched_one(sandbox, client, monkeypatch):
    derivatives = await derivatives_of(sandbox, client)
    served(monkeypatch, picture(mode="L", size=(30, 10), colour=77), "quicklook-png")

    figure = await notebook.plot(client, derivatives)

    [image] = figure.axes[0].images
    assert image.get_array().shape[:2] == (10, 30)
    assert len(figure._repr_png_()) > 10_000


async def test_they_are_coloured_by_class_where_there_is_one(sandbox, client, monkeypatch):
    detected(
        monkeypatch,
        feature(24.88, 60.21, Classification="cargo"),
        feature(24.89, 60.21, Classification="tanker"),
        feature(24.9, 60.21, Classification="cargo"),
        feature(24.91, 60.21),
        feature(24.91, 60.21, classification="cargo", Classification=None),
    )

    figure = await notebook.plot(client, await derivatives_of(sandbox, client, derivative_product_types=["DC_VESSELS"]))

    told = legend(figure)
    assert set(told) == {" cargo (3)", " tanker (1)", " DC_VESSELS (1)"}
    assert points(figure)[told[" cargo (3)"]] == ((24.88, 60.21), (24.9, 60.21), (24.91, 60.21))


async def test_many_classes_share_a_colour(sandbox, client, monkeypatch):
    detected(monkeypatch, *(feature(24.9, 60.2, label=f"kind {n}") for n in range(30)))

    figure = await notebook.plot(client, await derivatives_of(sandbox, client, derivative_product_types=["DC_VESSELS"]))

    told = legend(figure)
    assert len(set(told.values())) == len(told) == 10
    assert len(set(told[" others (21)"][:3])) == 1
    assert sum(map(len, points(figure).values())) == 30


async def test_an_area_that_is_too_small_to_be_seen_is_a_mark_at_its_middle(sandbox, client, monkeypatch):
    """A vehicle of 8 m is a tenth of a pixel of a frame of 10 km."""
    box = [[24.88, 60.2], [24.8801, 60.2], [24.8801, 60.2001], [24.88, 60.2001], [24.88, 60.2]]
    line = [[24.9, 60.21], [24.9002, 60.21]]
    shapes = [{"type": "Polygon", "coordinates": [box]}, {"type": "LineString", "coordinates": line}]
    detected(monkeypatch, *({"type": "Feature", "geometry": shape, "properties": None} for shape in shapes))

    figure = await notebook.plot(client, await derivatives_of(sandbox, client, derivative_product_types=["DC_VESSELS"]))

    [found] = points(figure).values()
    assert found == pytest.approx(numpy.array([(24.88005, 60.20005), (24.9001, 60.21)]))
    assert not [each for each in figure.axes[0].collections if isinstance(each, LineCollection)]


async def test_a_row_of_small_areas_along_a_parallel_is_one_of_marks(sandbox, client, monkeypatch):
    """The map is fifteen times as wide as it is high."""

    def box(lon):
        around = [[lon, 60.2], [lon + 0.01, 60.2], [lon + 0.01, 60.205], [lon, 60.205], [lon, 60.2]]
        return {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [around]}, "properties": None}

    detected(monkeypatch, box(20.0), box(26.0))

    figure = await notebook.plot(client, await derivatives_of(sandbox, client, derivative_product_types=["DC_VESSELS"]))

    [found] = points(figure).values()
    assert len(found) == 2


async def test_a_hole_is_no_detection_and_each_part_has_its_mark(sandbox, client, monkeypatch):
    def around(lon, lat, side):
        return [[lon, lat], [lon + side, lat], [lon + side, lat + side], [lon, lat + side], [lon, lat]]

    with_hole = {"type": "Polygon", "coordinates": [around(24.86, 60.16, 0.05), around(24.88, 60.18, 0.0005)]}
    specks = {"type": "MultiPolygon", "coordinates": [[around(lon, 60.23, 0.0005)] for lon in (24.86, 24.93)]}
    shapes = [{"type": "Feature", "geometry": shape, "properties": None} for shape in (with_hole, specks)]
    detected(monkeypatch, *shapes)

    figure = await notebook.plot(client, await derivatives_of(sandbox, client, derivative_product_types=["DC_VESSELS"]))

    [found] = points(figure).values()
    assert found == pytest.approx(numpy.array([(24.86025, 60.23025), (24.93025, 60.23025)]))
    [lines] = [each for each in figure.axes[0].collections if isinstance(each, LineCollection)]
    assert len(lines.get_segments()) == 2


async def test_what_is_being_made_still_is_not_nothing(sandbox, client):
    derivatives = await derivatives_of(sandbox, client)
    vessels, aircraft = [(there, evolve(there, assets=())) for there in derivatives]

    some = await notebook.plot(client, [vessels[0], aircraft[1]])
    none = await notebook.plot(client, [vessels[1]])

    assert f"not there yet: {aircraft[0].type}" in words(some)
    assert "no detections" not in words(some)
    assert "no detections yet" in words(none)
    assert f"not there yet: {vessels[0].type}" in words(none)
    other = await derivatives_of(sandbox, client)
    both = await notebook.plot(client, [vessels[1], *other])
    assert ["not there yet" in axes.get_xlabel() for axes in both.axes] == [True, False]


async def test_words_of_a_map_are_no_wider_than_it_and_written_with_what_there_is(client):
    many = [Derivative(id=f"d{n}", type=f"DC_{'ABCDEF'[n] * 20}_船", task_id="船1", assets=()) for n in range(6)]

    figure = await notebook.plot(client, many)

    figure.draw_without_rendering()
    [axes] = figure.axes
    said = axes.xaxis.label
    assert r"DC_AAAAAAAAAAAAAAAAAAAA_\u8239" in said.get_text()
    assert r"task \u82391" in axes.title.get_text()
    assert figure.bbox.x0 <= said.get_window_extent().x0 < said.get_window_extent().x1 <= figure.bbox.x1


async def test_areas_are_outlines_and_what_is_nowhere_is_left_out(sandbox, client, monkeypatch):
    ring = [[24.88, 60.2], [24.89, 60.2], [24.89, 60.21], [24.88, 60.2]]
    shapes = [{"type": "Polygon", "coordinates": [ring]}, {"type": "LineString", "coordinates": ring[:2]}, None]
    shapes.append({"type": "Point", "coordinates": [60.2, 124.9]})
    detected(monkeypatch, *({"type": "Feature", "geometry": shape, "properties": None} for shape in shapes))

    figure = await notebook.plot(client, await derivatives_of(sandbox, client, derivative_product_types=["DC_VESSELS"]))

    [lines] = [each for each in figure.axes[0].collections if isinstance(each, LineCollection)]
    assert [len(segment) for segment in lines.get_segments()] == [5, 2]
    assert "2 detections" in words(figure)
    assert "2 without a place on the map" in words(figure)
    assert set(legend(figure)) == {" DC_VESSELS (2)"}


async def test_a_class_that_is_called_others_is_counted_among_them(sandbox, client, monkeypatch):
    labels = [*["others"] * 5, *(f"kind {n}" for n in range(30))]
    detected(monkeypatch, *(feature(24.9, 60.2, CLASS=label) for label in labels))

    figure = await notebook.plot(client, await derivatives_of(sandbox, client, derivative_product_types=["DC_VESSELS"]))

    assert " others (26)" in legend(figure)
    assert sum(map(len, points(figure).values())) == 35


async def test_a_class_is_text_whatever_it_holds(sandbox, client, monkeypatch):
    odd = ["$x^{", "_hidden", "https://a.example/f?Signature=c4n4ry", ""]
    detected(monkeypatch, *(feature(24.9, 60.2, **{"class": text}) for text in odd))

    figure = await notebook.plot(client, await derivatives_of(sandbox, client, derivative_product_types=["DC_VESSELS"]))

    assert len(figure._repr_png_()) > 10_000
    assert {" $x^{ (1)", " _hidden (1)", " DC_VESSELS (1)"} <= set(legend(figure))
    assert not any("c4n4ry" in text for text in legend(figure))


async def test_an_image_without_detections_is_an_empty_map(sandbox, client, monkeypatch):
    detected(monkeypatch)

    figure = await notebook.plot(client, await derivatives_of(sandbox, client))

    assert len(figure.axes[0].images) == 1
    assert "no detections" in words(figure)


async def test_without_derivatives_the_figure_says_so(client):
    figure = await notebook.plot(client, [])

    assert [text.get_text() for text in figure.texts] == ["no derivatives"]


async def test_each_task_has_a_map_and_nine_are_enough(sandbox, client):
    two = [await derivatives_of(sandbox, client) for _ in range(2)]
    several = [evolve(derivative, task_id=f"t{n}") for n in range(10) for derivative in two[0]]

    figure = await notebook.plot(client, two)

    assert len(figure.axes) == 2
    fetched = len(sandbox.link_requests)
    with pytest.raises(UsageError, match=r"room for 9 tasks, not 10; .*to_geodataframe"):
        await notebook.plot(client, several)
    assert len(sandbox.link_requests) == fetched


async def test_products_of_one_footprint_are_drawn_once(sandbox, client):
    figure = await notebook.plot(
        client, await derivatives_of(sandbox, client, product_types=["GRD", "GRD-COG", "SLC-COG"])
    )

    assert len(figure.axes[0].images) == 1


async def test_a_quicklook_that_does_not_come_does_not_hide_the_detections(sandbox, client):
    derivatives = await derivatives_of(sandbox, client)
    sandbox.link_faults.append(LinkFault(path="quicklook", status=404))

    figure = await notebook.plot(client, derivatives)

    assert figure.axes[0].images == [] or len(figure.axes[0].images) == 0
    assert "no quicklook: DownloadError" in words(figure)
    assert sum(map(len, points(figure).values())) == 11


async def none(task_id):
    return ()


async def gone(task_id):
    raise NotFound("none", status=404)


async def cut(task_id):
    raise TransportError("cut")


@pytest.mark.parametrize(
    ("products", "told"),
    [(none, "no product with a footprint"), (gone, "products: NotFound"), (cut, "products: TransportError")],
)
async def test_a_task_without_products_has_its_detections(sandbox, client, monkeypatch, products, told):
    derivatives = await derivatives_of(sandbox, client)
    monkeypatch.setattr(client.products, "list", products)

    figure = await notebook.plot(client, derivatives)

    assert told in words(figure)
    assert sum(map(len, points(figure).values())) == 11


CRAFT = "Landing craft, air cushion vehicle", "Offshore supply and support vessel", "Bulk carrier, self-discharging"


@pytest.mark.parametrize(
    ("classes", "rows"),
    [(("cargo", "tanker", "tug"), 1), (CRAFT, 3), (["W" * 40, *"abcd"], 5), (["船" * 15, "船" * 14, "a"], 3)],
    ids=str,
)
async def test_the_legend_has_room(sandbox, client, monkeypatch, classes, rows):
    detected(monkeypatch, *(feature(24.9, 60.2, **{"class": text}) for text in classes))

    figure = await notebook.plot(client, await derivatives_of(sandbox, client, derivative_product_types=["DC_VESSELS"]))

    figure.draw_without_rendering()
    [legend] = figure.legends
    around = legend.get_window_extent()
    assert figure.bbox.x0 <= around.x0 < around.x1 <= figure.bbox.x1
    assert len({round(text.get_window_extent().y0) for text in legend.texts}) == rows


async def test_what_the_fonts_do_not_have_is_told_apart_and_no_warning(sandbox, client, monkeypatch):
    detected(monkeypatch, *(feature(24.9, 60.2, **{"class": text}) for text in ("貨物船", "漁船", "Fähre")))

    figure = await notebook.plot(client, await derivatives_of(sandbox, client, derivative_product_types=["DC_VESSELS"]))

    assert set(legend(figure)) == {r" \u8ca8\u7269\u8239 (1)", r" \u6f01\u8239 (1)", " Fähre (1)"}


async def test_a_class_that_is_no_text_is_none(sandbox, client, monkeypatch):
    detected(monkeypatch, feature(24.9, 60.2, **{"class": {"name": "ship"}}), feature(24.9, 60.2, **{"class": 7}))

    figure = await notebook.plot(client, await derivatives_of(sandbox, client, derivative_product_types=["DC_VESSELS"]))

    assert set(legend(figure)) == {" DC_VESSELS (1)", " 7 (1)"}


async def test_a_product_that_cannot_be_read_hides_neither_the_others_nor_the_detections(sandbox, client, monkeypatch):
    real = documents.product
    monkeypatch.setattr(
        documents,
        "product",
        lambda item_id, kind, *rest: real(item_id, kind, *rest) | ({"id": 7} if kind == "SLC-COG" else {}),
    )
    derivatives = await derivatives_of(sandbox, client, product_types=["SLC-COG", "GRD"])

    figure = await notebook.plot(client, derivatives)

    assert len(figure.axes[0].images) == 1
    assert sum(map(len, points(figure).values())) == 11
    assert "products: DecodeError" in words(figure)


async def test_a_refused_token_is_no_note(sandbox, client, monkeypatch):
    derivatives = await derivatives_of(sandbox, client)

    async def refused(task_id):
        raise Unauthorized("refused", status=401)

    monkeypatch.setattr(client.products, "list", refused)

    with pytest.raises(Unauthorized):
        await notebook.plot(client, derivatives)


async def test_across_the_antimeridian_there_is_one_small_map(sandbox, client, monkeypatch):
    detected(monkeypatch, feature(179.98, 10.0), feature(-179.99, 10.0))
    derivatives = await derivatives_of(sandbox, client, point_of_interest=(10.0, 180.0))

    figure = await notebook.plot(client, derivatives)

    west, east = figure.axes[0].get_xlim()
    assert 179.8 < west < 179.95
    assert 180.0 < east < 180.2
    assert len(figure._repr_png_()) > 10_000
    assert any(label.get_text().endswith("° W") for label in figure.axes[0].get_xticklabels())


async def test_another_system_of_coordinates_is_not_drawn_as_degrees(sandbox, client, monkeypatch):
    detected(
        monkeypatch,
        feature(500_000, 6_600_000),
        crs={"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32635"}},
    )

    with pytest.raises(UsageError, match=r"EPSG:32635; iceye_async\.geo\.to_geodataframe\(\)"):
        await notebook.plot(client, await derivatives_of(sandbox, client))


async def test_a_product_where_derivatives_are_due_is_refused(sandbox, client):
    with pytest.raises(UsageError, match="derivatives"):
        await notebook.plot(client, await product_of(sandbox, client))


async def test_without_matplotlib_the_extra_is_named(client, monkeypatch):
    monkeypatch.delitem(sys.modules, "iceye_async.pictures.canvas", raising=False)
    monkeypatch.delattr("iceye_async.pictures.canvas", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib", None)

    with pytest.raises(MissingExtra, match=r"matplotlib: pip install 'iceye-async\[notebook\]'"):
        await notebook.plot(client, [])


async def test_a_figure_appears_once(client, cell):
    figure = await notebook.plot(client, [])
    assert not figure.changed()
    cell.display(figure)

    assert cell.shown == [figure.bundle()]
    assert base64.b64decode(cell.shown[0]["image/png"]) == figure._repr_png_()


async def test_a_figure_that_its_cell_changed_is_seen_changed(client, cell):
    figure = await notebook.plot(client, [])
    [before] = cell.shown
    figure.text(0.1, 0.1, "mine")
    cell.display(figure)

    [after] = cell.shown
    assert after["image/png"] != before["image/png"]
    assert after == figure.bundle()


# --- where a picture lies --------------------------------------------------------------------------------------------


TURNED = {
    "type": "Polygon",
    "coordinates": [[[-54.74, -17.07], [-54.45, -17.13], [-54.34, -16.53], [-54.63, -16.48], [-54.74, -17.07]]],
}


async def map_of(sandbox, client, monkeypatch, **changes):
    """The axes of a task whose product is changed so."""
    derivatives = await derivatives_of(sandbox, client)
    [product] = await client.products.list(next(iter(derivatives)).task_id)

    async def products(task_id):
        return (evolve(product, **changes),)

    monkeypatch.setattr(client.products, "list", products)
    figure = await notebook.plot(client, derivatives)
    return figure, figure.axes[0]


def assets(product_assets, coordinates):
    return {key: evolve(asset, coordinates=coordinates) for key, asset in product_assets.items()}


async def test_without_corners_it_lies_on_its_footprint_and_the_map_says_so(sandbox, client, monkeypatch):
    product = await product_of(sandbox, client)
    figure, axes = await map_of(sandbox, client, monkeypatch, geometry=TURNED, assets=assets(product.assets, None))

    around = TURNED["coordinates"][0]
    for got, due in zip(placed(axes), [around[3], around[2], around[0], around[1]], strict=True):
        assert got == pytest.approx(due, abs=0.01)
    assert "placed by its footprint, north up (presumed)" in words(figure)


@pytest.mark.parametrize(
    "coordinates",
    [
        {
            "top_left": [24.88, 60.2],
            "top_right": [24.98, 60.2],
            "bottom_left": [24.88, 60.1],
            "bottom_right": [24.98, 60.1],
        },
        {"top_left": [0, 0]},
        {"top_left": "x", "top_right": None, "bottom_left": [], "bottom_right": {}},
    ],
    ids=["on another continent", "one corner", "none at all"],
)
async def test_corners_that_cannot_be_are_not_believed(sandbox, client, monkeypatch, coordinates):
    """A documented answer has those of Finland on a product of Brazil."""
    product = await product_of(sandbox, client)
    figure, _ = await map_of(sandbox, client, monkeypatch, geometry=TURNED, assets=assets(product.assets, coordinates))

    assert "presumed" in words(figure)


async def test_which_corner_is_which_is_judged_on_the_ground(sandbox, client, monkeypatch):
    """At 75 degrees north a degree of longitude is a quarter of one of latitude."""
    product = await product_of(sandbox, client)
    ring = [[10.0, 75.0], [10.5, 74.8], [11.0, 75.0], [10.5, 75.2], [10.0, 75.0]]
    _, axes = await map_of(
        sandbox,
        client,
        monkeypatch,
        geometry={"type": "Polygon", "coordinates": [ring]},
        assets=assets(product.assets, None),
    )

    assert placed(axes) == [(10.5, 75.2), (11.0, 75.0), (10.0, 75.0), (10.5, 74.8)]


@pytest.mark.parametrize("lat", [0.0, 60.0, -75.0])
async def test_the_scale_is_true(sandbox, client, lat):
    derivatives = await derivatives_of(sandbox, client, point_of_interest=(lat, 24.9))

    [axes] = (await notebook.plot(client, derivatives)).axes

    [bar] = [artist for artist in axes.artists if isinstance(artist, AnchoredSizeBar)]
    km = float(bar.txt_label.get_text().split()[0])
    degrees = bar.size_bar.get_children()[0].get_width()
    assert degrees * 111.2 * math.cos(math.radians(lat)) == pytest.approx(km, rel=0.01)


async def test_of_two_products_of_a_frame_the_one_with_a_picture_is_drawn(sandbox, client, monkeypatch):
    derivatives = await derivatives_of(sandbox, client)
    [product] = await client.products.list(next(iter(derivatives)).task_id)

    async def products(task_id):
        return (evolve(product, id="p0", assets={}), product)

    monkeypatch.setattr(client.products, "list", products)

    assert len((await notebook.plot(client, derivatives)).axes[0].images) == 1


async def test_a_footprint_that_stands_on_its_corner_has_four(sandbox, client, monkeypatch):
    product = await product_of(sandbox, client)
    diamond = {"type": "Polygon", "coordinates": [[[0, 1], [1, 0], [0, -1], [-1, 0], [0, 1]]]}
    _, axes = await map_of(sandbox, client, monkeypatch, geometry=diamond, assets=assets(product.assets, None))

    assert set(placed(axes)) == {(0, 1), (1, 0), (0, -1), (-1, 0)}


async def test_corners_across_the_antimeridian_are_believed(sandbox, client, monkeypatch):
    product = await product_of(sandbox, client)
    ring = [[179.95, 10], [-179.95, 10], [-179.95, 10.1], [179.95, 10.1], [179.95, 10]]
    told = dict(zip(("bottom_left", "bottom_right", "top_right", "top_left"), ring[:4], strict=True))
    figure, axes = await map_of(
        sandbox,
        client,
        monkeypatch,
        geometry={"type": "Polygon", "coordinates": [ring]},
        assets=assets(product.assets, told),
    )

    assert "presumed" not in words(figure)
    assert placed(axes) == [(179.95, 10.1), (180.05, 10.1), (179.95, 10), (180.05, 10)]


def with_middles(ring):
    """With one more position in the middle of each edge."""
    middles = [[(x0 + x1) / 2, (y0 + y1) / 2] for (x0, y0), (x1, y1) in itertools.pairwise(ring)]
    return [at for pair in zip(ring, [*middles, ring[0]], strict=True) for at in pair][:-1]


HALVES = [[[[west, 10], [west + 0.5, 10], [west + 0.5, 11], [west, 11], [west, 10]]] for west in (179.5, -180)]
CUT_OFF = [[0, 0], [3, 0], [4, 1], [4, 2], [0, 2], [0, 0]]


@pytest.mark.parametrize(
    ("geometry", "due"),
    [
        ({"type": "Polygon", "coordinates": [with_middles(TURNED["coordinates"][0])]}, [3, 2, 0, 1]),
        (
            {"type": "MultiPolygon", "coordinates": HALVES},
            [(179.5, 11), (180.5, 11), (179.5, 10), (180.5, 10)],
        ),
        ({"type": "Polygon", "coordinates": [CUT_OFF]}, [(0, 2), (4, 2), (0, 0), (4, 0)]),
        ({"type": "LineString", "coordinates": [[1, 1], [3, 2]]}, None),
        ({"type": "Point", "coordinates": [1, 1]}, [(1, 1)] * 4),
        (None, [(5, 7), (6, 7), (5, 6), (6, 6)]),
    ],
    ids=["with positions on its edges", "in two parts", "with a corner cut off", "line", "point", "only a box"],
)
async def test_whatever_the_footprint_the_picture_has_four_corners_around_it(
    sandbox, client, monkeypatch, geometry, due
):
    product = await product_of(sandbox, client)
    changes = {"geometry": geometry, "bbox": (5.0, 6.0, 0.0, 6.0, 7.0, 0.0), "assets": assets(product.assets, None)}
    figure, axes = await map_of(sandbox, client, monkeypatch, **changes)

    found = placed(axes)
    if due is None:
        assert len(found) == 4
    else:
        due = [TURNED["coordinates"][0][at] if isinstance(at, int) else at for at in due]
        for got, expected in zip(found, due, strict=True):
            assert got == pytest.approx(expected, abs=0.01)
    assert "presumed" in words(figure)
    assert len(figure._repr_png_()) > 5000


async def test_a_product_without_a_footprint_lies_where_its_box_and_its_corners_are(sandbox, client, monkeypatch):
    product = await product_of(sandbox, client)
    west, south, east, north = product.bbox
    corners = {"top_left": [west, north], "top_right": [east, north]}
    corners |= {"bottom_left": [west, south], "bottom_right": [east, south]}
    derivatives = await derivatives_of(sandbox, client)
    beside = (east, south, 2 * east - west, north)

    async def products(task_id):
        bare = evolve(product, task_id=task_id, geometry=None, frame_id=None, assets=assets(product.assets, corners))
        return bare, evolve(bare, id="p2", bbox=beside, assets=assets(product.assets, None))

    monkeypatch.setattr(client.products, "list", products)
    figure = await notebook.plot(client, derivatives)

    [axes] = figure.axes
    assert [placed(axes, number)[0] for number in (0, 1)] == [(west, north), (east, north)]
    assert "presumed" in words(figure)


async def test_corners_are_believed_where_there_is_only_a_box(sandbox, client, monkeypatch):
    product = await product_of(sandbox, client)
    west, south, east, north = product.bbox
    told = {"top_left": [west, north], "top_right": [east, north]}
    told |= {"bottom_left": [west, south], "bottom_right": [east, south]}
    figure, _ = await map_of(sandbox, client, monkeypatch, geometry=None, assets=assets(product.assets, told))

    assert "presumed" not in words(figure)


async def test_a_small_footprint_fills_the_map(sandbox, client, monkeypatch):
    product = await product_of(sandbox, client)
    ring = [[24.9, 60.2], [24.901, 60.2], [24.901, 60.2005], [24.9, 60.2005], [24.9, 60.2]]
    derivatives = await derivatives_of(sandbox, client)

    async def products(task_id):
        return (evolve(product, geometry={"type": "Polygon", "coordinates": [ring]}, assets={}),)

    monkeypatch.setattr(client.products, "list", products)
    [axes] = (await notebook.plot(client, [evolve(one, assets=()) for one in derivatives])).axes

    west, east = axes.get_xlim()
    assert 0.001 < east - west < 0.0012


@pytest.mark.parametrize("side", [0.5, 0.55, 0.6, 0.9])
async def test_the_degrees_on_the_axes_are_true(sandbox, client, monkeypatch, side):
    product = await product_of(sandbox, client)
    square = [[24.9, 60.2], [24.9 + side, 60.2], [24.9 + side, 60.2 + side], [24.9, 60.2 + side], [24.9, 60.2]]
    geometry = {"type": "Polygon", "coordinates": [square]}
    _, axes = await map_of(sandbox, client, monkeypatch, geometry=geometry, assets=assets(product.assets, None))

    for axis in (axes.xaxis, axes.yaxis):
        told = [label.get_text() for label in axis.get_ticklabels()]
        assert len(told) > 1
        for place, text in zip(axis.get_majorticklocs(), told, strict=True):
            assert float(text.split("°")[0]) == pytest.approx(abs(place), abs=1e-6)
