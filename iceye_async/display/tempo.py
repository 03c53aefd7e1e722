"""How fast something goes, and how long it will take where that can be told. Of constant size."""

from collections import deque

_SPAN = 10
"""Seconds that a rate looks back."""
_POINTS = 64
_LEAST = 60.0
"""Seconds that must have gone by before anything can be told,"""
_ENOUGH = 30
"""and so many tasks that must have ended in the first and in the second part of them."""
_ALIKE = 1.3
"""The parts may differ by this factor."""


class Rate:
    """Events a second over the last ten seconds, or since the first."""

    def __init__(self) -> None:
        self._counts: deque[list[float]] = deque(maxlen=_SPAN + 1)
        self._first: float | None = None

    def count(self, now: float) -> None:
        """One more."""
        second = now // 1
        if self._first is None:
            self._first = now
        if self._counts and self._counts[-1][0] == second:
            self._counts[-1][1] += 1
        else:
            self._counts.append([second, 1])

    def at(self, now: float) -> float:
        """How many in a second."""
        if self._first is None:
            return 0.0
        # The second that goes on is counted as far as it has come; and what may leave at once in the beginning had a
        # second before that to come together in.
        since = now // 1 - _SPAN
        span = now - self._first + 1.0 if since <= self._first else now - since
        return sum(count for second, count in self._counts if second >= since) / span


class Trend:
    """How many were over, and when: at most 64 points, further apart the longer it lasts."""

    def __init__(self) -> None:
        self._points: list[tuple[float, int]] = []
        self._apart = 1.0

    def seen(self, elapsed: float, over: int) -> None:
        """So many are over after so many seconds."""
        if self._points and elapsed < self._points[-1][0] + self._apart:
            return
        self._points.append((elapsed, over))
        if len(self._points) == _POINTS:
            self._points = self._points[::2]
            self._apart *= 2

    def left(self, waiting: int, elapsed: float) -> float | None:
        """Seconds that those which wait will take, at the pace of the last while.

        None unless that pace was steady, and for no longer than it was looked at: tasks end when satellites pass, and
        nobody can tell that from those which have ended.
        """
        if waiting == 0:
            return None
        for part in (2, 4, 8):
            points = [point for point in self._points if point[0] >= elapsed * (1 - 1 / part)]
            left = _left(points, waiting)
            if left is not None:
                return left
        return None


def _left(points: list[tuple[float, int]], waiting: int) -> float | None:
    if len(points) < 3:
        return None
    first, middle, last = points[0], points[len(points) // 2], points[-1]
    earlier, later = middle[1] - first[1], last[1] - middle[1]
    if last[0] - first[0] < _LEAST or min(earlier, later) < _ENOUGH:
        return None
    before, pace = earlier / (middle[0] - first[0]), later / (last[0] - middle[0])
    left = waiting / pace
    return left if 1 / _ALIKE < before / pace < _ALIKE and left <= last[0] - first[0] else None
