"""Which parameters are meant: names as ``named_parameters`` has them, matched by patterns with ``*`` and ``?``."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from fnmatch import fnmatchcase

from hookloop import ConfigError

WRAPPERS = ("module.", "_orig_mod.")  # what DistributedDataParallel and torch.compile put before a name


def bare(name: str) -> str:
    """Return *name* as the user's model has it, without what wrappers put before it."""
    for prefix in WRAPPERS * 2:
        name = name.removeprefix(prefix)
    return name


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Return whether *name* is meant by any of *patterns*; ``body`` means all of ``body.…`` as well."""
    plain = bare(name)
    return any(
        fnmatchcase(candidate, pattern) or candidate.startswith(f"{pattern}.")
        for pattern in patterns
        for candidate in {name, plain}
    )


def select(names: Collection[str], patterns: Sequence[str], option: str) -> list[str]:
    """Return those of *names* that *patterns* mean, in order; ConfigError for a pattern that means none of them."""
    for pattern in patterns:
        if not any(matches(name, [pattern]) for name in names):
            some = ", ".join(list(dict.fromkeys(bare(name) for name in names))[:8])
            raise ConfigError(f"{option}: no parameter is called like '{pattern}'. There are: {some}, …")
    return [name for name in names if matches(name, patterns)]
