import lightning.pytorch as pl
import torch
import torch.nn as nn


class CharRNN(pl.LightningModule):
    def __init__(self, n_chars=96, hidden=512, lr=2e-3):
        super().__init__()
        self.emb = nn.Embedding(n_chars, hidden)
        self.rnn = nn.LSTM(hidden, hidden, 2, batch_first=True)
        self.out = nn.Linear(hidden, n_chars)
        self.lr = lr

    def forward(self, ids):
        return self.out(self.rnn(self.emb(ids))[0])

    def training_step(self, batch, batch_idx):
        ids = batch[0]
        logits = self(ids[:, :-1])
        loss = nn.functional.cross_entropy(logits.transpose(1, 2), ids[:, 1:])
        self.log("bpc", loss / 0.6931, prog_bar=True)
        return loss

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=self.lr)

    def optimizer_zero_grad(self, epoch, batch_idx, optimizer):
        optimizer.zero_grad(set_to_none=True)


if __name__ == "__main__":
    text = torch.randint(0, 96, (4096, 129))
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(text), batch_size=64, shuffle=True)
    pl.Trainer(max_epochs=10, gradient_clip_val=5.0).fit(CharRNN(), loader)
