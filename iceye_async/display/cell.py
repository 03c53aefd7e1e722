"""The output of a notebook's cell: something that is put there once, and drawn over."""

import sys
from typing import Any


def shell() -> Any:
    """The IPython that runs this, or None."""
    module = sys.modules.get("IPython")
    return None if module is None else module.get_ipython()


def in_kernel() -> bool:
    """Whether this is run by a kernel of Jupyter, which has outputs that can be drawn over."""
    return getattr(shell(), "kernel", None) is not None


def cell() -> object:
    """Which cell this is run for: the message that asked for it, or in a terminal its number."""
    running = shell()
    parent = running.get_parent() if hasattr(running, "get_parent") else {}
    return parent.get("header", {}).get("msg_id", running.execution_count)


class Output:
    """One output, of which each drawing replaces the one before, wherever it is run from."""

    def __init__(self) -> None:
        self._handle: Any = None

    def show(self, bundle: dict[str, str]) -> None:
        """Put it into the cell that runs, also if it is in others already: from now on it is drawn in all of them."""
        from IPython.display import display

        known = True if self._handle is None else self._handle.display_id
        self._handle = display(bundle, raw=True, display_id=known)

    def draw(self, bundle: dict[str, str]) -> None:
        """Show this; by media type, in as many forms as there are."""
        if self._handle is None:
            self.show(bundle)
        else:
            self._handle.update(bundle, raw=True)
