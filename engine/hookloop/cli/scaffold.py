"""`hookloop plugins new`: writes the package of a new plugin from the templates that come with the engine."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from string import Template

from hookloop._version import __version__
from hookloop.discovery import known_distributions
from hookloop.errors import ConfigError

SUMMARIES = {
    "observer": "Reports the newest metrics every so often.",
    "actor": "Adds a penalty on large weights to the loss.",
    "provider": "Offers a smooth absolute error as a loss.",
}
EXAMPLES = {"observer": 'every = "100 steps"', "actor": "weight = 1e-4", "provider": "epsilon = 1e-3"}
NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


def write_plugin(name: str, parent: Path, kind: str) -> tuple[Path, list[Path]]:
    """Write the package of a plugin *name* below *parent*; return its folder and its files.

    Raises ConfigError for a name that cannot be one or is taken, and for a folder that exists: nothing is overwritten.
    """
    check_name(name)
    values = values_for(name, kind)
    folder = parent / values["distribution"]
    texts = {folder / path: render(template, values) for path, template in files_for(kind, values).items()}
    try:
        parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir()
    except OSError as error:
        if folder.exists():
            why = f"{folder} exists already, and nothing is overwritten. Choose another name, or another"
        else:
            why = f"{folder} cannot be made: {error.strerror}. Choose another"
        raise ConfigError(f"{why} place: --dir DIR.") from None
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")
    return folder, list(texts)


def check_name(name: str) -> None:
    """Raise ConfigError for what is not a plugin's name, or that of a plugin which has it already."""
    if not NAME.fullmatch(name):
        raise ConfigError(f"'{name}' is no plugin's name: use small letters, digits and single dashes, as in lr-log.")
    if name.startswith("hookloop-"):
        raise ConfigError(f"the distribution will be hookloop-NAME by itself: hookloop plugins new {name[9:]}")
    owner = known_distributions().get(name)
    if owner is not None:
        raise ConfigError(f"'{name}' is a plugin of {owner} already. Choose another name.")


def values_for(name: str, kind: str) -> Mapping[str, str]:
    """Return what stands for each placeholder of the templates."""
    identifier = name.replace("-", "_")
    return {
        "name": name,
        "identifier": identifier,
        "distribution": f"hookloop-{name}",
        "module": f"hookloop_{identifier}",
        "class_name": "".join(word.capitalize() for word in name.split("-")),
        "requirement": requirement(),
        "summary": SUMMARIES[kind],
        "example": EXAMPLES[kind],
    }


def requirement() -> str:
    """Return which engines a plugin written today works with: until 1.0, those of the same minor version."""
    major, minor = map(int, __version__.split(".")[:2])
    above = f"{major}.{minor + 1}" if major == 0 else str(major + 1)
    return f"hookloop>={major}.{minor},<{above}"


def files_for(kind: str, values: Mapping[str, str]) -> Mapping[str, str]:
    """Return the files of a package, each with its template."""
    return {
        "pyproject.toml": "pyproject.toml.tmpl",
        "README.md": "README.md.tmpl",
        f"src/{values['module']}/__init__.py": f"{kind}.py.tmpl",
        f"src/{values['module']}/py.typed": "",
        f"tests/test_{values['identifier']}.py": f"test_{kind}.py.tmpl",
    }


def render(template: str, values: Mapping[str, str]) -> str:
    """Return the text of *template*, or an empty one for no template."""
    if not template:
        return ""
    text = resources.files("hookloop").joinpath("templates", template).read_text(encoding="utf-8")
    return Template(text).substitute(values)
