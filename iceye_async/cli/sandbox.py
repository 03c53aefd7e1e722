"""`iceye-async sandbox`: the sandbox as a process of its own.

Its clients live in real time, so its time stamps are real and acquisition windows may begin now: only the durations of
its scenario shrink.
"""

import asyncio
import contextlib
import signal
import warnings
from typing import TYPE_CHECKING

import click
from attrs import evolve

from . import options
from .exits import Exit
from .output import forget, note
from .running import flush
from .words import PROGRAM

if TYPE_CHECKING:
    from ..sandbox import Sandbox


@click.command()
@click.option(
    "--scenario", default="calm", shell_complete=options.files, metavar="NAME",
    help="What happens in it: a name (a wrong one tells which there are), or a file *.toml.  [default: calm]",
)  # fmt: skip
@click.option(
    "--speed", type=options.amount, default=60.0, metavar="N",
    help="By how much its durations are shortened. Its time stamps are real.  [default: 60]",
)  # fmt: skip
@click.option("--seed", type=int, metavar="N", help="Give the same ids and faults each time.")
@click.option("--host", default="127.0.0.1", help="Where it listens.  [default: 127.0.0.1]")
@click.option("--port", type=options.port, default="0", metavar="N", help="Of the API; a free one unless given.")
@click.option(
    "--link-port", type=options.port, default="0", metavar="N", help="Of the files' host; a free one unless given."
)
@click.option("--debug", is_flag=True, expose_value=False, help="Show where in the program a bug is.")
def sandbox(scenario: str, speed: float, seed: int | None, host: str, port: int, link_port: int) -> Exit:
    """Serve a local Tasking API to test your own code with.

    It serves until Ctrl-C, and prints the environment variables that lead to it.
    """
    from ..sandbox import Sandbox, Scenario, ScenarioError

    try:
        chosen = Scenario.load(scenario).faster(speed)
        if seed is not None:
            chosen = evolve(chosen, seed=seed)
        asyncio.run(_serve(Sandbox(chosen, host=host, port=port, link_port=link_port)))
    except KeyboardInterrupt:
        pass  # That is how it is ended.
    except BrokenPipeError:
        forget(1)
    except ScenarioError as error:
        return _refused(str(error))
    except OSError as error:
        return _refused(error.strerror or str(error))
    return Exit.DONE


async def _serve(service: "Sandbox") -> None:
    """Until somebody ends it."""
    async with contextlib.AsyncExitStack() as stack:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            await stack.enter_async_context(service)
        for warning in caught:
            note(f"{PROGRAM} sandbox: {warning.message}")
        told = _told_to_stop()
        for name, value in service.environment.items():
            print(f"export {name}={value}")
        for contract_id in service.contract_ids:
            print(f"# contract {contract_id}")
        flush()
        note("serving until Ctrl-C; set these variables where your program runs")
        await told.wait()


def _told_to_stop() -> asyncio.Event:
    """It is set by Ctrl-C, or when the process is to end."""
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # On Windows Ctrl-C is a `KeyboardInterrupt`.
            loop.add_signal_handler(number, told.set)
    return told


def _refused(why: str) -> Exit:
    note(f"{PROGRAM} sandbox: {why}")
    return Exit.FAILED
