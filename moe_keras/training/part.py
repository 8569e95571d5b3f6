"""What every mapping of a recipe is."""

from pydantic import BaseModel, ConfigDict


class Part(BaseModel):
    """A mapping of the recipe: no other key, no value of another type."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False
    )
