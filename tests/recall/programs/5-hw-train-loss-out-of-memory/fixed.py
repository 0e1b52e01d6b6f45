import torch
from torch import nn
from torch.optim import AdamW
from torch.utils.data import DataLoader, TensorDataset
from types import SimpleNamespace

num_epoch, logging_step, learning_rate = 1, 4, 1e-4


class QAModel(nn.Module):
    def __init__(self, vocab=300, dim=32):
        super().__init__()
        self.embed = nn.Embedding(vocab, dim)
        self.encoder = nn.GRU(dim, dim, batch_first=True)
        self.qa_outputs = nn.Linear(dim, 2)

    def forward(self, input_ids, start_positions=None, end_positions=None):
        hidden, _ = self.encoder(self.embed(input_ids))
        start_logits, end_logits = self.qa_outputs(hidden).unbind(-1)
        loss = None
        if start_positions is not None:
            ce = nn.CrossEntropyLoss()
            loss = (ce(start_logits, start_positions) + ce(end_logits, end_positions)) / 2
        return SimpleNamespace(loss=loss, start_logits=start_logits, end_logits=end_logits)


train_set = TensorDataset(torch.randint(0, 300, (64, 40)), torch.randint(0, 40, (64,)), torch.randint(0, 40, (64,)))
train_loader = DataLoader(train_set, batch_size=8, shuffle=True)
model = QAModel()
optimizer = AdamW(model.parameters(), lr=learning_rate)

model.train()
for epoch in range(num_epoch):
    step = 1
    train_loss = train_acc = 0
    for data in train_loader:
        output = model(input_ids=data[0], start_positions=data[1], end_positions=data[2])
        start_index = torch.argmax(output.start_logits, dim=1)
        end_index = torch.argmax(output.end_logits, dim=1)
        train_acc += ((start_index == data[1]) & (end_index == data[2])).float().mean()
        train_loss += output.loss.item()

        output.loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        step += 1
        if step % logging_step == 0:
            print(f"Epoch {epoch + 1} | Step {step} | loss = {train_loss / logging_step:.3f}")
    print(f"epoch {epoch + 1} acc = {train_acc / len(train_loader):.3f}")
