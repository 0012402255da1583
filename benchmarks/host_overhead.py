"""What a policy host adds to an inference: time beyond the policy's own, and the floor of its parts.

    python benchmarks/host_overhead.py
    python benchmarks/host_overhead.py --inferences 5000
    python benchmarks/host_overhead.py --table

asks a policy that does nothing, in a host process as in a run, for the chunk of an observation of two pictures
(393 kB) and of one without pictures, and writes ``results/host_overhead.json`` and its table. Parts are measured
beside it in the same rounds: one byte there and back between two processes, the two copies of the pictures, and
encoding and decoding the rest of the request and its reply.
"""

from __future__ import annotations

import multiprocessing
import pickle
import tempfile
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection, Listener
from pathlib import Path
from time import monotonic, perf_counter, sleep
from typing import Any

import numpy as np
from common.machine import in_words, machine
from common.results import save, write_table
from common.script import count, parser, run

from vla_eval.engine.batching import Infer
from vla_eval.engine.host import SocketPolicy, serve_policies
from vla_eval.engine.memory import encoded
from vla_eval.engine.messages import Identity
from vla_eval.engine.proxy import HostLostError
from vla_eval.keys import BlindKey
from vla_eval.policy import ActionChunk, Context, PolicyMetadata

BAR_MS = 0.2
SIZE = 256
KEY = b"benchmark"
WARM_UP, START_S = 50, 60.0


def main() -> None:
    """Measure, unless only the table is wanted."""
    arguments = parser(__doc__, measures=True)
    arguments.add_argument("--inferences", type=count, default=2000, help="(2000)")
    chosen = arguments.parse_args()
    if not chosen.table:
        save("host_overhead", measure(chosen.inferences))
    write_table("host_overhead", table)


class Nothing:
    """A policy that takes no time."""

    metadata = PolicyMetadata("nothing", "scripted", chunk_size=10, n_action_steps=10)
    _chunk = ActionChunk(np.zeros((10, 7), np.float32), nfe=1)

    def infer(self, observations: Sequence[Any], contexts: Sequence[Context]) -> list[ActionChunk]:
        """Return the same chunk for all."""
        del contexts
        return [self._chunk] * len(observations)


def serve(address: str) -> None:
    """Be the host."""
    listener = Listener(address, family="AF_UNIX")
    policies = {"nothing": Nothing()}
    identities = {"nothing": Identity(Nothing.metadata, "")}
    loops, _ = serve_policies(
        policies, identities, listener, KEY, (1, 0.0), lambda _phase, _now, _members: None
    )
    loops["nothing"].run()


def echo(connection: Connection) -> None:
    """Send back what comes."""
    while True:
        connection.send_bytes(connection.recv_bytes())


def observation(*, pictures: bool) -> dict[str, Any]:
    """Return an observation of LIBERO's shape, with or without its pictures."""
    rng = np.random.default_rng(0)
    pixels = {
        name: rng.integers(0, 256, (SIZE, SIZE, 3), np.uint8)
        for name in (("image", "image2") if pictures else ())
    }
    return {"pixels": pixels, "agent_pos": np.zeros(8, np.float32)}


def measure(inferences: int) -> dict[str, Any]:
    """Return times in ms: of inferences beyond the policy, and of the parts of the floor."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    with tempfile.TemporaryDirectory() as folder:
        address = str(Path(folder) / "socket")
        children = [
            spawn.Process(target=serve, args=(address,), daemon=True),
            spawn.Process(target=echo, args=(theirs,), daemon=True),
        ]
        for child in children:
            child.start()
        try:
            policy = _connect(address)
            kinds: dict[str, Callable[[], float]] = {
                "with pictures": _inference(policy, observation(pictures=True)),
                "without pictures": _inference(policy, observation(pictures=False)),
                "part: a byte there and back": _there_and_back(ours),
                "part: two copies": _copies(),
                "part: encoding and decoding": _encoding(),
            }
            times = _in_turns(kinds, inferences)
        finally:
            for child in children:
                child.terminate()
                child.join()
    quantiles = {
        name: [round(float(each), 4) for each in np.percentile(values, [50, 5, 95])]
        for name, values in times.items()
    }
    return {"machine": machine(), "inferences": inferences, "ms": quantiles}


def _connect(address: str) -> SocketPolicy:
    """Connect once the host listens."""
    given_up = monotonic() + START_S
    while True:
        try:
            return SocketPolicy("nothing", address, KEY, 0, START_S)
        except HostLostError:
            if monotonic() > given_up:
                raise
            sleep(0.05)


def _in_turns(kinds: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    for _ in range(WARM_UP):
        for act in kinds.values():
            act()
    times: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(rounds):
        for name, act in kinds.items():
            times[name].append(act())
    return times


def _context() -> Context:
    bound, key = np.ones(7, np.float32), BlindKey("libero_spatial", "0" * 32)
    return Context(key, 0, 0, "put the bowl on the plate", -bound, bound)


def _inference(policy: SocketPolicy, shown: Mapping[str, Any]) -> Callable[[], float]:
    context = _context()

    def act() -> float:
        began = perf_counter()
        (chunk,) = policy.infer([dict(shown)], [context])
        return 1e3 * (perf_counter() - began) - (chunk.infer_ms or 0.0)

    return act


def _there_and_back(connection: Connection) -> Callable[[], float]:
    def act() -> float:
        began = perf_counter()
        connection.send_bytes(b"x")
        connection.recv_bytes()
        return 1e3 * (perf_counter() - began)

    return act


def _copies() -> Callable[[], float]:
    source = observation(pictures=True)["pixels"]["image"]
    size = 2 * source.nbytes
    shared, picture = bytearray(size), np.tile(source.ravel(), 2)

    def act() -> float:
        began = perf_counter()
        shared[:] = memoryview(picture)
        bytearray(shared)
        return 1e3 * (perf_counter() - began)

    return act


def _encoding() -> Callable[[], float]:
    request, reply = Infer(observation(pictures=True), _context()), Nothing().infer([None], [])

    def act() -> float:
        began = perf_counter()
        pictures: list[pickle.PickleBuffer] = []

        def is_small(buffer: pickle.PickleBuffer) -> bool:
            if buffer.raw().nbytes < SIZE**2:
                return True
            pictures.append(buffer)
            return False

        body = encoded(request, is_small)
        pickle.loads(body, buffers=pictures)  # noqa: S301
        pickle.loads(encoded(reply[0]))  # noqa: S301
        return 1e3 * (perf_counter() - began)

    return act


def table(results: Mapping[str, Any]) -> str:
    """Return the results as a Markdown page."""
    lines = [
        "# What a policy host adds to an inference",
        "",
        f"By `benchmarks/host_overhead.py`: {in_words(results['machine'])}.",
        f"ms of {results['inferences']:,} inferences, the policy's own time subtracted; bar for pictures: {BAR_MS:g} ms.",
        "",
        "| | median | 5 % | 95 % |",
        "|---|---|---|---|",
    ]
    for name, numbers in results["ms"].items():
        lines.append(f"| {name} | {' | '.join(f'{number:.3f}' for number in numbers)} |")
    parts = sum(numbers[0] for name, numbers in results["ms"].items() if name.startswith("part"))
    lines += [
        "",
        f"The parts add up to {parts:.3f} ms. What is left is the way from the thread that reads a worker's requests to",
        "the one that runs the policy, and checks.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    run(main)
