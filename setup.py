# SPDX-License-Identifier: Apache-2.0
"""Build of the C coder; everything else is said in pyproject.toml."""

from __future__ import annotations

import sys

from setuptools import Extension, setup

STABLE_ABI = sys.version_info >= (3, 11)  # the buffer protocol joined the limited API in 3.11

setup(
    ext_modules=[
        Extension(
            "frankensplit.codec._rans",
            ["frankensplit/codec/_rans.c"],
            define_macros=[("Py_LIMITED_API", "0x030B0000")] if STABLE_ABI else [],
            py_limited_api=STABLE_ABI,
            extra_compile_args=["-g0"],  # Python's own flags ask for debug symbols, which triple the size
            optional=True,  # without a compiler the pure-Python twin serves
        )
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}} if STABLE_ABI else {},
)
