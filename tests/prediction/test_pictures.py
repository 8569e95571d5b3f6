"""One picture in every form that a file may give it: the same numbers."""

import re
import struct
import zlib

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image, ImageDraw, ImageOps

from moe_keras.prediction import predict_files
from moe_keras.prediction.pictures import read_picture
from tests.zoo.presets.tiny import tiny_model

# Neither square nor alike when it is turned or mirrored.
HEIGHT, WIDTH = 12, 16


def drawing(mode="L", paper=0, ink=255):
    image = Image.new(mode, (WIDTH, HEIGHT), paper)
    pen = ImageDraw.Draw(image)
    pen.rectangle((2, 2, 4, 9), fill=ink)
    pen.rectangle((2, 8, 10, 9), fill=ink)
    return image


def coloured():
    """Six flat colours of RGB, and grey steps."""
    values = np.zeros((HEIGHT, WIDTH, 3), "uint8")
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)]
    for place, colour in enumerate([*colours, (9, 90, 180), (77, 77, 77)]):
        values[2 * place : 2 * place + 2, 3:] = colour
    return Image.fromarray(values)


def read(image, tmp_path, channels=1, ending="png", size=None, **options):
    path = tmp_path / f"picture.{ending}"
    if isinstance(image, bytes):
        path.write_bytes(image)
    else:
        image.save(path, **options)
    height, width = size or (HEIGHT, WIDTH)
    found = read_picture(path, (height, width, channels))
    assert (found.dtype, found.shape) == ("float32", (height, width, channels))
    return found if channels > 1 else found[..., 0]


def array(image):
    return np.asarray(image, "float32")


# --- orientation


@pytest.mark.parametrize("ending", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize("turn", range(1, 9))
def test_a_picture_is_upright(turn, ending, tmp_path):
    whole = drawing().resize((WIDTH * 8, HEIGHT * 8), 0)
    ways = Image.Transpose
    # What a camera that is held so has seen, from the table of EXIF.
    seen = {
        1: (),
        2: (ways.FLIP_LEFT_RIGHT,),
        3: (ways.ROTATE_180,),
        4: (ways.FLIP_TOP_BOTTOM,),
        5: (ways.TRANSPOSE,),
        6: (ways.ROTATE_90,),
        7: (ways.TRANSVERSE,),
        8: (ways.ROTATE_270,),
    }[turn]
    stored = whole
    for way in seen:
        stored = stored.transpose(way)
    exif = Image.Exif()
    exif[0x0112] = turn
    stored = stored if ending != "webp" else stored.convert("RGB")
    options = {"tiffinfo": {0x0112: turn}} if ending == "tif" else {}
    if ending != "tif":
        options = {"exif": exif, "quality": 95}
    size = (HEIGHT * 8, WIDTH * 8)
    found = read(stored, tmp_path, 1, ending, size, **options)
    assert np.mean(np.abs(found - array(whole))) < 4


def test_a_deep_picture_is_turned_too(tmp_path):
    deep = Image.fromarray(array(drawing()).astype("uint16") * 257)
    stored = deep.transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6
    found = read(stored, tmp_path, exif=exif)
    np.testing.assert_allclose(found, array(drawing()), atol=1e-3)


# --- modes


def palette(**options):
    return coloured().quantize(16, **options)


MODES = {
    "RGB": (coloured, "png", 0),
    "P": (palette, "png", 0),
    "P of a GIF": (palette, "gif", 0),
    "RGBA, opaque": (lambda: coloured().convert("RGBA"), "png", 0),
    "RGBX": (lambda: coloured().convert("RGBX"), "tif", 0),
    "YCbCr": (lambda: coloured().convert("YCbCr"), "tif", 3),
    "CMYK": (lambda: coloured().convert("CMYK"), "tif", 0),
    "BMP": (coloured, "bmp", 0),
}


@pytest.mark.parametrize("name", MODES)
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_colours_are_the_same_in_every_mode(name, channels, tmp_path):
    make, ending, within = MODES[name]
    found = read(make(), tmp_path, channels, ending)
    expected = coloured().convert({1: "L", 3: "RGB", 4: "RGBA"}[channels])
    np.testing.assert_allclose(found, array(expected), atol=within)


@pytest.mark.parametrize("mode", ["CMYK", "L", "RGB", "YCbCr"])
def test_colours_of_a_jpeg(mode, tmp_path):
    whole = coloured().resize((WIDTH * 8, HEIGHT * 8), 0)
    size = (HEIGHT * 8, WIDTH * 8)
    found = read(
        whole.convert(mode), tmp_path, 3, "jpg", size, quality=95, subsampling=0
    )
    grey = whole.convert("L").convert("RGB")
    expected = grey if mode == "L" else whole
    assert np.mean(np.abs(found - array(expected))) < 3


def deep(values, scale=257):
    return Image.fromarray((array(values) * scale).astype("uint16"))


def ramp():
    """All greys of 8 bits."""
    return Image.fromarray(np.arange(256, dtype="uint8").reshape(16, 16))


def big_endian(image):
    return Image.frombytes(
        "I;16B", image.size, np.asarray(image).astype(">u2").tobytes()
    )


GREYS = {
    "L": (ramp, "png", {}),
    "I;16": (lambda: deep(ramp()), "png", {}),
    "I;16 of a TIFF": (lambda: deep(ramp()), "tif", {}),
    "I;16B of a TIFF": (lambda: big_endian(deep(ramp())), "tif", {}),
    "I;16 of a PPM": (lambda: deep(ramp()), "pgm", {}),
    "I;16 of LZW": (
        lambda: deep(ramp()),
        "tiff",
        {"compression": "tiff_lzw"},
    ),
    "white is 0": (
        lambda: deep(ImageOps.invert(ramp())),
        "tif",
        {"tiffinfo": {262: 0}},
    ),
}


@pytest.mark.parametrize("name", GREYS)
def test_greys_are_the_same_in_8_and_16_bits(name, tmp_path):
    make, ending, options = GREYS[name]
    for channels in (1, 3, 4):
        found = read(make(), tmp_path, channels, ending, (16, 16), **options)
        expected = ramp().convert({1: "L", 3: "RGB", 4: "RGBA"}[channels])
        np.testing.assert_allclose(found, array(expected), atol=1e-3)


def test_16_bits_are_not_rounded_to_8(tmp_path):
    values = np.arange(64, dtype="uint16").reshape(8, 8)
    found = read(Image.fromarray(values), tmp_path, size=(8, 8))
    np.testing.assert_allclose(found, values / 257, rtol=1e-5)


def test_12_bits_are_scaled_by_their_own_white(tmp_path):
    values = [[0, 4095, 16, 2048], [1, 2, 3, 4]]
    packed = bytearray()
    for one, other in np.reshape(values, (-1, 2)).tolist():
        packed += (one << 12 | other).to_bytes(3, "big")
    entries = [(256, 4), (257, 2), (258, 12), (259, 1), (262, 1), (273, 8)]
    entries += [(277, 1), (278, 2), (279, len(packed))]
    head = b"II*\0" + struct.pack("<I", 8 + len(packed))
    tags = struct.pack("<H", len(entries)) + b"".join(
        struct.pack("<HHII", tag, 4 if tag == 273 else 3, 1, value)
        for tag, value in entries
    )
    content = head + bytes(packed) + tags + bytes(4)
    found = read(content, tmp_path, 1, "tif", (2, 4))
    np.testing.assert_allclose(
        found, np.float32(values) * 255 / 4095, rtol=1e-5
    )


def test_one_bit_is_black_and_white(tmp_path):
    found = read(drawing().convert("1"), tmp_path)
    np.testing.assert_array_equal(found, array(drawing()))


@pytest.mark.parametrize("mode", ["F", "I", "LAB"])
def test_what_white_is_must_be_known(mode, tmp_path):
    image = ramp().convert(mode) if mode != "LAB" else Image.new(mode, (9, 9))
    with pytest.raises(ValueError, match=rf"\.npy.*picture\.tif.*'{mode}'"):
        read(image, tmp_path, 1, "tif")


# --- transparency


def clear(mode, ink, paper_of_clear=0):
    """A drawing in ink of one grey on a ground that is clear."""
    shape = drawing()
    grey = drawing("L", paper_of_clear, ink)
    if mode == "LA":
        return Image.merge("LA", (grey, shape))
    if mode == "RGBA":
        return Image.merge("RGBA", (grey, grey, grey, shape))
    if mode == "P":
        image = drawing("P", 0, 1)
        image.putpalette([paper_of_clear] * 3 + [ink] * 3)
        image.info["transparency"] = 0
        return image
    if mode == "P, half clear":
        image = clear("P", ink, paper_of_clear)
        image.info["transparency"] = bytes([0, 255])
        return image
    image = drawing(mode[:-5], *_key(mode, paper_of_clear, ink))
    image.info["transparency"] = _key(mode, paper_of_clear, ink)[0]
    return image


def _key(mode, *greys):
    return [(g,) * 3 if mode.startswith("RGB") else g for g in greys]


@pytest.mark.parametrize("mode", ["LA", "RGBA", "P", "P, half clear", "L key",
                                  "RGB key"])  # fmt: skip
@pytest.mark.parametrize("ink", [255, 200, 128, 127, 0])
@pytest.mark.parametrize("under", [0, 255])
def test_ink_on_a_clear_ground_can_be_seen(under, ink, mode, tmp_path):
    # A key for what is clear cannot be the colour of the ink as well.
    if under == ink and mode not in ("LA", "RGBA"):
        under = 255 - ink
    mode = mode.replace(" key", ", key")
    image = clear(mode, ink, under)
    options = {"transparency": image.info.get("transparency")}
    options = {} if options["transparency"] is None else options
    ground = 0 if ink >= 128 else 255
    expected = array(drawing("L", ground, ink))
    for channels in (1, 3):
        found = read(image, tmp_path, channels, **options)
        for plane in np.atleast_3d(found).transpose(2, 0, 1):
            np.testing.assert_array_equal(plane, expected)


def test_a_gif_with_a_clear_ground(tmp_path):
    image = clear("P", 255)
    found = read(image, tmp_path, 1, "gif", transparency=0)
    np.testing.assert_array_equal(found, array(drawing()))


def test_16_bits_with_a_clear_ground(tmp_path):
    values = np.where(array(drawing()) > 0, 65_000, 7).astype("uint16")
    found = read(Image.fromarray(values), tmp_path, transparency=7)
    expected = np.where(array(drawing()) > 0, 65_000 / 257, 0)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    values = read(Image.fromarray(values), tmp_path, 4, transparency=7)
    np.testing.assert_array_equal(values[..., 3], array(drawing()))


def test_what_is_half_clear_is_mixed(tmp_path):
    half = Image.new("L", (WIDTH, HEIGHT), 102)
    grey = Image.new("L", (WIDTH, HEIGHT), 200)
    found = read(Image.merge("LA", (grey, half)), tmp_path)
    np.testing.assert_allclose(found, 200 * 102 / 255, atol=1)


def test_four_channels_read_the_opacity(tmp_path):
    image = clear("RGBA", 200, 30)
    found = read(image, tmp_path, 4)
    np.testing.assert_array_equal(found, array(image))


@pytest.mark.parametrize("channels", [1, 3])
def test_what_is_clear_all_over_is_refused(channels, tmp_path):
    blank = Image.new("RGBA", (9, 9), (255, 0, 0, 0))
    with pytest.raises(ValueError, match=r"clear all over.*picture\.png"):
        read(blank, tmp_path, channels)


# --- several pictures, sizes, damage


@pytest.mark.parametrize("ending", ["gif", "png", "tif", "webp"])
def test_several_pictures_are_refused(ending, tmp_path):
    others = [ImageOps.mirror(drawing())] * 2
    rule = r"must hold one picture.*picture\..*pictures=3"
    # As WebP keeps its pictures apart only where they differ.
    others[1] = ImageOps.flip(drawing())
    with pytest.raises(ValueError, match=rule):
        read(drawing(), tmp_path, 1, ending, save_all=True,
             append_images=others)  # fmt: skip


def test_the_further_pictures_of_a_phone_are_not_meant(tmp_path):
    path = tmp_path / "picture.jpg"
    whole = drawing().resize((WIDTH * 8, HEIGHT * 8), 0)
    whole.save(path, "MPO", save_all=True, append_images=[
        Image.new("L", (8, 8))], quality=95)  # fmt: skip
    found = read_picture(path, (HEIGHT * 8, WIDTH * 8, 1))[..., 0]
    assert np.mean(np.abs(found - array(whole))) < 4


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (2, 3)])
@pytest.mark.parametrize("mode", ["L", "I;16", "RGBA"])
def test_a_pixel_is_a_picture(size, mode, tmp_path):
    image = Image.new("L", size, 180)
    image = deep(image) if mode == "I;16" else image.convert(mode)
    for shape in ((8, 16), (16, 8), (3, 3)):
        found = read(image, tmp_path, 1, size=shape)
        np.testing.assert_allclose(found, 180, atol=1e-3)


@pytest.mark.parametrize("mode", ["I;16", "RGBA", "P"])
def test_the_middle_is_cut_and_scaled_in_every_mode(mode, tmp_path):
    rng = np.random.default_rng(0)
    values = rng.integers(0, 256, (12, 20), "uint8")
    plain = Image.fromarray(values)
    image = deep(plain) if mode == "I;16" else plain.convert(mode)
    found = read(image, tmp_path, size=(6, 6))
    expected = plain.crop((4, 0, 16, 12)).resize((6, 6), 2)
    np.testing.assert_allclose(
        found[:, 1:-1], array(expected)[:, 1:-1], atol=1.5
    )


def png(width, height):
    """The head of a file that says how large it is, and no more."""

    def chunk(kind, content):
        found = struct.pack(">I", len(content)) + kind + content
        return found + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", b"")


@pytest.mark.parametrize("side", [20_000, 2**31 - 1])
def test_what_would_fill_the_memory_is_refused(side, tmp_path):
    rule = r"cannot be read as an image.*picture\.png.*reason="
    with pytest.raises(ValueError, match=rule) as error:
        read(png(side, side), tmp_path)
    assert "pixels" in str(error.value) or "large" in str(error.value)


@pytest.mark.parametrize("ending", ["png", "jpg", "gif", "tif", "webp", "bmp"])
def test_a_file_that_is_cut_off_is_refused(ending, tmp_path):
    path = tmp_path / f"whole.{ending}"
    rng = np.random.default_rng(0)
    # Of the model's size and mode, so that nothing but reading is left.
    values = rng.integers(0, 256, (HEIGHT, WIDTH), "uint8")
    Image.fromarray(values).save(path)
    content = path.read_bytes()
    rule = rf"^predict_files: .*cannot be read as an image.*picture\.{ending}"
    for part in (0, 1, 9, 20, len(content) // 2, len(content) * 3 // 4):
        with pytest.raises(ValueError, match=rule):
            read(content[:part], tmp_path, 1, ending)


@pytest.mark.filterwarnings("ignore:.*EXIF data:UserWarning")
def test_flipped_bytes_give_a_picture_or_a_sentence(tmp_path):
    rng = np.random.default_rng(0)
    whole = tmp_path / "whole.png"
    exif = Image.Exif()
    exif[0x0112] = 6
    for image in (clear("P", 200), deep(drawing()), coloured()):
        image.save(whole, exif=exif)
        content = whole.read_bytes()
        for _ in range(60):
            damaged = bytearray(content)
            damaged[rng.integers(len(content))] ^= 1 << rng.integers(8)
            sentence = complaint(bytes(damaged), tmp_path)
            assert sentence is None or re.match(
                r"predict_files: .*picture\.png", sentence
            )


def complaint(content, tmp_path):
    try:
        read(content, tmp_path)
    except ValueError as error:
        return str(error)
    return None


# --- the whole way


def test_a_model_says_the_same_of_every_form(tmp_path):
    model = tiny_model()
    plain = drawing().resize((8, 8))
    exif = Image.Exif()
    exif[0x0112] = 6
    forms = {
        "plain.png": (plain, {}),
        "turned.png": (
            plain.transpose(Image.Transpose.ROTATE_90),
            {"exif": exif},
        ),
        "deep.png": (deep(plain), {}),
        "clear.png": (
            Image.merge("LA", (Image.new("L", (8, 8), 255), plain)),
            {},
        ),
        "palette.gif": (plain.convert("P"), {}),
        "colour.bmp": (plain.convert("RGB"), {}),
        "page.TIFF": (plain.convert("CMYK"), {}),
    }
    for name, (image, options) in forms.items():
        image.save(tmp_path / name, **options)
    found = predict_files(model, [tmp_path / name for name in forms])
    scores = [
        {one.name: one.probability for one in row.classes} for row in found
    ]
    assert max(scores[0].values()) - min(scores[0].values()) > 0.01
    for row in scores[1:]:
        assert row == pytest.approx(scores[0], abs=1e-4)


# --- what is no picture


POSTSCRIPT = b"""%!PS-Adobe-3.0 EPSF-3.0
%%BoundingBox: 0 0 16 12
%%EndComments
showpage
%%EOF
"""


@pytest.mark.parametrize("ending", ["png", "jpg", "tif"])
def test_no_other_program_is_run(ending, tmp_path, monkeypatch):
    """PostScript with a picture's name would be handed to Ghostscript."""
    run = tmp_path / "run"
    program = tmp_path / "gs"
    program.write_text(f"#!/bin/sh\n: > {run}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)
    with pytest.raises(ValueError, match=f"cannot be read.*picture.{ending}"):
        read(POSTSCRIPT, tmp_path, ending=ending)
    assert not run.exists()
