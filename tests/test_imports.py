"""Who may import whom, read from the source."""

import ast
import functools
import os
import subprocess
import sys
from pathlib import Path

import moe_keras

ROOT = Path(moe_keras.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
BACKENDS = {"tensorflow", "jax", "torch"}

# Low to high. Folders of one rank do not import each other.
RANKS = [
    {"errors", "quiet", "saved_names", "still_busy", "_version"},
    {"asking", "storage"},
    {"one_writer"},
    {"ops.kernels"},
    {"ops"},
    {"forests", "tables"},
    {"layers", "losses"},
    {"schema"},
    {"zoo"},
    {"data"},
    {"training"},
    {"lifecycle", "insight", "export"},
    {"estimators", "runner"},
    {"search", "prediction"},
    {"cards"},
    {"demo"},
    {"cli_options"},
    {"cli_presets", "cli_cards", "cli_tune"},
    {"cli"},
    {"__main__"},
]
STAGES = {"layers.gating", "layers.experts", "layers.fusion"}
LONGEST = 500


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


@functools.cache
def imports_of(path, at_import_time=False):
    """Absolute names of the modules that a file imports."""
    return list(_find_imports(path, at_import_time))


def _find_imports(path, at_import_time):
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


def modules():
    """The files, and by what name each is imported; not the package itself."""
    return [(path, module_name(path)) for path in FILES if module_name(path)]


def test_imports_go_down_the_ranks():
    upwards = []
    for path, module in modules():
        name, rank = place_of(module)
        for imported in inner_imports(path):
            other, below = place_of(imported)
            if other != name and below >= rank:
                upwards.append(f"{module} imports {imported}")
    assert not upwards


def test_stages_do_not_import_each_other():
    sideways = []
    for path, module in modules():
        for stage in STAGES:
            if module.startswith(stage + "."):
                sideways += [
                    f"{module} imports {imported}"
                    for imported in inner_imports(path)
                    if any(imported.startswith(s) for s in STAGES - {stage})
                ]
    assert not sideways


def test_backends_are_imported_where_they_belong():
    _, zoo = place_of("zoo")
    misplaced = []
    for path, module in modules():
        if module.startswith("ops.kernels") or place_of(module)[1] >= zoo:
            continue
        outside = {name.split(".")[0] for name in imports_of(path, True)}
        misplaced += [f"{module} imports {b}" for b in outside & BACKENDS]
    assert not misplaced


def test_no_file_is_long():
    lines = {
        str(path): len(path.read_text(encoding="utf-8").splitlines())
        for path in FILES
    }
    assert {path: n for path, n in lines.items() if n > LONGEST} == {}


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
