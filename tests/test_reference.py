import ast
import builtins
import dis
import importlib.util
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path
from textwrap import indent

import pluggy
import pytest

from hookloop.control import Skip
from hookloop.hookspecs import SPECIFICATIONS
from hookloop.markers import PROJECT, hook_info, hookimpl
from hookloop.reference import (
    COMMAND,
    ENDS,
    RUN_ORDER,
    SECTIONS,
    SKIPS,
    all_specs,
    main,
    parse,
    render_json,
    render_markdown,
)
from hookloop.run import Run

DOCS = Path(__file__).parents[1] / "docs"
SPECS = all_specs()

HOOKS = {
    "provide": "provide_losses(run) provide_schedules(run) provide_metrics(run) provide_optimizers(run)"
    " provide_tasks(run) add_commands(app)",
    "run": "on_run_start(run) on_run_end(run,outcome) on_exception(run,error) on_interrupt(run)"
    " on_stop_requested(run,reason) on_preempted(run,signal)",
    "build": "prepare_model(run,model) prepare_loader(run,loader,stage) prepare_optimizer(run,optimizer) on_ready(run)",
    "fit": "on_fit_start(run) on_fit_end(run) on_epoch_start(run) on_train_epoch_end(run) on_epoch_end(run)",
    "batch": "on_fetch_start(run) on_fetch_end(run,batch) on_data_exhausted(run) transfer_batch(run,batch)"
    " on_batch_start(run,batch) on_batch_end(run)",
    "step": "on_step_start(run) on_zero_grad(run) on_forward_start(run,batch) on_forward_end(run,output)"
    " transform_loss(run,loss) on_backward_start(run,loss) on_backward_end(run) on_gradients_ready(run)"
    " on_optimizer_step_start(run) on_optimizer_step_end(run) on_optimizer_step_skipped(run) on_schedule_step(run)"
    " on_step_end(run)",
    "evaluate": "on_validation_start(run) on_validation_batch_start(run,batch) on_validation_batch_end(run,batch)"
    " on_validation_end(run) on_test_start(run) on_test_batch_start(run,batch) on_test_batch_end(run,batch)"
    " on_test_end(run) on_predict_start(run) on_predict_batch_start(run,batch)"
    " on_predict_batch_end(run,batch,output) on_predict_end(run)",
    "boundary": "on_metrics(run,metrics) decide(run) persist(run) report(run)",
    "log": "write_rows(run,rows) log_text(run,name,text) log_image(run,name,image) log_figure(run,name,figure)"
    " log_histogram(run,name,values) log_artifact(run,name,path)",
    "checkpoint": "on_checkpoint_save(run,checkpoint) on_checkpoint_saved(run,path) on_checkpoint_load(run,checkpoint)"
    " on_checkpoint_loaded(run,path)",
    "around": "run_fit(run) run_epoch(run) run_step(run) run_forward(run,batch) run_backward(run,loss)"
    " run_optimizer_step(run) run_validation(run) run_predict(run)",
}
ENDING = {"on_run_end", "on_exception", "on_fit_end"}
CHAINS = {"prepare_model", "prepare_loader", "prepare_optimizer", "transfer_batch", "transform_loss"}
TELLS = ("event", "deferred", "ending")
FIRST_WORD = dict.fromkeys(TELLS, "Fires") | {"collect": "Asks", "chain": "Passes", "around": "Runs"}

every_hook = pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS.keys())


def example_of(spec):
    (function,) = ast.parse(parse(spec.doc).example).body
    assert isinstance(function, ast.FunctionDef)
    return function


def test_the_hooks_are_those_of_the_contract_in_its_order():
    found = {}
    for spec in SPECS.values():
        found.setdefault(spec.group, []).append(f"{spec.name}({','.join(spec.arguments)})")
    assert {group: " ".join(hooks) for group, hooks in found.items()} == HOOKS
    assert list(found) == list(HOOKS)


def test_the_kinds_are_those_of_the_contract():
    kinds = {name: spec.kind for name, spec in SPECS.items()}
    assert {name for name, kind in kinds.items() if kind == "ending"} == ENDING
    assert {name for name, kind in kinds.items() if kind == "chain"} == CHAINS
    assert [name for name, kind in kinds.items() if kind == "deferred"] == ["write_rows"]
    assert {name for name, kind in kinds.items() if kind == "around"} == {n for n in SPECS if n.startswith("run_")}
    assert {name for name, kind in kinds.items() if kind == "collect"} == {n for n in SPECS if n.startswith("provide_")}


def test_only_telling_of_what_is_written_is_for_rank_0():
    logs = HOOKS["log"].replace("(", " ").split()[::2]
    assert [name for name, spec in SPECS.items() if spec.scope == "rank0"] == ["report", *logs, "on_checkpoint_saved"]


def test_pluggy_accepts_every_specification_and_takes_the_first_result_around_actions_alone():
    manager = pluggy.PluginManager(PROJECT)
    for group in SPECIFICATIONS:
        manager.add_hookspecs(group)
    for name, spec in SPECS.items():
        caller = getattr(manager.hook, name)
        assert tuple(caller.spec.argnames) == spec.arguments
        assert bool(caller.spec.opts["firstresult"]) == (spec.kind == "around")


@every_hook
def test_a_hook_is_documented_in_the_one_grammar(spec):
    parsed = parse(spec.doc)
    assert list(parsed.facts) == [name for name in SECTIONS if name in parsed.facts]
    assert set(SECTIONS) - set(parsed.facts) <= {"May raise"}
    assert all(parsed.facts.values())
    assert parsed.summary.startswith(FIRST_WORD[spec.kind])
    assert "\n" not in parsed.summary
    assert parsed.facts["Since"] == spec.since


@every_hook
def test_what_a_hook_says_of_ranks_and_results_is_what_it_declares(spec):
    facts = parse(spec.doc).facts
    assert facts["Ranks"].startswith("rank 0" if spec.scope == "rank0" else "all")
    returns_nothing = spec.kind in TELLS
    assert (facts["Returns"] == "nothing.") == returns_nothing
    assert spec.signature.endswith("-> None") == returns_nothing
    assert ("None to leave it as it is" in facts["Returns"]) == (spec.kind == "chain")


@every_hook
def test_a_hook_may_raise_known_skips_only(spec):
    named = re.findall(r"`(Skip\w+)`", parse(spec.doc).facts.get("May raise", "`SkipBatch`"))
    assert named
    assert set(named) <= {skip.__name__ for skip in SKIPS}


def test_every_skip_is_explained():
    defined = {each for each in Skip.__subclasses__() if each.__module__ == Skip.__module__}
    assert set(SKIPS) == defined
    assert all(f"`hookloop.{skip.__name__}`" in render_markdown() for skip in SKIPS)


@every_hook
def test_an_example_is_short_and_implements_its_own_hook(spec):
    function = example_of(spec)
    arguments = tuple(each.arg for each in function.args.args)
    assert function.name == spec.name
    assert arguments[0] == "self"
    assert set(arguments[1:]) <= set(spec.arguments)
    assert len(parse(spec.doc).example.splitlines()) <= 6, "five lines below the decorator"


@every_hook
def test_an_example_is_accepted_as_a_plugin(spec):
    namespace = {"hookimpl": hookimpl}
    exec("class Example:\n" + indent(parse(spec.doc).example, "    "), namespace)
    manager = pluggy.PluginManager(PROJECT)
    for group in SPECIFICATIONS:
        manager.add_hookspecs(group)
    manager.register(namespace["Example"]())
    manager.check_pending()
    (implementation,) = getattr(manager.hook, spec.name).get_hookimpls()
    assert implementation.wrapper == inspect.isgeneratorfunction(implementation.function)


@every_hook
def test_an_example_uses_of_run_only_what_a_run_has(spec):
    used = {
        node.attr
        for node in ast.walk(example_of(spec))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "run"
    }
    assert {name for name in used if not hasattr(Run, name)} == set()


@every_hook
def test_an_example_needs_no_names_but_those_of_modules(spec):
    names = free_names(compile(parse(spec.doc).example, "example", "exec")) - {"hookimpl", *dir(builtins)}
    assert [name for name in names if importlib.util.find_spec(name) is None] == []


def free_names(code):
    """The names that *code*, and the functions inside it, look up outside of themselves."""
    names = {each.argval for each in dis.get_instructions(code) if each.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    for constant in code.co_consts:
        if inspect.iscode(constant):
            names |= free_names(constant)
    return names


def test_no_two_examples_are_alike():
    bodies = [ast.dump(ast.Module(example_of(spec).body, [])) for spec in SPECS.values()]
    assert len(set(bodies)) == len(bodies)


@every_hook
def test_every_hook_has_its_place_in_the_order_of_a_run(spec):
    assert re.search(rf"\b{spec.name}\b", RUN_ORDER)


def test_the_table_of_ends_names_every_ending_and_every_outcome():
    assert all(f"`{name}`" in ENDS for name in ENDING)
    assert re.findall(r"^\| (\w+) \|", ENDS, re.MULTILINE)[1:] == [
        "completed",
        "stopped",
        "interrupted",
        "preempted",
        "failed",
    ]


def test_links_lead_to_headings():
    text = render_markdown()
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= anchors


def test_the_json_has_one_object_a_hook_for_tools():
    rows = json.loads(render_json())
    assert [row["name"] for row in rows] == list(SPECS)
    (row,) = [row for row in rows if row["name"] == "run_forward"]
    assert row.pop("summary").startswith("Runs")
    assert row == {
        "name": "run_forward",
        "group": "around",
        "arguments": ["run", "batch"],
        "kind": "around",
        "firstresult": True,
        "scope": "all",
        "since": hook_info(SPECIFICATIONS[-1].run_forward).since,
    }


@pytest.mark.parametrize(("name", "render"), [("hooks.md", render_markdown), ("hooks.json", render_json)])
def test_the_docs_are_up_to_date(name, render):
    assert (DOCS / name).read_text(encoding="utf-8") == render(), f"docs/{name} is stale; run: {COMMAND}"


def test_check_names_each_stale_file_and_write_mends_it(tmp_path, capsys):
    assert main([str(tmp_path)]) == 1
    assert [line.split(" ")[0] for line in capsys.readouterr().err.splitlines()] == [
        str(tmp_path / "hooks.md"),
        str(tmp_path / "hooks.json"),
    ]
    assert main(["--write", str(tmp_path)]) == 0
    (tmp_path / "hooks.json").write_text("[]")
    assert main(["--check", str(tmp_path)]) == 1
    assert capsys.readouterr().err == f"{tmp_path / 'hooks.json'} is stale; run: {COMMAND} {tmp_path}\n"
    assert main(["--write", str(tmp_path)]) == 0
    assert main(["--check", str(tmp_path)]) == 0


def test_the_reference_is_rendered_without_torch_or_pydantic_or_cyclopts():
    code = (
        "import sys, hookloop.reference as r; r.render_markdown();"
        "print([m for m in ('torch', 'pydantic', 'cyclopts') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
