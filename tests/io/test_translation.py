"""What went wrong between here and the service, in words that name the next step."""

import ssl
from types import SimpleNamespace

import aiohttp
import pytest

from iceye_async.exchange import translated

PLACE = SimpleNamespace(host="api.example", port=443, ssl=True)
BEHIND = SimpleNamespace(host="proxy.example", port=3128, ssl=False)


def tls(reason):
    error = ssl.SSLError(1, reason)
    error.reason = reason
    return aiohttp.ClientConnectorSSLError(PLACE, error)


def certificate(message):
    error = ssl.SSLCertVerificationError(1, message)
    error.verify_message = message
    return aiohttp.ClientConnectorCertificateError(PLACE, error)


def proxy(status):
    return aiohttp.ClientHttpProxyError(None, (), status=status, message="no")


@pytest.mark.parametrize(
    ("error", "words", "transient"),
    [
        (certificate("Hostname mismatch, certificate is not valid for 'x'."), "for another name, check the add", False),
        (certificate("unable to get local issuer certificate"), "a company CA goes into ssl=", False),
        (tls("WRONG_VERSION_NUMBER"), "does not speak TLS, check scheme and port", False),
        (proxy(407), "wants a user name and a password", False),
        (proxy(403), "the proxy does not let this pass", False),
        (proxy(502), "the proxy refused or cannot be reached", True),
        (aiohttp.ClientConnectorDNSError(BEHIND, OSError("no")), "the name of the proxy cannot be resolved", True),
        (aiohttp.ClientConnectorDNSError(PLACE, OSError("no")), "the host name cannot be resolved", True),
        (aiohttp.ServerDisconnectedError(), "the connection broke", True),
        (TimeoutError(), "no whole reply within 60 s", True),
        (RuntimeError("x"), "no reply", True),
    ],
)
def test_each_failure_names_its_next_step(error, words, transient):
    found = translated(error, "GET /x", "api.example", 60)

    assert words in str(found)
    assert found.transient is transient
