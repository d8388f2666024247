"""Installs the engine and plugins of this checkout, as wheels, into the environment whose Python runs it.

    python .ci/install.py                    the engine
    python .ci/install.py hookloop-csv       the engine and one plugin
    python .ci/install.py --all              the engine and every plugin
    python .ci/install.py --all --lowest     with the oldest version of each dependency that the pyprojects allow
    python .ci/install.py --beside DIR ...   with the torch of the environment DIR, as another one is a gigabyte

pip builds a directory anew each time, so what is installed is never older than the checkout.
"""

import argparse
import re
import subprocess
import sys
import sysconfig
import tempfile
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NOT_LOWERED = ("hookloop", "torch")  # this checkout's own, and a gigabyte that has only one wheel in the test machines


def plugin_directories() -> list[Path]:
    """Return the directory of each plugin."""
    return sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))


def lowest(directories: Iterable[Path]) -> Iterator[str]:
    """Yield ``name==version`` for each dependency of the distributions in *directories* that has a lower bound."""
    for directory in directories:
        project = tomllib.loads((directory / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        for requirement in project["dependencies"]:
            match = re.match(r"([\w.-]+).*?>=\s*([\w.]+)", requirement)
            if match and match[1] not in NOT_LOWERED:
                yield f"{match[1]}=={match[2]}"


def see_packages_of(environment: Path) -> None:
    """Let this environment's Python find what is installed in *environment*, after its own; pip does then as well.

    By a .pth file and not by PYTHONPATH, which tests set anew for the processes that they start.
    """
    packages = sysconfig.get_path("purelib", vars={"base": str(environment), "platbase": str(environment)})
    Path(sysconfig.get_path("purelib"), "beside.pth").write_text(f"{packages}\n", encoding="utf-8")


def main() -> None:
    """Install what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("plugins", nargs="*", metavar="PLUGIN", help="the name of a directory below plugins/")
    parser.add_argument("--all", action="store_true", help="every plugin")
    parser.add_argument("--lowest", action="store_true", help="the oldest dependencies")
    parser.add_argument("--beside", type=Path, help="an environment whose packages are seen as well")
    given = parser.parse_args()
    if given.beside:
        see_packages_of(given.beside)
    plugins = plugin_directories() if given.all else [ROOT / "plugins" / name for name in given.plugins]
    directories = [ROOT, *plugins]
    options = ["--no-build-isolation"]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as constraints:
        if given.lowest:
            # In isolation: the oldest `packaging` is older than what the build needs.
            constraints.write("\n".join(lowest(directories)))
            constraints.flush()
            options = ["-c", constraints.name]
        command = [sys.executable, "-m", "pip", "install", "-qq", *options, *map(str, directories)]
        sys.exit(subprocess.run(command).returncode)


if __name__ == "__main__":
    main()
