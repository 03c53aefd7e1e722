"""Products: the images of a task. Source: the API page "Task products"."""

from functools import partial

from ..models import Product, ProductType
from ..pending import Pages
from ..protocol import replies, requests
from ..session import Session


class Products:
    """`client.products`"""

    def __init__(self, session: Session) -> None:
        self._session = session

    def list(self, task_id: str, product_type: ProductType | str | None = None) -> Pages[Product]:
        """The products of a task, or those of one type: await it for all, iterate it for one after the other.

        They can be fetched once the task is FULFILLED or DONE; before that the service answers `NotFound`. A strip or
        scan comes as several items of the same type, one for each frame. The links in them live one hour.
        """
        requests.list_products(task_id, product_type)
        return Pages(
            self._session,
            partial(requests.list_products, task_id, product_type),
            partial(replies.products, task_id=task_id),
        )
