"""On what a result was made: versions, commit, device."""

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import keras

import moe_keras

PACKAGES = ("moe_keras", "keras", "tensorflow", "jax", "torch", "numpy")


def describe_environment() -> dict[str, Any]:
    """What tells one result from another, as JSON can hold it."""
    return {
        "backend": keras.backend.backend(),
        "versions": {
            "python": platform.python_version(),
            **{
                name: version
                for name in PACKAGES
                if (version := _version(name)) is not None
            },
        },
        "commit": commit(),
        "device": f"{platform.machine()}, {os.cpu_count()} cores",
    }


def commit() -> str | None:
    """The commit of the package, `+` behind it where files differ from it.

    None where the package is installed rather than checked out, be it inside
    another project's checkout.
    """
    folder = Path(moe_keras.__file__).parent

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", *arguments],
                cwd=folder,
                capture_output=True,
                text=True,
                check=True,
            )
        except (OSError, subprocess.CalledProcessError):
            return None
        return done.stdout.strip()

    if git("ls-files", "--error-unmatch", "__init__.py") is None:
        return None
    head = git("rev-parse", "--short", "HEAD")
    changed = git("status", "--porcelain", "--", ".")
    return head and head + ("+" if changed else "")


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
