"""The wheel holds what it should, and works where it is installed."""

import email
import os
import re
import shutil
import site
import subprocess
import sys
import tarfile
import venv
import zipfile

import pytest
from packaging.requirements import Requirement

from moe_keras import __version__
from tests.project import ROOT, by_name, lines, requirements, setup_cfg
from tests.zoo.presets.tiny import save_tiny


@pytest.fixture(scope="session")
def source(tmp_path_factory):
    """A copy of what git would take, with one more preset in its zoo."""
    ignored = [
        line.strip("/").split("/")[-1]
        for line in lines((ROOT / ".gitignore").read_text())
    ]
    source = tmp_path_factory.mktemp("source") / "moe_keras"
    shutil.copytree(
        ROOT,
        source,
        symlinks=True,
        ignore=shutil.ignore_patterns(*ignored, ".git", "shared"),
    )
    preset = source / "zoo" / "image" / "toy_moe"
    save_tiny(preset)
    for name in ("card.md", "recipe.yaml", "results.json", "weights.h5"):
        (preset / name).write_text("")
    (preset / "runs").mkdir()
    (preset / "runs" / "model.json").write_text("")
    return source


@pytest.fixture(scope="session")
def wheel(source, tmp_path_factory):
    """The path of a wheel, built from the copy."""
    target = tmp_path_factory.mktemp("wheel")
    run = subprocess.run(
        [
            *(
                sys.executable,
                "-m",
                "pip",
                "wheel",
                ".",
                "--no-deps",
                "--no-build-isolation",
            ),
            *("--quiet", "--disable-pip-version-check", "-w", str(target)),
        ],
        cwd=source,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    (path,) = target.iterdir()
    return path


@pytest.fixture(scope="session")
def files(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def read(wheel, name):
    with zipfile.ZipFile(wheel) as archive:
        return archive.read(
            f"moe_keras-{__version__}.dist-info/{name}"
        ).decode()


@pytest.fixture(scope="session")
def metadata(wheel):
    return email.message_from_string(read(wheel, "METADATA"))


def test_wheel_name(wheel):
    assert wheel.name == f"moe_keras-{__version__}-py3-none-any.whl"


def test_metadata(metadata):
    assert metadata["Name"] in ("moe_keras", "moe-keras")
    assert metadata["Version"] == __version__
    assert metadata["Summary"].startswith("Mixture-of-experts layers for Keras")
    assert metadata["Requires-Python"] == ">=3.11"
    assert (
        metadata["License-Expression"] or metadata["License"]
    ) == "Apache-2.0"
    assert metadata["License-File"] == "LICENSE"
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert (
        metadata.get_payload().strip()
        == (ROOT / "README.md").read_text().strip()
    )
    assert "Typing :: Typed" in metadata.get_all("Classifier")


def test_requirements(metadata):
    config = setup_cfg()
    found = [Requirement(line) for line in metadata.get_all("Requires-Dist")]
    always = by_name(one for one in found if one.marker is None)
    assert always == requirements(config["options"]["install_requires"])
    assert {"tensorflow", "keras", "numpy"} <= set(always)


def test_extras(metadata):
    extras = setup_cfg()["options.extras_require"]
    assert set(metadata.get_all("Provides-Extra")) == set(extras)
    found = [Requirement(line) for line in metadata.get_all("Requires-Dist")]
    for extra, value in extras.items():
        with_extra = by_name(
            one
            for one in found
            if one.marker and one.marker.evaluate({"extra": extra})
        )
        assert with_extra == requirements(value), extra


def test_one_package(files):
    assert {name.split("/")[0] for name in files} == {
        "moe_keras",
        f"moe_keras-{__version__}.dist-info",
    }


def test_files(files):
    assert "moe_keras/py.typed" in files
    assert any(
        name.endswith(".dist-info/licenses/LICENSE") for name in files
    ) or any(name.endswith(".dist-info/LICENSE") for name in files)
    assert not [name for name in files if re.search(r"(^|/)(conf)?test", name)]


def test_every_module_is_in(files):
    modules = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "moe_keras").rglob("*.py")
    }
    assert {name for name in files if name.endswith(".py")} == modules


def test_of_the_zoo_what_a_user_needs_is_in(files):
    name = "moe_keras/_presets/image/toy_moe/"
    found = {one.removeprefix(name) for one in files if one.startswith(name)}
    assert found == {
        *("card.md", "model.json", "preset.json", "recipe.yaml"),
        "weights.npz",
    }
    zoo = [one for one in files if one.startswith("moe_keras/_presets/")]
    presets = list((ROOT / "zoo").glob("*/*/preset.json"))
    # Those of the checkout, and the one above.
    count = sum(name.endswith("/preset.json") for name in zoo)
    assert count == len(presets) + 1


LIST = """
import moe_keras, numpy as np
from moe_keras.zoo import from_preset, list_presets
assert "image/toy_moe" in [info.handle for info in list_presets()]
images = np.zeros((2, 8, 8, 1), "float32")
assert from_preset("image/toy_moe")(images).shape == (2, 3)
print(moe_keras.__file__)
"""


@pytest.mark.slow
def test_the_zoo_is_found_in_a_wheel(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    run = subprocess.run(
        [sys.executable, "-c", LIST],
        check=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "installed")},
        capture_output=True,
        text=True,
    )
    assert str(tmp_path / "installed") in run.stdout


@pytest.mark.slow
def test_the_zoo_is_found_in_an_editable_install(source, tmp_path):
    target = tmp_path / "installed"
    command = [sys.executable, "-m", "pip", "install", "-e", str(source)]
    command += ["--no-deps", "--no-build-isolation", "--quiet"]
    subprocess.run([*command, "--target", str(target)], check=True)
    # Without this environment's own links to a checkout.
    program = (
        f"import site, sys; site.addsitedir({str(target)!r}); "
        f"sys.path += {site.getsitepackages()!r}\n"
    )
    run = subprocess.run(
        [sys.executable, "-S", "-c", program + LIST],
        check=True,
        cwd=tmp_path,
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
        capture_output=True,
        text=True,
    )
    assert run.stdout.strip() == str(source / "moe_keras" / "__init__.py")


# What building and training leave behind.
BUILT = {"build", "moe_keras.egg-info", "runs"}
SDIST = "from setuptools import build_meta; build_meta.build_sdist({!r})"


@pytest.mark.slow
def test_the_source_archive_is_the_repository(source, tmp_path):
    """Its tests run where it is unpacked: all of them, and what they read."""
    run = [sys.executable, "-c", SDIST.format(str(tmp_path))]
    subprocess.run(run, check=True, cwd=source, capture_output=True)
    (path,) = tmp_path.iterdir()
    with tarfile.open(path) as archive:
        found = {
            name.partition("/")[2]
            for name in archive.getnames()
            if archive.getmember(name).isfile()
        }
    made = {one for one in found if one.startswith("moe_keras.egg-info/")}
    expected = {
        str(one.relative_to(source))
        for one in source.rglob("*")
        if one.is_file() and not BUILT & {*one.relative_to(source).parts}
    }
    assert found - made == expected | {"PKG-INFO"}
    for name in (
        "tests/layers/test_contract.py",
        "tests/oracles.py",
        "docs/conf.py",
        "benchmarks/results/routing.json",
        "examples/digits.py",
        "zoo/risk/german_credit/recipe.yaml",
        "Makefile",
        ".gitignore",
    ):
        assert name in found
    # An unpacked archive says what it is, and finds its own files.
    with tarfile.open(path) as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    (root,) = (tmp_path / "unpacked").iterdir()
    chosen = ["tests/test_project_files.py", "tests/schema/test_infer.py"]
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", "0", *chosen],
        check=True,
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
    )


def test_the_source_archive_names_every_folder_of_the_repository():
    # What the file system has but git has not is no matter here.
    named = (ROOT / "MANIFEST.in").read_text()
    held = {path.name for path in ROOT.glob("*/") if any(path.glob("**/*.py"))}
    held -= {one for one in held if one.startswith(".") or one == "shared"}
    assert {f"graft {name}" for name in held - {"build"}} <= set(
        named.splitlines()
    )


def test_entry_point(wheel):
    assert read(wheel, "entry_points.txt").split() == [
        "[console_scripts]",
        *("moe-keras", "=", "moe_keras.cli:main"),
    ]


USE = """
import moe_keras, numpy as np
from moe_keras.zoo import build_image_moe
images = np.zeros((2, 28, 28, 1), "float32")
predicted = build_image_moe((28, 28, 1), 10).predict(images, verbose=0)
assert predicted.shape == (2, 10)
print(moe_keras.__file__)
"""


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_wheel_in_an_empty_environment(wheel, tmp_path):
    home = tmp_path / "environment"
    venv.create(home, with_pip=True)
    python = home / (
        "Scripts/python.exe" if sys.platform == "win32" else "bin/python"
    )
    pip = [python, "-m", "pip", "-q", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", wheel], check=True, cwd=tmp_path)
    run = subprocess.run(
        [python, "-c", USE],
        check=True,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert str(home) in run.stdout
    script = python.with_name("moe-keras")
    subprocess.run(
        [script, "--help"], check=True, cwd=tmp_path, capture_output=True
    )
