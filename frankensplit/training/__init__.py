# SPDX-License-Identifier: Apache-2.0
"""Training by recipe: backbone with heads, then encoder, entropy model and blueprint by head distillation."""
