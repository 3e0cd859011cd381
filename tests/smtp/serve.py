"""A mail server that is not ours: aiosmtpd with AUTH, by STARTTLS or TLS from the first byte.

usage: serve.py starttls|implicit_tls CERTIFICATE KEY

The first line it prints is its port, or `absent` where aiosmtpd is not installed. Then a line of JSON for each letter.
It ends when its standard input does.
"""

import json
import socket
import ssl
import sys

try:
    from aiosmtpd.controller import Controller
    from aiosmtpd.smtp import AuthResult
except ImportError:
    print("absent", flush=True)
    sys.exit(0)

ACCOUNT = (b"me", b"s3cret")


class Letters:
    async def handle_DATA(self, server, session, envelope):
        letter = {
            "login": session.authenticated,
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "text": envelope.content.decode(),
        }
        print(json.dumps(letter), flush=True)
        return "250 OK queued"


def authenticate(server, session, envelope, mechanism, data):
    return AuthResult(success=(data.login, data.password) == ACCOUNT, handled=False)


def main():
    security, certificate, key = sys.argv[1:]
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    if security == "starttls":
        protection = {"tls_context": tls, "require_starttls": True}
    else:
        # aiosmtpd takes only STARTTLS for encryption when it is asked for a password.
        protection = {"ssl_context": tls, "auth_require_tls": False}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    controller = Controller(
        Letters(), hostname="127.0.0.1", port=port, authenticator=authenticate, auth_required=True, **protection
    )
    controller.start()
    print(port, flush=True)
    sys.stdin.read()
    controller.stop(no_assert=True)


main()
