"""The OpenAPI document of the sandbox: `openapi.json`, which is written by hand from the API pages."""

import json
from importlib import resources
from typing import Any


def document(base_url: str) -> dict[str, Any]:
    """The document, as the sandbox at this address serves it: what it names of itself are whole URLs."""
    found: dict[str, Any] = json.loads(resources.files(__package__).joinpath("openapi.json").read_text("utf-8"))
    found["servers"] = [{"url": base_url}]
    flow = found["components"]["securitySchemes"]["oauth2"]["flows"]["clientCredentials"]
    flow["tokenUrl"] = base_url + flow["tokenUrl"]
    return found
