"""A fixed hash of identifiers that is the same on every backend.

All arithmetic is int32 and stays below 2^31, so nothing depends on how a
backend wraps, or on whether it has int64. Nothing below 0 is divided: a program
that was converted to another format may round towards 0 where Keras rounds
down.
"""

from typing import Any

from keras import ops

# The largest prime below 2^15 that is 2 modulo 3: products of two residues fit
# into 31 bits, and the cube of a residue is a permutation of the residues.
PRIME = 32717
# E * PRIME has to stay below 2^31.
MOST_EXPERTS = 2**31 // PRIME


def hash_to_experts(ids: Any, num_experts: int, salt: int = 0) -> Any:
    """One expert for each id, always the same one.

    Multiply and add modulo a prime, cube, and scale to the experts. Of the ids
    0 .. PRIME-1, every expert gets the same number, give or take one.

    Args:
        ids: int `(...)`; of a wider type, the lowest 32 bits count.
        num_experts: int in 1..MOST_EXPERTS.
        salt: int; another one gives another assignment.

    Returns:
        int32 `(...)`, in 0..num_experts-1.

    Source: Roller et al. (2021), arXiv:2106.04426, section 3.1 (a random, then
        fixed, hash of the token); the hash itself is ours.
    """
    factor, shift = _mix(salt)
    ids = ops.cast(ids, "int32")
    rest, upper = _lift(ids)
    low = ops.mod(rest, 2**16)
    high = ops.floor_divide(rest, 2**16) + ops.where(upper, 2**15, 0)
    state = ops.mod(ops.mod(low, PRIME) * factor + shift, PRIME)
    # An id up to 65535 has a high half of 2^15, which only shifts.
    state = ops.mod(state + ops.mod(high * 31 + 1, PRIME), PRIME)
    square = ops.mod(state * state, PRIME)
    cube = ops.mod(square * state, PRIME)
    return ops.floor_divide(cube * num_experts, PRIME)


def remainder(numbers: Any, divisor: int) -> Any:
    """What is left of an int32 of any sign, in 0..divisor-1.

    Args:
        numbers: int32 `(...)`.
        divisor: int in 1..2^30.
    """
    rest, upper = _lift(numbers)
    left = ops.mod(rest, divisor)
    lifted = ops.mod(left + (-(2**31)) % divisor, divisor)
    return ops.where(upper, left, lifted)


def _lift(numbers: Any) -> tuple[Any, Any]:
    """Numbers below 0 with 2^31 added, and which were not below 0."""
    upper = numbers >= 0
    # In two steps, as 2^31 is no int32.
    some, one = ops.where(upper, 0, 2**31 - 1), ops.where(upper, 0, 1)
    return numbers + some + one, upper


def _mix(salt: int) -> tuple[int, int]:
    """A factor in 1..PRIME-1 and a shift in 0..PRIME-1.

    Source: the finaliser of SplitMix64 (Steele et al., 2014, OOPSLA), whose
        constants these are.
    """
    state = (salt + 1) * 0x9E3779B97F4A7C15 % 2**64
    state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    state = (state ^ (state >> 27)) * 0x94D049BB133111EB % 2**64
    state ^= state >> 31
    return 1 + state % (PRIME - 1), (state >> 32) % PRIME
