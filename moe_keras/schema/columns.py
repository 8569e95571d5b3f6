"""The parts of a schema: what can be said of a column of each kind."""

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)


def _level(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError(
            "must be a text or a number: 1 or 0 where the column holds "
            "booleans, in quotes where it holds such words"
        )
    if not isinstance(value, str | int | float):
        raise ValueError("must be a text or a number, in quotes if need be")
    return value


def _number(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("must be a number")
    return value


Name = Annotated[str, Field(min_length=1)]
Sign = Literal[-1, 0, 1]
Level = Annotated[str | int | float, BeforeValidator(_level)]
Number = Annotated[int | float, BeforeValidator(_number)]


class Part(BaseModel):
    """A mapping of a schema: no other key, no value of another type."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False
    )


class Numeric(Part):
    """A column of numbers.

    Attributes:
        name: of the column.
        unit: for the reader, such as `"EUR"` or `"months"`.
        minimum: the lowest value that can be, None for any.
        maximum: the highest one.
        outside: what a value out of that range is: `"error"` (`check` refuses
            it, and a model takes it as missing), `"missing"` or `"clip"`.
        special: values that are no numbers but codes, such as -9 for "no
            record". They are never outside.
        monotone: 1 where a higher number can only mean a higher risk, -1 where
            it can only mean a lower one, 0 where nothing is asked.
    """

    name: Name
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    outside: Literal["error", "missing", "clip"] = "error"
    special: list[Number] = []
    monotone: Sign = 0


class Ordinal(Part):
    """A column whose levels have an order.

    Attributes:
        name: of the column.
        levels: texts or numbers, from the lowest to the highest.
        unseen: what another value is: `"missing"`, or `"error"` (`check`
            refuses it, and a model takes it as missing).
        monotone: as of `Numeric`, along the order of the levels.
    """

    name: Name
    levels: Annotated[list[Level], Field(min_length=1)]
    unseen: Literal["missing", "error"] = "missing"
    monotone: Sign = 0


class Categorical(Part):
    """A column whose levels have no order.

    Attributes:
        name: of the column.
        levels: texts or numbers.
        unseen: as of `Ordinal`.
    """

    name: Name
    levels: Annotated[list[Level], Field(min_length=1)]
    unseen: Literal["missing", "error"] = "missing"


class Derived(Part):
    """A column that the model computes from others.

    Attributes:
        name: of the column.
        expression: formula over numeric and ordinal columns, and over derived
            ones before this one; see `moe_keras.ops.expression`.
        monotone: as of `Numeric`, with all other columns as they are; 0 where
            the formula reads a monotone column, which the model is monotone in
            already.
    """

    name: Name
    expression: str
    monotone: Sign = 0


class Target(Part):
    """What is to be predicted.

    Attributes:
        name: of the column.
        values: all classes that there are, texts or numbers, at least two.
        bad: the one of them that gets the label 1; all others get 0. It may be
            given as `positive`, where none of them is bad.
    """

    name: Name
    values: Annotated[list[Level], Field(min_length=2)]
    bad: Level

    @property
    def positive(self) -> str | int | float:
        """The same as `bad`, for a target of which no value is bad."""
        return self.bad

    @model_validator(mode="before")
    @classmethod
    def _positive_is_bad(cls, values: Any) -> Any:
        if not isinstance(values, dict) or "positive" not in values:
            return values
        if "bad" in values:
            raise ValueError("bad and positive are one key: give one of them")
        return {
            "bad" if name == "positive" else name: value
            for name, value in values.items()
        }

    @model_validator(mode="after")
    def _bad_is_a_value(self) -> "Target":
        kinds: set[Any] = {isinstance(value, str) for value in self.values}
        if len(kinds) > 1:
            raise ValueError("values must be texts, or all of them numbers")
        if len(set(self.values)) < len(self.values):
            raise ValueError("values must all be different")
        if self.bad not in self.values:
            raise ValueError(
                f"bad (or positive) must be one of the values {self.values}"
            )
        return self


def check_targets(targets: list[Target], columns: list[str]) -> None:
    """Refuse targets that are columns too, or there twice."""
    names = [one.name for one in targets]
    for place, name in enumerate(names):
        if name in columns:
            raise ValueError(f"the target {name!r} is a column too")
        if name in names[:place]:
            raise ValueError(f"two targets have one name: {name!r}")
