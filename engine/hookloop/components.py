"""The parts that a configuration names: a task, a loss, an optimizer, a schedule, a metric, and their options."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from hookloop.config import ConfigTree, dotted
from hookloop.config.tree import where
from hookloop.errors import ConfigError, HookloopError, Problem, suggest
from hookloop.locations import Location, import_location, is_location, parse_location
from hookloop.names import canonical

Factory = Callable[..., Any]


@dataclass(frozen=True)
class Component:
    """What stands in one table: ``use`` and the options beside it.

    ``use`` is a provided name, ``path.py:attr``, ``module:attr``, or what Python code gave in its place. ``path`` is
    the table's key, ``tree`` knows where everything was written.
    """

    path: tuple[str, ...]
    use: Any
    options: Mapping[str, Any]
    tree: ConfigTree

    @property
    def is_own(self) -> bool:
        """Whether ``use`` is code of the user's own, and no name that a plugin offers."""
        return not isinstance(self.use, str) or is_location(self.use)

    @property
    def base(self) -> Path:
        """The directory that a relative file starts from."""
        return self.tree.base((*self.path, "use"))

    @property
    def label(self) -> str:
        """What ``use`` is called in a sentence."""
        return f"'{self.use}'" if isinstance(self.use, str) else named(self.use)

    def as_table(self) -> dict[str, Any]:
        """Return the table that describes this component from anywhere."""
        use = portable(self.use, self.base) if isinstance(self.use, str) else named(self.use)
        return {"use": use, **self.options}

    def problem(self, message: str, key: str = "use") -> Problem:
        """Return *message* with the place of *key*, or of the table when the key was not written."""
        path = (*self.path, key)
        return Problem(
            where(self.tree, path), dotted(path if self.tree.value(path) is not None else self.path), message
        )

    def error(self, message: str, key: str = "use") -> ConfigError:
        """Return *message* as the error of this table."""
        return ConfigError([self.problem(message, key)])


def portable(use: str, base: Path | None = None) -> str:
    """Return *use* with the path of a file made absolute, from the directory *base*."""
    if not use.rpartition(":")[0].endswith(".py") and not use.endswith(".py"):
        return use
    location = parse_location(use, base)
    file = str(Path(location.container).resolve())
    return f"{file}:{location.attribute}" if location.attribute else file


def named(value: object) -> str:
    """Return the name by which an object that Python code gave is shown."""
    kind = value if hasattr(value, "__qualname__") else type(value)
    return f"{getattr(kind, '__module__', '?')}:{getattr(kind, '__qualname__', repr(kind))}"


def read_component(tree: ConfigTree, path: tuple[str, ...], default_use: str | None = None) -> Component | None:
    """Return the component that *path* describes, or None when there is nothing.

    A value that is no table is short for a table with that ``use`` alone. Raises ConfigError when ``use`` is missing,
    or names a file that does not exist.
    """
    value = tree.value(path)
    if value is None:
        return None
    table = value if isinstance(value, dict) else {"use": value}
    use = table.get("use", default_use)
    component = Component(path, use, {key: each for key, each in table.items() if key != "use"}, tree)
    if use is None or (isinstance(use, str) and not use):  # "==" may be something else for an object
        raise component.error(
            f'says not what to use: write use = "NAME" or use = "file.py:attr" below [{dotted(path)}].'
        )
    if isinstance(use, str) and is_location(use):
        check_location(component)
    return component


def check_location(component: Component) -> None:
    """Raise ConfigError when ``use`` is not written as a location is, or its file is not there; nothing is imported."""
    try:
        location = parse_location(component.use, component.base)
    except ValueError as error:
        raise component.error(str(error)) from None
    if not location.attribute:
        raise component.error(f"names a file alone: name what to use of it, {component.use}:NAME.")


def find_factory(component: Component, offered: Mapping[str, Factory], kind: str) -> Factory:
    """Return what ``use`` names: one of the *offered* names, or code of the user's own.

    Raises ConfigError, with a suggestion for a misspelt name and the cause for code that cannot be imported.
    """
    use = component.use
    if callable(use):
        return use  # type: ignore[no-any-return]
    if not isinstance(use, str):
        raise component.error(f"got {use!r}; a {kind} is a name, path.py:attr, module:attr or, in Python, a callable.")
    if use in offered:
        return offered[use]  # also a name in the form of a location, by which a plugin stands in for a library's code
    if is_location(use):
        return import_own(component, kind)
    names = {canonical(name).replace("-", "_"): name for name in offered}
    wanted = canonical(use).replace("-", "_")
    if wanted in names:
        return offered[names[wanted]]
    listed = ", ".join(sorted(name for name in offered if not is_location(name))) or "none"
    raise component.error(
        f"there is no {kind} '{use}'.{suggest(wanted, names)} Offered by the active plugins: {listed}. "
        'Code of your own is use = "path.py:attr" or "module:attr"; a plugin that offers more must be installed and on.'
    )


def import_own(component: Component, kind: str) -> Factory:
    """Import the user's code that ``use`` names; ConfigError tells the cause, and the line of the user's file."""
    location = parse_location(component.use, component.base)
    try:
        found = import_location(location)
    except HookloopError:
        raise
    except (Exception, SystemExit) as error:
        place = last_line(error, location)
        if isinstance(error, AttributeError) and isinstance(error.obj, ModuleType) and not place:
            names = [name for name in vars(error.obj) if not name.startswith("_")]
            message = f"there is no '{error.name}' in {location.container}.{suggest(str(error.name), names)}"
            raise component.error(message) from None
        text = ". ".join([f"{type(error).__name__}: {error}{place}", *getattr(error, "__notes__", ())])
        raise component.error(f"'{component.use}' cannot be imported: {text}") from error
    if not callable(found):
        raise component.error(f"'{component.use}' is {found!r}; a {kind} must be callable.")
    return found


def last_line(error: BaseException, location: Location) -> str:
    """Return `` (file.py:12)`` for the innermost line of the user's own module in the traceback of *error*."""
    place, traceback = "", error.__traceback__
    file = str(Path(location.container).resolve())
    while traceback is not None:
        here = traceback.tb_frame.f_code.co_filename
        if here == file or traceback.tb_frame.f_globals.get("__name__") == location.container:
            place = f" ({here}:{traceback.tb_lineno})"
        traceback = traceback.tb_next
    return place


def check_options(component: Component, factory: Factory, *, given: Sequence[str] = ()) -> None:
    """Raise ConfigError for options that *factory* does not take, and for required ones that are missing.

    *given* are the names of the positional arguments that the engine passes itself.
    """
    try:
        parameters = list(inspect.signature(factory).parameters.values())
    except (TypeError, ValueError):
        return  # written in C: it has no signature to ask, and says itself what it does not take
    named = [each for each in parameters[len(given) :] if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)]
    names = [each.name for each in named]
    anything = any(each.kind is each.VAR_KEYWORD for each in parameters)
    problems = [
        component.problem(f"unknown option.{suggest(key, names)} It takes: {', '.join(names) or 'none'}.", key)
        for key in component.options
        if key not in names and not anything
    ]
    problems += [
        component.problem(f"needs the option '{each.name}'.")
        for each in named
        if each.default is each.empty and each.name not in component.options
    ]
    if problems:
        raise ConfigError(problems)


def call_factory(component: Component, factory: Factory, *arguments: Any) -> Any:
    """Call *factory* with *arguments* and the options; an option that it refuses is the table's ConfigError.

    What goes wrong in code of the user's own is no refusal, and travels as it is.
    """
    try:
        return factory(*arguments, **component.options)
    except HookloopError:
        raise
    except (TypeError, ValueError) as error:
        accepting = {call_factory.__code__} | (set() if component.is_own else own_code(factory))
        if innermost_code(error) in accepting:
            raise component.error(f"{component.label} refuses its options: {error}") from error
        raise


def own_code(factory: Factory) -> set[CodeType]:
    """Return the code that *factory* takes its arguments with: a function's, a class's constructors, ``__call__``."""
    inner = inspect.unwrap(factory)
    constructors = [vars(each).get("__init__") for each in getattr(inner, "__mro__", ())]
    call = vars(type(factory)).get("__call__")
    return {each.__code__ for each in (factory, inner, call, *constructors) if hasattr(each, "__code__")}


def innermost_code(error: BaseException) -> CodeType | None:
    """Return the code of the function that raised *error*."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    return traceback.tb_frame.f_code if traceback is not None else None
