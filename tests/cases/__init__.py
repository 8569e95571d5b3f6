"""Every public layer, in the configurations that matter.

A case is a class, a function that makes the arguments of `__init__`, and the
positional arguments of the call.
"""

from tests.cases import (
    calibration,
    experts,
    features,
    fusions,
    gates,
    mixtures,
    tabular,
)

CASES = {
    **features.CASES,
    **gates.CASES,
    **experts.CASES,
    **fusions.CASES,
    **mixtures.CASES,
    **calibration.CASES,
    **tabular.CASES,
}
