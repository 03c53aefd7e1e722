"""What all waits have in common: their policy, what they can hear, where they are, and how they wait, fail and end.

Durations and moments are float seconds on the caller's monotonic clock, except `wall`: seconds since the epoch.
"""

from collections.abc import Callable, Mapping
from enum import Enum, auto
from math import inf
from typing import Any, NamedTuple, TypeAlias

from attrs import field, frozen

from ..errors import DecodeError, IceyeError, NotFound, PaginationLoop, PollTimeout, RateLimited, TaskNotFound
from ..models import Derivative, DerivativeUpdate, Product, ProductUpdate, Scene, Task
from .checks import number, validator, whole
from .links import clean, named


@frozen(kw_only=True)
class PollPolicy:
    """How a wait asks. All durations are float seconds.

    The pause after a look grows from `first` by `growth` up to `ceiling`, and is lengthened by a random part of up to
    `spread` of itself; news sets it back to `first`. Before a task is imaged the pauses follow the task instead: at
    most 6 h before its acquisition window opens or its planned imaging, and up to five times the ceiling while only
    the window is known. `timeout` bounds the whole wait (None: no bound); the default is the 14 days that an
    acquisition may lie ahead, and two for the processing. It is counted on the client's clock, which is monotonic:
    setting the wall clock changes nothing, and whether the time that a machine sleeps counts is for its system to say
    (on Linux it does not). A wait that wakes after its deadline looks once more, unless so many do that its turn would
    come more than two seconds later. `setbacks` is how many failures in a row are endured; the default outlasts an
    outage of 30 minutes.
    """

    first: float = field(default=5.0, validator=validator(number, above=0))
    growth: float = field(default=1.3, validator=validator(number, least=1.0))
    ceiling: float = field(default=25.0, validator=validator(number, above=0))
    spread: float = field(default=0.1, validator=validator(number, least=0.0))
    timeout: float | None = field(default=16 * 86_400.0, validator=validator(number, above=0, optional=True))
    setbacks: int = field(default=80, validator=validator(whole, least=0))

    def pause(self, quiet: int, roll: float = 0.0, slower: int = 1) -> float:
        """Seconds to wait after a look, `quiet` looks after the last news. `roll` is chance, from 0 to 1."""
        try:
            grown = self.first * self.growth**quiet
        except OverflowError:
            grown = self.ceiling * slower
        return min(grown, self.ceiling * slower) * (1 + self.spread * roll)


# --- what can be heard -----------------------------------------------------------------------------------------


class Listing(NamedTuple):
    """A 200 or 206. `unread` is an error where entries could not be read, `blocked` the types of those entries."""

    derivatives: tuple[Derivative, ...]
    final: bool
    read: Callable[[], tuple[Derivative, ...]]
    """Reads the same derivatives once more."""
    unread: IceyeError | None = None
    blocked: frozenset[str] = frozenset()


class Renewed(NamedTuple):
    """A 200 or 206 that differs from the listing before it in nothing but links. It is read when it is looked at."""

    read: Callable[[], tuple[Derivative, ...]]
    final: bool


class Nothing:
    """A 404 of the derivatives."""


class Products(NamedTuple):
    """The products of a type (None: of all), all pages of them; none where the list was a 404.

    `unread` is what kept some of them from being read: a page that did not come, or entries that are not as documented.
    """

    kind: str | None
    products: tuple[Product, ...]
    unread: IceyeError | None = None


class TaskSeen(NamedTuple):
    """The task, and the wall time at which it was read."""

    task: Task
    wall: float


class SceneSeen(NamedTuple):
    """How the task's picture is planned, or was taken; and the wall time at which it was read."""

    scene: Scene
    wall: float


class NoScene(NamedTuple):
    """The scene could not be had. It is done without."""

    error: IceyeError


class Setback(NamedTuple):
    """No usable answer."""

    error: IceyeError


Heard: TypeAlias = Listing | Renewed | Nothing | Products | TaskSeen | SceneSeen | NoScene | Setback


# --- where a wait is -------------------------------------------------------------------------------------------


class Ask(Enum):
    """What the next look is at."""

    DERIVATIVES = auto()
    PRODUCTS = auto()
    TASK = auto()
    SCENE = auto()


class Goal(Enum):
    """What is waited for; the value is what the first look is at, and the last one at the deadline."""

    TASK = (Ask.TASK, "status")
    PRODUCTS = (Ask.TASK, "products")
    DERIVATIVES = (Ask.DERIVATIVES, "derivatives")

    def __init__(self, first: Ask, what: str) -> None:
        self.first = first
        self.what = what


Update: TypeAlias = Task | ProductUpdate | DerivativeUpdate


class Outlook(NamedTuple):
    """What the task and its scene tell of the time ahead."""

    status: str | None = None
    """Of the task, where it was asked."""
    task_due: float = 0.0
    """When the task may be asked again."""
    opens: float = -inf
    """When the acquisition window opens, and when it closes."""
    closes: float = inf
    imaging: float = -inf
    """When the picture is planned, or was taken; minus infinity where nobody knows."""
    scene_due: float = -inf
    """When the scene may be asked again."""
    scenes: int = 0
    """Looks at the scene since it last told of something ahead."""


_NO_PRODUCTS: Mapping[tuple[str | None, str], Product] = {}


class Gathered(NamedTuple):
    """Where a wait for products is with its lists."""

    found: Mapping[tuple[str | None, str], Product] = _NO_PRODUCTS
    """The products listed so far, by the type they count as, and id."""
    turn: tuple[str | None, ...] = ()
    """The types whose lists are to be asked in this round."""
    refusal: IceyeError | None = None
    """What ends the wait once the others of this round have been asked."""


class PollState(NamedTuple):
    """A wait between two looks. A value: whoever holds it can go on from it. A tuple, for thousands of them wait."""

    goal: Goal
    task_id: str
    wanted: frozenset[str] | None
    """Statuses or types; None for everything that the service lists."""
    policy: PollPolicy
    due: float
    deadline: float | None
    ask: Ask
    quiet: int = 0
    """Looks since the last news."""
    setbacks: int = 0
    """In a row."""
    last_setback: IceyeError | None = None
    latest: Any = None
    """What there is so far (an `Update`), or None where there was nothing yet."""
    plain: bool = False
    """Whether the last listing is all that is known, so that one like it can bring nothing but new links."""
    ready: frozenset[str] = frozenset()
    delivered: tuple[Any, ...] = ()
    """What was fresh once. No set, which is four times as large: thousands of waits have one or two of these."""
    outlook: Outlook = Outlook()
    gathered: Gathered = Gathered()
    """By a wait for products."""


@frozen(kw_only=True)
class Standing:
    """Where a wait stands. Durations are seconds on the client's clock."""

    status: str | None
    """Of the task, as it was last seen; None where only its derivatives were asked for so far."""
    next_look: float
    """Until the next look; 0.0 before the first and while one is under way."""
    left: float | None
    """Until the deadline; None where there is none."""
    setbacks: int
    """How many looks have failed in a row."""
    error: IceyeError | None
    """Of the last of these."""


def standing(state: PollState, now: float) -> Standing:
    """Of a wait that goes on."""
    seen = state.latest.status if isinstance(state.latest, Task) else state.outlook.status
    return Standing(
        status=seen,
        next_look=max(0.0, state.due - now),
        left=None if state.deadline is None else max(0.0, state.deadline - now),
        setbacks=state.setbacks,
        error=state.last_setback if state.setbacks else None,
    )


class Wait:
    """Look again at `state.due`."""


class Complete:
    """Everything wanted is there."""


class Ended(NamedTuple):
    """The wait cannot go on."""

    error: IceyeError


Step: TypeAlias = Wait | Complete | Ended
Advance: TypeAlias = tuple[PollState, Update | None, Step]
WAIT, COMPLETE = Wait(), Complete()


# --- waiting ---------------------------------------------------------------------------------------------------


def at_once(state: PollState, now: float, ask: Ask) -> Advance:
    """Ask on: what was heard is half an answer."""
    return state._replace(ask=ask, due=now), None, WAIT


def wait(state: PollState, now: float, pause: float) -> Advance:
    """Look again after the pause, or at the deadline if that is sooner. The look at the deadline is the last."""
    due = now + pause
    if state.deadline is not None and due >= state.deadline:
        if now >= state.deadline:
            return state, None, Ended(timed_out(state))
        return state._replace(due=state.deadline, ask=state.goal.first), None, WAIT
    return state._replace(due=due), None, WAIT


def is_over(state: PollState, now: float) -> bool:
    """Whether the deadline has passed."""
    return state.deadline is not None and now >= state.deadline


def endurable(error: IceyeError) -> bool:
    """Whether a later look may mend it."""
    return error.transient or (isinstance(error, NotFound | DecodeError) and not isinstance(error, PaginationLoop))


def setback(state: PollState, error: IceyeError, now: float, roll: float, quiet: int) -> Advance:
    """No usable answer: wait, as long as there were not too many in a row."""
    # A task that was there and is not found any more is a service in disorder, not a wrong id.
    unheard_of = state.outlook.status is None and (state.latest is None or len(state.latest) == 0)
    if isinstance(error, TaskNotFound) and unheard_of:
        return state, None, Ended(error)
    # A service that throttles is at work. Only the deadline bounds how often it may do so.
    throttled = isinstance(error, RateLimited)
    # Nobody is asked more often because he is down.
    row = quiet if throttled else max(quiet, state.setbacks)
    state = state._replace(
        ask=state.goal.first,
        setbacks=state.setbacks + (not throttled),
        quiet=state.quiet + throttled,
        last_setback=error,
    )
    if state.setbacks > state.policy.setbacks or not endurable(error):
        return state, None, Ended(error)
    late = beyond_deadline(state, error, now)
    if late is not None:
        return state, None, Ended(late)
    pause = state.policy.pause(row, roll)
    chance = pause - state.policy.pause(row)
    return wait(state, now, max(pause, floor_of(error) + chance))


def floor_of(error: IceyeError) -> float:
    """Seconds that the service wants to be left alone, as the error tells it."""
    return getattr(error, "retry_after", None) or 0.0


def beyond_deadline(state: PollState, error: IceyeError, now: float) -> PollTimeout | None:
    """The error of a wait that the service wants to be left alone by until after its deadline."""
    floor = floor_of(error)
    if floor == 0 or state.deadline is None or now + floor <= state.deadline:
        return None
    why = f"and the service wants to be left alone for {floor:.0f} s, beyond the deadline"
    return timed_out(state._replace(last_setback=error), why)


def timed_out(state: PollState, why: str | None = None) -> PollTimeout:
    """The error of a wait whose deadline has passed (or will, and this is why), with what had arrived."""
    when = f"after {state.policy.timeout:g} s" if why is None else why
    parts = [
        f"task {state.task_id}: {_lacking(state)} {when}",
        "" if state.outlook.status is None else f"the task is {clean(state.outlook.status, 60)}",
        "what had arrived is on .latest; wait again to go on",
    ]
    error = PollTimeout("; ".join(filter(None, parts)), task_id=state.task_id, latest=state.latest)
    error.__cause__ = state.last_setback
    return error


def _lacking(state: PollState) -> str:
    if state.goal is Goal.TASK:
        return f"not {' or '.join(sorted(state.wanted or ()))}"
    missing = state.latest.missing if state.latest is not None else state.wanted or ()
    return f"{named(missing) or state.goal.what} not there"
