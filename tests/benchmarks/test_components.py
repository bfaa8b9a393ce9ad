# SPDX-License-Identifier: Apache-2.0
"""Components of codecs of known work: what each stage holds, what is null, and what is only timed."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from frankensplit.cli import main
from frankensplit.evaluation import rivals

CODERS = {
    "plain": """
class _Coder(Base):
    def encode(self, signal):
        time.sleep(0.02)
        return signal.tobytes()
    def decode(self, data):
        time.sleep(0.01)
        return np.frombuffer(data, np.uint8).reshape(360, 480, 3)
    def cost(self, height, width):
        return Cost(1, 2, height, width)
def open_coder(quality, options): return _Coder()
""",
    "apart": """
class _Coder(Base):
    def encode(self, signal):
        time.sleep(0.01)
        self.entropy_ms = 10.0
        return bytes(7)
    def decode(self, data):
        time.sleep(0.03)
        self.entropy_ms = 30.0
        return np.zeros((360, 480, 3), np.uint8)
def open_coder(quality, options): raise RuntimeUnavailable("no weights")
def open_untrained(quality, options): return _Coder()
""",
    "numbers": """
SIGNAL = "latent"
class _Coder(Base):
    def encode(self, signal):
        assert signal.dtype == np.int32 and signal.shape[1:] == (48, 60), signal.shape
        self.kept = signal
        return bytes(5)
    def decode(self, data): return self.kept
def open_coder(quality, options): return _Coder()
""",
    "shallow": """
SIGNAL = "features"
class _Coder(Base):
    def encode(self, signal):
        assert signal.dtype == np.float32 and signal.shape[1:] == (48, 60), signal.shape
        self.kept = signal
        return bytes(3)
    def decode(self, data): return self.kept
def open_coder(quality, options): return _Coder()
""",
    "absent": "def open_coder(quality, options): raise RuntimeUnavailable('pip install absent')\n",
}
PARAMETERS = 141_696 - 38 * (48 * 9 + 1 + 64 + 1)  # S but for 38 outputs of its last 3x3 and 1x1 convolutions
HEAD = """# SPDX-License-Identifier: Apache-2.0
import time
import numpy as np
from frankensplit.errors import RuntimeUnavailable
from frankensplit.evaluation.rivals import Coder as Base, Cost, Rival
SIGNAL, open_untrained = "image", None
"""


@pytest.fixture(scope="module")
def result(tmp_path_factory, bundle_path):
    folder = tmp_path_factory.mktemp("rivals")
    for name, text in CODERS.items():
        rival = "Rival(open_coder, (1, 5, 9), SIGNAL, open_untrained=open_untrained)"
        (folder / f"{name}.py").write_text(f"{HEAD}{text}RIVALS = {{{name!r}: {rival}}}\n")
    out = folder / "components.json"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rivals, "__path__", [str(folder)])
        patch.setattr("frankensplit.benchmarks.memory.MemoryMeter.peak_mb", lambda *_: 12.34)
        arguments = ["--data", "street:val", "--frames", "2", "--repeats", "1", "--json", str(out)]
        assert main(["bench", "components", str(bundle_path), *arguments]) == 0
    for name in CODERS:
        sys.modules.pop(f"{rivals.__name__}.{name}", None)
    return json.loads(out.read_text())


@pytest.fixture
def rows(result):
    return {row["codec"]: row for row in result["rows"]}


def test_every_codec_has_a_row_or_a_reason(result, rows):
    assert list(rows) == ["frankensplit", "apart", "numbers", "plain", "shallow", "raw"]
    assert result["not_measured"] == {"absent": "pip install absent"}
    assert {"bundle", "data", "command", "commit", "machine", "energy"} <= set(result)
    assert (result["frames"], result["repeats"], result["height"], result["width"]) == (2, 1, 360, 480)
    assert all(row["measurements"] == 2 and row["peak_memory_mb"] == 12.3 for row in rows.values())


def test_our_row_has_every_stage(rows):
    ours = rows["frankensplit"]
    stages = ("encode_ms", "entropy_encode_ms", "entropy_decode_ms", "decode_ms", "tail_ms", "heads_ms")
    assert all(ours[stage] > 0 for stage in stages)
    assert ours["total_ms"] == pytest.approx(sum(ours[stage] for stage in stages), abs=0.01)
    assert ours["encoder_parameters"] == PARAMETERS
    assert ours["encoder_macs"] > 1e9 and ours["decoder_macs"] > 1e9
    assert 3000 < ours["bytes_per_frame"] < 8000


def test_a_picture_codec_is_timed_whole(rows):
    plain = rows["plain"]
    assert (plain["quality"], plain["weights"]) == (5, None)
    assert plain["entropy_encode_ms"] is None and plain["entropy_decode_ms"] is None
    assert plain["encode_ms"] >= 20 and plain["decode_ms"] >= 10
    costs = [plain[f"{end}_{what}"] for what in ("parameters", "macs") for end in ("encoder", "decoder")]
    assert costs == [1, 2, 360, 480]


def test_entropy_coding_is_taken_out_where_it_is_told(rows):
    apart = rows["apart"]
    assert (apart["entropy_encode_ms"], apart["entropy_decode_ms"]) == (10.0, 30.0)
    assert apart["encode_ms"] < apart["entropy_encode_ms"] * 20
    assert apart["encoder_parameters"] is None


def test_untrained_codecs_are_timed_only(rows):
    assert rows["apart"]["weights"] == "untrained" and rows["apart"]["bytes_per_frame"] is None


def test_rivals_of_our_integers_use_our_networks(rows):
    assert rows["numbers"]["bytes_per_frame"] == 5
    assert rows["numbers"]["encoder_parameters"] == PARAMETERS
    assert all(rows["numbers"][stage] > 0 for stage in ("encode_ms", "decode_ms", "tail_ms"))


def test_rivals_of_features_split_the_backbone(result, rows):
    shallow = rows["shallow"]
    assert 0 < shallow["encoder_parameters"] < result["backbone"]["parameters"]
    assert 0 < shallow["encoder_macs"] < result["backbone"]["macs"]
    assert (shallow["decoder_parameters"], shallow["decoder_macs"]) == (0, 0)


def test_raw_frames_are_pixels_and_a_size(rows):
    assert rows["raw"]["bytes_per_frame"] == 360 * 480 * 3 + 4


def test_errors_are_explained(bundle_path, capsys):
    assert main(["bench", "components", str(bundle_path), "--rival", "gif"]) == 2
    assert "gif" in capsys.readouterr().err
    assert main(["bench", "components", str(bundle_path), "--data", "nowhere:val", "--rival", "png"]) == 2
    assert "nowhere" in capsys.readouterr().err
    assert main(["bench", "components", "no-such-bundle"]) == 2


def test_memory_counts_libraries_and_weights_of_the_robots_half(bundle_path):
    import numpy as np

    from frankensplit.benchmarks.memory import MemoryMeter

    meter = MemoryMeter([np.zeros((360, 480, 3), np.uint8)], bundle_path, 1)
    raw_mb, ours_mb = meter.peak_mb("raw", None), meter.peak_mb("frankensplit", 0)
    if raw_mb is None:
        pytest.skip("this system does not tell VmHWM")
    assert 1 < raw_mb < ours_mb - 20  # ONNX Runtime alone takes that
    assert ours_mb < 300  # torch, which the robot does not need, would take more


def test_memory_does_not_begin_with_that_of_the_caller(bundle_path):
    import numpy as np

    from frankensplit.benchmarks.memory import MemoryMeter

    frames = [np.zeros((360, 480, 3), np.uint8)]
    before = MemoryMeter(frames, bundle_path, 1).peak_mb("raw", None)
    ballast = np.ones(50_000_000)  # 400 MB
    after = MemoryMeter(frames, bundle_path, 1).peak_mb("raw", None)
    assert ballast.any() and (before is None or abs(after - before) < 20)


def test_sub_verbs_are_imported_only_when_they_are_called():
    code = (
        "import sys; from frankensplit.cli import main\n"
        "try: main(['bench', '--help'])\n"
        "except SystemExit: pass\n"
        "print([m for m in sys.modules if m.startswith('frankensplit.benchmarks.') or m == 'torch'])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.rstrip().endswith("[]")
    assert all(name in said for name in ("components", "link", "network", "check"))


@pytest.mark.parametrize("arguments", [[], ["what"], ["link"], ["components", "--frames", "0"]])
def test_wrong_usage(arguments):
    with pytest.raises(SystemExit) as exit_:
        main(["bench", *arguments])
    assert exit_.value.code == 2
