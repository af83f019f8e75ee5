"""Lets Python code in a Nod task say how far it is, wait, ask a person, and give its result.

It is one file without dependencies, for Python 3.9 or newer: copy it beside your program.

    import nod_task

    nod_task.progress(40, "compiling")
    if nod_task.ask("Deploy to production?", timeout=3600):
        nod_task.success("deployed", {"url": "https://example.org"})

Each function is what the command of `nod` with the same name is, and speaks to the host by
itself: JSON-RPC 2.0 on the socket that the task's environment names, one message a line. Times
are in seconds. Every call has a connection of its own, so threads may call at the same time; only
messages are for one reader at a time (see `inbox`).

A host that dies is waited for, and what was under way goes on with the next one: `wait`, `ask`,
`await_answer` and `inbox` within their own time, everything else for ten seconds. Nothing is done
twice by that, and no host is ever started from here.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import math
import os
import secrets
import signal
import socket
import struct
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Callable, Literal, TypeVar, overload

__all__ = [
    "Answer", "Cancelled", "Expired", "Interrupted", "Message", "NodError", "NoHost", "OutsideTask",
    "Refused", "StillOpen", "TooLarge", "Withdrawn", "WrongProtocol", "ask", "await_answer",
    "cancel", "fail", "handle_signals", "inbox", "is_cancelled", "notify_agent", "progress",
    "success", "task_id", "wait",
]  # fmt: skip

PROTOCOL = 2
MESSAGE_LIMIT = 1 << 20

# What follows is as in `nod` itself: how long a host is waited for, how long it may take to answer,
# how long progress may hold up the work, and how much later than it should a host may say that a
# time has come.
_WAIT_FOR_HOST = 10.0
_ANSWER = 30.0
_PROGRESS = 2.0
_GRACE = 5.0
_SHORTEST_PAUSE = 0.02
_LONGEST_PAUSE = 0.5

# A socket takes no time beyond 24 days; a longer one is left to the host.
_LONGEST_SOCKET_TIMEOUT = 1_000_000.0


class NodError(Exception):
    """What went wrong between this task and Nod."""


class OutsideTask(NodError, RuntimeError):
    """This process is in no task."""


class NoHost(NodError, ConnectionError):
    """No host took the call in time."""

    def __init__(self, words: str, was_there: bool = True) -> None:
        super().__init__(words)
        self._was_there = was_there


class _Silent(NoHost):
    """A host took the call and does not answer."""


class WrongProtocol(NodError):
    """The host speaks another version of the protocol than this file."""


class Refused(NodError):
    """The host refused the call; `code` is its word for the reason, as in `forbidden`."""

    def __init__(self, code: str, words: str) -> None:
        super().__init__(words)
        self.code = code


class TooLarge(NodError, ValueError):
    """A call has more bytes than a message may have."""


class Expired(NodError, TimeoutError):
    """The time was up before a signal or an answer came."""


class Withdrawn(NodError):
    """A question was closed without an answer."""


class StillOpen(NodError):
    """It is time to go on; `await_answer(error.request)` waits for the answer again."""

    def __init__(self, request: int) -> None:
        super().__init__(f"request {request} is still open")
        self.request = request


class Interrupted(NodError):
    """A message that was not to wait ended a `wait`; `message` is its text, in the inbox too."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Cancelled(NodError):
    """A signal ended a call that waited; see `handle_signals`."""


@dataclass(frozen=True)
class Answer:
    """A person's answer. True unless the person said no: `if ask(…):` means what it says."""

    request: int
    kind: str
    """`approved`, `denied`, `choice`, `text` or `form`."""
    value: Any = None
    """The choice, the text or the data of the form."""
    reason: str | None = None
    """Why it was denied."""
    comment: str | None = None
    by_default: bool = False
    """Nobody answered in time, so this is the default that was given."""

    @property
    def approved(self) -> bool:
        """Returns whether a person said yes to an approval."""
        return self.kind == "approved"

    @property
    def denied(self) -> bool:
        """Returns whether a person said no, or would not answer."""
        return self.kind == "denied"

    def __bool__(self) -> bool:
        return not self.denied


@dataclass(frozen=True)
class Message:
    """A message to this task."""

    id: int
    at: datetime.datetime
    sender: str
    text: str
    interrupt: bool


def task_id() -> int:
    """Returns the number of the task that this process is in."""
    return _task().id


def progress(
    percent: float | None = None,
    message: str | None = None,
    *,
    phase: str | None = None,
    done: float | None = None,
    total: float | None = None,
) -> bool:
    """Says how far this task is: in percent, in steps `done` of `total`, or that it goes on.

    A percentage beyond 0 to 100 is taken for the nearest of them. Another `phase` begins the bar
    anew. Returns False where no host could be told, which is no failure; the task goes on.
    """
    if (done is None) != (total is None) or (percent is not None and done is not None):
        raise ValueError("give a percentage, or both `done` and `total`")
    if done is not None and total is not None:
        if not (math.isfinite(done) and math.isfinite(total) and total > 0):
            raise ValueError("`total` must be more than 0, and both must be numbers")
        percent = done / total * 100
    if percent is not None and not math.isfinite(percent):
        raise ValueError(f"{percent} is no percentage")
    report = {"percent": percent, "message": message, "phase": phase}
    try:
        _call("progress", report, _PROGRESS)
    except (NoHost, WrongProtocol):
        return False
    return True


def wait(key: str, timeout: float | None = None) -> Any:
    """Waits for a signal with this key (`nod notify`) and returns its data.

    A signal that came before is taken; a timeout of 0 only looks. Raises `Expired`, which is a
    TimeoutError, when none came in time, and `Interrupted` when a message comes meanwhile that is
    not to wait (`nod feedback --interrupt`). One that came before the wait is in the inbox only.
    """
    deadline = _deadline(timeout)
    operation = _operation()

    def params() -> dict[str, Any]:
        left = _milliseconds(_left(deadline))
        return {"operation": operation, "key": key, "timeout_ms": left}

    end = _wait_for("await", params, deadline)["end"]
    if end["type"] == "signal":
        return end["data"]
    if end["type"] == "interrupted":
        raise Interrupted(end["text"])
    raise Expired(f"no signal `{key}` came in time")


def ask(
    question: str,
    *,
    detail: str | None = None,
    diff: str | None = None,
    choices: Sequence[str] | None = None,
    text: bool = False,
    schema: dict[str, Any] | None = None,
    default: str | None = None,
    timeout: float | None = None,
    on_timeout: Literal["deny", "default"] = "deny",
    remind: float | None = None,
    resume_after: float | None = None,
) -> Answer:
    """Asks a person, and returns the answer: a denial too, which is false.

    Without more it asks for an approval; with `choices`, `text` or `schema` (a JSON Schema) for
    more than that. Raises `Expired` when nobody answered in time, unless a default stands for an
    answer then (`on_timeout="default"`, never for an approval); `Withdrawn` when the question was
    closed without an answer; `StillOpen` when it is time to go on with the question still open
    (`resume_after`).
    """
    if on_timeout not in ("deny", "default"):
        raise ValueError("`on_timeout` is `deny` or `default`")
    deadline, resume = _deadline(timeout), _deadline(resume_after)
    asked = {
        "operation": _operation(),
        "question": question,
        "detail": detail,
        "diff": diff,
        "wants": _wants(choices, text, schema, default),
        "on_timeout": on_timeout,
        "remind_ms": _milliseconds(remind),
    }

    def params() -> dict[str, Any]:
        # The host that takes the question first fixes its end; a later one goes by that.
        left = _milliseconds(_left(deadline))
        return {**asked, "timeout_ms": left, "resume": _resume(resume)}

    return _answer(_wait_for("ask", params, deadline, resume))


def await_answer(request: int, resume_after: float | None = None) -> Answer:
    """Waits for the answer to a question that this task asked before, as `ask` does."""
    resume = _deadline(resume_after)

    def params() -> dict[str, Any]:
        return {"request": request, "resume": _resume(resume)}

    return _answer(_wait_for("await_answer", params, None, resume))


def success(message: str | None = None, data: Any = None) -> None:
    """Gives the result of this task: words for people, and data for programs.

    The last one counts. The task succeeds when it then exits with 0.
    """
    _say({"type": "result", "data": data, "message": message})


def fail(message: str, error: BaseException | None = None) -> None:
    """Says why this task fails. It then ends as it likes, and has failed whatever its exit code."""
    message = message if error is None else f"{message}: {error}"
    _say({"type": "failed", "message": message})


def cancel(message: str | None = None) -> None:
    """Has this task ended as cancelled: SIGINT follows, then SIGTERM, then SIGKILL.

    Returns when the host has taken it, which is before the first signal or after it. The message
    is kept as that of the result.
    """
    if message is not None:
        success(message)
    _change("cancel", {"operation": _operation(), "id": task_id()})


def notify_agent(message: str, urgent: bool = False) -> None:
    """Tells the agent session that this task works for."""
    _change("tell", {"operation": _operation(), "text": message, "urgent": urgent})


def is_cancelled() -> bool:
    """Returns whether somebody has cancelled this task, or a signal came (see `handle_signals`)."""
    return _signalled.is_set() or bool(_change("is_cancelled")["cancelled"])


def handle_signals() -> None:
    """Has SIGINT and SIGTERM no longer end this process; to be called in the main thread.

    After one of them `is_cancelled` returns True, and a call of the main thread that waits, or
    begins to, raises `Cancelled`. A cancelled task that does not end is killed a little later.
    """
    signal.signal(signal.SIGINT, _on_signal)
    signal.signal(signal.SIGTERM, _on_signal)


@overload
def inbox(follow: Literal[False] = False) -> list[Message]: ...


@overload
def inbox(follow: Literal[True]) -> Iterator[Message]: ...


def inbox(follow: bool = False) -> list[Message] | Iterator[Message]:
    """Returns the messages that this task has not seen, in order, each once.

    With `follow` they come for as long as the task runs. Such a message counts as seen when the
    next one is asked for, or when the loop is left; should the process die before, it comes again.
    One reader at a time.
    """
    return _follow_inbox() if follow else _read_inbox()


def _read_inbox() -> list[Message]:
    messages: list[Message] = []
    with _reading:
        while True:
            page = _page(messages[-1].id if messages else None, follow=False)
            if not page:
                return messages
            messages += page


def _follow_inbox() -> Iterator[Message]:
    given: int | None = None
    try:
        while True:
            for message in _page(given, follow=True):
                given = message.id
                yield message
    except GeneratorExit:
        if given is not None:
            _page(given, follow=False)
        raise


def _page(seen: int | None, follow: bool) -> list[Message]:
    params = {"seen": seen, "follow": follow}
    reply = _wait_for("inbox", lambda: params, None) if follow else _change("inbox", params)
    return [_message(one) for one in reply["messages"]]


def _message(one: dict[str, Any]) -> Message:
    at = datetime.datetime.fromtimestamp(one["at"] / 1000, datetime.timezone.utc)
    return Message(one["id"], at, _words_of(one["by"]), one["text"], one["interrupt"])


def _words_of(actor: dict[str, Any]) -> str:
    if actor["type"] == "person":
        return f"a person in {'the window' if actor['surface'] == 'window' else 'a terminal'}"
    if actor["type"] == "peer":
        return f"the command line (process {actor['pid']})"
    return f"task {actor['id']}" if actor["type"] == "task" else "Nod"


def _wants(
    choices: Sequence[str] | None,
    text: bool,
    schema: dict[str, Any] | None,
    default: str | None,
) -> dict[str, Any]:
    if sum([choices is not None, text, schema is not None]) > 1:
        raise ValueError("a question has choices, wants a text, or has a schema")
    if choices is not None:
        if isinstance(choices, str):
            raise ValueError("`choices` are several, as in ['eu', 'us']")
        return {"type": "choice", "choices": list(choices), "default": default}
    if text:
        return {"type": "text", "default": default}
    if default is not None:
        raise ValueError("a default goes with `choices` or `text`")
    if schema is not None:
        return {"type": "form", "schema": schema}
    return {"type": "approval"}


def _answer(reply: dict[str, Any]) -> Answer:
    if reply["type"] == "still_open":
        raise StillOpen(reply["request"])
    closure = reply["closure"]
    if closure["type"] == "expired":
        raise Expired("nobody answered in time")
    if closure["type"] == "withdrawn":
        raise Withdrawn(closure["why"])
    said = closure["answer"]
    kind = {"approve": "approved", "deny": "denied"}.get(said["type"], said["type"])
    value = said.get({"choice": "choice", "text": "text", "form": "data"}.get(kind, ""))
    comment = closure.get("comment")
    by_default = closure["type"] == "defaulted"
    return Answer(reply["request"], kind, value, said.get("reason"), comment, by_default)


def _resume(at: float | None) -> dict[str, Any] | None:
    return None if at is None else {"type": "after", "milliseconds": _milliseconds(_left(at))}


def _say(said: dict[str, Any]) -> None:
    _change("say_outcome", {"operation": _operation(), "said": said})


@dataclass(frozen=True)
class _Task:
    id: int
    socket: str
    token: str = field(repr=False)


def _task() -> _Task:
    number, path = os.environ.get("NOD_TASK_ID", ""), os.environ.get("NOD_SOCKET")
    token = os.environ.get("NOD_TOKEN")
    if not (number.isdecimal() and path and token):
        raise OutsideTask(
            "this works only inside a Nod task, where NOD_TASK_ID, NOD_TOKEN and NOD_SOCKET are "
            "set: start the program with `nod submit`"
        )
    return _Task(int(number), path, token)


_Result = TypeVar("_Result")

_reading = threading.Lock()
_signalled = threading.Event()
_main_waits = False


def _on_signal(number: int, _frame: Any) -> None:
    _signalled.set()
    if _main_waits:
        raise Cancelled(f"{signal.Signals(number).name} came")


@contextlib.contextmanager
def _waiting() -> Iterator[None]:
    """Has a signal end what waits, in the one thread in which Python handles signals."""
    global _main_waits
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _main_waits = True
    try:
        if _signalled.is_set():
            raise Cancelled("a signal came before")
        yield
    finally:
        _main_waits = False


def _wait_for(
    method: str,
    params: Callable[[], dict[str, Any]],
    deadline: float | None,
    resume: float | None = None,
) -> dict[str, Any]:
    """Waits for what may come in days, with as many hosts as there are until then.

    Its time is up also where the hosts that were reached are gone by then; where none was, or only
    one that does not speak to this program, there was nobody to ask.
    """
    reached = False

    def attempt() -> dict[str, Any]:
        nonlocal reached
        ends = [_left(at) for at in (deadline, resume) if at is not None]
        timeout = min(ends) + _GRACE if ends else None

        def connected() -> None:
            nonlocal reached
            reached = True

        before = reached
        try:
            return _call(method, params(), timeout, connected)
        except WrongProtocol:
            # Such a host has taken nothing.
            reached = before
            raise

    with _waiting():
        if resume is not None:
            # Once a host was reached, it is waited for until it says which question stays open.
            until = resume if deadline is None else min(resume, deadline)
            _persist(until, lambda: _connect(_task().socket).close())
        try:
            return _persist(deadline, attempt)
        except (NoHost, WrongProtocol) as error:
            if reached and deadline is not None and _left(deadline) == 0:
                raise Expired("the time was up without a word of the host") from error
            raise


def _change(method: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
    return _persist(_deadline(_WAIT_FOR_HOST), lambda: _call(method, params, _ANSWER))


def _persist(deadline: float | None, attempt: Callable[[], _Result]) -> _Result:
    """Tries until it succeeds, fails for good, or the deadline has passed; once in any case."""
    pause = _SHORTEST_PAUSE
    while True:
        try:
            return attempt()
        except _Silent:
            raise
        except (NoHost, WrongProtocol) as error:
            left = math.inf if deadline is None else _left(deadline)
            if left == 0:
                raise
            # A host was there: the next one is likely to be there soon.
            if not isinstance(error, NoHost) or error._was_there:
                pause = _SHORTEST_PAUSE
        time.sleep(min(pause, left))
        pause = min(pause * 2, _LONGEST_PAUSE)


def _call(
    method: str,
    params: dict[str, Any] | None,
    timeout: float | None,
    connected: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Asks the host on a connection of its own, as this task; hello and call are one write."""
    task = _task()
    hello = {"protocol": PROTOCOL, "token": task.token}
    lines = _line(1, "hello", hello) + _line(2, method, params)
    with _connect(task.socket) as stream:
        connected()
        far = timeout is None or timeout > _LONGEST_SOCKET_TIMEOUT
        stream.settimeout(None if far else timeout)
        try:
            # One that has closed may have said why before.
            with contextlib.suppress(BrokenPipeError):
                stream.sendall(lines)
            with stream.makefile("rb") as replies:
                if _reply(replies, 1)["protocol"] != PROTOCOL:
                    raise _wrong_protocol()
                return _reply(replies, 2)
        except socket.timeout:
            raise _Silent("the Nod host did not answer in time: look into its host.log") from None
        except NodError:
            raise
        except OSError as error:
            raise NoHost(f"the connection to the Nod host was lost: {error}") from error


def _connect(path: str) -> socket.socket:
    """Connects to a host of this user."""
    stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        stream.connect(path)
        peer = stream.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("iII"))
    except (FileNotFoundError, ConnectionRefusedError) as error:
        stream.close()
        # A socket without a listener is what a killed host leaves.
        raise NoHost(f"no Nod host listens on {path}", was_there=False) from error
    except OSError as error:
        stream.close()
        raise NodError(f"failed to reach the Nod host on {path}: {error}") from error
    except BaseException:
        stream.close()
        raise
    uid = struct.unpack("iII", peer)[1]
    if uid != os.geteuid():
        stream.close()
        raise NodError(f"the socket {path} belongs to user {uid}, not to you")
    return stream


def _line(number: int, method: str, params: dict[str, Any] | None) -> bytes:
    call: dict[str, Any] = {"jsonrpc": "2.0", "id": number, "method": method}
    if params is not None:
        call["params"] = params
    text = json.dumps(call, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    line = text.encode() + b"\n"
    if len(line) > MESSAGE_LIMIT:
        raise TooLarge(f"the call has {len(line)} bytes and a message may have {MESSAGE_LIMIT}")
    return line


def _reply(lines: Any, number: int) -> dict[str, Any]:
    while True:
        line = lines.readline(MESSAGE_LIMIT + 1)
        if len(line) > MESSAGE_LIMIT:
            raise NodError("the Nod host sent a message that is too long")
        if not line.endswith(b"\n"):
            raise NoHost("the Nod host closed the connection before it answered")
        message = json.loads(line)
        if "error" in message:
            raise _refusal(message["error"])
        if message.get("id") == number:
            result: dict[str, Any] = message["result"]
            return result


def _refusal(error: dict[str, Any]) -> NodError:
    code = error["data"]["code"]
    if code == "version":
        return _wrong_protocol()
    # The host is going: the next one takes the call.
    return NoHost(error["message"]) if code == "stopping" else Refused(code, error["message"])


def _wrong_protocol() -> WrongProtocol:
    return WrongProtocol(
        f"the Nod host does not speak protocol {PROTOCOL} of this nod_task.py: take the one that "
        "belongs to it"
    )


def _operation() -> str:
    """Returns a name for a change, by which a host knows it when it is sent again."""
    return secrets.token_hex(16)


def _deadline(timeout: float | None) -> float | None:
    if timeout is None or timeout == math.inf:
        return None
    if not timeout >= 0:
        raise ValueError(f"{timeout} is no length of time")
    return time.monotonic() + timeout


def _left(deadline: float | None) -> Any:
    return None if deadline is None else max(0.0, deadline - time.monotonic())


def _milliseconds(seconds: float | None) -> int | None:
    return None if seconds is None else math.ceil(seconds * 1000)
