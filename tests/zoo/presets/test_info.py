"""`preset.json`: what it must say, and what it must not."""

import hashlib
import json

import numpy as np
import pytest

from moe_keras.zoo.presets.info import FileInfo, read_info
from tests.zoo.presets.tiny import METADATA, save_tiny

GOOD = {
    **METADATA,
    "format": 1,
    "name": "toy_moe",
    "builder": None,
    "parameters": 12,
    "multiply_adds": {"active": 3.5, "total": 7},
    "versions": {"keras": "3.15.1"},
    "files": {
        "model.json": {"sha256": "0" * 64, "num_bytes": 10},
        "weights.npz": {"sha256": "f" * 64, "num_bytes": 20},
    },
}


def read(values):
    return read_info(json.dumps(values).encode(), "there/preset.json", "test")


def test_it_comes_back():
    info = read(GOOD)
    assert info.classes == ("bag", "coat", "dress")
    assert info.files["weights.npz"] == FileInfo("f" * 64, 20)
    assert info.num_bytes == 30
    assert info.handle == "image/toy_moe"
    again = read_info(info.to_json().encode(), "x", "test")
    assert again == info
    assert again.sha256 == hashlib.sha256(info.to_json().encode()).hexdigest()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "format 1; a newer one needs a newer.*format=2"),
        ({"colour": "red"}, r"missing=\[\], unknown=\['colour'\]"),
        ({"name": "../../etc"}, r"value that its key.*name='\.\./\.\./etc'"),
        ({"task": 3}, "value that its key cannot have.*task=3"),
        ({"classes": [1, 2]}, r"classes=\[1, 2\]"),
        ({"classes": "abc"}, "classes='abc'"),
        ({"data": {"name": "toy"}}, "data="),
        ({"licence": None}, "licence=None"),
        ({"scores": {"accuracy": "good"}}, "scores="),
        ({"scores": {"accuracy": {"sd": 0.1}}}, "scores="),
        ({"builder": {"name": "image"}}, "builder="),
        ({"parameters": 1.5}, "parameters=1.5"),
        ({"multiply_adds": {"active": 1}}, "multiply_adds="),
        ({"files": {}}, "files={}"),
        (
            {"files": {**GOOD["files"], "x": GOOD["files"]["model.json"]}},
            "files=",
        ),
        (
            {
                "files": {
                    **GOOD["files"],
                    "model.json": {"sha256": "0" * 63, "num_bytes": 1},
                }
            },
            "files=",
        ),
    ],
)
def test_what_is_wrong_is_named(change, message):
    with pytest.raises(ValueError, match=message) as error:
        read(GOOD | change)
    assert "there/preset.json" in str(error.value)


def test_a_missing_key_is_named():
    values = dict(GOOD)
    del values["licence"]
    with pytest.raises(ValueError, match=r"missing=\['licence'\]"):
        read(values)


@pytest.mark.parametrize("content", [b"", b"[1]", b"\xff", b"null"])
def test_what_is_no_description_is_refused(content):
    with pytest.raises(ValueError, match=r"preset\.json must be"):
        read_info(content, "there/preset.json", "test")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"licence": 3}, "licence=3"),
        ({"scores": {"accuracy": np.float32(0.5)}}, "what JSON can hold"),
    ],
)
def test_it_is_checked_when_it_is_written_too(tmp_path, change, message):
    with pytest.raises(ValueError, match=f"save_preset: .*{message}"):
        save_tiny(tmp_path / "toy", **change)
    assert not (tmp_path / "toy").exists()
