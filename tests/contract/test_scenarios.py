"""The language in which it is written what happens in a sandbox: in Python, in TOML, and by name."""

import itertools
import json
import math
import pickle
import re
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from urllib.parse import parse_qs, urlsplit

import pytest
import rasterio
from attrs import evolve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from iceye_async import ApiError, PollError, PollPolicy, RetryPolicy
from iceye_async.sandbox import SCENARIOS, Contract, Fault, LinkFault, Sandbox, Scenario, ScenarioError
from tests.desk import AT_ONCE, BOTH, CONTRACTS, FEASIBILITY, PRICE, TASKS, moment, open_desk, ordered

HOUR, DAY = 3600.0, 86_400.0
STAGED = {"decided": 10.0, "imaged": 40.0, "fulfilled": 100.0, "done": 200.0}
"""ACTIVE at 10 s, the picture at 40, FULFILLED at 140, DONE at 240."""
ACTIVE, FULFILLED, DONE = 15.0, 145.0, 245.0


async def until(desk, time):
    """Let it be so late in the sandbox."""
    await desk.sandbox.advance(time - desk.clock.now())


async def pages(desk, path):
    """What is on each page of a list."""
    found, cursor = [], ""
    while cursor or not found:
        assert len(found) < 20
        status, page = await desk.get(path, **({"cursor": cursor} if cursor else {}))
        assert status == 200, page
        found.append(page["data"])
        cursor = page.get("cursor")
    return found


async def items(desk, path):
    return list(itertools.chain(*await pages(desk, path)))


# --- frames ----------------------------------------------------------------------------------------------------------


async def test_a_strip_gives_an_item_for_each_frame_of_each_type():
    async with open_desk(Scenario(**AT_ONCE, frames=3), BOTH, speed=0) as desk:
        path = await desk.created()
        every = await items(desk, f"{path}/products")
        of_type = await items(desk, f"{path}/products/GRD")

    frames = [item["properties"]["frame_id"] for item in of_type]
    number = frames[0].rpartition("_")[0]
    assert frames == [f"{number}_{k}" for k in (1, 2, 3)]
    assert number.isdigit()
    assert len(every) == len({item["id"] for item in every}) == 6
    assert sorted(item["properties"]["frame_id"] for item in every) == sorted(frames * 2)


async def test_one_picture_is_one_item():
    async with open_desk(Scenario(**AT_ONCE), BOTH, speed=0) as desk:
        every = await items(desk, f"{await desk.created()}/products")

    assert len(every) == 2


@pytest.mark.parametrize("tail", ["products", "products/GRD"])
@pytest.mark.parametrize("frames", [1, 5, 9, 10, 11, 20, 21])
async def test_products_come_in_pages_of_ten(frames, tail):
    async with open_desk(Scenario(**AT_ONCE, frames=frames), {"productTypes": ["GRD", "GRD-COG"]}, speed=0) as desk:
        found = await pages(desk, f"{await desk.created()}/{tail}")

    count = frames * (2 if tail == "products" else 1)
    assert [len(page) for page in found] == [10] * (count // 10) + [count % 10] * (count % 10 > 0)
    assert len({item["id"] for page in found for item in page}) == count


@pytest.mark.parametrize("cursor", ["x", "999999", "-1", "%00"])
async def test_a_cursor_of_products_that_was_not_given_is_refused(cursor):
    async with open_desk(Scenario(**AT_ONCE, frames=11), speed=0) as desk:
        status, _ = await desk.get(f"{await desk.created()}/products", cursor=cursor)

    assert status == 400


async def test_the_cursor_of_one_task_is_not_that_of_another():
    async with open_desk(Scenario(**AT_ONCE, frames=11), {"productTypes": ["GRD"]}, speed=0) as desk:
        one, other = await desk.created(), await desk.created()
        _, page = await desk.get(f"{one}/products")
        status, _ = await desk.get(f"{other}/products", cursor=page["cursor"])

    assert status == 400


async def test_frames_lie_one_beside_the_other(tmp_path):
    async with open_desk(Scenario(**AT_ONCE, frames=4), {"productTypes": ["GRD"]}, speed=0) as desk:
        found = await items(desk, f"{await desk.created()}/products")
        bounds = []
        for item in found:
            (tmp_path / "grd.tif").write_bytes((await desk.fetch(item["assets"]["grd-tif"]["href"])).body)
            with rasterio.open(tmp_path / "grd.tif") as picture:
                bounds.append(tuple(picture.bounds))

    boxes = [item["bbox"] for item in found]
    for (w1, s1, e1, n1), (w2, s2, e2, n2) in itertools.combinations(boxes, 2):
        across, along = min(e1, e2) - max(w1, w2), min(n1, n2) - max(s1, s2)
        assert across < 1e-6 or along < 1e-6
    for (w1, s1, e1, n1), (w2, s2, e2, n2) in itertools.pairwise(boxes):
        gap = max(max(w1, w2) - min(e1, e2), max(s1, s2) - min(n1, n2))
        assert gap == pytest.approx(0, abs=0.2 * max(e1 - w1, n1 - s1))
    for item, (w, s, e, n), (left, bottom, right, top) in zip(found, boxes, bounds, strict=True):
        assert w - 1e-6 <= left < right <= e + 1e-6
        assert s - 1e-6 <= bottom < top <= n + 1e-6
        longitudes, latitudes = zip(*item["geometry"]["coordinates"][0], strict=True)
        assert (min(longitudes), min(latitudes)) == pytest.approx((w, s))
        assert (max(longitudes), max(latitudes)) == pytest.approx((e, n))


async def test_the_client_sees_every_frame():
    scenario = Scenario(**AT_ONCE, frames=13, derivatives={"DC_VESSELS": [0.0] * 13})
    async with Sandbox(scenario, speed=math.inf) as sandbox, sandbox.client() as client:
        opens = sandbox.clock.utc()
        task = await order(sandbox, client, acquisition_window=(opens, opens + timedelta(hours=24)))
        products = await client.products.list(task.id)
        found = await client.await_derivatives(task.id)

    assert len({product.frame_id for product in products}) == 13
    assert len(found.of("DC_VESSELS")) == 13


# --- several derivatives of a type -----------------------------------------------------------------------------------

SEVERAL = {"DC_VESSELS": [10.0, 60.0, 90.0], "DC_AIRCRAFT": [30.0]}


async def test_each_derivative_comes_at_its_time_and_the_list_is_whole_with_the_last():
    scenario = Scenario(**AT_ONCE, frames=2, derivatives=SEVERAL)
    async with open_desk(scenario, BOTH, speed=0) as desk:
        path = f"{await desk.created()}/derivatives"
        seen = []
        for time in (9, 11, 31, 61, 91, 9000):
            await until(desk, time)
            if time == 9000:
                await desk.sign_in()
            status, body = await desk.get(path)
            ready = [entry["derivativeProductType"] for entry in body.get("data", []) if entry["assets"]]
            seen.append((status, len(body.get("data", [])), sorted(ready)))

    vessels, aircraft = ["DC_VESSELS"], ["DC_AIRCRAFT"]
    assert seen == [
        (404, 0, []),
        (206, 4, vessels),
        (206, 4, aircraft + vessels),
        (206, 4, aircraft + 2 * vessels),
        (200, 4, aircraft + 3 * vessels),
        (200, 4, aircraft + 3 * vessels),
    ]


async def test_each_derivative_is_of_one_frame_and_has_a_file_of_its_own():
    async with open_desk(Scenario(**AT_ONCE, frames=2, derivatives=SEVERAL), BOTH, speed=0) as desk:
        path = await desk.created()
        await until(desk, 100)
        _, body = await desk.get(f"{path}/derivatives")
        boxes = [item["bbox"] for item in await items(desk, f"{path}/products/GRD")]
        _, again = await desk.get(f"{path}/derivatives")
        vessels = [entry for entry in body["data"] if entry["derivativeProductType"] == "DC_VESSELS"]
        files = [(await desk.fetch(entry["assets"][0]["href"])).body for entry in vessels]

    assert [entry["id"] for entry in body["data"]] == [entry["id"] for entry in again["data"]]
    assert len({entry["id"] for entry in body["data"]}) == 4
    first, second, third = (json.dumps(entry["imageReference"], sort_keys=True) for entry in vessels)
    assert first == third != second
    assert len({urlsplit(entry["assets"][0]["href"]).path for entry in vessels}) == 3
    for file, box in zip(files, [boxes[0], boxes[1], boxes[0]], strict=True):
        for feature in json.loads(file)["features"]:
            lon, lat = feature["geometry"]["coordinates"]
            assert box[0] <= lon <= box[2]
            assert box[1] <= lat <= box[3]


async def test_what_was_not_ordered_does_not_come():
    async with open_desk(Scenario(**AT_ONCE, derivatives=SEVERAL), BOTH, speed=0) as desk:
        path = await desk.created(derivativeProductTypes=["DC_AIRCRAFT"])
        await until(desk, 100)
        status, body = await desk.get(f"{path}/derivatives")

    assert (status, len(body["data"])) == (200, 1)


# --- contracts -------------------------------------------------------------------------------------------------------

NARROW = Contract(name="Narrow", modes=["SPOTLIGHT", "SCAN"], products=["GRD", "GRD-COG"], derivatives=["DC_VESSELS"])
LEGACY = Contract(name="Legacy", products=["GRD", "GRD-COG", "SLC-COG"], sla=["GRD"], derivatives=[])


async def test_each_contract_has_an_id_and_is_listed_with_its_name_and_modes():
    async with open_desk(Scenario(contracts=(NARROW, LEGACY, Contract())), speed=0) as desk:
        ids, first = desk.sandbox.contract_ids, desk.sandbox.contract_id
        _, listing = await desk.get(CONTRACTS)
        each = [(await desk.get(f"{CONTRACTS}/{one}"))[1] for one in ids]

    assert first == ids[0]
    assert len(set(ids)) == 3
    assert listing["data"] == each
    assert [one["name"] for one in each] == ["Narrow", "Legacy", "Sandbox"]
    assert sorted(each[0]["imagingModes"]["allowed"]) == ["SCAN", "SPOTLIGHT"]
    assert len(each[2]["imagingModes"]["allowed"]) == 17


@pytest.mark.parametrize(
    ("contract", "changes", "status"),
    [
        (NARROW, {}, 201),
        (NARROW, {"imagingMode": "SCAN"}, 201),
        (NARROW, {"imagingMode": "STRIPMAP"}, 400),
        (NARROW, {"productTypes": ["GRD"]}, 201),
        (NARROW, {"productTypes": ["GRD", "SLC-COG"]}, 400),
        (NARROW, {"productTypes": ["SICD"]}, 400),
        (NARROW, {"productTypes": ["GRD"], "derivativeProductTypes": ["DC_VESSELS"]}, 201),
        (NARROW, {"productTypes": ["GRD"], "derivativeProductTypes": ["DC_VESSELS", "DC_AIRCRAFT"]}, 400),
        (LEGACY, {"productTypes": ["GRD"], "derivativeProductTypes": ["DC_VESSELS"]}, 400),
        (LEGACY, {"productTypes": ["GRD"], "derivativeProductTypes": []}, 201),
        (LEGACY, {"productTypes": ["SLC-COG"]}, 201),
        (Contract(), {"productTypes": ["GRD", "SICD"], "derivativeProductTypes": ["DC_VEHICLES"]}, 201),
    ],
    ids=lambda value: value.name if isinstance(value, Contract) else str(value),
)
async def test_what_the_contract_does_not_allow_is_refused(contract, changes, status):
    async with open_desk(Scenario(contracts=(Contract(name="first"), contract)), speed=0) as desk:
        order = desk.order(contractID=desk.sandbox.contract_ids[1], **changes)
        created, body = await desk.ask("POST", TASKS, json=order)
        feasible, _ = await desk.ask("POST", FEASIBILITY, json=[order])
        _, tasks = await desk.get(TASKS)

    assert created == status
    assert feasible == (200 if status == 201 else 400)
    assert len(tasks["data"]) == (status == 201)
    assert status == 201 or body["message"]


async def test_a_price_is_told_only_for_what_the_contract_allows():
    query = {"pointOfInterest[lat]": 1, "pointOfInterest[lon]": 2, "exclusivity": "PRIVATE", "priority": "COMMERCIAL"}
    query |= {"sla": "SLA_8H", "eula": "STANDARD"}
    async with open_desk(Scenario(contracts=(NARROW,)), speed=0) as desk:
        found = [
            (await desk.get(PRICE, contractID=desk.sandbox.contract_id, imagingMode=mode, **query))[0]
            for mode in ("SPOTLIGHT", "STRIPMAP")
        ]

    assert found == [200, 400]


async def test_tasks_can_be_listed_by_contract():
    async with open_desk(Scenario(contracts=(Contract(name="a"), Contract(name="b"))), speed=0) as desk:
        for contract in desk.sandbox.contract_ids:
            await desk.created(contractID=contract, reference=contract)
        found = [(await desk.get(TASKS, contractID=contract))[1]["data"] for contract in desk.sandbox.contract_ids]
        ids = desk.sandbox.contract_ids

    assert [[task["reference"] for task in tasks] for tasks in found] == [[one] for one in ids]


async def course(desk, **changes):
    """The statuses of a task in its stages, and the types of its products."""
    path, found = await desk.created(**changes), []
    for time in (5, ACTIVE, FULFILLED, DONE):
        await until(desk, time)
        _, task = await desk.get(path)
        _, products = await desk.get(f"{path}/products")
        kinds = {item["properties"]["sar:product_type"] for item in products.get("data", [])}
        found.append((task["status"], len(products.get("data", [])), len(kinds)))
    return found


@pytest.mark.parametrize(
    ("changes", "late", "expected"),
    [
        ({}, (), [("DONE", 1), ("DONE", 1)]),
        ({"productTypes": ["GRD"]}, (), [("DONE", 1), ("DONE", 1)]),
        ({"productTypes": ["GRD", "GRD-COG"]}, (), [("FULFILLED", 1), ("DONE", 2)]),
        ({"productTypes": ["GRD-COG"]}, (), [("FULFILLED", 0), ("DONE", 1)]),
        ({"productTypes": ["GRD"]}, ["GRD"], [("FULFILLED", 0), ("DONE", 1)]),
        ({"productTypes": ["GRD"]}, ["SLC-COG"], [("DONE", 1), ("DONE", 1)]),
    ],
    ids=["none", "sla", "both", "other", "late", "another is late"],
)
async def test_what_is_beyond_the_sla_comes_with_done(changes, late, expected):
    """Without any such type a task is done as soon as it is fulfilled."""
    async with open_desk(Scenario(**STAGED, contracts=(LEGACY,), late=late), speed=0) as desk:
        found = [stage[:2] for stage in await course(desk, **changes)]

    assert found == [("RECEIVED", 0), ("ACTIVE", 0), *expected]


async def test_without_types_an_order_gets_all_sla_products_of_the_contract():
    async with open_desk(Scenario(**STAGED), speed=0) as desk:
        path = await desk.created()
        await until(desk, DONE)
        found = {
            kind: (await desk.get(f"{path}/products/{kind}"))[0]
            for kind in ("GRD", "GRD-COG", "SICD", "SIDD", "VID-COG")
        }

    assert found == {"GRD": 200, "GRD-COG": 200, "SICD": 404, "SIDD": 404, "VID-COG": 404}


@pytest.mark.parametrize(
    "kind", ["GRD", "GRD-COG", "SLC", "SLC-COG", "QLK", "SICD", "SIDD", "CSI", "CSI-COG", "VID", "VID-COG"]
)
async def test_the_plain_contract_allows_every_documented_type(kind):
    async with open_desk(Scenario(), speed=0) as desk:
        status, _ = await desk.create(imagingMode="SPOTLIGHT_EXTENDED_DWELL", productTypes=["GRD", kind])

    assert status == 201


@pytest.mark.parametrize("kind", ["SICD", "SIDD"])
async def test_by_default_all_but_two_types_are_sla_products(kind):
    async with open_desk(Scenario(**STAGED), speed=0) as desk:
        statuses = [stage[0] for stage in await course(desk, productTypes=["GRD", "SLC-COG", kind])]

    assert statuses == ["RECEIVED", "ACTIVE", "FULFILLED", "DONE"]


async def test_a_task_that_is_done_at_once_says_since_when():
    async with open_desk(Scenario(**STAGED), speed=0) as desk:
        begun, path = desk.clock.utc(), await desk.created(productTypes=["GRD"])
        await until(desk, DONE)
        _, task = await desk.get(path)

    assert task["updatedAt"] == task["fulfilledAt"]
    assert datetime.fromisoformat(task["updatedAt"]) - begun == timedelta(seconds=140)


# --- courses by reference --------------------------------------------------------------------------------------------

OTHERWISE = {
    "decided": 30.0,
    "imaged": 70.0,
    "fulfilled": 20.0,
    "done": 400.0,
    "late": ["GRD"],
    "derivatives": {"DC_VESSELS": [5.0, 300.0]},
    "ends": "FAILED",
    "echo": True,
    "scene": False,
    "sizes": {"grd-xml": 5},
    "link_life": 77.0,
    "names": True,
    "frames": 4,
}
LIVED = {**STAGED, "derivatives": {"DC_VESSELS": 10.0}, "late": ["GRD-COG"]}


async def life(scenario, reference):
    """All that can be seen of a task, but for ids and signatures."""
    seen = []
    ordered = {"productTypes": ["GRD", "GRD-COG"], "derivativeProductTypes": ["DC_VESSELS"]}
    async with open_desk(scenario, ordered, speed=0) as desk:
        path = await desk.created(reference=reference)
        for time in (20, 35, 100, 145, 160, 245, 500):
            await until(desk, time)
            _, task = await desk.get(path)
            task = {key: value for key, value in task.items() if key not in {"id", "contractID"}}
            scene = (await desk.get(f"{path}/scene"))[0]
            products = await desk.get(f"{path}/products")
            found, links = [(await desk.get(f"{path}/products/GRD"))[0]], []
            for item in products[1].get("data", []):
                found.append((item["properties"]["frame_id"].rpartition("_")[2], item["bbox"]))
                links += [asset["href"] for key, asset in item["assets"].items() if key.endswith("-xml")]
            derivatives = await desk.get(f"{path}/derivatives")
            made = [len(entry["assets"]) for entry in derivatives[1].get("data", [])]
            files = []
            for link in links[:1]:
                head = await desk.fetch(link, "HEAD")
                lasts = int(parse_qs(urlsplit(link).query)["Expires"][0]) - int(desk.clock.utc().timestamp())
                files.append((head.headers["Content-Length"], "Content-Disposition" in head.headers, lasts))
            seen.append((time, task, scene, products[0], found, derivatives[0], made, files))
    return seen


USUAL = {}


async def usual(scenario, reference):
    """The life that is the same for many tests."""
    if reference not in USUAL:
        USUAL[reference] = await life(scenario, reference)
    return USUAL[reference]


@pytest.mark.parametrize("name", OTHERWISE)
async def test_what_differs_for_a_reference_is_as_if_the_scenario_were_so(name):
    change = {name: OTHERWISE[name]}
    scenario = Scenario(**LIVED, seed=1, courses={"odd-*": change})

    odd, plain = await life(scenario, "odd-1"), Scenario(**LIVED, seed=1)
    assert odd == await life(Scenario(**(LIVED | change), seed=1), "odd-1")
    assert odd != await usual(plain, "odd-1")
    assert await life(scenario, "even-1") == await usual(plain, "even-1")


async def test_the_first_pattern_that_fits_counts():
    courses = {"a-b-*": {"ends": "REJECTED"}, "a-*": {"ends": "FAILED"}, "*": {"ends": "CANCELED"}}
    async with open_desk(Scenario(**STAGED, courses=courses), speed=0) as desk:
        paths = [await desk.created(reference=reference) for reference in ("a-b-1", "a-1", "b", "A-b-1")]
        await until(desk, DONE)
        found = [(await desk.get(path))[1]["status"] for path in paths]

    assert found == ["REJECTED", "FAILED", "CANCELED", "CANCELED"]


async def test_an_order_without_a_reference_fits_only_what_fits_all():
    async with open_desk(Scenario(**STAGED, courses={"?*": {"ends": "FAILED"}, "*": {"echo": True}}), speed=0) as desk:
        path = await desk.created(productTypes=["GRD"], derivativeProductTypes=["DC_VESSELS"])
        await until(desk, DONE)
        _, task = await desk.get(path)

    assert task["status"] == "DONE"
    assert task["derivativeProductTypes"] == ["DC_VESSELS"]


# --- strict ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("priority", "opens", "lasts", "good"),
    [
        (None, 12 * HOUR, DAY, True),
        (None, 12 * HOUR - 1, DAY, False),
        (None, -1.0, 2 * DAY, False),
        (None, 13 * HOUR, DAY - 1, False),
        ("COMMERCIAL", 12 * HOUR, DAY, True),
        ("COMMERCIAL", 12 * HOUR - 1, DAY, False),
        ("BACKGROUND", 24 * HOUR, DAY, True),
        ("BACKGROUND", 24 * HOUR - 1, DAY, False),
        ("COMMERCIAL", 13 * DAY, DAY, True),
        ("COMMERCIAL", 13 * DAY, DAY + 1, False),
    ],
)
@pytest.mark.parametrize("strict", [True, False])
async def test_the_documented_rules_of_time_hold_where_they_are_wished_for(strict, priority, opens, lasts, good):
    async with open_desk(Scenario(strict=strict), speed=0) as desk:
        start = desk.clock.utc() + timedelta(seconds=opens)
        window = {"start": moment(start), "end": moment(start + timedelta(seconds=lasts))}
        order = desk.order(acquisitionWindow=window, priority=priority)
        status, _ = await desk.ask("POST", TASKS, json=order)
        feasible, _ = await desk.ask("POST", FEASIBILITY, json=[order])

    beyond = opens + lasts > 14 * DAY
    assert status == (201 if good or not (strict or beyond) else 400)
    assert feasible == (200 if status == 201 else 400)


# --- in Python -------------------------------------------------------------------------------------------------------

NONSENSE = {
    "unknown": {"speed": 5},
    "negative": {"decided": -1.0},
    "nan": {"imaged": math.nan},
    "infinite": {"fulfilled": math.inf},
    "text for a time": {"done": "50"},
    "bool for a time": {"decided": True},
    "late type": {"late": ["PHOTO"]},
    "derivative time": {"derivatives": {"DC_VESSELS": -1.0}},
    "one of several times": {"derivatives": {"DC_VESSELS": [1.0, -1.0]}},
    "derivative nan": {"derivatives": {"DC_VESSELS": math.nan}},
    "derivative bool": {"derivatives": {"DC_VESSELS": True}},
    "derivatives kind": {"derivatives": ["DC_VESSELS"]},
    "end": {"ends": "CANCELLED"},
    "end that is none": {"ends": "DONE"},
    "echo": {"echo": 1},
    "scene": {"scene": "no"},
    "size": {"sizes": {"grd-tif": -1}},
    "size kind": {"sizes": {"grd-tif": 1.5}},
    "size of what": {"sizes": {"grd-tiff": 1}},
    "link life": {"link_life": math.inf},
    "no frame": {"frames": 0},
    "half a frame": {"frames": 1.5},
    "bool of frames": {"frames": True},
    "seed": {"seed": "x"},
    "seed half": {"seed": 1.5},
    "strict": {"strict": "yes"},
    "no contract": {"contracts": ()},
    "contract kind": {"contracts": ({"name": "a"},)},
    "course field": {"courses": {"*": {"seed": 1}}},
    "course value": {"courses": {"*": {"decided": -1.0}}},
    "course kind": {"courses": {"*": Scenario()}},
    "fault kind": {"faults": [LinkFault()]},
    "link fault kind": {"link_faults": [Fault()]},
}


@pytest.mark.parametrize("wrong", NONSENSE.values(), ids=NONSENSE)
def test_a_scenario_that_makes_no_sense_cannot_be_made(wrong):
    with pytest.raises((ValueError, TypeError)):
        Scenario(**wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        *({"name": 5}, {"modes": ["SNAPSHOT"]}, {"products": ["PHOTO"]}, {"sla": ["PHOTO"]}),
        *({"sla": ["GRD"], "products": ["SLC-COG"]}, {"price": 5}),
    ],
    ids=str,
)
def test_a_contract_that_makes_no_sense_cannot_be_made(wrong):
    with pytest.raises((ValueError, TypeError)):
        Contract(**wrong)


def test_a_scenario_is_a_value():
    one, other = (Scenario(derivatives={"DC_VESSELS": [1.0, 2.0]}, courses={"*": {"echo": True}}) for _ in range(2))

    assert one == other
    assert one != Scenario()
    with pytest.raises(AttributeError):
        one.decided = 5.0


def test_a_scenario_is_not_changed_through_what_it_was_made_of():
    derivatives, courses, faults = {"DC_VESSELS": [5.0]}, {"*": {"echo": True}}, [Fault(status=500)]
    scenario = Scenario(derivatives=derivatives, courses=courses, faults=faults)
    same = Scenario(derivatives={"DC_VESSELS": [5.0]}, courses={"*": {"echo": True}}, faults=[Fault(status=500)])
    derivatives["DC_VESSELS"].append(6.0)
    derivatives["DC_AIRCRAFT"] = 5.0
    courses["*"]["echo"] = False
    faults.clear()

    assert scenario == same


async def test_a_sandbox_does_not_use_up_the_faults_of_its_scenario():
    scenario = Scenario(faults=[Fault(status=500)], link_faults=[LinkFault(status=500)])
    for _ in range(2):
        async with open_desk(scenario, speed=0) as desk:
            assert [(await desk.get(TASKS))[0] for _ in range(2)] == [500, 200]
            assert desk.sandbox.faults == []
            assert len(desk.sandbox.link_faults) == 1
            desk.sandbox.link_faults.clear()
    assert scenario == Scenario(faults=[Fault(status=500)], link_faults=[LinkFault(status=500)])


# --- faster ----------------------------------------------------------------------------------------------------------


def test_a_faster_scenario_has_all_its_durations_divided():
    scenario = Scenario(
        decided=100.0,
        imaged=200.0,
        fulfilled=300.0,
        done=400.0,
        derivatives={"DC_VESSELS": 50.0, "DC_AIRCRAFT": [10.0, 20.0]},
        link_life=3600.0,
        frames=3,
        sizes={"grd-tif": 100},
        seed=5,
        courses={"*": {"decided": 10.0, "derivatives": {"DC_VESSELS": 30.0}, "link_life": 50.0, "echo": True}},
        faults=[
            Fault(status=429, retry_after=25, after=100.0, until=200.0, delay=10.0, skip=3, times=4),
            Fault(status=503, retry_after="Fri, 01 Jan 2027 00:00:00 GMT"),
        ],
        link_faults=[LinkFault(status=503, after=10.0, delay=5.0, times=math.inf)],
    )

    fast = scenario.faster(10)

    assert fast == Scenario(
        decided=10.0,
        imaged=20.0,
        fulfilled=30.0,
        done=40.0,
        derivatives={"DC_VESSELS": 5.0, "DC_AIRCRAFT": [1.0, 2.0]},
        link_life=3600.0,
        frames=3,
        sizes={"grd-tif": 100},
        seed=5,
        courses={"*": {"decided": 1.0, "derivatives": {"DC_VESSELS": 3.0}, "link_life": 50.0, "echo": True}},
        faults=[
            Fault(status=429, retry_after=3, after=10.0, until=20.0, delay=1.0, skip=3, times=4),
            Fault(status=503, retry_after="Fri, 01 Jan 2027 00:00:00 GMT"),
        ],
        link_faults=[LinkFault(status=503, after=1.0, delay=0.5, times=math.inf)],
    )
    assert scenario.faster(1) == scenario


@pytest.mark.parametrize("speed", [0, -1, math.inf, math.nan, "x"])
def test_faster_by_what_makes_no_sense_is_refused(speed):
    with pytest.raises((ValueError, TypeError)):
        Scenario().faster(speed)


# --- TOML ------------------------------------------------------------------------------------------------------------


def toml(value):
    """A value as it is written in TOML."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, bytes):
        return toml(value.decode())
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml(key)} = {toml(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list | tuple | set | frozenset):
        return "[" + ", ".join(toml(one) for one in value) + "]"
    return repr(value)


CLASSES = {"contracts": Contract, "faults": Fault, "link_faults": LinkFault}


def written(fields):
    """A scenario of these fields as TOML, with its tables as tables."""
    plain = {name: value for name, value in fields.items() if not isinstance(value, dict) and name not in CLASSES}
    lines = [f"{name} = {toml(value)}" for name, value in plain.items()]
    for name in ("derivatives", "sizes"):
        if name in fields:
            lines += [f"[{name}]", *(f"{toml(key)} = {toml(value)}" for key, value in fields[name].items())]
    for pattern, changes in fields.get("courses", {}).items():
        lines += [f"[courses.{toml(pattern)}]", *(f"{key} = {toml(value)}" for key, value in changes.items())]
    for name in CLASSES:
        for entry in fields.get(name, ()):
            lines += [f"[[{name}]]", *(f"{key} = {toml(value)}" for key, value in entry.items())]
    return "\n".join(lines) + "\n"


def made(fields):
    """The same in Python."""
    tables = {name: [CLASSES[name](**one) for one in fields[name]] for name in CLASSES if name in fields}
    return Scenario(**(fields | tables))


@pytest.fixture
def load(tmp_path):
    def load(text):
        path = tmp_path / "mine.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return Scenario.load(path)

    return load


COMMON = {"skip": 2, "times": 3, "share": 0.5, "after": 10.0, "until": 20.0, "delay": 1.5}
EVERY_FIELD = {
    "decided": 1.5,
    "imaged": 2,
    "fulfilled": 3.0,
    "done": 4.0,
    "late": ["GRD-COG"],
    "derivatives": {"DC_VESSELS": 5, "DC_AIRCRAFT": [1.0, 2]},
    "ends": "FAILED",
    "echo": True,
    "scene": False,
    "sizes": {"grd-tif": 10, "DC_VESSELS": 0},
    "link_life": 60.0,
    "names": True,
    "frames": 7,
    "seed": -3,
    "strict": True,
    "contracts": [
        {"name": "A", "modes": ["SCAN"], "products": ["GRD", "SLC-COG"], "sla": ["SLC-COG"], "derivatives": []},
        {"name": "B"},
    ],
    "courses": {"bad-*": {"ends": "REJECTED", "derivatives": {"DC_VESSELS": [1.0]}}, "x y": {"echo": False}},
    "faults": [
        {"call": "createTask", "reference": "a*", **COMMON, "status": 503, "code": "c", "details": "d"},
        {"status": 429, "retry_after": 7, "headers": {"X-A": "b"}, "body": "text"},
        {"times": math.inf, "cut": 5},
        {"call": "token", "reset": 0},
        {"stall": 10, "retry_after": "soon"},
    ],
    "link_faults": [
        {"path": "grd", **COMMON, "status": 500, "headers": {"A": "b"}, "body": "x"},
        {"cut": 1, "ignore_range": True, "chunked": True, "extra": "e", "times": math.inf},
        {"reset": 1, "etag": '"e"'},
        {"stall": 1},
    ],
}


def as_bytes(fields):
    """What is text in TOML and bytes in Python."""
    return {name: [binary(one) for one in value] if name == "link_faults" else value for name, value in fields.items()}


def binary(entry):
    return {key: value.encode() if key in {"body", "extra"} else value for key, value in entry.items()}


@pytest.mark.parametrize("name", EVERY_FIELD)
def test_toml_says_each_field_as_python_does(load, name):
    fields = {name: EVERY_FIELD[name]}

    assert load(written(fields)) == made(as_bytes(fields)) != Scenario()


def test_toml_says_all_at_once_as_python_does(load):
    assert load(written(EVERY_FIELD)) == made(as_bytes(EVERY_FIELD))


def test_the_table_above_has_every_field():
    for kind, used in (
        (Scenario, EVERY_FIELD),
        *((kind, {key: 0 for one in EVERY_FIELD[name] for key in one}) for name, kind in CLASSES.items()),
    ):
        assert {field.name for field in kind.__attrs_attrs__ if field.init} == set(used)


def test_an_empty_file_is_the_plain_scenario(load):
    assert load("") == load("# nothing\n\n") == Scenario()


@pytest.mark.parametrize(
    "body", ["decided = 5\r\necho = true\r\n", "\ufeffdecided = 5\necho = true\n"], ids=["crlf", "bom"]
)
def test_a_file_of_another_editor_can_be_read(load, body):
    assert load(body) == Scenario(decided=5.0, echo=True)


times = st.floats(0, 1e6, allow_nan=False)
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
tokens = st.text("abcXYZ019-_", min_size=1, max_size=8)
kinds = st.sampled_from(["DC_VESSELS", "DC_AIRCRAFT", "DC_VEHICLES"])
course_fields = {
    "decided": times,
    "imaged": times,
    "fulfilled": times,
    "done": times,
    "late": st.lists(st.sampled_from(["GRD", "GRD-COG", "SLC-COG"])),
    "derivatives": st.dictionaries(kinds, times | st.lists(times, min_size=1, max_size=3)),
    "ends": st.sampled_from(["REJECTED", "FAILED", "CANCELED"]),
    "echo": st.booleans(),
    "scene": st.booleans(),
    "sizes": st.dictionaries(st.sampled_from(["grd-tif", "quicklook-png", "DC_VESSELS"]), st.integers(0, 2**40)),
    "link_life": times,
    "names": st.booleans(),
    "frames": st.integers(1, 50),
}
common = {
    "skip": st.integers(0, 9),
    "times": st.integers(1, 9) | st.just(math.inf),
    "share": st.floats(0.01, 1),
    "after": times,
    "delay": times,
    "headers": st.dictionaries(tokens, tokens, max_size=2),
}
fault_fields = {
    **common,
    "call": st.sampled_from(["", "token", "createTask", "listTaskDerivatives", "getContract"]),
    "reference": words,
    "status": st.integers(400, 599),
    "retry_after": times | tokens,
}
link_fields = {**common, "path": words, "status": st.integers(400, 599), "ignore_range": st.booleans()}
anything = st.fixed_dictionaries(
    {},
    optional={
        **course_fields,
        "seed": st.integers(-(2**40), 2**40),
        "strict": st.booleans(),
        "courses": st.dictionaries(words, st.fixed_dictionaries({}, optional=course_fields), max_size=2),
        "faults": st.lists(
            st.fixed_dictionaries({}, optional=fault_fields)
            | st.fixed_dictionaries({"status": st.just(418), "code": words, "details": words}),
            max_size=3,
        ),
        "link_faults": st.lists(st.fixed_dictionaries({}, optional=link_fields), max_size=3),
        "contracts": st.lists(
            st.fixed_dictionaries({"name": words.filter(str.strip)}, optional={"derivatives": st.lists(kinds)}),
            min_size=1,
            max_size=2,
        ),
    },
)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(fields=anything)
def test_whatever_python_says_toml_can_say(load, fields):
    assert load(written(fields)) == made(fields)


# --- built-in scenarios ----------------------------------------------------------------------------------------------


async def order(sandbox, client, **changes):
    """With more notice than the strictest wants."""
    return await ordered(sandbox, client, 25 * 3600, **changes)


def test_there_are_scenarios_by_name():
    assert "slow-vessels" in SCENARIOS
    assert len(SCENARIOS) > 3


@pytest.mark.parametrize("name", SCENARIOS)
def test_each_name_is_a_scenario(name):
    assert Sandbox(name).scenario == Scenario.load(name)
    assert re.fullmatch("[a-z0-9]+(-[a-z0-9]+)*", name)


@pytest.mark.parametrize("name", SCENARIOS)
async def test_each_scenario_can_be_lived_through(name, tmp_path):
    """Whatever is wrong with it, a client gets its detections or is told why it does not."""
    # A seed, and tries enough: what is refused by chance alone must not decide whether this passes.
    scenario = evolve(Scenario.load(name), seed=7)
    async with Sandbox(scenario, speed=math.inf) as sandbox, sandbox.client(retry=RetryPolicy(tries=20)) as client:
        begun, end = sandbox.clock.now(), None
        try:
            task = await order(sandbox, client)
        except ApiError as refused:
            end = refused
            task = await order(sandbox, client, product_types=["GRD-COG"], derivative_product_types=None)
        else:
            try:
                poll = PollPolicy(timeout=30 * HOUR, ceiling=600.0)
                found = await client.await_derivatives(task.id, types=["DC_VESSELS"], poll=poll)
                end = await client.download(found, to=tmp_path)
            except PollError as ended:
                end = ended
        status = (await client.tasks.get(task.id)).status
        took = sandbox.clock.now() - begun

    assert end
    assert status in {"RECEIVED", "ACTIVE", "FULFILLED", "DONE", "REJECTED", "FAILED", "CANCELED"}
    assert took <= 2 * DAY


async def test_slow_vessels_are_slow(tmp_path):
    """Vessels come later than anything else."""
    scenario = Scenario.load("slow-vessels")
    last = {kind: max([at] if isinstance(at, float) else at) for kind, at in scenario.derivatives.items()}

    assert max(last, key=last.get) == "DC_VESSELS"


# --- mistakes --------------------------------------------------------------------------------------------------------

FAULT = "[[faults]]\n"
MISTAKES = {
    # What it is: the text, the lines that may be named, and words that the message must have.
    "syntax": ("decided = 5\nimaged = = 6\n", {2}, []),
    "syntax at the end": ("decided = 5\nlate = [\n", {2, 3}, []),
    "no value": ("decided = 5\n\nimaged\n", {3}, []),
    "unknown key": ("decided = 5\ndecied = 6\n", {2}, ["decied", "decided"]),
    "key twice": ("decided = 5\necho = true\ndecided = 6\n", {3}, []),
    "table twice": ("[sizes]\ngrd-tif = 5\n[sizes]\ngrd-xml = 5\n", {3}, []),
    "unknown table": ("decided = 5\n\n[derivative]\nDC_VESSELS = 5\n", {3}, ["derivative", "derivatives"]),
    "unknown array of tables": ("[[faults]]\nstatus = 500\n[[fault]]\nstatus = 500\n", {3}, ["fault", "faults"]),
    "text for a time": ('\n\ndecided = "5"\n', {3}, ["decided"]),
    "bool for a time": ("echo = true\ndecided = true\n", {2}, ["decided"]),
    "a date for a time": ("echo = true\ndecided = 2026-01-01\n", {2}, ["decided"]),
    "number for bool": ("decided = 1\necho = 1\n", {2}, ["echo"]),
    "negative time": ("decided = 1\nimaged = -1\n", {2}, ["imaged"]),
    "no number": ("decided = 1\nimaged = nan\n", {2}, ["imaged"]),
    "endless": ("decided = 1\nimaged = inf\n", {2}, ["imaged"]),
    "end": ('decided = 1\nends = "CANCELLED"\n', {2}, ["CANCELLED", "CANCELED", "FAILED", "REJECTED"]),
    "late type": ('decided = 1\nlate = ["GRD-CG"]\n', {2}, ["GRD-CG", "GRD-COG"]),
    "no frames": ("decided = 1\nframes = 0\n", {2}, ["frames"]),
    "half a frame": ("decided = 1\nframes = 1.5\n", {2}, ["frames"]),
    "seed": ('decided = 1\nseed = "lucky"\n', {2}, ["seed"]),
    "strict": ('decided = 1\nstrict = "yes"\n', {2}, ["strict"]),
    "derivatives as a list": ('decided = 1\nderivatives = ["DC_VESSELS"]\n', {2}, ["derivatives"]),
    "derivative time": ("[derivatives]\nDC_AIRCRAFT = 1\nDC_VESSELS = [1, -2]\n", {3}, ["DC_VESSELS"]),
    "derivative kind": ('[derivatives]\nDC_AIRCRAFT = 1\nDC_VESSELS = "5 min"\n', {3}, ["DC_VESSELS"]),
    "size of what": ("[sizes]\ngrd-xml = 1\ngrd-tiff = 1\n", {3}, ["grd-tiff", "grd-tif"]),
    "size": ("[sizes]\ngrd-xml = 1\ngrd-tif = 1.5\n", {3}, ["grd-tif"]),
    "no contracts": ("decided = 1\ncontracts = []\n", {2}, ["contracts"]),
    "contract as a table": ('decided = 1\n[contracts]\nname = "x"\n', {2}, ["contracts"]),
    "contract key": ('[[contracts]]\nname = "x"\nmode = ["SCAN"]\n', {3}, ["mode", "modes"]),
    "contract mode": ('[[contracts]]\nname = "x"\nmodes = ["SCAN", "STRIP"]\n', {3}, ["STRIP", "STRIPMAP"]),
    "contract product": ('[[contracts]]\nname = "x"\nproducts = ["GDR"]\n', {3}, ["GDR", "GRD"]),
    "second contract": ('[[contracts]]\nname = "x"\n[[contracts]]\nproducts = ["GDR"]\n', {4}, ["GDR", "GRD"]),
    "sla beyond products": ('[[contracts]]\nproducts = ["SLC-COG"]\nsla = ["GRD"]\n', {1, 2, 3}, ["GRD"]),
    "course key": ('[courses."a-*"]\ndecided = 1\n[courses."b-*"]\nend = "FAILED"\n', {4}, ["end", "ends"]),
    "course key of the whole": ('[courses."a-*"]\ndecided = 1\nseed = 1\n', {3}, ["seed", "decided"]),
    "course value": ('[courses."a-*"]\ndecided = 1\nends = "DONE"\n', {3}, ["DONE", "FAILED"]),
    "table in a course": ('[courses."a-*"]\necho = true\n[courses.b.derivatives]\nDC_VESSELS = -1\n', {3, 4}, []),
    "course that is none": ("decided = 1\n[courses]\na = 5\n", {2, 3}, ["courses"]),
    "unknown fault": ("decided = 1\n[[faults]]\nexplode = true\n", {3}, ["explode", "status"]),
    "unknown call": (f'{FAULT}status = 500\ncall = "getTasks"\n', {3}, ["getTasks", "getTask", "listTasks"]),
    "times 0": (f"{FAULT}status = 500\ntimes = 0\n", {3}, ["times"]),
    "times half": (f"{FAULT}status = 500\ntimes = 1.5\n", {3}, ["times"]),
    "skip": (f"{FAULT}status = 500\nskip = -1\n", {3}, ["skip"]),
    "share 0": (f"{FAULT}status = 500\nshare = 0\n", {3}, ["share"]),
    "share": (f"{FAULT}status = 500\nshare = 1.1\n", {3}, ["share"]),
    "until before after": (f"{FAULT}status = 500\nafter = 10\nuntil = 5\n", {1, 2, 3, 4}, ["after", "until"]),
    "status": (f"{FAULT}skip = 1\nstatus = 99\n", {3}, ["status"]),
    "status kind": (f'{FAULT}skip = 1\nstatus = "503"\n', {3}, ["status"]),
    "header": (f"{FAULT}status = 500\nheaders = {{Retry-After = 5}}\n", {3}, ["headers"]),
    "header name": (f'{FAULT}status = 500\nheaders = {{"A B" = "c"}}\n', {3}, ["headers"]),
    "header line": (f'{FAULT}status = 500\nheaders = {{A = "b\\r\\nc: d"}}\n', {3}, ["headers"]),
    "retry after": (f"{FAULT}status = 429\nretry_after = -5\n", {3}, ["retry_after"]),
    "retry after line": (f'{FAULT}status = 429\nretry_after = "1\\r\\nA: b"\n', {3}, ["retry_after"]),
    "delay": (f"{FAULT}status = 500\ndelay = -5\n", {3}, ["delay"]),
    "cut and reset": (f"{FAULT}status = 500\ncut = 5\nreset = 5\n", {1, 2, 3, 4}, ["cut", "reset"]),
    "second fault": (f'{FAULT}status = 500\n\n{FAULT}# a comment\nstatus = 500\ncall = "x"\n', {7}, ["createTask"]),
    "fault for another list": (f'{FAULT}status = 500\npath = "grd"\n', {3}, ["path", "call"]),
    "link fault key": ('[[link_faults]]\ncut = 5\ncall = "token"\n', {3}, ["call", "path"]),
    "link fault tag": ('[[link_faults]]\ncut = 5\netag = "v2"\n', {3}, ["etag"]),
    "inline fault": ("decided = 1\nfaults = [\n  {status = 500},\n  {state = 500},\n]\n", {2, 4}, ["state", "status"]),
    "faults as a number": ("decided = 1\nfaults = 5\n", {2}, ["faults"]),
    "after many lines": ("# a\n" * 500 + 'note = """\nends = 5\n"""\n', {501}, ["note"]),
    "crlf": ("decided = 1\r\n\r\n\r\necho = 5\r\n", {4}, ["echo"]),
    "bom": ("\ufeffdecided = 1\n\necho = 5\n", {3}, ["echo"]),
    "key within a text": ('[[faults]]\nbody = """\ntimes = 0\n"""\nstatus = 500\ntimes = 0\n', {6}, ["times"]),
    "quoted key": ('decided = 1\n"frames" = 0\n', {2}, ["frames"]),
    "dotted key": ("decided = 1\nderivatives.DC_VESSELS = -1\n", {2}, ["DC_VESSELS"]),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_in_a_file_is_told_with_its_line_and_what_would_be_good(load, name):
    text, lines, words = MISTAKES[name]

    with pytest.raises(ScenarioError) as caught:
        load(text)

    told = str(caught.value)
    assert isinstance(caught.value, ValueError)
    assert caught.value.line in lines
    assert "mine.toml" in told
    assert re.search(rf"\b{caught.value.line}\b", told.replace("mine.toml", ""))
    assert [word for word in words if word not in told] == []


@pytest.mark.parametrize(
    "data", [b"\xff\xfe\x00", b"decided = 5\n\x00\x01", "decided = 1".encode("utf-16"), b"echo = true\nx = '\xe4'\n"]
)
def test_a_file_that_is_no_text_is_told(load, data):
    with pytest.raises(ScenarioError, match=r"mine\.toml"):
        load(data)


@pytest.mark.parametrize("kind", [str, None], ids=["text", "path"])
@pytest.mark.parametrize("name", ["missing.toml", "folder.toml", "missing/mine.toml"])
def test_a_file_that_is_not_there_is_told(tmp_path, name, kind):
    (tmp_path / "folder.toml").mkdir()
    path = tmp_path / name

    with pytest.raises(ScenarioError) as caught:
        Scenario.load(path if kind is None else kind(path))

    assert name in str(caught.value)
    assert caught.value.line is None


@pytest.mark.parametrize(
    "name", ["slow-vesels", "", "Slow-Vessels", "slow-vessels.json", "../slow-vessels", "slow vessels"]
)
def test_a_name_that_is_none_is_told_with_those_that_are(name):
    with pytest.raises(ScenarioError) as caught:
        Scenario.load(name)

    assert caught.value.line is None
    for good in SCENARIOS:
        assert good in str(caught.value)
    assert ".toml" in str(caught.value)


@pytest.mark.parametrize("wrong", [5, b"slow-vessels", ["slow-vessels"], {}], ids=str)
def test_what_is_neither_name_nor_path_is_refused(wrong):
    with pytest.raises((ValueError, TypeError)):
        Scenario.load(wrong)
    with pytest.raises((ValueError, TypeError)):
        Sandbox(wrong)


def test_an_error_in_a_file_can_be_pickled(load):
    with pytest.raises(ScenarioError) as caught:
        load("decied = 5\n")
    again = pickle.loads(pickle.dumps(caught.value))  # noqa: S301

    assert (str(again), again.line) == (str(caught.value), 1)


def test_a_sandbox_takes_a_name_or_a_path(tmp_path):
    (tmp_path / "mine.toml").write_text("decided = 5\n")

    assert Sandbox("slow-vessels").scenario == Scenario.load("slow-vessels")
    assert Sandbox(tmp_path / "mine.toml").scenario == Sandbox(str(tmp_path / "mine.toml")).scenario
    assert Sandbox().scenario == Sandbox(None).scenario == Scenario()


async def test_the_date_of_answers_is_the_time_in_the_sandbox():
    async with open_desk(Scenario(seed=1), speed=0) as desk:
        await until(desk, 3 * HOUR)
        got = await desk.say("GET", "/openapi.json")

    assert parsedate_to_datetime(got.headers["Date"]) == desk.clock.utc()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Scenario(derivatives={"DC_VESSEL": 5}), "did you mean DC_VESSELS"),
        (lambda: Contract(derivatives=["DC_VESSEL"]), "did you mean DC_VESSELS"),
        (lambda: Scenario(contracts=[Contract(derivatives=["DC_SHEEP"])]), "DC_SHEEP"),
    ],
    ids=["scenario", "contract", "neither"],
)
def test_a_misspelt_derivative_type_is_no_new_one(make, words):
    with pytest.raises(ValueError, match=words):
        make()


async def test_draws_of_one_kind_do_not_disturb_those_of_another():
    """Ids and tokens are the same whatever faults are drawn."""
    found = []
    for faults in ([], [Fault(headers={"X-A": "b"}, share=0.5, times=math.inf)]):
        async with open_desk(Scenario(seed=1, faults=faults), speed=0) as desk:
            found.append([desk.headers, *[await desk.created() for _ in range(5)]])

    assert found[0] == found[1]
