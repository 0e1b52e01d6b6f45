import torch
from torch import nn, optim


class Backbone(nn.Module):
    def __init__(self, embedding_size=512, classnum=51332):
        super(Backbone, self).__init__()
        self.conv = nn.Conv2d(3, 64, 3, 2, 1, bias=False)
        self.bn = nn.BatchNorm2d(64)
        self.output_layer = nn.Linear(64 * 56 * 56, embedding_size)
        self.kernel = nn.Parameter(torch.Tensor(embedding_size, classnum).uniform_(-1, 1))

    def forward(self, x):
        x = torch.relu(self.bn(self.conv(x)))
        embeddings = nn.functional.normalize(self.output_layer(x.flatten(1)))
        return embeddings @ nn.functional.normalize(self.kernel, dim=0)


class face_learner(object):
    def __init__(self, conf, loader):
        self.model = Backbone(conf.embedding_size, conf.class_num)
        self.loader = loader
        self.ce_loss = nn.CrossEntropyLoss()
        self.optimizer = optim.SGD(
            [
                {"params": self.model.parameters(), "weight_decay": 5e-4},
                {"params": self.model.bn.parameters()},
            ],
            lr=conf.lr,
            momentum=conf.momentum,
        )

    def train(self, conf, epochs):
        self.model.train()
        running_loss = 0.0
        for e in range(epochs):
            for imgs, labels in self.loader:
                self.optimizer.zero_grad()
                thetas = self.model(imgs)
                loss = self.ce_loss(thetas, labels)
                loss.backward()
                running_loss += loss.item()
                self.optimizer.step()
        return running_loss
