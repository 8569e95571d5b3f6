"""PyTorch: eager, so sizes are read back and the groups are plain views."""

import torch

DYNAMIC_SHAPES = True
FAST_GROUPED_MATMUL = True


def first_rows(index, count):
    return index[: int(count)]


def split_rows(rows, sizes, num_groups):
    return torch.split(rows, sizes.tolist())


def busy_groups(sizes):
    return torch.nonzero(sizes)[:, 0].tolist() or [0]


def unstack(weights):
    return torch.unbind(torch.as_tensor(weights))


def fetch(weights, places):
    return list(torch.as_tensor(weights)[places])


def count_groups(groups, num_groups):
    return torch.bincount(groups, minlength=num_groups)[:num_groups]


def sort_groups(groups, num_groups):
    return torch.argsort(groups, stable=True)


def invert(permutation):
    return torch.argsort(permutation)


def with_adjoint(forward, adjoint, tensor):
    return forward(tensor)


def take_or_zeros(rows, places, found):
    padded = torch.cat([rows, rows.new_zeros((1, *rows.shape[1:]))])
    return padded[torch.where(found, places, len(rows))]


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


def top_k(scores, k):
    # `torch.topk` promises nothing about ties.
    values, indices = torch.sort(scores, descending=True, stable=True)
    return values[..., :k], indices[..., :k]


def grouped_matmul(rows, kernels, group_sizes):
    groups = split_rows(rows, group_sizes, kernels.shape[0])
    products = [
        torch.matmul(group, kernel)
        for group, kernel in zip(groups, unstack(kernels), strict=True)
    ]
    return torch.cat(products)
