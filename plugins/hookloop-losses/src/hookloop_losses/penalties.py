"""The plugin ``penalties``: adds to whatever loss there is, and logs what each penalty adds apart."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

from pydantic import BeforeValidator, Field, model_validator

from hookloop import ConfigError, PluginConfig, hookimpl, import_function, is_function_location

if TYPE_CHECKING:
    from torch import Tensor

    from hookloop import Run

    Term = Callable[[Run], Tensor]

Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
NORMS = ("l1", "l2")
BEFORE_ALL = "data"  # what is logged as the loss before any penalty


class Norm(PluginConfig):
    """A penalty on the size of weights."""

    weight: Weight
    """Its factor."""

    parameters: tuple[str, ...] | None = Field(None, min_length=1)
    """Names of parameters, with `*` and `?`, such as `head.*`. Without them, all that are trained and have two
    dimensions or more: neither biases nor the factors of normalisations."""


class Smoothness(PluginConfig):
    """A penalty on how much predictions jump from one time to the next."""

    weight: Weight
    """Its factor."""

    order: Literal[1, 2] = 1
    """1 for differences from one time to the next, 2 for differences of these, which leaves straight lines alone."""

    dim: int = 1
    """The dimension of the output that is time; 0 if the rows of a batch follow each other."""

    norm: Literal["squared", "absolute"] = "squared"
    """The mean of squares, or of absolute values, which allows a few jumps: total variation."""


class Own(PluginConfig):
    """A penalty of the user's."""

    use: str
    """A function, as `path/to/file.py:function` or `module:function`. It is called with the run, after the forward
    pass, and returns a tensor of one element."""

    weight: Weight = 1.0
    """Its factor."""


def short(key: str, *kinds: type) -> BeforeValidator:
    """Return what reads a bare value as a table with *key* alone."""

    def read(value: Any) -> Any:
        return {key: value} if isinstance(value, kinds) and not isinstance(value, bool) else value

    kind = {"weight": float, "use": str}[key]
    return BeforeValidator(read, json_schema_input_type=kind | dict[str, Any])


NormOption = Annotated[Norm, short("weight", int, float)]
SmoothnessOption = Annotated[Smoothness, short("weight", int, float)]
OwnOption = Annotated[Own, short("use", str)]


class Penalties:
    """Adds weighted penalties to the loss of each micro-batch of training; validation and test are without them.

    What a penalty adds is logged as ``loss/l1`` and so on, the loss before as ``loss/data``. Of an instance with
    another name than ``penalties``, it is ``loss/INSTANCE/l1``.
    """

    role = "actor"

    class Config(PluginConfig):
        """Options of ``[plugins.penalties]``."""

        l1: NormOption | None = None
        """Adds weight · Σ|w|: a number, the weight, or a table with `weight` and `parameters`."""

        l2: NormOption | None = None
        """Adds weight · Σ w²: a number, the weight, or a table with `weight` and `parameters`."""

        smoothness: SmoothnessOption | None = None
        """Adds weight · the mean squared difference of predictions in time: a number, the weight, or a table with
        `weight`, `order`, `dim` and `norm`."""

        own: Mapping[str, OwnOption] = Field(default_factory=dict)
        """Adds what functions of yours return, by the name to log: `file.py:function`, or a table with `use` and
        `weight`. A function is called with the run."""

        @model_validator(mode="after")
        def check(self) -> Penalties.Config:
            """Refuse a table that adds nothing, and two penalties of one name."""
            taken = {*NORMS, "smoothness", BEFORE_ALL}.intersection(self.own)
            if taken:
                raise ValueError(f"own: the name '{min(taken)}' is taken; give yours another.")
            if self.l1 is None and self.l2 is None and self.smoothness is None and not self.own:
                raise ValueError("adds nothing: set l1, l2, smoothness or own, such as l2 = 1e-4.")
            return self

    def __init__(self, config: Config) -> None:
        self.config = config
        self.own: dict[str, Callable[..., Any]] = {}
        self.terms: dict[str, tuple[float, Term]] = {}
        self.prefix = "loss/"

    @hookimpl
    def on_run_start(self, run: Run) -> None:
        """Find the user's functions before anything is built."""
        name = next(each.instance for each in cast("Iterable[Any]", run.plugins) if each.plugin is self)
        self.prefix = "loss/" if name == "penalties" else f"loss/{name}/"
        self.own = {key: self.function(name, key, own.use) for key, own in self.config.own.items()}

    @hookimpl
    def on_fit_start(self, run: Run) -> None:
        """Choose the parameters that are penalised."""
        from hookloop_losses import measures

        config, terms = self.config, self.terms
        terms.clear()
        for key, norm, measure in (("l1", config.l1, measures.l1), ("l2", config.l2, measures.l2)):
            if norm is not None:
                chosen = measures.parameters(run.model, norm.parameters, key)
                terms[key] = norm.weight, measures.of_weights(measure, chosen)
        if config.smoothness is not None:
            terms["smoothness"] = config.smoothness.weight, measures.of_output(config.smoothness)
        for key, own in config.own.items():
            terms[key] = own.weight, measures.of_run(self.own[key], own.use)

    @hookimpl
    def transform_loss(self, run: Run, loss: Tensor) -> Tensor:
        """Add the penalties; what is logged is detached, and read with everything else at the next boundary."""
        samples = run.task.batch_size(run.batch)
        run.log(f"{self.prefix}{BEFORE_ALL}", loss.detach(), weight=samples)
        for name, (weight, measure) in self.terms.items():
            added = weight * measure(run)
            run.log(f"{self.prefix}{name}", added.detach(), weight=samples)
            loss = loss + added
        return loss

    def function(self, instance: str, key: str, use: str) -> Callable[..., Any]:
        """Return the function that *use* names; ConfigError says which key names it."""
        where = f"plugins.{instance}.own.{key}"
        if not is_function_location(use):
            raise ConfigError(f"{where}: '{use}' must be path/to/file.py:function or module:function.")
        try:
            return import_function(use)
        except ConfigError as error:
            raise ConfigError(f"{where}: {error}") from None
