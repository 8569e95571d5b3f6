"""What every test starts from: one seed, float32, no leftovers."""

import os

# Before any backend is imported, or it is too late.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
if "PYTEST_XDIST_WORKER" in os.environ:
    # Each worker has a processor; OpenMP's threads would spin on each other's.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import keras
import pytest
from hypothesis import HealthCheck, settings

from tests.slow import SLOW, SLOW_ON_JAX, names_of

settings.register_profile(
    "repeatable",
    # JAX compiles every operation anew for every shape.
    max_examples=2 if keras.backend.backend() == "jax" else 25,
    deadline=None,
    derandomize=True,
    database=None,
    # The fixture below is meant to run once per test, not once per example.
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
    ],
)
settings.load_profile("repeatable")


def pytest_collection_modifyitems(items):
    on_jax = keras.backend.backend() == "jax"
    for item in items:
        names = names_of(item.nodeid)
        if names & SLOW:
            item.add_marker(pytest.mark.slow)
        if on_jax and names & SLOW_ON_JAX:
            item.add_marker(pytest.mark.slow_on_jax)


@pytest.fixture(autouse=True)
def _fresh_state():
    keras.config.set_dtype_policy("float32")
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(0)
    yield
    keras.config.set_dtype_policy("float32")


@pytest.fixture
def float64(monkeypatch):
    """Double precision throughout, for finite differences.

    JAX has none unless it is asked, and everywhere but on TensorFlow Keras
    turns the float64 results of some operations into float32, by this table.
    """
    from keras.src.backend.common import dtypes

    monkeypatch.setitem(dtypes.BIT64_TO_BIT32_DTYPE, "float64", "float64")
    keras.config.set_dtype_policy("float64")
    if keras.backend.backend() != "jax":
        yield
        return
    import jax

    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", False)
