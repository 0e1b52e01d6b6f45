"""Tests of `benchmarks/mutants`."""
