"""The four stages as pure functions on tensors, without state.

Axis letters, here and in every docstring of the package: B batch, T positions,
D input features, E experts, K chosen experts per row, U output features, N rows
(samples, or B*T positions), M = N*K routed rows. P stands for the axes that
gates and inputs share in front, R for the axes of one row's output.
"""
