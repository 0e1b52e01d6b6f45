import torch
import torch.nn as nn


class VSE(object):
    """Image and text encoder with a ranking loss."""

    def __init__(self, opt):
        self.img_enc = nn.Sequential(nn.Linear(4096, 1024), nn.BatchNorm1d(1024))
        self.txt_enc = nn.Sequential(nn.EmbeddingBag(opt.vocab_size, 300), nn.Dropout(0.2), nn.Linear(300, 1024))
        self.margin = opt.margin
        params = list(self.img_enc.parameters()) + list(self.txt_enc.parameters())
        self.optimizer = torch.optim.Adam(params, lr=opt.learning_rate)
        self.Eiters = 0

    def train_start(self):
        self.img_enc.train()
        self.txt_enc.train()

    def val_start(self):
        self.img_enc.eval()
        self.txt_enc.eval()

    def forward_emb(self, images, captions):
        return self.img_enc(images), self.txt_enc(captions)

    def forward_loss(self, img_emb, cap_emb):
        scores = img_emb @ cap_emb.t()
        diagonal = scores.diag().view(-1, 1)
        cost = (self.margin + scores - diagonal).clamp(min=0)
        return cost.sum() - diagonal.numel() * self.margin

    def train_emb(self, images, captions):
        self.Eiters += 1
        img_emb, cap_emb = self.forward_emb(images, captions)
        self.optimizer.zero_grad()
        loss = self.forward_loss(img_emb, cap_emb)
        loss.backward()
        self.optimizer.step()


def validate(opt, val_loader, model):
    model.val_start()
    sims = []
    with torch.no_grad():
        for images, captions in val_loader:
            i, c = model.forward_emb(images, captions)
            sims.append((i * c).sum(1).mean())
    return torch.stack(sims).mean().item()


def train(opt, train_loader, model, epoch, val_loader):
    for i, (images, captions) in enumerate(train_loader):
        model.train_start()
        model.train_emb(images, captions)
        if model.Eiters % opt.val_step == 0:
            validate(opt, val_loader, model)


def run(opt, train_loader, val_loader):
    model = VSE(opt)
    best = 0.0
    for epoch in range(opt.num_epochs):
        train(opt, train_loader, model, epoch, val_loader)
        best = max(best, validate(opt, val_loader, model))
        print("epoch", epoch, "best", best)
