"""A task as it was ordered, and where it stands. Everything about it but a cancel follows from scenario and time."""

import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from attrs import frozen

from .scenario import Scenario


@frozen
class Order:
    id: str
    body: Mapping[str, Any]
    created: datetime
    opens: float
    """Seconds from its creation to the opening of its window."""
    canceled: datetime | None = None

    def at(self, age: float) -> datetime:
        """The moment so many seconds after its creation."""
        return self.created + timedelta(seconds=age)

    def age(self, now: datetime) -> float:
        return (now - self.created).total_seconds()

    def thing(self, what: str) -> str:
        """The id of a thing of this task, the same each time."""
        return str(uuid.uuid5(uuid.UUID(self.id), what))


def state(order: Order, scenario: Scenario, now: datetime) -> tuple[str, datetime]:
    """Its status, and since when it has had it."""
    if order.canceled is not None:
        return "CANCELED", order.canceled
    status, since = scenario.state(order.age(now), order.opens)
    return status, order.at(since)
