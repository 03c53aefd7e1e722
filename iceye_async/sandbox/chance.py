"""Chance: from the system, or from a seed, and then the same each time."""

import random
import secrets
import uuid


class Chance:
    """Draws of one kind. With a seed, those of one `name` do not depend on those of another."""

    def __init__(self, seed: int | None, name: str) -> None:
        self._seeded = None if seed is None else random.Random(f"{seed}/{name}")

    def id(self) -> str:
        return str(uuid.uuid4() if self._seeded is None else uuid.UUID(bytes=self._seeded.randbytes(16), version=4))

    def secret(self, length: int) -> str:
        """So many bytes in hexadecimal digits."""
        return secrets.token_hex(length) if self._seeded is None else self._seeded.randbytes(length).hex()

    def roll(self) -> float:
        """A number from 0 on, below 1."""
        return random.random() if self._seeded is None else self._seeded.random()
