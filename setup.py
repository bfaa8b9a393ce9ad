# SPDX-License-Identifier: Apache-2.0
"""Build of the C coder; everything else is said in pyproject.toml."""

from __future__ import annotations

import sys
import sysconfig

from setuptools import Extension, setup

# The buffer protocol joined the limited API in 3.11; Pythons without the global lock have no limited API yet.
STABLE_ABI = sys.version_info >= (3, 11) and not sysconfig.get_config_var("Py_GIL_DISABLED")

setup(
    ext_modules=[
        Extension(
            "frankensplit.codec._rans",
            ["frankensplit/codec/_rans.c"],
            define_macros=[("Py_LIMITED_API", "0x030B0000")] if STABLE_ABI else [],
            py_limited_api=STABLE_ABI,
            extra_compile_args=["-g0"],  # Python's own flags ask for debug symbols, which triple the size
            optional=True,  # if there is no compiler, the pure-Python twin is used
        )
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}} if STABLE_ABI else {},
)
