"""One table as frame, dict, CSV and Parquet: one model, one answer.

What was a level, a number, a boolean or a name in training is the same one in
service, whichever container it comes in.
"""

import numpy as np
import pandas as pd
import pytest

from moe_keras.data import infer_table_schema, load_table
from moe_keras.prediction import score_table
from moe_keras.schema import infer_schema
from moe_keras.zoo import build_risk_moe
from tests.tools import only_tensorflow

ROWS = 48
RNG = np.random.default_rng(0)
FRAME = pd.DataFrame(
    {
        " amount": RNG.integers(-400, 4000, ROWS) / 4,
        "mark": RNG.choice(["NA", "?", "N/A", "own"], ROWS),
        "none": RNG.choice(["None", "null", "x"], ROWS),
        "flag": RNG.choice([True, False], ROWS),
        "blank": RNG.choice([" a", "b ", "c"], ROWS),
        "code": RNG.choice(["01", "02", "10"], ROWS),
        "band": pd.cut(RNG.normal(size=ROWS), 3),
        "grade": RNG.integers(1, 4, ROWS),
        "y": np.resize(["good", "bad"], ROWS),
    }
)
FRAME.loc[3::9, " amount"] = np.nan
FRAME.loc[5::11, "mark"] = None


def as_dict(frame):
    return {name: frame[name].to_numpy() for name in frame}


def write(frame, folder, ending, **options):
    path = folder / f"t.{ending}"
    plain = frame.assign(band=frame["band"].astype(str))
    if ending == "csv":
        plain.to_csv(path, index=False, **options)
    else:
        plain.to_parquet(path)
    return path


@pytest.fixture(scope="module")
def schema():
    found = infer_schema(FRAME, "y", "bad")
    # Else a test of levels would show nothing.
    levels = {one.name: one.levels for one in found.categorical}
    assert levels["mark"] == ["?", "N/A", "NA", "own"]
    assert levels["flag"] == [0, 1]
    assert levels["blank"] == ["a", "b", "c"]
    return found


@pytest.fixture(scope="module")
def model(schema):
    made = build_risk_moe(schema, FRAME, experts={"linear": 2})
    for weight in made.trainable_weights:
        weight.assign(weight + 0.3 * RNG.normal(size=weight.shape))
    return made


WRITTEN = {"sep": ";", "decimal": ",", "encoding": "utf-8-sig"}


@only_tensorflow
@pytest.mark.parametrize(
    ("ending", "options"),
    [
        ("csv", {}),
        pytest.param("csv", WRITTEN, marks=pytest.mark.slow),
        pytest.param("parquet", {}, marks=pytest.mark.slow),
    ],
)
def test_scores_are_those_of_the_frame(
    model, schema, tmp_path, ending, options
):
    said = np.array(model(schema.check(FRAME)))
    assert np.ptp(said[:, 1]) > 0.1
    path = write(FRAME, tmp_path, ending, **options)
    reading = {"decimal": ","} if options else {}
    done = score_table(model, path, tmp_path / "out.csv", **reading)
    found = pd.read_csv(tmp_path / "out.csv")[["p_0", "p_1"]]
    np.testing.assert_allclose(found, said, atol=1e-6)
    assert done.unseen == {}


def same(first, second):
    assert list(first) == list(second)
    for name, values in first.items():
        np.testing.assert_array_equal(values, second[name], err_msg=name)


def test_all_containers_check_as_the_frame(schema, tmp_path):
    expected = schema.check(FRAME)
    same(schema.check(as_dict(FRAME)), expected)
    same(schema.check(FRAME.astype({"mark": "category"})), expected)
    path = write(FRAME, tmp_path, "csv")
    # As texts throughout, as pandas reads them of itself, and from Parquet.
    texts = pd.read_csv(path, dtype=str, keep_default_na=False)
    same(schema.check(texts), expected)
    typed = pd.read_csv(path, dtype={"code": str})
    lost = expected | schema.check(
        typed.assign(mark=FRAME["mark"], none=FRAME["none"])
    )
    same(lost, expected)
    same(
        schema.check(pd.read_parquet(write(FRAME, tmp_path, "parquet"))),
        expected,
    )
    labels = schema.labels(FRAME)
    np.testing.assert_array_equal(schema.labels(texts), labels)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_what_a_file_taught_holds_for_frames(ending, tmp_path):
    """`check` takes what pandas makes of the same file."""
    path = write(FRAME.assign(y=FRAME["y"] == "bad"), tmp_path, ending)
    schema = infer_table_schema(path, "y", True, text=["code"])
    data = load_table(path, "y", True, text=["code"]).whole_train()
    expected = schema.check(data.columns())
    read = pd.read_csv if ending == "csv" else pd.read_parquet
    # Numbers of codes, and booleans, where the file had texts.
    frame = read(path)
    same(schema.check(frame), expected)
    np.testing.assert_array_equal(schema.labels(frame), data.labels)
    assert expected["code"][:3].tolist() == FRAME["code"][:3].tolist()


def test_schemas_of_containers_agree(tmp_path):
    plain = FRAME[[" amount", "flag", "blank", "grade", "y"]]
    expected = infer_schema(plain, "y", "bad")
    assert infer_schema(as_dict(plain), "y", "bad") == expected
    for ending in ("csv", "parquet"):
        path = tmp_path / f"t.{ending}"
        if ending == "csv":
            plain.to_csv(path, index=False)
        else:
            plain.to_parquet(path)
        found = infer_table_schema(path, "y", "bad")
        assert found.categorical == expected.categorical
        assert [one.name.strip() for one in found.numeric] == ["amount"]


@pytest.mark.parametrize("levels", [["False", "True"], [0, 1]])
def test_booleans_are_the_levels_that_say_so(levels):
    """A schema of today or of an older version, and every writing of them."""
    frame = pd.DataFrame({"flag": FRAME["flag"], "y": FRAME["y"]})
    texts = frame.assign(flag=frame["flag"].map({True: "True", False: "False"}))
    schema = infer_schema(texts if levels[0] else frame, "y", "bad")
    schema = schema.model_copy(
        update={
            "categorical": [
                schema.categorical[0].model_copy(update={"levels": levels})
            ]
        }
    )
    expected = schema.check(texts)["flag"]
    assert set(expected) == set(levels)
    for flag in (
        frame["flag"],
        frame["flag"].astype("boolean"),
        frame["flag"].astype(object),
        frame["flag"].astype(float),
        texts["flag"].str.upper(),
    ):
        found = schema.check(frame.assign(flag=flag))["flag"]
        np.testing.assert_array_equal(found, expected)


def test_names_are_found_with_blanks_around_them():
    schema = infer_schema({"a b": [1.5, 2, 3.5], "y": [0, 1, 0]}, "y")
    for name in (" a b", "a b ", "\ufeffa b"):
        assert schema.check({name: [1.0]})["a b"].tolist() == [1]
    with pytest.raises(ValueError, match="a column is missing"):
        schema.check({" a b": [1.0], "a b ": [2.0]})
    exact = schema.check({" a b": [1.0], "a b": [2.0]})
    assert exact["a b"].tolist() == [2]
    composed = infer_schema({"\u00e4": [1.5, 2, 3.5], "y": [0, 1, 0]}, "y")
    assert composed.check({"a\u0308": [1.0]})["\u00e4"].tolist() == [1]
