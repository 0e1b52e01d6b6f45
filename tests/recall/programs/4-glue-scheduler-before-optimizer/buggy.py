import torch
from torch import nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader, RandomSampler, TensorDataset

args = {
    "train_batch_size": 8,
    "gradient_accumulation_steps": 1,
    "num_train_epochs": 1,
    "learning_rate": 4e-5,
    "warmup_steps": 4,
    "max_grad_norm": 1.0,
}


def linear_schedule(optimizer, warmup_steps, t_total):
    def lr_lambda(step):
        if step < warmup_steps:
            return float(step) / float(max(1, warmup_steps))
        return max(0.0, float(t_total - step) / float(max(1.0, t_total - warmup_steps)))

    return LambdaLR(optimizer, lr_lambda)


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.embeddings = nn.EmbeddingBag(500, 64)
        self.dropout = nn.Dropout(0.1)
        self.classifier = nn.Linear(64, 2)

    def forward(self, input_ids, labels=None):
        logits = self.classifier(self.dropout(self.embeddings(input_ids)))
        loss = nn.functional.cross_entropy(logits, labels) if labels is not None else None
        return loss, logits


def train(train_dataset, model):
    sampler = RandomSampler(train_dataset)
    loader = DataLoader(train_dataset, sampler=sampler, batch_size=args["train_batch_size"])
    t_total = len(loader) * args["num_train_epochs"]
    optimizer = AdamW(model.parameters(), lr=args["learning_rate"], eps=1e-8)
    scheduler = linear_schedule(optimizer, args["warmup_steps"], t_total)

    global_step, tr_loss = 0, 0.0
    model.zero_grad()
    for _ in range(args["num_train_epochs"]):
        for batch in loader:
            model.train()
            loss, _ = model(batch[0], labels=batch[1])
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), args["max_grad_norm"])
            tr_loss += loss.item()
            scheduler.step()
            optimizer.step()
            model.zero_grad()
            global_step += 1
    return global_step, tr_loss / global_step


dataset = TensorDataset(torch.randint(0, 500, (64, 12)), torch.randint(0, 2, (64,)))
global_step, tr_loss = train(dataset, Classifier())
print(" global_step = %s, average loss = %s" % (global_step, tr_loss))
