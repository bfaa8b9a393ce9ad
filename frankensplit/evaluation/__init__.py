# SPDX-License-Identifier: Apache-2.0
"""Accuracy against bytes: a bundle and its rivals on labelled data."""

OURS, RAW = "frankensplit", "raw"  # names in results: our own codec, and frames as they are
