"""What happens to a task in the sandbox, and when: pure data and pure functions of the seconds since it was created.

The statuses and their order are those of the API page "Get a task". How long each lasts is made up: nothing about it is
published but the 20 minutes within which a task is decided.
"""

from collections.abc import Mapping

from attrs import field, frozen

MINUTE = 60.0
_DERIVATIVES = {"DC_VESSELS": 15 * MINUTE, "DC_AIRCRAFT": 22 * MINUTE, "DC_VEHICLES": 30 * MINUTE}


@frozen(kw_only=True)
class Scenario:
    """One course of events. All times are seconds."""

    decided: float = 5 * MINUTE
    """From creation to ACTIVE."""
    imaged: float = 20 * MINUTE
    """From the opening of the acquisition window to the picture."""
    fulfilled: float = 30 * MINUTE
    """From the picture to FULFILLED, when the GRD product is there."""
    done: float = 50 * MINUTE
    """From the picture to DONE."""
    derivatives: Mapping[str, float] = field(factory=lambda: dict(_DERIVATIVES))
    """From FULFILLED to the assets of each derivative type; a type that is not here never gets any."""
    ends: str | None = None
    """REJECTED, FAILED or CANCELED, instead of FULFILLED; REJECTED instead of ACTIVE."""
    echo: bool = False
    """Whether a task's JSON holds its `derivativeProductTypes`. Whether the real service does is not documented."""
    sizes: Mapping[str, int] = field(factory=dict)
    """Of the files behind links, in bytes: by asset key (`grd-tif`) or derivative type. One that is not here is small.

    The real file is cut, or filled up with noise, which is never in memory as a whole.
    """
    link_life: float = 60 * MINUTE
    """How long a link is good. Source: "Download URLs expire in 1 hour"."""
    names: bool = False
    """Whether the link host names the files (`Content-Disposition`). Whether the real one does is not documented."""

    def status(self, age: float, opens: float) -> str:
        """Of a task that was created `age` seconds ago and whose window opened `opens` seconds after its creation."""
        if age < self.decided:
            return "RECEIVED"
        if self.ends == "REJECTED":
            return "REJECTED"
        since_picture = age - self.picture(opens)
        if since_picture < self.fulfilled:
            return "ACTIVE"
        if self.ends is not None:
            return self.ends
        return "FULFILLED" if since_picture < self.done else "DONE"

    def picture(self, opens: float) -> float:
        """Seconds from creation to the picture."""
        return max(self.decided, opens + self.imaged)

    def has_assets(self, kind: str, age: float, opens: float) -> bool:
        """Whether the derivative of this type has been made."""
        since = age - self.picture(opens) - self.fulfilled
        return self.ends is None and kind in self.derivatives and since >= self.derivatives[kind]
