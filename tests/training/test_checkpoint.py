"""Checkpoints: whole or not there."""

import errno
import os
import resource

import numpy as np
import pytest

from moe_keras.training import checkpoint
from moe_keras.training.checkpoint import (
    Checkpoint,
    CheckpointError,
    find_checkpoints,
    read_checkpoint,
    write_checkpoint,
    write_file,
    write_parts,
)


def some(epoch, size=1000):
    arrays = {
        "a/00000": np.arange(size, dtype="float32"),
        "a/00001": np.array(True),
        "b/00000": np.zeros((0, 3), "uint32"),
    }
    return Checkpoint(epoch, arrays, {"epoch": epoch, "text": "ü", "x": 0.1})


def assert_equal(one, two):
    assert one.epoch == two.epoch
    assert one.facts == two.facts
    assert list(one.arrays) == list(two.arrays)
    for name, array in one.arrays.items():
        assert array.dtype == two.arrays[name].dtype
        np.testing.assert_array_equal(array, two.arrays[name])


@pytest.fixture
def small_disk():
    """No file may grow beyond 20,000 bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_round_trip(tmp_path):
    folder = tmp_path / "new" / "folder"
    assert read_checkpoint(folder) is None
    write_checkpoint(folder, some(1))
    assert_equal(read_checkpoint(folder), some(1))


def test_the_newest_two_are_kept(tmp_path):
    for epoch in (8, 9, 10):
        write_checkpoint(tmp_path, some(epoch))
    assert [path.name for path in find_checkpoints(tmp_path)] == [
        "epoch-000009.npz",
        "epoch-000010.npz",
    ]
    assert read_checkpoint(tmp_path).epoch == 10


@pytest.mark.usefixtures("small_disk")
def test_a_full_disk_is_one_error_and_costs_nothing(tmp_path):
    write_checkpoint(tmp_path, some(1))
    with pytest.raises(CheckpointError) as caught:
        write_checkpoint(tmp_path, some(2, size=10_000))
    text = str(caught.value)
    assert f"cannot write the checkpoint {tmp_path}" in text
    assert os.strerror(errno.EFBIG) in text
    assert "epoch-000001.npz is intact" in text
    # The half that was written does not take up space.
    assert os.listdir(tmp_path) == ["epoch-000001.npz"]
    assert_equal(read_checkpoint(tmp_path), some(1))


@pytest.mark.usefixtures("small_disk")
def test_a_full_disk_from_the_start(tmp_path):
    with pytest.raises(CheckpointError, match="there is none yet"):
        write_checkpoint(tmp_path, some(1, size=10_000))


def test_a_file_is_whole_before_it_has_its_name(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_file(path, b"old")
    seen = []
    replace = os.replace

    def look(source, target):
        seen.append((source.read_bytes(), target.read_bytes()))
        replace(source, target)

    monkeypatch.setattr(checkpoint.os, "replace", look)
    write_file(path, b"new")
    assert seen == [(b"new", b"old")]
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["file"]


def test_parts_are_a_file_when_the_last_is_there(tmp_path):
    path = tmp_path / "folder" / "file"

    def parts(fails):
        yield b"one "
        (draft,) = path.parent.glob("*.part")
        assert draft.read_bytes() == b"one "
        if fails:
            raise KeyboardInterrupt
        yield b"two"

    with pytest.raises(KeyboardInterrupt):
        write_parts(path, parts(True))
    assert os.listdir(path.parent) == []
    write_parts(path, parts(False))
    assert path.read_bytes() == b"one two"


def test_drafts_are_removed_with_the_checkpoints(tmp_path):
    write_checkpoint(tmp_path, some(1))
    (tmp_path / ".epoch-000002.npz.17.part").write_bytes(b"half")
    (tmp_path / "notes.txt").write_text("mine")
    checkpoint.remove_checkpoints(tmp_path)
    assert os.listdir(tmp_path) == ["notes.txt"]
    checkpoint.remove_checkpoints(tmp_path / "none")
