"""Files to predictions: images, arrays, models of any origin, the experts."""

import keras
import numpy as np
import pytest
from PIL import Image

from moe_keras.layers import (
    DenseExpert,
    GatingLayer,
    MixtureOfExperts,
    record_gates,
)
from moe_keras.prediction import load_trained, predict_files, score_table
from moe_keras.prediction.readers import read_image
from moe_keras.zoo import build_image_moe, load_preset, save_preset
from tests.tools import draw, numpy_of
from tests.zoo.presets.tiny import METADATA, save_tiny, tiny_model


@pytest.fixture
def preset(tmp_path):
    save_tiny(tmp_path / "toy")
    return tmp_path / "toy"


def pixels(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, "uint8")


def save_image(path, values):
    Image.fromarray(values).save(path)
    return path


def expect(model, rows):
    with record_gates() as record:
        outputs = numpy_of(model(rows.astype("float32"), training=False))
    return outputs, {name: numpy_of(g) for name, g in record.items()}


def test_an_image_file_is_what_the_model_would_see(preset, tmp_path):
    model = load_preset(preset).model
    values = pixels(8, 8)
    file = save_image(tmp_path / "a.PNG", values)
    (found,) = predict_files(preset, [file])
    outputs, gates = expect(model, values[None, :, :, None])
    (means,) = (g.reshape(-1, g.shape[-1]).mean(0) for g in gates.values())
    assert found.file == str(file)
    assert found.row is None
    order = sorted(range(3), key=lambda c: -outputs[0, c])
    names = ["bag", "coat", "dress"]
    assert [one.name for one in found.classes] == [names[c] for c in order]
    assert [one.probability for one in found.classes] == pytest.approx(
        [outputs[0, c] for c in order]
    )
    (expert,) = found.experts
    assert expert.layer == "moe_0_0_gate"
    assert expert.expert == str(means.argmax())
    assert expert.share == pytest.approx(means.max() / means.sum(), rel=1e-4)


def test_images_are_cut_and_scaled_and_made_grey(tmp_path):
    wide = np.full((16, 24, 3), 255, "uint8")
    wide[:, 4:20] = np.repeat(pixels(16, 16, 1), 3, axis=-1)
    file = save_image(tmp_path / "wide.png", wide)
    found = read_image(file, (16, 16, 1))
    assert (found.places, found.texts) == (None, None)
    np.testing.assert_array_equal(found.values[0, ..., 0], wide[:, 4:20, 0])
    rows = read_image(file, (8, 8, 1)).values
    assert (rows.shape, rows.dtype) == ((1, 8, 8, 1), "float32")
    expected = Image.fromarray(wide[:, 4:20, 0]).resize((8, 8), 2)
    # At the edge, Pillow looks beyond it.
    np.testing.assert_allclose(
        rows[0, :, 1:-1, 0], np.asarray(expected)[:, 1:-1], atol=1
    )


def test_a_colour_model_reads_colours(tmp_path):
    model = tiny_model(input_shape=(8, 8, 3))
    values = pixels(8, 8, 3)
    (found,) = predict_files(
        model, [save_image(tmp_path / "a.png", values)], classes=["a", "b", "c"]
    )
    outputs, _ = expect(model, values[None])
    assert found.classes[0].name == "abc"[outputs[0].argmax()]
    assert found.classes[0].probability == pytest.approx(outputs[0].max())


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 1)])
def test_an_array_of_one_has_no_rows(preset, tmp_path, shape):
    np.save(tmp_path / "one.npy", pixels(*shape))
    (found,) = predict_files(preset, [tmp_path / "one.npy"])
    assert found.row is None


@pytest.mark.parametrize("shape", [(5, 8, 8), (5, 8, 8, 1), (1, 8, 8)])
def test_an_array_of_many_is_predicted_in_batches(preset, tmp_path, shape):
    values = draw(*shape)
    np.save(tmp_path / "many.npy", values)
    np.save(tmp_path / "one.npy", values[0])
    files = [tmp_path / "many.npy", tmp_path / "one.npy"]
    found = predict_files(preset, files, top=1, batch_size=2)
    assert [one.row for one in found] == [*range(shape[0]), None]
    rows = np.concatenate([values, values[:1]]).reshape(-1, 8, 8, 1)
    outputs, _ = expect(load_preset(preset).model, rows)
    scores = [one.classes[0].probability for one in found]
    np.testing.assert_allclose(scores, outputs.max(axis=1), atol=1e-5)
    assert all(len(one.classes) == 1 for one in found)


def test_no_files_no_predictions(preset):
    assert predict_files(preset, []) == []


def test_experts_of_several_banks_carry_the_banks_name(tmp_path):
    model = build_image_moe((8, 8, 1), 3, experts={"conv": 2, "recurrent": 2})
    np.save(tmp_path / "many.npy", draw(20, 8, 8, 1))
    found = predict_files(model, [tmp_path / "many.npy"])
    _, gates = expect(model, draw(20, 8, 8, 1))
    names = [f"{k}_experts {i}" for k in ("conv", "recurrent") for i in (0, 1)]
    expected = [names[e] for e in gates["gating"].argmax(axis=-1)]
    assert [one.experts[0].expert for one in found] == expected


def test_a_model_without_gates_has_no_experts(tmp_path):
    inputs = keras.Input((8, 8, 1))
    x = keras.layers.Flatten()(inputs)
    model = keras.Model(inputs, keras.layers.Dense(2, "softmax")(x))
    np.save(tmp_path / "one.npy", draw(8, 8, 1))
    (found,) = predict_files(model, [tmp_path / "one.npy"])
    assert found.experts == ()
    assert {one.name for one in found.classes} == {"0", "1"}


# --- models ---


def test_a_keras_file_and_a_run_have_numbers_for_classes(tmp_path):
    tiny_model().save(tmp_path / "model.keras")
    for name in (tmp_path / "model.keras", tmp_path):
        trained = load_trained(name)
        assert trained.classes == ("0", "1", "2")
        assert trained.task == "image"
        assert trained.name == str(name)


def test_a_folder_of_several_runs_is_not_guessed_at(tmp_path):
    for seed in ("0", "1"):
        (tmp_path / seed).mkdir()
        (tmp_path / seed / "model.keras").write_text("")
    with pytest.raises(ValueError, match="several trained models") as error:
        load_trained(tmp_path)
    assert str(tmp_path / "1") in str(error.value)


def test_a_broken_model_file_is_named(tmp_path):
    path = tmp_path / "model.keras"
    path.write_text("nothing")
    with pytest.raises(ValueError, match=r"load_trained: .*model\.keras"):
        load_trained(path)


def test_a_lambda_in_a_model_file_is_not_run(tmp_path):
    inputs = keras.Input((8, 8, 1))
    x = keras.layers.Lambda(lambda x: x, output_shape=(8, 8, 1))(inputs)
    keras.Model(inputs, x).save(tmp_path / "model.keras")
    with pytest.raises(ValueError, match="cannot be read as a Keras model"):
        load_trained(tmp_path / "model.keras")


def test_a_model_for_no_known_task_is_refused():
    inputs = keras.Input((5,))
    moe = MixtureOfExperts(DenseExpert(3, 2), GatingLayer(2))
    model = keras.Model(inputs, moe(inputs))
    with pytest.raises(
        ValueError, match=r"images .*, texts \(B,\), or .* table.* to classes"
    ):
        predict_files(model, [])


def test_a_model_of_a_class_of_its_own_is_refused():
    class Own(keras.Model):
        def call(self, inputs):
            return inputs

    with pytest.raises(ValueError, match="input_shape=None"):
        predict_files(Own(), [])


def test_a_model_of_images_reads_no_table(tmp_path):
    with pytest.raises(ValueError, match="must be one that reads tables"):
        score_table(tiny_model(), tmp_path / "a.csv", tmp_path / "b.csv")


def test_what_is_no_distribution_is_refused(tmp_path):
    inputs = keras.Input((8, 8, 1))
    x = keras.layers.Flatten()(inputs)
    model = keras.Model(inputs, keras.layers.Dense(2)(x))
    np.save(tmp_path / "one.npy", draw(8, 8, 1))
    with pytest.raises(ValueError, match="must return probabilities"):
        predict_files(model, [tmp_path / "one.npy"])


def test_a_preset_of_a_task_without_files_is_refused(tmp_path):
    save_tiny(tmp_path / "toy", task="sound")
    with pytest.raises(ValueError, match=r"must be one of image.*sound"):
        predict_files(tmp_path / "toy", ["a.npy"])


def test_wrong_names_are_refused(tmp_path):
    with pytest.raises(ValueError, match="one name for each of the 3 classes"):
        predict_files(tiny_model(), [], classes=["one"])
    save_preset(tiny_model(), tmp_path / "x", {**METADATA, "classes": ["one"]})
    with pytest.raises(ValueError, match="one name for each of the 3 classes"):
        predict_files(tmp_path / "x", [])


# --- files ---


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.png", b"no picture", "cannot be read as an image"),
        ("a.jpg", b"", "cannot be read as an image"),
        ("a.npy", b"no array", "cannot be read as an array"),
        ("a.npy", b"", "cannot be read as an array"),
        ("a.txt", b"", r"must end in \.png, \.jpg, .*\.webp, \.npy"),
        ("a.npz", b"", r"must end in \.png, \.jpg, .*\.webp, \.npy"),
    ],
)
def test_a_file_that_is_none_is_named(preset, tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message) as error:
        predict_files(preset, [tmp_path / name])
    assert str(tmp_path / name) in str(error.value)


def test_an_image_that_is_cut_off_is_named(preset, tmp_path):
    path = save_image(tmp_path / "a.png", pixels(64, 64))
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(ValueError, match="cannot be read as an image"):
        predict_files(preset, [path])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((7, 8)), r"shape \(8, 8, 1\), or many.*shape=\(7, 8\)"),
        (np.float32(1), r"shape=\(\)"),
        (np.full((8, 8), np.nan), "finite numbers"),
        (np.full((8, 8), "a"), "finite numbers"),
        (np.array([[object()]]), "cannot be read as an array.*pickle"),
    ],
)
def test_an_array_that_does_not_fit_is_named(preset, tmp_path, values, message):
    np.save(tmp_path / "a.npy", values, allow_pickle=True)
    with pytest.raises(ValueError, match=message):
        predict_files(preset, [tmp_path / "a.npy"])


def test_a_missing_file_is_named(preset):
    with pytest.raises(ValueError, match=r"no such file.*none\.png"):
        predict_files(preset, ["none.png"])


@pytest.mark.parametrize("option", ["top", "batch_size"])
def test_counts_are_above_zero(preset, option):
    with pytest.raises(ValueError, match=f"predict_files: `{option}` must"):
        predict_files(preset, [], **{option: 0})


def refused(message, *arguments, **options):
    with pytest.raises(ValueError, match=rf"^predict_files: {message}"):
        predict_files(*arguments, **options)


def test_what_cannot_be_asked_is_signed_by_who_was_asked(preset, tmp_path):
    file = tmp_path / "one.npy"
    np.save(file, draw(8, 8, 1))
    refused(r"this is a folder: .*\*\.png\. Received: file=", preset, [preset])
    refused("`files` must be a list of files. Received", preset, file)
    refused("`files` must be a list of files. Received", preset, str(file))
    refused("there is no such file. .*gone.keras", tmp_path / "gone.keras", [])
    (tmp_path / "empty").mkdir()
    nothing = "the folder holds neither a model.keras, .* preset.json"
    refused(nothing, tmp_path / "empty", [file])
    (tmp_path / "bad.keras").write_text("nothing")
    refused("the file cannot be read as a Keras", tmp_path / "bad.keras", [])
    for classes in (["a"], ["a", "b", "b"], "abc"):
        rule = "`classes` must have one name for each of the 3 classes, all"
        refused(rule, preset, [file], classes=classes)
    with pytest.raises(ValueError, match=r"^score_table: there is no such"):
        score_table("gone.keras", file, tmp_path / "out.csv")


@pytest.mark.parametrize("value", [1e300, -1e39, np.inf, np.nan])
def test_numbers_that_float32_has_not_got(preset, tmp_path, value):
    np.save(tmp_path / "a.npy", np.full((2, 8, 8), value))
    rule = r"an array must hold finite numbers, in float32 too.*3\.4e38"
    refused(rule, preset, [tmp_path / "a.npy"])


def test_an_array_of_no_rows_has_no_predictions(preset, tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((0, 8, 8)))
    assert predict_files(preset, [tmp_path / "a.npy"]) == []


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f8', 'fortran_order': False, 'shape': (9999999999, 8, 8)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (2, 8, 8), 'a': 1}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (1e99, 8, 8)}",
        "{'descr': '<f99', 'fortran_order': False, 'shape': (1, 8, 8)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (-1, 8, 8)}",
        "{'descr': 3, 'fortran_order': False, 'shape': (10**99, 8, 8)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (2**63, 8, 8)}",
        f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({10**30},)}}",
        "[" * 3000,
        "",
    ],
)
def test_a_header_that_asks_for_too_much(preset, tmp_path, header):
    text = header.encode().ljust(117) + b"\n"
    size = len(text).to_bytes(2, "little")
    file = tmp_path / "a.npy"
    file.write_bytes(b"\x93NUMPY\x01\x00" + size + text + bytes(64))
    rule = "the file cannot be read as an array. Received: file=.*reason=."
    refused(rule, preset, [file])


def test_the_names_of_the_classes_are_those_beside_the_model(tmp_path):
    model, file = tiny_model(), tmp_path / "model.keras"
    model.save(file)
    result = tmp_path / "result.json"
    result.write_text('{"classes": ["bag", "coat", "dress"]}')
    for name in (file, tmp_path):
        assert load_trained(name).classes == ("bag", "coat", "dress")
    # What does not fit, or cannot be read, is no reason not to predict.
    for text in ('{"classes": ["bag"]}', "{}", "{", '{"classes": [1, 2, 3]}'):
        result.write_text(text)
        assert load_trained(file).classes == ("0", "1", "2")
    save_preset(model, tmp_path, METADATA)
    for name in (file, tmp_path):
        assert load_trained(name).classes == ("bag", "coat", "dress")
