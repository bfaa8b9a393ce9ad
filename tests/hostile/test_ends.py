# SPDX-License-Identifier: Apache-2.0
"""Processes end at every signal, at every moment, and with their parent; nothing of them stays behind."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_codec import write_codec

from fs_common.launch_environment import inherited_environment

PATIENCE_S = 120.0  # long enough for a busy machine; the awaited events take a second or two
PLACES = 10  # moments of a start; one signal comes at each
HOW = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

needs_ros = pytest.mark.skipif(
    subprocess.run([sys.executable, "-c", "import rclpy, fs_msgs.msg"], capture_output=True).returncode != 0,
    reason="needs ROS 2 and fs_msgs: run `make setup`, or source a ROS installation",
)

# Run a module, and get a signal from oneself at the audit event `moment` since the import of `after` began, or say
# how many there were. Audit events (imports, opened files, ...) are nearly the same in each run, on any machine.
INTERRUPTED = """
import os, runpy, sys

module, after, moment, number = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
del sys.argv[1:5]
seen = -1

def look(event, args):
    global seen
    if seen >= 0 or (event == "import" and args[0] == after):
        seen += 1
        if seen == moment:
            os.kill(os.getpid(), number)

def say_and_leave(status, leave=os._exit):
    print(f"{seen} moments", flush=True)
    leave(status)

if moment < 0:
    os._exit = say_and_leave
sys.addaudithook(look)
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""


def python(*arguments: str, **options: object) -> subprocess.Popen[str]:
    """Start a Python in the repository; what it says is one text."""
    return subprocess.Popen(
        [sys.executable, *arguments],
        env=inherited_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **options,
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Wait for the end; return status and what was said."""
    try:
        said, _ = process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
    return process.returncode, said


def said_until(process: subprocess.Popen[str], word: str) -> str:
    """Read lines up to the one with the word."""
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if word in line:
            return said
    raise AssertionError(f"ended without {word!r}:\n{said}")


def wait(reached: Callable[[], object], what: str) -> None:
    """Wait for something that comes soon."""
    deadline = time.monotonic() + PATIENCE_S
    while not reached():
        assert time.monotonic() < deadline, f"waited for {what}"
        time.sleep(0.05)


def alive(pid: int) -> bool:
    """Tell whether a process runs; one that waits for its parent to look at its status does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


# --- with the parent ---------------------------------------------------------------------------------------------

PARENT = """
import subprocess, sys, time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from signal import SIGKILL
from frankensplit.processes import ends_with_us

if __name__ == "__main__":
    child = subprocess.Popen(["sleep", "1000"], preexec_fn=ends_with_us())
    # A shell that has another program take its place, as at the ends of a link.
    other = subprocess.Popen(["sh", "-c", "true && exec sleep 1000"], preexec_fn=ends_with_us(), start_new_session=True)
    pool = ProcessPoolExecutor(1, get_context("spawn"), ends_with_us(SIGKILL))
    pool.submit(time.sleep, 0).result()
    print("pids", child.pid, other.pid, *pool._processes, flush=True)
    time.sleep(1000)
"""


def test_children_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    parent = python(str(script))
    pids = [int(word) for word in said_until(parent, "pids").split()[1:]]
    assert len(pids) == 3 and all(map(alive, pids))
    parent.kill()
    wait(lambda: not any(map(alive, pids)), "the children to end")
    parent.wait()


def test_a_child_ends_whose_parent_ended_before_it_could_say_so() -> None:
    asked = (
        "import os; from frankensplit.processes import ends_with_us; os.getpid = lambda: 1; ends_with_us()()"
    )
    status, said = ended(python("-c", asked))
    assert (status, said) == (128 + signal.SIGTERM, "")


@needs_ros
def test_a_demo_that_is_killed_leaves_no_process(bundle_path: Path, tmp_path: Path) -> None:
    asked = ["demo", "--bundle", str(bundle_path), "--out", str(tmp_path), "--record", str(tmp_path / "bag")]
    demo = python("-m", "frankensplit", *asked)
    children = Path(f"/proc/{demo.pid}/task/{demo.pid}/children")
    try:
        wait(lambda: len(children.read_text().split()) == 5, "edge, server, monitor, recorder and camera")
        pids = [int(pid) for pid in children.read_text().split()]
        logs = {
            name: tmp_path / "logs" / f"{name}.log"
            for name in ("edge", "server", "monitor", "recorder", "camera")
        }
        wait(lambda: "ready: " in logs["camera"].read_text(), "the first frame")
        segments = {segment for pid in pids for segment in segments_of(pid)}
        assert segments
    finally:
        demo.kill()
    wait(lambda: not any(map(alive, pids)), "the nodes to end")
    ended(demo)
    for log in logs.values():
        assert "Traceback" not in log.read_text(errors="replace")
    assert [segment for segment in segments if Path(segment).exists()] == []


def segments_of(pid: int) -> set[str]:
    """Give the shared memory of Fast DDS that a process has opened, ports aside, which all on a domain share."""
    return set(
        re.findall(r"/dev/shm/fastrtps_[0-9a-f]+$", Path(f"/proc/{pid}/maps").read_text(), re.MULTILINE)
    )


# --- at a signal, at any moment ----------------------------------------------------------------------------------


@needs_ros
def test_a_node_ends_with_0_at_every_moment_of_its_start(tmp_path: Path) -> None:
    codec = write_codec(tmp_path / "codec", nominal_height=96, nominal_width=128)
    after = ("fs_edge_node", "fs_edge_node.node")
    values = ("--ros-args", "-p", f"bundle:={codec}")
    whole = python("-c", INTERRUPTED, *after, "-1", "0", *values)
    said_until(whole, "ready: ")
    whole.send_signal(signal.SIGHUP)
    status, said = ended(whole)
    assert status == 0, said
    moments = int(re.findall(r"(\d+) moments", said)[-1])
    for place in range(PLACES):
        how = HOW[place % len(HOW)]
        moment = (moments - 5) * place // (PLACES - 1)
        node = python("-c", INTERRUPTED, *after, str(moment), str(int(how)), *values)
        status, said = ended(node)
        assert status == 0, (moment, how, said)
        assert re.fullmatch(r"(\[INFO\] .*\n)*", said), (moment, how, said)


def test_a_command_ends_by_its_signal_at_every_moment() -> None:
    after = ("frankensplit", "frankensplit.cli.info")
    for place in range(PLACES):
        how = HOW[place % len(HOW)]
        status, said = ended(
            python("-c", INTERRUPTED, *after, str(25 * place**2), str(int(how)), "info", "street")
        )
        assert status in (128 + how, 0), (place, said)
        assert "Traceback" not in said and "Exception" not in said, (place, said)
    assert status == 0, "the last moment is after the end"


WORKING = """
import argparse, signal, sys, time, types
from frankensplit import cli

def work(args):
    try:
        print("at work", flush=True)
        time.sleep(1000)
    finally:
        print("cleaned up", flush=True)

sys.modules["frankensplit.cli.train"] = types.SimpleNamespace(add_arguments=lambda parser: None, main=work)
sys.exit(cli.main(["train"]))
"""


@pytest.mark.parametrize("how", HOW)
def test_a_command_cleans_up_at_a_signal(how: signal.Signals) -> None:
    command = python("-c", WORKING)
    said_until(command, "at work")
    command.send_signal(how)
    assert ended(command) == (128 + how, "cleaned up\n")


def test_a_command_goes_on_without_its_terminal_when_nohup_says_so() -> None:
    command = python("-c", WORKING, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    said_until(command, "at work")
    command.send_signal(signal.SIGHUP)
    command.send_signal(signal.SIGTERM)
    assert ended(command) == (128 + signal.SIGTERM, "cleaned up\n")


NODE = """
import signal, sys, threading, time
from fs_common.ending import end_now, take_signals
take_signals()
from rclpy.node import Node
from fs_common.running import run_node

class Stubborn(Node):
    def __init__(self):
        super().__init__("stubborn")
        threading.Thread(target=lambda: print("ready", flush=True)).start()

    def destroy_node(self):
        if "hangs" in sys.argv:
            time.sleep(1000)
        super().destroy_node()

end_now(run_node(Stubborn, [], leave_s=0.5))
"""


@needs_ros
def test_a_node_whose_clean_up_hangs_ends_and_says_so() -> None:
    node = python("-c", NODE, "hangs")
    said_until(node, "ready")
    node.send_signal(signal.SIGTERM)
    status, said = ended(node)
    assert status == 0
    assert said.startswith("not done 0.5 s after the signal, ending without clean-up (threads: MainThread")


@needs_ros
def test_a_node_goes_on_without_its_terminal_when_nohup_says_so() -> None:
    node = python("-c", NODE, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    said_until(node, "ready")
    node.send_signal(signal.SIGHUP)
    node.send_signal(signal.SIGTERM)
    assert ended(node) == (0, "")


REFUSED = """
import json, os, sys
from importlib import import_module

main = import_module(sys.argv[3]).main

def tries():
    yield from (main(["--ros-args", *one]) for one in json.loads(sys.argv[1]))
    os.environ["ROS_DOMAIN_ID"] = sys.argv[2]
    yield main([])

print(list(tries()), flush=True)
"""


@needs_ros
@pytest.mark.parametrize(
    ("module", "domain"),
    [
        ("fs_edge_node.node", "abc"),
        ("fs_server_node.node", "9999"),
        ("fs_demo.camera", "-1"),
        ("fs_demo.monitor", "1e3"),
        ("fs_demo.recorder", "233"),
        ("fs_bench.recorder", "abc"),
        ("fs_bench.watcher", "abc"),
    ],
)
def test_what_ros_refuses_is_one_line_and_status_2(module: str, domain: str, tmp_path: Path) -> None:
    broken, flat = tmp_path / "broken.yaml", tmp_path / "flat.yaml"
    broken.write_text("/**:\n  ros__parameters:\n    bundle: [1, two\n")
    flat.write_text("bundle: street\n")
    refused = [
        ["-r", "__ns:=bad-ns"],
        ["-r", "image:="],
        ["-r", "nothing"],
        ["--params-file", "/nowhere.yaml"],
        ["--params-file", str(broken)],
        ["--params-file", str(flat)],
        ["--log-level", "loud"],
        ["--no-such"],
        ["--", "level:=3"],
        ["--", "--help"],
    ]
    status, said = ended(python("-c", REFUSED, json.dumps(refused), domain, module))
    assert status == 0, said
    assert f"{[2] * 11}" in said and "Traceback" not in said
    assert said.count("cannot start: ") == 11, said
    assert said.count("expected NAME:=VALUE, of which names are letters, digits and _") == 3, said
    assert "not understood: level:=3; parameters are given as --ros-args -p NAME:=VALUE" in said
    assert "lexeme" not in said and "error not set" not in said


@needs_ros
@pytest.mark.parametrize(
    ("environment", "cause"),
    [
        (
            {"ROS_LOG_DIR": "/proc/nowhere"},
            "directory '/proc/nowhere': No such file or directory; set ROS_LOG_DIR to",
        ),
        (
            {"ROS_LOG_DIR": "", "HOME": "", "ROS_HOME": ""},
            "none of HOME, ROS_HOME, ROS_LOG_DIR is set, so there is no",
        ),
        (
            {"RMW_IMPLEMENTATION": "rmw_x_cpp"},
            "RMW_IMPLEMENTATION is 'rmw_x_cpp': librmw_x_cpp.so: .*-rmw-x-cpp`, or",
        ),
    ],
)
def test_what_a_node_cannot_start_in_is_one_line_and_status_2(
    environment: dict[str, str], cause: str
) -> None:
    node = subprocess.run(
        [sys.executable, "-m", "fs_edge_node"],
        env=inherited_environment() | environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert node.returncode == 2
    (line,) = node.stderr.splitlines()
    assert re.match(f"cannot start: .*{cause}", line), line


@needs_ros
def test_middleware_that_is_here_may_be_named() -> None:
    """The check loads the library by the name that ROS loads it by."""
    from rclpy.utilities import get_rmw_implementation_identifier

    source = "from fs_common.importing import imports_for\nwith imports_for('edge'): print('good')"
    node = subprocess.run(
        [sys.executable, "-c", source],
        env=inherited_environment() | {"RMW_IMPLEMENTATION": get_rmw_implementation_identifier()},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert (node.returncode, node.stdout, node.stderr) == (0, "good\n", "")


def test_what_rcl_says_in_several_lines_becomes_one() -> None:
    from fs_common.causes import cause_of

    said = "error creating node: Unable to resolve peer x\n, at /p/participant.cpp:234, at /p/node.c:252"
    assert cause_of(ValueError(said)) == "error creating node: Unable to resolve peer x"
    assert cause_of(ValueError()) == "ValueError"


def test_a_profile_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from frankensplit.fast_dds import PROFILE_VARIABLES, profiles_missing

    old, new = PROFILE_VARIABLES
    monkeypatch.setenv(old, "/config/fastdds.xml")
    monkeypatch.setenv(new, str(tmp_path / "here.xml"))
    (tmp_path / "here.xml").write_text("<dds/>")
    (text,) = profiles_missing()
    assert text.startswith(
        f"{old} is '/config/fastdds.xml', and there is no such file: whole images may be lost; export"
    )


HALF = """
from frankensplit.errors import BundleError
from rclpy.node import Node
from fs_common.running import run_node

made = []
class Half(Node):
    def __init__(self):
        super().__init__("half")
        made.append(self)
        raise BundleError("no such bundle")

    def destroy_node(self):
        raise AttributeError("not made yet")

print(run_node(Half, []), len(list(made[0].publishers)))
"""


@needs_ros
def test_a_half_made_node_is_not_asked_to_end_itself() -> None:
    """From Kilted on, a context ends the nodes that it knows when it shuts down: it must know this one no more."""
    status, said = ended(python("-c", HALF))
    assert (status, said) == (0, "cannot start: no such bundle\n2 0\n")
