"""Which bytes of a file a request asks for: `Range` and `If-Range`, by the letter of RFC 9110, sections 13.1.5 and 14.

A host may ignore any `Range`; this one does where there are several ranges or where the field makes no sense.
"""

import re
import time
from datetime import datetime
from email.utils import format_datetime
from typing import TypeAlias

Span: TypeAlias = tuple[int, int]
"""The first byte, and one past the last."""

# Units know no case. Python reads no integer of more than 4300 digits.
_RANGE = r"(?i:bytes)=(?:([0-9]{1,4000})-([0-9]{0,4000})|-([0-9]{1,4000}))"
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def wanted(field: str, size: int) -> Span | None:
    """The span of a file of this size that a `Range` asks for. Empty: none of its bytes (416). None: the whole."""
    found = re.fullmatch(_RANGE, field)
    if found is None:
        return None
    if found[3] is not None:
        # The last bytes of an empty file are no error, and no Content-Range could say which they are.
        return _last(int(found[3]), size)
    first, last = int(found[1]), int(found[2] or size)
    if found[2] and last < first:
        return None
    return (min(first, size), min(last + 1, size))


def _last(count: int, size: int) -> Span | None:
    if count == 0:
        return (size, size)
    return None if size == 0 else (max(0, size - count), size)


def is_current(if_range: str, etag: str, modified: datetime) -> bool:
    """Whether an `If-Range` names this version of the file: compared strongly, so a weak tag never does.

    A date must be the very one. Whether it tells versions apart is for the origin to know: here no two have the same.
    """
    if if_range.startswith(('"', "W/")):
        return if_range == etag and not etag.startswith("W/")
    return if_range in _spellings(modified)


def http_date(moment: datetime) -> str:
    """The moment as HTTP writes it; a whole second of UTC."""
    return format_datetime(moment, usegmt=True)


def _spellings(moment: datetime) -> set[str]:
    """The three forms of a date that whoever reads HTTP must accept."""
    date = http_date(moment)
    obsolete = f"{_DAYS[moment.weekday()]}, {date[5:7]}-{date[8:11]}-{date[14:]}"
    return {date, obsolete, time.asctime(moment.timetuple())}
