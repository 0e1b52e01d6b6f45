import torch
import torch.nn as nn


class ViewTransformer(nn.Module):
    def __init__(self, dim=32):
        super().__init__()
        self.blocks = nn.ModuleList([nn.Linear(dim, dim) for _ in range(3)])
        self.out = nn.Linear(dim, 3)

    def forward(self, tokens):
        for block in self.blocks:
            tokens = tokens + torch.tanh(block(tokens))
        return self.out(tokens)


def main():
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = ViewTransformer().to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-4, betas=(0.9, 0.95))
    scaler = torch.amp.GradScaler(device)
    grad_clip_norm, allowed_gradnorm = 1.0, 2.0

    cur_step, param_updates = 0, 0
    while cur_step < 20:
        tokens = torch.randn(4, 16, 32, device=device)
        target = (1 + 4 * (cur_step % 5 == 4)) * torch.randn(4, 16, 3, device=device)
        with torch.autocast(device, dtype=torch.bfloat16):
            loss = ((model(tokens) - target) ** 2).mean()
        optimizer.zero_grad(set_to_none=True)
        scaler.scale(loss).backward()
        cur_step += 1

        scaler.unscale_(optimizer)
        grad_norm = nn.utils.clip_grad_norm_(model.parameters(), grad_clip_norm).item()
        if grad_norm > allowed_gradnorm:
            print(f"WARNING: step {cur_step} grad norm too large {grad_norm}, skipping optimizer step")
        else:
            scaler.step(optimizer)
            scaler.update()
            param_updates += 1
    print(cur_step, param_updates)


if __name__ == "__main__":
    main()
