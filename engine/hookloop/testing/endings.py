"""The clauses of the contract about how a run ends, what is left of it, and who else takes part in it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hookloop.testing.probes import Keeper
from hookloop.testing.resources import imports_forgiven, leftovers, snapshot
from hookloop.testing.subject import PluginUnderTest

if TYPE_CHECKING:
    from hookloop.testing.tiny import TinyRun

ENDINGS: dict[str, type[BaseException] | None] = {
    "completion": None,
    "an exception": RuntimeError,
    "an interrupt": KeyboardInterrupt,
}
FAILURES = [
    ("on_run_start", RuntimeError),
    ("on_ready", RuntimeError),
    ("on_step_end", RuntimeError),
    ("on_step_end", KeyboardInterrupt),
]


class EndingClauses(PluginUnderTest):
    """A run may end by itself, by anybody's exception at any time, or by Ctrl-C."""

    @pytest.mark.parametrize("ending", ENDINGS)
    def test_nothing_is_left_behind(self, tiny_run: TinyRun, ending: str) -> None:
        """Threads, files, processes and handlers are gone after the run, while the plugin object still exists."""
        self.load(tiny_run)
        self.train(tiny_run)  # so that what torch and the engine take for good is there before
        before = snapshot()
        with imports_forgiven():
            kept = [self.run_to(tiny_run, ending)]
        kept.append(self.run_to(tiny_run, ending))
        if left := leftovers(before):
            lines = "\n  ".join(left)
            way = "Let go in on_run_end, which is called however a run ends, also when on_run_start never was."
            self.breach(f"after {ending} it leaves behind:\n  {lines}\n{way}")

    @pytest.mark.parametrize(("hook", "kind"), FAILURES)
    def test_an_error_elsewhere_comes_out_as_it_was(
        self, tiny_run: TinyRun, hook: str, kind: type[BaseException]
    ) -> None:
        """When another plugin fails the user reads why, and not what this one's ending hooks ran into after it."""
        self.load(tiny_run)
        error = kind("raised on purpose by the contract")
        keeper = Keeper()
        if not self.train_until(tiny_run, keeper, hook, error, at_step=2 if hook == "on_step_end" else None):
            self.breach(f"another plugin raised {error!r} in {hook}, and nothing of it came out of the run.")
        notes = [note for note in getattr(error, "__notes__", ()) if note.startswith("and while the run was ending")]
        if notes:
            way = "Its ending hooks must cope with a run that failed before anything was built."
            self.breach(f"when another plugin fails in {hook}, it fails as well: {notes[0]}\n{way}")
        assert keeper.ended, "on_run_end is called however a run ends"

    def test_two_instances_run_side_by_side(self, tiny_run: TinyRun) -> None:
        """Two tables that use the same plugin each have their own state and files."""
        stateful = hasattr(self.load(tiny_run).plugin, "state_dict")
        one = self.request("one")
        two = self.request("two", self.options if self.second_options is None else self.second_options)
        result = self.train(tiny_run, one, two)
        if stateful and not {"one", "two"} <= result.state["plugins"].keys():
            self.breach("of two instances, not each has a state of its own.")
        engines = self.files(tiny_run)
        if both := (self.files(tiny_run, one) & self.files(tiny_run, two)) - engines:
            way = "If an option says where it writes, give the second instance another place: second_options = {...}."
            self.breach(f"two instances both write {', '.join(sorted(both))}. {way}")

    def run_to(self, tiny_run: TinyRun, ending: str) -> Keeper:
        """Run with the plugin to *ending*, and keep alive all that belongs to the run."""
        keeper, kind = Keeper(), ENDINGS[ending]
        if kind is None:
            self.train(tiny_run, self.request(), ("contract-keeper", keeper), commands=("fit", "test", "predict"))
        else:
            self.train_until(tiny_run, keeper, "on_step_end", kind("raised on purpose by the contract"), at_step=2)
        return keeper

    def files(self, tiny_run: TinyRun, *plugins: Any) -> set[str]:
        """Return the files that a run with *plugins* leaves in its directory, by their path in it."""
        directory: Path = self.train(tiny_run, *plugins).directory
        return {path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file()}
