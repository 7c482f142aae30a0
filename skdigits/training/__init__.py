"""Training: from an estimator's parameters and samples to its fitted attributes.

`session` is the only way in. A fit, a search and a range test differ in the models and
replicas that they hand to it, and in who observes the run.
"""
