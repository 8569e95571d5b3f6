"""What becomes of each character of a text: one table, one look-up.

It is fixed: no locale has a say in it, as in `tf.strings.lower`, which also
loses all that stands behind a NUL. It is not NFKC.
"""

from functools import cache

import numpy as np

# The table ends here; what is beyond stays as it is, as far as `LAST`.
SIZE = 0x10000
# From here on: tags and selectors, which nobody sees, and private characters.
LAST = 0xE0000
REMOVED = 0

# Spaces, with what stands for broken bytes, then quotes, dashes and marks: the
# first and the last code point of a range, and what all of it becomes.
_RANGES = (
    *((0x09, 0x0D, " "), (0x1C, 0x20, " "), (0xA0, 0xA0, " ")),
    *((0x1680, 0x1680, " "), (0x2000, 0x200A, " "), (0x2028, 0x2029, " ")),
    *((0x202F, 0x202F, " "), (0x205F, 0x205F, " "), (0x3000, 0x3000, " ")),
    (0xFFFD, 0xFFFD, " "),
    *((0x60, 0x60, "'"), (0xB4, 0xB4, "'"), (0x2BC, 0x2BC, "'")),
    *((0x2018, 0x201B, "'"), (0x2032, 0x2032, "'")),
    *((0xAB, 0xAB, '"'), (0xBB, 0xBB, '"')),
    *((0x201C, 0x201F, '"'), (0x2033, 0x2033, '"')),
    *((0x2010, 0x2015, "-"), (0x2212, 0x2212, "-")),
    *((0xFE58, 0xFE58, "-"), (0xFE63, 0xFE63, "-")),
    *((0x2026, 0x2026, "."), (0x203C, 0x203C, "!")),
    *((0x61F, 0x61F, "?"), (0x2047, 0x2049, "?")),
)
# Characters that nobody sees, without a mark of their own.
_INVISIBLE = (
    *((0x00, 0x08), (0x0E, 0x1B), (0x7F, 0x7F), (0xAD, 0xAD), (0x61C, 0x61C)),
    *((0x180B, 0x180F), (0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F)),
    *((0xFE00, 0xFE0F), (0xFEFF, 0xFEFF), (0xFFF0, 0xFFFB), (0xFFFE, 0xFFFF)),
)
_ACCENTS = (0x300, 0x36F)
# The lower-case letters of Latin-1 Supplement and Latin Extended-A that are,
# by their canonical decomposition, a letter of ASCII with an accent.
_ACCENTED = {
    **{"a": "àáâãäåāăą", "c": "çćĉċč", "d": "ď", "e": "èéêëēĕėęě", "g": "ĝğġģ"},
    **{"h": "ĥ", "i": "ìíîïĩīĭį", "j": "ĵ", "k": "ķ", "l": "ĺļľ", "n": "ñńņň"},
    **{"o": "òóôõöōŏő", "r": "ŕŗř", "s": "śŝşš", "t": "ţť", "u": "ùúûüũūŭůűų"},
    **{"w": "ŵ", "y": "ýÿŷ", "z": "źżž"},
}


@cache
def character_table() -> np.ndarray:
    """From code points to code points.

    Returns:
        uint16 `(65536,)`; `REMOVED` where nothing is left.
    """
    table = np.arange(SIZE)
    for code in range(SIZE):
        # Of I with a dot, lower case is two characters: i and an accent.
        table[code] = ord(chr(code).lower()[0])
    for first, last in (*_INVISIBLE, _ACCENTS):
        table[first : last + 1] = REMOVED
    for first, last, target in _RANGES:
        table[first : last + 1] = ord(target)
    for letter, accented in _ACCENTED.items():
        table[np.isin(table, [ord(one) for one in accented])] = ord(letter)
    # Full-width forms of ASCII.
    table[0xFF01:0xFF5F] = table[0x21:0x7F]
    # Those of Windows-1252 that were taken for Latin-1, as web pages have them.
    for code in range(0x80, 0xA0):
        meant = bytes([code]).decode("cp1252", "ignore")
        table[code] = table[ord(meant)] if meant else REMOVED
    return table.astype("uint16")
