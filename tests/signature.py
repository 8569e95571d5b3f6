"""What a layer's signature, its docstring and its config say alike."""

import ast
import inspect
import re

# Of `keras.layers.Layer`; the last two only where there is no `get_config`.
BASE_KEYS = {"name", "trainable", "dtype", "activity_regularizer", "autocast"}


def check_signature(layer_class, layer):
    """(1) Signature, docstring and config name the same arguments."""
    signature = inspect.signature(layer_class.__init__)
    parameters = {
        name: parameter
        for name, parameter in list(signature.parameters.items())[1:]
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD
    }
    if "__init__" not in vars(layer_class):
        parameters = {}  # those of `keras.layers.Layer`
    documented = documented_arguments(layer_class)
    assert list(documented) == list(parameters)
    config = set(layer.get_config())
    assert config - (BASE_KEYS - set(parameters)) == set(parameters)
    for name, parameter in parameters.items():
        default = documented[name]
        if parameter.default is inspect.Parameter.empty:
            assert default is None, f"{name} has no default"
        else:
            assert default is not None, f"{name}: default not documented"
            assert ast.literal_eval(default) == parameter.default, name


def documented_arguments(layer_class):
    """From each name under `Args:` to its documented default, or None."""
    text = inspect.getdoc(layer_class)
    section = re.search(r"^Args:\n(.*?)(?=^\S|\Z)", text, re.S | re.M).group(1)
    entries = re.split(r"^ {4}(?=[\w*]+:)", section, flags=re.M)[1:]
    arguments = {}
    for entry in entries:
        name, description = entry.split(":", 1)
        if name.startswith("**"):
            continue
        found = re.findall(r"Defaults\s+to\s+`([^`]+)`", description)
        arguments[name] = found[-1] if found else None
    return arguments
