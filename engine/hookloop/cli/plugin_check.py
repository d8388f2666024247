"""`hookloop plugins check`: everything about a plugin that would not work, or would work for nobody else."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from hookloop.cli.survey import Portrait, bare_message, portray
from hookloop.errors import PluginError
from hookloop.inspection import check_policy, find_faults, role_of, wishes_of
from hookloop.loading import build
from hookloop.plan import spec_parameters
from hookloop.plugin_options import config_model, validate_options
from hookloop.requests import RESERVED_KEYS

if TYPE_CHECKING:
    from pydantic import BaseModel

    from hookloop.selection import Decision

NO_SAMPLE = "its factory cannot be called with default options, so its hooks were not looked at"


def faults_of(decision: Decision) -> list[str]:
    """Return everything that is wrong with the plugin of *decision*, which is imported, and built where it can be."""
    had_torch = "torch" in sys.modules
    try:
        portrait = portray(decision)
    except PluginError as error:
        return [bare_message(error)]
    faults = []
    if not had_torch and "torch" in sys.modules and portrait.candidate.source == "entry point":
        faults.append("its module imports torch at the top: import it inside functions, or in a module behind it.")
    return [
        *faults,
        *faults_of_metadata(portrait),
        *(faults_of_config(portrait.model) if portrait.model is not None else ()),
        *faults_of_class(portrait),
        *faults_of_building(portrait),
    ]


def faults_of_metadata(portrait: Portrait) -> Iterator[str]:
    """Yield what its distribution should say."""
    if portrait.candidate.source == "entry point" and not portrait.candidate.requires:
        yield 'its distribution does not say which hookloop it needs: dependencies = ["hookloop>=0.1,<0.2"].'


def faults_of_config(model: type[BaseModel]) -> Iterator[str]:
    """Yield what is wrong with its options."""
    if not model.model_config.get("frozen"):
        yield "its Config can be changed: make it a hookloop.PluginConfig, or set frozen = True."
    for name, field in model.model_fields.items():
        if name in RESERVED_KEYS:
            yield f"its option {name} is a key of the engine's, and never reaches it: call it otherwise."
        elif not field.description:
            yield f"its option {name} is not documented: write a docstring below it."


def faults_of_class(portrait: Portrait) -> Iterator[str]:
    """Yield what is wrong with its role, wishes, hooks and state."""
    sample, instance, origin = portrait.sample, portrait.decision.instance, portrait.origin
    if sample is None:
        yield f"{NO_SAMPLE}."
        return
    try:
        check_policy(role_of(sample, instance, origin), portrait.candidate.autoload, "raise", instance, origin)
    except PluginError as error:
        yield bare_message(error)
    for key in ("before", "after"):
        try:
            wishes_of(sample, key, instance, origin)
        except PluginError as error:
            yield bare_message(error)
    yield from find_faults(sample, spec_parameters())
    if hasattr(type(sample), "state_dict") != hasattr(type(sample), "load_state_dict"):
        yield "it has one of state_dict and load_state_dict; a checkpoint needs both."


def faults_of_building(portrait: Portrait) -> Iterator[str]:
    """Yield what goes wrong when it is built with default options; one with a required option is not built."""
    model = config_model(portrait.target, portrait.decision)
    if model is not None and any(field.is_required() for field in model.model_fields.values()):
        return
    try:
        build(portrait.target, validate_options(portrait.target, {}, portrait.decision), portrait.decision)
    except PluginError as error:
        yield bare_message(error)
    except ValueError as error:
        yield f"the defaults of its Config are not valid: {error}"
