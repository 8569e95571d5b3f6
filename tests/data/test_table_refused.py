"""Tables in files: what is refused, with its place in the file."""

import pytest

from moe_keras.data import load_table

HEADER = "amount,housing,risk\n"
ROWS = "1,own,bad\n2,rent,good\n3,,good\n"


@pytest.fixture
def put(tmp_path):
    def write(text):
        path = tmp_path / "loans.csv"
        path.write_text(text)
        return path

    return write


REFUSED = {
    "the file is empty": ("", {}, ""),
    "no row but the header": (HEADER, {}, ""),
    "the file has no header": ("\n\n", {}, ""),
    "every column but the first one needs a name: give it one": (
        "a,,risk\n1,2,x\n",
        {},
        ", column=2",
    ),
    "columns 1 and 3 have one name": ("a,b,a,risk\n", {}, ", column='a'"),
    "no such column; there are ['a', 'risk']": (
        "a,risk\n1,x\n",
        {"target": "Risk"},
        ", column='Risk'",
    ),
    "a row has 2 cells, the header 3": (
        HEADER + "1,own,x\n2,y\n",
        {},
        ", line=3",
    ),
    "a row has 4 cells, the header 3": (HEADER + "1,own,x,\n", {}, ", line=2"),
    "the target has one class only, 'x'": (
        HEADER + "1,own,x\n2,rent,x\n",
        {},
        ", column='risk'",
    ),
    "a value is missing": (
        HEADER + '1,"o\nwn",x\n2,rent,NA\n',
        {},
        ", column='risk', row='2 (line 4)'",
    ),
    "a number belongs where 'much' stands": (
        HEADER + "1,own,x\nmuch,rent,y\n",
        {"numeric": ["amount"]},
        ", column='amount', row='2 (line 3)'",
    ),
    "numbers must be finite": (
        HEADER + "1,own,x\n-inf,rent,y\n",
        {},
        ", column='amount', row='2 (line 3)'",
    ),
    "these numbers have a decimal comma": (
        "amount;risk\n1,5;x\n2;y\n",
        {},
        ", columns=['amount']",
    ),
    "the target has fractions": (
        "a,risk\n1,0.5\n2,1\n",
        {},
        ", column='risk'",
    ),
    "the target has more than 1000 different values": (
        "a,risk\n" + "".join(f"1,{i}\n" for i in range(1001)),
        {},
        ", column='risk'",
    ),
    "not readable as CSV in utf-8-sig": (
        HEADER + '1,own,x\n1,"own,x\n1,own,y\n',
        {},
        ", line=3",
    ),
}


@pytest.mark.parametrize("rule", REFUSED)
def test_what_is_refused(put, rule):
    text, options, place = REFUSED[rule]
    path = put(text)
    with pytest.raises(ValueError, match=r"^load_table: ") as error:
        load_table(path, **{"target": "risk", **options})
    message = str(error.value)
    assert rule in message
    assert message.endswith(f"Received: path={str(path)!r}{place}")


def test_no_such_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no such file: .*absent"):
        load_table(tmp_path / "absent.csv", "y")


def test_arguments_that_cannot_be(put):
    path = put(HEADER + ROWS)
    for options, rule in (
        ({"decimal": ";"}, "`decimal` must be a point or a comma"),
        (
            {"numeric": ["amount"], "text": ["amount"]},
            "columns are in `numeric` and `text`",
        ),
        ({"drop": ["nope"]}, "no such column"),
        ({"id_column": "nope"}, "no such column"),
        ({"positive": "worse"}, "`positive` must be one of two classes"),
    ):
        with pytest.raises(ValueError, match=rule):
            load_table(path, "risk", **options)
