"""What the task behind a wait tells: that it is over, that it is enough, or when it is worth asking again.

    the task is                                  then
    in a status that is waited for               complete
    in one that leads to none of them, or ended  TaskEnded
    FULFILLED, DONE, or in an unknown status     ask for what is waited for (not before its window)
    RECEIVED, before its window                  the task again after 20 min, 40 min ...: it is decided within 20 min
    ACTIVE, not imaged yet                       its scene, for the planned imaging; nothing can exist before that
    ... before its window or its imaging         the task again, at most 6 h later (2 h, once the window is open)
    ... after its window has opened              look rarely: between imaging and products lies an hour at the median
    ... after its planned imaging                look as the policy says

The scene is documented, but only at second hand: it is used where it answers, and done without where not.
"""

from math import inf

from ..errors import IceyeError, TaskEnded
from ..models import Task, TaskStatus
from .derivative_lists import SLOWER, unrequested
from .lifecycle import ENDED, GOES_TO, IMAGED, can_reach
from .waiting import (
    COMPLETE,
    Advance,
    Ask,
    Ended,
    Goal,
    NoScene,
    Outlook,
    PollState,
    SceneSeen,
    TaskSeen,
    at_once,
    beyond_deadline,
    floor_of,
    is_over,
    wait,
)

_LONGEST_BLIND = 6 * 3600.0
"""The longest pause before a task is imaged: one that ends early is noticed within it."""
_LONGEST_IN_WINDOW = 2 * 3600.0
"""The longest pause in an open window: a plan that is moved forward is noticed within it."""
_SLACK = 3600.0
"""Seconds by which a plan may lie beside its window, for clocks and rounding."""
_DECISION = 20 * 60.0
"""A RECEIVED task is decided "within about 20 minutes" (API page "Get a task")."""
_RESOLUTION = 1.0
"""The service's Date has whole seconds. What seems to lie nearer than that has come."""
_NEAR = 20 * 60.0
"""So near to its imaging a plan is believed."""
_TASK_RARER = 3
"""Looks at derivatives per look at a task whose status can still change: FULFILLED foretells them, and need not."""
_SCENE_RARER = 3600.0
"""Until a scene that tells of nothing ahead is asked again; then twice as long, and so on."""


def task_seen(state: PollState, heard: TaskSeen, now: float, roll: float) -> Advance:
    task = heard.task
    changed = task.status != state.outlook.status
    state = state._replace(
        ask=state.goal.first,
        quiet=0 if changed else state.quiet,
        outlook=state.outlook._replace(
            status=task.status,
            opens=now + task.acquisition_window.start.timestamp() - heard.wall,
            closes=now + task.acquisition_window.end.timestamp() - heard.wall,
        ),
    )
    if state.goal is Goal.TASK:
        state = state._replace(latest=task)
    update = task if changed and state.goal is Goal.TASK else None
    if state.goal is Goal.TASK and task.status in _wanted(state):
        return state, update, COMPLETE
    error = _never_coming(state, task)
    if error is not None:
        return state, update, Ended(error)
    imaged = task.status in IMAGED or (task.status not in GOES_TO and now >= state.outlook.opens)
    if state.goal is Goal.PRODUCTS and imaged:
        # Whether setbacks are over is told by the lists, not by the task before them.
        return at_once(state, now, Ask.PRODUCTS)
    state, _, step = _not_there_yet(state._replace(setbacks=0, last_setback=None), now, roll)
    return state, update, step


def _wanted(state: PollState) -> frozenset[str]:
    return frozenset() if state.wanted is None else state.wanted


def _never_coming(state: PollState, task: Task) -> IceyeError | None:
    if state.goal is Goal.TASK:
        if can_reach(task.status, _wanted(state)):
            return None
        lacking = " or ".join(sorted(_wanted(state)))
        unknown = _wanted(state).difference(TaskStatus)
        known = f" (the documented statuses are {', '.join(TaskStatus)})" if unknown else ""
        passed = "; until=None waits for whichever of FULFILLED and DONE comes" if task.status in IMAGED else ""
        what = f"it can no longer be {lacking}{known}{passed}"
    elif task.status in ENDED:
        what = f"its {state.goal.what} can no longer come"
    elif state.goal is Goal.DERIVATIVES:
        return unrequested(task, state)
    else:
        return None
    message = f"task {state.task_id} is {task.status}: {what}"
    return TaskEnded(message, task_id=state.task_id, latest=state.latest, status=task.status)


def _not_there_yet(state: PollState, now: float, roll: float) -> Advance:
    if state.outlook.status in IMAGED:
        return _pause(state, now, roll)
    if state.outlook.status == TaskStatus.ACTIVE and now >= state.outlook.scene_due and not is_over(state, now):
        return at_once(state, now, Ask.SCENE)
    return _ahead(state, now, roll)


def scene_seen(state: PollState, heard: SceneSeen, now: float, roll: float) -> Advance:
    planned, outlook = heard.scene.imaging_time, state.outlook
    imaging = -inf if planned is None else now + planned.start.timestamp() - heard.wall
    if not outlook.opens - _SLACK <= imaging <= outlook.closes + _SLACK:
        # None, or none of this task, which is worse than none if it is believed.
        outlook = _rarer(outlook, now)._replace(imaging=-inf)
    elif imaging > now:
        outlook = outlook._replace(imaging=imaging, scenes=0, scene_due=now)
    else:
        outlook = _rarer(outlook, now)._replace(imaging=imaging)
    return _ahead(state._replace(outlook=outlook), now, roll)


def no_scene(state: PollState, heard: NoScene, now: float, roll: float) -> Advance:
    error = beyond_deadline(state, heard.error, now)
    if error is not None:
        return state, None, Ended(error)
    outlook = _rarer(state.outlook, now)
    if not heard.error.transient:
        # Where the service only fails, what was planned may still be so.
        outlook = outlook._replace(imaging=-inf)
    state, update, step = _ahead(state._replace(outlook=outlook), now, roll)
    return state._replace(due=max(state.due, now + floor_of(heard.error))), update, step


def _rarer(outlook: Outlook, now: float) -> Outlook:
    """The scene told of nothing ahead."""
    pause = _SCENE_RARER * 2.0 ** min(outlook.scenes, 10)
    return outlook._replace(scenes=outlook.scenes + 1, scene_due=now + pause)


def _ahead(state: PollState, now: float, roll: float) -> Advance:
    """Wait for what comes next, of which the window and the plan tell."""
    state = state._replace(ask=state.goal.first)
    if state.outlook.status == TaskStatus.RECEIVED and _wanted(state) & GOES_TO[TaskStatus.RECEIVED]:
        return _pause(state, now, roll)
    ahead = max(state.outlook.opens, state.outlook.imaging) - now
    if ahead > 0:
        # Until then only the task is asked: it may end early.
        longest = _longest_pause(state, now, ahead)
        ask = Ask.TASK if ahead > longest else state.goal.first
        shortest = max(_RESOLUTION, state.policy.first)
        return wait(state._replace(ask=ask, quiet=state.quiet + 1), now, max(min(ahead, longest), shortest))
    planned = state.outlook.imaging > -inf
    return _pause(state, now, roll, 1 if planned and state.goal is not Goal.DERIVATIVES else SLOWER)


def _longest_pause(state: PollState, now: float, ahead: float) -> float:
    if state.outlook.status == TaskStatus.RECEIVED:
        return min(_DECISION * 2.0 ** min(state.quiet, 10), _LONGEST_BLIND)
    if state.outlook.imaging > -inf:
        # A plan may change, and the nearer it is the sooner that must be known.
        longest = _LONGEST_BLIND if now < state.outlook.opens else _LONGEST_IN_WINDOW
        return ahead if ahead <= _NEAR else min(ahead / 2, longest)
    return _LONGEST_BLIND


def _pause(state: PollState, now: float, roll: float, slower: int = 1) -> Advance:
    pause = state.policy.pause(state.quiet, roll, slower)
    outlook = state.outlook._replace(task_due=now + _TASK_RARER * pause)
    return wait(state._replace(quiet=state.quiet + 1, outlook=outlook), now, pause)
