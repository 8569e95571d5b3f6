import inspect
import os

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from moe_keras import __version__

project = "moe_keras"
author = "The moe_keras authors"
project_copyright = author
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
# Single backticks in docstrings mean code.
default_role = "code"
html_theme = "furo"
html_title = f"moe_keras {release}"
html_static_path = []

myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_inherit_docstrings = False
autodoc_default_options = {"members": True, "imported-members": True}
# The docstrings say more about an argument than its annotation does.
autodoc_typehints = "none"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_param = False
napoleon_use_rtype = False
napoleon_custom_sections = [("Call arguments", "params_style"), "Source"]

# Nothing is looked up on the network, so classes of others have no target.
nitpick_ignore_regex = [
    (r"py:.*", r"(keras|tensorflow|numpy|collections|pathlib|typing|abc)\..*"),
    (r"py:.*", r"(Any|Layer|Initializer|Model|object|ValueError)"),
]


def source_sections(app, what, name, obj, options, lines):
    """Turn `Source: text`, with its indented lines, into a section."""
    result = []
    for line in lines:
        if line.startswith("Source: "):
            result += ["Source:", "    " + line.removeprefix("Source: ")]
        else:
            result.append(line)
    lines[:] = result


def skip_methods(app, what, name, obj, skip, options):
    """Of a layer, show its docstring; of a base class, what to implement."""
    if what != "class" or skip:
        return None
    return not getattr(obj, "__qualname__", "").startswith(
        ("ExpertBank.", "Fusion.", "Gate.")
    )


def own_signature(app, what, name, obj, options, signature, returned):
    """Keras layers have a `__new__` that hides the arguments of `__init__`."""
    if what != "class":
        return None
    if "__init__" not in vars(obj):
        return "(**kwargs)", None
    _, *others = inspect.signature(obj.__init__).parameters.values()
    plain = [p.replace(annotation=p.empty) for p in others]
    return str(inspect.Signature(plain)), None


def setup(app):
    # Before napoleon, which listens at the usual priority.
    app.connect("autodoc-process-docstring", source_sections, priority=100)
    app.connect("autodoc-process-signature", own_signature)
    app.connect("autodoc-skip-member", skip_methods)
