"""torch.distributions: what a gradient goes through, and what sampling cuts (PyTorch 2.13)."""

from __future__ import annotations

from gradsense.program import expressions, marking, training
from gradsense.program.run import Frame, Run
from gradsense.program.state import State
from gradsense.program.values import PLAIN, UNKNOWN, Instance, Keywords, Kind, Tensor, Value, combine

_MADE_OF = "[made of]"
_STATISTICS = frozenset(
    """probs logits loc scale mean mode variance stddev covariance_matrix scale_tril precision_matrix concentration rate
    df low high total_count base_dist component_distribution mixture_distribution concentration0 concentration1
    temperature""".split()
)


def make(state: State, instance: Instance, args: tuple[Value, ...], keywords: Keywords) -> None:
    """A distribution is made of its parameters, or of other distributions."""
    given = (*args, *(value for _, value in keywords))
    state.set_attribute(instance.obj, _MADE_OF, combine([_parameters(state, value) for value in given]))


def _parameters(state: State, value: Value) -> Value:
    if isinstance(value, Instance) and value.kind is Kind.DISTRIBUTION:
        return state.attribute(value.obj, _MADE_OF) or UNKNOWN
    return value


def attribute(state: State, instance: Instance, name: str) -> Value | None:
    """A statistic that follows the distribution's parameters; None for a method or anything else."""
    return _parameters(state, instance) if name in _STATISTICS else None


def call(
    run: Run, frame: Frame, state: State, instance: Instance, name: str, args: tuple[Value, ...], at: int
) -> Value:
    """A method of a distribution."""
    made_of = _parameters(state, instance)
    if name in ("sample", "sample_n"):
        return expressions.cut(run, frame, made_of, "sample", at)
    if name == "expand":
        return instance
    if name not in ("log_prob", "rsample", "entropy", "cdf", "icdf", "perplexity"):
        training.unknown_code(run, state, args)
        return UNKNOWN
    operands = (made_of, *args) if name in ("log_prob", "cdf", "icdf") else (made_of,)
    result = training.under_grad_mode(run, state, combine(operands, f"Distribution.{name}"))
    is_sampled = not any(isinstance(arg, Tensor) and arg.sources for arg in args)
    return marking.score(frame, result, at) if name == "log_prob" and is_sampled else result


def divergence(run: Run, state: State, args: tuple[Value, ...]) -> Value:
    """`torch.distributions.kl_divergence(p, q)`."""
    result = combine([_parameters(state, arg) for arg in args], "torch.distributions.kl_divergence")
    return training.under_grad_mode(run, state, result) if args else PLAIN
