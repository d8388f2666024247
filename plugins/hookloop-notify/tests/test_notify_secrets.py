"""No secret is in a file of the run, in a log, on stderr, in an error or in a message."""

import json
import logging
import os
import subprocess
import sys

import pytest

PASSWORD = "correct-horse-battery"
SLUG = "T024BE7LD-B0123456-uPh4Qv0R9xK2"

TASK = """
import os
import torch
from hookloop import SupervisedTask

class Leaky(SupervisedTask):
    def train_step(self, batch):
        raise RuntimeError("cannot log in with " + os.environ["MAIL_PASSWORD"] + " at " + os.environ["HOOK_URL"]
                           + " nor with " + os.environ["OTHER_API_KEY"])

def build():
    return Leaky(torch.nn.Linear(3, 1), train=[(torch.zeros(4, 3), torch.zeros(4, 1))])
"""

CONFIG = """
[run]
max_epochs = 1
device = "cpu"
threads = 1
run_dir = "run"
[task]
use = "task.py:build"
[loss]
use = "mse"
[optimizer]
use = "sgd"
lr = 0.1
[plugins.notify]
subject = "{{summary}}"
body = "{{error}} {{traceback}}"
[plugins.notify.email]
host = "127.0.0.1"
port = {port}
user = "trainer"
password = {{ env = "MAIL_PASSWORD" }}
from = "a@b.org"
to = ["c@d.org"]
ca_file = "{ca_file}"
[plugins.notify.webhook]
url = {{ env = "HOOK_URL" }}
headers = {{ Authorization = {{ env = "HOOK_LOGIN" }} }}
payload = {{ text = "{{text}}", chat = {{ env = "CHAT" }} }}
[plugins.notify.command]
args = ["sh", "-c", "echo $0 >&2; exit 1", {{ env = "ARGUMENT" }}]
"""

SECRETS = {
    "HOOK_LOGIN": "Bearer 0f1e2d3c4b",
    "CHAT": "chat-4711-token",
    "ARGUMENT": "argument-that-is-secret",
    "OTHER_API_KEY": "key-of-another-plugin",
}


def everything_in(directory):
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


@pytest.mark.parametrize("encrypted", ["starttls"], indirect=True)
def test_a_run_with_a_file_and_every_channel_leaves_none_anywhere(tmp_path, encrypted, hook, certificate):
    box, options = encrypted
    (tmp_path / "task.py").write_text(TASK)
    (tmp_path / "run.toml").write_text(CONFIG.format(port=options["port"], ca_file=certificate.cert))
    hook.answers, hook.body = [404], f"no {SLUG}, {SECRETS['CHAT']} here".encode()
    variables = {**os.environ, **SECRETS, "MAIL_PASSWORD": PASSWORD, "HOOK_URL": hook.url}
    command = [sys.executable, "-m", "hookloop", "fit", "run.toml", "--json"]
    done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    (letter,) = box.letters
    (request,) = hook.requests
    assert json.loads(request.data)["chat"] == SECRETS["CHAT"]
    assert request.headers["Authorization"] == SECRETS["HOOK_LOGIN"]
    told = letter.letter.get_content() + letter.letter["Subject"] + json.loads(request.data)["text"]
    assert told.count("cannot log in with *** at *** nor with ***") == 6
    ours = [line for line in done.stderr.splitlines() if line.startswith("warning: notify:")]
    assert len(ours) == 2
    assert ours[0].endswith("it answered 404 Not Found: no ***, *** here") or ours[1].endswith(": no ***, *** here")
    assert "warning: notify: command 'sh': it exited with 1: ***" in ours
    files = everything_in(tmp_path / "run")
    assert {"config.toml", "run.json"} <= {path.name for path in files}
    hidden = [PASSWORD, SLUG, "0f1e2d3c4b", *SECRETS.values()]
    # The task's own error is the run's to tell; everything else is not.
    own = [data for path, data in files.items() if path.name != "run.json"]
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    del record["error"]
    for secret in hidden:
        assert [data for data in own if secret.encode() in data] == []
        assert secret not in json.dumps(record)
        assert secret not in told
        assert secret not in "\n".join(ours)


def test_a_wrong_password_is_one_warning_without_it(tiny_run, encrypted, said, monkeypatch, capfd):
    box, options = encrypted
    monkeypatch.setenv("MAIL_PASSWORD", f"wrong-{PASSWORD}")
    result = tiny_run([("notify", {"email": {**options, "password": {"env": "MAIL_PASSWORD"}}})])
    assert {*box.logins} == {("trainer", f"wrong-{PASSWORD}")}  # by each of the ways that the server offers
    place = f"e-mail by 127.0.0.1:{options['port']}"
    assert said() == [f"notify: {place}: the login was refused: 535 5.7.8 bad credentials"]
    assert not any(PASSWORD.encode() in data for data in everything_in(result.directory).values())
    assert PASSWORD not in "".join(capfd.readouterr())


def test_an_untrusted_certificate_is_one_warning(tiny_run, encrypted, said, monkeypatch):
    box, options = encrypted
    monkeypatch.setenv("MAIL_PASSWORD", PASSWORD)
    tiny_run([("notify", {"email": {**options, "ca_file": None, "password": {"env": "MAIL_PASSWORD"}}})])
    assert len(said()) == 1
    assert "its certificate is not trusted" in said()[0]
    assert box.logins == []


def test_a_secret_in_plain_text_is_warned_of_at_the_start_and_not_shown(tiny_run, hook, encrypted, said):
    _, options = encrypted
    url = hook.url.replace("//", "//me:hunter22@")
    webhook = {"url": url, "headers": {"Cookie": "cookie-4711", "Authorization": "Bearer 4711", "X-Other": "fine"}}
    result = tiny_run([("notify", {"email": options, "webhook": webhook})])
    told = 'stands in the configuration, and a resumed run will not have it: write it as { env = "NAME" }'
    keys = ["email.password", "webhook.url", *(f"webhook.headers.{name}" for name in webhook["headers"])]
    assert said() == [f"notify: {key} {told}" for key in keys]
    written = (result.directory / "config.toml").read_text() + (result.directory / "run.json").read_text()
    assert not any(secret in written for secret in (PASSWORD, "hunter22", "4711", "fine"))


def test_a_reference_is_no_reason_to_warn(tiny_run, hook, encrypted, said, monkeypatch):
    _, options = encrypted
    monkeypatch.setenv("MAIL_PASSWORD", PASSWORD)
    webhook = {"url": {"env": "HOOK_URL"}, "headers": {"Cookie": {"env": "HOOK_URL"}}}
    tiny_run([("notify", {"email": {**options, "password": {"env": "MAIL_PASSWORD"}}, "webhook": webhook})])
    assert said() == []


def test_where_a_secret_was_hidden_the_channel_is_left_out_and_the_others_are_not(tiny_run, hook, encrypted, said):
    box, options = encrypted
    webhook = {"url": {"env": "HOOK_URL"}}
    tiny_run([("notify", {"email": {**options, "password": "***"}, "webhook": webhook})])
    assert said() == [
        "notify: email: a secret of it is only '***' here, as config.toml has it, so nothing is sent by it"
    ]
    assert box.logins == []
    assert len(hook.requests) == 1
    tiny_run([("notify", {"webhook": {"url": "***"}})])
    headers = {"Authorization": "***"}
    tiny_run([("notify", {"webhook": {**webhook, "headers": headers}})])
    tiny_run([("notify", {"webhook": {**webhook, "payload": {"token": "***", "text": "{text}"}}})])
    assert [each[:34] for each in said()[1:]] == ["notify: webhook: a secret of it is"] * 3
    assert len(hook.requests) == 1


def test_nothing_is_logged_at_any_level(tiny_run, hook, encrypted, caplog, monkeypatch):
    _, options = encrypted
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("MAIL_PASSWORD", PASSWORD)
    tiny_run([("notify", {"email": {**options, "password": {"env": "MAIL_PASSWORD"}}, "webhook": {"url": hook.url}})])
    assert PASSWORD not in caplog.text
    assert SLUG not in caplog.text
