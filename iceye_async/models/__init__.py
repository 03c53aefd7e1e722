"""What the API speaks of, as frozen values."""

from .contract import Allowance, Contract
from .derivative import Derivative, DerivativeAsset, DerivativeSet, DerivativeUpdate
from .enums import DerivativeType, ImagingMode, ProductType, TaskStatus
from .planning import Feasibility, Price, Scene
from .product import Product, ProductAsset, ProductUpdate
from .task import AngleRange, Interval, Position, Task

__all__ = [
    "Allowance",
    "AngleRange",
    "Contract",
    "Derivative",
    "DerivativeAsset",
    "DerivativeSet",
    "DerivativeType",
    "DerivativeUpdate",
    "Feasibility",
    "ImagingMode",
    "Interval",
    "Position",
    "Price",
    "Product",
    "ProductAsset",
    "ProductType",
    "ProductUpdate",
    "Scene",
    "Task",
    "TaskStatus",
]
