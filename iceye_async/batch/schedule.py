"""Who is to be asked next: a heap of waits, in which each costs some hundred bytes and no coroutine.

There are two lines. In one stand those that must be asked each for itself (for derivatives, for a scene), in the other
those of which only the task is to be known: these can be looked up many at a time. Each line goes by when its waits are
due, so that whoever has waited longest is first, and nobody starves where there is more to ask than may be asked.

Moments are seconds on the client's clock.
"""

import heapq
from math import inf
from typing import TypeAlias

from ..protocol.waiting import Ask
from .watched import Watched

_Turn: TypeAlias = tuple[float, int, Watched]


class Schedule:
    """Whose turn it is."""

    def __init__(self) -> None:
        self._asking: list[_Turn] = []
        self._following: list[_Turn] = []

    def put(self, watched: Watched) -> None:
        """Ask it when it is due. What was put before, and has another time now, is forgotten."""
        state = watched.state
        assert state is not None  # noqa: S101 - who is over is not asked
        watched.busy = False
        line = self._following if state.ask is Ask.TASK and not watched.alone else self._asking
        heapq.heappush(line, (watched.due, watched.number, watched))

    def first(self, now: float) -> Watched | None:
        """What `next` gives, in the plainest case: somebody is due, and nobody of those that are looked up."""
        if not self._asking or (self._following and self._following[0][0] <= now):
            return None
        due, _, watched = self._asking[0]
        if due > now or watched.busy or watched.is_over or watched.due != due:
            return None
        heapq.heappop(self._asking)
        watched.busy = True
        return watched

    def next(self, now: float, *, held: bool) -> Watched | None:
        """Who has been due the longest; nobody where none is. `held`: not one of those that are looked up."""
        line = self._line(held=held)
        if not line or line[0][0] > now:
            return None
        watched = heapq.heappop(line)[2]
        watched.busy = True
        return watched

    def following_due(self) -> float:
        """When the next one is due of which only the task is to be known."""
        line = self._following
        while line and not _is_followed(line[0]):
            heapq.heappop(line)
        return line[0][0] if line else inf

    def due(self, *, held: bool) -> float:
        """When the next one is due; infinity where there is none."""
        line = self._line(held=held)
        return line[0][0] if line else inf

    def due_until(self, moment: float) -> list[Watched]:
        """Those of which the task is to be known by then."""
        return [turn[2] for turn in self._following if turn[0] <= moment and _is_followed(turn)]

    def followed(self) -> list[Watched]:
        """All of which the task is to be known some time."""
        return self.due_until(inf)

    def _line(self, *, held: bool) -> list[_Turn]:
        while self._asking and not _stands(self._asking[0]):
            heapq.heappop(self._asking)
        following = inf if held else self.following_due()
        if following == inf or (self._asking and self._asking[0][0] <= following):
            return self._asking
        return self._following


def _stands(turn: _Turn) -> bool:
    """Whether it was not put again for another time, and is not being asked."""
    due, _, watched = turn
    return watched.due == due and not watched.busy and not watched.is_over


def _is_followed(turn: _Turn) -> bool:
    return _stands(turn) and not turn[2].alone
