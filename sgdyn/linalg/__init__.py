"""Spectra, traces, diagonals and log-determinants of symmetric operators that are known by their products, each with its error."""
