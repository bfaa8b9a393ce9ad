# SPDX-License-Identifier: Apache-2.0
"""Encoder, entropy model, backbones, blueprints and heads (torch)."""
