"""scikit-learn's own checks of an estimator."""

import pytest
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import parametrize_with_checks

from moe_keras.estimators import MoEClassifier
from tests.tools import only_tensorflow

pytestmark = only_tensorflow

TOO_FEW = (
    "a class of the check's data has one row: no fold can keep it from the "
    "experts and have it too, and `fit` says so"
)
# These draw 20 rows of three classes, one of them with a single row.
EXCEPTIONS = {
    "check_dict_unchanged": TOO_FEW,
    "check_dont_overwrite_parameters": TOO_FEW,
    "check_f_contiguous_array_estimator": TOO_FEW,
    "check_fit2d_predict1d": TOO_FEW,
    "check_methods_sample_order_invariance": TOO_FEW,
    "check_methods_subset_invariance": TOO_FEW,
}


class OfTwoClasses(MoEClassifier):
    """Its tag makes of the checks' classes two, with rows enough."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        return tags


def quick(kind=MoEClassifier):
    return kind(
        experts={"linear": 1},
        forests=(),
        folds=2,
        epochs=1,
        learning_rate=0.1,
        batch_size=16,
        gate_epochs=1,
    )


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
@parametrize_with_checks(
    [quick()],
    expected_failed_checks=lambda _: EXCEPTIONS,
    xfail_strict=True,
)
def test_check(estimator, check):
    check(estimator)


@pytest.mark.slow
@pytest.mark.parametrize("name", EXCEPTIONS)
def test_exceptions_are_none_with_two_classes(name):
    getattr(estimator_checks, name)(OfTwoClasses.__name__, quick(OfTwoClasses))


@pytest.mark.parametrize(
    "name",
    [
        "check_estimator_cloneable",
        "check_parameters_default_constructible",
        "check_no_attributes_set_in_init",
        "check_classifiers_one_label",
        "check_estimators_empty_data_messages",
        "check_supervised_y_no_nan",
        "check_estimator_sparse_tag",
        "check_requires_y_none",
    ],
)
def test_check_that_fits_nothing(name):
    getattr(estimator_checks, name)(MoEClassifier.__name__, quick())
