"""What the demo found, as a table for the terminal and as Markdown."""

import platform
import statistics
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from rich import box
from rich.table import Table

from moe_keras.data import Dataset
from moe_keras.demo.contest import (
    CONTESTANTS,
    MIXTURES,
    TWINS,
    Result,
)

HEADINGS = (
    "model",
    "accuracy %",
    "log-loss",
    "ECE",
    "parameters",
    "multiply-adds",
    "seconds",
)


_TEMPLATE = """\
# A mixture of experts on handwritten digits

{train:,} training and {test:,} test images of 8 x 8 pixels ({citation}).
{epochs} epochs; seeds {seeds} ({runs}). The mixture has one convolutional
and one recurrent expert, the sparse mixture two of each, of which two see an
image. The twins are dense networks with the same stem, trained the same way.

{scores}

{verdict}

Active twin: of the mixture's active multiply-adds; parameter twin: of its
parameters. ECE: expected calibration error, 15 bins. Multiply-adds: per image,
of the experts that see it. Seconds: of training.

![training curves](training_curves.png)

## Which expert takes which class

{routing}

Mean gate of the sparse mixture over the test images of the class.

![mean gate of each expert by class](experts_by_class.png)

## The exported model

`saved_model/` (the sparse mixture) was loaded in a fresh process that could
import neither moe_keras nor keras. Its predictions for the test images differ
from Keras' own by at most {difference:.1e}. The signature `explain` returns the
gates too.

Python {python}, Keras {keras} on {backend}, {machine}.
"""


def table_rows(results: Sequence[Result]) -> list[list[str]]:
    """One row per contestant: means over the seeds, with SD where there are."""
    rows = []
    for contestant in CONTESTANTS:
        runs = [result for result in results if result.contestant == contestant]
        rows.append(
            [
                contestant,
                _mean([100 * run.scores["accuracy"] for run in runs], 2),
                _mean([run.scores["log_loss"] for run in runs], 4),
                _mean([run.scores["ece"] for run in runs], 4),
                f"{runs[0].parameters:,}",
                f"{runs[0].active_multiply_adds:,.0f}",
                _mean([run.seconds for run in runs], 1),
            ]
        )
    return rows


def terminal_table(results: Sequence[Result]) -> Table:
    """The rows of `table_rows` for a terminal."""
    tests = len(results[0].probabilities)
    table = Table(title=f"{tests} test images", box=box.SIMPLE_HEAD, padding=0)
    for heading in HEADINGS:
        justify: Any = "left" if heading == "model" else "right"
        table.add_column(heading, justify=justify, no_wrap=True)
    for row in table_rows(results):
        # Beside their means, the SDs would not fit into 80 columns.
        table.add_row(*(cell.replace(" ±", "\n±") for cell in row))
    return table


def verdict(results: Sequence[Result]) -> str:
    """How the better mixture stands to the better twin, and how surely."""
    means = {
        name: statistics.mean(
            result.scores["accuracy"]
            for result in results
            if result.contestant == name
        )
        for name in CONTESTANTS
    }
    mixture = max(MIXTURES, key=lambda name: means[name])
    twin = max(TWINS, key=lambda name: means[name])
    lead = 100 * (means[mixture] - means[twin])
    how = "ahead of" if lead > 0 else "behind" if lead < 0 else "level with"
    by = f" by {abs(lead):.2f} points" if lead else ""
    tests = len(results[0].probabilities)
    # Binomial standard error of one accuracy at this number of test images.
    error = 100 * max((p * (1 - p) / tests) ** 0.5 for p in means.values())
    return (
        f"The {mixture} is {how} the {twin}{by}; one accuracy on {tests} "
        f"images has a standard error of about {error:.2f} points."
    )


def markdown_report(
    results: Sequence[Result],
    data: Dataset,
    epochs: int,
    expert_names: Sequence[str],
    routing: Any,
    largest_difference: float,
) -> str:
    """The report that the demo leaves behind."""
    seeds = sorted({result.seed for result in results})
    shares = [
        [name, *(f"{share:.2f}" for share in row)]
        for name, row in zip(data.classes, np.asarray(routing), strict=True)
    ]
    return _TEMPLATE.format(
        train=len(data.whole_train()),
        test=len(data.test),
        citation=data.citation,
        epochs=epochs,
        seeds=", ".join(map(str, seeds)),
        runs="mean ± SD over the seeds" if len(seeds) > 1 else "one seed",
        scores=_markdown_table(HEADINGS, table_rows(results)),
        verdict=verdict(results),
        routing=_markdown_table(("class", *expert_names), shares),
        difference=largest_difference,
        python=platform.python_version(),
        keras=keras.__version__,
        backend=keras.backend.backend(),
        machine=platform.machine(),
    )


def _mean(values: Sequence[float], digits: int) -> str:
    mean = f"{statistics.mean(values):.{digits}f}"
    if len(values) == 1:
        return mean
    return f"{mean} ± {statistics.stdev(values):.{digits}f}"


def _markdown_table(
    headings: Sequence[str], rows: Sequence[Sequence[str]]
) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
