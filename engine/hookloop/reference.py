"""Renders the hook reference from the specifications: `python -m hookloop.reference --write` after editing one.

Without an option, or with ``--check``, it compares instead, names each file that is stale, and exits with 1.
"""

from __future__ import annotations

import argparse
import inspect
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

from hookloop.control import Skip, SkipBackward, SkipBatch, SkipEpoch, SkipStep
from hookloop.hookspecs import SPECIFICATIONS
from hookloop.markers import Kind, Scope, hook_info

COMMAND = "python -m hookloop.reference --write"
SECTIONS = ("How often", "Already true", "May change", "Returns", "May raise", "Ranks", "Since")
SKIPS: tuple[type[Skip], ...] = (SkipBatch, SkipBackward, SkipStep, SkipEpoch)

INTRODUCTION = f"""\
<!-- Generated from engine/hookloop/hookspecs.py: edit that, then run {COMMAND} -->

# Hooks

A plugin is a class with methods that are named like hooks and marked `@hookimpl`:

```python
from hookloop import hookimpl

class Hello:
    @hookimpl
    def on_step_end(self, run):
        print(run.step)
```

Every hook but `add_commands` takes `run` first. An implementation may leave out arguments that it does not need; a
misspelt hook or argument is an error before anything runs. The examples below are methods of such a class; what they
import, such as `torch` or `time`, the plugin's module imports at its top, and what they keep on `self` its `__init__`
or an earlier hook sets.

## Kinds

| kind | how results travel |
|---|---|
| event | Told to every plugin in order; return values are ignored. |
| deferred | Told to every plugin, perhaps some later and on another thread; an error is raised on the training's. |
| ending | Told to every plugin in reverse order, even when some of them fail; their errors are raised together. |
| collect | Each plugin returns its part, or None for nothing; the parts are joined. |
| chain | Each plugin gets what the one before returned. Returning None leaves the value unchanged. |
| around | The first result that is not None wins, and the engine's own implementation comes last. |

Order among plugins: the engine's own, then `[plugins] order`, then by name, with `before` and `after` where a plugin
asks for it; `tryfirst`, `trylast` and `wrapper` order one hook, as in pluggy. `hookloop hooks NAME` prints what came of
it. A wrapper (`@hookimpl(wrapper=True)`, of a hook of any kind) is a generator with one `yield`, which gives what the
inner implementations returned; what it returns goes on in its place, so one that changes nothing ends with
`return (yield)`.

An "around" hook lies between the `_start` and the `_end` event of its action, so that these fire for a replacement as
well. A replacement must return something other than None, or else the engine's own runs too.
"""

RUN_ORDER = """\
## A run, in order

Indented is what happens inside. `add_commands` belongs to no run: the command line calls it.

```text
on_run_start
provide_tasks, provide_losses
prepare_model
provide_metrics
prepare_loader                        once a loader
provide_optimizers
prepare_optimizer                     once an optimizer
provide_schedules
on_checkpoint_load                    when resuming
on_checkpoint_loaded                  when resuming
on_ready
on_fit_start
run_fit
    on_epoch_start                    once an epoch, as is all down to its BOUNDARY
    run_epoch
        STEP, then BOUNDARY           until on_data_exhausted
    on_train_epoch_end                after it, epoch counts the epoch
    VALIDATION                        when it is due; where it is due in mid-epoch, between STEP and BOUNDARY
    on_schedule_step                  for schedules that count epochs
    on_epoch_end
    BOUNDARY
on_exception                          when an error ended the run
on_fit_end
on_run_end
```

VALIDATION; a test is the same with `test` in the names:

```text
on_validation_start                   on_test_start
run_validation
    transfer_batch                    once a batch, as are the next three
    on_validation_batch_start         on_test_batch_start
    run_forward
    on_validation_batch_end           on_test_batch_end
on_validation_end                     on_test_end
```

Prediction:

```text
on_predict_start
run_predict
    transfer_batch                    once a batch, as are the next three
    on_predict_batch_start
    run_forward
    on_predict_batch_end
on_predict_end
```

## One training step, in order

STEP. A step is one optimizer update; a batch is a micro-batch, of which an update takes `accumulate`. All of them are
fetched before the step starts, so that each can be weighted by its share of the samples.

```text
on_fetch_start                        once a micro-batch, as is the next
on_fetch_end                          or on_data_exhausted
on_step_start
run_step
    on_zero_grad                      gradients of the update before are readable up to here
    transfer_batch                    once a micro-batch, as is all down to on_batch_end
    on_batch_start
    on_forward_start
    run_forward
    on_forward_end
    transform_loss
    on_backward_start
    run_backward
    on_backward_end
    on_batch_end                      batch_index and samples count it
    on_gradients_ready                unscaled; the engine clips, last
    on_optimizer_step_start
    run_optimizer_step
    on_optimizer_step_end             not if the update was skipped
on_schedule_step                      for schedules that count steps
on_step_end                           step counts it; or on_optimizer_step_skipped, and a BOUNDARY without metrics
```

BOUNDARY, after a step and after an epoch:

```text
on_metrics                            when metrics are due
decide
                                      the engine agrees across ranks, and it may come to one of:
on_stop_requested, on_interrupt, on_preempted
persist                               whoever saves: on_checkpoint_save, and once durable on_checkpoint_saved
report                                rank 0
```

Whenever somebody calls `run.log_text` and the like, on rank 0: `log_text`, `log_image`, `log_figure`, `log_histogram`,
`log_artifact`. Also on rank 0, and right before `on_metrics` or up to a tenth of a second later, but always before a
checkpoint and the end: `write_rows`.
"""

ENDS = """\
## How a run ends, and who hears of it

| outcome | `on_stop_requested` | `on_interrupt` | `on_preempted` | `on_exception` | `on_fit_end` | `on_run_end` |
|---|---|---|---|---|---|---|
| completed | – | – | – | – | yes | yes |
| stopped | yes | – | – | – | yes | yes |
| interrupted | – | yes | – | after a second Ctrl-C | yes | yes |
| preempted | – | – | yes | – | yes | yes |
| failed | – | – | – | yes | if `on_fit_start` fired | yes |

`on_fit_end` belongs to a fit alone. A stop in the middle of an epoch does not count the epoch and runs no validation.

A Ctrl-C never strikes in the first second of one of these hooks; in one that takes longer it is a KeyboardInterrupt
there, and the other plugins are called all the same.
"""


@dataclass(frozen=True)
class Spec:
    """One hook, as its specification has it. ``arguments`` are names in order; ``signature`` has types as well."""

    name: str
    group: str
    kind: Kind
    scope: Scope
    since: str
    arguments: tuple[str, ...]
    doc: str
    signature: str


@dataclass(frozen=True)
class Parsed:
    """A specification's docstring, taken apart: ``facts`` maps each section of the grammar to its text."""

    summary: str
    facts: dict[str, str]
    example: str


def all_specs() -> dict[str, Spec]:
    """Return every hook by name, in the order of the reference."""
    return {
        name: describe(group, function)
        for group in SPECIFICATIONS
        for name, function in vars(group).items()
        if hasattr(function, "__hookloop__")
    }


def describe(group: type, function: Callable[..., object]) -> Spec:
    """Return what *function*, in the specification class *group*, says of its hook."""
    info, signature = hook_info(function), inspect.signature(function)
    parameters = [each for each in signature.parameters.values() if each.name != "self"]
    typed = ", ".join(f"{each.name}: {each.annotation}" for each in parameters)
    return Spec(
        name=function.__name__,
        group=group.__name__.removesuffix("Hooks").lower(),
        kind=info.kind,
        scope=info.scope,
        since=info.since,
        arguments=tuple(each.name for each in parameters),
        doc=inspect.getdoc(function) or "",
        signature=f"{function.__name__}({typed}) -> {signature.return_annotation}",
    )


def parse(doc: str) -> Parsed:
    """Take a docstring of the grammar apart: a line of summary, sections ``Name: text``, and the example."""
    head, _, example = doc.partition("\n\nExample::\n\n")
    summary, _, body = head.partition("\n\n")
    sections = re.split(r"\n(?! )", body)
    facts = dict(section.split(": ", 1) for section in sections if ": " in section)
    return Parsed(summary, {name: " ".join(text.split()) for name, text in facts.items()}, dedent(example).strip())


def render_markdown() -> str:
    """Return the text of ``docs/hooks.md``."""
    specs = all_specs()
    parts = [INTRODUCTION, contents(specs.values()), RUN_ORDER, ENDS, skips(specs.values())]
    for group in SPECIFICATIONS:
        own = [each for each in specs.values() if each.name in vars(group)]
        parts.append(f"## {own[0].group.capitalize()} hooks\n\n{inspect.getdoc(group)}\n")
        parts.extend(map(render_hook, own))
    return "\n".join(parts)


def render_json() -> str:
    """Return the text of ``docs/hooks.json``: a list with one object a hook, for tools."""
    rows = [
        {
            "name": each.name,
            "group": each.group,
            "arguments": each.arguments,
            "kind": each.kind,
            "firstresult": each.kind == "around",
            "scope": each.scope,
            "since": each.since,
            "summary": parse(each.doc).summary,
        }
        for each in all_specs().values()
    ]
    return json.dumps(rows, indent=2) + "\n"


def render_hook(spec: Spec) -> str:
    """Return the part of the reference that is about one hook."""
    parsed = parse(spec.doc)
    facts = {"Signature": f"`{spec.signature}`", "Kind": f"[{spec.kind}](#kinds)", **parsed.facts}
    rows = [f"| {name} | {text.replace('|', chr(92) + '|')} |" for name, text in facts.items()]
    table = "\n".join(["| | |", "|---|---|", *rows])
    return f"### {title(spec)}\n\n{parsed.summary}\n\n{table}\n\n```python\n{parsed.example}\n```\n"


def contents(specs: Iterable[Spec]) -> str:
    """Return a table of all hooks by group, each a link to its heading."""
    links: dict[str, list[str]] = {}
    for each in specs:
        links.setdefault(each.group, []).append(link(each))
    rows = [f"| [{group}](#{group}-hooks) | {', '.join(hooks)} |" for group, hooks in links.items()]
    return "\n".join(["## All hooks", "", "| group | hooks |", "|---|---|", *rows, ""])


def skips(specs: Iterable[Spec]) -> str:
    """Return a table of the exceptions that leave out a part of the training, and the hooks that may raise each."""
    raised = [(each, parse(each.doc).facts.get("May raise", "")) for each in specs]
    rows = [
        f"| `hookloop.{skip.__name__}` | {inspect.getdoc(skip)} "
        f"| {', '.join(link(each) for each, text in raised if f'`{skip.__name__}`' in text)} |"
        for skip in SKIPS
    ]
    intro = "Raise one of these to leave something out; none of them is an error. A task may raise them as well."
    return "\n".join(["## Skips", "", intro, "", "| exception | what it does | where |", "|---|---|---|", *rows, ""])


def title(spec: Spec) -> str:
    """Return the heading of a hook: its name with its arguments."""
    return f"{spec.name}({', '.join(spec.arguments)})"


def link(spec: Spec) -> str:
    """Return a link to a hook's heading, whose anchor GitHub makes of the title without its punctuation."""
    return f"[`{spec.name}`](#{re.sub(r'[^a-z0-9_ -]', '', title(spec)).replace(' ', '-')})"


def stale_files(docs: Path) -> Iterator[tuple[Path, str]]:
    """Yield each generated file in *docs* that is missing or not up to date, with the text it should have."""
    for name, text in (("hooks.md", render_markdown()), ("hooks.json", render_json())):
        path = docs / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            yield path, text


def main(arguments: Sequence[str] | None = None) -> int:
    """Check or write the reference; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m hookloop.reference", description="Render the hook reference.")
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--check", action="store_true", help="name the files that are stale (the default)")
    action.add_argument("--write", action="store_true", help="write the files that are stale")
    parser.add_argument("docs_dir", nargs="?", type=Path, default=Path("docs"), help="default: docs")
    options = parser.parse_args(arguments)
    stale = list(stale_files(options.docs_dir))
    for path, text in stale:
        if options.write:
            path.write_text(text, encoding="utf-8", newline="\n")
            print(f"wrote {path}")
        else:
            print(f"{path} is stale; run: {COMMAND} {options.docs_dir}", file=sys.stderr)
    return 1 if stale and not options.write else 0


if __name__ == "__main__":
    sys.exit(main())
