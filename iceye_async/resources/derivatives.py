"""Derivatives: detections in the image of a task. Source: the API page "Task derivatives"."""

from functools import partial

from ..models import DerivativeSet
from ..protocol import replies, requests
from ..session import Session


class Derivatives:
    """`client.derivatives`"""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def get(self, task_id: str) -> DerivativeSet:
        """One look at what there is now; `.final` is true where the service says that this is all.

        Raises `NotFound` on 404, which has three meanings: no such task, none requested, none ready yet. Use
        `client.await_derivatives()` to wait, and to have them told apart. The links live one hour.
        """
        return await self._session.call(
            requests.get_derivatives(task_id), partial(replies.derivatives, task_id=task_id)
        )
