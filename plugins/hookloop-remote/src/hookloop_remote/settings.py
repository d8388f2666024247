"""The options of a run that has ended, as its ``config.toml`` has them."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from hookloop import ConfigError
from hookloop_remote.plugin import Remote

ENGINE_KEYS = ("use", "enabled", "on_error", "before", "after")
HIDDEN = "***"


def tables_in(run: Path) -> dict[str, dict[str, Any]]:
    """Return the tables of the instances of ``remote`` in a run directory. Raises ConfigError when it is none."""
    path = run / "config.toml"
    try:
        plugins = tomllib.loads(path.read_text(encoding="utf-8")).get("plugins", {})
    except FileNotFoundError:
        raise ConfigError(f"{run} is no run directory: it has no config.toml.") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: {error}.") from error
    tables = {name: table for name, table in plugins.items() if isinstance(table, dict)}
    return {name: table for name, table in tables.items() if table.get("use", name) == "remote"}


def config_of(run: Path, instance: str, table: Mapping[str, Any], environ: Mapping[str, str]) -> Remote.Config:
    """Return the options in *table*, with its secrets. Raises ConfigError, which shows none of them."""
    where = f"[plugins.{instance}] of {run / 'config.toml'}"
    options = {key: resolved(value, where, environ) for key, value in table.items() if key not in ENGINE_KEYS}
    hidden = [name for name, value in texts(options) if value == HIDDEN]
    if hidden:
        raise ConfigError(
            f"{where} does not have the secret '{hidden[0]}', because a run writes none down: "
            f'give it as {{ env = "NAME" }} in the next run, which sends these rows as well.'
        )
    try:
        return Remote.Config.model_validate(options)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        raise ConfigError(f"{where} is wrong: {wrong}.") from None


def resolved(value: Any, where: str, environ: Mapping[str, str]) -> Any:
    """Return *value* with what the environment has for ``{ env = "NAME" }``."""
    if isinstance(value, dict):
        if list(value) == ["env"] and isinstance(value["env"], str):
            if value["env"] not in environ:
                raise ConfigError(f"the environment variable '{value['env']}', which {where} names, is not set.")
            return environ[value["env"]]
        return {key: resolved(inner, where, environ) for key, inner in value.items()}
    return value


def texts(table: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the values of *table* and of the tables in it."""
    for name, value in table.items():
        if isinstance(value, dict):
            yield from texts(value)
        else:
            yield name, value
