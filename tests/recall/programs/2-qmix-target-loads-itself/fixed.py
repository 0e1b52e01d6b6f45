import torch
import torch.nn as nn
import torch.nn.functional as F


class QMIXMixer(nn.Module):
    def __init__(self, n_agents, state_dim, embed=32):
        super().__init__()
        self.w1 = nn.Linear(state_dim, n_agents * embed)
        self.w2 = nn.Linear(state_dim, embed)
        self.n_agents, self.embed = n_agents, embed

    def forward(self, q, state):
        w1 = torch.abs(self.w1(state)).view(-1, self.n_agents, self.embed)
        hidden = F.elu(torch.bmm(q.view(-1, 1, self.n_agents), w1))
        w2 = torch.abs(self.w2(state)).view(-1, self.embed, 1)
        return torch.bmm(hidden, w2).view(-1, 1)


class Policy:
    def __init__(self, args):
        self.args = args
        self.eval_rnn = nn.Linear(args.obs_dim, args.n_actions)
        self.target_rnn = nn.Linear(args.obs_dim, args.n_actions)
        self.eval_qmix_net = QMIXMixer(args.n_agents, args.state_dim)
        self.target_qmix_net = QMIXMixer(args.n_agents, args.state_dim)
        self.target_rnn.load_state_dict(self.eval_rnn.state_dict())
        self.target_qmix_net.load_state_dict(self.eval_qmix_net.state_dict())
        self.eval_parameters = list(self.eval_qmix_net.parameters()) + list(self.eval_rnn.parameters())
        self.optimizer = torch.optim.RMSprop(self.eval_parameters, lr=args.lr)

    def learn(self, batch, train_step):
        o, a, r, s, o2, s2 = batch
        q = self.eval_rnn(o).gather(-1, a.unsqueeze(-1)).squeeze(-1)
        q_total = self.eval_qmix_net(q, s)
        with torch.no_grad():
            q2 = self.target_rnn(o2).max(-1)[0]
            target = r + self.args.gamma * self.target_qmix_net(q2, s2)
        loss = ((q_total - target) ** 2).mean()
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.eval_parameters, 10)
        self.optimizer.step()
        if train_step > 0 and train_step % self.args.target_update_cycle == 0:
            self.target_rnn.load_state_dict(self.eval_rnn.state_dict())
            self.target_qmix_net.load_state_dict(self.eval_qmix_net.state_dict())
