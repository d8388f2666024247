"""What every plugin keeps."""

from hookloop.testing import PluginContract


class TestTrackio(PluginContract):
    plugin = "trackio"
