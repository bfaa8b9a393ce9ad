# SPDX-License-Identifier: Apache-2.0
"""Where the networks of a family are cut. One file a family; the family is the file's name.

A file says which file or files of timm its networks come from (``TIMM_FILE``), the stride of the shallow features
(``STRIDE``) and which arguments they may be built with (``ARGUMENTS``: what is not there is refused, so a file name, an
address or a cache never belongs there), and gives ``cut(network)``, which takes a timm network apart without changing a
weight. Where weights come under other names than timm's, ``convert(weights, network)`` renames them.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from typing import Any

from frankensplit.errors import BundleError, shown
from frankensplit.models.timm_import import timm

# A name and perhaps a tag; timm would read others as a hub's repository or a folder.
TIMM_NAME = re.compile(r"[A-Za-z0-9_]{1,100}(\.[A-Za-z0-9_]{1,100})?")


def families() -> list[str]:
    """Return the names of all families."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def find_cut(model: str) -> tuple[str, Any]:
    """Return the family of a timm model and the module that cuts it.

    Raises:
        BundleError: timm does not know the name, or no cut is known for it.
    """
    if not isinstance(model, str) or not TIMM_NAME.fullmatch(model):
        raise BundleError(f"{shown(model)} is not a name of timm's, such as 'resnet50' or 'resnet50.a1_in1k'")
    if not timm.is_model(model):
        family = next((name for name in families() if model.startswith(name)), "")
        raise BundleError(
            f"timm {timm.__version__} has no model {model!r}; see timm.list_models('{family}*')"
        )
    for family in families():
        module = importlib.import_module(f"{__name__}.{family}")
        files = module.TIMM_FILE if isinstance(module.TIMM_FILE, tuple) else (module.TIMM_FILE,)
        if timm.models.is_model_in_modules(model, files):
            return family, module
    raise BundleError(
        f"no cut is known for backbone {model!r}: the families are {families()}; "
        "a new family is one file in frankensplit/models/cuts"
    )
