#!/usr/bin/env bash
# Judges the Python of sdk/ without running it: whether the oldest Python that it is for could read it.

# shellcheck source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

python3 -W error - sdk/python/*.py sdk/python/examples/*.py <<'PYTHON'
import ast
import sys

OLDEST = (3, 9)
WIDEST = 100

failed = False
for path in sys.argv[1:]:
    with open(path, encoding="utf-8") as file:
        text = file.read()
    tree = ast.parse(text, path, feature_version=OLDEST)
    compile(tree, path, "exec")
    for number, line in enumerate(text.splitlines(), start=1):
        if len(line) > WIDEST or line != line.rstrip():
            print(f"{path}:{number}: longer than {WIDEST} columns, or with spaces at its end")
            failed = True
sys.exit(failed)
PYTHON
