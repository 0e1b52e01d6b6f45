"""What losses are marked with: scores of sampled actions, bootstrapped returns, shares; and what sampling cuts."""

from __future__ import annotations

import pytest

from gradsense.program.values import Instance, Partial, Tensor
from tests.program.seen import losses, program

POLICY = """
from torch.distributions import Normal
critic = nn.Linear(4, 1)
state = torch.randn(8, 4)
policy = Normal(model(state), 1.0)
"""


def kinds(text: str) -> list[str]:
    (loss,) = losses(text)
    return sorted(mark.kind for mark in loss.marks)


def test_a_sample_has_no_gradient_and_a_reparametrised_one_has() -> None:
    (loss,) = losses(POLICY + "policy.sample().mean().backward()")
    assert [cut.how for cut in loss.cuts] == ["sample"]
    assert not loss.sources
    (loss,) = losses("model(torch.randn(8, 4)).softmax(1).multinomial(1).float().mean().backward()")
    assert [cut.how for cut in loss.cuts] == ["sample"]
    (loss,) = losses(POLICY + "policy.rsample().mean().backward()")
    assert len(loss.sources) == 1


def test_a_gradient_goes_through_what_a_distribution_tells_of_itself() -> None:
    for told in ("policy.entropy()", "policy.mean", "policy.log_prob(policy.sample())"):
        (loss,) = losses(POLICY + f"({told}).mean().backward()")
        assert len(loss.sources) == 1, told


def test_the_log_probability_of_a_sampled_action_is_a_score() -> None:
    assert kinds(POLICY + "policy.log_prob(policy.sample()).mean().backward()") == ["score"]
    assert kinds(POLICY + "policy.log_prob(policy.rsample()).mean().backward()") == []


def test_a_score_is_weighed_by_what_has_a_gradient() -> None:
    weighed = POLICY + "(policy.log_prob(policy.sample()) * {}).mean().backward()"
    assert kinds(weighed.format("critic(state)")) == ["score", "weighed"]
    assert kinds(weighed.format("critic(state).detach()")) == ["score"]
    assert kinds(weighed.format("0.1")) == ["score"]


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("reward + 0.9 * model(state)", ["bootstrap"]),
        ("reward + 0.9 * model(state) - model(other)", ["difference"]),
        ("(reward + 0.9 * model(state) - model(other)) ** 2", ["compared"]),
        ("(reward + 0.9 * model(state) - model(other)).abs()", ["compared"]),
        ("torch.square(model(other) - (reward + 0.9 * model(state)))", ["compared"]),
        ("nn.functional.mse_loss(model(other), reward + 0.9 * model(state))", ["compared"]),
        ("nn.MSELoss()(model(other), reward + 0.9 * model(state))", ["compared"]),
        ("(reward + 0.9 * model(state)).detach() - model(other)", ["bootstrap"]),
        ("model(other) - model(state)", []),
        ("model(other) + 0.9 * model(state)", []),
    ],
)
def test_returns_are_marked(expression: str, found: list[str]) -> None:
    data = "state, other, reward = torch.randn(8, 4), torch.randn(8, 4), torch.randn(8, 1)\n"
    assert kinds(data + f"({expression}).mean().backward()") == found


def test_a_cut_return_remembers_what_is_behind_it() -> None:
    (loss,) = losses(
        """
        goal = nn.Linear(4, 1)
        with torch.no_grad():
            target = torch.randn(8, 1) + 0.9 * goal(torch.randn(8, 4))
        (model(torch.randn(8, 4)) - target).pow(2).mean().backward()
        """
    )
    (mark,) = loss.marks
    assert not mark.sources
    assert len(mark.behind) == 1


def test_a_write_into_weights_tells_what_it_writes() -> None:
    found = program(
        """
        goal = nn.Linear(4, 1)
        for old, new in zip(goal.parameters(), model.parameters()):
            old.data.copy_(0.1 * new.data + 0.9 * old.data)
        """
    )
    updates = {call for _, call in found.calls("Parameters.update")}
    values = [call.args[0] for call in updates]
    assert values
    for value in values:
        assert isinstance(value, Tensor)
        assert len(value.sources) == 2
        assert {mark.number for mark in value.marks} == {0.1, 0.9}


def test_a_loaded_state_tells_whose_it_is() -> None:
    found = program("goal = nn.Linear(4, 1)\ngoal.load_state_dict(model.state_dict())\n")
    ((_, call),) = found.calls("Module.load_state_dict")
    given = call.args[0]
    assert isinstance(given, Partial)
    assert isinstance(given.args[0], Instance)
    assert isinstance(call.receiver, Instance)
    assert given.args[0].obj != call.receiver.obj


def test_an_average_is_a_copy() -> None:
    (loss,) = losses(
        """
        from torch.optim.swa_utils import AveragedModel
        average = AveragedModel(model)
        average.update_parameters(model)
        average(torch.randn(8, 4)).mean().backward()
        """
    )
    (first,) = losses("model(torch.randn(8, 4)).mean().backward()")
    assert len(loss.sources) == 1
    assert loss.sources != first.sources


def test_what_a_layer_gives_is_no_return() -> None:
    text = """
    actor = nn.Linear(4, 4)
    action = torch.randn(8, 4) + 0.5 * actor(torch.randn(8, 4))
    (actor(torch.randn(8, 4)).mean() - model(action).mean()).backward()
    """
    assert kinds(text) == []


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("model(state).pow(2).mean() - policy.sample().mean()", ["unscored"]),
        ("model(state).pow(2).mean() - policy.rsample().mean()", []),
        ("critic(state).mean() - policy.sample().mean()", []),
        ("(policy.log_prob(state[:, :1]) - policy.log_prob(state[:, 1:])).mean()", ["ratio", "score", "score"]),
        ("(policy.log_prob(state[:, :1]) - policy.log_prob(state[:, 1:]).detach()).mean()", ["score"]),
    ],
)
def test_what_only_depends_on_samples_is_marked(expression: str, found: list[str]) -> None:
    assert kinds(POLICY + f"({expression}).backward()") == found


@pytest.mark.parametrize(
    "picked",
    [
        "scores.softmax(1).gather(1, action.unsqueeze(1)).log()",
        "torch.gather(scores.log_softmax(1), 1, action.unsqueeze(1))",
        "scores.log_softmax(1)[range(8), action]",
        "torch.gather(scores.log_softmax(1), dim=1, index=action.unsqueeze(1))",
        "torch.take_along_dim(scores.log_softmax(1), action.unsqueeze(1), 1)",
        "scores.log_softmax(1).take_along_dim(action.unsqueeze(1), dim=1)",
        "(scores.log_softmax(1) * nn.functional.one_hot(action, 1)).sum(1)",
        "(nn.functional.one_hot(action, 1).float() * scores.log_softmax(1)).sum(1)",
        "nn.functional.cross_entropy(scores, action)",
        "nn.NLLLoss()(scores.log_softmax(1), action)",
    ],
)
def test_what_a_policy_gave_for_its_own_sample_is_marked(picked: str) -> None:
    sampled = "from torch.distributions import Categorical\nscores = model(torch.randn(8, 4))\n"
    sampled += "action = Categorical(logits=scores).sample()\n"
    assert "chosen" in kinds(f"{sampled}({picked}).mean().backward()")
    taken = "action = torch.zeros(8, dtype=torch.long)\n"
    assert kinds(f"{sampled}{taken}({picked}).mean().backward()") == []
