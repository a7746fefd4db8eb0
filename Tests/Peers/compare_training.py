"""Training speed of martlet beside PyTorch, in turns on the same machine.

    python Tests/Peers/compare_training.py --martlet PROGRAM [--sizes tiny small] [--rounds 3]

Each round runs `martlet bench train` and then each way of PyTorch (train_step.py: transformers with
eager and with grouped experts, and a hand-optimised model), all on the same shape. A figure is the
median over rounds of each run's median step; the ratio is to the fastest way of PyTorch. Where this
user may, runs have real-time priority: without it, barriers that spin make PyTorch collapse beside
any other process, and the comparison says nothing.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
IMPLEMENTATIONS = ["hf-eager", "hf-grouped", "opt"]


def run(command, environment):
    """The last line that `command` prints, as JSON."""
    chrt = ["chrt", "-r", "5"] if shutil.which("chrt") and os.geteuid() == 0 else []
    result = subprocess.run(chrt + command, capture_output=True, text=True, env=environment)
    if result.returncode != 0:
        sys.exit(f"{' '.join(command)} failed:\n{result.stderr[-2000:]}")
    return json.loads(result.stdout.strip().splitlines()[-1])


def compare(arguments, size, dtype):
    environment = dict(os.environ, OMP_NUM_THREADS=str(arguments.threads))
    speeds = {name: [] for name in ["martlet"] + IMPLEMENTATIONS}
    for _ in range(arguments.rounds):
        common = ["--size", size, "--dtype", dtype, "--threads", str(arguments.threads),
                  "--steps", str(arguments.steps), "--json"]
        ours = run([arguments.martlet, "bench", "train"] + common, environment)
        speeds["martlet"].append(ours["tokens_per_s"])
        for name in IMPLEMENTATIONS:
            script = [sys.executable, os.path.join(HERE, "train_step.py"), "--impl", name]
            speeds[name].append(run(script + common, environment)["tok_s_median"])
    medians = {name: statistics.median(values) for name, values in speeds.items()}
    peer = max(IMPLEMENTATIONS, key=lambda name: medians[name])
    row = {"size": size, "dtype": dtype, "threads": arguments.threads,
           "tokens_per_s": {name: round(value) for name, value in medians.items()},
           "fastest_peer": peer, "ratio": round(medians["martlet"] / medians[peer], 2),
           "gflops": round(ours["gflops"], 1)}
    print(json.dumps(row), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--martlet", required=True)
    parser.add_argument("--sizes", nargs="+", default=["tiny", "small"])
    parser.add_argument("--dtypes", nargs="+", default=["fp32", "bf16"])
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=5)
    arguments = parser.parse_args()
    for size in arguments.sizes:
        for dtype in arguments.dtypes:
            compare(arguments, size, dtype)


if __name__ == "__main__":
    main()
