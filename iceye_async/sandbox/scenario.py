"""What happens in the sandbox, and when: pure data, and pure functions of the seconds since a task was created.

The statuses and their order are those of the API page "Get a task". How long each lasts is made up: nothing about it is
published but the 20 minutes within which a task is decided.
"""

import fnmatch
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from attrs import evolve, field, fields_dict, frozen
from attrs.validators import optional

from .documents import ASSETS
from .faults import Fault, LinkFault
from .terms import DERIVATIVES, PRODUCTS, Contract
from .values import MOST, amount, checked, choice, each, flag, is_number, is_texts, misspelt, texts

if TYPE_CHECKING:
    from pathlib import Path

MINUTE = 60.0
_DERIVATIVES = {"DC_VESSELS": 15 * MINUTE, "DC_AIRCRAFT": 22 * MINUTE, "DC_VEHICLES": 30 * MINUTE}


_DURATIONS = ("decided", "imaged", "fulfilled", "done")
_WHOLE = ("seed", "strict", "contracts", "courses", "faults", "link_faults")
"""Fields that are not of the course of a task."""


def _times(given: Any) -> Any:
    """For each derivative type its times; one alone stands for a tuple of one."""
    if not isinstance(given, Mapping):
        return given
    return {kind: tuple(times) if isinstance(times, Sequence) else (times,) for kind, times in given.items()}


def _is_times(times: Any) -> bool:
    return len(times) > 0 and all(is_number(time) and 0 <= time < math.inf for time in times)


def _all_of(kind: type) -> Any:
    return checked(
        f"a list of {kind.__name__}",
        lambda value: isinstance(value, tuple) and all(isinstance(entry, kind) for entry in value),
    )


def _sequence(given: Any) -> Any:
    return tuple(given) if isinstance(given, Sequence) and not isinstance(given, str) else given


def _courses(given: Any) -> dict[str, dict[str, Any]]:
    """What differs for some tasks, as a scenario would hold it."""
    if not isinstance(given, Mapping):
        raise ValueError(f"courses must be tables by a pattern: {given!r}")  # noqa: TRY004 - as all others
    return {pattern: _part(pattern, changes) for pattern, changes in given.items()}


def _part(pattern: object, changes: object) -> dict[str, Any]:
    if not isinstance(pattern, str) or not isinstance(changes, Mapping):
        raise ValueError(f"courses.{pattern} must be a table: {changes!r}")  # noqa: TRY004 - as all others
    unknown = [str(name) for name in changes if name not in COURSE]
    if unknown:
        raise ValueError(f"courses.{pattern}: unknown {', '.join(unknown)}; good are {', '.join(COURSE)}")
    try:
        whole = Scenario(**changes)
    except ValueError as error:
        raise ValueError(f"courses.{pattern}: {error}") from None
    return {name: getattr(whole, name) for name in changes}


@frozen(kw_only=True)
class Scenario:
    """One course of events for every task, what contracts allow, and what goes wrong. All times are seconds."""

    decided: float = field(default=5 * MINUTE, validator=amount)
    """From creation to ACTIVE."""
    imaged: float = field(default=20 * MINUTE, validator=amount)
    """From the opening of the acquisition window to the picture."""
    fulfilled: float = field(default=30 * MINUTE, validator=amount)
    """From the picture to FULFILLED, when the SLA products but the late ones are there."""
    done: float = field(default=50 * MINUTE, validator=amount)
    """From the picture to DONE, when all other products that were ordered are there. Where none was, or it would not be
    later than FULFILLED, the task is DONE instead of FULFILLED."""
    late: Collection[str] = field(
        default=(),
        converter=texts,
        validator=checked(
            f"product types, of {', '.join(PRODUCTS)}", lambda given: is_texts(given) and set(given) <= set(PRODUCTS)
        ),
    )
    """SLA products that come only with DONE. Whether products come one by one before it is not documented."""
    derivatives: Mapping[str, Sequence[float]] = field(
        factory=lambda: dict(_DERIVATIVES),
        converter=_times,
        validator=each("seconds, 0 or more, or a list of them", _is_times),
    )
    """From FULFILLED to the assets of each derivative type; of several derivatives of a type, to those of each. Of a
    type that is not here there is one, which never gets any."""
    frames: int = field(
        default=1, validator=checked("a whole number in 1..1000", lambda n: type(n) is int and 1 <= n <= 1000)
    )
    """Pictures of the strip. Of each product type there is one of each; the derivatives of a type take them in turn."""
    ends: str | None = field(default=None, validator=choice("REJECTED", "FAILED", "CANCELED", None))
    """REJECTED, FAILED or CANCELED, instead of FULFILLED; REJECTED instead of ACTIVE."""
    echo: bool = field(default=False, validator=flag)
    """Whether a task's JSON holds its `derivativeProductTypes`. Whether the real service does is not documented."""
    scene: bool = field(default=True, validator=flag)
    """Whether it is told when and how the picture is planned."""
    sizes: Mapping[str, int] = field(
        factory=dict, validator=each("bytes, 0 or more", lambda size: type(size) is int and size >= 0)
    )
    """Of the files behind links, in bytes: by asset key (`grd-tif`) or derivative type. One that is not here is small.

    The real file is cut, or filled up with noise, which is never in memory as a whole.
    """
    link_life: float = field(
        default=60 * MINUTE,
        validator=checked(f"a number in -{MOST}..{MOST}", lambda life: is_number(life) and abs(life) <= MOST),
    )
    """How long a link is good; below 0, it never was. Source: "Download URLs expire in 1 hour"."""
    names: bool = field(default=False, validator=flag)
    """Whether the link host names the files (`Content-Disposition`). Whether the real one does is not documented."""

    # What is not of the course of a task:
    seed: int | None = field(default=None, validator=optional(checked("a whole number", lambda n: type(n) is int)))
    """All that is left to chance follows from it: ids, tokens, signatures, which request a fault befalls."""
    strict: bool = field(default=False, validator=flag)
    """Whether orders must keep the documented rules of time: notice before the window, and its least length."""
    contracts: Sequence[Contract] = field(
        default=(Contract(),), converter=_sequence, validator=[_all_of(Contract), checked("at least one", bool)]
    )
    courses: Mapping[str, Mapping[str, Any]] = field(factory=dict, converter=_courses)
    """What differs for some tasks: fields of the course, by a pattern of their `reference` (`harbour-*`). The first
    pattern that fits counts."""
    faults: Sequence[Fault] = field(default=(), converter=_sequence, validator=_all_of(Fault))
    """What befalls requests to the API, in this order."""
    link_faults: Sequence[LinkFault] = field(default=(), converter=_sequence, validator=_all_of(LinkFault))
    """What befalls requests to the link host."""

    def __attrs_post_init__(self) -> None:
        meant = misspelt(self.derivatives, DERIVATIVES)
        if meant is not None:
            raise ValueError(f"derivatives.{meant}")
        known = {*DERIVATIVES, *self.derivatives}
        for contract in self.contracts:
            strange = set(contract.derivatives or ()) - known
            if strange:
                raise ValueError(f"contracts allow {', '.join(sorted(strange))}, of {', '.join(sorted(known))}")
        good = {*ASSETS, *DERIVATIVES, *self.derivatives}
        unknown = [key for key in self.sizes if key not in good]
        if unknown:
            words = f"must be an asset key or derivative type, of {', '.join(sorted(good))}"
            raise ValueError(f"sizes.{unknown[0]} {words}")

    @staticmethod
    def load(source: "str | Path") -> "Scenario":
        """The scenario of this name, or that of a TOML file: its path must end in `.toml`.

        The keys are the fields' names; `[[faults]]`, `[[link_faults]]`, `[[contracts]]` and `[courses."harbour-*"]` are
        tables. Raises `ScenarioError`, which names the line.
        """
        from .toml import load

        return load(source)

    def faster(self, speed: float) -> Self:
        """The same in a shorter time, but for the life of a link. A `Retry-After` is whole seconds still."""
        if not (is_number(speed) and 0 < speed < math.inf):
            raise ValueError(f"speed must be a finite number above 0: {speed!r}")
        return evolve(
            self,
            **{name: getattr(self, name) / speed for name in _DURATIONS},
            derivatives={kind: [time / speed for time in times] for kind, times in self.derivatives.items()},
            courses={pattern: _faster(changes, speed) for pattern, changes in self.courses.items()},
            faults=[_sooner(fault, speed) for fault in self.faults],
            link_faults=[_sooner(fault, speed) for fault in self.link_faults],
        )

    def course(self, reference: str | None) -> Self:
        """The scenario as it is for a task of this reference."""
        for pattern, changes in self.courses.items():
            if fnmatch.fnmatchcase(reference or "", pattern):
                return evolve(self, **changes)
        return self

    def state(self, age: float, opens: float, *, beyond: bool) -> tuple[str, float]:
        """The status of a task `age` seconds after its creation, and how old it was when it came to it.

        `opens` are the seconds from its creation to the opening of its window, here and everywhere; `beyond`: whether
        products were ordered that come only with DONE.
        """
        return [(status, since) for status, since in self._course(opens, beyond) if since <= age][-1]

    def _course(self, opens: float, beyond: bool) -> Iterator[tuple[str, float]]:
        """The statuses of a task to their end, and at which age it comes to each."""
        yield "RECEIVED", 0.0
        if self.ends == "REJECTED":
            yield "REJECTED", self.decided
            return
        yield "ACTIVE", self.decided
        if self.ends is not None:
            yield self.ends, self.ready(opens)
            return
        if beyond:
            yield "FULFILLED", self.ready(opens)
        # The page "Get a task": without other products than those of the SLA, a task goes from ACTIVE to DONE.
        yield "DONE", self.finished(opens) if beyond else self.ready(opens)

    def picture(self, opens: float) -> float:
        """Seconds from creation to the picture."""
        return max(self.decided, opens + self.imaged)

    def ready(self, opens: float) -> float:
        """Seconds from creation to FULFILLED."""
        return self.picture(opens) + self.fulfilled

    def finished(self, opens: float) -> float:
        """Seconds from creation to DONE, where there is more to come after FULFILLED."""
        return self.picture(opens) + max(self.fulfilled, self.done)

    def detected(self, kind: str, opens: float) -> Sequence[float]:
        """Seconds from creation to the assets of each derivative of this type; inf where there never are any."""
        if self.ends is not None:
            return [math.inf for _ in self.derivatives.get(kind, [0.0])]
        return [self.ready(opens) + after for after in self.derivatives.get(kind, [math.inf])]


COURSE = tuple(name for name in fields_dict(Scenario) if name not in _WHOLE)
"""The fields of the course of a task."""


def _faster(changes: Mapping[str, Any], speed: float) -> dict[str, Any]:
    """A part of a course in a shorter time."""
    whole = Scenario(**changes).faster(speed)
    return {name: getattr(whole, name) for name in changes}


def _sooner(fault: Any, speed: float) -> Any:
    changes: dict[str, Any] = {name: getattr(fault, name) / speed for name in ("after", "until", "delay")}
    if isinstance(fault, Fault) and isinstance(fault.retry_after, int | float):
        changes["retry_after"] = math.ceil(fault.retry_after / speed)
    return evolve(fault, **changes)
