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


class Output:
    """One output of a cell, of which each drawing replaces the one before, wherever it is run from."""

    def __init__(self) -> None:
        self._shown: Any = None

    def draw(self, bundle: dict[str, str]) -> None:
        """Show this; by media type, in as many forms as there are."""
        from IPython.display import display

        if self._shown is None:
            self._shown = display(bundle, raw=True, display_id=True)  # type: ignore[no-untyped-call,unused-ignore]
        else:
            self._shown.update(bundle, raw=True)
