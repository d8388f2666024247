"""The smallest training that has everything: a model of two layers, and data for every command."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hookloop.policy import ALLOW_VARIABLE, DENY_VARIABLE
from hookloop.requests import read_python

if TYPE_CHECKING:
    from hookloop.engine import Engine
    from hookloop.plan import Plan
    from hookloop.result import Result
    from hookloop.task import SupervisedTask, Task

SAMPLES, FEATURES, HIDDEN, CLASSES = 6, 4, 8, 3


def tiny_task(batches: int = 3, *, dropout: float = 0.0) -> SupervisedTask:
    """Return a classifier, Linear-ReLU-Linear, with *batches* of training data and two for each other command.

    A batch is inputs of shape (6, 4) and classes of shape (6,). The data is always the same; the weights come from
    torch's own random numbers, and so does *dropout* in every step.
    """
    import torch

    from hookloop.task import SupervisedTask

    generator = torch.Generator().manual_seed(1)

    def draw(count: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
        inputs = torch.randn(count, SAMPLES, FEATURES, generator=generator)
        classes = torch.randint(CLASSES, (count, SAMPLES), generator=generator)
        return list(zip(inputs, classes, strict=True))

    layers: list[torch.nn.Module] = [torch.nn.Linear(FEATURES, HIDDEN), torch.nn.ReLU()]
    if dropout:
        layers.append(torch.nn.Dropout(dropout))
    model = torch.nn.Sequential(*layers, torch.nn.Linear(HIDDEN, CLASSES))
    return SupervisedTask(model=model, train=draw(batches), val=draw(2), test=draw(2), predict=draw(2))


def tiny_engine(
    plugins: Iterable[Any],
    *,
    epochs: int | None,
    steps: int,
    seed: int,
    task: Task | Callable[[], Task] | None,
    keywords: Mapping[str, Any],
) -> Engine:
    """Return an engine for the tiny task, or for *task*; *keywords* are those of `Engine` and come before the rest."""
    import torch

    from hookloop.engine import Engine

    batches = steps * int(keywords.get("accumulate", 1))
    # The loss and the optimizer are no names: a plugin may offer something else by the same name.
    settings: dict[str, Any] = {
        "loss": torch.nn.functional.cross_entropy,
        "optimizer": lambda params: torch.optim.SGD(params, lr=0.1, momentum=0.9),
        "max_epochs": epochs,
        "seed": seed,
        "device": "cpu",
        "threads": 1,
        "log_every": "1 step",
    }
    return Engine(task or (lambda: tiny_task(batches)), plugins=list(plugins), **(settings | dict(keywords)))


@contextmanager
def only(plugins: Iterable[Any]) -> Iterator[None]:
    """Switch off every plugin but *plugins*: what else is installed, or named in the environment, must not matter."""
    requests, _ = read_python(plugins)
    names = ",".join(each.instance for each in requests if each.enabled is not False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(ALLOW_VARIABLE, names)
        patch.delenv(DENY_VARIABLE, raising=False)
        yield


@dataclass
class TinyRun:
    """Trains the tiny task, each time anew in a directory below *directory*: the fixture ``tiny_run``.

    ``results`` holds the results of the newest call by command.
    """

    directory: Path
    results: dict[str, Result] = field(default_factory=dict)
    runs: int = 0

    def __call__(
        self,
        plugins: Iterable[Any] = (),
        *,
        epochs: int | None = 2,
        steps: int = 3,
        seed: int = 0,
        task: Task | Callable[[], Task] | None = None,
        commands: Sequence[str] = ("fit",),
        resume: Mapping[str, Any] | None = None,
        **keywords: Any,
    ) -> Result:
        """Run *commands* one after the other and return the result of the last.

        Args:
            plugins: as in ``Engine(plugins=...)``; no other is on, however many are installed.
            epochs: how many.
            steps: how many each epoch of the tiny task has.
            seed: of the weights.
            task: another than the tiny one, or a function that makes it.
            commands: of ``fit``, ``validate``, ``test`` and ``predict``.
            resume: the ``state`` of an earlier result, for ``fit`` to go on from.
            keywords: any other of `Engine`, such as ``metrics``, ``clock``, ``device`` or ``log_every``.

        It raises what the engine raises.
        """
        plugins = list(plugins)
        engine = self._engine(plugins, epochs, steps, seed, task, keywords)
        do = {
            "fit": lambda: engine.fit(resume=resume),
            "validate": engine.validate,
            "test": engine.test,
            "predict": engine.predict,
        }
        self.results = {}
        with only(plugins):
            for command in commands:
                self.results[command] = do[command]()
        return self.results[commands[-1]]

    def plan(self, plugins: Iterable[Any] = (), **keywords: Any) -> Plan:
        """Return the checked configuration of such a run, with its plugins loaded, and train nothing."""
        plugins = list(plugins)
        with only(plugins):
            return self._engine(plugins, 2, 3, 0, None, keywords).plan()

    def _engine(
        self,
        plugins: Sequence[Any],
        epochs: int | None,
        steps: int,
        seed: int,
        task: Task | Callable[[], Task] | None,
        keywords: Mapping[str, Any],
    ) -> Engine:
        self.runs += 1
        if not keywords.keys() & {"run_dir", "runs_dir"}:
            keywords = {**keywords, "run_dir": self.directory / f"run-{self.runs}"}
        return tiny_engine(plugins, epochs=epochs, steps=steps, seed=seed, task=task, keywords=keywords)
