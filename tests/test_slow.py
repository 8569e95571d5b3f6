"""The list of slow tests names tests that there are."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.slow import SLOW, SLOW_ON_JAX, names_of

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_every_name_is_that_of_a_test():
    names = SLOW | SLOW_ON_JAX
    modules = sorted({name.split("::")[0] for name in names})
    printed = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", *modules],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    there = {name for line in printed.splitlines() for name in names_of(line)}
    assert there >= names
