import torch
import torch.nn as nn
from torch.distributions import Normal


class ActorPPO(nn.Module):
    def __init__(self, state_dim, action_dim, net_dim=64):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(state_dim, net_dim), nn.Tanh(), nn.Linear(net_dim, action_dim))
        self.action_std_log = nn.Parameter(torch.zeros(1, action_dim))

    def get_logprob(self, state, action):
        dist = Normal(self.net(state), self.action_std_log.exp())
        return dist.log_prob(action).sum(1)

    def get_action(self, state):
        dist = Normal(self.net(state), self.action_std_log.exp())
        return dist.sample()


class AgentPPO:
    def __init__(self, state_dim=6, action_dim=2, learning_rate=1e-4, ratio_clip=0.25, repeat_times=4):
        self.act = ActorPPO(state_dim, action_dim)
        self.act_optimizer = torch.optim.Adam(self.act.parameters(), learning_rate)
        self.ratio_clip, self.repeat_times = ratio_clip, repeat_times

    def explore(self, n):
        with torch.no_grad():
            states = torch.randn(n, 6)
            actions = self.act.get_action(states)
        return states, actions, -actions.pow(2).sum(1)

    def update_net(self, buffer):
        states, actions, rewards = buffer
        advantages = (rewards - rewards.mean()) / (rewards.std() + 1e-5)
        for _ in range(self.repeat_times):
            new_logprob = self.act.get_logprob(states, actions)
            old_logprob = self.act.get_logprob(states, actions)
            ratio = (new_logprob - old_logprob).exp()
            surrogate1 = advantages * ratio
            surrogate2 = advantages * ratio.clamp(1 - self.ratio_clip, 1 + self.ratio_clip)
            obj_actor = -torch.min(surrogate1, surrogate2).mean()
            self.act_optimizer.zero_grad()
            obj_actor.backward()
            self.act_optimizer.step()
        return obj_actor.item()


agent = AgentPPO()
for i in range(5):
    buffer = agent.explore(64)
    print(i, agent.update_net(buffer), buffer[2].mean().item())
