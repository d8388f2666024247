"""What of a run's configuration is secret, and whether it stands there in plain text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import SecretStr

from hookloop_notify.options import Email, NotifyConfig, Webhook
from hookloop_notify.scrubbing import (
    HIDDEN,
    Scrubber,
    secrets_of_environment,
    secrets_of_references,
    secrets_of_table,
    secrets_of_url,
)
from hookloop_notify.templates import strings_of

AS_REFERENCE = 'write it as { env = "NAME" }'


def scrubber(config: NotifyConfig, settings: Mapping[str, Any], environ: Mapping[str, str]) -> Scrubber:
    """Return what keeps the secrets of *config*, of the whole configuration and of the environment out of texts."""
    found = [*secrets_of_environment(environ), *secrets_of_references(settings, environ)]
    if config.email is not None and config.email.password is not None:
        found.append(config.email.password.get_secret_value())
    if config.webhook is not None:
        found += secrets_of_url(config.webhook.url.get_secret_value())
        found += secrets_of_table(plain_headers(config.webhook))
        found += secrets_of_table(config.webhook.payload)
    return Scrubber(found)


def plain_headers(webhook: Webhook) -> dict[str, str]:
    """Return the headers as they are sent."""
    return {name: secret.get_secret_value() for name, secret in webhook.headers.items()}


def is_lost(options: Email | Webhook) -> bool:
    """Return whether a secret of *options* is the ``***`` that a run's ``config.toml`` has in its place."""
    if isinstance(options, Email):
        return is_hidden(options.password)
    return any(map(is_hidden, [options.url, *options.headers.values()])) or HIDDEN in strings_of(options.payload)


def is_hidden(secret: SecretStr | None) -> bool:
    """Return whether *secret* is only its stand-in."""
    return secret is not None and secret.get_secret_value() == HIDDEN


def spoken(config: NotifyConfig, table: Mapping[str, Any]) -> Iterator[str]:
    """Yield a warning for each secret that was written down; *table* is the plugin's own, as ``config.toml`` has it."""
    email, webhook = table.get("email", {}), table.get("webhook", {})
    written = []
    if config.email is not None:
        written.append(("email.password", email.get("password"), config.email.password))
    if config.webhook is not None:
        headers = webhook.get("headers", {})
        written.append(("webhook.url", webhook.get("url"), config.webhook.url))
        written += [
            (f"webhook.headers.{name}", headers.get(name), each) for name, each in config.webhook.headers.items()
        ]
    for key, shown, secret in written:
        if shown == HIDDEN and not is_hidden(secret):
            yield f"{key} stands in the configuration, and a resumed run will not have it: {AS_REFERENCE}"
