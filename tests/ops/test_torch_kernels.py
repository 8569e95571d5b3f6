"""PyTorch's own grouped matmul: when it is taken, and that it is right."""

import numpy as np
import pytest

from moe_keras.layers import DenseExpert
from tests.tools import BACKEND, assert_close, draw, numpy_of, randomize

pytestmark = pytest.mark.skipif(BACKEND != "torch", reason="about PyTorch")
if BACKEND == "torch":
    import torch

    from moe_keras.ops.kernels import torch_kernels

GPU, CPU = "cuda", "cpu"


@pytest.fixture
def native(monkeypatch):
    """The operation, on the CPU, where it is slow but there."""
    if not hasattr(torch, "_grouped_mm"):
        pytest.skip("this PyTorch has no grouped matmul of its own")
    taken = []

    def count(rows, kernels, offs):
        taken.append(kernels.shape)
        return original(rows, kernels, offs=offs)

    original = torch._grouped_mm
    monkeypatch.setattr(torch, "_grouped_mm", count)
    monkeypatch.setattr(
        torch_kernels, "_has_fast_groups", lambda device: device.type == CPU
    )
    return taken


@pytest.mark.parametrize(
    ("kind", "capability", "hip", "fast"),
    [
        (GPU, (9, 0), None, True),
        (GPU, (8, 0), None, False),
        (GPU, (10, 0), None, False),
        (GPU, (9, 4), "6.2", False),
        (CPU, (9, 0), None, False),
    ],
)
def test_which_devices_have_fast_groups(
    monkeypatch, kind, capability, hip, fast
):
    monkeypatch.setattr(
        torch.cuda, "get_device_capability", lambda device: capability
    )
    monkeypatch.setattr(torch.version, "hip", hip)
    assert torch_kernels._has_fast_groups(torch.device(kind)) == fast


@pytest.mark.parametrize(
    ("dtype", "rows", "shape", "taken"),
    [
        ("bfloat16", 5, (3, 16, 24), True),
        ("float16", 5, (3, 16, 24), False),
        ("float32", 5, (3, 16, 24), False),
        ("float64", 5, (3, 16, 24), False),
        ("bfloat16", 5, (3, 12, 24), False),
        ("bfloat16", 5, (3, 16, 20), False),
        ("bfloat16", 5, (1025, 16, 24), False),
        ("bfloat16", 1, (3, 16, 24), False),
        ("bfloat16", 0, (3, 16, 24), False),
    ],
)
def test_what_the_operation_takes(native, dtype, rows, shape, taken):
    inputs = torch.zeros((rows, shape[1]), dtype=getattr(torch, dtype))
    assert torch_kernels.in_one_product(inputs, shape) == taken


def test_this_machine_decides_by_its_device():
    inputs = torch.zeros((5, 16), dtype=torch.bfloat16)
    assert not torch_kernels.in_one_product(inputs, (3, 16, 24))


def test_without_the_operation_there_is_the_loop(native, monkeypatch):
    monkeypatch.delattr(torch, "_grouped_mm")
    inputs = torch.zeros((5, 16), dtype=torch.bfloat16)
    assert not torch_kernels.in_one_product(inputs, (3, 16, 24))


@pytest.mark.parametrize("sizes", [(2, 3, 1), (0, 6, 0), (6, 0, 0)])
def test_the_operation_gives_what_the_loop_gives(native, sizes):
    rows, kernels = (
        torch.tensor(draw(*shape), dtype=torch.bfloat16, requires_grad=True)
        for shape in ((6, 16), (3, 16, 24))
    )
    group_sizes = torch.tensor(sizes, dtype=torch.int32)
    found = torch_kernels.grouped_matmul(rows, kernels, group_sizes)
    assert len(native) == 1
    parts = torch.split(rows, list(sizes))
    expected = torch.cat(
        [part @ kernel for part, kernel in zip(parts, kernels, strict=True)]
    )
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found, expected)
    # The gradient of a sum has no memory of its own.
    pairs = zip(
        torch.autograd.grad(found.sum(), (rows, kernels)),
        torch.autograd.grad(expected.sum(), (rows, kernels)),
        strict=True,
    )
    for one, other in pairs:
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("units", [8, 6])
def test_a_bank_takes_it_where_all_its_kernels_fit(native, units):
    bank = DenseExpert(units, 3, hidden_units=16, dtype="bfloat16")
    rows = torch.tensor(draw(7, 8), dtype=torch.bfloat16)
    sizes = torch.tensor([4, 0, 3], dtype=torch.int32)
    bank(rows, group_sizes=sizes)
    randomize(bank)
    native.clear()
    found = bank(rows, group_sizes=sizes)
    # Its own dtype, whatever the global policy is.
    assert found.dtype == torch.bfloat16
    assert native == ([(3, 8, 16), (3, 16, 8)] if units == 8 else [])
    outputs = numpy_of(bank(rows).float())
    experts = np.repeat([0, 2], [4, 3])
    assert_close(
        numpy_of(found.float()),
        outputs[np.arange(7), experts],
        atol=0.05,
        rtol=0.02,
    )


def largest(values):
    return values.amax(-1, keepdim=True)


ACTIVATIONS = {
    "new": lambda values: values.tanh(),
    "the values themselves": lambda values: values,
    "another shape": largest,
    "one number in many places": lambda v: largest(v).expand_as(v),
    "another dtype": lambda values: values.bfloat16(),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("shape", [(1, 8), (3, 8), (2, 3, 8), (0, 8)])
def test_gated_in_place_is_gated(name, shape):
    values = torch.tensor(draw(*shape))
    expected = torch_kernels.gate_linear(values.clone(), ACTIVATIONS[name])
    with torch.no_grad():
        found = torch_kernels.gate_linear(values.clone(), ACTIVATIONS[name])
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_gated_in_place_takes_no_memory():
    made = []

    def activation(values):
        made.append(values.tanh())
        return made[-1]

    with torch.no_grad():
        found = torch_kernels.gate_linear(torch.ones(3, 8), activation)
    assert found.data_ptr() == made[0].data_ptr()


def test_kernels_are_fetched_without_a_copy_where_nothing_learns():
    bank = torch.nn.Parameter(torch.tensor(draw(3, 2, 4)))
    places = torch.tensor([2, 0, 2])
    recorded = torch_kernels.fetch(bank, places)
    with torch.no_grad():
        found = torch_kernels.fetch(bank, places)
    torch.testing.assert_close(found, [part.detach() for part in recorded])
    assert [part.data_ptr() for part in found] == [
        bank[place].data_ptr() for place in places
    ]
    (gradient,) = torch.autograd.grad(
        sum((i + 1) * part.sum() for i, part in enumerate(recorded)), bank
    )
    expected = torch.tensor([2.0, 0.0, 4.0])[:, None, None].expand(3, 2, 4)
    torch.testing.assert_close(gradient, expected)
