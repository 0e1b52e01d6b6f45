import logging

import numpy as np
import torch
from torch import nn


class NaiveBayes(nn.Module):
    def __init__(self, num_classes, num_lfs, init_acc=0.9):
        super().__init__()
        self.accuracy = nn.Parameter(torch.full([num_lfs, num_classes], float(np.log(init_acc / (1 - init_acc)) / 2)))
        self.propensity = nn.Parameter(torch.zeros([num_lfs]))
        self.num_classes = num_classes

    def forward(self, votes):
        acc = torch.log_softmax(self.accuracy, dim=1)
        prop = torch.nn.functional.logsigmoid(self.propensity)
        voted = (votes > 0).float()
        return -((voted * (prop + acc[:, 0])) - (1 - voted) * self.propensity.exp().log1p()).sum(1).mean()

    def _do_estimate_label_model(self, batches, config):
        optimizer = torch.optim.Adam(self.parameters(), lr=config["step_size"])
        for epoch in range(config["epochs"]):
            logging.info("Epoch %d/%d", epoch + 1, config["epochs"])
            self.train()
            running_loss = 0.0
            for votes in batches:
                optimizer.zero_grad()
                loss = self(votes)
                loss.backward()
                optimizer.step()
                running_loss += loss
            epoch_loss = running_loss / len(batches)
            logging.info("Train Loss: %.6f", epoch_loss)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    data = [torch.randint(0, 3, (64, 10)) for _ in range(20)]
    NaiveBayes(2, 10)._do_estimate_label_model(data, {"step_size": 0.01, "epochs": 3})
