"""The service's own words, as open enums: a value that is not listed here stays a plain string.

Sources: the API pages "Task derivatives", "Task products", "Get a task" and "Create a task". Since 3 June 2025 the
service defines imaging modes by contract, so none of these lists is ever complete.
"""

from enum import StrEnum


class DerivativeType(StrEnum):
    """What machine learning looks for in an image."""

    AIRCRAFT = "DC_AIRCRAFT"
    VESSELS = "DC_VESSELS"
    VEHICLES = "DC_VEHICLES"


class TaskStatus(StrEnum):
    """Where a task is in its life. REJECTED, FAILED, CANCELED and DONE are final."""

    RECEIVED = "RECEIVED"
    ACTIVE = "ACTIVE"
    FULFILLED = "FULFILLED"
    DONE = "DONE"
    REJECTED = "REJECTED"
    FAILED = "FAILED"
    CANCELED = "CANCELED"


class ImagingMode(StrEnum):
    """How the radar takes the picture."""

    STRIPMAP = "STRIPMAP"
    SCAN = "SCAN"
    SCAN_WIDE = "SCAN_WIDE"
    SPOTLIGHT = "SPOTLIGHT"
    SPOTLIGHT_HIGH_1L = "SPOTLIGHT_HIGH_1L"
    SPOTLIGHT_HIGH_2L = "SPOTLIGHT_HIGH_2L"
    SPOTLIGHT_EXTENDED_AREA = "SPOTLIGHT_EXTENDED_AREA"
    SPOTLIGHT_FINE = "SPOTLIGHT_FINE"
    SPOTLIGHT_FINE_1L = "SPOTLIGHT_FINE_1L"
    SPOTLIGHT_FINE_2L = "SPOTLIGHT_FINE_2L"
    SPOTLIGHT_FINE_3L = "SPOTLIGHT_FINE_3L"
    SPOTLIGHT_PRECISE_1L = "SPOTLIGHT_PRECISE_1L"
    SPOTLIGHT_PRECISE_2L = "SPOTLIGHT_PRECISE_2L"
    SPOTLIGHT_PRECISE_3L = "SPOTLIGHT_PRECISE_3L"
    SPOTLIGHT_EXTENDED_DWELL = "SPOTLIGHT_EXTENDED_DWELL"
    SPOTLIGHT_EXTENDED_DWELL_FINE = "SPOTLIGHT_EXTENDED_DWELL_FINE"
    SPOTLIGHT_EXTENDED_DWELL_PRECISE = "SPOTLIGHT_EXTENDED_DWELL_PRECISE"


class ProductType(StrEnum):
    """What a SAR product holds.

    Some types come with a task by its contract (SLA products); others, such as SICD and SIDD, only if they are listed
    in its `product_types`. Which mode gives which is in `iceye_async.models.offer`. GRD, SLC, CSI and VID are phased
    out over 2026/27 for their -COG forms; but derivatives still need GRD. Source: the API page "Task products".
    """

    GRD = "GRD"
    GRD_COG = "GRD-COG"
    SLC = "SLC"
    SLC_COG = "SLC-COG"
    QLK = "QLK"
    SICD = "SICD"
    SIDD = "SIDD"
    CSI = "CSI"
    CSI_COG = "CSI-COG"
    VID = "VID"
    VID_COG = "VID-COG"
