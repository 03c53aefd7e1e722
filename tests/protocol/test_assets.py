"""Which file of a product is which, whatever its key is."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iceye_async import Product, ProductAsset, ProductType
from iceye_async.protocol import wire

SAMPLES = ["products-200", "products-by-type-200"]
KINDS = ["data_asset", "quicklook", "thumbnail", "metadata"]
EXAMPLES = settings(max_examples=100, deadline=None)

GEOTIFF = "application/x-geotiff"
COG = "image/tiff; application=geotiff; profile=cloud-optimized"
GEOJSON = "application/geo+json"
KML = "application/vnd.google-earth.kml+xml"


def asset(name, **facts):
    """A file whose link tells which it is."""
    return ProductAsset(href=f"https://l.example/{name}", **facts)


def product(assets, product_type=None):
    return Product(id="p1", task_id="t1", product_type=product_type, assets=assets)


def names(found):
    """The data file, quicklook, thumbnail and metadata of a product, by the end of their links."""
    picked = [getattr(found, kind) for kind in KINDS]
    return [None if one is None else one.href.rpartition("/")[2] for one in picked]


def catalogue(kind, *more):
    """The files of one scene of the open catalogue, as a product of one kind would have them."""
    return {
        f"{kind}-cog": asset(f"{kind}-cog", type=GEOTIFF, roles=("data",)),
        f"{kind}-json": asset(f"{kind}-json", type=GEOJSON, roles=("metadata",)),
        **dict(more),
        "qlk-cog": asset("qlk-cog", type=COG, roles=("overview", "visual")),
        "qlk-json": asset("qlk-json", type=GEOJSON, roles=("metadata",)),
        "qlk-kml": asset("qlk-kml", type=KML, roles=("overview",)),
        "thumbnail": asset("thumbnail", type="image/png", roles=("thumbnail",)),
    }


QLK = {key: one for key, one in catalogue("slc").items() if not key.startswith("slc")}
MP4 = ("vid-mp4", asset("vid-mp4", type="video/mp4"))


def bare(assets, *facts):
    """The same files without these facts."""
    nothing = {"title": None, "type": None, "roles": ()}
    return {
        key: ProductAsset(
            href=one.href, **{name: nothing[name] if name in facts else getattr(one, name) for name in nothing}
        )
        for key, one in assets.items()
    }


def documented(sample, name):
    """The documented product; each link ends with the key that its file has in the documentation."""
    document = json.loads(sample(name))
    for key, one in document["data"][0]["assets"].items():
        one["href"] = f"https://l.example/{key}"
    (found,) = wire.products(json.dumps(document).encode(), "t1").items
    return found


def orders(assets):
    """The same files in other orders: each first, forwards and backwards."""
    pairs = list(assets.items())
    for start in range(len(pairs)):
        turned = pairs[start:] + pairs[:start]
        yield dict(turned)
        yield dict(reversed(turned))


EXPECTED = ["grd-tif", "quicklook-png", "thumbnail-png", "grd-xml"]


# --- the documented bodies -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SAMPLES)
def test_the_files_of_the_documented_products(sample, name):
    (found,) = wire.products(sample(name), "t1").items

    assert [getattr(found, kind) for kind in KINDS] == [found.assets[key] for key in EXPECTED]
    assert names(documented(sample, name)) == EXPECTED


@pytest.mark.parametrize("name", SAMPLES)
def test_the_order_of_the_files_does_not_matter(sample, name):
    found = documented(sample, name)
    for assets in orders(found.assets):
        assert names(product(assets, found.product_type)) == EXPECTED


@pytest.mark.parametrize("name", SAMPLES)
def test_the_documented_files_are_found_under_keys_that_say_nothing(sample, name):
    found = documented(sample, name)
    assets = {f"file-{number}": one for number, one in enumerate(found.assets.values())}

    assert names(product(assets, found.product_type)) == EXPECTED


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("steps", range(1, 9))
def test_the_documented_files_are_found_under_each_others_keys(sample, name, steps):
    found = documented(sample, name)
    keys = list(found.assets)
    assets = dict(zip(keys[steps:] + keys[:steps], found.assets.values(), strict=True))

    assert names(product(assets, found.product_type)) == EXPECTED


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("facts", [("title",), ("type",), ("roles",), ("title", "type", "roles")], ids=str)
def test_the_documented_files_are_found_with_less_said_about_them(sample, name, facts):
    found = documented(sample, name)

    assert names(product(bare(found.assets, *facts), found.product_type)) == EXPECTED


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("product_type", [None, "XYZ", ProductType.GRD_COG])
def test_the_documented_files_are_found_whatever_the_product_calls_itself(sample, name, product_type):
    assert names(product(documented(sample, name).assets, product_type)) == EXPECTED


@pytest.mark.parametrize("name", SAMPLES)
def test_previews_alone_are_not_taken_for_the_data(sample, name):
    """Whoever asks for the data would work on a picture of it."""
    found = documented(sample, name)
    assets = {key: one for key, one in found.assets.items() if key != "grd-tif"}

    assert product(assets, found.product_type).data_asset is None


# --- the open catalogue's files --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["grd", "slc", "csi", "vid"])
def test_the_files_of_the_open_catalogue(kind):
    found = product(catalogue(kind), f"{kind.upper()}-COG")

    assert names(found) == [f"{kind}-cog", "qlk-cog", "thumbnail", f"{kind}-json"]


@pytest.mark.parametrize("facts", [("roles",), ("type",), ("roles", "type")], ids=str)
@pytest.mark.parametrize("kind", ["grd", "slc", "csi", "vid"])
def test_the_files_of_the_open_catalogue_with_less_said_about_them(kind, facts):
    found = product(bare(catalogue(kind), *facts), f"{kind.upper()}-COG")

    assert names(found) == [f"{kind}-cog", "qlk-cog", "thumbnail", f"{kind}-json"]


def test_the_order_of_the_open_catalogue_does_not_matter():
    for assets in orders(catalogue("slc")):
        assert names(product(assets, ProductType.SLC_COG)) == ["slc-cog", "qlk-cog", "thumbnail", "slc-json"]


@pytest.mark.parametrize("facts", [(), ("roles",), ("type",), ("roles", "type")], ids=str)
@pytest.mark.parametrize("product_type", ["VID", "VID-COG"])
def test_the_data_of_a_video_are_its_frames_and_not_the_film(product_type, facts):
    for assets in (catalogue("vid", MP4), dict([MP4, *catalogue("vid").items()])):
        assert names(product(bare(assets, *facts), product_type))[0] == "vid-cog"


@pytest.mark.parametrize("facts", [(), ("roles",), ("type",), ("roles", "type")], ids=str)
def test_the_data_of_a_quicklook_are_the_quicklook(facts):
    found = product(bare(QLK, *facts), ProductType.QLK)

    assert names(found) == ["qlk-cog", "qlk-cog", "thumbnail", "qlk-json"]


@pytest.mark.parametrize("kind", ["sicd", "sidd"])
def test_the_files_of_a_nitf_product(kind):
    assets = {
        f"{kind}-xml": asset(f"{kind}-xml", type="application/xml"),
        kind: asset(kind, type="application/x-nitf"),
        "thumbnail": asset("thumbnail", type="image/png", roles=("thumbnail",)),
    }

    assert names(product(assets, kind.upper())) == [kind, None, "thumbnail", f"{kind}-xml"]


# --- roles, then title, then media type, and the key last ------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "role", "kind"),
    [
        *[(key, "data", "data_asset") for key in ("quicklook-png", "thumbnail-png", "grd-xml", "x")],
        *[(key, "thumbnail", "thumbnail") for key in ("grd-tif", "quicklook-png", "grd-xml", "x")],
        *[(key, "metadata", "metadata") for key in ("grd-tif", "data", "x")],
    ],
)
def test_a_role_beats_the_key(key, role, kind):
    found = product({key: asset("it", roles=(role,))})

    assert [name for name in KINDS if getattr(found, name) is not None] == [kind]


@pytest.mark.parametrize(
    ("title", "role", "kind"),
    [
        *[(title, "data", "data_asset") for title in ("GRD metadata file", "Quicklook png file", "Thumbnail png file")],
        *[(title, "thumbnail", "thumbnail") for title in ("GRD data file", "GRD metadata file", "Quicklook png file")],
        *[(title, "metadata", "metadata") for title in ("GRD data file", "Something else")],
    ],
)
def test_a_role_beats_the_title(title, role, kind):
    found = product({"x": asset("it", roles=(role,), title=title)})

    assert [name for name in KINDS if getattr(found, name) is not None] == [kind]


@pytest.mark.parametrize(
    ("title", "media", "kind"),
    [
        ("GRD data file", "image/tiff; application=geotiff", "data_asset"),
        ("Quicklook png file", "image/png", "quicklook"),
        ("Thumbnail png file", "image/png", "thumbnail"),
        ("GRD metadata file", "application/xml", "metadata"),
    ],
)
@pytest.mark.parametrize("key", ["grd-tif", "quicklook-png", "thumbnail-png", "grd-xml", "x"])
def test_a_title_beats_the_key(key, title, media, kind):
    found = product({key: asset("it", title=title, type=media)}, "GRD")

    assert [name for name in KINDS if getattr(found, name) is not None] == [kind]


@pytest.mark.parametrize("key", ["thumbnail-png", "quicklook-png", "data", "x"])
def test_xml_is_never_a_picture_or_the_data_whatever_its_key(key):
    found = product({key: asset("it", type="application/xml")})

    assert names(found)[:3] == [None, None, None]


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("grd-tif", "data_asset"),
        ("slc-cog", "data_asset"),
        ("quicklook-png", "quicklook"),
        ("thumbnail-png", "thumbnail"),
        ("thumbnail", "thumbnail"),
        ("grd-xml", "metadata"),
        ("slc-json", "metadata"),
    ],
)
def test_where_nothing_else_is_said_the_key_tells(key, kind):
    found = product({key: asset("it")})

    assert [name for name in KINDS if getattr(found, name) is not None] == [kind]


@pytest.mark.parametrize("key", ["quicklook-kml", "qlk-kml", "thumbnail-kml"])
def test_a_kml_beside_a_picture_is_not_the_picture(key):
    kind = "thumbnail" if key.startswith("thumb") else "quicklook"

    assert getattr(product({key: asset("it", type=KML)}), kind) is None


def test_legacy_data_in_a_format_that_nobody_documented_are_known_by_their_title():
    assets = {
        "slc-xml": asset("xml", title="SLC metadata file", type="application/xml"),
        "slc-h5": asset("h5", title="SLC data file", type="application/x-hdf5"),
        "quicklook-png": asset("png", title="Quicklook png file", type="image/png"),
    }

    assert names(product(assets, "SLC")) == ["h5", "png", None, "xml"]


# --- whatever comes --------------------------------------------------------------------------------------------


def test_a_product_without_files_has_none_of_them():
    assert names(product({})) == [None] * 4


def test_files_of_which_nothing_is_known_are_none_of_them():
    assets = {"a": asset("a"), "b": asset("b", type="application/x-unheard-of"), "c": asset("c", title="Whatever")}

    assert names(product(assets)) == [None] * 4


words = st.sampled_from(
    [
        "",
        " ",
        "grd",
        "GRD data file",
        "data",
        "metadata",
        "overview",
        "thumbnail",
        "Quicklook png file",
        "image/png",
        "image/tiff; application=geotiff",
        "image/",
        "/",
        ";",
        "application/xml",
        "video/mp4",
        "grd-tif",
        "vid-mp4",
        "qlk-cog",
        "thumbnail-json",
        "-",
        "\u0000",
        "İ",
    ]
) | st.text(max_size=8)
files = st.builds(
    ProductAsset,
    href=words,
    title=st.none() | words,
    type=st.none() | words,
    roles=st.lists(words, max_size=3).map(tuple),
)


@EXAMPLES
@given(st.dictionaries(words, files, max_size=6), st.none() | words | st.sampled_from(ProductType))
def test_whatever_the_files_are_each_is_one_of_them_or_none(assets, product_type):
    found = product(assets, product_type)

    for kind in KINDS:
        picked = getattr(found, kind)
        assert picked is None or any(picked is one for one in assets.values())
