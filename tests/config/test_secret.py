import pytest

from hookloop.config import ConfigTree, Origin, redact, resolve_secrets


def test_a_reference_becomes_the_text_of_its_variable_at_any_depth():
    table = {"key": {"env": "A"}, "deep": {"list": [1, {"env": "B"}, {"x": {"env": "A"}}]}, "n": 1}
    resolved, problems = resolve_secrets(table, {"A": "first", "B": ""})
    assert resolved == {"key": "first", "deep": {"list": [1, "", {"x": "first"}]}, "n": 1}
    assert problems == []
    assert table["key"] == {"env": "A"}


def test_only_a_table_with_exactly_the_key_env_and_a_name_is_a_reference():
    table = {"a": {"env": "A", "x": 1}, "b": {"env": 3}, "c": {}, "d": "env"}
    assert resolve_secrets(table, {"A": "text"}) == (table, [])


def test_the_table_itself_is_never_a_reference():
    assert resolve_secrets({"env": "CartPole"}, {}) == ({"env": "CartPole"}, [])


def test_a_missing_variable_is_a_problem_that_names_variable_key_and_place():
    tree = ConfigTree({}, {("plugins", "wandb", "api_key"): Origin("run.toml", 4)})
    table = {"api_key": {"env": "WANDB_KYE"}, "list": [{"env": "OTHER"}]}
    resolved, problems = resolve_secrets(table, {"WANDB_KEY": "x"}, tree, ("plugins", "wandb"))
    assert resolved == {"api_key": "", "list": [""]}
    assert [str(problem) for problem in problems] == [
        "run.toml:4: plugins.wandb.api_key: the environment variable 'WANDB_KYE' is not set."
        " Did you mean 'WANDB_KEY'? Set it before the run.",
        "plugins.wandb.list[0]: the environment variable 'OTHER' is not set. Set it before the run.",
    ]


def test_a_missing_variable_of_python_options_names_their_origin():
    _, (problem,) = resolve_secrets({"key": {"env": "A"}}, {}, Origin("Engine(...)"))
    assert problem.where == "Engine(...)"


@pytest.mark.parametrize(
    "name",
    [
        "secret",
        "client_secret",
        "password",
        "dbPassword",
        "token",
        "HF-TOKEN",
        "api_key",
        "apikey",
        "apiKey",
        "key",
        "aws_secret_access_key",
        "auth_token_file",
        "credentials",
        "passphrase",
        "wandb_key",
    ],
)
def test_text_under_the_name_of_a_secret_is_hidden(name):
    assert redact({name: "plain"}) == {name: "***"}


@pytest.mark.parametrize(
    "name", ["tokenizer", "max_tokens_per_batch", "monkey", "keys", "pad_token", "monitor", "path"]
)
def test_text_under_other_names_is_shown(name):
    assert redact({name: "plain"}) == {name: "plain"}


def test_what_lies_below_the_name_of_a_secret_is_hidden_too():
    table = {"plugins": {"x": {"credentials": {"user": "me", "n": 1, "list": ["a"]}, "tokens": ("a", 1)}}}
    assert redact(table) == {
        "plugins": {"x": {"credentials": {"user": "***", "n": 1, "list": ["***"]}, "tokens": ["***", 1]}}
    }


def test_references_and_numbers_are_shown_as_they_are():
    table = {"api_key": {"env": "NAME"}, "max_tokens": 512, "token": True}
    assert redact(table) == table


def test_what_counts_tokens_is_no_secret():
    table = {"units": {"tokens": "data.py:count"}, "tokens": ["abc"], "auth_token": "abc"}
    assert redact(table) == {"units": {"tokens": "data.py:count"}, "tokens": ["***"], "auth_token": "***"}
