import argparse

import torch
import torch.nn as nn
import torch.optim as optim
from pytorch_lightning import Trainer
from pytorch_lightning.core import LightningModule
from torch.utils.data import DataLoader, TensorDataset


class SpeechRecognition(nn.Module):
    def __init__(self, hidden_size=256, num_classes=29, n_feats=81, num_layers=1, dropout=0.1):
        super().__init__()
        self.cnn = nn.Sequential(nn.Conv1d(n_feats, n_feats, 10, 2, padding=5), nn.GELU(), nn.Dropout(dropout))
        self.lstm = nn.LSTM(n_feats, hidden_size, num_layers, batch_first=True)
        self.final_fc = nn.Linear(hidden_size, num_classes)

    def forward(self, x):
        out, _ = self.lstm(self.cnn(x).transpose(1, 2))
        return self.final_fc(out)


class SpeechModule(LightningModule):
    def __init__(self, model, args):
        super(SpeechModule, self).__init__()
        self.model = model
        self.criterion = nn.CTCLoss(blank=28, zero_infinity=True)
        self.args = args

    def forward(self, x):
        return self.model(x)

    def configure_optimizers(self):
        self.optimizer = optim.AdamW(self.model.parameters(), self.args.learning_rate)
        self.scheduler = optim.lr_scheduler.ReduceLROnPlateau(
            self.optimizer, mode="min", factor=0.50, patience=6
        )
        return {"optimizer": self.optimizer, "lr_scheduler": {"scheduler": self.scheduler, "monitor": "train_loss"}}

    def training_step(self, batch, batch_idx):
        spectrograms, labels, input_lengths, label_lengths = batch
        output = nn.functional.log_softmax(self(spectrograms), dim=2).transpose(0, 1)
        loss = self.criterion(output, labels, input_lengths, label_lengths)
        self.log("train_loss", loss)
        return loss


def main(args):
    data = TensorDataset(torch.randn(64, 81, 200), torch.randint(0, 28, (64, 20)), torch.full((64,), 100), torch.full((64,), 20))
    trainer = Trainer(max_epochs=args.epochs, gradient_clip_val=1.0)
    trainer.fit(SpeechModule(SpeechRecognition(), args), DataLoader(data, batch_size=8))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", default=10, type=int)
    parser.add_argument("--learning_rate", default=1e-3, type=float)
    main(parser.parse_args())
