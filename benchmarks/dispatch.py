"""How close sorted dispatch comes to the matrix multiply it stands for.

One size, sorted and dense dispatch beside the limit, as JSON; see
`benchmarks.routing` for all sizes and for other people's layers.

    python -m benchmarks.dispatch
    python -m benchmarks.dispatch --rows 4096 --experts 8 --top-k 2 --backward
"""

import argparse
import json
import os
import sys
from pathlib import Path

# So that it also runs as a script, from anywhere.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras

from benchmarks import contestants, machine
from benchmarks.timing import ratio, summary, time_in_turn


def measure(rows: int, experts: int, top_k: int, backward: bool, repeats: int):
    """The limit, sorted and dense dispatch with the same weights, in turn."""
    inputs = contestants.draw(rows)
    layers = {
        dispatch: contestants.mixture(rows, experts, top_k, dispatch=dispatch)
        for dispatch in ("sorted", "dense")
    }
    layers["dense"].set_weights(layers["sorted"].get_weights())
    outputs = [
        contestants.runner(layer, inputs, False)() for layer in layers.values()
    ]
    runs = {
        "limit": contestants.runner(
            *contestants.limit(rows, top_k, "relu"), backward
        ),
        **{
            name: contestants.runner(layer, inputs, backward)
            for name, layer in layers.items()
        },
    }
    times = time_in_turn(runs, repeats)
    return {
        **summary(times, "limit"),
        "sorted_over_dense": ratio(times, "sorted", "dense"),
        "largest_difference": contestants.difference(*outputs),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=4096)
    parser.add_argument("--experts", type=int, default=32)
    parser.add_argument("--top-k", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument(
        "--backward", action="store_true", help="time the gradients too"
    )
    arguments = vars(parser.parse_args())
    keras.utils.set_random_seed(0)
    result = {**arguments, **measure(**arguments), **machine.describe()}
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
