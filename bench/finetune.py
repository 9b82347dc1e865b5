"""One training step of all-MiniLM-L6-v2 with a head of 150 classes on the mean of its token vectors: batch 16, 32 tokens, dropout 0.1
on hidden vectors and attention, AdamW. Ours against PyTorch at its fastest, LoRA (rank 8 on query and value) and all parameters.

PyTorch runs on 2 threads in each of its ways: eager and compiled, f32 and bf16 autocast, with its fused attention and its fused AdamW,
as a plain module with one product for query, key and value where all are trained; `transformers` beside it. With LoRA frozen weights have
no gradient, and in bf16 they are kept as bf16, so that nothing is cast at every step. All run in turns; the fastest median is the peer.

Before the clock starts, both sides train on the same batch without dropout, every head from zero: the losses of the first three steps
(two of LoRA, since what it adds begins at random) must agree to 1e-3, and the first must be that of a model that knows nothing, ln 150.
"""

import json
import math
import os
import pathlib
import statistics
import tempfile
import time

import ours
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn

CACHE = pathlib.Path(os.environ.get("LINGXI_CACHE") or pathlib.Path.home() / ".cache" / "lingxi")
MODEL = CACHE / "assets" / "all-MiniLM-L6-v2"
BATCH, TOKENS, CLASSES, DROPOUT, RANK, ALPHA, RATE = 16, 32, 150, 0.1, 8, 16.0, 1e-3
AGREE = 1e-3


class Lora(nn.Module):
    """A frozen layer beside which `rank` numbers learn: W x + alpha / rank * B (A x)."""

    def __init__(self, frozen: nn.Linear):
        super().__init__()
        self.frozen = frozen
        self.a = nn.Parameter(torch.empty(RANK, frozen.in_features))
        self.b = nn.Parameter(torch.zeros(frozen.out_features, RANK))
        nn.init.kaiming_uniform_(self.a, a=math.sqrt(5))

    def forward(self, x):
        return self.frozen(x) + F.linear(F.linear(x, self.a), self.b) * (ALPHA / RANK)


class Plain(nn.Module):
    """BERT without what a step does not need: no mask where all texts are of one length, one product for query, key and value."""

    def __init__(self, dropout: float, fused: bool):
        super().__init__()
        config, weights = json.loads((MODEL / "config.json").read_text()), load_file(MODEL / "model.safetensors")

        def linear(*names: str):
            joined = [torch.cat([weights[f"{name}.{part}"] for name in names]) for part in ("weight", "bias")]
            layer = nn.Linear(*joined[0].shape[::-1])
            layer.weight.data, layer.bias.data = joined
            return layer

        def norm(name: str):
            layer = nn.LayerNorm(config["hidden_size"], eps=config["layer_norm_eps"])
            layer.weight.data, layer.bias.data = weights[f"{name}.weight"], weights[f"{name}.bias"]
            return layer

        def layer(at: str):
            own = [f"{at}.attention.self.{part}" for part in ("query", "key", "value")]
            first = {"qkv": linear(*own)} if fused else dict(zip("qkv", map(linear, own), strict=True))
            dense = {"out": f"{at}.attention.output", "up": f"{at}.intermediate", "down": f"{at}.output"}
            norms = {"first": norm(f"{at}.attention.output.LayerNorm"), "last": norm(f"{at}.output.LayerNorm")}
            return nn.ModuleDict({**first, **{name: linear(f"{of}.dense") for name, of in dense.items()}, **norms})

        def table(name: str):
            return nn.Embedding.from_pretrained(weights[f"embeddings.{name}_embeddings.weight"], freeze=False)

        self.heads, self.dropout = config["num_attention_heads"], dropout
        self.word, self.position, self.segment = table("word"), table("position"), table("token_type")
        self.norm = norm("embeddings.LayerNorm")
        self.layers = nn.ModuleList(layer(f"encoder.layer.{i}") for i in range(config["num_hidden_layers"]))

    def forward(self, ids):
        def drop(x):
            return F.dropout(x, self.dropout, self.training)

        def split(x):
            return x.view(x.size(0), x.size(1), self.heads, -1).transpose(1, 2)

        x = drop(self.norm(self.word(ids) + self.segment.weight[0] + self.position.weight[: ids.size(1)]))
        for layer in self.layers:
            parts = layer["qkv"](x).chunk(3, dim=-1) if "qkv" in layer else [layer[name](x) for name in "qkv"]
            q, k, v = map(split, parts)
            seen = F.scaled_dot_product_attention(q, k, v, dropout_p=self.dropout if self.training else 0.0)
            x = layer["first"](x + drop(layer["out"](seen.transpose(1, 2).flatten(2))))
            x = layer["last"](x + drop(layer["down"](F.gelu(layer["up"](x)))))
        return x


class Theirs(nn.Module):
    """The model of `transformers`."""

    def __init__(self, dropout: float):
        super().__init__()
        from transformers import BertModel

        kept = {"hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout, "attn_implementation": "sdpa"}
        self.bert = BertModel.from_pretrained(MODEL, add_pooling_layer=False, local_files_only=True, **kept)

    def forward(self, ids):
        return self.bert(ids).last_hidden_state


class Tuned(nn.Module):
    """An encoder with its head, and what of it is trained."""

    def __init__(self, encoder: nn.Module, strategy: str, bf16: bool):
        super().__init__()
        self.encoder = encoder
        if strategy == "lora":
            encoder.requires_grad_(False)
            for module in list(encoder.modules()):
                for name in ("q", "v", "query", "value"):
                    inside = isinstance(module, nn.ModuleDict) and name in module
                    frozen = module[name] if inside else getattr(module, name, None)
                    if not isinstance(frozen, nn.Linear):
                        continue
                    if inside:
                        module[name] = Lora(frozen)
                    else:
                        setattr(module, name, Lora(frozen))
            if bf16:
                for module in encoder.modules():
                    if isinstance(module, nn.Linear):
                        module.to(torch.bfloat16)
        self.head = nn.Linear(384, CLASSES)
        nn.init.zeros_(self.head.weight), nn.init.zeros_(self.head.bias)

    def forward(self, ids, labels):
        return F.cross_entropy(self.head(self.encoder(ids).mean(1)).float(), labels)


def peer(strategy: str, kind: str, bf16: bool, compiled: bool, batch: dict, dropout: float):
    """A closure that takes one step and returns its loss and seconds."""
    torch.manual_seed(1)
    encoder = Theirs(dropout) if kind == "transformers" else Plain(dropout, strategy == "full")
    net = Tuned(encoder, strategy, bf16).train()
    optimiser = torch.optim.AdamW([p for p in net.parameters() if p.requires_grad], lr=RATE, fused=True)
    loss_of = torch.compile(net) if compiled else net
    ids, labels = torch.tensor(batch["ids"]), torch.tensor(batch["labels"])

    def step():
        start = time.perf_counter()
        optimiser.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = loss_of(ids, labels)
        loss.backward()
        optimiser.step()
        return loss.item(), time.perf_counter() - start

    return step


def mine(program, strategy: str, precision: str, dropout: float, file):
    """The same for ours."""
    told = ["--strategy", strategy, "--batch", BATCH, "--tokens", TOKENS, "--classes", CLASSES, "--dropout", dropout]
    how = ["--precision", precision, "--rate", RATE, "--steps", 1000, "--seed", 1, "--ids", file, "--wait"]
    running = ours.Program(program, MODEL, *told, *how)

    def step():
        answer = running.ask()
        return answer["loss"], answer["seconds"]

    return running, step


def agree(program, strategy: str, batch: dict, file, say) -> None:
    """Ends the bench if both sides do not learn the same from the same texts."""
    running, step = mine(program, strategy, "f32", 0.0, file)
    # The head learns from the first step on, the encoder from the second. What LoRA adds begins at random, so its third loss differs.
    steps = 2 if strategy == "lora" else 3
    left = [step()[0] for _ in range(steps)]
    running.close()
    for kind in ("plain", "transformers"):
        theirs = peer(strategy, kind, False, False, batch, 0.0)
        right = [theirs()[0] for _ in range(steps)]
        say(f"  {strategy}, no dropout, losses: ours {left}, {kind} {right}")
        if abs(left[0] - math.log(CLASSES)) > AGREE or any(abs(a - b) > AGREE for a, b in zip(left, right, strict=True)):
            raise SystemExit(f"bench: {strategy}: the losses of ours and {kind} differ by more than {AGREE}")


def run(quick: bool, say) -> list:
    torch.set_num_threads(ours.THREADS)
    program = ours.build_example("lingxi-content", "finetune_step")
    draw = torch.Generator().manual_seed(7)
    words = torch.randint(1996, 29_000, (BATCH, TOKENS - 2), generator=draw).tolist()
    batch = {"ids": [[101, *row, 102] for row in words], "labels": torch.randint(0, CLASSES, (BATCH,), generator=draw).tolist()}
    cases = []
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "batch.json"
        file.write_text(json.dumps(batch))
        for strategy in ("lora", "full"):
            agree(program, strategy, batch, file, say)
            medians = race(program, strategy, batch, file, quick, say)
            fastest = min((label for label in medians if not label.startswith("ours")), key=medians.get)
            best = min((label for label in medians if label.startswith("ours")), key=medians.get)
            for label, seconds in medians.items():
                say(f"  {strategy}: {label} {1e3 * seconds:.1f} ms")
            cases.append(ours.case(f"{strategy} step", 1e3 * medians[best], 1e3 * medians[fastest], fastest, "ms a step"))
            in_f32 = min((label for label in medians if "f32" in label and "ours" not in label), key=medians.get)
            say(f"  {strategy} in f32 alone: {medians[in_f32] / medians['ours f32']:.2f} times {in_f32}")
    return cases


def race(program, strategy: str, batch: dict, file, quick: bool, say) -> dict:
    """Median seconds of a step of each, all in turns."""
    steps, running = {}, []
    for precision in ("f32", "bf16"):
        started, steps[f"ours {precision}"] = mine(program, strategy, precision, DROPOUT, file)
        running.append(started)
    for kind, compiled in [("plain", False), ("plain", True), ("transformers", False)]:
        for bf16 in (False, True):
            label = f"PyTorch {kind} {'bf16' if bf16 else 'f32'} {'compiled' if compiled else 'eager'}"
            steps[label] = peer(strategy, kind, bf16, compiled, batch, DROPOUT)
    times = {label: [] for label in steps}
    for turn in range(8 if quick else 25):
        for label, step in steps.items():
            loss, seconds = step()
            if not math.isfinite(loss):
                raise SystemExit(f"bench: {label} has a loss of {loss}")
            # The first rounds compile and warm the caches.
            if turn >= 3:
                times[label].append(seconds)
    [program.close() for program in running]
    return {label: statistics.median(seconds) for label, seconds in times.items()}
