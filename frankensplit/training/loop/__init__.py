# SPDX-License-Identifier: Apache-2.0
"""The training loop: steps, checkpoints, figures, processes."""
