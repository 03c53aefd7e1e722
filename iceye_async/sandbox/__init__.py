"""A local service that behaves as ICEYE's documented Tasking API does: see the client work without an account.

    async with Sandbox() as sandbox, sandbox.client() as client:
        ...

It spells every JSON body itself and imports nothing from the client (but in `Sandbox.client()`): a witness that shared
the client's models would repeat its mistakes.
"""

from .linkfaults import LinkFault, LinkRequest
from .scenario import Scenario
from .server import Sandbox

__all__ = ["LinkFault", "LinkRequest", "Sandbox", "Scenario"]
