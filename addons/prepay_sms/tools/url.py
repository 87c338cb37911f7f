"""Which addresses may be called with a secret."""

from ipaddress import ip_address
from urllib.parse import urlsplit


def is_loopback(host):
    """The host is this machine, by name or address.

    >>> [is_loopback(host) for host in ("localhost", "127.0.0.1", "::1", "10.0.0.1")]
    [True, True, True, False]
    """
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def problem_of(url):
    """Why a gateway address cannot be used: "address", "userinfo", "plain" (no TLS), or None.

    >>> problem_of("https://sms.example.com/send"), problem_of("http://127.0.0.1:8080/send")
    (None, None)
    >>> problem_of("http://sms.example.com/send"), problem_of("ftp://x"), problem_of("https://a:b@x/")
    ('plain', 'address', 'userinfo')
    """
    try:
        parts = urlsplit(url or "")
        host, _port = parts.hostname, parts.port
    except ValueError:
        return "address"
    if parts.scheme not in ("http", "https") or not host:
        return "address"
    if parts.username or parts.password:
        return "userinfo"
    if parts.scheme == "http" and not is_loopback(host):
        return "plain"
    return None
