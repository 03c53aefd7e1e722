"""What goes wrong between a client and the service, by chance that is the same for the same seed."""

import asyncio
import math
from collections import Counter
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, NamedTuple

from iceye_async import TransportError
from tests.torture.storm import seeded

if TYPE_CHECKING:
    from tests.simulation.world import Asked, World

TOKEN = "/oauth2/token"
LATENCY = 0.05
FATES = {
    "lost": 6,
    "late": 3,
    "silent": 1,
    "failed": 8,
    "throttled": 4,
    "garbled": 5,
    "revoked": 2,
}
"""How often each befalls a request, among all that befall one."""
OUTAGES = ("lost", "failed", "silent")
PAGES = (b"", b"null", b"[]", b"\xff\xfe", b"<html><title>Sign in to this network</title></html>")
ERRORS = (
    b"<html><h1>502 Bad Gateway</h1></html>",
    b'{"code": "internal", "message": "try again"}',
    b'{"title": "Sorry", "code": "internal", "details": "try again", "reference": "r-1"}',
    b"",
)


class Said(NamedTuple):
    """An answer; `pause` is what its `Retry-After` comes to, in seconds."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    pause: float = 0.0


class Spell(NamedTuple):
    """From `start` to `end` nothing works, and all requests suffer the same."""

    start: float
    end: float
    fate: str


class Weather:
    """`rate` is the part of requests that something befalls; `poisoned`, what befalls all that are about a task."""

    def __init__(
        self, seed: str, rate: float = 0.0, spells: Collection[Spell] = (), fates: Mapping[str, int] = FATES
    ) -> None:
        self.seed = seed
        self.rng = seeded(f"weather {seed}")
        self.rate, self.spells, self._fates = rate, spells, fates
        self.poisoned: dict[str, str] = {}
        self.suffered: Counter[str] = Counter()
        self._refusals = 0

    async def answer(self, world: "World", asked: "Asked") -> Said:
        """What comes of a request. Raises `TransportError` where nothing does."""
        fate = self._fate(world.now, asked)
        if fate is not None:
            self.suffered[fate] += 1
        if fate == "silent":
            await asyncio.sleep(math.inf if self.rng.random() < 0.5 else 59.0)
            raise self._lost(asked)
        await asyncio.sleep(LATENCY if fate != "late" else self.rng.uniform(1.0, 58.0))
        if fate == "lost":
            if self.rng.random() < 0.5:
                await world.proper(asked)
            raise self._lost(asked)
        if fate == "unreadable":
            return Said(200, {}, self.rng.choice(PAGES[1:]))
        if fate in {"failed", "throttled"}:
            return self._refused(world, 429 if fate == "throttled" else self.rng.choice([500, 502, 503, 504]))
        if fate == "revoked" and asked.path == TOKEN:
            return Said(401, {}, b'{"error": "invalid_client"}')
        if fate == "revoked":
            world.revoke()
        said = await world.proper(asked)
        return self._garbled(said) if fate == "garbled" else said

    def _fate(self, now: float, asked: "Asked") -> str | None:
        for spell in self.spells:
            if spell.start <= now < spell.end:
                return spell.fate
        for name, fate in self.poisoned.items():
            if name in asked.target:
                return fate
        if self._refusals and asked.path != TOKEN:
            # The replay with a new token is refused as well.
            self._refusals -= 1
            return "revoked"
        if self.rng.random() >= self.rate:
            return None
        (fate,) = self.rng.choices(list(self._fates), list(self._fates.values()))
        if fate == "revoked" and self.rng.random() < 0.2:
            self._refusals = 1
        return fate

    def _lost(self, asked: "Asked") -> TransportError:
        return TransportError(f"{asked.method} {asked.path}: the connection broke", sent=self.rng.random() < 0.7)

    def _refused(self, world: "World", status: int) -> Said:
        body, pause = self.rng.choice(ERRORS), self.rng.choice([1, 7, 30, 100, 400])
        match self.rng.choice(["none", "none", "seconds", "date"] if status != 429 else ["none", "seconds", "date"]):
            case "seconds":
                return Said(status, {"Retry-After": str(pause)}, body, pause)
            case "date":
                return Said(status, {"Retry-After": world.date(pause)}, body, pause)
            case _:
                return Said(status, {}, body)

    def _garbled(self, said: Said) -> Said:
        if said.status not in {200, 206}:
            return Said(502, {}, said.body)
        cut = said.body[: self.rng.randrange(1, len(said.body) - 1)]
        return Said(said.status, {}, self.rng.choice([cut, cut, *PAGES]))


def fate_of_file(seed: str, path: str, time: int) -> str | None:
    """What befalls the request for a file that is the n-th for it. In threads, so it does not hang on their order."""
    rng = seeded(f"file {seed} {path} {time}")
    return rng.choice(["lost", "cut", "expired", "busy"]) if time < 3 and rng.random() < 0.4 else None
