"""Earlier weights come back in the middle of a run, and the run goes on."""

import torch

from hookloop import hookimpl, snapshots


class GoesBack:
    """Saves after the first step, and goes back to that after the third."""

    role = "actor"

    def __init__(self):
        self.weights = {}
        self.moments = {}

    @hookimpl
    def decide(self, run):
        if run.step == 3:
            snapshots.roll_back(run, run.last_checkpoint)
            self.look(run, "after")

    @hookimpl
    def persist(self, run):
        if run.step == 1:
            state = snapshots.take(run)
            made = snapshots.write(run.directory / "checkpoints" / "goes", "one", state, instance="goes")
            snapshots.saved(run, made.path)
            self.look(run, "saved")

    def look(self, run, name):
        self.weights[name] = torch.cat([each.detach().clone().flatten() for each in run.model.parameters()])
        self.moments[name] = [each["exp_avg"].clone() for each in run.optimizers[0].state.values()]


def test_weights_and_optimizers_come_back_and_the_counters_go_on(tiny_run):
    plugin = GoesBack()
    result = tiny_run([plugin], epochs=2, steps=3, optimizer=("adamw", {"lr": 0.1}))
    assert torch.equal(plugin.weights["saved"], plugin.weights["after"])
    assert all(map(torch.equal, plugin.moments["saved"], plugin.moments["after"]))
    assert (result.outcome, result.epoch, result.step) == ("completed", 2, 6)


class Adapts:
    """Notes what is read, and puts other weights in the place of those that were saved."""

    role = "actor"

    def __init__(self):
        self.read = []

    @hookimpl
    def on_checkpoint_load(self, run, checkpoint):
        self.read.append(sorted(checkpoint))
        checkpoint["model"] = {name: torch.zeros_like(each) for name, each in checkpoint["model"].items()}


def test_a_plugin_may_adapt_what_is_gone_back_to(tiny_run):
    plugin, adapts = GoesBack(), Adapts()
    tiny_run([plugin, adapts], epochs=2, steps=3, optimizer=("adamw", {"lr": 0.1}))
    assert torch.count_nonzero(plugin.weights["after"]) == 0
    assert {"model", "optimizers", "plugins"} <= {*adapts.read[0]}
