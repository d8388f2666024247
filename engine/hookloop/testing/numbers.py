"""The clauses of the contract about what is computed: with and without the plugin, after a resume, and on ``meta``."""

from __future__ import annotations

import io
import os
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import hookloop
from hookloop.errors import PluginHookError
from hookloop.testing.comparison import first_difference
from hookloop.testing.evidence import RANDOM_NUMBERS, difference_by_observer, evidence
from hookloop.testing.failing import failing_plugin
from hookloop.testing.probes import Keeper, Tap
from hookloop.testing.subject import PluginUnderTest

if TYPE_CHECKING:
    from hookloop.testing.tiny import TinyRun

COMMANDS = ("fit", "test", "predict")


class NumberClauses(PluginUnderTest):
    """Each compares runs of the same few steps."""

    def test_without_it_the_losses_are_bitwise_equal(self, tiny_run: TinyRun) -> None:
        """Nothing but an actor may change what is trained, by so much as one random number drawn."""
        if self.load(tiny_run).role == "actor":
            pytest.skip("it is an actor: it may change what is trained")
        without, observed = self.evidence(tiny_run), self.evidence(tiny_run, self.request())
        if difference := difference_by_observer(without, observed):
            way = "If it is meant to, its class needs: role = 'actor'."
            if RANDOM_NUMBERS in difference:
                way = "It draws from a shared stream: give it a generator of its own, torch.Generator or random.Random."
            self.breach(f"it changes the training. Without it and with it, {difference}.\n{way}")

    def test_its_state_survives_saving_and_loading(self, tiny_run: TinyRun) -> None:
        """Its state is made of tensors and plain values, and an instance that was given it has the same state."""
        plugin = self.load(tiny_run).plugin
        if hasattr(plugin, "state_dict") != hasattr(plugin, "load_state_dict"):
            self.breach("it has only one of state_dict and load_state_dict; a state needs both.")
        if not hasattr(plugin, "state_dict"):
            pytest.skip("it has no state")
        saved = self.saved(tiny_run)
        state = saved["plugins"][self.name]["state"]
        plugins = {self.name: {"version": "", "state": self.through_a_file(state)}}
        resumed = Keeper()
        self.train(tiny_run, self.request(), ("contract-keeper", resumed), resume={**saved, "plugins": plugins})
        if difference := first_difference(state, resumed.begun[self.name]["state"], "state"):
            self.breach(f"load_state_dict does not put back what state_dict gave. Saved and put back, {difference}.")

    def test_a_resumed_run_ends_like_one_that_was_never_stopped(self, tiny_run: TinyRun) -> None:
        """Going on from the end of the first epoch, the second comes to the same weights, bit by bit."""
        self.load(tiny_run)
        saved = self.saved(tiny_run)
        whole = tiny_run.results["fit"]
        rest = self.train(tiny_run, self.request(), resume=saved)
        for part in ("model", "optimizers"):
            if difference := first_difference(whole.state[part], rest.state[part], part):
                way = "What it needs to go on where it was belongs in state_dict."
                self.breach(f"a resumed run ends elsewhere. Never stopped and resumed, {difference}.\n{way}")

    def test_no_tensor_is_read_between_two_logging_boundaries(self, tiny_run: TinyRun) -> None:
        """On an accelerator, a read makes the host wait. On the meta device there is nothing to read, so it raises."""
        self.load(tiny_run)
        if error := self.error_on_meta(tiny_run):
            self.breach(f"without the plugin, the task of this contract fails on the meta device: {error}")
        options = self.options if self.meta_options is None else self.meta_options
        if error := self.error_on_meta(tiny_run, self.request(options=options)):
            way = "Hand tensors to run.log, which reads them together at the next logging boundary."
            self.breach(f"a step fails on the meta device: something reads a tensor.\n{error}\n{where(error)}\n{way}")

    def evidence(self, tiny_run: TinyRun, *plugins: object) -> Mapping[str, Any]:
        """Return the evidence of a run with *plugins*."""
        tap = Tap()
        self.train(tiny_run, *plugins, ("contract-tap", tap), commands=COMMANDS)
        return evidence(tiny_run.results, tap)

    def saved(self, tiny_run: TinyRun) -> Mapping[str, Any]:
        """Return the state of a run with the plugin at the end of its first epoch; skip when there was none."""
        keeper = Keeper()
        self.train(tiny_run, self.request(), ("contract-keeper", keeper))
        if keeper.saved is None:
            pytest.skip("with these options the run never comes to the end of its first epoch")
        return keeper.saved

    def through_a_file(self, state: Mapping[str, Any]) -> Any:
        """Return *state* as it comes out of a checkpoint, which executes no code when it is read."""
        import torch

        file = io.BytesIO()
        try:
            torch.save(state, file)
            file.seek(0)
            return torch.load(file, weights_only=True)
        except Exception as error:
            self.breach(f"its state holds something that is neither a tensor nor a plain value.\n{error}")

    def error_on_meta(self, tiny_run: TinyRun, *plugins: object) -> Exception | None:
        """Return what the steps of an epoch on the meta device fail with, before any logging boundary."""
        from hookloop.testing.unprintable import UnprintableTensors

        enough = Exception("an epoch is enough")
        bomb = failing_plugin("on_data_exhausted", enough)
        settings = {"device": "meta", "log_every": "1000000 steps", "validate_every": "never"}
        try:
            with UnprintableTensors():
                self.train(tiny_run, *plugins, ("contract-bomb", bomb), **settings)
        except Exception as error:
            return None if error.__cause__ is enough else error
        return None


def where(error: Exception) -> str:
    """Return the innermost line outside of torch and hookloop that *error* came from."""
    import torch

    cause = error.__cause__ if isinstance(error, PluginHookError) else error
    libraries = tuple(f"{Path(module.__file__ or '').parent}{os.sep}" for module in (torch, hookloop))
    frames = traceback.extract_tb((cause or error).__traceback__)
    outside = [each for each in frames if not each.filename.startswith(libraries)]
    return "".join(f"{each.filename}:{each.lineno}: {each.line}" for each in outside[-1:])
