# SPDX-License-Identifier: Apache-2.0
"""One frame as it came to the server, whatever it came as."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from std_msgs.msg import Header

from frankensplit.bundle import Bundle
from fs_msgs.msg import FrameReport

if TYPE_CHECKING:
    from frankensplit.inference.predictor import Prediction, Predictor


class Frame(ABC):
    """A frame still coded; it is decoded when the first bundle asks for it, and once for all bundles.

    Every method may raise a FrankensplitError: the message cannot be understood.
    """

    header: Header
    payload_bytes: int

    @abstractmethod
    def suits(self, bundle: Bundle) -> bool:
        """Tell whether this bundle can predict from it."""

    @abstractmethod
    def predict(self, predictor: Predictor, heads: Collection[str]) -> Prediction:
        """Predict with a bundle that it suits; ``entropy_ms`` is what decoding took."""

    @abstractmethod
    def picture(self) -> NDArray[np.uint8]:
        """Give what overlays are drawn on: uint8 RGB ``(H, W, 3)`` in the size of the source image."""

    @abstractmethod
    def report(self) -> FrameReport:
        """Make a new report, with all filled in that is known before any prediction."""
