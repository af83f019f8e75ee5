"""Builds in steps, asks where to deploy, and says what came of it.

Try it with `nod submit -- python3 sdk/python/examples/deploy.py`.
"""

import sys
import time
from pathlib import Path

# Beside your own program, a copy of nod_task.py is found without this.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import nod_task

STEPS = ["fetch", "compile", "test", "package"]


def main() -> int:
    for done, step in enumerate(STEPS, start=1):
        print(step, flush=True)
        time.sleep(0.2)
        nod_task.progress(done=done, total=len(STEPS), message=step)
    try:
        answer = nod_task.ask("Where to deploy?", choices=["eu", "us"], timeout=3600)
    except nod_task.Expired:
        nod_task.fail("nobody said where to deploy")
        return 1
    if not answer:
        nod_task.fail(f"not deployed: {answer.reason or 'no reason was given'}")
        return 1
    for message in nod_task.inbox():
        print(f"{message.sender}: {message.text}", flush=True)
    nod_task.success(f"deployed to {answer.value}", {"region": answer.value})
    return 0


if __name__ == "__main__":
    sys.exit(main())
