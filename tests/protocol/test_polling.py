"""The wait for derivatives, row by row of the public contract: what was heard, and what follows from it."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from math import inf
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from iceye_async.errors import (
    DecodeError,
    DerivativesNotRequested,
    PollTimeout,
    RateLimited,
    ServerError,
    TaskEnded,
    TaskNotFound,
    TransportError,
    UsageError,
)
from iceye_async.models import Derivative, DerivativeAsset, DerivativeType, ImagingMode, Interval, Position, Task
from iceye_async.models.offer import SUPPORTED_MODES
from iceye_async.protocol.polling import advance, begin, oddity
from iceye_async.protocol.waiting import (
    Ask,
    Complete,
    Ended,
    Goal,
    Listing,
    Nothing,
    Outlook,
    PollPolicy,
    Renewed,
    Setback,
    TaskSeen,
    Wait,
    standing,
    timed_out,
)

AIRCRAFT, VESSELS, VEHICLES = DerivativeType.AIRCRAFT, DerivativeType.VESSELS, DerivativeType.VEHICLES
HOUR, DAY = 3600.0, 86_400.0
WALL = datetime(2026, 3, 1, 12, tzinfo=UTC)
PLAIN = PollPolicy(first=10, growth=2, ceiling=60, spread=0, timeout=10_000, setbacks=2)
NO_TASK = TaskNotFound("no such task", status=404)
DOWN = Setback(ServerError("down", status=503))
EXAMPLES = settings(max_examples=150, deadline=None)


def start(wanted=(VESSELS,), policy=PLAIN, now=0.0, *, goal=Goal.DERIVATIVES, scene=False):
    """A wait that begins; one that asks for the scene only where a test is about that."""
    state = begin(goal, "t1", wanted, policy, now)
    return state if scene else state._replace(outlook=Outlook(scene_due=inf))


def some(kind, *, named=None, assets=1, link="https://links.example/a?Signature=s"):
    files = tuple(DerivativeAsset(href=link, type="geojson") for _ in range(assets))
    return Derivative(id=f"id of {kind}" if named is None else named, type=kind, task_id="t1", assets=files)


def unmade(kind, **facts):
    return some(kind, assets=0, **facts)


def listing(status, *derivatives, **facts):
    return Listing(derivatives, final=status == 200, read=lambda: derivatives, **facts)


def half_read(status, *derivatives, blocked=(), retry_after=None):
    error = DecodeError("one cannot be read", where=("$.data[1].id",), retry_after=retry_after)
    return listing(status, *derivatives, unread=error, blocked=frozenset(blocked))


def seen(status="ACTIVE", *, opens=-HOUR, mode="SPOTLIGHT", products=None, echo=None, at=0.0):
    """The task, read `at` seconds after WALL; its window opens `opens` seconds after WALL."""
    window = Interval(WALL + timedelta(seconds=opens), WALL + timedelta(seconds=opens + DAY))
    task = Task(
        id="t1",
        contract_id="c1",
        status=status,
        imaging_mode=mode,
        point_of_interest=Position(60.0, 24.0),
        acquisition_window=window,
        created_at=WALL,
        updated_at=WALL,
        product_types=products,
        derivative_product_types=echo,
    )
    return TaskSeen(task, WALL.timestamp() + at)


def walk(state, *everything, roll=0.0):
    """What follows from each thing heard, each at the moment that was due."""
    steps = []
    for heard in everything:
        state, update, step = advance(state, heard, state.due, roll)
        steps.append((state, update, step))
    return steps


def last(state, *everything):
    return walk(state, *everything)[-1]


def pauses(state, *everything, roll=0.0):
    moments = [state.due, *(after.due for after, _, _ in walk(state, *everything, roll=roll))]
    return [round(later - sooner, 6) for sooner, later in pairwise(moments)]


def error_after(state, *everything):
    *before, (_, _, step) = walk(state, *everything)
    assert all(isinstance(earlier, Wait) for _, _, earlier in before)
    assert isinstance(step, Ended)
    return step.error


# --- 206 and 200 -----------------------------------------------------------------------------------------------


def test_a_wait_looks_at_the_derivatives_at_once():
    state = start(now=7.0)

    assert (state.due, state.ask, state.deadline) == (7.0, Ask.DERIVATIVES, 10_007.0)
    assert state.latest is None


def test_a_206_ends_the_wait_as_soon_as_the_wanted_types_have_assets():
    _, update, step = last(start(), listing(206, unmade(AIRCRAFT), some(VESSELS)))

    assert isinstance(step, Complete)
    assert update.complete
    assert (update.ready, update.missing) == ({VESSELS}, frozenset())
    assert update.fresh == (some(VESSELS),)
    assert tuple(update.derivatives) == (unmade(AIRCRAFT), some(VESSELS))
    assert not update.derivatives.final


def test_types_may_be_plain_strings_that_nobody_documented():
    _, update, step = last(start({"DC_BUILDINGS"}), listing(206, some("DC_BUILDINGS")))

    assert isinstance(step, Complete)
    assert update.ready == {"DC_BUILDINGS"}


def test_a_206_never_ends_a_wait_for_everything():
    """More may still be listed."""
    state, update, step = last(start(None), listing(206, some(VESSELS)))

    assert isinstance(step, Wait)
    assert not update.complete
    assert (update.ready, update.missing) == ({VESSELS}, frozenset())
    assert state.due == 10


def test_a_206_without_every_wanted_type_gives_an_update_and_a_pause():
    state, update, step = last(start({VESSELS, AIRCRAFT}), listing(206, unmade(AIRCRAFT), some(VESSELS)))

    assert isinstance(step, Wait)
    assert (update.ready, update.missing, update.complete) == ({VESSELS}, {AIRCRAFT}, False)
    assert state.latest == update
    assert state.due == 10


def test_a_206_with_an_empty_list_gives_an_update():
    _, update, step = last(start(), listing(206))

    assert isinstance(step, Wait)
    assert (tuple(update.derivatives), update.missing) == ((), {VESSELS})


def test_every_206_gives_an_update_also_without_news():
    steps = walk(start(), *[listing(206, unmade(VESSELS))] * 3)

    assert [(update.fresh, update.missing) for _, update, _ in steps] == [((), {VESSELS})] * 3


def test_a_200_with_every_wanted_type_ready_is_complete():
    _, update, step = last(start({VESSELS, AIRCRAFT}), listing(200, some(VESSELS), some(AIRCRAFT)))

    assert isinstance(step, Complete)
    assert update.complete
    assert update.derivatives.final


def test_a_200_with_everything_listed_ready_is_complete_where_no_types_were_named():
    _, update, step = last(start(None), listing(200, some(VESSELS), some("DC_NEW")))

    assert isinstance(step, Complete)
    assert update.ready == {VESSELS, "DC_NEW"}
    assert update.fresh == (some(VESSELS), some("DC_NEW"))


def test_a_200_without_a_wanted_type_says_which_will_never_come():
    error = error_after(start({VESSELS, VEHICLES}), listing(200, some(VESSELS)))

    assert isinstance(error, DerivativesNotRequested)
    assert error.types == {VEHICLES}
    assert error.task_id == "t1"
    assert "t1" in str(error)
    assert "DC_VEHICLES" in str(error)
    assert set(error.latest) == {some(VESSELS)}


def test_what_a_disappointing_200_did_bring_is_still_delivered():
    _, update, step = last(start({VESSELS, VEHICLES}), listing(200, some(VESSELS)))

    assert isinstance(step, Ended)
    assert update.fresh == (some(VESSELS),)


def test_a_200_with_an_empty_list_ends_a_wait_for_everything():
    error = error_after(start(None), listing(200))

    assert isinstance(error, DerivativesNotRequested)
    assert error.types == frozenset()
    assert "t1: derivatives will not come" in str(error)


def test_a_200_with_an_empty_list_after_something_was_ready_is_complete():
    """A later answer that forgets it takes nothing back."""
    _, update, step = last(start(None), listing(206, some(VESSELS)), listing(200))

    assert isinstance(step, Complete)
    assert tuple(update.derivatives) == (some(VESSELS),)


def test_a_200_without_a_type_that_was_ready_before_is_complete():
    _, update, step = last(
        start({VESSELS, AIRCRAFT}), listing(206, some(VESSELS), unmade(AIRCRAFT)), listing(200, some(AIRCRAFT))
    )

    assert isinstance(step, Complete)
    assert set(update.derivatives) == {some(VESSELS), some(AIRCRAFT)}


def test_a_200_that_lists_an_entry_without_assets_gives_an_update_and_a_pause():
    for wanted in (None, {VESSELS}):
        state, update, step = last(start(wanted), listing(200, unmade(VESSELS)))

        assert isinstance(step, Wait)
        assert (update.missing, update.complete, update.derivatives.final) == ({VESSELS}, False, True)
        assert state.due == 10


def test_a_200_that_contradicts_itself_may_still_come_right():
    _, update, step = last(start(None), listing(200, unmade(VESSELS)), listing(200, some(VESSELS)))

    assert isinstance(step, Complete)
    assert update.fresh == (some(VESSELS),)


def test_a_200_that_forgets_an_unready_entry_ends_a_wait_for_everything():
    """The service says that it is done: nothing that this wait could wait for is left."""
    _, _, step = last(start(None), listing(206, some(VESSELS), unmade(AIRCRAFT)), listing(200, some(VESSELS)))

    assert not isinstance(step, Wait)


def test_a_type_is_ready_only_when_every_entry_of_it_has_assets():
    first = listing(206, some(VESSELS, named="1"), unmade(VESSELS, named="2"))
    (_, partial, waiting), (_, whole, done) = walk(
        start(), first, listing(206, some(VESSELS, named="1"), some(VESSELS, named="2"))
    )

    assert isinstance(waiting, Wait)
    assert (partial.ready, partial.missing) == (frozenset(), {VESSELS})
    assert [entry.id for entry in partial.fresh] == ["1"]
    assert isinstance(done, Complete)
    assert [entry.id for entry in whole.fresh] == ["2"]


# --- what stays ------------------------------------------------------------------------------------------------


def test_once_ready_stays_ready_when_the_entry_vanishes_or_loses_its_assets():
    wanted = {VESSELS, AIRCRAFT}
    for worse in (listing(206), listing(206, unmade(VESSELS)), listing(206, unmade(VESSELS, named="another"))):
        _, update, step = last(start(wanted), listing(206, some(VESSELS)), worse)

        assert isinstance(step, Wait)
        assert (update.ready, update.missing, update.fresh) == ({VESSELS}, {AIRCRAFT}, ())
        assert some(VESSELS) in update.derivatives


def test_a_list_that_regresses_to_a_404_keeps_what_there_was():
    state, update, step = last(start({VESSELS, AIRCRAFT}), listing(206, some(VESSELS)), Nothing())

    assert isinstance(step, Wait)
    assert update is None
    assert set(state.latest) == {some(VESSELS)}


def test_the_newest_entry_with_assets_is_kept():
    """Links are signed anew, so the last ones live longest."""
    old, new = some(VESSELS, link="https://links.example/old"), some(VESSELS, link="https://links.example/new")
    _, update, _ = last(start({VESSELS, AIRCRAFT}), listing(206, old), listing(206, new))
    assert tuple(update.derivatives) == (new,)

    _, update, _ = last(start({VESSELS, AIRCRAFT}), listing(206, old), listing(206, new), listing(206, unmade(VESSELS)))
    assert tuple(update.derivatives) == (new,)


def test_each_wanted_derivative_is_fresh_exactly_once():
    steps = walk(
        start({VESSELS, VEHICLES}),
        listing(206, unmade(VESSELS), some(AIRCRAFT)),
        listing(206, some(VESSELS), some(AIRCRAFT)),
        listing(206),
        listing(206, unmade(VESSELS)),
        listing(206, some(VESSELS), some(AIRCRAFT)),
        listing(206, some(VESSELS), some(AIRCRAFT), some(VEHICLES)),
    )

    fresh = [[entry.type for entry in update.fresh] for _, update, _ in steps]
    assert fresh == [[], [VESSELS], [], [], [], [VEHICLES]]


def test_an_id_that_stands_twice_is_one_derivative():
    twice = listing(206, some(VESSELS, named="1"), unmade(VESSELS, named="1"), some(VESSELS, named="2"))
    for _, update, _ in walk(start({VESSELS, AIRCRAFT}), twice, twice):
        assert [entry.id for entry in update.derivatives] == ["1", "2"]
        assert update.ready == {VESSELS}

    first = walk(start({VESSELS, AIRCRAFT}), twice)[0][1]
    assert [entry.id for entry in first.fresh] == ["1", "2"]


def test_a_flapping_service_is_the_union_of_what_it_said():
    *steps, (_, update, step) = walk(
        start({VESSELS, AIRCRAFT}),
        Nothing(),
        seen("FULFILLED"),
        listing(206, some(VESSELS)),
        DOWN,
        Nothing(),
        listing(200, unmade(AIRCRAFT)),
        DOWN,
        listing(206, some(AIRCRAFT)),
    )

    assert all(isinstance(earlier, Wait) for _, _, earlier in steps)
    assert isinstance(step, Complete)
    assert set(update.derivatives) == {some(VESSELS), some(AIRCRAFT)}
    assert update.fresh == (some(AIRCRAFT),)


# --- a listing that brings nothing but new links ---------------------------------------------------------------


def test_renewed_links_give_an_update_that_is_read_when_somebody_looks():
    reads = []
    new = some(VESSELS, link="https://links.example/new")
    state, _, _ = last(start({VESSELS, AIRCRAFT}), listing(206, some(VESSELS)))

    state, update, step = last(state, Renewed(lambda: reads.append(1) or (new,), final=False))

    assert isinstance(step, Wait)
    assert reads == []
    assert (update.fresh, update.ready, update.missing, update.complete) == ((), {VESSELS}, {AIRCRAFT}, False)
    assert tuple(update.derivatives) == (new,)
    assert len(update) == 1
    assert reads == [1]
    assert state.latest == update


def test_renewed_links_at_the_deadline_are_the_last_look():
    state, _, _ = last(start(policy=PollPolicy(first=10, timeout=15)), listing(206, unmade(VESSELS)))
    again = Renewed(lambda: (unmade(VESSELS),), final=False)

    (before, first, _), (_, second, step) = walk(state, again, again)

    assert before.due == 15
    assert first is not None
    assert second is not None
    assert isinstance(step.error, PollTimeout)


def test_renewed_links_are_a_good_answer():
    again = Renewed(lambda: (unmade(VESSELS),), final=False)
    *_, (state, _, step) = walk(start(), listing(206, unmade(VESSELS)), DOWN, DOWN, again, DOWN, DOWN)

    assert isinstance(step, Wait)
    assert error_after(state, DOWN) is DOWN.error


@EXAMPLES
@given(
    st.sampled_from([None, frozenset({VESSELS}), frozenset({AIRCRAFT, VESSELS})]),
    st.lists(st.sampled_from([DOWN, Nothing(), seen("ACTIVE"), seen("FULFILLED")]), max_size=4),
    st.integers(1, 5),
    st.sampled_from([200, 206]),
    st.sampled_from([None, 30.0, 10_000.0]),
)
def test_renewed_links_are_worth_what_the_same_listing_is(wanted, between, times, status, timeout):
    policy = PollPolicy(first=10, growth=2, ceiling=60, spread=0.5, timeout=timeout, setbacks=5)
    entries = (unmade(VESSELS), some(AIRCRAFT))
    state, _, step = advance(start(wanted, policy), listing(status, *entries), 0.0, 0.5)
    for heard in between:
        if isinstance(step, Wait):
            state, _, step = advance(state, heard, state.due, 0.5)
    quick = slow = (state, None, step)
    for _ in range(times):
        if isinstance(slow[2], Wait):
            quick = advance(quick[0], Renewed(lambda: entries, final=status == 200), quick[0].due, 0.5)
            slow = advance(slow[0], listing(status, *entries), slow[0].due, 0.5)

    assert quick[1] == slow[1]
    assert str(quick[2]) == str(slow[2])
    assert quick[0] == slow[0] or isinstance(quick[2], Ended)


# --- entries that cannot be read -------------------------------------------------------------------------------


def test_readable_entries_count_beside_an_unreadable_one():
    state, update, step = last(start({VESSELS, AIRCRAFT}), half_read(206, some(VESSELS)))

    assert isinstance(step, Wait)
    assert update.fresh == (some(VESSELS),)
    assert update.ready == {VESSELS}
    assert state.due == 10


def test_an_unreadable_entry_is_a_setback_that_the_reply_beside_it_does_not_reset():
    heard = half_read(206, some(VESSELS))
    error = error_after(start({VESSELS, AIRCRAFT}), heard, heard, heard)

    assert error is heard.unread


def test_a_good_answer_resets_unreadable_entries():
    bad, good = half_read(206, some(VESSELS)), listing(206, some(VESSELS))
    steps = walk(start({VESSELS, AIRCRAFT}), *[bad, bad, good] * 4)

    assert all(isinstance(step, Wait) for _, _, step in steps)


def test_an_unreadable_entry_does_not_hold_up_named_types_that_are_ready():
    _, update, step = last(start({VESSELS}), half_read(206, some(VESSELS), blocked={AIRCRAFT}))

    assert isinstance(step, Complete)
    assert update.complete


def test_a_type_with_an_unreadable_entry_is_not_ready():
    _, update, step = last(start({VESSELS}), half_read(200, some(VESSELS), blocked={VESSELS}))

    assert isinstance(step, Wait)
    assert update.missing == {VESSELS}


def test_an_unreadable_entry_keeps_a_wait_for_everything_open():
    _, update, step = last(start(None), half_read(200, some(VESSELS)))

    assert isinstance(step, Wait)
    assert not update.complete


def test_an_unreadable_entry_may_be_the_type_that_seems_missing():
    for wanted in (None, {VESSELS}):
        _, _, step = last(start(wanted), half_read(200))

        assert isinstance(step, Wait)


def test_a_retry_after_on_a_half_readable_answer_binds():
    state, update, step = last(start(), half_read(206, some(AIRCRAFT), retry_after=500.0))
    assert isinstance(step, Wait)
    assert update is not None
    assert state.due == 500

    heard = half_read(206, some(AIRCRAFT), retry_after=10_001.0)
    error = error_after(start(), heard)
    assert isinstance(error, PollTimeout)
    assert error.__cause__ is heard.unread
    assert set(error.latest) == {some(AIRCRAFT)}


# --- 404 -------------------------------------------------------------------------------------------------------


def test_the_first_404_asks_the_task_at_once():
    state, update, step = last(start(), Nothing())

    assert isinstance(step, Wait)
    assert update is None
    assert (state.ask, state.due) == (Ask.TASK, 0.0)


def test_no_such_task():
    assert error_after(start(), Nothing(), Setback(NO_TASK)) is NO_TASK


@pytest.mark.parametrize("before", [(listing(206, some(AIRCRAFT)),), (Nothing(), seen("ACTIVE"))])
def test_a_task_that_was_there_before_and_is_not_found_now_is_a_setback(before):
    """The service is in disorder; the id is right."""
    *steps, (_, _, step) = walk(start(), *before, *[Setback(NO_TASK)] * 3)

    assert all(isinstance(earlier, Wait) for _, _, earlier in steps)
    assert step.error is NO_TASK


@pytest.mark.parametrize("status", ["REJECTED", "FAILED", "CANCELED"])
def test_a_task_that_ended_ends_the_wait_at_once(status):
    error = error_after(start(), Nothing(), seen(status))

    assert isinstance(error, TaskEnded)
    assert (error.status, error.task_id, error.latest) == (status, "t1", None)
    assert f"t1 is {status}" in str(error)


def test_a_task_that_ends_later_leaves_what_had_arrived():
    error = error_after(start(), listing(206, some(AIRCRAFT)), Nothing(), seen("FAILED"))

    assert isinstance(error, TaskEnded)
    assert set(error.latest) == {some(AIRCRAFT)}


@pytest.mark.parametrize("wanted", [None, {VESSELS}])
@pytest.mark.parametrize("status", ["RECEIVED", "ACTIVE", "FULFILLED", "DONE", "NOBODY_KNOWS"])
def test_an_empty_echo_shows_that_none_were_requested(wanted, status):
    error = error_after(start(wanted), Nothing(), seen(status, echo=()))

    assert isinstance(error, DerivativesNotRequested)
    assert error.types == (wanted or set())
    assert "when a task is created" in str(error)


def test_an_echo_that_lacks_a_wanted_type_shows_which_were_not_requested():
    error = error_after(start({VESSELS, AIRCRAFT}), Nothing(), seen(echo=(VESSELS, VEHICLES)))

    assert isinstance(error, DerivativesNotRequested)
    assert error.types == {AIRCRAFT}
    assert "DC_AIRCRAFT will not come" in str(error)


@pytest.mark.parametrize("wanted", [None, {VESSELS}])
def test_an_echo_that_holds_the_wanted_types_beats_every_other_sign(wanted):
    heard = seen("FULFILLED", echo=("DC_VESSELS",), mode="STRIPMAP", products=("SLC",))
    state, _, step = last(start(wanted), Nothing(), heard)

    assert isinstance(step, Wait)
    assert state.ask is Ask.DERIVATIVES


@pytest.mark.parametrize("mode", sorted(set(ImagingMode) - SUPPORTED_MODES))
def test_a_documented_mode_without_derivatives_shows_it(mode):
    error = error_after(start(), Nothing(), seen(mode=mode, products=("GRD",)))

    assert isinstance(error, DerivativesNotRequested)
    assert error.types == {VESSELS}
    assert str(mode) in str(error)


def test_the_five_documented_modes_may_have_derivatives():
    assert {mode.value for mode in SUPPORTED_MODES} == {
        "SPOTLIGHT",
        "SPOTLIGHT_FINE",
        "SPOTLIGHT_FINE_1L",
        "SPOTLIGHT_EXTENDED_DWELL",
        "SPOTLIGHT_EXTENDED_DWELL_FINE",
    }
    for mode in SUPPORTED_MODES:
        assert isinstance(last(start(), Nothing(), seen(mode=mode))[2], Wait)


def test_product_types_without_grd_show_it():
    error = error_after(start(None), Nothing(), seen(products=("SLC", "QLK")))

    assert isinstance(error, DerivativesNotRequested)
    assert error.types == frozenset()
    assert "GRD" in str(error)
    assert isinstance(error_after(start(), Nothing(), seen(products=())), DerivativesNotRequested)


@pytest.mark.parametrize(
    "facts",
    [
        {"products": ("SLC", "GRD")},
        {"products": ("GRD-COG",)},
        {"products": None},
        {"mode": "A_MODE_OF_THIS_CONTRACT"},
        {"status": "NOBODY_KNOWS"},
        {"echo": ("DC_VESSELS", "DC_NEW")},
    ],
)
def test_what_proves_nothing_means_not_ready_yet(facts):
    state, update, step = last(start(), Nothing(), seen(**facts))

    assert isinstance(step, Wait)
    assert update is None
    assert state.ask is Ask.DERIVATIVES
    assert state.due > 0


def test_what_was_listed_beats_what_the_task_shows():
    state, _, step = last(start(), listing(206, unmade(VESSELS)), Nothing(), seen(mode="STRIPMAP", products=("SLC",)))

    assert isinstance(step, Wait)
    assert set(state.latest) == {unmade(VESSELS)}


def test_an_echo_without_a_type_that_is_ready_ends_nothing():
    _, _, step = last(start({VESSELS, AIRCRAFT}), listing(206, some(VESSELS)), Nothing(), seen(echo=(AIRCRAFT,)))

    assert isinstance(step, Wait)


def test_an_echo_that_lacks_a_wanted_type_counts_also_after_others_were_listed():
    error = error_after(start({VESSELS, AIRCRAFT}), listing(206, some(VESSELS)), Nothing(), seen(echo=(VESSELS,)))

    assert isinstance(error, DerivativesNotRequested)
    assert error.types == {AIRCRAFT}
    assert set(error.latest) == {some(VESSELS)}


# --- when the task is asked ------------------------------------------------------------------------------------


def test_a_task_whose_status_cannot_change_any_more_is_asked_once():
    for status in ("FULFILLED", "DONE"):
        steps = walk(start(), Nothing(), seen(status), *[Nothing()] * 30)

        assert all(state.ask is Ask.DERIVATIVES for state, _, _ in steps[1:])


def test_a_task_whose_status_can_change_is_asked_sparingly():
    state, looks = start(policy=PollPolicy(timeout=None)), {Ask.DERIVATIVES: 0, Ask.TASK: 0}
    for _ in range(200):
        looks[state.ask] += 1
        state, _, step = advance(state, seen("ACTIVE") if state.ask is Ask.TASK else Nothing(), state.due, 0.0)
        assert isinstance(step, Wait)

    assert 5 < looks[Ask.TASK] <= looks[Ask.DERIVATIVES] / 3


def test_a_task_that_ends_while_it_is_watched_is_noticed():
    state, step = start(), Wait()
    for _ in range(20):
        if isinstance(step, Wait):
            heard = seen("ACTIVE" if state.due < 500 else "FAILED") if state.ask is Ask.TASK else Nothing()
            state, _, step = advance(state, heard, state.due, 0.0)

    assert isinstance(step.error, TaskEnded)


def test_a_pause_before_the_window_ends_when_the_window_opens():
    state, _, step = last(start(policy=PollPolicy()), Nothing(), seen("ACTIVE", opens=3 * HOUR))

    assert isinstance(step, Wait)
    assert (state.due, state.ask) == (3 * HOUR, Ask.DERIVATIVES)


def test_a_window_that_is_about_to_open_is_waited_for():
    state, _, _ = last(start(policy=PollPolicy()), Nothing(), seen("ACTIVE", opens=30.5))

    assert state.due == 30.5


def test_the_window_is_read_against_the_wall_time_of_the_answer():
    state, _, _ = last(start(policy=PollPolicy()), Nothing(), seen("ACTIVE", opens=3 * HOUR, at=2 * HOUR))

    assert state.due == HOUR


def test_no_pause_before_a_window_is_over_six_hours():
    state, _, _ = last(start(policy=PollPolicy()), Nothing(), seen("ACTIVE", opens=10 * DAY))

    assert (state.due, state.ask) == (6 * HOUR, Ask.TASK)


def test_a_task_that_is_not_decided_is_asked_sooner():
    """A RECEIVED task is decided within about 20 minutes; after that, ever more rarely."""
    far = seen("RECEIVED", opens=10 * DAY)
    waits = pauses(start(policy=PollPolicy()), Nothing(), *[far] * 20)[1:]

    assert waits[0] == 20 * 60
    assert waits == sorted(waits)
    assert waits[-1] == 6 * HOUR


@pytest.mark.parametrize("status", ["RECEIVED", "ACTIVE"])
def test_a_wait_of_days_costs_a_handful_of_requests(status):
    opens, state, requests = 13 * DAY, start(policy=PollPolicy()), 0
    while state.due < opens:
        heard = seen(status, opens=opens, at=state.due) if state.ask is Ask.TASK else Nothing()
        state, _, step = advance(state, heard, state.due, 1.0)
        requests += 1
        assert isinstance(step, Wait)

    assert requests <= 65
    assert (state.due, state.ask) == (opens, Ask.DERIVATIVES)


def test_a_rejection_before_the_window_is_noticed_within_six_hours():
    state, _, step = last(start(policy=PollPolicy()), Nothing(), seen("ACTIVE", opens=10 * DAY), seen("REJECTED"))

    assert isinstance(step.error, TaskEnded)
    assert state.due <= 6 * HOUR


def test_an_imaged_task_is_not_waited_for_whatever_its_window_says():
    state, _, _ = last(start(), Nothing(), seen("FULFILLED", opens=10 * DAY))

    assert (state.due, state.ask) == (10, Ask.DERIVATIVES)


def test_a_long_pause_never_jumps_over_the_deadline():
    """The last look is at the derivatives, and at the deadline."""
    state, _, step = last(start(), Nothing(), seen("ACTIVE", opens=10 * DAY))

    assert isinstance(step, Wait)
    assert (state.due, state.ask) == (10_000, Ask.DERIVATIVES)


# --- setbacks --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [
        ServerError("down", status=500),
        TransportError("no connection"),
        DecodeError("not JSON", where=("$",)),
    ],
)
def test_too_many_setbacks_in_a_row_raise_the_last_one_itself(error):
    first = Setback(TransportError("the first"))

    assert error_after(start(), first, first, Setback(error)) is error


def test_no_setback_is_endured_where_none_is_allowed():
    assert error_after(start(policy=PollPolicy(setbacks=0)), DOWN) is DOWN.error


@pytest.mark.parametrize("good", [listing(206), listing(206, unmade(VESSELS)), listing(206, some(AIRCRAFT))])
def test_a_good_answer_resets_the_setbacks(good):
    steps = walk(start(), *[DOWN, DOWN, good] * 4)

    assert all(isinstance(step, Wait) for _, _, step in steps)
    assert error_after(steps[-1][0], DOWN, DOWN, DOWN) is DOWN.error


def test_a_404_is_a_good_answer():
    fulfilled = last(start(), Nothing(), seen("FULFILLED"))[0]
    steps = walk(fulfilled, *[DOWN, DOWN, Nothing()] * 4)

    assert all(isinstance(step, Wait) for _, _, step in steps)


def test_a_look_at_the_task_is_a_good_answer():
    steps = walk(start(), Nothing(), DOWN, Nothing(), DOWN, Nothing(), seen("FULFILLED"), DOWN, DOWN)

    assert all(isinstance(step, Wait) for _, _, step in steps)


def test_a_404_does_not_reset_the_failed_look_at_the_task_after_it():
    error = error_after(start(), Nothing(), DOWN, Nothing(), DOWN, Nothing(), DOWN)

    assert error is DOWN.error


def test_the_derivatives_are_looked_at_again_after_a_failed_look_at_the_task():
    state, update, step = last(start(), Nothing(), DOWN)

    assert isinstance(step, Wait)
    assert update is None
    assert (state.ask, state.due) == (Ask.DERIVATIVES, 10)


def test_a_setback_takes_nothing_away():
    state, update, _ = last(start({VESSELS, AIRCRAFT}), listing(206, some(VESSELS)), DOWN)

    assert update is None
    assert state.latest.ready == {VESSELS}


def test_the_default_policy_outlasts_an_outage_of_half_an_hour():
    state, step = start(policy=PollPolicy()), Wait()
    while isinstance(step, Wait) and state.due < 1800:
        state, _, step = advance(state, DOWN, state.due, 0.0)

    assert isinstance(step, Wait)


def test_an_outage_without_end_is_not_endured_for_ever():
    state, step = start(policy=PollPolicy(timeout=None)), Wait()
    for _ in range(100):
        if isinstance(step, Wait):
            state, _, step = advance(state, DOWN, state.due, 1.0)

    assert step.error is DOWN.error


# --- 429 and Retry-After ---------------------------------------------------------------------------------------


def throttled(retry_after=None):
    return Setback(RateLimited("slow down", status=429, retry_after=retry_after))


def test_a_429_waits_at_least_as_long_as_it_asks_for():
    state, update, step = last(start(), throttled(120.0))

    assert isinstance(step, Wait)
    assert update is None
    assert state.due == 120


def test_a_short_retry_after_does_not_shorten_the_own_pause():
    assert last(start(), throttled(0.0))[0].due == 10
    assert last(start(), throttled(1.0))[0].due == 10


def test_chance_is_added_to_a_retry_after():
    """Everybody who was told the same time would come back at the same moment otherwise."""
    policy = PollPolicy(first=10, spread=0.5, timeout=None)
    state, _, _ = advance(start(policy=policy), throttled(100.0), 0.0, 1.0)

    assert state.due == 105


def test_a_429_without_a_hint_backs_off_on_its_own():
    assert pauses(start(), *[throttled()] * 5) == [10, 20, 40, 60, 60]


def test_only_the_deadline_bounds_how_often_a_service_may_throttle():
    steps = walk(start(policy=PollPolicy(setbacks=0, timeout=None)), *[throttled()] * 100)

    assert all(isinstance(step, Wait) for _, _, step in steps)


@pytest.mark.parametrize("kind", [RateLimited, ServerError, DecodeError])
def test_a_retry_after_binds_on_every_setback(kind):
    state, _, step = last(start(), Setback(kind("later", retry_after=700.0)))

    assert isinstance(step, Wait)
    assert state.due == 700


@pytest.mark.parametrize("kind", [RateLimited, ServerError, DecodeError])
def test_a_retry_after_beyond_the_deadline_is_a_time_out_at_once(kind):
    error = kind("much later", retry_after=10_000.5)
    state, _, step = advance(start(), Setback(error), 0.0, 0.0)

    assert isinstance(step.error, PollTimeout)
    assert step.error.__cause__ is error
    assert state.due == 0


def test_a_retry_after_that_ends_at_the_deadline_leaves_the_last_look():
    state, _, step = last(start(), throttled(10_000.0))

    assert isinstance(step, Wait)
    assert state.due == 10_000


def test_a_wait_without_a_deadline_follows_any_retry_after():
    state, _, step = last(start(policy=PollPolicy(timeout=None)), throttled(1e12))

    assert isinstance(step, Wait)
    assert state.due >= 1e12


def test_a_pause_that_was_asked_for_at_the_task_binds_too():
    state, _, _ = last(start(), Nothing(), throttled(300.0))

    assert state.due == 300


# --- the deadline ----------------------------------------------------------------------------------------------

SHORT = PollPolicy(first=10, spread=0, timeout=15, setbacks=2)
UNTIL_THEN = (listing(206, some(AIRCRAFT), unmade(VESSELS)), listing(206, some(AIRCRAFT), unmade(VESSELS)))


def test_the_last_look_is_at_the_deadline():
    moments = [state.due for state, _, _ in walk(start(policy=SHORT), *UNTIL_THEN)]

    assert moments == [10, 15]


def test_the_last_look_may_still_complete_the_wait():
    _, update, step = last(start(policy=SHORT), *UNTIL_THEN, listing(206, some(VESSELS)))

    assert isinstance(step, Complete)
    assert update.fresh == (some(VESSELS),)


def test_the_last_look_that_is_not_enough_gives_its_update_and_the_time_out():
    _, update, step = last(start({VESSELS, VEHICLES}, SHORT), *UNTIL_THEN, listing(206, some(VESSELS)))

    assert update.fresh == (some(VESSELS),)
    error = step.error
    assert isinstance(error, PollTimeout)
    assert isinstance(error, TimeoutError)
    assert error.task_id == "t1"
    assert error.latest == update
    assert "DC_VEHICLES not there after 15 s" in str(error)
    assert error.__cause__ is None


@pytest.mark.parametrize("heard", [Nothing(), seen("ACTIVE"), seen("FULFILLED"), DOWN, throttled()])
def test_nothing_is_waited_for_after_the_deadline(heard):
    error = error_after(start(policy=SHORT), *UNTIL_THEN, heard)

    assert isinstance(error, PollTimeout)
    assert set(error.latest) == {some(AIRCRAFT), unmade(VESSELS)}
    assert error.__cause__ is getattr(heard, "error", None)


def test_a_time_out_tells_the_status_of_the_task():
    error = error_after(start(None, SHORT), Nothing(), seen("ACTIVE"), Nothing(), Nothing())

    assert isinstance(error, PollTimeout)
    assert error.latest is None
    assert str(error).startswith("task t1: derivatives not there after 15 s; the task is ACTIVE; ")


def test_a_time_out_names_what_is_missing_also_where_nothing_was_ever_listed():
    error = timed_out(start({VESSELS, AIRCRAFT}))

    assert "DC_AIRCRAFT, DC_VESSELS not there" in str(error)


def test_no_timeout_means_no_deadline():
    state = start(policy=PollPolicy(timeout=None), now=1e9)
    state, _, step = advance(state, listing(206), 1e12, 0.0)

    assert state.deadline is None
    assert isinstance(step, Wait)


# --- pauses ----------------------------------------------------------------------------------------------------


def test_pauses_grow_up_to_the_ceiling():
    assert pauses(start(), *[listing(206, unmade(VESSELS))] * 5) == [10, 20, 40, 60, 60]


@pytest.mark.parametrize(
    "news",
    [
        listing(206, unmade(VESSELS), unmade(AIRCRAFT), unmade(VEHICLES)),
        listing(206, unmade(VESSELS), some(AIRCRAFT)),
    ],
)
def test_news_sets_the_pause_back(news):
    quiet = listing(206, unmade(VESSELS), unmade(AIRCRAFT))

    assert pauses(start({VESSELS, AIRCRAFT}), quiet, quiet, quiet, news) == [10, 20, 40, 10]


def test_chance_lengthens_a_pause_by_up_to_the_spread():
    policy = PollPolicy(first=10, growth=2, ceiling=15, spread=0.5, timeout=None)

    assert pauses(start(policy=policy), listing(206), listing(206), roll=1.0) == [15, 22.5]
    assert policy.pause(0, 0.5) == 12.5


def test_setbacks_are_spaced_out_by_how_many_there_were():
    many = PollPolicy(first=10, growth=2, ceiling=60, spread=0, setbacks=10)

    assert pauses(start(policy=many), listing(206), DOWN, DOWN, DOWN, DOWN, DOWN) == [10, 20, 20, 40, 60, 60]


def test_pauses_grow_over_404s_of_an_imaged_task():
    assert pauses(start(), Nothing(), seen("FULFILLED"), *[Nothing()] * 4) == [0, 10, 20, 40, 60, 60]


def test_looks_are_rarer_while_the_task_is_not_imaged():
    """Its processing still lies ahead, so up to five times the ceiling is soon enough."""
    for status, longest in (("ACTIVE", 300), ("FULFILLED", 60)):
        state, moments = start(policy=evolve(PLAIN, timeout=None)), [0.0]
        for _ in range(60):
            heard = seen(status) if state.ask is Ask.TASK else Nothing()
            state, _, _ = advance(state, heard, state.due, 0.0)
            moments.append(state.due)

        assert max(later - sooner for sooner, later in pairwise(moments)) == longest


def test_a_new_status_of_the_task_is_news():
    slow, _, _ = last(start(policy=PollPolicy(first=10, growth=2, spread=0)), Nothing(), *[seen("ACTIVE")] * 6)
    state, _, _ = advance(slow, seen("FULFILLED"), slow.due, 0.0)

    assert state.due - slow.due == 10


def test_a_pause_that_grows_beyond_every_number_is_the_ceiling():
    assert PollPolicy(growth=1e300, spread=0).pause(1000) == 25
    assert PollPolicy(growth=1e300, spread=0).pause(1000, slower=5) == 125


def test_a_ceiling_below_the_first_pause_wins():
    assert PollPolicy(first=10, ceiling=3, spread=0).pause(0) == 3


# --- the policy ------------------------------------------------------------------------------------------------

NOT_NUMBERS: list[Any] = [float("nan"), float("inf"), float("-inf"), -1, True, "5", None, 1j, [5]]


@pytest.mark.parametrize("field", ["first", "ceiling", "growth", "spread", "timeout", "setbacks"])
@pytest.mark.parametrize("value", NOT_NUMBERS, ids=repr)
def test_a_policy_refuses_what_is_no_sensible_number(field, value):
    if field == "timeout" and value is None:
        assert PollPolicy(timeout=None).timeout is None
        return
    with pytest.raises(UsageError, match=f"PollPolicy: {field} is a"):
        PollPolicy(**{field: value})


@pytest.mark.parametrize("field", ["first", "ceiling", "timeout"])
def test_durations_are_above_zero(field):
    with pytest.raises(UsageError, match="above 0, not 0"):
        PollPolicy(**{field: 0})
    assert getattr(PollPolicy(**{field: 0.001}), field) == 0.001


def test_bounds_that_make_sense_are_taken():
    policy = PollPolicy(growth=1, spread=0, setbacks=0, first=1e9)

    assert (policy.growth, policy.spread, policy.setbacks, policy.first) == (1, 0, 0, 1e9)
    for wrong in ({"growth": 0.99}, {"spread": -0.01}, {"setbacks": 1.0}):
        with pytest.raises(UsageError):
            PollPolicy(**wrong)


@pytest.mark.parametrize("field", ["first", "ceiling", "growth", "spread", "timeout"])
def test_a_policy_refuses_whole_numbers_that_no_float_holds(field):
    """They would be an OverflowError in the middle of a wait."""
    with pytest.raises(UsageError):
        PollPolicy(**{field: 10**400})


def test_a_refused_number_may_be_longer_than_python_can_show():
    with pytest.raises(UsageError):
        PollPolicy(first=-(10**5000))


def test_a_policy_is_a_frozen_value():
    assert PollPolicy(first=3) == PollPolicy(first=3)
    with pytest.raises(AttributeError):
        PollPolicy().first = 3.0


# --- whatever is heard -----------------------------------------------------------------------------------------

kinds = st.sampled_from([VESSELS, AIRCRAFT, "DC_NEW"])
entries = st.builds(
    lambda kind, number, assets, link: some(kind, named=f"{kind} {number}", assets=assets, link=link),
    kinds,
    st.integers(1, 2),
    st.integers(0, 2),
    st.sampled_from("xy"),
)
waits = st.none() | st.floats(0, 500, allow_nan=False)
errors = (
    st.builds(lambda wait: ServerError("down", status=503, retry_after=wait), waits)
    | st.builds(lambda wait: RateLimited("slow", status=429, retry_after=wait), waits)
    | st.builds(lambda wait: DecodeError("what?", retry_after=wait), waits)
    | st.sampled_from([NO_TASK, TransportError("no connection")])
)
tasks = st.builds(
    seen,
    st.sampled_from(["RECEIVED", "ACTIVE", "FULFILLED", "DONE", "FAILED", "NEW"]),
    opens=st.sampled_from([-DAY, 5.0, 100.0, 30 * DAY]),
    mode=st.sampled_from(["SPOTLIGHT", "STRIPMAP", "NEW"]),
    products=st.sampled_from([None, ("GRD",), ("SLC",)]),
    echo=st.sampled_from([None, None, (), ("DC_VESSELS", "DC_AIRCRAFT")]),
)
listings = st.builds(
    lambda status, found, error, blocked: listing(
        status, *found, unread=error, blocked=frozenset() if error is None else frozenset(blocked)
    ),
    st.sampled_from([200, 206, 206]),
    st.lists(entries, max_size=5),
    st.none() | st.none() | st.builds(lambda wait: DecodeError("one", retry_after=wait), waits),
    st.sets(kinds, max_size=1),
)
anything = listings | listings | st.builds(Nothing) | tasks | st.builds(Setback, errors)
moments = st.tuples(anything, st.floats(0, 20), st.floats(0, 1))
stories = st.lists(moments, max_size=25)
wishes = st.none() | st.sets(kinds, min_size=1)
policies = st.builds(
    PollPolicy,
    first=st.sampled_from([0.001, 5.0]),
    growth=st.sampled_from([1.0, 3.0]),
    ceiling=st.sampled_from([1.0, 60.0]),
    spread=st.sampled_from([0.0, 1.0]),
    timeout=st.sampled_from([None, 50.0, 5000.0]),
    setbacks=st.integers(0, 5),
)


def told(wanted, policy, story):
    """Each step of a wait: state before, what was heard, when, by which chance, and what followed."""
    state = start(wanted, policy, now=100.0)
    for heard, late, roll in story:
        now = state.due + late
        after = advance(state, heard, now, roll)
        yield state, heard, now, roll, after
        state = after[0]
        if not isinstance(after[2], Wait):
            return


@EXAMPLES
@given(wishes, policies, stories)
def test_no_derivative_is_ever_fresh_twice_or_without_assets_or_unwanted(wanted, policy, story):
    updates = [after[1] for *_, after in told(wanted, policy, story) if after[1] is not None]
    fresh = [entry for update in updates for entry in update.fresh]

    assert len({entry.id for entry in fresh}) == len(fresh)
    assert all(entry.assets and (wanted is None or entry.type in wanted) for entry in fresh)


@EXAMPLES
@given(wishes, policies, stories)
def test_every_listing_gives_an_update_and_nothing_else_does(wanted, policy, story):
    for _, heard, _, _, (_, update, step) in told(wanted, policy, story):
        if not isinstance(heard, Listing):
            assert update is None
        elif not isinstance(step, Ended):
            assert update is not None


@EXAMPLES
@given(wishes, policies, stories)
def test_what_is_ready_and_what_is_known_never_shrinks(wanted, policy, story):
    for before, _, _, _, (after, _, _) in told(wanted, policy, story):
        assert after.ready >= before.ready
        if before.latest is not None:
            assert after.latest.ready >= before.latest.ready
            assert {entry.id for entry in after.latest} >= {entry.id for entry in before.latest}
            with_files = {entry.id for entry in before.latest if entry.assets}
            assert {entry.id for entry in after.latest if entry.assets} >= with_files


@EXAMPLES
@given(wishes, policies, stories)
def test_ready_and_missing_split_what_is_wanted(wanted, policy, story):
    """Where no types were named: everything ever listed, until a 200 says what everything is."""
    for _, heard, _, _, (_, update, step) in told(wanted, policy, story):
        if update is not None:
            split = update.ready | update.missing
            assert not update.ready & update.missing
            assert update.complete == isinstance(step, Complete)
            assert not (update.complete and update.missing)
            if wanted is not None:
                assert split == wanted
            elif not heard.final:
                assert split == update.derivatives.listed
            else:
                assert {entry.type for entry in heard.derivatives} <= split
                assert split <= update.derivatives.listed | heard.blocked


@EXAMPLES
@given(wishes, policies, stories)
def test_no_look_comes_sooner_than_a_retry_after_allows(wanted, policy, story):
    for _, heard, now, _, (after, _, step) in told(wanted, policy, story):
        error = getattr(heard, "error", None) or getattr(heard, "unread", None)
        if error is not None and isinstance(step, Wait):
            assert after.due >= now + (getattr(error, "retry_after", None) or 0.0)


@EXAMPLES
@given(wishes, policies, stories)
def test_no_look_is_due_after_the_deadline_or_in_the_past(wanted, policy, story):
    for _, _, now, _, (after, _, step) in told(wanted, policy, story):
        if isinstance(step, Wait):
            assert after.deadline is None or after.due <= after.deadline
            assert after.due > now or after.ask is Ask.TASK


@EXAMPLES
@given(wishes, policies, stories)
def test_a_wait_ends_in_one_of_the_documented_errors(wanted, policy, story):
    for _, heard, now, _, (after, _, step) in told(wanted, policy, story):
        if isinstance(step, Ended):
            own = (PollTimeout, TaskEnded, DerivativesNotRequested)
            assert isinstance(step.error, own) or step.error in {
                getattr(heard, "error", None),
                getattr(heard, "unread", None),
            }
            if isinstance(step.error, own):
                assert step.error.latest is after.latest
            if isinstance(step.error, PollTimeout):
                floor = getattr(step.error.__cause__, "retry_after", None) or 0.0
                assert now + floor >= after.deadline


@EXAMPLES
@given(wishes, policies, stories)
def test_a_state_is_a_value(wanted, policy, story):
    """Whoever holds it can go on from it: the same again gives the same, and the state itself is not touched."""
    for before, heard, now, roll, after in told(wanted, policy, story):
        shown = repr(before)

        assert repr(advance(before, heard, now, roll)) == repr(after)
        assert repr(before) == shown


# --- what a log should know ------------------------------------------------------------------------------------

FORGOT = "the service forgot derivatives that it had listed"
TOOK_BACK = "the service took back that its listing was complete"
GAPS = "the service called a listing complete in which files are missing"


def oddities(state, *everything):
    """What is odd about each thing heard."""
    found = []
    for heard in everything:
        after = advance(state, heard, state.due, 0.0)[0]
        found.append(oddity(state, heard, after))
        state = after
    return found


@pytest.mark.parametrize(
    ("heard", "odd"),
    [
        ([Nothing(), seen(), listing(206, unmade(VESSELS)), listing(206, some(VESSELS))], [None] * 4),
        ([listing(206, unmade(VESSELS)), Nothing()], [None, FORGOT]),
        ([listing(206, unmade(VESSELS)), DOWN, listing(206, unmade(VESSELS))], [None] * 3),
        ([listing(206, unmade(VESSELS)), listing(206, unmade(AIRCRAFT))], [None, FORGOT]),
        ([listing(206, unmade(VESSELS)), half_read(206)], [None, None]),
        ([listing(206), Nothing()], [None, None]),
        (
            [listing(206, some(VESSELS), unmade(AIRCRAFT)), listing(206, unmade(AIRCRAFT), some(VESSELS))],
            [None, None],
        ),
        (
            [listing(206, some(VESSELS)), listing(206, unmade(VESSELS))],
            [None, "the service took back files that it had listed"],
        ),
        ([listing(200, unmade(VESSELS))], [GAPS]),
        ([listing(200, unmade(VESSELS)), listing(206, unmade(VESSELS))], [GAPS, TOOK_BACK]),
        ([listing(200, unmade(VESSELS)), Renewed(lambda: (unmade(VESSELS),), False)], [GAPS, TOOK_BACK]),
        ([listing(200, some(VESSELS))], [None]),
    ],
)
def test_a_service_that_contradicts_itself_is_noticed(heard, odd):
    assert oddities(start(), *heard) == odd


def test_a_listing_without_gaps_that_stays_partial_is_noticed():
    everything = start(wanted=None, policy=evolve(PLAIN, timeout=None))

    odd = oddities(everything, *[listing(206, some(VESSELS))] * 30)

    assert set(odd) == {None, "the service calls a listing partial in which no file is missing"}
    assert odd.index("the service calls a listing partial in which no file is missing") >= 5


def test_a_type_that_is_not_listed_yet_is_nothing_odd():
    assert not any(oddities(start(wanted=[VESSELS]), *[listing(206, some(AIRCRAFT))] * 30))


# --- where a wait stands -----------------------------------------------------------------------------------------


def test_a_wait_tells_when_it_looks_next_and_how_long_it_may_take():
    told = standing(start(now=100.0)._replace(due=130.0), 110.0)

    assert (told.next_look, told.left, told.setbacks, told.error, told.status) == (20.0, 9_990.0, 0, None, None)


def test_while_a_look_is_under_way_and_after_the_deadline_nothing_is_left():
    told = standing(start(now=0.0)._replace(due=10.0), 20_000.0)

    assert (told.next_look, told.left) == (0.0, 0.0)


def test_a_wait_without_a_deadline_tells_none():
    assert standing(start(policy=evolve(PLAIN, timeout=None)), 0.0).left is None


def test_failures_are_told_while_they_go_on():
    state, _, _ = advance(start(), DOWN, 0.0, 0.0)
    assert (standing(state, 0.0).setbacks, standing(state, 0.0).error) == (1, DOWN.error)

    state, _, _ = advance(state, listing(206, unmade(VESSELS)), 10.0, 0.0)
    assert (standing(state, 10.0).setbacks, standing(state, 10.0).error) == (0, None)


@pytest.mark.parametrize("goal", [Goal.TASK, Goal.DERIVATIVES])
def test_the_status_is_that_in_which_the_task_was_seen_last(goal):
    state = start(wanted=("DONE",) if goal is Goal.TASK else (VESSELS,), goal=goal)._replace(ask=Ask.TASK)

    state, _, _ = advance(state, seen("ACTIVE"), 0.0, 0.0)

    assert standing(state, 0.0).status == "ACTIVE"
