"""Which folder, which configuration, which version: from file names alone."""

import json

import pytest

from moe_keras.data import list_datasets
from moe_keras.data.load import EMBEDDED
from moe_keras.data.tfds_files import data_folder, find_prepared


def put(folder, place, files=("dataset_info.json", "features.json")):
    (folder / place).mkdir(parents=True)
    for file in files:
        (folder / place / file).write_text("{}")


@pytest.fixture
def folder(tmp_path):
    put(tmp_path, "plain/1.2.0")
    put(tmp_path, "plain/1.10.0")
    put(tmp_path, "plain/2.0.0", files=["features.json"])  # Not complete.
    put(tmp_path, "plain/incomplete.ABC_3.0.0")
    put(tmp_path, "one_config/only/1.0.0")
    put(tmp_path, "two_configs/first/1.0.0")
    put(tmp_path, "two_configs/second/1.0.0")
    put(tmp_path, "with_default/a/1.0.0")
    put(tmp_path, "with_default/b/1.0.0")
    record = tmp_path / "with_default" / ".config" / "metadata.json"
    record.parent.mkdir()
    record.write_text(json.dumps({"default_config_name": "b"}))
    put(tmp_path, "downloads", files=["archive.zip"])
    (tmp_path / "a file").write_text("")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("plain", "plain/1.10.0"),
        ("plain:1.2.0", "plain/1.2.0"),
        ("plain:1.*.*", "plain/1.10.0"),
        ("plain:2.0.0", None),
        ("plain/config", None),
        ("absent", None),
        ("one_config", "one_config/only/1.0.0"),
        ("one_config/only:1.0.0", "one_config/only/1.0.0"),
        ("two_configs/second", "two_configs/second/1.0.0"),
        ("with_default", "with_default/b/1.0.0"),
        ("with_default/a", "with_default/a/1.0.0"),
    ],
)
def test_find_prepared(folder, name, place):
    assert find_prepared(name, folder) == (place and folder / place)


def test_two_configurations_and_no_default(folder):
    with pytest.raises(ValueError, match=r"tfds:two_configs/CONFIG") as error:
        find_prepared("two_configs", folder)
    assert str(error.value).endswith("configurations=['first', 'second']")


@pytest.mark.parametrize(
    "name", ["", "../plain", "Plain", "a b", "plain:", "/a"]
)
def test_names_of_another_form(folder, name):
    with pytest.raises(ValueError, match="must be tfds:NAME"):
        find_prepared(name, folder)


def test_listing(folder, monkeypatch):
    expected = [
        *sorted(EMBEDDED),
        "tfds:one_config/only",
        "tfds:plain",
        "tfds:two_configs/first",
        "tfds:two_configs/second",
        "tfds:with_default/a",
        "tfds:with_default/b",
    ]
    assert list_datasets(folder) == expected
    monkeypatch.setenv("MOE_KERAS_DATA_DIR", str(folder))
    assert list_datasets() == expected
    assert list_datasets(folder / "absent") == sorted(EMBEDDED)


def test_which_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("MOE_KERAS_DATA_DIR", raising=False)
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    assert data_folder() == tmp_path / "tensorflow_datasets"
    monkeypatch.setenv("TFDS_DATA_DIR", "/of/tfds")
    assert str(data_folder()) == "/of/tfds"
    monkeypatch.setenv("MOE_KERAS_DATA_DIR", "~/ours")
    assert data_folder() == tmp_path / "ours"
    assert str(data_folder("/named")) == "/named"
