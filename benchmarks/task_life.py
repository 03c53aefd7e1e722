"""How many requests does a wait cost that begins at RECEIVED and ends with derivatives, and how late does it notice?

Beside it: asking every 5, 30 and 120 s. The waits are those of the real `Client`, over HTTP, against a small server
whose clock is also the client's: where others would sleep it jumps, and a request takes no time. What fixed intervals
cost is counted, for the same tasks. A request is anything that reaches the API; the token is fixed. The delay is from
when the last derivative was there until the wait gave it.

    python benchmarks/task_life.py [--tasks 400] [--sigma 0.6] [--types 1] [--plot task_life.png]
"""

import argparse
import asyncio
import importlib
import math
import multiprocessing
import platform
import random
import statistics
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from email.utils import formatdate
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
from aiohttp import web

from iceye_async import Client, DerivativeType, PollPolicy

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
DECIDED_WITHIN = 20 * MINUTE
OPENS, CLOSES = DAY, 2 * DAY
GRD_MEDIAN, DERIVATIVES_MEDIAN = HOUR, 20 * MINUTE
GOLDEN = (5**0.5 - 1) / 2
EPOCH = 1_800_000_000.0
"""Wall time when the clock is 0."""
TASK_ID = "b7f1"
TASK = f"/api/tasking/v2/tasks/{TASK_ID}"
PHASES = 20
FIXED = (5.0, 30.0, 120.0)
DEFAULT = PollPolicy()
CEILINGS = tuple(sorted({DEFAULT.ceiling, 5.0, 10.0, 20.0, 30.0, 45.0, 60.0, 90.0, 120.0, 300.0}))
OTHER_SIGMAS = (0.3, 1.0)
MOVES = (1.0, 6.0)
"""Hours by which a plan moves, either way but never out of the window."""
SCENES = {"with scene": True, "without": False}
NAME = 46
"""Width of the first column."""
GREY, COLOURS = "#555555", ("#0b6e99", "#c2570c")
STAGES = ("undecided", "until the window", "until imaging", "until GRD", "until derivatives")


class Life(NamedTuple):
    """What becomes of one task, in seconds after its creation."""

    decided: float
    plans: tuple[tuple[float, float], ...]
    """From when on a plan is known, and the imaging that it says."""
    imaged: float
    fulfilled: float
    ready: tuple[float, ...]
    """When each derivative type is there."""

    @property
    def done(self) -> float:
        return max(self.ready)

    def stage(self, at: float) -> str:
        return STAGES[bisect_right((self.decided, OPENS, self.imaged, self.fulfilled), at)]


def draw(count: int, sigma: float, types: int = 1, *, moves: bool = False) -> tuple[Life, ...]:
    """So many tasks, the same ones whenever it is called with the same numbers."""
    chance = random.Random(5)
    lives = []
    for number in range(count):
        # So the times of imaging are even in the window, and those of the first few tasks are too.
        imaged = OPENS + (CLOSES - OPENS) * (number * GOLDEN % 1.0)
        decided = chance.uniform(0, DECIDED_WITHIN)
        fulfilled = imaged + chance.lognormvariate(math.log(GRD_MEDIAN), sigma)
        ready = [fulfilled + chance.lognormvariate(math.log(DERIVATIVES_MEDIAN), sigma) for _ in range(types)]
        plans = [imaged]
        while moves and len(plans) < 3:
            moved = plans[0] + chance.choice((-1, 1)) * chance.uniform(*MOVES) * HOUR
            plans.insert(0, min(max(moved, OPENS), CLOSES))
        since = sorted(chance.uniform(decided, min(plans)) for _ in plans[1:])
        lives.append(Life(decided, tuple(zip((decided, *since), plans, strict=True)), imaged, fulfilled, tuple(ready)))
    return tuple(lives)


class Figures(NamedTuple):
    """What some tasks cost, one entry each."""

    requests: list[int]
    delays: list[float]
    on_the_way: Mapping[str, list[float]] = {}
    """Delays of what was waited for before."""
    where: Mapping[tuple[str, str], int] = {}
    """Requests of all tasks by stage and by what was asked."""

    @property
    def cost(self) -> float:
        return statistics.mean(self.requests)

    @property
    def delay(self) -> float:
        return statistics.mean(self.delays)


# --- fixed intervals -----------------------------------------------------------------------------------------------


def fixed(lives: tuple[Life, ...], interval: float) -> Figures:
    """Asking for the derivatives so often, from creation until they are there, in `PHASES` phases for each task."""
    chance = random.Random(30)
    figures = Figures([], [])
    for life in lives:
        for phase in range(PHASES):
            first = (phase + chance.random()) / PHASES * interval
            pauses = math.ceil((life.done - first) / interval)
            figures.requests.append(1 + pauses)
            figures.delays.append(first + pauses * interval - life.done)
    return figures


# --- the waits -----------------------------------------------------------------------------------------------------


class JumpingClock:
    """Sleeping on it takes no time."""

    def __init__(self) -> None:
        self.time = 0.0

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds


class Service:
    """Answers as documented, for one task after the other, by the clock that the client has too."""

    def __init__(self, clock: JumpingClock, *, scenes: bool) -> None:
        self._clock, self._scenes = clock, scenes
        self.asked: Counter[tuple[str, str]] = Counter()
        """Requests by stage and by what was asked."""

    def begin(self, life: Life) -> None:
        self._life, self._created = life, self._clock.now()

    @property
    def at(self) -> float:
        """Seconds since the task was created."""
        return self._clock.now() - self._created

    async def handle(self, request: web.BaseRequest) -> web.Response:
        what = request.path.removeprefix(TASK).removeprefix("/") or "task"
        self.asked[self._life.stage(self.at), what] += 1
        status, document = self._answer(what, self.at)
        date = formatdate(EPOCH + self._clock.now(), usegmt=True)
        return web.json_response(document, status=status, headers={"Date": date})

    def _answer(self, what: str, at: float) -> tuple[int, Any]:
        life = self._life
        known = [imaging for since, imaging in life.plans if since <= at]
        if what == "task":
            return 200, self._task(at)
        if what == "scene" and known and self._scenes:
            return 200, {"imagingTime": {"start": self._stamp(known[-1]), "end": self._stamp(known[-1] + 10)}}
        if what == "products/GRD" and at >= life.fulfilled:
            assets = {"grd-tif": {"href": self._link("grd.tif")}}
            return 200, {
                "data": [{"id": "grd", "properties": {"sar:product_type": "GRD"}, "assets": assets}],
                "cursor": "",
            }
        if what == "derivatives" and at >= min(life.ready):
            listed = [
                self._derivative(kind, at >= ready) for kind, ready in zip(DerivativeType, life.ready, strict=False)
            ]
            return 200 if at >= life.done else 206, {"data": listed}
        return 404, {"code": "NOT_FOUND", "message": "not found"}

    def _task(self, at: float) -> Mapping[str, Any]:
        life = self._life
        status, since = "RECEIVED", 0.0
        for name, reached in (("ACTIVE", life.decided), ("FULFILLED", life.fulfilled), ("DONE", life.done)):
            if reached <= at:
                status, since = name, reached
        return {
            "id": TASK_ID,
            "contractID": "benchmark",
            "status": status,
            "imagingMode": "SPOTLIGHT",
            "pointOfInterest": {"lat": 60.2, "lon": 24.9},
            "acquisitionWindow": {"start": self._stamp(OPENS), "end": self._stamp(CLOSES)},
            "createdAt": self._stamp(0),
            "updatedAt": self._stamp(since),
        }

    def _derivative(self, kind: str, ready: bool) -> Mapping[str, Any]:
        assets = [{"type": "geojson", "href": self._link(f"{kind}.geojson")}] if ready else []
        return {"id": kind, "derivativeProductType": kind, "assets": assets}

    def _link(self, name: str) -> str:
        return f"https://d1.example.com/{name}?Expires=1&Signature={self._clock.now():.0f}"

    def _stamp(self, seconds: float) -> str:
        moment = datetime.fromtimestamp(EPOCH + self._created + seconds, UTC)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Run(NamedTuple):
    """One measurement, for any process."""

    lives: tuple[Life, ...]
    policy: PollPolicy = DEFAULT
    scenes: bool = True
    """Whether the service tells them."""
    chain: bool = False
    """Whether the task and its products are awaited before."""

    def figures(self) -> Figures:
        random.seed(5)
        return asyncio.run(self._measure())

    async def _measure(self) -> Figures:
        clock = JumpingClock()
        service = Service(clock, scenes=self.scenes)
        runner = web.ServerRunner(web.Server(service.handle, access_log=None))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        base = f"http://127.0.0.1:{runner.addresses[0][1]}"
        figures = Figures([], [], {"FULFILLED": [], "GRD": []} if self.chain else {}, service.asked)
        async with Client(base, auth="benchmark", poll=self.policy, rate_limit=None, clock=clock) as client:
            for life in self.lives:
                service.begin(life)
                before = service.asked.total()
                if self.chain:
                    await client.await_task(TASK_ID)
                    figures.on_the_way["FULFILLED"].append(service.at - life.fulfilled)
                    await client.await_products(TASK_ID, types=["GRD"])
                    figures.on_the_way["GRD"].append(service.at - life.fulfilled)
                await client.await_derivatives(TASK_ID)
                figures.delays.append(service.at - life.done)
                figures.requests.append(service.asked.total() - before)
        await runner.cleanup()
        return figures


def default(lives: tuple[Life, ...], scenes: bool) -> Run:
    """Without scenes a task takes several times as many requests, so half of the tasks do."""
    return Run(lives if scenes else some(lives, 1 / 2), scenes=scenes)


def at_ceiling(lives: tuple[Life, ...], ceiling: float, scenes: bool) -> Run:
    """The lower the ceiling, the more requests does a task take, and the fewer tasks do."""
    if ceiling == DEFAULT.ceiling:
        return default(lives, scenes)
    return Run(some(lives, ceiling / (120 if scenes else 480)), PollPolicy(ceiling=ceiling), scenes=scenes)


def some(lives: tuple[Life, ...], share: float) -> tuple[Life, ...]:
    """The first of them."""
    return lives[: max(8, int(len(lives) * min(1.0, max(1 / 16, share))))]


# --- what is printed -----------------------------------------------------------------------------------------------


def head(title: str) -> str:
    return (
        f"\n{title}\n{'':<{NAME}}{'tasks':>6}{'requests':>32}{'delay in seconds':>28}{'fewer than':>13}\n"
        f"{'':<{NAME + 6}}{'mean':>8}{'median':>8}{'p90':>8}{'most':>8}{'mean':>10}{'(error)':>9}{'p90':>9}"
        f"{'every 30 s':>13}"
    )


def row(name: str, figures: Figures, lives: tuple[Life, ...]) -> str:
    """`lives` are those of the figures, or begin with them."""
    tasks = min(len(lives), len(figures.delays))
    ratio = fixed(lives[:tasks], 30.0).cost / figures.cost
    median, most = statistics.median(figures.requests), max(figures.requests)
    requests = f"{figures.cost:>8.1f}{median:>8.0f}{p90(figures.requests):>8.0f}{most:>8}"
    return f"{name:<{NAME}}{tasks:>6}{requests}{lateness(figures.delays)}{ratio:>12.1f}x"


def lateness(delays: Sequence[float]) -> str:
    """Mean, its standard error, and the 90th percentile."""
    error = f"({statistics.stdev(delays) / math.sqrt(len(delays)):.2f})"
    return f"{statistics.mean(delays):>10.1f}{error:>9}{p90(delays):>9.1f}"


def p90(values: Sequence[float]) -> float:
    return statistics.quantiles(values, n=10)[-1]


def placed(name: str, figures: Figures) -> str:
    """Where the requests of a task go, at the mean."""
    asked = list(dict.fromkeys(what for _, what in figures.where))
    lines = ["".join([f"\n{name:<{NAME}}", *(f"{what:>14}" for what in (*asked, "all"))])]
    for stage in STAGES:
        counts = [figures.where.get((stage, what), 0) / len(figures.requests) for what in asked]
        lines.append("".join([f"    {stage:<{NAME - 4}}", *(f"{count:>14.2f}" for count in (*counts, sum(counts)))]))
    return "\n".join(lines)


def cheapest(curve: Mapping[float, Figures], lives: tuple[Life, ...], interval: float) -> str:
    """The ceiling with the fewest requests of those that notice no later than asking every `interval` seconds."""
    usual = fixed(lives, interval).delay
    prompt = [ceiling for ceiling, figures in curve.items() if figures.delay <= usual]
    if not prompt:
        return "none of these ceilings"
    best = min(prompt, key=lambda ceiling: curve[ceiling].cost)
    figures = curve[best]
    ratio = fixed(lives[: len(figures.delays)], interval).cost / figures.cost
    return (
        f"ceiling {best:g}: {ratio:.1f}x fewer requests "
        f"({figures.cost:.1f}; {figures.delay:.1f} s late at the mean, against {usual:.1f} s)"
    )


# --- what is drawn -------------------------------------------------------------------------------------------------


def pyplot() -> Any:
    """Of matplotlib, which only a plot needs."""
    try:
        matplotlib = importlib.import_module("matplotlib")
    except ImportError:
        raise SystemExit("--plot needs matplotlib: python -m pip install matplotlib") from None
    matplotlib.use("agg")
    return importlib.import_module("matplotlib.pyplot")


def plotted(plot: Any, frontier: Mapping[str, Mapping[float, Figures]], lives: tuple[Life, ...], target: Path) -> None:
    """Requests against delay, both logarithmic."""
    figure, axes = plot.subplots(figsize=(8, 5.5), layout="constrained")
    curve = [fixed(lives, 2.0 * 1.3**step) for step in range(25)]
    axes.plot([each.delay for each in curve], [each.cost for each in curve], color=GREY, label="fixed intervals")
    for interval in FIXED:
        each = fixed(lives, interval)
        axes.plot(each.delay, each.cost, "s", color=GREY)
        _noted(axes, each, f"every {interval:g} s: {each.cost:,.0f}", color=GREY)
    as_late = fixed(lives, 30.0).delay
    axes.axvline(as_late, color=GREY, linestyle=":", linewidth=1)
    axes.annotate(" as late as every 30 s", (as_late, 0.02), xycoords=("data", "axes fraction"), color=GREY, fontsize=9)
    for colour, (name, found) in zip(COLOURS, frontier.items(), strict=True):
        delays, costs = [each.delay for each in found.values()], [each.cost for each in found.values()]
        axes.plot(delays, costs, ".-", color=colour, label=f"await_derivatives, {name}, by PollPolicy(ceiling=...)")
        for ceiling in (CEILINGS[0], 60.0, CEILINGS[-1]):
            _noted(axes, found[ceiling], f"{ceiling:g} s: {found[ceiling].cost:,.0f}", color=colour)
        usual = found[DEFAULT.ceiling]
        axes.plot(usual.delay, usual.cost, "*", color=colour, markersize=15)
        _noted(axes, usual, f"default, {DEFAULT.ceiling:g} s: {usual.cost:,.0f}", color=colour, weight="bold")
    axes.set(xscale="log", yscale="log", xlabel="mean delay to notice, in seconds", ylabel="requests a task, mean")
    axes.set_title("A task from RECEIVED to its derivatives: what waiting costs", loc="left")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_major_formatter("{x:,g}")
    axes.set_xlim(right=2000)
    axes.grid(color="#dddddd")
    axes.legend(frameon=False)
    figure.savefig(target, dpi=100)


def _noted(axes: Any, figures: Figures, text: str, **look: Any) -> None:
    place = (figures.delay, figures.cost)
    axes.annotate(text, place, (8, 7), textcoords="offset points", fontsize=9, **look)


# --- the program ---------------------------------------------------------------------------------------------------


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--tasks", type=int, default=400, help="at least 32")
    parser.add_argument("--sigma", type=float, default=0.6, help="of both log-normal times")
    parser.add_argument("--types", type=int, default=1, choices=range(1, len(DerivativeType) + 1))
    parser.add_argument("--plot", type=Path, metavar="FILE", help="where the frontier is drawn")
    options = parser.parse_args()
    plot = None if options.plot is None else pyplot()
    began = time.monotonic()

    lives = draw(options.tasks, options.sigma, options.types)
    half, quarter = some(lives, 1 / 2), options.tasks // 4
    moving = draw(quarter, options.sigma, options.types, moves=True)
    spread = {sigma: draw(quarter, sigma, options.types) for sigma in OTHER_SIGMAS}
    runs = [at_ceiling(lives, ceiling, scenes) for scenes in (False, True) for ceiling in CEILINGS]
    runs += [default(drawn, scenes) for scenes in (False, True) for drawn in spread.values()]
    runs += [Run(half, scenes=scenes, chain=True) for scenes in (False, True)]
    runs.append(default(moving, True))
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as pool:
        found = dict(zip(runs, pool.map(Run.figures, runs), strict=True))
    frontier = {
        name: {ceiling: found[at_ceiling(lives, ceiling, scenes)] for ceiling in CEILINGS}
        for name, scenes in SCENES.items()
    }

    print(f"CPython {platform.python_version()}, aiohttp {aiohttp.__version__}; {options.tasks} tasks, virtual time")
    print(
        f"A task is created at 0, ACTIVE uniformly within {DECIDED_WITHIN / MINUTE:g} min; its window is from "
        f"{OPENS / HOUR:g} h to {CLOSES / HOUR:g} h,\nimaging uniform in it (spread evenly over the tasks); GRD, and "
        f"FULFILLED, log-normal after that, median {GRD_MEDIAN / MINUTE:g} min;\n{options.types} derivative type(s) "
        f"log-normal after that, median {DERIVATIVES_MEDIAN / MINUTE:g} min, DONE with the last; "
        f"sigma {options.sigma:g} for both.\n"
        "A scene tells the plan from ACTIVE on."
    )
    print(head(f"PollPolicy(), whose ceiling is {DEFAULT.ceiling:g}"))
    for interval in FIXED:
        print(row(f"derivatives every {interval:g} s", fixed(lives, interval), lives))
    for name, scenes in SCENES.items():
        print(row(f"await_derivatives, {name}", found[default(lives, scenes)], lives))
    for name, scenes in SCENES.items():
        chain = found[Run(half, scenes=scenes, chain=True)]
        print(row(f"task, products, derivatives, {name}", chain, half))
        for what, delays in chain.on_the_way.items():
            print(f"{f'    {what} on the way':<{NAME + 38}}{lateness(delays)}")

    print(head(f"Other times: another sigma, or a plan that moves by {MOVES[0]:g} to {MOVES[1]:g} h, twice"))
    for sigma, drawn in spread.items():
        print(row(f"sigma {sigma:g}: every 30 s", fixed(drawn, 30.0), drawn))
        for name, scenes in SCENES.items():
            print(row(f"sigma {sigma:g}: await_derivatives, {name}", found[default(drawn, scenes)], drawn))
    print(row("moving plan: await_derivatives, with scene", found[default(moving, True)], moving))

    for name, curve in frontier.items():
        print(head(f"await_derivatives, {name}"))
        for ceiling, figures in curve.items():
            print(row(f"PollPolicy(ceiling={ceiling:g})", figures, lives))
    print()
    for interval in FIXED:
        for name, curve in frontier.items():
            print(f"no later than every {interval:g} s, {name}: {cheapest(curve, lives, interval)}")
    for name, scenes in SCENES.items():
        print(placed(f"requests a task, {name}", found[default(lives, scenes)]))
    print(placed("requests a task, task, products, derivatives", found[Run(half, chain=True)]))
    print(f"\n{time.monotonic() - began:.0f} s")
    if options.plot is not None:
        plotted(plot, frontier, lives, options.plot)


if __name__ == "__main__":
    main()
