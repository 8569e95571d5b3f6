"""The files of the project agree with each other, and with its code."""

import re

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


# Their keys are names of extras, packages or groups.
FREE_SECTIONS = {
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
