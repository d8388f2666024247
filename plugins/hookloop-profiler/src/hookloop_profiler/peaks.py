"""What devices could do at most: products of matrices a second, without sparsity, from their makers' data sheets.

A share of a peak that is not the device's own is worse than none. So a card is known by all the words that tell it from
its relatives, which may have half of its units or of its clock, and one that has a word too many is not known.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch

    from hookloop import Run

Kind = Literal["fp32", "tf32", "bf16", "fp16"]

TERA = 1e12

# Words of the name → 10^12 operations a second in fp32, tf32, bf16 and fp16, the last two added up in fp32; 0 where it
# has no units for them. Names that differ in their amount of memory alone have it left out.
PEAKS: Mapping[str, tuple[float, float, float, float]] = {
    "H200": (67, 494.7, 989, 989),
    "H200 NVL": (60, 417.5, 835, 835),
    "GH200": (67, 494.7, 989, 989),
    "H100 HBM3": (67, 494.7, 989, 989),
    "H100 NVL": (60, 417.5, 835, 835),
    "H100 PCIE": (51, 378, 756, 756),
    "A100 SXM": (19.5, 156, 312, 312),
    "A100 SXM4": (19.5, 156, 312, 312),
    "A100 PCIE": (19.5, 156, 312, 312),
    "A30": (10.3, 82, 165, 165),
    "A10": (31.2, 62.5, 125, 125),
    "A10G": (31.5, 35, 70, 70),
    "L4": (30.3, 60, 121, 121),
    "L40": (90.5, 90.5, 181, 181),
    "L40S": (91.6, 183, 362, 362),
    "V100 SXM2": (15.7, 0, 0, 125),
    "V100 PCIE": (14, 0, 0, 112),
    "T4": (8.1, 0, 0, 65),
    "GEFORCE RTX 4090": (82.6, 82.6, 165.2, 165.2),
    "GEFORCE RTX 3090": (35.6, 35.6, 71, 71),
    "MI300X": (163.4, 653.7, 1307, 1307),
}
MAKERS = frozenset(("NVIDIA", "TESLA", "AMD", "INSTINCT", "OAM"))
MEMORY = re.compile(r"\d+GB|HBM2E?")


def peak_of(name: str, kind: Kind) -> float | None:
    """Return the operations a second of the device called *name*; None for one that is not known, or without units."""
    words = {each for each in re.split(r"[\s_-]+", name.upper()) if not MEMORY.fullmatch(each)} - MAKERS
    for known, peaks in PEAKS.items():
        if words == set(known.split()):
            peak = peaks[("fp32", "tf32", "bf16", "fp16").index(kind)]
            return peak * TERA or None
    return None


def kind_of(run: Run) -> Kind | None:
    """Return in what *run* multiplies: of fp32 on a card, tf32 if any of it may be; None for a mixture of types."""
    import torch

    if run.precision != "fp32":
        return "bf16" if run.precision == "bf16-mixed" else "fp16"
    types = {each.dtype for each in run.model.parameters() if each.is_floating_point()}
    if types == {torch.float32}:
        return "tf32" if may_round(run.model) else "fp32"
    if types == {torch.bfloat16}:
        return "bf16"
    return "fp16" if types == {torch.float16} else None


def may_round(model: torch.nn.Module) -> bool:
    """Return whether torch may multiply float32 as tf32: in convolutions it does unless it is told not to."""
    import torch

    kinds = (torch.nn.modules.conv._ConvNd, torch.nn.RNNBase)
    try:
        by_cudnn = torch.backends.cudnn.allow_tf32 and any(isinstance(each, kinds) for each in model.modules())
        return torch.get_float32_matmul_precision() != "highest" or by_cudnn
    except RuntimeError:  # set in a newer way, which these refuse to read; the higher peak gives no share beyond 1
        return True
