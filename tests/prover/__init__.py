"""Proves what the rules say of their examples by running them with the real torch and Lightning."""

from tests.prover.client import Proof, prove, run_program

__all__ = ["Proof", "prove", "run_program"]
