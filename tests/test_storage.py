"""One writer of files, whole or not there; readers that find any damage."""

import ast
import errno
import os
import resource
import zlib
from contextlib import suppress

import keras
import matplotlib.pyplot as plt
import numpy as np
import pytest

from moe_keras import storage
from moe_keras.storage import (
    CannotWrite,
    DamagedFile,
    check_archive,
    new_folder,
    pack_arrays,
    read_arrays,
    read_json,
    remove_drafts,
    write_file,
    write_json,
    write_model,
    write_parts,
    write_picture,
    write_text,
)
from tests.test_imports import FILES, ROOT
from tests.training.test_checkpoint import flipped

# Whose files are not those of a run: an archive or a picture in the memory, a
# temporary folder, a file that the caller named.
OTHERS = {
    "storage.py",
    "demo/served.py",
    "estimators/moe_classifier.py",
    "schema/risk_schema.py",
    "search/processes.py",
    "zoo/presets/weight_file.py",
}
WRITERS = {
    *("write_text", "write_bytes", "savefig", "savez", "savez_compressed"),
    *("save_weights", "to_csv", "to_parquet", "copyfile", "copytree"),
}
MOVERS = {"copy", "copy2", "move", "replace", "rename"}
# No process has this number.
DEAD = 99_999_999
MODES = {"w", "wb", "a", "ab", "x", "xb", "r+", "rb+", "r+b"}
# Of other things than files.
HARMLESS = {"storage", "dataclasses", "weight_file"}


def calls_that_write(path):
    """Calls by which a file could be written, but by `storage`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        called = node.func
        modes = {getattr(one, "value", "") for one in node.args}
        if getattr(called, "id", "") == "open" and modes & MODES:
            yield node.lineno, "open"
        if not isinstance(called, ast.Attribute):
            continue
        owner = getattr(called.value, "id", "")
        if called.attr in MOVERS:
            # Methods of texts and arrays too, unless of these modules.
            if owner in ("os", "shutil"):
                yield node.lineno, called.attr
        elif called.attr == "open":
            if modes & MODES:
                yield node.lineno, "open"
        elif called.attr == "dump":
            if owner in ("json", "pickle") and len(node.args) > 1:
                yield node.lineno, "dump"
        elif called.attr in WRITERS and owner not in HARMLESS:
            yield node.lineno, called.attr
        elif called.attr == "save" and node.args:
            yield node.lineno, "save"


def test_no_other_writer_remains():
    found = {
        f"{path.relative_to(ROOT)}:{line} {name}"
        for path in FILES
        if str(path.relative_to(ROOT)) not in OTHERS
        for line, name in calls_that_write(path)
    }
    assert found == set()


def test_the_search_for_writers_finds_them(tmp_path):
    """As the code was written that left half files behind."""
    for text in (
        "file.write_text(recipe.to_yaml())",
        "shutil.copyfile(one, other)",
        "figure.savefig(folder / name)",
        "json.dump(value, file)",
        "(folder / 'a').open('wb')",
        "open(name, 'w')",
        "model.save(path)",
        "np.savez(path, a=1)",
    ):
        (tmp_path / "a.py").write_text(text)
        assert list(calls_that_write(tmp_path / "a.py")), text


@pytest.fixture
def small_disk():
    """No file may grow beyond 1,000 bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def tiny():
    return keras.Sequential([keras.Input((3,)), keras.layers.Dense(40)])


def picture(path):
    write_picture(path, plt.figure(), 80)


WRITTEN = {
    "a.txt": lambda path: write_text(path, "ü" * 1000),
    "a.json": lambda path: write_json(path, ["x"] * 1000),
    "a.png": picture,
    "a.keras": lambda path: write_model(path, tiny()),
    "a.npz": lambda path: write_file(
        path, pack_arrays({"a": np.ones(999)}, compress=False)
    ),
}


@pytest.mark.usefixtures("small_disk")
@pytest.mark.parametrize("name", WRITTEN)
def test_a_full_disk_leaves_what_was_there_and_names_the_file(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"old")
    with pytest.raises(CannotWrite) as caught:
        WRITTEN[name](path)
    plt.close("all")
    text = str(caught.value)
    assert text.startswith(f"cannot write {path}: ")
    assert text.endswith("; what was there before stays")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize("name", WRITTEN)
def test_a_kill_before_the_rename_leaves_what_was_there(
    tmp_path, name, monkeypatch
):
    def kill(*_):
        raise KeyboardInterrupt

    path = tmp_path / name
    path.write_bytes(b"old")
    monkeypatch.setattr(storage.os, "replace", kill)
    with pytest.raises(KeyboardInterrupt):
        WRITTEN[name](path)
    plt.close("all")
    assert path.read_bytes() == b"old"


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotWrite) as caught:
        write_text(tmp_path / "file" / "a", "x")
    assert str(tmp_path / "file" / "a") in str(caught.value)
    assert caught.value.errno in (errno.ENOTDIR, errno.EEXIST)


def test_a_file_is_whole_before_it_has_its_name(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_file(path, b"old")
    seen = []
    replace = os.replace

    def look(source, target):
        seen.append((source.read_bytes(), target.read_bytes()))
        replace(source, target)

    monkeypatch.setattr(storage.os, "replace", look)
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
            raise fails
        yield b"two"

    # What making the parts raises, keeps its own text.
    for error in (KeyboardInterrupt(), OSError(errno.EIO, "of the table")):
        with pytest.raises(type(error)) as caught:
            write_parts(path, parts(error))
        assert caught.value is error
        assert os.listdir(path.parent) == []
    write_parts(path, parts(None))
    assert path.read_bytes() == b"one two"


def test_a_folder_takes_its_place_when_it_is_whole(tmp_path):
    path = tmp_path / "model"
    with new_folder(path) as draft:
        (draft / "sub").mkdir(parents=True)
        (draft / "sub" / "a").write_text("old")
        assert not path.exists()
    with suppress(KeyboardInterrupt), new_folder(path) as draft:
        draft.mkdir()
        (draft / "half").write_text("new")
        raise KeyboardInterrupt
    assert [one.name for one in path.rglob("*")] == ["sub", "a"]
    with new_folder(path) as draft:
        draft.mkdir()
        (draft / "b").write_text("new")
    assert os.listdir(tmp_path) == ["model"]
    assert os.listdir(path) == ["b"]


def test_drafts_of_the_killed_are_removed(tmp_path):
    (tmp_path / f".a.json.{DEAD}.part").write_text("half")
    (tmp_path / f".model.keras.{DEAD}.part").mkdir()
    (tmp_path / f".model.keras.{DEAD}.part" / "model.keras").write_text("half")
    (tmp_path / "my.part").write_text("mine")
    remove_drafts(tmp_path)
    assert os.listdir(tmp_path) == ["my.part"]


@pytest.mark.parametrize("compress", [True, False])
def test_arrays_with_a_flipped_bit_are_the_same_or_refused(tmp_path, compress):
    arrays = {"logits": np.arange(24.0).reshape(4, 6), "labels": np.arange(3)}
    content = bytes(pack_arrays(arrays, compress))
    path = tmp_path / "opinions.npz"
    refused = 0
    for place in range(0, len(content), 2):
        path.write_bytes(flipped(content, place, place % 8))
        try:
            found = read_arrays(path)
        except DamagedFile:
            refused += 1
        else:
            assert list(found) == list(arrays)
            for name, array in arrays.items():
                np.testing.assert_array_equal(found[name], array)
    assert refused > len(content) / 4


def test_what_holds_no_arrays_is_refused(tmp_path):
    path = tmp_path / "a.npz"
    for content in (b"", b"PK", zlib.compress(b"x"), b"\x93NUMPY" + bytes(200)):
        path.write_bytes(content)
        with pytest.raises(DamagedFile, match=r"a\.npz is damaged"):
            read_arrays(path)
    np.savez(path, a=np.array([{}], dtype=object))
    with pytest.raises(DamagedFile, match="Object arrays cannot be loaded"):
        read_arrays(path)
    with pytest.raises(FileNotFoundError):
        read_arrays(tmp_path / "none")


def test_a_model_with_a_flipped_bit_is_refused(tmp_path):
    path = tmp_path / "a.keras"
    write_model(path, tiny())
    check_archive(path)
    content = path.read_bytes()
    # In the weights, where Keras' own reader sees no checksum.
    place = content.index(b"model.weights.h5") + 2048
    path.write_bytes(flipped(content, place, 3))
    with pytest.raises(DamagedFile, match="Bad CRC-32"):
        check_archive(path)


@pytest.mark.parametrize(
    "text", [b"", b"{", b'{"a": 1', b"\xff\xfe", b"[" * 10**5]
)
def test_what_is_not_json_is_named(tmp_path, text):
    (tmp_path / "a.json").write_bytes(text)
    with pytest.raises(DamagedFile, match=r"a\.json is not JSON"):
        read_json(tmp_path / "a.json")


def test_a_sealed_value_is_itself_or_refused(tmp_path):
    """Any bit of the text, but of spaces between what counts."""
    path = tmp_path / "a.json"
    value = {"score": 0.81, "best": [1, 2], "of": {"a": "ü", "b": None}}
    write_json(path, value, sealed=True)
    assert read_json(path) == value
    content = path.read_bytes()
    for place in range(len(content)):
        path.write_bytes(flipped(content, place, place % 8))
        try:
            found = read_json(path)
        except DamagedFile:
            continue
        # Of the seal's own key, nobody knows that it was one.
        assert {key: found[key] for key in value} == value
    # What another program has written, is read as it is.
    path.write_text('{"score": 0.81}')
    assert read_json(path) == {"score": 0.81}
