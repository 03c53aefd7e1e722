"""What each imaging mode gives, as far as it is documented: product types, and whether derivatives can be had.

    mode                                  with the task (SLA)                   only if listed in product_types
    SCAN                                  GRD, GRD-COG, QLK
    SCAN_WIDE *                           GRD, GRD-COG, QLK
    STRIPMAP                              GRD, GRD-COG, SLC, SLC-COG, QLK       SICD, SIDD
    SPOTLIGHT, SPOTLIGHT_FINE,            GRD, GRD-COG, SLC, SLC-COG, QLK       SICD, SIDD
      SPOTLIGHT_EXTENDED_AREA
    SPOTLIGHT_EXTENDED_DWELL,             the same, and CSI, VID                SICD, SIDD
      SPOTLIGHT_EXTENDED_DWELL_FINE         (* and CSI-COG, VID-COG)
    SPOTLIGHT_EXTENDED_DWELL_PRECISE *    as SPOTLIGHT_EXTENDED_DWELL           SICD, SIDD

Documented by the API page "Task products" of 2025; what is marked with * is inferred from the rows that its edition of
2026 adds and from the product specification. The page calls its table non-exhaustive, and which types count as SLA
products is for the contract to say. The single-look and multi-look variants of Spot and Spot Fine, and Spot Precise,
have no row, so nothing is said of them here.
"""

from collections.abc import Mapping

from .enums import ImagingMode, ProductType

SUPPORTED_MODES = frozenset(
    {
        ImagingMode.SPOTLIGHT,
        ImagingMode.SPOTLIGHT_FINE,
        ImagingMode.SPOTLIGHT_FINE_1L,
        ImagingMode.SPOTLIGHT_EXTENDED_DWELL,
        ImagingMode.SPOTLIGHT_EXTENDED_DWELL_FINE,
    }
)
"""The modes that derivatives can be asked for with. Source: the API page "Task derivatives"."""

UNSUPPORTED_MODES = frozenset(ImagingMode) - SUPPORTED_MODES
"""The documented modes that give no derivatives. A mode that is in neither set may be a new one."""

_SCAN = frozenset({ProductType.GRD, ProductType.GRD_COG, ProductType.QLK})
_SPOT = _SCAN | {ProductType.SLC, ProductType.SLC_COG, ProductType.SICD, ProductType.SIDD}
_DWELL = _SPOT | {ProductType.CSI, ProductType.VID, ProductType.CSI_COG, ProductType.VID_COG}

OFFERED: Mapping[str, frozenset[ProductType]] = {
    ImagingMode.SCAN: _SCAN,
    ImagingMode.SCAN_WIDE: _SCAN,
    ImagingMode.STRIPMAP: _SPOT,
    ImagingMode.SPOTLIGHT: _SPOT,
    ImagingMode.SPOTLIGHT_FINE: _SPOT,
    ImagingMode.SPOTLIGHT_EXTENDED_AREA: _SPOT,
    ImagingMode.SPOTLIGHT_EXTENDED_DWELL: _DWELL,
    ImagingMode.SPOTLIGHT_EXTENDED_DWELL_FINE: _DWELL,
    ImagingMode.SPOTLIGHT_EXTENDED_DWELL_PRECISE: _DWELL,
}
"""All types that a mode can give, with the task or if listed."""

SUCCESSOR: Mapping[str, ProductType] = {
    ProductType.GRD: ProductType.GRD_COG,
    ProductType.SLC: ProductType.SLC_COG,
    ProductType.CSI: ProductType.CSI_COG,
    ProductType.VID: ProductType.VID_COG,
}
"""The types that are phased out over 2026/27, and what comes instead. Source: the API page "Task products"."""
