# SPDX-License-Identifier: Apache-2.0
"""Settings that matter between machines are notes with the command that changes them."""

from __future__ import annotations

import pytest

from frankensplit.doctor import NOTE, OK
from frankensplit.doctor.checks import kernel

SETTINGS = {
    "net.core.rmem_max": ("212992", "2147483647"),
    "net.ipv4.ipfrag_time": ("30", "3"),
    "net.ipv4.ipfrag_high_thresh": ("4194304", "134217728"),
}


@pytest.mark.parametrize(("name", "values"), SETTINGS.items())
def test_settings(made_up, name, values):
    file = f"proc/sys/{name.replace('.', '/')}"
    usual, wanted = (made_up.write(file, f"{value}\n").find(kernel.check)[name] for value in values)
    assert (usual.level, wanted.level) == (NOTE, OK)
    assert usual.remedy.endswith(f"sudo sysctl -w {name}={values[1]}")


def test_a_container_without_them(made_up):
    assert {finding.level for finding in made_up.find(kernel.check).values()} == {NOTE}
