# probe: SentimentLSTM, script
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence


class SentimentLSTM(nn.Module):
    def __init__(self, vocab_size=50, embed_dim=8, hidden_dim=12, num_layers=2):
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, embed_dim, padding_idx=0)
        self.lstm = nn.LSTM(embed_dim, hidden_dim, num_layers, batch_first=True, bidirectional=True, dropout=0.1)
        self.fc = nn.Linear(2 * hidden_dim, 2)

    def forward(self, text, lengths):
        packed = pack_padded_sequence(
            self.embedding(text), lengths.cpu().clamp(min=1, max=text.size(1)), batch_first=True, enforce_sorted=False
        )
        output, _ = self.lstm(packed)
        output, lens = pad_packed_sequence(output, batch_first=True)
        mask = torch.arange(output.size(1))[None] < lens[:, None]
        pooled = (output * mask.unsqueeze(-1)).sum(1) / lens.unsqueeze(1)
        return self.fc(pooled)


def collate(batch):
    texts, labels = zip(*batch)
    return pad_sequence(texts, batch_first=True), torch.tensor([len(t) for t in texts]), torch.tensor(labels)


if __name__ == "__main__":
    data = [(torch.randint(1, 50, (3 + i % 5,)), i % 2) for i in range(64)]
    loader = torch.utils.data.DataLoader(data, batch_size=16, shuffle=True, collate_fn=collate)
    model = SentimentLSTM()
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters())
    for epoch in range(3):
        for text, lengths, label in loader:
            optimizer.zero_grad()
            loss = criterion(model(text, lengths), label)
            loss.backward()
            optimizer.step()
