"""The life of a task, as the waits follow it: row by row of `following`, `lifecycle` and `product_lists`."""

from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iceye_async.errors import (
    DecodeError,
    Forbidden,
    NotFound,
    PaginationLoop,
    PollTimeout,
    ProductsNotRequested,
    RateLimited,
    ServerError,
    TaskEnded,
    TaskNotFound,
)
from iceye_async.models import Interval, Position, Product, ProductAsset, Scene, Task, TaskStatus
from iceye_async.protocol.lifecycle import GOES_TO, can_reach
from iceye_async.protocol.paging import Book
from iceye_async.protocol.polling import advance, begin, oddity
from iceye_async.protocol.waiting import (
    Ask,
    Complete,
    Ended,
    Goal,
    NoScene,
    Nothing,
    PollPolicy,
    Products,
    SceneSeen,
    Setback,
    TaskSeen,
    Wait,
)
from iceye_async.protocol.wire import Flaw, Page

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
WALL = datetime(2026, 3, 1, 12, tzinfo=UTC)
PLAIN = PollPolicy(first=10, growth=2, ceiling=60, spread=0, timeout=None, setbacks=2)
DOWN = ServerError("down", status=503)
NO_SCENE = NoScene(NotFound("no plan", status=404))
PICTURE = {Goal.TASK: ("FULFILLED", "DONE"), Goal.PRODUCTS: None, Goal.DERIVATIVES: ("DC_VESSELS",)}
FIRST = {Goal.TASK: Ask.TASK, Goal.PRODUCTS: Ask.TASK, Goal.DERIVATIVES: Ask.DERIVATIVES}
each_goal = pytest.mark.parametrize("goal", list(Goal))


def start(goal=Goal.TASK, wanted: Any = ..., policy=PLAIN):
    return begin(goal, "t1", PICTURE[goal] if wanted is ... else wanted, policy, 0.0)


def seen(status="ACTIVE", *, opens=-HOUR, at=0.0):
    """The task, read `at` seconds after WALL; its window opens `opens` seconds after WALL."""
    window = Interval(WALL + timedelta(seconds=opens), WALL + timedelta(seconds=opens + DAY))
    task = Task(
        id="t1",
        contract_id="c1",
        status=status,
        imaging_mode="SPOTLIGHT",
        point_of_interest=Position(60.0, 24.0),
        acquisition_window=window,
        created_at=WALL,
        updated_at=WALL,
    )
    return TaskSeen(task, WALL.timestamp() + at)


def plan(imaging, at=0.0):
    """The scene, read `at` seconds after WALL: the imaging is planned `imaging` seconds after WALL."""
    begins = WALL + timedelta(seconds=imaging)
    scene = Scene(task_id="t1", imaging_time=Interval(begins, begins + timedelta(seconds=10)))
    return SceneSeen(scene, WALL.timestamp() + at)


def item(name, kind: str | None = "GRD", *, made=True):
    assets = {"grd-tif": ProductAsset(href="https://links.example/a?Signature=s")} if made else {}
    return Product(id=name, task_id="t1", product_type=kind, assets=assets)


def products(*items, kind=None, unread=None):
    return Products(kind, items, unread)


def walk(state, *everything):
    """What follows from each thing heard, each at the moment that was due."""
    steps = []
    for heard in everything:
        state, update, step = advance(state, heard, state.due, 0.0)
        steps.append((state, update, step))
    return steps


def last(state, *everything):
    return walk(state, *everything)[-1]


def error_after(state, *everything):
    *before, (_, _, step) = walk(state, *everything)
    assert all(isinstance(earlier, Wait) for _, _, earlier in before)
    assert isinstance(step, Ended)
    return step.error


# --- which status can follow which -----------------------------------------------------------------------------


def test_every_documented_status_is_in_the_table_and_leads_to_documented_ones():
    assert set(GOES_TO) == set(TaskStatus)
    assert set().union(*GOES_TO.values()) <= set(TaskStatus)


@pytest.mark.parametrize(
    ("status", "wanted", "can"),
    [
        ("RECEIVED", {"DONE"}, True),
        ("ACTIVE", {"RECEIVED"}, False),
        ("FULFILLED", {"ACTIVE", "FAILED"}, False),
        ("FULFILLED", {"DONE"}, True),
        ("ACTIVE", {"FULFILLED"}, True),
        ("DONE", {"FULFILLED"}, False),
        ("DONE", {"DONE"}, True),
        ("REJECTED", {"ACTIVE"}, False),
        ("QUEUED", {"FULFILLED"}, True),
        ("ACTIVE", {"ARCHIVED"}, True),
        ("DONE", {"ARCHIVED"}, False),
    ],
)
def test_what_can_still_come(status, wanted, can):
    assert can_reach(status, wanted) is can


# --- a wait for a status ---------------------------------------------------------------------------------------


def test_the_first_status_and_every_change_are_updates_and_the_one_waited_for_is_the_last():
    story = [seen("RECEIVED"), seen("RECEIVED"), seen("ACTIVE"), NO_SCENE, seen("ACTIVE"), seen("FULFILLED")]

    steps = walk(start(), *story)

    assert [update and update.status for _, update, _ in steps] == ["RECEIVED", None, "ACTIVE", None, None, "FULFILLED"]
    assert isinstance(steps[-1][2], Complete)
    assert steps[-1][0].latest.status == "FULFILLED"


def test_a_status_that_ends_the_wait_is_an_update_too():
    state, update, step = last(start(), seen("REJECTED"))

    assert update.status == "REJECTED"
    assert isinstance(step.error, TaskEnded)
    assert (step.error.status, step.error.task_id, step.error.latest) == ("REJECTED", "t1", update)
    assert str(step.error) == "task t1 is REJECTED: it can no longer be DONE or FULFILLED"
    assert state.latest is update


def test_a_status_that_nobody_documented_is_named_as_one_where_it_cannot_come():
    error = error_after(start(Goal.TASK, {"FULFILED"}), seen("DONE"))

    assert "(the documented statuses are RECEIVED, ACTIVE," in str(error)


def test_who_waits_for_the_decision_looks_as_often_as_the_policy_says():
    """It comes within 20 minutes, also where the window is days away."""
    steps = walk(start(Goal.TASK, {"ACTIVE"}), *[seen("RECEIVED", opens=3 * DAY)] * 4)

    assert [state.due for state, _, _ in steps] == [10, 30, 70, 130]


def test_who_waits_for_the_picture_looks_at_the_decision_rarely():
    steps = walk(start(), *[seen("RECEIVED", opens=3 * DAY)] * 4)

    assert [state.due / MINUTE for state, _, _ in steps] == [20, 60, 140, 300]


def test_between_fulfilled_and_done_the_policy_says_how_often():
    steps = walk(start(Goal.TASK, {"DONE"}), seen("FULFILLED"), seen("FULFILLED"))

    assert [state.due for state, _, _ in steps] == [10, 30]
    assert all(state.ask is Ask.TASK for state, _, _ in steps)


def test_the_deadline_names_what_was_waited_for_and_what_the_task_is():
    error = error_after(start(policy=PollPolicy(timeout=5.0)), *[seen("QUEUED")] * 2)

    assert isinstance(error, PollTimeout)
    assert str(error).startswith("task t1: not DONE or FULFILLED after 5 s; the task is QUEUED; ")
    assert error.latest.status == "QUEUED"


@each_goal
def test_a_task_that_is_not_there_ends_the_wait_and_one_that_vanishes_is_a_setback(goal):
    missing = Setback(TaskNotFound("no such task", status=404))

    assert isinstance(error_after(start(goal), missing), TaskNotFound)
    assert isinstance(last(start(goal), seen("RECEIVED"), missing)[2], Wait)


def test_a_task_that_goes_back_in_its_life_is_odd():
    before = last(start(Goal.TASK, {"DONE"}), seen("FULFILLED"))[0]
    after = last(before, seen("ACTIVE"))[0]

    assert "went back" in oddity(before, seen("ACTIVE"), after)
    assert oddity(before, seen("FULFILLED"), after) is None
    assert oddity(start(), seen("ACTIVE"), after) is None
    assert oddity(before, NO_SCENE, after) is None


# --- the planned imaging ---------------------------------------------------------------------------------------


@each_goal
def test_the_scene_of_an_active_task_is_asked_at_once(goal):
    state, _, _ = last(start(goal), seen("ACTIVE", opens=DAY))

    assert (state.ask, state.due) == (Ask.SCENE, 0.0)


@each_goal
@pytest.mark.parametrize("status", ["RECEIVED", "QUEUED"])
def test_no_other_task_has_a_scene_worth_asking_for(goal, status):
    assert last(start(goal, ("FULFILLED",) if goal is Goal.TASK else ("x",)), seen(status))[0].ask is not Ask.SCENE


@each_goal
@pytest.mark.parametrize(
    ("opens", "imaging", "pause", "ask"),
    [
        (30 * HOUR, 40 * HOUR, 6 * HOUR, Ask.TASK),
        (2 * HOUR, 4 * HOUR, 2 * HOUR, Ask.TASK),
        (-HOUR, 14 * HOUR, 2 * HOUR, Ask.TASK),
        (-HOUR, 3 * HOUR, 1.5 * HOUR, Ask.TASK),
        (-HOUR, 21 * MINUTE, 10.5 * MINUTE, Ask.TASK),
        (-HOUR, 20 * MINUTE, 20 * MINUTE, None),
        (-HOUR, 30.0, 30.0, None),
    ],
)
def test_before_the_planned_imaging_the_task_alone_is_asked_ever_sooner(goal, opens, imaging, pause, ask):
    state, update, _ = last(start(goal), seen("ACTIVE", opens=opens), plan(imaging))

    assert (state.due, state.ask, update) == (pause, FIRST[goal] if ask is None else ask, None)


@each_goal
def test_a_plan_before_the_window_opens_is_not_believed(goal):
    assert last(start(goal), seen("ACTIVE", opens=10 * MINUTE), plan(MINUTE))[0].due == 10 * MINUTE


@each_goal
@pytest.mark.parametrize("planned", [False, True])
def test_a_date_in_whole_seconds_is_no_reason_to_ask_over_and_over(goal, planned):
    """By the service's Date what begins in a fraction of a second is still ahead, until the second is over."""
    state, looks = start(goal), 0
    while state.due < 12:
        now, looks = state.due, looks + 1
        read = {
            Ask.TASK: seen("ACTIVE", opens=-HOUR if planned else 10.003, at=now // 1),
            Ask.SCENE: plan(10.003, at=now // 1) if planned else NO_SCENE,
            Ask.DERIVATIVES: Nothing(),
        }
        state, _, _ = advance(state, read[state.ask], now, 0.0)

    assert looks <= 12


@each_goal
def test_the_plan_is_asked_for_again_with_each_look_for_it_may_change(goal):
    state, _, _ = last(start(goal), seen("ACTIVE"), plan(4 * HOUR), seen("ACTIVE", at=2 * HOUR))

    assert state.ask is Ask.SCENE


@pytest.mark.parametrize(("goal", "slower"), [(Goal.TASK, 1), (Goal.PRODUCTS, 1), (Goal.DERIVATIVES, 5)])
def test_after_the_imaging_looks_follow_the_policy_and_those_for_derivatives_wait_for_products(goal, slower):
    state = last(start(goal), seen("ACTIVE"), plan(-MINUTE))[0]._replace(quiet=20)

    later, _, _ = advance(state, seen("ACTIVE", at=state.due), state.due, 0.0)

    assert later.due - state.due == 60 * slower


@each_goal
def test_a_scene_that_tells_of_nothing_ahead_is_asked_ever_more_rarely(goal):
    state, asked = start(goal, policy=PollPolicy(timeout=None, spread=0)), []
    while state.due < 2 * DAY:
        now = state.due
        if state.ask is Ask.SCENE:
            asked.append(now / HOUR)
        heard = {Ask.TASK: seen("ACTIVE", at=now), Ask.SCENE: NO_SCENE, Ask.DERIVATIVES: Nothing()}[state.ask]
        state, _, _ = advance(state, heard, now, 0.0)

    assert [round(moment) for moment in asked] == [0, 1, 3, 7, 15, 31]


@each_goal
@pytest.mark.parametrize("unknown", [NO_SCENE, SceneSeen(Scene(task_id="t1"), WALL.timestamp())])
def test_without_a_plan_nothing_is_looked_for_before_the_window_opens(goal, unknown):
    state, _, _ = last(start(goal), seen("ACTIVE", opens=5 * HOUR), unknown)

    assert (state.due, state.ask) == (5 * HOUR, FIRST[goal])
    assert state.setbacks == 0


@each_goal
def test_a_plan_that_is_withdrawn_is_forgotten_and_one_that_fails_to_come_is_not(goal):
    planned = last(start(goal), seen("ACTIVE"), plan(4 * HOUR), seen("ACTIVE", at=2 * HOUR))[0]

    assert last(planned, NO_SCENE)[0].due - planned.due < HOUR
    assert last(planned, NoScene(DOWN))[0].due - planned.due == HOUR


@each_goal
def test_what_a_scene_says_of_being_left_alone_binds_the_next_look(goal):
    throttled = NoScene(RateLimited("slow down", status=429, retry_after=900.0))

    assert last(start(goal), seen("ACTIVE"), throttled)[0].due == 900.0


@each_goal
@pytest.mark.parametrize("story", [[Setback], [seen("ACTIVE"), NoScene]], ids=["the first look", "the scene"])
def test_who_wants_to_be_left_alone_until_after_the_deadline_ends_the_wait_and_it_says_why(goal, story):
    throttled = ServerError("down", status=503, retry_after=900.0)

    *before, heard = story
    error = error_after(start(goal, policy=PollPolicy(timeout=600.0)), *before, heard(throttled))

    assert isinstance(error, PollTimeout)
    assert "the service wants to be left alone for 900 s, beyond the deadline" in str(error)
    assert error.__cause__ is throttled


@each_goal
@pytest.mark.parametrize("imaging", [-2.5 * HOUR, 24.5 * HOUR, -60 * DAY, 300 * DAY])
def test_a_plan_outside_the_window_is_no_plan(goal, imaging):
    state = last(start(goal), seen("ACTIVE"), plan(imaging))[0]

    assert (state.outlook.imaging, state.outlook.scene_due) == (float("-inf"), HOUR)


@pytest.mark.parametrize("types", [None, ("GRD",)])
def test_a_task_in_an_unknown_status_has_no_products_before_its_window_opens(types):
    state, _, _ = last(start(Goal.PRODUCTS, types), seen("SCHEDULED", opens=7 * DAY))

    assert (state.ask, state.due) == (Ask.TASK, 6 * HOUR)


@each_goal
def test_at_the_deadline_no_scene_is_asked_for(goal):
    state = start(goal, policy=PollPolicy(timeout=60.0))._replace(due=60.0)

    assert isinstance(error_after(state, seen("ACTIVE", at=60.0)), PollTimeout)


@settings(max_examples=100, deadline=None)
@given(st.floats(60.0, 23 * HOUR), st.floats(60.0, 23 * HOUR), st.sampled_from(list(Goal)))
def test_however_a_plan_moves_no_pause_in_the_window_is_over_two_hours_or_beyond_the_imaging(first, second, goal):
    state = last(start(goal), seen("ACTIVE"), plan(first))[0]
    assert 0 < state.due <= min(2 * HOUR, first) + 1e-3

    again = last(state, seen("ACTIVE", at=state.due), plan(second, at=state.due))[0]
    if second > state.due + PLAIN.first:
        assert state.due < again.due <= min(state.due + 2 * HOUR, second) + 1e-3


# --- a wait for products ---------------------------------------------------------------------------------------


def waiting(*types, status="FULFILLED"):
    """A wait for these types, or for all, after the task was seen in that status."""
    return last(start(Goal.PRODUCTS, types or None), seen(status))[0]


@pytest.mark.parametrize("status", ["FULFILLED", "DONE", "QUEUED"])
def test_the_lists_are_asked_once_the_task_is_imaged_or_in_a_status_that_nobody_knows(status):
    state = waiting("SLC", "GRD", status=status)

    assert (state.ask, state.due, state.gathered.turn) == (Ask.PRODUCTS, 0.0, ("GRD", "SLC"))
    assert waiting(status=status).gathered.turn == (None,)


@pytest.mark.parametrize("status", ["REJECTED", "FAILED", "CANCELED"])
def test_of_a_task_that_ended_no_products_come(status):
    error = error_after(start(Goal.PRODUCTS), seen(status))

    assert isinstance(error, TaskEnded)
    assert str(error) == f"task t1 is {status}: its products can no longer come"


def test_each_wanted_type_is_asked_in_turn_and_the_last_completes():
    steps = walk(waiting("GRD", "SLC"), products(item("a"), kind="GRD"), products(item("b", "SLC"), kind="SLC"))

    (first, told, step), (_, update, end) = steps
    assert (first.ask, first.gathered.turn, first.due) == (Ask.PRODUCTS, ("SLC",), 0.0)
    assert (told.fresh, told.ready, told.missing, told.complete) == ((item("a"),), {"GRD"}, {"SLC"}, False)
    assert isinstance(step, Wait)
    assert (update.products, update.fresh, update.missing) == (
        (item("a"), item("b", "SLC")),
        (item("b", "SLC"),),
        set(),
    )
    assert update.complete
    assert isinstance(end, Complete)


def test_what_comes_at_the_path_of_a_type_counts_as_that_type():
    _, update, step = last(waiting("GRD-COG"), products(item("a", "GRD"), kind="GRD-COG"))

    assert update.ready == {"GRD-COG"}
    assert isinstance(step, Complete)


def test_the_same_item_under_two_types_is_there_for_both():
    _, update, step = last(
        waiting("GRD", "GRD-COG"), products(item("a"), kind="GRD"), products(item("a"), kind="GRD-COG")
    )

    assert (update.fresh, len(update.products)) == ((item("a"),), 2)
    assert isinstance(step, Complete)


def test_an_item_without_assets_is_still_being_made():
    story = [
        products(item("a"), item("b", made=False), kind="GRD"),
        seen("FULFILLED"),
        products(item("a"), item("b"), kind="GRD"),
    ]

    (_, told, step), _, (_, update, end) = walk(waiting("GRD"), *story)

    assert (told.fresh, told.missing) == ((item("a"),), {"GRD"})
    assert isinstance(step, Wait)
    assert update.fresh == (item("b"),)
    assert isinstance(end, Complete)


def test_a_look_without_news_is_no_update():
    story = [products(item("a")), seen("FULFILLED"), products(item("a")), seen("FULFILLED"), products()]

    updates = [update for _, update, _ in walk(waiting(), *story)]

    assert [update is not None for update in updates] == [True, False, False, False, False]


def test_with_nothing_named_done_completes_what_is_there():
    steps = walk(waiting(), products(item("a")), seen("DONE"), products(item("a"), item("b", "SLC")))

    _, update, step = steps[-1]
    assert isinstance(steps[0][2], Wait)
    assert (update.fresh, update.ready, update.missing) == ((item("b", "SLC"),), {"GRD", "SLC"}, set())
    assert isinstance(step, Complete)


def test_with_nothing_named_an_item_without_a_type_is_an_item():
    _, update, step = last(waiting(status="DONE"), products(item("a", None)))

    assert (update.fresh, update.ready) == ((item("a", None),), set())
    assert isinstance(step, Complete)


def test_a_done_task_with_files_missing_is_waited_for_and_odd():
    before = waiting(status="DONE")
    heard = products(item("a", made=False))
    after, update, step = last(before, heard)

    assert isinstance(step, Wait)
    assert update is None
    assert after.latest.missing == {"GRD"}
    assert "DONE of which files are missing" in oddity(before, heard, after)
    assert isinstance(last(waiting("GRD", status="DONE"), products(item("a", made=False), kind="GRD"))[2], Wait)


def test_what_was_only_announced_and_is_not_on_the_list_any_more_is_not_waited_for():
    announced = last(waiting(), products(item("a"), item("b", made=False)), seen("DONE"))[0]

    assert isinstance(last(announced, products(item("a")))[2], Complete)


@pytest.mark.parametrize(("types", "never"), [((), set()), (("SICD",), {"SICD"}), (("SICD", "GRD"), {"SICD"})])
def test_what_a_done_task_does_not_list_will_not_come(types, never):
    lists = [products(*([item("a")] if kind == "GRD" else []), kind=kind) for kind in sorted(types) or [None]]

    error = error_after(waiting(*types, status="DONE"), *lists)

    assert isinstance(error, ProductsNotRequested)
    assert error.types == never
    assert "product_types when a task is created" in str(error)


def test_a_type_that_nobody_documented_is_named_as_one_where_it_will_not_come():
    error = error_after(waiting("GDR", status="DONE"), products(kind="GDR"))

    assert "(the documented types are CSI, CSI-COG, GRD," in str(error)


def test_what_is_fresh_is_told_before_the_rest_is_given_up():
    *_, (_, update, step) = walk(
        waiting("GRD", "SICD", status="DONE"), products(kind="GRD"), products(item("x", "SICD"), kind="SICD")
    )

    assert update.fresh == (item("x", "SICD"),)
    assert step.error.types == {"GRD"}


def test_products_that_the_service_forgets_stay_and_are_odd():
    before = last(waiting(), products(item("a")), seen("DONE"))[0]
    heard = products(item("b", "SLC"))
    after, update, step = last(before, heard)

    assert update.products == (item("a"), item("b", "SLC"))
    assert update.fresh == (item("b", "SLC"),)
    assert isinstance(step, Complete)
    assert "forgot products" in oddity(before, heard, after)
    assert oddity(before, products(item("a")), after) is None
    assert oddity(before, products(unread=DOWN), after) is None


def test_files_that_the_service_takes_back_stay():
    state = last(waiting(), products(item("a")), seen("FULFILLED"), products(item("a", made=False)))[0]

    assert state.latest.products == (item("a"),)
    assert state.latest.missing == set()


def test_what_could_not_be_read_is_a_setback_beside_what_could():
    unread = DecodeError("one cannot be read", where=("$.data[1].id",))

    state, update, step = last(waiting("GRD"), products(item("a"), kind="GRD", unread=unread))

    assert update.fresh == (item("a"),)
    assert update.missing == {"GRD"}
    assert isinstance(step, Wait)
    assert (state.setbacks, state.last_setback, state.ask) == (1, unread, Ask.TASK)


def test_a_task_that_answers_does_not_hide_that_its_lists_fail():
    failed = products(kind="GRD", unread=DOWN)

    error = error_after(waiting("GRD"), failed, seen("FULFILLED"), failed, seen("FULFILLED"), failed)

    assert error is DOWN


def test_a_list_that_answers_again_ends_the_setbacks():
    state = last(waiting("GRD"), products(kind="GRD", unread=DOWN), seen("FULFILLED"), products(kind="GRD"))[0]

    assert (state.setbacks, state.last_setback) == (0, None)


def test_a_list_that_always_fails_does_not_hide_the_others():
    """It is asked last in the next round."""
    state = last(waiting("GRD", "SLC"), products(kind="GRD", unread=DOWN), seen("FULFILLED"))[0]

    assert state.gathered.turn == ("SLC", "GRD")


def test_a_type_that_is_refused_does_not_hide_another():
    refused = Forbidden("no", status=403)

    (state, _, step), (_, update, end) = walk(
        waiting("CSI", "GRD"), products(kind="CSI", unread=refused), products(item("a"), kind="GRD")
    )

    assert (state.ask, state.gathered.turn, type(step)) == (Ask.PRODUCTS, ("GRD",), Wait)
    assert update.fresh == (item("a"),)
    assert end.error is refused


def test_a_refusal_of_a_later_page_ends_the_wait_with_what_was_read():
    refused = Forbidden("no", status=403)

    state, update, step = last(waiting(), products(item("a"), unread=refused))

    assert update.fresh == (item("a"),)
    assert step.error is refused
    assert state.latest.products == (item("a"),)


def test_the_deadline_names_the_types_that_are_missing():
    late = start(Goal.PRODUCTS, ("GRD", "SLC"), PollPolicy(timeout=60.0))._replace(due=60.0)

    error = error_after(late, seen("FULFILLED", at=60.0), products(item("a"), kind="GRD"), products(kind="SLC"))

    assert isinstance(error, PollTimeout)
    assert str(error).startswith("task t1: SLC not there after 60 s; the task is FULFILLED; ")
    assert error.latest.products == (item("a"),)


# --- pages -----------------------------------------------------------------------------------------------------


def book(*pages):
    found = Book()
    for page in pages:
        assert not found.over
        found.add(page)
    return found


@pytest.mark.parametrize("pages", [1, 3])
def test_a_list_is_over_with_the_page_that_has_no_cursor(pages):
    found = book(*[Page((n,), (), str(n)) for n in range(pages - 1)], Page(("end",), (), None))

    assert (found.items, found.over, found.error) == ([*range(pages - 1), "end"], True, None)


def test_what_could_not_be_read_is_named_by_its_page():
    found = book(Page((), (Flaw("$.data[0]", "odd"),), "x"), Page((), (Flaw("$.data[1]", "odd"),), None))

    assert isinstance(found.error, DecodeError)
    assert found.error.where == ("$.data[0]", "page 2 $.data[1]")


def test_a_cursor_that_comes_again_ends_the_list():
    found = book(Page((1,), (), "x"), Page((2,), (), "x"))

    assert (found.items, found.over) == ([1, 2], True)
    assert isinstance(found.error, PaginationLoop)
    assert "again" in str(found.error)


def test_a_list_without_an_end_ends_all_the_same():
    found, cursors = Book(), count()
    while not found.over:
        found.add(Page((), (), str(next(cursors))))

    assert "after 10000 pages" in str(found.error)
