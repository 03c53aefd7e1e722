"""What a failure is to a batch: one task's own, an outage that costs everybody little, or the end of all.

Nobody's answers are looked at alone. Where others were answered since a task's last failure, it is the task that fails;
where nobody was, the service, the network or a proxy is down, and a failure counts a twentieth of one. Credentials
that are refused to one task are that task's failures; refused to all that are left, or to more than may be asked for
at once, without an answer to anybody in between, they end the batch. So does what stands in the way from the start:
that is a wrong address, and no outage.
"""

from ..errors import ApiError, IceyeError, RateLimited, StateError, TransportError, Unauthorized, UsageError
from ..protocol import polling
from ..protocol.waiting import Ended, Heard, PollState, Setback, Step, Update, endurable
from .watched import Watched

_A_PART = 20
"""Failures in an outage that count as one."""


class Patience:
    """With tasks of which `at_once` may be asked for at the same time."""

    def __init__(self, at_once: int) -> None:
        self.goods = 0
        """Good answers so far, to anybody."""
        self._at_once = at_once
        self._refused: set[int] = set()
        self._refused_at = 0

    def ends_all(self, error: IceyeError, number: int, left: int) -> bool:
        """Whether this error of a task (by its number; 0: of the list of all) would be that of all that are left."""
        if isinstance(error, StateError | UsageError):
            return True
        if error.undone and not endurable(error):
            return True
        if not isinstance(error, Unauthorized) and not (self.goods == 0 and stands_in_the_way(error)):
            return False
        if self._refused_at != self.goods:
            self._refused_at, self._refused = self.goods, set()
        self._refused.add(number)
        return len(self._refused) >= min(left, self._at_once + 1)

    def before(self, watched: Watched, state: PollState, error: IceyeError) -> PollState:
        """The state to which this failure is added."""
        if isinstance(error, RateLimited):
            return state
        most, outage = state.policy.setbacks, watched.goods == self.goods
        watched.goods = self.goods
        if not outage:
            return relieved(watched, state)
        watched.spared += 1
        spare = state.setbacks >= most > 0 and watched.spared < _A_PART * most
        return state._replace(setbacks=most - 1) if spare else state


def relieved(watched: Watched, state: PollState) -> PollState:
    """The state once an outage is over: what it cost is taken off again, but for its part."""
    if watched.spared:
        left = max(0, state.setbacks - watched.spared + watched.spared // _A_PART)
        watched.spared, state = 0, state._replace(setbacks=left)
    return state


def stands_in_the_way(error: IceyeError) -> bool:
    """Whether somebody between here and the service refused: a proxy, a captive portal, or a wrong address."""
    if isinstance(error, TransportError):
        return not error.transient
    return isinstance(error, ApiError) and (error.status < 400 or error.status == 407)


def outlasts(error: IceyeError) -> bool:
    """Whether a batch goes on after it, as a wait of its own would only after what a later look may mend."""
    return endurable(error) or isinstance(error, Unauthorized) or stands_in_the_way(error)


def advance(state: PollState, heard: Heard, now: float, roll: float) -> tuple[PollState, Update | None, Step]:
    """What `polling.advance` gives; after an error that only a batch outlasts, as after a broken connection."""
    if not isinstance(heard, Setback) or endurable(heard.error):
        return polling.advance(state, heard, now, roll)
    stand_in = TransportError(str(heard.error))
    state, update, step = polling.advance(state, Setback(stand_in), now, roll)
    return state, update, Ended(heard.error) if isinstance(step, Ended) and step.error is stand_in else step
