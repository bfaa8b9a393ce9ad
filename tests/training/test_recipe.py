# SPDX-License-Identifier: Apache-2.0
"""Recipes: the committed ones are valid; a wrong key or value is named."""

from __future__ import annotations

import pytest
import yaml

from frankensplit.errors import RecipeError
from frankensplit.training.recipe import load_recipe, parse_recipe


def test_committed_recipes_are_valid(repository):
    recipes = sorted((repository / "recipes").glob("*.yaml"))
    assert recipes
    for path in recipes:
        assert load_recipe(path).name == path.stem


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"stepps": 3}, "stepps"),
        ({"task": "codecs"}, "codecs"),
        ({"rate": {"weight": -1}}, "rate.weight"),
        ({"crops": {"size": [250, 320]}}, "250x320"),
        ({"data": []}, "data"),
        ({"rate": None}, "one of rate and encoder_from"),
        ({"objective": "task"}, "channel_weight belong to objective features"),
        ({"schedule": {"steps": 10, "lr": 1, "precision": "fp8"}}, "precision"),
    ],
)
def test_fault_is_named(repository, change, named):
    values = yaml.safe_load((repository / "recipes" / "street-codec.yaml").read_text())
    with pytest.raises(RecipeError, match=named):
        parse_recipe(values | change, "recipe")


def test_missing_and_broken_files(tmp_path):
    with pytest.raises(RecipeError, match="nowhere"):
        load_recipe(tmp_path / "nowhere.yaml")
    broken = tmp_path / "broken.yaml"
    broken.write_text("a: [1")
    with pytest.raises(RecipeError, match="broken"):
        load_recipe(broken)
