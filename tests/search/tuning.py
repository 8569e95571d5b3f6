"""Small searches, and a space without models whose costs come at once."""

import itertools

from rich.console import Console

from moe_keras.data import load_dataset
from moe_keras.search import tune
from moe_keras.search.oracles import make_oracle
from moe_keras.search.subset import limit_training_rows

QUIET = Console(quiet=True)
# Of real models, those that are built and trained in a moment.
TINY = {
    "kinds": ["residual"],
    "gate": ["image"],
    "width": [8],
    "depth": [1],
    "balance_loss": [0.0],
}


def tiny_digits(rows=100):
    return limit_training_rows(load_dataset("digits"), rows)


def search(data, folder, **options):
    given = {
        "only": TINY,
        "max_experts": 3,
        "method": "random",
        "trials": 5,
        "epochs": 1,
        "console": QUIET,
        **options,
    }
    budget = given.pop("budget", None)
    return tune("image", data, budget, out=folder, **given)


class Sums:
    """Costs a + 10 b; `c` is left out of the model where `b` is 0."""

    space = {"a": (0, 1, 2, 3), "b": (0, 1, 2), "c": ("x", "y")}
    seeds = 1

    def __init__(self, most=100):
        self.most = most
        self.asked = []

    def declare_hyperparameters(self, hp):
        for name, values in self.space.items():
            hp.Choice(name, list(values), default=values[0])

    def key(self, values):
        return str((values["a"], values["b"], values["b"] and values["c"]))

    def reason_against(self, values):
        self.asked.append(dict(values))
        cost = values["a"] + 10 * values["b"]
        return f"{cost} is too much" if cost > self.most else None

    def allowed(self):
        """By brute force: the keys of all that may be tried."""
        points = itertools.product(*self.space.values())
        every = [dict(zip(self.space, point, strict=True)) for point in points]
        return {self.key(v) for v in every if v["a"] + 10 * v["b"] <= self.most}


def oracle_of(method, model, folder, trials=100, epochs=9):
    oracle = make_oracle(method, model, "log_loss", trials, epochs, seed=0)
    oracle._set_project_dir(str(folder), "trials")
    return oracle


def run(oracle, most=None, worker="w"):
    """Trials until the oracle stops, or so many; their values, in order."""
    found = []
    while most is None or len(found) < most:
        trial = oracle.create_trial(worker)
        if trial.status == "STOPPED":
            break
        finish(oracle, trial)
        found.append(dict(trial.hyperparameters.values))
    return found


def finish(oracle, trial):
    values = trial.hyperparameters.values
    score = values["a"] + values["b"] + 1 / values.get("tuner/epochs", 1)
    oracle.update_trial(trial.trial_id, {"log_loss": float(score)})
    trial.status = "COMPLETED"
    oracle.end_trial(trial)
