"""The plugin that a contract is about: how it is named, configured, loaded and trained with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

import pytest

from hookloop.errors import HookloopError
from hookloop.locations import is_location, location_name
from hookloop.testing.failing import failing_plugin
from hookloop.testing.probes import Keeper

if TYPE_CHECKING:
    from hookloop.loading import LoadedPlugin
    from hookloop.result import Result
    from hookloop.task import Task
    from hookloop.testing.tiny import TinyRun


class PluginUnderTest:
    """The attributes that a contract is configured by, and what its clauses share.

    Attributes:
        plugin: the name of an installed plugin, or ``path/to/file.py:attr`` or ``module:attr``.
        options: its options, as its table in a file has them.
        second_options: those of a second instance beside the first; the same by default.
        meta_options: those for the run on the ``meta`` device; the same by default.
        keywords: further keywords of `Engine` for every run, such as ``{"metrics": {"accuracy": {}}}``.
    """

    plugin: ClassVar[str]
    options: ClassVar[Mapping[str, Any]] = {}
    second_options: ClassVar[Mapping[str, Any] | None] = None
    meta_options: ClassVar[Mapping[str, Any] | None] = None
    keywords: ClassVar[Mapping[str, Any]] = {}

    def task(self) -> Task:
        """Return what is trained. Override it for a plugin that needs another task than a small noisy classifier."""
        from hookloop.testing.tiny import tiny_task

        return tiny_task(dropout=0.5)

    @property
    def name(self) -> str:
        """The name of the plugin's instance."""
        return location_name(self.plugin) if is_location(self.plugin) else self.plugin

    def request(self, name: str = "", options: Mapping[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Return what asks the engine for the plugin, as one of ``Engine(plugins=...)``."""
        return name or self.name, {"use": self.plugin, **(self.options if options is None else options)}

    def train(self, tiny_run: TinyRun, *plugins: object, **keywords: Any) -> Result:
        """Train the task with *plugins*; *keywords* are those of `TinyRun` and `Engine`."""
        return tiny_run(plugins, task=self.task, **{**self.keywords, **keywords})

    def train_until(
        self, tiny_run: TinyRun, keeper: Keeper, hook: str, error: BaseException, at_step: int | None = None
    ) -> bool:
        """Train with the plugin until another raises *error*, and return whether it comes out; raise what else does.

        The other is called before the plugin, so an error in ``on_run_start`` comes before the plugin's own.
        """
        bomb = failing_plugin(hook, error, at_step=at_step, before=(self.name,))
        try:
            self.train(tiny_run, self.request(), ("contract-keeper", keeper), ("contract-bomb", bomb))
        except BaseException as raised:
            if error not in (raised, raised.__cause__):
                raise
            # The frames of a traceback would keep things alive that the plugin has let go of.
            raised.__traceback__ = error.__traceback__ = None
            return True
        return False

    def load(self, tiny_run: TinyRun) -> LoadedPlugin:
        """Return the plugin, loaded; skip the clause when it cannot be, as one clause is about just that."""
        try:
            plan = tiny_run.plan([self.request()], **self.keywords)
        except HookloopError as error:
            pytest.skip(f"the plugin cannot be loaded; see test_it_loads_and_every_hook_matches_its_spec. {error}")
        return next(each for each in plan.plugins if each.instance == self.name)

    def breach(self, message: str) -> NoReturn:
        """Fail the clause with a message for the plugin's author, without a traceback through the kit."""
        pytest.fail(f"plugin '{self.name}': {message}", pytrace=False)
