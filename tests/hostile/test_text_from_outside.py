# SPDX-License-Identifier: Apache-2.0
"""What strangers write is cut and made harmless before it reaches a message, and what decoders write is throttled."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from frankensplit.data.labels import read_labels
from frankensplit.data.sources import Skipped, open_source
from frankensplit.edge.image import decode_compressed, to_rgb
from frankensplit.errors import (
    MAX_SHOWN,
    MAX_TEXT,
    DataError,
    FrankensplitError,
    ImageError,
    bounded,
    one_line,
    shown,
)

ROOT = Path(__file__).resolve().parents[2]
LONG = "x" * 1_000_000
EVIL = "\x1b]0;owned\x07\x1b[2J\r\n\u202eabc\ud800\0"


def test_a_value_is_cut_and_cannot_move_the_cursor():
    assert shown("32FC1") == "'32FC1'" and shown(["a", 1]) == "['a', 1]" and shown(0) == "0"
    text = shown(LONG + "end")
    assert len(text) < 2 * MAX_SHOWN and f"{1_000_003 - MAX_SHOWN} characters more" in text and "end'" in text
    for made in (shown(EVIL), one_line(EVIL), bounded(EVIL)):
        assert all(letter.isprintable() or letter == "\n" for letter in made)
        made.encode("utf-8")  # or it could be neither published nor printed
    assert "\n" not in shown(EVIL)
    assert bounded("a\n\tb") == "a\n\tb"
    assert one_line("straße 道路") == "straße 道路"


def test_every_error_of_ours_is_bounded_wherever_its_text_goes():
    error = DataError(f"cannot read {LONG}{EVIL}: end")
    assert len(str(error)) < MAX_TEXT + 100 and str(error).endswith(": end")
    assert "\x1b" not in f"{error}"
    assert str(FrankensplitError("plain: 'x'")) == "plain: 'x'"


@pytest.mark.parametrize(
    "use",
    [
        lambda text: to_rgb(b"", height=1, width=1, encoding=text, step=1),
        lambda text: decode_compressed(b"", text),
        lambda text: decode_compressed(b"\xff\xd8\xff", text),
        lambda text: decode_compressed(b"\x89PNG\r\n\x1a\n", text),
    ],
)
@pytest.mark.parametrize("text", [LONG, EVIL * 10])
def test_fields_of_images_are_cut(use, text: str):
    with pytest.raises(ImageError) as caught:
        use(text)
    assert len(str(caught.value)) < 1000 and str(caught.value).isprintable()


def test_what_data_sets_say_is_cut(tmp_path: Path):
    path = tmp_path / "labels.json"
    for value in (LONG, [EVIL, 1], {LONG: LONG}):
        path.write_text(json.dumps({"class_names": value}))
        with pytest.raises(DataError) as caught:
            read_labels(path)
        assert len(str(caught.value)) < 1000 and str(caught.value).isprintable()
    skipped = Skipped(EVIL + LONG, EVIL + LONG)
    assert len(skipped.name + skipped.cause) < 3000 and (skipped.name + skipped.cause).isprintable()


def test_a_picture_with_a_name_that_no_terminal_likes(tmp_path: Path):
    (tmp_path / "\x1b[2Ja\n.png").write_bytes(b"no picture")
    with pytest.raises(DataError) as caught:
        list(open_source(str(tmp_path)))
    assert str(caught.value).replace("\n", "").isprintable()


def run(code: str, **more) -> subprocess.CompletedProcess[str]:
    """Run a process whose standard error is throttled."""
    program = (
        f"import os, sys\nfrom fs_common.quiet_stderr import quiet_stderr\nwith quiet_stderr():\n    {code}\n"
    )
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, timeout=60, **more
    )


def test_lines_that_repeat_are_throttled_and_others_come_through():
    code = (
        "[os.write(2, b'Corrupt JPEG data: %d extraneous bytes before marker 0x%02x\\n' % (n, n % 200)) "
        "for n in range(20000)]; print('the node says so', file=sys.stderr)"
    )
    lines = run(code).stderr.splitlines()
    assert 10 <= sum("Corrupt JPEG" in line for line in lines) < 100
    assert "the node says so" in lines
    assert (
        sum(int(line.split()[0][1:]) for line in lines if "were left out" in line and line[0] == "(") > 10_000
    )


def test_a_long_line_is_cut_and_one_without_an_end_is_not_kept():
    result = run("os.write(2, b'x' * 3_000_000 + b'\\nlast')")
    assert len(result.stderr) < 3 * 5000 and result.stderr.endswith("last\n")


def test_the_last_words_of_a_crash_come_through():
    result = run("os.write(2, b'terminate called\\n'); os.abort()")
    deadline = time.monotonic() + 30  # the filter is a process of its own
    assert result.returncode == -6 and time.monotonic() < deadline
    assert result.stderr == "terminate called\n"


def test_standard_error_is_as_before_afterwards():
    code = "pass\nprint('afterwards ' + 'x' * 5000, file=sys.stderr)"
    assert run(code).stderr == "afterwards " + "x" * 5000 + "\n"


def test_the_filter_ends_with_the_node_and_not_by_a_signal():
    program = [sys.executable, "-I", "-S", str(ROOT / "fs_common" / "quiet_stderr.py")]
    process = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    process.stdin.write(b"one\n")
    process.stdin.flush()
    assert process.stdout.readline() == b"one\n"  # it has begun, and ignores signals
    process.terminate()
    process.stdin.write(b"two\n")
    process.stdin.close()
    assert process.stdout.read() == b"two\n" and process.wait(30) == 0


def test_the_throttle_allows_ten_at_once_and_one_a_second():
    from fs_common.quiet_stderr import KINDS, Throttle

    now, lines = [0.0], []
    throttle = Throttle(lines.append, clock=lambda: now[0])
    for second in range(5):
        now[0] = float(second)
        for number in range(30):
            throttle.line(b"frame %d is damaged" % number)
    assert len(lines) == 10 + 4
    assert lines[10] == b"frame 0 is damaged (20 more like this were left out)\n"
    throttle.end()
    assert lines[-1] == b"(29 lines like others above were left out)\n"
    for number in range(3 * KINDS):
        throttle.line(b"".join(b"%c" % (97 + int(digit)) for digit in str(number)))
    assert len(throttle._kinds) <= KINDS
