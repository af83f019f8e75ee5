#!/usr/bin/env python3
"""Records what real programs print of their progress, for the tests of src-tauri/core/src/progress.

Run it with a Python that has tqdm, pytest, ninja and pip, beside curl, wget and rsync:

    python3 -m venv /tmp/recording && /tmp/recording/bin/pip install tqdm pytest ninja
    /tmp/recording/bin/python scripts/record-progress.py

Each program runs on a terminal of 120 columns, as a task of Nod does, and the bytes that the
terminal shows are kept as they are. Downloads come from a server of this script, slowly enough
for a bar to be drawn. Docker needs its daemon and a registry (Debian's docker.io and
docker-registry) and root; where they are missing, its recording stays as it is.
"""

import fcntl
import http.server
import os
import pathlib
import pty
import shutil
import socket
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


def docker(folder):
    """Records `docker pull` of an image of three layers, from a registry of its own."""
    missing = [name for name in ("docker", "dockerd", "docker-registry") if shutil.which(name) is None]
    if missing or os.getuid() != 0:
        print(f"docker.tty stays as it is: it takes root, and {', '.join(missing) or 'nothing else'}")
        return
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = "127.0.0.1:%d" % free.getsockname()[1]
    config = folder / "registry.yml"
    storage = f"storage: {{filesystem: {{rootdirectory: {folder / 'registry'}}}}}"
    config.write_text(f"version: 0.1\n{storage}\nhttp: {{addr: '{address}'}}\n")
    daemon = ["dockerd", "--iptables=false", "--ip6tables=false", "--bridge=none", "--storage-driver=vfs"]
    daemon += ["--data-root", folder / "data", "--exec-root", folder / "exec", "-p", folder / "pid"]
    os.environ["DOCKER_HOST"] = f"unix://{folder / 'docker.sock'}"
    daemon += ["-H", os.environ["DOCKER_HOST"]]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    started = [subprocess.Popen(argv, **quiet) for argv in (["docker-registry", "serve", config], daemon)]
    try:
        while subprocess.run(["docker", "version"], **quiet).returncode != 0:
            time.sleep(0.1)
        image = folder / "image"
        image.mkdir()
        lines = ["FROM scratch"]
        for name, size in (("base", 124), ("tools", 20), ("app", 192)):
            (image / name).write_bytes(os.urandom(size << 20))
            lines.append(f"COPY {name} /")
        (image / "Dockerfile").write_text("\n".join(lines) + "\n")
        name = f"{address}/example"
        for argv in (["build", "-t", name, image], ["push", name], ["rmi", name], ["builder", "prune", "-af"]):
            subprocess.run(["docker", *argv], check=True, **quiet, env={**os.environ, "DOCKER_BUILDKIT": "0"})
        record("docker.tty", ["docker", "pull", name], folder)
    finally:
        for process in reversed(started):
            process.terminate()
            process.wait()


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
    docker(folder)
    shutil.rmtree(folder)


main()
