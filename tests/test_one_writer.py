"""A folder has one writer at a time, and a kill frees it."""

import os
import subprocess
import sys

import pytest

from moe_keras import one_writer as module
from moe_keras.one_writer import FolderInUse, one_writer
from moe_keras.storage import CannotWrite
from tests.project import ROOT

# Without Keras, so that it starts at once.
HOLD = """
import importlib.util, pathlib, sys, time, types
package = types.ModuleType("moe_keras")
package.__path__ = [sys.argv[2]]
sys.modules["moe_keras"] = package
from moe_keras.one_writer import one_writer
with one_writer(pathlib.Path(sys.argv[1]), "first"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def _no_patience(monkeypatch):
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.01)


def hold(folder):
    """A process that writes into the folder for a minute."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder), str(ROOT / "moe_keras")],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "held\n"
    return process


def test_another_process_is_named_and_a_kill_frees_the_folder(tmp_path):
    folder = tmp_path / "runs" / "loans"
    process = hold(folder)
    try:
        with pytest.raises(FolderInUse) as caught, one_writer(folder, "second"):
            raise AssertionError
    finally:
        process.kill()
        process.communicate()
    text = str(caught.value)
    assert text.startswith("second: another process writes into this folder;")
    for part in (f"folder={str(folder)!r}", f"pid={process.pid}", "since='20"):
        assert part in text
    # What the killed one left behind keeps nobody out.
    assert (folder / ".writer.json").exists()
    with one_writer(folder, "third"):
        assert str(os.getpid()) in (folder / ".writer.json").read_text()
    assert os.listdir(folder) == [".lock"]


def test_another_call_in_this_process_is_kept_out(tmp_path):
    with one_writer(tmp_path, "first"):
        with pytest.raises(FolderInUse), one_writer(tmp_path, "second"):
            raise AssertionError
        # Another folder is another matter.
        with one_writer(tmp_path / "other", "second"):
            pass


def test_an_error_frees_the_folder_and_comes_through(tmp_path):
    with pytest.raises(KeyboardInterrupt), one_writer(tmp_path, "first"):
        raise KeyboardInterrupt
    with one_writer(tmp_path, "second"):
        pass


def test_half_files_of_the_killed_are_removed_those_of_others_stay(tmp_path):
    (tmp_path / ".a.json.99999999.part").write_text("half")
    (tmp_path / f".b.json.{os.getpid()}.part").write_text("being written")
    with one_writer(tmp_path, "first"):
        pass
    assert set(os.listdir(tmp_path)) == {
        ".lock",
        f".b.json.{os.getpid()}.part",
    }


def test_a_folder_that_cannot_be_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotWrite, match=r"cannot write .*file/x/\.lock"):
        with one_writer(tmp_path / "file" / "x", "first"):
            raise AssertionError


def test_a_file_system_without_locks_warns(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise NotImplementedError

    monkeypatch.setattr(module.FileLock, "acquire", fail)
    with pytest.warns(UserWarning, match="knows no locks"):
        with one_writer(tmp_path, "first"):
            pass
