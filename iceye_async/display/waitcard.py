"""A wait as a card of HTML: how it stands, what is there of each type, its files, and what goes wrong."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ..errors import PollTimeout
from ..protocol.waiting import Goal, Standing
from . import cards
from .markup import AMBER, BLUE, GREEN, MOST, RED, card, code, facts, faint, mark, said, table
from .shelf import File, Kind, Shelf, counted
from .text import duration, in_words, outcome, size

if TYPE_CHECKING:
    from typing import Any

    from ..waits import Waiting

_STATES = {
    "complete": ("✓", GREEN),
    "stopped": ("■", AMBER),
    "idle": ("❚❚", AMBER),
    "under way": ("●", BLUE),
    "between looks": ("●", BLUE),
}
IDLE = "not awaited yet: <code>await</code> it to begin"
_BETWEEN = "when it is awaited, or asked for its next step"


def ending(error: BaseException | None) -> str:
    """In a word, how a wait ended."""
    if isinstance(error, StopAsyncIteration):
        return "complete"
    return "deadline passed" if isinstance(error, PollTimeout) else outcome(error)


def waiting(
    wait: "Waiting[Any, Any]",
    state: str,
    *,
    error: BaseException | None = None,
    shelf: Shelf | None = None,
    elapsed: float | None = None,
) -> str:
    """The card. `state` is `idle` until it is begun, `under way` or `between looks`, or in a word how it ended.

    `error` is what ended it early; `shelf` has its files, where there are any; `elapsed` is the seconds since it was
    begun.
    """
    if shelf is None:
        shelf = shelf_of(wait)
    sign, colour = _STATES.get(state, ("✗", RED))
    took = "" if elapsed is None else f" {'in' if state == 'complete' else 'after'} {duration(elapsed)}"
    told = "waiting" if state in _GOING_ON else f"{said(state)}{took}"
    title = f"{mark(sign, colour, f'<b>{told}</b>')} {faint(f'for the {wait.goal.what} of task')} {code(wait.task_id)}"
    why = said(in_words(error), 300) if isinstance(error, Exception) and state != "complete" else ""
    return card(title, facts([*_facts(wait, state, elapsed), ("why", why)]), _kinds(shelf), _files(shelf))


_GOING_ON = {"idle", "under way", "between looks"}


def shelf_of(wait: "Waiting[Any, Any]") -> Shelf:
    """What the wait has heard of each type."""
    shelf = Shelf(() if wait.goal is Goal.TASK else wait.wanted)
    if wait.goal is not Goal.TASK and wait.latest is not None:
        shelf.seen(wait.latest)
    return shelf


def _facts(wait: "Waiting[Any, Any]", state: str, elapsed: float | None) -> list[tuple[str, str]]:
    standing = wait.standing
    # Of a wait for files that has them all, the status is the one that was heard last: it may be an older one.
    known = standing.status if state != "complete" or wait.goal is Goal.TASK else None
    told = [("task", "" if known is None else cards.status(known))]
    if wait.goal is Goal.TASK:
        told.append(("until", said(" or ".join(wait.wanted))))
    if state == "idle":
        return [*told, ("", IDLE)]
    if state not in _GOING_ON:
        return told
    look = f"in {duration(standing.next_look + 1)}" if standing.next_look > 0 else "under way"
    if state == "between looks" and standing.next_look == 0:
        look = _BETWEEN
    return [
        *told,
        ("next look", look),
        ("waited", "" if elapsed is None else duration(elapsed)),
        ("deadline", "none" if standing.left is None else f"in {duration(standing.left)}"),
        ("trouble", _trouble(standing)),
        # A page that was saved tells it long after.
        ("as of", f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"),
    ]


def _trouble(standing: Standing) -> str:
    if standing.error is None:
        return ""
    looks = "1 look" if standing.setbacks == 1 else f"{standing.setbacks:,} looks in a row"
    return mark("!", AMBER, "") + f"{looks} failed: {said(in_words(standing.error), 300)}"


def _kinds(shelf: Shelf) -> str:
    kinds = shelf.all
    rows = [
        [
            said(kind.name or "others"),
            _state(kind),
            f"{kind.whole:,} {'file' if kind.whole == 1 else 'files'}, {size(kind.bytes)}" if kind.whole else "",
            counted(kind.found),
        ]
        for kind in kinds[:MOST]
    ]
    heads = ["type", "", "on the disk", "found"]
    # Nothing is said of files where nobody fetches any.
    columns = [at for at in range(4) if at < 2 or any(row[at] for row in rows)]
    named = [heads[at] for at in columns] if len(columns) > 2 else ()
    return table(named, [[row[at] for at in columns] for row in rows], total=len(kinds))


def _state(kind: Kind) -> str:
    if kind.ready:
        return mark("✓", GREEN, "ready")
    return mark("○", AMBER, "being made") if kind.listed else mark("·", AMBER, "not there yet")


def _files(shelf: Shelf) -> str:
    """Those that are on their way, and those that did not come."""
    moving = [
        [said(file.short), said(row.pace.amount), _share(row.pace.share)] for _, file, row in shelf.under_way[:MOST]
    ]
    lost = [[said(file.short), mark("✗", RED, "failed"), said(file.why, 300)] for file in _lost(shelf.all)]
    return table((), [*moving, *lost])


def _lost(kinds: Iterable[Kind]) -> Iterable[File]:
    return (file for kind in kinds for file in kind.files if file.why)


def _share(share: float | None) -> str:
    if share is None:
        return ""
    return f'<progress value="{share:.3f}" max="1" style="width:120px;height:10px"></progress> {share:.0%}'
