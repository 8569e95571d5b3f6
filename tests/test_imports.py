"""Who may import whom, read from the source."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import moe_keras

ROOT = Path(moe_keras.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
BACKENDS = {"tensorflow", "jax", "torch"}

# Low to high. Folders of one rank do not import each other.
RANKS = [
    {"errors", "quiet", "_version"},
    {"ops.kernels"},
    {"ops"},
    {"forests"},
    {"layers", "losses"},
    {"schema"},
    {"zoo"},
    {"data"},
    {"training"},
    {"lifecycle", "insight", "export"},
    {"runner"},
    {"search", "prediction"},
    {"cards"},
    {"demo"},
    {"cli_options"},
    {"cli_presets", "cli_cards"},
    {"cli"},
    {"__main__"},
]
STAGES = {"layers.gating", "layers.experts", "layers.fusion"}
LONGEST = 300


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def place_of(module):
    """The folder, or file, whose rank counts, and that rank."""
    found = [
        (len(name), name, rank)
        for rank, names in enumerate(RANKS)
        for name in names
        if module == name or module.startswith(name + ".")
    ]
    assert found, f"moe_keras.{module} has no rank"
    _, name, rank = max(found)
    return name, rank


def imports_of(path, at_import_time=False):
    """Absolute names of the modules that a file imports."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = ast.walk(tree)
    if at_import_time:
        nodes = _outside_functions(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if _is_module(full) else node.module


def _outside_functions(node):
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield child
            yield from _outside_functions(child)


def _is_module(name):
    path = ROOT.parent.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").exists()


def inner_imports(path):
    for name in imports_of(path):
        if name.startswith("moe_keras."):
            yield name.removeprefix("moe_keras.")


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_imports_go_down_the_ranks(path):
    module = module_name(path)
    if not module:
        return  # the package itself, which may show what is in it
    name, rank = place_of(module)
    for imported in inner_imports(path):
        other, below = place_of(imported)
        assert other == name or below < rank, f"{module} imports {imported}"


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_stages_do_not_import_each_other(path):
    module = module_name(path)
    stage = {s for s in STAGES if module.startswith(s + ".")}
    for imported in inner_imports(path):
        if stage:
            others = STAGES - stage
            assert not any(imported.startswith(s) for s in others), imported


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_backends_are_imported_where_they_belong(path):
    module = module_name(path)
    if not module or module.startswith("ops.kernels"):
        return
    _, rank = place_of(module)
    _, zoo = place_of("zoo")
    if rank < zoo:
        outside = {name.split(".")[0] for name in imports_of(path, True)}
        assert not outside & BACKENDS


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_no_file_is_long(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= LONGEST


def test_layers_import_without_a_network():
    program = (
        "import socket\n"
        "def refuse(*args, **kwargs):\n"
        "    raise OSError('no network in this test')\n"
        "socket.socket.connect = refuse\n"
        "socket.create_connection = refuse\n"
        "socket.getaddrinfo = refuse\n"
        "import moe_keras.layers\n"
        "print(moe_keras.__version__)\n"
    )
    finished = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(ROOT.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.strip() == moe_keras.__version__


def test_every_public_name_of_layers_is_exported():
    import moe_keras.layers

    for name in ("DenseExpert", "GatingLayer", "MixtureOfExperts"):
        assert hasattr(moe_keras.layers, name)
