"""A picture's file as numbers: upright, without transparency, 0 is black.

    crop = the middle of the picture, in the model's proportions
    values = crop, scaled bilinearly to (H, W), in 0..255

What a file says of its picture is followed: it is turned as its EXIF data ask,
its palette or colour model becomes grey (0.299 R + 0.587 G + 0.114 B) or RGB,
and 16 bits of grey are divided by 257.

What is clear becomes black where the rest is light (128 or more on the average
of its opacity), and white where it is dark, so that ink of either colour can be
seen. A model of four channels reads the opacity itself.
"""

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from moe_keras.errors import require

OWNER = "predict_files"
# Pillow's modes, by the number of a model's channels.
MODES = {1: "L", 3: "RGB", 4: "RGBA"}
_COLOURS = {"1", "CMYK", "HSV", "L", "P", "RGB", "RGBX", "YCbCr"}
_CLEAR = {"La", "LA", "PA", "RGBA", "RGBa"}
_GREYS = {"I;16", "I;16B", "I;16L", "I;16N"}
# Whatever a file's ending says. Of others that Pillow knows, one is handed to
# another program: Ghostscript, which runs what is in it.
_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
# Mode I has 32 bits, of which these formats fill 16.
_GREY_FORMATS = {"PNG", "PPM"}
_MIDDLE = 128
# Of TIFF.
_BITS, _PHOTOMETRIC, _WHITE_IS_ZERO = 258, 262, 0


def read_picture(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """The one picture of a file.

    Args:
        path: of a file that Pillow reads.
        shape: `(H, W, C)`, C one of `MODES`.

    Returns:
        float32 `(H, W, C)` in 0..255.

    Raises:
        ValueError: for a file that is no picture, is cut off, is larger than
            Pillow's limit, holds several pictures, is clear all over, or is of
            a kind whose black and white are not known.
    """
    image = _open(path)
    deep = image.mode in _GREYS or (
        image.mode == "I" and image.info["format"] in _GREY_FORMATS
    )
    require(
        deep or image.mode in _COLOURS | _CLEAR,
        OWNER,
        "a picture must be grey of 1, 8 or 16 bits, RGB, CMYK, YCbCr or one "
        "with a palette: give others as an array (.npy).",
        file=str(path),
        mode=image.mode,
    )
    if deep:
        colour, opacity = _read_deep(image)
    elif image.mode in _CLEAR or "transparency" in image.info:
        colour = image.convert("RGBA")
        opacity = colour.getchannel("A")
    else:
        colour, opacity = image, None
    if shape[-1] < 4:
        colour, opacity = _cover(colour, opacity, path), None
    if not deep:
        values = _fit(colour.convert(MODES[shape[-1]]), shape)
        return values.reshape(shape)
    values = np.repeat(_fit(colour, shape)[..., None], shape[-1], axis=-1)
    if shape[-1] == 4:
        values[..., 3] = 255 if opacity is None else _fit(opacity, shape)
    return values


def _open(path: Path) -> Any:
    """The picture, loaded and upright, whose `info` tells what is needed."""
    try:
        # Not by its name: Pillow 13 maps a TIFF into memory, and scrambles
        # those that are turned by 90 degrees.
        content = io.BytesIO(path.read_bytes())
        with Image.open(content, formats=_FORMATS) as file:
            known = {"format": file.format, "tags": _tags(file)}
            frames = getattr(file, "n_frames", 1)
            # A phone adds pictures for other uses to the one that is meant.
            if frames == 1 or file.format == "MPO":
                file.load()
                image = ImageOps.exif_transpose(file)
                image.info |= known
                return image
    except Exception as error:  # of any kind: the file chose the bytes
        require(
            False,
            OWNER,
            "the file cannot be read as an image.",
            file=str(path),
            reason=str(error) or type(error).__name__,
        )
    require(
        False,
        OWNER,
        "a file must hold one picture: save the one that is meant.",
        file=str(path),
        pictures=frames,
    )


def _tags(file: Any) -> dict[int, Any]:
    return dict(getattr(file, "tag_v2", {}))


def _read_deep(image: Any) -> tuple[Any, Any]:
    """16 bits of grey: mode F in 0..255, and the opacity if there is one."""
    tags, clear = image.info["tags"], image.info.get("transparency")
    values = np.asarray(image)
    opacity = None
    if clear is not None:
        opacity = Image.fromarray(
            np.where(values == clear, 0, 255).astype("u1")
        )
    (bits,) = tags.get(_BITS, (16,))
    grey = values.astype("float32") * np.float32(255 / (2**bits - 1))
    # Of 8 bits, Pillow sees to it.
    if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
        grey = 255 - grey
    return Image.fromarray(grey), opacity


def _cover(colour: Any, opacity: Any, path: Path) -> Any:
    """The picture on a ground on which it can be seen."""
    if opacity is None:
        return colour
    shares = np.asarray(opacity).ravel()
    light = np.asarray(colour if colour.mode == "F" else colour.convert("L"))
    total = shares.sum(dtype="float64")
    require(
        total > 0,
        OWNER,
        "a picture must not be clear all over.",
        file=str(path),
    )
    sums = np.bincount(shares, light.ravel(), minlength=256)
    mean = float(sums @ np.arange(len(sums))) / total
    ground = 0 if mean >= _MIDDLE else 255
    if colour.mode == "F":
        return Image.fromarray(
            np.where(np.asarray(opacity), light, np.float32(ground))
        )
    paper = Image.new("RGB", colour.size, (ground,) * 3)
    paper.paste(colour, mask=opacity)
    return paper


def _fit(image: Any, shape: tuple[int, ...]) -> np.ndarray:
    """The middle of a picture, in these proportions and of this size."""
    height, width = shape[:2]
    if image.size != (width, height):
        across = max(1, min(image.width, image.height * width // height))
        down = max(1, min(image.height, image.width * height // width))
        left, top = (image.width - across) // 2, (image.height - down) // 2
        image = image.resize(
            (width, height),
            Image.Resampling.BILINEAR,
            box=(left, top, left + across, top + down),
        )
    return np.asarray(image, "float32")
