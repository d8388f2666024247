"""Reading event files: as TensorBoard does, and every record as it stands."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from hookloop_tensorboard.protos import Event
from hookloop_tensorboard.records import read_records

EVERYTHING = {"scalars": 0, "histograms": 0, "tensors": 0, "images": 0}


@dataclass
class Board:
    """What a directory holds."""

    directory: Path

    def reader(self):
        """Return TensorBoard's own reader, which has read everything."""
        return EventAccumulator(str(self.directory), size_guidance=EVERYTHING).Reload()

    def scalars(self):
        """Return the points by name, as TensorBoard shows them."""
        reader = self.reader()
        return {tag: [(each.step, each.value) for each in reader.Scalars(tag)] for tag in reader.Tags()["scalars"]}

    def events(self):
        """Return the events of all files, in the order in which these are read."""
        paths = sorted(self.directory.glob("*tfevents*"))
        return [Event.FromString(data) for path in paths for _, data in read_records(path)]

    def rows(self):
        """Return (name, step) of everything that a run logs, over all files."""
        return [
            (value.tag, event.step)
            for event in self.events()
            for value in event.summary.value
            if not value.tag.startswith("_hparams_")
        ]

    def hyper_parameters(self):
        """Return the hyper-parameters, and the status that the run ended with, if any."""
        from tensorboard.plugins.hparams import metadata

        found = self.reader().summary_metadata
        content = found[metadata.SESSION_START_INFO_TAG].plugin_data.content
        values = metadata.parse_session_start_info_plugin_data(content).hparams
        end = found.get(metadata.SESSION_END_INFO_TAG)
        status = end and metadata.parse_session_end_info_plugin_data(end.plugin_data.content).status
        return {name: getattr(value, value.WhichOneof("kind")) for name, value in values.items()}, status


@pytest.fixture
def board():
    """What reads a directory of event files."""
    return Board
