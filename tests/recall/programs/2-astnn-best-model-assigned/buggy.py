import time

import torch
from torch import nn


class BatchProgramClassifier(nn.Module):
    def __init__(self, embedding_dim, hidden_dim, vocab_size, label_size):
        super(BatchProgramClassifier, self).__init__()
        self.embedding = nn.Embedding(vocab_size, embedding_dim)
        self.bigru = nn.GRU(embedding_dim, hidden_dim, bidirectional=True, batch_first=True)
        self.hidden2label = nn.Linear(hidden_dim * 2, label_size)

    def forward(self, x):
        out, _ = self.bigru(self.embedding(x))
        return self.hidden2label(out.max(dim=1)[0])


def get_batch(dataset, idx, bs):
    x, y = dataset
    return x[idx : idx + bs], y[idx : idx + bs]


if __name__ == "__main__":
    EPOCHS, BATCH_SIZE, LABELS = 15, 64, 104
    train_data = torch.randint(0, 5000, (2000, 60)), torch.randint(0, LABELS, (2000,))
    val_data = torch.randint(0, 5000, (400, 60)), torch.randint(0, LABELS, (400,))
    model = BatchProgramClassifier(128, 100, 5000, LABELS)
    optimizer = torch.optim.Adamax(model.parameters())
    loss_function = torch.nn.CrossEntropyLoss()
    best_acc = 0.0
    best_model = model

    for epoch in range(EPOCHS):
        start_time = time.time()
        model.train()
        i = 0
        while i < len(train_data[0]):
            train_inputs, train_labels = get_batch(train_data, i, BATCH_SIZE)
            i += BATCH_SIZE
            optimizer.zero_grad()
            output = model(train_inputs)
            loss = loss_function(output, train_labels)
            loss.backward()
            optimizer.step()

        model.eval()
        with torch.no_grad():
            acc = (model(val_data[0]).argmax(1) == val_data[1]).float().mean().item()
        if acc > best_acc:
            best_acc = acc
            best_model = model
        print("[Epoch: %3d] Validation Acc: %.3f, Time: %.1f s" % (epoch + 1, acc, time.time() - start_time))

    model = best_model
    model.eval()
    with torch.no_grad():
        print("Testing results(Acc):", (model(val_data[0]).argmax(1) == val_data[1]).float().mean().item())
