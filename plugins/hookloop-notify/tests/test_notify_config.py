"""What is wrong with a configuration is told before the first step, and secrets in it never are."""

import pytest

from hookloop import ConfigError, HookloopError
from hookloop_notify import Notify

URL = "https://hooks.example.org/services/T024BE7LD/uPh4Qv0R9xK2"
MAIL = {"host": "mail.example.org", "from": "a@b.org", "to": ["c@d.org"]}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "there is nowhere to send to: add a table 'email', 'webhook' or 'command'"),
        ({"on": [], "webhook": {"url": URL}}, "'on' and 'when' are both empty"),
        ({"on": ["finished"], "webhook": {"url": URL}}, "on[0]: got 'finished' (a string), expected 'started'"),
        ({"when": {"loss": "< x"}}, "when.loss: '< x' must be one of <, <=, >, >=, ==, != and a number"),
        ({"when": {"loss": []}}, "when.loss: there is no condition, such as '< 0.1'"),
        ({"when": {"loss": 0.1}}, "when.loss: got 0.1 (a number), expected a string or a list"),
        ({"subject": "{outcom}"}, "subject: unknown field 'outcom'. Did you mean 'outcome'?"),
        ({"body": "{text}"}, "body: unknown field 'text'."),
        ({"min_interval_seconds": -1}, "min_interval_seconds: got -1 (a whole number), expected a number of at least"),
        ({"email": {**MAIL, "form": "a"}}, "email.form: unknown option. Did you mean 'from'?"),
        ({"email": {**MAIL, "to": []}}, "email.to: got a list of 0, expected at least 1 elements"),
        ({"email": {**MAIL, "to": "me@d.org"}}, 'expected a list. Write ["me@d.org"]'),
        ({"email": {**MAIL, "from": "me"}}, "email.from: 'me' must be an address"),
        ({"email": {**MAIL, "user": "me"}}, "email: 'user' and 'password' go together"),
        ({"email": {**MAIL, "user": "a", "password": "b", "security": "none"}}, "would send the password in the clear"),
        ({"email": {**MAIL, "ca_file": "no.pem"}}, "email.ca_file: there is no file no.pem"),
        ({"webhook": {"url": URL, "payload": {"a": [{"b": "{txt}"}]}}}, "unknown field 'txt'. Did you mean 'text'?"),
        ({"webhook": {"url": URL, "payload": {}, "body": "x"}}, "'payload' and 'body' are both what is sent"),
        ({"webhook": {"url": URL, "headers": {"a b": "c"}}}, "'a b' must be the name of a header"),
        ({"webhook": {"url": "hooks.example.org"}}, "webhook.url: must be a whole URL"),
        ({"command": {"args": []}}, "command.args: got a list of 0"),
        ({"command": {"args": ["no-such-tool"]}}, "command.args: there is no program 'no-such-tool'"),
        ({"command": {"args": ["true", "{zz}"]}}, "command.args: unknown field 'zz'."),
    ],
)
def test_a_mistake_is_told(tiny_run, options, message):
    with pytest.raises(HookloopError) as caught:
        tiny_run.plan([("notify", options)])
    assert message in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    "webhook",
    [
        {"url": f"gopher://{URL}"},
        {"url": "https://hooks.example.org:uPh4Qv0R9xK2/"},
        {"url": "https://hooks.example.org/uPh4Qv0R9xK2 x"},
        {"url": "https://hooks.example.org/uPh4Qv0R9xK2\u00e4"},
        {"url": URL, "headers": {"Authorization": "uPh4Qv0R9xK2\nx"}},
        {"url": URL, "headers": {"Authorization": "uPh4Qv0R9xK2\u20ac"}},
        {"url": URL, "payload": {"token": "{uPh4Qv0R9xK2}"}},
        {"url": URL, "payload": {"date": __import__("datetime").date(2026, 1, 1)}},
    ],
)
def test_a_mistake_in_a_webhook_is_told_without_its_secret(tiny_run, webhook, monkeypatch):
    monkeypatch.setenv("URL_OF_HOOK", webhook["url"])
    for url in (webhook["url"], {"env": "URL_OF_HOOK"}):
        with pytest.raises(ConfigError) as caught:
            tiny_run.plan([("notify", {"webhook": {**webhook, "url": url}})])
        assert "webhook" in str(caught.value)
        assert "uPh4Qv0R9xK2" not in str(caught.value)
        assert "uPh4Qv0R9xK2" not in "".join(__import__("traceback").format_exception(caught.value))


def test_a_password_that_is_not_ascii_is_told_and_not_shown(tiny_run):
    with pytest.raises(ConfigError, match="must be ASCII") as caught:
        tiny_run.plan([("notify", {"email": {**MAIL, "user": "me", "password": "gr\u00fc\u00dfe"}})])
    assert "gr\u00fc\u00dfe" not in str(caught.value)


def test_the_options_show_no_secret():
    config = Notify.Config(
        email={**MAIL, "user": "me", "password": "hunter22"},
        webhook={"url": URL, "headers": {"Authorization": "Bearer hunter22"}},
    )
    assert "hunter22" not in repr(config)
    assert "uPh4Qv0R9xK2" not in repr(config)
    assert config.email.sender == "a@b.org"


def test_a_login_without_encryption_is_possible_on_this_machine(tiny_run):
    email = {**MAIL, "host": "localhost", "security": "none", "user": "me", "password": "hunter22"}
    tiny_run.plan([("notify", {"email": email})])
