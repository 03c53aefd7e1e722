"""A task of a batch between two looks, in as few bytes as can be: a hundred thousand of them wait."""

from math import nan
from struct import Struct

from ..models import DerivativeSet, TaskStatus
from ..protocol import replies
from ..protocol.waiting import Ask, Outlook, PollState

_FORM = Struct("<6d3I2B")
_ASKS = tuple(Ask)
_STATUSES = (None, *TaskStatus)
_MOST = 2**32


class Watched:
    """A task that is waited for."""

    __slots__ = (
        "_begun",
        "_kept",
        "alone",
        "busy",
        "created",
        "due",
        "goods",
        "number",
        "owes",
        "requests",
        "spared",
        "task_id",
    )

    def __init__(self, number: int, task_id: str, begun: PollState, due: float) -> None:
        """`begun` is how the waits of the batch begin; the same one for all of them."""
        self.number, self.task_id = number, task_id
        self._begun = begun
        self.state = begun._replace(task_id=task_id, due=due)
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
        """Failures in the outage that there is, which count in part only."""

    @property
    def state(self) -> PollState | None:
        """Where its wait is; None once it is over."""
        kept = self._kept
        return self._unpacked(kept) if isinstance(kept, bytes) else kept

    @state.setter
    def state(self, state: PollState | None) -> None:
        self._kept: PollState | bytes | None = state
        if state is not None:
            self.due = state.due

    @property
    def is_over(self) -> bool:
        return self._kept is None

    @property
    def follows(self) -> bool:
        """Whether it is the task, or its scene, that is asked for next."""
        kept = self._kept
        return isinstance(kept, PollState) and kept.ask is not Ask.DERIVATIVES

    def rest(self) -> None:
        """It is not asked soon: keep what is special about its wait, where that is little."""
        state = self._kept
        if not isinstance(state, PollState):
            return
        begun, outlook = self._begun, state.outlook
        plain = begun._replace(
            task_id=state.task_id, due=state.due, ask=state.ask, quiet=state.quiet, setbacks=state.setbacks,
            outlook=outlook,
        )  # fmt: skip
        counts = (state.quiet, state.setbacks, outlook.scenes)
        if state == plain and outlook.status in _STATUSES and max(counts) < _MOST:
            self._kept = _FORM.pack(
                state.due,
                outlook.task_due,
                outlook.opens,
                outlook.closes,
                outlook.imaging,
                outlook.scene_due,
                *counts,
                _ASKS.index(state.ask),
                _STATUSES.index(outlook.status),
            )

    def _unpacked(self, kept: bytes) -> PollState:
        due, task_due, opens, closes, imaging, scene_due, quiet, setbacks, scenes, ask, status = _FORM.unpack(kept)
        outlook = Outlook(_STATUSES[status], task_due, opens, closes, imaging, scene_due, scenes)
        return self._begun._replace(
            task_id=self.task_id, due=due, ask=_ASKS[ask], quiet=quiet, setbacks=setbacks, outlook=outlook
        )


class Listed:
    """What is kept of a listing between two looks: everything but its links, which are new in the next one."""

    __slots__ = ("body", "final", "missing", "ready", "task_id")
    complete = False

    def __init__(self, body: bytes, task_id: str, final: bool, ready: frozenset[str], missing: frozenset[str]) -> None:
        self.body, self.task_id, self.final = body, task_id, final
        self.ready, self.missing = ready, missing

    @property
    def derivatives(self) -> DerivativeSet:
        return DerivativeSet(lambda: replies.entries(self.body, self.task_id), final=self.final)

    def __len__(self) -> int:
        return len(self.derivatives)
