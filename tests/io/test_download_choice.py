"""Which files come home, under which names, and what the folder remembers of them."""

import asyncio
import contextlib
import hashlib
import json
import stat
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest
from aiohttp import web

from iceye_async import (
    Derivative,
    DerivativeAsset,
    DownloadError,
    IntegrityError,
    Product,
    ProductAsset,
    UsageError,
)
from iceye_async.downloads import Finished, Progressed, Started
from iceye_async.sandbox import Sandbox, Scenario

TASK = "/api/tasking/v2/tasks/t1"
MANIFEST = ".iceye-async.json"
TIFF = "image/tiff; application=geotiff"
ASSETS = {
    "grd-tif": (TIFF, ()),
    "grd-xml": ("application/xml", ()),
    "quicklook-png": ("image/png", ()),
    "quicklook-kml": ("application/vnd.google-earth.kml+xml", ()),
    "quickortho-tif": (TIFF, ()),
    "thumbnail-png": ("image/png", ("thumbnail",)),
    "thumbnail-json": ("application/json", ("metadata",)),
    "thumbnail-kml": ("application/vnd.google-earth.kml+xml", ("metadata",)),
}
"""As in the sample of the API page: key, media type, roles."""


def content(text):
    return b"II*\0" + text.encode()


def product(other, keys=tuple(ASSETS), name="p1", task="t1"):
    """A product with these assets; what each link leads to says which it is."""
    assets = {}
    for key in keys:
        media, roles = ASSETS[key]
        other.answers(f"/{name}/{key}", (200, {"ETag": '"e1"'}, content(f"{name}/{key}")))
        href = f"{other.url}/{name}/{key}?Expires=9999999999&Signature=c4n4ry"
        assets[key] = ProductAsset(href=href, type=media, roles=roles)
    return Product(id=name, task_id=task, assets=assets)


def derivative(other, name="d1", *, kinds=("geojson",), task="t1"):
    assets = []
    for kind in kinds:
        other.answers(f"/{name}/vessels.{kind}", (200, {"ETag": '"e1"'}, content(f"{name}/{kind}")))
        assets.append(DerivativeAsset(href=f"{other.url}/{name}/vessels.{kind}?Signature=c4n4ry", type=kind))
    return Derivative(id=name, type="DC_VESSELS", task_id=task, assets=tuple(assets))


def linked(other, path="/f", media="image/tiff", key="grd-tif", name="p1", query=""):
    assets = {key: ProductAsset(href=f"{other.url}{path}{query}", type=media)}
    return Product(id=name, task_id="t1", assets=assets)


def asked(other):
    """The paths that the link host was asked for."""
    return [urlsplit(heard.target).path for heard in other.requests]


def brought(paths):
    """What the files say they are."""
    return {path.read_bytes().removeprefix(b"II*\0").decode() for path in paths}


def manifest(folder):
    return json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]


async def events_of(download):
    return [event async for event in download]


async def all_known(download):
    """Whether every file was there, and none was fetched."""
    return all(isinstance(event, Finished) and event.known for event in await events_of(download))


# --- by key, role or media type ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("assets", "keys"),
    [
        ("grd-tif", ["grd-tif"]),
        (["grd-tif", "grd-xml"], ["grd-tif", "grd-xml"]),
        (("grd-xml",), ["grd-xml"]),
        ({"thumbnail-png"}, ["thumbnail-png"]),
        (iter(["grd-tif"]), ["grd-tif"]),
        ("thumbnail", ["thumbnail-png"]),
        ("metadata", ["thumbnail-json", "thumbnail-kml"]),
        ("image/png", ["quicklook-png", "thumbnail-png"]),
        ("image/tiff", ["grd-tif", "quickortho-tif"]),
        (TIFF, ["grd-tif", "quickortho-tif"]),
        ("IMAGE/PNG", ["quicklook-png", "thumbnail-png"]),
        ("application/json", ["thumbnail-json"]),
        ("application/vnd.google-earth.kml+xml", ["quicklook-kml", "thumbnail-kml"]),
        (["grd-tif", "thumbnail", "application/json"], ["grd-tif", "thumbnail-json", "thumbnail-png"]),
        (["thumbnail-png", "thumbnail", "image/png"], ["quicklook-png", "thumbnail-png"]),
        (None, list(ASSETS)),
    ],
)
async def test_assets_are_chosen_by_key_role_or_media_type(connect, other, tmp_path, assets, keys):
    paths = await connect().download(product(other), tmp_path, assets=assets)

    assert brought(paths) == {f"p1/{key}" for key in keys}
    assert sorted(asked(other)) == sorted(f"/p1/{key}" for key in keys)


async def test_a_word_that_is_a_key_here_and_a_role_there_chooses_both(connect, other, tmp_path):
    for path in ("/a", "/b", "/c"):
        other.answers(path, (200, {}, content(path)))
    assets = {
        "overview": ProductAsset(href=f"{other.url}/a"),
        "qlk": ProductAsset(href=f"{other.url}/b", roles=("overview", "visual")),
        "grd": ProductAsset(href=f"{other.url}/c", roles=("data",)),
    }

    paths = await connect().download(Product(id="p1", task_id="t1", assets=assets), tmp_path, assets="overview")

    assert brought(paths) == {"/a", "/b"}


async def test_the_geojson_of_a_derivative_is_chosen_by_its_type(connect, other, tmp_path):
    thing = derivative(other, kinds=("geojson", "kml"))

    assert brought(await connect().download(thing, tmp_path, assets="geojson")) == {"d1/geojson"}


async def test_products_and_derivatives_are_chosen_from_together(connect, other, tmp_path):
    things = [product(other), derivative(other), product(other, name="p2")]

    paths = await connect().download(things, tmp_path, assets=["thumbnail", "geojson"])

    assert brought(paths) == {"p1/thumbnail-png", "d1/geojson", "p2/thumbnail-png"}


@pytest.mark.parametrize("assets", ["no-such", "image/gif", ["grd-tif", "data"], ["thumbnail", "x/y"], "grd", "tif"])
async def test_what_chooses_nothing_is_refused_at_the_call_and_told_what_there_is(connect, other, tmp_path, assets):
    client = connect()

    with pytest.raises(UsageError, match="grd-tif"):
        client.download(product(other), tmp_path, assets=assets)

    assert not other.requests


def service_has(service, things, derivatives=()):
    """The service lists these for the task."""

    def listed(thing):
        assets = {
            key: {"href": asset.href, "type": asset.type, "roles": list(asset.roles)}
            for key, asset in thing.assets.items()
        }
        return {"id": thing.id, "properties": {}, "assets": assets}

    service.answers(f"{TASK}/products", (200, {}, json.dumps({"data": [*map(listed, things)]}).encode()))
    entries = [
        {
            "id": entry.id,
            "derivativeProductType": entry.type,
            "assets": [{"href": asset.href, "type": asset.type} for asset in entry.assets],
        }
        for entry in derivatives
    ]
    service.answers(f"{TASK}/derivatives", (200 if entries else 404, {}, json.dumps({"data": entries}).encode()))


async def test_a_task_is_chosen_from_as_well(connect, service, other, tmp_path):
    service_has(service, [product(other), product(other, name="p2")], [derivative(other)])

    paths = await connect().download("t1", tmp_path, assets=["thumbnail", "geojson", "application/xml"])

    assert brought(paths) == {
        *(f"{name}/{key}" for name in ("p1", "p2") for key in ("thumbnail-png", "grd-xml")),
        "d1/geojson",
    }


async def test_a_task_from_which_nothing_is_chosen_is_told_what_there_is(connect, service, other, tmp_path):
    service_has(service, [product(other)])

    with pytest.raises(UsageError, match="grd-tif"):
        await connect().download("t1", tmp_path, assets="no-such")

    assert not other.requests


async def test_a_whole_task_brings_all(connect, service, other, tmp_path):
    service_has(service, [product(other), product(other, name="p2")], [derivative(other)])

    paths = await connect().download("t1", tmp_path)

    assert len(paths) == 2 * len(ASSETS) + 1
    assert brought(paths) == {f"{name}/{key}" for name in ("p1", "p2") for key in ASSETS} | {"d1/geojson"}


async def test_paths_come_in_the_order_in_which_things_were_asked_for(connect, other, tmp_path):
    """Also where the first takes longest."""
    others_are_there = asyncio.Event()

    async def slow(request):
        await others_are_there.wait()
        return web.Response(body=content("p1/grd-tif"))

    things = [product(other, ["grd-tif"]), derivative(other), product(other, ["grd-xml"], "p2")]
    other.answers("/p1/grd-tif", slow)
    download = connect().download(things, tmp_path)
    async for event in download:
        if isinstance(event, Finished) and len(download.latest) == 2:
            others_are_there.set()

    paths = await download

    assert [path.read_bytes() for path in paths] == [content(x) for x in ("p1/grd-tif", "d1/geojson", "p2/grd-xml")]


@pytest.mark.parametrize("clients", [1, 3])
async def test_more_downloads_at_once_than_there_are_connections_all_come_home(connect, other, tmp_path, clients):
    """Those that find no place wait for one; none of them ends with less than it was asked for."""
    several = [connect() for _ in range(clients)]
    things = [product(other, ["grd-tif", "grd-xml"], f"p{number}") for number in range(30)]

    results = await asyncio.gather(
        *(several[number % clients].download(thing, tmp_path) for number, thing in enumerate(things))
    )

    assert [brought(paths) for paths in results] == [{f"p{n}/grd-tif", f"p{n}/grd-xml"} for n in range(30)]


async def test_a_download_for_which_there_is_no_connection_waits_until_another_has_ended(connect, other, tmp_path):
    client, go_on, begun = connect(), asyncio.Event(), asyncio.Semaphore(0)

    async def slow(request):
        begun.release()
        await go_on.wait()
        return web.Response(body=content("slow"))

    for number in range(8):
        other.answers(f"/{number}", slow)
    busy = [asyncio.create_task(client.download(linked(other, f"/{n}", name=f"b{n}"), tmp_path)) for n in range(8)]
    for _ in busy:
        await begun.acquire()
    late = asyncio.create_task(client.download(product(other, ["grd-tif"]), tmp_path))
    await asyncio.sleep(0)
    go_on.set()

    assert brought(await late) == {"p1/grd-tif"}
    assert [len(paths) for paths in await asyncio.gather(*busy)] == [1] * 8


# --- previews that several products share ----------------------------------------------------------------------------


def sharing(other, names=("p1", "p2", "p3"), key="quicklook-png", path="/shared/preview"):
    """Products with a file of their own, and one that they share, by a link of their own."""
    other.answers(path, (200, {"ETag": '"e9"'}, content("shared")))
    things = []
    for number, name in enumerate(names):
        own = product(other, ["grd-tif"], name)
        query = f"Expires=999999999{number}&Signature=c4n4ry{number}&Key-Pair-Id=K{number}"
        shared = ProductAsset(href=f"{other.url}{path}?{query}", type="image/png")
        things.append(Product(id=name, task_id="t1", assets={**own.assets, key: shared}))
    return things


async def test_a_preview_that_several_products_share_is_fetched_once(connect, other, tmp_path):
    things = sharing(other)

    paths = await connect().download(things, tmp_path)

    assert asked(other).count("/shared/preview") == 1
    assert brought(paths) == {"p1/grd-tif", "p2/grd-tif", "p3/grd-tif", "shared"}
    assert len(set(paths)) == len(paths)
    assert all(path.is_file() and not path.is_symlink() for path in paths)


async def test_a_shared_preview_is_known_afterwards(connect, other, tmp_path):
    things = sharing(other)
    paths = await connect().download(things, tmp_path)
    other.requests.clear()

    again = connect().download(things, tmp_path)

    assert await again == paths
    assert all(event.known for event in again.latest)
    assert asked(other) == []


async def test_a_shared_preview_of_a_task_is_fetched_once(connect, service, other, tmp_path):
    service_has(service, sharing(other))

    await connect().download("t1", tmp_path)

    assert asked(other).count("/shared/preview") == 1


@pytest.mark.parametrize("query", ["?file={}&Signature=c4n4ry", "?{}", "?Signature=c4n4ry&id={}"])
async def test_a_query_that_is_no_signature_tells_files_apart(connect, other, tmp_path, query):
    async def by_query(request):
        return web.Response(body=content(request.query_string.partition("&Sig")[0].removeprefix("Signature=c4n4ry&")))

    other.answers("/get", by_query)
    things = [linked(other, "/get", "image/png", "quicklook-png", f"p{n}", query.format(n)) for n in range(3)]

    paths = await connect().download(things, tmp_path)

    assert len(paths) == 3
    assert len(brought(paths)) == 3


async def test_files_of_the_same_path_but_another_key_are_told_apart(connect, other, tmp_path):
    """In the documented sample every link has the same path."""
    number = iter(range(10))

    async def each_another(request):
        return web.Response(body=content(str(next(number))))

    other.answers("/XXXX/XXXX", each_another)
    assets = {key: ProductAsset(href=f"{other.url}/XXXX/XXXX", type=ASSETS[key][0]) for key in ("grd-tif", "grd-xml")}

    paths = await connect().download(Product(id="p1", task_id="t1", assets=assets), tmp_path)

    assert brought(paths) == {"0", "1"}


async def test_previews_of_different_paths_or_hosts_are_different_files(connect, other, serve, tmp_path):
    third = await serve()
    third.answers("/shared/preview", (200, {}, content("third")))
    things = [
        *sharing(other, ["p1"]),
        *sharing(other, ["p2"], path="/shared/other"),
        linked(third, "/shared/preview", "image/png", "quicklook-png", "p3"),
    ]

    paths = await connect().download(things, tmp_path, assets="quicklook-png")

    assert [path.read_bytes() for path in paths] == [content("shared"), content("shared"), content("third")]
    assert sorted(asked(other)) == ["/shared/other", "/shared/preview"]


@pytest.mark.parametrize("names", [False, True])
async def test_of_a_whole_task_of_the_sandbox_each_preview_is_fetched_once(tmp_path, names):
    """Two products that share their previews, and a derivative; whether the link host tells names or not."""
    at_once = dict.fromkeys(["DC_VESSELS"], 0.0)
    scenario = Scenario(decided=0, imaged=0, fulfilled=0, done=0, derivatives=at_once, names=names)
    now = datetime.now(UTC)
    async with Sandbox(scenario) as sandbox, sandbox.client() as client:
        task = await client.tasks.create(
            contract_id=sandbox.contract_id,
            imaging_mode="SPOTLIGHT",
            point_of_interest=(60.2, 24.9),
            acquisition_window=(now - timedelta(hours=1), now + timedelta(hours=24)),
            product_types=["GRD", "GRD-COG"],
            derivative_product_types=["DC_VESSELS"],
        )
        paths = await client.download(task.id, tmp_path)
        fetched = [request.path for request in sandbox.link_requests]
        known = await all_known(client.download(task.id, tmp_path))
        again = len(sandbox.link_requests)

    assert len(fetched) == len(set(fetched)) < len(set(paths)) == len(paths)
    assert known
    assert again == len(fetched)
    assert any(path.name.partition("_")[2].startswith("ICEYE_") for path in paths) is names


# --- names -----------------------------------------------------------------------------------------------------------

TOLD = "ICEYE_75CMBF_20240612T174339Z_4119892_X11_SLF_GRD.tif"


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        (f'attachment; filename="{TOLD}"', TOLD),
        (f"attachment; filename={TOLD}", TOLD),
        (f'ATTACHMENT; FILENAME="{TOLD}"', TOLD),
        (f'inline; filename="{TOLD}"', TOLD),
        (f'attachment;filename="{TOLD}"', TOLD),
        (f'attachment; size=1; filename = "{TOLD}"', TOLD),
        (f"attachment; filename*=UTF-8''{TOLD}", TOLD),
        (f"attachment; filename*=utf-8'en'{TOLD}", TOLD),
        (f"attachment; filename=\"other.tif\"; filename*=UTF-8''{TOLD}", TOLD),
        (f"attachment; filename*=UTF-8''{TOLD}; filename=\"other.tif\"", TOLD),
    ],
)
async def test_the_host_tells_the_name_and_the_id_is_in_it(connect, other, tmp_path, disposition, name):
    other.answers("/f", (200, {"ETag": '"e1"', "Content-Disposition": disposition}, content("x")))

    (path,) = await connect().download(linked(other), tmp_path)

    assert path.name.startswith("p1")
    assert path.name.endswith(name)
    assert path.read_bytes() == content("x")


@pytest.mark.parametrize("disposition", [None, "attachment", "inline", 'attachment; filename=""', "nonsense"])
async def test_without_a_name_from_the_host_it_is_item_id_and_asset_key(connect, other, tmp_path, disposition):
    headers = {} if disposition is None else {"Content-Disposition": disposition}
    other.answers("/f", (200, headers, content("x")))

    (path,) = await connect().download(linked(other), tmp_path)

    assert path.name == "p1_grd-tif.tif"


async def test_a_detection_file_keeps_its_readable_name(connect, other, tmp_path):
    (path,) = await connect().download(derivative(other), tmp_path)

    assert path.name == "d1_vessels.geojson"


@pytest.fixture
def named(other):
    """A file whose name the host tells."""
    headers = {"ETag": '"e1"', "Content-Disposition": f'attachment; filename="{TOLD}"'}
    other.answers("/f", (200, headers, content("x")))
    return linked(other)


async def test_a_file_whose_name_the_host_told_is_known_without_asking_it(connect, other, named, tmp_path):
    paths = await connect().download(named, tmp_path)
    other.requests.clear()

    again = connect().download(named, tmp_path)

    assert await again == paths
    assert again.latest[0].known
    assert other.requests == []


async def test_the_events_of_a_file_whose_name_the_host_told_have_its_final_path(connect, named, tmp_path):
    events = await events_of(connect().download(named, tmp_path))

    assert isinstance(events[-1], Finished)
    assert {event.path for event in events if isinstance(event, Started | Progressed)} == {events[-1].path}


async def test_a_strangers_file_of_the_told_name_is_neither_trusted_nor_replaced(connect, named, tmp_path):
    (path,) = await connect().download(named, tmp_path / "elsewhere")
    taken = tmp_path / path.name
    taken.write_text("mine")

    with pytest.raises(DownloadError, match="overwrite=True") as caught:
        await connect().download(named, tmp_path)

    assert caught.value.path == taken
    assert taken.read_text() == "mine"
    assert [path for path in tmp_path.iterdir() if path.name.endswith((".part", ".part.json"))] == []
    assert await connect().download(named, tmp_path, overwrite=True) == (taken,)
    assert taken.read_bytes() == content("x")


async def test_a_told_name_that_changes_gives_one_file_and_not_two(connect, other, named, tmp_path):
    paths = await connect().download(named, tmp_path)
    paths[0].write_bytes(b"")
    other.answers("/f", (200, {"Content-Disposition": "attachment; filename=new.tif"}, content("x")))

    paths = await connect().download(named, tmp_path)

    assert [path.read_bytes() for path in paths] == [content("x")]
    assert await all_known(connect().download(named, tmp_path))


async def test_a_file_whose_name_the_host_told_is_resumed_under_it(connect, other, tmp_path):
    body = content("x") + hashlib.shake_256(b"named").digest(4_000_000)
    starts = []
    headers = {"ETag": '"e1"', "Accept-Ranges": "bytes", "Content-Disposition": f'attachment; filename="{TOLD}"'}

    async def file(request):
        wanted = range(len(body))[request.http_range]
        starts.append(wanted.start)
        ranged = {"Content-Range": f"bytes {wanted[0]}-{wanted[-1]}/{len(body)}"} if "Range" in request.headers else {}
        length = {"Content-Length": str(len(wanted))}
        response = web.StreamResponse(status=206 if ranged else 200, headers=headers | ranged | length)
        await response.prepare(request)
        if len(starts) == 1:
            await response.write(body[:2_000_000])
            await asyncio.Event().wait()
        await response.write(body[wanted.start : wanted.stop])
        return response

    other.answers("/f", file)
    client = connect()
    async for event in client.download(linked(other), tmp_path):
        if isinstance(event, Progressed):
            break
    await client.close()

    (path,) = await connect().download(linked(other), tmp_path)

    assert path.name.endswith(TOLD)
    assert path.read_bytes() == body
    assert starts[1] > 0
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(MANIFEST)] == [path.name]


# --- what the folder remembers ---------------------------------------------------------------------------------------


async def test_the_manifest_says_of_each_name_what_it_is(connect, other, tmp_path):
    paths = await connect().download([product(other), derivative(other)], tmp_path)

    files = manifest(tmp_path)
    assert set(files) == {path.name for path in paths}
    for path in paths:
        record, body = files[path.name], path.read_bytes()
        facts = {"task": "t1", "size": len(body), "etag": '"e1"', "sha256": hashlib.sha256(body).hexdigest()}
        assert facts.items() <= record.items()
        assert f"{record['item']}/{record['asset']}" in brought([path])


async def test_nothing_in_the_folder_holds_a_link(connect, other, tmp_path):
    await connect().download([product(other), derivative(other)], tmp_path)

    for path in tmp_path.iterdir():
        text = path.read_text()
        assert not [word for word in ("c4n4ry", "Signature", "http", other.url) if word in text]


DAMAGED = {
    "empty": b"",
    "half": b'{"version": 1, "files": {"a": {',
    "a list": b"[]",
    "null": b"null",
    "a number": b"7",
    "no files": b'{"version": 1}',
    "files that are a list": b'{"version": 1, "files": []}',
    "a record that is text": b'{"version": 1, "files": {"a": "b"}}',
    "a record without facts": b'{"version": 1, "files": {"a": {}}}',
    "a record of other types": json.dumps(
        {
            "version": 1,
            "files": {"a": {key: [] for key in ("task", "item", "asset", "size", "etag", "sha256", "modified")}},
        }
    ).encode(),
    "newer": b'{"version": 999, "files": {}}',
    "a version that is text": b'{"version": "x", "files": {}}',
    "no text": b"\xff\xfe\x00",
    "zeros": bytes(1000),
    "deep": b"[" * 100_000,
    "a long number": b'{"version": 1, "files": {"a": {"size": ' + b"9" * 5000 + b"}}}",
}


@pytest.mark.parametrize("text", DAMAGED.values(), ids=DAMAGED)
async def test_with_a_manifest_that_cannot_be_read_nothing_is_trusted_replaced_or_lost(connect, other, tmp_path, text):
    client, thing = connect(), derivative(other)
    (path,) = await client.download(thing, tmp_path)
    path.write_bytes(b"mine")
    (tmp_path / MANIFEST).write_bytes(text)

    with pytest.raises(DownloadError) as caught:
        await client.download(thing, tmp_path)

    assert caught.value.path is not None
    assert caught.value.path.parent == tmp_path
    assert path.read_bytes() == b"mine"
    assert (tmp_path / MANIFEST).read_bytes() == text


@pytest.mark.parametrize("text", DAMAGED.values(), ids=DAMAGED)
async def test_a_manifest_that_cannot_be_read_is_not_written_over_by_a_new_file(connect, other, tmp_path, text):
    (tmp_path / MANIFEST).write_bytes(text)

    with pytest.raises(DownloadError, match="move it away"):
        await connect().download(derivative(other), tmp_path)

    assert (tmp_path / MANIFEST).read_bytes() == text
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == []


async def test_records_of_other_files_stay(connect, other, tmp_path):
    await connect().download(product(other), tmp_path)
    before = manifest(tmp_path)

    await connect().download(derivative(other), tmp_path)

    assert before.items() <= manifest(tmp_path).items()
    assert len(manifest(tmp_path)) == len(before) + 1


async def test_records_of_files_that_are_gone_are_no_proof(connect, other, tmp_path):
    (path,) = await connect().download(derivative(other), tmp_path)
    path.unlink()
    other.requests.clear()

    assert await connect().download(derivative(other), tmp_path) == (path,)
    assert len(other.requests) == 1


async def test_a_file_that_was_copied_with_its_folder_is_known_there(connect, other, tmp_path):
    """With other times, as a plain copy has them."""
    (path,) = await connect().download(derivative(other), tmp_path / "a")
    (tmp_path / "b").mkdir()
    for name in (path.name, MANIFEST):
        (tmp_path / "b" / name).write_bytes((tmp_path / "a" / name).read_bytes())

    assert await all_known(connect().download(derivative(other), tmp_path / "b"))


async def test_a_record_without_its_time_is_checked_by_the_bytes(connect, other, tmp_path):
    """As the first version of the manifest had them."""
    (path,) = await connect().download(derivative(other), tmp_path)
    document = json.loads((tmp_path / MANIFEST).read_text())
    document["files"][path.name].pop("modified", None)
    (tmp_path / MANIFEST).write_text(json.dumps(document))

    assert await all_known(connect().download(derivative(other), tmp_path))


async def test_a_name_in_the_manifest_that_leads_out_of_the_folder_is_not_followed(connect, other, tmp_path):
    folder = tmp_path / "to"
    (path,) = await connect().download(derivative(other), folder)
    (tmp_path / "outside").write_bytes(path.read_bytes())
    document = json.loads((folder / MANIFEST).read_text())
    document["files"]["../outside"] = document["files"].pop(path.name)
    (folder / MANIFEST).write_text(json.dumps(document))
    path.unlink()

    paths = []
    with contextlib.suppress(DownloadError):
        paths += await connect().download(derivative(other), folder)

    assert [path for path in paths if path.resolve().parent != folder.resolve()] == []


async def test_a_finished_file_can_be_read_by_whom_the_user_lets(connect, other, tmp_path):
    """Its mode is what any new file of the user has, not that of a secret or of a part."""
    (path,) = await connect().download(derivative(other), tmp_path)
    (tmp_path / "mine").touch()

    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE((tmp_path / "mine").stat().st_mode)


async def test_a_record_is_there_as_soon_as_its_file_is_finished(connect, other, tmp_path):
    download = connect().download([product(other, ["grd-tif"]), product(other, ["grd-xml"], "p2")], tmp_path)

    async for event in download:
        if isinstance(event, Finished):
            assert manifest(tmp_path)[event.path.name]["sha256"] == event.sha256


async def test_the_report_has_size_and_digest_of_every_file(connect, other, tmp_path):
    download = connect().download(product(other), tmp_path)
    paths = await download

    assert [event.path for event in download.latest] == list(paths)
    for event in download.latest:
        body = event.path.read_bytes()
        assert (event.size, event.sha256, event.known) == (len(body), hashlib.sha256(body).hexdigest(), False)


async def test_an_error_page_is_not_remembered(connect, other, tmp_path):
    thing = product(other, ["grd-tif"])
    other.answers("/p1/grd-tif", (200, {"Content-Type": "text/html"}, b"<html>Sorry</html>"))
    with pytest.raises(IntegrityError):
        await connect().download(thing, tmp_path)

    assert not (tmp_path / MANIFEST).exists() or manifest(tmp_path) == {}
