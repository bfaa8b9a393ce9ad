# SPDX-License-Identifier: Apache-2.0
"""Saliency maps of a trained backbone: where it looks, cell by cell, for saliency-guided distillation (paper 5.2)."""
