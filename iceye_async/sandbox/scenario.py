"""What happens to a task in the sandbox, and when: pure data and pure functions of the seconds since it was created.

The statuses and their order are those of the API page "Get a task". How long each lasts is made up: nothing about it is
published but the 20 minutes within which a task is decided.
"""

from collections.abc import Collection, Iterator, Mapping

from attrs import field, frozen

MINUTE = 60.0
_DERIVATIVES = {"DC_VESSELS": 15 * MINUTE, "DC_AIRCRAFT": 22 * MINUTE, "DC_VEHICLES": 30 * MINUTE}


def _types(given: Collection[str]) -> frozenset[str]:
    return frozenset([given] if isinstance(given, str) else given)


@frozen(kw_only=True)
class Scenario:
    """One course of events. All times are seconds."""

    decided: float = 5 * MINUTE
    """From creation to ACTIVE."""
    imaged: float = 20 * MINUTE
    """From the opening of the acquisition window to the picture."""
    fulfilled: float = 30 * MINUTE
    """From the picture to FULFILLED, when all products but the late ones are there."""
    done: float = 50 * MINUTE
    """From the picture to DONE; where it is not later than FULFILLED, the task is DONE at once."""
    late: Collection[str] = field(default=(), converter=_types)
    """Product types that come only with DONE. Whether products come one by one before it is not documented."""
    derivatives: Mapping[str, float] = field(factory=lambda: dict(_DERIVATIVES))
    """From FULFILLED to the assets of each derivative type; a type that is not here never gets any."""
    ends: str | None = None
    """REJECTED, FAILED or CANCELED, instead of FULFILLED; REJECTED instead of ACTIVE."""
    echo: bool = False
    """Whether a task's JSON holds its `derivativeProductTypes`. Whether the real service does is not documented."""
    scene: bool = True
    """Whether it is told when and how the picture is planned."""
    sizes: Mapping[str, int] = field(factory=dict)
    """Of the files behind links, in bytes: by asset key (`grd-tif`) or derivative type. One that is not here is small.

    The real file is cut, or filled up with noise, which is never in memory as a whole.
    """
    link_life: float = 60 * MINUTE
    """How long a link is good. Source: "Download URLs expire in 1 hour"."""
    names: bool = False
    """Whether the link host names the files (`Content-Disposition`). Whether the real one does is not documented."""

    def state(self, age: float, opens: float) -> tuple[str, float]:
        """The status of a task `age` seconds after its creation, and how old it was when it came to it.

        `opens` are the seconds from its creation to the opening of its window, here and everywhere.
        """
        return [(status, since) for status, since in self._course(opens) if since <= age][-1]

    def _course(self, opens: float) -> Iterator[tuple[str, float]]:
        """The statuses of a task to their end, and at which age it comes to each."""
        yield "RECEIVED", 0.0
        if self.ends == "REJECTED":
            yield "REJECTED", self.decided
            return
        yield "ACTIVE", self.decided
        yield self.ends or "FULFILLED", self.ready(opens)
        if self.ends is None:
            yield "DONE", self._finished(opens)

    def picture(self, opens: float) -> float:
        """Seconds from creation to the picture."""
        return max(self.decided, opens + self.imaged)

    def ready(self, opens: float, kind: str | None = None) -> float:
        """Seconds from creation to FULFILLED, or to the product of this type."""
        return self._finished(opens) if kind in self.late else self.picture(opens) + self.fulfilled

    def _finished(self, opens: float) -> float:
        return self.picture(opens) + max(self.fulfilled, self.done)

    def has_assets(self, kind: str, age: float, opens: float) -> bool:
        """Whether the derivative of this type has been made."""
        since = age - self.ready(opens)
        return self.ends is None and kind in self.derivatives and since >= self.derivatives[kind]
