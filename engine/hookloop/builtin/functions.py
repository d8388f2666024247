"""The plugin ``lambda``: functions of the user's, each called in the hook that is named in the configuration."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, create_model

from hookloop.callbacks import WITHOUT_RUN, Subscriber, Subscription, subscriber, subscription
from hookloop.errors import ConfigError
from hookloop.functions import check_function_location, import_function
from hookloop.hookspecs import SPECIFICATIONS
from hookloop.interval import Interval
from hookloop.markers import hookimpl
from hookloop.plan import spec_parameters

Location = Annotated[str, AfterValidator(check_function_location)]
FROZEN = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Call(BaseModel):
    """A function, and when it is called."""

    model_config = FROZEN

    use: Location
    """The function, as `path/to/file.py:function` or `module:function`."""

    every: Interval | None = None
    """How often, such as `2 epochs` or `100 steps`; without it, at each event."""

    once: bool = False
    """Whether only the first time that it would be called."""

    when: Location | None = None
    """A function of the run that says, each time, whether to call."""


def as_call(value: object) -> object:
    """Return the table that a mere location is short for."""
    return {"use": value} if isinstance(value, str) else value


PARAMETERS = spec_parameters()
CALL = Annotated[Call, BeforeValidator(as_call)] | None


def fields() -> dict[str, Any]:
    """Return a field for each hook, described by the first words of its specification."""
    documents = {name: hook.__doc__ or "" for group in SPECIFICATIONS for name, hook in vars(group).items()}
    names = [name for name in PARAMETERS if name not in WITHOUT_RUN]
    return {name: (CALL, Field(None, description=documents[name].strip().splitlines()[0])) for name in names}


class Functions(Subscriber):
    """What `functions` makes; it has a hook of its own, to refuse a table without any function."""

    @hookimpl
    def on_run_start(self) -> None:
        """Raise ConfigError when there is nothing to call."""
        if not self.due:
            raise ConfigError('it names no function: write, for instance, on_epoch_end = "file.py:function".')


def functions(config: BaseModel) -> Functions:
    """Calls functions of the user's: ``on_epoch_end = "file.py:function"`` in ``[plugins.lambda]``.

    They are imported when the plugin is built, as their hooks are its own and a wrong one is an error of the file.
    """
    calls = {hook: call for hook in PARAMETERS if (call := getattr(config, hook, None))}
    return subscriber([subscribed(hook, call) for hook, call in calls.items()], PARAMETERS, Functions)


functions.Config = create_model("Config", __config__=FROZEN, **fields())  # type: ignore[attr-defined]


def subscribed(hook: str, call: Call) -> Subscription:
    """Return the subscription of *call*; raises ConfigError, which names the hook."""
    when = import_function(call.when) if call.when else None
    try:
        function = import_function(call.use)
    except ConfigError as error:
        raise ConfigError(f"{hook}: {error}") from None
    return subscription(hook, function, PARAMETERS, every=call.every, once=call.once, when=when)
