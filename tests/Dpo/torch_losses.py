#!/usr/bin/env python3
"""The losses of docs/losses.md as PyTorch formulas in double, differentiated by autograd: the oracle of TorchLossTests.

stdin: {"batch": {...}, "cases": [{"text": ..., "beta": ..., "f_divergence": ..., ...}, ...]}
With "ld-alpha" the batch's log-probs are lists, of each completion's tokens.
stdout: one JSON array, for each case {"loss": [...], "by_chosen": [...], "by_rejected": [...]}: the loss of each pair, and the derivatives
of their sum by the policy's log-probs. aot and aot_unpaired give their losses in the order of rank. Exit code 77: there is no torch.
"""
import json
import sys

try:
    import torch
    import torch.nn.functional as F
except ImportError:
    sys.exit(77)

torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)


def bounded_exp(x):
    """Flat beyond 40, as docs/losses.md has it."""
    return torch.exp(torch.clamp(x, max=40.0))


def scores_of(ratio, case):
    """f'(t) without its constants, for log t."""
    divergence = case.get("f_divergence", "reverse_kl")
    if divergence == "forward_kl":
        return -bounded_exp(-ratio)
    if divergence == "js":
        return F.logsigmoid(ratio)
    if divergence == "alpha":
        power = case.get("f-alpha", 0.5) - 1
        return bounded_exp(power * ratio) / power
    return ratio


def over_completions(good, bad, b):
    """The mean over the completions of each row; of unpaired rows' losses the mean is TRL's, over one list of all."""
    has_good, has_bad = b["chosen_length"] > 0, b["rejected_length"] > 0
    rows = (good * has_good + bad * has_bad) / (has_good.double() + has_bad.double())
    if not (has_good & has_bad).any():
        assert torch.isclose(rows.mean(), torch.cat((good[has_good], bad[has_bad])).mean())
    return rows


def smoothed(margin, epsilon):
    return -(1 - epsilon) * F.logsigmoid(margin) - epsilon * F.logsigmoid(-margin)


def term(name, case, b):
    beta = case.get("beta", 2.0 if name in ("simpo", "alphapo") else 0.1)
    epsilon = case.get("label-smoothing", 1e-3 if name == "exo_pair" else 0.0)
    ratio_w, ratio_l = b["chosen"] - b["reference_chosen"], b["rejected"] - b["reference_rejected"]
    w, l = scores_of(ratio_w, case), scores_of(ratio_l, case)
    mean_w, mean_l = b["chosen"] / b["chosen_length"], b["rejected"] / b["rejected_length"]
    nll = -b["chosen"].sum() / b["chosen_length"].sum()
    share = -b["chosen"] * len(b["chosen"]) / b["chosen_length"].sum()
    assert torch.isclose(share.mean(), nll)
    margin = beta * (w - l)
    if name == "sigmoid" and case.get("no_weight"):
        return torch.log(torch.tensor(2.0)) - margin / 2
    if name == "sigmoid":
        return smoothed(margin, epsilon)
    if name == "robust":
        return (-(1 - epsilon) * F.logsigmoid(margin) + epsilon * F.logsigmoid(-margin)) / (1 - 2 * epsilon)
    if name == "hinge":
        return torch.relu(1 - margin)
    if name in ("ipo", "sigmoid_norm"):
        if case.get("mean", True):
            w, l = w / b["chosen_length"], l / b["rejected_length"]
        return (w - l - 1 / (2 * beta)) ** 2 if name == "ipo" else -F.logsigmoid(beta * (w - l))
    if name == "exo_pair":
        log_p = torch.stack([F.logsigmoid(margin), F.logsigmoid(-margin)])
        log_q = torch.log(torch.tensor([1 - epsilon, epsilon])).unsqueeze(1)
        return (log_p.exp() * (log_p - log_q)).sum(0)
    if name == "nca_pair":
        return -F.logsigmoid(beta * w) - F.logsigmoid(-beta * w) / 2 - F.logsigmoid(-beta * l) / 2
    if name == "bco_pair":
        return -F.logsigmoid(beta * w) - F.logsigmoid(-beta * l)
    if name == "sppo_hard":
        return (w - 1 / (2 * beta)) ** 2 + (l + 1 / (2 * beta)) ** 2
    if name == "discopop":
        # exp(-margin) times the blend in one exponential: the product is infinity times 0 for a large negative margin.
        blend = margin / case.get("discopop-tau", 0.05)
        return -F.logsigmoid(margin) * torch.sigmoid(-blend) + torch.exp(F.logsigmoid(blend) - margin)
    if name == "apo_zero":
        return 1 - torch.sigmoid(beta * ratio_w) + torch.sigmoid(beta * ratio_l)
    if name == "apo_zero_unpaired":
        return over_completions(1 - torch.sigmoid(beta * ratio_w), torch.sigmoid(beta * ratio_l), b)
    if name == "apo_down":
        return torch.sigmoid(beta * ratio_w) + 1 - torch.sigmoid(margin)
    if name == "aot":
        policy = torch.sort(b["chosen"] - b["rejected"])[0]
        reference = torch.sort(b["reference_chosen"] - b["reference_rejected"])[0]
        return smoothed(beta * (policy - reference), epsilon)
    if name == "aot_unpaired":
        return smoothed(beta * (torch.sort(ratio_w)[0] - torch.sort(ratio_l)[0]), epsilon)
    if name == "dpop":
        return -F.logsigmoid(beta * (ratio_w - ratio_l - case.get("dpop-lambda", 50.0) * torch.relu(-ratio_w)))
    if name == "kto":
        z = torch.cat([b["mismatched_chosen"], b["mismatched_rejected"]]).mean().clamp(min=0)
        good = case.get("desirable-weight", 1.0) * (1 - torch.sigmoid(beta * (ratio_w - z)))
        bad = case.get("undesirable-weight", 1.0) * (1 - torch.sigmoid(beta * (z - ratio_l)))
        return over_completions(good, bad, b)
    if name == "simpo":
        return smoothed(beta * (mean_w - mean_l - case.get("simpo-gamma", 0.5) / beta), epsilon)
    if name == "alphapo":
        alpha = case.get("alphapo-alpha", 0.25)
        reward_w, reward_l = (1 - mean_w.exp() ** -alpha) / alpha, (1 - mean_l.exp() ** -alpha) / alpha
        return smoothed(beta * (reward_w - reward_l - case.get("simpo-gamma", 0.5) / beta), epsilon)
    if name == "cpo":
        return smoothed(beta * (b["chosen"] - b["rejected"]), epsilon) + case.get("cpo-alpha", 1.0) * share
    if name == "orpo":
        log_odds = (mean_w - mean_l) - (torch.log1p(-mean_w.exp()) - torch.log1p(-mean_l.exp()))
        predicted = b["chosen_length"].sum() + (b["prompt_length"] - 1).sum()
        return -(b["chosen"] + b["prompt"]) * len(b["chosen"]) / predicted - beta * F.logsigmoid(log_odds)
    if name == "sft":
        return share
    if name == "unlikelihood":
        return -b["chosen"] + case.get("unlikelihood-alpha", 1.0) * b["rejected"]
    raise ValueError(f"no formula for {name}")


def desensitized(tokens, others, alpha):
    """LD-DPO's log-probs: of each completion's tokens those past the length of the pair's other one count with weight alpha."""
    return [sum(t[:len(o)]) + alpha * sum(t[len(o):]) for t, o in zip(tokens, others)]


def evaluate(case, numbers):
    if "ld-alpha" in case:
        sides = [("chosen", "rejected"), ("rejected", "chosen"), ("reference_chosen", "rejected"), ("reference_rejected", "chosen")]
        numbers = {**numbers, **{side: desensitized(numbers[side], numbers[other], case["ld-alpha"]) for side, other in sides}}
    b = {key: torch.tensor(value, dtype=torch.float64) for key, value in numbers.items()}
    b["chosen"].requires_grad_()
    b["rejected"].requires_grad_()
    seen = dict(b)
    if case.get("reference_free"):
        seen["reference_chosen"], seen["reference_rejected"] = torch.zeros_like(b["chosen"]), torch.zeros_like(b["rejected"])
    terms = [(part + ":1").split(":")[:2] for part in case["text"].split(",")]
    if "rpo-alpha" in case:
        terms.append(("sft", case["rpo-alpha"]))
    loss = 0
    for name, weight in terms:
        value = term(name, case, seen)
        if case.get("wpo") and name != "sft":
            value = value * torch.exp(b["chosen_confidence"]) * torch.exp(b["rejected_confidence"])
        loss = loss + float(weight) * value
    by_chosen, by_rejected = torch.autograd.grad(loss.sum(), [b["chosen"], b["rejected"]], allow_unused=True)
    zero = torch.zeros_like(b["chosen"])
    return {
        "loss": loss.tolist(),
        "by_chosen": (zero if by_chosen is None else by_chosen).tolist(),
        "by_rejected": (zero if by_rejected is None else by_rejected).tolist(),
    }


if __name__ == "__main__":
    request = json.load(sys.stdin)
    json.dump([evaluate(case, request["batch"]) for case in request["cases"]], sys.stdout)
