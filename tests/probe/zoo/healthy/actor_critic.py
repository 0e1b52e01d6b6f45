# probe: ActorCritic, script
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.distributions import Categorical


class ActorCritic(nn.Module):
    def __init__(self, state_dim=4, n_actions=2):
        super().__init__()
        self.affine1 = nn.Linear(state_dim, 16)
        self.action_head = nn.Linear(16, n_actions)
        self.value_head = nn.Linear(16, 1)

    def forward(self, x):
        x = F.relu(self.affine1(x))
        return F.softmax(self.action_head(x), dim=-1), self.value_head(x)


def main():
    model = ActorCritic()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-2)
    for episode in range(5):
        saved, rewards = [], []
        state = torch.randn(4)
        for _ in range(8):
            probs, value = model(state)
            m = Categorical(probs)
            action = m.sample()
            saved.append((m.log_prob(action), value))
            state = state + 0.1 * (2 * action.item() - 1)
            rewards.append(float(state.sum()))
        returns, R = [], 0.0
        for r in rewards[::-1]:
            R = r + 0.99 * R
            returns.insert(0, R)
        returns = torch.tensor(returns)
        returns = (returns - returns.mean()) / (returns.std() + 1e-8)
        policy_losses, value_losses = [], []
        for (log_prob, value), R in zip(saved, returns):
            policy_losses.append(-log_prob * (R - value.item()))
            value_losses.append(F.smooth_l1_loss(value, torch.tensor([R])))
        optimizer.zero_grad()
        loss = torch.stack(policy_losses).sum() + torch.stack(value_losses).sum()
        loss.backward()
        optimizer.step()


if __name__ == "__main__":
    main()
