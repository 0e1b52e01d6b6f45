import argparse

import numpy as np
import torch
import torch.nn as nn


class DualTalk(nn.Module):
    def __init__(self, audio_dim=80, face_dim=56):
        super().__init__()
        self.audio = nn.GRU(audio_dim, 64, batch_first=True)
        self.other = nn.Linear(face_dim, 64)
        self.out = nn.Linear(128, face_dim)

    def forward(self, audio, other_face):
        a, _ = self.audio(audio)
        return self.out(torch.cat([a, self.other(other_face)], dim=-1))


def trainer(args, train_loader, model, optimizer, criterion, epoch=100):
    for e in range(epoch + 1):
        loss_log = []
        model.train()
        for i, (audio, other_face, face) in enumerate(train_loader):
            pred = model(audio, other_face)
            loss = criterion(pred, face)
            optimizer.zero_grad()
            loss.backward()
            loss_log.append(loss.item())
            if i % args.gradient_accumulation_steps == 0:
                optimizer.step()
                optimizer.zero_grad()
        print("(Epoch {}) TRAIN LOSS:{:.7f}".format(e, np.mean(loss_log)))
    return model


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--lr", type=float, default=0.0001)
    parser.add_argument("--gradient_accumulation_steps", type=int, default=4)
    parser.add_argument("--max_epoch", type=int, default=1)
    args = parser.parse_args()
    model = DualTalk()
    loader = [(torch.randn(2, 10, 80), torch.randn(2, 10, 56), torch.randn(2, 10, 56)) for _ in range(9)]
    optimizer = torch.optim.Adam(filter(lambda p: p.requires_grad, model.parameters()), lr=args.lr)
    trainer(args, loader, model, optimizer, nn.MSELoss(), epoch=args.max_epoch)


if __name__ == "__main__":
    main()
