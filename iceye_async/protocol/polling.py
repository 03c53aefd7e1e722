"""The waits as one machine: what was heard, and what follows from it.

    heard                                      then
    the task, or its scene                     what `following` says
    a listing of derivatives, or its 404       what `derivative_lists` says
    a list of products                         what `product_lists` says
    a setback                                  wait; too many in a row raise the last one
    the deadline                               one last look, then PollTimeout

A wait for a status asks the task alone. A wait for products asks the task, and the lists of products once it is
imaged. A wait for derivatives asks for them, and the task where they are not there.

Durations and moments are float seconds on the caller's monotonic clock, except `wall`: seconds since the epoch.
"""

from collections.abc import Collection

from . import derivative_lists, following, product_lists
from .lifecycle import can_reach
from .waiting import (
    Advance,
    Ask,
    Goal,
    Heard,
    Listing,
    NoScene,
    Nothing,
    PollPolicy,
    PollState,
    Products,
    Renewed,
    SceneSeen,
    TaskSeen,
    setback,
)


def begin(goal: Goal, task_id: str, wanted: Collection[str] | None, policy: PollPolicy, now: float) -> PollState:
    """A wait that looks at once."""
    deadline = None if policy.timeout is None else now + policy.timeout
    wanted = None if wanted is None else frozenset(wanted)
    return PollState(goal, task_id, wanted, policy, due=now, deadline=deadline, ask=goal.first)


def advance(state: PollState, heard: Heard, now: float, roll: float) -> Advance:
    """The next state, an update if one is due, and what to do. `roll` is chance, from 0 to 1."""
    if isinstance(heard, Renewed):
        return derivative_lists.renewed(state, heard, now, roll)
    if isinstance(heard, Listing):
        return derivative_lists.listed(state, heard, now, roll)
    if isinstance(heard, Nothing):
        return derivative_lists.absent(state, now, roll)
    if isinstance(heard, TaskSeen):
        state, update, step = following.task_seen(state, heard, now, roll)
        if state.ask is Ask.PRODUCTS:
            state = product_lists.begun(state)
        return state, update, step
    if isinstance(heard, Products):
        return product_lists.listed(state, heard, now, roll)
    if isinstance(heard, SceneSeen):
        return following.scene_seen(state, heard, now, roll)
    if isinstance(heard, NoScene):
        return following.no_scene(state, heard, now, roll)
    return setback(state, heard.error, now, roll, state.quiet)


def oddity(before: PollState, heard: Heard, after: PollState) -> str | None:
    """What the service said that contradicts itself or what it said before: words for a log, or None."""
    if isinstance(heard, Listing | Renewed | Nothing):
        return derivative_lists.oddity(before, heard, after)
    if isinstance(heard, Products):
        return product_lists.oddity(before, heard, after)
    if (
        isinstance(heard, TaskSeen)
        and before.outlook.status is not None
        and not can_reach(before.outlook.status, {heard.task.status})
    ):
        return "the service says of a task that it went back in its life"
    return None
