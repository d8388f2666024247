"""Finds the plugins that are installed and says what they are, without importing any of them."""

from __future__ import annotations

import difflib
import functools
import re
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import metadata, resources
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from hookloop.errors import ConfigError, Problem, suggest
from hookloop.locations import location_name, parse_location
from hookloop.names import canonical

GROUP = "hookloop"
AUTOLOAD_GROUP = "hookloop.autoload"

Source = Literal["entry point", "file", "module", "built-in"]


@dataclass(frozen=True)
class Candidate:
    """A plugin as its metadata describes it, before anything of it is imported.

    ``value`` is where its class or factory is: ``module:attr``, ``file.py`` or ``file.py:attr``. ``requires`` are the
    requirement strings of its distribution that speak of hookloop. ``autoload`` says that it is on by being installed.
    """

    name: str
    value: str
    distribution: str
    version: str = ""
    requires: tuple[str, ...] = ()
    autoload: bool = False
    source: Source = "entry point"
    entry_point: metadata.EntryPoint | None = field(default=None, repr=False, compare=False)

    @property
    def origin(self) -> str:
        """The distribution with its version, as errors name it."""
        return f"{self.distribution} {self.version}".strip()


def find_candidates() -> tuple[Candidate, ...]:
    """Return the installed plugins, sorted by name and distribution, so in the same order on every machine.

    Of a distribution that is on ``sys.path`` twice the first counts, as it does for an import.
    """
    autoload = {_identity(entry): entry for entry in metadata.entry_points(group=AUTOLOAD_GROUP)}
    entries = list(metadata.entry_points(group=GROUP))
    # A name that stands only in the second group is meant to be a plugin too.
    listed = {_identity(entry) for entry in entries}
    entries += [entry for identity, entry in autoload.items() if identity not in listed]
    found = dict.fromkeys(_candidate(entry, _identity(entry) in autoload) for entry in entries)
    return tuple(sorted(found, key=lambda each: (canonical(each.name), canonical(each.distribution), each.value)))


def duplicates(candidates: Iterable[Candidate]) -> dict[str, tuple[Candidate, ...]]:
    """Return the canonical names that more than one of *candidates* claims, each with its claimants."""
    claims: dict[str, list[Candidate]] = defaultdict(list)
    for each in candidates:
        claims[canonical(each.name)].append(each)
    return {name: tuple(claimants) for name, claimants in claims.items() if len(claimants) > 1}


def incompatibility(candidate: Candidate, engine_version: str) -> str | None:
    """Return why *candidate* does not go with this version of the engine, or None when it does.

    It is judged by the ``Requires-Dist`` of its distribution; pre-releases of the engine are versions like all others.
    """
    if not candidate.requires:
        return None
    # Here, because it takes 20 ms to import, which a run without installed plugins need not wait for.
    from packaging.requirements import InvalidRequirement, Requirement

    for text in candidate.requires:
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            return f"its requirement '{text}' cannot be read"
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        if not requirement.specifier.contains(engine_version, prereleases=True):
            return f"requires {requirement.name}{requirement.specifier}, this is {engine_version}"
    return None


def from_argument(text: str, base: Path | None = None, where: str = "-p") -> Candidate:
    """Return the plugin that ``file.py``, ``file.py:attr`` or ``module:attr`` stands for; nothing is imported yet.

    It is named after the attribute, or else after the file. A relative file starts from *base*, or else from the
    current directory. Raises ConfigError, which blames *where*, when *text* is none of the three or there is no file.
    """
    try:
        location = parse_location(text, base)
    except ValueError as error:
        raise ConfigError([Problem(where, "", str(error))]) from None
    name = location_name(text)
    if location.is_file:
        return Candidate(name, str(location), location.container, source="file")
    distribution, version = owner_of(location.container)
    return Candidate(name, str(location), distribution, version, source="module")


def owner_of(module: str) -> tuple[str, str]:
    """Return the distribution that is called like the top package of *module*, and its version, or *module* and ``""``.

    Asking every installed distribution for its files would be exact and takes a second.
    """
    try:
        found = metadata.distribution(module.partition(".")[0])
    except metadata.PackageNotFoundError:
        return module, ""
    return found.name, found.version


@functools.cache
def known_distributions() -> Mapping[str, str]:
    """Return the distribution of each first-party plugin, installed or not, from the table ``known_plugins.toml``."""
    text = resources.files("hookloop").joinpath("known_plugins.toml").read_text(encoding="utf-8")
    table: dict[str, list[str]] = tomllib.loads(text)
    return MappingProxyType({name: distribution for distribution, names in table.items() for name in names})


def unknown_plugin(name: str, candidates: Iterable[Candidate], instances: Iterable[str] = ()) -> str:
    """Return what to tell somebody who named a plugin that is not installed: the name that was meant, or how to get it.

    *instances* are further names that may have been meant.
    """
    message = f"no plugin '{name}' is installed"
    known, wanted = known_distributions(), canonical(name)
    if wanted in known:
        return f"{message}: pip install {known[wanted]}"
    if near := suggest(wanted, [*(canonical(each.name) for each in candidates), *instances]):
        return f"{message}.{near}"
    for near in difflib.get_close_matches(wanted, known, n=1):
        return f"{message}. Did you mean '{near}'? It comes with: pip install {known[near]}"
    return f"{message}. Those that are: hookloop plugins list"


def _identity(entry: metadata.EntryPoint) -> tuple[str, str]:
    return canonical(_distribution_name(entry)), canonical(entry.name)


def _distribution_name(entry: metadata.EntryPoint) -> str:
    return str(entry.dist.name) if entry.dist else "unknown distribution"


def _candidate(entry: metadata.EntryPoint, autoload: bool) -> Candidate:
    return Candidate(
        name=entry.name,
        value=entry.value,
        distribution=_distribution_name(entry),
        version=entry.dist.version if entry.dist else "",
        requires=tuple(text for text in (entry.dist.requires if entry.dist else None) or () if _is_ours(text)),
        autoload=autoload,
        entry_point=entry,
    )


def _is_ours(requirement: str) -> bool:
    name = re.match(r"\s*([\w.-]+)", requirement)
    return name is not None and canonical(name[1]) == "hookloop"
