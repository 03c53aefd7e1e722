"""The wait for derivatives: what a listing, or a 404, means for it.

    heard                                      then
    206, every named type ready                complete, without waiting for the rest
    206 otherwise                              an update, then wait
    200, everything wanted ready               complete
    200, a named type neither listed nor seen  DerivativesNotRequested
    200, empty, nothing named or ever ready    DerivativesNotRequested
    200, an entry without assets               an update, then wait: the service contradicts itself
    404                                        ask the task: gone, ended, never asked for, or not yet

The API page "Task derivatives" lists three meanings for 404 (no such task, none requested, none ready yet) and gives no
field to tell them apart, so the task itself is asked: at the first 404, and after that only while its status can
still change.
"""

from collections.abc import Collection
from functools import lru_cache

from attrs import evolve

from ..errors import DerivativesNotRequested, IceyeError
from ..models import Derivative, DerivativeSet, DerivativeType, DerivativeUpdate, ProductType, Task
from ..models.offer import UNSUPPORTED_MODES
from .lifecycle import IMAGED
from .links import named
from .waiting import (
    COMPLETE,
    WAIT,
    Advance,
    Ask,
    Ended,
    Listing,
    Nothing,
    PollState,
    Renewed,
    at_once,
    is_over,
    setback,
    timed_out,
    wait,
)

_FORGOT = "the service forgot derivatives that it had listed"
SLOWER = 5
"""While a task is not imaged, at least its processing lies ahead (an hour at the median), so looks are rarer."""
_LONG_QUIET = 10
"""Looks without news after which it is odd that a listing without gaps is still partial."""


def _known(state: PollState) -> Collection[Derivative]:
    """Everything listed so far, by id: the newest with assets, else the newest."""
    return () if state.latest is None else state.latest.derivatives


# --- a listing -------------------------------------------------------------------------------------------------


def listed(state: PollState, heard: Listing, now: float, roll: float) -> Advance:
    before = _known(state)
    known = {entry.id: entry for entry in before}
    for entry in heard.derivatives:
        if entry.assets or entry.id not in known or not known[entry.id].assets:
            known[entry.id] = entry
    on_list = {entry.id: known[entry.id] for entry in heard.derivatives}.values()
    types = heard.blocked.union([entry.type for entry in on_list])
    unready = heard.blocked.union([entry.type for entry in on_list if not entry.assets])
    told = frozenset(state.delivered)
    fresh = tuple(
        entry
        for entry in on_list
        if entry.assets and entry.id not in told and (state.wanted is None or entry.type in state.wanted)
    )
    quiet = 0 if fresh or len(known) != len(before) else state.quiet
    entries = tuple(known.values())
    plain = heard.unread is None and entries == heard.derivatives
    state = state._replace(
        ask=Ask.DERIVATIVES,
        plain=plain,
        ready=_shared(state.ready | (types - unready)),
        delivered=(*state.delivered, *(entry.id for entry in fresh)) if fresh else state.delivered,
        quiet=quiet + 1,
        setbacks=state.setbacks if heard.unread else 0,
        last_setback=None,
    )
    wanted = state.wanted
    if wanted is None:
        # Everything that the service lists: what it ever listed, until it says that this is all.
        wanted = types | state.ready if heard.final else frozenset([entry.type for entry in entries])
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
        return state, update, COMPLETE
    error = _never_coming(state, heard, types)
    if error is not None:
        return state, update if fresh else None, Ended(error)
    if heard.unread is not None:
        state, _, step = setback(state, heard.unread, now, roll, quiet)
    else:
        state, _, step = wait(state, now, state.policy.pause(quiet, roll))
    return state, update, step


@lru_cache(maxsize=1024)
def _shared(types: frozenset[str]) -> frozenset[str]:
    """The one set of these types. There are few types, and thousands of waits."""
    return types


def renewed(state: PollState, heard: Renewed, now: float, roll: float) -> Advance:
    before = state.latest
    assert before is not None  # noqa: S101 - what is renewed was listed before
    update = DerivativeUpdate(
        derivatives=DerivativeSet(heard.read, final=heard.final),
        fresh=(),
        ready=before.ready,
        missing=before.missing,
        complete=False,
    )
    state, _, step = unchanged(state._replace(latest=update), now, roll)
    return state, update, step


def unchanged(state: PollState, now: float, roll: float) -> Advance:
    """The listing brought nothing but new links, and nobody wants these: no update."""
    pause = state.policy.pause(state.quiet, roll)
    state = state._replace(due=now + pause, ask=Ask.DERIVATIVES, quiet=state.quiet + 1, setbacks=0, last_setback=None)
    if state.deadline is None or state.due < state.deadline:
        return state, None, WAIT
    return wait(state, now, pause)


def _never_coming(state: PollState, heard: Listing, listed: frozenset[str]) -> IceyeError | None:
    if not heard.final or heard.unread is not None:
        return None
    if state.wanted is not None:
        never = state.wanted - listed - state.ready
        return _not_requested(state, never, "the service says that it is done, without them") if never else None
    if not heard.derivatives and not state.ready:
        return _not_requested(state, frozenset(), "the service says that it is done, and lists none")
    return None


def absent(state: PollState, now: float, roll: float) -> Advance:
    if is_over(state, now):
        return state, None, Ended(timed_out(state))
    imaged = state.outlook.status in IMAGED
    if not imaged and (state.outlook.status is None or now >= state.outlook.task_due):
        # Whether setbacks are over is told by the task, not by the 404 before it.
        return at_once(state, now, Ask.TASK)
    pause = state.policy.pause(state.quiet, roll, 1 if imaged else SLOWER)
    return wait(state._replace(quiet=state.quiet + 1, setbacks=0, last_setback=None), now, pause)


def unrequested(task: Task, state: PollState) -> DerivativesNotRequested | None:
    """What the task shows will never come, as an error; None where it shows nothing of the kind."""
    wanted = frozenset() if state.wanted is None else state.wanted
    known = _known(state)
    echo = task.derivative_product_types
    if echo is not None:
        never = wanted.difference(echo, (entry.type for entry in known))
        shown = len(never) > 0 or not (echo or known)
        return _not_requested(state, never, "the task was created without them") if shown else None
    if known:
        return None
    if task.imaging_mode in UNSUPPORTED_MODES:
        return _not_requested(state, wanted, f"its imaging mode {task.imaging_mode} has none")
    types = task.product_types
    if types is not None and not {ProductType.GRD, ProductType.GRD_COG}.intersection(types):
        return _not_requested(state, wanted, "it was created without GRD among its product types")
    return None


def _not_requested(state: PollState, never: frozenset[str], why: str) -> DerivativesNotRequested:
    what = named(never) or "derivatives"
    if never.difference(DerivativeType):
        why += f" (the documented types are {', '.join(DerivativeType)})"
    return DerivativesNotRequested(
        f"task {state.task_id}: {what} will not come: {why}; derivatives are asked for when a task is created",
        task_id=state.task_id,
        latest=state.latest,
        types=never,
    )


# --- what is odd -----------------------------------------------------------------------------------------------


def oddity(before: PollState, heard: Listing | Renewed | Nothing, after: PollState) -> str | None:
    """What the service said that contradicts itself or what it said before: words for a log, or None."""
    if isinstance(heard, Nothing):
        return _FORGOT if _known(before) else None
    if not heard.final and before.latest is not None and before.latest.derivatives.final:
        return "the service took back that its listing was complete"
    return _odd_listing(before, heard, after) if isinstance(heard, Listing) else _odd_silence(after)


def _odd_listing(before: PollState, heard: Listing, after: PollState) -> str | None:
    if heard.final and not all(entry.assets for entry in heard.derivatives):
        return "the service called a listing complete in which files are missing"
    # A plain listing is all that is known, so nothing was forgotten.
    if not after.plain and heard.unread is None:
        listed = {entry.id: entry for entry in heard.derivatives}
        if any(entry.id not in listed for entry in _known(before)):
            return _FORGOT
        if any(entry.assets and not listed[entry.id].assets for entry in _known(before)):
            return "the service took back files that it had listed"
    return _odd_silence(after)


def _odd_silence(after: PollState) -> str | None:
    latest = after.latest
    if after.quiet < _LONG_QUIET or latest is None or latest.derivatives.final or latest.complete or latest.missing:
        return None
    return "the service calls a listing partial in which no file is missing"
