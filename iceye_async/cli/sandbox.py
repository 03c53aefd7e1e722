"""`iceye-async sandbox`: the sandbox as a process of its own.

Its clients live in real time, so its time stamps are real and acquisition windows may begin now: only the durations of
its scenario shrink.
"""

import asyncio
import contextlib
import signal
import sys
import warnings
from argparse import Namespace

from attrs import evolve

from ..sandbox import Sandbox, Scenario


async def sandbox(options: Namespace) -> None:
    """Serve until somebody ends it."""
    scenario = Scenario.load(options.scenario).faster(options.speed)
    if options.seed is not None:
        scenario = evolve(scenario, seed=options.seed)
    service = Sandbox(scenario, host=options.host, port=options.port, link_port=options.link_port)
    async with contextlib.AsyncExitStack() as stack:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            await stack.enter_async_context(service)
        for warning in caught:
            print(f"iceye-async sandbox: {warning.message}", file=sys.stderr)
        told = _told_to_stop()
        _introduce(service)
        await told.wait()


def _introduce(service: Sandbox) -> None:
    lines = [f"export {name}={value}" for name, value in service.environment.items()]
    lines += [f"# contract {contract_id}" for contract_id in service.contract_ids]
    print("\n".join(lines), flush=True)
    print("serving until Ctrl-C; set these variables where your program runs", file=sys.stderr, flush=True)


def _told_to_stop() -> asyncio.Event:
    """It is set by Ctrl-C, or when the process is to end."""
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # On Windows Ctrl-C is a `KeyboardInterrupt`.
            loop.add_signal_handler(number, told.set)
    return told
