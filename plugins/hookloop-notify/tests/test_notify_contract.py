"""What every plugin keeps."""

from typing import ClassVar

from hookloop.testing import PluginContract


class TestNotify(PluginContract):
    plugin = "notify"
    options: ClassVar = {
        "on": ["started", "completed", "stopped", "interrupted", "preempted", "failed"],
        "when": {"train/loss": ["> 0", "nan"]},
        "command": {"args": ["true", "{summary}"]},
    }
