"""K networks trained at once, in torch alone.

The engine knows tensors, not estimators. Everything it needs is an argument and
everything it makes is a result. Shapes use these letters throughout: K models,
R replicas, N samples, B samples of a batch, D features, H hidden units, C classes.

Activations are kept *units by samples*, ``(K, H, B)``, and weights ``(K, H, D)``: every
product then reads both operands as they lie in memory, and reductions over the few
classes run along contiguous samples of the batch.
"""
