"""What can be asked of the API, by resource. Each class is fed by the client's session."""

from .derivatives import Derivatives
from .products import Products
from .tasks import Tasks

__all__ = ["Derivatives", "Products", "Tasks"]
