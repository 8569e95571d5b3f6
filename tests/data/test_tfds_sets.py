"""TFDS' own small data sets, written to disk by TFDS and read back."""

import logging
import sys
import time

import numpy as np
import pytest

from moe_keras.data import Split, load_dataset, tfds_download

tiny = pytest.importorskip("tests.data.tiny_sets")


def numbers(split):
    """The number of each example."""
    inputs = split.inputs
    if isinstance(inputs, dict):
        return inputs["age"].tolist()
    if inputs.dtype == object:
        return [int(text.split()[-1]) for text in inputs]
    return inputs.reshape(len(inputs), -1)[:, 0].astype(int).tolist()


def check_rows(data, train=range(tiny.COUNT)):
    """Every example is there once, with its label."""
    whole = data.whole_train()
    assert isinstance(whole, Split)
    assert sorted(numbers(whole)) == list(train)
    for split in (data.train, data.validation):
        assert split.labels.dtype == np.int64
        assert (split.labels == np.array(numbers(split)) % 3).all()


def test_nothing_is_logged_and_no_filter_stays(tmp_path, caplog):
    tiny.write(tiny.TinyImages, tmp_path)
    load_dataset("tfds:tiny_images", data_dir=tmp_path)
    assert not [r for r in caplog.records if r.levelname == "WARNING"]
    assert not logging.getLogger("absl").filters


def test_images(tmp_path):
    tiny.write(tiny.TinyImages, tmp_path)
    data = load_dataset("tfds:tiny_images", data_dir=tmp_path)
    check_rows(data)
    assert data.task == "image"
    assert data.train.inputs.dtype == np.uint8
    assert data.train.inputs.shape[1:] == (3, 4, 1)
    assert (data.train.inputs == data.train.inputs[:, :1, :1]).all()
    assert sorted(numbers(data.test)) == list(range(100, 120))
    assert data.classes == tiny.NAMES
    assert (data.citation, data.description) == ("nobody", "made up")
    assert "https://example.org" in data.licence
    assert "tiny_images/1.0.0" in data.source


def test_the_order_is_that_of_the_files_however_many(tmp_path):
    tiny.write(tiny.TinyImages, tmp_path / "one")
    tiny.write(tiny.TinyImages, tmp_path / "three", shards=3)
    assert len(list((tmp_path / "three").rglob("*train*-of-00003"))) == 3
    one, three = (
        load_dataset("tfds:tiny_images", data_dir=tmp_path / folder)
        for folder in ("one", "three")
    )
    assert numbers(one.whole_train()) == numbers(three.whole_train())
    assert numbers(one.validation) == numbers(three.validation)


def test_images_of_many_sizes(tmp_path):
    tiny.write(tiny.TinyPhotos, tmp_path)
    with pytest.raises(ValueError, match="of different sizes") as error:
        load_dataset("tfds:tiny_photos", data_dir=tmp_path)
    assert "Received: image_size=None" in str(error.value)
    data = load_dataset(
        "tfds:tiny_photos", data_dir=tmp_path, image_size=(5, 6)
    )
    check_rows(data)
    assert data.schema[0].shape == data.train.inputs.shape[1:] == (5, 6, 3)
    assert data.train.inputs.dtype == np.uint8
    assert (data.train.inputs == data.train.inputs[:, :1, :1, :1]).all()


def test_texts_with_splits_of_their_own(tmp_path):
    tiny.write(tiny.TinyTexts, tmp_path)
    data = load_dataset("tfds:tiny_texts", data_dir=tmp_path)
    check_rows(data)
    assert data.task == "text"
    assert all(isinstance(text, str) for text in data.train.inputs)
    assert data.train.inputs[0].startswith("größer als ")
    assert sorted(numbers(data.validation)) == list(range(100, 110))
    assert len(data.train) == tiny.COUNT
    assert data.test is None  # Without labels it is no test.
    with pytest.raises(ValueError, match="are no images"):
        load_dataset("tfds:tiny_texts", data_dir=tmp_path, image_size=(5, 6))


def test_rows_without_a_label(tmp_path):
    tiny.write(tiny.TinyUnlabelled, tmp_path)
    with pytest.raises(ValueError, match="'train' of tfds:tiny_unlabelled"):
        load_dataset("tfds:tiny_unlabelled", data_dir=tmp_path)


def test_vectors(tmp_path):
    tiny.write(tiny.TinyVectors, tmp_path)
    data = load_dataset("tfds:tiny_vectors", data_dir=tmp_path)
    check_rows(data)
    assert data.task == "tabular"
    assert data.train.inputs.shape[1:] == (5,)
    assert (data.train.inputs[:, 1:] == [1, 2, 3, 4]).all()
    assert data.test is None
    assert list(data.train.frame()) == [f"feature_{i}" for i in range(5)]


def test_columns(tmp_path):
    tiny.write(tiny.TinyColumns, tmp_path)
    data = load_dataset("tfds:tiny_columns", data_dir=tmp_path)
    whole = data.whole_train()
    assert {column.name: column.dtype for column in data.schema} == {
        "age": "int32",
        "job": "string",
        "town": "string",
        "pet": "string",
    }
    assert list(whole.inputs) == [column.name for column in data.schema]
    pets = ("", *tiny.NAMES)
    for row, i in enumerate(numbers(whole)):
        assert whole.inputs["job"][row] == f"job {i}"
        assert whole.inputs["town"][row] == f"town {i}"
        assert whole.inputs["pet"][row] == pets[i % 4]
        assert whole.labels[row] == i % 2
    assert data.train.frame()["pet"].isna().any()
    flipped = load_dataset(
        "tfds:tiny_columns", data_dir=tmp_path, positive="no"
    )
    assert flipped.classes == ("yes", "no")


def test_keys_that_tfds_does_not_name(tmp_path):
    tiny.write(tiny.TinyUnnamed, tmp_path)
    with pytest.raises(ValueError, match=r"out of \['image', 'label'\]"):
        load_dataset("tfds:tiny_unnamed", data_dir=tmp_path)
    check_rows(
        load_dataset(
            "tfds:tiny_unnamed",
            data_dir=tmp_path,
            input_key="image",
            label_key="label",
        )
    )
    with pytest.raises(ValueError, match="must be a ClassLabel"):
        load_dataset(
            "tfds:tiny_unnamed",
            data_dir=tmp_path,
            input_key="label",
            label_key="image",
        )


def test_features_that_no_model_here_reads(tmp_path):
    tiny.write(tiny.TinyVideos, tmp_path)
    with pytest.raises(ValueError, match="must be images, texts, numbers"):
        load_dataset("tfds:tiny_videos", data_dir=tmp_path)


def test_damaged_files(tmp_path):
    place = tiny.write(tiny.TinyVectors, tmp_path)
    (file,) = place.glob("*.tfrecord*")
    whole = file.read_bytes()
    file.write_bytes(whole[:-10])
    with pytest.raises(RuntimeError, match="damaged") as error:
        load_dataset("tfds:tiny_vectors", data_dir=tmp_path)
    assert str(place) in str(error.value)
    assert "{{" not in str(error.value)
    file.write_bytes(b"")
    with pytest.raises(RuntimeError, match="contain 50 elements but"):
        load_dataset("tfds:tiny_vectors", data_dir=tmp_path)


def test_prepared_data_are_read_without_a_look_at_the_network(
    tmp_path, monkeypatch
):
    tiny.write(tiny.TinyImages, tmp_path)
    monkeypatch.setattr("socket.socket.connect", None)
    monkeypatch.setattr("socket.getaddrinfo", None)
    monkeypatch.setitem(sys.modules, "importlib_resources", None)
    monkeypatch.setenv("MOE_KERAS_DATA_DIR", str(tmp_path))
    check_rows(load_dataset("tfds:tiny_images", download=False))


def test_what_is_not_there_is_prepared(tmp_path):
    check_rows(load_dataset("tfds:tiny_images", data_dir=tmp_path))
    assert (tmp_path / "tiny_images" / "1.0.0").is_dir()


def test_without_leave_nothing_is_prepared(tmp_path):
    with pytest.raises(FileNotFoundError, match="`download` is False") as error:
        load_dataset("tfds:tiny_images", data_dir=tmp_path, download=False)
    text = str(error.value)
    assert f"not prepared in {tmp_path}" in text
    assert "MOE_KERAS_DATA_DIR" in text
    assert f"`tfds build tiny_images --data_dir {tmp_path}`" in text
    assert not list(tmp_path.iterdir())


def test_without_a_network_the_error_comes_at_once(tmp_path):
    start = time.monotonic()
    with pytest.raises(
        FileNotFoundError, match=r"no answer from data\.invalid"
    ):
        load_dataset("tfds:tiny_far", data_dir=tmp_path)
    assert time.monotonic() - start < tfds_download.PATIENCE + 5


def test_a_source_that_fails(tmp_path):
    with pytest.raises(FileNotFoundError, match="has moved the files If it"):
        load_dataset("tfds:tiny_broken", data_dir=tmp_path)


def test_names_that_tfds_does_not_know(tmp_path):
    for name, rule in (
        ("tiny_image", "Did you mean tiny_images"),
        ("fashion_mist", "Did you mean fashion_mnist"),
        ("tiny_choices/third", "third not found"),
        ("tiny_images:7.0.0", "7.0.0"),
    ):
        with pytest.raises(ValueError, match=rule) as error:
            load_dataset(f"tfds:{name}", data_dir=tmp_path)
        assert str(error.value).endswith(f"Received: name='tfds:{name}'")


def test_configurations(tmp_path):
    check_rows(load_dataset("tfds:tiny_choices", data_dir=tmp_path))
    assert (tmp_path / "tiny_choices" / "small" / "1.0.0").is_dir()
    check_rows(load_dataset("tfds:tiny_choices/other", data_dir=tmp_path))
    # Now there are two, and TFDS' default is taken.
    again = load_dataset("tfds:tiny_choices", data_dir=tmp_path)
    assert "tiny_choices/small/1.0.0" in again.source


@pytest.mark.parametrize(
    "missing", ["tensorflow_datasets", "importlib_resources"]
)
def test_a_missing_package(tmp_path, monkeypatch, missing):
    find = tfds_download.importlib.util.find_spec
    monkeypatch.setattr(
        tfds_download.importlib.util,
        "find_spec",
        lambda name: None if name == missing else find(name),
    )
    with pytest.raises(ImportError, match=missing) as error:
        load_dataset("tfds:tiny_images", data_dir=tmp_path)
    assert "pip install moe_keras[datasets]" in str(error.value)
