"""Tasks: orders for radar pictures.

Sources: the API pages "Create a task", "Get a task", "List tasks", "Cancel a task", "Get task scene", "Check
feasibility" and "Pricing model".
"""

from collections.abc import Callable, Coroutine, Iterable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

from ..errors import DecodeError, ServerError, TransportError
from ..models import DerivativeType, Feasibility, ImagingMode, Price, ProductType, Scene, Task
from ..pending import Pages
from ..protocol import replies, requests
from ..protocol.ordering import TaskRequest
from ..protocol.requests import Request
from ..session import Session


class Tasks:
    """`client.tasks`"""

    def __init__(self, session: Session) -> None:
        self._session = session

    def create(
        self,
        *,
        contract_id: str,
        imaging_mode: ImagingMode | str,
        point_of_interest: tuple[float, float],
        acquisition_window: tuple[datetime, datetime],
        product_types: Iterable[ProductType | str] | None = None,
        derivative_product_types: Iterable[DerivativeType | str] | None = None,
        reference: str | None = None,
        exclusivity: str | None = None,
        priority: str | None = None,
        sla: str | None = None,
        incidence_angle: tuple[int, int] | None = None,
        look_side: str | None = None,
        pass_direction: str | None = None,
        imaging_duration: int | None = None,
        eula: str | None = None,
        notifications: Mapping[str, Any] | None = None,
        deliveries: Iterable[Mapping[str, Any]] | None = None,
    ) -> Coroutine[Any, Any, Task]:
        """The task, as the service took it. This books a picture, and may cost money.

        What each argument means, what is refused before anything is sent (`UsageError`) and what is warned about is
        told by `TaskRequest`, which is the same as a value. Two rules are the service's own: derivatives come only
        with five imaging modes (else `BadRequest` with the code INCOMPATIBLE_IMAGING_MODE_FOR_DERIVATIVES) and need
        `"GRD"` among `product_types`; non-SLA products come only if they are listed in `product_types`.

        It is sent again only where it certainly was not carried out (not sent, 401, 429). After any other lost or
        unreadable answer the task may have been booked: the `TransportError`, `ServerError` or `DecodeError` says so,
        and how to find it. A `reference` of its own makes that easy. So it is where the caller gives up meanwhile (a
        cancellation, a time-out); no error can tell then.

        Source: the API page "Create a task".
        """
        order = TaskRequest(
            contract_id=contract_id,
            imaging_mode=imaging_mode,
            point_of_interest=point_of_interest,
            acquisition_window=acquisition_window,
            product_types=product_types,
            derivative_product_types=derivative_product_types,
            reference=reference,
            exclusivity=exclusivity,
            priority=priority,
            sla=sla,
            incidence_angle=incidence_angle,
            look_side=look_side,
            pass_direction=pass_direction,
            imaging_duration=imaging_duration,
            eula=eula,
            notifications=notifications,
            deliveries=deliveries,
        )
        began = self._session.clock.now()
        return self._once(requests.create_task(order), lambda: self._perhaps_booked(order, began))

    async def get(self, task_id: str) -> Task:
        """The task as it is now. Raises `TaskNotFound` where there is none with this id."""
        return await self._session.call(requests.get_task(task_id), replies.task)

    def list(
        self,
        *,
        contract_id: str | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
    ) -> Pages[Task]:
        """The tasks that these credentials may see: await it for all, iterate it for one after the other.

        The times are aware datetimes. There is no filter by status, and no order is documented. The items of a list
        have no `notifications` and no `deliveries`. Raises `UsageError` for a filter that can find nothing,
        and `PaginationLoop` where the list has no end. Source: the API page "List tasks".
        """
        ask = partial(requests.list_tasks, contract_id, created_after, created_before)
        ask()
        return Pages(self._session, ask, partial(replies.page, model=Task))

    async def cancel(self, task_id: str) -> Task:
        """The task, CANCELED. It can be canceled while it is RECEIVED or ACTIVE.

        Canceling may cost, as the product specification (3.6) has it: nothing until 72 h before the acquisition window
        opens, then 10 % (until 48 h), 20 % (until 24 h), and all of it. What the service answers in another status is
        not published: it comes as an `ApiError` with its `code`. Raises `TaskNotFound` where there is none with this
        id.

        Like `create()` it is sent again only where it certainly was not carried out. Source: the API page "Cancel a
        task".
        """
        request = requests.cancel_task(task_id)
        return await self._once(request, lambda: "it may be canceled all the same; client.tasks.get() tells")

    async def scene(self, task_id: str) -> Scene:
        """When and how the picture is planned (ACTIVE; the plan may change) or was taken (FULFILLED, DONE).

        Times are aware, durations in seconds, angles in degrees. Of this call nothing but its fields is public.
        Raises `NotFound` where there is no such task, or no plan yet or any more; `client.tasks.get()` tells which.
        """
        return await self._session.call(requests.get_scene(task_id), partial(replies.scene, task_id=task_id))

    async def price(
        self,
        *,
        contract_id: str,
        imaging_mode: ImagingMode | str,
        point_of_interest: tuple[float, float],
        exclusivity: str | None = None,
        priority: str | None = None,
        sla: str | None = None,
        eula: str | None = None,
    ) -> Price:
        """What a task would cost under a contract that has a pricing plan; nothing is booked.

        The arguments are those of `create()`. The specification wants all of them; what is left out is not sent. In
        which unit the amount is is not documented for this call, nor what a contract without a pricing plan answers: an
        `ApiError` with its `code` may come. Source: the API page "Pricing model".
        """
        request = requests.get_price(
            contract_id=contract_id,
            imaging_mode=imaging_mode,
            point_of_interest=point_of_interest,
            exclusivity=exclusivity,
            priority=priority,
            sla=sla,
            eula=eula,
        )
        return await self._session.call(request, replies.price)

    async def feasibility(self, orders: Iterable[TaskRequest]) -> tuple[Feasibility, ...]:
        """Whether these could be carried out, as the service lists it; nothing is booked.

        That there is one answer for each, in their order, is what the samples suggest; it is not documented.
        It may take two minutes, whatever the client's `timeout` is. Where the contract has a pricing plan, the budget
        is checked too. Source: the API page "Check feasibility".
        """
        return await self._session.call(requests.check_feasibility(orders), replies.feasibility)

    async def _once(self, request: Request, advice: Callable[[], str]) -> Task:
        """What must not be done twice: where it is not certain whether it was done, the error says what to do."""
        try:
            return await self._session.call(request, replies.task)
        except (TransportError, ServerError, DecodeError) as error:
            if not error.undone and (not isinstance(error, TransportError) or error.sent):
                error.args = (f"{error}; {advice()}",)
            raise

    def _perhaps_booked(self, order: TaskRequest, began: float) -> str:
        # By the service's clock, where it said anything; and a clock that is a minute off must not hide the task.
        wall = self._session.wall() - (self._session.clock.now() - began) - 60
        since = datetime.fromtimestamp(wall, UTC).replace(microsecond=0)
        by = "give each task a reference of its own to tell them apart"
        if order.reference is not None:
            by = f"by its reference {order.reference!r}"
        return (
            "the task may have been booked all the same; before ordering it again, look for it in client.tasks.list("
            f"contract_id={order.contract_id!r}, created_after=datetime.fromisoformat('{since.isoformat()}')): {by}"
        )
