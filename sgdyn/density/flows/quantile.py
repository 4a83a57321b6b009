"""Gradient flows in one dimension, by quantiles."""


class Quantile:
    """."""
