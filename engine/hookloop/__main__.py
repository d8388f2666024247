"""The commands `hookloop` and `python -m hookloop`, which `torchrun -m hookloop fit run.toml` runs on each rank."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command line and return its exit code."""
    try:
        from hookloop.cli.main import run
    except KeyboardInterrupt:  # reading the modules takes long enough for somebody to think better of it
        return 130
    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
