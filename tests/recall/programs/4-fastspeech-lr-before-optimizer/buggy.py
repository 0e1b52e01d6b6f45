import torch
import torch.nn as nn
import torch.nn.functional as F


class FastSpeech(nn.Module):
    def __init__(self, vocab=40, dim=32, mel=20):
        super().__init__()
        self.emb = nn.Embedding(vocab, dim)
        self.encoder = nn.TransformerEncoderLayer(dim, 2, dim_feedforward=64, batch_first=True)
        self.mel_linear = nn.Linear(dim, mel)

    def forward(self, texts):
        return self.mel_linear(self.encoder(self.emb(texts)))


class ScheduledOptim:
    def __init__(self, model, warm_up=4, anneal=(300000, 400000)):
        self._optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, betas=(0.9, 0.98), eps=1e-9)
        self._scheduler = torch.optim.lr_scheduler.LambdaLR(
            self._optimizer, lambda step: min((step + 1) ** -0.5, (step + 1) * warm_up**-1.5)
        )

    def step_and_update_lr(self):
        self._scheduler.step()
        self._optimizer.step()

    def zero_grad(self):
        self._optimizer.zero_grad()


def main():
    model = FastSpeech()
    optimizer = ScheduledOptim(model)
    step, total_step, grad_acc_step = 1, 20, 2
    while step <= total_step:
        texts, mels = torch.randint(0, 40, (4, 12)), torch.randn(4, 12, 20)
        loss = F.l1_loss(model(texts), mels) / grad_acc_step
        loss.backward()
        if step % grad_acc_step == 0:
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step_and_update_lr()
            optimizer.zero_grad()
        if step % 10 == 0:
            print("Step {}/{}, Total Loss: {:.4f}".format(step, total_step, loss.item()))
        step += 1


if __name__ == "__main__":
    main()
