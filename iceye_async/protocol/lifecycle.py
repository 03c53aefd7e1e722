"""The life of a task: which status can follow which. Source: the API page "Get a task"."""

from collections.abc import Collection, Mapping

from ..models import TaskStatus

GOES_TO: Mapping[str, frozenset[str]] = {
    TaskStatus.RECEIVED: frozenset({TaskStatus.REJECTED, TaskStatus.ACTIVE, TaskStatus.CANCELED}),
    TaskStatus.ACTIVE: frozenset({TaskStatus.FULFILLED, TaskStatus.DONE, TaskStatus.CANCELED, TaskStatus.FAILED}),
    TaskStatus.FULFILLED: frozenset({TaskStatus.DONE}),
    TaskStatus.DONE: frozenset(),
    TaskStatus.REJECTED: frozenset(),
    TaskStatus.FAILED: frozenset(),
    TaskStatus.CANCELED: frozenset(),
}
ENDED = frozenset({TaskStatus.REJECTED, TaskStatus.FAILED, TaskStatus.CANCELED})
"""There will be no picture."""
IMAGED = frozenset({TaskStatus.FULFILLED, TaskStatus.DONE})
"""Products can be fetched."""


def can_reach(status: str, wanted: Collection[str]) -> bool:
    """Whether a task that is in this status can be in one of the wanted ones, now or later.

    A status that no page knows proves nothing: it may lead anywhere, and come from any that is not final.
    """
    if status in wanted or status not in GOES_TO:
        return True
    unknown = any(other not in GOES_TO for other in wanted)
    return any(unknown or can_reach(then, wanted) for then in GOES_TO[status])
