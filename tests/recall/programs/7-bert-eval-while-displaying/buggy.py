import torch
import torch.nn as nn
import torch.nn.functional as F


class Classifier(nn.Module):
    def __init__(self, vocab, n_cls):
        super(Classifier, self).__init__()
        self.emb = nn.EmbeddingBag(vocab, 128)
        self.dropout = nn.Dropout(0.1)
        self.proj = nn.Linear(128, n_cls)

    def forward(self, ids):
        return self.proj(self.dropout(self.emb(ids)))


def main(config):
    model = Classifier(config.vocab_size, config.num_classes)
    device = torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    model.to(device)
    optim = torch.optim.AdamW(model.parameters(), lr=2e-5)

    def _compute_loss(logits, labels):
        return F.cross_entropy(logits, labels)

    def _train_epoch(iterator):
        model.train()
        for step, batch in enumerate(iterator):
            optim.zero_grad()
            logits = model(batch["input_ids"].to(device))
            loss = _compute_loss(logits, batch["label_ids"].to(device))
            loss.backward()
            optim.step()
            if step % config.eval_steps == 0:
                _eval_epoch(config.eval_iterator)

    @torch.no_grad()
    def _eval_epoch(iterator):
        model.eval()
        nsamples, correct = 0, 0
        for batch in iterator:
            logits = model(batch["input_ids"].to(device))
            preds = torch.argmax(logits, dim=-1).cpu()
            correct += (preds == batch["label_ids"]).sum().item()
            nsamples += len(preds)
        print("eval accu: %.4f" % (correct / nsamples))

    for _ in range(config.max_train_epoch):
        _train_epoch(config.train_iterator)
        _eval_epoch(config.eval_iterator)
    torch.save(model.state_dict(), config.output)
