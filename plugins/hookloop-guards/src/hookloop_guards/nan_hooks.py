"""Which hooks of the plugin ``nan-guard`` have nothing to do, and doing without them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from hookloop_guards.nan_options import NanGuardConfig


def mask(plugin: object, hooks: Iterable[str]) -> None:
    """Have *plugin* do without *hooks*, each of which costs a step about a microsecond: what is no function is none."""
    vars(plugin).update(dict.fromkeys(hooks))


def unmask(plugin: object, hooks: Iterable[str]) -> None:
    """Give *plugin* its *hooks* back."""
    for hook in hooks:
        vars(plugin).pop(hook, None)


def idle_where_read_at_once(config: NanGuardConfig) -> Iterator[str]:
    """Yield the hooks of boundaries in which there is nothing to do where each number is judged as it comes."""
    if config.policy != "roll-back":
        yield "decide"
    if not config.modules:
        yield "on_metrics"


def idle_hooks(config: NanGuardConfig) -> Iterator[str]:
    """Yield the hooks of every step in which there is nothing to do by these options."""
    if not config.modules:
        yield "on_forward_start"
    if config.policy != "skip":
        yield "on_step_start"
        if not config.gradients:
            yield "on_gradients_ready"
