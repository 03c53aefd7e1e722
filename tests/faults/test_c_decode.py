"""C. Bodies: the documented is read, the new is kept, the wrong is an error that says where and shows no secret.

Rows C1 to C18 and C20 of the catalogue; C19 is `test_json_suite.py`, and `test_fuzz.py` goes on where tables end.
"""

import json
import logging
import pickle
import sys
import tracemalloc
import zlib
from datetime import UTC, datetime
from functools import cache
from itertools import pairwise

import pytest
from aiohttp import web

from iceye_async import (
    ApiError,
    BadRequest,
    DecodeError,
    Derivative,
    DerivativeAsset,
    DerivativeType,
    DownloadError,
    Forbidden,
    IceyeError,
    ImagingMode,
    NotFound,
    PollPolicy,
    RateLimited,
    RetryPolicy,
    ServerError,
    Task,
    TaskNotFound,
    TaskStatus,
    Unauthorized,
    UsageError,
)
from tests.showing import everything

TASK = "/api/tasking/v2/tasks/t1"
LOOK = f"{TASK}/derivatives"
PRODUCTS = f"{TASK}/products"
ONCE = RetryPolicy(tries=1)
TOKEN, SIGNATURE, POLICY = "c4n4ry-4711", "c4n4ry~sig-0042", "c4n4ry_pol_0815"
SECRETS = (TOKEN, SIGNATURE, POLICY)
LINK = f"https://d1.cloudfront.net/a/f.tif?Expires=1234567890&Policy={POLICY}&Signature={SIGNATURE}&Key-Pair-Id=K"
HTML = b"<!doctype html><html><body><h1>Sign in to continue</h1></body></html>"
MIB = 2**20


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


def derivative(**changes):
    asset = {"type": "geojson", "href": LINK}
    return {"id": "d1", "derivativeProductType": "DC_VESSELS", "assets": [asset], **changes}


def product(**changes):
    return {"id": "p1", "assets": {"grd-tif": {"href": LINK}}, "properties": {}, **changes}


def encoded(document):
    return document if isinstance(document, bytes) else json.dumps(document, ensure_ascii=False).encode()


def listing(*items, **rest):
    return encoded({"data": list(items), **rest})


def only(found):
    return found if isinstance(found, Task) else next(iter(found))


def without(document, key):
    return {name: value for name, value in document.items() if name != key}


def beside(raw):
    """A task with these bytes as the value of an unknown field."""
    return encoded(order())[:-1] + b', "extra": ' + raw + b"}"


def get_task(client):
    return client.tasks.get("t1")


def look(client):
    return client.derivatives.get("t1")


def list_products(client):
    return client.products.list("t1")


CALLS = {"a-task": get_task, "a-look": look, "a-list": list_products}
CALL = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)


@pytest.fixture
def ask(wire):
    """What a call gives where the service answers everything like this."""

    def ask(call, body, status=200, headers=(), **options):
        wire.answer = lambda asked: (status, dict(headers), encoded(body))
        return wire.run(call, **{"auth": TOKEN, "retry": ONCE, **options})

    return ask


@pytest.fixture
def refused(ask):
    """The error of exactly this kind (of any, where it is IceyeError) that a call is, answered like this."""

    def refused(kind, call, body, status=200, headers=()):
        with pytest.raises(IceyeError) as caught:
            ask(call, body, status, headers)
        assert kind in {IceyeError, type(caught.value)}
        return caught.value

    return refused


def leaked(error):
    return [secret for secret in SECRETS if secret in everything(error)]


# --- C1: the documented bodies -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "call", "count"),
    [
        ("derivatives-200", look, 2),
        ("derivatives-206", look, 2),
        ("products-200", list_products, 1),
        ("products-by-type-200", list_products, 1),
    ],
)
def test_c01_the_documented_bodies_are_read_and_kept(ask, sample, name, call, count):
    """Each documented body becomes models, and each model keeps the JSON it came from."""
    found = list(ask(call, sample(name), status=206 if name.endswith("206") else 200))

    assert len(found) == count
    assert [item.document for item in found] == json.loads(sample(name))["data"]


def test_c01_an_id_that_is_no_uuid_is_an_opaque_string(ask, sample):
    """The documented vessel id holds letters beyond f; it comes out as it is."""
    _, vessels = ask(look, sample("derivatives-200"))

    assert vessels.id == "7fb95g75-6828-5673-c4gd-3d074g77bgb7"


def test_c01_a_listing_without_image_reference_is_read(ask, sample):
    """The documented 206 has no imageReference; that is None and no error."""
    aircraft, vessels = ask(look, sample("derivatives-206"), status=206)

    assert (aircraft.image_reference, vessels.image_reference) == (None, None)
    assert (aircraft.assets, len(vessels.assets)) == ((), 1)


def test_c01_a_task_of_the_eight_documented_fields_is_read(ask):
    """The cancel answer of the documents has eight fields; no others are required."""
    task = ask(get_task, order())

    assert (task.id, task.contract_id, task.status) == ("t1", "c1", TaskStatus.ACTIVE)
    assert task.imaging_mode is ImagingMode.SPOTLIGHT
    assert task.point_of_interest == (60.19, 24.83)
    assert task.acquisition_window.start == datetime(2026, 3, 1, tzinfo=UTC)
    assert (task.product_types, task.derivative_product_types, task.fulfilled_at) == (None, None, None)


# --- C2: what is new ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "body", "attribute", "word"),
    [
        (get_task, order(status="PAUSED"), "status", "PAUSED"),
        (get_task, order(imagingMode="SPOTLIGHT_ULTRA"), "imaging_mode", "SPOTLIGHT_ULTRA"),
        (get_task, order(productTypes=["GRD", "CPHD"]), "product_types", ("GRD", "CPHD")),
        (look, listing(derivative(derivativeProductType="DC_TRAINS")), "type", "DC_TRAINS"),
        (list_products, listing(product(properties={"sar:product_type": "CPHD"})), "product_type", "CPHD"),
        (list_products, listing(product(properties={"iceye:acquisition_mode": "hover"})), "mode", "hover"),
    ],
)
def test_c02_a_word_that_nobody_knew_flows_through(ask, call, body, attribute, word):
    """A new status, mode or type is data: the plain string is on the model."""
    assert getattr(only(ask(call, body)), attribute) == word


def test_c02_a_new_derivative_type_can_be_waited_for(ask):
    """A wait for a type that this package never heard of ends with it."""
    body = listing(derivative(derivativeProductType="DC_TRAINS"))

    found = ask(lambda client: client.await_derivatives("t1", types=["DC_TRAINS"]), body, status=206)

    assert found.ready == {"DC_TRAINS"}


@pytest.mark.parametrize(
    ("call", "item"),
    [
        (look, derivative(progress={"percent": [1, 2.5, None]}, status="RUNNING", task_id="other", document=1)),
        (list_products, product(links=[{"rel": "self"}], properties={"new": [None]}, task_id="other", document=[])),
        (get_task, order(notifications={"webhook": {"id": "w"}}, deliveries=[], task_id=None, document="x")),
    ],
    ids=["a-look", "a-list", "a-task"],
)
def test_c02_unknown_fields_are_kept_without_loss(ask, call, item):
    """Fields that nobody knew do no harm and are on `.document`."""
    body = item if call is get_task else listing(item)

    assert only(ask(call, body)).document == item


# --- C3: null and "" where nothing is meant ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "key",
    [
        "fulfilledAt",
        "reference",
        "productTypes",
        "derivativeProductTypes",
        "exclusivity",
        "priority",
        "sla",
        "eula",
        "lookSide",
        "passDirection",
        "imagingDuration",
        "productsAvailableInSeconds",
        "unheardOf",
    ],
)
def test_c03_null_in_a_task_is_as_absent(ask, key):
    """A task with a null in it equals the task without that field."""
    assert ask(get_task, order(**{key: None})) == ask(get_task, order())


@pytest.mark.parametrize("key", ["imageReference", "imageId", "unheardOf"])
def test_c03_null_in_a_derivative_is_as_absent(ask, key):
    """A derivative with a null in it equals the one without that field."""
    assert tuple(ask(look, listing(derivative(**{key: None})))) == tuple(ask(look, listing(derivative())))


def test_c03_assets_that_are_null_are_assets_that_are_not_there_yet(ask):
    """Null assets mean the same as none listed: still being made."""
    (entry,) = ask(look, listing(derivative(assets=None)), status=206)

    assert entry.assets == ()


@pytest.mark.parametrize("key", ["created", "frame_id", "iceye:incidence_near", "sar:polarizations", "start_datetime"])
def test_c03_null_in_the_properties_of_a_product_is_as_absent(ask, key):
    """Nearly all properties are nullable; null and absent give equal products."""
    assert ask(list_products, listing(product(properties={key: None}))) == ask(list_products, listing(product()))


@pytest.mark.parametrize("key", ["bbox", "geometry", "collection", "stac_version"])
def test_c03_null_beside_the_properties_is_as_absent(ask, key):
    """The same for what stands on the item itself."""
    assert ask(list_products, listing(product(**{key: None}))) == ask(list_products, listing(product()))


@pytest.mark.parametrize("key", ["title", "type", "roles", "coordinates"])
def test_c03_null_in_an_asset_is_as_absent(ask, key):
    """The same inside an asset."""
    given, bare = ({"grd-tif": {"href": LINK, **more}} for more in ({key: None}, {}))

    assert ask(list_products, listing(product(assets=given))) == ask(list_products, listing(product(assets=bare)))


@pytest.mark.parametrize("end", [{}, {"cursor": None}, {"cursor": ""}], ids=str)
def test_c03_a_cursor_that_is_empty_null_or_absent_ends_a_list(ask, wire, end):
    """All three mean the last page: one request, no second page."""
    assert len(ask(list_products, listing(product(collection=""), **end))) == 1
    assert len(wire.asked) == 1


# --- C4: what is missing or of the wrong kind --------------------------------------------------------------------

WRONG = {
    "task-id": (get_task, order(id=7), "$.id"),
    "task-id-null": (get_task, order(id=None), "$.id"),
    "task-no-contract": (get_task, without(order(), "contractID"), "$.contractID"),
    "task-no-status": (get_task, without(order(), "status"), "$.status"),
    "task-mode-false": (get_task, order(imagingMode=False), "$.imagingMode"),
    "task-no-point": (get_task, without(order(), "pointOfInterest"), "$.pointOfInterest"),
    "task-point-list": (get_task, order(pointOfInterest=[60.19, 24.83]), "$.pointOfInterest"),
    "task-lat-text": (get_task, order(pointOfInterest={"lat": LINK, "lon": 1}), "$.pointOfInterest.lat"),
    "task-lon-absent": (get_task, order(pointOfInterest={"lat": 1}), "$.pointOfInterest.lon"),
    "task-lat-true": (get_task, order(pointOfInterest={"lat": True, "lon": 1}), "$.pointOfInterest.lat"),
    "task-window-text": (get_task, order(acquisitionWindow=LINK), "$.acquisitionWindow"),
    "task-created-number": (get_task, order(createdAt=1772280000), "$.createdAt"),
    "task-types-text": (get_task, order(productTypes="GRD"), "$.productTypes"),
    "task-types-hold-null": (get_task, order(productTypes=["GRD", None]), "$.productTypes[1]"),
    "task-duration-float": (get_task, order(imagingDuration=1.5), "$.imagingDuration"),
    "derivative-list": (look, listing([derivative()]), "$.data[0]"),
    "derivative-id": (look, listing(derivative(id={"x": LINK})), "$.data[0].id"),
    "derivative-no-id": (look, listing(without(derivative(), "id")), "$.data[0].id"),
    "derivative-no-type": (
        look,
        listing(without(derivative(), "derivativeProductType")),
        "$.data[0].derivativeProductType",
    ),
    "derivative-assets-object": (look, listing(derivative(assets={"a": {"href": LINK}})), "$.data[0].assets"),
    "derivative-asset-text": (look, listing(derivative(assets=[LINK])), "$.data[0].assets[0]"),
    "derivative-no-href": (look, listing(derivative(assets=[{"type": LINK}])), "$.data[0].assets[0].href"),
    "derivative-href-list": (look, listing(derivative(assets=[{"href": [LINK]}])), "$.data[0].assets[0].href"),
    "product-no-id": (list_products, listing(without(product(), "id")), "$.data[0].id"),
    "product-no-properties": (list_products, listing(without(product(), "properties")), "$.data[0].properties"),
    "product-properties-list": (list_products, listing(product(properties=[LINK])), "$.data[0].properties"),
    "product-no-assets": (list_products, listing(without(product(), "assets")), "$.data[0].assets"),
    "product-assets-list": (list_products, listing(product(assets=[{"href": LINK}])), "$.data[0].assets"),
    "product-no-href": (list_products, listing(product(assets={"a": {"title": LINK}})), "$.data[0].assets.a.href"),
    "product-bbox-text": (list_products, listing(product(bbox=[1, LINK, 2, 3])), "$.data[0].bbox[1]"),
    "data-object": (look, encoded({"data": {"0": derivative()}}), "$.data"),
    "data-absent": (list_products, encoded({"items": [product()]}), "$.data"),
    "cursor-number": (list_products, listing(product(), cursor=7), "$.cursor"),
}


@pytest.mark.parametrize(("call", "body", "place"), WRONG.values(), ids=WRONG)
def test_c04_the_error_names_the_place_in_the_json(refused, call, body, place):
    """A required field that is missing, or a value of another kind, is a DecodeError with the JSON path."""
    error = refused(DecodeError, call, body)

    assert error.where == (place,)
    assert place in str(error)


@pytest.mark.parametrize(("call", "body"), [case[:2] for case in WRONG.values()], ids=WRONG)
def test_c04_no_value_of_the_body_is_in_the_error(refused, call, body):
    """Links stand in bodies; whatever is wrong there, no signature is in the error, its chain or its pickle."""
    error = refused(DecodeError, call, body)

    assert leaked(error) == []
    assert "cloudfront" not in everything(error)


@CALL
@pytest.mark.parametrize("header", ["X-Request-Id", "x-correlation-id", "X-Amzn-RequestId"])
def test_c04_the_error_carries_the_request_id(refused, call, header):
    """What support asks for is on the error, where the reply had it."""
    assert refused(DecodeError, call, {"data": 5}, headers={header: "q-77"}).request_id == "q-77"


def test_c04_every_flaw_of_a_task_is_named_at_once(refused):
    """Two flaws are two paths in one error."""
    error = refused(DecodeError, get_task, order(id=5, createdAt="yesterday"))

    assert sorted(error.where) == ["$.createdAt", "$.id"]


def test_c04_a_key_that_holds_a_signature_is_not_shown(refused):
    """Keys are the service's to choose, too: a link in the place of an asset's key is masked in the path."""
    key = f"f.tif?Signature={SIGNATURE}"

    assert leaked(refused(DecodeError, list_products, listing(product(assets={key: 5})))) == []


def test_c04_the_error_survives_a_pickle_with_its_facts(refused):
    """An error that crosses to another process still says where and which request."""
    error = refused(DecodeError, get_task, order(id=7), headers={"X-Request-Id": "q-77"})

    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - just made

    assert (str(copy), copy.where, copy.request_id) == (str(error), ("$.id",), "q-77")


# --- C5: one bad item among 500 ----------------------------------------------------------------------------------


async def iterate(client, seen):
    """Notes each id as it comes, so that those before an error count."""
    async for item in client.products.list("t1"):
        seen.append(item.id)


def five_hundred(make, **bad):
    """500 items, of which number 123 cannot be read."""
    return [make(id=f"i{number}", **(bad if number == 123 else {})) for number in range(500)]


def test_c05_a_list_gives_the_499_good_ones_and_then_names_the_bad_one(ask):
    """Iterated, 499 products come first; the error at the end names the one that cannot be read."""
    seen = []

    with pytest.raises(DecodeError) as caught:
        ask(lambda client: iterate(client, seen), listing(*five_hundred(product, assets=None)))

    assert caught.value.where == ("$.data[123].assets",)
    assert seen == [f"i{number}" for number in range(500) if number != 123]


def test_c05_an_awaited_list_has_the_499_good_ones_on_latest(ask):
    """Awaited, the error is raised and nothing that was read is lost."""
    pages = []

    async def whole(client):
        pages.append(client.products.list("t1"))
        await pages[0]

    with pytest.raises(DecodeError):
        ask(whole, listing(*five_hundred(product, properties=7)))

    assert len(pages[0].latest) == 499


def test_c05_a_bad_item_does_not_hide_the_pages_after_it(wire):
    """The second page is fetched and given although the first held a bad item."""
    bodies = iter([listing(product(id="a"), product(id=5), cursor="2"), listing(product(id="b"))])
    wire.answer = lambda asked: (200, {}, next(bodies))
    seen = []

    with pytest.raises(DecodeError) as caught:
        wire.run(lambda client: iterate(client, seen))

    assert seen == ["a", "b"]
    assert len(caught.value.where) == 1


def test_c05_one_look_has_the_499_good_ones_on_the_error(refused):
    """A look that holds an unreadable entry is an error with the readable ones on `.latest`."""
    error = refused(DecodeError, look, listing(*five_hundred(derivative, assets="none")))

    assert error.where == ("$.data[123].assets",)
    assert len(error.latest) == 499


def test_c05_a_wait_ends_although_an_entry_of_another_type_is_unreadable(ask):
    """The readable entries count: a named type that is ready ends the wait."""
    bad = derivative(id=5, derivativeProductType="DC_AIRCRAFT")

    found = ask(
        lambda client: client.await_derivatives("t1", types=["DC_VESSELS"]), listing(derivative(), bad), status=206
    )

    assert [entry.id for entry in found] == ["d1"]


def test_c05_a_wait_whose_listing_stays_unreadable_in_part_ends_with_the_error_and_keeps_the_rest(ask):
    """The unreadable entry is a setback each time; too many raise it, and what was readable is on `.latest`."""
    waits = []

    async def wait(client):
        waits.append(client.await_derivatives("t1", poll=PollPolicy(setbacks=3)))
        await waits[0]

    with pytest.raises(DecodeError) as caught:
        ask(wait, listing(derivative(), derivative(id=5)), status=206)

    assert caught.value.where == ("$.data[1].id",)
    assert [entry.id for entry in waits[0].latest] == ["d1"]


# --- C6: keys that stand twice -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "last"), [(b'"other"', b'"t1"'), (b"5", b'"t1"'), (b"null", b'"t1"'), (b"[{}]", b'"t1"')]
)
def test_c06_of_a_key_that_stands_twice_the_last_counts(ask, first, last):
    """The documented rule: model and document both hold the last value."""
    body = encoded(without(order(), "id"))[:-1] + b', "id": ' + first + b', "id": ' + last + b"}"

    task = ask(get_task, body)

    assert (task.id, task.document["id"]) == ("t1", "t1")


def test_c06_a_last_value_that_is_wrong_is_an_error_although_the_first_was_good(refused):
    """The rule has no exception for a better first value."""
    assert refused(DecodeError, get_task, encoded(order())[:-1] + b', "id": 5}').where == ("$.id",)


def test_c06_of_two_lists_the_last_counts(ask):
    """The same for the list itself."""
    body = listing(derivative(id="first"))[:-1] + b', "data": [' + encoded(derivative(id="last")) + b"]}"

    assert [entry.id for entry in ask(look, body)] == ["last"]


# --- C7, C8: numbers ---------------------------------------------------------------------------------------------

NO_NUMBERS = [b"NaN", b"-NaN", b"Infinity", b"-Infinity", b"1e400", b"-1e400", b"123456789e99999999999", b"+1", b".5"]


@pytest.mark.parametrize("number", NO_NUMBERS)
def test_c07_a_number_that_is_none_or_infinite_is_refused_wherever_it_stands(refused, number):
    """Also in a field that nobody reads: kept as JSON, it could not be written again."""
    assert refused(DecodeError, get_task, beside(number)).where == ("$",)


@pytest.mark.parametrize("number", NO_NUMBERS)
@pytest.mark.parametrize(
    ("call", "body"),
    [
        (get_task, encoded(order(pointOfInterest={"lat": "#", "lon": 1}))),
        (list_products, listing(product(bbox=[1, 2, 3, "#"]))),
        (list_products, listing(product(geometry={"type": "Point", "coordinates": ["#", 0]}))),
        (list_products, listing(product(properties={"iceye:incidence_far": "#"}))),
    ],
    ids=["position", "box", "coordinates", "angle"],
)
def test_c07_a_coordinate_that_is_none_or_infinite_is_refused(refused, call, body, number):
    """No model ever holds a NaN or an infinity."""
    refused(DecodeError, call, body.replace(b'"#"', number))


def test_c07_a_whole_number_that_no_float_holds_is_refused_where_it_stands(refused):
    """10**400 is legal JSON; as a latitude it is a DecodeError and no OverflowError."""
    error = refused(DecodeError, get_task, order(pointOfInterest={"lat": 10**400, "lon": 1}))

    assert error.where == ("$.pointOfInterest.lat",)


def test_c07_numbers_in_an_error_body_do_not_hide_the_error(refused):
    """A NaN in an error body costs its text, not the error."""
    assert refused(BadRequest, get_task, b'{"code": "X", "retry": NaN}', status=400).status == 400


@pytest.mark.parametrize("digits", [4_301, 20_000, 1_000_000])
@pytest.mark.parametrize("sign", [b"", b"-"], ids=["plus", "minus"])
def test_c08_a_whole_number_with_too_many_digits_is_refused(refused, digits, sign):
    """Python's own ValueError never gets out."""
    refused(DecodeError, get_task, beside(sign + b"9" * digits))


def test_c08_a_long_whole_number_within_the_limit_is_kept(ask):
    """4,300 digits are read, exactly."""
    assert ask(get_task, beside(b"9" * 4_300)).document["extra"] == 10**4_300 - 1


def test_c08_a_program_that_lifted_pythons_limit_is_still_safe(refused):
    """The limit on digits is the decoder's: reading them takes time that grows with their square."""
    limit = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    try:
        refused(DecodeError, get_task, beside(b"9" * 4_301))
    finally:
        sys.set_int_max_str_digits(limit)


# --- C9: depth ---------------------------------------------------------------------------------------------------


def nested(depth, kind="arrays", closed=True):
    first, last = {"arrays": (b"[", b"]"), "objects": (b'{"a":', b"}")}[kind]
    return first * depth + (b"1" + last * depth if closed else b"")


@pytest.mark.parametrize("closed", [True, False], ids=["closed", "open"])
@pytest.mark.parametrize("kind", ["arrays", "objects"])
@pytest.mark.parametrize("depth", [101, 500, 1_100, 100_000, 1_000_000])
def test_c09_a_deep_body_is_refused(refused, depth, kind, closed):
    """From 101 levels to a million: a DecodeError, no RecursionError and no crash."""
    assert refused(DecodeError, get_task, nested(depth, kind, closed)).where == ("$",)


@pytest.mark.parametrize("kind", ["arrays", "objects"])
@pytest.mark.parametrize("depth", [100, 1_100, 1_000_000])
def test_c09_a_deep_unknown_field_is_refused(refused, depth, kind):
    """Depth counts where nobody looks, too: whoever walks the document later would break."""
    assert "deep" in str(refused(DecodeError, get_task, beside(nested(depth, kind))))


@pytest.mark.parametrize("kind", ["arrays", "objects"])
def test_c09_a_hundred_levels_are_read(ask, kind):
    """The limit is 100, the object around included."""
    assert ask(get_task, beside(nested(99, kind))).document["extra"]


@pytest.mark.parametrize("depth", [101, 1_100, 1_000_000])
def test_c09_a_deep_error_body_is_known_by_its_status(refused, depth):
    """An error stays what its status says."""
    assert refused(ServerError, get_task, nested(depth), status=500).code is None


def test_c09_brackets_inside_a_string_are_not_depth(ask):
    """Ten thousand brackets in a text are text."""
    assert ask(get_task, order(reference="[{" * 5_000)).reference == "[{" * 5_000


# --- C10: bytes that are no text ---------------------------------------------------------------------------------

TEXT = json.dumps(order(reference="Z\u00fcrich \u6771\u4eac"), ensure_ascii=False)
NO_TEXT = {
    "utf-16": TEXT.encode("utf-16"),
    "utf-16-le": TEXT.encode("utf-16-le"),
    "utf-16-be": TEXT.encode("utf-16-be"),
    "utf-32": TEXT.encode("utf-32"),
    "utf-7": b"+AHsAIgBpAGQAIg-",
    "two-boms": b"\xef\xbb\xbf" * 2 + TEXT.encode(),
    "half-a-bom": b"\xef\xbb" + TEXT.encode(),
    "bom-alone": b"\xef\xbb\xbf",
    "bom-in-the-middle": beside(b"\xef\xbb\xbf1"),
    "latin-1": beside(b'"Z\xfcrich"'),
    "a-stray-byte": beside(b'"\xff"'),
    "half-a-character": beside(b'"\xe6\x9d"'),
    "overlong": beside(b'"\xc0\xaf"'),
    "overlong-nul": beside(b'"\xc0\x80"'),
    "beyond-unicode": beside(b'"\xf4\x90\x80\x80"'),
    "a-surrogate-in-utf-8": beside(b'"\xed\xa0\x80"'),
    "a-pair-in-utf-8": beside(b'"\xed\xa0\xbd\xed\xb8\xb9"'),
    "lone-high-surrogate": beside(b'"\\ud800"'),
    "lone-low-surrogate": beside(b'"\\udc00x"'),
    "surrogates-the-wrong-way": beside(b'"\\udd1e\\ud834"'),
    "lone-surrogate-in-a-key": beside(b'{"\\ud800": 1}'),
    "nul-in-a-string": beside(b'"a\x00b"'),
    "nul-outside": beside(b"1") + b"\x00",
    "tab-in-a-string": beside(b'"a\tb"'),
    "a-bad-character-in-latin-1": TEXT.replace("\u6771\u4eac", "").encode("latin-1"),
}


@pytest.mark.parametrize("body", NO_TEXT.values(), ids=NO_TEXT)
def test_c10_what_is_no_utf8_text_is_refused(refused, body):
    """A DecodeError, never text with wrong characters, and never half a character."""
    assert refused(DecodeError, get_task, body).where == ("$",)


@pytest.mark.parametrize("body", NO_TEXT.values(), ids=NO_TEXT)
def test_c10_an_error_with_such_a_body_is_known_by_its_status(refused, body):
    """The status alone says which error it is."""
    assert refused(Forbidden, get_task, body, status=403).detail is None


@pytest.mark.parametrize("call", [look, list_products], ids=["a-look", "a-list"])
def test_c10_half_a_character_in_a_name_is_refused(refused, call):
    """It could not be written to a file name, a log or a document."""
    body = listing(derivative(id="#") if call is look else product(id="#")).replace(b"#", b"\\ud83d")

    refused(DecodeError, call, body)


def test_c10_a_byte_order_mark_is_taken_off(ask):
    """One BOM at the beginning is allowed."""
    assert ask(get_task, b"\xef\xbb\xbf" + TEXT.encode()).reference == "Z\u00fcrich \u6771\u4eac"


def test_c10_a_pair_of_surrogates_is_one_character(ask):
    """Escaped as JSON has it, it is the character that it means."""
    assert ask(get_task, beside(b'"\\ud83d\\ude39"')).document["extra"] == "\U0001f639"


@pytest.mark.parametrize("key", ["a\x00b", "Z\u00fcrich", "\u6771\u4eac", "\u202egnp", "a\u0000/../../b"], ids=ascii)
async def test_c10_no_such_name_reaches_the_disk_as_it_is(connect, service, other, tmp_path, key):
    """An escaped NUL and any script are legal JSON; the file's name is plain ASCII without them."""
    item = json.dumps(product(assets={key: {"href": f"{other.url}/f"}}))
    service.answers(PRODUCTS, (200, {}, b'{"data": [' + item.encode() + b"]}"))
    other.answers("/f", (200, {}, b"II*"))
    client = connect()

    (found,) = await client.products.list("t1")
    (path,) = await client.download(found, to=tmp_path)

    assert list(found.assets) == [key]
    assert path.parent == tmp_path
    assert path.name.isascii()
    assert path.name.isprintable()
    assert path.read_bytes() == b"II*"


# --- C11: bodies without end -------------------------------------------------------------------------------------


def stream(pieces, status=200, **headers):
    async def answer(request):
        response = web.StreamResponse(status=status, headers=headers)
        await response.prepare(request)
        for piece in pieces():
            await response.write(piece)
        return response

    return answer


def for_ever():
    yield b'{"data": ['
    while True:
        yield b"[]," * 20_000


@cache
def bomb(wbits):
    """64 MiB of spaces, compressed a thousandfold."""
    packer = zlib.compressobj(9, zlib.DEFLATED, wbits)
    return b"".join([*(packer.compress(b" " * MIB) for _ in range(64)), packer.flush()])


HOSTILE = {
    "an-endless-array": lambda status: stream(for_ever, status),
    "two-gigabytes-announced": lambda status: stream(for_ever, status, **{"Content-Length": str(2 * 10**9)}),
    "a-gzip-bomb": lambda status: stream(lambda: [bomb(31)], status, **{"Content-Encoding": "gzip"}),
    "a-deflate-bomb": lambda status: stream(lambda: [bomb(15)], status, **{"Content-Encoding": "deflate"}),
}


@pytest.fixture
def small_cap(monkeypatch):
    """A cap of 1 MiB in place of 64, so that a hostile body is small enough for a test."""
    monkeypatch.setattr("iceye_async.exchange.BODY_CAP", MIB)


@pytest.mark.parametrize("answer", HOSTILE.values(), ids=HOSTILE)
async def test_c11_a_body_over_the_cap_is_refused_and_the_client_goes_on(connect, service, small_cap, answer):
    """An error at the cap, whatever was announced; the next call works."""
    service.answers(TASK, answer(200), (200, {}, encoded(order())))
    client = connect()

    with pytest.raises(DecodeError, match="longer than"):
        await client.tasks.get("t1")

    assert (await client.tasks.get("t1")).id == "t1"


@pytest.mark.parametrize("name", HOSTILE)
async def test_c11_the_refusal_takes_less_memory_than_four_caps(connect, service, monkeypatch, name, record_property):
    """Memory stays flat while 16 times the cap come in; the scripted server's own share is counted, too."""
    cap = 4 * MIB  # Of 1 MiB, the fixed part of some 2.5 MiB would be most.
    monkeypatch.setattr("iceye_async.exchange.BODY_CAP", cap)
    service.answers(TASK, (200, {}, encoded(order())), HOSTILE[name](200))
    client = connect()
    await client.tasks.get("t1")
    bomb(31), bomb(15)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        with pytest.raises(DecodeError):
            await client.tasks.get("t1")
        peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()

    record_property(f"peak memory while {name} is refused, in percent of the cap", round(100 * peak / cap))
    assert peak < 4 * cap


async def test_c11_a_body_of_just_the_cap_is_read(connect, service, small_cap):
    """The cap is the last size that is allowed."""
    service.answers(TASK, (200, {}, encoded(order()).ljust(MIB)))

    assert (await connect().tasks.get("t1")).id == "t1"


# --- C12, C13: something else altogether -------------------------------------------------------------------------

SCALARS = [b"[]", b"[1, 2]", b'"text"', b'""', b"7", b"-0.5", b"true", b"false", b"null"]


@CALL
@pytest.mark.parametrize("body", SCALARS)
def test_c12_a_body_that_is_no_object_is_refused(refused, call, body):
    """A list, a string or a number at the top is a DecodeError at `$`."""
    assert refused(DecodeError, call, body).where == ("$",)


@CALL
@pytest.mark.parametrize("body", SCALARS)
def test_c12_an_error_whose_body_is_no_object_is_known_by_its_status(refused, call, body):
    """The status alone says which error it is."""
    error = refused(Forbidden, call, body, status=403)

    assert (error.status, error.code, error.detail) == (403, None, None)


@CALL
@pytest.mark.parametrize("kind", ["text/html", "text/html; charset=utf-8", "TEXT/HTML"])
def test_c13_a_login_page_with_200_is_named_by_its_type(refused, call, kind):
    """A captive portal or a proxy answered: the error says what came instead of JSON."""
    error = refused(DecodeError, call, HTML, headers={"Content-Type": kind})

    assert "text/html" in str(error).lower()
    assert "Sign in" not in everything(error)


@CALL
def test_c13_a_login_page_is_not_asked_for_again_and_again(wire, call):
    """One request: asking once more does not sign anybody in."""
    wire.answer = lambda asked: (200, {"Content-Type": "text/html"}, HTML)

    with pytest.raises(DecodeError):
        wire.run(call)

    assert len(wire.asked) == 1


def test_c13_a_wait_outlasts_a_login_page(wire):
    """Somebody signs in at the portal; the wait goes on without harm."""
    pages = iter([(200, {"Content-Type": "text/html"}, HTML)] * 3)
    wire.answer = lambda asked: next(pages, (200, {}, listing(derivative())))

    found = wire.run(lambda client: client.await_derivatives("t1"))

    assert found.ready == {DerivativeType.VESSELS}


def test_c13_a_wait_at_a_login_page_is_no_storm(wire):
    """It asks at the pace of its policy, so many times as setbacks are endured, and then says what came."""
    wire.answer = lambda asked: (200, {"Content-Type": "text/html"}, HTML)

    with pytest.raises(DecodeError, match="text/html"):
        wire.run(lambda client: client.await_derivatives("t1", poll=PollPolicy(first=5.0, setbacks=6)))

    times = [asked.at for asked in wire.asked]
    assert len(times) == 7
    assert all(later - earlier >= 5.0 for earlier, later in pairwise(times))


# --- C14: the two documented error bodies ------------------------------------------------------------------------

KINDS = {400: BadRequest, 403: Forbidden, 404: TaskNotFound, 409: ApiError, 429: RateLimited, 500: ServerError}
PROBLEM = {
    "title": "Contract Not Found",
    "code": "not_found",
    "details": "no rows in result set",
    "reference": "https://docs.iceye.com/constellation/api/specification/company/v1",
}
PLAIN = {"code": "ERR_INSUFFICIENT_FUNDS", "message": "could not create task: insufficient funds"}


@pytest.mark.parametrize(("status", "kind"), KINDS.items())
@pytest.mark.parametrize("media", ["application/problem+json", "application/json", "text/plain", ""])
def test_c14_problem_json_is_read(refused, status, kind, media):
    """Title, code, details and reference are attributes, whatever the type says."""
    error = refused(kind, get_task, PROBLEM, status, {"Content-Type": media})

    assert (error.title, error.code, error.detail, error.reference) == tuple(PROBLEM.values())
    assert "not_found" in str(error)
    assert "no rows in result set" in str(error)


@pytest.mark.parametrize(("status", "kind"), KINDS.items())
def test_c14_the_plain_body_is_read(refused, status, kind):
    """Code and message are attributes."""
    error = refused(kind, get_task, PLAIN, status, {"Content-Type": "application/json"})

    assert (error.code, error.detail) == tuple(PLAIN.values())
    assert (error.title, error.reference) == (None, None)
    assert PLAIN["code"] in str(error)


def test_c14_a_mode_without_derivatives_is_known_by_its_code(refused):
    """The documented 400 of a create is a BadRequest with its code."""
    body = {"title": "Bad Request", "code": "INCOMPATIBLE_IMAGING_MODE_FOR_DERIVATIVES", "details": "STRIPMAP"}

    def create(client):
        return client.tasks.create(
            contract_id="c1",
            imaging_mode="A_NEW_MODE",
            point_of_interest=(60.19, 24.83),
            acquisition_window=(datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC)),
            product_types=["GRD"],
            derivative_product_types=["DC_VESSELS"],
        )

    error = refused(BadRequest, create, body, status=400, headers={"Content-Type": "application/problem+json"})

    assert error.code == "INCOMPATIBLE_IMAGING_MODE_FOR_DERIVATIVES"
    assert not error.transient


def test_c14_the_reference_is_kept_whole(refused):
    """It is the address of the operation in the specification, and the operation stands behind the #."""
    reference = "https://docs.iceye.com/constellation/api/specification/tasking/v2/#operation/createTask"

    assert refused(BadRequest, get_task, {**PROBLEM, "reference": reference}, status=400).reference == reference


@pytest.mark.parametrize("nothing", [None, "", " "])
def test_c14_a_code_that_is_empty_is_none(refused, nothing):
    """Null, empty and absent mean the same."""
    assert refused(NotFound, look, {"code": nothing, "message": nothing}, status=404).code is None


# --- C15: error bodies that are no good --------------------------------------------------------------------------

MALFORMED = {
    "empty": b"",
    "space": b" \r\n",
    "cut-short": encoded(PROBLEM)[:-9],
    "html": HTML,
    "xml": b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>',
    "bytes": bytes(range(256)),
    "wrong-kinds": b'{"code": 7, "title": [], "details": {"a": "b"}, "message": false, "reference": null}',
    "data": b'{"data": []}',
    "trailing": encoded(PROBLEM) + b"}",
    "ten-megabytes": encoded({"code": "X" * 10 * MIB}),
    "a-megabyte-of-keys": b'{"code": "C"' + b', "k": 1' * 100_000 + b"}",
}


@pytest.mark.parametrize(("status", "kind"), KINDS.items())
@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
def test_c15_an_error_with_any_other_body_is_known_by_its_status(refused, status, kind, body):
    """The right class, the status and a request id, though nothing of the body can be used."""
    headers = {"Content-Type": "application/problem+json", "X-Request-Id": "q-77"}

    error = refused(kind, get_task, body, status, headers)

    assert (error.status, error.request_id) == (status, "q-77")
    assert (error.code, error.title, error.detail, error.reference) == (None, None, None, None)


@pytest.mark.parametrize("name", ["an-endless-array", "a-gzip-bomb"])
@pytest.mark.parametrize(("status", "kind"), [(401, Unauthorized), (404, TaskNotFound), (500, ServerError)])
async def test_c15_an_error_body_without_end_is_known_by_its_status(connect, service, small_cap, status, kind, name):
    """Any other body still gives the right error from the status alone."""
    service.answers(TASK, HOSTILE[name](status))

    with pytest.raises(IceyeError) as caught:
        await connect(retry=ONCE).tasks.get("t1")

    assert type(caught.value) is kind


@pytest.mark.parametrize("key", ["code", "title", "details", "message", "reference"])
def test_c15_a_text_of_many_lines_is_one_short_line(refused, key):
    """What the service says goes into messages and logs: one line, not endless, nothing that moves a cursor."""
    error = refused(BadRequest, get_task, {key: "first\r\n\x1b[31msecond\u2028\u202ethird " + "x" * 50_000}, status=400)

    shown = f"{error} {error.code} {error.title} {error.detail} {error.reference}"
    assert shown.isprintable()
    assert len(str(error)) < 2_000


ECHOES = {
    "the-token": TOKEN,
    "its-header": f"Authorization: Bearer {TOKEN}",
    "a-link": f"cannot read {LINK}",
    "a-link-in-quotes": f"cannot read '{LINK}', \"{LINK}\" and <{LINK}>",
    "a-link-in-capitals": f"HTTPS://D1.CLOUDFRONT.NET/f?Signature={SIGNATURE}",
    "user-information": f"https://user:{SIGNATURE}@l.example/f",
    "both": f"{LINK} {TOKEN}",
}
BARE = {
    "a-query": f"GET /a/f.tif?Expires=1&Signature={SIGNATURE}&Policy={POLICY} failed",
    "a-part-of-one": f"bad Signature={SIGNATURE}",
    "a-link-without-scheme": f"//d1.cloudfront.net/f?Policy={POLICY}&Signature={SIGNATURE}",
    "another-scheme": f"s3://d1/f?Policy={POLICY}&Signature={SIGNATURE}",
}


@pytest.mark.parametrize("key", ["code", "title", "details", "message", "reference", "error_description"])
@pytest.mark.parametrize("status", [400, 401, 403, 404, 418, 429, 500, 503])
@pytest.mark.parametrize("echo", ECHOES.values(), ids=ECHOES)
def test_c15_a_secret_that_is_echoed_is_not_shown(refused, caplog, key, status, echo):
    """Neither the token nor a signature is in the error, its facts, its chain, its pickle or the log."""
    caplog.set_level(logging.DEBUG)

    error = refused(IceyeError, get_task, {key: echo}, status)

    assert leaked(error) == []
    assert not [secret for secret in SECRETS if secret in repr(pickle.dumps(error)) + caplog.text]


@pytest.mark.parametrize("key", ["code", "message", "reference"])
@pytest.mark.parametrize("echo", BARE.values(), ids=BARE)
def test_c15_a_signed_query_that_is_echoed_without_its_host_is_not_shown(refused, key, echo):
    """Signed queries are masked in every error, also where they do not look like a link."""
    assert leaked(refused(IceyeError, get_task, {key: echo}, 400)) == []


def test_c15_an_escaped_token_is_not_shown(refused):
    """Escapes of JSON are no way around it."""
    body = encoded({"code": "X", "message": "#"}).replace(b"#", "".join(f"\\u{ord(c):04x}" for c in TOKEN).encode())

    assert leaked(refused(IceyeError, get_task, body, 400)) == []


@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize("echo", [TOKEN, f"q; Signature={SIGNATURE}"], ids=["the-token", "a-signature"])
def test_c15_a_secret_that_is_echoed_in_a_header_is_not_shown(refused, status, echo):
    """The request id is text of the service like any other."""
    assert leaked(refused(IceyeError, get_task, b"[]", status, {"X-Request-Id": echo})) == []


# --- C16: times --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-03-01T12:34:56Z", datetime(2026, 3, 1, 12, 34, 56, tzinfo=UTC)),
        ("2026-03-01T12:34:56+03:00", datetime(2026, 3, 1, 9, 34, 56, tzinfo=UTC)),
        ("2026-03-01T12:34:56-00:00", datetime(2026, 3, 1, 12, 34, 56, tzinfo=UTC)),
        ("2026-03-01T00:34:56.5+05:45", datetime(2026, 2, 28, 18, 49, 56, 500_000, tzinfo=UTC)),
        ("2026-03-01t12:34:56z", datetime(2026, 3, 1, 12, 34, 56, tzinfo=UTC)),
        ("2028-02-29T23:59:59Z", datetime(2028, 2, 29, 23, 59, 59, tzinfo=UTC)),
        ("0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC)),
        ("9999-12-31T23:59:59.999999Z", datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)),
    ],
)
def test_c16_a_documented_time_is_aware_and_in_utc(ask, text, moment):
    """With Z or with an offset, it is a datetime that can be compared with any other."""
    found = ask(get_task, order(fulfilledAt=text)).fulfilled_at

    assert found == moment
    assert found.utcoffset().total_seconds() == 0


@pytest.mark.parametrize("digits", range(1, 10))
def test_c16_a_second_may_have_up_to_nine_digits_behind_the_point(ask, digits):
    """Their number varies in what the service sends; what is finer than a microsecond is cut off."""
    found = ask(get_task, order(fulfilledAt=f"2026-03-01T12:34:56.{'987654321'[:digits]}Z")).fulfilled_at

    assert found == datetime(2026, 3, 1, 12, 34, 56, int(f"{'987654'[:digits]:0<6}"), tzinfo=UTC)


NO_TIMES = [
    "2026-03-01T12:34:60Z",
    "2026-03-01T24:00:00Z",
    "2026-03-01T12:60:00Z",
    "2026-02-29T00:00:00Z",
    "2026-13-01T00:00:00Z",
    "2026-00-00T00:00:00Z",
    "0000-01-01T00:00:00Z",
    "0001-01-01T00:00:00+01:00",
    "9999-12-31T23:59:59-01:00",
    "10000-01-01T00:00:00Z",
    "2026-03-01T12:34:56",
    "2026-03-01 12:34:56Z",
    "2026-03-01T12:34Z",
    "2026-03-01T12:34:56.Z",
    "2026-03-01T12:34:56,5Z",
    "2026-03-01T12:34:56+24:00",
    "2026-03-01T12:34:56+3",
    "2026-03-01",
    "20260301T123456Z",
    "2026-W09-7T12:34:56Z",
    "1772368496",
    "\u0662\u0660\u0662\u0666-03-01T12:34:56Z",
    " 2026-03-01T12:34:56Z",
    "2026-03-01T12:34:56Z\n",
    "yesterday",
    "",
]


@pytest.mark.parametrize("text", NO_TIMES, ids=ascii)
def test_c16_what_is_no_time_is_refused_where_it_stands(refused, text):
    """A leap second, the year 0, no zone: a DecodeError with the path."""
    assert refused(DecodeError, get_task, order(createdAt=text)).where == ("$.createdAt",)


@pytest.mark.parametrize("text", NO_TIMES, ids=ascii)
def test_c16_a_product_with_a_bad_time_does_not_hide_the_others(ask, text):
    """It is named, and the others are given."""
    pages = []

    async def whole(client):
        pages.append(client.products.list("t1"))
        await pages[0]

    with pytest.raises(DecodeError) as caught:
        ask(whole, listing(product(properties={"created": text}), product(id="p2")))

    assert caught.value.where == ("$.data[0].properties.created",)
    assert [item.id for item in pages[0].latest] == ["p2"]


# --- C17: places on the ground -----------------------------------------------------------------------------------


def polygon(*points):
    return {"type": "Polygon", "coordinates": [list(map(list, points))]}


@pytest.mark.parametrize(
    ("box", "geometry"),
    [
        ([170.0, -10.0, -170.0, 10.0], polygon((170, -10), (-170, -10), (-170, 10), (170, 10), (170, -10))),
        ([1.0, 2.0, 0.0, 3.0, 4.0, 900.0], polygon((1, 2, 0), (3, 2, 5), (3, 4, 900), (1, 2, 0))),
        ([], {"type": "Polygon", "coordinates": []}),
        ([5.0, 6.0, 1.0, 2.0], polygon((0, 0), (0, 1), (1, 1), (0, 0))),
        ([200.0, -95.0, 999.0, 1e300], polygon((200, -95), (999, 0), (200, -95))),
        ([1.0], {"type": "GeometryCollection", "geometries": []}),
        (None, {"type": "Hexagon", "coordinates": "none", "crs": {"a": None}}),
        (None, {}),
        (None, None),
    ],
    ids=["antimeridian", "three-dimensions", "empty", "reversed", "off-the-globe", "short", "new", "bare", "null"],
)
def test_c17_box_and_geometry_pass_through_unjudged(ask, box, geometry):
    """They are the service's; nothing is validated, turned or closed."""
    (found,) = ask(list_products, listing(product(bbox=box, geometry=geometry)))

    assert found.bbox == (None if box is None else tuple(box))
    assert found.geometry == geometry
    assert found.__geo_interface__["geometry"] == geometry


def test_c17_a_geometry_of_a_million_points_passes(ask):
    """Size is no reason to refuse a footprint."""
    body = listing(product(geometry=polygon("#"))).replace(b'["#"]', b",".join([b"[1,2]"] * 1_000_000))

    (found,) = ask(list_products, body)

    assert len(found.geometry["coordinates"][0]) == 1_000_000


# --- C18: links to anywhere --------------------------------------------------------------------------------------

NOWHERE = {
    "relative": "f.tif?Signature=c4n4ry~sig-0042",
    "absolute-path": "/a/f.tif",
    "without-scheme": "//d1.cloudfront.net/f",
    "empty": "",
    "file": "file:///etc/passwd",
    "ftp": "ftp://d1.cloudfront.net/f",
    "data": "data:text/plain,x",
    "javascript": "javascript:alert(1)",
    "no-host": "https:///f",
    "user-information": f"https://user:{SIGNATURE}@d1.cloudfront.net/f",
    "64-kilobytes": "https://d1.cloudfront.net/" + "a" * 65_536,
    "space": "https://d1.cloudfront.net/a b",
    "newline": "https://d1.cloudfront.net/f\r\nX-Evil: 1",
    "nul": "https://d1.cloudfront.net/\x00",
    "not-ascii": "https://d1.cloudfr\u00f6nt.net/f",
    "bad-port": "https://d1.cloudfront.net:99999/f",
    "bad-brackets": "https://[::1/f",
}
LOCAL = {
    "http": "http://d1.cloudfront.net/f",
    "loopback": "https://127.0.0.1/f",
    "loopback-name": "https://localhost/f",
    "loopback-v6": "https://[::1]/f",
    "mapped-v6": "https://[::ffff:127.0.0.1]/f",
    "private": "https://10.1.2.3/f",
    "private-v6": "https://[fd00::1]/f",
    "this-host": "https://0.0.0.0/f",
    "shared": "https://100.64.0.1/f",
    "metadata": "https://169.254.169.254/latest/meta-data/",
    "metadata-v6": "https://[fd00:ec2::254]/latest/",
    "metadata-name": "https://metadata.google.internal/f",
    "metadata-as-a-number": "https://2852039166/f",
    "metadata-in-hex": "https://0xa9fea9fe/f",
    "metadata-in-octal": "https://0251.0376.0251.0376/f",
    "trailing-dot": "https://127.0.0.1./f",
    "single-label": "https://intranet/f",
}


@pytest.fixture
def no_network(monkeypatch):
    """Notes each connection that would be made, and makes none."""
    made = []

    async def connect(connector, request, *args, **options):
        made.append(str(request.url))
        raise OSError("no network in a test")

    monkeypatch.setattr("aiohttp.TCPConnector.connect", connect)
    return made


@pytest.mark.parametrize("make", [derivative, product], ids=["derivative", "product"])
@pytest.mark.parametrize("href", [*NOWHERE.values(), *LOCAL.values()], ids=[*NOWHERE, *LOCAL])
def test_c18_a_link_to_anywhere_is_readable_and_not_followed(ask, no_network, tmp_path, make, href):
    """The item comes out with the link as given; its download is refused before anything is sent or written."""
    assets = [{"href": href}] if make is derivative else {"f": {"href": href}}
    found = []

    async def fetch(client):
        found.extend(await (look if make is derivative else list_products)(client))
        await client.download(found[0], to=tmp_path)

    with pytest.raises((DownloadError, UsageError)) as caught:
        ask(fetch, listing(make(assets=assets)))

    shown = found[0].assets
    assert (shown[0] if make is derivative else shown["f"]).href == href
    assert SIGNATURE not in repr(found[0]) + everything(caught.value)
    assert no_network == []
    assert not [path for path in tmp_path.rglob("*") if not path.name.startswith(".")]


@pytest.mark.parametrize("href", NOWHERE.values(), ids=NOWHERE)
async def test_c18_an_api_on_loopback_allows_links_to_loopback_and_no_others(connect, no_network, tmp_path, href):
    """A sandbox's links are plain http; what is no link at all is refused there just the same."""
    asset = DerivativeAsset(href=href, type="geojson")

    with pytest.raises((DownloadError, UsageError)):
        await connect().download(Derivative(id="d1", type="DC_VESSELS", task_id="t1", assets=(asset,)), to=tmp_path)

    assert no_network == []


# --- C20: labels -------------------------------------------------------------------------------------------------

LABELS = [
    "application/json",
    "application/json; charset=utf-8",
    "application/json; charset=latin-1",
    "application/json; charset=utf-16",
    "application/json; charset=no-such-charset",
    "application/json; charset=",
    "application/geo+json",
    "application/problem+json",
    "application/octet-stream",
    "text/plain; charset=us-ascii",
    "text/html; charset=windows-1252",
    "image/png",
    "nonsense",
    ";;;",
    "*/*",
]
PLACE = "Z\u00fcrich \u6771\u4eac \U0001f6f0"


@pytest.mark.parametrize("label", LABELS)
async def test_c20_valid_json_is_read_whatever_its_label_says(connect, service, label):
    """JSON is UTF-8; a wrong type or charset changes nothing."""
    service.answers(TASK, labelled(label, 200, encoded(order(reference=PLACE))))

    assert (await connect().tasks.get("t1")).reference == PLACE


@pytest.mark.parametrize("label", LABELS)
async def test_c20_an_error_body_is_read_whatever_its_label_says(connect, service, label):
    """The same for what an error says."""
    service.answers(TASK, labelled(label, 403, encoded({"code": "NO", "message": PLACE})))

    with pytest.raises(Forbidden) as caught:
        await connect().tasks.get("t1")

    assert (caught.value.code, caught.value.detail) == ("NO", PLACE)


def labelled(label, status, body):
    """A reply with this Content-Type, byte for byte."""

    async def answer(request):
        head = (
            f"HTTP/1.1 {status} X\r\nContent-Type: {label}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        request.transport.write(head.encode() + body)
        request.transport.close()
        return web.Response()

    return answer


async def test_c20_a_reply_without_any_label_is_read(connect, service):
    """No Content-Type at all."""

    async def answer(request):
        body = encoded(order(reference=PLACE))
        request.transport.write(
            b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body
        )
        request.transport.close()
        return web.Response()

    service.answers(TASK, answer)

    assert (await connect().tasks.get("t1")).reference == PLACE
