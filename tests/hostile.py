"""Texts that nobody wrote: what a served model must answer all the same."""

import numpy as np

ALPHABETS = (
    "\u200b\u200d\ufe0f\u2060\ufeff a",
    "\u202eשלמ אבג مرحبا\u200f ",
    "!?.,;:'\"()[]{}<>&#-_*/\\|~^%$@`",
    "a good film is n't bad! 😀 影 <br /> &amp; \x00 \u0301 \udcff",
)
# Of a megabyte each.
REPEATED = (
    *(b" ", b"a", b"a ", "😀".encode(), b"\xff", b"!?", b"<a", b"&amp;"),
)


def hostile_texts(count, megabytes):
    """Random bytes, hidden and mirrored characters, marks, very long texts.

    Args:
        count: int. How many texts.
        megabytes: int. How many of them, the last ones, have a megabyte.

    Returns:
        A list of `bytes`.
    """
    rng = np.random.default_rng(0)
    texts = [b"", b" ", b"\x00", b"\xed\xa0\x80", b"\xff" * 7]
    while len(texts) < count - megabytes:
        length = int(rng.integers(0, 200))
        if len(texts) % 2:
            texts.append(rng.bytes(length))
        else:
            letters = list(ALPHABETS[len(texts) // 2 % len(ALPHABETS)])
            text = "".join(rng.choice(letters, length))
            texts.append(text.encode(errors="surrogatepass"))
    for place in range(megabytes):
        unit = REPEATED[place % len(REPEATED)]
        texts.append(unit * (1_000_000 // len(unit)))
    return texts
