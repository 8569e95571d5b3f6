"""`moe-keras tune`: options in, a search out."""

import pytest

import moe_keras.search
from moe_keras.search import Budget
from tests.test_cli_training import error_of, run

KINDS = "kinds=residual,mixed"


@pytest.fixture
def calls(monkeypatch):
    """Searches that were asked for; the first ends with an error."""
    asked = []

    def remember(*arguments, **options):
        asked.append((arguments, options))
        raise ValueError("tune: that was it.")

    monkeypatch.setattr(moe_keras.search, "tune", remember)
    return asked


def test_options_arrive(calls, tmp_path, monkeypatch):
    for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        monkeypatch.setenv(name, "7")
    found = error_of(
        *("tune", "image", "--data", "digits", "--max-experts", 16),
        *("--max-multiply-adds", "3e6", "--max-parameters", 50_000),
        *("--max-latency-ms", 2.5, "--method", "grid", "--trials", 5),
        *("--epochs", 2, "--seeds", 3, "--objective", "accuracy"),
        *("--limit", 400, "--out", tmp_path, "--workers", 2, "--threads", 1),
        "--pin",
        *("--seed", 9, "--data-dir", tmp_path, "--fresh"),
        *("--only", KINDS, "--only", "balance_loss=0.0,0.125"),
        *("--only", "experts=2"),
    )
    assert found == "error: tune: that was it.\n"
    ((arguments, options),) = calls
    limits = Budget(3e6, 50_000, 2.5)
    assert arguments == ("image", "digits", limits)
    assert options == {
        "max_experts": 16,
        "method": "grid",
        "trials": 5,
        "epochs": 2,
        "seeds": 3,
        "objective": "accuracy",
        "limit": 400,
        "out": tmp_path,
        "workers": 2,
        "threads": 1,
        "pin": True,
        "seed": 9,
        "data_dir": tmp_path,
        "overwrite": True,
        "only": {
            "kinds": ["residual", "mixed"],
            "balance_loss": [0.0, 0.125],
            "experts": [2],
        },
    }


def test_a_recipe_and_the_defaults(calls):
    error_of("tune", "zoo/image/digits_moe")
    ((arguments, options),) = calls
    recipe, data, budget = arguments
    assert recipe.name == "digits_moe"
    assert (data, budget) == (None, None)
    assert options["workers"] == 1
    assert options["threads"] is None
    assert not options["pin"]
    assert options["only"] == {}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nothing.yaml",), "nothing.yaml: No such file"),
        (("image",), "`data` must be given"),
        (("image", "--data", "digitz"), "name='digitz'"),
        (("image", "--data", "digits", "--max-parameters", 0), "above 0"),
        (("image", "--data", "digits", "--max-experts", 1), "max_experts=1"),
        (("image", "--data", "digits", "--method", "x"), "method='x'"),
        (("image", "--data", "digits", "--only", "top_k"), "only='top_k'"),
        (("image", "--data", "digits", "--only", "top_k=9"), "top_k=[9]"),
    ],
)
def test_errors_are_sentences(arguments, message, tmp_path):
    assert message in error_of("tune", *arguments, "--out", tmp_path)


@pytest.mark.slow
def test_a_search_and_its_winner(tmp_path):
    """The recipe that is written is one that `train` trains."""
    searched = run(
        *("tune", "image", "--data", "digits", "--limit", 100),
        *("--max-experts", 2, "--max-multiply-adds", "1e6", "--trials", 2),
        *("--method", "random", "--epochs", 1, "--out", tmp_path),
        *("--only", "kinds=residual", "--only", "width=8"),
    )
    assert searched.exit_code == 0, searched.output
    assert "2 trials" in searched.output
    winner = tmp_path / "recipe.yaml"
    assert str(winner) in searched.output.replace("\n", "")
    trained = run("train", winner, "--seed", 0, "--out", tmp_path / "run")
    assert trained.exit_code == 0, trained.output
    assert (tmp_path / "run" / "0" / "model.keras").exists()
