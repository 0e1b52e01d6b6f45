import torch
from torch import nn, optim
from tqdm import tqdm


class CRF(nn.Module):
    def __init__(self, num_tags):
        super().__init__()
        self.transitions = nn.Parameter(torch.empty(num_tags, num_tags).uniform_(-0.1, 0.1))

    def forward(self, emissions, tags):
        score = emissions.gather(2, tags.unsqueeze(2)).squeeze(2).sum(1)
        score = score + self.transitions[tags[:, :-1], tags[:, 1:]].sum(1)
        return score - torch.logsumexp(emissions, dim=2).sum(1)


class HMNeTNERModel(nn.Module):
    def __init__(self, num_labels, hidden=768):
        super().__init__()
        self.text = nn.Embedding(30522, hidden)
        self.encoder_conv = nn.Linear(2048, hidden)
        self.fc = nn.Linear(hidden, num_labels)
        self.crf = CRF(num_labels)

    def forward(self, ids, image, labels):
        h = self.text(ids) + self.encoder_conv(image).unsqueeze(1)
        return -self.crf(self.fc(h), labels).mean()


class NERTrainer(object):
    def __init__(self, train_data, model, args):
        self.train_data = train_data
        self.model = model
        self.args = args
        self.multiModal_before_train()

    def multiModal_before_train(self):
        parameters = []
        params = {"lr": self.args.lr, "weight_decay": 1e-2}
        params["params"] = list(self.model.text.parameters())
        parameters.append(params)

        params = {"lr": self.args.lr, "weight_decay": 1e-2}
        params["params"] = list(self.model.encoder_conv.parameters())
        parameters.append(params)

        params = {"lr": 5e-2, "weight_decay": 1e-2}
        params["params"] = list(self.model.crf.parameters()) + list(self.model.fc.parameters())
        parameters.append(params)
        self.optimizer = optim.AdamW(parameters)

    def train(self):
        self.model.train()
        for epoch in tqdm(range(self.args.num_epochs)):
            for ids, image, labels in self.train_data:
                loss = self.model(ids, image, labels)
                loss.backward()
                self.optimizer.step()
                self.optimizer.zero_grad()
