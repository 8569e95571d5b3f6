"""How rare words and n-grams may be and yet be known, by what texts there are.

What is in few texts says little, and what it says is often chance. Yet of few
texts nearly everything is rare, and without it little is left. Where one class
is much smaller than the others, its texts stand out by n-grams that are in no
other text: log-count ratios of these teach a model that new texts, which have
none of them, are of the larger class. The measurements are in decision 17.
"""

from collections.abc import Sequence

# From so many texts on, and in how many of them a word has to be.
MIN_COUNTS = ((0, 1), (5_000, 2))
# The same of n-grams, where classes are equal; no more is asked where they are
# not.
MOST = 5
MIN_TEXTS = ((0, 2), (5_000, 3), (20_000, MOST))


def usual_min_count(num_texts: int) -> int:
    """In how many texts a word has to be, if nobody says it.

    Args:
        num_texts: int >= 0, texts that the vocabulary is learned from.

    Returns:
        int: 1 for fewer than 5,000 texts, else 2.
    """
    return _step(MIN_COUNTS, num_texts)


def usual_min_texts(
    class_sizes: Sequence[int], weighting: str | None = None
) -> int:
    """In how many texts an n-gram has to be, if nobody says it.

    Args:
        class_sizes: C ints >= 0, texts of each class.
        weighting: of `NGramExpert`, None for its default. Inverse document
            frequencies know no classes: of them only the number of texts
            counts.

    Returns:
        int: 2 for fewer than 5,000 texts, 3 for fewer than 20,000, else 5; over
        the smallest class's share of an even share, rounded, and 5 at most.
    """
    total = sum(class_sizes)
    least = _step(MIN_TEXTS, total)
    if weighting == "inverse_frequency":
        return least
    smallest = len(class_sizes) * min(class_sizes)
    return min(MOST, round(least * total / smallest)) if smallest else MOST


def _step(steps: Sequence[tuple[int, int]], num_texts: int) -> int:
    """The value of the last step that so many texts reach."""
    return [value for least, value in steps if num_texts >= least][-1]
