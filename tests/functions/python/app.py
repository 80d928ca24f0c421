"""What a Python function may do: one thing per `do`. The tests ask for it by name."""

import os
import subprocess
import sys
import time

print("module is loaded")
calls = 0


def handler(event, context):
    global calls
    calls += 1
    return globals()["do_" + event.get("do", "hello")](event, context)


def do_hello(event, context):
    return {
        "hello": event.get("name"),
        "requestId": context.aws_request_id,
        "arn": context.invoked_function_arn,
        "memory": context.memory_limit_in_mb,
        "left": context.get_remaining_time_in_millis(),
        "trace": os.environ.get("_X_AMZN_TRACE_ID"),
        "custom": context.client_context and context.client_context.custom,
        "pid": os.getpid(),
        "calls": calls,
    }


def do_environment(event, context):
    return {"variables": dict(os.environ), "cwd": os.getcwd()}


def do_raise(event, context):
    raise ValueError("no luck")


def do_exit(event, context):
    sys.stdout.flush()
    os._exit(event.get("code", 3))


def do_sleep(event, context):
    time.sleep(event["seconds"])
    return os.getpid()


def do_hold(event, context):
    """Memory that is really written to."""
    held = bytearray(os.urandom(1 << 20) * event["mb"])
    time.sleep(event.get("seconds", 0))
    return len(held)


def do_answer(event, context):
    return "x" * event["bytes"]


def do_print(event, context):
    for line in event["lines"]:
        print(line)
    return None


def do_child(event, context):
    """A process of its own, which outlives the call."""
    return [os.getpid(), subprocess.Popen(["sleep", "600"]).pid]


def do_count(event, context):
    """Fails until it has been tried so often."""
    with open(event["file"], "a", encoding="ascii") as file:
        file.write(context.aws_request_id + "\n")
    with open(event["file"], encoding="ascii") as file:
        if len(file.readlines()) < event["good"]:
            raise ValueError("not yet")


def do_wait(event, context):
    """Says that it is here, and waits for the others."""
    open(os.path.join(event["folder"], str(event["number"])), "w").close()
    end = time.monotonic() + 20
    while len(os.listdir(event["folder"])) < event["all"] and time.monotonic() < end:
        time.sleep(0.01)
    return len(os.listdir(event["folder"])) >= event["all"]
