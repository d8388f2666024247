"""Sends a message by SMTP."""

from __future__ import annotations

import smtplib
import ssl
from contextlib import suppress
from email.message import EmailMessage
from email.utils import formatdate, make_msgid, parseaddr

from hookloop_notify.channel import Message, Unsent, Until, seconds_left
from hookloop_notify.options import PORTS, Email


class Mail:
    """A connection for each message: there are few of them, and a server closes what is idle."""

    def __init__(self, options: Email) -> None:
        self.options = options
        self.port = options.port or PORTS[options.security]
        self.place = f"e-mail by {options.host}:{self.port}"

    def send(self, message: Message, until: Until) -> None:
        """Send *message*, or raise Unsent."""
        try:
            refused = self._deliver(letter(self.options, message), until)
        except ssl.SSLCertVerificationError as error:
            raise Unsent(
                f"its certificate is not trusted: {error.verify_message}. Name the file of the authority: ca_file = ..."
            ) from None
        except smtplib.SMTPNotSupportedError as error:
            raise Unsent(f"the server does not offer what is asked for: {error}") from None
        except smtplib.SMTPAuthenticationError as error:
            raise Unsent(f"the login was refused: {answer(error)}", transient=error.smtp_code < 500) from None
        except smtplib.SMTPRecipientsRefused as error:
            raise Unsent(told(error.recipients), transient=may_pass(error.recipients)) from None
        except smtplib.SMTPResponseException as error:
            raise Unsent(f"the server answered {answer(error)}", transient=error.smtp_code < 500) from None
        except smtplib.SMTPServerDisconnected as error:
            raise Unsent(str(error), transient=True) from None
        except TimeoutError:
            raise Unsent("the server did not answer in time", transient=True) from None
        except ssl.SSLError as error:
            raise Unsent(f"no encrypted connection: {error.reason or error}; see 'security' and 'port'") from None
        except OSError as error:
            raise Unsent(f"{type(error).__name__}: {error}", transient=True) from None
        if refused:
            raise Unsent(told(refused))

    def _deliver(self, written: EmailMessage, until: Until) -> dict[str, tuple[int, bytes]]:
        options = self.options
        server = self._connection(seconds_left(until))
        try:
            if options.security == "starttls":
                server.starttls(context=self._context())
            if options.user is not None and options.password is not None:
                server.login(options.user, options.password.get_secret_value())
            refused = server.send_message(written)
            # What goes wrong from here on is none of the message's business, which would be sent twice.
            with suppress(OSError):
                server.quit()
            return refused
        finally:
            server.close()

    def _connection(self, seconds: float) -> smtplib.SMTP:
        host, port = self.options.host, self.port
        if self.options.security == "tls":
            return smtplib.SMTP_SSL(host, port, timeout=seconds, context=self._context())
        return smtplib.SMTP(host, port, timeout=seconds)

    def _context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.options.ca_file)


def letter(options: Email, message: Message) -> EmailMessage:
    """Return *message* as an e-mail of plain text."""
    written = EmailMessage()
    written["From"] = options.sender
    written["To"] = ", ".join(options.to)
    written["Subject"] = message.subject
    written["Date"] = formatdate(localtime=True)
    written["Message-ID"] = make_msgid(domain=parseaddr(options.sender)[1].rpartition("@")[2])
    written["Auto-Submitted"] = "auto-generated"  # so that nobody's vacation answers
    written.set_content(message.body)
    return written


def answer(error: smtplib.SMTPResponseException) -> str:
    """Return what the server said."""
    return f"{error.smtp_code} {as_text(error.smtp_error)}"


def told(refused: dict[str, tuple[int, bytes]]) -> str:
    """Return who does not get it, and why."""
    each = (f"{address}: {code} {as_text(why)}" for address, (code, why) in refused.items())
    return f"the server refused {'; '.join(each)}"


def may_pass(refused: dict[str, tuple[int, bytes]]) -> bool:
    """Return whether the server may take them another time."""
    return all(code < 500 for code, _ in refused.values())


def as_text(answer: bytes | str) -> str:
    """Return an answer in one line."""
    text = answer.decode("utf-8", "replace") if isinstance(answer, bytes) else answer
    return " ".join(text.split())
