"""JSON to models: the documented bodies, everything that is new and passes, everything that is wrong and is refused."""

import copy
import json
import pickle
import random
import sys
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from types import MappingProxyType

import pytest
from attrs import evolve
from hypothesis import example, given, settings
from hypothesis import strategies as st

from iceye_async.errors import DecodeError
from iceye_async.models import (
    Allowance,
    Contract,
    Derivative,
    DerivativeSet,
    DerivativeType,
    DerivativeUpdate,
    ImagingMode,
    Interval,
    Position,
    Price,
    Product,
    ProductType,
    Scene,
    Task,
    TaskStatus,
)
from iceye_async.protocol import wire

DERIVATIVES = ["derivatives-200", "derivatives-206"]
PRODUCTS = ["products-200", "products-by-type-200"]
LINK = "https://d1.cloudfront.net/x.tif?Expires=1&Signature=s3cret"
DATA = Path(__file__).parents[1] / "data"
EXAMPLES = settings(max_examples=150, deadline=None)


def derivative(**changes):
    return {"id": "d1", "derivativeProductType": "DC_VESSELS", "assets": [{"href": LINK}], **changes}


def product(**changes):
    return {"id": "p1", "assets": {"grd-tif": {"href": LINK}}, "properties": {}, **changes}


def order(**changes):
    """A task as the documented cancel answer has it: eight fields."""
    return {
        "id": "t1",
        "contractID": "c1",
        "status": "ACTIVE",
        "imagingMode": "SPOTLIGHT",
        "pointOfInterest": {"lat": 60.19, "lon": 24.83},
        "acquisitionWindow": {"start": "2026-03-01T00:00:00Z", "end": "2026-03-02T00:00:00Z"},
        "createdAt": "2026-02-28T12:00:00Z",
        "updatedAt": "2026-02-28T12:00:01Z",
        **changes,
    }


def encoded(document):
    return json.dumps(document, ensure_ascii=False).encode()


def derivatives(*items, **rest):
    return wire.derivatives(encoded({"data": list(items), **rest}), "t1")


def products(*items, **rest):
    return wire.products(encoded({"data": list(items), **rest}), "t1")


def a_task(body):
    return wire.one(body, Task)


def task(**changes):
    return a_task(encoded(order(**changes)))


def only(page):
    assert page.flaws == ()
    (item,) = page.items
    return item


def places(page):
    return [flaw.path for flaw in page.flaws]


def without(document, key):
    return {name: value for name, value in document.items() if name != key}


def where(read, *arguments):
    with pytest.raises(DecodeError) as caught:
        read(*arguments)
    return caught.value.where


# --- the documented bodies -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*DERIVATIVES, *PRODUCTS])
def test_every_model_keeps_the_json_it_came_from(sample, name):
    page = (wire.derivatives if name in DERIVATIVES else wire.products)(sample(name), "t1")

    assert page.flaws == ()
    assert page.cursor is None
    assert [item.document for item in page.items] == json.loads(sample(name))["data"]
    assert {item.task_id for item in page.items} == {"t1"}


def test_the_documented_derivatives(sample):
    aircraft, vessels = wire.derivatives(sample("derivatives-200"), "t1").items

    assert aircraft.type is DerivativeType.AIRCRAFT
    assert vessels.id == "7fb95g75-6828-5673-c4gd-3d074g77bgb7"
    assert vessels.image_reference == "c2ac555e-27ac-4c6a-bf87-717fa81539e3"
    assert vessels.image_id is None
    assert [asset.type for asset in vessels.assets] == ["geojson"]
    assert vessels.assets[0].href.endswith("vessel-detections.geojson?Expires=1234567890&Signature=...")


def test_the_documented_derivatives_that_are_still_being_made(sample):
    aircraft, vessels = wire.derivatives(sample("derivatives-206"), "t1").items

    assert (aircraft.assets, aircraft.image_reference) == ((), None)
    assert len(vessels.assets) == 1


def test_the_documented_products(sample):
    found = only(wire.products(sample("products-200"), "t1"))

    assert found.id == "a91ccf1b-bbf1-4775-ba1d-2003cada8d32"
    assert found.product_type is ProductType.GRD
    assert (found.mode, found.frame_id, found.look_side) == ("stripmap", "4407788_1", "left")
    assert (found.orbit_state, found.polarizations) == ("descending", ("VV",))
    assert found.created == datetime(2024, 12, 13, 13, 17, 53, 487000, UTC)
    assert found.acquired == (
        datetime(2024, 12, 13, 12, 58, 22, 109265, UTC),
        datetime(2024, 12, 13, 12, 58, 32, 85288, UTC),
    )
    assert found.bbox == (-54.741608, -17.12643, -54.339348, -16.480421)
    assert found.geometry["type"] == "Polygon"
    assert (found.incidence_near, found.incidence_center, found.incidence_far) == (32.04998, 33.347347, 34.61296)
    assert (found.azimuth_resolution, found.range_resolution_near) == (3.0, 2.56)
    assert (found.range_resolution_center, found.range_resolution_far) == (2.47, 2.39)
    assert isinstance(found.azimuth_resolution, float)
    assert len(found.assets) == 9
    assert found.assets["grd-tif"].title == "GRD data file"
    assert found.assets["grd-tif"].type == "image/tiff; application=geotiff"
    assert found.assets["grd-tif"].roles == ()


def test_the_documented_products_of_one_type_have_roles_and_corners(sample):
    assets = only(wire.products(sample("products-by-type-200"), "t1")).assets

    assert assets["thumbnail-json"].roles == ("metadata",)
    assert assets["thumbnail-png"].roles == ("thumbnail",)
    assert assets["thumbnail-png"].coordinates["top_right"] == [24.98545, 60.21952]
    assert assets["thumbnail-kml"].coordinates is None


def test_the_documented_task():
    found = task()

    assert (found.id, found.contract_id) == ("t1", "c1")
    assert found.status is TaskStatus.ACTIVE
    assert found.imaging_mode is ImagingMode.SPOTLIGHT
    assert found.point_of_interest == Position(lat=60.19, lon=24.83)
    assert found.acquisition_window == Interval(datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC))
    assert found.created_at == datetime(2026, 2, 28, 12, tzinfo=UTC)
    assert found.updated_at == datetime(2026, 2, 28, 12, 0, 1, tzinfo=UTC)
    assert found.document == order()
    assert (found.product_types, found.derivative_product_types, found.reference, found.sla) == (None,) * 4


def test_the_optional_fields_of_a_task():
    more = {
        "fulfilledAt": "2026-03-01T10:00:00Z",
        "reference": "r1",
        "productTypes": ["GRD", "NEW"],
        "derivativeProductTypes": ["DC_VESSELS"],
        "exclusivity": "PUBLIC",
        "priority": "COMMERCIAL",
        "sla": "SLA_8H",
        "eula": "STANDARD",
        "lookSide": "LEFT",
        "passDirection": "ASCENDING",
        "imagingDuration": 10,
        "productsAvailableInSeconds": 28800,
    }
    found = task(**more)

    assert found.fulfilled_at == datetime(2026, 3, 1, 10, tzinfo=UTC)
    assert found.product_types == (ProductType.GRD, "NEW")
    assert found.product_types[0] is ProductType.GRD
    assert found.derivative_product_types == (DerivativeType.VESSELS,)
    assert (found.reference, found.exclusivity, found.priority) == ("r1", "PUBLIC", "COMMERCIAL")
    assert (found.sla, found.eula, found.look_side, found.pass_direction) == ("SLA_8H", "STANDARD", "LEFT", "ASCENDING")
    assert (found.imaging_duration, found.products_available_in_seconds) == (10, 28800)


# --- the models that come out ----------------------------------------------------------------------------------


def all_models(sample):
    return [
        *wire.derivatives(sample("derivatives-200"), "t1").items,
        *wire.products(sample("products-by-type-200"), "t1").items,
        task(),
    ]


def test_models_survive_pickle_and_copy_with_links_and_document(sample):
    for model in all_models(sample):
        for twin in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):  # noqa: S301 - our own bytes
            assert twin == model
            assert twin.document == model.document
    (derivative_twin,) = pickle.loads(pickle.dumps(derivatives(derivative()).items))  # noqa: S301 - our own bytes
    assert derivative_twin.assets[0].href == LINK


def test_models_are_frozen_and_hashable(sample):
    for model in all_models(sample):
        assert hash(model) == hash(copy.deepcopy(model))
        with pytest.raises(AttributeError):
            model.id = "another"


def test_the_document_is_no_part_of_equality():
    assert derivatives(derivative(extra=1)).items == derivatives(derivative(extra=2)).items


def test_a_repr_shows_no_signature_and_no_document():
    for shown in (repr(derivatives(derivative(secret="hush"))), repr(products(product(secret="hush")))):
        assert "https://d1.cloudfront.net/x.tif?..." in shown
        assert "s3cret" not in shown
        assert "Expires" not in shown
        assert "hush" not in shown


def laced(thing):
    """With a signed link in each text, of keys too."""
    match thing:
        case str():
            return f"{thing} {LINK}"
        case dict():
            return {laced(key): laced(part) for key, part in thing.items()}
        case list():
            return [laced(part) for part in thing]
        case _:
            return thing


def test_no_text_of_a_model_shows_a_signature():
    asset = {"href": LINK, "title": LINK, "type": LINK, "roles": [LINK, "data"], "coordinates": laced({"a": ["b", 1]})}
    footprint = laced({"type": "Point", "coordinates": [1, {"deep": ("x",)}]})
    told = {"sar:instrument_mode": LINK, "frame_id": LINK, "sar:polarizations": [LINK]}
    models = [
        only(products({"id": LINK, "assets": {LINK: asset}, "geometry": footprint, "properties": told})),
        only(derivatives(derivative(id=LINK, derivativeProductType=LINK, assets=[{"href": LINK, "type": LINK}]))),
        task(reference=LINK, status=LINK, productTypes=[LINK], notifications=laced({"webhook": {"id": "w"}})),
        DerivativeUpdate(
            derivatives=DerivativeSet((), final=False),
            fresh=(),
            ready=frozenset({LINK}),
            missing=frozenset({LINK}),
            complete=False,
        ),
    ]

    for model in models:
        assert "s3cret" not in repr(model)
        assert "https://d1.cloudfront.net/x.tif?..." in repr(model)


@pytest.mark.parametrize("text", ["Signature=s3cret", "https://you:s3cret@d1.cloudfront.net/x"])
def test_neither_a_part_of_a_link_nor_one_without_a_query_is_shown(text):
    assert "s3cret" not in repr(task(reference=text))
    assert "s3cret" not in repr(evolve(task(), notifications=MappingProxyType({"a": text})))


def test_a_repr_of_what_is_nested_deeply_is_no_error():
    nested = "a=b"
    for _ in range(900):
        nested = [nested]

    assert "<nested too deeply>" in repr(evolve(task(), notifications={"a": nested}))


def test_a_repr_is_otherwise_that_of_the_values():
    shown = repr(task(productTypes=["GRD"], notifications={"a": [1, None, "x=1"]}, reference="it's a=b"))

    for part in (
        "product_types=(<ProductType.GRD: 'GRD'>,)",
        "notifications={'a': [1, None, 'x=1']}",
        'reference="it\'s a=b"',
        "created_at=datetime.datetime(2026, 2, 28, 12, 0, tzinfo=datetime.timezone.utc)",
        "point_of_interest=Position(lat=60.19, lon=24.83)",
    ):
        assert part in shown


def test_the_footprint_of_a_product_is_a_feature_without_links(sample):
    found = only(wire.products(sample("products-200"), "t1"))
    feature = found.__geo_interface__

    assert (feature["type"], feature["id"]) == ("Feature", found.id)
    assert feature["geometry"] == found.geometry
    assert feature["bbox"] == found.bbox
    assert feature["properties"]["frame_id"] == "4407788_1"
    assert "cloudfront" not in str(feature)


# --- what is new flows through ---------------------------------------------------------------------------------


def test_unknown_types_modes_and_status_stay_strings():
    assert only(derivatives(derivative(derivativeProductType="DC_SUBMARINES"))).type == "DC_SUBMARINES"
    assert only(products(product(properties={"sar:product_type": "XYZ"}))).product_type == "XYZ"
    found = task(status="PAUSED", imagingMode="TENANT_MODE")
    assert (found.status, found.imaging_mode) == ("PAUSED", "TENANT_MODE")
    assert type(found.status) is str


def test_the_grd_cog_type_has_its_hyphen():
    assert only(products(product(properties={"sar:product_type": "GRD-COG"}))).product_type is ProductType.GRD_COG


def test_unknown_keys_are_kept_in_the_document():
    item = derivative(confidence=0.9, assets=[{"href": LINK, "size": 3}])
    assert only(derivatives(item, links=[])).document == item
    item = product(properties={"x:y": {"z": 1}}, assets={"new-key": {"href": LINK, "file:size": 1}}, links=[])
    assert only(products(item)).document == item
    assert task(nested={"a": [None]}).document["nested"] == {"a": [None]}


@pytest.mark.parametrize("key", ["type", "task_id", "document", "image_id", "image_reference"])
def test_unknown_keys_that_look_like_attributes_of_a_derivative_change_nothing(key):
    found = only(derivatives(derivative(**{key: {"not": "ours"}})))

    assert found == only(derivatives(derivative()))
    assert found.document[key] == {"not": "ours"}


@pytest.mark.parametrize(
    "key", ["task_id", "document", "acquired", "mode", "product_type", "id", "assets", "bbox", "geometry", "look_side"]
)
def test_unknown_properties_that_look_like_attributes_of_a_product_change_nothing(key):
    found = only(products(product(properties={key: "not ours"})))

    assert found == only(products(product()))
    assert found.document["properties"] == {key: "not ours"}


@pytest.mark.parametrize("key", ["task_id", "document", "contract_id", "imaging_mode", "product_types", "created_at"])
def test_unknown_keys_that_look_like_attributes_of_a_task_change_nothing(key):
    assert task(**{key: 5}) == task()


def test_ids_are_any_string():
    for name in ("", "not a uuid", "ÅÄÖ", "../..", "a\u0000b"):
        assert only(derivatives(derivative(id=name))).id == name


def test_geometry_and_box_are_not_judged():
    shapes = [
        {},
        {"type": "Polygon", "coordinates": []},
        {"type": "Polygon", "coordinates": [[[179, 1, 5], [-179, 2, 5]]]},
        {"type": "GeometryCollection", "geometries": [None]},
    ]
    for shape in shapes:
        assert only(products(product(geometry=shape))).geometry == shape
    for box in ([], [170, -90, -170, 90], [1, 2, 3, 4, 5, 6], [4, 3, 2, 1]):
        assert only(products(product(bbox=box))).bbox == tuple(box)


def test_a_cursor_is_kept_and_an_empty_one_means_the_end():
    assert products(cursor="next page").cursor == "next page"
    assert [products(cursor=end).cursor for end in ("", None)] == [None, None]
    assert products().cursor is None


def test_any_link_can_be_read():
    """Whether it may be fetched is asked when it is fetched."""
    for href in ("", "relative", "file:///etc/passwd", "data:,x", "http://127.0.0.1/", "x" * 65_536):
        assert only(derivatives(derivative(assets=[{"href": href}]))).assets[0].href == href


# --- null and absent mean the same -----------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["imageReference", "imageId", "assets"])
def test_null_is_absent_in_a_derivative(key):
    item = derivative(**{key: None})

    assert only(derivatives(item)) == only(derivatives(without(item, key)))
    assert only(derivatives(item)).document == item


@pytest.mark.parametrize(
    "key",
    [
        "created",
        "frame_id",
        "start_datetime",
        "end_datetime",
        "iceye:acquisition_mode",
        "iceye:incidence_near",
        "sar:product_type",
        "sar:polarizations",
        "sar:observation_direction",
        "sat:orbit_state",
    ],
)
def test_null_is_absent_in_the_properties_of_a_product(sample, key):
    (item,) = json.loads(sample("products-200"))["data"]
    rest = without(item["properties"], key)

    nulled, absent = (only(products({**item, "properties": properties})) for properties in ({**rest, key: None}, rest))

    assert nulled == absent
    assert nulled != only(products(item))


def test_null_is_absent_beside_the_properties_and_in_assets():
    assert only(products(product(bbox=None, geometry=None))) == only(products(product()))
    nulls = {"href": LINK, "title": None, "type": None, "roles": None, "coordinates": None}
    assert only(products(product(assets={"grd-tif": nulls}))) == only(products(product()))
    assert only(derivatives(derivative(assets=[{"href": LINK, "type": None}]))) == only(derivatives(derivative()))


@pytest.mark.parametrize(
    "key", ["fulfilledAt", "reference", "productTypes", "derivativeProductTypes", "imagingDuration", "sla"]
)
def test_null_is_absent_in_a_task(key):
    assert task(**{key: None}) == task()


def test_a_time_span_needs_both_ends():
    for key in ("start_datetime", "end_datetime"):
        assert only(products(product(properties={key: "2026-01-01T00:00:00Z"}))).acquired is None


# --- what is wrong, and where ----------------------------------------------------------------------------------

NO_STRING = [5, 1.5, True, False, [], {}, ["x"]]


@pytest.mark.parametrize(
    ("change", "place"),
    [
        *[({"id": wrong}, ".id") for wrong in [*NO_STRING, None]],
        *[({"derivativeProductType": wrong}, ".derivativeProductType") for wrong in [*NO_STRING, None]],
        *[({"imageReference": wrong}, ".imageReference") for wrong in NO_STRING],
        ({"imageId": 5}, ".imageId"),
        *[({"assets": wrong}, ".assets") for wrong in ("x", {}, 5, True)],
        *[({"assets": [wrong]}, ".assets[0]") for wrong in (None, "x", [], 5)],
        ({"assets": [{}]}, ".assets[0].href"),
        *[({"assets": [{"href": LINK}, {"href": wrong}]}, ".assets[1].href") for wrong in [*NO_STRING, None]],
        ({"assets": [{"href": LINK, "type": 5}]}, ".assets[0].type"),
    ],
)
def test_a_derivative_that_is_not_as_documented(change, place):
    page = derivatives(derivative(), derivative(**change))

    assert places(page) == [f"$.data[1]{place}"]
    assert page.items == derivatives(derivative()).items


@pytest.mark.parametrize(
    ("change", "place"),
    [
        *[({"id": wrong}, ".id") for wrong in [*NO_STRING, None]],
        *[({"assets": wrong}, ".assets") for wrong in (None, "x", [], 5, True)],
        ({"assets": {"grd-tif": None}}, ".assets.grd-tif"),
        ({"assets": {"grd-tif": []}}, ".assets.grd-tif"),
        ({"assets": {"ok": {"href": LINK}, "grd-tif": {}}}, ".assets.grd-tif.href"),
        ({"assets": {"grd-tif": {"href": 5}}}, ".assets.grd-tif.href"),
        ({"assets": {"grd-tif": {"href": LINK, "title": 5}}}, ".assets.grd-tif.title"),
        ({"assets": {"grd-tif": {"href": LINK, "roles": "x"}}}, ".assets.grd-tif.roles"),
        ({"assets": {"grd-tif": {"href": LINK, "roles": ["x", None]}}}, ".assets.grd-tif.roles[1]"),
        ({"assets": {"grd-tif": {"href": LINK, "coordinates": []}}}, ".assets.grd-tif.coordinates"),
        ({"bbox": "x"}, ".bbox"),
        ({"bbox": [1, 2, "3", 4]}, ".bbox[2]"),
        ({"bbox": [1, True]}, ".bbox[1]"),
        ({"bbox": [None]}, ".bbox[0]"),
        ({"geometry": []}, ".geometry"),
        *[({"properties": wrong}, ".properties") for wrong in ([], "x", 5, True)],
        ({"properties": {"frame_id": 5}}, ".properties.frame_id"),
        ({"properties": {"created": "yesterday"}}, ".properties.created"),
        ({"properties": {"created": 5}}, ".properties.created"),
        ({"properties": {"sar:product_type": 5}}, ".properties.sar:product_type"),
        ({"properties": {"sar:polarizations": "VV"}}, ".properties.sar:polarizations"),
        ({"properties": {"sar:polarizations": ["VV", 5]}}, ".properties.sar:polarizations[1]"),
        ({"properties": {"iceye:incidence_near": "5"}}, ".properties.iceye:incidence_near"),
        ({"properties": {"iceye:incidence_near": True}}, ".properties.iceye:incidence_near"),
    ],
)
def test_a_product_that_is_not_as_documented(change, place):
    page = products(product(**change), product())

    assert places(page) == [f"$.data[0]{place}"]
    assert page.items == products(product()).items


@pytest.mark.parametrize("wrong", ["start_datetime", "end_datetime"])
def test_a_bad_time_of_a_product_is_placed_where_it_stands_in_the_body(wrong):
    times = {"start_datetime": "2026-01-01T00:00:00Z", "end_datetime": "2026-01-01T00:00:00Z", wrong: "noon"}

    assert places(products(product(properties=times))) == [f"$.data[0].properties.{wrong}"]


@pytest.mark.parametrize("key", ["id", "assets", "properties"])
def test_what_a_product_must_have(key):
    assert places(products(without(product(), key))) == [f"$.data[0].{key}"]


@pytest.mark.parametrize("key", ["id", "derivativeProductType"])
def test_what_a_derivative_must_have(key):
    assert places(derivatives(without(derivative(), key))) == [f"$.data[0].{key}"]


@pytest.mark.parametrize("key", sorted(order()))
def test_what_a_task_must_have(key):
    assert where(a_task, encoded(without(order(), key))) == (f"$.{key}",)
    assert where(a_task, encoded(order(**{key: None}))) == (f"$.{key}",)


@pytest.mark.parametrize(
    ("change", "place"),
    [
        *[({"id": wrong}, "$.id") for wrong in NO_STRING],
        ({"status": 5}, "$.status"),
        ({"pointOfInterest": [60, 24]}, "$.pointOfInterest"),
        ({"pointOfInterest": {"lat": 60}}, "$.pointOfInterest.lon"),
        ({"pointOfInterest": {"lat": "60", "lon": 24}}, "$.pointOfInterest.lat"),
        ({"acquisitionWindow": "x"}, "$.acquisitionWindow"),
        ({"acquisitionWindow": {"start": "2026-03-01T00:00:00Z"}}, "$.acquisitionWindow.end"),
        ({"acquisitionWindow": {"start": 5, "end": "2026-03-01T00:00:00Z"}}, "$.acquisitionWindow.start"),
        ({"createdAt": "2026-03-01"}, "$.createdAt"),
        ({"productTypes": "GRD"}, "$.productTypes"),
        ({"productTypes": ["GRD", 5]}, "$.productTypes[1]"),
        ({"derivativeProductTypes": [None]}, "$.derivativeProductTypes[0]"),
        ({"imagingDuration": "10"}, "$.imagingDuration"),
        ({"imagingDuration": True}, "$.imagingDuration"),
        ({"imagingDuration": 10.5}, "$.imagingDuration"),
    ],
)
def test_a_task_that_is_not_as_documented(change, place):
    assert where(a_task, encoded(order(**change))) == (place,)


def test_every_flaw_is_named_at_once():
    page = derivatives(derivative(id=5, assets=[{"href": 5, "type": 5}]), 7)

    assert places(page) == ["$.data[0].id", "$.data[0].assets[0].href", "$.data[0].assets[0].type", "$.data[1]"]
    assert where(a_task, encoded(order(id=5, status=5))) == ("$.id", "$.status")


def test_an_unreadable_derivative_still_tells_its_type():
    """A wait must know which type is not ready."""
    page = derivatives(derivative(id=5), derivative(id=5, derivativeProductType=5), 7)

    assert [flaw.type for flaw in page.flaws] == ["DC_VESSELS", None, None, None]


def test_one_bad_item_among_five_hundred_costs_only_itself():
    items = [derivative(id=str(number)) for number in range(500)]
    items[250] = derivative(id=None)

    page = derivatives(*items)

    assert [item.id for item in page.items] == [str(number) for number in range(500) if number != 250]
    assert places(page) == ["$.data[250].id"]
    page = products(*[product(id="250" if item["id"] is None else item["id"]) for item in items], product(assets=5))
    assert len(page.items) == 500
    assert places(page) == ["$.data[500].assets"]


def test_the_error_names_the_first_flaws_and_holds_them_all():
    page = derivatives(*[derivative(id=None)] * 8)
    error = wire.unreadable(page.flaws, latest="the rest", retry_after=5.0, request_id="r1")

    assert error.where == tuple(f"$.data[{index}].id" for index in range(8))
    assert "$.data[4].id (and 3 more)" in str(error)
    assert "$.data[5]" not in str(error)
    assert (error.latest, error.retry_after, error.request_id) == ("the rest", 5.0, "r1")
    assert "more" not in str(wire.unreadable(page.flaws[:5]))


def test_no_value_of_a_body_is_quoted():
    """It may be a signed link."""
    wrong = [LINK]
    for page in (derivatives(derivative(id=wrong, assets=wrong)), products(product(assets={"a": wrong}, bbox=wrong))):
        assert page.flaws
        assert "cloudfront" not in str(page.flaws)
    with pytest.raises(DecodeError) as caught:
        task(id=wrong, createdAt=LINK, pointOfInterest=LINK)
    assert "cloudfront" not in f"{caught.value} {caught.value.where}"
    with pytest.raises(DecodeError) as caught:
        wire.decode(LINK.encode())
    assert "cloudfront" not in str(caught.value)


# --- the top level ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [b"[]", b'"x"', b"5", b"1.5", b"null", b"true"])
def test_a_body_that_is_no_object(body):
    for read in (wire.derivatives, wire.products):
        assert where(read, body, "t1") == ("$",)
    assert where(a_task, body) == ("$",)


@pytest.mark.parametrize("data", [None, {}, "x", 5, True])
def test_a_list_that_is_no_list(data):
    for read in (wire.derivatives, wire.products):
        assert where(read, encoded({"data": data}), "t1") == ("$.data",)
        assert where(read, b"{}", "t1") == ("$.data",)


@pytest.mark.parametrize("cursor", [5, [], {}, True])
def test_a_cursor_that_is_no_string(cursor):
    assert where(wire.products, encoded({"data": [], "cursor": cursor}), "t1") == ("$.cursor",)


@pytest.mark.parametrize("item", [None, "x", 5, 1.5, True, []])
def test_an_item_that_is_no_object(item):
    assert places(derivatives(item)) == places(products(item)) == ["$.data[0]"]


# --- times -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2024-12-13T12:58:32Z", datetime(2024, 12, 13, 12, 58, 32, tzinfo=UTC)),
        ("2024-12-13t12:58:32z", datetime(2024, 12, 13, 12, 58, 32, tzinfo=UTC)),
        ("2024-12-13T12:58:32.1Z", datetime(2024, 12, 13, 12, 58, 32, 100_000, UTC)),
        ("2024-12-13T12:58:32.487Z", datetime(2024, 12, 13, 12, 58, 32, 487_000, UTC)),
        ("2024-12-13T12:58:32.085288Z", datetime(2024, 12, 13, 12, 58, 32, 85_288, UTC)),
        ("2024-12-13T12:58:32.085288999Z", datetime(2024, 12, 13, 12, 58, 32, 85_288, UTC)),
        ("2024-12-13T14:58:32+02:00", datetime(2024, 12, 13, 12, 58, 32, tzinfo=UTC)),
        ("2024-12-13T12:58:32-00:00", datetime(2024, 12, 13, 12, 58, 32, tzinfo=UTC)),
        ("2024-12-13T00:28:32-12:30", datetime(2024, 12, 13, 12, 58, 32, tzinfo=UTC)),
    ],
)
def test_times_are_aware_and_in_utc(text, moment):
    found = task(createdAt=text).created_at

    assert found == moment
    assert found.tzinfo is UTC


@pytest.mark.parametrize("digits", range(1, 10))
def test_up_to_nine_digits_of_a_second(digits):
    assert task(createdAt=f"2024-12-13T12:58:32.{'123456789'[:digits]}Z").created_at.microsecond == int(
        "123456789"[:digits].ljust(6, "0")[:6]
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2024-12-13",
        "2024-12-13T12:58:32",
        "2024-12-13 12:58:32Z",
        "2024-12-13T12:58Z",
        "2024-12-13T12:58:60Z",
        "2024-12-13T25:00:00Z",
        "2024-02-30T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "10000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59-01:00",
        "2024-12-13T12:58:32+25:00",
        "2024-12-13T12:58:32+0200",
        "2024-12-13T12:58:32.Z",
        "2024-12-13T12:58:32.0123456789Z",
        "2024-W50-5T12:58:32Z",
        "20241213T125832Z",
        "٢٠٢٤-12-13T12:58:32Z",
        " 2024-12-13T12:58:32Z",
        "2024-12-13T12:58:32Z\n",
        "2024-12-13T12:58:32ZZ",
    ],
)
def test_times_that_are_none(text):
    assert where(a_task, encoded(order(createdAt=text))) == ("$.createdAt",)


@EXAMPLES
@given(
    st.datetimes(min_value=datetime(2, 1, 1), max_value=datetime(9998, 1, 1)),  # noqa: DTZ001 - hypothesis wants it so
    st.integers(-23 * 60 - 59, 23 * 60 + 59),
)
def test_any_moment_with_any_offset_is_read_as_it_was_meant(naive, minutes):
    moment = naive.replace(tzinfo=timezone(timedelta(minutes=minutes)))

    assert task(createdAt=moment.isoformat()).created_at == moment


# --- numbers ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400", "-1e400", "9" * 4301, "-" + "9" * 5000])
@pytest.mark.parametrize("place", ['{{"data": [], "new": {}}}', '{{"data": [{{"bbox": [{}]}}]}}'])
def test_numbers_that_are_none_or_too_large(number, place):
    body = place.format(number).encode()

    for read in (wire.derivatives, wire.products):
        assert where(read, body, "t1") == ("$",)


def test_a_number_with_too_many_digits_is_called_that():
    with pytest.raises(DecodeError, match="too many digits"):
        wire.decode(b"9" * 5000)
    with pytest.raises(DecodeError, match="too large"):
        wire.decode(b"1e999")
    with pytest.raises(DecodeError, match="NaN is no JSON number"):
        wire.decode(b"[NaN]")


def test_a_whole_number_that_no_float_holds_is_placed():
    digits = int("9" * 400)

    assert places(products(product(bbox=[1, digits]))) == ["$.data[0].bbox[1]"]
    assert where(a_task, encoded(order(pointOfInterest={"lat": digits, "lon": 0}))) == ("$.pointOfInterest.lat",)


def test_large_and_small_numbers_that_nobody_reads_are_kept():
    numbers = [int("9" * 4000), 1e308, 5e-324, 1e-999, -0.0, 2**64]

    assert only(derivatives(derivative(numbers=numbers))).document["numbers"] == numbers


# --- depth -----------------------------------------------------------------------------------------------------


def nested(depth, opened=b"[", closed=b"]"):
    return opened * depth + closed * depth


def test_a_hundred_levels_are_read():
    for body in (nested(100), nested(100, b'{"a":', b"}").replace(b":}", b":1}"), b"[" + nested(99) + b"," * 1 + b"5]"):
        assert isinstance(wire.decode(body), list | dict)


@pytest.mark.parametrize("depth", [101, 102, 500, 1_100, 100_000, 1_000_000])
def test_more_levels_are_refused(depth):
    for body in (nested(depth), nested(depth, b'{"a":', b"}").replace(b":}", b":1}"), b"[" * depth):
        with pytest.raises(DecodeError) as caught:
            wire.decode(body)
        assert caught.value.where == ("$",)


def test_a_deep_extra_in_a_good_list_is_refused_as_too_deep():
    with pytest.raises(DecodeError, match="more than 100 deep"):
        wire.derivatives(b'{"data": [], "new": ' + nested(150) + b"}", "t1")


def test_many_flat_arrays_and_brackets_in_strings_are_not_deep():
    assert len(wire.decode(b"[" + b",".join([b"[]"] * 1000) + b"]")) == 1000
    assert wire.decode(b'"' + b"[" * 1000 + b'"') == "[" * 1000


# --- encodings -------------------------------------------------------------------------------------------------


def test_a_byte_order_mark_is_taken_off(sample):
    body = sample("derivatives-200")

    assert wire.derivatives(b"\xef\xbb\xbf" + body, "t1") == wire.derivatives(body, "t1")


@pytest.mark.parametrize(
    "body",
    [
        b'{"data": "\xff"}',
        b'{"data": "\xc3"}',
        b'{"data": "\xed\xa0\x80"}',
        b'{"data": "\xc0\xaf"}',
        "{}".encode("utf-16"),
        "{}".encode("utf-16-le"),
        "{}".encode("utf-32"),
        "ä".encode("latin-1"),
        b'{"data": []}\x00',
        b'"a\x00b"',
        b'"a\nb"',
        b"\xef\xbb\xbf\xef\xbb\xbf{}",
    ],
)
def test_what_is_no_json_in_utf8(body):
    for read in (wire.derivatives, wire.products):
        assert where(read, body, "t1") == ("$",)


@pytest.mark.parametrize("text", [r'"\ud800"', r'{"\udc00": 1}', r'[["\ud800\ud800"]]', r'"\udc00\ud800"'])
def test_half_a_character(text):
    with pytest.raises(DecodeError, match="half a character"):
        wire.decode(text.encode())


def test_escaped_and_whole_characters_are_read():
    assert wire.decode(rb'"\ud83d\ude00 \u00e4 \\ud800"') == "😀 ä \\ud800"
    assert wire.decode('"😀 ä"'.encode()) == "😀 ä"


@pytest.mark.parametrize(
    "body", [b"", b" ", b"{", b"<html></html>", b"{'a': 1}", b"{} {}", b"[1,]", b"01", b"tru", b"\x1f\x8b\x08"]
)
def test_what_is_no_json(body):
    with pytest.raises(DecodeError, match="the answer is not") as caught:
        wire.decode(body)
    assert caught.value.where == ("$",)
    assert caught.value.__cause__ is None


def test_the_place_of_a_syntax_error_is_told():
    with pytest.raises(DecodeError, match="at character 6"):
        wire.decode(b'{"a": }')


def test_of_a_key_that_stands_twice_the_last_counts():
    body = b'{"data": [], "data": [{"id": "1", "derivativeProductType": "A", "id": "2", "assets": 5, "assets": []}]}'

    found = only(wire.derivatives(body, "t1"))
    assert (found.id, found.assets) == ("2", ())


# --- whatever comes --------------------------------------------------------------------------------------------

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(max_size=5)
values = st.recursive(
    scalars | st.sampled_from([LINK, "2024-12-13T12:58:32Z", 10**400, "DC_VESSELS"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["href", "id", "x"]), inner),
    max_leaves=6,
)
seeds = st.integers(0, 2**32).map(random.Random)


def outcome(read, *arguments):
    try:
        return read(*arguments)
    except DecodeError as error:
        return error


def read_all(body):
    """Whatever the body, each reader gives models or a `DecodeError`; anything else is a failure."""
    outcomes = [outcome(wire.derivatives, body, "t1"), outcome(wire.products, body, "t1"), outcome(a_task, body)]
    for found, model in zip(outcomes, (Derivative, Product, Task), strict=True):
        if isinstance(found, DecodeError):
            assert found.where
            assert all(place.startswith("$") for place in found.where)
            continue
        items = (found,) if model is Task else found.items
        assert all(type(item) is model for item in items)
        assert pickle.loads(pickle.dumps(items)) == items  # noqa: S301 - our own bytes
        assert model is Task or all(flaw.path.startswith("$.data[") for flaw in found.flaws)


@EXAMPLES
@given(st.binary(max_size=200))
@example(b"{" * 5000)
@example(b'{"data":[{"id":"\\u0000"}]}')
def test_any_bytes_give_a_model_or_a_decode_error(body):
    read_all(body)


@EXAMPLES
@given(values | st.fixed_dictionaries({"data": st.lists(values)}, optional={"cursor": values}))
def test_any_json_gives_a_model_or_a_decode_error(document):
    read_all(json.dumps(document).encode())


DOCUMENTS = {name: json.loads((DATA / f"{name}.json").read_bytes()) for name in [*DERIVATIVES, *PRODUCTS]}
DOCUMENTS["task"] = order(productTypes=["GRD"], derivativeProductTypes=["DC_VESSELS"], imagingDuration=5)


def containers(node):
    found = [node] if isinstance(node, dict | list) and node else []
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        found += containers(child)
    return found


def mutated(document, dice, fresh):
    """The document with one value in it replaced, taken out, doubled or renamed."""
    document = copy.deepcopy(document)
    place = dice.choice(containers(document))
    key = dice.choice(list(place)) if isinstance(place, dict) else dice.randrange(len(place))
    match dice.randrange(4):
        case 0:
            place[key] = fresh
        case 1:
            del place[key]
        case 2 if isinstance(place, dict):
            place[f"{key}x"] = place.pop(key)
        case 2:
            place.append(place[key])
        case _:
            place[key] = [place[key]]
    return document


@EXAMPLES
@given(st.sampled_from([*DERIVATIVES, *PRODUCTS, "task"]), st.lists(values, min_size=1, max_size=3), seeds)
def test_mutated_documents_give_a_model_or_a_decode_error(name, fresh, dice):
    document = DOCUMENTS[name]
    for value in fresh:
        document = mutated(document, dice, value) if containers(document) else document
    read_all(json.dumps(document).encode())


@EXAMPLES
@given(st.sampled_from([*DERIVATIVES, *PRODUCTS, "task"]), st.binary(max_size=3), seeds)
def test_mutated_bytes_give_a_model_or_a_decode_error(name, fresh, dice):
    body = json.dumps(DOCUMENTS[name]).encode()
    start = dice.randrange(len(body))
    read_all(body[:start] + fresh + body[start + dice.choice([0, 1, 1, 5, len(body)]) :])


@EXAMPLES
@given(st.sampled_from([*DERIVATIVES, *PRODUCTS]), values, seeds)
def test_what_can_be_read_keeps_its_json(name, fresh, dice):
    document = mutated(DOCUMENTS[name], dice, fresh)
    body = json.dumps(document).encode()
    try:
        page = (wire.derivatives if name in DERIVATIVES else wire.products)(body, "t1")
    except DecodeError:
        return
    good = [item for index, item in enumerate(json.loads(body)["data"]) if f"$.data[{index}]" not in str(page.flaws)]
    assert [item.document for item in page.items] == good


def test_a_body_made_of_flaws_is_not_looked_at_to_its_end():
    """A few bytes for each flaw: millions of them would hold up everything else and fill the memory."""
    good = {"id": "d1", "derivativeProductType": "DC_VESSELS"}
    page = wire.derivatives(json.dumps({"data": [good, *[{}] * 100_000]}).encode(), "t1")

    assert [item.id for item in page.items] == ["d1"]
    assert len(page.flaws) < 1_100
    assert "not looked at" in page.flaws[-1].reason


def test_a_limit_that_python_was_told_to_forget_holds_all_the_same():
    before = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    try:
        assert wire.decode(b"[" + b"9" * 4300 + b"]") == [int("9" * 4300)]
        with pytest.raises(DecodeError, match="too many digits"):
            wire.decode(b"[" + b"9" * 4301 + b"]")
    finally:
        sys.set_int_max_str_digits(before)


# --- scenes, prices, feasibility, contracts --------------------------------------------------------------------

TIMES = {"start": "2026-03-01T12:00:00Z", "end": "2026-03-01T12:00:10Z"}


def test_a_scene_is_read_with_its_times_in_utc():
    document = {"imagingTime": TIMES, "duration": 10, "lookSide": "LEFT", "incidenceAngle": "27.5", "new": 1}

    scene = wire.one(encoded(document), Scene, "t1")

    assert (scene.task_id, scene.duration, scene.look_side, scene.incidence_angle) == ("t1", 10.0, "LEFT", 27.5)
    assert (scene.imaging_time.end - scene.imaging_time.start).total_seconds() == 10
    assert (scene.pass_direction, scene.azimuth, scene.document) == (None, None, document)


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ("27", 27.0),
        (" 27.25 ", 27.25),
        (27, 27.0),
        (27.5, 27.5),
        ("-1", -1.0),
        ("20-30", None),
        ("", None),
        ("1e3", None),
    ],
)
def test_the_angle_of_a_scene_is_text_or_a_number(sent, read):
    assert wire.one(encoded({"incidenceAngle": sent}), Scene, "t1").incidence_angle == read


@pytest.mark.parametrize(
    ("document", "model", "place"),
    [
        ({"imagingTime": {"start": "2026-03-01T12:00:00Z"}}, Scene, "$.imagingTime.end"),
        ({"incidenceAngle": True}, Scene, "$.incidenceAngle"),
        ({"amount": 1.5, "currency": "EUR"}, Price, "$.amount"),
        ({"amount": 1}, Price, "$.currency"),
        ({}, Contract, "$.id"),
        ({"id": "c", "sla": {"allowed": "SLA_8H"}}, Contract, "$.sla.allowed"),
        ({"id": "c", "imagingModes": []}, Contract, "$.imagingModes"),
        ({"id": "c", "imagingModes": {"allowed": "SCAN"}}, Contract, "$.imagingModes.allowed"),
        ({"id": "c", "imagingModes": {"allowed": [["SCAN", 5]]}}, Contract, "$.imagingModes.allowed[0][1]"),
    ],
)
def test_what_is_of_the_wrong_kind_is_named(document, model, place):
    assert where(lambda body: wire.one(body, model, "t1"), encoded(document)) == (place,)


@pytest.mark.parametrize(
    ("modes", "read"),
    [
        ({"allowed": ["SCAN", "NEW"]}, ("SCAN", "NEW")),
        ({"allowed": [["SCAN", "NEW"]]}, ("SCAN", "NEW")),
        ({"allowed": [["SCAN"], ["NEW"]]}, ("SCAN", "NEW")),
        ({"allowed": [[]]}, ()),
        ({}, ()),
        (None, None),
    ],
)
def test_the_modes_of_a_contract_are_flat(modes, read):
    assert wire.one(encoded({"id": "c", "imagingModes": modes}), Contract).imaging_modes == read


def test_what_a_contract_allows():
    contract = wire.one(encoded({"id": "c", "sla": {"allowed": ["SLA_8H"], "default": "SLA_8H"}}), Contract)

    assert contract.sla == Allowance(allowed=("SLA_8H",), default="SLA_8H")
    assert contract.priority is None


def test_a_page_of_tasks_keeps_the_good_ones():
    page = wire.page(encoded({"data": [order(), order(id=5)], "cursor": "x"}), Task)

    assert [task.status for task in page.items] == [order()["status"]]
    assert [flaw.path for flaw in page.flaws] == ["$.data[1].id"]
    assert page.cursor == "x"


def test_what_was_found_about_each_task_request():
    found = wire.feasibility(encoded({"feasibility": [{"result": "FEASIBLE", "why": 1}, {"result": "NEW"}]}))

    assert [(each.result, each.document) for each in found] == [
        ("FEASIBLE", {"result": "FEASIBLE", "why": 1}),
        ("NEW", {"result": "NEW"}),
    ]


@pytest.mark.parametrize(
    ("document", "place"),
    [({}, "$.feasibility"), ([], "$.feasibility"), ({"feasibility": [{"result": 5}]}, "$.feasibility[0].result")],
)
def test_feasibility_of_another_shape_is_named(document, place):
    assert where(wire.feasibility, encoded(document)) == (place,)
