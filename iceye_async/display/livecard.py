"""What keeps up in a notebook with how it stands, in the output where it was shown, also while later cells run."""

import asyncio
import logging
from abc import abstractmethod
from contextvars import Context
from weakref import WeakKeyDictionary, ref

from .cell import Output, in_kernel

log = logging.getLogger("iceye_async")

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
        try:
            loop = asyncio.get_running_loop() if in_kernel() else None
        except RuntimeError:
            loop = None
        if loop is None:
            # So IPython shows it as it shows anything else: there is no output, or nobody, to come back to it.
            raise NotImplementedError
        card = _CARDS.get(self)
        if card is None or card.loop is not loop:
            card = _CARDS[self] = _Card(self, loop)
        card.show(self)

    def _settle(self) -> None:
        """It has come to its end: whatever shows it does not wait for its next look."""
        card = _CARDS.get(self)
        if card is not None:
            Context().run(card.keep_up)


class _Card:
    """What shows it, in however many places."""

    def __init__(self, shown: Lasting, loop: asyncio.AbstractEventLoop) -> None:
        self._shown = ref(shown)
        self.loop = loop
        self._output = Output()
        self._drawn = ""
        self._timer: asyncio.TimerHandle | None = None

    def show(self, shown: Lasting) -> None:
        """In one more place."""
        self._drawn = shown._repr_html_()
        self._output.show(_bundle(shown, self._drawn))
        self._look_again(shown)

    def keep_up(self) -> None:
        """Draw it where something is different."""
        shown = self._shown()
        if shown is None:
            return
        try:
            markup = shown._repr_html_()
            if markup != self._drawn:
                self._drawn = markup
                self._output.draw(_bundle(shown, markup))
        except Exception:
            log.warning("a card failed; what it showed goes on without it", exc_info=True)
        else:
            self._look_again(shown)

    def _look_again(self, shown: Lasting) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if not shown.over:
            # In no context: what is shown from the one of a cell goes to that cell, which may be long over.
            self._timer = self.loop.call_later(EVERY, self.keep_up, context=Context())


def _bundle(shown: Lasting, markup: str) -> dict[str, str]:
    return {"text/html": markup, "text/plain": repr(shown)}


_CARDS: "WeakKeyDictionary[Lasting, _Card]" = WeakKeyDictionary()
"""One for each thing, so that it is drawn once, wherever it is shown."""
