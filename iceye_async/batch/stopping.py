"""SIGTERM, which would end the process at once: while a batch is driven, it ends what drives it instead.

asyncio does the same for Ctrl-C. Only where the signal still has its default action, and in the main thread: elsewhere
the application has its own ways, or there are none.
"""

import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable, Iterator

_LISTENING: dict[asyncio.AbstractEventLoop, set[Callable[[], None]]] = {}


@contextlib.contextmanager
def on_sigterm(stop: Callable[[], None]) -> Iterator[None]:
    """Inside, `stop` is called at the first SIGTERM; a second one ends the process as ever."""
    loop = asyncio.get_running_loop()
    listening = _LISTENING.get(loop) or _listen(loop)
    if listening is not None:
        listening.add(stop)
    try:
        yield
    finally:
        if listening is not None:
            listening.discard(stop)
            if not listening and _LISTENING.get(loop) is listening:
                _leave(loop)


def _listen(loop: asyncio.AbstractEventLoop) -> set[Callable[[], None]] | None:
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        return None
    try:
        loop.add_signal_handler(signal.SIGTERM, _stop, loop)
    except (NotImplementedError, RuntimeError, ValueError):
        return None
    return _LISTENING.setdefault(loop, set())


def _stop(loop: asyncio.AbstractEventLoop) -> None:
    listening = list(_LISTENING.get(loop, ()))
    _leave(loop)
    for stop in listening:
        stop()


def _leave(loop: asyncio.AbstractEventLoop) -> None:
    _LISTENING.pop(loop, None)
    with contextlib.suppress(RuntimeError, ValueError):
        loop.remove_signal_handler(signal.SIGTERM)
