"""Which of twelve trained experts to keep, on Fashion-MNIST.

Six small and six larger convolutional experts under a soft gate, trained on a
part of the training images. For four budgets every method chooses on the
validation images, with the exhaustive search as the oracle; random and genetic
search evaluate 200 subsets, their default. The model that each budget leaves is
then asked for one image at a time. The test images are not read.
"""

import argparse
import json
import os
from collections.abc import Callable

import keras
import numpy as np

from benchmarks import machine, page
from benchmarks.timing import summary, time_in_turn
from moe_keras.data import Dataset, Split, load_dataset
from moe_keras.layers import (
    ConvExpert,
    GatingLayer,
    LogitFusion,
    MixtureOfExperts,
)
from moe_keras.ops.cost import count_multiply_adds
from moe_keras.search import Selection, select_experts

PAGE = page.ROOT / "docs" / "selection.md"
RESULTS = page.RESULTS.with_name("selection.json")
PICTURE = page.ROOT / "docs" / "selection.png"
ROWS, EPOCHS = 20_000, 4
EACH = 6
SHARES = (0.15, 0.25, 0.35, 0.45)
METHODS = ("greedy", "backward", "genetic", "random")
CALLS = 400


def build(shape: tuple[int, ...]) -> keras.Model:
    """Twelve experts of two sizes behind one convolution, all of them active.

    In training experts are often out of service, so that others can do without.
    """
    images = keras.Input(shape)
    x = keras.layers.Rescaling(1 / 255)(images)
    x = keras.layers.Conv2D(
        16, 3, strides=2, padding="same", activation="relu"
    )(x)
    banks = [
        ConvExpert(
            filters,
            EACH,
            pool_size=2,
            pooling="flatten",
            output_units=10,
            name=name,
        )
        for name, filters in (("small", (8,)), ("larger", (16, 32)))
    ]
    gate = GatingLayer(2 * EACH, expert_dropout=0.5)
    mixed = MixtureOfExperts(banks, gate, LogitFusion(), name="moe")(x)
    return keras.Model(images, keras.layers.Softmax()(mixed))


def train(data: Dataset, epochs: int) -> keras.Model:
    """The mixture, trained on a part of the training images."""
    keras.utils.set_random_seed(0)
    learned = data.train.take(slice(0, ROWS))
    model = build(learned.inputs.shape[1:])
    model.compile(
        keras.optimizers.Adam(2e-3), "sparse_categorical_crossentropy"
    )
    model.fit(
        *learned.arrays, batch_size=128, epochs=epochs, verbose=0, shuffle=True
    )
    return model


def measure(model: keras.Model, held_out: Split, calls: int) -> dict:
    """Every method at every budget, and the latency of what is left."""
    whole = count_multiply_adds(model).active
    budgets = [share * whole for share in SHARES]
    best = select_experts(model, held_out, budgets, method="exhaustive")
    greedy = select_experts(model, held_out, budgets, method="greedy")
    entries = []
    for place, budget in enumerate(budgets):
        for method in METHODS:
            found = select_experts(
                model,
                held_out,
                budget,
                method=method,
                verbose=0,
            )
            entries.append(_entry(found, best[place], SHARES[place]))
        entries.append(_entry(best[place], best[place], SHARES[place]))
    models = {"all": model} | {
        str(share): found.model
        for share, found in zip(SHARES, greedy, strict=True)
    }
    return {
        "rows": len(held_out),
        "multiply_adds": whole,
        "loss": round(_loss(model, held_out), 5),
        "entries": entries,
        "latency": summary(
            time_in_turn(
                {name: _ask(one, held_out) for name, one in models.items()},
                calls,
                warm_up=10,
            ),
            "all",
        ),
        "picture": greedy[1].plot(),
    }


def _entry(found: Selection, best: Selection, share: float) -> dict:
    return {
        "budget": share,
        "method": found.method,
        "experts": list(found.indices),
        "cost": found.cost,
        "loss": round(found.loss, 5),
        "over_best": round(found.loss / best.loss - 1, 5),
        "evaluations": found.evaluations,
    }


def _loss(model: keras.Model, split: Split) -> float:
    chances = model.predict(split.inputs, verbose=0)
    return float(-np.log(chances[np.arange(len(split)), split.labels]).mean())


def _ask(model: keras.Model, split: Split) -> Callable[[], np.ndarray]:
    """A compiled call with one image."""
    import tensorflow as tf

    image = tf.constant(np.asarray(split.inputs[:1]))
    call = tf.function(lambda x: model(x, training=False))
    return lambda: call(image).numpy()


def table(results: dict) -> str:
    """The results as markdown."""
    where = results["machine"]
    head = ("budget", *METHODS, "exhaustive", "experts kept", "time, one image")
    rows = []
    for share in SHARES:
        found = {
            entry["method"]: entry
            for entry in results["entries"]
            if entry["budget"] == share
        }
        best = found["exhaustive"]
        rows.append(
            (
                f"{share:.0%}",
                *(_beside_best(found[name]) for name in METHODS),
                f"{best['loss']:.4f}",
                f"{len(found['greedy']['experts'])} of {2 * EACH}",
                f"{results['latency'][str(share)]['ratio']['median']:.2f}",
            )
        )
    tried = {
        method: [
            entry["evaluations"]
            for entry in results["entries"]
            if entry["method"] == method
        ]
        for method in (*METHODS, "exhaustive")
    }
    subsets = ", ".join(
        f"{name} {min(counts)} to {max(counts)}"
        for name, counts in tried.items()
    )
    return (
        f"All twelve: {results['multiply_adds']:,.0f} multiply-adds, log-loss "
        f"{results['loss']:.4f} on {results['rows']:,} images. Subsets "
        f"evaluated: {subsets}. The time is that of greedy's model over that "
        f"of all twelve. {where['device']}, {where['cores']} cores; commit "
        f"{where['commit']}.\n\n{page.table(head, rows)}"
    )


def _beside_best(entry: dict) -> str:
    return f"{entry['loss']:.4f} ({entry['over_best']:+.1%})"


def main() -> None:
    """Train, search, print, and write the results, the page and the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--data-dir", default=os.environ.get("MOE_KERAS_DATA_DIR")
    )
    parser.add_argument(
        "--quick", action="store_true", help="on digits, nothing is written"
    )
    options = parser.parse_args()
    quick = options.quick
    data = load_dataset(
        "digits" if quick else "tfds:fashion_mnist", options.data_dir
    )
    model = train(data, 1 if quick else EPOCHS)
    found = measure(model, data.validation, 5 if quick else CALLS)
    picture = found.pop("picture")
    results = {"machine": machine.describe(), **found}
    print(table(results))
    if quick:
        return
    picture.savefig(PICTURE, dpi=110)
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    PAGE.write_text(page.put(PAGE.read_text(), table(results)))


if __name__ == "__main__":
    main()
