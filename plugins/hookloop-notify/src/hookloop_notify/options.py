"""The options of ``[plugins.notify]`` and of the tables in it. No message about them quotes what may be a secret."""

from __future__ import annotations

import math
import re
import shutil
from email.utils import parseaddr
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, ConfigDict, Field, SecretStr, model_validator

from hookloop import PluginConfig
from hookloop_notify.conditions import Conditions
from hookloop_notify.scrubbing import HIDDEN
from hookloop_notify.templates import WHOLE_FIELDS, check_template, strings_of

Event = Literal["started", "completed", "stopped", "interrupted", "preempted", "failed"]

PORTS = {"starttls": 587, "tls": 465, "none": 25}
LOOPBACK = ("localhost", "127.0.0.1", "::1")
DEFAULT_PAYLOAD = {"text": "{text}"}

SUBJECT = "{name}: {summary}"
BODY = """\
{summary}

step {step}, epoch {epoch}, {elapsed}
{host}:{directory}

{metrics}

{traceback}"""


def check_own(text: str) -> str:
    """Return *text* if it is a template of a subject or a body."""
    return check_template(text)


def check_whole(text: str) -> str:
    """Return *text* if it is a template of what is sent."""
    return check_template(text, WHOLE_FIELDS)


def check_address(text: str) -> str:
    """Return *text* if it is an address, with or without a name before it."""
    _, address = parseaddr(text)
    if "@" not in address.strip("@") or re.search(r"[\r\n]", text):
        raise ValueError(f"'{text}' must be an address, such as 'me@example.org' or 'Me <me@example.org>'")
    return text


def check_file(path: Path) -> Path:
    """Return *path* if there is such a file."""
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    return path


def check_url(secret: SecretStr) -> SecretStr:
    """Return *secret* if it is a URL that can be posted to."""
    text = secret.get_secret_value()
    if text == HIDDEN:  # from the config.toml of a run: without it nothing can be sent, but the run can go on
        return secret
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("must be a URL of printable ASCII without spaces")
    try:
        parts = urlsplit(text)
        whole = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        whole = False
    if not whole:
        raise ValueError("must be a whole URL, such as https://hooks.example.org/...")
    return secret


def check_headers(headers: dict[str, SecretStr]) -> dict[str, SecretStr]:
    """Return *headers* if HTTP can carry them."""
    for name, secret in headers.items():
        if not re.fullmatch(r"[\w!#$%&'*+.^`|~-]+", name, re.ASCII):
            raise ValueError(f"'{name}' must be the name of a header, such as 'Authorization'")
        try:
            text = secret.get_secret_value().encode("latin-1").decode("latin-1")
        except UnicodeEncodeError:
            raise ValueError(f"the header {name} has characters that a header cannot have") from None
        if re.search(r"[\r\n\0]", text):
            raise ValueError(f"the header {name} must be one line")
    return headers


def check_payload(payload: dict[str, Any]) -> dict[str, Any]:
    """Return *payload* if JSON has it and its texts are templates of what is sent."""
    check_json(payload)
    for text in strings_of(payload):
        check_whole(text)
    return payload


def check_json(value: Any) -> None:
    """Raise ValueError for what JSON does not have, such as a date."""
    if isinstance(value, (dict, list, tuple)):
        for each in value.values() if isinstance(value, dict) else value:
            check_json(each)
    elif not isinstance(value, (str, int, float)) or (isinstance(value, float) and not math.isfinite(value)):
        raise ValueError(f"has a value that JSON does not have, of type {type(value).__name__}: put it in quotes")


def check_program(args: tuple[str, ...]) -> tuple[str, ...]:
    """Return *args* if there is such a program; the others are templates."""
    if shutil.which(args[0]) is None:
        raise ValueError(f"there is no program '{args[0]}'; the first of args is one, and no shell reads them")
    for text in args[1:]:
        check_whole(text)
    return args


Own = Annotated[str, AfterValidator(check_own)]
Whole = Annotated[str, AfterValidator(check_whole)]
Address = Annotated[str, AfterValidator(check_address)]
File = Annotated[Path, AfterValidator(check_file)]


class Options(PluginConfig):
    """What the tables have in common: an error shows none of their values."""

    model_config = ConfigDict(hide_input_in_errors=True)


class Email(Options):
    """Options of ``[plugins.notify.email]``."""

    host: str = Field(min_length=1)
    """The SMTP server."""

    port: int | None = Field(None, ge=1, le=65535)
    """Its port; without it, 587 for `starttls`, 465 for `tls` and 25 for `none`."""

    security: Literal["starttls", "tls", "none"] = "starttls"
    """`starttls` begins in the clear and goes on encrypted, `tls` is encrypted from the first byte. A password is sent
    with `none` to this machine only."""

    user: str | None = Field(None, min_length=1)
    """Who logs in; without it, nobody does."""

    password: SecretStr | None = None
    """The password of `user`. Write `{ env = "NAME" }`."""

    sender: Address = Field(alias="from")
    """The address that the message comes from."""

    to: tuple[Address, ...] = Field(min_length=1)
    """The addresses that it goes to."""

    ca_file: File | None = None
    """Certificates to trust instead of those of the system, as PEM."""

    @model_validator(mode="after")
    def check(self) -> Email:
        """Refuse half a login, and a password that everybody could read on its way."""
        if (self.user is None) != (self.password is None):
            raise ValueError("'user' and 'password' go together: write both, or none")
        if self.password is not None and not (self.password.get_secret_value() + (self.user or "")).isascii():
            raise ValueError("'user' and 'password' must be ASCII, which is what SMTP is sure to take")
        if self.password is not None and self.security == "none" and self.host not in LOOPBACK:
            raise ValueError("security = \"none\" would send the password in the clear: use 'starttls' or 'tls'")
        return self


class Webhook(Options):
    """Options of ``[plugins.notify.webhook]``."""

    url: Annotated[SecretStr, AfterValidator(check_url)]
    """Where to post to. Write `{ env = "NAME" }`, as who has the address may use it."""

    payload: Annotated[dict[str, Any], AfterValidator(check_payload)] | None = None
    """What is sent, as JSON: a table whose texts are templates; without it, `{ text = "{text}" }`, which Slack,
    Mattermost and Google Chat take."""

    body: Whole | None = None
    """A template to send as plain text in place of a payload."""

    headers: Annotated[dict[str, SecretStr], AfterValidator(check_headers)] = Field(default_factory=dict)
    """More headers, sent as they stand; those with a secret as `{ env = "NAME" }`."""

    max_characters: int = Field(2000, ge=100)
    """How long a text may become; what is longer loses its middle. Discord takes 2000."""

    ca_file: File | None = None
    """Certificates to trust instead of those of the system, as PEM."""

    @model_validator(mode="after")
    def check(self) -> Webhook:
        """Refuse two contents."""
        if self.payload is not None and self.body is not None:
            raise ValueError("'payload' and 'body' are both what is sent: write one")
        return self


class Command(Options):
    """Options of ``[plugins.notify.command]``."""

    args: Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(check_program)]
    """The program and its arguments, which are templates. No shell reads them. The message is its standard input, and
    the fields are in its environment, as `HOOKLOOP_NOTIFY_OUTCOME` and so on."""


class NotifyConfig(Options):
    """Options of ``[plugins.notify]``."""

    on: tuple[Event, ...] = ("completed", "stopped", "preempted", "failed")
    """When to send: at the end, by how it ended, which may also be `interrupted` (by Ctrl-C), and when it has
    `started`."""

    when: dict[str, Conditions] = Field(default_factory=dict)
    """Conditions by metric, such as `{ "val/loss" = "< 0.1", "train/loss" = "not finite" }`, one or a list: `<`, `<=`,
    `>`, `>=`, `==` or `!=` with a number, `nan`, `inf` or `not finite`. Each is told of when it becomes true, and again
    after it was false. A name may be a pattern with `*`."""

    min_interval_seconds: float = Field(600.0, ge=0)
    """The least time between two messages about conditions. What is not sent is told of in the next message."""

    subject: Own = SUBJECT
    """The template of the subject."""

    body: Own | None = None
    """The template of the text; without it, what happened and where, the metrics, and the traceback."""

    metrics: tuple[str, ...] = ("train/*", "val/*", "test/*")
    """Which metrics the field `metrics` has: names, or patterns with `*`."""

    traceback_lines: int = Field(20, ge=0)
    """How many of the last lines of the traceback to send."""

    timeout_seconds: float = Field(30.0, gt=0)
    """How long a message may take, all its attempts together. The end of a run is held up by no more than this."""

    grace_seconds: float = Field(5.0, gt=0)
    """The same after a preemption or Ctrl-C, when there is little time left."""

    attempt_seconds: float = Field(10.0, gt=0)
    """How long one attempt to send may take, and a command may run."""

    email: Email | None = None
    """The table of the e-mail."""

    webhook: Webhook | None = None
    """The table of the webhook."""

    command: Command | None = None
    """The table of the command."""

    @model_validator(mode="after")
    def check(self) -> NotifyConfig:
        """Refuse a plugin that could not say anything, or to nobody."""
        if self.email is None and self.webhook is None and self.command is None:
            raise ValueError("there is nowhere to send to: add a table 'email', 'webhook' or 'command' to this one")
        if not self.on and not self.when:
            raise ValueError("'on' and 'when' are both empty, so nothing would ever be sent")
        return self
