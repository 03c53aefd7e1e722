"""Tasks: orders for radar pictures. Source: the API pages "Create a task" and "Get a task"."""

from collections.abc import Iterable
from datetime import datetime

from ..models import DerivativeType, ImagingMode, ProductType, Task
from ..protocol import replies, requests
from ..session import Session


class Tasks:
    """`client.tasks`"""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def create(
        self,
        *,
        contract_id: str,
        imaging_mode: ImagingMode | str,
        point_of_interest: tuple[float, float],
        acquisition_window: tuple[datetime, datetime],
        product_types: Iterable[ProductType | str] | None = None,
        derivative_product_types: Iterable[DerivativeType | str] | None = None,
        reference: str | None = None,
    ) -> Task:
        """The task, as the service took it. This books a picture, and may cost money.

        `point_of_interest` is (latitude, longitude) in WGS 84 degrees; `acquisition_window` two aware datetimes.
        Derivatives need `"GRD"` among `product_types` and one of the five modes that support them; otherwise the
        service answers `BadRequest` with the code INCOMPATIBLE_IMAGING_MODE_FOR_DERIVATIVES, or says what is missing.

        It is sent again only where it certainly was not carried out (not sent, 401, 429). After any other
        `TransportError` or `ServerError` the task may have been created.
        """
        request = requests.create_task(
            contract_id=contract_id,
            imaging_mode=imaging_mode,
            point_of_interest=point_of_interest,
            acquisition_window=acquisition_window,
            product_types=product_types,
            derivative_product_types=derivative_product_types,
            reference=reference,
        )
        return await self._session.call(request, replies.task)

    async def get(self, task_id: str) -> Task:
        """The task as it is now. Raises `TaskNotFound` where there is none with this id."""
        return await self._session.call(requests.get_task(task_id), replies.task)
