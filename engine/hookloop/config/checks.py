"""Checks of the whole tree that need no plugin: is each top-level table one that a configuration has?"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from hookloop.config.keys import dotted
from hookloop.config.tree import ConfigTree, where
from hookloop.errors import Problem, suggest

TOP_LEVEL_TABLES = ("run", "task", "loss", "optimizer", "schedule", "metrics", "plugins")


def check_tables(tree: ConfigTree, known: Mapping[str, Collection[str]]) -> list[Problem]:
    """Return a problem for each top-level key of *tree* that is not a table in *known*.

    *known* gives for each table the options that it is known to have (none where that is open), so that an option
    written above the first table is sent to the table it belongs in.
    """
    problems = []
    for key, value in tree.data.items():
        if key not in known:
            message = _where_it_belongs(key, known) or _unknown(key, known)
        elif not isinstance(value, dict):
            message = f"is a table: write [{key}] and its options below it."
        else:
            continue
        problems.append(Problem(where(tree, (key,)), dotted((key,)), message))
    return problems


def _where_it_belongs(key: str, known: Mapping[str, Collection[str]]) -> str:
    tables = [table for table, options in known.items() if key in options]
    return f"belongs in the table [{tables[0]}]: write it below that line." if tables else ""


def _unknown(key: str, known: Mapping[str, Collection[str]]) -> str:
    near = suggest(key, known)
    return f"unknown table.{near}" if near else f"unknown table. There are: {', '.join(known)}."
