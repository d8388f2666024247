"""The error of tensors that do not suit a loss or a penalty."""

from hookloop import HookloopError


class LossError(HookloopError):
    """Output, target or weights do not suit; the message says which shapes or types are taken."""
