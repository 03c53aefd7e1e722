"""Waiting for a task, and what the three waits have in common: the planned imaging, failures, how they are driven."""

import asyncio
import gc
import itertools
import warnings

import pytest

from iceye_async import (
    BadRequest,
    ClientCredentials,
    DecodeError,
    Forbidden,
    IceyeError,
    NotFound,
    PollError,
    PollPolicy,
    PollTimeout,
    RateLimited,
    ServerError,
    StateError,
    Task,
    TaskEnded,
    TaskNotFound,
    TaskStatus,
    TransportError,
    Unauthorized,
    UsageError,
)
from tests.faults.life import (
    DAY,
    DERIVATIVES,
    EVEN,
    GONE,
    HOUR,
    MINUTE,
    NEVER,
    PRODUCTS,
    SCENE,
    TASK,
    Item,
    Life,
    Trouble,
    alike,
    between,
    date,
    drained,
    follow,
    instant,
    lists,
    now,
    outcome,
    requests,
    reset,
    said,
)

STATUSES = ["RECEIVED", "ACTIVE", "FULFILLED", "DONE", "REJECTED", "FAILED", "CANCELED"]
FINAL = ["DONE", "REJECTED", "FAILED", "CANCELED"]

CAN_COME = {
    "RECEIVED": {"RECEIVED", "REJECTED", "ACTIVE", "CANCELED", "FULFILLED", "DONE", "FAILED"},
    "ACTIVE": {"ACTIVE", "FULFILLED", "DONE", "CANCELED", "FAILED"},
    "FULFILLED": {"FULFILLED", "DONE"},
    "DONE": {"DONE"},
    "REJECTED": {"REJECTED"},
    "FAILED": {"FAILED"},
    "CANCELED": {"CANCELED"},
}
"""What a task in this status can still be: the published life of a task, followed to its ends."""

PAIRS = list(itertools.product(STATUSES, STATUSES))
OPEN = [(status, until) for status, until in PAIRS if until in CAN_COME[status]]
SHUT = [(status, until) for status, until in PAIRS if until not in CAN_COME[status]]


def awaiting(until=None, poll=EVEN):
    return lambda client: client.await_task("t1", until, poll=poll)


def statuses(seen):
    return [task.status for task in seen.steps]


# --- the way to the status waited for ------------------------------------------------------------------------------

USUAL = [(0, "RECEIVED"), (10 * MINUTE, "ACTIVE"), (5 * HOUR, "FULFILLED"), (7 * HOUR, "DONE")]


def test_each_change_of_status_is_yielded_once_and_the_one_waited_for_is_the_last(wire):
    seen = follow(wire, Life(USUAL), awaiting("DONE"))

    assert seen.error is None
    assert statuses(seen) == ["RECEIVED", "ACTIVE", "FULFILLED", "DONE"]
    assert all(isinstance(task, Task) for task in seen.steps)
    assert seen.latest == seen.steps[-1]


def test_awaited_it_gives_the_task_in_the_status_waited_for(wire):
    task = outcome(wire, Life(USUAL), awaiting("DONE"))

    assert isinstance(task, Task)
    assert (task.id, task.status) == ("t1", "DONE")


@pytest.mark.parametrize("status", ["FULFILLED", "DONE"])
def test_by_default_it_waits_until_products_can_be_fetched(wire, status):
    life = Life([(0, "RECEIVED"), (HOUR, "ACTIVE"), (2 * HOUR, status)])

    assert outcome(wire, life, lambda client: client.await_task("t1")).status == status


def test_by_default_a_fulfilled_task_is_not_waited_for_until_it_is_done(wire):
    seen = follow(wire, Life(USUAL), lambda client: client.await_task("t1"))

    assert statuses(seen) == ["RECEIVED", "ACTIVE", "FULFILLED"]
    assert 5 * HOUR <= seen.ended < 6 * HOUR


def test_the_first_status_seen_is_a_change_also_where_it_is_the_one_waited_for(wire):
    seen = follow(wire, Life("DONE"), awaiting())

    assert (statuses(seen), seen.error) == (["DONE"], None)
    assert [asked.path for asked in wire.asked] == [TASK]


def test_a_change_between_two_looks_is_not_invented(wire):
    """Nobody saw it ACTIVE."""
    seen = follow(wire, Life([(0, "RECEIVED"), (1, "ACTIVE"), (2, "DONE")]), awaiting("DONE"))

    assert statuses(seen) == ["RECEIVED", "DONE"]


def test_a_status_that_stays_is_yielded_once_though_the_rest_of_the_task_changes(wire):
    life = Life([(0, "ACTIVE"), (HOUR, "DONE")])
    document = life.task
    life.task = lambda at: (*document(at)[:2], document(at)[2].replace(b'"t1"', b'"t1", "look": %d' % at))

    assert statuses(follow(wire, life, awaiting())) == ["ACTIVE", "DONE"]


UNTIL = {
    "a string": "DONE",
    "a member": TaskStatus.DONE,
    "a list": ["DONE"],
    "a tuple of members": (TaskStatus.DONE,),
    "a set of both": {TaskStatus.DONE, "DONE"},
    "a frozenset": frozenset({"DONE", "CANCELED"}),
    "one that cannot come": ["RECEIVED", "DONE"],
}


@pytest.mark.parametrize("until", UNTIL.values(), ids=UNTIL)
def test_until_is_a_status_or_several(wire, until):
    life = Life([(0, "ACTIVE"), (HOUR, "FULFILLED"), (1.2 * HOUR, "DONE")])

    seen = follow(wire, life, awaiting(until))

    assert seen.error is None
    assert statuses(seen) == ["ACTIVE", "FULFILLED", "DONE"]


def test_until_is_read_once_and_may_be_a_generator(wire):
    make = lambda client: client.await_task("t1", (status for status in ["CANCELED", "DONE"]), poll=EVEN)  # noqa: E731

    assert outcome(wire, Life([(0, "ACTIVE"), (HOUR, "DONE")]), make).status == "DONE"


@pytest.mark.parametrize("end", ["CANCELED", "FAILED", "REJECTED"])
def test_an_end_that_was_waited_for_is_no_error(wire, end):
    life = Life([(0, "RECEIVED"), (HOUR, end)])

    assert outcome(wire, life, awaiting(["CANCELED", "FAILED", "REJECTED"])).status == end


def test_of_several_the_first_that_comes_ends_the_wait(wire):
    seen = follow(wire, Life(USUAL), awaiting(["ACTIVE", "DONE"]))

    assert statuses(seen) == ["RECEIVED", "ACTIVE"]


def test_only_the_task_and_its_scene_are_asked_for_and_only_read(wire):
    follow(wire, Life(USUAL, plans=[(0, 3 * HOUR)]), awaiting("DONE"))

    assert {asked.path for asked in wire.asked} <= {TASK, SCENE}
    assert {asked.method for asked in wire.asked} == {"GET"}


# --- what can still come, and what cannot --------------------------------------------------------------------------


@pytest.mark.parametrize(("status", "until"), SHUT)
def test_what_can_no_longer_come_ends_the_wait_at_once(wire, status, until):
    seen = follow(wire, Life(status), awaiting(until))

    assert isinstance(seen.error, TaskEnded)
    assert isinstance(seen.error, PollError)
    assert (seen.error.status, seen.error.task_id) == (status, "t1")
    assert statuses(seen) == [status]
    assert seen.error.latest == seen.latest == seen.steps[-1]
    assert [asked.path for asked in wire.asked] == [TASK]
    assert status in str(seen.error)


@pytest.mark.parametrize(("status", "until"), OPEN)
def test_what_can_still_come_is_waited_for(wire, status, until):
    seen = follow(wire, Life([(0, status), (HOUR, until)]), awaiting(until))

    assert seen.error is None
    assert statuses(seen) == list(dict.fromkeys([status, until]))
    assert seen.ended >= (0 if status == until else HOUR)


@pytest.mark.parametrize("status", STATUSES)
def test_one_of_several_that_can_still_come_keeps_the_wait_going(wire, status):
    """Everything but one final status is ruled out in turn; with that one the wait does not end early."""
    possible = max(CAN_COME[status])
    shut = sorted(set(STATUSES) - CAN_COME[status])

    task = outcome(wire, Life([(0, status), (HOUR, possible)]), awaiting([*shut, possible]))

    assert task.status == possible


@pytest.mark.parametrize("status", STATUSES[1:])
def test_several_of_which_none_can_come_end_the_wait_at_once(wire, status):
    seen = follow(wire, Life(status), awaiting(set(STATUSES) - CAN_COME[status]))

    assert isinstance(seen.error, TaskEnded)
    assert len(wire.asked) == 1


@pytest.mark.parametrize("end", ["REJECTED", "FAILED", "CANCELED"])
@pytest.mark.parametrize("before", ["RECEIVED", "ACTIVE"])
def test_a_task_that_ends_on_the_way_ends_the_wait_and_its_end_is_yielded(wire, before, end):
    seen = follow(wire, Life([(0, before), (HOUR, end)]), awaiting())

    assert isinstance(seen.error, TaskEnded)
    assert statuses(seen) == [before, end]
    assert seen.error.latest.status == seen.error.status == end
    assert HOUR <= seen.ended < 2 * HOUR


def test_a_status_that_was_passed_by_between_two_looks_can_no_longer_come(wire):
    seen = follow(wire, Life([(0, "RECEIVED"), (1, "ACTIVE"), (2, "FULFILLED")]), awaiting("ACTIVE"))

    assert isinstance(seen.error, TaskEnded)
    assert statuses(seen) == ["RECEIVED", "FULFILLED"]


def test_a_service_that_goes_back_is_followed(wire):
    """By the table it cannot be; the wait goes on from what the service says now."""
    life = Life([(0, "FULFILLED"), (HOUR, "ACTIVE"), (2 * HOUR, "DONE")])

    seen = follow(wire, life, awaiting("DONE"))

    assert seen.error is None
    assert statuses(seen) == ["FULFILLED", "ACTIVE", "DONE"]


@pytest.mark.parametrize("until", STATUSES)
@pytest.mark.parametrize("status", ["QUEUED_FOR_PLANNING", "CANCELLED"])
def test_a_status_that_nobody_knew_proves_nothing(wire, status, until):
    seen = follow(wire, Life([(0, status), (300, until)]), awaiting(until))

    assert seen.error is None
    assert statuses(seen) == [status, until]


def test_a_status_that_nobody_knew_is_a_change_like_any_other(wire):
    life = Life([(0, "RECEIVED"), (HOUR, "PLANNED"), (2 * HOUR, "TAKEN"), (3 * HOUR, "DONE")])

    assert statuses(follow(wire, life, awaiting())) == ["RECEIVED", "PLANNED", "TAKEN", "DONE"]


def test_after_a_status_that_nobody_knew_the_table_holds_again(wire):
    seen = follow(wire, Life([(0, "PLANNED"), (HOUR, "DONE")]), awaiting("FULFILLED"))

    assert isinstance(seen.error, TaskEnded)
    assert seen.error.status == "DONE"


@pytest.mark.parametrize("status", ["RECEIVED", "ACTIVE", "FULFILLED", "PLANNED"])
def test_a_status_that_only_the_caller_knows_can_come_while_the_task_is_not_at_its_end(wire, status):
    seen = follow(wire, Life([(0, status), (HOUR, "ARCHIVED")]), awaiting("ARCHIVED"))

    assert seen.error is None
    assert statuses(seen) == [status, "ARCHIVED"]


@pytest.mark.parametrize("status", FINAL)
def test_a_status_that_only_the_caller_knows_cannot_come_once_the_task_is_at_its_end(wire, status):
    seen = follow(wire, Life(status), awaiting("ARCHIVED"))

    assert isinstance(seen.error, TaskEnded)
    assert (seen.error.status, len(wire.asked)) == (status, 1)


def test_the_time_out_says_the_status_in_the_words_of_the_service(wire):
    seen = follow(wire, Life("QUEUED_FOR_PLANNING"), awaiting(poll=PollPolicy(timeout=HOUR)))

    assert isinstance(seen.error, PollTimeout)
    assert "QUEUED_FOR_PLANNING" in str(seen.error)


# --- a task that is not there --------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [b"", b"<html>", GONE[2]], ids=["nothing", "html", "json"])
def test_a_404_at_the_first_look_is_a_task_that_does_not_exist(wire, body):
    seen = follow(wire, Life(troubles=[Trouble(0, NEVER, (404, {}, body))]), awaiting())

    assert isinstance(seen.error, TaskNotFound)
    assert (seen.steps, seen.latest, len(wire.asked)) == ([], None, 1)
    assert "t1" in str(seen.error)


def test_a_404_of_a_task_that_was_there_is_a_setback(wire):
    life = Life([(0, "FULFILLED"), (HOUR, "DONE")], troubles=[Trouble(100, 200, GONE)])

    seen = follow(wire, life, awaiting("DONE"))

    assert seen.error is None
    assert statuses(seen) == ["FULFILLED", "DONE"]


def test_a_task_that_is_gone_for_good_ends_the_wait_with_what_was_seen(wire):
    life = Life("FULFILLED", troubles=[Trouble(100, NEVER, GONE)])
    poll = PollPolicy(first=30.0, growth=1.0, spread=0.0, setbacks=4)

    seen = follow(wire, life, awaiting("DONE", poll))

    assert isinstance(seen.error, NotFound)
    assert seen.latest.status == "FULFILLED"
    assert len(between(wire, 100, NEVER)) == 5


# --- failures of the task's own answers ----------------------------------------------------------------------------

FAILURES = {
    "500": ((500, {}, b""), ServerError),
    "503": ((503, {}, b"<html>"), ServerError),
    "html": ((200, {}, b"<html>"), DecodeError),
    "nothing": ((200, {}, b""), DecodeError),
    "204": ((204, {}, b""), IceyeError),
    "a list": ((200, {}, b"[]"), DecodeError),
    "no status": ((200, {}, b'{"id": "t1"}'), DecodeError),
    "a reset": (reset, TransportError),
    "404": (GONE, NotFound),
}


def given(answer, asked):
    return answer(asked) if callable(answer) else answer


@pytest.mark.parametrize(("answer", "kind"), FAILURES.values(), ids=FAILURES)
def test_as_many_setbacks_in_a_row_as_the_policy_has_are_outlasted_and_any_good_answer_counts_anew(wire, answer, kind):
    number = itertools.count()
    life = Life([(0, "FULFILLED"), (HOUR, "DONE")])
    life.troubles = [Trouble(0, NEVER, lambda asked: given(answer if next(number) % 3 else life.proper, asked))]

    seen = follow(wire, life, awaiting("DONE", PollPolicy(first=30.0, growth=1.0, ceiling=30.0, setbacks=2)))

    assert seen.error is None
    assert statuses(seen) == ["FULFILLED", "DONE"]


@pytest.mark.parametrize(("answer", "kind"), FAILURES.values(), ids=FAILURES)
def test_one_setback_more_is_raised_as_it_is(wire, answer, kind):
    life = Life("FULFILLED", troubles=[Trouble(100, NEVER, answer)])

    seen = follow(wire, life, awaiting("DONE", PollPolicy(first=30.0, growth=1.0, ceiling=30.0, setbacks=2)))

    assert isinstance(seen.error, kind)
    assert not isinstance(seen.error, PollError)
    assert len(between(wire, 100, NEVER)) == 3
    assert seen.latest.status == "FULFILLED"


def test_a_look_that_fails_before_any_is_a_setback_too(wire):
    life = Life("DONE", troubles=[Trouble(0, MINUTE, (503, {}, b""))])

    assert statuses(follow(wire, life, awaiting())) == ["DONE"]


# --- the call itself -----------------------------------------------------------------------------------------------


def refused(wire, call):
    """The call is refused when it is made, and nothing was asked."""

    async def main(client):
        with pytest.raises(UsageError):
            call(client)

    wire.run(main)
    assert wire.asked == []


UNTILS = [[], (), set(), {}, "", " ", [""], [None], [7], 7, b"DONE", [["DONE"]], True]


@pytest.mark.parametrize("until", UNTILS, ids=repr)
def test_an_until_that_makes_no_sense_is_refused_at_the_call(wire, until):
    refused(wire, lambda client: client.await_task("t1", until))


WAITS = {
    "task": lambda client, poll=None: client.await_task("t1", "DONE", poll=poll),
    "products": lambda client, poll=None: client.await_products("t1", poll=poll),
    "derivatives": lambda client, poll=None: client.await_derivatives("t1", poll=poll),
}
"""The three waits. Each ends with DONE of the task, or not long after."""
each = pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS)


@pytest.mark.parametrize("poll", [5, {}, "fast", PollPolicy], ids=repr)
@each
def test_a_poll_that_is_no_policy_is_refused_at_the_call(wire, wait, poll):
    refused(wire, lambda client: wait(client, poll))


IDS = ["", " ", ".", "..", None, 7, b"t1", ["t1", "t2"], "x" * 600, "\ud800"]


@pytest.mark.parametrize("task_id", IDS, ids=lambda task_id: ascii(task_id)[:12])
@pytest.mark.parametrize("name", ["await_task", "await_products", "await_derivatives"])
def test_an_id_that_cannot_be_one_is_refused_at_the_call(wire, name, task_id):
    refused(wire, lambda client: getattr(client, name)(task_id))


# --- the planned imaging -------------------------------------------------------------------------------------------


def imaged(at, **more):
    """ACTIVE after 20 minutes, imaged at that time, FULFILLED 4 h later, DONE after 5 h; then the derivatives come."""
    some, whole, last = at + 4 * HOUR, at + 5 * HOUR, at + 5.5 * HOUR
    return Life(
        [(0, "RECEIVED"), (20 * MINUTE, "ACTIVE"), (some, "FULFILLED"), (whole, "DONE")],
        products=[Item("grd", "GRD", some, some), Item("slc", "SLC", whole, whole)],
        derivatives=[Item("v1", "DC_VESSELS", last, last)],
        **more,
    )


def moments(asked, apart=MINUTE):
    """When looks began: requests less than a minute apart are one look."""
    found, last = [], -NEVER
    for one in asked:
        if one.at - last > apart:
            found.append(one.at)
        last = one.at
    return found


@each
def test_three_days_with_a_plan_cost_few_requests(wire, wait):
    """Before the imaging a handful; and what comes after it is noticed soon."""
    seen = follow(wire, imaged(60 * HOUR, plans=[(0, 60 * HOUR)]), wait)

    assert seen.error is None
    assert len(between(wire, HOUR, 60 * HOUR)) <= 80
    assert len(wire.asked) <= seen.ended / 30 / 8
    assert seen.ended < 66 * HOUR


@each
def test_three_days_in_a_window_without_a_plan_cost_a_third_of_asking_every_half_minute(wire, wait):
    seen = follow(wire, imaged(60 * HOUR), wait)

    assert seen.error is None
    assert len(wire.asked) <= seen.ended / 30 / 3
    assert seen.ended < 66 * HOUR


@each
def test_three_days_before_the_window_without_a_plan_cost_a_handful(wire, wait):
    life = imaged(61 * HOUR, opens=60 * HOUR, closes=90 * HOUR)

    seen = follow(wire, life, wait)

    assert seen.error is None
    assert len(between(wire, HOUR, 60 * HOUR)) <= 80
    assert seen.ended < 67 * HOUR


@each
def test_the_pauses_before_the_imaging_are_half_of_what_is_left_and_in_the_window_never_over_two_hours(wire, wait):
    """Until 20 minutes are left; then there is one to the time itself. `spread` is 0 here."""
    plan = 60 * HOUR
    follow(wire, imaged(plan, plans=[(0, plan)]), lambda client: wait(client, EVEN))

    planned = requests(wire, SCENE)[0].at
    looks = [at for at in moments(wire.asked) if planned - MINUTE <= at < plan + MINUTE]
    for look, following in itertools.pairwise(looks):
        left = plan - look
        longest = min(2 * HOUR, left / 2 if left > 20 * MINUTE else left)
        assert following - look <= longest + 5
    assert len(looks) <= 36
    assert len([at for at in looks if at >= plan - 6 * HOUR]) <= 8
    assert any(at == pytest.approx(plan, abs=10) for at in looks)


@each
def test_a_look_before_the_imaging_asks_the_task_each_time(wire, wait):
    plan = 60 * HOUR
    follow(wire, imaged(plan, plans=[(0, plan)]), wait)

    told = moments(requests(wire, TASK, since=HOUR, until=plan))
    assert told == pytest.approx(moments(between(wire, HOUR, plan)), abs=5)


@each
def test_before_the_task_is_fulfilled_no_list_of_products_is_asked_for(wire, wait):
    follow(wire, imaged(10 * HOUR, plans=[(0, 10 * HOUR)]), wait)

    assert [asked for asked in lists(wire) if asked.at < 14 * HOUR] == []


@each
def test_a_plan_that_moves_later_is_followed(wire, wait):
    """Nine hours after it was first known, an hour before its time, it moves by a day and a half."""
    life = imaged(46 * HOUR, plans=[(0, 10 * HOUR), (9 * HOUR, 46 * HOUR)])

    seen = follow(wire, life, wait)

    assert seen.error is None
    assert len(between(wire, 10 * HOUR, 45.9 * HOUR)) <= 60
    assert seen.ended < 52 * HOUR


@each
def test_a_plan_that_moves_earlier_is_noticed(wire, wait):
    life = imaged(14 * HOUR, plans=[(0, 60 * HOUR), (4 * HOUR, 14 * HOUR)])

    seen = follow(wire, life, wait)

    assert seen.error is None
    assert seen.ended < 20 * HOUR
    assert len(between(wire, HOUR, 14 * HOUR)) <= 45


@each
def test_a_plan_that_is_known_only_after_hours_is_followed_then(wire, wait):
    """It was not there when the task became ACTIVE; it is asked for again, and spares the looks of two days."""
    seen = follow(wire, imaged(60 * HOUR, plans=[(5 * HOUR, 60 * HOUR)]), wait)

    assert seen.error is None
    assert len(between(wire, 12 * HOUR, 60 * HOUR)) <= 60
    assert seen.ended < 66 * HOUR


@each
def test_a_plan_that_vanishes_is_done_without(wire, wait):
    seen = follow(wire, imaged(30 * HOUR, plans=[(0, 30 * HOUR), (10 * HOUR, GONE)]), wait)

    assert seen.error is None
    assert seen.ended < 36 * HOUR


@each
def test_a_plan_that_is_over_spares_nothing(wire, wait):
    """The image was taken, though the task is still ACTIVE."""
    seen = follow(wire, imaged(-HOUR, plans=[(0, -HOUR)]), wait)

    assert seen.error is None
    assert seen.ended < 5 * HOUR
    assert len(wire.asked) <= 700


@each
def test_the_scene_is_asked_for_only_while_the_task_is_active(wire, wait):
    life = imaged(10 * HOUR, plans=[(0, 10 * HOUR)])

    follow(wire, life, wait)

    assert requests(wire, SCENE)
    assert {life.status(asked.at) for asked in requests(wire, SCENE)} == {"ACTIVE"}


@pytest.mark.parametrize("plans", [[], [(0, 60 * HOUR)]], ids=["no plan", "a plan"])
@pytest.mark.parametrize("end", ["CANCELED", "FAILED"])
@each
def test_a_task_that_ends_days_before_its_imaging_is_noticed_within_six_hours(wire, wait, end, plans):
    life = Life([(0, "ACTIVE"), (20 * HOUR, end)], opens=50 * HOUR, closes=80 * HOUR, plans=plans)

    seen = follow(wire, life, lambda client: wait(client, PollPolicy(spread=0.0)))

    assert isinstance(seen.error, TaskEnded)
    assert seen.error.status == end
    assert 20 * HOUR <= seen.ended <= 26 * HOUR + MINUTE
    assert len(wire.asked) <= 60


@each
def test_a_deadline_long_before_the_imaging_is_kept(wire, wait):
    life = imaged(60 * HOUR, plans=[(0, 60 * HOUR)])

    seen = follow(wire, life, lambda client: wait(client, PollPolicy(timeout=10 * HOUR)))

    assert isinstance(seen.error, PollTimeout)
    assert moments(wire.asked)[-1] == pytest.approx(10 * HOUR, abs=2)
    assert seen.ended == pytest.approx(10 * HOUR, abs=5)


def test_a_plan_that_gives_the_angle_as_a_string_is_a_plan(wire):
    plan = 60 * HOUR
    scene = {"imagingTime": {"start": instant(plan), "end": instant(plan + 9)}, "duration": 9, "incidenceAngle": "27.5"}

    seen = follow(wire, imaged(plan, plans=[(0, said(200, scene))]), WAITS["task"])

    assert seen.error is None
    assert len(between(wire, HOUR, plan)) <= 80


# --- a scene that does not answer ----------------------------------------------------------------------------------


def scene_of(**imaging):
    return said(200, {"duration": 10, **imaging})


NO_SCENES = {
    "404": GONE,
    "400": (400, {}, b'{"code": "NO", "message": "no"}'),
    "401": (401, {}, b""),
    "403": (403, {}, b'{"code": "NO", "message": "no"}'),
    "429": (429, {}, b""),
    "500": (500, {}, b""),
    "503": (503, {}, b"<html>"),
    "418": (418, {}, b""),
    "302": (302, {"Location": "https://elsewhere.example/"}, b""),
    "204": (204, {}, b""),
    "a reset": reset,
    "html": (200, {}, b"<html>"),
    "nothing": (200, {}, b""),
    "a list": (200, {}, b"[]"),
    "an empty object": said(200, {}),
    "no time": scene_of(imagingTime=None),
    "half a time": scene_of(imagingTime={"start": instant(60 * HOUR)}),
    "words": scene_of(imagingTime={"start": "soon", "end": "later"}),
    "numbers": scene_of(imagingTime={"start": 1, "end": 2}),
    "a day that is none": scene_of(imagingTime={"start": "2027-02-31T00:00:00Z", "end": "2027-02-31T00:00:01Z"}),
}


@pytest.mark.parametrize("answer", NO_SCENES.values(), ids=NO_SCENES)
@each
def test_a_scene_that_does_not_answer_is_no_setback_and_asked_for_ever_more_rarely(wire, wait, answer):
    """The policy endures no setback at all; the scene is asked for after an hour, two, four and so on."""
    life = imaged(20 * HOUR, troubles=[Trouble(0, NEVER, answer, SCENE)])

    seen = follow(wire, life, lambda client: wait(client, PollPolicy(ceiling=300.0, setbacks=0)))

    assert seen.error is None
    assert seen.ended < 26 * HOUR
    at = [asked.at for asked in requests(wire, SCENE)]
    assert 3 <= len(at) <= 10
    pauses = [later - earlier for earlier, later in itertools.pairwise(at)]
    assert all(pause >= 0.99 * HOUR * 2**number for number, pause in enumerate(pauses[:4]))


@pytest.mark.parametrize("start", ["9999-12-31T23:59:58Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:58-23:59"])
@each
def test_a_plan_beyond_all_times_does_no_harm(wire, wait, start):
    """A plan in eight thousand years is one, so the task is looked at every six hours; one of long ago is over."""
    life = imaged(2 * HOUR, plans=[(0, scene_of(imagingTime={"start": start, "end": start}))])

    seen = follow(wire, life, wait)

    assert seen.error is None
    assert seen.ended < 14 * HOUR


@pytest.mark.parametrize("status", [429, 503, 404])
@pytest.mark.parametrize("form", ["seconds", "date"])
@each
def test_retry_after_of_a_scene_binds_the_next_look(wire, wait, form, status):
    """Nothing at all is asked for these three hours, though only the scene was refused."""

    def refusal(asked):
        return (status, {"Retry-After": str(int(3 * HOUR)) if form == "seconds" else date(asked.at + 3 * HOUR)}, b"")

    life = imaged(10 * HOUR, troubles=[Trouble(0, 5 * HOUR, refusal, SCENE)])

    seen = follow(wire, life, lambda client: wait(client, PollPolicy(ceiling=300.0, setbacks=0)))

    assert seen.error is None
    heard = requests(wire, SCENE)[0].at + wire.latency
    assert between(wire, heard, heard + 3 * HOUR - 2) == []


@pytest.mark.parametrize("status", [429, 503])
@each
def test_retry_after_of_a_scene_beyond_the_deadline_is_not_undercut_for_a_last_look(wire, wait, status):
    life = imaged(60 * HOUR, troubles=[Trouble(0, NEVER, (status, {"Retry-After": "10800"}, b""), SCENE)])

    seen = follow(wire, life, lambda client: wait(client, PollPolicy(timeout=HOUR)))

    assert isinstance(seen.error, PollTimeout)
    assert seen.ended <= HOUR + 5
    (refused,) = requests(wire, SCENE)
    assert between(wire, refused.at + 0.001, NEVER) == []


@each
def test_a_scene_that_fails_does_not_count_with_setbacks_of_the_task(wire, wait):
    """Of the task two in a row are endured, and there are two; the scene fails all the time."""
    life = imaged(
        10 * HOUR,
        troubles=[
            Trouble(0, NEVER, (500, {}, b""), SCENE),
            Trouble(0, NEVER, lambda asked: failing_hourly(life, asked)),
        ],
    )
    seen = follow(wire, life, lambda client: wait(client, PollPolicy(setbacks=2)))

    assert seen.error is None


def failing_hourly(life, asked):
    """503 for half a minute in each hour, which is two looks at most."""
    return (503, {}, b"") if asked.at % HOUR < 30 and asked.at > HOUR else life.proper(asked)


# --- the same failures for each wait -------------------------------------------------------------------------------


def unfinished(**more):
    """FULFILLED for an hour, with a first product and one derivative of two; then DONE, with all of them."""
    return Life(
        [(0, "FULFILLED"), (HOUR, "DONE")],
        products=[Item("grd", "GRD"), Item("slc", "SLC", HOUR, HOUR)],
        derivatives=[Item("v1", "DC_VESSELS"), Item("a1", "DC_AIRCRAFT", HOUR)],
        **more,
    )


def news(seen):
    """What was new in each step, in one list: statuses, or ids."""
    found = []
    for step in seen.steps:
        found += [step.status] if isinstance(step, Task) else [each.id for each in step.fresh]
    return found


WHOLE = {"task": ["FULFILLED", "DONE"], "products": ["grd", "slc"], "derivatives": ["v1", "a1"]}
told = pytest.mark.parametrize(("wait", "whole"), [(WAITS[name], WHOLE[name]) for name in WAITS], ids=WAITS)


@told
def test_undisturbed_each_wait_tells_everything_once(wire, wait, whole):
    seen = follow(wire, unfinished(), wait)

    assert (news(seen), seen.error) == (whole, None)
    assert HOUR <= seen.ended < 1.1 * HOUR


OUTAGES = {"503": (503, {}, b""), "html": (200, {}, b"<html>"), "a reset": reset}


@pytest.mark.parametrize("answer", OUTAGES.values(), ids=OUTAGES)
@pytest.mark.parametrize("start", [0, 45 * MINUTE])
@told
def test_the_default_policy_outlasts_half_an_hour_without_the_service(wire, wait, whole, start, answer):
    life = unfinished(troubles=[Trouble(start, start + 30 * MINUTE, answer)])

    seen = follow(wire, life, wait)

    assert seen.error is None
    assert news(seen)[-1] == whole[-1]
    assert len(news(seen)) == len(set(news(seen)))


@pytest.mark.parametrize(("answer", "kind"), list(FAILURES.values())[:-1], ids=list(FAILURES)[:-1])
@each
def test_an_outage_that_does_not_end_is_raised_as_it_is_after_so_many_setbacks(wire, wait, answer, kind):
    life = unfinished(troubles=[Trouble(100, NEVER, answer)])

    seen = follow(wire, life, lambda client: wait(client, PollPolicy(first=30.0, growth=1.0, spread=0.0, setbacks=4)))

    assert isinstance(seen.error, kind)
    assert len(moments(between(wire, 100, NEVER), apart=5)) == 5
    assert seen.latest is not None
    assert alike(seen.latest, seen.steps[-1])


@each
def test_setbacks_are_not_repeated_faster_than_the_policy_polls(wire, wait):
    life = unfinished(troubles=[Trouble(100, 300, (503, {}, b""))])

    follow(wire, life, lambda client: wait(client, PollPolicy(first=10.0, growth=1.0, spread=0.0)))

    failed = between(wire, 100, 300)
    assert len(failed) > 5
    assert all(later.at - earlier.at >= 10 for earlier, later in itertools.pairwise(failed))


@pytest.mark.parametrize(("status", "kind"), [(400, BadRequest), (403, Forbidden)])
@each
def test_what_will_not_change_is_raised_at_once(wire, wait, status, kind):
    life = unfinished(troubles=[Trouble(100, NEVER, (status, {}, b'{"code": "NO", "message": "no"}'))])

    seen = follow(wire, life, lambda client: wait(client, EVEN))

    assert isinstance(seen.error, kind)
    assert len(between(wire, 100, NEVER)) == 1
    assert alike(seen.latest, seen.steps[-1])


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("form", ["seconds", "date"])
@told
def test_retry_after_is_never_undercut(wire, wait, whole, form, status):
    def refusal(asked):
        return (status, {"Retry-After": "600" if form == "seconds" else date(asked.at + 600)}, b"")

    life = unfinished(troubles=[Trouble(100, 1000, refusal)])

    seen = follow(wire, life, lambda client: wait(client, EVEN))

    assert (news(seen), seen.error) == (whole, None)
    refused_at = [asked.at for asked in between(wire, 100, 1000)]
    assert refused_at
    for at in refused_at:
        assert between(wire, at + 0.001, at + 599) == []


@told
def test_a_429_without_a_hint_is_waited_out(wire, wait, whole):
    seen = follow(wire, unfinished(troubles=[Trouble(100, 400, (429, {}, b""))]), wait)

    assert (news(seen), seen.error) == (whole, None)


@pytest.mark.parametrize(("status", "kind"), [(429, RateLimited), (503, ServerError)])
@each
def test_retry_after_beyond_the_deadline_is_a_time_out_at_once(wire, wait, status, kind):
    life = unfinished(troubles=[Trouble(100, NEVER, (status, {"Retry-After": "7200"}, b""))])

    seen = follow(wire, life, lambda client: wait(client, PollPolicy(first=30.0, growth=1.0, timeout=600.0)))

    assert isinstance(seen.error, PollTimeout)
    assert isinstance(seen.error.__cause__, kind)
    assert seen.ended < 150
    assert seen.error.latest == seen.latest
    assert alike(seen.latest, seen.steps[-1])


def renewed(life, until):
    """A service whose first token is good until then, and the second for ever."""
    tokens = itertools.count()

    def answer(asked):
        if asked.path == "/token":
            return (200, {}, b'{"access_token": "token-%d", "expires_in": 36000}' % next(tokens))
        good = b"token-0" if asked.at < until else b"token-1"
        return life.proper(asked) if asked.headers["Authorization"] == f"Bearer {good.decode()}" else (401, {}, b"")

    life.troubles = [Trouble(0, NEVER, answer)]
    return ClientCredentials("https://id.example/token", "id", "secret")


@told
def test_a_401_renews_the_token_once_and_the_wait_goes_on(wire, wait, whole):
    life = unfinished()
    auth = renewed(life, 20 * MINUTE)

    seen = follow(wire, life, lambda client: wait(client, PollPolicy(setbacks=0)), auth=auth)

    assert (news(seen), seen.error) == (whole, None)
    assert len(requests(wire, "/token")) == 2


@each
def test_a_second_401_is_raised(wire, wait):
    life = unfinished()
    auth = renewed(life, 20 * MINUTE)
    life.troubles.insert(0, Trouble(30 * MINUTE, NEVER, (401, {}, b""), "/api"))

    seen = follow(wire, life, lambda client: wait(client, EVEN), auth=auth)

    assert isinstance(seen.error, Unauthorized)
    assert seen.ended < 32 * MINUTE
    assert len(between(wire, 30 * MINUTE, NEVER)) <= 3
    assert alike(seen.latest, seen.steps[-1])


# --- the deadline --------------------------------------------------------------------------------------------------


@each
def test_the_last_look_is_at_the_deadline(wire, wait):
    poll = PollPolicy(first=45.0, growth=1.0, ceiling=45.0, spread=0.0, timeout=100.0)

    seen = follow(wire, unfinished(), lambda client: wait(client, poll))

    assert isinstance(seen.error, PollTimeout)
    assert isinstance(seen.error, TimeoutError)
    assert moments(wire.asked, apart=2) == pytest.approx([0, 45, 90, 100], abs=0.5)
    assert seen.error.task_id == "t1"
    assert "t1" in str(seen.error)
    assert seen.error.latest == seen.latest
    assert alike(seen.latest, seen.steps[-1])


@each
def test_what_is_there_at_the_deadline_is_no_time_out(wire, wait):
    poll = PollPolicy(first=50 * MINUTE, growth=1.0, ceiling=50 * MINUTE, spread=0.0, timeout=HOUR + 1)

    assert follow(wire, unfinished(), lambda client: wait(client, poll)).error is None


@pytest.mark.parametrize("silent", [0.0, 0.02, 0.07, 30.0, 50.0])
@each
def test_a_service_that_falls_silent_does_not_hold_a_wait_past_its_deadline(wire, wait, silent):
    """From that time on no request is answered for a day."""

    def make(client):
        asyncio.get_running_loop().call_later(silent, setattr, wire, "latency", DAY)
        return wait(client, PollPolicy(first=30.0, growth=1.0, spread=0.0, timeout=100.0))

    seen = follow(wire, unfinished(), make)

    assert isinstance(seen.error, PollTimeout)
    assert seen.ended <= 105
    assert seen.error.latest == seen.latest
    assert alike(seen.latest, seen.steps[-1] if seen.steps else None)


def test_a_deadline_before_anything_was_seen_has_nothing_to_show(wire):
    seen = follow(wire, Life(troubles=[Trouble(0, NEVER, (503, {}, b""))]), awaiting(poll=PollPolicy(timeout=60.0)))

    assert isinstance(seen.error, PollTimeout)
    assert seen.error.latest is None


@each
def test_the_time_out_shows_neither_token_nor_signature(wire, wait):
    seen = follow(wire, unfinished(), lambda client: wait(client, PollPolicy(timeout=100.0)))

    shown = f"{seen.error} {seen.error!r} {seen.error.latest!r} {vars(seen.error)}"
    assert "signature" not in shown
    assert "a-token" not in shown


# --- the ways to drive a wait --------------------------------------------------------------------------------------


@each
def test_nothing_is_asked_before_a_wait_is_driven(wire, wait):
    wire.answer = unfinished().answer

    async def main(client):
        pending = wait(client)
        await asyncio.sleep(HOUR)
        assert (pending.latest, wire.asked) == (None, [])
        await pending

    wire.run(main)


@told
def test_after_a_break_it_goes_on_where_it_stopped(wire, wait, whole):
    """An `await` gives the whole, what was iterated included, and asks for nothing twice."""
    life = unfinished()
    undisturbed = outcome(wire, life, lambda client: wait(client, EVEN))
    count = len(wire.asked)
    wire.asked.clear()

    async def main(client):
        pending = wait(client, EVEN)
        async for _ in pending:
            break
        return await pending

    assert same(wire.run(main), undisturbed)
    assert len(wire.asked) == count


def same(one, other):
    """Equal but for the links, which are others at each look."""
    if isinstance(one, Task):
        return one == other
    return [each.id for each in one] == [each.id for each in other]


@told
def test_a_second_iteration_goes_on_where_the_first_stopped_and_after_the_end_gives_nothing(wire, wait, whole):
    life = unfinished()

    def make(client):
        return Twice(wait(client, EVEN))

    seen = follow(wire, life, make)

    assert (news(seen), seen.error) == (whole, None)


class Twice:
    """Iterates the first step, then the rest, then once more."""

    def __init__(self, pending):
        self.pending = pending

    @property
    def latest(self):
        return self.pending.latest

    async def __aiter__(self):
        async for step in self.pending:
            yield step
            break
        for _ in range(2):
            async for step in self.pending:
                yield step


@each
def test_an_await_after_the_iteration_makes_no_request(wire, wait):
    wire.answer = unfinished().answer

    async def main(client):
        pending = wait(client)
        assert await drained(pending, []) is None
        count = len(wire.asked)
        first, second = await pending, await pending
        assert first == second
        assert len(wire.asked) == count

    wire.run(main)


@each
def test_an_error_stays_and_makes_no_request_when_it_is_driven_again(wire, wait):
    """The task has ended: so it has for who asks the same wait again."""
    wire.answer = Life("CANCELED").answer

    async def main(client):
        pending = wait(client)
        for _ in range(2):
            with pytest.raises(TaskEnded):
                await pending
        return len(wire.asked)

    assert wire.run(main) <= 2


def gather(pending):
    return asyncio.gather(pending)


def wait_for(pending):
    return asyncio.wait_for(pending, DAY)


async def in_group(pending):
    async with asyncio.TaskGroup() as group:
        driver = group.create_task(pending)
    return driver.result()


DRIVERS = {"task": asyncio.create_task, "gather": gather, "wait_for": wait_for, "group": in_group}


@pytest.mark.parametrize("drive", DRIVERS.values(), ids=DRIVERS)
@each
def test_it_is_driven_by_whatever_drives_a_coroutine(wire, wait, drive):
    wire.answer = unfinished().answer

    async def main(client):
        pending = wait(client)
        result = await drive(pending)
        whole = await pending
        assert (result[0] if drive is gather else result) == whole

    wire.run(main)


SECOND = {
    "await": lambda pending: pending,
    "anext": lambda pending: anext(pending),
    "async for": lambda pending: drained_raising(pending),
    "task": asyncio.create_task,
}


async def drained_raising(pending):
    async for _ in pending:
        pass


@pytest.mark.parametrize("second", SECOND.values(), ids=SECOND)
@each
def test_a_second_driver_is_refused_and_does_not_disturb_the_first(wire, wait, second):
    wire.answer = unfinished().answer

    async def main(client):
        pending = wait(client)
        driver = asyncio.create_task(pending)
        await asyncio.sleep(60)
        with pytest.raises(StateError, match="already"):
            await second(pending)
        first = await driver
        assert first == await pending

    wire.run(main)


@each
def test_dropped_undriven_it_warns(wire, wait):
    def drop(client):
        _ = wait(client)

    async def main(client):
        with pytest.warns(RuntimeWarning, match="never awaited or iterated"):
            drop(client)

    wire.run(main)


@each
def test_dropped_half_way_it_is_silent(wire, wait):
    wire.answer = unfinished().answer

    async def main(client):
        pending = wait(client)
        await anext(pending)
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            del pending
            gc.collect()
        assert [str(warning.message) for warning in warned] == []

    wire.run(main)


PATIENCE = [0.0, 0.02, 0.07, 0.12, 0.17, 40.0, 200.0]


@pytest.mark.parametrize("patience", range(0, len(PATIENCE), 2))
@told
def test_a_step_that_is_cancelled_anywhere_loses_nothing(wire, wait, whole, patience):
    """Each step is cut off again and again: before its request, in it, after it, in a pause."""
    wire.answer = unfinished().answer
    patiences = itertools.cycle(PATIENCE[patience:] + PATIENCE[:patience])

    async def main(client):
        pending, steps, cut = wait(client, EVEN), [], 0
        while True:
            try:
                async with asyncio.timeout(next(patiences)):
                    steps.append(await anext(pending))
            except StopAsyncIteration:
                break
            except PollTimeout:
                raise
            except TimeoutError:
                cut += 1
                assert alike(pending.latest, steps[-1] if steps else None)
        return steps, cut, await pending

    steps, cut, _ = wire.run(main)

    found = [news_of for step in steps for news_of in ([step.status] if isinstance(step, Task) else ids(step.fresh))]
    assert found == whole
    assert cut > 5


def ids(found):
    return [each.id for each in found]


@each
def test_a_cancelled_await_can_be_awaited_again(wire, wait):
    wire.answer = unfinished().answer

    async def main(client):
        pending = wait(client, EVEN)
        for after in (0.02, 0.2, 10.0, 100.0):
            driver = asyncio.create_task(pending)
            await asyncio.sleep(after)
            driver.cancel()
            with pytest.raises(asyncio.CancelledError):
                await driver
        return await pending

    assert wire.run(main) is not None


# --- the client is closed ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [0.02, 15.0, 20 * MINUTE])
@each
def test_closing_the_client_ends_a_wait_at_once(wire, wait, after):
    """In a request, and in a pause; what it had is on `latest`."""
    wire.answer = unfinished().answer

    async def main(client):
        pending = wait(client, EVEN)
        driver = asyncio.create_task(pending)
        await asyncio.sleep(after)
        await client.close()
        with pytest.raises(StateError):
            await driver
        return pending.latest, now() - after

    latest, took = wire.run(main)

    assert took <= 5
    assert latest is not None or after < 1


@each
def test_closing_the_client_ends_a_wait_that_sleeps_towards_its_plan(wire, wait):
    wire.answer = imaged(60 * HOUR, plans=[(0, 60 * HOUR)]).answer

    async def main(client):
        driver = asyncio.create_task(wait(client))
        await asyncio.sleep(10 * HOUR)
        await client.close()
        with pytest.raises(StateError):
            await driver
        return now()

    assert wire.run(main) <= 10 * HOUR + 5


@each
def test_a_closed_client_refuses_the_call(wire, wait):
    async def main(client):
        await client.close()
        with pytest.raises(StateError):
            wait(client)

    wire.run(main)
    assert wire.asked == []


# --- many at once --------------------------------------------------------------------------------------------------


def test_waits_of_all_kinds_share_one_rate(wire):
    """Three hundred waits for one task, on a client that may ask five times a second."""
    wire.answer = Life("DONE", products=[Item("grd")], derivatives=[Item("v1", "DC_VESSELS")]).answer

    async def main(client):
        return await asyncio.gather(*(wait(client) for wait in WAITS.values() for _ in range(100)))

    assert len(wire.run(main, rate_limit=5.0)) == 300
    assert wire.busiest() <= 15
    assert {asked.path for asked in wire.asked} == {TASK, PRODUCTS, DERIVATIVES}
