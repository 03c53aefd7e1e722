"""How models show texts of the service: a signed link may stand in any of them, and none is shown."""

from collections.abc import Mapping
from typing import Any

from attrs import Attribute

from ..protocol.links import mask_text


def masked(_: type, fields: "list[Attribute[Any]]") -> "list[Attribute[Any]]":
    """For attrs: the fields of a model, but for those that say themselves how they are shown."""
    return [field.evolve(repr=_whole) if field.repr is True else field for field in fields]


def _whole(value: object) -> str:
    """As its repr is."""
    try:
        if isinstance(value, Mapping) and not _may_hold_a_link(text := repr(value)):
            # A footprint of a million positions, for instance.
            return text
        return _shown(value)
    except RecursionError:
        return "<nested too deeply>"


def _shown(value: object) -> str:
    if isinstance(value, str):
        return repr(mask_text(value)) if _may_hold_a_link(value) else repr(value)
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{_shown(key)}: {_shown(part)}' for key, part in value.items())}}}"
    if type(value) is list:
        return f"[{', '.join(map(_shown, value))}]"
    if type(value) is tuple:
        return f"({', '.join(map(_shown, value))}{',' * (len(value) == 1)})"
    if type(value) is frozenset and value:
        return f"frozenset({{{', '.join(map(_shown, value))}}})"
    return repr(value)


def _may_hold_a_link(text: str) -> bool:
    return "=" in text or "://" in text
