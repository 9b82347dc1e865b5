"""One training step of SASRec (10,000 items, 50 events, batch 128, 64 numbers, 2 blocks), ours against PyTorch at its fastest.

PyTorch runs the same model on 2 threads in each of its ways: eager and compiled, f32 and bf16 autocast, with its fused Adam. All
run in turns; the fastest median is the peer. Loss by full softmax, and by binary cross-entropy with one negative a state.
Both begin at the loss of a model that knows nothing, which is checked.
"""

import math
import statistics
import time

import ours

ITEMS, DIM, LAYERS, HEADS, BATCH, LENGTH, DROPOUT = 10_000, 64, 2, 2, 128, 50, 0.2


def peer(loss_name: str, bf16: bool, compiled: bool):
    """A closure that takes one step and returns its seconds and loss."""
    import torch
    import torch.nn as nn
    import torch.nn.functional as F

    torch.manual_seed(1)

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second, self.drop = nn.LayerNorm(DIM), nn.LayerNorm(DIM), nn.Dropout(DROPOUT)
            self.qkv, self.out = nn.Linear(DIM, 3 * DIM), nn.Linear(DIM, DIM)
            self.up, self.down = nn.Linear(DIM, DIM), nn.Linear(DIM, DIM)

        def forward(self, x):
            q, k, v = self.qkv(self.first(x)).view(BATCH, LENGTH, 3, HEADS, DIM // HEADS).permute(2, 0, 3, 1, 4)
            seen = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(BATCH, LENGTH, DIM)
            x = x + self.drop(self.out(seen))
            return x + self.drop(self.down(F.gelu(self.up(self.second(x)))))

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.items, self.places = nn.Embedding(ITEMS, DIM), nn.Embedding(LENGTH, DIM)
            self.blocks, self.last = nn.ModuleList(Block() for _ in range(LAYERS)), nn.LayerNorm(DIM)
            self.drop = nn.Dropout(DROPOUT)
            nn.init.normal_(self.items.weight, std=0.02)

        def forward(self, x):
            x = self.drop(self.items(x) * DIM**0.5 + self.places.weight)
            for block in self.blocks:
                x = block(x)
            return self.last(x)

    net = Net().train()
    optimiser = torch.optim.AdamW(net.parameters(), fused=True)

    def full(x, y, _):
        return F.cross_entropy((net(x) @ net.items.weight.T).reshape(-1, ITEMS), y.reshape(-1))

    def bce(x, y, z):
        h = net(x)
        return F.softplus(-(h * net.items(y)).sum(-1)).mean() + F.softplus((h * net.items(z)).sum(-1)).mean()

    loss_of = {"full": full, "bce": bce}[loss_name]
    if compiled:
        loss_of = torch.compile(loss_of)
    batches = [[torch.randint(0, ITEMS, (BATCH, LENGTH)) for _ in range(3)] for _ in range(8)]
    turn = 0

    def step():
        nonlocal turn
        turn += 1
        start = time.perf_counter()
        optimiser.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = loss_of(*batches[turn % 8])
        loss.backward()
        optimiser.step()
        return time.perf_counter() - start, loss.item()

    return step


def run(quick: bool, say) -> list:
    import torch

    torch.set_num_threads(ours.THREADS)
    program = ours.build_example("lingxi-behaviour", "step")
    cases = []
    for name, start in [("full", math.log(ITEMS)), ("bce", 2 * math.log(2))]:
        mine = ours.Program(program, name)
        peers = {}
        for bf16 in (False, True):
            for compiled in (False, True):
                label = f"PyTorch {'bf16' if bf16 else 'f32'} {'compiled' if compiled else 'eager'}"
                peers[label] = peer(name, bf16, compiled)
        times = {label: [] for label in ["ours", *peers]}
        for turn in range(8 if quick else 25):
            answer = mine.ask()
            losses = {"ours": answer["loss"]}
            took = {"ours": answer["seconds"]}
            for label, step in peers.items():
                took[label], losses[label] = step()
            if turn == 0:
                for label, loss in losses.items():
                    if not abs(loss - start) < 0.25 * start:
                        raise SystemExit(f"bench: {label} begins at a loss of {loss:.2f}, expected about {start:.2f}")
            # The first rounds compile and warm the caches.
            if turn >= 3:
                for label, seconds in took.items():
                    times[label].append(seconds)
        mine.close()
        medians = {label: statistics.median(seconds) for label, seconds in times.items()}
        for label, seconds in medians.items():
            say(f"  {name}: {label} {1e3 * seconds:.1f} ms")
        fastest = min(peers, key=medians.get)
        cases.append(ours.case(name, 1e3 * medians["ours"], 1e3 * medians[fastest], fastest, "ms a step"))
    return cases
