"""Where the zoo is: in the wheel, beside a checkout, nowhere."""

import importlib.resources

import pytest

from moe_keras.zoo.presets.packaged import (
    find_packaged,
    packaged_folders,
    zoo_root,
)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """The folder of an installed package without a zoo."""
    folder = tmp_path / "site" / "moe_keras"
    folder.mkdir(parents=True)
    monkeypatch.setattr(importlib.resources, "files", lambda name: folder)
    return folder


def put_preset(root, handle):
    (root / handle).mkdir(parents=True)
    (root / handle / "preset.json").write_text("{}")


def test_this_checkout_has_its_zoo_beside_the_package():
    root = zoo_root()
    assert (root / "README.md").is_file()
    assert (root.parent / "moe_keras").is_dir()


def test_a_wheel_has_it_inside(package):
    put_preset(package / "_presets", "image/one")
    put_preset(package.parent / "zoo", "image/of_another_project")
    assert zoo_root() == package / "_presets"
    assert [folder.name for folder in packaged_folders()] == ["one"]


def test_a_folder_beside_an_installed_package_is_anothers(package):
    put_preset(package.parent / "zoo", "image/of_another_project")
    assert zoo_root() is None
    assert list(packaged_folders()) == []
    assert find_packaged("image/of_another_project") is None


def test_a_checkout_has_it_beside(package):
    put_preset(package.parent / "zoo", "image/one")
    (package.parent / "setup.cfg").write_text("")
    assert find_packaged("image/one") == package.parent / "zoo/image/one"


def test_presets_come_by_task_and_name_and_other_folders_do_not(package):
    root = package / "_presets"
    for handle in ("text/b", "image/b", "image/a"):
        put_preset(root, handle)
    (root / "image" / "unfinished").mkdir()
    (root / "README.md").write_text("")
    names = [str(folder.relative_to(root)) for folder in packaged_folders()]
    assert names == ["image/a", "image/b", "text/b"]
    assert find_packaged("image/unfinished") is None
