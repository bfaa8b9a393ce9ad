# SPDX-License-Identifier: Apache-2.0
"""What can be trained: networks with one loss, and how their runs are prepared and read."""
