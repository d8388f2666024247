"""Types of options that need a word of their own when they are wrong."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from hookloop_checkpoint.naming import check_template


def check_keep_last(value: Any) -> Any:
    """Return *value* if it is a number from 2, or "all"; None, which TOML has no word for, is "all" as well."""
    if value is None or value == "all":
        return "all"
    if isinstance(value, int) and not isinstance(value, bool) and value >= 2:
        return value
    raise ValueError(
        f"got {value!r}, expected a number of at least 2, or 'all'. A snapshot that a disk damages is no loss only "
        "where an older one is left."
    )


KeepLast = Annotated[Annotated[int, Field(ge=2)] | Literal["all"], BeforeValidator(check_keep_last)]
Template = Annotated[str, AfterValidator(check_template)]


def number_of(keep_last: int | Literal["all"]) -> int | None:
    """Return how many to keep, None for all."""
    return None if keep_last == "all" else keep_last
