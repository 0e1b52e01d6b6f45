import lightning.pytorch as pl
import torch
import torch.nn as nn


class VQAModule(pl.LightningModule):
    def __init__(self, vocab=10000, n_answers=3129, dim=256, lr=5e-4):
        super().__init__()
        self.save_hyperparameters()
        self.question = nn.Sequential(nn.Embedding(vocab, dim), nn.Dropout(0.1))
        self.rnn = nn.GRU(dim, dim, batch_first=True)
        self.image = nn.Linear(2048, dim)
        self.answer = nn.Sequential(nn.Linear(2 * dim, dim), nn.ReLU(), nn.Linear(dim, n_answers))
        self.loss = nn.BCEWithLogitsLoss()

    def forward(self, question, image):
        _, h = self.rnn(self.question(question))
        return self.answer(torch.cat([h[-1], self.image(image).mean(1)], dim=1))

    def training_step(self, batch, batch_idx):
        scores = self(batch["question"], batch["image"])
        loss = self.loss(scores, batch["targets"])
        self.log("train/bce", loss)
        return loss

    def get_optimizer_parameters(self):
        return [
            {"params": self.question.parameters(), "lr": self.hparams.lr / 10},
            {"params": self.rnn.parameters()},
            {"params": self.image.parameters()},
            {"params": self.answer.parameters()},
        ]

    def configure_optimizers(self):
        return torch.optim.Adamax(self.get_optimizer_parameters(), lr=self.hparams.lr)
