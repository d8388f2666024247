"""Which names are offered, and which class of torchmetrics each one means; found out without importing it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

Meaning = tuple[str, Mapping[str, Any]]  # the name of a class, and options that are set already

SHORT_NAMES: Mapping[str, Meaning] = {
    "f1": ("F1Score", {}),
    "roc_auc": ("AUROC", {}),
    "mae": ("MeanAbsoluteError", {}),
    "mse": ("MeanSquaredError", {}),
    "rmse": ("MeanSquaredError", {"squared": False}),
    "r2": ("R2Score", {}),
}

# A regular expression would make s_qu_ad of it.
ODD_NAMES = {"SQuAD": "squad"}

# What takes no pair of output and target: bases, other metrics' wrappers, and means of a single value.
NO_PAIRS = re.compile(r"Metric|Wrapper$|^BootStrapper$|^Running|^Retrieval|^PermutationInvariant|^FleissKappa$|^Total")


def offered_names() -> dict[str, Meaning]:
    """Return name → meaning: the short names, and each class as ``cohen_kappa`` and as ``torchmetrics:CohenKappa``."""
    names: dict[str, Meaning] = {}
    for each in class_names():
        names[snake_case(each)] = names[f"torchmetrics:{each}"] = (each, {})
    return {**names, **SHORT_NAMES}


def class_names() -> Iterator[str]:
    """Yield the classes that the installed torchmetrics exports and that compare an output with a target.

    Its ``__all__`` is read from the source: importing it takes longer than most things a run without metrics does.
    """
    spec = find_spec("torchmetrics")
    source = Path(spec.origin).read_text(encoding="utf-8") if spec and spec.origin else ""
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            names = ast.literal_eval(node.value)
            yield from (each for each in names if each[0].isupper() and not NO_PAIRS.search(each))


def snake_case(name: str) -> str:
    """Return ``CohenKappa`` as ``cohen_kappa``, and ``AUROC`` as ``auroc``."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name)
    return ODD_NAMES.get(name, words.lower())
