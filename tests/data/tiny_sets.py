"""Tiny data sets, for TFDS itself to write."""

import numpy as np
import pytest

tfds = pytest.importorskip("tensorflow_datasets")
pytest.importorskip("importlib_resources", reason="TFDS needs it to write")

COUNT = 50
NAMES = ("cat", "dog", "owl")
CLASS = tfds.features.ClassLabel(names=NAMES)


class Tiny(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Examples by number; TFDS knows each subclass in snake case."""

    VERSION = tfds.core.Version("1.0.0")
    KEYS = ("image", "label")
    SPLITS = {"train": range(COUNT)}

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(self.FEATURES),
            supervised_keys=self.KEYS,
            description="made up",
            citation="nobody",
            homepage="https://example.org",
        )

    def _split_generators(self, manager):
        return {
            split: self._generate_examples(numbers)
            for split, numbers in self.SPLITS.items()
        }

    def _generate_examples(self, numbers):
        for i in numbers:
            yield i, self.example(i)


class TinyImages(Tiny):
    """Grey images, all pixels of which are their number."""

    FEATURES = {"image": tfds.features.Image(shape=(3, 4, 1)), "label": CLASS}
    SPLITS = {"train": range(COUNT), "test": range(100, 120)}

    def example(self, i):
        return {"image": np.full((3, 4, 1), i, "uint8"), "label": i % 3}


class TinyPhotos(Tiny):
    """Images of many sizes, all pixels of which are their number."""

    FEATURES = {
        "image": tfds.features.Image(shape=(None, None, 3)),
        "label": CLASS,
    }

    def example(self, i):
        size = (3 + i % 5, 9 - i % 4, 3)
        return {"image": np.full(size, i, "uint8"), "label": i % 3}


class TinyTexts(Tiny):
    """Texts that hold their number; the test's labels are kept secret."""

    FEATURES = {"text": tfds.features.Text(), "label": CLASS}
    KEYS = ("text", "label")
    SPLITS = {
        "train": range(COUNT),
        "validation": range(100, 110),
        "test": range(200, 210),
    }

    def example(self, i):
        return {"text": f"größer als {i}", "label": -1 if i >= 200 else i % 3}


class TinyUnlabelled(TinyTexts):
    """Texts some of which nobody has judged."""

    SPLITS = {"train": range(180, 220)}


class TinyVectors(Tiny):
    """Five numbers a row, of which the first is the row's."""

    FEATURES = {
        "features": tfds.features.Tensor(shape=(5,), dtype=np.float32),
        "label": CLASS,
        # Of no use, and of a length of its own in each row.
        "notes": tfds.features.Sequence(np.int32),
    }
    KEYS = ("features", "label")

    def example(self, i):
        row = np.array([i, 1, 2, 3, 4], "float32")
        return {"features": row, "label": i % 3, "notes": list(range(i))}


class TinyColumns(Tiny):
    """A table by columns: a number, a text, a class that may be unknown."""

    FEATURES = {
        "age": np.int32,
        "job": tfds.features.Text(),
        "town": np.object_,
        "animal": CLASS,
        "answer": tfds.features.ClassLabel(names=("no", "yes")),
    }
    KEYS = (
        {"age": "age", "job": "job", "town": "town", "pet": "animal"},
        "answer",
    )

    def example(self, i):
        return {
            "age": i,
            "job": f"job {i}",
            "town": f"town {i}".encode(),
            "animal": i % 4 - 1,
            "answer": i % 2,
        }


class TinyUnnamed(TinyImages):
    """One that does not say what is the input and what the label."""

    KEYS = None


class TinyVideos(Tiny):
    """What no model here reads."""

    FEATURES = {
        "image": tfds.features.Tensor(shape=(2, 3, 4), dtype=np.float32),
        "label": CLASS,
    }

    def example(self, i):
        return {"image": np.zeros((2, 3, 4), "float32"), "label": 0}


class TinyFar(TinyImages):
    """One that has to be fetched from where nobody answers."""

    # RFC 6761: no name that ends in .invalid ever leads anywhere.
    url_infos = {"http://data.invalid/a": None, "http://data.invalid/b": None}


class TinyBroken(TinyImages):
    """One whose source is not what it was."""

    def example(self, i):
        raise OSError("the publisher has moved the files\nand more of that")


class TinyChoices(TinyImages):
    """Two configurations, of which TFDS takes the first."""

    BUILDER_CONFIGS = [
        tfds.core.BuilderConfig(name="small", version="1.0.0"),
        tfds.core.BuilderConfig(name="other", version="1.0.0"),
    ]


def write(builder, folder, shards=1, **options):
    """Let TFDS prepare one of them, and return where it lies."""
    made = builder(data_dir=str(folder), **options)
    made.download_and_prepare(
        download_config=tfds.download.DownloadConfig(num_shards=shards)
    )
    return made.data_path
