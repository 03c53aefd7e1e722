"""What the API speaks of, as frozen values."""

from .derivative import Derivative, DerivativeAsset, DerivativeSet, DerivativeUpdate
from .enums import DerivativeType, ImagingMode, ProductType, TaskStatus
from .product import Product, ProductAsset
from .task import Interval, Position, Task

__all__ = [
    "Derivative",
    "DerivativeAsset",
    "DerivativeSet",
    "DerivativeType",
    "DerivativeUpdate",
    "ImagingMode",
    "Interval",
    "Position",
    "Product",
    "ProductAsset",
    "ProductType",
    "Task",
    "TaskStatus",
]
