"""How many seeds there are, and processes that can be killed while they download."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from iceye_async.downloads import transfer
from tests.torture.fetching import EAGER
from tests.torture.storm import seeded

BASE = int(os.environ.get("ICEYE_TORTURE_SEED", "1"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that takes a `seed` is run once for each of as many as the environment variable of its module says."""
    if "seed" in metafunc.fixturenames:
        seeds = int(os.environ.get(metafunc.module.SEEDS, "10"))
        metafunc.parametrize("seed", range(BASE, BASE + seeds))


class Processes:
    """Processes of `fetching.py`, one at a time."""

    def __init__(self) -> None:
        program = Path(__file__).with_name("fetching.py")
        self._forks = subprocess.Popen(
            [sys.executable, "-P", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def close(self) -> None:
        """After the last of them."""
        self._forks.communicate(timeout=10)

    async def carry_out(self, order: dict[str, Any], kill: Coroutine[Any, Any, None]) -> int:
        """Its exit code: -9 where it was killed, for `kill` came to its end before it did."""
        async with self._running(json.dumps(order)) as (process, ended):
            moment = asyncio.ensure_future(kill)
            await asyncio.wait({ended, moment}, return_when=asyncio.FIRST_COMPLETED)
            moment.cancel()
            os.kill(process, signal.SIGKILL)
            return int(await ended)

    @contextlib.asynccontextmanager
    async def _running(self, order: str) -> AsyncIterator[tuple[int, asyncio.Future[str]]]:
        self._say(order)
        process = int(await asyncio.to_thread(self._hear))
        ended = asyncio.ensure_future(asyncio.to_thread(self._hear))
        try:
            yield process, ended
        finally:
            # Nobody has reaped it: whatever has the id is this process, be it dead.
            os.kill(process, signal.SIGKILL)
            await ended
            self._say("reap it")

    def _say(self, line: str) -> None:
        assert self._forks.stdin is not None
        self._forks.stdin.write(f"{line}\n")
        self._forks.stdin.flush()

    def _hear(self) -> str:
        assert self._forks.stdout is not None
        return self._forks.stdout.readline()


@pytest.fixture
def figures(seed: int, monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """The figures that transfers go by here and in processes: in half of the tests those that make them eager."""
    figures = EAGER if seeded(f"eager {seed}").random() < 0.5 else {}
    for name, value in figures.items():
        monkeypatch.setattr(transfer, name, value)
    return figures


@pytest.fixture(scope="session")
def processes() -> Iterator[Processes]:
    processes = Processes()
    yield processes
    processes.close()
