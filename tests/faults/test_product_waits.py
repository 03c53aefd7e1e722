"""Waiting for products: which lists are asked for, what they prove, and that nothing is lost or told twice."""

import itertools
import json
import random

import pytest

from iceye_async import (
    DecodeError,
    Forbidden,
    NotFound,
    PaginationLoop,
    PollError,
    PollPolicy,
    PollTimeout,
    Product,
    ProductsNotRequested,
    ProductType,
    ProductUpdate,
    ServerError,
    TaskEnded,
    TaskNotFound,
    TransportError,
    UsageError,
)
from tests.faults.life import (
    EMPTY,
    EVEN,
    GONE,
    HOUR,
    MINUTE,
    NEVER,
    PRODUCTS,
    TASK,
    Item,
    Life,
    Trouble,
    Unreadable,
    alike,
    between,
    follow,
    lists,
    outcome,
    requests,
    reset,
    said,
)


def awaiting(types=None, poll=EVEN):
    return lambda client: client.await_products("t1", types, poll=poll)


def ids(products):
    return sorted(product.id for product in products)


def fresh(seen):
    """What was fresh in each update."""
    return [ids(update.fresh) for update in seen.steps]


def all_fresh(seen):
    return sorted(product.id for update in seen.steps for product in update.fresh)


def complete(seen):
    return [update.complete for update in seen.steps]


def paths(asked):
    return [one.path.partition("?")[0] for one in asked]


def rounds(wire):
    """How often lists were asked for: lists within the same five seconds are one round."""
    at = [asked.at for asked in lists(wire)]
    return len(at[:1]) + sum(later - earlier > 5 for earlier, later in itertools.pairwise(at))


# --- the usual way -------------------------------------------------------------------------------------------------

USUAL = [(0, "RECEIVED"), (20 * MINUTE, "ACTIVE"), (5 * HOUR, "FULFILLED"), (7 * HOUR, "DONE")]


def usual(**more):
    """GRD and a quicklook with FULFILLED, two frames of SLC one after the other, SICD with DONE."""
    return Life(
        USUAL,
        products=[
            Item("grd", "GRD", 5 * HOUR, 5 * HOUR),
            Item("qlk", "QLK", 5 * HOUR, 5 * HOUR),
            Item("slc-1", "SLC", 5.5 * HOUR, 5 * HOUR),
            Item("slc-2", "SLC", 6 * HOUR, 5 * HOUR),
            Item("sicd", "SICD", 7 * HOUR, 7 * HOUR),
        ],
        **more,
    )


def test_each_product_is_fresh_once_and_the_end_is_the_last_update(wire):
    seen = follow(wire, usual(), awaiting())

    assert seen.error is None
    assert fresh(seen) == [["grd", "qlk"], ["slc-1"], ["slc-2"], ["sicd"]]
    assert complete(seen) == [False, False, False, True]
    assert all(isinstance(update, ProductUpdate) for update in seen.steps)
    assert seen.latest == seen.steps[-1]


def test_awaited_it_gives_everything_that_was_listed(wire):
    found = outcome(wire, usual(), awaiting())

    assert isinstance(found, tuple)
    assert all(isinstance(product, Product) for product in found)
    assert ids(found) == ["grd", "qlk", "sicd", "slc-1", "slc-2"]
    assert all(product.assets for product in found)


def test_an_update_has_everything_listed_so_far_and_what_is_missing_of_it(wire):
    first, second, third, last = follow(wire, usual(), awaiting()).steps

    assert [ids(update.products) for update in (first, second, third)] == [["grd", "qlk", "slc-1", "slc-2"]] * 3
    assert [set(update.missing) for update in (first, second, third, last)] == [{"SLC"}, {"SLC"}, set(), set()]
    assert set(last.ready) == {"GRD", "QLK", "SLC", "SICD"}
    assert {"GRD", "QLK"} <= set(first.ready)
    assert "SLC" in third.ready


def test_an_end_without_news_is_an_update_too(wire):
    """FULFILLED brought everything; that it is everything is known with DONE."""
    life = Life([(0, "FULFILLED"), (HOUR, "DONE")], products=[Item("grd")])

    seen = follow(wire, life, awaiting())

    assert (fresh(seen), complete(seen)) == ([["grd"], []], [False, True])
    assert ids(seen.steps[-1].products) == ["grd"]


def test_no_update_without_news(wire):
    """Two hours of looks that bring nothing are silent."""
    life = Life([(0, "FULFILLED"), (3 * HOUR, "DONE")], products=[Item("grd"), Item("slc", "SLC", 2 * HOUR)])

    seen = follow(wire, life, awaiting())

    assert fresh(seen) == [["grd"], ["slc"], []]


def test_where_everything_is_there_one_look_is_enough(wire):
    seen = follow(wire, Life("DONE", products=[Item("grd"), Item("slc", "SLC")]), awaiting())

    assert (fresh(seen), complete(seen)) == ([["grd", "slc"]], [True])
    assert paths(wire.asked) == [TASK, PRODUCTS]


def test_where_a_named_type_is_there_one_look_is_enough(wire):
    seen = follow(wire, Life("FULFILLED", products=[Item("grd")]), awaiting("GRD"))

    assert (fresh(seen), complete(seen)) == ([["grd"]], [True])
    assert paths(wire.asked) == [TASK, f"{PRODUCTS}/GRD"]


def test_only_reading_requests_are_made(wire):
    follow(wire, usual(), awaiting())

    assert {asked.method for asked in wire.asked} == {"GET"}


# --- the task is asked first ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("types", [None, ["GRD", "SLC"]], ids=str)
def test_a_task_that_does_not_exist(wire, types):
    seen = follow(wire, Life(troubles=[Trouble(0, NEVER, GONE)]), awaiting(types))

    assert isinstance(seen.error, TaskNotFound)
    assert (seen.latest, paths(wire.asked)) == (None, [TASK])


@pytest.mark.parametrize("types", [None, ["GRD", "SLC"]], ids=str)
@pytest.mark.parametrize("status", ["REJECTED", "FAILED", "CANCELED"])
def test_a_task_that_has_ended_has_no_products(wire, status, types):
    seen = follow(wire, Life(status, products=[Item("grd")]), awaiting(types))

    assert isinstance(seen.error, TaskEnded)
    assert (seen.error.status, seen.error.task_id, seen.error.latest) == (status, "t1", None)
    assert (seen.steps, paths(wire.asked)) == ([], [TASK])


@pytest.mark.parametrize("types", [None, ["GRD", "SLC"]], ids=str)
@pytest.mark.parametrize("status", ["REJECTED", "FAILED", "CANCELED"])
@pytest.mark.parametrize("before", ["RECEIVED", "ACTIVE"])
def test_a_task_that_ends_on_the_way_ends_the_wait(wire, before, status, types):
    seen = follow(wire, Life([(0, before), (HOUR, status)]), awaiting(types))

    assert isinstance(seen.error, TaskEnded)
    assert seen.error.status == status
    assert lists(wire) == []
    assert HOUR <= seen.ended < 2 * HOUR


@pytest.mark.parametrize("types", [None, ["GRD", "SLC"]], ids=str)
def test_a_task_that_ends_against_the_table_keeps_what_had_come(wire, types):
    life = Life([(0, "FULFILLED"), (HOUR, "FAILED")], products=[Item("grd"), Item("slc", "SLC", NEVER)])

    seen = follow(wire, life, awaiting(types))

    assert isinstance(seen.error, TaskEnded)
    assert fresh(seen) == [["grd"]]
    assert "grd" in ids(seen.error.latest.products)
    assert seen.error.latest == seen.latest


@pytest.mark.parametrize("types", [None, ["GRD", "SLC"]], ids=str)
@pytest.mark.parametrize("status", ["RECEIVED", "ACTIVE"])
def test_no_list_is_asked_for_before_the_task_is_fulfilled(wire, status, types):
    """Though there would be one."""
    life = Life([(0, status), (2 * HOUR, "DONE")], products=[Item("grd"), Item("slc", "SLC")])

    seen = follow(wire, life, awaiting(types))

    assert seen.error is None
    assert all(asked.at >= 2 * HOUR for asked in lists(wire))


@pytest.mark.parametrize("status", ["FULFILLED", "DONE", "ARCHIVED", ""])
def test_lists_are_asked_for_while_it_is_fulfilled_done_or_in_a_status_that_nobody_knew(wire, status):
    found = outcome(wire, Life(status, products=[Item("grd"), Item("slc", "SLC")]), awaiting(["GRD", "SLC"]))

    assert ids(found) == ["grd", "slc"]
    assert wire.asked[-1].at < 5


def test_in_a_status_that_nobody_knew_products_come_but_the_end_does_not(wire):
    """Only DONE says that the list is whole."""
    life = Life([(0, "ARCHIVED"), (HOUR, "DONE")], products=[Item("grd"), Item("slc", "SLC", HOUR, HOUR)])

    seen = follow(wire, life, awaiting())

    assert (fresh(seen), complete(seen)) == ([["grd"], ["slc"]], [False, True])


@pytest.mark.parametrize("nothing", [GONE, EMPTY], ids=["404", "empty"])
@pytest.mark.parametrize("types", [None, ["GRD", "SLC"]], ids=str)
def test_in_a_status_that_nobody_knew_nothing_is_said_not_to_be_requested(wire, types, nothing):
    life = Life("ARCHIVED", nothing=nothing)

    seen = follow(wire, life, awaiting(types, PollPolicy(timeout=HOUR)))

    assert isinstance(seen.error, PollTimeout)


def test_a_404_of_a_task_that_was_there_is_a_setback(wire):
    life = Life([(0, "FULFILLED"), (HOUR, "DONE")], products=[Item("grd")], troubles=[Trouble(100, 200, GONE)])

    assert complete(follow(wire, life, awaiting())) == [False, True]


def test_a_task_that_is_gone_for_good_ends_the_wait_with_what_had_come(wire):
    life = Life("FULFILLED", products=[Item("grd")], troubles=[Trouble(100, NEVER, GONE)])

    seen = follow(wire, life, awaiting(None, PollPolicy(first=30.0, growth=1.0, spread=0.0, setbacks=4)))

    assert isinstance(seen.error, NotFound)
    assert ids(seen.latest.products) == ["grd"]
    assert seen.ended < 10 * MINUTE


# --- types ---------------------------------------------------------------------------------------------------------

NAMED = {
    "a string": ("GRD", {"GRD"}),
    "a member": (ProductType.GRD, {"GRD"}),
    "several": (["GRD", "SLC"], {"GRD", "SLC"}),
    "a set of both": ({ProductType.GRD, "GRD"}, {"GRD"}),
    "with a dash": ("GRD-COG", {"GRD-COG"}),
    "one that nobody knew": ("TOMOGRAM", {"TOMOGRAM"}),
    "a tuple with one twice": (("GRD", "GRD"), {"GRD"}),
}


@pytest.mark.parametrize(("types", "wanted"), NAMED.values(), ids=NAMED)
def test_each_named_type_is_asked_for_by_its_name_and_nothing_else_is(wire, types, wanted):
    life = Life("FULFILLED", products=[Item(kind, kind) for kind in ("GRD", "GRD-COG", "SLC", "QLK", "TOMOGRAM")])

    seen = follow(wire, life, awaiting(types))

    assert seen.error is None
    assert set(all_fresh(seen)) == wanted
    assert sorted(paths(lists(wire))) == sorted(f"{PRODUCTS}/{kind}" for kind in wanted)
    assert set(seen.steps[-1].ready) == wanted
    assert ids(seen.steps[-1].products) == sorted(wanted)


def test_types_may_be_a_generator(wire):
    make = lambda client: client.await_products("t1", (kind for kind in ["GRD"]))  # noqa: E731

    assert ids(outcome(wire, Life("DONE", products=[Item("grd")]), make)) == ["grd"]


def test_without_types_only_the_whole_list_is_asked_for(wire):
    follow(wire, usual(), awaiting())

    assert set(paths(lists(wire))) == {PRODUCTS}


def test_a_type_that_is_there_is_not_asked_for_again(wire):
    life = Life("FULFILLED", products=[Item("grd"), Item("slc", "SLC", HOUR, HOUR)])

    seen = follow(wire, life, awaiting(["GRD", "SLC"]))

    assert fresh(seen) == [["grd"], ["slc"]]
    assert len(requests(wire, f"{PRODUCTS}/GRD")) == 1
    assert len(requests(wire, f"{PRODUCTS}/SLC")) > 10


def test_what_is_missing_and_ready_of_named_types_is_told(wire):
    life = Life("FULFILLED", products=[Item("grd"), Item("slc", "SLC", HOUR, HOUR)])

    first, last = follow(wire, life, awaiting(["GRD", "SLC"])).steps

    assert (set(first.ready), set(first.missing), first.complete) == ({"GRD"}, {"SLC"}, False)
    assert (set(last.ready), set(last.missing), last.complete) == ({"GRD", "SLC"}, set(), True)
    assert ids(last.products) == ["grd", "slc"]


def test_named_types_are_complete_before_the_task_is_done(wire):
    life = Life([(0, "FULFILLED"), (5 * HOUR, "DONE")], products=[Item("grd", "GRD", HOUR, HOUR)])

    seen = follow(wire, life, awaiting("GRD"))

    assert complete(seen) == [True]
    assert HOUR <= seen.ended < 1.1 * HOUR


SENSELESS = [[], (), set(), {}, "", " ", [""], [None], [7], 7, b"GRD", [["GRD"]], True]


@pytest.mark.parametrize("types", SENSELESS, ids=repr)
def test_types_that_make_no_sense_are_refused_at_the_call(wire, types):
    async def main(client):
        with pytest.raises(UsageError):
            client.await_products("t1", types)

    wire.run(main)
    assert wire.asked == []


# --- frames: several products of one type --------------------------------------------------------------------------


@pytest.mark.parametrize("types", ["GRD", None], ids=str)
def test_a_type_is_ready_when_all_its_frames_are(wire, types):
    frames = [Item("f1", ready=0), Item("f2", ready=HOUR), Item("f3", ready=2 * HOUR)]

    seen = follow(wire, Life("DONE", products=frames), awaiting(types))

    assert fresh(seen) == [["f1"], ["f2"], ["f3"]]
    assert complete(seen) == [False, False, True]
    assert [set(update.missing) for update in seen.steps] == [{"GRD"}, {"GRD"}, set()]
    assert "GRD" not in seen.steps[1].ready


def test_a_frame_that_is_not_there_yet_keeps_a_named_type_from_being_complete_before_done(wire):
    frames = [Item("f1"), Item("f2", ready=HOUR)]

    seen = follow(wire, Life("FULFILLED", products=frames), awaiting("GRD"))

    assert (fresh(seen), complete(seen)) == ([["f1"], ["f2"]], [False, True])


def test_the_same_id_twice_in_one_list_is_one_product(wire):
    life = Life("DONE", products=[Item("f1", ready=NEVER), Item("f1"), Item("f1")])

    seen = follow(wire, life, awaiting("GRD"))

    assert (fresh(seen), complete(seen)) == ([["f1"]], [True])
    assert [bool(product.assets) for product in seen.steps[-1].products] == [True]


# --- a list says which type it is ----------------------------------------------------------------------------------


def test_the_documented_answer_for_a_type_counts_as_that_type_though_it_calls_itself_another(wire, sample):
    """The documented list of GRD-COG has a product that says GRD of itself."""
    life = Life("FULFILLED", troubles=[Trouble(0, NEVER, (200, {}, sample("products-by-type-200")), f"{PRODUCTS}/")])

    seen = follow(wire, life, awaiting("GRD-COG"))

    (update,) = seen.steps
    assert update.complete
    assert (set(update.ready), set(update.missing)) == ({"GRD-COG"}, set())
    assert len(update.fresh) == len(update.products) == 1
    assert paths(lists(wire)) == [f"{PRODUCTS}/GRD-COG"]


def test_a_product_on_the_list_of_another_type_says_nothing_about_its_own(wire):
    """Wanted are both; the list of GRD-COG shows what calls itself GRD, and GRD itself is not there yet."""
    life = Life("FULFILLED", products=[Item("cog", "GRD-COG", says="GRD"), Item("grd", "GRD", HOUR, HOUR)])

    seen = follow(wire, life, awaiting(["GRD", "GRD-COG"]))

    assert fresh(seen) == [["cog"], ["grd"]]
    assert [set(update.ready) for update in seen.steps] == [{"GRD-COG"}, {"GRD", "GRD-COG"}]
    assert set(seen.steps[0].missing) == {"GRD"}


def keys(products):
    return sorted((product.id, key) for product in products for key in product.assets)


BOTH = [Item("p1", "GRD", key="grd-tif"), Item("p1", "GRD-COG", says="GRD", key="grd-cog")]


def test_two_types_whose_lists_hold_the_same_id_are_both_there(wire):
    """The service shows one item under both names, each with files of its own: neither takes the other's place."""
    life = Life("FULFILLED", products=BOTH)

    seen = follow(wire, life, awaiting(["GRD", "GRD-COG"]))

    assert seen.error is None
    assert set(seen.steps[-1].ready) == {"GRD", "GRD-COG"}
    assert keys(seen.steps[-1].products) == [("p1", "grd-cog"), ("p1", "grd-tif")]
    assert keys(product for update in seen.steps for product in update.fresh) == [("p1", "grd-cog"), ("p1", "grd-tif")]


@pytest.mark.parametrize("later", [0, 1])
def test_of_the_same_id_under_two_types_one_can_come_later(wire, later):
    items = list(BOTH)
    items[later] = items[later]._replace(ready=HOUR)

    seen = follow(wire, Life("FULFILLED", products=items), awaiting(["GRD", "GRD-COG"]))

    assert [keys(update.fresh) for update in seen.steps] == [
        [("p1", items[1 - later].key)],
        [("p1", items[later].key)],
    ]
    assert set(seen.steps[0].missing) == {items[later].kind}
    assert complete(seen) == [False, True]
    assert HOUR <= seen.ended < 1.1 * HOUR


def test_the_whole_of_two_types_with_the_same_id_is_awaited(wire):
    assert keys(outcome(wire, Life("DONE", products=BOTH), awaiting(["GRD", "GRD-COG"]))) == [
        ("p1", "grd-cog"),
        ("p1", "grd-tif"),
    ]


# --- DONE, and what it proves --------------------------------------------------------------------------------------


@pytest.mark.parametrize("types", [None, ["GRD", "SLC", "SICD", "CSI"]], ids=str)
def test_d12_what_comes_with_done_is_delivered_besides_what_came_before_and_nothing_twice(wire, types):
    """FULFILLED brings the products of the SLA, DONE the others."""
    life = Life(
        [(0, "FULFILLED"), (HOUR, "DONE")],
        products=[Item("grd"), Item("slc", "SLC"), Item("sicd", "SICD", HOUR, HOUR), Item("csi", "CSI", HOUR, HOUR)],
    )

    seen = follow(wire, life, awaiting(types))

    assert all_fresh(seen) == ["csi", "grd", "sicd", "slc"]
    assert complete(seen) == [False] * (len(seen.steps) - 1) + [True]
    assert ids(seen.steps[-1].products) == ["csi", "grd", "sicd", "slc"]


def test_a_list_from_before_done_is_not_the_whole(wire):
    """DONE comes between the look at the task and its list, which does not yet have what comes with it."""
    life = Life([(0, "FULFILLED"), (0.01, "DONE")], products=[Item("grd"), Item("sicd", "SICD", HOUR, 1)])

    seen = follow(wire, life, awaiting())

    assert all_fresh(seen) == ["grd", "sicd"]
    assert complete(seen)[-1]
    assert not any(complete(seen)[:-1])


@pytest.mark.parametrize("nothing", [GONE, EMPTY], ids=["404", "empty"])
@pytest.mark.parametrize("types", [None, ["GRD"]], ids=str)
def test_before_done_a_404_or_an_empty_list_is_not_there_yet(wire, types, nothing):
    life = Life("FULFILLED", products=[Item("grd", "GRD", HOUR, HOUR)], nothing=nothing)
    life.stages.append((1.5 * HOUR, "DONE"))

    seen = follow(wire, life, awaiting(types, PollPolicy(setbacks=0)))

    assert seen.error is None
    assert all_fresh(seen) == ["grd"]
    assert len([asked for asked in lists(wire) if asked.at < HOUR]) > 10


@pytest.mark.parametrize("nothing", [GONE, EMPTY], ids=["404", "empty"])
def test_done_without_a_wanted_type_is_an_error_at_once(wire, nothing):
    seen = follow(wire, Life("DONE", nothing=nothing), awaiting(["SICD"]))

    assert isinstance(seen.error, ProductsNotRequested)
    assert isinstance(seen.error, PollError)
    assert (set(seen.error.types), seen.error.task_id) == ({"SICD"}, "t1")
    assert "SICD" in str(seen.error)
    assert paths(wire.asked) == [TASK, f"{PRODUCTS}/SICD"]


@pytest.mark.parametrize("nothing", [GONE, EMPTY], ids=["404", "empty"])
def test_done_with_one_wanted_type_and_without_another_delivers_the_one_and_names_the_other(wire, nothing):
    seen = follow(wire, Life("DONE", products=[Item("grd")], nothing=nothing), awaiting(["SICD", "GRD", "CSI"]))

    assert isinstance(seen.error, ProductsNotRequested)
    assert set(seen.error.types) == {"SICD", "CSI"}
    assert fresh(seen) == [["grd"]]
    assert not any(complete(seen))
    assert seen.error.latest == seen.latest
    assert alike(seen.latest, seen.steps[-1])
    assert ids(seen.latest.products) == ["grd"]


def test_done_without_a_wanted_type_is_an_error_after_a_wait_too(wire):
    life = Life([(0, "FULFILLED"), (HOUR, "DONE")], products=[Item("grd")])

    seen = follow(wire, life, awaiting(["GRD", "SICD"]))

    assert isinstance(seen.error, ProductsNotRequested)
    assert set(seen.error.types) == {"SICD"}
    assert HOUR <= seen.ended < 1.1 * HOUR
    assert ids(seen.error.latest.products) == ["grd"]


@pytest.mark.parametrize("nothing", [GONE, EMPTY], ids=["404", "empty"])
def test_a_list_from_before_done_does_not_prove_that_a_type_will_never_come(wire, nothing):
    """The task turned DONE after it was looked at, and before its list of SICD was."""
    life = Life([(0, "FULFILLED"), (0.01, "DONE")], products=[Item("sicd", "SICD", 20, 20)], nothing=nothing)

    seen = follow(wire, life, awaiting(["SICD"]))

    assert (fresh(seen), seen.error) == ([["sicd"]], None)


@pytest.mark.parametrize("nothing", [GONE, EMPTY], ids=["404", "empty"])
def test_done_with_nothing_at_all_is_an_error_that_names_no_type(wire, nothing):
    seen = follow(wire, Life("DONE", nothing=nothing), awaiting())

    assert isinstance(seen.error, ProductsNotRequested)
    assert set(seen.error.types) == set()
    assert paths(wire.asked) == [TASK, PRODUCTS]
    assert "t1" in str(seen.error)


@pytest.mark.parametrize("types", [None, ["GRD", "SLC"]], ids=str)
def test_done_with_a_product_without_assets_contradicts_itself_and_is_waited_for(wire, types):
    life = Life("DONE", products=[Item("grd"), Item("slc", "SLC", HOUR)])

    seen = follow(wire, life, awaiting(types, PollPolicy(first=30.0, growth=1.0, setbacks=0)))

    assert (fresh(seen), complete(seen), seen.error) == ([["grd"], ["slc"]], [False, True], None)


@pytest.mark.parametrize("types", [None, ["GRD", "SLC"]], ids=str)
def test_done_with_a_product_that_never_gets_its_assets_ends_at_the_deadline_with_what_there_is(wire, types):
    life = Life("DONE", products=[Item("grd"), Item("slc", "SLC", NEVER)])

    seen = follow(wire, life, awaiting(types, PollPolicy(timeout=HOUR)))

    assert isinstance(seen.error, PollTimeout)
    assert fresh(seen) == [["grd"]]
    assert set(seen.error.latest.missing) == {"SLC"}
    assert "SLC" in str(seen.error)
    assert wire.asked[-1].at == pytest.approx(HOUR, abs=2)


# --- lists that forget ---------------------------------------------------------------------------------------------

GRD = Item("grd")
SLC = Item("slc", "SLC", HOUR, HOUR)
FORGOTTEN = {
    "an item for a while": [GRD._replace(gone=100), Item("grd", listed=1000), SLC],
    "an item for good": [GRD._replace(gone=100), SLC],
    "its assets": [GRD._replace(gone=100), Item("grd", ready=NEVER, listed=100), SLC],
    "it comes and goes": [*(Item("grd", listed=at, gone=at + 100) for at in range(0, 3000, 200)), SLC],
}


@pytest.mark.parametrize("types", [None, ["GRD", "SLC"]], ids=str)
@pytest.mark.parametrize("nothing", [GONE, EMPTY], ids=["404", "empty"])
@pytest.mark.parametrize("products", FORGOTTEN.values(), ids=FORGOTTEN)
def test_what_was_there_stays_and_is_not_delivered_twice(wire, products, nothing, types):
    life = Life([(0, "FULFILLED"), (2 * HOUR, "DONE")], products=products, nothing=nothing)

    seen = follow(wire, life, awaiting(types))

    assert seen.error is None
    assert [names for names in fresh(seen) if names] == [["grd"], ["slc"]]
    assert complete(seen)[-1]
    assert {product.id for product in seen.steps[-1].products if product.assets} == {"grd", "slc"}


@pytest.mark.parametrize("products", FORGOTTEN.values(), ids=FORGOTTEN)
def test_no_update_has_less_than_the_one_before(wire, products):
    life = Life([(0, "FULFILLED"), (2 * HOUR, "DONE")], products=products)

    seen = follow(wire, life, awaiting())

    for earlier, later in itertools.pairwise(seen.steps):
        assert set(earlier.ready) <= set(later.ready)
        assert set(ids(earlier.products)) <= set(ids(later.products))


@pytest.mark.parametrize("nothing", [GONE, EMPTY], ids=["404", "empty"])
def test_a_done_task_whose_list_is_suddenly_empty_takes_nothing_back(wire, nothing):
    life = Life([(0, "FULFILLED"), (HOUR, "DONE")], products=[GRD._replace(gone=HOUR)], nothing=nothing)

    seen = follow(wire, life, awaiting())

    assert (fresh(seen), complete(seen), seen.error) == ([["grd"], []], [False, True], None)
    assert ids(seen.steps[-1].products) == ["grd"]


@pytest.mark.parametrize("nothing", [GONE, EMPTY], ids=["404", "empty"])
def test_what_was_only_announced_and_is_not_on_the_list_of_a_done_task_is_not_waited_for(wire, nothing):
    """Listed without assets before DONE, and not listed with it: by the list of a DONE task, it will not come."""
    announced = Item("slc", "SLC", NEVER, listed=0, gone=HOUR)
    life = Life([(0, "FULFILLED"), (HOUR, "DONE")], products=[GRD, announced], nothing=nothing)

    whole = follow(wire, life, awaiting(None, PollPolicy(timeout=3 * HOUR)))
    named = follow(wire, life, awaiting(["GRD", "SLC"], PollPolicy(timeout=3 * HOUR)))

    assert isinstance(named.error, ProductsNotRequested)
    assert set(named.error.types) == {"SLC"}
    assert (whole.error, complete(whole)[-1]) == (None, True)
    assert max(whole.ended, named.ended) < 1.1 * HOUR


def test_what_is_listed_again_has_its_newest_links(wire):
    """Links live for an hour; the wait may take days."""
    life = Life([(0, "FULFILLED"), (5 * HOUR, "DONE")], products=[GRD])

    (found,) = outcome(wire, life, awaiting())

    assert f"Expires={1_800_000_000 + 6 * HOUR:.0f}"[:-4] in found.assets["data"].href


# --- pages ---------------------------------------------------------------------------------------------------------


def frames(number, **more):
    return [Item(f"f{each:02}", **more) for each in range(number)]


@pytest.mark.parametrize("types", [None, ["GRD"]], ids=str)
def test_all_pages_are_read(wire, types):
    life = Life("DONE", products=frames(25), per_page=10)

    seen = follow(wire, life, awaiting(types))

    assert complete(seen)[-1]
    assert all_fresh(seen) == ids(seen.steps[-1].products) == [f"f{each:02}" for each in range(25)]
    assert len(lists(wire)) == 3


def test_a_page_that_has_not_been_read_keeps_a_type_from_being_complete(wire):
    """The last frame, on the last page, has no assets for an hour."""
    life = Life("DONE", products=[*frames(24), Item("f24", ready=HOUR)], per_page=10)

    seen = follow(wire, life, awaiting("GRD"))

    assert complete(seen)[-1]
    assert not any(complete(seen)[:-1])
    assert seen.ended >= HOUR


@pytest.mark.parametrize("end", [{}, {"cursor": None}, {"cursor": ""}], ids=str)
def test_a_last_page_ends_however_it_says_so(wire, end):
    body = json.dumps({"data": [GRD.product(0)], **end}).encode()
    life = Life("DONE", troubles=[Trouble(0, NEVER, (200, {}, body), PRODUCTS)])

    assert complete(follow(wire, life, awaiting())) == [True]
    assert len(lists(wire)) == 1


PAGE_TROUBLES = {
    "503": ((503, {}, b""), ServerError),
    "html": ((200, {}, b"<html>"), DecodeError),
    "nothing": ((200, {}, b""), DecodeError),
    "a reset": (reset, TransportError),
}


def second_page(life, start, end, answer):
    """From then until then the second page is not to be had."""

    def given(asked):
        if "cursor=2" not in asked.path:
            return life.proper(asked)
        return answer(asked) if callable(answer) else answer

    life.troubles.append(Trouble(start, end, given))
    return life


@pytest.mark.parametrize(("answer", "kind"), PAGE_TROUBLES.values(), ids=PAGE_TROUBLES)
@pytest.mark.parametrize("types", [None, ["GRD"]], ids=str)
def test_an_error_on_page_two_is_a_setback_after_which_nothing_is_lost_or_told_twice(wire, types, answer, kind):
    life = second_page(Life("DONE", products=frames(5), per_page=2), 0, 100, answer)

    seen = follow(wire, life, awaiting(types))

    assert seen.error is None
    assert all_fresh(seen) == [f"f{each:02}" for each in range(5)]
    assert complete(seen)[-1]
    assert not any(complete(seen)[:-1])


@pytest.mark.parametrize("types", [None, ["GRD"]], ids=str)
def test_page_two_that_is_suddenly_gone_does_not_make_page_one_the_whole(wire, types):
    life = second_page(Life("DONE", products=frames(5), per_page=2), 0, 100, GONE)

    seen = follow(wire, life, awaiting(types))

    assert seen.error is None
    assert all_fresh(seen) == [f"f{each:02}" for each in range(5)]


@pytest.mark.parametrize(("answer", "kind"), PAGE_TROUBLES.values(), ids=PAGE_TROUBLES)
@pytest.mark.parametrize("types", [None, ["GRD"]], ids=str)
def test_an_error_on_page_two_for_good_is_raised_and_page_one_is_kept(wire, types, answer, kind):
    """The first page is good each time, and so is the task: that does not make the setbacks fewer."""
    life = second_page(Life("DONE", products=frames(5), per_page=2), 0, NEVER, answer)

    seen = follow(wire, life, awaiting(types, PollPolicy(first=30.0, growth=1.0, setbacks=4)))

    assert isinstance(seen.error, kind)
    assert rounds(wire) == 5
    assert ids(seen.latest.products) == all_fresh(seen) == ["f00", "f01"]


@pytest.mark.parametrize("types", [None, ["GRD"]], ids=str)
def test_a_wait_that_is_over_its_deadline_keeps_the_page_that_it_could_read(wire, types):
    life = second_page(Life("DONE", products=frames(5), per_page=2), 0, NEVER, (503, {}, b""))

    seen = follow(wire, life, awaiting(types, PollPolicy(first=30.0, growth=1.0, timeout=200.0)))

    assert isinstance(seen.error, PollTimeout)
    assert ids(seen.error.latest.products) == ["f00", "f01"]


@pytest.mark.parametrize("types", [None, ["GRD"]], ids=str)
def test_a_cursor_that_comes_again_ends_the_wait_and_what_was_read_is_kept(wire, types):
    body = json.dumps({"data": [GRD.product(0)], "cursor": "again"}).encode()
    life = Life("DONE", troubles=[Trouble(0, NEVER, (200, {}, body), PRODUCTS)])

    seen = follow(wire, life, awaiting(types, PollPolicy(first=30.0, growth=1.0, setbacks=2)))

    assert isinstance(seen.error, PaginationLoop)
    assert len(lists(wire)) <= 10
    assert all_fresh(seen) == ids(seen.latest.products) == ["grd"]
    assert not seen.latest.complete


@pytest.mark.parametrize("types", [None, ["GRD"]], ids=str)
def test_retry_after_on_page_two_is_never_undercut(wire, types):
    life = second_page(Life("DONE", products=frames(5), per_page=2), 0, 500, (429, {"Retry-After": "600"}, b""))

    seen = follow(wire, life, awaiting(types))

    assert seen.error is None
    (refused,) = [asked for asked in lists(wire) if "cursor=2" in asked.path and asked.at < 500]
    assert between(wire, refused.at + 0.001, refused.at + 599) == []


# --- entries that cannot be read -----------------------------------------------------------------------------------


@pytest.mark.parametrize("types", [None, ["GRD"]], ids=str)
def test_an_unreadable_entry_does_not_hide_the_good_ones_beside_it(wire, types):
    life = Life("DONE", products=[Item("f1"), Unreadable(until=100), Item("f2"), Item("f3", listed=100)])

    seen = follow(wire, life, awaiting(types))

    assert seen.error is None
    assert fresh(seen) == [["f1", "f2"], ["f3"]]
    assert complete(seen) == [False, True]


@pytest.mark.parametrize("types", [None, ["GRD"]], ids=str)
def test_an_unreadable_entry_is_a_setback_that_the_good_ones_do_not_make_good(wire, types):
    life = Life("DONE", products=[Item("f1"), Unreadable()])

    seen = follow(wire, life, awaiting(types, PollPolicy(first=30.0, growth=1.0, setbacks=4)))

    assert isinstance(seen.error, DecodeError)
    assert rounds(wire) == 5
    assert fresh(seen) == [["f1"]]
    assert ids(seen.latest.products) == ["f1"]


@pytest.mark.parametrize("types", [None, ["GRD"]], ids=str)
def test_a_list_of_nothing_but_unreadable_entries_is_not_an_empty_one(wire, types):
    """The task is DONE; what cannot be read may be what is wanted."""
    life = Life("DONE", products=[Unreadable(until=100), Item("grd", listed=100)])

    seen = follow(wire, life, awaiting(types))

    assert (fresh(seen), complete(seen), seen.error) == ([["grd"]], [True], None)


@pytest.mark.parametrize("types", [None, ["GRD"]], ids=str)
def test_an_unreadable_entry_on_page_one_does_not_hide_page_two(wire, types):
    life = Life("DONE", products=[Unreadable(until=100), *frames(4)], per_page=2)

    seen = follow(wire, life, awaiting(types))

    assert seen.error is None
    assert fresh(seen)[0] == [f"f{each:02}" for each in range(4)]
    assert all_fresh(seen) == [f"f{each:02}" for each in range(4)]


def test_an_unreadable_entry_of_one_type_does_not_keep_another_from_being_ready(wire):
    life = Life("DONE", products=[Item("grd"), Unreadable("SLC", until=100), Item("slc", "SLC")])

    seen = follow(wire, life, awaiting(["GRD", "SLC"]))

    assert seen.error is None
    assert all_fresh(seen) == ["grd", "slc"]
    assert len(requests(wire, f"{PRODUCTS}/GRD")) == 1


def test_unreadable_entries_show_no_link(wire):
    """An entry that has a link where none can be."""
    entry = {"id": 7, "properties": {}, "assets": {"k": {"href": GRD.link(0)}}}
    life = Life("DONE", troubles=[Trouble(0, NEVER, said(200, {"data": [entry]}), PRODUCTS)])

    seen = follow(wire, life, awaiting(None, PollPolicy(setbacks=0)))

    assert isinstance(seen.error, DecodeError)
    assert "c4n4ry" not in f"{seen.error} {seen.error!r} {vars(seen.error)}"


# --- failures of a list beside good answers ------------------------------------------------------------------------


def test_a_list_that_fails_does_not_hide_another(wire):
    life = Life(
        "DONE",
        products=[Item("grd"), Item("slc", "SLC")],
        troubles=[Trouble(0, 100, (503, {}, b""), f"{PRODUCTS}/GRD")],
    )

    seen = follow(wire, life, awaiting(["GRD", "SLC"]))

    assert seen.error is None
    assert all_fresh(seen) == ["grd", "slc"]


@pytest.mark.parametrize("status", ["FULFILLED", "DONE"])
@pytest.mark.parametrize("types", [None, ["GRD"], ["SLC", "GRD"], ["GRD", "SLC"]], ids=str)
def test_lists_that_fail_for_good_are_raised_though_the_task_answers(wire, types, status):
    """Each look begins with a good answer about the task: that does not make the setbacks fewer."""
    life = Life([(0, "FULFILLED"), (100, status)])
    life.troubles = [Trouble(100, NEVER, (503, {}, b""), path) for path in ("/GRD", "/products")]

    seen = follow(wire, life, awaiting(types, PollPolicy(first=30.0, growth=1.0, ceiling=30.0, setbacks=4)))

    # A DONE task without SLC may also be told at once to be without it.
    told = isinstance(seen.error, ProductsNotRequested) and status == "DONE" and set(seen.error.types) == {"SLC"}
    assert told or isinstance(seen.error, ServerError)
    assert seen.ended < 100 + 6 * 35


def test_done_whose_list_fails_does_not_say_that_nothing_was_requested(wire):
    life = Life("DONE", products=[GRD], troubles=[Trouble(0, 100, (500, {}, b""), PRODUCTS)])

    for types in (None, ["GRD"]):
        seen = follow(wire, life, awaiting(types))
        assert (fresh(seen), seen.error) == ([["grd"]], None)


@pytest.mark.parametrize("types", [None, ["GRD", "SLC"]], ids=str)
def test_a_list_that_is_forbidden_is_raised_at_once_with_what_had_come(wire, types):
    life = Life(
        "FULFILLED",
        products=[GRD, Item("slc", "SLC", NEVER)],
        troubles=[Trouble(100, NEVER, (403, {}, b""), path) for path in (PRODUCTS, f"{PRODUCTS}/SLC")],
    )

    seen = follow(wire, life, awaiting(types))

    assert isinstance(seen.error, Forbidden)
    assert len([asked for asked in lists(wire) if asked.at >= 100]) == 1
    assert all_fresh(seen) == ["grd"]
    assert "grd" in ids(seen.latest.products)
    assert set(seen.latest.missing) == {"SLC"}


def test_a_forbidden_list_does_not_hide_what_another_of_the_same_look_had(wire):
    """GRD is there, SLC is forbidden: the error is raised, and GRD is on `latest`."""
    life = Life("FULFILLED", products=[GRD], troubles=[Trouble(0, NEVER, (403, {}, b""), f"{PRODUCTS}/SLC")])

    seen = follow(wire, life, awaiting(["GRD", "SLC"]))

    assert isinstance(seen.error, Forbidden)
    assert seen.latest is None or ids(seen.latest.products) == ["grd"]


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_on_one_list_binds_the_others_of_the_same_look(wire, status):
    """With a 429 and with a 503: nothing at all is asked for ten minutes."""
    life = Life(
        "FULFILLED",
        products=[GRD, Item("slc", "SLC"), Item("qlk", "QLK")],
        troubles=[Trouble(0, 500, (status, {"Retry-After": "600"}, b""), PRODUCTS)],
    )

    seen = follow(wire, life, awaiting(["GRD", "SLC", "QLK"]))

    assert seen.error is None
    assert all_fresh(seen) == ["grd", "qlk", "slc"]
    first = lists(wire)[0].at
    assert between(wire, first + 0.001, first + 599) == []


@pytest.mark.parametrize("types", [None, ["GRD", "SLC"]], ids=str)
def test_retry_after_beyond_the_deadline_keeps_what_had_come(wire, types):
    life = Life(
        "FULFILLED",
        products=[GRD, Item("slc", "SLC", NEVER)],
        troubles=[Trouble(100, NEVER, (429, {"Retry-After": "7200"}, b""), PRODUCTS)],
    )

    seen = follow(wire, life, awaiting(types, PollPolicy(first=30.0, growth=1.0, timeout=HOUR)))

    assert isinstance(seen.error, PollTimeout)
    assert seen.ended < 200
    assert "grd" in ids(seen.error.latest.products)


# --- the deadline --------------------------------------------------------------------------------------------------


def test_the_time_out_has_what_came_and_names_what_did_not(wire):
    life = Life("FULFILLED", products=[GRD])

    seen = follow(wire, life, awaiting(["GRD", "SICD"], PollPolicy(timeout=HOUR)))

    assert isinstance(seen.error, PollTimeout)
    assert (seen.error.task_id, set(seen.error.latest.missing)) == ("t1", {"SICD"})
    assert ids(seen.error.latest.products) == ["grd"]
    assert "SICD" in str(seen.error)
    assert lists(wire)[-1].at == pytest.approx(HOUR, abs=2)


def test_a_time_out_before_anything_came_has_nothing(wire):
    seen = follow(wire, Life("ACTIVE"), awaiting(None, PollPolicy(timeout=HOUR)))

    assert isinstance(seen.error, PollTimeout)
    assert (seen.steps, seen.error.latest) == ([], None)


# --- anything in any order -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(20))
def test_whatever_the_order_each_product_comes_once_and_none_is_lost(wire, seed):
    """An hour and a half of answers by chance: forgetful, broken, unreadable, in pages or not; then the truth."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    names = {f"{kind.lower()}-{frame}": kind for kind in ("GRD", "SLC", "QLK") for frame in (1, 2, 3)}
    life = Life(
        [(0, "FULFILLED"), (chance.choice([HOUR, 2 * HOUR]), "DONE")],
        products=[Item(name, kind) for name, kind in names.items()],
        per_page=chance.choice([1, 2, 100]),
    )
    troubles = [GONE, (500, {}, b""), (429, {}, b""), (200, {}, b'{"data": [{'), reset]

    def by_chance(asked):
        if not asked.path.startswith(PRODUCTS) or chance.random() < 0.3:
            answer = chance.choice([life.proper, life.proper, *troubles[1:]])
            return answer(asked) if callable(answer) else answer
        # The third frame has no assets in any answer of chance, so that none of those is the whole.
        kind = asked.path.partition("?")[0].removeprefix(PRODUCTS).strip("/")
        listed = [
            Item(name, of, NEVER if name.endswith("3") else chance.choice([0, NEVER])).product(asked.at)
            for name, of in names.items()
            if kind in ("", of) and (name.endswith("3") or chance.random() < 0.7)
        ]
        return said(200, {"data": listed})

    life.troubles = [Trouble(1, 1.5 * HOUR, by_chance)]
    types = chance.choice([None, ["GRD", "SLC", "QLK"], ["SLC"]])

    seen = follow(wire, life, awaiting(types, PollPolicy(first=60.0, growth=1.0, setbacks=1000)))

    wanted = sorted(name for name, kind in names.items() if types is None or kind in types)
    assert seen.error is None
    assert all_fresh(seen) == wanted
    assert ids(seen.steps[-1].products) == wanted
    assert complete(seen) == [False] * (len(seen.steps) - 1) + [True]
