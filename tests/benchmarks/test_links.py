# SPDX-License-Identifier: Apache-2.0
"""Transfer times by hand, the paper's own, and measured profiles."""

from __future__ import annotations

import pytest

from frankensplit.benchmarks.links import LINKS, Link, read_profile
from frankensplit.errors import DataError

BY_NAME = {link.name: link for link in LINKS}


@pytest.mark.parametrize(
    ("name", "payload", "datagrams", "overhead"),
    [
        ("4G", 1404, 1, 96),
        ("4G", 1405, 2, 96),
        ("4G", 4666, 4, 96),
        ("BLE", 244, 1, 7),
        ("BLE", 4666, 20, 7),
        ("802.15.4", 105, 2, 23),
        ("LoRa-class", 222, 1, 13),
        ("LoRa-class", 4666, 22, 13),
        ("Wi-Fi", 0, 1, 96),
    ],
)
def test_headers_are_counted_to_the_byte(name, payload, datagrams, overhead):
    assert BY_NAME[name].wire_bytes(payload) == payload + datagrams * overhead


def test_rates_and_names_are_those_asked_for():
    rates = {link.name: link.mbit_s for link in LINKS}
    expected = {"LoRa-class": 0.05, "802.15.4": 0.25, "BLE": 0.27, "4G": 12, "Wi-Fi": 54, "5G": 66.9}
    assert rates == expected
    assert all("payload" in link.source or "IPv4" in link.source or "frame" in link.source for link in LINKS)


def test_times_by_hand():
    link = Link(name="x", mbit_s=1.0, mtu_bytes=100, overhead_bytes=20)
    assert link.transfer_ms(160) == pytest.approx((160 + 2 * 20) * 8 / 1e3)
    assert link.nominal_ms(160) == pytest.approx(1.28)


@pytest.mark.parametrize(
    ("payload", "times"),
    [  # of the paper's Table 7: FrankenSplit and PNG
        (4812, {"BLE": 142.59, "4G": 3.21, "Wi-Fi": 0.71, "5G": 0.58}),
        (85475, {"BLE": 2532.58, "4G": 56.98, "Wi-Fi": 12.66, "5G": 10.22}),
    ],
)
def test_nominal_times_are_those_of_the_paper(payload, times):
    for name, expected in times.items():
        assert BY_NAME[name].nominal_ms(payload) == pytest.approx(expected, abs=0.02)
        assert BY_NAME[name].transfer_ms(payload) > expected


@pytest.fixture
def profile(tmp_path):
    def write(text):
        path = tmp_path / "link.yaml"
        path.write_text(text)
        return path

    return write


def test_a_trace_counts_by_its_harmonic_mean(profile):
    link = read_profile(profile("name: yard\ntrace_mbit_s: [1, 3]\nmtu_bytes: 100\noverhead_bytes: 0\n"))
    assert (link.name, link.mbit_s) == ("yard", pytest.approx(1.5))
    frame_ms = [50 * 8 / rate / 1e3 for rate in (1, 3)]
    assert link.transfer_ms(50) == pytest.approx(sum(frame_ms) / 2)
    assert "2 rates" in link.source


def test_a_profile_needs_only_name_and_rate(profile):
    link = read_profile(profile("name: yard\nmbit_s: 2.5\n"))
    assert (link.mbit_s, link.mtu_bytes, link.overhead_bytes) == (2.5, 1500, 96)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: yard\nmbit_s: 0\n", "mbit_s: Input should be greater than 0 (found 0)"),
        ("name: yard\nmbit_s: .inf\n", "finite"),
        ("name: yard\ntrace_mbit_s: [2, -1]\n", "trace_mbit_s.1: Input should be greater than 0 (found -1)"),
        ("name: yard\ntrace_mbit_s: []\n", "trace_mbit_s"),
        ("name: yard\n", "give one of mbit_s and trace_mbit_s"),
        ("name: yard\nmbit_s: 1\ntrace_mbit_s: [1]\n", "give one of mbit_s and trace_mbit_s"),
        ("name: yard\nmbit_s: 1\nmtu: 9\n", "mtu: Extra inputs"),
        ("name: yard\nmbit_s: 1\nmtu_bytes: 50\n", "overhead_bytes is 96, expected less than mtu_bytes (50)"),
        ("- 1\n", "profile: "),
        ("{", "cannot read"),
    ],
)
def test_a_wrong_profile_is_explained(profile, text, said):
    with pytest.raises(DataError, match=r"link\.yaml") as error:
        read_profile(profile(text))
    assert said in str(error.value)


def test_a_missing_profile_is_named(tmp_path):
    with pytest.raises(DataError, match=r"gone\.yaml"):
        read_profile(tmp_path / "gone.yaml")
