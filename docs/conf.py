# SPDX-License-Identifier: Apache-2.0
"""Sphinx: the pages of this folder, and an API reference out of the docstrings. ``make docs`` builds it."""

from __future__ import annotations

from frankensplit import __version__

project = "frankensplit"
author = "the frankensplit authors"
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.apidoc", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["results", "_build"]
html_theme = "furo"
html_title = f"frankensplit {release}"

myst_heading_anchors = 3  # links to headings work as on GitHub
myst_enable_extensions = ["fieldlist"]
suppress_warnings = ["ref.python"]  # if two classes share a name, a docstring means the nearer one

apidoc_modules = [
    {
        "path": "../frankensplit",
        "destination": "api",
        "exclude_patterns": ["**/frankensplit/__main__.py"],
        "separate_modules": True,
        "module_first": True,
    }
]
napoleon_use_ivar = True  # an attribute may be annotated in the class, too
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_mock_imports = ["tensorrt", "rclpy"]
