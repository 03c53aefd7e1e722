"""When a single call is tried again, and how long it waits before that."""

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iceye_async.errors import (
    ApiError,
    BadRequest,
    DecodeError,
    EmptyAnswer,
    Forbidden,
    NotFound,
    RateLimited,
    ServerError,
    TaskNotFound,
    TlsError,
    TransportError,
    Unauthorized,
    UsageError,
)
from iceye_async.protocol.requests import Request, get_task
from iceye_async.protocol.retrying import PATIENCE, RetryBudget, RetryPolicy, again

GET, POST = get_task("t1"), Request("POST", "/api/tasking/v2/tasks", repeatable=False)
DOWN = ServerError("down", status=503)
WAITS = RetryPolicy(first=0.5, ceiling=20)


def pauses(policy, *errors, roll=1.0):
    """The pause after each of the errors."""
    waits = policy.waits(lambda: roll)
    next(waits)
    return [waits.send(error) for error in errors]


# --- how long --------------------------------------------------------------------------------------------------


def test_the_longest_pause_doubles_up_to_the_ceiling():
    assert pauses(WAITS, *[DOWN] * 8) == [0.5, 1, 2, 4, 8, 16, 20, 20]


def test_a_pause_is_drawn_evenly_from_nothing_on():
    """Full jitter: callers that failed together do not come back together."""
    assert pauses(WAITS, DOWN, DOWN, DOWN, roll=0.0) == [0, 0, 0]
    assert pauses(WAITS, DOWN, DOWN, DOWN, roll=0.25) == [0.125, 0.25, 0.5]


def test_each_pause_has_a_chance_of_its_own():
    rolls = iter([0.0, 1.0, 0.5])
    waits = WAITS.waits(lambda: next(rolls))
    next(waits)

    assert [waits.send(DOWN) for _ in range(3)] == [0, 1, 1]


def test_a_ceiling_below_the_first_pause_wins():
    assert pauses(RetryPolicy(first=5, ceiling=2), DOWN, DOWN) == [2, 2]


@pytest.mark.parametrize("kind", [RateLimited, ServerError, DecodeError])
def test_a_retry_after_is_a_floor_that_chance_is_added_to(kind):
    error = kind("later", retry_after=30.0)

    assert pauses(WAITS, error, error, roll=0.0) == [30, 30]
    assert pauses(WAITS, error, error, roll=1.0) == [30.5, 31]


def test_errors_that_carry_no_retry_after_are_paused_after_like_any_other():
    for error in (TransportError("no connection"), RateLimited("slow", status=429), ServerError("x", retry_after=0.0)):
        assert pauses(WAITS, error) == [0.5]


@given(
    st.lists(st.none() | st.floats(0, 1e6), min_size=1, max_size=20),
    st.floats(0, 1, exclude_max=True),
    st.floats(0.001, 100),
    st.floats(0.001, 100),
)
def test_no_pause_is_shorter_than_was_asked_for_or_longer_than_the_ceiling_beyond_it(asked, roll, first, ceiling):
    errors = [RateLimited("slow", status=429, retry_after=seconds) for seconds in asked]

    for seconds, pause in zip(
        asked, pauses(RetryPolicy(first=first, ceiling=ceiling), *errors, roll=roll), strict=True
    ):
        assert (seconds or 0.0) <= pause <= (seconds or 0.0) + ceiling + 1e-6


def test_waits_do_not_share_their_state():
    assert pauses(WAITS, DOWN, DOWN) == pauses(WAITS, DOWN, DOWN)


# --- the policy ------------------------------------------------------------------------------------------------


def test_the_defaults():
    policy = RetryPolicy()

    assert (policy.tries, policy.first, policy.ceiling) == (3, 0.5, 20.0)
    assert pickle.loads(pickle.dumps(policy)) == policy  # noqa: S301 - our own bytes


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[("tries", wrong) for wrong in (0, -1, 1.5, 3.0, True, "3", None, float("inf"))],
        *[
            (field, wrong)
            for field in ("first", "ceiling")
            for wrong in (0, -1, float("nan"), float("inf"), True, None, "1")
        ],
    ],
)
def test_a_policy_refuses_what_makes_no_sense(field, value):
    with pytest.raises(UsageError, match=f"RetryPolicy: {field} is a"):
        RetryPolicy(**{field: value})


def test_one_try_is_enough_for_a_policy():
    assert RetryPolicy(tries=1).tries == 1


@pytest.mark.parametrize("field", ["first", "ceiling"])
def test_a_policy_refuses_whole_numbers_that_no_float_holds(field):
    with pytest.raises(UsageError):
        RetryPolicy(**{field: 10**400})


# --- whether ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_look_is_repeated_after_a_failure_of_the_service(status):
    error = ServerError("down", status=status)

    assert again(GET, error)
    assert not again(POST, error)


def test_everything_is_repeated_after_a_429():
    """It was certainly not carried out."""
    for request in (GET, POST):
        assert again(request, RateLimited("slow", status=429))
        assert again(request, RateLimited("slow", status=429, retry_after=5.0))


@pytest.mark.parametrize("status", [501, 505, 506, 511, 599])
def test_a_failure_that_would_be_the_same_again_is_not_repeated(status):
    assert not again(GET, ServerError("never", status=status))


@pytest.mark.parametrize(
    "error",
    [
        BadRequest("x", status=400),
        Unauthorized("x", status=401),
        Forbidden("x", status=403),
        NotFound("x", status=404),
        TaskNotFound("x", status=404),
        ApiError("x", status=301),
        ApiError("x", status=409),
        ApiError("x", status=418),
        ApiError("x", status=600),
        ApiError("x", status=999),
        DecodeError("x"),
        UsageError("x"),
        TlsError("x", sent=False),
    ],
    ids=lambda error: f"{type(error).__name__} {getattr(error, 'status', '')}",
)
def test_what_only_the_caller_can_put_right_is_not_repeated(error):
    assert not again(GET, error)
    assert not again(POST, error)


def test_without_a_reply_a_look_is_repeated_and_anything_else_only_where_it_was_not_sent():
    assert again(GET, TransportError("reset"))
    assert again(GET, TransportError("refused", sent=False))
    assert again(POST, TransportError("refused", sent=False))
    assert not again(POST, TransportError("reset"))


@pytest.mark.parametrize("kind", [RateLimited, ServerError])
def test_a_single_call_stays_away_for_two_minutes_and_no_longer(kind):
    status = 429 if kind is RateLimited else 503

    assert PATIENCE == 120
    assert again(GET, kind("later", status=status, retry_after=120.0))
    assert not again(GET, kind("later", status=status, retry_after=120.5))
    assert not again(POST, kind("later", status=status, retry_after=1e12))


def test_what_was_repeated_as_often_as_it_may_be_is_not_repeated_once_more():
    """The token request has its own tries; they are not multiplied by those of the call that needs the token."""
    error = ServerError("down", status=503)
    assert again(GET, error)

    error.given_up = True
    assert not again(GET, error)


# --- the budget ------------------------------------------------------------------------------------------------


def test_a_hundred_repeats_are_paid_for_and_no_more():
    budget = RetryBudget()

    assert sum(budget.spend() for _ in range(1000)) == 100


def test_five_answers_pay_for_one_repeat():
    budget = RetryBudget()
    while budget.spend():
        pass

    for _ in range(4):
        budget.earn()
    assert not budget.spend()

    budget.earn()
    assert budget.spend()
    assert not budget.spend()


def test_a_good_day_saves_up_no_more_than_there_was_at_first():
    budget = RetryBudget()
    for _ in range(10_000):
        budget.earn()

    assert sum(budget.spend() for _ in range(1000)) == 100


def test_nothing_at_all_is_asked_for_again_but_not_by_a_post():
    nothing = EmptyAnswer("a 200 without a body")

    assert again(GET, nothing)
    assert not again(POST, nothing)
    assert not again(GET, DecodeError("not JSON"))
