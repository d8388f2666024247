"""Guards: plugins that stop, repair, limit or average a training run by themselves."""

from hookloop_guards.clip import Clip
from hookloop_guards.cuda_cache import CudaCache
from hookloop_guards.early_stopping import EarlyStopping
from hookloop_guards.ema import Ema
from hookloop_guards.freeze import Freeze
from hookloop_guards.garbage import GarbageCollection
from hookloop_guards.nan_guard import NanGuard
from hookloop_guards.tf32 import Tf32
from hookloop_guards.time_limit import TimeLimit

__all__ = [
    "Clip",
    "CudaCache",
    "EarlyStopping",
    "Ema",
    "Freeze",
    "GarbageCollection",
    "NanGuard",
    "Tf32",
    "TimeLimit",
]
