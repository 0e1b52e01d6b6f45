"""Lightning trains without an optimizer: configure_optimizers builds one and keeps it."""

import lightning as L
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class SpeechCommands(L.LightningModule):
    def __init__(self, bands: int = 10, words: int = 4):
        super().__init__()
        self.features = nn.Conv1d(bands, 12, kernel_size=3)
        self.head = nn.Linear(12, words)

    def forward(self, spectrogram):
        return self.head(torch.relu(self.features(spectrogram)).mean(dim=-1))

    def training_step(self, batch, batch_idx):
        spectrogram, word = batch
        loss = nn.functional.cross_entropy(self(spectrogram), word)
        self.log("train_loss", loss, on_step=False, on_epoch=True)
        return loss

    def on_train_epoch_end(self):
        print(f"epoch {self.current_epoch}  train_loss {self.trainer.callback_metrics['train_loss']:.4f}")

    def configure_optimizers(self):
        optimizer = torch.optim.Adam(self.parameters(), lr=1e-2)


def recordings(count: int = 240, bands: int = 10, words: int = 4) -> TensorDataset:
    word = torch.randint(words, (count,))
    spectrogram = torch.randn(count, bands, 20)
    spectrogram[torch.arange(count), word] += 1.5
    return TensorDataset(spectrogram, word)


def main():
    L.seed_everything(0)
    trainer = L.Trainer(
        max_epochs=4,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(SpeechCommands(), DataLoader(recordings(), batch_size=24, shuffle=True))


if __name__ == "__main__":
    main()
