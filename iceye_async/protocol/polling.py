"""The wait for derivatives as a table: what was heard, and what follows from it.

    heard                                      then
    206, every named type ready                complete, without waiting for the rest
    206 otherwise                              an update, then wait
    200, everything wanted ready               complete
    200, a named type neither listed nor seen  DerivativesNotRequested
    200, empty, nothing named or ever ready    DerivativesNotRequested
    200, an entry without assets               an update, then wait: the service contradicts itself
    404                                        ask the task: gone, ended, never asked for, or not yet
    a setback                                  wait; too many in a row raise the last one
    the deadline                               one last look, then PollTimeout

The API page "Task derivatives" lists three meanings for 404 (no such task, none requested, none ready yet) and gives no
field to tell them apart, so the task itself is asked: at the first 404, and after that only while its status can
still change.

Durations and moments are float seconds on the caller's monotonic clock, except `wall`: seconds since the epoch.
"""

from collections.abc import Callable, Collection
from enum import Enum, auto
from functools import lru_cache
from typing import NamedTuple, TypeAlias

from attrs import evolve, field, frozen

from ..errors import DerivativesNotRequested, IceyeError, PollTimeout, RateLimited, TaskEnded, TaskNotFound
from ..models import (
    Derivative,
    DerivativeSet,
    DerivativeType,
    DerivativeUpdate,
    ImagingMode,
    ProductType,
    Task,
    TaskStatus,
)
from .checks import number, validator, whole

SUPPORTED_MODES = frozenset(
    {
        ImagingMode.SPOTLIGHT,
        ImagingMode.SPOTLIGHT_FINE,
        ImagingMode.SPOTLIGHT_FINE_1L,
        ImagingMode.SPOTLIGHT_EXTENDED_DWELL,
        ImagingMode.SPOTLIGHT_EXTENDED_DWELL_FINE,
    }
)
"""The modes that derivatives can be asked for with. Source: the API page "Task derivatives"."""

_UNSUPPORTED_MODES = frozenset(ImagingMode) - SUPPORTED_MODES
_ENDED = frozenset({TaskStatus.REJECTED, TaskStatus.FAILED, TaskStatus.CANCELED})
_IMAGED = frozenset({TaskStatus.FULFILLED, TaskStatus.DONE})

_LONGEST_BLIND = 6 * 3600.0
"""The longest pause before a window opens: a task that ends early is noticed within it."""
_DECISION = 20 * 60.0
"""A RECEIVED task is decided "within about 20 minutes" (API page "Get a task")."""
_UNIMAGED_SLOWER = 5
"""While the task is not imaged, at least its processing lies ahead (an hour at the median), so looks are rarer."""
_FORGOT = "the service forgot derivatives that it had listed"
_LONG_QUIET = 10
"""Looks without news after which it is odd that a listing without gaps is still partial."""
_TASK_RARER = 4
"""Looks at derivatives per look at a task whose status can still change."""


@frozen(kw_only=True)
class PollPolicy:
    """How a wait asks. All durations are float seconds.

    The pause after a look grows from `first` by `growth` up to `ceiling`, and is lengthened by a random part of up to
    `spread` of itself; news sets it back to `first`. Before a task is imaged the pauses follow the task instead: at
    most 6 h before its acquisition window opens, and up to five times the ceiling in it. `timeout` bounds the whole
    wait (None: no bound); the default is the 14 days that an acquisition may lie ahead, and two for the processing.
    It is counted on the client's clock, which is monotonic: setting the wall clock changes nothing, and whether the
    time that a machine sleeps counts is for its system to say (on Linux it does not). A wait that wakes after its
    deadline looks once more, unless so many do that its turn would come more than two seconds later.
    `setbacks` is how many failures in a row are endured; the default outlasts an outage of 30 minutes.
    """

    first: float = field(default=5.0, validator=validator(number, above=0))
    growth: float = field(default=1.3, validator=validator(number, least=1.0))
    ceiling: float = field(default=60.0, validator=validator(number, above=0))
    spread: float = field(default=0.1, validator=validator(number, least=0.0))
    timeout: float | None = field(default=16 * 86_400.0, validator=validator(number, above=0, optional=True))
    setbacks: int = field(default=40, validator=validator(whole, least=0))

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
    """A 404."""


class TaskSeen(NamedTuple):
    """The task, and the wall time at which it was read."""

    task: Task
    wall: float


class Setback(NamedTuple):
    """No usable answer, to a look at the derivatives or at the task."""

    error: IceyeError


Heard: TypeAlias = Listing | Renewed | Nothing | TaskSeen | Setback


# --- where a wait is -------------------------------------------------------------------------------------------


class Ask(Enum):
    """What the next look is at."""

    DERIVATIVES = auto()
    TASK = auto()


class PollState(NamedTuple):
    """A wait between two looks. A value: whoever holds it can go on from it. A tuple, for thousands of them wait."""

    task_id: str
    wanted: frozenset[str] | None
    policy: PollPolicy
    due: float
    deadline: float | None
    ask: Ask = Ask.DERIVATIVES
    quiet: int = 0
    """Looks since the last news."""
    setbacks: int = 0
    """In a row."""
    last_setback: IceyeError | None = None
    latest: DerivativeUpdate | None = None
    """What there is so far, or None where nothing was ever listed."""
    plain: bool = False
    """Whether the last listing is all that is known, so that one like it can bring nothing but new links."""
    ready: frozenset[str] = frozenset()
    delivered: frozenset[str] = frozenset()
    """The ids that were fresh once."""
    status: str | None = None
    """Of the task, where it was asked."""
    task_due: float = 0.0
    """When the task may be asked again."""

    @property
    def known(self) -> Collection[Derivative]:
        """Everything listed so far, by id: the newest with assets, else the newest."""
        return () if self.latest is None else self.latest.derivatives


class Wait:
    """Look again at `state.due`."""


class Complete:
    """Everything wanted is there."""


class Ended(NamedTuple):
    """The wait cannot go on."""

    error: IceyeError


Step: TypeAlias = Wait | Complete | Ended
Advance: TypeAlias = tuple[PollState, DerivativeUpdate | None, Step]
_WAIT, _COMPLETE = Wait(), Complete()


def begin(task_id: str, wanted: Collection[str] | None, policy: PollPolicy, now: float) -> PollState:
    """A wait that looks at once."""
    deadline = None if policy.timeout is None else now + policy.timeout
    return PollState(task_id, None if wanted is None else frozenset(wanted), policy, due=now, deadline=deadline)


def advance(state: PollState, heard: Heard, now: float, roll: float) -> Advance:
    """The next state, an update if one is due, and what to do. `roll` is chance, from 0 to 1."""
    if isinstance(heard, Renewed):
        return _renewed(state, heard, now, roll)
    if isinstance(heard, Listing):
        return _listed(state, heard, now, roll)
    if isinstance(heard, Nothing):
        return _absent(state, now, roll)
    if isinstance(heard, TaskSeen):
        return _task_seen(state, heard, now, roll)
    return _setback(state, heard.error, now, roll, state.quiet)


# --- a listing -------------------------------------------------------------------------------------------------


def _listed(state: PollState, heard: Listing, now: float, roll: float) -> Advance:
    known = {entry.id: entry for entry in state.known}
    for entry in heard.derivatives:
        if entry.assets or entry.id not in known or not known[entry.id].assets:
            known[entry.id] = entry
    on_list = {entry.id: known[entry.id] for entry in heard.derivatives}.values()
    listed = heard.blocked.union([entry.type for entry in on_list])
    unready = heard.blocked.union([entry.type for entry in on_list if not entry.assets])
    fresh = tuple(
        entry
        for entry in on_list
        if entry.assets and entry.id not in state.delivered and (state.wanted is None or entry.type in state.wanted)
    )
    quiet = 0 if fresh or len(known) != len(state.known) else state.quiet
    entries = tuple(known.values())
    plain = heard.unread is None and entries == heard.derivatives
    state = state._replace(
        ask=Ask.DERIVATIVES,
        plain=plain,
        ready=_shared(state.ready | (listed - unready)),
        delivered=state.delivered.union([entry.id for entry in fresh]) if fresh else state.delivered,
        quiet=quiet + 1,
        setbacks=state.setbacks if heard.unread else 0,
        last_setback=None,
    )
    wanted = state.wanted
    if wanted is None:
        # Everything that the service lists: what it ever listed, until it says that this is all.
        wanted = listed | state.ready if heard.final else frozenset([entry.type for entry in entries])
    done = state.wanted is not None or (heard.final and heard.unread is None and len(wanted) > 0)
    update = DerivativeUpdate(
        derivatives=DerivativeSet(entries, final=heard.final),
        fresh=fresh,
        ready=_shared(state.ready & wanted),
        missing=_shared(wanted - state.ready),
        complete=done and wanted <= state.ready,
    )
    # What the caller let go of is not kept for it: read again it is the same, and unread it is a tenth of the size.
    kept = DerivativeSet(heard.read, final=heard.final) if plain else update.derivatives
    state = state._replace(latest=evolve(update, derivatives=kept))
    if update.complete:
        return state, update, _COMPLETE
    error = _never_coming(state, heard, listed)
    if error is not None:
        return state, update if fresh else None, Ended(error)
    if heard.unread is not None:
        state, _, step = _setback(state, heard.unread, now, roll, quiet)
    else:
        state, _, step = _wait(state, now, state.policy.pause(quiet, roll))
    return state, update, step


@lru_cache(maxsize=1024)
def _shared(types: frozenset[str]) -> frozenset[str]:
    """The one set of these types. There are few types, and thousands of waits."""
    return types


def _renewed(state: PollState, heard: Renewed, now: float, roll: float) -> Advance:
    before = state.latest
    assert before is not None  # noqa: S101 - what is renewed was listed before
    update = DerivativeUpdate(
        derivatives=DerivativeSet(heard.read, final=heard.final),
        fresh=(),
        ready=before.ready,
        missing=before.missing,
        complete=False,
    )
    pause = state.policy.pause(state.quiet, roll)
    state = state._replace(
        due=now + pause, latest=update, ask=Ask.DERIVATIVES, quiet=state.quiet + 1, setbacks=0, last_setback=None
    )
    if state.deadline is None or state.due < state.deadline:
        return state, update, _WAIT
    state, _, step = _wait(state, now, pause)
    return state, update, step


def _never_coming(state: PollState, heard: Listing, listed: frozenset[str]) -> IceyeError | None:
    if not heard.final or heard.unread is not None:
        return None
    if state.wanted is not None:
        never = state.wanted - listed - state.ready
        return _not_requested(state, never, "the service says that it is done, without them") if never else None
    if not heard.derivatives and not state.ready:
        return _not_requested(state, frozenset(), "the service says that it is done, and lists none")
    return None


# --- a 404, and the task behind it -----------------------------------------------------------------------------


def _absent(state: PollState, now: float, roll: float) -> Advance:
    if state.deadline is not None and now >= state.deadline:
        return state, None, Ended(timed_out(state))
    imaged = state.status in _IMAGED
    if not imaged and (state.status is None or now >= state.task_due):
        # Whether setbacks are over is told by the task, not by the 404 before it.
        return state._replace(ask=Ask.TASK, due=now), None, _WAIT
    pause = state.policy.pause(state.quiet, roll, 1 if imaged else _UNIMAGED_SLOWER)
    return _wait(state._replace(quiet=state.quiet + 1, setbacks=0, last_setback=None), now, pause)


def _task_seen(state: PollState, heard: TaskSeen, now: float, roll: float) -> Advance:
    task = heard.task
    quiet = 0 if task.status != state.status else state.quiet
    state = state._replace(ask=Ask.DERIVATIVES, status=task.status, quiet=quiet + 1, setbacks=0, last_setback=None)
    if task.status in _ENDED:
        message = f"task {state.task_id} is {task.status}: its derivatives can no longer come"
        return state, None, Ended(TaskEnded(message, task_id=state.task_id, latest=state.latest, status=task.status))
    if (never := _unrequested(task, state)) is not None:
        return state, None, Ended(_not_requested(state, *never))
    opens = task.acquisition_window.start.timestamp() - heard.wall
    if task.status in _IMAGED:
        return _wait(state, now, state.policy.pause(quiet, roll))
    if opens > 0:
        # Nothing can exist before the window opens. Until then only the task is asked: it may end early.
        undecided = task.status == TaskStatus.RECEIVED
        longest = min(_DECISION * 2.0 ** min(quiet, 10), _LONGEST_BLIND) if undecided else _LONGEST_BLIND
        ask = Ask.TASK if opens > longest else Ask.DERIVATIVES
        return _wait(state._replace(ask=ask), now, min(opens, longest))
    pause = state.policy.pause(quiet, roll, _UNIMAGED_SLOWER)
    return _wait(state._replace(task_due=now + _TASK_RARER * pause), now, pause)


def _unrequested(task: Task, state: PollState) -> tuple[frozenset[str], str] | None:
    """What the task shows will never come, and why; None where it shows nothing of the kind."""
    wanted = frozenset() if state.wanted is None else state.wanted
    echo = task.derivative_product_types
    if echo is not None:
        never = wanted.difference(echo, (entry.type for entry in state.known))
        return (never, "the task was created without them") if never or not (echo or state.known) else None
    if state.known:
        return None
    if task.imaging_mode in _UNSUPPORTED_MODES:
        return wanted, f"its imaging mode {task.imaging_mode} has none"
    types = task.product_types
    if types is not None and not {ProductType.GRD, ProductType.GRD_COG}.intersection(types):
        return wanted, "it was created without GRD among its product types"
    return None


def _not_requested(state: PollState, never: frozenset[str], why: str) -> DerivativesNotRequested:
    what = ", ".join(sorted(never)) or "derivatives"
    if never.difference(DerivativeType):
        why += f" (the documented types are {', '.join(DerivativeType)})"
    return DerivativesNotRequested(
        f"task {state.task_id}: {what} will not come: {why}; derivatives are asked for when a task is created",
        task_id=state.task_id,
        latest=state.latest,
        types=never,
    )


# --- waiting ---------------------------------------------------------------------------------------------------


def _wait(state: PollState, now: float, pause: float) -> Advance:
    """Look again after the pause, or at the deadline if that is sooner. The look at the deadline is the last."""
    due = now + pause
    if state.deadline is not None and due >= state.deadline:
        if now >= state.deadline:
            return state, None, Ended(timed_out(state))
        return state._replace(due=state.deadline, ask=Ask.DERIVATIVES), None, _WAIT
    return state._replace(due=due), None, _WAIT


def _setback(state: PollState, error: IceyeError, now: float, roll: float, quiet: int) -> Advance:
    # A task that was there and is not found any more is a service in disorder, not a wrong id.
    if isinstance(error, TaskNotFound) and state.status is None and not state.known:
        return state, None, Ended(error)
    # A service that throttles is at work. Only the deadline bounds how often it may do so.
    throttled = isinstance(error, RateLimited)
    # Nobody is asked more often because he is down.
    row = quiet if throttled else max(quiet, state.setbacks)
    state = state._replace(
        ask=Ask.DERIVATIVES,
        setbacks=state.setbacks + (not throttled),
        quiet=state.quiet + throttled,
        last_setback=error,
    )
    if state.setbacks > state.policy.setbacks:
        return state, None, Ended(error)
    floor = getattr(error, "retry_after", None) or 0.0
    if floor and state.deadline is not None and now + floor > state.deadline:
        return state, None, Ended(timed_out(state))
    pause = state.policy.pause(row, roll)
    chance = pause - state.policy.pause(row)
    return _wait(state, now, max(pause, floor + chance))


def oddity(before: PollState, heard: Heard, after: PollState) -> str | None:
    """What the service said that contradicts itself or what it said before: words for a log, or None."""
    if isinstance(heard, Listing | Renewed):
        if not heard.final and before.latest is not None and before.latest.derivatives.final:
            return "the service took back that its listing was complete"
        return _odd_listing(before, heard, after) if isinstance(heard, Listing) else _odd_silence(after)
    return _FORGOT if isinstance(heard, Nothing) and before.known else None


def _odd_listing(before: PollState, heard: Listing, after: PollState) -> str | None:
    if heard.final and not all(entry.assets for entry in heard.derivatives):
        return "the service called a listing complete in which files are missing"
    # A plain listing is all that is known, so nothing was forgotten.
    if not after.plain and heard.unread is None:
        listed = {entry.id: entry for entry in heard.derivatives}
        if any(entry.id not in listed for entry in before.known):
            return _FORGOT
        if any(entry.assets and not listed[entry.id].assets for entry in before.known):
            return "the service took back files that it had listed"
    return _odd_silence(after)


def _odd_silence(after: PollState) -> str | None:
    latest = after.latest
    if after.quiet < _LONG_QUIET or latest is None or latest.derivatives.final or latest.complete or latest.missing:
        return None
    return "the service calls a listing partial in which no file is missing"


def timed_out(state: PollState) -> PollTimeout:
    """The error of a wait whose deadline has passed, with what had arrived."""
    latest = state.latest
    missing = sorted(latest.missing if latest is not None else state.wanted or ())
    parts = [
        f"task {state.task_id}: {', '.join(missing) or 'derivatives'} not there after {state.policy.timeout:g} s",
        "" if state.status is None else f"the task is {state.status}",
        "what had arrived is on .latest; wait again to go on",
    ]
    error = PollTimeout("; ".join(filter(None, parts)), task_id=state.task_id, latest=latest)
    error.__cause__ = state.last_setback
    return error
