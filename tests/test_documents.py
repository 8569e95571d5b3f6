"""What the documents show is run: code blocks, examples and links."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import keras
import pytest

ROOT = Path(__file__).resolve().parents[1]
CODE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FENCED = re.compile(r"^(```+).*?^\1$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")

PAGES = [
    ROOT / "README.md",
    *(
        p
        for p in sorted((ROOT / "docs").rglob("*.md"))
        if "_build" not in p.parts
    ),
]
DOCUMENTS = [
    *PAGES,
    *sorted(set(ROOT.glob("*.md")) - set(PAGES)),
    *sorted((ROOT / "zoo").rglob("*.md")),
]
WITH_CODE = [page for page in PAGES if CODE.search(page.read_text())]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
LOGGED = ROOT / "examples" / "sentiment.py"

on_tensorflow = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow",
    reason="the documents run on TensorFlow",
)


def name(path):
    return str(path.relative_to(ROOT))


@on_tensorflow
@pytest.mark.parametrize("page", WITH_CODE, ids=name)
def test_code_blocks_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    keras.utils.set_random_seed(0)
    text = page.read_text()
    namespace = {"__name__": "__page__"}
    for block in CODE.finditer(text):
        # Empty lines in front, so that a traceback names the page's own line.
        before = "\n" * text.count("\n", 0, block.start(1))
        exec(compile(before + block[1], name(page), "exec"), namespace)


def run_example(example, folder):
    """What it printed."""
    environment = {
        **os.environ,
        "QUICK": "1",
        "MPLBACKEND": "Agg",
        "TF_CPP_MIN_LOG_LEVEL": "2",
    }
    run = subprocess.run(
        [sys.executable, str(example)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-4000:]
    return run.stdout


def events(folder):
    """Of each scalar that TensorBoard shows, the values by step."""
    import tensorflow as tf

    found = {}
    for file in folder.glob("events.out.*"):
        for record in tf.data.TFRecordDataset(str(file)):
            event = tf.compat.v1.Event.FromString(record.numpy())
            for value in event.summary.value:
                if value.metadata.plugin_data.plugin_name == "scalars":
                    number = float(tf.make_ndarray(value.tensor))
                    found.setdefault(value.tag, {})[event.step] = number
    return found


@on_tensorflow
@pytest.mark.parametrize(
    "example", [e for e in EXAMPLES if e != LOGGED], ids=name
)
def test_example_runs(example, tmp_path):
    run_example(example, tmp_path)


@pytest.mark.slow
@on_tensorflow
@pytest.mark.skipif(
    importlib.util.find_spec("tensorboard") is None,
    reason="Keras' callback needs the package tensorboard",
)
def test_an_example_logs_the_scores_of_all_splits(tmp_path):
    printed = run_example(LOGGED, tmp_path)
    names = {"loss", "accuracy"}
    train, validation, test = (
        {
            key: events(tmp_path / "logs" / split)[f"epoch_{key}"]
            for key in names
        }
        for split in ("train", "validation", "test")
    )
    assert set(train["loss"]) == set(train["accuracy"]) == {0, 1}
    for epoch in (0, 1):
        shown = (
            f"accuracy: {train['accuracy'][epoch]:.4f} "
            f"- loss: {train['loss'][epoch]:.4f} "
            f"- val_accuracy: {validation['accuracy'][epoch]:.4f} "
            f"- val_loss: {validation['loss'][epoch]:.4f}"
        )
        assert shown in printed
    (accuracy,), (loss,) = (test[key].values() for key in ("accuracy", "loss"))
    behind = printed.split("temperature")[1]
    assert f"accuracy: {accuracy:.4f} - loss: {loss:.4f}\n" in behind
    assert printed.count(" decides ") == 3


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_relative_links_resolve(document):
    text = FENCED.sub("", document.read_text())
    targets = (
        target.split("#")[0]
        for target in LINK.findall(text)
        if ":" not in target
    )
    missing = [t for t in targets if t and not (document.parent / t).exists()]
    assert not missing


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_code_blocks_are_closed(document):
    fences = re.findall(r"^```", document.read_text(), re.MULTILINE)
    assert len(fences) % 2 == 0
