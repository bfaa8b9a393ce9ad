# SPDX-License-Identifier: Apache-2.0
"""Speed of parts, of links and of whole networks: one module a sub-verb of ``frankensplit bench``."""
