"""Webhooks against a real HTTP server: what is sent, what is answered, and what is never told."""

import json
import socket
import time
from base64 import b64encode

import pytest

from hookloop_notify.channel import Message, Unsent
from hookloop_notify.options import Webhook
from hookloop_notify.templates import shortened
from hookloop_notify.webhook import Post

MESSAGE = Message({"name": "digits", "step": "7"}, {"val/loss": "0.25"}, "it's done", 'say "hi"\n')
SLUG = "T024BE7LD-B0123456-uPh4Qv0R9xK2"


def soon(seconds=5.0):
    limit = time.monotonic() + seconds
    return lambda: limit


def post(hook, seconds=5.0, url=None, **options):
    Post(Webhook.model_validate({"url": url or hook.url, **options})).send(MESSAGE, soon(seconds))


def refusal(hook, seconds=5.0, **options):
    with pytest.raises(Unsent) as caught:
        post(hook, seconds, **options)
    assert SLUG not in str(caught.value)
    assert caught.value.__cause__ is None
    return caught.value


def test_the_default_is_what_slack_and_mattermost_take(hook):
    post(hook)
    (request,) = hook.requests
    assert request.path == f"/services/{SLUG}"
    assert request.headers["Content-Type"] == "application/json; charset=utf-8"
    assert json.loads(request.data) == {"text": 'it\'s done\n\nsay "hi"\n'}


def test_a_payload_is_filled_in_at_any_depth_and_is_json_whatever_the_fields_hold(hook):
    payload = {
        "content": "{body}",
        "embeds": [{"title": "{name} {step}", "color": 255, "inline": True}],
        "loss": "{metric:val/loss}{metric:no/such}",
        "literal": "{{name}}",
    }
    post(hook, payload=payload)
    assert json.loads(hook.requests[0].data) == {
        "content": 'say "hi"\n',
        "embeds": [{"title": "digits 7", "color": 255, "inline": True}],
        "loss": "0.25-",
        "literal": "{name}",
    }


def test_a_body_is_plain_text(hook):
    post(hook, body="{subject}!", headers={"Title": "{not a template}", "Authorization": "Bearer abcdef"})
    (request,) = hook.requests
    assert request.data == b"it's done!"
    assert request.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert request.headers["Title"] == "{not a template}"
    assert request.headers["Authorization"] == "Bearer abcdef"


def test_a_user_and_password_in_the_address_become_a_header(hook):
    post(hook, url=hook.url.replace("http://", "http://me:p%40ss@"))
    (request,) = hook.requests
    assert request.headers["Authorization"] == f"Basic {b64encode(b'me:p@ss').decode()}"
    assert "@" not in request.headers["Host"]


@pytest.mark.parametrize(("code", "transient"), [(404, False), (400, False), (500, True), (503, True), (429, True)])
def test_an_answer_that_is_no_success_is_told(hook, code, transient):
    hook.answers, hook.body = [code], b"no_service"
    error = refusal(hook)
    assert str(error).startswith(f"it answered {code} ")
    assert str(error).endswith(": no_service")
    assert error.transient is transient


def test_an_answer_that_repeats_the_address_is_told_without_it(hook):
    hook.answers = [404]
    hook.body = f"no /services/{SLUG} here, nor {SLUG}, nor services".encode()
    assert str(refusal(hook)).endswith(": no *** here, nor ***, nor ***")


def test_a_long_answer_is_cut_only_after_that(hook):
    hook.answers, hook.body = [404], b"x" * 190 + SLUG.encode() * 3
    error = refusal(hook)
    assert SLUG[:8] not in str(error)


def test_when_to_come_back_is_up_to_the_server(hook):
    hook.answers, hook.headers = [429], {"Retry-After": "7"}
    assert refusal(hook).after_seconds == 7


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed_but_told(hook, code):
    hook.answers, hook.headers = [code, 200], {"Location": f"http://elsewhere.example.org/{SLUG}"}
    error = refusal(hook, headers={"Authorization": "Bearer abcdef"})
    assert f"it answered {code}, a redirect to http://elsewhere.example.org, which is not followed" in str(error)
    assert not error.transient
    assert len(hook.requests) == 1


def test_a_server_that_never_answers_is_left_when_the_time_is_over(silent_port):
    begun = time.monotonic()
    error = refusal(None, 0.3, url=f"http://127.0.0.1:{silent_port}/{SLUG}")
    assert str(error) == "it did not answer in time"
    assert error.transient
    assert time.monotonic() - begun < 2


def test_a_server_that_is_not_there_may_be_there_later():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    error = refusal(None, url=f"http://127.0.0.1:{port}/{SLUG}")
    assert "ConnectionRefusedError" in str(error)
    assert error.transient


def test_what_is_no_http_at_all_is_told(mail):
    _, options = mail
    assert "BadStatusLine" in str(refusal(None, url=f"http://127.0.0.1:{options['port']}/{SLUG}"))


def test_a_certificate_is_trusted_by_the_file_of_its_authority_only(secure_hook, certificate):
    assert "its certificate is not trusted: self-signed certificate" in str(refusal(secure_hook))
    assert secure_hook.requests == []
    post(secure_hook, ca_file=str(certificate.cert))
    assert len(secure_hook.requests) == 1


def test_a_text_that_is_too_long_loses_its_middle(hook):
    text = "a" * 100 + "b" * 5000 + "c" * 100
    short = shortened(text, 2000)
    assert len(short) == 2000
    assert short.startswith("a" * 100 + "b")
    assert short.endswith("b" + "c" * 100)
    assert "\n[...]\n" in short
    assert shortened(text, 6000) == text
    post(hook, payload={"content": "{text}" * 200}, max_characters=100)
    assert len(json.loads(hook.requests[0].data)["content"]) == 100


def test_only_scheme_and_host_are_ever_shown():
    options = Webhook.model_validate({"url": f"https://me:secret@hooks.example.org:8443/services/{SLUG}?key={SLUG}"})
    assert Post(options).place == "webhook https://hooks.example.org:8443"
    assert SLUG not in repr(options)
    assert "secret" not in repr(options)
