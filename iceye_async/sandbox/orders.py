"""A task as it was ordered, and where it stands. Everything about it but a cancel follows from its course and time."""

import uuid
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from attrs import frozen

from .scenario import Scenario


@frozen
class Order:
    id: str
    body: Mapping[str, Any]
    kinds: Sequence[str]
    """The types of the products that it is for."""
    late: Collection[str]
    """Those of them that are no SLA products."""
    created: datetime
    opens: float
    """Seconds from its creation to the opening of its window."""
    canceled: datetime | None = None

    @property
    def reference(self) -> str | None:
        reference: str | None = self.body.get("reference")
        return reference

    def at(self, age: float) -> datetime:
        """The moment so many seconds after its creation."""
        return self.created + timedelta(seconds=age)

    def age(self, now: datetime) -> float:
        return (now - self.created).total_seconds()

    def thing(self, what: str) -> str:
        """The id of a thing of this task, the same each time."""
        return str(uuid.uuid5(uuid.UUID(self.id), what))


@frozen
class Story:
    """A task, and what happens to it."""

    order: Order
    course: Scenario

    def state(self, now: datetime) -> tuple[str, datetime]:
        """Its status, and since when it has had it."""
        order = self.order
        if order.canceled is not None:
            return "CANCELED", order.canceled
        beyond = any(self.is_late(kind) for kind in order.kinds)
        status, since = self.course.state(order.age(now), order.opens, beyond=beyond)
        return status, order.at(since)

    def is_late(self, kind: str) -> bool:
        """Whether products of this type come only with DONE."""
        return kind in self.order.late or kind in self.course.late

    def picture(self) -> datetime:
        """When it was or will be taken."""
        return self.order.at(self.course.picture(self.order.opens))

    def ready(self, kind: str | None = None) -> datetime:
        """When the products of this type are there, or the first ones."""
        course, opens = self.course, self.order.opens
        return self.order.at(course.finished(opens) if kind is not None and self.is_late(kind) else course.ready(opens))

    def detected(self, kind: str) -> Sequence[float]:
        """How old the task is when each derivative of this type has its assets; inf: never."""
        return self.course.detected(kind, self.order.opens)
