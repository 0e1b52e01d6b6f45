import torch
import torch.nn as nn
import torch.nn.functional as F


class RNNAgent(nn.Module):
    def __init__(self, obs=12, n_actions=5, hidden=32):
        super().__init__()
        self.fc1 = nn.Linear(obs, hidden)
        self.fc2 = nn.Linear(hidden, n_actions)

    def forward(self, o):
        return self.fc2(F.relu(self.fc1(o)))


class QMixer(nn.Module):
    def __init__(self, n_agents=3, state_dim=20, hidden=16):
        super().__init__()
        self.n_agents, self.hidden = n_agents, hidden
        self.hyper_w1 = nn.Linear(state_dim, n_agents * hidden)
        self.hyper_w2 = nn.Linear(state_dim, hidden)
        self.v = nn.Linear(state_dim, 1)

    def forward(self, q, s):
        w1 = torch.abs(self.hyper_w1(s)).view(-1, self.n_agents, self.hidden)
        h = F.elu(torch.bmm(q.unsqueeze(1), w1).squeeze(1))
        return (h * torch.abs(self.hyper_w2(s))).sum(1, keepdim=True) + self.v(s)


class QMIX:
    def __init__(self, lr=5e-4, target_update_cycle=5, gamma=0.99):
        self.eval_rnn, self.target_rnn = RNNAgent(), RNNAgent()
        self.eval_qmix_net, self.target_qmix_net = QMixer(), QMixer()
        self.target_rnn.load_state_dict(self.eval_rnn.state_dict())
        self.target_qmix_net.load_state_dict(self.eval_qmix_net.state_dict())
        self.eval_params = list(self.eval_qmix_net.parameters()) + list(self.eval_rnn.parameters())
        self.optimizer = torch.optim.RMSprop(self.eval_params, lr=lr)
        self.gamma, self.target_update_cycle = gamma, target_update_cycle

    def learn(self, batch, train_step):
        o, u, r, s, o_next, s_next = batch
        q = self.eval_rnn(o).gather(2, u).squeeze(2)
        q_total = self.eval_qmix_net(q, s)
        with torch.no_grad():
            q_next = self.target_rnn(o_next).max(2)[0]
            targets = r + self.gamma * self.target_qmix_net(q_next, s_next)
        loss = F.mse_loss(q_total, targets)
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.eval_params, 10)
        self.optimizer.step()
        if train_step > 0 and train_step % self.target_update_cycle == 0:
            self.target_rnn.load_state_dict(self.eval_rnn.state_dict())
            self.target_qmix_net.load_state_dict(self.eval_qmix_net.state_dict())
        return loss.item()


policy = QMIX()
for step in range(15):
    data = (
        torch.randn(8, 3, 12), torch.randint(0, 5, (8, 3, 1)), torch.randn(8, 1),
        torch.randn(8, 20), torch.randn(8, 3, 12), torch.randn(8, 20),
    )
    print(step, policy.learn(data, step))
