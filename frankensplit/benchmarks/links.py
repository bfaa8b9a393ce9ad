# SPDX-License-Identifier: Apache-2.0
"""Links: their rate, what they carry in one datagram, and what headers cost; measured ones from a YAML profile."""

from __future__ import annotations

from math import ceil
from pathlib import Path
from statistics import harmonic_mean
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from frankensplit.data.limits import read_yaml
from frankensplit.errors import DataError, shown

Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Link(BaseModel):
    """One link. Rate and headers belong together: what the rate counts is what is sent at it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1)
    mbit_s: Rate
    mtu_bytes: int = Field(ge=2, description="largest datagram, headers included")
    overhead_bytes: int = Field(ge=0, description="headers in each datagram")
    source: str = ""

    @model_validator(mode="after")
    def _has_room(self) -> Link:
        if self.overhead_bytes >= self.mtu_bytes:
            raise ValueError(
                f"overhead_bytes is {self.overhead_bytes}, expected less than mtu_bytes ({self.mtu_bytes})"
            )
        return self

    def wire_bytes(self, payload_bytes: float) -> float:
        """Return what carrying a payload costs on the link: the payload and the headers of its datagrams."""
        room = self.mtu_bytes - self.overhead_bytes
        return payload_bytes + max(1, ceil(payload_bytes / room)) * self.overhead_bytes

    def transfer_ms(self, payload_bytes: float) -> float:
        """Return the milliseconds that a payload with its headers keeps the link busy."""
        return self.wire_bytes(payload_bytes) * 8 / (self.mbit_s * 1e3)

    def nominal_ms(self, payload_bytes: float) -> float:
        """Return the paper's figure: payload over rate, nothing else."""
        return payload_bytes * 8 / (self.mbit_s * 1e3)


class LinkProfile(BaseModel):
    """A measured link, as a user writes it down.

    A trace is a list of rates over equal spans of time. It counts by its harmonic mean: a frame that comes at a random
    moment and is short beside a span takes bytes / rate of that span, and the mean of that is bytes / harmonic mean.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1)
    mbit_s: Rate | None = None
    trace_mbit_s: list[Rate] | None = Field(None, min_length=1)
    mtu_bytes: int = Field(1500, ge=2)
    overhead_bytes: int | None = Field(None, ge=0)

    @model_validator(mode="after")
    def _has_one_rate(self) -> LinkProfile:
        if (self.mbit_s is None) == (self.trace_mbit_s is None):
            raise ValueError("give one of mbit_s and trace_mbit_s")
        return self

    def link(self) -> Link:
        """Return the link that it describes; headers are those of ROS 2 over UDP unless it says otherwise."""
        overhead = RTPS_BYTES if self.overhead_bytes is None else self.overhead_bytes
        if self.mbit_s is not None:
            rate, source = self.mbit_s, "measured"
        else:
            assert self.trace_mbit_s is not None
            rate = harmonic_mean(self.trace_mbit_s)
            source = f"measured, harmonic mean of {len(self.trace_mbit_s)} rates"
        return Link(
            name=self.name, mbit_s=rate, mtu_bytes=self.mtu_bytes, overhead_bytes=overhead, source=source
        )


# IPv4 20 (RFC 791), UDP 8 (RFC 768), RTPS header 20, INFO_TS 12, DATA_FRAG 36 (DDSI-RTPS 2.3, 9.4.5).
RTPS_BYTES = 20 + 8 + 20 + 12 + 36
_RTPS = (
    "MTU 1500 (Ethernet's, usual on IP links); IPv4 20 (RFC 791) + UDP 8 (RFC 768) + RTPS header 20, INFO_TS 12, "
    "DATA_FRAG 36 (DDSI-RTPS 2.3, 9.4.5; a lone DATA has 12 less), with DDS fragments that fit the MTU"
)
LINKS = (
    Link(
        name="LoRa-class",
        mbit_s=0.05,
        mtu_bytes=235,
        overhead_bytes=13,
        source="rate: LoRaWAN EU868 DR7, FSK 50 kbit/s; payload of 222 bytes (RP002-1.0.3, DR7 behind a repeater) + "
        "MHDR 1, FHDR 7, FPort 1, MIC 4 (LoRaWAN 1.0.4, 4); duty cycle not counted",
    ),
    Link(
        name="802.15.4",
        mbit_s=0.25,
        mtu_bytes=127,
        overhead_bytes=23,
        source="rate: 2.4 GHz O-QPSK PHY; 127-byte frame with MAC header 9 (short addresses) and FCS 2 "
        "(IEEE 802.15.4); FRAGN 5 and 7 that fragments in units of 8 bytes leave free (RFC 4944, 5.3); "
        "preamble, channel access and acknowledgements not counted",
    ),
    Link(
        name="BLE",
        mbit_s=0.27,
        mtu_bytes=251,
        overhead_bytes=7,
        source="rate: the paper's Table 7; 251-byte data PDU payload (Bluetooth Core 5.3, 6.B.2.4) with "
        "L2CAP 4 (3.A.3.1) and ATT 3 (3.F.3.4.7.1), which is an ATT MTU of 247",
    ),
    Link(
        name="4G",
        mbit_s=12,
        mtu_bytes=1500,
        overhead_bytes=RTPS_BYTES,
        source=f"rate: the paper's Table 7; {_RTPS}",
    ),
    Link(
        name="Wi-Fi",
        mbit_s=54,
        mtu_bytes=1500,
        overhead_bytes=RTPS_BYTES,
        source=f"rate: the paper's Table 7; {_RTPS}",
    ),
    Link(
        name="5G",
        mbit_s=66.9,
        mtu_bytes=1500,
        overhead_bytes=RTPS_BYTES,
        source=f"rate: the paper's Table 7; {_RTPS}",
    ),
)


def read_profile(path: Path) -> Link:
    """Read a measured link.

    The YAML has ``name``, one of ``mbit_s`` and ``trace_mbit_s``, and may have ``mtu_bytes`` and ``overhead_bytes``.

    Raises:
        DataError: it cannot be read, or a key is unknown, missing or out of range.
    """
    try:
        return LinkProfile.model_validate(read_yaml(path)).link()
    except DataError as err:
        raise DataError(f"cannot read link profile {path}: {err}") from err
    except ValidationError as err:
        faults = "; ".join(
            f"{'.'.join(map(str, fault['loc'])) or 'profile'}: {fault['msg']} (found {shown(fault['input'])})"
            for fault in err.errors()
        )
        raise DataError(
            f"link profile {path}: {faults}; it has name, mbit_s or trace_mbit_s, mtu_bytes, overhead_bytes"
        ) from err
