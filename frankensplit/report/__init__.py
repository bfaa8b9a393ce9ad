# SPDX-License-Identifier: Apache-2.0
"""One page of curves, tables and pictures from measured results; nothing is measured here."""
