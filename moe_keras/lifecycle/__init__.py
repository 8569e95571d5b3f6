"""What happens to a trained mixture later: experts that leave it."""

from moe_keras.lifecycle.keep_experts import find_mixture as find_mixture
from moe_keras.lifecycle.keep_experts import keep_experts as keep_experts
