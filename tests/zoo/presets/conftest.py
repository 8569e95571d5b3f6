import pytest

from moe_keras.zoo.presets import packaged
from tests.zoo.presets.tiny import save_tiny


@pytest.fixture
def zoo(tmp_path, monkeypatch):
    """A zoo with one preset, in the place of the real one."""
    root = tmp_path / "zoo"
    model, info = save_tiny(root / "image" / "toy_moe")
    monkeypatch.setattr(packaged, "zoo_root", lambda: root)
    return root, model, info
