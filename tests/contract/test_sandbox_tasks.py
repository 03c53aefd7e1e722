"""The sandbox through the whole life of a task, asked over plain HTTP and not through the client.

What is published of these calls is less than what a server must decide. Where it decided by itself, its sources say so;
here only what a caller can rely on is asserted.
"""

import contextlib
import itertools
from datetime import datetime, timedelta

import pytest

from iceye_async.sandbox import Scenario
from tests.desk import CONTRACTS, FEASIBILITY, NOBODY, PRICE, TASKS, Desk
from tests.desk import open_desk as open_any_desk

STAGED = {"decided": 10, "imaged": 40, "fulfilled": 100, "done": 200, "derivatives": {"DC_VESSELS": 10.0}}
"""ACTIVE at 10 s, the picture at 40, FULFILLED at 140, DONE at 240."""
STAGES = {"RECEIVED": 5, "ACTIVE": 15, "FULFILLED": 145, "DONE": 245}
EVERYTHING = {
    "reference": "r" * 256,
    "exclusivity": "PUBLIC",
    "priority": "BACKGROUND",
    "sla": "SLA_24H",
    "incidenceAngle": {"min": 10, "max": 45},
    "lookSide": "LEFT",
    "passDirection": "ASCENDING",
    "imagingDuration": 180,
    "productTypes": ["GRD", "SLC-COG"],
    "derivativeProductTypes": ["DC_VESSELS"],
    "eula": "GOVERNMENT",
    "notifications": {"webhook": {"id": NOBODY}},
    "deliveries": [
        {"locations": [{"configID": NOBODY, "path": "a", "subPath": "b"}, {"configID": NOBODY, "path": "d"}]}
    ],
}


class TaskDesk(Desk):
    """A desk for the life of a task."""

    async def statuses(self, path):
        """What this path is answered with in each stage of a task."""
        found = []
        for self.clock.time in STAGES.values():
            found.append((await self.get(path))[0])
        return found

    async def price(self, **changes):
        query = {
            "contractID": self.sandbox.contract_id,
            "imagingMode": "SPOTLIGHT",
            "pointOfInterest[lat]": "60.2",
            "pointOfInterest[lon]": "24.9",
            "exclusivity": "PRIVATE",
            "priority": "COMMERCIAL",
            "sla": "SLA_8H",
            "eula": "STANDARD",
        }
        return await self.get(PRICE, **{name: value for name, value in (query | changes).items() if value is not None})


@contextlib.asynccontextmanager
async def open_desk(**scenario):
    async with open_any_desk(Scenario(**(STAGED | scenario)), kind=TaskDesk) as desk:
        yield desk


@pytest.fixture
async def desk():
    """A task goes through its statuses as the clock is moved."""
    async with open_desk() as desk:
        yield desk


# --- create ----------------------------------------------------------------------------------------------------------


async def test_every_documented_field_is_taken_and_told_again(desk):
    status, created = await desk.create(**EVERYTHING)
    _, found = await desk.get(f"{TASKS}/{created['id']}")

    assert status == 201
    assert found == created
    told = {key: value for key, value in found.items() if key in EVERYTHING}
    (delivery,) = told.pop("deliveries")
    ordered = dict(EVERYTHING)
    assert delivery == {**ordered.pop("deliveries")[0], "status": "pending"}
    ordered.pop("derivativeProductTypes")
    assert told == ordered


async def test_derivative_types_are_told_where_the_scenario_has_it_so():
    async with open_desk(echo=True) as desk:
        _, task = await desk.create(**EVERYTHING)

    assert task["derivativeProductTypes"] == ["DC_VESSELS"]


REFUSED = {
    "unknown field": {"color": "red"},
    "reference": {"reference": "r" * 257},
    "reference kind": {"reference": 5},
    "exclusivity": {"exclusivity": "SECRET"},
    "priority": {"priority": "URGENT"},
    "sla": {"sla": "SLA_1H"},
    "eula": {"eula": "standard"},
    "look side": {"lookSide": "UP"},
    "pass direction": {"passDirection": ["ASCENDING"]},
    "duration zero": {"imagingDuration": 0},
    "duration long": {"imagingDuration": 181},
    "duration kind": {"imagingDuration": 1.5},
    "duration bool": {"imagingDuration": True},
    "angles reversed": {"incidenceAngle": {"min": 40, "max": 20}},
    "angles low": {"incidenceAngle": {"min": 9, "max": 20}},
    "angles high": {"incidenceAngle": {"min": 20, "max": 46}},
    "angles half": {"incidenceAngle": {"min": 20}},
    "angles kind": {"incidenceAngle": {"min": 20, "max": 30.5}},
    "angles list": {"incidenceAngle": [20, 30]},
    "mode": {"imagingMode": "SNAPSHOT"},
    "mode kind": {"imagingMode": {}},
    "north": {"pointOfInterest": {"lat": 90.1, "lon": 0}},
    "west": {"pointOfInterest": {"lat": 0, "lon": -180.1}},
    "not a number": {"pointOfInterest": {"lat": float("nan"), "lon": 0}},
    "position kind": {"pointOfInterest": {"lat": "60", "lon": True}},
    "half a position": {"pointOfInterest": {"lat": 0}},
    "product types": {"productTypes": "GRD"},
    "a product type": {"productTypes": ["GRD", "PHOTO"]},
    "derivative types": {"productTypes": ["GRD"], "derivativeProductTypes": ["DC_SHEEP"]},
    "derivative types kind": {"productTypes": ["GRD"], "derivativeProductTypes": [["DC_VESSELS"]]},
    "webhook": {"notifications": {"webhook": NOBODY}},
    "webhook id": {"notifications": {"webhook": {}}},
    "deliveries": {"deliveries": {"locations": []}},
    "delivery": {"deliveries": [{}]},
    "place": {"deliveries": [{"locations": [{"path": "a"}]}]},
    "place kind": {"deliveries": [{"locations": [{"configID": "a", "path": 5}]}]},
}


@pytest.mark.parametrize("changes", REFUSED.values(), ids=REFUSED)
async def test_a_field_that_is_not_as_documented_is_refused_and_nothing_is_booked(desk, changes):
    status, body = await desk.create(**changes)
    _, tasks = await desk.get(TASKS)

    assert status == 400
    assert body["message"]
    assert tasks["data"] == []


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("2026-01-02T00:00:00Z", "2026-01-01T12:00:00Z"),
        ("2026-01-02T00:00:00", "2026-01-03T00:00:00"),
        ("2026-01-02", "2026-01-03"),
        ("2025-12-02T00:00:00Z", "2025-12-31T23:59:59Z"),
        ("2026-01-02T00:00:00Z", "2026-01-15T00:00:01Z"),
        ("0001-01-01T00:00:00+23:00", "0001-01-02T00:00:00+23:00"),
        ("9999-12-30T00:00:00Z", "9999-12-31T23:59:59-23:00"),
        ("2026-02-30T00:00:00Z", "2026-01-03T00:00:00Z"),
        (1, 2),
    ],
    ids=["reversed", "naive", "dates", "over", "later than two weeks", "first", "last", "no day", "numbers"],
)
async def test_a_window_that_cannot_be_is_refused(desk, start, end):
    status, _ = await desk.create(acquisitionWindow={"start": start, "end": end})

    assert status == 400


async def test_the_times_of_a_window_may_have_any_offset(desk):
    window = {"start": "2026-01-01T03:00:20+03:00", "end": "2025-12-31T23:00:00.25-05:30"}

    path = await desk.created(acquisitionWindow=window)
    _, task = await desk.get(path)
    desk.clock.time = 30
    _, scene = await desk.get(f"{path}/scene")

    assert task["acquisitionWindow"] == window
    assert scene["imagingTime"]["start"] == "2026-01-01T00:01:00.000000Z"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"5", b"null", b"\xff"])
async def test_a_body_that_is_no_object_is_refused(desk, body):
    status, _ = await desk.ask("POST", TASKS, data=body)

    assert status == 400


async def test_of_a_foreign_contract_nothing_can_be_ordered(desk):
    status, _ = await desk.create(contractID=NOBODY)

    assert status == 403


# --- times -----------------------------------------------------------------------------------------------------------


async def seen(desk, path, times, key):
    found = []
    for desk.clock.time in times:
        value = (await desk.get(path))[1].get(key)
        found.append(value and (datetime.fromisoformat(value) - desk.clock.epoch).total_seconds())
    return found


async def test_updated_is_when_the_status_changed(desk):
    path = await desk.created(productTypes=["GRD", "SICD"])

    assert await seen(desk, path, [0, 9, 11, 139, 141, 239, 241, 2000], "updatedAt") == [
        0,
        0,
        10,
        10,
        140,
        140,
        240,
        240,
    ]


async def test_fulfilled_is_told_once_it_is_and_stays(desk):
    path = await desk.created(productTypes=["GRD", "SICD"])

    assert await seen(desk, path, [0, 139, 141, 241], "fulfilledAt") == [None, None, 140, 140]


@pytest.mark.parametrize("end", ["FAILED", "REJECTED", "CANCELED"])
async def test_a_task_that_came_to_nothing_was_never_fulfilled(end):
    async with open_desk(ends=end) as desk:
        path = await desk.created()
        desk.clock.time = 300
        _, task = await desk.get(path)

    assert task["status"] == end
    assert "fulfilledAt" not in task


# --- list ------------------------------------------------------------------------------------------------------------


async def listed(desk, **query):
    """The references on each page, to the last."""
    pages, answer = [], {"cursor": None}
    while "cursor" in answer:
        assert len(pages) < 10
        more = {} if answer["cursor"] is None else {"cursor": answer["cursor"]}
        status, answer = await desk.get(TASKS, **query, **more)
        assert status == 200
        pages.append([task["reference"] for task in answer["data"]])
    return pages


@pytest.fixture
async def five(desk):
    """A desk with five tasks: 0 to 4, ten seconds after each other."""
    for number in range(5):
        desk.clock.time = 10 * number
        await desk.create(
            reference=str(number), notifications={"webhook": {"id": NOBODY}}, deliveries=[{"locations": []}]
        )
    return desk


async def test_without_any_task_the_list_is_one_empty_page(desk):
    assert await desk.get(TASKS) == (200, {"data": []})


@pytest.mark.parametrize(
    ("limit", "sizes"), [(1, [1] * 5), (2, [2, 2, 1]), (4, [4, 1]), (5, [5]), (6, [5]), (10_000, [5])]
)
async def test_pages_hold_as_many_as_asked_for_and_each_task_is_on_one(five, limit, sizes):
    pages = await listed(five, limit=limit)

    assert [len(page) for page in pages] == sizes
    assert sorted(itertools.chain(*pages)) == list("01234")


async def test_ten_are_on_a_page_by_default(five):
    for number in range(5, 11):
        await five.create(reference=str(number))

    assert [len(page) for page in await listed(five)] == [10, 1]


async def test_what_is_created_meanwhile_puts_no_task_on_two_pages(five):
    _, first = await five.get(TASKS, limit=3)
    await five.create(reference="5")
    _, second = await five.get(TASKS, limit=3, cursor=first["cursor"])

    assert not {task["id"] for task in first["data"]} & {task["id"] for task in second["data"]}


def at(seconds):
    return f"2026-01-01T00:00:{seconds:02}Z"


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"createdAfter": at(15)}, "234"),
        ({"createdBefore": at(15)}, "01"),
        ({"createdAfter": at(5), "createdBefore": at(35)}, "123"),
        ({"createdAfter": "2026-01-01T02:00:15+02:00"}, "234"),
        ({"createdAfter": at(45)}, ""),
        ({"contractID": NOBODY}, ""),
    ],
    ids=str,
)
@pytest.mark.parametrize("limit", [1, 10])
async def test_filters_hold_on_each_page_that_they_are_given_with(five, query, found, limit):
    pages = await listed(five, limit=limit, **query)

    assert sorted(itertools.chain(*pages)) == list(found)
    assert len(pages) == max(1, len(found) if limit == 1 else 1)


async def test_the_tasks_of_a_contract_are_those_under_it(five):
    assert await listed(five, contractID=five.sandbox.contract_id) == [list("01234")]


WRONG_PAGES = [{"limit": limit} for limit in ("0", "10001", "-1", "ten", "", "1.5", "9" * 5000)] + [
    {"cursor": "x"},
    {"cursor": ""},
]
WRONG_TIMES = [{"createdAfter": "yesterday"}, {"createdAfter": "2026-01-01T00:00:00"}, {"createdBefore": ""}]


@pytest.mark.parametrize(
    ("path", "query"),
    [*itertools.product([TASKS, CONTRACTS], WRONG_PAGES), *itertools.product([TASKS], WRONG_TIMES)],
    ids=lambda value: str(value)[:40],
)
async def test_a_query_that_cannot_be_is_refused(five, path, query):
    status, _ = await five.get(path, **query)

    assert status == 400


async def test_a_task_in_a_list_is_the_task_without_notifications_and_deliveries(five):
    _, tasks = await five.get(TASKS)
    for entry in tasks["data"]:
        _, task = await five.get(f"{TASKS}/{entry['id']}")
        assert set(task) - set(entry) == {"notifications", "deliveries"}
        assert task | entry == task


# --- cancel ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", ["RECEIVED", "ACTIVE"])
async def test_a_task_that_is_canceled_in_time_stays_so_and_nothing_comes_of_it(desk, stage):
    path = await desk.created(**EVERYTHING)
    desk.clock.time = STAGES[stage]

    status, canceled = await desk.cancel(path)

    assert (status, canceled["status"]) == (200, "CANCELED")
    for desk.clock.time in (*STAGES.values(), 2000):
        if desk.clock.time >= STAGES[stage]:
            assert await desk.get(path) == (200, canceled)
    assert datetime.fromisoformat(canceled["updatedAt"]) == desk.clock.epoch + timedelta(seconds=STAGES[stage])
    for tail in ("/products", "/products/GRD", "/derivatives", "/scene"):
        assert (await desk.get(path + tail))[0] == 404


async def test_a_canceled_task_is_canceled_in_the_list_too_and_no_other(desk):
    path, other = await desk.created(), await desk.created()
    await desk.cancel(path)

    _, tasks = await desk.get(TASKS)

    assert {f"{TASKS}/{task['id']}": task["status"] for task in tasks["data"]} == {path: "CANCELED", other: "RECEIVED"}


@pytest.mark.parametrize("stage", ["FULFILLED", "DONE"])
async def test_a_task_that_is_fulfilled_cannot_be_canceled(desk, stage):
    path = await desk.created(productTypes=["GRD", "SICD"])
    desk.clock.time = STAGES[stage]
    before = await desk.get(path)

    status, body = await desk.cancel(path)

    assert 400 <= status < 500
    assert stage in body["message"]
    assert await desk.get(path) == before


@pytest.mark.parametrize("end", ["FAILED", "REJECTED", "CANCELED"])
async def test_a_task_that_came_to_nothing_cannot_be_canceled(end):
    async with open_desk(ends=end) as desk:
        path = await desk.created()
        desk.clock.time = 300

        assert 400 <= (await desk.cancel(path))[0] < 500
        assert (await desk.get(path))[1]["status"] == end


async def test_a_task_is_canceled_once(desk):
    path = await desk.created()
    _, canceled = await desk.cancel(path)
    desk.clock.time = 20

    assert 400 <= (await desk.cancel(path))[0] < 500
    assert (await desk.get(path))[1] == canceled


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b'"CANCELED"',
        b'{"status": "CANCELLED"}',
        b'{"status": "canceled"}',
        b'{"status": "DONE"}',
        b'{"status": "CANCELED", "reference": "x"}',
        b'{"reference": "x"}',
    ],
)
async def test_any_other_change_of_a_task_is_refused(desk, body):
    path = await desk.created()
    before = await desk.get(path)

    status, _ = await desk.ask("PATCH", path, data=body)

    assert status == 400
    assert await desk.get(path) == before


async def test_an_unknown_task_cannot_be_canceled_and_has_no_scene(desk):
    assert (await desk.cancel(f"{TASKS}/{NOBODY}"))[0] == 404
    assert (await desk.get(f"{TASKS}/{NOBODY}/scene"))[0] == 404


# --- scene -----------------------------------------------------------------------------------------------------------


async def test_the_scene_is_told_from_active_to_done(desk):
    path = await desk.created()

    assert await desk.statuses(f"{path}/scene") == [404, 200, 200, 200]


async def test_the_scene_is_the_picture_that_was_ordered(desk):
    path = await desk.created(
        lookSide="LEFT",
        passDirection="ASCENDING",
        imagingDuration=25,
        incidenceAngle={"min": 35, "max": 40},
        productTypes=["GRD"],
    )
    desk.clock.time = STAGES["ACTIVE"]
    _, scene = await desk.get(f"{path}/scene")
    desk.clock.time = STAGES["DONE"]
    _, products = await desk.get(f"{path}/products")
    product = products["data"][0]["properties"]

    assert set(scene) == {"imagingTime", "duration", "lookSide", "passDirection", "incidenceAngle"}
    start, end = (datetime.fromisoformat(scene["imagingTime"][key]) for key in ("start", "end"))
    assert start == desk.clock.epoch + timedelta(seconds=40)
    assert (end - start).total_seconds() == scene["duration"] == 25
    assert (scene["lookSide"], scene["passDirection"]) == ("LEFT", "ASCENDING")
    assert type(scene["incidenceAngle"]) is str
    assert 35 <= float(scene["incidenceAngle"]) <= 40
    assert product["start_datetime"] == scene["imagingTime"]["start"]
    assert (product["sar:observation_direction"], product["sat:orbit_state"]) == ("left", "ascending")
    assert product["iceye:incidence_center"] == float(scene["incidenceAngle"])


async def test_where_any_side_will_do_the_scene_has_one(desk):
    path = await desk.created(lookSide="ANY", passDirection="ANY")
    desk.clock.time = STAGES["ACTIVE"]

    _, scene = await desk.get(f"{path}/scene")

    assert scene["lookSide"] in {"LEFT", "RIGHT"}
    assert scene["passDirection"] in {"ASCENDING", "DESCENDING"}
    assert scene["duration"] >= 1


async def test_a_scenario_may_keep_the_scene_to_itself():
    async with open_desk(scene=False) as desk:
        path = await desk.created()

        assert await desk.statuses(f"{path}/scene") == [404] * 4
        assert (await desk.get(path))[1]["status"] == "DONE"


@pytest.mark.parametrize(("end", "told"), [("FAILED", [404, 200, 404, 404]), ("REJECTED", [404] * 4)])
async def test_a_task_that_came_to_nothing_has_no_scene(end, told):
    async with open_desk(ends=end) as desk:
        path = await desk.created()

        assert await desk.statuses(f"{path}/scene") == told


# --- price, feasibility ----------------------------------------------------------------------------------------------


async def test_a_price_is_a_whole_number_and_a_currency(desk):
    status, price = await desk.price()

    assert status == 200
    assert set(price) == {"amount", "currency"}
    assert type(price["amount"]) is int
    assert price["currency"] == "EUR"


@pytest.mark.parametrize(
    "name",
    [
        "contractID",
        "imagingMode",
        "pointOfInterest[lat]",
        "pointOfInterest[lon]",
        "exclusivity",
        "priority",
        "sla",
        "eula",
    ],
)
async def test_a_price_needs_every_documented_parameter(desk, name):
    status, body = await desk.price(**{name: None})

    assert status == 400
    assert name in body["message"]


@pytest.mark.parametrize(
    ("name", "value", "status"),
    [
        ("contractID", NOBODY, 403),
        ("imagingMode", "SNAPSHOT", 400),
        ("pointOfInterest[lat]", "north", 400),
        ("pointOfInterest[lat]", "nan", 400),
        ("pointOfInterest[lon]", "181", 400),
        ("priority", "", 400),
    ],
)
async def test_the_parameters_of_a_price_are_checked_as_those_of_a_task(desk, name, value, status):
    assert (await desk.price(**{name: value}))[0] == status


@pytest.mark.parametrize("count", [0, 1, 3])
async def test_each_good_request_is_feasible_and_nothing_is_booked(desk, count):
    status, body = await desk.ask("POST", FEASIBILITY, json=[desk.order(**EVERYTHING)] * count)

    assert status == 200
    assert body == {"feasibility": [{"result": "FEASIBLE"}] * count}
    assert (await desk.get(TASKS))[1]["data"] == []


@pytest.mark.parametrize("changes", REFUSED.values(), ids=REFUSED)
async def test_what_could_not_be_created_is_refused_and_named(desk, changes):
    status, body = await desk.ask("POST", FEASIBILITY, json=[desk.order(), desk.order(**changes)])

    assert status == 400
    assert "request 1" in body["message"]


async def test_feasibility_is_asked_with_an_array(desk):
    for wrong in (desk.order(), "x", None, [None], [[desk.order()]]):
        assert (await desk.ask("POST", FEASIBILITY, json=wrong))[0] == 400


async def test_a_refusal_of_derivatives_keeps_its_documented_code(desk):
    order = desk.order(imagingMode="SCAN", productTypes=["GRD"], derivativeProductTypes=["DC_VESSELS"])

    _, body = await desk.ask("POST", FEASIBILITY, json=[order])

    assert body["code"] == "INCOMPATIBLE_IMAGING_MODE_FOR_DERIVATIVES"


# --- contracts -------------------------------------------------------------------------------------------------------


async def test_there_is_one_contract(desk):
    status, contracts = await desk.get(CONTRACTS, limit=1)
    _, contract = await desk.get(f"{CONTRACTS}/{desk.sandbox.contract_id}")

    assert status == 200
    assert contracts == {"data": [contract]}
    assert contract["id"] == desk.sandbox.contract_id
    assert set(contract) == {"id", "name", "start", "end", "imagingModes", "priority", "exclusivity", "eula", "sla"}


async def test_what_the_contract_allows_can_be_ordered(desk):
    _, contract = await desk.get(f"{CONTRACTS}/{desk.sandbox.contract_id}")

    for mode in contract["imagingModes"]["allowed"]:
        assert (await desk.create(imagingMode=mode))[0] == 201
    for term in ("priority", "exclusivity", "eula", "sla"):
        assert contract[term]["default"] in contract[term]["allowed"]
        for choice in contract[term]["allowed"]:
            assert (await desk.create(**{term: choice}))[0] == 201


async def test_an_unknown_contract_is_not_found(desk):
    status, body = await desk.get(f"{CONTRACTS}/{NOBODY}")

    assert (status, body["code"]) == (404, "not_found")


# --- products one by one ---------------------------------------------------------------------------------------------


async def test_without_late_types_all_products_are_there_with_fulfilled(desk):
    path = await desk.created(productTypes=["GRD", "GRD-COG"])

    for tail in ("", "/GRD", "/GRD-COG"):
        assert await desk.statuses(f"{path}/products{tail}") == [404, 404, 200, 200]
    assert len((await desk.get(f"{path}/products"))[1]["data"]) == 2


@pytest.mark.parametrize("late", ["GRD-COG", ["GRD-COG"], {"GRD-COG", "SLC-COG"}], ids=["one", "list", "set"])
async def test_a_late_type_comes_with_done(late):
    async with open_desk(late=late) as desk:
        path = await desk.created(productTypes=["GRD", "GRD-COG"])
        desk.clock.time = STAGES["FULFILLED"]
        _, some = await desk.get(f"{path}/products")
        _, early = await desk.get(f"{path}/products/GRD")
        missing, _ = await desk.get(f"{path}/products/GRD-COG")
        desk.clock.time = STAGES["DONE"]
        _, every = await desk.get(f"{path}/products")
        _, last = await desk.get(f"{path}/products/GRD-COG")

    assert missing == 404
    assert ids(some) == ids(early) < ids(every)
    assert ids(every) - ids(some) == ids(last)
    assert [entry["properties"]["created"] for entry in last["data"]] == ["2026-01-01T00:04:00.000000Z"]


def ids(products):
    return {entry["id"] for entry in products["data"]}


async def test_where_all_types_are_late_there_is_nothing_before_done():
    async with open_desk(late=["GRD"]) as desk:
        path = await desk.created(productTypes=["GRD"])

        assert await desk.statuses(f"{path}/products") == [404, 404, 404, 200]


async def test_the_previews_that_products_share_are_one_file_whenever_they_are_listed():
    async with open_desk(late=["GRD-COG"]) as desk:
        path = await desk.created(productTypes=["GRD", "GRD-COG"])
        desk.clock.time = STAGES["DONE"]
        dates = set()
        for kind in ("GRD-COG", "GRD", "GRD-COG"):
            _, products = await desk.get(f"{path}/products/{kind}")
            link = products["data"][0]["assets"]["thumbnail-png"]["href"]
            async with desk.http.get(link) as answer:
                dates.add((answer.status, answer.headers["Last-Modified"], answer.headers["ETag"]))

    assert len(dates) == 1


async def test_where_done_comes_with_fulfilled_nothing_is_late():
    async with open_desk(done=0, late=["GRD"]) as desk:
        path = await desk.created(productTypes=["GRD"])
        desk.clock.time = 139
        assert (await desk.get(path))[1]["status"] == "ACTIVE"

        desk.clock.time = 141
        assert (await desk.get(path))[1]["status"] == "DONE"
        assert (await desk.get(f"{path}/products/GRD"))[0] == 200


@pytest.mark.parametrize("kind", ["GRD-COG", "SLC", "PHOTO"])
async def test_a_type_that_was_not_ordered_never_comes(desk, kind):
    path = await desk.created(productTypes=["GRD"])

    assert await desk.statuses(f"{path}/products/{kind}") == [404] * 4


async def test_a_type_that_is_ordered_twice_comes_once(desk):
    path = await desk.created(productTypes=["GRD", "GRD"])
    desk.clock.time = STAGES["DONE"]

    _, products = await desk.get(f"{path}/products")

    assert len(products["data"]) == 1


# --- access ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", TASKS),
        ("PATCH", f"{TASKS}/{NOBODY}"),
        ("GET", f"{TASKS}/{NOBODY}/scene"),
        ("GET", PRICE),
        ("POST", FEASIBILITY),
        ("GET", CONTRACTS),
        ("GET", f"{CONTRACTS}/{NOBODY}"),
    ],
)
async def test_without_a_token_nothing_is_told(desk, method, path):
    desk.headers = {}

    assert (await desk.ask(method, path))[0] == 401
    assert desk.sandbox.requests[-1] == (method, path)
