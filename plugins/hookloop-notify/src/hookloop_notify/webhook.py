"""Posts a message to a URL, of which nothing but scheme and host is ever told."""

from __future__ import annotations

import http.client
import json
import ssl
import urllib.request
from base64 import b64encode
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlsplit, urlunsplit

from hookloop_notify.channel import Message, Unsent, Until, seconds_left
from hookloop_notify.options import DEFAULT_PAYLOAD, Webhook
from hookloop_notify.scrubbing import Scrubber, place_of, secrets_of_url
from hookloop_notify.templates import render, shortened, with_strings

READ_BYTES = 65536
TRANSIENT = (408, 425, 429)


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows none: it would carry the headers elsewhere, and make a GET without the message of the POST."""

    def redirect_request(self, *given: Any, **more: Any) -> None:
        """Return nothing, which makes the redirect an error."""


class Post:
    """The message as JSON or as plain text."""

    def __init__(self, options: Webhook) -> None:
        self.options = options
        self.place = f"webhook {place_of(options.url.get_secret_value())}"

    def send(self, message: Message, until: Until) -> None:
        """Send *message*, or raise Unsent."""
        request = request_for(self.options, message)
        try:
            self._opener().open(request, timeout=seconds_left(until)).close()
        except HTTPError as error:
            with error:
                raise self._refused(error) from None
        except TimeoutError:
            raise Unsent("it did not answer in time", transient=True) from None
        except URLError as error:
            raise self._unreached(error.reason) from None
        except (OSError, http.client.HTTPException) as error:
            raise self._unreached(error) from None

    def _opener(self) -> urllib.request.OpenerDirector:
        context = ssl.create_default_context(cafile=self.options.ca_file)
        return urllib.request.build_opener(NoRedirect, urllib.request.HTTPSHandler(context=context))

    def _refused(self, error: HTTPError) -> Unsent:
        if 300 <= error.code < 400:
            target = urlsplit(error.headers.get("Location", ""))
            where = f" to {target.scheme}://{target.hostname}" if target.hostname else ""
            return Unsent(f"it answered {error.code}, a redirect{where}, which is not followed: name that address")
        words = f"it answered {error.code} {error.reason}"
        text = self._shown(error)
        after = error.headers.get("Retry-After", "")
        return Unsent(
            f"{words}: {text}" if text else words,
            transient=error.code >= 500 or error.code in TRANSIENT,
            after_seconds=float(after) if after.isdecimal() else None,
        )

    def _shown(self, error: HTTPError) -> str:
        """Return how the answer begins; it may repeat the address that was asked for, also in pieces."""
        try:
            text = " ".join(error.read(READ_BYTES).decode("utf-8", "replace").split())
        except (OSError, http.client.HTTPException):
            return ""
        url = self.options.url.get_secret_value()
        pieces = urlsplit(url).path.split("/")
        return Scrubber([*secrets_of_url(url), *map(unquote, pieces), *pieces])(text)[:200]

    def _unreached(self, reason: object) -> Unsent:
        if isinstance(reason, ssl.SSLCertVerificationError):
            why = f"its certificate is not trusted: {reason.verify_message}. Name the file of the authority: ca_file"
            return Unsent(f"{why} = ...")
        if isinstance(reason, TimeoutError):
            return Unsent("it did not answer in time", transient=True)
        name = type(reason).__name__ if isinstance(reason, Exception) else ""
        return Unsent(": ".join(filter(None, (name, str(reason)))), transient=True)


def request_for(options: Webhook, message: Message) -> urllib.request.Request:
    """Return the request that posts *message*."""
    url, login = without_login(options.url.get_secret_value())
    data, kind = content_of(options, message)
    headers = {"Content-Type": f"{kind}; charset=utf-8", "User-Agent": "hookloop-notify", **login}
    headers |= {name: secret.get_secret_value() for name, secret in options.headers.items()}
    return urllib.request.Request(url, data=data, headers=headers, method="POST")


def content_of(options: Webhook, message: Message) -> tuple[bytes, str]:
    """Return what is sent, and its type."""

    def filled(text: str) -> str:
        return shortened(render(text, message.all_fields, message.metrics), options.max_characters)

    if options.body is not None:
        return filled(options.body).encode(), "text/plain"
    payload = with_strings(DEFAULT_PAYLOAD if options.payload is None else options.payload, filled)
    return json.dumps(payload).encode(), "application/json"


def without_login(url: str) -> tuple[str, dict[str, str]]:
    """Return *url* without a user and password, and the header that has them instead."""
    parts = urlsplit(url)
    login, _, host = parts.netloc.rpartition("@")
    bare = urlunsplit(parts._replace(netloc=host, fragment=""))
    return bare, {"Authorization": f"Basic {b64encode(unquote(login).encode()).decode()}"} if login else {}
