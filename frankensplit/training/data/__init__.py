# SPDX-License-Identifier: Apache-2.0
"""Frames and batches to train on."""
