import lightning as L
import torch
from torch import nn
from torch.nn import functional as F


class MyModel(L.LightningModule):
    def __init__(self, vocab_size=5000, d_model=128):
        super().__init__()
        self.embed = nn.Embedding(vocab_size, d_model)
        self.block = nn.TransformerEncoderLayer(d_model, 4, batch_first=True)
        self.head = nn.Linear(d_model, vocab_size)

    def forward(self, ids):
        mask = nn.Transformer.generate_square_subsequent_mask(ids.size(1)).to(ids.device)
        return self.head(self.block(self.embed(ids), src_mask=mask, is_causal=True))

    def training_step(self, batch, batch_idx):
        (ids,) = batch
        loss = F.cross_entropy(self(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())
        self.log("loss", loss)
        return loss

    def configure_optimizers(self):
        optimizer = torch.optim.AdamW(self.parameters(), lr=1e-4)
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=10)
        return optimizer, scheduler


if __name__ == "__main__":
    data = torch.utils.data.TensorDataset(torch.randint(0, 5000, (256, 33)))
    L.Trainer(max_epochs=30).fit(MyModel(), torch.utils.data.DataLoader(data, batch_size=16))
