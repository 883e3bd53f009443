#!/usr/bin/env python3
"""Training speed and peak memory of our transformer beside a PyTorch program of the same model, in one go, alternating.

    .venv/bin/python compare.py PEER.py [--text FILE] [--threads 2] [--rounds 3] [--python .venv/bin/python]

PEER.py takes --threads and --lengths and prints one JSON line per length with train_tok_s and peak_mib (above its start).
Ours: medians of the rows in run.h5; peak above that of a run of a tiny model. Prints a table of ratios, ours to the peer's.
"""
import argparse, json, os, pathlib, statistics, subprocess, sys, tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "experiments/scripts"))
from mneme_results import load

p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
p.add_argument("peer")
p.add_argument("--text", default=str(ROOT / "docs/config.md"))
p.add_argument("--threads", type=int, default=2)
p.add_argument("--rounds", type=int, default=3)
p.add_argument("--lengths", default="256,1024,4096")
p.add_argument("--python", default=str(ROOT / ".venv/bin/python"))
p.add_argument("--program", default=str(ROOT / "build/release/mneme"))
a = p.parse_args()


def ours(folder, length, *overrides):
    env = dict(os.environ, OMP_NUM_THREADS=str(a.threads))
    text = pathlib.Path(folder) / "text.txt"
    text.write_bytes(pathlib.Path(a.text).read_bytes() * (1 + 4_000_000 // os.path.getsize(a.text)))
    config = ROOT / "experiments/transformer_speed/transformer.ini"
    out = pathlib.Path(tempfile.mkdtemp(dir=folder))
    subprocess.run([a.program, "run", config, "--quiet", f"task.length={length}", f"eval.lengths={length}", f"run.folder={out}",
                    f"task.lm.train_text={text}", f"runtime.threads={a.threads}", *overrides], check=True, env=env, stdout=subprocess.DEVNULL)
    run = load(str(next(out.glob("*/run.h5"))))
    return statistics.median(run["train"]["tokens_per_s"][2:]), float(run["cost"]["attributes"]["peak_mib"])


print("| length | ours, tokens/s | peer, tokens/s | speed | ours, MiB | peer, MiB | memory |\n|---:|---:|---:|---:|---:|---:|---:|")
with tempfile.TemporaryDirectory() as folder:
    start = ours(folder, 16, "model.width=16", "model.layers=1", "train.batch_tokens=64", "eval.samples=1")[1]
    for length in map(int, a.lengths.split(",")):
        mine, theirs = [], []
        for _ in range(a.rounds):
            mine.append(ours(folder, length))
            line = subprocess.run([a.python, a.peer, "--threads", str(a.threads), "--lengths", str(length)], check=True, capture_output=True, text=True)
            theirs.append(json.loads(line.stdout))
        speed, peak = (statistics.median(x) for x in zip(*mine))
        peer, peer_peak = (statistics.median(t[k] for t in theirs) for k in ("train_tok_s", "peak_mib"))
        print(f"| {length} | {speed:,.0f} | {peer:,.0f} | {speed / peer:.2f} | {peak - start:,.0f} | {peer_peak:,.0f} | {(peak - start) / peer_peak:.2f} |", flush=True)
