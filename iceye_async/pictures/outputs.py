"""What is put into the output of a cell at once, and appears there once, also where it is the cell's result."""

import asyncio
from abc import abstractmethod

from ..display.cell import Output, cell, shell
from ..errors import MissingExtra


class Shown:
    """A picture that knows in which cell it was put last."""

    _cell: object = None
    _output: Output | None = None

    @abstractmethod
    def bundle(self) -> dict[str, str]:
        """What a notebook keeps of it, by media type."""

    def changed(self) -> bool:
        """Whether it is not any more as it was when it was drawn last."""
        return False

    async def put(self) -> None:
        """Show it in the output of the cell that runs; where none does, nothing happens."""
        if shell() is not None:
            # Elsewhere, for drawing takes a while.
            bundle = await asyncio.to_thread(self.bundle)
            self._output = Output()
            self._output.show(bundle)
            self._cell = cell()

    def _ipython_display_(self) -> None:
        if shell() is None or self._output is None or self._cell != cell():
            # So IPython shows it as it shows anything else.
            raise NotImplementedError
        if self.changed():
            # The cell has changed it meanwhile.
            self._output.draw(self.bundle())


def missing(error: ModuleNotFoundError) -> Exception:
    """What to raise where matplotlib, or what comes with it, is not there."""
    if (error.name or "").startswith(__name__.partition(".")[0]):
        return error
    return MissingExtra(f"pictures need {error.name or 'matplotlib'}: pip install 'iceye-async[notebook]'")
