"""The wait for products: what the list of a type, or of all, means for it.

    heard, after the task was FULFILLED, DONE, or in an unknown status   then
    every named type there                                               complete, without waiting for DONE
    nothing named, the task DONE, everything listed has assets           complete
    the task DONE, a named type not listed                               ProductsNotRequested
    the task DONE, nothing named, nothing listed                         ProductsNotRequested
    an item without assets                                               wait: it is still being made
    a 404, or an empty list                                              not there yet
    an item or a page that cannot be read                                the others count, and it is a setback

A named type is asked at its own path, and what comes counts as that type: the documented answer for GRD-COG calls
itself GRD. The task is asked before the lists, so that what it says of being DONE was true before they were read.
"""

from collections.abc import Collection

from ..errors import ProductsNotRequested
from ..models import Product, ProductType, ProductUpdate, TaskStatus
from .links import named
from .waiting import COMPLETE, Advance, Ask, Ended, Gathered, PollState, Products, at_once, endurable, setback, wait

_Key = tuple[str | None, str]
_FORGOT = "the service forgot products that it had listed"


def begun(state: PollState) -> PollState:
    """A new round: the lists of the types that are missing. One that failed in the last stands behind the others."""
    turn: tuple[str | None, ...] = (None,)
    if state.wanted is not None:
        missing = state.wanted - state.ready
        left = [kind for kind in state.gathered.turn if kind in missing]
        turn = (*left, *sorted(missing.difference(left)))
    return state._replace(gathered=state.gathered._replace(turn=turn, refusal=None))


def listed(state: PollState, heard: Products, now: float, roll: float) -> Advance:
    state, update = _merged(state, heard)
    if update.complete:
        return state, update, COMPLETE
    told = update if update.fresh else None
    if heard.unread is not None and endurable(heard.unread):
        state, _, step = setback(state, heard.unread, now, roll, state.quiet)
        return state, told, step
    if state.gathered.turn:
        state, _, step = at_once(state, now, Ask.PRODUCTS)
        return state, told, step
    if state.gathered.refusal is not None:
        return state, told, Ended(state.gathered.refusal)
    error = _never_coming(state)
    if error is not None:
        return state, told, Ended(error)
    pause = state.policy.pause(state.quiet, roll)
    state = state._replace(ask=Ask.TASK, quiet=state.quiet + 1, setbacks=0, last_setback=None)
    state, _, step = wait(state, now, pause)
    return state, told, step


def _merged(state: PollState, heard: Products) -> tuple[PollState, ProductUpdate]:
    """The state with what was on the list, and the update that this makes."""
    on_list = dict.fromkeys((_kind(heard.kind, product), product.id) for product in heard.products)
    before, rest, refusal = state.gathered.found, state.gathered.turn[1:], state.gathered.refusal
    if heard.unread is not None and endurable(heard.unread):
        # What the service cannot say must not hide what it can: it is asked last in the next round.
        rest = (*rest, heard.kind)
    elif heard.unread is not None:
        refusal = heard.unread
    found = {key: product for key, product in before.items() if product.assets or not _is_gone(key, heard, on_list)}
    for product in heard.products:
        key = (_kind(heard.kind, product), product.id)
        if product.assets or key not in found or not found[key].assets:
            found[key] = product
    told = frozenset(state.delivered)
    fresh = [key for key in on_list if found[key].assets and key not in told]
    unmade = {kind for kind, name in on_list if not found[kind, name].assets}
    ready = frozenset(kind for kind, _ in on_list if kind is not None and heard.unread is None) - unmade
    state = state._replace(
        gathered=Gathered(found, rest, refusal),
        ready=state.ready | ready,
        delivered=(*state.delivered, *fresh),
        quiet=0 if fresh or len(found) != len(before) else state.quiet,
    )
    wanted = frozenset(kind for kind, _ in found if kind is not None) if state.wanted is None else state.wanted
    missing = wanted - state.ready
    if state.wanted is None:
        missing = frozenset(kind for (kind, _), product in found.items() if kind is not None and not product.assets)
    update = ProductUpdate(
        products=tuple(found.values()),
        fresh=tuple(found[key] for key in fresh),
        ready=wanted - missing,
        missing=missing,
        complete=_is_all(state, heard) if state.wanted is None else not missing,
    )
    return state._replace(latest=update if found else state.latest), update


def _kind(asked: str | None, product: Product) -> str | None:
    return product.product_type if asked is None else asked


def _is_gone(key: _Key, heard: Products, on_list: Collection[_Key]) -> bool:
    """Whether what was listed is no more on a list on which it would be. Without assets it was only announced."""
    return heard.unread is None and heard.kind in {None, key[0]} and key not in on_list


def _is_all(state: PollState, heard: Products) -> bool:
    """Of a wait for whatever comes: whether nothing more will."""
    made = [len(product.assets) > 0 for product in state.gathered.found.values()]
    return state.outlook.status == TaskStatus.DONE and heard.unread is None and len(made) > 0 and all(made)


def _never_coming(state: PollState) -> ProductsNotRequested | None:
    if state.outlook.status != TaskStatus.DONE:
        return None
    if state.wanted is None:
        return None if state.gathered.found else _not_requested(state, frozenset(), "lists none")
    never = state.wanted - state.ready - {kind for kind, _ in state.gathered.found}
    return _not_requested(state, never, f"has no {named(never)}") if never else None


def _not_requested(state: PollState, never: frozenset[str], why: str) -> ProductsNotRequested:
    known = f" (the documented types are {named(ProductType)})" if never.difference(ProductType) else ""
    return ProductsNotRequested(
        f"task {state.task_id}: {named(never) or 'products'} will not come: it is DONE, and {why}{known}; what "
        "a contract does not bring by itself comes only if it is listed in product_types when a task is created",
        task_id=state.task_id,
        latest=state.latest,
        types=never,
    )


def oddity(before: PollState, heard: Products, after: PollState) -> str | None:
    """What the service said that contradicts itself or what it said before: words for a log, or None."""
    if heard.unread is not None:
        return None
    on_list = {(_kind(heard.kind, product), product.id) for product in heard.products}
    if any(_is_gone(key, heard, on_list) for key in before.gathered.found):
        return _FORGOT
    if after.outlook.status == TaskStatus.DONE and any(not product.assets for product in heard.products):
        return "the service called a task DONE of which files are missing"
    return None
