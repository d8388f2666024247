"""The plugin ``freeze``: leaves parameters as they are, for the whole run or up to some step or epoch."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from pydantic import Field

from hookloop import ConfigError, PluginConfig, hookimpl
from hookloop_guards.instances import instance_of, others_of
from hookloop_guards.options import Counted
from hookloop_guards.patterns import matches, select

if TYPE_CHECKING:
    import torch

    from hookloop import Run

log = logging.getLogger("hookloop.guards")


class Freeze:
    """Freezes by ``requires_grad``; the optimizer has the parameters from the start, and no state for them yet.

    What is frozen when is a function of the counters, so a resumed run needs no state. In several processes the
    gradients are computed and dropped instead: DistributedDataParallel counts on every parameter to take part.
    """

    role = "actor"

    class Config(PluginConfig):
        """Options of ``[plugins.freeze]``."""

        parameters: tuple[str, ...] = Field(min_length=1)
        """Which parameters, by patterns of their names: `backbone` for all of it, `*.bias`, `layers.[0-3].*`."""

        until: Counted | None = None
        """After how many steps or epochs they are trained again; without it, never. For one layer after the other, use
        an instance for each."""

        statistics: bool = True
        """Freeze the running statistics of normalisation layers that are meant as well, by evaluation mode."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.reset()

    def reset(self) -> None:
        """Begin with nothing frozen."""
        self.frozen: dict[str, torch.nn.Parameter] = {}
        self.norms: list[torch.nn.Module] = []
        self.drops = False

    @hookimpl
    def on_run_start(self) -> None:
        """Forget the run before, if this instance has seen one."""
        self.reset()

    @hookimpl(tryfirst=True)
    def on_fit_start(self, run: Run) -> None:
        """Freeze, unless that is over already."""
        self.reset()
        named = dict(run.model.named_parameters())
        chosen = select(named, self.config.parameters, "parameters")
        if self.is_over(run):
            return
        self.drops = run.world_size > 1
        held = {name for other in others_of(self, run).values() for name in other.frozen}
        self.frozen = {name: named[name] for name in chosen if named[name].requires_grad or name in held}
        if not self.drops:
            for each in self.frozen.values():
                each.requires_grad_(False)
        if self.config.statistics:
            self.norms = [each for each in norms_of(run.model, self.config.parameters) if each.training]
            for module in self.norms:
                module.eval()
        if not any(each.requires_grad and name not in self.frozen for name, each in named.items()):
            raise ConfigError(f"parameters = {list(self.config.parameters)} freezes the whole model: nothing is left.")

    def is_over(self, run: Run) -> bool:
        """Return whether the parameters are trained from here on."""
        until = self.config.until
        if until is None:
            return False
        return (run.epoch if until.unit == "epoch" else run.step) >= until.count

    @hookimpl(tryfirst=True)
    def on_step_start(self, run: Run) -> None:
        """Train the parameters again when it is time to."""
        if self.frozen and self.is_over(run):
            log.info(
                "%s: %d parameters are trained from step %d on", instance_of(self, run), len(self.frozen), run.step
            )
            self.thaw(run)

    def thaw(self, run: Run) -> None:
        """Let go of the parameters and layers that no other instance holds."""
        others = others_of(self, run).values()
        held = {name for other in others for name in other.frozen}
        evaluated = {id(module) for other in others for module in other.norms}
        for name, each in self.frozen.items():
            if name not in held:
                each.requires_grad_(True)
        for module in self.norms:
            if id(module) not in evaluated:
                module.train()
        self.frozen, self.norms = {}, []

    @hookimpl(tryfirst=True)
    def on_gradients_ready(self) -> None:
        """Drop the gradients of what is frozen, where they had to be computed."""
        if self.drops:
            for each in self.frozen.values():
                each.grad = None

    @hookimpl
    def on_fit_end(self, run: Run) -> None:
        """Leave the model as it was given: what was trainable is trainable again."""
        if self.frozen:
            self.thaw(run)


def norms_of(model: torch.nn.Module, patterns: tuple[str, ...]) -> list[torch.nn.Module]:
    """Return the layers of *model* that keep running statistics, and are meant with all their tensors."""
    import torch

    found = []
    for name, module in model.named_modules():
        own = [*module.named_parameters(name, recurse=False), *module.named_buffers(name, recurse=False)]
        keeps = isinstance(module, torch.nn.modules.batchnorm._NormBase) and module.track_running_stats
        if keeps and own and all(matches(each, patterns) for each, _ in own):
            found.append(module)
    return found
