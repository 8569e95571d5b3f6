"""Texts to predictions: given ones, files of lines, from the command line."""

import json

import numpy as np
import pytest
import tensorflow as tf
from typer.testing import CliRunner

from moe_keras.cli import app
from moe_keras.layers import record_gates
from moe_keras.prediction import load_trained, predict_files, predict_texts
from moe_keras.zoo import load_preset, save_preset
from tests.prediction.tiny_texts import CLASSES, save_text_preset, text_model
from tests.tools import numpy_of, randomize
from tests.zoo.presets.tiny import METADATA, save_tiny, tiny_model
from tests.zoo.tiny_sentiment import NAMES, sentiment_model

runner = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"})
TEXTS = ["A good film!", "not bad", "", "bad [b]film[/b], n't good"]


def expect(model, texts):
    with record_gates() as record:
        outputs = numpy_of(model(tf.constant(texts), training=False))
    (gates,) = map(numpy_of, record.values())
    return outputs, gates


def probabilities(found):
    """P(negative), P(positive) of each prediction."""
    return [
        [{c.name: c.probability for c in one.classes}[name] for name in CLASSES]
        for one in found
    ]


@pytest.mark.parametrize("task", ["sentiment", "text"])
def test_texts_are_what_the_model_would_read(tmp_path, task):
    save_text_preset(tmp_path / "toy", task)
    model = load_preset(tmp_path / "toy").model
    outputs, gates = expect(model, TEXTS)
    found = predict_texts(tmp_path / "toy", TEXTS, batch_size=3)
    np.testing.assert_allclose(probabilities(found), outputs, atol=1e-6)
    assert [one.text for one in found] == TEXTS
    assert [one.row for one in found] == [0, 1, 2, 3]
    for one, row in zip(found, gates, strict=True):
        assert one.file is None
        assert [c.probability for c in one.classes] == sorted(
            (c.probability for c in one.classes), reverse=True
        )
        (expert,) = one.experts
        assert (expert.layer, expert.expert) == ("gate", str(row.argmax()))
        assert expert.share == pytest.approx(row.max() / row.sum(), rel=1e-5)


def test_one_output_is_the_probability_of_the_second_class(tmp_path):
    model = save_text_preset(tmp_path / "toy", units=1)
    outputs, _ = expect(load_preset(tmp_path / "toy").model, TEXTS)
    assert outputs.shape == (4, 1)
    found = predict_texts(tmp_path / "toy", TEXTS)
    expected = np.concatenate([1 - outputs, outputs], axis=1)
    np.testing.assert_allclose(probabilities(found), expected, atol=1e-6)
    # Without a preset the classes are numbers, two all the same.
    assert {c.name for c in predict_texts(model, ["a"])[0].classes} == {
        "0",
        "1",
    }
    with pytest.raises(ValueError, match="one name for each of the 2 classes"):
        predict_texts(model, ["a"], classes=["positive"])


def test_a_file_has_a_text_on_each_line(tmp_path):
    model = text_model()
    lines = "\ufeffA good film!\r\n\r\n  \nbad\u2028film\x0b a\nnot\x00 good"
    path = tmp_path / "reviews.TXT"
    path.write_bytes(lines.encode())
    found = predict_files(model, [path, path], batch_size=2)
    texts = ["A good film!", "bad\u2028film\x0b a", "not\x00 good"]
    assert [one.text for one in found] == texts * 2
    assert [one.row for one in found] == [1, 4, 5] * 2
    assert {one.file for one in found} == {str(path)}
    outputs, _ = expect(model, texts)
    scores = [one.classes[0].probability for one in found]
    np.testing.assert_allclose(scores[:3], outputs.max(axis=1), atol=1e-6)
    (tmp_path / "empty.txt").write_text("\n\n")
    assert predict_files(model, [tmp_path / "empty.txt"]) == []


def test_texts_of_rank_two_and_of_odd_characters():
    model = text_model(shape=(1,))
    texts = ["good\x00", "good", "\udcff good", "a" * 300_000, "\u202e"]
    found = predict_texts(model, texts)
    outputs, _ = expect(model, [["good"]])
    for one in found[:3]:
        assert one.classes[0].probability == pytest.approx(
            outputs.max(), abs=1e-6
        )
    assert found[2].text == "\ufffd good"
    assert predict_texts(model, []) == []


def test_models_without_a_preset(tmp_path):
    text_model().save(tmp_path / "model.keras")
    trained = load_trained(tmp_path)
    assert (trained.task, trained.classes) == ("text", ("0", "1"))
    (one,) = predict_texts(trained, ["good"], top=1)
    assert len(one.classes) == 1


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ("good", "must be a sequence of str.*'good'"),
        ([b"good"], "must be a sequence of str.*b'good'"),
        (["good", None], "must be a sequence of str.*None"),
    ],
)
def test_what_is_no_text_is_refused(texts, message):
    with pytest.raises(ValueError, match=f"predict_texts: .*{message}"):
        predict_texts(text_model(), texts)


def test_a_model_that_reads_no_texts_is_refused():
    with pytest.raises(ValueError, match=r"reads texts.*task='image'"):
        predict_texts(tiny_model(), ["good"])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"caf\xe9", "cannot be read as UTF-8 text"),
        ("a.png", b"", r"must end in \.txt"),
    ],
)
def test_a_file_that_is_none_is_named(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message) as error:
        predict_files(text_model(), [tmp_path / name])
    assert str(tmp_path / name) in str(error.value)


# --- from the command line ---


@pytest.fixture
def folder(tmp_path, monkeypatch):
    save_text_preset(tmp_path / "toy")
    (tmp_path / "reviews.txt").write_text("\na good film\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments, code=0):
    result = runner.invoke(app, ["predict", *arguments])
    assert result.exit_code == code, result.output
    return result.output


def test_the_command_takes_texts_and_files(folder):
    given = [f"--text={text}" for text in TEXTS]
    text = run(str(folder / "toy"), "reviews.txt", *given)
    assert "reviews.txt [2]" in text
    for one in TEXTS:
        assert f'"{one}"' in text
    assert "gate: " in text
    assert "positive" in text


def test_the_command_writes_texts(folder):
    given = ("--text", "not\nbad" + " a" * 50)
    found = json.loads(run(str(folder / "toy"), *given, "--json"))
    (one,) = found["predictions"]
    assert (one["file"], one["row"], one["text"]) == (None, 0, given[1])
    assert '"not bad a a' in run(str(folder / "toy"), *given)
    assert "a…" in run(str(folder / "toy"), *given)
    run(str(folder / "toy"), *given, "--out", "out.csv")
    head = (folder / "out.csv").read_text().splitlines()[0]
    assert head.startswith("file,row,text,class_1,")


def test_the_command_refuses_texts_for_images(folder):
    save_tiny(folder / "images")
    text = run(str(folder / "images"), "--text", "good", code=2)
    assert "error: predict_texts: the model must be one that reads" in text


def test_the_command_names_the_expert_that_decided(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = sentiment_model(top_k=2)
    randomize(model.get_layer("moe").gate, scale=5)
    values = {**METADATA, "task": "sentiment", "classes": CLASSES}
    save_preset(model, tmp_path / "toy", values)
    lines = ["The plot was dull.", "A moving film!"]
    (tmp_path / "reviews.txt").write_text("\n".join(lines))
    texts = ["not funny", ""]
    given = [f"--text={text}" for text in texts]
    shown = run("toy", "reviews.txt", *given)
    # The weights as the preset holds them, in half precision.
    outputs, gates = expect(load_preset(tmp_path / "toy").model, lines + texts)
    best = [NAMES[expert] for expert in gates.argmax(axis=1)]
    assert len(set(best)) > 1
    starts = ["reviews.txt [1]", "reviews.txt [2]", '"not funny"', '""']
    for start, row, weights, name in zip(
        starts, outputs, gates, best, strict=True
    ):
        (line,) = (one for one in shown.splitlines() if start in one)
        assert f" {CLASSES[row.argmax()]} " in line
        assert f" {100 * row.max():.1f} % " in line
        assert f"gating: {name} ({100 * weights.max():.1f} %)" in line
