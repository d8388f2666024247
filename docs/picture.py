"""Draws docs/img/digits.svg: what a terminal shows of `hookloop fit examples/digits.toml`, as the command really ran.

Run it as `python docs/picture.py` when the output has changed.
"""

import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import tempfile
import termios
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "img" / "digits.svg"
COMMAND = ["hookloop", "fit", "examples/digits.toml"]
COLUMNS = 120

BRIGHT = [(97, 175, 239), (198, 120, 221), (86, 182, 194), (214, 218, 224)]
THEME = TerminalTheme(
    background=(24, 26, 31),
    foreground=(214, 218, 224),
    normal=[(24, 26, 31), (224, 108, 117), (130, 195, 120), (229, 192, 123), *BRIGHT],
)

# What a live display sends to go back to the start of its last frame: one line cleared, then one upwards at a time.
REDRAW = re.compile(r"\r\x1b\[2K((?:\x1b\[1A\x1b\[2K)*)")
CURSOR = re.compile(r"\x1b\[\?25[hl]")


def main() -> None:
    """Run the command on a terminal of its own and draw what is left standing there."""
    with tempfile.TemporaryDirectory() as runs:
        printed = on_terminal([sys.executable, "-m", *COMMAND, "--set", f"run.runs_dir={runs}"])
        screen = final_screen(printed).replace(runs, "runs")
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(Text.assemble(("$ ", "bold cyan"), (" ".join(COMMAND), "bold")))
    console.print(Text.from_ansi(screen.rstrip()), soft_wrap=True)
    svg = console.export_svg(title="", theme=THEME)
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(without_web_fonts(svg), encoding="utf-8")


def on_terminal(command: list[str]) -> str:
    """Run *command* with a terminal for its input and output, and return everything that it printed."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, COLUMNS, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color", "PYTHONWARNINGS": "ignore"}
    process = subprocess.Popen(command, cwd=ROOT, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    printed = b""
    try:
        while chunk := os.read(ours, 65536):
            printed += chunk
    except OSError:
        pass  # how Linux says that nobody has the other end open any more
    if process.wait():
        sys.exit(printed.decode())
    return printed.decode()


def final_screen(printed: str) -> str:
    """Return the lines that stand on the terminal in the end: each redraw takes back the frame before it."""
    text, frames = CURSOR.sub("", printed.replace("\r\n", "\n")), REDRAW
    screen: list[str] = [""]
    position = 0
    for match in [*frames.finditer(text), None]:
        first, *others = text[position : match.start() if match else len(text)].split("\n")
        screen[-1] += first
        screen += others
        if match is None:
            break
        taken_back = match[1].count("1A")
        screen = [*screen[: len(screen) - 1 - taken_back], ""]
        position = match.end()
    return "\n".join(screen)


def without_web_fonts(svg: str) -> str:
    """Return *svg* with the reader's own fonts in place of those that it would fetch."""
    return re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL).replace("Fira Code", "Menlo, Consolas, monospace")


if __name__ == "__main__":
    main()
