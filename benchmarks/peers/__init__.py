"""Other people's layers, with our weights where the formula is the same.

`PEERS` maps a name to `(backend, module)`. A module has `NOTE`,
`TOP_KS` (each k it runs with; with k = 1, a gate that normalises is another
formula) and `make(rows, experts, top_k)`, which returns a dict:

`layer`, `inputs`
    what to run, and on what.
`ours`
    our layer with the same weights, to be run on `(rows, D)`.
`gated`
    whether the experts, and with them the limit, are gated linear units.
`comparable`
    whether the two outputs must be equal.

`make` raises `ImportError` where the peer is not installed, and
`NotImplementedError` with a reason where it cannot run at that size.
"""

PEERS = {
    "keras_hub Qwen3-MoE": ("tensorflow", "benchmarks.peers.qwen3_moe"),
    "Keras example, Switch": ("tensorflow", "benchmarks.peers.switch_example"),
    "transformers Mixtral": ("torch", "benchmarks.peers.mixtral"),
    "st-moe-pytorch": ("torch", "benchmarks.peers.st_moe"),
}
