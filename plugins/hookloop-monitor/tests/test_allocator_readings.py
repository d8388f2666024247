"""The allocator's figures."""

import pytest
import torch

from hookloop_monitor.allocator import AllocatorReader, cuda_uuids, open_allocator

accelerated = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA card")


def test_the_cpu_has_no_allocator_to_read():
    assert open_allocator(torch.device("cpu")) is None


def test_figures_have_the_names_they_are_logged_by():
    reader = AllocatorReader({"allocated_bytes": lambda: 3})
    assert reader.read(0.0) == {"allocator/allocated_bytes": 3}
    reader.close()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA card")
def test_without_cuda_nobody_knows_uuids():
    assert cuda_uuids() == []


@accelerated
def test_the_figures_are_those_of_the_allocator():
    block = torch.empty(2**20, dtype=torch.uint8, device="cuda:0")
    reader = open_allocator(block.device)
    values = reader.read(0.0)
    assert values["allocator/allocated_bytes"] == torch.cuda.memory_allocated(0) >= 2**20
    assert values["allocator/peak_reserved_bytes"] == torch.cuda.max_memory_reserved(0)
    assert len(cuda_uuids()) == torch.cuda.device_count()
