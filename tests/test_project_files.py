"""The files of the project agree with each other, and with its code."""

import os
import re
import shutil
import subprocess

import pytest

from moe_keras import __version__
from tests.project import ROOT, lines, requirements, setup_cfg

# setuptools drops what it does not know, without a word.
KNOWN_KEYS = {
    "metadata": {
        *(
            "name",
            "version",
            "url",
            "download_url",
            "project_urls",
            "author",
            "author_email",
        ),
        *(
            "maintainer",
            "maintainer_email",
            "classifiers",
            "license",
            "license_files",
        ),
        *(
            "description",
            "long_description",
            "long_description_content_type",
            "keywords",
        ),
        *("platforms", "provides", "requires", "obsoletes"),
    },
    "options": {
        *(
            "zip_safe",
            "setup_requires",
            "install_requires",
            "python_requires",
            "entry_points",
        ),
        *(
            "scripts",
            "eager_resources",
            "include_package_data",
            "packages",
            "package_dir",
        ),
        *("py_modules", "ext_modules", "data_files"),
    },
}


# Their keys are names of extras, packages or groups; the last one is what
# setuptools adds to the file in a source archive.
FREE_SECTIONS = {
    "egg_info",
    *(
        "options.extras_require",
        "options.package_data",
        "options.exclude_package_data",
    ),
    *("options.entry_points", "options.data_files"),
}


def test_setup_cfg_lists_every_package():
    folders = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for path in (ROOT / "moe_keras").rglob("__init__.py")
    }
    listed = lines(setup_cfg()["options"]["packages"])
    assert set(listed) == folders | {"moe_keras._presets"}
    assert listed == sorted(listed)


def test_setup_cfg_has_no_unknown_key():
    config = setup_cfg()
    assert set(config.sections()) <= set(KNOWN_KEYS) | FREE_SECTIONS
    for section, known in KNOWN_KEYS.items():
        assert set(config[section]) <= known, section


def test_versions_agree():
    citation = (ROOT / "CITATION.cff").read_text()
    changes = (ROOT / "CHANGELOG.md").read_text()
    assert re.findall(r"^version: (.+)$", citation, re.M) == [__version__]
    assert re.search(r"^## \[(\d.+?)\] - ", changes, re.M)[1] == __version__


def test_versions_of_the_linter_agree():
    pinned = requirements(setup_cfg()["options.extras_require"]["lint"])["ruff"]
    hooks = (ROOT / ".pre-commit-config.yaml").read_text()
    revision = re.search(r"ruff-pre-commit\n +rev: v(.+)\n", hooks)
    assert str(pinned) == f"=={revision[1]}"


# Says what it is asked, and that no test was selected where JAX asks.
PYTEST = """#!/bin/sh
echo "${KERAS_BACKEND:-tensorflow} $*" >> asked.txt
[ "$KERAS_BACKEND" = jax ] && exit $ON_JAX
exit $ELSE
"""


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
@pytest.mark.parametrize(
    ("target", "on_jax", "otherwise", "code", "asked"),
    [
        ("test", 5, 0, 0, ["jax", "tensorflow"]),
        ("test", 0, 0, 0, ["jax", "tensorflow"]),
        ("test", 1, 0, 2, ["jax"]),
        ("test", 4, 0, 2, ["jax"]),
        ("test", 5, 5, 2, ["jax", "tensorflow"]),
        ("quick", 0, 0, 0, ["tensorflow"]),
        ("quick", 0, 5, 2, ["tensorflow"]),
    ],
)
def test_make_goes_on_where_one_backend_has_no_such_test(
    target, on_jax, otherwise, code, asked, tmp_path
):
    for name in ("Makefile", "setup.cfg", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(PYTEST)
    python.chmod(0o755)
    for stamp in ("venv", "run", "test"):
        (tmp_path / ".venv" / f".stamp-{stamp}").touch()
    done = subprocess.run(
        ["make", target, "ARGS=tests/data"],
        cwd=tmp_path,
        env={
            "PATH": os.environ["PATH"],
            "ON_JAX": str(on_jax),
            "ELSE": str(otherwise),
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == code, done.stdout + done.stderr
    lines = (tmp_path / "asked.txt").read_text().splitlines()
    assert [line.split()[0] for line in lines] == asked
    assert all(line.endswith("tests/data") for line in lines)
    assert target != "quick" or "-n 0" in lines[0]


def test_no_page_has_a_name_that_sphinx_takes():
    # It writes pages of its own to these, over ours.
    taken = {"search", "genindex", "modindex", "py-modindex", "objects"}
    assert not taken & {page.stem for page in (ROOT / "docs").glob("*.md")}
    assert "\ntuning\n" in (ROOT / "docs" / "index.md").read_text()
