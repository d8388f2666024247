"""The options that several commands share, each group a dataclass whose fields are options of the command."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Group, Parameter

CONFIGURATION = Group("Configuration", sort_key=10)
DESTINATION = Group("Run", sort_key=20)
OUTPUT = Group("Output", sort_key=30)

ConfigFile = Annotated[Path | None, Parameter(help="The configuration, a TOML file.", show_default=False)]


@Parameter(name="*", group=CONFIGURATION)
@dataclass(frozen=True, kw_only=True)
class Source:
    """Where a configuration is written, besides the file CONFIG."""

    files: Annotated[
        tuple[Path, ...],
        Parameter(name=("-c", "--config"), negative=(), metavar="FILE", show_default=False),
    ] = ()
    """A configuration file, laid over those before it. Repeatable."""

    overrides: Annotated[
        tuple[str, ...],
        Parameter(name="--set", negative=(), metavar="KEY=VALUE", show_default=False),
    ] = ()
    """Set one value, as in --set run.max_epochs=3. Repeatable."""


@Parameter(name="*", group=CONFIGURATION)
@dataclass(frozen=True, kw_only=True)
class Switches:
    """Which plugins to switch on and off."""

    plugins: Annotated[tuple[str, ...], Parameter(name="-p", negative=(), metavar="PLUGIN", show_default=False)] = ()
    """Switch a plugin on: NAME, file.py, file.py:attr or module:attr; or off: no:NAME. Repeatable."""


@Parameter(name="*", group=DESTINATION)
@dataclass(frozen=True, kw_only=True)
class Destination:
    """Where a run goes."""

    run_dir: Annotated[Path | None, Parameter(metavar="DIR", show_default=False)] = None
    """The directory of this run, in place of a new one in runs/NAME."""

    overwrite: Annotated[bool, Parameter(negative=(), show_default=False)] = False
    """Replace a run that the directory holds already."""


@Parameter(name="*", group=DESTINATION)
@dataclass(frozen=True, kw_only=True)
class Resumption:
    """What a run goes on from."""

    resume: Annotated[str | None, Parameter(metavar="[PATH]", show_default=False)] = None
    """Go on from the newest valid snapshot of the run directory, or of the newest run, and begin where there is none. \
With a PATH, from that run's newest, in its directory and with its configuration; or from that very snapshot."""


@Parameter(name="*", group=DESTINATION)
@dataclass(frozen=True, kw_only=True)
class Model:
    """Which weights to evaluate."""

    weights: Annotated[Path | None, Parameter(metavar="FILE", show_default=False)] = None
    """Weights to load into the model, as torch.save(model.state_dict(), FILE) wrote them."""


@Parameter(name="*", group=OUTPUT)
@dataclass(frozen=True, kw_only=True)
class Output:
    """How a command answers."""

    json: Annotated[bool, Parameter(negative=(), show_default=False)] = False
    """Answer with one JSON document on standard output."""


@Parameter(name="*", group=OUTPUT)
@dataclass(frozen=True, kw_only=True)
class Loudness:
    """How much a command tells on the way."""

    quiet: Annotated[bool, Parameter(name=("-q", "--quiet"), negative=(), show_default=False)] = False
    """Tell of warnings and errors only."""


NEWEST = "newest"  # what --resume without a PATH is

SOURCE, SWITCHES, DESTINATIONS, RESUMPTION, MODEL, ANSWER, LOUDNESS = (
    Source(), Switches(), Destination(), Resumption(), Model(), Output(), Loudness(),
)  # fmt: skip
