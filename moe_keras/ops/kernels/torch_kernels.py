"""PyTorch: eager, so sizes are read back and the groups are plain views."""

import torch

DYNAMIC_SHAPES = True


def first_rows(index, count):
    return index[: int(count)]


def split_rows(rows, sizes, num_groups):
    return torch.split(rows, sizes.tolist())


def unstack(weights):
    return torch.unbind(torch.as_tensor(weights))


def run_nonempty(function, group):
    if group[0].shape[0]:
        return function(*group)
    return function(
        *(tensor.new_zeros((1, *tensor.shape[1:])) for tensor in group)
    )[:0]


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
