"""The clauses of the contract about what a plugin declares: its module, its distribution, its hooks and its options."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hookloop._version import __version__
from hookloop.discovery import find_candidates
from hookloop.errors import HookloopError
from hookloop.locations import is_location
from hookloop.policy import Policy
from hookloop.selection import Decision, decide, read_python
from hookloop.testing.declared_options import lenient, misspelt, thawed, undescribed
from hookloop.testing.subject import PluginUnderTest
from hookloop.testing.torch_imports import torch_imported_by

if TYPE_CHECKING:
    from hookloop.testing.tiny import TinyRun


class DeclaredClauses(PluginUnderTest):
    """Nothing is trained here."""

    def test_it_loads_and_every_hook_matches_its_spec(self, tiny_run: TinyRun) -> None:
        """Its options are valid, it can be built, and no hook is misspelt, unmarked, or asks for what is not there."""
        try:
            tiny_run.plan([self.request()], **self.keywords)
        except HookloopError as error:
            self.breach(f"it cannot be loaded.\n{error}")

    def test_it_is_installed_with_a_version_and_says_which_hookloop_it_needs(self) -> None:
        """``hookloop plugins`` can list it, and refuse it before it is imported when it needs another hookloop."""
        if is_location(self.plugin):
            pytest.skip(f"{self.plugin} is not an installed plugin")
        decision = self.decision()
        if decision.candidate is None or decision.state != "active":
            self.breach(f"it is {decision.state}: {decision.reason}.")
        if not decision.candidate.version:
            self.breach(f"its distribution {decision.candidate.distribution} has no version.")
        if not decision.candidate.requires:
            wish = 'dependencies = ["hookloop>=0.1,<1"]'
            self.breach(f"{decision.origin} does not say which hookloop it needs. Write in its pyproject.toml: {wish}")

    def test_importing_it_imports_no_torch(self, tiny_run: TinyRun) -> None:
        """``hookloop --help``, ``plugins`` and ``check`` answer at once, however many plugins are on."""
        self.load(tiny_run)
        candidate = self.decision().candidate
        assert candidate is not None, "what can be loaded was found"
        if chain := torch_imported_by(candidate.value):
            lines = "\n  ".join(chain)
            way = "Import it inside the functions that need it, in a module behind this one, or under TYPE_CHECKING."
            self.breach(f"importing {candidate.value} imports torch:\n  {lines}\n{way}")

    def test_unknown_options_are_refused(self, tiny_run: TinyRun) -> None:
        """A misspelt option is an error that suggests the right one, also in tables inside its table."""
        options = self.load(tiny_run).options
        model = type(options) if options is not None else None
        option, slip = misspelt(model)
        try:
            tiny_run.plan([self.request(options={**self.options, slip: 1})], **self.keywords)
        except HookloopError as error:
            if option and "Did you mean" not in str(error):
                self.breach(f"the misspelt option '{slip}' is refused without naming '{option}'.\n{error}")
        else:
            self.breach(f"it takes the unknown option '{slip}' without a word.")
        if model is not None and (names := lenient(model)):
            way = 'Derive them from hookloop.PluginConfig, or give them model_config = ConfigDict(extra="forbid").'
            self.breach(f"{', '.join(names)}, inside its Config, would take unknown options. {way}")

    def test_its_options_are_frozen_and_described(self, tiny_run: TinyRun) -> None:
        """What was validated stays as it is, and an editor can tell what each option means."""
        options = self.load(tiny_run).options
        if options is None:
            pytest.skip("it has no options")
        if names := thawed(type(options)):
            way = "Derive from hookloop.PluginConfig, or write model_config = ConfigDict(frozen=True)."
            self.breach(f"the values of {', '.join(names)} can be changed after they were validated. {way}")
        if names := undescribed(type(options)):
            way = "Derive from hookloop.PluginConfig and put a docstring under each, or write Field(description=...)."
            self.breach(f"these options have no description: {', '.join(names)}. {way}")

    def decision(self) -> Decision:
        """Return what the engine decides about the plugin when it is asked for, and nothing else is said."""
        requests, _ = read_python([self.request()])
        decisions = decide(find_candidates(), requests, Policy(autoload=False), __version__)
        return next(each for each in decisions if each.request is not None)
