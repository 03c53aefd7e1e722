"""Running a command: its client, its signals, and what its errors become.

The first Ctrl-C or SIGTERM cancels the command, which then keeps what it has; the second one ends the process.
"""

import asyncio
import contextlib
import errno
import functools
import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Awaitable, Callable, Iterable, Iterator
from types import FrameType
from typing import Any, NoReturn

import click
from attrs import define, field

from ..client import Client
from ..display.text import WORDS, harmless
from ..errors import IceyeError, StateError, UsageError
from ..events import Event
from .bugs import bug
from .exits import Declined, Exit, NoCredentials, code_of
from .output import Output, forget, new_output, note
from .words import PROGRAM, command, reworded, told, without_secrets

_PATIENCE = 5.0
"""Seconds in which a command that was told to stop has stopped, or is ended."""
_OF_WRITING = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF})
_SIGNALS = {signal.SIGINT: Exit.INTERRUPTED, signal.SIGTERM: Exit.TERMINATED}


def connect(*, rate: float | None = 10.0, on_event: Callable[[Event], None] | None = None) -> Client:
    """A client as the environment describes it."""
    try:
        return Client.from_env(rate_limit=rate, on_event=on_event)
    except UsageError as error:
        failure = NoCredentials(f"{error}; `{PROGRAM} doctor` looks it all over")
    raise failure


@define
class Call:
    """What was typed. `go_on` is what is to be typed to go on with it after it was stopped; None where nothing is."""

    arguments: tuple[str, ...]
    go_on: str | None = field(init=False)
    reading: bool = False
    """Whether it waits for what somebody types: Ctrl-C ends that at once, for the event loop is held up."""

    def __attrs_post_init__(self) -> None:
        self.go_on = command(self.arguments)


def call() -> Call:
    """The one that runs."""
    found: Call = click.get_current_context().find_root().obj
    return found


def confirm(said: Iterable[str], question: str) -> None:
    """Ask whoever sits there; raises `Declined` where the answer is not yes."""
    if sys.stdin is None or not sys.stdin.isatty():
        raise UsageError("there is no terminal to ask in; --yes does it without asking")
    note("\n".join(map(harmless, said)))
    try:
        with reading() as this:
            answer = click.confirm(question, err=True)
    except click.Abort:
        # The end of the input, or Ctrl-C.
        raise (Declined("nothing was done") if this.reading else KeyboardInterrupt) from None
    if not answer:
        raise Declined("nothing was done")


@contextlib.contextmanager
def reading() -> Iterator[Call]:
    """Inside, the standard input may be read. Where Ctrl-C ended that, `reading` is false at once."""
    this = call()
    this.reading = True
    yield this
    this.reading = False


def answers(work: Callable[..., Awaitable[Exit | None]]) -> Callable[..., int]:
    """A command that runs the coroutine function with an `Output`, and whose result is its exit code."""

    @click.option("--json", "as_json", is_flag=True, help="Print JSON lines, one for each event.")
    @click.option("--debug", is_flag=True, help="Log each request; show where in the program a bug is.")
    @functools.wraps(work)
    def run(*, as_json: bool, debug: bool, links: bool = False, **options: Any) -> int:
        name = click.get_current_context().command_path.partition(" ")[2]
        stop = Stop(call())
        out = new_output(as_json=as_json, name=name, links=links, closed=stop.unread)
        with _logged(stop, debug=debug), stop.listening():
            return int(_ended(out, stop, functools.partial(work, out, **options), debug=debug))

    return run


def _ended(out: Output, stop: "Stop", work: Callable[[], Awaitable[Exit | None]], *, debug: bool) -> Exit:
    """How it ended, after that was told."""
    this = call()
    try:
        try:
            ended = asyncio.run(stop.guard(work))
            flush()
        except StateError as error:
            # The client was used as it cannot be, and that is nobody's fault but ours.
            out.bug(error)
            return bug(error, this.arguments, debug=debug)
        except IceyeError as error:
            code = code_of(error)
            out.error(error, code)
            flush()
            return code
        except (KeyboardInterrupt, asyncio.CancelledError):
            code = stop.code
            if code is not Exit.UNREAD:
                out.stopped("SIGTERM" if code is Exit.TERMINATED else "SIGINT", this.go_on)
            flush()
            return code
    except BrokenPipeError:
        return unread()
    except OSError as error:
        return cannot_write(out.name, error)
    except click.ClickException:
        raise
    except Exception as error:  # noqa: BLE001 - it is told, and is the end of the program
        out.bug(error)
        return bug(error, this.arguments, debug=debug)
    return Exit.DONE if ended is None else ended


class Stop:
    """Hears when the command is to end, and sees to it that it does."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self.code = Exit.INTERRUPTED
        self._told = False
        self._heard: list[signal.Signals] = []
        self._task: asyncio.Task[Any] | None = None
        self._alarm: threading.Timer | None = None

    async def guard(self, work: Callable[[], Awaitable[Exit | None]]) -> Exit | None:
        """The command's work, as the one that is cancelled."""
        self._task = asyncio.current_task()
        with self._woken():
            return await work()

    @contextlib.contextmanager
    def _woken(self) -> Iterator[None]:
        """Inside, a signal that comes in the moment in which the event loop goes to sleep wakes it."""
        loop = asyncio.get_running_loop()
        woken = []
        for number in self._heard:
            with contextlib.suppress(NotImplementedError):  # On Windows it wakes by itself.
                loop.add_signal_handler(number, lambda: None)
                woken.append(number)
                signal.signal(number, self._came)
        try:
            yield
        finally:
            for number in woken:
                loop.remove_signal_handler(number)
                signal.signal(number, self._came)

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Inside, signals come here."""
        before = {}
        if threading.current_thread() is threading.main_thread():
            # Not the loop's own handlers: these are not called while it is held up.
            # What was told to be ignored (`iceye-async ... &` in a script) still is.
            self._heard = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
            before = {number: signal.signal(number, self._came) for number in self._heard}
        try:
            yield
        finally:
            if self._alarm is not None:
                self._alarm.cancel()
            for number, handler in before.items():
                signal.signal(number, handler)

    def unread(self) -> None:
        """Nobody reads the output any more."""
        self._cancel(Exit.UNREAD)

    def _came(self, number: int, _: FrameType | None) -> None:
        code = _SIGNALS[signal.Signals(number)]
        if self._call.reading:
            self._call.reading, self.code = False, code
            raise KeyboardInterrupt
        if self._told:
            end_now(code)
        self._cancel(code)

    def _cancel(self, code: Exit) -> None:
        self._told, self.code = True, code
        if self._task is None or self._task.done():
            raise KeyboardInterrupt
        self._alarm = threading.Timer(_PATIENCE, self._give_up, [code])
        self._alarm.daemon = True
        self._alarm.start()
        self._task.get_loop().call_soon_threadsafe(self._task.cancel)

    def _give_up(self, code: Exit) -> None:
        """It does not stop, and it may be a write that holds it up: what is to be said goes past all that."""
        if sys.stderr is not None and code is not Exit.UNREAD:
            with contextlib.suppress(OSError):
                os.write(2, f"stopped; this goes on:\n  {self._call.go_on}\n".encode(errors="backslashreplace"))
        end_now(code)


def end_now(code: Exit) -> NoReturn:
    """Whatever still runs: what is on the disk is whole or can be gone on with."""
    with contextlib.suppress(OSError, ValueError):
        if sys.stdout is not None and sys.stdout.isatty():
            os.write(sys.stdout.fileno(), b"\x1b[?25h\r\n")
    os._exit(code)


# --- output ----------------------------------------------------------------------------------------------------------


def flush() -> None:
    """Have it written now: what fails later would fail without words."""
    if sys.stdout is not None:
        sys.stdout.flush()


def unread() -> Exit:
    """Whoever read our lines has seen enough, and Python would try once more to write them when it ends."""
    forget(1)
    return Exit.UNREAD


def cannot_write(name: str, error: OSError) -> Exit:
    """The output, or a file that the command itself reads or writes, is not to be had."""
    forget(1)
    of = "" if error.filename is None else f"{error.filename}: "
    if not of and error.errno in _OF_WRITING:
        of = "the output cannot be written: "
    note(without_secrets(harmless(f"{f'{PROGRAM} {name}'.strip()}: {of}{error.strerror or error}")))
    return Exit.FAILED


# --- messages --------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _logged(stop: Stop, *, debug: bool) -> Iterator[None]:
    """Inside, what the library warns of and says is told in the words of commands; with `debug`, each request too."""
    logger = logging.getLogger("iceye_async")
    handler = _Notes(stop)
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG if debug else logging.WARNING)
    words = WORDS.set(told)
    try:
        with warnings.catch_warnings():
            if not sys.warnoptions:
                warnings.simplefilter("default")
            warnings.showwarning = _warned
            yield
    finally:
        WORDS.reset(words)
        logger.removeHandler(handler)
        logger.setLevel(level)


class _Notes(logging.Handler):
    """Log records as lines."""

    def __init__(self, stop: Stop) -> None:
        super().__init__()
        self._stop = stop

    def emit(self, record: logging.LogRecord) -> None:
        # How a batch goes on is said by the command, in its own words; and what follows from a closed pipe, by nobody.
        if "client.await_batch(" in record.getMessage() or self._stop.code is Exit.UNREAD:
            return
        facts = {name: value for name, value in vars(record).items() if name not in _OF_EVERY_RECORD}
        more = ", ".join(f"{name} {value}" for name, value in facts.items() if value is not None)
        _remark(record.levelname.lower(), f"{record.getMessage()}{f' ({more})' if more else ''}")


_OF_EVERY_RECORD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def _warned(message: Warning | str, *_: Any, **__: Any) -> None:
    _remark("warning", str(message))


def _remark(level: str, text: str) -> None:
    note(f"{PROGRAM}: {level}: {without_secrets(reworded(text))}")
