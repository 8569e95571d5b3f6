"""Which rows of a training split are held out: u(row) < share.

u is the first 64 bits of BLAKE2b over the row's key, as a share of 2**64. The
key is the row's position in the publisher's order, counted from 0, or an id
that the caller names, written in decimal or as it stands, in UTF-8. So the rows
are the same on every machine and in every version of the libraries, a larger
share holds all rows of a smaller one, a row that is added changes no other, and
rows of one id are never on both sides.
"""

import hashlib
from collections.abc import Iterable

import numpy as np

from moe_keras.errors import require

VALIDATION_SHARE = 0.1


def validation_mask(
    keys: Iterable[object], share: float = VALIDATION_SHARE
) -> np.ndarray:
    """Whether each row is for validation.

    Args:
        keys: of the rows: positions or ids, at least two different ones.
        share: float in (0, 1), about which share of the rows to hold out.

    Returns:
        bool `(N,)`: at least one row of either kind. Where the rule would leave
        a side empty, the key with the smallest (largest) hash goes there.

    Raises:
        ValueError: for a share out of range, and for fewer than two keys.
    """
    require(
        0 < share < 1,
        "load_dataset",
        "`validation_share` must be between 0 and 1.",
        validation_share=share,
    )
    values = np.array([_hash(key) for key in keys], dtype="uint64")
    require(
        len(np.unique(values)) > 1,
        "load_dataset",
        "training and validation need two rows with different keys.",
        rows=len(values),
    )
    mask = values < np.uint64(min(round(share * 2**64), 2**64 - 1))
    if not mask.any():
        mask = values == values.min()
    elif mask.all():
        mask = values != values.max()
    return mask


def _hash(key: object) -> int:
    digest = hashlib.blake2b(str(key).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big")
