"""What is imported when, what leaves the machine, and the documentation of the options."""

import inspect
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hookloop_mlflow import Mlflow

ROOT = Path(__file__).parents[3]

SPEAKS_TO_NOBODY = """
import socket, sys, warnings

def refuse(*given):
    raise SystemExit(f"something connects to {given[-1]}")

socket.socket.connect = socket.socket.connect_ex = refuse
socket.getaddrinfo = refuse
from hookloop import Engine
from hookloop.testing.tiny import tiny_task
Engine(
    tiny_task, loss="cross_entropy", optimizer="sgd", plugins=["mlflow"], max_epochs=1, run_dir="run", device="cpu"
).fit()
from mlflow.telemetry import get_telemetry_client
print(get_telemetry_client())
"""


def test_the_command_line_imports_neither_torch_nor_mlflow():
    code = "import sys, hookloop_mlflow.plugin; assert not {'torch', 'mlflow', 'numpy'} & {*sys.modules}"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_training_speaks_to_nobody_and_says_nothing(tmp_path):
    hidden = ("CI", "PYTEST_CURRENT_TEST", "DO_NOT_TRACK", "MLFLOW_DISABLE_TELEMETRY")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SPEAKS_TO_NOBODY],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "None\n", "")


@pytest.mark.parametrize("page", ["plugins/hookloop-mlflow/README.md", "docs/plugins/mlflow.md"])
def test_the_tables_of_options_are_those_of_the_config(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    table = text.partition("| option | default | meaning |")[2].partition("\n\n")[0]
    rows = [line for line in table.splitlines() if line.startswith("| `")]
    assert rows == [option_row(name, field) for name, field in Mlflow.Config.model_fields.items()]


def option_row(name, field):
    value = field.get_default(call_default_factory=True)
    shown = "" if value is None else f"`{json.dumps(value)}`"
    return f"| `{name}` | {shown} | {' '.join(inspect.cleandoc(field.description).split())} |"
