"""What can be asked: paths that lead nowhere else, bodies as documented, and a refusal before anything is sent."""

import json
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iceye_async.errors import NotFound, TaskNotFound, UsageError
from iceye_async.models import DerivativeType, ImagingMode, ProductType
from iceye_async.protocol.ordering import TaskRequest, words
from iceye_async.protocol.requests import (
    cancel_task,
    check_feasibility,
    checked_id,
    create_task,
    get_contract,
    get_derivatives,
    get_price,
    get_scene,
    get_task,
    list_contracts,
    list_products,
    list_tasks,
    look_for_derivatives,
    look_for_products,
)

TASKS = "/api/tasking/v2/tasks"
WINDOW = (datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, 12, 30, 15, 250_000, UTC))
LOOKS = [get_task, get_derivatives, look_for_derivatives, list_products]


def create(**changes):
    given = {
        "contract_id": "c1",
        "imaging_mode": ImagingMode.SPOTLIGHT,
        "point_of_interest": (60.19, 24.83),
        "acquisition_window": WINDOW,
    }
    return create_task(TaskRequest(**{**given, **changes}))


# --- looks -----------------------------------------------------------------------------------------------------


def test_the_documented_paths():
    assert get_task("t1").path == f"{TASKS}/t1"
    assert get_derivatives("t1").path == look_for_derivatives("t1").path == f"{TASKS}/t1/derivatives"
    assert list_products("t1").path == f"{TASKS}/t1/products"
    assert list_products("t1", ProductType.GRD_COG).path == f"{TASKS}/t1/products/GRD-COG"
    assert list_products("t1", cursor="a b+c=/&?").path == f"{TASKS}/t1/products?cursor=a%20b%2Bc%3D%2F%26%3F"
    assert list_products("t1", "GRD", "x").path == f"{TASKS}/t1/products/GRD?cursor=x"


def test_a_look_is_a_get_without_a_body_that_may_be_repeated():
    for look in LOOKS:
        request = look("t1")
        assert (request.method, request.body, request.repeatable) == ("GET", None, True)


def test_a_404_is_an_answer_only_to_a_wait():
    assert look_for_derivatives("t1").answers == {200, 206, 404}
    assert look_for_products("t1", None, None).answers == {200, 404}
    assert look_for_products("t1", "GRD", "x").path == list_products("t1", "GRD", "x").path
    assert get_derivatives("t1").answers == {200, 206}
    assert get_task("t1").answers == list_products("t1").answers == {200}


def test_a_404_about_a_task_means_that_there_is_none():
    assert get_task("t1").absent is TaskNotFound
    assert list_products("t1").absent is NotFound


@pytest.mark.parametrize(
    ("task_id", "quoted"),
    [
        ("7fb95g75-6828-5673-c4gd-3d074g77bgb7", "7fb95g75-6828-5673-c4gd-3d074g77bgb7"),
        ("a/b", "a%2Fb"),
        ("a?b", "a%3Fb"),
        ("a#b", "a%23b"),
        ("../x", "..%2Fx"),
        ("%2e%2e", "%252e%252e"),
        ("a\\b", "a%5Cb"),
        ("a b", "a%20b"),
        ("a\r\nHost: x", "a%0D%0AHost%3A%20x"),
        ("a\x00b", "a%00b"),
        ("...", "..."),
        ("ä", "%C3%A4"),
        ("a;b=c:d@e", "a%3Bb%3Dc%3Ad%40e"),
        ("x" * 512, "x" * 512),
    ],
)
def test_an_id_stays_one_segment_of_the_path(task_id, quoted):
    assert get_task(task_id).path == f"{TASKS}/{quoted}"
    assert get_derivatives(task_id).path == f"{TASKS}/{quoted}/derivatives"
    assert list_products(task_id, task_id).path == f"{TASKS}/{quoted}/products/{quoted}"


HOSTILE = ["", " ", "\t\n", "\u00a0", ".", "..", "\ud800", "a\udfffb", "x" * 513, "x" * 1_000_000]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text[:5]) + str(len(text)))
def test_an_id_that_would_be_another_path_is_refused(text):
    for look in LOOKS:
        with pytest.raises(UsageError, match="cannot be a task id") as caught:
            look(text)
        assert len(str(caught.value)) < 300
    with pytest.raises(UsageError, match="cannot be a product type"):
        list_products("t1", text)


@pytest.mark.parametrize("value", [None, 5, b"t1", 1.5, True, ("t1",), ["t1"], {"t1"}, {"id": "t1"}, object], ids=repr)
def test_an_id_that_is_no_string_is_refused(value):
    for look in LOOKS:
        with pytest.raises(UsageError, match=f"a task id is a string, not {type(value).__name__}"):
            look(value)
    if value is not None:
        with pytest.raises(UsageError, match="a product type is a string"):
            list_products("t1", value)


def test_what_was_refused_once_is_refused_again():
    for _ in range(3):
        with pytest.raises(UsageError):
            get_derivatives("..")


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=600))
def test_any_text_is_one_segment_or_refused(text):
    for look in LOOKS:
        try:
            path = look(text).path
        except UsageError:
            continue
        parts = urlsplit(f"https://host{path}")
        assert (parts.query, parts.fragment, parts.hostname) == ("", "", "host")
        assert path.isascii()
        assert path.isprintable()
        assert path.count("/") == look("t1").path.count("/")
        assert unquote(path.split("/")[5]) == text
        assert path.split("/")[5] not in {"", ".", ".."}


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_cursor_stays_one_parameter(cursor):
    query = list_products("t1", cursor=cursor).path.partition("?")[2]

    assert query.startswith("cursor=")
    assert unquote(query.removeprefix("cursor=")) == cursor
    assert not set(query) & set("&#+ ;")


# --- creating a task -------------------------------------------------------------------------------------------


def test_the_body_of_a_new_task_is_as_documented():
    request = create(
        product_types=[ProductType.GRD, "SLC-COG"], derivative_product_types=DerivativeType.VESSELS, reference="r1"
    )

    assert (request.method, request.path, request.answers) == ("POST", TASKS, {200, 201})
    assert json.loads(json.dumps(request.body)) == {
        "contractID": "c1",
        "imagingMode": "SPOTLIGHT",
        "pointOfInterest": {"lat": 60.19, "lon": 24.83},
        "acquisitionWindow": {"start": "2026-03-01T00:00:00Z", "end": "2026-03-02T12:30:15.250000Z"},
        "productTypes": ["GRD", "SLC-COG"],
        "derivativeProductTypes": ["DC_VESSELS"],
        "reference": "r1",
    }


def test_what_was_left_out_is_not_sent():
    assert set(create().body) == {"contractID", "imagingMode", "pointOfInterest", "acquisitionWindow"}


def test_a_create_may_not_be_repeated_and_its_body_is_not_shown():
    request = create(reference="hush")

    assert not request.repeatable
    assert "hush" not in repr(request)


def test_a_mode_of_a_contract_is_any_string():
    assert create(imaging_mode="TENANT_MODE").body["imagingMode"] == "TENANT_MODE"


def test_times_of_any_zone_are_sent_in_utc():
    east = timezone(timedelta(hours=5, minutes=30))
    window = (datetime(2026, 3, 1, 5, 30, tzinfo=east), datetime(2026, 3, 2, 12, tzinfo=east))

    assert create(acquisition_window=window).body["acquisitionWindow"] == {
        "start": "2026-03-01T00:00:00Z",
        "end": "2026-03-02T06:30:00Z",
    }


@pytest.mark.parametrize("place", [0, 1])
def test_a_time_without_a_zone_is_refused(place):
    window = [*WINDOW]
    window[place] = datetime(2026, 3, 1)  # noqa: DTZ001 - what is refused here

    with pytest.raises(UsageError, match="without a zone"):
        create(acquisition_window=tuple(window))


@pytest.mark.parametrize("point", [(90, 180), (-90, -180), (0, 0), [60, 24], (90.0, -180.0)])
def test_points_on_the_globe(point):
    assert create(point_of_interest=point).body["pointOfInterest"] == {"lat": point[0], "lon": point[1]}


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize("point", [(91, 0), (-90.1, 0), (0, 181), (0, -180.5), (NAN, 0), (0, NAN), (INF, 0), (0, -INF)])
def test_a_point_that_is_not_on_the_globe_is_refused(point):
    with pytest.raises(UsageError, match="is not on the globe"):
        create(point_of_interest=point)


class Nowhere(tzinfo):
    """A zone without an offset, which Python takes for none."""

    def utcoffset(self, _):
        return None

    def dst(self, _):
        return None

    def tzname(self, _):
        return None


@pytest.mark.parametrize(
    "change",
    [
        *[{"point_of_interest": wrong} for wrong in (None, 5, (), (1,), (1, 2, 3), ("60", "24"), (None, 1), "60,24")],
        *[{"acquisition_window": wrong} for wrong in (None, 5, (), WINDOW[:1], (*WINDOW, WINDOW[0]), ("2026", "2027"))],
        {"acquisition_window": (None, None)},
        {"acquisition_window": (date(2026, 3, 1), date(2026, 3, 2))},
        {"acquisition_window": (datetime(2026, 3, 1, tzinfo=Nowhere()), WINDOW[1])},
        {"acquisition_window": (datetime.min.replace(tzinfo=timezone(timedelta(hours=1))), WINDOW[1])},
        *[{"product_types": wrong} for wrong in (5, True, [5], b"GRD", [None], [[]])],
        *[{"derivative_product_types": wrong} for wrong in (5, [5], [["DC_VESSELS"]])],
        *[{"contract_id": wrong} for wrong in (None, 5, [])],
        *[{"imaging_mode": wrong} for wrong in (None, 5, [])],
        {"reference": object},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_is_of_the_wrong_kind_is_refused_before_anything_is_sent(change):
    """The call itself is wrong, and that is a `UsageError`: no other exception leaves a public call."""
    with pytest.raises(UsageError):
        create(**change)


# --- words -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given",
    [
        "DC_VESSELS",
        ["DC_VESSELS"],
        {"DC_VESSELS"},
        (DerivativeType.VESSELS,),
        iter(["DC_VESSELS", "DC_VESSELS"]),
        {"DC_VESSELS": 1},
        DerivativeType.VESSELS,
    ],
)
def test_a_bare_string_is_one_word_and_any_collection_will_do(given):
    assert words(given, "types") == ("DC_VESSELS",)


def test_words_keep_their_order_and_come_once():
    assert words(["B", "A", "B", "C", "A"], "types") == ("B", "A", "C")


@pytest.mark.parametrize("given", [[], (), set(), {}, iter([])])
def test_an_empty_collection_is_refused(given):
    with pytest.raises(UsageError, match="types is empty; leave it out instead"):
        words(given, "types")


@pytest.mark.parametrize("given", ["", " ", ["A", ""], ["\n"], [None], [5], [b"A"], b"A", [["A"]], [True]], ids=repr)
def test_what_is_no_word_is_refused(given):
    with pytest.raises(UsageError, match="types holds"):
        words(given, "types")


@pytest.mark.parametrize("given", [None, 5, 1.5, True, object], ids=repr)
def test_what_is_no_collection_is_refused(given):
    with pytest.raises(UsageError, match="types"):
        words(given, "types")


def test_a_window_that_ends_before_it_begins_is_refused():
    for window in (WINDOW[::-1], (WINDOW[0], WINDOW[0])):
        with pytest.raises(UsageError, match="ends before"):
            create(acquisition_window=window)


# --- following, listing, asking before ordering ----------------------------------------------------------------


def test_a_cancel_says_so_and_nothing_else_and_may_not_be_repeated():
    request = cancel_task("t1")

    assert (request.method, request.path, request.body) == ("PATCH", f"{TASKS}/t1", {"status": "CANCELED"})
    assert (request.repeatable, request.absent) == (False, TaskNotFound)


def test_the_filters_of_a_list_of_tasks_go_with_each_cursor():
    east = timezone(timedelta(hours=2))
    filters = ("c 1", datetime(2026, 3, 1, 2, tzinfo=east), datetime(2026, 3, 2, tzinfo=UTC))
    times = "createdAfter=2026-03-01T00%3A00%3A00Z&createdBefore=2026-03-02T00%3A00%3A00Z"
    first = f"{TASKS}?contractID=c%201&{times}&limit=50"

    assert list_tasks(*filters).path == first
    assert list_tasks(*filters, "a=/").path == f"{first}&cursor=a%3D%2F"
    assert list_tasks().path == f"{TASKS}?limit=50"


@pytest.mark.parametrize(
    "filters",
    [
        {"contract_id": ""},
        {"contract_id": 5},
        {"contract_id": "\ud800"},
        {"created_after": "2026-03-01"},
        {"created_before": datetime(2026, 3, 1)},  # noqa: DTZ001 - what is refused here
        {"created_after": WINDOW[1], "created_before": WINDOW[0]},
        {"created_after": WINDOW[0], "created_before": WINDOW[0]},
    ],
    ids=str,
)
def test_a_filter_that_can_find_nothing_is_refused(filters):
    with pytest.raises(UsageError, match=next(reversed(filters))):
        list_tasks(**filters)


def test_a_price_is_asked_for_in_the_query():
    place = "contractID=c1&imagingMode=SPOTLIGHT&pointOfInterest%5Blat%5D=60.19&pointOfInterest%5Blon%5D=-24"
    given = {"contract_id": "c1", "imaging_mode": ImagingMode.SPOTLIGHT, "point_of_interest": (60.19, -24)}

    assert get_price(**given).path == f"/api/tasking/v2/price?{place}"
    assert get_price(**given, sla="SLA_8H", eula="MULTI").path == f"/api/tasking/v2/price?{place}&sla=SLA_8H&eula=MULTI"
    with pytest.raises(UsageError, match="priority"):
        get_price(**given, priority=" ")


def test_the_other_documented_paths():
    assert get_scene("t1").path == f"{TASKS}/t1/scene"
    assert list_contracts().path == "/api/company/v1/contracts"
    assert list_contracts("x y").path == "/api/company/v1/contracts?cursor=x%20y"
    assert get_contract("a/b").path == "/api/company/v1/contracts/a%2Fb"
    with pytest.raises(UsageError, match="cannot be a contract id"):
        get_contract("..")


ORDER = TaskRequest(
    contract_id="c1", imaging_mode="SPOTLIGHT", point_of_interest=(60.19, 24.83), acquisition_window=WINDOW
)


@pytest.mark.parametrize(
    "orders", [ORDER, [ORDER], (ORDER, ORDER), iter([ORDER])], ids=["one", "list", "two", "iterator"]
)
def test_feasibility_takes_requests_in_an_array_and_its_time(orders):
    request = check_feasibility(orders)

    assert (request.method, request.path) == ("POST", "/api/tasking/v2/feasibility")
    assert {json.dumps(order) for order in request.body} == {json.dumps(create_task(ORDER).body)}
    assert (request.repeatable, request.slow) == (True, True)


@pytest.mark.parametrize(
    "orders", [[], None, 5, [5], [{}], [ORDER, None]], ids=["empty", "none", "5", "[5]", "[{}]", "half"]
)
def test_what_is_no_task_request_is_refused(orders):
    with pytest.raises(UsageError, match="feasibility takes TaskRequests"):
        check_feasibility(orders)


@pytest.mark.parametrize("given", ["3fa85f64-5717-4562-b3fc-2c963f66afa6", "a/../b", "t" * 512])
def test_what_can_be_an_id_is_given_back(given):
    assert checked_id(given) == given


@pytest.mark.parametrize("given", ["", " ", ".", "..", "t" * 513, "\ud800", 7, None])
def test_what_can_be_no_id_is_refused(given):
    with pytest.raises(UsageError):
        checked_id(given)
