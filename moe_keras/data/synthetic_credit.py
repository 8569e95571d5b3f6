"""Made-up loans with a known P(default): three groups, one rule for each.

logit P(default) = rule of the applicant's job + what all have in common. All
that the rules read is in the columns, a missing value too. So `probability` is
the best that any model can say, and its AUC the best that any can reach.
"""

from typing import Any

import numpy as np

from moe_keras.data.dataset import Dataset, Feature, assemble
from moe_keras.data.split import Split
from moe_keras.data.synthetic import Stream, check_sizes, sigmoid

_JOBS = {
    "salaried": 0.5,
    "self_employed": 0.25,
    "student": 0.15,
    "retired": 0.1,
}
_AGES = {
    "salaried": (20, 65),
    "self_employed": (20, 70),
    "student": (18, 32),
    "retired": (58, 80),
}
_SAVINGS = {"none": 0.3, "low": 0.25, "high": 0.25, "": 0.2}
_HOUSING = {"own": 0.4, "rent": 0.45, "family": 0.15}
_PURPOSES = {"car": 0.4, "home": 0.3, "education": 0.15, "holiday": 0.15}
_TERMS = (12, 24, 36, 48, 60, 84)


def load_synthetic_credit(
    size: int = 10_000, test_size: int = 5_000, seed: int = 0, **options: Any
) -> Dataset:
    """Made-up loans whose probability of default is known.

    Columns, all of the day of the application: `age_years` 18..79; `job`;
    `months_in_job`, missing for students and the retired; `income_eur`, net of
    tax, a month; `savings` none, low, high or missing; `housing`; `purpose`;
    `loan_eur`; `term_months` 12..84; `card_use`, share of the cards' limit in
    [0, 1], missing without a card; `late_payments` in two years.

    Args:
        size: int > 0, rows for training and validation. Row i is the same for
            every size.
        test_size: int > 0, rows for the test.
        seed: int.
        **options: `validation_share` and `positive`, see `load_dataset`.

    Returns:
        `Dataset` whose inputs are a dict of columns; classes repaid (0) and
        default (1); `Split.probability` is P(default) of each row, of which
        its label was drawn.
    """
    check_sizes("load_synthetic_credit", size=size, test_size=test_size)
    train, test = (
        _draw(Stream(f"synthetic_credit/{split}", seed, rows))
        for split, rows in (("train", size), ("test", test_size))
    )
    return assemble(
        name="synthetic_credit",
        task="tabular",
        train=train,
        test=test,
        classes=("repaid", "default"),
        schema=tuple(
            Feature(name, "string" if one.dtype == object else one.dtype.name)
            for name, one in test.columns().items()
        ),
        licence="CC0 1.0",
        citation="made by moe_keras; no person is described",
        source=f"moe_keras: seed {seed}",
        description="Made-up loans whose probability of default is known.",
        **options,
    )


def _draw(stream: Stream) -> Split:
    columns = _columns(stream)
    probability = sigmoid(_logit(columns))
    labels = (stream.uniform("label") < probability).astype("int64")
    return Split(columns, labels, probability=probability)


def _columns(stream: Stream) -> dict[str, np.ndarray]:
    job = stream.choice("job", _JOBS)
    youngest, oldest = np.array([_AGES[name] for name in job]).T
    age = youngest + np.floor((oldest - youngest) * stream.uniform("age"))
    at_work = np.isin(job, ("salaried", "self_employed"))
    # At most since the age of 18.
    months = np.floor(stream.uniform("months") ** 2 * 12 * (age - 18))
    income = np.exp(7.7 + 0.45 * stream.normal("income")) * np.where(
        job == "student", 0.4, 1.0
    )
    loan = np.exp(8.9 + 0.7 * stream.normal("loan"))
    term = np.take(
        _TERMS, np.floor(len(_TERMS) * stream.uniform("term")).astype(int)
    )
    use = np.where(
        stream.uniform("card") < 0.3, np.nan, stream.uniform("use") ** 1.5
    )
    # Geometric: each further one in a third of the cases.
    late = np.floor(np.log1p(-stream.uniform("late")) / np.log(1 / 3))
    return {
        "age_years": age.astype("int64"),
        "job": job,
        "months_in_job": np.where(at_work, months, np.nan),
        "income_eur": np.round(income),
        "savings": stream.choice("savings", _SAVINGS),
        "housing": stream.choice("housing", _HOUSING),
        "purpose": stream.choice("purpose", _PURPOSES),
        "loan_eur": np.round(loan, -2),
        "term_months": term.astype("int64"),
        "card_use": np.round(use, 3),
        "late_payments": late.astype("int64"),
    }


def _logit(columns: dict[str, np.ndarray]) -> np.ndarray:
    burden = np.log(
        columns["loan_eur"] / columns["term_months"] / columns["income_eur"]
    )
    late = np.minimum(columns["late_payments"], 4)
    thin = np.isin(columns["savings"], ("none", ""))
    years = np.nan_to_num(columns["months_in_job"]) / 12
    rules = {
        # The instalment counts most, and a job held for long.
        "salaried": -0.4 + 1.3 * burden - 0.15 * np.minimum(years, 10),
        # The instalment hardly counts: savings do, and past trouble.
        "self_employed": -2.6 + 0.2 * burden + 1.8 * thin + 0.9 * late,
        # Whoever lives with the family is carried by it.
        "student": -1.5 - 2.0 * (columns["housing"] == "family"),
        # The older, the riskier.
        "retired": -8.2 + 0.1 * columns["age_years"],
    }
    use = columns["card_use"]
    common = (
        0.3 * late
        + np.where(np.isnan(use), 0.4, 1.5 * np.nan_to_num(use))
        + 0.4 * (columns["purpose"] == "holiday")
    )
    job = columns["job"]
    found: np.ndarray = common + np.select(
        [job == name for name in rules], [*rules.values()]
    )
    return found
