"""What a contract allows: pure data.

Sources: the API pages "List contracts", "Task products" (its table of product types, as of 2025), "Task derivatives"
and "Get task price" (the modes), and the product specification (their codes).
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from attrs import field, frozen
from attrs.validators import optional

from .values import checked, is_texts, misspelt, text, texts

MODES: Mapping[str, str] = {
    "STRIPMAP": "SM",
    "SCAN": "SC",
    "SCAN_WIDE": "SCW",
    "SPOTLIGHT": "SLH",
    "SPOTLIGHT_HIGH_1L": "SLH1L",
    "SPOTLIGHT_HIGH_2L": "SLH2L",
    "SPOTLIGHT_EXTENDED_AREA": "SLEA",
    "SPOTLIGHT_FINE": "SLF",
    "SPOTLIGHT_FINE_1L": "SLF1L",
    "SPOTLIGHT_FINE_2L": "SLF2L",
    "SPOTLIGHT_FINE_3L": "SLF3L",
    "SPOTLIGHT_PRECISE_1L": "SLP1L",
    "SPOTLIGHT_PRECISE_2L": "SLP2L",
    "SPOTLIGHT_PRECISE_3L": "SLP3L",
    "SPOTLIGHT_EXTENDED_DWELL": "SLED",
    "SPOTLIGHT_EXTENDED_DWELL_FINE": "SLEDF",
    "SPOTLIGHT_EXTENDED_DWELL_PRECISE": "SLEDP",
}
"""Imaging modes, and what files call them."""

_OF_SCANS = ("GRD", "GRD-COG", "QLK")
_OF_ALL_OTHERS = (*_OF_SCANS, "SLC", "SLC-COG", "SICD", "SIDD")
_OF_DWELL = (*_OF_ALL_OTHERS, "CSI", "CSI-COG", "VID", "VID-COG")
_NON_SLA = frozenset({"SICD", "SIDD"})

PRODUCTS = _OF_DWELL
"""All documented product types."""

DERIVATIVES = frozenset({"DC_AIRCRAFT", "DC_VESSELS", "DC_VEHICLES"})

TERMS: Mapping[str, Sequence[str]] = {
    "priority": ("COMMERCIAL", "BACKGROUND"),
    "exclusivity": ("PRIVATE", "PUBLIC"),
    "eula": ("STANDARD", "GOVERNMENT", "MULTI"),
    "sla": ("SLA_8H", "SLA_3H", "SLA_24H"),
}
"""All documented values, the default first. Which one a contract takes as its default is made up, but for the SLA's."""


def products_of(mode: str) -> Sequence[str]:
    """The product types that there are of an imaging mode.

    Those of Scan Wide, of Dwell Precise and of the modes with other looks are presumed: the table has no rows for them.
    """
    if mode.startswith("SCAN"):
        return _OF_SCANS
    return _OF_DWELL if "DWELL" in mode else _OF_ALL_OTHERS


def _some_of(what: str, names: Collection[str]) -> Any:
    words = f"a list of {what}, of {', '.join(names)}"
    return optional(checked(words, lambda value: is_texts(value) and set() < set(value) <= set(names)))


@frozen(kw_only=True)
class Contract:
    """What one contract allows; None is all that is documented."""

    name: str = field(default="Sandbox", validator=text)
    modes: Collection[str] | None = field(default=None, converter=texts, validator=_some_of("imaging modes", MODES))
    products: Collection[str] | None = field(
        default=None, converter=texts, validator=_some_of("product types", PRODUCTS)
    )
    """Product types, of which a mode has those that there are of it."""
    sla: Collection[str] | None = field(default=None, converter=texts, validator=_some_of("product types", PRODUCTS))
    """The SLA products among them, which come without being listed, and first. All but SICD and SIDD unless given."""
    derivatives: Collection[str] | None = field(
        default=None, converter=texts, validator=optional(checked("a list of derivative types", is_texts))
    )
    """Derivative types; none: detection is not on this contract."""

    def __attrs_post_init__(self) -> None:
        meant = misspelt(self.derivatives or (), DERIVATIVES)
        if meant is not None:
            raise ValueError(f"derivatives holds {meant}")
        if self.sla is not None and self.products is not None and not set(self.sla) <= set(self.products):
            raise ValueError(
                f"sla must be some of products, not {', '.join(sorted(set(self.sla) - set(self.products)))}"
            )

    def allowed_modes(self) -> list[str]:
        return [mode for mode in MODES if self.modes is None or mode in self.modes]

    def allowed_products(self, mode: str) -> list[str]:
        return [kind for kind in products_of(mode) if self.products is None or kind in self.products]

    def allows_derivative(self, kind: str) -> bool:
        return self.derivatives is None or kind in self.derivatives

    def is_sla(self, kind: str) -> bool:
        """Whether a product of this type is one that the service is measured by."""
        return kind not in _NON_SLA if self.sla is None else kind in self.sla

    def ordered(self, order: Mapping[str, object]) -> list[str]:
        """The product types that an order is for: without a list, the contract's SLA products of its mode."""
        listed = order.get("productTypes")
        if isinstance(listed, list):
            return list(dict.fromkeys(listed))
        # What an order without productTypes gets is presumed: the page says that the contract configures them.
        return [kind for kind in self.allowed_products(str(order["imagingMode"])) if self.is_sla(kind)]
