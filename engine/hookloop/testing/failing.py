"""Makes plugins that fail on purpose."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from hookloop.errors import suggest
from hookloop.inspection import Role
from hookloop.markers import hookimpl
from hookloop.plan import spec_parameters


def failing_plugin(
    hook: str,
    error: BaseException | None = None,
    *,
    at_step: int | None = None,
    role: Role = "observer",
    before: Sequence[str] = (),
) -> object:
    """Return a plugin that raises *error*, ``RuntimeError("boom")`` by default, whenever *hook* is called.

    With *at_step* it raises only where ``run.step``, the completed steps, is that number: in ``on_step_end`` 2 is the
    end of the second step, in ``on_step_start`` the start of the third. *before* names plugins that it is called
    before. Its own name is ``failing-plugin``. ValueError when there is no such hook.
    """
    hooks = spec_parameters()
    if hook not in hooks:
        raise ValueError(f"there is no hook '{hook}'.{suggest(hook, hooks)}")
    fail = failing_method(error, at_step) if "run" in hooks[hook] else failing_command(error)
    return type("FailingPlugin", (), {"role": role, "before": tuple(before), hook: hookimpl(fail)})()


def failing_method(error: BaseException | None, at_step: int | None) -> Callable[..., None]:
    """Return the method that raises; its own error is a new one each time, as errors collect notes on their way."""

    def fail(self: object, run: Any) -> None:
        if at_step is None or run.step == at_step:
            raise error or RuntimeError("boom")

    return fail


def failing_command(error: BaseException | None) -> Callable[..., None]:
    """Return the method that raises in ``add_commands``, the one hook that has no run."""

    def fail(self: object) -> None:
        raise error or RuntimeError("boom")

    return fail
