import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR


class TinyLM(nn.Module):
    def __init__(self, vocab=100, dim=32):
        super().__init__()
        self.wte = nn.Embedding(vocab, dim)
        self.block = nn.TransformerEncoderLayer(dim, 4, dim_feedforward=64, batch_first=True)
        self.head = nn.Linear(dim, vocab)
        self.loss_fct = nn.CrossEntropyLoss()

    def forward(self, input_ids, labels):
        hidden = self.block(self.wte(input_ids))
        logits = self.head(hidden)
        return self.loss_fct(logits.view(-1, logits.size(-1)), labels.view(-1))


def warmup_linear(total):
    def lr_lambda(step):
        return max(0.0, 1.0 - step / total)

    return lr_lambda


def main():
    num_train_epochs = 2
    train_dataloader = [(torch.randint(0, 100, (4, 16)), torch.randint(0, 100, (4, 16))) for _ in range(8)]
    model = TinyLM()
    param_optimizer = list(model.named_parameters())
    no_decay = ["bias", "norm"]
    grouped = [
        {"params": [p for n, p in param_optimizer if not any(nd in n for nd in no_decay)], "weight_decay": 0.01},
        {"params": [p for n, p in param_optimizer if any(nd in n for nd in no_decay)], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(grouped, lr=6.25e-5)
    scheduler = LambdaLR(optimizer, warmup_linear(num_train_epochs * len(train_dataloader)))

    nb_tr_steps, exp_average_loss = 0, None
    model.train()
    for _ in range(num_train_epochs):
        tr_loss = 0
        for batch in train_dataloader:
            input_ids, lm_labels = batch
            loss = model(input_ids, lm_labels)
            loss.backward()
            optimizer.step()
            scheduler.step()
            tr_loss += loss.item()
            exp_average_loss = loss.item() if exp_average_loss is None else 0.7 * exp_average_loss + 0.3 * loss.item()
            nb_tr_steps += 1
        print("Training loss: {:.2e} lr: {:.2e}".format(exp_average_loss, scheduler.get_last_lr()[0]))


if __name__ == "__main__":
    main()
