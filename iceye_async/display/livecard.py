"""What keeps up in a notebook with how it stands, in the output where it was shown, also while later cells run."""

import asyncio
from abc import abstractmethod
from weakref import ref

from .cell import Output, in_kernel

EVERY = 1.0
"""Seconds between two looks at it. It is drawn where something is different."""


class Lasting:
    """Shown as the result of a cell, it is drawn anew there until it is over, or nobody has it any more."""

    __slots__ = ()

    @property
    @abstractmethod
    def over(self) -> bool:
        """Whether it has come to its end, good or bad."""

    @abstractmethod
    def _repr_html_(self) -> str: ...

    def _ipython_display_(self) -> None:
        if not in_kernel():
            # So IPython shows it as it shows anything else: in a terminal there is no output to come back to.
            raise NotImplementedError
        _Card(self).keep_up()


class _Card:
    def __init__(self, shown: Lasting) -> None:
        self._shown = ref(shown)
        self._output = Output()
        self._drawn = ""

    def keep_up(self) -> None:
        shown = self._shown()
        if shown is None:
            return
        markup = shown._repr_html_()
        if markup != self._drawn:
            self._drawn = markup
            self._output.draw({"text/html": markup, "text/plain": repr(shown)})
        if not shown.over:
            asyncio.get_running_loop().call_later(EVERY, self.keep_up)
