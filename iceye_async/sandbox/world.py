"""What all parts of the sandbox's API live in. It is looked at anew each time, for a test may change it."""

from typing import Protocol

from .chance import Chance
from .clock import SandboxClock
from .scenario import Scenario
from .terms import Contract


class World(Protocol):
    scenario: Scenario
    clock: SandboxClock
    chance: Chance

    def contract(self, contract_id: object) -> Contract | None:
        """The contract of this id."""
        ...

    @property
    def contract_ids(self) -> tuple[str, ...]: ...
