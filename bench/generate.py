"""SmolLM2-135M: reading a prompt and writing after it, ours against llama.cpp and PyTorch, same weights, greedy.

Weights: the asset in Q8_0, as `lingxi-content` keeps it (a GGUF file that llama.cpp and transformers read too). Each turn reads
one prompt of real text and writes after it; prompts and programs take turns. Quality: logits after each prompt against
PyTorch's in f32, and how many of the first tokens are the same."""

import ctypes
import json
import os
import pathlib
import statistics
import tempfile
import time
import warnings

import numpy as np
import ours
import torch

CACHE = pathlib.Path(os.environ.get("LINGXI_CACHE") or pathlib.Path.home() / ".cache" / "lingxi")
MODEL = CACHE / "assets" / "SmolLM2-135M-Instruct" / "SmolLM2-135M-Instruct.Q4_1.gguf"
LONG, SHORT, WRITTEN = 512, 128, 64
# Least cosine of logits to PyTorch's in f32; llama.cpp rounds to bytes as we do.
HELD = 0.995


class Ours:
    name = "ours Q8_0"

    def __init__(self, folder: pathlib.Path):
        self.program = ours.Program(ours.build_example("lingxi-content", "generate_file"), MODEL, folder)

    def run(self, tokens: list[int], most: int) -> dict:
        self.program.process.stdin.write(json.dumps([tokens, most]))
        return self.program.ask()


class LlamaCpp:
    def __init__(self, path: pathlib.Path, name: str):
        import llama_cpp

        self.name, self.api = f"llama.cpp {name}", llama_cpp
        # Two threads for both, all tokens of a prompt in one batch: its best on this machine.
        self.llm = llama_cpp.Llama(str(path), n_ctx=1024, n_batch=LONG, n_ubatch=LONG, n_threads=ours.THREADS, n_threads_batch=ours.THREADS, verbose=False)
        self.vocabulary = self.llm.n_vocab()

    def decode(self, tokens: list[int]) -> np.ndarray:
        """Its C interface, without the copies that the Python one makes."""
        array = (self.api.llama_token * len(tokens))(*tokens)
        assert self.api.llama_decode(self.llm.ctx, self.api.llama_batch_get_one(array, len(tokens))) == 0
        logits = self.api.llama_get_logits_ith(self.llm.ctx, -1)
        return np.ctypeslib.as_array(ctypes.cast(logits, ctypes.POINTER(ctypes.c_float)), (self.vocabulary,))

    def run(self, tokens: list[int], most: int) -> dict:
        self.api.llama_memory_clear(self.api.llama_get_memory(self.llm.ctx), True)
        start = time.perf_counter()
        logits = self.decode(tokens)
        read = time.perf_counter() - start
        first, written, start = logits.copy(), [], time.perf_counter()
        for _ in range(most):
            written.append(int(logits.argmax()))
            logits = self.decode(written[-1:])
        return {"read": read, "wrote": time.perf_counter() - start, "written": written, "logits": first}


def network(path: pathlib.Path, dtype):
    """The network of transformers with the weights of a GGUF file. Its own reader asks for a package that does nothing here."""
    import gguf
    from transformers import LlamaConfig, LlamaForCausalLM

    reader = gguf.GGUFReader(path)
    setting = {key: field.contents() for key, field in reader.fields.items() if key.startswith("llama.")}
    heads, groups = setting["llama.attention.head_count"], setting["llama.attention.head_count_kv"]
    weights = {tensor.name: gguf.quants.dequantize(tensor.data, tensor.tensor_type) for tensor in reader.tensors}
    config = LlamaConfig(
        vocab_size=weights["token_embd.weight"].shape[0],
        hidden_size=setting["llama.embedding_length"],
        intermediate_size=setting["llama.feed_forward_length"],
        num_hidden_layers=setting["llama.block_count"],
        num_attention_heads=heads,
        num_key_value_heads=groups,
        max_position_embeddings=setting["llama.context_length"],
        rms_norm_eps=setting["llama.attention.layer_norm_rms_epsilon"],
        rope_parameters={"rope_type": "default", "rope_theta": setting["llama.rope.freq_base"]},
        tie_word_embeddings=True,
    )
    names = {"attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj"}
    names |= {"ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj", "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm"}
    found = {"model.embed_tokens.weight": weights.pop("token_embd.weight"), "model.norm.weight": weights.pop("output_norm.weight")}
    for name, weight in weights.items():
        _, layer, part, _ = name.split(".")
        if part in ("attn_q", "attn_k"):
            # GGUF turns neighbours, transformers halves of a head.
            count = heads if part == "attn_q" else groups
            weight = weight.reshape(count, -1, 2, weight.shape[1]).swapaxes(1, 2).reshape(weight.shape)
        found[f"model.layers.{layer}.{names[part]}.weight"] = weight
    model = LlamaForCausalLM(config)
    missing, unknown = model.load_state_dict({name: torch.tensor(np.array(weight)) for name, weight in found.items()}, strict=False)
    assert not unknown and missing == ["lm_head.weight"], (missing, unknown)
    model.tie_weights()
    return model.to(dtype).eval()


class PyTorch:
    def __init__(self, path: pathlib.Path, dtype, name: str):
        self.name = f"PyTorch {name}"
        self.model = network(path, dtype)

    def run(self, tokens: list[int], most: int) -> dict:
        with torch.inference_mode():
            start = time.perf_counter()
            out = self.model(torch.tensor([tokens]), use_cache=True, logits_to_keep=1)
            read = time.perf_counter() - start
            logits = out.logits[0, -1]
            first, written, start = logits.float().numpy().copy(), [], time.perf_counter()
            for _ in range(most):
                written.append(int(logits.argmax()))
                out = self.model(torch.tensor([written[-1:]]), past_key_values=out.past_key_values, use_cache=True)
                logits = out.logits[0, -1]
            return {"read": read, "wrote": time.perf_counter() - start, "written": written, "logits": first}


def prompts(encode, length: int, count: int) -> list[list[int]]:
    """Descriptions of goods one after the other, cut to the same number of tokens."""
    rows = (ours.data("scientific") / "scientific.item").read_text(encoding="utf8").splitlines()
    at = rows[0].split("\t").index("description:token_seq")
    text = [row.split("\t")[at] for row in rows[1:]]
    tokens = encode("\n".join(text[: 40 * count]))
    assert len(tokens) >= length * count, "too little text"
    return [tokens[i * length : (i + 1) * length] for i in range(count)]


def cosine(a, b) -> float:
    a, b = (np.asarray(x, dtype=np.float64) for x in (a, b))
    a, b = a - a.mean(), b - b.mean()
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def run(quick: bool, say) -> list:
    warnings.filterwarnings("ignore")
    torch.set_num_threads(ours.THREADS)
    with tempfile.TemporaryDirectory() as place:
        folder = pathlib.Path(place)
        mine = Ours(folder)
        mine.run([1, 2, 3], 1)
        q8 = next(folder.glob("*.gguf"))
        cpp = LlamaCpp(q8, "Q8_0")
        peers = [cpp, LlamaCpp(MODEL, "Q4_1"), PyTorch(q8, torch.float32, "f32"), PyTorch(q8, torch.bfloat16, "bf16")]
        truth = peers[2]
        runs = 3 if quick else 5

        def encode(text: str) -> list[int]:
            return cpp.llm.tokenize(text.encode("utf8"), add_bos=False, special=False)

        kinds = {"prompt": (prompts(encode, LONG, runs + 1), 0, "read"), "writing": (prompts(encode, SHORT, runs + 1), WRITTEN, "wrote")}
        cases = []
        for kind, (texts, most, what) in kinds.items():
            seconds = {program.name: [] for program in [mine, *peers]}
            least = {program.name: 1.0 for program in [mine, *peers]}
            same = {program.name: [] for program in [mine, *peers]}
            for turn, tokens in enumerate(texts):  # the first warms and is thrown away
                found = {}
                for program in [mine, *peers]:
                    time.sleep(0.1)
                    found[program.name] = program.run(tokens, most)
                for name, one in found.items():
                    least[name] = min(least[name], cosine(one["logits"], found[truth.name]["logits"]))
                    pairs = list(zip(one["written"], found[truth.name]["written"]))
                    same[name].append(next((i for i, (a, b) in enumerate(pairs) if a != b), len(pairs)))
                    if turn:
                        seconds[name].append(one[what])
            middle = {name: statistics.median(all_) for name, all_ in seconds.items()}
            count = most or LONG
            say(f"{kind}: {count} tokens, median of {runs}")
            for name in sorted(middle, key=middle.get):
                alike = f"   first {statistics.mean(same[name]):.0f} of {most} as PyTorch f32" if most else ""
                say(f"  {name:20} {count / middle[name]:8.1f} tokens/s   least cosine {least[name]:.5f}{alike}")
            assert least[mine.name] >= HELD, f"cosine {least[mine.name]} to PyTorch's logits, expected at least {HELD}"
            best = min((peer.name for peer in peers), key=middle.get)
            cases.append({**ours.case(f"{kind}, {count} tokens", middle[mine.name], middle[best], best), "tokens_per_second": count / middle[mine.name], "cosine": least[mine.name]})
        mine.program.close()
    return cases
