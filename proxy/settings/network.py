"""The kinds of values that have to do with the network: URLs, addresses, certificates, credentials.

A message never shows a password: what stands before an ``@`` and the value of a header are left out.
"""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

from proxy.settings.errors import shown
from proxy.settings.kinds import Kind
from proxy.settings.model import Listen

_HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9.])?")
_PORT = re.compile(r"[0-9]{1,5}")
_FINGERPRINT = re.compile(r"[0-9a-f]{64}")
_AUTHORIZATION = re.compile(r"[A-Za-z][A-Za-z0-9-]* +[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?")


def _read_upstream(text: str) -> str:
    quoted = shown(re.sub(r"^(https?://)?.*@", r"\1***@", text, flags=re.DOTALL))
    if "@" in text:
        raise ValueError(
            f"{quoted} holds a user or password, which stand in no URL here: clients' own credentials are passed on, "
            "and metadata_auth has those for the proxy's checks"
        )
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError(f"{quoted} holds spaces or characters that a URL cannot have")
    if "://" not in text:
        raise ValueError(f"{quoted} does not say http:// or https://")
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError as error:
        raise ValueError(f"{quoted} is no URL: {error}") from None
    if url.scheme not in ("http", "https"):
        raise ValueError(f"{quoted} has the scheme {url.scheme}://, which no engine speaks")
    if not url.hostname or port == 0 or not (_HOST_NAME.fullmatch(url.hostname) or _is_ipv6(url.hostname)):
        raise ValueError(f"{quoted} names no host that can be connected to")
    if "?" in text or "#" in text:
        raise ValueError(f"{quoted} has a query string or fragment, to which no path can be added")
    return text.rstrip("/")


UPSTREAM = Kind("http:// or https:// URLs, a path prefix allowed", _read_upstream, many=True)


def _read_listen(text: str) -> Listen:
    host, colon, port = text.rpartition(":")
    if not colon or not _PORT.fullmatch(port) or int(port) > 65535:
        raise ValueError(f"{shown(text)} has no port from 0 to 65535 behind a last colon")
    if not host:
        raise ValueError(f"{shown(text)} names no address; all addresses of the machine are 0.0.0.0{text}")
    if host.startswith("[") and host.endswith("]") and _is_ipv6(host[1:-1]):
        return Listen(host[1:-1], int(port))
    if ":" in host and "/" not in host:
        raise ValueError(f"{shown(text)} is no IPv6 address in brackets, as in [::1]:9700")
    if not _HOST_NAME.fullmatch(host):
        raise ValueError(f"{shown(host)} is no address of this machine")
    return Listen(host, int(port))


LISTEN = Kind("host:port, an IPv6 address in brackets", _read_listen)


def _is_ipv6(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).version == 6
    except ValueError:
        return False


def _read_fingerprint(text: str) -> str:
    digits = text.replace(":", "").lower()
    if not _FINGERPRINT.fullmatch(digits):
        raise ValueError(f"{shown(text)} is no SHA-256 fingerprint, which has 64 hexadecimal digits")
    return digits


FINGERPRINT = Kind("a certificate's SHA-256 in hexadecimal digits, colons allowed", _read_fingerprint)


def _read_authorization(text: str) -> str:
    if not _AUTHORIZATION.fullmatch(text):
        raise ValueError("the value (not shown here) is no Authorization header: a scheme, a space, and credentials")
    return text


AUTHORIZATION = Kind("the value of an Authorization header", _read_authorization)
