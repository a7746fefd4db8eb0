"""Whether martlet computes what transformers computes, from any checkpoint folders.

    python Tests/Parity/transformers_agrees.py --martlet PROGRAM FOLDER [FOLDER ...]

For each folder `martlet eval` reads it, dumps all it computes from seeded tokens, and saves the model
once more. transformers then loads the folder, and what martlet saved, and must find the same hidden
states, router logits, logits, loss and gradients in fp32, each within 1e-4 of its length.

Needs torch, transformers and safetensors: `make parity`.
"""

import argparse
import copy
import json
import os
import subprocess
import sys
import tempfile

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
import transformers
from safetensors.torch import load_file

BOUND = 1e-4
SEQUENCES, LENGTH = 2, 40


def distance(found, expected):
    """Euclidean, relative to the length of `expected`."""
    found, expected = found.double().flatten(), expected.double().flatten()
    length = expected.norm()
    apart = (found - expected).norm()
    return (apart / length if length > 0 else apart).item()


def load(folder):
    return transformers.AutoModelForCausalLM.from_pretrained(
        folder, attn_implementation="eager", experts_implementation="eager",
        dtype=torch.float32).eval()


def gradients(model, scratch):
    """By the names that the checkpoint has for them."""
    copied = copy.deepcopy(model)
    with torch.no_grad():
        for source, target in zip(model.parameters(), copied.parameters()):
            target.copy_(torch.zeros_like(source) if source.grad is None else source.grad)
    copied.save_pretrained(scratch, max_shard_size="1000GB")
    return load_file(f"{scratch}/model.safetensors")


def computed(model, ids, scratch):
    out = model(input_ids=ids, labels=ids, output_hidden_states=True, use_cache=False)
    found = {"logits": out.logits, "loss": out.loss.reshape(1)}
    found |= {f"hidden_{i}": h for i, h in enumerate(out.hidden_states)}
    with torch.no_grad():
        routed = model(input_ids=ids, output_router_logits=True, use_cache=False).router_logits
    found |= {f"router_logits_{i}": r for i, r in enumerate(routed)}
    out.loss.backward()
    found |= {f"grad.{name}": g for name, g in gradients(model, scratch).items()}
    return found


def compare(label, found, expected):
    """One line with the worst of each kind; whether all are within the bound."""
    if set(found) != set(expected):
        print(f"{label}: DIFFERENT TENSORS {sorted(set(found) ^ set(expected))[:4]}")
        return False
    worst = {}
    for name, tensor in expected.items():
        if found[name].shape != tensor.shape:
            print(f"{label}: {name} HAS SHAPE {tuple(found[name].shape)}")
            return False
        kind = "gradients" if name.startswith("grad.") else name.rstrip("0123456789").rstrip("_")
        apart = distance(found[name], tensor)
        if not apart <= worst.get(kind, (0.0, ""))[0]:
            worst[kind] = (apart, name)
    agrees = all(apart < BOUND for apart, _ in worst.values())
    figures = ", ".join(f"{kind} {apart:.1e}" for kind, (apart, _) in sorted(worst.items()))
    print(f"{label}: {figures}{'' if agrees else '  DISAGREES'}")
    return agrees


def check(martlet, folder):
    config = json.load(open(f"{folder}/config.json"))
    length = min(LENGTH, config["max_position_embeddings"])
    torch.manual_seed(99)
    ids = torch.randint(0, config["vocab_size"], (SEQUENCES, length))
    name = os.path.basename(os.path.abspath(folder))
    with tempfile.TemporaryDirectory() as scratch:
        json.dump(ids.tolist(), open(f"{scratch}/ids.json", "w"))
        ended = subprocess.run(
            [martlet, "eval", "--model", folder, "--ids", f"{scratch}/ids.json",
             "--dump", f"{scratch}/dump.safetensors", "--save", f"{scratch}/saved"],
            capture_output=True, text=True)
        if ended.returncode != 0:
            print(f"{name}: martlet ended with {ended.returncode}: {ended.stderr.strip()}")
            return False
        found = load_file(f"{scratch}/dump.safetensors")
        agrees = True
        for label, source in [(name, folder), (f"{name}, saved", f"{scratch}/saved")]:
            expected = computed(load(source), ids, f"{scratch}/gradients")
            agrees &= compare(label, found, expected)
        return agrees


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--martlet", required=True)
    parser.add_argument("folders", nargs="+")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    results = [check(arguments.martlet, folder) for folder in arguments.folders]
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
