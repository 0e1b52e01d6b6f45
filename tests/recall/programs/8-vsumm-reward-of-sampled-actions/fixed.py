import argparse

import torch
import torch.nn as nn
from torch.distributions import Bernoulli

parser = argparse.ArgumentParser("Unsupervised video summarization")
parser.add_argument("--input-dim", type=int, default=64)
parser.add_argument("--max-epoch", type=int, default=5)
parser.add_argument("--num-episode", type=int, default=5)
parser.add_argument("--beta", type=float, default=0.01)
args = parser.parse_args()


class DSN(nn.Module):
    def __init__(self, in_dim, hid_dim=32):
        super().__init__()
        self.rnn = nn.LSTM(in_dim, hid_dim, bidirectional=True, batch_first=True)
        self.fc = nn.Linear(hid_dim * 2, 1)

    def forward(self, x):
        h, _ = self.rnn(x)
        return torch.sigmoid(self.fc(h))


def compute_reward(seq, actions):
    picks = actions.squeeze() > 0
    if picks.sum() < 2:
        return actions.mean()
    chosen = nn.functional.normalize(seq.squeeze(0)[picks], dim=1)
    dissim = 1.0 - chosen @ chosen.t()
    return dissim.mean() * actions.mean()


model = DSN(args.input_dim)
optimizer = torch.optim.Adam(model.parameters(), lr=1e-05, weight_decay=1e-05)
videos = [torch.randn(1, 40, args.input_dim) for _ in range(4)]

for epoch in range(args.max_epoch):
    model.train()
    for seq in videos:
        probs = model(seq)
        cost = args.beta * (probs.mean() - 0.5) ** 2
        m = Bernoulli(probs)
        epis_rewards = []
        for _ in range(args.num_episode):
            actions = m.sample()
            reward = compute_reward(seq, actions)
            cost = cost - m.log_prob(actions).mean() * reward
            epis_rewards.append(reward.item())
        optimizer.zero_grad()
        cost.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
    print("epoch {} reward {:.4f}".format(epoch + 1, sum(epis_rewards) / len(epis_rewards)))
