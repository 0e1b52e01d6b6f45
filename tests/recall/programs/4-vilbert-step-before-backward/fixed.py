import torch
import torch.nn as nn


class MultiTaskModel(nn.Module):
    def __init__(self, task_labels):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(40, 64), nn.GELU())
        self.heads = nn.ModuleDict({task: nn.Linear(64, n) for task, n in task_labels.items()})

    def forward(self, x, task):
        return self.heads[task](self.encoder(x))


TASKS = {"VQA": 20, "GQA": 15}
LOSSES = {"VQA": nn.CrossEntropyLoss(), "GQA": nn.CrossEntropyLoss()}


def forward_models_train(task_id, batch, model):
    features, target = batch
    pred = model(features, task_id)
    loss = LOSSES[task_id](pred, target)
    score = (pred.argmax(1) == target).float().mean()
    return loss, score


def main():
    model = MultiTaskModel(TASKS)
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-5)
    loaders = {t: [(torch.randn(8, 40), torch.randint(0, n, (8,))) for _ in range(5)] for t, n in TASKS.items()}

    for epoch_id in range(2):
        model.train()
        for task_id, loader in loaders.items():
            for batch in loader:
                loss, score = forward_models_train(task_id, batch, model)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            print(epoch_id, task_id, loss.item(), score.item())


if __name__ == "__main__":
    main()
