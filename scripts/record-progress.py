#!/usr/bin/env python3
"""Records what real programs print of their progress, for the tests of src-tauri/core/src/progress.

Run it with a Python that has tqdm, pytest, ninja and pip, beside curl, wget and rsync:

    python3 -m venv /tmp/recording && /tmp/recording/bin/pip install tqdm pytest ninja
    /tmp/recording/bin/python scripts/record-progress.py

Each program runs on a terminal of 120 columns, as a task of Nod does, and the bytes that the
terminal shows are kept as they are. Downloads come from a server of this script, slowly enough
for a bar to be drawn. Docker needs a daemon: its recording is built from the format of
jsonmessage.go (github.com/moby/moby, pkg/jsonmessage), as `docker pull` draws it.
"""

import fcntl
import http.server
import os
import pathlib
import pty
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
import textwrap
import threading
import time
import zipfile

PLACE = pathlib.Path(__file__).parent.parent / "src-tauri/core/tests/recordings"
PYTHON = sys.executable
SIZE = 6 * 1024 * 1024


def record(name, argv, cwd, terminal=True):
    environment = {**os.environ, "TERM": "xterm-256color", "PATH": os.path.dirname(PYTHON) + ":" + os.environ["PATH"]}
    environment.pop("CI", None)
    # What this machine configures is not what others see.
    environment["PIP_CONFIG_FILE"] = os.devnull
    if terminal:
        reader, writer = pty.openpty()
        fcntl.ioctl(writer, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 120, 0, 0))
    else:
        reader, writer = os.pipe()
    child = subprocess.Popen(argv, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, stdout=writer, stderr=writer)
    os.close(writer)
    printed = b""
    while True:
        try:
            piece = os.read(reader, 65536)
        except OSError:
            break
        if not piece:
            break
        printed += piece
    code = child.wait()
    if code != 0:
        sys.exit(f"{name} ended with {code}: {printed[-500:]}")
    # Nothing of this machine is of interest.
    printed = printed.replace(str(cwd).encode(), b"/work")
    (PLACE / name).write_bytes(printed)
    print(f"{name}: {len(printed)} bytes")


class Slow(http.server.SimpleHTTPRequestHandler):
    def copyfile(self, source, output):
        while piece := source.read(SIZE // 40):
            output.write(piece)
            time.sleep(0.05)

    def log_message(self, *_):
        pass


def wheel(folder):
    """Makes a package that is large enough for pip to draw a bar."""
    path = folder / "nodlarge-1.0-py3-none-any.whl"
    info = "nodlarge-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("nodlarge/data.bin", os.urandom(SIZE))
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: nodlarge\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")


def docker():
    layers = [("a1b2c3d4e5f6", 31.3), ("0f1e2d3c4b5a", 5.2), ("9988776655aa", 48.0)]
    up = lambda n: f"\x1b[{n}A".encode()
    text = b"Using default tag: latest\r\nlatest: Pulling from library/example\r\n"
    state = {}

    def show(layer, status):
        nonlocal text
        if layer not in state:
            state[layer] = len(state)
            text += b"\r\n"
        lines = len(state) - state[layer]
        text += up(lines) + b"\x1b[2K\r" + f"{layer}: {status} ".encode() + b"\r" + f"\x1b[{lines}B".encode()

    def bar(part, whole):
        filled = int(50 * part / whole)
        head = "=" * filled + ">" + " " * (50 - filled)
        return f"[{head[:51]}]  {part:.4g}MB/{whole:.4g}MB"

    for layer, _ in layers:
        show(layer, "Pulling fs layer")
    for step in range(0, 21):
        for layer, whole in layers:
            show(layer, f"Downloading {bar(whole * step / 20, whole)}")
    for layer, _ in layers:
        show(layer, "Verifying Checksum")
        show(layer, "Download complete")
    for layer, whole in layers:
        for step in range(0, 11):
            show(layer, f"Extracting {bar(whole * step / 10, whole)}")
        show(layer, "Pull complete")
    text += b"Digest: sha256:0123456789abcdef\r\nStatus: Downloaded newer image for example:latest\r\n"
    (PLACE / "docker.tty").write_bytes(text)
    print(f"docker.tty: {len(text)} bytes (built, not recorded)")


def main():
    PLACE.mkdir(parents=True, exist_ok=True)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="record-"))
    served, work = folder / "served", folder / "work"
    served.mkdir()
    work.mkdir()
    (served / "large.bin").write_bytes(os.urandom(SIZE))
    wheel(served)
    handler = lambda *a: Slow(*a, directory=served)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"

    tqdm = "import time, tqdm\nfor _ in tqdm.tqdm(range(200), desc='rows'): time.sleep(0.005)"
    record("tqdm.tty", [PYTHON, "-c", tqdm], work)
    record("tqdm.pipe", [PYTHON, "-c", tqdm], work, terminal=False)
    nested = """
        import time, tqdm
        for _ in tqdm.tqdm(range(4), desc='outer'):
            for _ in tqdm.tqdm(range(50), desc='inner', leave=False): time.sleep(0.005)
    """
    record("tqdm-nested.tty", [PYTHON, "-c", textwrap.dedent(nested)], work)
    pip = [PYTHON, "-m", "pip", "--disable-pip-version-check", "download", "--no-deps", "--no-cache-dir"]
    record("pip.tty", [*pip, f"{address}/nodlarge-1.0-py3-none-any.whl"], work)
    record("wget.tty", ["wget", f"{address}/large.bin", "-O", "a.bin"], work)
    record("wget.pipe", ["wget", f"{address}/large.bin", "-O", "a.bin"], work, terminal=False)
    record("curl.tty", ["curl", "-o", "b.bin", f"{address}/large.bin"], work)
    record("curl-bar.tty", ["curl", "-#", "-o", "b.bin", f"{address}/large.bin"], work)
    for number in range(8):
        (work / "from").mkdir(exist_ok=True)
        (work / f"from/{number}.bin").write_bytes(os.urandom(SIZE // 8))
    limit = "--bwlimit=4m"
    record("rsync.tty", ["rsync", "-a", "--progress", limit, "from/", "to/"], work)
    shutil.rmtree(work / "to")
    record("rsync-whole.tty", ["rsync", "-a", "--info=progress2", limit, "from/", "to/"], work)
    rules = ["rule slow", "  command = sleep 0.03 && touch $out", "  description = CXX $out"]
    rules += [f"build {n}.o: slow" for n in range(40)]
    (work / "build.ninja").write_text("\n".join(rules) + "\n")
    record("ninja.tty", ["ninja", "-j1"], work)
    for file in work.glob("*.o"):
        file.unlink()
    record("ninja.pipe", ["ninja", "-j1"], work, terminal=False)
    for file in range(6):
        tests = "".join(f"def test_{n}(): time.sleep(0.01)\n" for n in range(15))
        (work / f"test_{file}.py").write_text("import time\n" + tests)
    record("pytest.tty", [PYTHON, "-m", "pytest", "-p", "no:cacheprovider"], work)
    record("pytest.pipe", [PYTHON, "-m", "pytest", "-p", "no:cacheprovider"], work, terminal=False)
    docker()
    shutil.rmtree(folder)


main()
