import gym
import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim
from torch.distributions import Categorical

gamma = 0.98


class Policy(nn.Module):
    def __init__(self):
        super(Policy, self).__init__()
        self.data = []
        self.gamma = 0.99
        self.fc1 = nn.Linear(4, 128)
        self.fc2 = nn.Linear(128, 2)
        self.optimizer = optim.Adam(self.parameters(), lr=0.0005)

    def forward(self, x):
        x = F.relu(self.fc1(x))
        return F.softmax(self.fc2(x), dim=0)

    def put_data(self, item):
        self.data.append(item)

    def train(self):
        R = 0
        self.optimizer.zero_grad()
        for r, log_prob in self.data[::-1]:
            R = r + gamma * R
            loss = -log_prob * R
            loss.backward()
        self.optimizer.step()
        self.data = []


def main():
    env = gym.make("CartPole-v1")
    pi = Policy()
    score = 0.0
    for n_epi in range(10000):
        s = env.reset()
        for t in range(501):
            prob = pi(torch.from_numpy(s).float())
            m = Categorical(prob)
            a = m.sample()
            s, r, done, info = env.step(a.item())
            pi.put_data((r, m.log_prob(a)))
            score += r
            if done:
                break
        pi.train()
        if n_epi % 20 == 0 and n_epi != 0:
            print("# of episode :{}, avg score : {}".format(n_epi, score / 20))
            score = 0.0
    pi.eval()
    torch.save(pi.state_dict(), "pi.pt")


if __name__ == "__main__":
    main()
