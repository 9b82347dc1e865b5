"""Texts to vectors on a CPU with all-MiniLM-L6-v2: `lingxi-content` against PyTorch, onnxruntime, OpenVINO and fastembed.

All get the same texts in the same order and the same weights: 1,024 titles of Amazon Beauty of about 14 tokens, and 256
descriptions of Amazon Industrial & Scientific of about 132 (cut at the model's 256). The clock covers everything from strings to vectors of
length 1, tokens, pooling and normalising included. Peers' texts are sorted by length, padded in batches, and the size of a
batch is the fastest of several, tried for each peer and each kind of text; their pooling is part of their graph. Peers in
bf16 and int8 compete with all that we have, peers in f32 also with our f32. Quality is the smallest cosine to PyTorch's
f32 vectors over all texts.

The ONNX graph is exported here from the local weights, optimised and quantised by onnxruntime's own tools (weights per channel;
dynamic activations for onnxruntime, calibrated ones for OpenVINO, which wants them so), and kept in $LINGXI_CACHE/bench-models.
"""

import json
import math
import os
import pathlib
import statistics
import tempfile
import time
import warnings

import numpy as np
import onnxruntime as ort
import onnxruntime.quantization
import openvino as ov
import ours
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import nn

CACHE = pathlib.Path(os.environ.get("LINGXI_CACHE") or pathlib.Path.home() / ".cache" / "lingxi")
MODEL = CACHE / "assets" / "all-MiniLM-L6-v2"
GRAPHS = CACHE / "bench-models" / "all-MiniLM-L6-v2-cut-at-256"
LONGEST, BATCHES = 256, [8, 16, 32, 64, 128]
OURS = {"ours bf16": "bf16", "ours f32": "f32", "ours int8": "int8"}
# The least cosine to PyTorch's f32 that we must hold.
HELD = {"ours bf16": 0.9995, "ours f32": 0.9999, "ours int8": 0.995}


class Sentence(nn.Module):
    """BERT as its authors wrote it, whose pattern the optimisers know, then mean pooling and length 1."""

    def __init__(self, pooled: bool = True):
        super().__init__()
        self.pooled = pooled
        config, weights = json.loads((MODEL / "config.json").read_text()), load_file(MODEL / "model.safetensors")

        def with_weights(layer, name: str):
            layer.weight.data, layer.bias.data = weights[f"{name}.weight"], weights[f"{name}.bias"]
            return layer

        def linear(name: str):
            return with_weights(nn.Linear(*weights[f"{name}.weight"].shape[::-1]), name)

        def norm(name: str):
            return with_weights(nn.LayerNorm(config["hidden_size"], eps=config["layer_norm_eps"]), name)

        def table(name: str):
            return nn.Embedding.from_pretrained(weights[f"embeddings.{name}_embeddings.weight"])

        def layer(at: str):
            attention = {part: linear(f"{at}.attention.self.{part}") for part in ("query", "key", "value")}
            dense = {"out": linear(f"{at}.attention.output.dense"), "up": linear(f"{at}.intermediate.dense"), "down": linear(f"{at}.output.dense")}
            return nn.ModuleDict({**attention, **dense, "first": norm(f"{at}.attention.output.LayerNorm"), "last": norm(f"{at}.output.LayerNorm")})

        self.heads = config["num_attention_heads"]
        self.word, self.position, self.segment = table("word"), table("position"), table("token_type")
        self.norm = norm("embeddings.LayerNorm")
        self.register_buffer("places", torch.arange(config["max_position_embeddings"]).unsqueeze(0))
        self.layers = nn.ModuleList(layer(f"encoder.layer.{i}") for i in range(config["num_hidden_layers"]))

    def split(self, x):
        return x.view(x.size(0), x.size(1), self.heads, x.size(2) // self.heads).permute(0, 2, 1, 3)

    def forward(self, ids, mask):
        hidden = (1.0 - mask.unsqueeze(1).unsqueeze(2).to(self.norm.weight.dtype)) * -10000.0
        x = self.word(ids) + self.segment(torch.zeros_like(ids)) + self.position(self.places[:, : ids.size(1)])
        x = self.norm(x)
        for layer in self.layers:
            q, k, v = (self.split(layer[part](x)) for part in ("query", "key", "value"))
            seen = torch.softmax(torch.matmul(q, k.transpose(-1, -2)) / math.sqrt(q.size(-1)) + hidden, dim=-1)
            context = torch.matmul(seen, v).permute(0, 2, 1, 3).contiguous()
            x = layer["first"](layer["out"](context.view(x.size(0), x.size(1), x.size(2))) + x)
            x = layer["last"](layer["down"](nn.functional.gelu(layer["up"](x))) + x)
        if not self.pooled:
            return x
        weight = mask.unsqueeze(-1).to(x.dtype)
        return nn.functional.normalize((x * weight).sum(1) / weight.sum(1), dim=-1)


class Fused(Sentence):
    """The same for PyTorch itself: its fused attention, and one product for query, key and value."""

    def __init__(self):
        super().__init__()
        for layer in self.layers:
            parts = [layer[part] for part in ("query", "key", "value")]
            layer["qkv"] = nn.Linear(parts[0].in_features, 3 * parts[0].out_features)
            layer["qkv"].weight.data = torch.cat([part.weight.data for part in parts])
            layer["qkv"].bias.data = torch.cat([part.bias.data for part in parts])

    def forward(self, ids, mask):
        seen = None if bool(mask.all()) else mask[:, None, None, :].bool()
        x = self.word(ids) + self.segment.weight[0] + self.position.weight[: ids.size(1)]
        x = self.norm(x)
        for layer in self.layers:
            q, k, v = (self.split(part) for part in layer["qkv"](x).chunk(3, dim=-1))
            context = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=seen).transpose(1, 2)
            x = layer["first"](layer["out"](context.flatten(2)) + x)
            x = layer["last"](layer["down"](nn.functional.gelu(layer["up"](x))) + x)
        weight = mask.unsqueeze(-1).to(x.dtype)
        return nn.functional.normalize(((x * weight).sum(1) / weight.sum(1)).float(), dim=-1)


def texts(quick: bool) -> dict[str, list[str]]:
    """Real ones, the first that fit, in the order of the file."""
    tokenizer = load_tokenizer()

    def column(name: str, header: str) -> list[str]:
        rows = (ours.data(name) / f"{name}.item").read_text(encoding="utf8").splitlines()
        at = rows[0].split("\t").index(header)
        return [row.split("\t")[at] for row in rows[1:]]

    def within(candidates: list[str], least: int, most: int, count: int) -> list[str]:
        lengths = [len(e.ids) for e in tokenizer.encode_batch(candidates)]
        return [text for text, n in zip(candidates, lengths) if least <= n <= most][:count]

    share = 4 if quick else 1
    return {
        "titles": within(column("beauty", "title:token_seq"), 6, 19, 1024 // share),
        "descriptions": within(column("scientific", "description:token_seq"), 14, LONGEST, 256 // share),
    }


def load_tokenizer() -> Tokenizer:
    tokenizer = Tokenizer.from_file(str(MODEL / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(LONGEST)
    return tokenizer


def batches(tokenizer: Tokenizer, words: list[str], size: int):
    """Where each text of a batch belongs, its ids and its mask; the longest first."""
    lists = [e.ids for e in tokenizer.encode_batch_fast(words)]
    order = sorted(range(len(lists)), key=lambda i: -len(lists[i]))
    for at in range(0, len(order), size):
        part = order[at : at + size]
        ids = np.zeros((len(part), len(lists[part[0]])), dtype=np.int64)
        mask = np.zeros_like(ids)
        for row, i in enumerate(part):
            ids[row, : len(lists[i])], mask[row, : len(lists[i])] = lists[i], 1
        yield part, ids, mask


def padded(run):
    """An encoder of a whole list from one of a padded batch."""
    tokenizer = load_tokenizer()

    def encode(words: list[str], size: int) -> np.ndarray:
        out = np.empty((len(words), 384), dtype=np.float32)
        for part, ids, mask in batches(tokenizer, words, size):
            out[part] = run(ids, mask)
        return out

    return encode


def pytorch(dtype):
    model = Fused().eval().to(dtype)

    def run(ids, mask):
        with torch.inference_mode():
            return model(torch.from_numpy(ids), torch.from_numpy(mask)).numpy()

    return padded(run)


def onnxruntime(path: pathlib.Path):
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = ours.THREADS, 1
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return padded(lambda ids, mask: session.run(None, {"input_ids": ids, "attention_mask": mask})[0])


def openvino(path: pathlib.Path, precision: str, streams: int):
    """As many requests in flight as streams."""
    settings = {"INFERENCE_PRECISION_HINT": precision, "NUM_STREAMS": str(streams), "INFERENCE_NUM_THREADS": str(ours.THREADS)}
    model = ov.Core().compile_model(str(path), "CPU", settings)
    queue, tokenizer = ov.AsyncInferQueue(model, streams), load_tokenizer()

    def encode(words: list[str], size: int) -> np.ndarray:
        out = np.empty((len(words), 384), dtype=np.float32)

        def keep(request, part):
            out[part] = request.get_output_tensor(0).data

        queue.set_callback(keep)
        for part, ids, mask in batches(tokenizer, words, size):
            queue.start_async({"input_ids": ids, "attention_mask": mask}, part)
        queue.wait_all()
        return out

    return encode


def fastembed():
    """Its own tokenizing, pooling and batching, over the optimised graph without our pooling; it pads in the order that it
    is given, so it is given the texts by length."""
    from fastembed import TextEmbedding
    from fastembed.common.model_description import ModelSource, PoolingType

    name = "bench/all-MiniLM-L6-v2"
    TextEmbedding.add_custom_model(model=name, pooling=PoolingType.MEAN, normalization=True, dim=384, sources=ModelSource(hf=name), model_file="tokens.onnx")
    model = TextEmbedding(name, threads=ours.THREADS, specific_model_path=str(GRAPHS))

    def encode(words: list[str], size: int) -> np.ndarray:
        order = sorted(range(len(words)), key=lambda i: -len(words[i]))
        out = np.empty((len(words), 384), dtype=np.float32)
        out[order] = np.stack(list(model.embed([words[i] for i in order], batch_size=size)))
        return out

    return encode



class Calibration(ort.quantization.CalibrationDataReader):
    """A few real batches of both kinds."""

    def __init__(self, words: dict[str, list[str]]):
        tokenizer = load_tokenizer()
        some = [batch for kind in words.values() for batch in batches(tokenizer, kind[:64], 8)]
        self.left = iter([{"input_ids": ids, "attention_mask": mask} for _, ids, mask in some])

    def get_next(self):
        return next(self.left, None)


def make_graphs(words: dict[str, list[str]], say) -> None:
    """Exports, optimises and quantises, once."""
    wanted = ["plain.onnx", "optimised.onnx", "tokens.onnx", "dynamic.onnx", "static.onnx", "tokenizer.json"]
    if all((GRAPHS / name).exists() for name in wanted):
        return
    say(f"exporting graphs into {GRAPHS} ...")
    from onnxruntime import quantization
    from onnxruntime.transformers import optimizer

    GRAPHS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=GRAPHS) as folder:
        new = pathlib.Path(folder)
        for name, pooled in (("plain.onnx", True), ("bare.onnx", False)):
            given = torch.ones(2, 9, dtype=torch.int64)
            free = {part: {0: "batch", 1: "length"} for part in ("input_ids", "attention_mask")}
            names = {"input_names": list(free), "output_names": ["vectors"], "dynamic_axes": free, "opset_version": 17, "dynamo": False}
            torch.onnx.export(Sentence(pooled).eval(), (given, given), str(new / name), **names)
        for plain, fused in (("plain.onnx", "optimised.onnx"), ("bare.onnx", "tokens.onnx")):
            graph = optimizer.optimize_model(str(new / plain), model_type="bert", num_heads=12, hidden_size=384, opt_level=0)
            assert graph.get_fused_operator_statistics()["Attention"] == 6, "the optimiser did not know the pattern"
            graph.save_model_to_file(str(new / fused))
        quantization.quantize_dynamic(str(new / "optimised.onnx"), str(new / "dynamic.onnx"), per_channel=True, weight_type=quantization.QuantType.QInt8, extra_options={"DefaultTensorType": 1})
        quantization.quant_pre_process(str(new / "plain.onnx"), str(new / "shaped.onnx"), skip_symbolic_shape=True)
        settings = {"per_channel": True, "weight_type": quantization.QuantType.QInt8, "op_types_to_quantize": ["MatMul"]}
        # Products of two activations (attention) stay as they are: only those with weights are quantised.
        settings["extra_options"] = {"MatMulConstBOnly": True}
        quantization.quantize_static(str(new / "shaped.onnx"), str(new / "static.onnx"), Calibration(words), **settings)
        for name in ("tokenizer.json", "config.json"):
            (new / name).write_bytes((MODEL / name).read_bytes())
        # fastembed cuts texts where this file says.
        config = json.loads((MODEL / "tokenizer_config.json").read_text())
        (new / "tokenizer_config.json").write_text(json.dumps({**config, "model_max_length": LONGEST, "max_length": LONGEST}))
        (new / "special_tokens_map.json").write_text(json.dumps({"pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]", "unk_token": "[UNK]", "mask_token": "[MASK]"}))
        for name in [*wanted, "tokenizer_config.json", "config.json", "special_tokens_map.json"]:
            os.replace(new / name, GRAPHS / name)


def peers() -> dict:
    """Name -> encoder of (texts, size of a batch)."""
    found = {
        "PyTorch f32": pytorch(torch.float32),
        "PyTorch bf16": pytorch(torch.bfloat16),
        "onnxruntime f32": onnxruntime(GRAPHS / "optimised.onnx"),
        "onnxruntime int8": onnxruntime(GRAPHS / "dynamic.onnx"),
        "fastembed f32": fastembed(),
    }
    for streams in (1, 2):
        found[f"OpenVINO f32, {streams} streams"] = openvino(GRAPHS / "plain.onnx", "f32", streams)
        found[f"OpenVINO bf16, {streams} streams"] = openvino(GRAPHS / "plain.onnx", "bf16", streams)
        found[f"OpenVINO int8, {streams} streams"] = openvino(GRAPHS / "static.onnx", "f32", streams)
    return found


def ours_encoders(folder: pathlib.Path, words: dict[str, list[str]]) -> dict:
    """Name -> encoder of (texts, _), each a running program that has read the texts from files and tells its own seconds."""
    binary = ours.build_example("lingxi-content", "encode_file")
    for kind, some in words.items():
        (folder / f"{kind}.json").write_text(json.dumps(some))
    return {name: {kind: ours.Program(binary, MODEL, folder / f"{kind}.json", precision, folder / f"{kind}.{precision}.f32") for kind in words} for name, precision in OURS.items()}


def timed(encode, words: list[str], size: int) -> tuple[float, np.ndarray]:
    start = time.perf_counter()
    vectors = encode(words, size)
    return time.perf_counter() - start, vectors


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    a, b = (x.astype(np.float64) / np.linalg.norm(x.astype(np.float64), axis=1, keepdims=True) for x in (a, b))
    return float((a * b).sum(1).min())


def one_kind(kind: str, words: list[str], others: dict, mine: dict, runs: int, folder: pathlib.Path, say) -> list:
    # The best size on a quarter of the texts, warmed by the size before.
    few, sizes = words[:: 4], {}
    for name, encode in others.items():
        encode(few, BATCHES[0])
        sizes[name] = min(BATCHES, key=lambda size: min(timed(encode, few, size)[0] for _ in range(2)))
    truth = timed(others["PyTorch f32"], words, sizes["PyTorch f32"])[1]
    seconds, quality = {name: [] for name in [*mine, *others]}, {}
    for turn in range(runs + 1):  # the first warms and is thrown away
        for name, programs in mine.items():
            time.sleep(0.1)
            seconds[name].append(programs[kind].ask()["seconds"])
        for name, encode in others.items():
            time.sleep(0.1)
            took, vectors = timed(encode, words, sizes[name])
            seconds[name].append(took)
            quality[name] = cosine(vectors, truth)
    for name, precision in OURS.items():
        quality[name] = cosine(np.fromfile(folder / f"{kind}.{precision}.f32", dtype="<f4").reshape(truth.shape), truth)
    middle = {name: statistics.median(all_[1:]) for name, all_ in seconds.items()}
    tokens = statistics.mean(len(e.ids) for e in load_tokenizer().encode_batch(words))
    say(f"{kind}: {len(words)} texts of {tokens:.1f} tokens")
    for name in sorted(middle, key=middle.get):
        size = f"batches of {sizes[name]}" if name in sizes else ""
        say(f"  {name:28} {len(words) / middle[name]:8.0f} texts/s   least cosine {quality[name]:.5f}   {size}")
    for name, least in HELD.items():
        assert quality[name] >= least, f"{name}: cosine {quality[name]} to PyTorch's f32, expected at least {least}"

    def against(name: str, fits) -> dict:
        best = min((other for other in others if fits(other)), key=middle.get)
        case = ours.case(f"{kind}, {name} against the fastest", middle[name], middle[best], best)
        return {**case, "cosine": quality[name], "texts_per_second": len(words) / middle[name]}

    return [
        against("ours bf16", lambda other: True),
        against("ours int8", lambda other: "int8" in other),
        against("ours f32", lambda other: "f32" in other),
    ]


def run(quick: bool, say) -> list:
    warnings.filterwarnings("ignore")
    torch.set_num_threads(ours.THREADS)
    os.environ["TOKENIZERS_PARALLELISM"] = "true"
    os.environ["RAYON_NUM_THREADS"] = str(ours.THREADS)
    say(f"{ours.THREADS} threads each; PyTorch {torch.__version__}, onnxruntime {ort.__version__}, OpenVINO {ov.__version__}")
    words = texts(quick)
    make_graphs(words, say)
    others = peers()
    with tempfile.TemporaryDirectory() as folder:
        mine = ours_encoders(pathlib.Path(folder), words)
        found = [case for kind in words for case in one_kind(kind, words[kind], others, mine, 3 if quick else 7, pathlib.Path(folder), say)]
        for programs in mine.values():
            for program in programs.values():
                program.close()
    return found
