"""On what a result was measured: versions, cores, commit, device."""

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = (
    "keras",
    "tensorflow",
    "jax",
    "torch",
    "keras-hub",
    "transformers",
    "st-moe-pytorch",
    "numpy",
)


def describe() -> dict:
    """What tells one measurement from another, as JSON can hold it."""
    return {
        "device": _processor(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        "commit": commit(),
        "versions": {
            name: version
            for name in PACKAGES
            if (version := _version(name)) is not None
        },
    }


def commit() -> str:
    """The commit, with a `+` where the package differs from it."""

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout.strip()

    changed = git("status", "--porcelain", "--", "moe_keras")
    head = git("rev-parse", "--short", "HEAD") or "unknown"
    return head + ("+" if changed else "")


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
