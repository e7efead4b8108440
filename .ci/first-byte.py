"""Time from the start of `harness run` to the first byte that it sends, as the server sees it.

Usage: first-byte.py HARNESS [RUNS]. Fails if the quickest run took more than 50 ms: a busy machine makes some runs slow, but
never one quick.
"""

import pathlib
import socket
import statistics
import subprocess
import sys
import tempfile
import time

LIMIT_MS = 50

SCENARIO = """
[target]
address = "tcp://127.0.0.1:{port}"

[[case]]
name = "sends a byte"
steps = [{{ send = "x" }}]
"""


def first_byte_ms(harness, scenario, folder, listener):
    began = time.perf_counter()
    command = [harness, "-q", "run", scenario, "--out", folder]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    connection, _ = listener.accept()
    connection.recv(1)
    took = time.perf_counter() - began
    connection.close()
    said = process.communicate(timeout=10)[1]
    assert process.returncode == 0, said.decode()
    return took * 1000


def main():
    harness = sys.argv[1]
    runs = int(sys.argv[2]) if len(sys.argv) > 2 else 21
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        scenario = pathlib.Path(folder, "first-byte.toml")
        scenario.write_text(SCENARIO.format(port=listener.getsockname()[1]))
        times = sorted(first_byte_ms(harness, scenario, folder, listener) for _ in range(runs))
    print(f"first byte sent after {statistics.median(times):.1f} ms ({times[0]:.1f} to {times[-1]:.1f}, {runs} runs)")
    return times[0] > LIMIT_MS


sys.exit(main())
