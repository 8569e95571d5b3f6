"""Small sets of pictures, with a training and a validation split each."""

import csv
import io
import tarfile

import numpy as np
import pytest

from moe_keras.data.tfds_files import data_folder

SIDE = 24
BLOOD_CELLS = "blood_cells_pbc64"


def generated(count=120, seed=7, side=SIDE):
    """Stripes in four directions, under noise: a hundred and a few pictures."""
    rows, columns = np.mgrid[:side, :side] / side

    def draw(rng):
        labels = np.arange(count) % 4
        angles = np.pi * labels[:, None, None] / 4
        phases = rng.uniform(0, 2 * np.pi, (count, 1, 1))
        across = rows * np.cos(angles) + columns * np.sin(angles)
        waves = np.sin(6 * np.pi * across + phases)
        images = waves + rng.normal(size=waves.shape)
        return images[..., None].astype("float32"), labels

    rng = np.random.default_rng(seed)
    return draw(rng), draw(rng)


def digits():
    """Scikit-learn's 1,797 digits, each pixel three by three."""
    import sklearn.datasets

    images, labels = sklearn.datasets.load_digits(return_X_y=True)
    images = images.reshape(-1, 8, 8, 1).astype("float32")
    images = images.repeat(3, axis=1).repeat(3, axis=2)
    order = np.random.default_rng(0).permutation(len(labels))
    train, held_out = order[:1294], order[1294:]
    return (images[train], labels[train]), (images[held_out], labels[held_out])


def blood_cells(train=1000, validation=400):
    """Photographs of eight kinds of blood cells, in colour, made smaller.

    They lie in the data folder, or beside it.
    """
    from PIL import Image

    places = [data_folder(), data_folder().parent]
    there = [p / BLOOD_CELLS for p in places if (p / BLOOD_CELLS).is_dir()]
    if not there:
        pytest.skip(f"{BLOOD_CELLS} is neither in {places[0]} nor beside it")
    with (there[0] / "labels.csv").open() as file:
        table = list(csv.DictReader(file))
    rng = np.random.default_rng(0)
    splits, chosen = [], {}
    for name, count in (("train", train), ("validation", validation)):
        own = [row for row in table if row["split"] == name]
        picked = rng.permutation(len(own))[:count]
        splits.append({own[i]["file"]: int(own[i]["label"]) for i in picked})
        chosen |= splits[-1]
    images = {}
    with tarfile.open(there[0] / "images.tar.gz") as archive:
        for member in archive:
            if member.name in chosen:
                content = archive.extractfile(member).read()
                picture = Image.open(io.BytesIO(content))
                small = picture.resize((SIDE, SIDE), Image.Resampling.BICUBIC)
                images[member.name] = np.asarray(small, "float32")
    return tuple(
        (
            np.stack([images[name] for name in split]),
            np.array([*split.values()]),
        )
        for split in splits
    )
