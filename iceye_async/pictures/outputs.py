"""What is put into the output of a cell at once, and appears there once, also where it is the cell's result."""

from typing import Any

from ..display.cell import shell
from ..errors import MissingExtra


class Shown:
    """A picture that knows in which cell it was put last."""

    _cell: int | None = None

    def put(self) -> None:
        """Show it in the output of the cell that runs; where none does, nothing happens."""
        running = shell()
        if running is not None:
            from IPython.display import display

            display(self)  # type: ignore[no-untyped-call,unused-ignore]
            self._cell = running.execution_count

    def _ipython_display_(self) -> None:
        running: Any = shell()
        if running is None or self._cell != running.execution_count:
            # So IPython shows it as it shows anything else.
            raise NotImplementedError


def missing(error: ModuleNotFoundError) -> MissingExtra:
    """What to raise where matplotlib, or what comes with it, is not there."""
    return MissingExtra(f"pictures need {error.name or 'matplotlib'}: pip install 'iceye-async[notebook]'")
