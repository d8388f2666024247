"""How wandb is started: without questions, and without what the engine and its plugins have or log themselves."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hookloop import ConfigError

if TYPE_CHECKING:
    import wandb

    from hookloop import Run
    from hookloop_wandb.plugin import Wandb

log = logging.getLogger("hookloop.wandb")

Mode = Literal["online", "offline", "disabled"]
MODES: Mapping[str, Mode] = {
    "": "online",
    "online": "online",
    "run": "online",
    "offline": "offline",
    "dryrun": "offline",
    "disabled": "disabled",
}
INIT_SECONDS = 30.0
FINISH_SECONDS = 120.0
FLUSH_SECONDS = 1.0
LOGIN = (
    "wandb does not know who you are. Log in with 'wandb login' or by setting WANDB_API_KEY, or keep the run on this "
    "machine with mode = \"offline\" in the plugin's table, for 'wandb sync' to send later."
)


def mode_of(option: Literal["online", "offline"] | None) -> Mode:
    """Return the mode that *option* or else the environment asks for."""
    if option is not None:
        return option
    value = os.environ.get("WANDB_MODE", "")
    if value not in MODES:
        raise ConfigError(f"WANDB_MODE={value}: wandb has the modes online, offline and disabled.")
    return MODES[value]


def begin(config: Wandb.Config, run: Run, mode: Mode, place: Path, run_id: str, ends_service: bool) -> wandb.Run | None:
    """Return an open wandb run; None, which is said, when wandb cannot be started.

    Where the server cannot be reached, the run is kept offline. Raises ConfigError when nobody is logged in.
    """
    import wandb
    from wandb.errors import AuthenticationError, UsageError

    place.mkdir(parents=True, exist_ok=True)
    try:
        if mode == "online":
            check_login()
            try:
                return init(config, run, mode, place, run_id)
            except (AuthenticationError, UsageError):
                raise
            except (wandb.Error, TimeoutError) as error:
                log.warning("wandb: %s. The run is kept in %s, for 'wandb sync'.", error, place / "wandb")
                let_go(ends_service)  # or it would take the run for open
        return init(config, run, "offline", place, run_id)
    except (AuthenticationError, UsageError) as error:
        raise ConfigError(f"wandb: {error}") from None
    except (wandb.Error, OSError, TimeoutError) as error:
        log.warning("wandb: cannot be started: %s. Nothing is logged to it.", error)
        return None


def check_login() -> None:
    """Raise ConfigError where wandb would ask for a key."""
    import wandb
    from wandb.sdk.lib import wbauth

    host = wandb.setup().settings.base_url
    if wbauth.authenticate_session(host=host, source="hookloop", prompt=False, update_session=False) is None:
        raise ConfigError(LOGIN)


def init(config: Wandb.Config, run: Run, mode: Mode, place: Path, run_id: str) -> wandb.Run:
    """Return a run of wandb."""
    import wandb

    settings = wandb.Settings(
        silent=True,
        console="off",  # what the process prints is its own
        x_disable_stats=True,  # the plugin `monitor` samples the machine
        x_disable_machine_info=True,
        x_disable_meta=True,  # it holds the command line, where somebody may have written a secret
        disable_git=True,
        disable_code=True,
        save_code=False,
        x_save_requirements=False,
        symlink=False,
        init_timeout=INIT_SECONDS,
        finish_timeout=FINISH_SECONDS,
        x_transaction_log_flush_interval=FLUSH_SECONDS,
    )
    with no_telemetry(offline=mode == "offline"):
        opened = wandb.init(
            project=config.project or os.environ.get("WANDB_PROJECT") or run.config.name,
            entity=config.entity,
            name=config.name or run.directory.resolve().name,
            group=config.group,
            tags=config.tags or None,
            notes=config.notes,
            dir=str(place),
            id=run_id,
            resume="allow" if mode == "online" else None,
            reinit="create_new",  # leaves the runs alone that others have open in this process
            mode=mode,
            config=json.loads(json.dumps(run.settings, default=str)),
            settings=settings,
        )
    opened.define_metric("step", hidden=True)
    opened.define_metric("*", step_metric="step")
    return opened


@contextmanager
def no_telemetry(*, offline: bool) -> Iterator[None]:
    """Have wandb send no reports of its own where it is to send nothing, unless the user has decided on that."""
    name = "WANDB_ERROR_REPORTING"
    if not offline or name in os.environ:
        yield
        return
    os.environ[name] = "false"
    try:
        yield
    finally:
        del os.environ[name]


def service_runs() -> bool:
    """Return whether somebody in this process uses wandb already."""
    setup: Any = sys.modules.get("wandb.sdk.wandb_setup")
    return getattr(setup, "_singleton", None) is not None


def let_go(ends_service: bool) -> None:
    """End wandb's process and threads, where they were started for this run."""
    import wandb

    if ends_service:
        wandb.teardown()
