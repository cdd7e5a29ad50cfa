"""Asks one question over TLS 1.3, by one of Python's TLS libraries, and tells what was negotiated.

Usage: tls.py LIBRARY URL ROOTS, where LIBRARY is `ssl` (the OpenSSL that Python was built with) or
`cryptography` (the OpenSSL that the package brings along). `tls.py version` prints both versions.

Prints one line of JSON: {"group": …, "leaf": …, "body": …}, or {"refused": …} with the library's own
words. What a library does not tell is null.
"""

import json
import re
import socket
import ssl
import sys
import urllib.parse

from OpenSSL import SSL

TIMEOUT_S = 30


def by_ssl(plain, host, roots):
    """The standard library, which tells neither the group nor the leaf's algorithm."""
    link = ssl.create_default_context(cafile=roots).wrap_socket(plain, server_hostname=host)
    return link, None, None


def by_cryptography(plain, _host, roots):
    """PyOpenSSL, which is a thin layer on the package `cryptography`."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.load_verify_locations(roots)
    context.set_verify(SSL.VERIFY_PEER, None)
    plain.settimeout(None)
    link = SSL.Connection(context, plain)
    link.set_connect_state()
    link.do_handshake()
    leaf = type(link.get_peer_certificate(as_cryptography=True).public_key()).__name__
    ml_dsa = re.search(r"MLDSA(\d+)", leaf, re.IGNORECASE)
    return link, link.get_group_name(), f"ml-dsa-{ml_dsa[1]}" if ml_dsa else "ec"


def body(link, url):
    """The body of the answer to a GET."""
    request = f"GET {url.path} HTTP/1.1\r\nHost: {url.netloc}\r\nConnection: close\r\n\r\n"
    link.sendall(request.encode())
    answer = b""
    while True:
        try:
            piece = link.recv(65536)
        except (SSL.ZeroReturnError, SSL.SysCallError):
            break
        if not piece:
            break
        answer += piece
    return answer.split(b"\r\n\r\n", 1)[1].decode()


def main():
    """Prints what came of it."""
    if sys.argv[1:] == ["version"]:
        newest = SSL.OpenSSL_version(SSL.OPENSSL_VERSION).decode()
        print(f"Python's ssl: {ssl.OPENSSL_VERSION}; cryptography: {newest}")
        return
    library, target, roots = sys.argv[1:]
    url = urllib.parse.urlsplit(target)
    connect = {"ssl": by_ssl, "cryptography": by_cryptography}[library]
    with socket.create_connection((url.hostname, url.port), TIMEOUT_S) as plain:
        try:
            link, group, leaf = connect(plain, url.hostname, roots)
        except (ssl.SSLError, SSL.Error) as error:
            print(json.dumps({"refused": str(error)}))
            return
        print(json.dumps({"group": group, "leaf": leaf, "body": body(link, url)}))


main()
