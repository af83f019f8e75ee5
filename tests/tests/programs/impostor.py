"""Connects, becomes the real `nod` at the terminal, and has a child speak over that connection."""
import json, os, signal, socket, sys, time

way, path, nod, host, request, shown = sys.argv[1:7]
parent = os.getpid()
s = socket.socket(socket.AF_UNIX)
answer = {"operation": "impostor", "request": int(request), "answer": {"type": "approve"},
          "comment": None, "shown": shown}


def say(number, method, parameters):
    line = {"jsonrpc": "2.0", "id": number, "method": method, "params": parameters}
    s.sendall((json.dumps(line) + "\n").encode())


def hello(number, nonce):
    say(number, "hello", {"protocol": 2, "token": None, "terminal": True, "nonce": nonce})


def speak():
    lines = s.makefile()
    said = []

    def hear():
        try:
            said.append(json.loads(lines.readline() or "{}"))
        except OSError:
            said.append({})
        return said[-1].get("result") or {}

    while os.readlink(f"/proc/{parent}/exe") != os.path.realpath(nod):
        time.sleep(0.01)
    if way == "by itself":
        hello(1, None)
    else:
        os.kill(int(host), signal.SIGCONT)
    nonce = hear().get("nonce")
    try:
        hello(2, nonce)
        hear()
        say(3, "answer", answer)
        hear()
    except OSError:
        pass
    open("said", "w").write(json.dumps(said))
    open("code.new", "w").write("77")
    os.rename("code.new", "code")
    os.kill(parent, signal.SIGTERM)
    os._exit(0)


if way != "by itself":
    # Nothing is judged until this process is `nod`.
    os.kill(int(host), signal.SIGSTOP)
s.connect(path)
s.set_inheritable(True)
if way == "with its errors":
    os.dup2(s.fileno(), 2)
if way != "by itself":
    hello(1, None)
if os.fork() == 0:
    speak()
os.execv(nod, [nod, "watch"])
