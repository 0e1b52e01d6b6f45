import pytorch_lightning as pl
import torch
from torch import nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import LinearLR


class T5FineTuner(pl.LightningModule):
    def __init__(self, hparams):
        super(T5FineTuner, self).__init__()
        self.save_hyperparameters(hparams)
        self.model = nn.Transformer(d_model=512, batch_first=True)
        self.lm_head = nn.Linear(512, 32128, bias=False)
        self.emb = nn.Embedding(32128, 512)

    def forward(self, input_ids, decoder_input_ids):
        return self.lm_head(self.model(self.emb(input_ids), self.emb(decoder_input_ids)))

    def _step(self, batch):
        logits = self(batch["source_ids"], batch["target_ids"][:, :-1])
        return nn.functional.cross_entropy(logits.flatten(0, 1), batch["target_ids"][:, 1:].flatten(), ignore_index=0)

    def training_step(self, batch, batch_idx):
        loss = self._step(batch)
        self.log("train_loss", loss)
        return loss

    def configure_optimizers(self):
        self.opt = AdamW(self.parameters(), lr=self.hparams.learning_rate, eps=self.hparams.adam_epsilon)
        self.lr_scheduler = LinearLR(self.opt, start_factor=0.1, total_iters=1000)
        return [self.opt]

    def optimizer_step(self, epoch, batch_idx, optimizer, optimizer_closure=None):
        optimizer.step(closure=optimizer_closure)
        self.lr_scheduler.step()
