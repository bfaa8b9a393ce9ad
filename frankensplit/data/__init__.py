# SPDX-License-Identifier: Apache-2.0
"""Data sets, shards, clips and our own synthetic street."""
