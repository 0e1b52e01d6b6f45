import torch
from torch import nn
from torch.utils.data import DataLoader, RandomSampler, TensorDataset


class TransformerModelWrapper:
    def __init__(self, vocab=200, num_labels=3, learning_rate=1e-4):
        self.model = nn.Sequential(nn.EmbeddingBag(vocab, 32), nn.Tanh(), nn.Linear(32, num_labels))
        self.learning_rate = learning_rate

    def train(self, dataset, batch_size=8, epochs=2, gradient_accumulation_steps=4, max_grad_norm=1.0):
        dataloader = DataLoader(dataset, sampler=RandomSampler(dataset), batch_size=batch_size)
        optimizer = torch.optim.AdamW(self.model.parameters(), lr=self.learning_rate, eps=1e-8)
        t_total = len(dataloader) // gradient_accumulation_steps * epochs
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: max(0.0, 1 - s / max(1, t_total)))
        loss_fct = nn.CrossEntropyLoss()

        global_step, tr_loss = 0, 0.0
        for _ in range(epochs):
            self.model.train()
            self.model.zero_grad()
            for step, (input_ids, labels) in enumerate(dataloader):
                loss = loss_fct(self.model(input_ids), labels)
                loss = loss / gradient_accumulation_steps
                loss.backward()
                tr_loss += loss.item()
                if (step + 1) % gradient_accumulation_steps == 0 or step + 1 == len(dataloader):
                    torch.nn.utils.clip_grad_norm_(self.model.parameters(), max_grad_norm)
                    optimizer.step()
                    scheduler.step()
                    self.model.zero_grad()
                    global_step += 1
        return global_step, tr_loss / max(1, global_step)


if __name__ == "__main__":
    data = TensorDataset(torch.randint(0, 200, (90, 16)), torch.randint(0, 3, (90,)))
    print(TransformerModelWrapper().train(data))
