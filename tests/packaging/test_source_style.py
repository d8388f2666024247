"""No file of the repository knows the machine that it was written on."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
OWN = (".ci",)  # all other directories with a dot in front belong to tools
TOOLS = ("__pycache__", "build", "dist", "runs")

# In pieces, for this file is one of those that are read. Inside of a longer path, the same words are innocent.
MACHINE = re.compile(rb"(?<![\w.~-])/(" + b"|".join((rb"work" + rb"/", rb"tmp/" + rb"dev\b")) + rb")")


def files_of_a_checkout():
    for path in sorted(ROOT.rglob("*")):
        parents = path.relative_to(ROOT).parts[:-1]
        tools = any(part in TOOLS or (part.startswith(".") and part not in OWN) for part in parents)
        if path.is_file() and not tools and not any(part.endswith(".egg-info") for part in parents):
            yield path


def test_no_file_names_a_directory_of_the_machine_it_was_written_on():
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in files_of_a_checkout()
        for number, line in enumerate(path.read_bytes().splitlines(), 1)
        if MACHINE.search(line)
    ]
    assert found == []
