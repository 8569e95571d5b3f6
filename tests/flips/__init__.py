"""Every argument of every layer, with another value than the usual one.

For a class: inputs of the call, and per argument a pair of settings that
differ in that argument only.
"""

from tests.flips import blocks, gates, parts, tabular
from tests.flips.observe import differ as differ
from tests.flips.observe import observe as observe

FLIPS = {**gates.FLIPS, **parts.FLIPS, **blocks.FLIPS, **tabular.FLIPS}
