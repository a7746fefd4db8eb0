"""Small checkpoints with options that the five families' fixtures beside them lack, and what
transformers computes from them.

    python Tests/Fixtures/make_variants.py [NAME ...]

Needs torch, transformers and safetensors. Each NAME becomes a folder beside this file with
config.json, weights (as published: one tensor per expert), reference.safetensors (input_ids, logits,
loss, hidden_<i>, router_logits_<i>, greedy, adamw_losses, and where transformers has the loss
aux_loss and aux_grad_<i>, its gradient by router i's weight) and grads/ (gradients of the loss
without it, under the checkpoint's names). Everything is seeded, fp32, eager and on one thread.
"""

import copy
import json
import os
import shutil
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
import transformers
from safetensors.torch import save_file

HERE = os.path.dirname(os.path.abspath(__file__))
VOCABULARY, LENGTH = 48, 24
BASE = dict(
    vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
    max_position_embeddings=64, num_experts_per_tok=2, bos_token_id=1, eos_token_id=None,
    pad_token_id=0, attn_implementation="eager", experts_implementation="eager")


def yarn(factor, original, **more):
    return dict(rope_type="yarn", rope_theta=10000.0, factor=factor,
                original_max_position_embeddings=original) | more


def qwen3_yarn():
    """Tied, biased, weights as they are, YaRN, three query heads to a key head."""
    return transformers.Qwen3MoeConfig(**BASE | dict(
        num_attention_heads=6, num_key_value_heads=2, head_dim=8, num_experts=4,
        moe_intermediate_size=12, norm_topk_prob=False, attention_bias=True,
        tie_word_embeddings=True,
        rope_parameters=yarn(4.0, 32, rope_theta=50.0, beta_fast=2.0, beta_slow=0.1)))


def qwen3_sparse():
    """Every other layer dense, positions stretched evenly."""
    return transformers.Qwen3MoeConfig(**BASE | dict(
        num_key_value_heads=4, head_dim=4, num_experts=3, moe_intermediate_size=16,
        intermediate_size=20, norm_topk_prob=True, decoder_sparse_step=2,
        rope_parameters=dict(rope_type="linear", rope_theta=5000.0, factor=2.0)))


def qwen2_dense():
    """A layer dense by name, no biases, weights renormalised."""
    return transformers.Qwen2MoeConfig(**BASE | dict(
        num_key_value_heads=1, num_experts=4, moe_intermediate_size=8, intermediate_size=16,
        shared_expert_intermediate_size=12, norm_topk_prob=True, qkv_bias=False,
        mlp_only_layers=[1]))


def olmoe_biased():
    """Biases, grouped heads under a norm over all of them, tied, weights renormalised."""
    return transformers.OlmoeConfig(**BASE | dict(
        num_key_value_heads=2, num_experts=4, intermediate_size=8, norm_topk_prob=True,
        attention_bias=True, tie_word_embeddings=True))


def mixtral_wide():
    """Heads of their own width, three choices, the family's own rope base and norm epsilon."""
    return transformers.MixtralConfig(**BASE | dict(
        num_key_value_heads=2, head_dim=12, num_local_experts=5, num_experts_per_tok=3,
        intermediate_size=8, sliding_window=64))


def deepseek_grouped():
    """Groups of experts that bite, a latent for the queries, biases, YaRN with all its keys."""
    return transformers.DeepseekV2Config(**BASE | dict(
        num_key_value_heads=4, moe_intermediate_size=6, intermediate_size=16,
        n_routed_experts=8, n_shared_experts=2, first_k_dense_replace=1, kv_lora_rank=12,
        q_lora_rank=10, qk_nope_head_dim=6, qk_rope_head_dim=8, v_head_dim=5,
        topk_method="group_limited_greedy", n_group=4, topk_group=2, routed_scaling_factor=2.5,
        attention_bias=True, num_experts_per_tok=3,
        rope_parameters=yarn(4.0, 16, rope_theta=50.0, mscale=0.8, mscale_all_dim=0.5,
                             beta_fast=1.5, beta_slow=0.05, truncate=False)))


def deepseek_lite():
    """As DeepSeek-V2-Lite: YaRN with equal magnitudes, no latent for the queries; values wide."""
    return transformers.DeepseekV2Config(**BASE | dict(
        num_attention_heads=2, num_key_value_heads=2, moe_intermediate_size=8,
        intermediate_size=16, n_routed_experts=6, n_shared_experts=1, first_k_dense_replace=0,
        kv_lora_rank=16, q_lora_rank=None, qk_nope_head_dim=8, qk_rope_head_dim=4,
        v_head_dim=16, topk_method="greedy", tie_word_embeddings=True,
        rope_parameters=yarn(40.0, 8, mscale=0.707, mscale_all_dim=0.707)))


VARIANTS = [qwen3_yarn, qwen3_sparse, qwen2_dense, olmoe_biased, mixtral_wide, deepseek_grouped,
            deepseek_lite]
BFLOAT16 = {"qwen3_sparse"}
SHARDED = {"qwen2_dense"}
OLDER_STYLE = {"deepseek_grouped", "deepseek_lite", "qwen3_yarn"}


def randomize(model, name):
    """Norms not 1, biases not 0, routers decided: a forgotten factor shows."""
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            noise = torch.randn_like(parameter)
            if key.endswith("bias"):
                parameter.copy_(0.2 * noise)
            elif parameter.dim() == 1:
                parameter.copy_(1 + 0.1 * noise)
            else:
                parameter.copy_(noise * (0.4 if ".gate.weight" in key else 0.12))
        if name in BFLOAT16:
            for parameter in model.parameters():
                parameter.copy_(parameter.bfloat16().float())


def rewrite_rope(folder):
    """config.json as published files spell it: rope_theta, and rope_scaling with `type`."""
    path = f"{folder}/config.json"
    config = json.load(open(path))
    rope = config.pop("rope_parameters")
    config["rope_theta"] = rope.pop("rope_theta")
    rope["type"] = rope.pop("rope_type")
    config["rope_scaling"] = rope
    json.dump(config, open(path, "w"), indent=2)


def routers(model):
    return [(k, p) for k, p in model.named_parameters() if k.endswith(".gate.weight")]


def save(model, folder, name):
    if name in SHARDED:
        model.save_pretrained(folder, max_shard_size="40KB")
    else:
        model.save_pretrained(folder)


def reference(model, ids, has_aux):
    out = model(input_ids=ids, labels=ids, output_hidden_states=True, use_cache=False)
    found = {"input_ids": ids, "logits": out.logits, "loss": out.loss.reshape(1)}
    found |= {f"hidden_{i}": h for i, h in enumerate(out.hidden_states)}
    routed = model(input_ids=ids, output_router_logits=True, use_cache=False)
    found |= {f"router_logits_{i}": r for i, r in enumerate(routed.router_logits)}
    if has_aux:
        # Over the tokens that are inputs in training: all but the last of each sequence.
        aux = model(input_ids=ids[:, :-1], output_router_logits=True, use_cache=False).aux_loss
        found["aux_loss"] = aux.reshape(1)
        grads = torch.autograd.grad(aux, [p for _, p in routers(model)])
        found |= {f"aux_grad_{i}": g for i, g in enumerate(grads)}
    out.loss.backward()
    with torch.no_grad():
        found["greedy"] = model.generate(
            ids[:1, :8], max_new_tokens=16, min_new_tokens=16, do_sample=False)[:, 8:]
    return found


def gradients(model):
    """A model whose weights are the gradients, so that they are saved under the same names."""
    copied = copy.deepcopy(model)
    with torch.no_grad():
        for source, target in zip(model.parameters(), copied.parameters()):
            target.copy_(torch.zeros_like(source) if source.grad is None else source.grad)
    return copied


def adamw_losses(model, ids):
    trained = copy.deepcopy(model)
    optimizer = torch.optim.AdamW(
        trained.parameters(), lr=1e-3, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1)
    losses = []
    for _ in range(5):
        loss = trained(input_ids=ids, labels=ids, use_cache=False).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return torch.tensor(losses)


def make(variant):
    name = variant.__name__
    folder = f"{HERE}/{name}"
    shutil.rmtree(folder, ignore_errors=True)
    torch.manual_seed(4321)
    torch.set_num_threads(1)
    model = transformers.AutoModelForCausalLM.from_config(variant()).float().eval()
    randomize(model, name)
    if name in BFLOAT16:
        save(copy.deepcopy(model).bfloat16(), folder, name)
    else:
        save(model, folder, name)
    if name in OLDER_STYLE:
        rewrite_rope(folder)
    os.remove(f"{folder}/generation_config.json")
    ids = torch.randint(3, VOCABULARY, (2, LENGTH))
    found = reference(model, ids, "deepseek" not in name)
    gradients(model).save_pretrained(f"{folder}/grads")
    for other in os.listdir(f"{folder}/grads"):
        if other != "model.safetensors":
            os.remove(f"{folder}/grads/{other}")
    model.zero_grad()
    found["adamw_losses"] = adamw_losses(model, ids)
    save_file({k: v.detach().contiguous().clone() for k, v in found.items()},
              f"{folder}/reference.safetensors")
    back = transformers.AutoModelForCausalLM.from_pretrained(
        folder, attn_implementation="eager", experts_implementation="eager", dtype=torch.float32)
    error = (back(input_ids=ids).logits - found["logits"]).abs().max().item()
    size = sum(os.path.getsize(os.path.join(d, f)) for d, _, fs in os.walk(folder) for f in fs)
    print(f"{name}: loss {found['adamw_losses'].tolist()}, reload {error:.1e}, {size} bytes")
    assert error < 1e-5, "what was saved computes something else"


if __name__ == "__main__":
    for variant in VARIANTS:
        if variant.__name__ in sys.argv[1:] or len(sys.argv) == 1:
            make(variant)
