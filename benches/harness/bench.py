#!/usr/bin/env python3
"""Peers side by side on the same work. bench.py [--peers a,b] [--cases ...] [--rounds 3]
                                               [--models DIR] [--model qwen3-0.6b] [--out results.jsonl]
bench.py --table results.jsonl ... prints the table of what is recorded.

Each (peer, chunk of cases) is a process of its own; rounds go A B C, A B C, ... so that a slow
minute of a shared machine hits all. Before a process starts, the CPUs must be free (--wait); a run
whose threads waited for a CPU for more than --disturbed of their time is run again (--tries), then
kept with a mark. Nothing but the standard library is needed here.
"""
import tempfile
import argparse, json, os, statistics, subprocess, sys, time

HERE = os.path.dirname(os.path.abspath(__file__))
P = os.environ.get("PEERS") or os.path.join(tempfile.gettempdir(), "peers")
NCPU = os.cpu_count()


def peers(models, m):
    """name -> (argv without the cases, environment, weight bytes each parameter, peak it can use)."""
    d, a = f"{models}/{m}", lambda f: f"{HERE}/peers/{f}"
    g = f"{P}/gguf/{m}"
    r = {}
    r["llama.cpp bf16"] = ([sys.executable, a("llamacpp.py"), f"{g}-bf16.gguf", ""], {"LLAMA_BIN": f"{P}/llama-build/bin"}, 2, "bf16")
    r["vllm bf16"] = ([f"{P}/vllm-venv/bin/python", a("vllm_cpu.py"), d, "bf16"], {}, 2, "bf16")
    r["openvino bf16"] = ([f"{P}/ov/bin/python", a("ov.py"), f"{P}/ov-models/{m}-f16", "bf16"], {}, 2, "bf16")
    # any command that takes MODEL_DIR DTYPE CASES and prints the same JSON lines
    r["grail bf16"] = ([*os.environ.get("OURS", "grail bench --json").split(), d, "bf16"], {}, 2, "bf16")
    return r


def busy():
    v = [int(x) for x in open("/proc/stat").readline().split()[1:9]]
    return (sum(v) - v[3] - v[4]) / os.sysconf("SC_CLK_TCK")


def wait_idle(limit, share):
    end = time.time() + limit
    while time.time() < end:
        b, t = busy(), time.time()
        time.sleep(2)
        if (busy() - b) / ((time.time() - t) * NCPU) < share:
            return True
    return False


def sched(sid, cpu, delay):
    """Adds up how long the threads of a session ran and how long they waited for a CPU."""
    for q in os.listdir("/proc"):
        if q.isdigit():
            try:
                if os.getsid(int(q)) != sid:
                    continue
                for t in os.listdir(f"/proc/{q}/task"):
                    x = open(f"/proc/{q}/task/{t}/schedstat").read().split()
                    cpu[t], delay[t] = int(x[0]), int(x[1])
            except OSError:
                pass


PRIO = 0


def run(argv, env, timeout):
    b, t = busy(), time.time()
    out = open(os.path.join(tempfile.gettempdir(), "bench-child.out"), "w+")
    e = os.environ | {"OMP_NUM_THREADS": "2", "BENCH_THREADS": "2", "RAYON_NUM_THREADS": "2", "PYTHONPATH": f"{HERE}/peers"} | env
    for k in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
        e.pop(k, None)
    try:
        p = subprocess.Popen(argv, env=e, stdout=out, stderr=open(os.path.join(tempfile.gettempdir(), "bench-child.err"), "w"), start_new_session=True)
    except FileNotFoundError:
        return None
    dead, delay, cpu = False, {}, {}
    if PRIO:  # a session of its own is an autogroup of its own, and nice works only within one
        try:
            open(f"/proc/{p.pid}/autogroup", "w").write(str(PRIO))
        except OSError:
            pass
    while True:
        pid, st, ru = os.wait4(p.pid, os.WNOHANG)
        if pid:
            break
        if time.time() - t > timeout and not dead:
            os.killpg(p.pid, 9)
            dead = True
        sched(p.pid, cpu, delay)
        time.sleep(0.1)
    wall = time.time() - t
    d, c = sum(delay.values()), sum(cpu.values())
    waited = d / max(d + c, 1)
    out.seek(0)
    res = {}
    for l in out:
        if l.startswith("{"):
            try:
                r = json.loads(l)
                res[r["test"]] = r["value"]
            except (ValueError, KeyError):
                pass
    return {"res": res, "rss_mb": ru.ru_maxrss / 1024, "waited": waited, "wall": wall, "rc": st}


def table(files, machine):
    rows, order = {}, []
    for f in files:
        for l in open(f):
            r = json.loads(l)
            k = (r["model"], r["peer"])
            if k not in rows:
                rows[k] = {"b": r["bytes"], "peak": r["peak"]}
                order.append(k)
            for t, v in list(r["res"].items()) + [("rss_mb", r["rss_mb"])]:
                rows[k].setdefault(t, []).append((r["waited"], v))
    lim = json.load(open(machine)) if os.path.exists(machine) else None
    bw = max(lim["read_GBs"], lim.get("read_4_streams_GBs", 0)) if lim else 1
    cols = ["load_s", "rss_mb", "pp512", "pp1024", "tg1", "tg4", "tg8", "tg16", "group16"]
    for m in dict.fromkeys(k[0] for k in order):
        n = {"qwen3-0.6b": 596.0e6, "qwen3-mini": 109.3e6}.get(m, 0)
        emb = {"qwen3-0.6b": 151936 * 1024, "qwen3-mini": 151936 * 512}.get(m, 0)
        print(f"\n{m} (median [min-max] of runs; * = only runs disturbed by other processes; % = of the machine's limit)\n")
        print("| peer | " + " | ".join(cols) + " |\n|" + "---|" * (len(cols) + 1))
        for k in order:
            if k[0] != m:
                continue
            r, cells = rows[k], []
            for c in cols:
                v = r.get(c, [])
                clean = [x for f, x in v if f < LIMIT]
                mark, v = ("", clean) if clean else ("*", [x for _, x in v])
                if not v:
                    cells.append("")
                    continue
                x = statistics.median(v)
                s = f"{x:.1f}" if x < 100 else f"{x:.0f}"
                if len(v) > 1 and c[0] in "ptg":
                    s += f" [{min(v):.3g}-{max(v):.3g}]"
                if lim and c == "tg1":
                    s += f" {100 * x * n * r['b'] / 1e9 / bw:.0f}%"
                if lim and c[:2] == "pp":
                    pk = lim[{"f32": "f32_fma_GFLOPS", "bf16": "bf16_dot_GFLOPS", "int8": "int8_dot_GOPS"}[r["peak"]]]
                    s += f" {100 * x * 2 * (n - emb) / 1e9 / pk:.0f}%"
                cells.append(s + mark)
            print(f"| {k[1]} | " + " | ".join(cells) + " |")


def main():
    global LIMIT, PRIO
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--models", default=os.path.join(tempfile.gettempdir(), "bench-models"))
    ap.add_argument("--model", default="qwen3-0.6b")
    ap.add_argument("--peers", default="grail bf16,openvino bf16,llama.cpp bf16,vllm bf16")
    ap.add_argument("--cases", default="pp512,pp1024,tg1;tg4,tg8,tg16;group16", help="';' splits processes")
    ap.add_argument("--rounds", type=int, default=3)
    ap.add_argument("--out", default=os.path.join(tempfile.gettempdir(), "bench-results.jsonl"))
    ap.add_argument("--machine", default=os.path.join(tempfile.gettempdir(), "bench-machine.json"), help="what machine.c printed")
    ap.add_argument("--disturbed", type=float, default=0.05, help="a run whose threads waited for a CPU for more than this share of their time is run again")
    ap.add_argument("--wait", type=float, default=60)
    ap.add_argument("--priority", type=int, default=0, help="autogroup nice of the runs, e.g. -20 on a machine that others use too")
    ap.add_argument("--timeout", type=float, default=300)
    ap.add_argument("--tries", type=int, default=3)
    ap.add_argument("--table", nargs="+")
    a = ap.parse_args()
    LIMIT, PRIO = a.disturbed, a.priority
    if a.table:
        return table(a.table, a.machine)
    all_ = peers(a.models, a.model)
    for rnd in range(a.rounds):
        for name in a.peers.split(","):
            argv, env, b, peak = all_[name]
            for chunk in a.cases.split(";"):
                for attempt in range(a.tries):
                    wait_idle(a.wait, a.disturbed)
                    r = run(argv + [chunk], env, a.timeout)
                    if r is None:
                        print(f"{name}: not installed", file=sys.stderr)
                        break
                    r |= {"peer": name, "model": a.model, "chunk": chunk, "round": rnd, "bytes": b, "peak": peak, "time": time.strftime("%H:%M:%S")}
                    with open(a.out, "a") as f:
                        f.write(json.dumps(r) + "\n")
                    print(f"{r['time']} {name:20} {chunk:22} waited {r['waited']:.3f} wall {r['wall']:.0f} rc {r['rc']}", {k: round(v, 2) for k, v in r["res"].items()}, file=sys.stderr, flush=True)
                    if r["waited"] < a.disturbed or r["rc"]:
                        break
    table([a.out], a.machine)


main()
