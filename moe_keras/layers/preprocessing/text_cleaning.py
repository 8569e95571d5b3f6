"""Texts of any origin -> words with one space between them."""

from typing import Any

import keras

from moe_keras.errors import is_count, require
from moe_keras.layers.preprocessing.characters import (
    LAST,
    SIZE,
    character_table,
)
from moe_keras.layers.preprocessing.texts import (
    check_text_shape,
    check_text_symbol,
    import_tensorflow,
)
from moe_keras.layers.registration import register

# Passes over the text, in this order. `&amp;` is the last of the entities, so
# that nothing is decoded twice.
_MARKUP = (
    (r"\x00+", ""),
    (r"&(?:#0*39|#x0*27|apos);", "'"),
    (r"</?[a-z][^<>]*>|&nbsp;|&#(?:[0-9]{1,7}|x[0-9a-f]{1,6});", " "),
    ("&quot;", '"'),
    ("&lt;", "<"),
    ("&gt;", ">"),
    ("&amp;", "&"),
)
# Words of one character: Chinese and Japanese have no spaces between words,
# and of emoji each one says something.
_ALONE = (
    r"\x{2190}-\x{21FF}\x{25A0}-\x{27BF}\x{3005}-\x{3007}\x{3041}-\x{30FF}"
    r"\x{3400}-\x{4DBF}\x{4E00}-\x{9FFF}\x{F900}-\x{FAFF}\x{FF66}-\x{FF9F}"
    r"\x{1F000}-\x{1FAFF}\x{20000}-\x{3FFFD}"
)
# One pass: what is in a group gets a space on both sides, what is in none
# becomes a space. The end of a negation or of another short form; runs of one
# mark; then, by `punctuation`, all that is in no word.
_SHORT_FORMS = r"(n't|'(?:s|re|ve|ll|d|m))\b|(!)!*|(\?)\?*"
_TOKENS = {
    "drop": (
        rf"{_SHORT_FORMS}|([{_ALONE}\p{{So}}])|[^\p{{L}}\p{{M}}\p{{N}} ]",
        r" \1\2\3\4 ",
    ),
    "keep": (
        rf"{_SHORT_FORMS}|(\.)\.*|([{_ALONE}]|[^\p{{L}}\p{{M}}\p{{N}} ])",
        r" \1\2\3\4\5 ",
    ),
}


@register
class TextCleaning(keras.layers.Layer):
    """Texts of any origin to words with one space between them.

    In this order (docs/texts.md has the table):

    1. What is behind `max_bytes` is not read.
    2. Broken UTF-8, and half a character at the cut, is a space.
    3. Each character by a fixed table: small letters; Latin letters without
       their accents; one form of quotes, dashes, dots and spaces; ASCII for
       its full-width forms; nothing for control and zero-width characters. It
       is not a normal form of Unicode.
    4. Tags such as `<br />` are a space; the usual entities are decoded.
    5. don't is do n't, it's is it 's; a run of ! or of ? is one token; emoji,
       symbols, ideographs and kana are a token each; other punctuation is a
       space, or a token.

    Letters, marks and digits of all scripts stay and make the words. Nothing
    raises, and the result is UTF-8 whatever comes in.

    It runs on TensorFlow's own operations, so that a SavedModel needs no other
    package. In a model it needs the TensorFlow backend; outside of one, as in
    `tf.data`, TensorFlow.

    Args:
        max_bytes: int > 0. How much of a text is read: time and memory grow
            with it. Defaults to `100_000`.
        punctuation: `"drop"` or `"keep"`, of what is in no word; ! and ? are
            always kept. Defaults to `"drop"`.
        **kwargs: `keras.layers.Layer` arguments.

    Call arguments:
        inputs: strings `(B,)` or `(B, 1)`.

    Returns:
        Strings `(B,)`, "" where nothing is left.

    Example:
    >>> TextCleaning()(["<br />It's NOT “good”… don’t!!!"]).numpy()
    array([b"it 's not good do n't !"], dtype=object)
    """

    def __init__(
        self,
        max_bytes: int = 100_000,
        punctuation: str = "drop",
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        require(
            is_count(max_bytes),
            "TextCleaning",
            "`max_bytes` must be an integer above 0.",
            max_bytes=max_bytes,
        )
        require(
            punctuation in _TOKENS,
            "TextCleaning",
            f"`punctuation` must be one of {', '.join(_TOKENS)}.",
            punctuation=punctuation,
        )
        self.max_bytes = max_bytes
        self.punctuation = punctuation
        self.supports_jit = False
        # Lists of `str` and arrays of them are texts, too.
        self._convert_input_args = False
        self._allow_non_tensor_positional_args = True

    @property
    def compute_dtype(self) -> str:
        """As of Keras' own layers for texts."""
        return "string"

    @property
    def variable_dtype(self) -> str:
        """The same."""
        return "string"

    def build(self, input_shape: Any = None) -> None:
        """There is nothing to build."""

    def call(self, inputs: Any) -> Any:
        tf = import_tensorflow("TextCleaning")
        # Operations on texts are nowhere else.
        with tf.device("CPU:0"):
            texts = tf.convert_to_tensor(inputs, dtype_hint=tf.string)
            require(
                texts.dtype == tf.string,
                "TextCleaning",
                "`inputs` must be texts.",
                dtype=texts.dtype.name,
            )
            if texts.shape.rank is not None:
                check_text_shape("TextCleaning", texts.shape)
            texts = tf.reshape(texts, [-1])
            texts = tf.strings.substr(texts, 0, self.max_bytes)
            texts = _look_up(tf, texts)
            passes = (*_MARKUP, _TOKENS[self.punctuation], ("  +", " "))
            for pattern, replacement in passes:
                texts = tf.strings.regex_replace(texts, pattern, replacement)
            return tf.strings.strip(texts)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        check_text_shape("TextCleaning", input_shape)
        return (input_shape[0],)

    def compute_output_spec(self, inputs: Any) -> keras.KerasTensor:
        check_text_symbol("TextCleaning", inputs)
        return keras.KerasTensor(
            self.compute_output_shape(inputs.shape), dtype="string"
        )

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "max_bytes": self.max_bytes,
            "punctuation": self.punctuation,
        }


def _look_up(tf: Any, texts: Any) -> Any:
    """Each character by the table; nothing is NUL for now."""
    characters = tf.strings.unicode_decode(
        texts, "UTF-8", errors="replace", replacement_char=ord(" ")
    )
    codes = characters.flat_values
    table = tf.constant(character_table())
    known = tf.cast(tf.gather(table, tf.minimum(codes, SIZE - 1)), codes.dtype)
    beyond = tf.where(codes < LAST, codes, 0)
    codes = tf.where(codes < SIZE, known, beyond)
    return tf.strings.unicode_encode(
        characters.with_flat_values(codes), "UTF-8"
    )
