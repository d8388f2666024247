"""Configuration reading: files, environment and overrides become one tree that knows where each value came from."""

from hookloop.config.checks import TOP_LEVEL_TABLES, check_tables
from hookloop.config.dump import dump_toml, show
from hookloop.config.keys import dotted, split_key
from hookloop.config.load import load_config
from hookloop.config.merge import with_defaults
from hookloop.config.secret import redact, redact_declared, resolve_secrets
from hookloop.config.tree import ConfigTree, Origin, where
from hookloop.config.validation import render_validation_error

__all__ = [
    "TOP_LEVEL_TABLES",
    "ConfigTree",
    "Origin",
    "check_tables",
    "dotted",
    "dump_toml",
    "load_config",
    "redact",
    "redact_declared",
    "render_validation_error",
    "resolve_secrets",
    "show",
    "split_key",
    "where",
    "with_defaults",
]
