"""What a model says of one input."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ClassScore:
    """A class and its probability.

    Attributes:
        name: of the class.
        probability: float in [0, 1].
    """

    name: str
    probability: float


@dataclass(frozen=True)
class ExpertShare:
    """The expert that counted most in one layer.

    Attributes:
        layer: name of the layer that gates.
        expert: its name, see `moe_keras.insight.expert_names`.
        share: float in [0, 1], of the input's gates: their mean over positions
            where each position has gates of its own.
    """

    layer: str
    expert: str
    share: float


@dataclass(frozen=True)
class Prediction:
    """What a model says of one input.

    Attributes:
        file: as it was given; None for a text that was given itself.
        row: its place in a file or sequence of many, else None: counted from
            0, but the lines of a text file from 1.
        classes: the most probable ones, best first.
        experts: one for each layer that gates, from the input on.
        text: what was read, None for what is no text.
    """

    file: str | None
    row: int | None
    classes: tuple[ClassScore, ...]
    experts: tuple[ExpertShare, ...]
    text: str | None = None
