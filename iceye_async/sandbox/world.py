"""What all parts of the sandbox's API live in. It is looked at anew each time, for a test may change it."""

from typing import Protocol

from .clock import SandboxClock
from .scenario import Scenario


class World(Protocol):
    scenario: Scenario
    clock: SandboxClock
    contract_id: str
