# SPDX-License-Identifier: Apache-2.0
"""The checks, one subject a file; see :mod:`frankensplit.doctor`."""
