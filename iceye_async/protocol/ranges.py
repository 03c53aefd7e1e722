"""Which bytes of a file are here, as spans: (first, one past the last), in order, none touching the next."""

import re
from collections.abc import Iterable
from typing import TypeAlias

Span: TypeAlias = tuple[int, int]
Spans: TypeAlias = tuple[Span, ...]

_CONTENT_RANGE = r"bytes\s+(\d{1,18})-(\d{1,18})/(\d{1,18}|\*)"
_UNSATISFIED = r"bytes\s+\*/(\d{1,18})"


def added(spans: Iterable[Span], new: Span) -> Spans:
    """The spans with one more. What overlaps or touches becomes one."""
    first, last = new
    if first >= last:
        return tuple(spans)
    apart: list[Span] = []
    for start, end in spans:
        if end < first or last < start:
            apart.append((start, end))
        else:
            first, last = min(first, start), max(last, end)
    return tuple(sorted([*apart, (first, last)]))


def held(spans: Iterable[Span]) -> int:
    """How many bytes they are."""
    return sum(end - start for start, end in spans)


def gaps(spans: Iterable[Span], size: int) -> Spans:
    """What is missing of a file of this size."""
    missing, here = [], 0
    for start, end in spans:
        if here < start:
            missing.append((here, min(start, size)))
        here = end
    if here < size:
        missing.append((here, size))
    return tuple(missing)


def are_spans(value: object, size: int | None) -> bool:
    """Whether this is what `added` makes, within a file of this size."""
    if not isinstance(value, list | tuple):
        return False
    before = -1
    for span in value:
        if not isinstance(span, list | tuple) or len(span) != 2 or not all(type(at) is int for at in span):
            return False
        first, last = span
        if not before < first < last or (size is not None and last > size):
            return False
        before = last
    return True


def content_range(text: str) -> tuple[Span, int | None] | None:
    """What a `Content-Range` says: the span, and the size of the whole where it is told. None: it makes no sense."""
    found = re.fullmatch(_CONTENT_RANGE, text.strip(), re.ASCII)
    if found is None:
        return None
    first, last = int(found[1]), int(found[2])
    size = None if found[3] == "*" else int(found[3])
    if first > last or (size is not None and last >= size):
        return None
    return (first, last + 1), size


def unsatisfied(text: str) -> int | None:
    """The size of the whole, from the `Content-Range` of a 416."""
    found = re.fullmatch(_UNSATISFIED, text.strip(), re.ASCII)
    return None if found is None else int(found[1])
