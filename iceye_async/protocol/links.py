"""Signed links: how they are shown, when they may be fetched, and the safe local names of what they lead to.

Source: the API pages "Task products" and "Task derivatives" ("Download URLs expire in 1 hour. Do not store the
URLs"). A link is a secret for that hour, so it is never shown with its query.
"""

import hashlib
import ipaddress
import re
from collections.abc import Iterable, Mapping
from email.message import Message
from email.utils import collapse_rfc2231_value
from typing import Any
from urllib.parse import unquote, urlsplit

LIFE = 3600.0
"""Seconds that a link lives: "Download URLs expire in 1 hour"."""

_LONGEST = 100
# CloudFront's canned policy has these; what signs for S3 begins with X-Amz-.
_EXPIRES = r"[?&]Expires=(\d{1,12})(?:[&#]|$)"
_SIGNING = r"(?i)(expires|signature|policy|key-pair-id|hash-algorithm|awsaccesskeyid|x-amz-[\w-]+)="
_UNSAFE = r"[^A-Za-z0-9._-]+"
_PLAIN = r"(?!.*\.$)[A-Za-z0-9_][A-Za-z0-9._-]{0,119}"
_SUFFIX = r"\.[A-Za-z0-9]{1,8}$"
_HASHED = r"-[0-9a-f]{10}(\.[A-Za-z0-9]{1,8})?$"
_RESERVED = r"(?i:con|prn|aux|nul|com[0-9]|lpt[0-9])(\.|$)"
# A link, and what may be the rest of its query, where a space or a quote tore it: words with what only queries hold.
_LINK = r"""((?i:https?)://[^\s"'<>]+)((?:[\s"'<>]+(?!(?i:https?)://)[^\s"'<>=&~]*[=&~][^\s"'<>]*)*)"""
_CONTROL = r"[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]+"
_HOST = r"[A-Za-z0-9.:-]+"
_WORD = r"""[^\s"'<>]+"""
_SIGNED = r"""(?i)(?<![\w-])([\w-]*(?:signature|credential|token|policy|secret))=[^\s"'<>&]+"""
_OF_A_NAME = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.~%-"


def mask(href: str) -> str:
    """The link without what makes it a secret: no query, no fragment, no user information."""
    try:
        parts = urlsplit(href)
        host = parts.hostname or ""
    except ValueError:
        return "<unreadable link>"
    if parts.scheme.lower() not in {"http", "https"} or not host:
        return f"<{parts.scheme[:8] or 'relative'} link>" if href else "''"
    if re.fullmatch(_HOST, host) is None:
        return "<unreadable link>"
    query = "?..." if parts.query else ""
    return f"{parts.scheme}://{host}{parts.path}{query}"


def mask_text(text: str) -> str:
    """The text with every link in it masked, and what signs one wherever it stands."""
    text = re.sub(_WORD, _without_query, re.sub(_LINK, _masked, text))
    return re.sub(_SIGNED, r"\1=...", text)


def mask_within(value: Any) -> Any:
    """JSON as a copy in which every text is masked, that of keys too."""
    if value is None or isinstance(value, int | float):
        return value
    if isinstance(value, str):
        # Most texts hold neither, and then there is nothing to mask in them.
        return mask_text(value) if "=" in value or "://" in value else str(value)
    if isinstance(value, Mapping):
        masked: dict[str, Any] = {}
        for key, part in value.items():
            shown = mask_within(key)
            while shown in masked:
                # Two links that differ in their queries alone.
                shown += "_"
            masked[shown] = mask_within(part)
        return masked
    return [mask_within(part) for part in value] if isinstance(value, list | tuple) else value


def clean(text: str, longest: int = 300) -> str:
    """Text of the service, fit for a message: one line, no control characters, no signed link, not endless."""
    text = re.sub(_CONTROL, " ", mask_text(text)).strip()
    return text if len(text) <= longest else f"{text[: longest - 3]}..."


def named(words: Iterable[str]) -> str:
    """Words of the service or of the caller, sorted and fit for a message."""
    return ", ".join(clean(word, 60) for word in sorted(words))


def _masked(found: re.Match[str]) -> str:
    link, rest = mask(found[1]), found[2]
    return link if link.endswith("?...") else link + rest


def _without_query(found: re.Match[str]) -> str:
    """The word up to where a query begins in it: a name before the first of several `=` and `&`."""
    word = found[0]
    if "=" not in word or "&" not in word:
        return word
    before = word[: min(word.index("="), word.index("&"))]
    return before.rstrip(_OF_A_NAME) + "..."


def refusal(href: str, *, local: bool) -> str | None:
    """Why this link must not be fetched, or None where it may be.

    `local` is true where the API itself is on the loopback interface (a sandbox): then plain http and local
    addresses are what the links are expected to hold.
    """
    if len(href) > 16_384:
        return "the link is longer than 16 KiB"
    try:
        parts = urlsplit(href)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "the link cannot be read as a URL"
    if parts.scheme not in {"http", "https"} or not host:
        return "the link is not an absolute https URL"
    if parts.username is not None or parts.password is not None:
        return "the link carries user information"
    if any(ord(char) <= 0x20 or ord(char) >= 0x7F for char in href):
        return "the link holds characters that a URL cannot hold"
    if local:
        return None
    if parts.scheme == "http":
        return "the link is http, not https"
    return "the link leads to a local or private address" if is_local(host) else None


def is_local(host: str) -> bool:
    """Whether a host name or address literal is one that no public service has."""
    host = host.lower().rstrip(".")
    if host.endswith((".localhost", ".localdomain", ".local", ".internal")):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        # Every public name has a dot and ends in letters; 2130706433, 0x7f.1 and 127.1 are spellings of addresses.
        _, dot, last = host.rpartition(".")
        return not dot or not (last.isalpha() or last.startswith("xn--"))
    embedded = _embedded(address) if isinstance(address, ipaddress.IPv6Address) else None
    return not address.is_global or address.is_multicast or (embedded is not None and not embedded.is_global)


def _embedded(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that an IPv6 address stands for, in any of the ways to write one into the other."""
    if address in ipaddress.ip_network("64:ff9b::/96") or address in ipaddress.ip_network("::/96"):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour


def expiry(href: str, fetched: float | None) -> float | None:
    """When the link ends, in seconds since the epoch: as its query says, else one hour after it was given."""
    says = re.search(_EXPIRES, href)
    if says is not None:
        return float(says[1])
    return None if fetched is None else fetched + LIFE


def object_of(href: str) -> str:
    """The link without what signs it: two links to the same object are equal in this."""
    target, _, query = href.partition("#")[0].partition("?")
    rest = "&".join(part for part in query.split("&") if not re.match(_SIGNING, part))
    return f"{target}?{rest}" if rest else target


def file_name(href: str) -> str:
    """The last segment of the link's path, decoded; may be empty, and is not safe as it is."""
    try:
        return unquote(urlsplit(href).path.rpartition("/")[2])
    except ValueError:
        return ""


def disposition(header: str) -> str | None:
    """The file name in a `Content-Disposition`, in either of its forms (RFC 6266); it is not safe as it is."""
    message = Message()
    message["Content-Disposition"] = header
    try:
        params = message.get_params([], "Content-Disposition")
        told = [value for name, value in params if name.lower() == "filename"]
        # The form that can hold any letter counts before the other; it comes in three parts.
        told.sort(key=lambda value: isinstance(value, str))
        name = collapse_rfc2231_value(told[0]) if told else ""
    except ValueError:
        return None
    return name.replace("\\", "/").rpartition("/")[2].strip() or None


def safe_name(text: str) -> str:
    """A file name made of this text, the same on every system, that cannot leave its folder.

    Plain names come out as they are. Wherever anything had to be changed, a short hash of the text is added, so that
    two different texts never share a name.
    """
    if re.fullmatch(_PLAIN, text) and not re.match(_RESERVED, text) and not re.search(_HASHED, text):
        return text
    cleaned = re.sub(_UNSAFE, "_", text).lstrip(".-").rstrip(".")
    suffix = re.search(_SUFFIX, cleaned)
    ending = "" if suffix is None else suffix.group()
    stem = cleaned.removesuffix(ending)[:_LONGEST].rstrip(".") or "unnamed"
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:10]
    return f"{'_' if re.match(_RESERVED, stem) else ''}{stem}-{digest}{ending}"
