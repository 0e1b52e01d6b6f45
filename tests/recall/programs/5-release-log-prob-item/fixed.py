import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F


class StackRNN(nn.Module):
    def __init__(self, n_chars, hidden_size=64):
        super().__init__()
        self.hidden_size = hidden_size
        self.encoder = nn.Embedding(n_chars, hidden_size)
        self.rnn = nn.GRU(hidden_size, hidden_size)
        self.decoder = nn.Linear(hidden_size, n_chars)

    def forward(self, inp, hidden):
        output, hidden = self.rnn(self.encoder(inp).view(1, 1, -1), hidden)
        return self.decoder(output.view(1, -1)), hidden

    def init_hidden(self):
        return torch.zeros(1, 1, self.hidden_size)


class Reinforcement:
    def __init__(self, generator, get_reward, lr=1e-3):
        self.generator = generator
        self.get_reward = get_reward
        self.optimizer = torch.optim.Adam(generator.parameters(), lr=lr)

    def policy_gradient(self, trajectories, gamma=0.97):
        rl_loss = torch.zeros(1, requires_grad=True)
        total_reward = 0
        self.optimizer.zero_grad()
        for trajectory in trajectories:
            reward = self.get_reward(trajectory)
            discounted_reward = reward
            total_reward += reward
            hidden = self.generator.init_hidden()
            for p in range(len(trajectory) - 1):
                output, hidden = self.generator(trajectory[p], hidden)
                log_probs = F.log_softmax(output, dim=1)
                top_i = trajectory[p + 1]
                rl_loss = rl_loss - log_probs[0, top_i] * discounted_reward
                discounted_reward = discounted_reward * gamma
        rl_loss = rl_loss / len(trajectories)
        rl_loss.backward()
        nn.utils.clip_grad_norm_(self.generator.parameters(), 1.0)
        self.optimizer.step()
        return total_reward / len(trajectories), rl_loss.item()


if __name__ == "__main__":
    rl = Reinforcement(StackRNN(30), lambda tr: float(np.mean([int(t) % 2 for t in tr])))
    for i in range(3):
        samples = [torch.randint(0, 30, (12,)) for _ in range(4)]
        print(rl.policy_gradient(samples))
