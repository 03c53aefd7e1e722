"""A product as a STAC item that is valid, and footprints for whatever reads `__geo_interface__`; never a link."""

import json
import sys
from datetime import UTC, datetime, timedelta

import geopandas
import pystac
import pytest
import shapely
from attrs import evolve

from iceye_async import (
    AngleRange,
    DecodeError,
    DerivativeType,
    DownloadError,
    Interval,
    MissingExtra,
    Position,
    Product,
    ProductAsset,
    ProductUpdate,
    Task,
    TaskStatus,
    UsageError,
)
from iceye_async.protocol import wire
from iceye_async.sandbox import Sandbox, Scenario

LINK = "https://l.example/f.tif?Expires=9&Signature=s3cr3t&Key-Pair-Id=K"
TIMES = {"start_datetime": "2024-12-13T12:58:22Z", "end_datetime": "2024-12-13T12:58:32Z"}
SQUARE = {"type": "Polygon", "coordinates": [[[1, 2], [3, 2], [3, 4], [1, 4], [1, 2]]]}


def received(**item):
    """The product that is read of this item."""
    item = {"id": "p1", "properties": TIMES, "assets": {}, **item}
    (found,) = wire.products(json.dumps({"data": [item]}).encode(), "t1").items
    return found


def valid(product, folder=None):
    """Its item, which is valid as it is written."""
    item = product.to_pystac(folder)
    written = pystac.Item.from_dict(item.to_dict())
    written.validate()
    assert not written.links
    assert "s3cr3t" not in json.dumps(item.to_dict())
    return item


@pytest.fixture(params=["products-200", "products-by-type-200"])
def documented(request, sample):
    (found,) = wire.products(sample(request.param), "t1").items
    return found


# --- the item --------------------------------------------------------------------------------------------------------


def test_the_documented_products_are_valid_items(documented):
    item = valid(documented)

    told = documented.document
    assert (item.id, item.bbox, item.geometry) == (documented.id, list(documented.bbox), documented.geometry)
    assert item.properties | {"datetime": None} == told["properties"] | {"datetime": None}
    assert (item.datetime, item.collection_id) == (None, None)
    assert item.to_dict()["stac_version"] == pystac.get_stac_version()
    assert set(item.assets) == set(told["assets"])
    assert "http" not in json.dumps(item.to_dict()["assets"])


def test_its_assets_are_as_the_document_has_them_but_for_their_links(documented):
    item = documented.to_pystac()

    for key, asset in item.assets.items():
        told = documented.document["assets"][key]
        expected = {name: fact for name, fact in told.items() if name != "href"}
        assert {name: fact for name, fact in asset.to_dict().items() if name != "href"} == expected


def test_what_is_beyond_stac_stays_and_what_says_nothing_goes():
    asset = {
        "href": LINK,
        "title": "",
        "type": None,
        "roles": [],
        "size": 7,
        "alternate": {"s3": {"href": LINK}},
        "n": None,
    }
    corners = {"top_left": [1, 2]}
    product = received(
        collection="",
        properties={**TIMES, "title": "", "gsd": None, "iceye:new": [LINK]},
        assets={"a": asset, "b": {"href": LINK, "coordinates": corners}},
        extra={"x": 1},
        nothing=None,
        links=[{"rel": "self", "href": LINK}],
    )

    found = valid(product).to_dict()

    assert found["properties"] == {**TIMES, "iceye:new": ["https://l.example/f.tif?..."], "datetime": None}
    assert found["extra"] == {"x": 1}
    assert {"nothing", "collection"} & found.keys() == set()
    assert found["assets"]["a"] == {
        "href": "./p1_a",
        "size": 7,
        "alternate": {"s3": {"href": "https://l.example/f.tif?..."}},
    }
    assert found["assets"]["b"] == {"href": "./p1_b", "coordinates": corners}


def test_a_collection_is_told_where_an_item_without_a_link_to_it_may():
    assert valid(received(collection="grd")).properties["collection"] == "grd"


def test_an_item_can_be_changed_and_the_product_stays_as_it_is(documented):
    before = json.dumps(documented.document)
    item = documented.to_pystac()
    item.properties.clear()
    item.geometry["coordinates"].clear()

    assert json.dumps(documented.document) == before
    assert documented.geometry["coordinates"]


def test_a_product_made_by_hand_is_a_valid_item():
    start = datetime(2026, 1, 2, tzinfo=UTC)
    product = Product(
        id="p1",
        task_id="t1",
        acquired=Interval(start, start + timedelta(seconds=10)),
        geometry=SQUARE,
        assets={"a": ProductAsset(href=LINK, title="A", coordinates={"top_left": [1, 2]})},
    )

    item = valid(product)

    assert item.properties["start_datetime"] == "2026-01-02T00:00:00Z"
    assert item.bbox == [1, 2, 3, 4]
    assert item.assets["a"].extra_fields == {"coordinates": {"top_left": [1, 2]}}


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"datetime": "2024-12-13T12:58:27.5Z"}, datetime(2024, 12, 13, 12, 58, 27, 500_000, UTC)),
        ({"datetime": "2024-12-13T14:58:27+02:00"}, datetime(2024, 12, 13, 12, 58, 27, tzinfo=UTC)),
        ({"datetime": "2024-12-13T12:58:27Z", **TIMES}, datetime(2024, 12, 13, 12, 58, 27, tzinfo=UTC)),
        ({"datetime": "2024-12-13T12:58:27Z", "start_datetime": "2024-12-13T12:58:22Z"}, ...),
        ({"datetime": None, **TIMES}, None),
        ({"datetime": "yesterday", **TIMES}, None),
    ],
)
def test_its_time_is_what_the_document_tells(told, expected):
    item = valid(received(properties=told))

    assert item.datetime == (datetime(2024, 12, 13, 12, 58, 27, tzinfo=UTC) if expected is ... else expected)
    assert ("start_datetime" in item.properties) == (TIMES.items() <= told.items())


def test_other_times_are_in_utc_as_stac_wants_them():
    times = {
        "start_datetime": "2024-12-13T14:58:22+02:00",
        "end_datetime": "2024-12-13T14:58:32+02:00",
        "created": "2024-12-13T13:17:53.487123456Z",
    }

    found = valid(received(properties={**times, "updated": "2024-12-13"})).properties

    assert found["start_datetime"] == "2024-12-13T12:58:22Z"
    assert found["created"] == times["created"]
    assert "updated" not in found


@pytest.mark.parametrize("told", [{}, {"datetime": "2024"}, {"start_datetime": TIMES["start_datetime"]}])
def test_a_product_that_tells_no_time_is_no_item(told):
    with pytest.raises(UsageError, match="product p1 tells no time"):
        received(properties=told).to_pystac()


@pytest.mark.parametrize(
    ("coordinates", "bbox"),
    [
        (
            [[[[178, 1], [180, 1], [180, 2], [178, 1]]], [[[-180, 1], [-179, 1], [-179, 3], [-180, 1]]]],
            [178, 1, -179, 3],
        ),
        ([[[[178, 1], [181, 1], [181, 2], [178, 1]]]], [178, 1, 181, 2]),
        ([[[[-100, 1], [0, 1], [100, 2], [-100, 1]]]], [-100, 1, 100, 2]),
        ([[[[1, 2, 7], [3, 2, 8], [3, 4, 9], [1, 2, 7]]]], [1, 2, 7, 3, 4, 9]),
        ([[[[1, 2, 7], [3, 2], [3, 4, 9], [1, 2]]]], [1, 2, 3, 4]),
    ],
)
def test_a_box_is_made_of_the_footprint_where_none_is_told(coordinates, bbox):
    geometry = {"type": "MultiPolygon", "coordinates": coordinates}

    item = valid(received(geometry=geometry))

    assert item.bbox == bbox
    assert item.geometry == geometry


@pytest.mark.parametrize("bbox", [[178, 1, -179, 3], [1, 2, 0, 3, 4, 9]])
def test_a_box_that_is_told_is_not_made_anew(bbox):
    assert valid(received(geometry=SQUARE, bbox=bbox)).bbox == bbox


def test_a_box_of_no_use_is_made_anew():
    assert valid(received(geometry=SQUARE, bbox=[1, 2, 3])).bbox == [1, 2, 3, 4]


@pytest.mark.parametrize("geometry", [None, {"type": "Polygon", "coordinates": []}])
def test_without_a_footprint_there_is_no_box(geometry):
    item = valid(received(geometry=geometry, bbox=[1, 2, 3, 4]))

    assert (item.geometry, item.bbox) == (None, None)


@pytest.mark.parametrize("kind", ["Polygon", "MultiPolygon"])
def test_a_ring_that_is_open_is_closed(kind):
    rings = [[[1, 2], [3, 2], [3, 4]], []]

    item = valid(received(geometry={"type": kind, "coordinates": rings if kind == "Polygon" else [rings, []]}))

    closed = [[[1, 2], [3, 2], [3, 4], [1, 2]]]
    assert item.geometry["coordinates"] == (closed if kind == "Polygon" else [closed])


def test_several_geometries_in_one_are_no_footprint_of_an_item():
    several = {"type": "GeometryCollection", "geometries": [SQUARE]}

    with pytest.raises(UsageError, match="is a GeometryCollection, and no STAC item may have one"):
        received(geometry=several).to_pystac()


@pytest.mark.parametrize("word", ["2024-12-13 12:58:22Z", "20241213T125822Z"])
def test_a_time_in_another_spelling_is_spelled_as_stac_wants_it(word):
    item = valid(received(properties={**TIMES, "updated": word}))

    assert item.properties["updated"] == "2024-12-13T12:58:22Z"


def test_a_time_that_was_changed_counts_and_not_the_document():
    product = received()
    later = Interval(*(time + timedelta(hours=1) for time in product.acquired))

    assert valid(evolve(product, acquired=later)).properties["start_datetime"] == "2024-12-13T13:58:22Z"


def test_a_property_that_says_nothing_is_left_out():
    assert "license" not in valid(received(properties={**TIMES, "license": ""})).properties


def test_a_footprint_that_is_none_is_an_error_with_its_place():
    with pytest.raises(DecodeError, match=r"footprint of product p1: .* @ \$\.geometry\.coordinates") as caught:
        received(geometry={"type": "Polygon", "coordinates": [[[0, 0]]]}).to_pystac()
    assert caught.value.where == ("$.geometry.coordinates[0]",)


def test_schemas_named_by_address_stay():
    schema = "https://stac-extensions.github.io/sar/v1.0.0/schema.json"

    assert received(stac_extensions=["sar", schema, schema, 7]).to_pystac().stac_extensions == [schema]


@pytest.mark.parametrize("place", ["id", "title", "key", "role", "property", "member", "collection"])
def test_no_link_is_in_an_item(place):
    asset = {"href": LINK, "title": LINK if place == "title" else "A", "roles": [LINK if place == "role" else "data"]}
    product = received(
        id=LINK if place == "id" else "p1",
        collection=LINK if place == "collection" else "",
        properties={**TIMES, LINK if place == "property" else "x": {"y": LINK}},
        assets={LINK if place == "key" else "a": asset},
        **({LINK: LINK} if place == "member" else {}),
    )

    written = json.dumps([product.to_pystac().to_dict(), product.__geo_interface__])

    for secret in ("s3cr3t", "Expires=9", "Key-Pair-Id"):
        assert secret not in written


# --- its files -------------------------------------------------------------------------------------------------------


@pytest.fixture
async def home(tmp_path):
    """A product of a sandbox, and the folder in which its files are."""
    async with Sandbox(Scenario(decided=0, imaged=0, fulfilled=0, done=0)) as sandbox, sandbox.client() as client:
        now = datetime.now(UTC)
        task = await client.tasks.create(
            contract_id=sandbox.contract_id,
            imaging_mode="SPOTLIGHT",
            point_of_interest=(60.2, 24.9),
            acquisition_window=(now - timedelta(hours=1), now + timedelta(hours=24)),
            product_types=["GRD-COG", "QLK"],
        )
        products = await client.products.list(task.id)
        await client.download(products, tmp_path / "files")
    return products[0], tmp_path / "files"


async def test_its_assets_are_where_a_download_puts_them(home):
    product, folder = home
    names = {path.name for path in folder.iterdir() if path.name.startswith(product.id)}

    assert {asset.href for asset in valid(product).assets.values()} == {f"./{name}" for name in names}


async def test_with_a_folder_they_are_the_files_that_are_there(home, monkeypatch):
    product, folder = home
    gone = product.to_pystac().assets["quicklook-png"].href
    (folder / gone).unlink()
    monkeypatch.chdir(folder.parent)

    item = valid(product, "files")
    there = {path.as_posix() for path in folder.iterdir()}

    assert set(item.assets) == set(product.assets) - {"quicklook-png"}
    for key, asset in item.assets.items():
        assert asset.href == (folder / product.to_pystac().assets[key].href).as_posix()
        assert asset.href in there


def test_keys_that_differ_in_case_alone_have_files_of_their_own():
    product = received(assets={"A": {"href": LINK}, "a": {"href": LINK}, "../x": {"href": LINK}})

    hrefs = [asset.href for asset in valid(product).assets.values()]

    assert len({href.casefold() for href in hrefs}) == 3
    assert all(href.startswith("./p1_") and "/" not in href[2:] for href in hrefs)


def note(folder, **files):
    facts = {"task": "t1", "item": "p1", "size": 1, "etag": None, "sha256": ""}
    files = {name: {**facts, **record} for name, record in files.items()}
    (folder / ".iceye-async.json").write_text(json.dumps({"version": 1, "files": files}))


def test_a_manifest_leads_to_no_file_outside_its_folder_and_to_none_of_others(tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    for path in (tmp_path / "out.tif", folder / "a.tif", folder / "b.tif"):
        path.write_text("x")
    note(folder, **{"../out.tif": {"asset": "out"}, "a.tif": {"asset": "a"}, "b.tif": {"asset": "b", "task": "t2"}})
    product = received(assets={key: {"href": LINK} for key in ("out", "a", "b")})

    assert {key: asset.href for key, asset in valid(product, folder).assets.items()} == {
        "a": (folder / "a.tif").as_posix()
    }


def test_a_folder_without_its_files_gives_an_item_without_assets(tmp_path):
    assert valid(received(assets={"a": {"href": LINK}}), tmp_path).assets == {}


def test_a_folder_that_is_none_or_damaged_is_an_error(tmp_path):
    with pytest.raises(UsageError, match=r"there is no folder .*; download the product first"):
        received().to_pystac(tmp_path / "none")
    (tmp_path / ".iceye-async.json").write_text("{")
    with pytest.raises(DownloadError, match="cannot be read"):
        received().to_pystac(tmp_path)


def test_without_pystac_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pystac", None)

    with pytest.raises(MissingExtra, match=r"pip install 'iceye-async\[stac\]'"):
        received().to_pystac()


# --- footprints ------------------------------------------------------------------------------------------------------


def test_a_product_is_a_feature(documented):
    feature = documented.__geo_interface__

    assert shapely.geometry.shape(documented.__geo_interface__["geometry"]).area > 0
    assert feature["bbox"] == documented.bbox
    assert "bbox" not in evolve(documented, bbox=None).__geo_interface__
    assert "cloudfront" not in json.dumps(feature)


def test_products_are_a_collection_that_geopandas_reads(documented):
    bare = received(id="p2")
    update = ProductUpdate(
        products=(documented, bare), fresh=(), ready=frozenset(), missing=frozenset(), complete=False
    )

    found = geopandas.GeoDataFrame.from_features(update, crs=4326)

    assert len(found) == 2
    assert found["frame_id"][0] == documented.frame_id
    assert found.geometry[1] is None


def test_a_task_is_a_point_with_plain_facts():
    now = datetime(2026, 1, 2, tzinfo=UTC)
    task = Task(
        id="t1",
        contract_id="c1",
        status=TaskStatus.DONE,
        imaging_mode="SPOTLIGHT",
        point_of_interest=Position(60.2, 24.9),
        acquisition_window=Interval(now, now + timedelta(days=1)),
        created_at=now,
        updated_at=now,
        reference=f"harbour {LINK}",
        derivative_product_types=(DerivativeType.VESSELS, "DC_NEW"),
        incidence_angle=AngleRange(20.0, 30.0),
        deliveries=({"locations": [{"secret": "hush"}]},),
    )

    found = task.__geo_interface__

    place = shapely.geometry.shape(found["geometry"])
    assert (place.x, place.y) == (24.9, 60.2)
    assert json.loads(json.dumps(found)) == found
    assert found["properties"] == {
        "contract_id": "c1",
        "status": "DONE",
        "imaging_mode": "SPOTLIGHT",
        "reference": "harbour https://l.example/f.tif?...",
        "created_at": "2026-01-02T00:00:00Z",
        "updated_at": "2026-01-02T00:00:00Z",
        "derivative_product_types": ["DC_VESSELS", "DC_NEW"],
        "incidence_angle": {"min": 20.0, "max": 30.0},
        "window_start": "2026-01-02T00:00:00Z",
        "window_end": "2026-01-03T00:00:00Z",
    }
    assert type(found["properties"]["status"]) is str
    assert "s3cr3t" not in evolve(task, id=LINK).__geo_interface__["id"]
