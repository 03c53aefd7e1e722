"""What can be asked of the API, by resource. Each class is fed by the client's session."""

from .contracts import Contracts
from .derivatives import Derivatives
from .products import Products
from .tasks import Tasks

__all__ = ["Contracts", "Derivatives", "Products", "Tasks"]
