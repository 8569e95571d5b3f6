"""What the layers that read texts share: TensorFlow, and the texts' shape."""

from typing import Any

import keras

from moe_keras.errors import require


def import_tensorflow(owner: str) -> Any:
    """TensorFlow, which alone of the backends knows texts.

    Args:
        owner: whom to name in errors.

    Raises:
        ImportError: where it is not installed.
    """
    try:
        import tensorflow
    except ImportError as error:
        raise ImportError(
            f"{owner}: texts need TensorFlow, which is not installed. Without "
            "it, give the model ids of words."
        ) from error
    return tensorflow


def encode_text(text: str | bytes) -> bytes:
    """UTF-8. Halves of surrogate pairs have none: cleaning makes them spaces.

    Python's strings may hold such halves, as `json` and `errors=
    "surrogateescape"` leave them; TensorFlow refuses them.
    """
    if isinstance(text, bytes):
        return text
    return text.encode(errors="surrogatepass")


def check_text_shape(owner: str, shape: Any) -> None:
    """Refuse what is not `(B,)` or `(B, 1)`."""
    require(
        len(shape) == 1 or (len(shape) == 2 and shape[1] == 1),
        owner,
        "`inputs` must be texts (B,) or (B, 1).",
        input_shape=tuple(shape),
    )


def check_text_symbol(owner: str, inputs: Any) -> None:
    """Refuse a model's input that is no text, or that the backend cannot read.

    Outside of a model, texts can be prepared on every backend.
    """
    require(
        keras.backend.backend() == "tensorflow",
        owner,
        "a model that reads texts needs the TensorFlow backend; on this one, "
        "prepare the texts in tf.data and give the model ids of words.",
        backend=keras.backend.backend(),
    )
    require(
        inputs.dtype == "string",
        owner,
        '`inputs` must be texts: keras.Input((), dtype="string").',
        dtype=inputs.dtype,
    )
    check_text_shape(owner, inputs.shape)
