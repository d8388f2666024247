"""The base for the options of a plugin."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class PluginConfig(BaseModel):
    """A plugin's ``Config``: frozen, refusing unknown keys, documented by the docstrings under its fields.

    Any frozen pydantic model will do as well; this one saves the settings.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
