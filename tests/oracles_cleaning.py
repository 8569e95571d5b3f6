"""Cleaning of texts, one character after the other, in plain Python."""

import re
import unicodedata

BY_NAME = {
    **dict.fromkeys(
        (
            *("GRAVE ACCENT", "ACUTE ACCENT", "MODIFIER LETTER APOSTROPHE"),
            *("LEFT SINGLE QUOTATION MARK", "RIGHT SINGLE QUOTATION MARK"),
            "SINGLE LOW-9 QUOTATION MARK",
            *("SINGLE HIGH-REVERSED-9 QUOTATION MARK", "PRIME"),
        ),
        "'",
    ),
    **dict.fromkeys(
        (
            "LEFT-POINTING DOUBLE ANGLE QUOTATION MARK",
            "RIGHT-POINTING DOUBLE ANGLE QUOTATION MARK",
            *("LEFT DOUBLE QUOTATION MARK", "RIGHT DOUBLE QUOTATION MARK"),
            "DOUBLE LOW-9 QUOTATION MARK",
            *("DOUBLE HIGH-REVERSED-9 QUOTATION MARK", "DOUBLE PRIME"),
        ),
        '"',
    ),
    **dict.fromkeys(
        (
            *("HYPHEN", "NON-BREAKING HYPHEN", "FIGURE DASH", "EN DASH"),
            *("EM DASH", "HORIZONTAL BAR", "MINUS SIGN", "SMALL EM DASH"),
            "SMALL HYPHEN-MINUS",
        ),
        "-",
    ),
    "HORIZONTAL ELLIPSIS": ".",
    "DOUBLE EXCLAMATION MARK": "!",
    **dict.fromkeys(
        (
            *("DOUBLE QUESTION MARK", "QUESTION EXCLAMATION MARK"),
            *("EXCLAMATION QUESTION MARK", "ARABIC QUESTION MARK"),
        ),
        "?",
    ),
    "REPLACEMENT CHARACTER": " ",
}
ENTITIES = {
    **{"quot": '"', "lt": "<", "gt": ">", "amp": "&", "apos": "'"},
    **{"nbsp": " "},
}
ENDINGS = ("n't", "'s", "'re", "'ve", "'ll", "'d", "'m")
ALONE = (
    *((0x2190, 0x21FF), (0x25A0, 0x27BF), (0x3005, 0x3007), (0x3041, 0x30FF)),
    *((0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0xFF66, 0xFF9F)),
    *((0x1F000, 0x1FAFF), (0x20000, 0x3FFFD)),
)


def fold(character):
    """What one character becomes: one or none."""
    code = ord(character)
    category = unicodedata.category(character)
    if 0x80 <= code <= 0x9F:
        meant = bytes([code]).decode("cp1252", "ignore")
        return fold(meant) if meant else ""
    if character.isspace() or category in ("Zs", "Zl", "Zp"):
        return " "
    if _is_invisible(code, category):
        return ""
    if 0xFF01 <= code <= 0xFF5E:
        return fold(unicodedata.normalize("NFKC", character))
    found = BY_NAME.get(unicodedata.name(character, ""))
    if found:
        return found
    if code >= 0x10000:
        return character
    small = character.lower()[0]
    first, *accents = unicodedata.normalize("NFD", small)
    if 0xC0 <= ord(small) <= 0x17F and accents and first.isascii():
        return first
    return small


def _is_invisible(code, category):
    if code >= 0xE0000 or category == "Cc" or 0x300 <= code <= 0x36F:
        return True
    if category == "Cf":
        # Signs of numbers and verses in Arabic and Syriac can be seen.
        return not (0x600 <= code < 0x61C or 0x61C < code < 0x1000) and (
            code < 0x10000
        )
    return code in (
        *(0x180B, 0x180C, 0x180D, 0x180F, 0x2065, 0xFFFE, 0xFFFF),
        *range(0xFE00, 0xFE10),
        *range(0xFFF0, 0xFFF9),
    )


def _entity(match):
    name = match[1]
    if name.startswith("#"):
        number = int(name[2:], 16) if name[1] == "x" else int(name[1:])
        return "'" if number == 39 else " "
    return ENTITIES[name]


def clean(raw, max_bytes=100_000, punctuation="drop"):
    """`bytes` of a text to words with one space between them."""
    text = raw[:max_bytes].decode("utf-8", "replace")
    text = "".join(map(fold, text))
    text = re.sub(r"</?[a-z][^<>]*>", " ", text)
    named = "|".join(ENTITIES)
    text = re.sub(
        rf"&({named}|#0*39|#x0*27|#[0-9]{{1,7}}|#x[0-9a-f]{{1,6}});",
        _entity,
        text,
    )
    return " ".join(_tokens(text, punctuation))


def _tokens(text, punctuation):
    word, place = "", 0
    while place < len(text):
        token, step = _at(text, place, punctuation)
        place += step
        if token is None:
            word += text[place - 1]
            continue
        if word:
            yield word
        if token:
            yield token
        word = ""
    if word:
        yield word


def _at(text, place, punctuation):
    """The token here ("" for a gap, None in a word), and its length."""
    for ending in ENDINGS:
        if text.startswith(ending, place):
            behind = text[place + len(ending) :][:1]
            if not re.match("[0-9a-z_]", behind):
                return ending, len(ending)
    one = text[place]
    if one in ("!?." if punctuation == "keep" else "!?"):
        rest = text[place:]
        return one, len(rest) - len(rest.lstrip(one))
    category = unicodedata.category(one)
    if one == " ":
        return "", 1
    if any(first <= ord(one) <= last for first, last in ALONE):
        return one, 1
    if category[0] in "LMN":
        return None, 1
    if punctuation == "keep" or category == "So":
        return one, 1
    return "", 1
