"""The demo's steps, in order: train, report, save, export, serve."""

from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
from rich.console import Console

from moe_keras.data import load_digits
from moe_keras.demo import report
from moe_keras.demo.contest import CONTESTANTS, Result, run_contest
from moe_keras.demo.served import predict_without_keras
from moe_keras.errors import require
from moe_keras.export import export_saved_model
from moe_keras.insight import (
    collect_gates,
    expert_by_class,
    expert_names,
    plot_history,
    plot_routing,
)
from moe_keras.storage import (
    write_json,
    write_model,
    write_picture,
    write_text,
)

EPOCHS = 60
EXPORTED = "sparse mixture"
# Between the exported predictions and Keras' own.
LARGEST_DIFFERENCE = 1e-5


def run_demo(
    out: Path,
    seeds: Sequence[int] = (0,),
    epochs: int = EPOCHS,
    console: Console | None = None,
) -> list[Result]:
    """Train on digits, compare, explain, export, and prove the export.

    Writes `model.keras`, `saved_model/`, `training_curves.png`,
    `experts_by_class.png`, `results.json` and `report.md`; the files are those
    of the first seed, the scores those of all.

    Args:
        out: folder to write into, made if need be.
        seeds: one training of each of the four models for each of them.
        epochs: int > 0.
        console: where progress goes; a new one by default.

    Returns:
        The results, four for each seed.

    Raises:
        ValueError: on a backend other than TensorFlow.
        RuntimeError: when the exported model does not return what Keras does.
    """
    # Said now, not after the training: the export at the end needs it.
    require(
        keras.backend.backend() == "tensorflow",
        "run_demo",
        "needs the TensorFlow backend: unset KERAS_BACKEND.",
        backend=keras.backend.backend(),
    )
    console = console or Console()
    out.mkdir(parents=True, exist_ok=True)
    data = load_digits()
    digits = len(data.whole_train())
    console.print(
        f"Training on {digits:,} scanned digits: a mixture of a "
        "convolutional and a recurrent expert, a sparse one of two each, and "
        "two dense twins."
    )
    results = list(run_contest(data, seeds, epochs, console))
    rows = [result.row() for result in results]
    write_json(out / "results.json", rows)
    console.print(report.terminal_table(results))
    console.print(report.verdict(results))

    (mixture,) = (
        result.model
        for result in results
        if (result.contestant, result.seed) == (EXPORTED, seeds[0])
    )
    ((gate, gates),) = collect_gates(mixture, data.test.inputs).items()
    names = expert_names(mixture)[gate]
    routing = expert_by_class(gates, data.test.labels, len(data.classes))
    picture = plot_routing(routing, names, data.classes)
    write_picture(out / "experts_by_class.png", picture, 120)
    histories = {
        result.contestant: result.history
        for result in results[: len(CONTESTANTS)]
    }
    write_picture(out / "training_curves.png", plot_history(histories), 120)

    write_model(out / "model.keras", mixture)
    console.print(
        "Exporting, and loading the export where Keras cannot be imported ..."
    )
    difference = _prove_export(mixture, out / "saved_model", data.test.inputs)
    console.print(
        f"SavedModel = Keras: largest difference over {len(data.test)} test "
        f"images is {difference:.1e}."
    )
    page = report.markdown_report(
        results, data, epochs, names, routing, difference
    )
    write_text(out / "report.md", page)
    console.print(f"Read [bold]{out / 'report.md'}[/bold]")
    return results


def _prove_export(
    model: keras.Model, folder: Path, inputs: np.ndarray
) -> float:
    """Export, run in a fresh process, and compare with `predict`."""
    export_saved_model(model, folder)
    served = predict_without_keras(folder, inputs)
    expected = model.predict(inputs, verbose=0)
    difference = max(
        float(np.max(np.abs(served[name] - expected)))
        for name in ("outputs", "explained")
    )
    if not difference <= LARGEST_DIFFERENCE:
        raise RuntimeError(
            "the SavedModel's predictions differ from Keras' by "
            f"{difference:.1e}, more than {LARGEST_DIFFERENCE:.0e}"
        )
    return difference
