"""`import moe_keras` is enough to load a model, and takes next to no time."""

import ast
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest

import moe_keras
from moe_keras.layers import DenseExpert, GatingLayer, MixtureOfExperts
from moe_keras.saved_names import CLASSES, register_names

ROOT = Path(moe_keras.__file__).parent


def registered():
    """The classes below a `@register`, read from the source."""
    for path in ROOT.rglob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            marks = getattr(node, "decorator_list", [])
            if any(ast.unparse(mark) == "register" for mark in marks):
                yield node.name


def test_every_class_that_is_registered_is_named():
    named = [name for names in CLASSES.values() for name in names]
    assert sorted(named) == sorted(registered())
    for module, names in CLASSES.items():
        part = getattr(moe_keras, module.removeprefix("moe_keras."))
        for name in names:
            known = keras.saving.get_registered_name(getattr(part, name))
            assert known == f"moe_keras>{name}"


def test_a_stand_in_is_the_class_as_soon_as_it_is_used():
    known = {"moe_keras>GatingLayer": "there already", "a>B": "another's"}
    saving = SimpleNamespace(get_custom_objects=lambda: known)
    register_names(SimpleNamespace(saving=saving))
    assert known["moe_keras>GatingLayer"] == "there already"
    assert known["a>B"] == "another's"
    stand_in = known["moe_keras>DenseExpert"]
    config = DenseExpert(3, 2, activation="tanh").get_config()
    made = stand_in.from_config(config)
    assert type(made) is DenseExpert
    assert made.get_config() == config
    assert isinstance(stand_in, type)
    assert type(stand_in(3, 2)) is DenseExpert
    # Neither Keras' own path nor the legacy one tells it from the class.
    layer = {
        "module": None,
        "class_name": "DenseExpert",
        "registered_name": "moe_keras>DenseExpert",
        "config": config,
    }
    with keras.saving.custom_object_scope({"moe_keras>DenseExpert": stand_in}):
        found = keras.saving.deserialize_keras_object(layer)
    assert type(found) is DenseExpert


def test_all_parts_are_attributes():
    folders = {
        path.parent.name
        for path in ROOT.glob("*/__init__.py")
        if not path.parent.name.startswith("_")
    }
    assert folders | {"losses"} <= set(dir(moe_keras))
    for name in ("layers", "losses", "ops"):
        assert moe_keras.__getattr__(name) is sys.modules[f"moe_keras.{name}"]
    with pytest.raises(AttributeError, match="'moe_keras' has no attribute 'x"):
        moe_keras.xyz  # noqa: B018
    assert not hasattr(moe_keras, "cli_tune_")


def run(program):
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT.parent,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_import_is_light():
    heavy = "{'keras', 'tensorflow', 'jax', 'torch', 'numpy', 'pandas'}"
    program = f"import moe_keras, sys; print({heavy} & set(sys.modules))"
    assert run(program) == "set()"


@pytest.mark.slow
@pytest.mark.parametrize("imports", ["moe_keras, keras", "keras, moe_keras"])
def test_a_model_is_loaded_where_nothing_else_was_imported(imports, tmp_path):
    file = tmp_path / "a.keras"
    model = keras.Sequential(
        [
            keras.Input((3,)),
            MixtureOfExperts(DenseExpert(2, 2), GatingLayer(2)),
        ]
    )
    model.save(file)
    row = [[1.0, 2.0, 3.0]]
    said = run(
        f"import {imports}\n"
        f"model = keras.models.load_model({str(file)!r})\n"
        "import numpy\n"
        f"print(*model.predict(numpy.array({row}), verbose=0)[0].tolist())\n"
        "for name in dir(moe_keras): getattr(moe_keras, name)\n"
    )
    np.testing.assert_allclose(
        [float(one) for one in said.split()],
        model.predict(np.array(row), verbose=0)[0],
        rtol=1e-5,
    )
