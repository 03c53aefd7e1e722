"""Who is to be asked next: a heap of waits, in which each costs some hundred bytes and no coroutine.

There are two lines. In one stand those that must be asked each for itself (for derivatives, for a scene), in the other
those of which only the task is to be known: these can be looked up many at a time. Each line goes by when its waits are
due, so that whoever has waited longest is first, and nobody starves where there is more to ask than may be asked.

Moments are seconds on the client's clock.
"""

import heapq
from math import inf, nan
from typing import TypeAlias

from ..models import DerivativeSet
from ..protocol import replies
from ..protocol.waiting import Ask, PollState


class Watched:
    """A task that is waited for."""

    __slots__ = ("alone", "busy", "created", "goods", "known", "number", "owes", "requests", "spared", "state")

    def __init__(self, number: int, state: PollState) -> None:
        self.number = number
        self.state: PollState | None = state
        """None once it is over."""
        self.known: Listed | None = None
        self.requests = 0
        self.created = nan
        """When the task was ordered, in seconds since the epoch."""
        self.busy = False
        """Whether somebody is asking about it right now."""
        self.alone = False
        """Whether it is asked for itself where others are looked up."""
        self.owes = False
        """Whether an earlier run has left something to be done with its next listing."""
        self.goods = -1
        """How many good answers there had been, to anybody, at its last failure."""
        self.spared = 0
        """Failures that were not counted, for nobody got an answer."""

    @property
    def task_id(self) -> str:
        assert self.state is not None  # noqa: S101 - it is asked while it is waited for
        return self.state.task_id


class Listed:
    """What is kept of a listing between two looks: everything but its links, which are new in the next one."""

    __slots__ = ("body", "complete", "final", "missing", "ready", "task_id")

    def __init__(self, body: bytes, task_id: str, final: bool, ready: frozenset[str], missing: frozenset[str]) -> None:
        self.body, self.task_id, self.final = body, task_id, final
        self.ready, self.missing = ready, missing
        self.complete = False

    @property
    def derivatives(self) -> DerivativeSet:
        return DerivativeSet(lambda: replies.entries(self.body, self.task_id), final=self.final)

    def __len__(self) -> int:
        return len(self.derivatives)


_Turn: TypeAlias = tuple[float, int, Watched]


class Schedule:
    """Whose turn it is."""

    def __init__(self) -> None:
        self._asking: list[_Turn] = []
        self._following: list[_Turn] = []

    def put(self, watched: Watched) -> float:
        """Ask it when it is due, which this gives. What was put before, and has another time now, is forgotten."""
        state = watched.state
        assert state is not None  # noqa: S101 - who is over is not asked
        watched.busy = False
        line = self._following if state.ask is Ask.TASK and not watched.alone else self._asking
        heapq.heappush(line, (state.due, watched.number, watched))
        return state.due

    def first(self, now: float) -> Watched | None:
        """What `next` gives, in the plainest case: somebody is due, and nobody of those that are looked up."""
        if not self._asking or (self._following and self._following[0][0] <= now):
            return None
        due, _, watched = self._asking[0]
        if due > now or watched.busy or watched.state is None or watched.state.due != due:
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
    return watched.state is not None and watched.state.due == due and not watched.busy


def _is_followed(turn: _Turn) -> bool:
    return _stands(turn) and not turn[2].alone
