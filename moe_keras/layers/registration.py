"""The name under which our classes are saved: `moe_keras>Class`, for ever."""

import keras

register = keras.saving.register_keras_serializable(package="moe_keras")
