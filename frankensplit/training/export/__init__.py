# SPDX-License-Identifier: Apache-2.0
"""Bundles out of finished runs: networks, coding tables, precisions."""
