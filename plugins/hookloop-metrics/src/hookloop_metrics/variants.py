"""The classes of torchmetrics that one name stands for: one, or one for each task of classification."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torchmetrics
import torchmetrics.classification

Class = type[torchmetrics.Metric]

TASKS = ("binary", "multiclass", "multilabel")
OUTPUTS = ("logits", "probabilities")
COUNTS = {"multiclass": "num_classes", "multilabel": "num_labels"}  # what the first batch tells
TAKE_ZERO_DIVISION = [task.capitalize() + name for task in TASKS for name in ("Precision", "Recall")]
INFERRED = (*COUNTS.values(), "num_outputs")


@dataclass(frozen=True)
class Variants:
    """The classes behind the name *name*: task → class, and for what is no classification ``""`` → class."""

    name: str
    classes: Mapping[str, Class]

    @property
    def by_task(self) -> bool:
        """Whether there is a class for each task."""
        return "" not in self.classes

    def parameters(self) -> list[Mapping[str, inspect.Parameter]]:
        """Return the parameters of each class by name."""
        return [parameters_of(each) for each in self.classes.values()]

    def fitting(self, task: str | None, options: Iterable[str]) -> Variants:
        """Return the variants of *task*, or of any when it is None, that take all of *options*."""
        names = set(options)
        fitting = {
            each: kind
            for each, kind in self.classes.items()
            if task in (None, each) and names <= parameters_of(kind).keys()
        }
        return Variants(self.name, fitting)


def find_variants(name: str) -> Variants:
    """Return the variants of the class *name*."""
    found = {task: getattr(torchmetrics.classification, task.capitalize() + name, None) for task in TASKS}
    classes = {task: kind for task, kind in found.items() if kind is not None}
    return Variants(name, classes or {"": where_it_stays(getattr(torchmetrics, name))})


def where_it_stays(kind: Class) -> Class:
    """Return *kind* from the package of its domain: some of those at the top warn that they are going to move."""
    domain = importlib.import_module(".".join(kind.__module__.split(".")[:2]))
    found: Class = getattr(domain, kind.__name__.removeprefix("_"), kind)
    return found


def parameters_of(kind: Class) -> Mapping[str, inspect.Parameter]:
    """Return the options of *kind*; those that torchmetrics takes for itself, about processes, are left out."""
    signature = inspect.signature(kind)
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    parameters = {name: each for name, each in signature.parameters.items() if each.kind in named}
    if kind.__name__ in TAKE_ZERO_DIVISION:
        # They say so in their documentation, and take it among the arguments that they do not name.
        parameters["zero_division"] = inspect.Parameter("zero_division", inspect.Parameter.KEYWORD_ONLY, default=0)
    return {
        name: each.replace(default=None) if name in INFERRED and each.default is each.empty else each
        for name, each in parameters.items()
    }


def refusal(
    variants: Variants, fitting: Variants, task: str | None, output: str | None, options: Mapping[str, Any]
) -> str:
    """Return what is wrong with the options, or "": a class is made of them, to hear what it says of the values."""
    if variants.by_task and task is not None and task not in variants.classes:
        return f"task = {task!r}, and it exists for {', '.join(variants.classes)}."
    if output is not None and output not in OUTPUTS:
        return f"output = {output!r}, expected 'logits' or 'probabilities'."
    if not fitting.classes:
        for_task = f"for task = {task!r}" if task else "together, for any one task"
        return f"{', '.join(f'`{each}`' for each in options)} cannot be given {for_task}."
    said = [complaint(kind, options) for kind in fitting.classes.values()]
    return said[-1] if all(said) else ""


def complaint(kind: Class, options: Mapping[str, Any]) -> str:
    """Return what *kind* says of *options*, or ""."""
    stand_in = {name: 2 for name in COUNTS.values() if name in parameters_of(kind) and name not in options}
    top_k = options.get("top_k")
    if isinstance(top_k, int) and "num_classes" in stand_in:
        stand_in["num_classes"] = max(2, top_k)
    try:
        kind(**{**options, **stand_in})
    except (TypeError, ValueError) as error:
        return str(error)
    return ""


def gives_probabilities(criterion: object) -> bool:
    """Return whether the loss *criterion* wants probabilities of a model, of torch's own losses."""
    return (
        isinstance(criterion, torch.nn.BCELoss)
        or getattr(criterion, "func", criterion) is torch.nn.functional.binary_cross_entropy
    )
