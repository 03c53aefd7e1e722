"""What a batch is given in one simulation, and what must come of it: the reference model, which knows no client."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, NamedTuple

from iceye_async import PollPolicy
from iceye_async.sandbox import Scenario
from iceye_async.sandbox.clock import SEEDED_EPOCH
from iceye_async.sandbox.orders import Story
from iceye_async.sandbox.products import Source
from tests.simulation.weather import Spell
from tests.simulation.world import World
from tests.torture.storm import seeded

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
VESSELS, AIRCRAFT, VEHICLES = KINDS = ("DC_VESSELS", "DC_AIRCRAFT", "DC_VEHICLES")
COURSES: Mapping[str, Mapping[str, Any]] = {
    "blind": {"scene": False},
    "echo": {"echo": True},
    "unordered": {"echo": True},
    "quick": {"derivatives": dict.fromkeys(KINDS, 0.0)},
    "several": {"derivatives": {VESSELS: (0.0, 12 * MINUTE), AIRCRAFT: (5 * MINUTE,) * 2, VEHICLES: MINUTE}},
    "never": {"derivatives": {AIRCRAFT: 10 * MINUTE}},
    "rejected": {"ends": "REJECTED"},
    "failed": {"ends": "FAILED"},
    "canceled": {"ends": "CANCELED"},
}
SCENARIO = Scenario(
    seed=0,
    fulfilled=10 * MINUTE,
    derivatives={VESSELS: 5 * MINUTE, AIRCRAFT: 9 * MINUTE, VEHICLES: 15 * MINUTE},
    courses=COURSES,
)
COURSE = functools.cache(SCENARIO.course)
GOOD = ("plain", "blind", "echo", "quick", "several")
BROKEN = "broken"
"""How a task ends that nobody could ever ask about."""
ENDS = {"rejected": "REJECTED", "failed": "FAILED", "canceled": "CANCELED"}


class Result(NamedTuple):
    """What becomes of a task: how it ends, and the ids of the wanted derivatives that there are of it by then."""

    end: tuple[str, str]
    derivatives: frozenset[str]

    @property
    def is_completed(self) -> bool:
        return self.end[0] == "completed"


@dataclass
class Plan:
    """The tasks of one simulation. `courses` are their names in `COURSES`, or "unknown" or "poisoned"."""

    seed: str
    courses: Sequence[str]
    types: tuple[str, ...] | None = None
    span: float = 6 * HOUR
    """In which the acquisition windows open."""
    policy: PollPolicy = field(default_factory=PollPolicy)
    rate: float = 0.0
    spells: Sequence[Spell] = ()

    def __post_init__(self) -> None:
        self.rng = seeded(f"tasks {self.seed}")

    @property
    def calm(self) -> "Plan":
        """The same without what goes wrong."""
        return Plan(self.seed, self.courses, self.types, self.span, self.policy)

    async def order(self, world: World) -> dict[str, Result]:
        """Create the tasks: what must come of each."""
        return dict([await self._order(world, number, course) for number, course in enumerate(self.courses)])

    async def _order(self, world: World, number: int, course: str) -> tuple[str, Result]:
        opens = SEEDED_EPOCH + timedelta(seconds=self.rng.uniform(-HOUR, self.span))
        window = {"start": opens.isoformat(), "end": (opens + timedelta(hours=2)).isoformat()}
        kinds = self._kinds(course)
        order = {"acquisitionWindow": window, "imagingMode": "SPOTLIGHT", "productTypes": ["GRD"]}
        order |= {"pointOfInterest": {"lat": 60.0, "lon": 25.0}, "reference": course}
        if course == "unknown":
            return f"unknown/{self.seed}/{number}", Result(("TaskNotFound", ""), frozenset())
        task_id = await world.create(derivativeProductTypes=kinds, **order)
        if course == "poisoned":
            world.weather.poisoned[task_id] = self.rng.choice(["failed", "unreadable"])
            # The last of its failures ends it, and that may be one that all others suffered too.
            return task_id, Result((BROKEN, ""), frozenset())
        return task_id, self._result(world.story(task_id), course, kinds)

    def _kinds(self, course: str) -> list[str]:
        """The derivative types that are ordered."""
        wanted = set(self.types or ())
        some = {kind for kind in KINDS if self.rng.random() < 0.5}
        if course == "unordered":
            return sorted(some - wanted) if wanted else []
        if course == "lacking":
            # Without an echo, it takes a list of others to know that one will not come.
            others = set(KINDS) - {min(wanted)}
            return sorted(others & some or others)
        if course == "never":
            wanted |= {VESSELS}
        return sorted(wanted | some or {AIRCRAFT})

    def _result(self, story: Story, course: str, kinds: Sequence[str]) -> Result:
        wanted = set(kinds if self.types is None else self.types)
        there = frozenset(
            Source(story, kind, number).id
            for kind in sorted(wanted & set(kinds))
            for number, age in enumerate(story.detected(kind), 1)
            if age < float("inf")
        )
        if course in ENDS:
            return Result(("TaskEnded", ENDS[course]), frozenset())
        if not set(kinds) or not wanted <= set(kinds):
            return Result(("DerivativesNotRequested", ""), there)
        return Result(("PollTimeout" if course == "never" else "completed", ""), there)


def plan(seed: int) -> Plan:
    """What this seed has in store."""
    rng = seeded(f"plan {seed}")
    types = rng.choice([None, None, (VESSELS,), (VESSELS, AIRCRAFT)])
    odd = ["rejected", "failed", "canceled", "unknown", "unordered", *(["lacking"] if types else [])]
    courses = rng.choices(GOOD, k=rng.randint(2, 9)) + rng.choices(odd, k=rng.randint(0, 2))
    courses += rng.choices([[], ["never"], ["poisoned"]], [14, 1, 1])[0]
    rng.shuffle(courses)
    span = rng.choice([HOUR, 6 * HOUR, 3 * DAY])
    ceiling, setbacks, rates = rng.choice([10, 20, 30]) * MINUTE, 60, [0.0, 0.05, 0.1, 0.3]
    if "poisoned" in courses:
        # It takes twenty times as many failures where nobody else is waited for any more.
        ceiling, setbacks, rates = 5 * MINUTE, 5, [0.0, 0.05]
    first, growth = rng.choice([2.0, 4.0]) * MINUTE, rng.choice([1.5, 2.0])
    policy = PollPolicy(first=first, growth=growth, ceiling=ceiling, timeout=span + DAY, setbacks=setbacks)
    spells = []
    for _ in range(rng.choice([0, 0, 0, 1, 2])):
        start, length = rng.uniform(0.0, span + 2 * HOUR), rng.choice([20 * MINUTE, HOUR, 3 * HOUR])
        spells.append(Spell(start, start + length, rng.choice(["lost", "failed", "silent"])))
    rate = rng.choice(rates)
    return Plan(f"{seed}", courses, types, span, policy, rate, spells)
