"""A local service that behaves as ICEYE's documented Tasking API does: see the client work without an account.

    async with Sandbox() as sandbox, sandbox.client() as client:
        ...

What happens in it, when, and what goes wrong is a `Scenario`. It spells every JSON body itself and imports nothing from
the client (but in `Sandbox.client()`): a witness that shared the client's models would repeat its mistakes.
"""

from .faults import Fault, LinkFault
from .links import LinkRequest
from .scenario import Scenario
from .server import Sandbox
from .terms import Contract
from .toml import SCENARIOS, ScenarioError

__all__ = ["SCENARIOS", "Contract", "Fault", "LinkFault", "LinkRequest", "Sandbox", "Scenario", "ScenarioError"]
