"""Every test that the page on known mistakes names is there."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_named_tests_exist():
    page = (ROOT / "docs" / "known_mistakes.md").read_text()
    named = set(re.findall(r"`(test_\w+)`", page))
    assert len(named) > 20
    found = {
        node.name
        for path in (ROOT / "tests").rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef)
    }
    assert named <= found, named - found
