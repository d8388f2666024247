"""What makes a metric of a table's options: it knows the options of the class, and refuses wrong values at once."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from hookloop import ConfigError

if TYPE_CHECKING:
    from hookloop_metrics.measured import Measured
    from hookloop_metrics.variants import Variants

OWN, EMPTY = inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.empty


class MetricFactory:
    """Makes the metric that one offered name means.

    Args:
        name: what is offered.
        class_name: the class of torchmetrics.
        preset: options that the name sets itself.
        criterion: the loss of the run, which tells whether the model gives logits or probabilities.
    """

    def __init__(
        self, name: str, class_name: str, preset: Mapping[str, Any], criterion: Callable[..., Any] | None
    ) -> None:
        self.name = name
        self.class_name = class_name
        self.preset = preset
        self.criterion = criterion

    def __call__(self, **options: Any) -> Measured:
        """Return the metric; an error when no task takes the options, or their values are refused.

        The engine tells a ValueError with the place of the table, but for what is named like code of the user's own.
        """
        from hookloop_metrics.measured import Measured
        from hookloop_metrics.variants import gives_probabilities, refusal

        task, output = options.pop("task", None), options.pop("output", None)
        variants = self.variants()
        fitting = variants.fitting(task, [*self.preset, *options])
        message = refusal(variants, fitting, task, output, {**self.preset, **options})
        if message and ":" in self.name:
            raise ConfigError(f"'{self.name}' refuses its options: {message}")
        if message:
            raise ValueError(message)
        assumed = "probabilities" if gives_probabilities(self.criterion) else "logits"
        return Measured(fitting, {**self.preset, **options}, output or assumed, told=output is not None)

    @property
    def __signature__(self) -> inspect.Signature:
        """The options by name, for the engine to check a table against; those of all tasks together."""
        variants = self.variants()
        parameters = {each.name: each for each in merged(variants.parameters()) if each.name not in self.preset}
        if variants.by_task:
            parameters["task"] = inspect.Parameter("task", OWN, default=None)
            parameters["output"] = inspect.Parameter("output", OWN, default=None)
        return inspect.Signature(list(parameters.values()))

    def variants(self) -> Variants:
        """Return the class, or the classes that it has for each task."""
        from hookloop_metrics.variants import find_variants

        return find_variants(self.class_name)


def merged(signatures: Iterable[Mapping[str, inspect.Parameter]]) -> list[inspect.Parameter]:
    """Return all parameters; one that every signature requires is required, but for what a batch tells."""
    every = list(signatures)
    names = dict.fromkeys(name for each in every for name in each)
    needed = {name for name in names if all(name in each and each[name].default is EMPTY for each in every)}
    return [inspect.Parameter(name, OWN, default=EMPTY if name in needed else None) for name in names]
