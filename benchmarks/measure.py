"""What is measured on one backend: our layer, its growth, the peers."""

import gc
import importlib
import math
from collections.abc import Iterator

import keras

from benchmarks import contestants as field
from benchmarks.peers import PEERS
from benchmarks.timing import ratio, summary, time_in_turn

# (rows, E, k)
SIZES = (
    (4096, 8, 2),
    (4096, 32, 2),
    (4096, 128, 8),
    (1024, 64, 2),
    (8, 32, 2),
    (1, 32, 2),
)
QUICK_SIZES = ((256, 8, 2), (8, 32, 2))
PEER_SIZES = (
    (4096, 8, 2),
    (4096, 32, 2),
    (1024, 8, 2),
    (1024, 128, 8),
    (8, 32, 2),
    (1, 32, 2),
    (4096, 8, 1),
)
QUICK_PEER_SIZES = ((128, 8, 2), (128, 8, 1))
QUICK_READ_SIZES = ((256, 8, 2),)
READ_SIZES = ((4096, 8, 2), (4096, 32, 2), (1024, 64, 2), (4096, 256, 2))
# So many experts' kernels, 8 MB, stay in the cache.
CACHED = 4
GROWTH = (8, 16, 32, 64, 128, 256)
TOLERANCE = 1e-4


def repeats_of(rows: int, top_k: int, quick: bool) -> int:
    """More of what is short, whose times scatter more."""
    if quick:
        return 3
    return 60 if rows < 64 else 7 if top_k > 2 else 15


def against_limit(quick: bool) -> Iterator[dict]:
    """Our layer over its limit, at every size and activation."""
    activations = ("relu",) if quick else ("relu", "gelu")
    for rows, experts, top_k in QUICK_SIZES if quick else SIZES:
        size = {"rows": rows, "experts": experts, "top_k": top_k}
        for activation in activations:
            for backward in (False, True):
                yield {
                    **size,
                    "activation": activation,
                    "backward": backward,
                    **_against(size, activation, backward, quick),
                }


def _against(size: dict, activation: str, backward: bool, quick: bool) -> dict:
    rows, experts, top_k = size.values()
    layer = field.mixture(rows, experts, top_k, activation)
    runs = {
        "limit": field.runner(*field.limit(rows, top_k, activation), backward),
        "ours": field.runner(layer, field.draw(rows), backward),
    }
    times = time_in_turn(runs, repeats_of(rows, top_k, quick))
    _clear()
    return {"dispatch": layer.resolve_dispatch(rows), **summary(times, "limit")}


def reading(quick: bool) -> Iterator[dict]:
    """What memory costs: kernels only read, and products with and without it.

    No gate, no sort, no fusion; groups of the same size.
    """
    for rows, experts, top_k in QUICK_READ_SIZES if quick else READ_SIZES:
        (bank,) = field.mixture(rows, experts, top_k).experts
        (few,) = field.mixture(rows, CACHED, 1).experts
        block, inputs = field.limit(rows, top_k, "relu")
        layers = {
            "limit": block,
            "reading": field.Reading(bank),
            "products": field.Products(bank),
            "cached": field.Products(few, experts // CACHED),
        }
        runs = {
            name: field.runner(layer, inputs, False)
            for name, layer in layers.items()
        }
        times = time_in_turn(runs, repeats_of(rows, top_k, quick))
        _clear()
        numbers = sum(math.prod(w.shape) for w in bank.trainable_weights)
        yield {
            "rows": rows,
            "experts": experts,
            "top_k": top_k,
            "megabytes": round(4 * numbers / 1e6),
            **summary(times, "limit"),
        }


def growth(quick: bool) -> Iterator[dict]:
    """The same rows and k, more and more experts, all in one run."""
    rows, counts = (256, (8, 32)) if quick else (4096, GROWTH)
    inputs = field.draw(rows)
    for backward in (False, True):
        runs = {
            str(experts): field.runner(
                field.mixture(rows, experts, 2, dispatch="sorted"),
                inputs,
                backward,
            )
            for experts in counts
        }
        runs["limit"] = field.runner(*field.limit(rows, 2, "relu"), backward)
        times = time_in_turn(runs, repeats_of(rows, 2, quick))
        _clear()
        base = str(counts[0])
        for experts in counts:
            yield {
                "rows": rows,
                "experts": experts,
                "top_k": 2,
                "backward": backward,
                "over_fewest": ratio(times, str(experts), base),
                "over_limit": ratio(times, str(experts), "limit"),
            }


def peers(quick: bool) -> Iterator[dict]:
    """Each peer beside our layer and the limit, in the same run."""
    for name, (backend, module) in PEERS.items():
        if backend != field.BACKEND:
            continue
        peer = importlib.import_module(module)
        for size in QUICK_PEER_SIZES if quick else PEER_SIZES:
            if size[-1] not in peer.TOP_KS:
                continue
            entry = {
                "peer": name,
                **dict(zip(("rows", "experts", "top_k"), size, strict=True)),
            }
            try:
                pair = peer.make(*size)
            except ImportError as error:
                yield {**entry, "skipped": f"not installed ({error.name})"}
                break
            except NotImplementedError as reason:
                yield {**entry, "skipped": str(reason)}
                continue
            yield from _beside(entry, pair, peer.NOTE, quick)
            del pair
            _clear()


def _beside(entry: dict, pair: dict, note: str, quick: bool) -> Iterator[dict]:
    rows, top_k = entry["rows"], entry["top_k"]
    ours = pair["ours"]
    to_limit = field.limit(rows, top_k, "silu", pair["gated"])
    inputs = field.draw(rows)
    distance = None
    if pair["comparable"]:
        both = [
            field.runner(layer, x, False)()
            for layer, x in ((ours, inputs), (pair["layer"], pair["inputs"]))
        ]
        distance = field.difference(*both)
        if distance > TOLERANCE:
            yield {**entry, "skipped": f"outputs differ by {distance:.1e}"}
            return
    for backward in (False, True):
        runs = {
            "limit": field.runner(*to_limit, backward),
            "ours": field.runner(ours, inputs, backward),
            "theirs": field.runner(pair["layer"], pair["inputs"], backward),
        }
        times = time_in_turn(runs, min(30, repeats_of(rows, 8, quick)))
        yield {
            **entry,
            "backward": backward,
            "note": note,
            "difference": distance,
            **summary(times, "limit"),
            "theirs_over_ours": ratio(times, "theirs", "ours"),
        }


def _clear() -> None:
    keras.backend.clear_session()
    gc.collect()
