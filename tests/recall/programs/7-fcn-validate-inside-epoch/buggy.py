import os.path as osp

import numpy as np
import torch
import torch.nn.functional as F
import tqdm


def cross_entropy2d(score, target):
    return F.cross_entropy(score, target, ignore_index=-1)


class Trainer(object):
    def __init__(self, cuda, model, optimizer, train_loader, val_loader, out, max_iter, interval_validate=4000):
        self.cuda = cuda
        self.model = model
        self.optim = optimizer
        self.train_loader = train_loader
        self.val_loader = val_loader
        self.out = out
        self.max_iter = max_iter
        self.interval_validate = interval_validate
        self.epoch = 0
        self.iteration = 0
        self.best_loss = np.inf

    def validate(self):
        self.model.eval()
        total = 0.0
        with torch.no_grad():
            for data, target in self.val_loader:
                if self.cuda:
                    data, target = data.cuda(), target.cuda()
                total += cross_entropy2d(self.model(data), target).item()
        total /= len(self.val_loader)
        if total < self.best_loss:
            self.best_loss = total
            torch.save(self.model.state_dict(), osp.join(self.out, "model_best.pth.tar"))

    def train_epoch(self):
        self.model.train()
        for batch_idx, (data, target) in tqdm.tqdm(enumerate(self.train_loader), total=len(self.train_loader)):
            self.iteration = batch_idx + self.epoch * len(self.train_loader)
            if self.iteration % self.interval_validate == 0:
                self.validate()
            if self.cuda:
                data, target = data.cuda(), target.cuda()
            self.optim.zero_grad()
            loss = cross_entropy2d(self.model(data), target)
            loss.backward()
            self.optim.step()
            if self.iteration >= self.max_iter:
                break

    def train(self):
        max_epoch = self.max_iter // len(self.train_loader) + 1
        for epoch in range(max_epoch):
            self.epoch = epoch
            self.train_epoch()
            if self.iteration >= self.max_iter:
                break
