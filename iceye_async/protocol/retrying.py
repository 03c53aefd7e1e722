"""When a single call is tried again, and how long to wait before it.

Only what is transient is tried again, and a request that must not happen twice only where it certainly did not happen
once. What the service asks for in `Retry-After` is a floor: chance is added on top of it, never taken off.
"""

from collections.abc import Callable, Generator

from attrs import field, frozen

from ..errors import ApiError, EmptyAnswer, IceyeError, RateLimited, TransportError
from .checks import number, validator, whole
from .requests import Request

PATIENCE = 120.0
"""Seconds. A single call that is asked to stay away for longer raises instead, with `retry_after`."""

_AGAIN = frozenset({429, 500, 502, 503, 504})


@frozen(kw_only=True)
class RetryPolicy:
    """How single calls are repeated. Waits for derivatives have their own policy: there the poll is the retry.

    `tries` counts the first attempt. The pause before try n+1 is drawn evenly from 0 to `first * 2**(n-1)`, at most
    `ceiling`, and is added to the service's `Retry-After`. Seconds. A call that the service asks to stay away for more
    than 120 s raises at once, with `retry_after`.
    """

    tries: int = field(default=3, validator=validator(whole, least=1))
    first: float = field(default=0.5, validator=validator(number, above=0))
    ceiling: float = field(default=20.0, validator=validator(number, above=0))

    def waits(self, roll: Callable[[], float]) -> Generator[float, IceyeError, None]:
        """The pauses, each for the error sent in. As a generator of backoff's kind, it is primed with `next()`."""
        import backoff

        curve = backoff.expo(factor=self.first, max_value=self.ceiling)
        next(curve)
        error = yield 0.0
        while True:
            error = yield (getattr(error, "retry_after", None) or 0.0) + roll() * next(curve)


def again(request: Request, error: IceyeError) -> bool:
    """Whether this request may be sent once more after this error."""
    if error.given_up:
        return False
    if isinstance(error, ApiError):
        patient = error.retry_after is None or error.retry_after <= PATIENCE
        return patient and error.status in _AGAIN and (request.repeatable or isinstance(error, RateLimited))
    if isinstance(error, TransportError):
        return error.transient and (request.repeatable or not error.sent)
    return isinstance(error, EmptyAnswer) and request.repeatable


class RetryBudget:
    """How often one client may repeat anything, so that its repeats do not keep a service down that is down.

    A repeat costs 5 of 500, and each answer gives 1 back: a hundred repeats at once, and one in five requests after
    that. When it is used up, calls fail with their first error, and are as many as they would be without repeats. (The
    figures are those of the AWS SDKs.)
    """

    __slots__ = ("_left",)

    FULL = 500
    COST = 5

    def __init__(self) -> None:
        self._left = self.FULL

    def spend(self) -> bool:
        """Pay for one repeat; False where it cannot be paid for."""
        if self._left < self.COST:
            return False
        self._left -= self.COST
        return True

    def earn(self) -> None:
        """An answer came."""
        if self._left < self.FULL:
            self._left += 1
