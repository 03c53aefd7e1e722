"""The sandbox, held against the documented bodies and statuses. It is asked over plain HTTP, not through the client."""

import ast
import io
import json
import zlib
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest
import rasterio
from rio_cogeo import cogeo

import iceye_async.sandbox
from iceye_async.sandbox import Scenario
from tests.desk import BOTH, TASKS, open_desk

TASK_FIELDS = {  # of the documented cancel answer, and what a create may send
    "id": str,
    "contractID": str,
    "pointOfInterest": dict,
    "acquisitionWindow": dict,
    "imagingMode": str,
    "status": str,
    "createdAt": str,
    "updatedAt": str,
}
OPTIONAL_TASK_FIELDS = {"reference": str, "productTypes": list, "derivativeProductTypes": list}
AT_ONCE = Scenario(
    decided=0, imaged=0, fulfilled=0, done=0, derivatives=dict.fromkeys(["DC_VESSELS", "DC_AIRCRAFT"], 0.0)
)
STAGED = Scenario(
    decided=10, imaged=10, fulfilled=100, done=200, derivatives={"DC_VESSELS": 100.0, "DC_AIRCRAFT": 200.0}, echo=True
)


async def fetch(desk, link, **headers):
    """The status, the media type and the body."""
    got = await desk.fetch(link, **headers)
    return got.status, got.headers["Content-Type"], got.body


@pytest.fixture
async def desk():
    """Everything is there as soon as a task is created."""
    async with open_desk(AT_ONCE, BOTH) as desk:
        yield desk


@pytest.fixture
async def staged():
    """A task goes through its statuses as the clock is moved."""
    async with open_desk(STAGED, BOTH) as desk:
        yield desk


# --- bodies ------------------------------------------------------------------------------------------------------


def kind(value):
    """The JSON type; a whole number is a number."""
    return float if type(value) is int else type(value)


def differences(given, documented, path="$"):
    """Where a body has a key or a JSON type that the documented one has not."""
    if kind(given) is not kind(documented):
        yield f"{path}: {kind(given).__name__}, documented is {kind(documented).__name__}"
    elif type(given) is dict:
        for key, value in given.items():
            if key in documented:
                yield from differences(value, documented[key], f"{path}.{key}")
            else:
                yield f"{path}.{key}: not documented"
    elif type(given) is list and documented:
        for index, value in enumerate(given):
            # Entries of a list are alike: each may have what any of the documented ones has.
            alike = [list(differences(value, other, f"{path}[{index}]")) for other in documented]
            yield from min(alike, key=len)


async def test_derivatives_look_as_documented(staged, sample):
    _, task = await staged.create()
    path = f"{TASKS}/{task['id']}/derivatives"
    staged.clock.time = 210
    some = await staged.get(path)
    staged.clock.time = 310
    whole = await staged.get(path)

    assert (some[0], whole[0]) == (206, 200)
    # The page's sample for 206 has no imageReference, not even of a derivative with assets; its sample for 200 has.
    documented = json.loads(sample("derivatives-200"))
    documented["data"] += json.loads(sample("derivatives-206"))["data"]
    assert list(differences(some[1], documented)) == []
    assert list(differences(whole[1], documented)) == []
    assert sorted(len(found["assets"]) for found in some[1]["data"]) == [0, 1]


@pytest.mark.parametrize(
    ("tail", "name"), [("", "products-200"), ("/GRD", "products-by-type-200"), ("/GRD-COG", "products-by-type-200")]
)
async def test_products_look_as_documented(desk, sample, tail, name):
    # Roles and coordinates of assets are shown by the page for one type only.
    documented = json.loads(sample(name))
    shown = json.loads(sample("products-by-type-200"))["data"][0]["assets"]
    documented["data"][0]["assets"] = {
        key: shown[key] | asset for key, asset in documented["data"][0]["assets"].items()
    }
    _, task = await desk.create()

    status, body = await desk.get(f"{TASKS}/{task['id']}/products{tail}")

    assert status == 200
    assert body["data"]
    assert list(differences(body, documented)) == []


@pytest.mark.parametrize("how", ["created", "asked for"])
async def test_a_task_looks_as_documented(staged, how):
    _, task = await staged.create()
    if how == "asked for":
        _, task = await staged.get(f"{TASKS}/{task['id']}")

    assert set(TASK_FIELDS) <= set(task) <= set(TASK_FIELDS | OPTIONAL_TASK_FIELDS)
    for key, value in task.items():
        assert type(value) is (TASK_FIELDS | OPTIONAL_TASK_FIELDS)[key]
    assert set(task["pointOfInterest"]) == {"lat", "lon"}
    assert set(task["acquisitionWindow"]) == {"start", "end"}
    for moment in (task["createdAt"], task["updatedAt"], *task["acquisitionWindow"].values()):
        assert datetime.fromisoformat(moment).tzinfo is not None


async def test_by_default_a_task_does_not_echo_its_derivative_types(desk):
    _, task = await desk.create()

    assert "derivativeProductTypes" not in task


async def test_a_token_answer_is_as_documented(desk):
    auth = {"Authorization": aiohttp.encode_basic_auth(desk.sandbox.client_id, desk.sandbox.client_secret)}
    form = {"grant_type": "client_credentials"}
    async with desk.http.post(desk.sandbox.token_url, headers=auth, data=form) as answer:
        body = await answer.json()

    assert set(body) == {"token_type", "expires_in", "access_token", "scope"}
    assert (body["token_type"], body["expires_in"]) == ("Bearer", 3600)


# --- statuses ----------------------------------------------------------------------------------------------------


async def test_derivatives_go_from_404_over_206_to_200(staged):
    _, task = await staged.create()
    path = f"{TASKS}/{task['id']}/derivatives"
    statuses = []
    for staged.clock.time in (0, 50, 115, 205, 215, 305, 315, 3000):
        statuses.append((await staged.get(path))[0])

    assert statuses == [404, 404, 404, 404, 206, 206, 200, 200]


async def test_a_task_goes_through_the_documented_statuses(staged):
    _, task = await staged.create(productTypes=["GRD", "SICD"])
    seen, products = [], []
    for staged.clock.time in (0, 15, 115, 215):
        seen.append((await staged.get(f"{TASKS}/{task['id']}"))[1]["status"])
        products.append((await staged.get(f"{TASKS}/{task['id']}/products"))[0])

    assert seen == ["RECEIVED", "ACTIVE", "FULFILLED", "DONE"]
    assert products == [404, 404, 200, 200]


async def test_a_task_for_sla_products_alone_is_done_at_once(staged):
    """The page "Get a task": ACTIVE goes to DONE where nothing beyond the SLA products was ordered."""
    _, task = await staged.create(productTypes=["GRD", "QLK"])
    seen = []
    for staged.clock.time in (15, 109, 111, 215):
        seen.append((await staged.get(f"{TASKS}/{task['id']}"))[1]["status"])

    assert seen == ["ACTIVE", "ACTIVE", "DONE", "DONE"]


@pytest.mark.parametrize("tail", ["", "/products", "/products/GRD", "/derivatives"])
async def test_an_unknown_task_is_404(desk, tail):
    status, body = await desk.get(f"{TASKS}/3fa85f64-5717-4562-b3fc-2c963f66afa6{tail}")

    assert status == 404
    assert body["code"]


async def test_a_task_without_derivatives_stays_at_404(desk):
    _, task = await desk.create(derivativeProductTypes=None)
    desk.clock.time = 3000

    status, _ = await desk.get(f"{TASKS}/{task['id']}/derivatives")

    assert status == 404


@pytest.mark.parametrize("mode", ["STRIPMAP", "SCAN", "SPOTLIGHT_FINE_2L", "SPOTLIGHT_EXTENDED_AREA"])
async def test_derivatives_of_a_mode_that_has_none_are_refused(desk, mode):
    status, body = await desk.create(imagingMode=mode)

    assert status == 400
    assert body["code"] == "INCOMPATIBLE_IMAGING_MODE_FOR_DERIVATIVES"


@pytest.mark.parametrize("mode", ["STRIPMAP", "SCAN"])
async def test_such_a_mode_without_derivatives_is_fine(desk, mode):
    status, _ = await desk.create(imagingMode=mode, derivativeProductTypes=None)

    assert status == 201


@pytest.mark.parametrize("types", [None, [], ["SLC"], ["GRD-COG"]], ids=str)
async def test_derivatives_need_grd_among_the_product_types(desk, types):
    status, body = await desk.create(productTypes=types)

    assert status == 400
    assert "GRD" in body.get("details", "") + body.get("message", "")


@pytest.mark.parametrize("key", ["contractID", "imagingMode", "pointOfInterest", "acquisitionWindow"])
async def test_a_create_without_a_required_field_is_400(desk, key):
    status, _ = await desk.create(**{key: None})

    assert status == 400


async def test_the_error_body_is_the_one_that_the_request_accepts(desk):
    path = f"{TASKS}/nowhere"
    async with desk.http.get(
        f"{desk.sandbox.base_url}{path}", headers=desk.headers | {"Accept": "application/json"}
    ) as answer:
        plain, plain_type = await answer.json(), answer.content_type
    accept = {"Accept": "application/json, application/problem+json"}
    async with desk.http.get(f"{desk.sandbox.base_url}{path}", headers=desk.headers | accept) as answer:
        problem, problem_type = await answer.json(content_type=None), answer.content_type

    assert plain_type == "application/json"
    assert set(plain) == {"code", "message"}
    assert problem_type == "application/problem+json"
    assert {"title", "code", "details"} <= set(problem) <= {"title", "code", "details", "reference"}


async def test_without_a_good_token_everything_is_401(desk):
    _, task = await desk.create()
    for headers in ({"Authorization": ""}, {"Authorization": "Bearer nobody"}, {"Authorization": "Basic x"}):
        status, _ = await desk.get(f"{TASKS}/{task['id']}", headers)
        assert status == 401


async def test_a_token_lives_an_hour(desk):
    _, task = await desk.create()
    desk.clock.time = 3599
    assert (await desk.get(f"{TASKS}/{task['id']}"))[0] == 200

    desk.clock.time = 3601
    assert (await desk.get(f"{TASKS}/{task['id']}"))[0] == 401


async def test_a_wrong_client_secret_is_refused(desk):
    auth = {"Authorization": aiohttp.encode_basic_auth(desk.sandbox.client_id, "wrong")}
    async with desk.http.post(
        desk.sandbox.token_url, headers=auth, data={"grant_type": "client_credentials"}
    ) as answer:
        assert answer.status in {400, 401}
        assert (await answer.json())["error"] == "invalid_client"


# --- signed links ------------------------------------------------------------------------------------------------


def is_xml_error(body):
    return body.startswith(b"<?xml") and b"<Error>" in body


async def test_links_are_on_an_origin_of_their_own(desk):
    links = await desk.links()

    assert {urlsplit(link).netloc for link in links.values()} == {urlsplit(desk.sandbox.link_url).netloc}
    assert desk.sandbox.link_url != desk.sandbox.base_url


async def test_a_link_is_good_without_any_authorization(desk):
    for link in (await desk.links()).values():
        status, _, body = await fetch(desk, link)
        assert status == 200
        assert body


@pytest.mark.parametrize("header", ["Authorization", "Cookie"])
async def test_the_link_host_refuses_a_second_way_to_sign_in(desk, header):
    link = (await desk.links())["grd-tif"]

    status, _, body = await fetch(desk, link, **{header: "a=b"})

    assert status == 400
    assert is_xml_error(body)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda link: link.replace("Signature=", "Signature=x"),
        lambda link: link.partition("&Signature")[0],
        lambda link: link.replace("Expires=", "Expires=9"),
        lambda link: link.partition("?")[0],
        lambda link: link.replace("/grd-tif?", "/grd-xml?"),
    ],
    ids=["signature", "no signature", "later", "no query", "another file"],
)
async def test_a_link_that_was_changed_is_403(desk, spoil):
    link = (await desk.links())["grd-tif"]

    status, kind, body = await fetch(desk, spoil(link))

    assert status == 403
    assert "xml" in kind
    assert is_xml_error(body)


async def test_a_link_lives_an_hour(desk):
    link = (await desk.links())["grd-tif"]
    desk.clock.time = 3590
    assert (await fetch(desk, link))[0] == 200

    desk.clock.time = 3610
    status, _, body = await fetch(desk, link)

    assert status == 403
    assert is_xml_error(body)


async def test_a_new_look_gives_a_new_link(desk):
    _, task = await desk.create()
    path = f"{TASKS}/{task['id']}/derivatives"
    _, before = await desk.get(path)
    desk.clock.time = 4000
    await desk.sign_in()
    _, after = await desk.get(path)

    link = after["data"][0]["assets"][0]["href"]
    assert link != before["data"][0]["assets"][0]["href"]
    assert (await fetch(desk, link))[0] == 200


# --- files -------------------------------------------------------------------------------------------------------


async def test_the_image_is_a_georeferenced_cloud_optimised_geotiff(desk, tmp_path):
    _, media, body = await fetch(desk, (await desk.links())["grd-tif"])
    (tmp_path / "grd.tif").write_bytes(body)

    assert media == "image/tiff"
    with rasterio.open(tmp_path / "grd.tif") as image:
        assert image.crs.to_epsg() == 4326
        assert image.bounds.left < 24.9 < image.bounds.right
        assert image.bounds.bottom < 60.2 < image.bounds.top
        assert image.overviews(1)
        assert image.read(1).std() > 0
    valid, errors, warnings = cogeo.cog_validate(tmp_path / "grd.tif", strict=True)
    assert valid, (errors, warnings)


@pytest.mark.parametrize("key", ["quicklook-png", "thumbnail-png"])
async def test_the_previews_are_png(desk, key):
    _, media, body = await fetch(desk, (await desk.links())[key])

    assert media == "image/png"
    assert body.startswith(b"\x89PNG\r\n\x1a\n")
    stream, pixels = io.BytesIO(body[8:]), b""
    while header := stream.read(8):
        data = stream.read(int.from_bytes(header[:4], "big"))
        assert zlib.crc32(header[4:] + data) == int.from_bytes(stream.read(4), "big")
        if header[4:] == b"IHDR":
            width, height = (int.from_bytes(data[at : at + 4], "big") for at in (0, 4))
        if header[4:] == b"IDAT":
            pixels += data
    assert header == b""
    assert len(zlib.decompress(pixels)) == height * (width + 1)


async def test_detections_are_geojson_in_the_picture_and_say_that_they_are_made_up(desk):
    links = await desk.links()
    for name in ("DC_VESSELS", "DC_AIRCRAFT"):
        _, media, body = await fetch(desk, links[name])
        collection = json.loads(body)

        assert media == "application/geo+json"
        assert collection["type"] == "FeatureCollection"
        assert collection["features"]
        for feature in collection["features"]:
            lon, lat = feature["geometry"]["coordinates"]
            assert (feature["type"], feature["geometry"]["type"]) == ("Feature", "Point")
            assert 24.8 < lon < 25.0
            assert 60.1 < lat < 60.3
            assert feature["properties"]["illustrative"] is True


async def test_the_same_link_gives_the_same_bytes(desk):
    links = await desk.links()

    for link in links.values():
        assert await fetch(desk, link) == await fetch(desk, link)


# --- these tests themselves -------------------------------------------------------------------------------------------


def test_the_comparison_finds_what_is_not_documented():
    documented = {"a": [{"b": 1, "c": "x"}], "d": None}

    assert list(differences({"a": [{"b": 2.5}, {}]}, documented)) == []
    assert len(list(differences({"a": [{"b": "2"}], "d": "", "e": 1}, documented))) == 3


# --- independence ------------------------------------------------------------------------------------------------


def imports(node):
    """The modules that are imported when this code is: not inside a function, not for type checking."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        if isinstance(child, ast.ImportFrom):
            yield "." * child.level + (child.module or "")
        elif isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        else:
            yield from imports(child)


SOURCES = sorted(Path(iceye_async.sandbox.__file__).parent.rglob("*.py"))


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_the_sandbox_imports_nothing_of_the_client(source):
    found = list(imports(ast.parse(source.read_text(encoding="utf-8"))))

    assert found
    assert not [name for name in found if name.startswith(("..", "iceye_async"))]
