"""What an answer costs: one row of a scikit-learn LogisticRegression, as JSON over HTTP, asked by sixteen callers over kept connections.

CPU time is that of the whole process tree of `flyball up` with one gateway: gateway, worker, control plane and supervisor, with routing, logging and
tokens on, the second after the last answer included. The caller is a process of its own and is not counted. Every side must give the very answers of
the model before it is timed; sides are timed in turns. With `--peers` MLServer, LitServe and `mlflow models serve` answer for the same model, each
with its own defaults, in environments that are kept in the user's cache folder.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path

import httpx
import numpy as np
from benchmarks.report import Bar, Report, Row, main
from benchmarks.serving import changes, logged, many, peers, world
from benchmarks.serving.world import Server

from flyball.serving.address import is_loopback

ROUNDS = 5
SECONDS = 4.0
"""Of each side in each round."""

WARM_S = 1.0
MOST_S = 2.0
OPEN_S = 6.0
TOLERANCE = 1e-5
"""ONNX Runtime computes with float32."""

SLOW = {
    "computes 3 ms a batch": {"train=fb.Train(fit,": "train=fb.Train(fit, predict=computes,"},
    "sleeps 3 ms a batch": {"train=fb.Train(fit,": "train=fb.Train(fit, predict=sleeps,"},
}


def logistic(server: Server) -> tuple[list[float], float]:
    """The coefficients and the intercept by which a server answers. Ends the benchmark where its answers are not those of a logistic regression."""
    X = np.column_stack([world.asked_rows(), np.ones(world.DISTINCT)])
    found = np.array(server.answers())
    solved, *_ = np.linalg.lstsq(X, np.log(found / (1 - found)), rcond=None)
    off = float(np.abs(1 / (1 + np.exp(-(X @ solved))) - found).max())
    if off > TOLERANCE:
        raise SystemExit(f"the answers of {server.name} are {off:g} off those of a logistic regression")
    return [float(value) for value in solved[:-1]], float(solved[-1])


def checked(server: Server, expected: list[float], tolerance: float = TOLERANCE) -> None:
    """End the benchmark unless a server gives these scores."""
    off = max(abs(ours - theirs) for ours, theirs in zip(server.answers(), expected, strict=True))
    if off > tolerance:
        raise SystemExit(f"{server.name} answers otherwise: {off:g} off")


def guarded(server: Server) -> bool:
    """Whether callers need a token. Ends the benchmark where they should and do not."""
    status = httpx.post(f"http://{server.host}:{server.port}/models/{world.MODEL}/predict", json={}).status_code
    if is_loopback(server.host):
        return False
    if status != 401:
        raise SystemExit(f"without a token {server.host} answers {status}")
    return True


def costs(servers: list[Server]) -> dict[str, list[dict[str, float]]]:
    """CPU µs a request of each, by kind of process, in interleaved rounds; and the rates that they reached as kind `rate`."""
    found = defaultdict(list)
    for server in servers:
        server.call(WARM_S)
    for _ in range(ROUNDS):
        for server in servers:
            split, told = server.cpu_us(SECONDS)
            found[server.name].append({**split, "rate": told.rate})
    return found


def totals(rounds: list[dict[str, float]]) -> list[float]:
    """µs a request of each round."""
    return [sum(value for kind, value in one.items() if kind != "rate") for one in rounds]


def predicting(report: Report, plain: Server, shadow: Server, others: list[tuple[peers.Peer, Server, str]]) -> float:
    """The bars of CPU time; requests a second at which the plain server is saturated."""
    found = costs([plain, shadow, *(server for _, server, _ in others)])
    guard = "tokens on" if guarded(plain) else "NO tokens: no address but the loopback's"
    ours = totals(found[plain.name])
    report.rows.append(Row.of(f"predict one row, {guard}, process tree", "CPU µs", ours))
    for kind in sorted({kind for one in found[plain.name] for kind in one} - {"rate"}):
        report.rows.append(Row.of(f"  of it {kind}", "CPU µs", [one.get(kind, 0.0) for one in found[plain.name]]))
    rates = [one["rate"] for one in found[plain.name]]
    report.rows.append(Row.of("  requests a second, one gateway, 2 cores with the caller's", "req/s", rates))
    median = statistics.median(ours)
    report.bars.append(Bar.at_most("predict_cpu_us", median, 90, "CPU µs"))
    with_shadow = totals(found[shadow.name])
    report.rows.append(Row.of("the same with a shadow on every request", "CPU µs", with_shadow))
    for kind in sorted({kind for one in found[shadow.name] for kind in one} - {"rate"}):
        report.rows.append(Row.of(f"  of it {kind}", "CPU µs", [one.get(kind, 0.0) for one in found[shadow.name]]))
    report.bars.append(Bar.at_most("shadow_ratio", statistics.median(with_shadow) / median, 1.5, "×"))
    for peer, server, version in others:
        theirs = totals(found[server.name])
        row = Row.of("predict one row, process tree", "CPU µs", ours, peer=f"{peer.name} {version}", peer_samples=theirs)
        report.rows += [Row.of(f"the same by {peer.name} {version}", "CPU µs", theirs), row]
        assert row.ratio is not None
        report.bars.append(Bar.at_least(peer.bar, row.ratio, peer.bound, "×"))
    return statistics.median(rates)


def shadowed(report: Report, root: Path) -> None:
    """How many requests the shadow scored. Ends the benchmark where it was not every one's."""
    kinds = logged.kinds(root)
    share = kinds["shadow"] / (kinds["shadow"] + kinds["shadow_dropped"])
    report.rows.append(Row.of("  requests that the shadow scored", "share", [share]))
    if share < 0.95:
        raise SystemExit(f"the shadow scored {share:.0%} of all requests, so its cost is not that of a shadow on every request: {kinds}")


def waiting(report: Report, plain: Server, slow: dict[Path, Server]) -> None:
    """The bars of latency, in an open loop at half of what the server can: of the champion alone, and beside shadows that are about ten times slower."""
    found: dict[str, list[float]] = defaultdict(list)
    middle, rates = [], []
    for _ in range(ROUNDS):
        # asked anew in each round: half of what it could on a quieter machine may be more than it can now
        rates.append(plain.call(MOST_S).rate / 2)
        for server in (plain, *slow.values()):
            told = server.call(OPEN_S, rates[-1])
            found[server.name].append(told.p99_ms)
            if server is plain:
                middle.append(told.p50_ms)
    alone = statistics.median(found[plain.name])
    report.rows += [
        Row.of("half of what one gateway can, in an open loop", "req/s", rates),
        Row.of("  p50", "ms", middle),
        Row.of("  p99", "ms", found[plain.name]),
    ]
    report.bars.append(Bar.at_most("p99_half_load_ms", alone, 10, "ms"))
    shifts = []
    for root, server in slow.items():
        report.rows += [
            Row.of(f"  p99 of the champion, whose shadow {server.name}", "ms", found[server.name]),
            Row.of("    the shadow's answer takes", "× champion's", [logged.slowness(root)]),
        ]
        # of the same round, for the machine is not the same in all
        shifts.append(statistics.median(there / here for there, here in zip(found[server.name], found[plain.name], strict=True)))
    report.bars.append(Bar.at_most("champion_p99_shift", max(shifts), 1.2, "×"))


def run(arguments: argparse.Namespace) -> Report:
    report = Report()
    with tempfile.TemporaryDirectory(prefix="flyball-serving-") as temporary:
        folder = Path(temporary)
        base = folder / "base"
        world.first(base)
        copies = {"shadow": world.second(base, folder / "shadow", {})}
        copies |= {name: world.second(base, folder / name.split()[0], change) for name, change in SLOW.items()}
        with world.up("plain", base) as plain:
            coef, intercept = logistic(plain)
            expected = [1 / (1 + float(np.exp(-(np.dot(coef, row) + intercept)))) for row in world.asked_rows()]
            with world.up("shadow", copies["shadow"]) as shadow, ExitStack() as others:
                world.in_shadow(copies["shadow"])
                checked(shadow, plain.answers(), 0.0)
                beside = []
                for peer, python in peers.installed() if arguments.peers else ():
                    server = others.enter_context(peers.serving(peer, python, coef, intercept))
                    checked(server, expected)
                    beside.append((peer, server, peers.version(python, peer.packages[0])))
                rate = predicting(report, plain, shadow, beside) / 2
                shadowed(report, copies["shadow"])
                logged.measure(base, folder, report)
            with ExitStack() as slow:
                servers = {}
                for name in SLOW:
                    servers[copies[name]] = slow.enter_context(world.up(name, copies[name]))
                    world.in_shadow(copies[name])
                    checked(servers[copies[name]], plain.answers(), 0.0)
                waiting(report, plain, servers)
        changes.measure(base, folder, report, rate)
        many.measure(base, folder, report)
    return report


if __name__ == "__main__":
    main(run, __doc__)
