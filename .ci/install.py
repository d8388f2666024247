"""Installs the engine and plugins of this checkout, as wheels, into the environment whose Python runs it.

    python .ci/install.py                    the engine
    python .ci/install.py hookloop-csv       the engine and one plugin
    python .ci/install.py --all              the engine and every plugin
    python .ci/install.py --lowest ...       with the oldest version of each dependency that the pyprojects allow
    python .ci/install.py --beside DIR ...   with the torch of the environment DIR, as another one is a gigabyte

A wheel is built once for what is in its directory, so what is installed is never older than the checkout, and the many
environments of a run of tox build nothing twice.
"""

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NOT_LOWERED = ("hookloop", "torch")  # this checkout's own, and a gigabyte that has only one wheel in the test machines


WHEELS = Path(os.environ.get("TOX_WORK_DIR", ROOT / ".tox")) / "wheels"
PARTS = ("pyproject.toml", "README.md", "LICENSE", "src", "engine")  # what a wheel is made of


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


def wheel_of(directory: Path) -> Path:
    """Return the wheel of the distribution in *directory*, built unless there is one of the very same files."""
    folder = WHEELS / f"{directory.name}-{digest_of(directory)}"
    if not folder.exists():
        with tempfile.TemporaryDirectory(dir=made(WHEELS)) as built:
            build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", built]
            subprocess.run(build, cwd=directory, check=True, stdout=subprocess.DEVNULL)
            shutil.copytree(built, folder)
    (wheel,) = folder.glob("*.whl")
    return wheel


def digest_of(directory: Path) -> str:
    """Return what tells the files in *directory* that go into its wheel from any others."""
    digest = hashlib.sha256()
    for part in PARTS:
        for path in sorted((directory / part).rglob("*")) if (directory / part).is_dir() else [directory / part]:
            if path.is_file() and path.suffix != ".pyc":
                digest.update(f"{path.relative_to(directory)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def made(directory: Path) -> Path:
    """Return *directory*, which is made if it is not there."""
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def see_packages_of(environment: Path) -> None:
    """Let this environment's Python find what is installed in *environment*, after its own; pip does then as well.

    By a .pth file and not by PYTHONPATH, which tests set anew for the processes that they start.
    """
    packages = sysconfig.get_path("purelib", vars={"base": str(environment), "platbase": str(environment)})
    Path(sysconfig.get_path("purelib"), "beside.pth").write_text(f"{packages}\n", encoding="utf-8")


def remove_own() -> None:
    """Uninstall what an earlier call installed of this checkout, which pip would take for the same version."""
    found = [path.name.partition("-")[0] for path in Path(sysconfig.get_path("purelib")).glob("hookloop*.dist-info")]
    if found:
        subprocess.run([sys.executable, "-m", "pip", "uninstall", "-qq", "-y", *found], check=True)


def main() -> None:
    """Install what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("plugins", nargs="*", metavar="PLUGIN", help="the name of a directory below plugins/")
    parser.add_argument("--all", action="store_true", help="every plugin")
    parser.add_argument("--lowest", action="store_true", help="the oldest dependencies")
    parser.add_argument("--beside", type=Path, help="an environment whose packages are seen as well")
    given = parser.parse_args()
    if given.beside:
        see_packages_of(given.beside.resolve())
    plugins = plugin_directories() if given.all else [ROOT / "plugins" / name for name in given.plugins]
    directories = [ROOT, *plugins]
    wheels = [str(wheel_of(directory)) for directory in directories]
    options: list[str] = []
    remove_own()
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as constraints:
        if given.lowest:
            constraints.write("\n".join(lowest(directories)))
            constraints.flush()
            options = ["-c", constraints.name]
        command = [sys.executable, "-m", "pip", "install", "-qq", *options, *wheels]
        sys.exit(subprocess.run(command).returncode)


if __name__ == "__main__":
    main()
