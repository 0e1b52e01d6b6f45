import numpy as np
import torch
from torch import nn


class Config:
    d_model = 32
    lr = 0.0003
    max_epochs = 2
    output_size = 4


class Transformer(nn.Module):
    def __init__(self, config, src_vocab):
        super(Transformer, self).__init__()
        self.config = config
        self.src_embed = nn.Embedding(src_vocab, config.d_model)
        layer = nn.TransformerEncoderLayer(config.d_model, 4, dim_feedforward=64, dropout=0.1, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 1)
        self.fc = nn.Linear(config.d_model, config.output_size)
        self.softmax = nn.Softmax(dim=1)

    def forward(self, x):
        encoded = self.encoder(self.src_embed(x))
        final_out = self.fc(encoded[:, -1, :])
        return self.softmax(final_out)

    def add_optimizer(self, optimizer):
        self.optimizer = optimizer

    def add_loss_op(self, loss_op):
        self.loss_op = loss_op

    def run_epoch(self, train_iterator):
        train_losses = []
        self.train()
        for x, y in train_iterator:
            self.optimizer.zero_grad()
            y_pred = self(x)
            loss = self.loss_op(y_pred, y)
            loss.backward()
            train_losses.append(loss.data.cpu().numpy())
            self.optimizer.step()
        return np.mean(train_losses)


if __name__ == "__main__":
    config = Config()
    model = Transformer(config, 200)
    model.add_optimizer(torch.optim.Adam(model.parameters(), lr=config.lr))
    model.add_loss_op(nn.NLLLoss())
    data = [(torch.randint(0, 200, (8, 15)), torch.randint(0, 4, (8,))) for _ in range(5)]
    for i in range(config.max_epochs):
        print("Epoch: {} loss {:.4f}".format(i, model.run_epoch(data)))
