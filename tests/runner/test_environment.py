"""Versions and commit, as a result has them."""

import subprocess

import keras
import pytest

import moe_keras
from moe_keras.runner import environment


def git(folder, *arguments):
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    done = subprocess.run(
        ["git", *identity, *arguments],
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A package in a repository of its own."""
    package = tmp_path / "moe_keras"
    package.mkdir()
    (package / "__init__.py").write_text("")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "first")
    monkeypatch.setattr(
        environment.moe_keras, "__file__", str(package / "__init__.py")
    )
    return tmp_path


def test_commit(checkout):
    head = git(checkout, "rev-parse", "--short", "HEAD")
    (checkout / "notes.txt").write_text("not of the package")
    assert environment.commit() == head
    (checkout / "moe_keras" / "__init__.py").write_text("changed = True")
    assert environment.commit() == f"{head}+"


def test_the_commit_of_another_project_is_none_of_ours(checkout, monkeypatch):
    installed = checkout / ".venv" / "moe_keras"
    installed.mkdir(parents=True)
    (installed / "__init__.py").write_text("")
    monkeypatch.setattr(
        environment.moe_keras, "__file__", str(installed / "__init__.py")
    )
    assert environment.commit() is None


def test_no_git(checkout, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert environment.commit() is None


def test_versions():
    found = environment.describe_environment()
    assert found["backend"] == keras.backend.backend()
    assert found["versions"]["keras"] == keras.__version__
    assert found["versions"]["moe_keras"] == moe_keras.__version__
    assert found["device"].endswith("cores")
