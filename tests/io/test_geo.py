"""Detections as a GeoDataFrame: every property that a file has, whatever it is, nothing invented, and no link."""

import asyncio
import json
import os
import pickle
import sys
import tempfile
import threading
from datetime import UTC, datetime, timedelta

import geopandas
import pandas
import pytest
from aiohttp import web

from iceye_async import (
    DecodeError,
    Derivative,
    DerivativeAsset,
    DerivativeSet,
    DerivativeUpdate,
    DownloadError,
    MissingExtra,
    Product,
    UsageError,
    detections,
    geo,
)
from iceye_async.sandbox import Sandbox, Scenario

OF_DERIVATIVES = ["task_id", "derivative_id", "derivative_type", "image_reference", "image_id"]
OF_FILES = ["task_id", "derivative_id", "derivative_type", "file"]
LINK = "https://l.example/f.tif?Expires=9&Signature=s3cr3t&Key-Pair-Id=K"


def feature(properties=None, geometry=None, **others):
    return {"type": "Feature", "geometry": geometry, "properties": properties, **others}


def point(lon=24.9, lat=60.2):
    return {"type": "Point", "coordinates": [lon, lat]}


def collection(*features, **others):
    return {"type": "FeatureCollection", "features": list(features), **others}


@pytest.fixture
def frame(tmp_path):
    """The frame of a file with this content."""

    def read(document, name="f.geojson"):
        path = tmp_path / name
        path.write_bytes(document if isinstance(document, bytes) else json.dumps(document).encode())
        return geo.from_files(path)

    return read


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    """Where temporary folders are made; none is left when a test is over."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


@pytest.fixture
def derivative(other):
    """A derivative whose file is on the scripted link host."""

    def make(document, name="d1", kind="DC_VESSELS", **facts):
        if not callable(document):
            body = document if isinstance(document, bytes) else json.dumps(document).encode()
            document = (200, {}, body)
        other.answers(f"/{name}/detections.geojson", document)
        asset = DerivativeAsset(href=f"{other.url}/{name}/detections.geojson?Signature=s3cr3t", type="geojson")
        return Derivative(**{"id": name, "type": kind, "task_id": "t1", "assets": (asset,), **facts})

    return make


# --- of derivatives --------------------------------------------------------------------------------------------------


@pytest.fixture
async def sandbox():
    at_once = dict.fromkeys(["DC_VESSELS", "DC_AIRCRAFT"], 0.0)
    scenario = Scenario(decided=0, imaged=0, fulfilled=0, done=0, derivatives=at_once)
    async with Sandbox(scenario, speed=float("inf")) as sandbox:
        yield sandbox


async def ordered(client, sandbox):
    now = datetime.now(UTC)
    return await client.tasks.create(
        contract_id=sandbox.contract_id,
        imaging_mode="SPOTLIGHT",
        point_of_interest=(60.2, 24.9),
        acquisition_window=(now - timedelta(hours=1), now + timedelta(hours=24)),
        product_types=["GRD"],
        derivative_product_types=["DC_VESSELS", "DC_AIRCRAFT"],
    )


async def test_a_row_is_a_detection_of_any_of_the_tasks(sandbox):
    async with sandbox.client() as client:
        tasks = [await ordered(client, sandbox) for _ in range(2)]
        found = [await client.derivatives.get(task.id) for task in tasks]

        frame = await geo.to_geodataframe(client, found)

    assert list(frame) == [*OF_DERIVATIVES, "illustrative", "detected", "number", "geometry"]
    assert frame.crs == "EPSG:4326"
    assert list(frame["task_id"].unique()) == [task.id for task in tasks]
    assert set(frame["derivative_type"]) == {"DC_VESSELS", "DC_AIRCRAFT"}
    assert list(frame["derivative_id"].unique()) == [entry.id for both in found for entry in both]
    assert list(frame["image_reference"].unique()) == [both.of("DC_VESSELS")[0].image_reference for both in found]
    assert (frame.geometry.geom_type == "Point").all()
    assert frame["illustrative"].dtype == "bool"


async def test_a_link_that_has_expired_is_renewed(sandbox):
    async with sandbox.client() as client:
        task = await ordered(client, sandbox)
        found = await client.derivatives.get(task.id)
        await client.clock.sleep(7200)

        assert len(await geo.to_geodataframe(client, found)) > 0


async def test_what_downloads_bring_reads_the_same_without_a_client(sandbox, tmp_path):
    """The thumbnails' own JSON is no detections, whatever it ends in."""
    async with sandbox.client() as client:
        task = await ordered(client, sandbox)
        paths = await client.download(task.id, tmp_path / "files")
        of_task = await geo.to_geodataframe(client, await client.derivatives.get(task.id))
    assert [path.name for path in paths if path.suffix == ".json"]

    for given in (paths, tmp_path / "files", str(tmp_path / "files"), [tmp_path / "files"]):
        frame = geo.from_files(given)
        frame = frame.sort_values(["derivative_type", "number"], ignore_index=True)
        expected = of_task.sort_values(["derivative_type", "number"], ignore_index=True)
        assert list(frame)[:4] == OF_FILES
        assert set(frame["file"]) == {str(path) for path in paths if path.suffix == ".geojson"}
        same = [name for name in frame if name != "file"]
        assert frame[same].equals(expected[same])


async def test_one_or_several_in_whatever_they_come(connect, derivative):
    one = derivative(collection(feature({"n": 1})), "d1", image_id="i1")
    two = derivative(collection(feature({"n": 2})), "d2", task_id="t2", kind="DC_NEW")
    both = DerivativeSet((one, two), final=False)
    update = DerivativeUpdate(
        derivatives=both, fresh=(two,), ready=frozenset(), missing=frozenset({"DC_NEW"}), complete=False
    )
    client = connect()

    assert list((await geo.to_geodataframe(client, one))["n"]) == [1]
    for given in (both, update, [one, two], (each for each in (one, two)), [[one], both, update]):
        frame = await geo.to_geodataframe(client, given)
        assert list(frame["n"]) == [1, 2]
        assert list(frame["task_id"]) == ["t1", "t2"]
        assert list(frame["derivative_type"]) == ["DC_VESSELS", "DC_NEW"]
        assert frame["image_id"][0] == "i1"
        assert pandas.isna(frame["image_id"][1])


async def test_one_that_is_listed_before_and_after_it_had_files_counts_once(connect, derivative):
    one = derivative(collection(feature({"n": 1})))
    waiting = Derivative(id=one.id, type=one.type, task_id=one.task_id)

    for given in ([waiting, one], [one, waiting], [one, one]):
        assert list((await geo.to_geodataframe(connect(), given))["n"]) == [1]


async def test_twins_by_id_of_two_tasks_stay_apart(connect, derivative, other):
    other.answers("/b.geojson", (200, {}, json.dumps(collection(feature({"n": 2}))).encode()))
    one = derivative(collection(feature({"n": 1})))
    two = Derivative(
        id=one.id, type="DC_AIRCRAFT", task_id="t2", assets=(DerivativeAsset(href=f"{other.url}/b.geojson"),)
    )

    frame = await geo.to_geodataframe(connect(), [one, two])

    assert frame[["task_id", "derivative_type", "n"]].values.tolist() == [
        ["t1", "DC_VESSELS", 1],
        ["t2", "DC_AIRCRAFT", 2],
    ]


async def test_nothing_there_yet_is_an_empty_frame_and_no_request(connect, service, other):
    waiting = Derivative(id="d1", type="DC_VESSELS", task_id="t1")

    for given in ([], waiting, DerivativeSet((), final=True)):
        frame = await geo.to_geodataframe(connect(), given)
        assert (list(frame), len(frame), frame.crs) == ([*OF_DERIVATIVES, "geometry"], 0, "EPSG:4326")
    assert not service.requests
    assert not other.requests


async def test_files_of_other_forms_are_left_where_they_are(connect, derivative, other):
    one = derivative(collection(feature({"n": 1})))
    one = Derivative(
        id="d1",
        type="X",
        task_id="t1",
        assets=(DerivativeAsset(href=f"{other.url}/d.gpkg", type="gpkg"), *one.assets),
    )

    assert list((await geo.to_geodataframe(connect(), one))["n"]) == [1]
    assert not other.asked("/d.gpkg")


async def test_a_derivative_with_nothing_but_other_forms_is_not_passed_over(connect, other):
    one = Derivative(
        id="d1", type="X", task_id="t1", assets=(DerivativeAsset(href=f"{other.url}/d.gpkg", type="gpkg"),)
    )

    with pytest.raises(UsageError, match=r"d1 has no GeoJSON, but gpkg; client\.download\(\)"):
        await geo.to_geodataframe(connect(), one)
    assert not other.requests


async def test_beside_others_it_is_passed_over(connect, derivative, other):
    """A new type of derivatives does not hide those that can be read."""
    odd = Derivative(
        id="d2", type="X", task_id="t1", assets=(DerivativeAsset(href=f"{other.url}/d.gpkg", type="gpkg"),)
    )

    frame = await geo.to_geodataframe(connect(), [odd, derivative(collection(feature({"n": 1})))])

    assert list(frame["n"]) == [1]
    assert not other.asked("/d.gpkg")


# --- what goes wrong on the way --------------------------------------------------------------------------------------


async def test_one_file_that_does_not_come_is_an_error_that_names_it(connect, derivative, other):
    good, bad = derivative(collection(feature())), derivative(b"", "d2")
    other.answers("/d2/detections.geojson", (404, {}, b"gone"))

    with pytest.raises(DownloadError, match="1 of 2 files did not arrive") as caught:
        await geo.to_geodataframe(connect(), [good, bad])

    assert list(caught.value.failed) == ["d2/geojson"]
    assert caught.value.done == ()
    assert "s3cr3t" not in repr(vars(caught.value))


async def test_a_page_in_place_of_a_file_is_an_error(connect, derivative):
    with pytest.raises(DownloadError, match="error page"):
        await geo.to_geodataframe(connect(), derivative(b"<!DOCTYPE html><html><body>Sign in</body></html>"))


async def test_what_is_no_geojson_is_named_with_its_place(connect, derivative):
    with pytest.raises(DecodeError, match=r"d1_detections\.geojson .*\$\.features\[1\]\.geometry\.type") as caught:
        await geo.to_geodataframe(connect(), derivative(collection(feature(), feature(geometry={"type": "Circle"}))))

    assert caught.value.where == ("$.features[1].geometry.type",)


async def test_cancelled_while_files_come_nothing_is_left(connect, derivative, temporary):
    arrived = asyncio.Event()

    async def stall(request):
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b"{" + b" " * 500)
        arrived.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(geo.to_geodataframe(connect(), derivative(stall)))
    await arrived.wait()
    assert list(temporary.iterdir())
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert list(temporary.iterdir()) == []


async def test_cancelled_while_files_are_read_nothing_is_left_and_no_other_is_read(
    connect, derivative, temporary, monkeypatch
):
    loop, begun, go_on = asyncio.get_running_loop(), asyncio.Event(), threading.Event()
    read, ended = [], threading.Event()

    def slow(path, **facts):
        read.append(path.name)
        loop.call_soon_threadsafe(begun.set)
        go_on.wait(5)
        ended.set()
        return detections.Detections(features=(), file=path.name)

    monkeypatch.setattr(detections, "read", slow)
    both = [derivative(collection(), "d1"), derivative(collection(), "d2")]
    task = asyncio.create_task(geo.to_geodataframe(connect(), both))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert list(temporary.iterdir()) == []
    go_on.set()
    await asyncio.to_thread(ended.wait, 5)
    await loop.shutdown_default_executor()
    assert len(read) == 1


async def test_without_a_place_for_temporary_files_it_says_so(connect, derivative, monkeypatch):
    def refuse(**_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(detections.tempfile, "TemporaryDirectory", refuse)

    with pytest.raises(DownloadError, match=r"no temporary folder can be made: Permission denied; .*TMPDIR"):
        await geo.to_geodataframe(connect(), derivative(collection()))


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ("t1", r"await client\.derivatives\.get\(task_id\)"),
        (Product(id="p1", task_id="t1"), r"await client\.derivatives\.get\(product\.task_id\)"),
        ({"t1": []}, r"\.values\(\)"),
        (7, "pass a DerivativeSet"),
        (None, "pass a DerivativeSet"),
        (b"t1", "pass a DerivativeSet"),
        ([Product(id="p1", task_id="t1")], r"product\.task_id"),
    ],
)
async def test_anything_but_derivatives_is_refused_with_what_to_pass_instead(connect, service, given, hint):
    with pytest.raises(UsageError, match=hint):
        await geo.to_geodataframe(connect(), given)
    assert not service.requests


async def test_what_was_not_awaited_is_refused(connect, tmp_path):
    client = connect()
    wait = client.await_derivatives("t1")
    with pytest.raises(UsageError, match="write `await` before a DerivativeWait"):
        await geo.to_geodataframe(client, wait)
    wait.close()
    download = client.download("t1", tmp_path)
    with pytest.raises(UsageError, match="write `await` before a Download"):
        geo.from_files(download)
    download.close()


async def test_the_client_comes_first():
    with pytest.raises(UsageError, match="client is the Client"):
        await geo.to_geodataframe([], [])


async def test_without_geopandas_the_extra_is_named_and_nothing_is_fetched(connect, derivative, other, monkeypatch):
    monkeypatch.setitem(sys.modules, "geopandas", None)

    with pytest.raises(MissingExtra, match=r"pip install 'iceye-async\[geo\]'"):
        await geo.to_geodataframe(connect(), derivative(collection()))
    with pytest.raises(MissingExtra, match=r"pip install 'iceye-async\[geo\]'"):
        geo.from_files([])
    assert not other.requests


# --- any property schema ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "dtype", "expected"),
    [
        ([1, 2], "int64", [1, 2]),
        ([1, None, 2**62 + 1], "Int64", [1, None, 2**62 + 1]),
        ([1, ...], "Int64", [1, None]),
        ([2**63, 1], "object", [2**63, 1]),
        ([-(2**63), 10**40], "object", [-(2**63), 10**40]),
        ([True, False], "bool", [True, False]),
        ([True, ...], "boolean", [True, None]),
        ([True, 1], "object", [True, 1]),
        ([1, 2.5], "float64", [1.0, 2.5]),
        ([2**53 + 1, 2.5], "object", [2**53 + 1, 2.5]),
        ([1.5, None], "float64", [1.5, None]),
        (["a", 1, None], "object", ["a", 1, None]),
        ([[1, [2]], {"a": {"b": None}}], "object", [[1, [2]], {"a": {"b": None}}]),
        ([None, ...], "object", [None, None]),
    ],
)
def test_no_value_changes_on_its_way_into_a_column(frame, values, dtype, expected):
    found = frame(collection(*(feature({} if value is ... else {"x": value}) for value in values)))

    assert found["x"].dtype == dtype
    plain = [value if isinstance(value, list | dict) or not pandas.isna(value) else None for value in found["x"]]
    assert plain == expected
    kinds = [type(value.item() if hasattr(value, "item") else value) for value in plain]
    assert kinds == [type(value) for value in expected]


def test_text_is_text_and_missing_where_it_is_missing(frame):
    found = frame(collection(feature({"x": "a"}), feature({}), feature({"x": ""})))

    assert found["x"][0] == "a"
    assert pandas.isna(found["x"][1])
    assert found["x"][2] == ""


def test_columns_come_in_order_of_first_appearance_and_the_geometry_last(frame):
    found = frame(collection(feature({"b": 1}), feature({"a": 1, "b": 2}), feature({"": 3, "c d": 1})))

    assert list(found) == [*OF_FILES, "b", "a", "", "c d", "geometry"]


def test_a_property_by_a_name_of_ours_keeps_its_values_under_another(frame):
    mine = {"task_id": 1, "geometry": 2, "file": 3, "property_file": 4, "property__file": 5, "image_id": 6}

    found = frame(collection(feature(mine)))

    names = ["property_task_id", "property_geometry", "property___file", "property_file", "property__file", "image_id"]
    assert list(found)[4:-1] == names
    assert found[names].values.tolist() == [[1, 2, 3, 4, 5, 6]]
    assert found["task_id"].isna().all()
    assert found.geometry.isna().all()


def test_ids_of_features_are_a_column_only_where_there_are_some(frame):
    assert "feature_id" not in frame(collection(feature({}), feature({}, id=None)))
    assert list(frame(collection(feature({"feature_id": "mine"})))["feature_id"]) == ["mine"]

    found = frame(collection(feature({"feature_id": "mine"}, id="a"), feature({}, id=7)))

    assert list(found["feature_id"]) == ["a", 7]
    assert found["property_feature_id"][0] == "mine"


@pytest.mark.parametrize("hidden", [LINK, f"see {LINK}", {"a": [{LINK: LINK}]}, {LINK: 1, LINK.replace("9", "8"): 2}])
async def test_no_link_is_in_a_frame(connect, derivative, hidden):
    document = collection(feature({"x": hidden, LINK: 1}, point(), id=hidden))
    one = derivative(document, kind=LINK, image_reference=LINK, image_id=LINK)

    found = await geo.to_geodataframe(connect(), one)

    shown = f"{found.to_dict()} {found.to_csv()} {found.to_json()} {list(found)} {pickle.dumps(found)!r}"
    for secret in ("s3cr3t", "Expires=", "Key-Pair-Id="):
        assert secret not in shown
    assert "https://l.example/f.tif?..." in found


def test_keys_that_differ_in_a_signature_alone_are_two_columns(frame):
    found = frame(collection(feature({LINK: 1, LINK.replace("s3cr3t", "s3cr3t2"): 2})))

    assert found.iloc[0].tolist()[4:-1] == [1, 2]


def test_a_file_without_detections_is_an_empty_frame(frame):
    found = frame(collection())

    assert (list(found), len(found), found.crs) == ([*OF_FILES, "geometry"], 0, "EPSG:4326")
    assert json.loads(found.to_json())["features"] == []
    assert len(pandas.concat([found, frame(collection(feature({"x": 1}, point())))])) == 1


def test_files_of_different_schemas_are_one_frame(tmp_path):
    (tmp_path / "a.geojson").write_text(json.dumps(collection(feature({"x": 1}, point()))))
    (tmp_path / "b.geojson").write_text(json.dumps(collection()))
    (tmp_path / "c.geojson").write_text(json.dumps(collection(feature({"y": "b"}))))

    found = geo.from_files(tmp_path)

    assert list(found["file"]) == [str(tmp_path / "a.geojson"), str(tmp_path / "c.geojson")]
    assert found["x"].dtype == "Int64"
    assert found["y"][1] == "b"


# --- geometries ------------------------------------------------------------------------------------------------------

RING = [[0, 0], [2, 0], [2, 2], [0, 2], [0, 0]]


@pytest.mark.parametrize(
    ("geometry", "expected"),
    [
        (None, None),
        (point(), "POINT (24.9 60.2)"),
        ({"type": "Point", "coordinates": [1, 2, 3]}, "POINT Z (1 2 3)"),
        ({"type": "Point", "coordinates": [1, 2, 3, 4]}, "POINT Z (1 2 3)"),
        ({"type": "Point", "coordinates": []}, "POINT EMPTY"),
        ({"type": "Polygon", "coordinates": [RING]}, "POLYGON ((0 0, 2 0, 2 2, 0 2, 0 0))"),
        ({"type": "Polygon", "coordinates": [RING[:-1]]}, "POLYGON ((0 0, 2 0, 2 2, 0 2, 0 0))"),
        ({"type": "LineString", "coordinates": [[1, 2], [3, 4, 5]]}, "LINESTRING (1 2, 3 4)"),
        ({"type": "MultiPolygon", "coordinates": [[RING]]}, "MULTIPOLYGON (((0 0, 2 0, 2 2, 0 2, 0 0)))"),
        (
            {"type": "GeometryCollection", "geometries": [point(1, 2), {"type": "Point", "coordinates": [1, 2, 3]}]},
            "GEOMETRYCOLLECTION (POINT (1 2), POINT (1 2))",
        ),
        ({"type": "GeometryCollection", "geometries": []}, "GEOMETRYCOLLECTION EMPTY"),
    ],
)
def test_every_geometry_comes_as_it_is(frame, geometry, expected):
    (found,) = frame(collection(feature({}, geometry))).geometry

    assert (None if found is None else found.wkt) == expected


@pytest.mark.parametrize("document", [feature({"x": 1}, point()), point()])
def test_one_feature_or_a_bare_geometry_is_a_row(frame, document):
    (found,) = frame(document).geometry

    assert (found.x, found.y) == (24.9, 60.2)


def named(crs):
    return {"type": "name", "properties": {"name": crs}}


@pytest.mark.parametrize("crs", ["urn:ogc:def:crs:OGC:1.3:CRS84", "EPSG:4326", "urn:ogc:def:crs:EPSG::4326", None])
def test_a_named_wgs_84_changes_nothing(frame, crs):
    found = frame(collection(feature({}, point()), crs=None if crs is None else named(crs)))

    assert (found.geometry[0].x, found.geometry[0].y) == (24.9, 60.2)


@pytest.mark.parametrize(
    "crs", ["urn:ogc:def:crs:EPSG::3857", "http://www.opengis.net/def/crs/EPSG/0/3857", "epsg:3857"]
)
def test_another_system_of_coordinates_is_honoured(frame, crs):
    found = frame(collection(feature({}, point(2771855.31, 8444400.93)), feature({}), crs=named(crs)))

    assert found.crs == "EPSG:4326"
    assert (round(found.geometry[0].x, 3), round(found.geometry[0].y, 2)) == (24.9, 60.2)
    assert found.geometry[1] is None


@pytest.mark.parametrize(
    ("crs", "place"),
    [
        (named("EPSG:999999"), point()),
        (named("ABC:1"), point()),
        (named("+init=/etc/passwd:1"), point()),
        (named("PROJCS[...]"), point()),
        (named(None), point()),
        ({"type": "link", "properties": {"href": LINK}}, point()),
        (7, point()),
        (named("EPSG:32633"), point(1e9, 1e9)),
    ],
)
def test_a_system_of_coordinates_that_cannot_be_honoured_is_an_error(frame, crs, place):
    with pytest.raises(DecodeError, match=r"^f\.geojson .*\$\.crs$") as caught:
        frame(collection(feature({}, place), crs=crs))
    assert caught.value.where == ("$.crs",)


# --- what is no GeoJSON ----------------------------------------------------------------------------------------------


def of_geometry(geometry):
    return collection(feature({}, point()), feature({}, geometry))


@pytest.mark.parametrize(
    ("document", "where"),
    [
        (b"", "$"),
        (b"<html><body>Sign in</body></html>", "$"),
        (b'{"type": "FeatureCollection", "features": [', "$"),
        (b"\xff\xfe{\x00", "$"),
        (b"[" * 100_000, "$"),
        (json.dumps(feature({"x": json.loads("[" * 150 + "]" * 150)})).encode(), "$"),
        (b'{"type": "Feature", "geometry": null, "properties": {"x": NaN}}', "$"),
        (b'{"type": "Point", "coordinates": [1e999, 0]}', "$"),
        (b'{"type": "Feature", "properties": {"x": "\\ud800"}}', "$"),
        ([], "$"),
        ("text", "$"),
        ({}, "$"),
        ({"type": "Topology"}, "$"),
        ({"type": ["Feature"]}, "$"),
        ({"type": "FeatureCollection"}, "$.features"),
        ({"type": "FeatureCollection", "features": {}}, "$.features"),
        (collection(feature(), None), "$.features[1]"),
        (collection(collection()), "$.features[0]"),
        (collection(feature([])), "$.features[0].properties"),
        (feature("x"), "$.properties"),
        (of_geometry([]), "$.features[1].geometry"),
        (of_geometry({"type": None}), "$.features[1].geometry.type"),
        (of_geometry({"type": "Circle", "coordinates": [0, 0]}), "$.features[1].geometry.type"),
        (of_geometry({"type": "Point"}), "$.features[1].geometry.coordinates"),
        (of_geometry({"type": "Point", "coordinates": [1]}), "$.features[1].geometry.coordinates"),
        (of_geometry({"type": "Point", "coordinates": ["1", "2"]}), "$.features[1].geometry.coordinates"),
        (of_geometry({"type": "Point", "coordinates": [True, False]}), "$.features[1].geometry.coordinates"),
        (of_geometry({"type": "Point", "coordinates": [10**400, 0]}), "$.features[1].geometry.coordinates"),
        (of_geometry({"type": "Point", "coordinates": {}}), "$.features[1].geometry.coordinates"),
        (of_geometry({"type": "LineString", "coordinates": [[0, 0]]}), "$.features[1].geometry.coordinates"),
        (of_geometry({"type": "LineString", "coordinates": "abc"}), "$.features[1].geometry.coordinates"),
        (of_geometry({"type": "Polygon", "coordinates": [RING, [[0, 0]]]}), "$.features[1].geometry.coordinates[1]"),
        (of_geometry({"type": "Polygon", "coordinates": RING}), "$.features[1].geometry.coordinates[0]"),
        (of_geometry({"type": "MultiPoint", "coordinates": [[0, 0], [0]]}), "$.features[1].geometry.coordinates[1]"),
        (of_geometry({"type": "GeometryCollection"}), "$.features[1].geometry.geometries"),
        (
            of_geometry({"type": "GeometryCollection", "geometries": [point(), {"type": "Point"}]}),
            "$.features[1].geometry.geometries[1].coordinates",
        ),
        ({"type": "Point", "coordinates": [0]}, "$.coordinates"),
    ],
)
def test_what_cannot_be_read_is_an_error_with_its_file_and_place(frame, document, where):
    with pytest.raises(DecodeError, match=r"^f\.geojson ") as caught:
        frame(document)

    assert caught.value.where == (where,)
    assert where == "$" or where in str(caught.value)


def test_huge_whole_numbers_as_coordinates_are_an_error_or_a_place(frame):
    """Between what an integer of a machine and what a float can hold."""
    found = frame(point(2**70, 0))

    assert found.geometry[0].x == 2.0**70


# --- files -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def shelf(tmp_path):
    """A folder with files of these names, each of one detection."""

    def make(*names):
        for name in names:
            path = tmp_path / "shelf" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(collection(feature({"of": name}, point()))))
        return tmp_path / "shelf"

    return make


def note(folder, **records):
    """A manifest that knows these files: task, item, asset key, and whatever else."""
    facts = {"size": 1, "etag": None, "sha256": "", "modified": None, "verified": True}
    files = {
        f"{name}.geojson": {**facts, "task": task, "item": item, "asset": asset, **others}
        for name, (task, item, asset, others) in records.items()
    }
    (folder / ".iceye-async.json").write_text(json.dumps({"version": 1, "files": files}))


def test_a_folder_is_read_with_the_folders_in_it_but_nothing_hidden(shelf):
    folder = shelf("b.geojson", "t1/a.GEOJSON", ".ipynb_checkpoints/b.geojson", ".hidden.geojson", "c.json", "d.tif")

    assert list(geo.from_files(folder)["of"]) == ["b.geojson", "t1/a.GEOJSON"]
    assert list(geo.from_files([folder, folder / "b.geojson"])["of"]) == ["b.geojson", "t1/a.GEOJSON"]
    assert list(geo.from_files([folder / "t1" / ".." / "t1", folder])["of"]) == ["t1/a.GEOJSON", "b.geojson"]


def test_a_manifest_tells_whose_the_files_beside_it_are(shelf):
    folder = shelf("t1/a.geojson", "t1/new.geojson", "t2/a.geojson")
    note(folder / "t1", a=("t1", "d1", "geojson", {"kind": "DC_VESSELS"}))
    note(folder / "t2", a=("t2", "d2", "geojson", {"from": "a newer version"}))

    found = geo.from_files(folder)

    told = found[["task_id", "derivative_id", "derivative_type"]].astype(object)
    assert told.where(told.notna(), None).values.tolist() == [
        ["t1", "d1", "DC_VESSELS"],
        [None, None, None],
        ["t2", "d2", None],
    ]


def test_among_several_paths_those_of_other_kinds_are_passed_over(shelf):
    folder = shelf("a.geojson", "b.json", "c.tif", "d.xml", ".iceye-async.json.lock", ".e.geojson")

    found = geo.from_files(str(path) for path in sorted(folder.iterdir()))

    assert list(found["of"]) == ["a.geojson", "b.json"]
    assert len(geo.from_files([])) == 0


def test_detections_whose_link_ends_in_json_are_found_in_a_folder_by_the_manifest(shelf):
    folder = shelf("a.json", "b.json", "c.json")
    facts = {"task": "t1", "item": "d1", "size": 1, "etag": None, "sha256": ""}
    files = {"a.json": {**facts, "asset": "geojson-2"}, "b.json": {**facts, "asset": "thumbnail-json"}}
    (folder / ".iceye-async.json").write_text(json.dumps({"version": 1, "files": files}))

    assert list(geo.from_files(folder)["of"]) == ["a.json"]
    assert list(geo.from_files(sorted(folder.iterdir()))["of"]) == ["a.json", "c.json"]


@pytest.mark.parametrize("content", ["{", '{"version": 2}', '{"version": 1, "files": {"a.geojson": {}}}', "[]"])
def test_a_manifest_that_cannot_be_read_is_an_error(shelf, content):
    folder = shelf("a.geojson")
    (folder / ".iceye-async.json").write_text(content)

    with pytest.raises(DownloadError, match=r"\.iceye-async\.json (cannot be read|is of a newer version)"):
        geo.from_files(folder)


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ("no/such/file.geojson", "there is no file or folder no/such/file.geojson"),
        (["no/such/folder"], "there is no file or folder no/such/folder"),
        ("", "not empty"),
        ("a\0.geojson", "NUL"),
        (b"f.geojson", "paths such as"),
        ([b"f.geojson"], "expected paths, not a bytes"),
        (LINK, r"not a link; client\.download"),
        (None, "paths such as"),
        ({"a": 1}, "paths such as"),
        ([Derivative(id="d1", type="X", task_id="t1")], "to_geodataframe"),
        (__file__, r"ends in \.geojson or \.json"),
    ],
)
def test_what_is_no_path_of_detections_is_refused_and_named(given, hint):
    with pytest.raises(UsageError, match=hint) as caught:
        geo.from_files(given)
    assert "s3cr3t" not in str(caught.value)


def test_a_pipe_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "a.geojson")

    with pytest.raises(UsageError, match=r"a\.geojson is no file"):
        geo.from_files(tmp_path)


def test_a_file_that_the_disk_does_not_give_is_an_error_that_names_it(shelf, monkeypatch):
    folder = shelf("a.geojson")

    def refuse(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.read_bytes", refuse)

    with pytest.raises(DownloadError, match=r"a\.geojson cannot be read: Permission denied") as caught:
        geo.from_files(folder / "a.geojson")
    assert caught.value.path == folder / "a.geojson"


def test_a_name_that_is_not_utf_8_and_one_that_looks_like_a_query_stay_paths(shelf):
    names = ["a=1&b=2.geojson", "b\nc.geojson", os.fsdecode(b"c\xff.geojson")]
    folder = shelf("a.geojson").parent / "named"
    folder.mkdir()
    for name in names:
        (folder / name).write_text(json.dumps(collection(feature({"x": 1}))))

    found = geo.from_files(folder)

    assert list(found["file"]) == [str(folder / name) for name in names]


def test_a_frame_can_be_written_and_read_again(shelf, tmp_path):
    found = geo.from_files(shelf("a.geojson", "b.geojson"))

    found.to_file(tmp_path / "out.geojson")

    assert list(geopandas.read_file(tmp_path / "out.geojson")["of"]) == ["a.geojson", "b.geojson"]
