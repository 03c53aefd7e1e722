"""What the command line says: the library's messages, with commands and options where their next steps are Python."""

import os
import re
import shlex
from collections.abc import Iterable, Mapping

from ..display.text import duration, harmless
from ..protocol.links import mask_text

PROGRAM = "iceye-async"

SECRETS = ("ICEYE_CLIENT_SECRET", "ICEYE_ACCESS_TOKEN")
_LEAST = 6
"""Characters of a secret that is looked for. A shorter one would be found in every other word."""

_AS_OPTIONS: tuple[tuple[str, str], ...] = (
    (r"; what had arrived is on \.latest; wait again to go on", "; the same command goes on waiting"),
    (r"\buntil=None waits\b", "without --until it waits"),
    (r"; the items so far are on \.latest", ""),
    (r"client\.tasks\.list\(contract_id='?([^',)]*)'?, created_after=datetime\.fromisoformat\('([^']*)'\)\)",
     rf"`{PROGRAM} tasks list --contract \1 --since \2`"),
    (r"client\.tasks\.get\(\)", f"`{PROGRAM} tasks get`"),
    (r"; client\.contracts\.list\(\) has the contracts that are", ""),
    (r"^reference (?=is|has)", "--reference "),
    (r"\bacquisition_window\b", "--window"),
    (r"\bpoint_of_interest\b", "--point"),
    (r"\bincidence_angle\b", "--incidence"),
    (r"\bimaging_mode\b", "--mode"),
    (r"\bimaging_duration\b", "--duration"),
    (r"\bderivative_product_types\b", "--derivative"),
    (r"\bproduct_types\b", "--product"),
    (r"\bcreated_after\b", "--since"),
    (r"\bcreated_before\b", "--until"),
    (r"\bcontract_id\b", "--contract"),
    (r"pass overwrite=True", "pass --overwrite"),
    (r"\bjournal=", "--journal"),
    (r"with to=", "with --to "),
    (r"\bto=", "--to"),
    (r"for types=None", "for all types"),
    (r"for types=", "for --type "),
    (r"not for None\b", "not for all"),
    (r"a company CA goes into ssl=", "a company CA is named by SSL_CERT_FILE"),
    (r"check proxy=(, or HTTPS_PROXY in the environment)?", "check HTTPS_PROXY in the environment"),
    (r"\bclient_id and client_secret\b", "ICEYE_CLIENT_ID and ICEYE_CLIENT_SECRET"),
    (r"\btoken_url\b", "ICEYE_TOKEN_URL"),
    (r"\bbase_url\b", "ICEYE_BASE_URL"),
    (r"lower rate_limit, or wait for the time on \.retry_after", "wait a while; a batch asks less with --rate"),
    (r"call again after \.retry_after", "try again then"),
    (r"begin one with task_ids", f"begin one with `{PROGRAM} batch run`"),
    (r"name the task_ids again", "name the ids again"),
)  # fmt: skip


def told(error: BaseException) -> str:
    """The error's message in the words of the command line."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - of whatever kind: it has no words
        text = ""
    text = reworded(text or type(error).__name__)
    seconds = getattr(error, "retry_after", None)
    return text.replace("wait a while", f"wait {duration(seconds)}") if seconds else text


def reworded(text: str) -> str:
    """A message of the library, as somebody reads it who types commands."""
    for python, option in _AS_OPTIONS:
        text = re.sub(python, option, text)
    return harmless(text)


def command(arguments: Iterable[str]) -> str:
    """What is typed to run it, without secrets."""
    return without_secrets(harmless(shlex.join([PROGRAM, *arguments])))


def without_secrets(text: str, environment: Mapping[str, str] = os.environ) -> str:
    """The text without what signs a link, and without the secrets that are in the environment."""
    for value in secrets(environment):
        text = text.replace(value, "***")
    return mask_text(text)


def secrets(environment: Mapping[str, str] = os.environ) -> list[str]:
    """The values that nobody may see, as far as they are long enough to be told from words."""
    values = (environment.get(name, "").strip() for name in SECRETS)
    return [value for value in values if len(value) >= _LEAST]
