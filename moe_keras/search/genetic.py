"""A small genetic algorithm over subsets within a budget."""

import numpy as np

from moe_keras.search.subsets import Subset, Subsets

POPULATION = 24
# The best of a generation that go on as they are.
ELITE = 2
TOURNAMENT = 3
# Generations without a subset that is new, after which nothing more is tried.
PATIENCE = 20


def search_genetic(
    subsets: Subsets, evaluations: int, rng: np.random.Generator
) -> list[Subset]:
    """Evolve subsets, until as many different ones as asked were evaluated.

    An individual is a row of E bits, which experts are kept; its fitness is
    minus the loss. The first generation is drawn at random. From one to the
    next, the two best stay; each other child has two parents, each the best of
    three drawn at random (tournament), gets every bit from one or the other
    with equal odds (uniform crossover), has each bit flipped with a chance of
    1/E (mutation), and loses random experts until it is within the budget
    (repair).

    Args:
        subsets: what is searched.
        evaluations: int > 0. The last generation may go beyond it by less than
            its size.
        rng: of all draws.

    Returns:
        The best subset of each generation.

    Source: Holland (1975), Adaptation in Natural and Artificial Systems;
        Goldberg & Deb (1991), Foundations of Genetic Algorithms 1 (tournament);
        Syswerda (1989), ICGA 3 (uniform crossover).
    """
    people = [subsets.draw(rng) for _ in range(min(POPULATION, evaluations))]
    people = [repair(subsets, set(kept), rng) for kept in people]
    steps, stale = [subsets.best(people)], 0
    while subsets.evaluations < evaluations and stale < PATIENCE:
        before = subsets.evaluations
        ranked = sorted(
            set(people), key=lambda kept: (subsets.loss(kept), kept)
        )
        children = ranked[:ELITE]
        while len(children) < len(people):
            mother, father = (_compete(subsets, people, rng) for _ in range(2))
            children.append(_breed(subsets, mother, father, rng))
        people = children
        steps.append(subsets.best(people))
        stale = 0 if subsets.evaluations > before else stale + 1
    return steps


def _compete(
    subsets: Subsets, people: list[Subset], rng: np.random.Generator
) -> Subset:
    drawn = rng.integers(0, len(people), TOURNAMENT)
    return subsets.best([people[place] for place in drawn])


def _breed(
    subsets: Subsets, mother: Subset, father: Subset, rng: np.random.Generator
) -> Subset:
    count = subsets.num_experts
    everyone = np.arange(count)
    of_mother = rng.random(count) < 0.5
    bits = np.where(
        of_mother, np.isin(everyone, mother), np.isin(everyone, father)
    )
    bits ^= rng.random(count) < 1 / count
    return repair(subsets, set(np.flatnonzero(bits).tolist()), rng)


def repair(
    subsets: Subsets, kept: set[int], rng: np.random.Generator
) -> Subset:
    """A subset within the budget: random experts leave, or one comes in.

    Args:
        subsets: what is searched.
        kept: experts, perhaps none, or too many.
        rng: of the draws.
    """
    for expert in rng.permutation(sorted(kept)).tolist():
        if subsets.fits(sorted(kept)):
            break
        kept = kept - {int(expert)}
    if not kept:
        kept = {int(rng.choice(subsets.affordable))}
    return tuple(sorted(kept))
