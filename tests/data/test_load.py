"""Data sets by name: what answers to which name, and with which options."""

import subprocess
import sys

import pytest

from moe_keras.data import Dataset, list_datasets, load_dataset
from moe_keras.data.dataset import TASKS
from moe_keras.data.load import EMBEDDED


def test_every_embedded_set_is_listed(tmp_path):
    assert list_datasets(tmp_path) == sorted(EMBEDDED)


@pytest.mark.parametrize("name", EMBEDDED)
def test_every_embedded_set_has_a_full_record(name):
    data = load_dataset(name)
    assert isinstance(data, Dataset)
    assert data.name == name
    assert data.task in TASKS
    for text in (data.licence, data.citation, data.source, data.description):
        assert text
    for split in (data.train, data.validation, data.test):
        assert set(split.labels) == set(range(len(data.classes)))
        if data.task == "tabular":
            columns = split.columns()
            assert list(columns) == [one.name for one in data.schema]
            for one in data.schema:
                found = columns[one.name].dtype.name
                assert one.dtype == {"object": "string"}.get(found, found)
        else:
            (one,) = data.schema
            assert split.inputs.shape == (len(split), *one.shape)


@pytest.mark.parametrize("name", ["", "nope", "tfds:", "csv:", "digits:1"])
def test_names_that_nothing_answers_to(name):
    with pytest.raises(ValueError, match="the name must be") as error:
        load_dataset(name)
    assert str(error.value).endswith(f"Received: name={name!r}")


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("digits", "size"),
        ("digits", "metadata"),
        ("synthetic_credit", "download"),
        ("tfds:mnist", "target"),
        ("csv:a.csv?target=y", "image_size"),
        ("csv:a.csv?goal=y", None),
    ],
)
def test_options_that_are_none(name, option):
    with pytest.raises(ValueError, match="no such option here") as error:
        load_dataset(name, **({option: 1} if option else {}))
    assert f"options=['{option or 'goal'}']" in str(error.value)


def test_a_file_by_its_name(tmp_path):
    (tmp_path / "my loans.csv").write_text(
        "id,day,amount,zip,risk\n"
        + "".join(f"{i},x,{i}.5,{i % 7},{'bg'[i % 2]}\n" for i in range(40))
    )
    data = load_dataset(
        "csv:my loans.csv?target=risk&positive=b&drop=id,day&text=zip",
        data_dir=tmp_path,
        validation_share=0.3,
    )
    assert list(data.train.inputs) == ["amount", "zip"]
    assert data.classes == ("g", "b")
    assert data.train.inputs["zip"].dtype == object
    assert data.name == "csv:my loans.csv"
    same = load_dataset(
        f"csv:{tmp_path / 'my loans.csv'}?target=risk&validation_share=0.3"
    )
    assert (same.validation_rows == data.validation_rows).all()
    with pytest.raises(ValueError, match="given twice"):
        load_dataset("csv:my loans.csv?target=risk&target=day")
    with pytest.raises(ValueError, match=r"options=\['target'\]"):
        load_dataset("csv:my loans.csv?target=risk", target="day")


def test_names_are_listed_without_any_backend_or_library_of_data():
    program = (
        "import sys\n"
        "heavy = ('tensorflow', 'keras', 'pandas', 'sklearn', 'pyarrow',\n"
        "         'tensorflow_datasets')\n"
        "sys.modules.update(dict.fromkeys(heavy))\n"
        "from moe_keras.data import list_datasets\n"
        "print(*list_datasets('/nowhere'))"
    )
    run = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
    )
    assert run.stdout.split() == sorted(EMBEDDED), run.stderr
