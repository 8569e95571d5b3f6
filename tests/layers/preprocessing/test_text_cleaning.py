"""Cleaning of texts: the table, all scripts, hostile texts."""

import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moe_keras.layers import TextCleaning
from tests import oracles_cleaning
from tests.tools import only_tensorflow

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
