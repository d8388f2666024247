"""`hookloop completion`: the script by which a shell completes commands and options."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter

from hookloop.cli.output import emit
from hookloop.errors import ConfigError

Shell = Literal["bash", "zsh", "fish", "powershell"]


def completion(
    shell: Annotated[Shell | None, Parameter(help="Which shell; by default the one that this runs in.")] = None, /
) -> None:
    """Print the script that completes commands and options; hookloop --install-completion puts it in its place."""
    from cyclopts.completion import ShellDetectionError

    from hookloop.cli.app import engine_app

    try:
        emit(engine_app().generate_completion(shell=shell))
    except ShellDetectionError:
        raise ConfigError("cannot tell which shell this is; name it: hookloop completion bash") from None
