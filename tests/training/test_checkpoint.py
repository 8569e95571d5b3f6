"""Checkpoints: whole or not there."""

import errno
import os
import resource
import warnings

import numpy as np
import pytest

from moe_keras.training import checkpoint
from moe_keras.training.checkpoint import (
    Checkpoint,
    CheckpointError,
    find_checkpoints,
    read_checkpoint,
    write_checkpoint,
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


def test_drafts_are_removed_with_the_checkpoints(tmp_path):
    write_checkpoint(tmp_path, some(1))
    (tmp_path / ".epoch-000002.npz.99999999.part").write_bytes(b"half")
    (tmp_path / "notes.txt").write_text("mine")
    checkpoint.remove_checkpoints(tmp_path)
    assert os.listdir(tmp_path) == ["notes.txt"]
    checkpoint.remove_checkpoints(tmp_path / "none")


def flipped(content, place, bit):
    return (
        content[:place]
        + bytes([content[place] ^ 1 << bit])
        + content[place + 1 :]
    )


def assert_no_damage_counts(tmp_path, places):
    """With any bit flipped: the same checkpoint, or the older one, and said."""
    older, newer = some(1, size=5), some(2, size=5)
    for one in (older, newer):
        write_checkpoint(tmp_path, one)
    path = find_checkpoints(tmp_path)[-1]
    content = path.read_bytes()
    fallen_back = 0
    for place, bit in places(len(content)):
        path.write_bytes(flipped(content, place, bit))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found = read_checkpoint(tmp_path)
        assert_equal(found, older if caught else newer)
        if caught:
            text = str(caught[0].message)
            assert text.startswith(f"{path} is damaged: ")
            assert text.endswith("the older epoch-000001.npz is read instead")
        fallen_back += bool(caught)
    assert fallen_back > len(places(len(content))) / 2


def test_a_flipped_bit_in_some_places(tmp_path):
    def every_third(size):
        return [(place, place % 8) for place in range(0, size, 3)]

    assert_no_damage_counts(tmp_path, every_third)


@pytest.mark.slow
def test_a_flipped_bit_in_any_place(tmp_path):
    def all_of(size):
        return [(place, bit) for place in range(size) for bit in range(8)]

    assert_no_damage_counts(tmp_path, all_of)


def test_a_checkpoint_that_is_cut_short(tmp_path):
    for epoch in (1, 2):
        write_checkpoint(tmp_path, some(epoch, size=5))
    path = find_checkpoints(tmp_path)[-1]
    content = path.read_bytes()
    for size in range(0, len(content), 97):
        path.write_bytes(content[:size])
        with pytest.warns(UserWarning, match="000001.npz is read instead"):
            assert_equal(read_checkpoint(tmp_path), some(1, size=5))


def test_both_checkpoints_damaged_are_refused(tmp_path):
    for epoch in (1, 2):
        write_checkpoint(tmp_path, some(epoch))
    first, second = find_checkpoints(tmp_path)
    first.write_bytes(b"")
    np.savez(second, a=np.ones(3))
    with pytest.raises(CheckpointError, match="start afresh, or remove") as e:
        read_checkpoint(tmp_path)
    assert f"{first} is damaged" in str(e.value)
    assert f"{second} is no checkpoint" in str(e.value)
