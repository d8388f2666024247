"""A plugin that saves: the tests of a distribution have no other distribution."""

from hookloop import Interval, PluginConfig, Trigger, hookimpl, snapshots


class Saver:
    """Takes a snapshot at an interval."""

    role = "observer"

    class Config(PluginConfig):
        every: Interval = Interval(1, "epoch")
        """How often."""

    def __init__(self, config):
        self.trigger = Trigger(config.every)
        self.epoch = 0

    @hookimpl
    def on_fit_start(self, run):
        self.epoch = run.epoch

    @hookimpl
    def persist(self, run):
        ended, self.epoch = run.epoch != self.epoch, run.epoch
        if self.trigger.due_at_epoch(run) if ended else self.trigger.due(run):
            path, name = run.directory / "checkpoints" / "saver", f"step-{run.step:08}"
            written = snapshots.write(path, name, snapshots.take(run), instance="saver", attempt=run.attempt)
            snapshots.saved(run, written.path)
