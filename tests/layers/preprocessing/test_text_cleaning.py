"""Cleaning of texts: the table, hostile texts, where it runs."""

import sys
import time
import unicodedata

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moe_keras.layers import TextCleaning
from tests import oracles_cleaning
from tests.contract import check_signature
from tests.tools import BACKEND, only_tensorflow

MODES = ("drop", "keep")


def run(texts, **options):
    return list(TextCleaning(**options)(texts).numpy())


def expect(texts, **options):
    return [oracles_cleaning.clean(one, **options).encode() for one in texts]


def check(texts, **options):
    """The layer is the oracle, and its result is UTF-8 with single spaces."""
    found = run(texts, **options)
    assert found == expect(texts, **options)
    for text in found:
        assert text.decode() == " ".join(text.decode().split(" "))
        assert text == text.strip(b" ")
        assert b"  " not in text
    return found


@only_tensorflow
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        (" \t\r\n ", ""),
        ("A Good FILM", "a good film"),
        # Accents.
        ("Amélie, Žižek, ÅÉÎÕÜ", "amelie zizek aeiou"),
        ("Ame\u0301lie", "amelie"),
        ("İstanbul ISPARTA \u0131", "istanbul isparta \u0131"),
        ("ΟΔΟΣ", "οδοσ"),
        ("straße", "straße"),
        ("ệ ﬁ ²", "ệ ﬁ ²"),
        # Spaces, and what nobody sees.
        ("a\u00a0b\u2009c\u3000d\u2028e", "a b c d e"),
        ("wo\u200brd so\u00adft \ufeffbom wo\x00rd", "word soft bom word"),
        ("\u202eabc\u202c", "abc"),
        # Quotes, dashes, dots, full width.
        (
            "“fine” «film» \u2018so\u2019 \u2013 well—made…",
            "fine film so well made",
        ),
        (
            "\uff11\uff10\uff0f\uff11\uff10 \uff27\uff2f\uff2f\uff24\uff01",
            "10 10 good !",
        ),
        ("film\x96it\x85 isn\x92t", "film it is n't"),
        # Markup.
        ("one<br /><br />two</P>three<i class='x'>four", "one two three four"),
        ("I <3 this, 1 < 2 > 0", "i 3 this 1 2 0"),
        ("a&nbsp;b &#8230; &#x2026;c", "a b c"),
        ("isn&#39;t isn&apos;t isn&#x27;t", "is n't is n't is n't"),
        ("Tom &amp; Jerry &amp;lt;", "tom jerry lt"),
        # Short forms.
        ("don't can\u2019t won`t cannot", "do n't ca n't wo n't cannot"),
        (
            "It's they're I'll we'd I'm you've",
            "it 's they 're i 'll we 'd i 'm you 've",
        ),
        ("shouldn't've", "should n't 've"),
        (
            "the 'best' O'Brien dogs' rock'n'roll",
            "the best o brien dogs rock n roll",
        ),
        ('"Titanic"\'s', "titanic 's"),
        # Marks.
        ("what?!?!", "what ? ! ? !"),
        ("wow!!! really?? … ؟ ‼", "wow ! really ? ? !"),
        ("_great_ (10/10); 7.5 50%", "great 10 10 7 5 50"),
        # Other scripts.
        ("我喜欢电影", "我 喜 欢 电 影"),
        ("ありがとう", "あ り が と う"),
        ("한국 영화", "한국 영화"),
        ("שלום עולם", "שלום עולם"),
        ("فيلم جيد؟", "فيلم جيد ?"),
        ("अच्छी फ़िल्म।", "अच्छी फ़िल्म"),
        ("nice😀😀👍🏽", "nice 😀 😀 👍 🏽"),
        ("👩‍👩‍👧 ❤️", "👩 👩 👧 ❤"),
        ("?!.,;:-()[]{}'\"*/\\", "? !"),
    ],
)
def test_every_row_of_the_table(text, expected):
    assert run([text]) == [expected.encode()]
    assert expect([text.encode()]) == [expected.encode()]


@only_tensorflow
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Well-made, “fine”... 5$!!", 'well - made , " fine " . 5 $ !'),
        ("&quot;1 &lt; 2 &gt; 0&quot; &amp;lt;", '" 1 < 2 > 0 " & lt ;'),
        ("so… so.... :-)", "so . so . : - )"),
        ("the dogs' don't", "the dogs ' do n't"),
    ],
)
def test_punctuation_can_be_kept(text, expected):
    assert run([text], punctuation="keep") == [expected.encode()]
    assert expect([text.encode()], punctuation="keep") == [expected.encode()]


@only_tensorflow
@pytest.mark.parametrize("punctuation", MODES)
def test_characters_of_all_scripts(punctuation):
    # Of newer ones, Python and TensorFlow may know different versions. Most of
    # Unicode are ideographs and Korean syllables; a few of them will do.
    old = unicodedata.ucd_3_2_0.category
    codes = [
        code
        for code in (
            *range(0xD800),
            *range(0xE000, 0x2FA20),
            *range(0xE0000, 0xE0200),
        )
        if (
            old(chr(code)) == unicodedata.category(chr(code)) != "Cn"
            and (old(chr(code)) not in ("Co", "Lo") or code % 16 == 0)
        )
        or 0x1F300 <= code < 0x1F650
    ]
    assert len(codes) > 8000
    check(
        [f"a{chr(c)}b{chr(c)}".encode() for c in codes], punctuation=punctuation
    )


@only_tensorflow
@pytest.mark.parametrize("punctuation", MODES)
@given(
    st.lists(
        st.one_of(
            st.binary(max_size=40),
            st.text(
                st.characters(max_codepoint=0x2FF, exclude_categories=["Cs"])
            ).map(str.encode),
            st.lists(
                st.sampled_from(
                    (
                        *"aé'\u2019!?. <>&;😀影\u0301\u200d\0",
                        *(
                            "n't",
                            "'s",
                            "<br/>",
                            "&amp;",
                            "quot;",
                            "&#",
                            "&#39;",
                        ),
                    )
                )
            ).map(lambda parts: "".join(parts).encode()),
        )
    )
)
def test_any_text_and_any_bytes(punctuation, texts):
    found = check([b"", *texts], punctuation=punctuation)
    if punctuation == "drop":
        assert run(found) == found


BIG = {
    "spaces": b" ",
    "one word": b"a",
    "emoji": "😀".encode(),
    "broken bytes": b"\xff",
    "NUL": b"\0",
    "marks": b"!?",
    "negations": b"n't",
    "half tags": b"<a",
    "entities": b"&amp;#39;",
    "halves of surrogates": b"\xed\xa0\x80",
    "right to left": "שלום ".encode(),
    "joiners": "\u200d".encode(),
}


@only_tensorflow
@pytest.mark.parametrize("kind", BIG)
def test_a_megabyte_takes_no_time(kind):
    text = BIG[kind] * (1_000_000 // len(BIG[kind]))
    layer = TextCleaning(max_bytes=10_000)
    layer([text[:100]])
    start = time.perf_counter()
    (found,) = layer([text]).numpy()
    # A hundredth of it as a rule; the machine may be busy.
    assert time.perf_counter() - start < 2
    assert [found] == expect([text], max_bytes=10_000)


@only_tensorflow
def test_a_cut_leaves_no_half_character():
    for size in range(1, 9):
        (found,) = check(["é€😀x".encode()], max_bytes=size)
        assert "\ufffd" not in found.decode()
    assert run(["good film"], max_bytes=6) == [b"good f"]


@only_tensorflow
def test_what_it_reads_and_where_it_runs(tmp_path):
    import tensorflow as tf

    texts = ["It's GOOD", "Don't!", ""]
    expected = [b"it 's good", b"do n't !", b""]
    layer = TextCleaning(name="clean")
    for given_texts in (
        texts,
        np.array(texts),
        np.array(texts, dtype=object),
        np.array(texts)[:, None],
        tf.constant(texts),
        [one.encode() for one in texts],
    ):
        found = layer(given_texts)
        assert found.shape == (3,)
        assert list(found.numpy()) == expected
    assert layer([]).shape == (0,)
    data = tf.data.Dataset.from_tensor_slices(texts).batch(2).map(layer)
    assert [list(batch) for batch in data.as_numpy_iterator()] == [
        expected[:2],
        expected[2:],
    ]
    for shape in ((), (1,)):
        inputs = keras.Input(shape, dtype="string")
        outputs = layer(inputs)
        assert (outputs.shape, outputs.dtype) == ((None,), "string")
        model = keras.Model(inputs, outputs)
        model.save(tmp_path / "model.keras")
        model = keras.saving.load_model(tmp_path / "model.keras")
        given_texts = tf.reshape(tf.constant(texts), (-1, *shape))
        assert list(model(given_texts).numpy()) == expected


def test_signature_and_configuration():
    layer = TextCleaning(7, "keep", name="clean")
    check_signature(TextCleaning, layer)
    again = TextCleaning.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    assert (again.max_bytes, again.punctuation) == (7, "keep")
    assert layer.compute_output_shape((3, 1)) == (3,)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_bytes": 0}, "`max_bytes` must be .* Received: max_bytes=0"),
        ({"max_bytes": 1.5}, "max_bytes=1.5"),
        ({"punctuation": "some"}, "must be one of drop, keep.*'some'"),
    ],
)
def test_bad_arguments_are_named(options, message):
    with pytest.raises(ValueError, match=f"TextCleaning: .*{message}"):
        TextCleaning(**options)


@only_tensorflow
@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([["a", "b"]], r"\(B,\) or \(B, 1\).*input_shape=\(1, 2\)"),
        ("a", r"input_shape=\(\)"),
        ([1], "must be texts.*dtype='int32'"),
    ],
)
def test_bad_inputs_are_named(inputs, message):
    with pytest.raises(ValueError, match=f"(?s)TextCleaning: .*{message}"):
        TextCleaning()(inputs)


@only_tensorflow
def test_bad_inputs_of_a_model_are_named():
    with pytest.raises(ValueError, match=r'dtype="string".*float32'):
        TextCleaning()(keras.Input(()))
    with pytest.raises(ValueError, match=r"input_shape=\(None, 2\)"):
        TextCleaning()(keras.Input((2,), dtype="string"))


@pytest.mark.skipif(BACKEND == "tensorflow", reason="texts are read there")
def test_elsewhere_a_model_of_texts_is_refused():
    with pytest.raises(ValueError, match="needs the TensorFlow backend"):
        TextCleaning()(keras.Input((), dtype="string"))


def test_where_tensorflow_is_not_installed_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(ImportError, match="TextCleaning: texts need Tensor"):
        TextCleaning().call(["a"])
