"""In a Jupyter kernel an interrupt ends a cell when its event loop wakes up: so it is woken while a client is open.

ipykernel notes the interrupt in a callback, which does not wake a loop that sleeps until the next look in an hour, or
until a reply that does not come (ipython/ipykernel#881).
"""

import asyncio
from typing import Protocol
from weakref import ref

from .display.cell import in_kernel

EVERY = 0.5
"""Seconds."""


class Open(Protocol):
    """What is open until it is closed."""

    @property
    def is_closed(self) -> bool: ...


def begin(opened: Open) -> None:
    """Wake the running loop over and over until this is closed, or nobody has it any more. Only in a kernel."""
    if in_kernel():
        _beat(asyncio.get_running_loop(), ref(opened))


def _beat(loop: asyncio.AbstractEventLoop, opened: "ref[Open]") -> None:
    it = opened()
    if it is not None and not it.is_closed:
        loop.call_later(EVERY, _beat, loop, opened)
