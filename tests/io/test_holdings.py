"""The manifest of a folder: what kind of thing each file is, and what other versions of it hold."""

import json

import pytest

from iceye_async import Derivative, DerivativeAsset, DownloadError, Product, ProductAsset
from iceye_async.holdings import Holdings

LINK = "https://l.example/f.tif?Expires=9&Signature=s3cr3t"


@pytest.fixture
def things(other):
    """A derivative and a product, with files on the scripted link host."""
    other.answers("/d.geojson", (200, {}, b"{}"))
    other.answers("/p", (200, {}, b"II*\0"))
    return (
        Derivative(
            id="d1",
            type="DC_VESSELS",
            task_id="t1",
            assets=(DerivativeAsset(href=f"{other.url}/d.geojson", type="geojson"),),
        ),
        Product(
            id="p1",
            task_id="t1",
            product_type="GRD",
            assets={"a": ProductAsset(href=f"{other.url}/p", type="image/tiff")},
        ),
    )


def manifest(folder):
    return json.loads((folder / ".iceye-async.json").read_text())


async def test_a_manifest_tells_the_type_of_what_each_file_is_of(connect, things, tmp_path):
    await connect().download(things, tmp_path)

    kinds = {name: facts["kind"] for name, facts in manifest(tmp_path)["files"].items()}
    assert kinds == {"d1_d.geojson": "DC_VESSELS", "p1_a.tif": "GRD"}


async def test_a_type_that_is_a_link_is_noted_without_what_signs_it(connect, other, tmp_path):
    other.answers("/d.geojson", (200, {}, b"{}"))
    asset = DerivativeAsset(href=f"{other.url}/d.geojson", type="geojson")

    await connect().download(Derivative(id="d1", type=LINK, task_id="t1", assets=(asset,)), tmp_path)

    assert "s3cr3t" not in (tmp_path / ".iceye-async.json").read_text()


async def test_a_manifest_from_before_types_were_noted_is_good(connect, things, other, tmp_path):
    await connect().download(things, tmp_path)
    document = manifest(tmp_path)
    for facts in document["files"].values():
        del facts["kind"]
    (tmp_path / ".iceye-async.json").write_text(json.dumps(document))

    await connect().download(things, tmp_path)

    assert len(other.requests) == 2
    assert {record.kind for record in Holdings(tmp_path).records().values()} == {None}


async def test_what_a_newer_version_notes_beside_is_passed_over(connect, things, other, tmp_path):
    await connect().download(things, tmp_path)
    document = manifest(tmp_path)
    for facts in document["files"].values():
        facts["colour"] = "blue"
    (tmp_path / ".iceye-async.json").write_text(json.dumps(document))

    await connect().download(things, tmp_path)

    assert len(other.requests) == 2
    assert [record.kind for record in Holdings(tmp_path).records().values()] == ["DC_VESSELS", "GRD"]


@pytest.mark.parametrize("facts", [{}, {"task": 1}, {"kind": 7}, []])
def test_a_record_that_is_none_is_an_error_and_not_passed_over(tmp_path, facts):
    good = {"task": "t1", "item": "d1", "asset": "geojson", "size": 1, "etag": None, "sha256": ""}
    files = {"a.geojson": {**good, **facts} if facts else facts}
    (tmp_path / ".iceye-async.json").write_text(json.dumps({"version": 1, "files": files}))

    with pytest.raises(DownloadError, match="move it away"):
        Holdings(tmp_path).records()


def test_a_folder_without_a_manifest_holds_nothing(tmp_path):
    assert Holdings(tmp_path).records() == {}
    assert Holdings(tmp_path / "none").records() == {}


def test_what_is_written_meanwhile_is_seen(tmp_path):
    holdings = Holdings(tmp_path)
    assert holdings.records() == {}
    good = {"task": "t1", "item": "d1", "asset": "geojson", "size": 1, "etag": None, "sha256": ""}
    for count in (1, 2):
        files = {f"{n}.geojson": good for n in range(count)}
        (tmp_path / ".iceye-async.json").write_text(json.dumps({"version": 1, "files": files}))
        assert len(holdings.records()) == count
