"""Plant a fault in a copy of the package, and see that its tests catch it.

    python -m tests.mutations
    python -m tests.mutations "capacity seat" resume

A fault that no test catches is an error, and so is one that cannot be planted
as the code has changed. The working tree is not touched.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# What the tests need; not the weights of all presets' history, nor caches.
COPIED = ("moe_keras", "tests", "zoo", "pyproject.toml", "setup.cfg")
FAILED = 1


@dataclass(frozen=True)
class Mutation:
    """A fault, and the file of tests that has to fail.

    Attributes:
        file: below `moe_keras/`.
        right: text that stands there once.
        wrong: what to write instead.
        tests: below `tests/`.
    """

    file: str
    right: str
    wrong: str
    tests: str


MUTATIONS = {
    "gate's gradient": Mutation(
        "ops/dispatch.py",
        "return ops.where(weights == 0, num_experts, experts), weights",
        "return ops.where(weights == 0, num_experts, experts), "
        "ops.stop_gradient(weights)",
        "layers/test_mixture_training.py",
    ),
    "swapped experts": Mutation(
        "ops/dispatch.py",
        "run(experts[number], *(groups[number] for groups in parts))",
        "run(experts[number - 1], *(groups[number] for groups in parts))",
        "layers/test_mixture.py",
    ),
    "ignored mask": Mutation(
        "layers/mixture_of_experts.py",
        "rows, row_mask = join_axes(inputs, depth), join_axes(mask, depth)",
        "rows, row_mask = join_axes(inputs, depth), None",
        "layers/test_mixture.py",
    ),
    "balance counts": Mutation(
        "ops/balance.py",
        "counts = ops.stop_gradient(ops.cast(chosen, probabilities.dtype))",
        "counts = probabilities",
        "ops/test_balance.py",
    ),
    "fold leak": Mutation(
        "data/folds.py",
        "train=rows.take(learned)",
        "train=rows",
        "runner/test_out_of_fold.py",
    ),
    "expert_mask": Mutation(
        "layers/mixture_of_experts.py",
        'masks = {**context, "expert_mask": expert_mask}',
        'masks = {**context, "expert_mask": None}',
        "layers/test_experts_in_service.py",
    ),
    "capacity seat": Mutation(
        "ops/capacity.py",
        "self.kept = ops.logical_and(real, seats < places)",
        "self.kept = ops.logical_and(real, seats < places - 1)",
        "ops/test_capacity.py",
    ),
    "quantile bin": Mutation(
        "ops/tabular.py",
        "shares = np.arange(bins + 1) / bins",
        "shares = np.arange(bins + 1) / (bins + 1)",
        "layers/preprocessing/test_tabular_encoding.py",
    ),
    "checksum": Mutation(
        "zoo/presets/loading.py",
        '        found == expected,\n        OWNER,\n        f"{file} must be',
        '        found is not None,\n        OWNER,\n        f"{file} must be',
        "zoo/presets/test_loading.py",
    ),
    "resume": Mutation(
        "training/state.py",
        "        for variable, array in zip(variables, arrays, strict=True):\n"
        "            variable.assign(array)\n",
        "        for variable, array in zip(variables, arrays, strict=True):\n"
        "            if array.ndim:\n"
        "                variable.assign(array)\n",
        "training/test_resumable.py",
    ),
}


def main() -> int:
    """Try those that are named, or all; 1 if one was not caught."""
    names = sys.argv[1:] or list(MUTATIONS)
    unknown = set(names) - set(MUTATIONS)
    if unknown:
        print(f"no such mutation: {sorted(unknown)}; known: {[*MUTATIONS]}")
        return 2
    missed = [name for name in names if not _is_caught(name)]
    print(f"{len(names) - len(missed)} of {len(names)} caught")
    return 1 if missed else 0


def _is_caught(name: str) -> bool:
    mutation = MUTATIONS[name]
    with tempfile.TemporaryDirectory() as folder:
        for part in COPIED:
            _copy(ROOT / part, Path(folder, part))
        tests = Path(folder, "tests", mutation.tests)
        # Or they fail for another reason than the fault.
        before = _run_tests(tests, Path(folder))
        _plant(mutation, Path(folder))
        after = _run_tests(tests, Path(folder))
    # Any other code is no failed test: nothing was run, or not to its end.
    caught = (before, after) == (0, FAILED)
    told = "caught" if caught else f"NOT CAUGHT, codes {before} and {after}"
    print(f"{name}: {told}", flush=True)
    return caught


def _copy(source: Path, target: Path) -> None:
    if source.is_file():
        shutil.copy(source, target)
    else:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(source, target, ignore=ignored)


def _plant(mutation: Mutation, folder: Path) -> None:
    file = folder / "moe_keras" / mutation.file
    text = file.read_text(encoding="utf-8")
    if text.count(mutation.right) != 1:
        raise ValueError(
            f"{mutation.file} must hold this text once, to plant a fault: "
            f"{mutation.right!r}"
        )
    text = text.replace(mutation.right, mutation.wrong)
    file.write_text(text, encoding="utf-8")


def _run_tests(file: Path, folder: Path) -> int:
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-n", "0"]
    done = subprocess.run(
        [*command, "-m", "not slow", "-p", "no:cacheprovider", str(file)],
        cwd=folder,
        # Before the package that is installed.
        env={**os.environ, "PYTHONPATH": str(folder)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
