# SPDX-License-Identifier: Apache-2.0
"""The server's side: packets to predictions, and pictures of them."""
