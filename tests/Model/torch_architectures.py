#!/usr/bin/env python3
"""Llama, Mistral, Qwen2 and GPT-2 written out in PyTorch, in double, one sequence at a time: the oracle of ArchitectureTests.

stdin: [{"folder": ..., "prompt": [...], "chosen": [...], "rejected": [...], "by_chosen": x, "by_rejected": y}, ...], each folder with
a config.json and a model.safetensors of float32.
stdout: for each {"logits": [[...], ...], "chosen": logp, "rejected": logp, "gradients": {name: [...]}}: logits after each token of prompt
and chosen completion but the last, log-probs of both completions, and the gradients of x logp(chosen) + y logp(rejected) under the names
and in the shapes of the file. Exit code 77: there is no torch.
"""
import json
import math
import os
import struct
import sys

try:
    import torch
    import torch.nn.functional as F
except ImportError:
    sys.exit(77)

torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)


def read_safetensors(path):
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
        data = file.read()
    tensors = {}
    for name, entry in header.items():
        if name != "__metadata__":
            begin, end = entry["data_offsets"]
            assert entry["dtype"] == "F32"
            values = torch.frombuffer(bytearray(data[begin:end]), dtype=torch.float32)
            tensors[name] = values.reshape(entry["shape"]).double().requires_grad_()
    return tensors


def causal_attention(q, k, v, window):
    """q [heads, n, d], k and v [kv_heads, n, d]; each token sees itself and those before, within the window."""
    k = k.repeat_interleave(q.shape[0] // k.shape[0], dim=0)
    v = v.repeat_interleave(q.shape[0] // v.shape[0], dim=0)
    n = q.shape[1]
    distance = torch.arange(n)[:, None] - torch.arange(n)[None, :]
    hidden = (distance < 0) | (distance >= (window or n))
    scores = (q @ k.transpose(1, 2) / math.sqrt(q.shape[2])).masked_fill(hidden, -math.inf)
    return (scores.softmax(-1) @ v).transpose(0, 1).reshape(n, -1)


def window_of(config, layer):
    """The tokens that a layer's queries see at most, None for all: Qwen2 has a window from max_window_layers on, if at all."""
    if config["model_type"] == "qwen2" and not (config["use_sliding_window"] and layer >= config["max_window_layers"]):
        return None
    return config.get("sliding_window")


def inverse_frequencies(config):
    dim = config["head_dim"]
    inv = 1.0 / config["rope_theta"] ** (torch.arange(0, dim, 2) / dim)
    scaling = config.get("rope_scaling")
    if scaling is None:
        return inv
    if scaling["rope_type"] == "linear":
        return inv / scaling["factor"]
    assert scaling["rope_type"] == "llama3"
    factor, low, high = scaling["factor"], scaling["low_freq_factor"], scaling["high_freq_factor"]
    context = scaling["original_max_position_embeddings"]
    wavelength = 2 * math.pi / inv
    scaled = torch.where(wavelength > context / low, inv / factor, inv)
    smooth = (context / wavelength - low) / (high - low)
    medium = (wavelength >= context / high) & (wavelength <= context / low)
    return torch.where(medium, (1 - smooth) * scaled / factor + smooth * scaled, scaled)


def rotate(x, inv):
    angles = torch.arange(x.shape[1])[:, None] * inv[None, :]
    cos, sin = torch.cat([angles.cos()] * 2, -1), torch.cat([angles.sin()] * 2, -1)
    first, second = x.chunk(2, -1)
    return x * cos + torch.cat([-second, first], -1) * sin


def rms_norm(x, weight, epsilon):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + epsilon) * weight


def llama(config, w, ids):
    epsilon, inv = config["rms_norm_eps"], inverse_frequencies(config)
    x = w["model.embed_tokens.weight"][ids]

    def heads(y, name, count):
        y = F.linear(y, w[name + ".weight"], w[name + ".bias"] if config["model_type"] == "qwen2" else None)
        return y.reshape(len(ids), count, -1).transpose(0, 1)

    for i in range(config["num_hidden_layers"]):
        p = f"model.layers.{i}."
        h = rms_norm(x, w[p + "input_layernorm.weight"], epsilon)
        q = rotate(heads(h, p + "self_attn.q_proj", config["num_attention_heads"]), inv)
        k = rotate(heads(h, p + "self_attn.k_proj", config["num_key_value_heads"]), inv)
        v = heads(h, p + "self_attn.v_proj", config["num_key_value_heads"])
        x = x + F.linear(causal_attention(q, k, v, window_of(config, i)), w[p + "self_attn.o_proj.weight"])
        h = rms_norm(x, w[p + "post_attention_layernorm.weight"], epsilon)
        gate, up = F.linear(h, w[p + "mlp.gate_proj.weight"]), F.linear(h, w[p + "mlp.up_proj.weight"])
        x = x + F.linear(F.silu(gate) * up, w[p + "mlp.down_proj.weight"])
    x = rms_norm(x, w["model.norm.weight"], epsilon)
    return F.linear(x, w["model.embed_tokens.weight" if config["tie_word_embeddings"] else "lm_head.weight"])


def gpt2(config, w, ids):
    width, count, epsilon = config["n_embd"], config["n_head"], config["layer_norm_epsilon"]
    x = w["transformer.wte.weight"][ids] + w["transformer.wpe.weight"][torch.arange(len(ids))]

    def norm(y, name):
        return F.layer_norm(y, (width,), w[name + ".weight"], w[name + ".bias"], epsilon)

    def conv1d(y, name):
        return y @ w[name + ".weight"] + w[name + ".bias"]

    for i in range(config["n_layer"]):
        p = f"transformer.h.{i}."
        q, k, v = (
            part.reshape(len(ids), count, -1).transpose(0, 1)
            for part in conv1d(norm(x, p + "ln_1"), p + "attn.c_attn").split(width, dim=1)
        )
        x = x + conv1d(causal_attention(q, k, v, None), p + "attn.c_proj")
        x = x + conv1d(F.gelu(conv1d(norm(x, p + "ln_2"), p + "mlp.c_fc"), approximate="tanh"), p + "mlp.c_proj")
    x = norm(x, "transformer.ln_f")
    return F.linear(x, w["transformer.wte.weight" if config["tie_word_embeddings"] else "lm_head.weight"])


def run(case):
    with open(os.path.join(case["folder"], "config.json"), encoding="utf-8") as file:
        config = json.load(file)
    weights = read_safetensors(os.path.join(case["folder"], "model.safetensors"))
    model = gpt2 if config["model_type"] == "gpt2" else llama
    prompt = case["prompt"]

    def log_prob(completion):
        logits = model(config, weights, torch.tensor(prompt + completion)[:-1])
        targets = torch.tensor(completion)
        return logits, logits[len(prompt) - 1:].log_softmax(-1).gather(1, targets[:, None]).sum()

    logits, chosen = log_prob(case["chosen"])
    _, rejected = log_prob(case["rejected"])
    (case["by_chosen"] * chosen + case["by_rejected"] * rejected).backward()
    return {
        "logits": logits.tolist(),
        "chosen": chosen.item(),
        "rejected": rejected.item(),
        "gradients": {name: value.grad.flatten().tolist() for name, value in weights.items()},
    }


print(json.dumps([run(case) for case in json.load(sys.stdin)]))
