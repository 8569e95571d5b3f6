"""Presets are saved, listed and loaded; files that changed are refused."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

import moe_keras
from moe_keras.layers import MixtureOfExperts
from moe_keras.zoo import (
    build_image_moe,
    from_preset,
    list_presets,
    load_preset,
    save_preset,
)
from moe_keras.zoo.presets import packaged
from tests.tools import BACKEND, draw, numpy_of, randomize
from tests.zoo.presets.tiny import METADATA, forge, save_tiny, tiny_model

IMAGES = draw(6, 8, 8, 1)
# What half precision of the weights does to a probability.
HALF = 5e-3


def predict(model, images=IMAGES):
    return numpy_of(model(images, training=False))


def test_the_zoo_is_listed(zoo):
    _, _, saved = zoo
    (info,) = list_presets()
    assert info == saved
    assert info.handle == "image/toy_moe"
    assert list_presets("image") == [info]
    assert list_presets("text") == []


def test_an_empty_zoo_and_no_zoo_have_no_presets(tmp_path, monkeypatch):
    monkeypatch.setattr(packaged, "zoo_root", lambda: tmp_path)
    assert list_presets() == []
    monkeypatch.setattr(packaged, "zoo_root", lambda: None)
    assert list_presets() == []


@pytest.mark.jax
def test_predictions_survive_and_two_loads_are_equal_bit_by_bit(zoo):
    _, model, _ = zoo
    expected = predict(model)
    first = from_preset("image/toy_moe")
    second = from_preset("image/toy_moe")
    np.testing.assert_allclose(predict(first), expected, atol=HALF)
    assert np.ptp(expected, axis=0).max() > 10 * HALF  # the images differ
    for one, other in zip(
        first.get_weights(), second.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(predict(first), predict(second))
    assert not first.compiled


def test_the_preset_says_what_is_known_of_it(zoo):
    root, model, _ = zoo
    preset = load_preset("image/toy_moe")
    assert preset.task == "image"
    assert preset.classes == ("bag", "coat", "dress")
    assert preset.preprocessing == METADATA["preprocessing"]
    info = preset.info
    assert info.data["licence"] == "CC0-1.0"
    assert info.scores == METADATA["scores"]
    assert info.parameters == model.count_params()
    assert 0 < info.multiply_adds["active"] < info.multiply_adds["total"]
    assert info.versions["moe_keras"] == moe_keras.__version__
    assert info.versions["keras"] == keras.__version__
    assert info.versions[BACKEND]
    for name, file in info.files.items():
        assert file.num_bytes == (root / info.handle / name).stat().st_size


def test_what_the_router_learned_and_saw_is_kept(tmp_path):
    model = tiny_model()
    (moe,) = (x for x in model.layers if isinstance(x, MixtureOfExperts))
    load = next(w for w in moe.weights if w.name == "load")
    load.assign([0.2, 0.5, 0.3])
    save_preset(model, tmp_path / "toy", METADATA)
    again = from_preset(tmp_path / "toy").get_layer(moe.name)
    load = next(w for w in again.weights if w.name == "load")
    np.testing.assert_array_equal(
        keras.ops.convert_to_numpy(load), np.float32([0.2, 0.5, 0.3])
    )


def test_a_trained_model_is_saved_without_its_training(tmp_path):
    model = tiny_model(dropout=0.1)
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(IMAGES, np.arange(6) % 3, verbose=0)
    save_preset(model, tmp_path / "toy", METADATA)
    with np.load(tmp_path / "toy" / "weights.npz") as arrays:
        names = " ".join(arrays.files)
    assert "adam" not in names
    assert "seed" not in names
    again = from_preset(tmp_path / "toy")
    assert not again.compiled
    assert again.trainable_weights
    np.testing.assert_allclose(predict(again), predict(model), atol=HALF)


def test_saving_leaves_the_other_files_and_writes_over_its_own(tmp_path):
    save_tiny(tmp_path / "toy")
    (tmp_path / "toy" / "recipe.yaml").write_text("name: toy\n")
    model = randomize(build_image_moe((8, 8, 1), 3), seed=5)
    info = save_preset(model, tmp_path / "toy", METADATA)
    assert (tmp_path / "toy" / "recipe.yaml").read_text() == "name: toy\n"
    assert load_preset(tmp_path / "toy").info == info
    assert info.builder is None


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({}, r"missing=\['classes', 'data', 'licence', 'preprocessing'"),
        ({**METADATA, "colour": 1}, r"unknown=\['colour'\]"),
        (
            {**METADATA, "classes": ["bag", "coat", "bag"]},
            r"a name of its own.* Received: classes=\['bag', 'coat', 'bag'\]",
        ),
    ],
)
def test_metadata_lack_nothing(tmp_path, metadata, message):
    with pytest.raises(ValueError, match=f"save_preset: .*{message}"):
        save_preset(tiny_model(), tmp_path / "toy", metadata)


@pytest.mark.parametrize("model", [None, keras.Sequential()])
def test_what_is_no_built_model_is_not_saved(tmp_path, model):
    with pytest.raises(ValueError, match=r"must be a keras\.Model that is"):
        save_preset(model, tmp_path / "toy", METADATA)


def test_measured_multiply_adds_can_be_given(tmp_path):
    cost = {"active": 12.5, "total": 40}
    _, info = save_tiny(tmp_path / "toy", multiply_adds=cost)
    assert info.multiply_adds == cost


# --- files that are not as they were ---


@pytest.fixture
def folder(tmp_path):
    save_tiny(tmp_path / "toy")
    return tmp_path / "toy"


@pytest.mark.parametrize("file", ["model.json", "weights.npz"])
@pytest.mark.parametrize("harm", ["flip", "cut", "add", "remove"])
def test_a_harmed_file_is_refused_by_name(folder, file, harm):
    path = folder / file
    content = path.read_bytes()
    expected = json.loads((folder / "preset.json").read_text())["files"][file]
    if harm == "remove":
        path.unlink()
    else:
        middle = len(content) // 2
        path.write_bytes(
            {
                "flip": content[:middle]
                + bytes([content[middle] ^ 1])
                + content[middle + 1 :],
                "cut": content[:middle],
                "add": content + b"\n",
            }[harm]
        )
    with pytest.raises(ValueError, match="load_preset: ") as error:
        load_preset(folder)
    text = str(error.value)
    assert text.startswith(f"load_preset: {file} must be the file that")
    assert str(path) in text
    assert expected["sha256"] in text
    assert ("found_sha256=None" in text) == (harm == "remove")
    assert "\n" not in text


def test_another_preset_than_the_pinned_one_is_refused(folder):
    pin = load_preset(folder).info.sha256
    load_preset(f"{folder}#sha256={pin}")
    path = folder / "preset.json"
    path.write_text(path.read_text().replace("0.91", "0.99"))
    with pytest.raises(ValueError, match=f"expected_sha256='{pin}'"):
        load_preset(f"{folder}#sha256={pin}")
    load_preset(folder)


def test_a_forged_file_with_a_right_checksum_is_refused_too(folder):
    with np.load(folder / "weights.npz") as arrays:
        more = {**arrays, "extra/kernel": np.zeros(3, "float32")}
    content = io.BytesIO()
    np.savez(content, **more)
    forge(folder, "weights.npz", content.getvalue())
    with pytest.raises(ValueError, match=r"unknown=\['extra/kernel'\]"):
        load_preset(folder)


def test_a_forged_architecture_is_refused_too(folder):
    config = json.loads((folder / "model.json").read_text())
    config["config"]["layers"][-1] |= {"class_name": "Lambda"}
    forge(folder, "model.json", json.dumps(config).encode())
    with pytest.raises(ValueError, match="class_name='Lambda'"):
        load_preset(folder)


def test_unsafe_loading_elsewhere_opens_no_door_here(folder):
    config = json.loads((folder / "model.json").read_text())
    config["config"]["layers"][-1] |= {"class_name": "Lambda"}
    forge(folder, "model.json", json.dumps(config).encode())
    with keras.src.saving.serialization_lib.SafeModeScope(False):
        with pytest.raises(ValueError, match="class_name='Lambda'"):
            load_preset(folder)


LOAD = """
import sys, numpy as np
from moe_keras.zoo import from_preset
images = np.load(sys.argv[2])
np.save(sys.argv[3], from_preset(sys.argv[1]).predict(images, verbose=0))
"""


@pytest.mark.slow
@pytest.mark.skipif(BACKEND != "tensorflow", reason="starts the other backend")
def test_another_backend_predicts_the_same(folder, tmp_path):
    np.save(tmp_path / "images.npy", IMAGES)
    arguments = [folder, tmp_path / "images.npy", tmp_path / "found.npy"]
    subprocess.run(
        [sys.executable, "-c", LOAD, *map(str, arguments)],
        env={
            **os.environ,
            "KERAS_BACKEND": "jax",
            "PYTHONPATH": str(Path(moe_keras.__file__).parents[1]),
        },
        check=True,
    )
    found = np.load(tmp_path / "found.npy")
    np.testing.assert_allclose(found, predict(from_preset(folder)), atol=1e-5)
