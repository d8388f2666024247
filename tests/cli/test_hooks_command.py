def test_hooks_names_who_implements_each(here, files):
    answer = here("hooks", "run.toml", "-p", "plugins.py:Slow")
    lines = {line.split()[0]: line for line in answer.out.splitlines()}
    assert answer.code == 0
    assert lines["on_step_end"].split() == ["on_step_end", "event", "slow"]
    assert lines["run_fit"].split() == ["run_fit", "around", "engine:loop"]
    assert lines["on_validation_end"].split() == ["on_validation_end", "event", "engine:metrics"]
    assert lines["on_preempted"].split() == ["on_preempted", "event", "-"]
    assert max(map(len, answer.out.splitlines())) <= 80


def test_a_chain_is_in_call_order_and_an_ending_in_reverse(here, files):
    switches = [part for name in ("Slow", "Wrapping") for part in ("-p", f"plugins.py:{name}")]
    chain = here("hooks", "on_step_end", "-c", "run.toml", *switches, "--json").json
    assert [(each["plugin"], each["marks"]) for each in chain["calls"]] == [("wrapping", ["wrapper"]), ("slow", [])]
    ending = here("hooks", "on_run_end", "run.toml", *switches, "--json").json
    assert ending["kind"] == "ending"
    assert [each["plugin"] for each in ending["calls"]] == ["wrapping", "slow"]


def test_the_order_of_the_configuration_is_the_order_of_the_chain(here, files):
    (files / "order.toml").write_text(
        '[plugins]\norder = ["b", "a"]\n'
        '[plugins.a]\nuse = "plugins.py:Slow"\n'
        '[plugins.b]\nuse = "plugins.py:Slow"\n'
        '[plugins.c]\nuse = "plugins.py:Slow"\n'
    )
    chain = here("hooks", "on_step_end", "order.toml", "--json").json["calls"]
    assert [each["plugin"] for each in chain] == ["b", "a", "c"]
    ending = here("hooks", "on_run_end", "order.toml", "--json").json["calls"]
    assert [each["plugin"] for each in ending] == ["c", "a", "b"]


def test_one_hook_is_shown_with_where_its_code_is(here, files):
    answer = here("hooks", "on_step_end", "-p", "plugins.py:Slow")
    line = next(number for number, text in enumerate((files / "plugins.py").read_text().splitlines(), 1) if "@" in text)
    assert answer.out.startswith("on_step_end(run)\n")
    assert "Kind: event. Ranks: all. Since 0.1." in answer.out
    assert f"plugins.py:{line}" in answer.out


def test_a_hook_that_nobody_implements_is_no_mistake(here, files):
    answer = here("hooks", "on_preempted")
    assert (answer.code, answer.out.splitlines()[-1]) == (0, "Nobody implements it.")


def test_a_misspelt_hook_is_one(here):
    answer = here("hooks", "on_stp_end")
    assert (answer.code, answer.out) == (2, "")
    assert "there is no hook 'on_stp_end'. Did you mean 'on_step_end'?" in answer.err


def test_a_wrong_configuration_is_told(here, files):
    answer = here("hooks", "run.toml", "--set", "run.sed=1")
    assert answer.code == 2
    assert answer.err.startswith("--set: run.sed: unknown option. Did you mean 'seed'?")


def test_two_configurations_before_the_options_are_one_too_many(here, files):
    answer = here("hooks", "run.toml", "run.toml")
    assert answer.code == 2
    assert "A second configuration is named with -c." in answer.err
