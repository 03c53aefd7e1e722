"""Batches in virtual time, in bad weather, through crashes: whatever happens, the end is that of a batch in peace.

ICEYE_SIMULATION_RUNS says how many there are (200), ICEYE_SIMULATION_SEED which is the first seed (1).

    ICEYE_SIMULATION_RUNS=10000 pytest tests/simulation/test_simulation.py -n 2

says at the end what they went through.
"""

import pytest

from tests.simulation.plans import plan
from tests.simulation.simulation import MOST_LIVES, Simulation, Stop, replay
from tests.torture.storm import seeded


def stops(seed: int) -> list[Stop]:
    """When the runs of a batch are ended."""
    rng = seeded(f"stops {seed}")
    found = []
    for _ in range(rng.choice([0, 1, 1, 2, 3, MOST_LIVES])):
        trigger = rng.choice(["seconds", "events", "commits"])
        how = rng.choice(["crash", "crash", "stop"]) if trigger != "commits" else "crash"
        at = rng.choice([1.0, 600.0, 7200.0, 40_000.0]) * rng.random() if trigger == "seconds" else rng.randint(1, 12)
        found.append(Stop(how, trigger, at))
    return found


def test_a_batch_comes_to_the_same_end_through_anything(
    seed, folder, work, monkeypatch, in_virtual_time, record_property
):
    # Files take threads and a disk, so they are for a few.
    simulation = Simulation(plan(seed), folder, work, monkeypatch, downloads=seed % 10 == 5)
    try:
        in_virtual_time(simulation.run(stops(seed)), seed)
    except BaseException as error:
        replay(error, seed, simulation.story)
        raise
    record_property("simulated batches", 1)
    record_property("simulated batches: faults survived", sum(simulation.world.weather.suffered.values()))
    record_property("simulated batches: crashes survived", simulation.crashes)
    record_property("simulated batches: tasks", len(simulation.expected))
    record_property("simulated batches: requests", sum(simulation.world.asked.values()))


@pytest.mark.parametrize("number", range(1, 11))
def test_the_reference_is_what_comes_of_a_batch_in_peace(number, folder, work, monkeypatch, in_virtual_time):
    simulation = Simulation(plan(number).calm, folder, work, monkeypatch)

    in_virtual_time(simulation.run(), number)
