import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim

GAMMA, LEARNING_RATE, ENTROPY_BETA, BATCH_SIZE = 0.99, 0.001, 0.01, 32


class A2C(nn.Module):
    def __init__(self, obs=4, n_actions=2):
        super().__init__()
        self.base = nn.Sequential(nn.Linear(obs, 64), nn.ReLU())
        self.policy = nn.Linear(64, n_actions)
        self.value = nn.Linear(64, 1)

    def forward(self, x):
        h = self.base(x)
        return self.policy(h), self.value(h)


def discount(rewards, gamma):
    out, total = [], 0.0
    for r in reversed(rewards.tolist()):
        total = r + gamma * total
        out.append(total)
    return torch.tensor(out[::-1])


net = A2C()
optimizer = optim.Adam(net.parameters(), lr=LEARNING_RATE, eps=1e-3)

for step_idx in range(20):
    states_v = torch.randn(BATCH_SIZE, 4)
    actions_t = torch.randint(0, 2, (BATCH_SIZE,))
    vals_ref_v = discount(torch.rand(BATCH_SIZE), GAMMA)

    optimizer.zero_grad()
    logits_v, value_v = net(states_v)
    value_v = value_v.squeeze(-1)
    loss_value_v = F.mse_loss(value_v, vals_ref_v)
    log_prob_v = F.log_softmax(logits_v, dim=1)
    adv_v = vals_ref_v - value_v.detach()
    log_prob_actions_v = adv_v * log_prob_v[range(BATCH_SIZE), actions_t]
    loss_policy_v = -log_prob_actions_v.mean()
    prob_v = F.softmax(logits_v, dim=1)
    entropy_loss_v = ENTROPY_BETA * (prob_v * log_prob_v).sum(dim=1).mean()
    loss_v = loss_policy_v + entropy_loss_v + loss_value_v
    loss_v.backward()
    nn.utils.clip_grad_norm_(net.parameters(), 0.1)
    optimizer.step()
    if step_idx % 5 == 0:
        print(step_idx, loss_v.item())
