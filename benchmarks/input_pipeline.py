"""How long a training step waits for its batch.

60,000 images of 28 x 28 bytes, as many and as large as Fashion-MNIST's, drawn
at random. Two figures for each model:

- the share of a step that is spent in waiting for the batch, step by step;
- the processor time that a batch takes, over that of a step on a batch that is
  there: what the pipeline takes from the step's own cores. Processor time
  hardly depends on what else the machine does.
"""

import argparse
import itertools
import json
import time
from collections.abc import Callable

import keras
import numpy as np

from benchmarks import machine, page
from moe_keras.training.input_pipeline import InputPipeline
from moe_keras.training.recipe_parts import Augmentation
from moe_keras.zoo import build_image_moe

PAGE = page.ROOT / "docs" / "recipes.md"
RESULTS = page.RESULTS.with_name("input_pipeline.json")
ROWS, BATCH = 60_000, 128
VARIANTS = ("hetero", "conv")
AUGMENTATIONS = {
    "none": None,
    "crop, flip, cutout": Augmentation(crop=2, flip=True, cutout=8),
}
# Steps that begin with an empty queue and a cold cache.
WARM_UP = 10


def measure(variant: str, augmentation: str, steps: int) -> dict:
    """Both figures for one model."""
    model = build_image_moe(variant=variant)
    model.compile("adam", "sparse_categorical_crossentropy")
    batches = pipeline(AUGMENTATIONS[augmentation])
    waiting, working = wait_and_work(model, batches, steps)
    there = [keras.ops.convert_to_tensor(a) for a in batches.batch(0, 0)]
    step_cpu = cpu_seconds(lambda _: model.train_on_batch(*there), steps)
    batch_cpu = cpu_seconds(lambda step: batches.batch(0, step), steps)
    return {
        "variant": variant,
        "augmentation": augmentation,
        "step_ms": round(1e3 * (waiting + working) / steps, 2),
        "waiting": round(waiting / (waiting + working), 4),
        "step_cpu_ms": round(1e3 * step_cpu, 2),
        "batch_cpu_ms": round(1e3 * batch_cpu, 2),
    }


def cpu_seconds(run: Callable[[int], object], steps: int) -> float:
    """Processor time of one call, the mean of `steps` of them."""
    start = time.process_time()
    for step in range(steps):
        run(step)
    return (time.process_time() - start) / steps


def pipeline(augmentation: Augmentation | None) -> InputPipeline:
    """Random images in random order."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (ROWS, 28, 28, 1), "uint8")
    labels = rng.integers(0, 10, ROWS)
    return InputPipeline(images, labels, BATCH, 0, augmentation)


def wait_and_work(
    model: keras.Model, batches: InputPipeline, steps: int
) -> tuple[float, float]:
    """Seconds in which the model waits, and in which it trains."""
    waiting = working = 0.0
    iterator = iter(batches.tf_dataset(0, 1))
    for step in range(WARM_UP + steps):
        start = time.perf_counter()
        inputs, labels = next(iterator)
        there = time.perf_counter()
        model.train_on_batch(inputs, labels)
        if step >= WARM_UP:
            waiting += there - start
            working += time.perf_counter() - there
    return waiting, working


def table(results: dict) -> str:
    """The results as markdown."""
    where = results["machine"]
    head = ("variant", "augmentation", "step", "waiting", "batch / step, CPU")
    rows = [
        (
            entry["variant"],
            entry["augmentation"],
            f"{entry['step_ms']} ms",
            f"{100 * entry['waiting']:.1f} %",
            f"{entry['batch_cpu_ms']} / {entry['step_cpu_ms']} ms",
        )
        for entry in results["entries"]
    ]
    return (
        f"{where['device']}, {where['cores']} cores, load {where['load']} at "
        f"the start; commit {where['commit']}.\n\n{page.table(head, rows)}"
    )


def main() -> None:
    """Measure, print, and write the results and the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="few steps, nothing is written"
    )
    quick = parser.parse_args().quick
    steps = 5 if quick else 50
    results: dict = {"machine": machine.describe(), "entries": []}
    for variant, augmentation in itertools.product(VARIANTS, AUGMENTATIONS):
        entry = measure(variant, augmentation, steps)
        print(json.dumps(entry), flush=True)
        results["entries"].append(entry)
    if not quick:
        RESULTS.write_text(json.dumps(results, indent=2) + "\n")
        PAGE.write_text(page.put(PAGE.read_text(), table(results)))


if __name__ == "__main__":
    main()
