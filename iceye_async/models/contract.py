"""Contracts: what a customer may order. Source: the API pages "List contracts" and "Get a contract" (company v1)."""

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from .enums import ImagingMode
from .masking import masked


@frozen(kw_only=True, field_transformer=masked)
class Allowance:
    """What a contract allows of one thing, and what it takes where a task does not say."""

    allowed: tuple[str, ...] = ()
    default: str | None = None


@frozen(kw_only=True, field_transformer=masked)
class Contract:
    """A contract, as far as its documented fields go.

    Only `id` is always there. What it allows by imaging mode (product types, detection) is documented to be told, but
    not under which names: it is in `document`, the JSON as received.
    """

    id: str
    name: str | None = None
    start: str | None = None
    """As the service has it: in which form is not published."""
    end: str | None = None
    imaging_modes: tuple[ImagingMode | str, ...] | None = None
    """The modes that tasks may be ordered with."""
    priority: Allowance | None = None
    exclusivity: Allowance | None = None
    eula: Allowance | None = None
    sla: Allowance | None = None
    document: Mapping[str, Any] = field(factory=dict, eq=False, repr=False)
