"""PyTorch: eager, so sizes are read back and the groups are plain views.

On some GPUs there is one product for all groups, which reads no size back.
"""

import torch
from keras import ops

DYNAMIC_SHAPES = True

# What `torch._grouped_mm` takes: strides of whole 16 bytes, and so many groups.
_MULTIPLE, _MOST_GROUPS = 8, 1024


def first_rows(index, count):
    return index[: int(count)]


def split_rows(rows, sizes, num_groups):
    return torch.split(rows, sizes.tolist())


def busy_groups(sizes):
    return torch.nonzero(sizes)[:, 0].tolist() or [0]


def unstack(weights):
    return torch.unbind(torch.as_tensor(weights))


def fetch(weights, places):
    bank = torch.as_tensor(weights)
    recorded = bank.requires_grad and torch.is_grad_enabled()
    if bank.device.type != "cpu" or recorded or torch.compiler.is_compiling():
        return list(bank[places])
    # Views, where an index would copy; their gradient would be dear.
    return [bank[place] for place in places.tolist()]


def count_groups(groups, num_groups):
    return torch.bincount(groups, minlength=num_groups)[:num_groups]


def sort_groups(groups, num_groups):
    return torch.argsort(groups, stable=True)


def invert(permutation):
    # A hundredth of the time of a sort.
    places = torch.arange(len(permutation), device=permutation.device)
    return torch.empty_like(places).scatter_(0, permutation.long(), places)


def with_adjoint(forward, adjoint, tensor):
    return forward(tensor)


def take_or_zeros(rows, places, found):
    # Copies rows as they are, which takes a fraction of an index's time.
    if rows.device.type == "cpu" and bool(found.all()):
        return torch.index_select(rows, 0, places)
    padded = torch.cat([rows, rows.new_zeros((1, *rows.shape[1:]))])
    return torch.index_select(padded, 0, torch.where(found, places, len(rows)))


def weigh(weights, values):
    return torch.bmm(weights[:, None, :], values)[:, 0]


def run_nonempty(function, group):
    if group[0].shape[0]:
        return function(*group)
    return function(
        *(tensor.new_zeros((1, *tensor.shape[1:])) for tensor in group)
    )[:0]


def require_true(condition, message):
    if not condition:
        raise ValueError(message)


def finite_rows(rows):
    # The largest is NaN where one is, and takes less time than `all`.
    return rows.abs().amax(-1) < float("inf")


def product(rows, kernel):
    if rows.dtype == kernel.dtype:
        return torch.matmul(rows, kernel)
    return ops.matmul(rows, kernel)


def gate_linear(values, activation):
    first, second = torch.chunk(values, 2, dim=-1)
    activated = activation(first)
    if torch.is_grad_enabled() or not _is_like(activated, second):
        return activated * second
    # Nobody needs what was there, and memory takes longer than the product.
    return activated.mul_(second)


def _is_like(tensor, other):
    """Whether products with the other fit into the tensor's own memory."""
    same = tensor.shape == other.shape and tensor.dtype == other.dtype
    return same and tensor.is_contiguous()


def top_k(scores, k):
    # `torch.topk` promises nothing about ties.
    values, indices = torch.sort(scores, descending=True, stable=True)
    return values[..., :k], indices[..., :k]


def softmax_of_few(logits):
    return torch.softmax(logits, dim=-1)


def in_one_product(rows, shape):
    num_groups, *widths = shape
    return (
        hasattr(torch, "_grouped_mm")
        and _has_fast_groups(rows.device)
        and rows.dtype == torch.bfloat16
        and all(width and width % _MULTIPLE == 0 for width in widths)
        and num_groups <= _MOST_GROUPS
        # A single row can have any strides, and need not be fast.
        and len(rows) > 1
    )


def _has_fast_groups(device):
    # Elsewhere the operation is a loop of its own, or refuses: PyTorch 2.8
    # runs it on compute capability 9 alone.
    if device.type != "cuda" or torch.version.hip is not None:
        return False
    return torch.cuda.get_device_capability(device)[0] == 9


def _contiguous_gradient(tensor):
    # A sum's gradient has strides of 0, which the operation refuses.
    if tensor.requires_grad:
        tensor.register_hook(lambda gradient: gradient.contiguous())
    return tensor


def grouped_matmul(rows, kernels, group_sizes):
    if in_one_product(rows, kernels.shape):
        ends = torch.cumsum(group_sizes, 0, dtype=torch.int32)
        return _contiguous_gradient(
            torch._grouped_mm(
                rows.contiguous(), kernels.contiguous(), offs=ends
            )
        )
    groups = split_rows(rows, group_sizes, kernels.shape[0])
    products = [
        torch.matmul(group, kernel)
        for group, kernel in zip(groups, unstack(kernels), strict=True)
    ]
    return torch.cat(products)
