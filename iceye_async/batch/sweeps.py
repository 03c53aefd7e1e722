"""Whether tasks are looked up in the list of tasks, fifty in a request, or are asked for one by one.

A task that is not imaged yet is asked for so that its end, its plan or its imaging is noticed. Of those that are due
within a quarter of an hour there may be k, and the list of all tasks that were ordered since the oldest of them may
have p pages: it is swept where p < k. How many pages there are is known only afterwards, so a sweep gives up when it
has cost half of what asking one by one would have, and is next tried for twice as many tasks; at worst, sweeps add half
to the requests that they were to save. The list has no order that is documented, and no filter by status.
"""

from collections.abc import Iterable
from math import ceil, isnan

TOGETHER = 900.0
"""Seconds. What is due within these is looked up together: a look that comes early costs nothing more."""
COUNTED = 30.0
"""Seconds between two counts of who is due."""
_A_PAGE = 50
_EASING = 0.9
"""By which the estimate of the pages shrinks each time that they were too many."""
_REFUSED, _FAILED = 3600.0, 60.0
"""Seconds until a list that was refused, or could not be had, is asked for again."""
_MARGIN = 3600.0


class Sweeps:
    """What is known of the list of tasks."""

    def __init__(self) -> None:
        self._pages: float | None = None
        self._not_before = 0.0
        self._budget = 1
        self._used = 0

    def worthwhile(self, waiting: int, now: float) -> bool:
        """Whether so many tasks are cheaper looked up than asked for."""
        if now < self._not_before or waiting < 2:
            return False
        pages = ceil(waiting / _A_PAGE) if self._pages is None else self._pages
        if pages < waiting:
            self._budget, self._used = max(1, waiting // 2), 0
            return True
        self._pages = pages * _EASING
        return False

    def page(self) -> bool:
        """Count a page; False where it was the last one that is worth it."""
        self._used += 1
        return self._used < self._budget

    def ended(self, *, whole: bool) -> None:
        """The sweep found all that it was for, or the end of the list; or it gave up before."""
        self._pages = self._used if whole else 2.0 * self._used

    def failed(self, now: float, *, transient: bool, floor: float) -> None:
        """The list could not be had; the service wants to be left alone for `floor` seconds."""
        self._not_before = now + max(_FAILED if transient else _REFUSED, floor)


def oldest(created: Iterable[float], *, sampled: bool) -> float | None:
    """From when on the list is wanted, in seconds since the epoch; None where nobody knows.

    Of a batch of which only some tasks are known (`sampled`), others may be older.
    """
    known = [moment for moment in created if not isnan(moment)]
    if not known:
        return None
    spread = (max(known) - min(known)) / 2 + _MARGIN if sampled else 1.0
    return min(known) - spread
