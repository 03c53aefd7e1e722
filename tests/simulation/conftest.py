"""How many seeds there are, and an event loop in virtual time that waits for threads."""

import asyncio
import logging
import os
import random
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.simulation.simulation import unexpected
from tests.simulation.virtual import PatientLoop, Work

BASE = int(os.environ.get("ICEYE_SIMULATION_SEED", "1"))
RUNS = int(os.environ.get("ICEYE_SIMULATION_RUNS", "200"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that takes a `seed` is run once for each."""
    if "seed" in metafunc.fixturenames:
        metafunc.parametrize("seed", range(BASE, BASE + RUNS))


@pytest.fixture(autouse=True)
def quiet(aviary: object, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """One in ten says everything to the log, where it is searched for secrets: that takes longer than the rest."""
    if request.node.callspec.params.get("seed", 1) % 10:
        log = logging.getLogger("iceye_async")
        monkeypatch.setattr(log, "level", logging.WARNING)
        log.manager._clear_cache()


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Work:
    """What is under way in threads."""
    work = Work()
    work.watch(monkeypatch)
    return work


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder, in memory where there can be one: these tests are not about disks."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as made:
        yield Path(made)


@pytest.fixture
def in_virtual_time(work: Work) -> Iterator[Callable[[Coroutine[Any, Any, None], int], None]]:
    """Runs a coroutine to its end, with chance that is the same for the same seed."""
    state = random.getstate()

    def run(main: Coroutine[Any, Any, None], seed: int) -> None:
        complaints: list[str] = []
        random.seed(seed)
        with asyncio.Runner(loop_factory=lambda: PatientLoop(work)) as runner:
            runner.get_loop().set_exception_handler(lambda _, context: complaints.append(unexpected(context)))
            runner.run(main)
        assert complaints == []

    yield run
    random.setstate(state)
