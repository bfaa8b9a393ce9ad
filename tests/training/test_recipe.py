# SPDX-License-Identifier: Apache-2.0
"""Recipes: the committed ones are valid; a wrong key or value is named."""

from __future__ import annotations

import pytest
import yaml

from frankensplit.errors import RecipeError
from frankensplit.training.recipe import load_recipe, parse_recipe


def test_committed_recipes_are_valid(repository):
    folder = repository / "recipes"
    for path in folder.glob("*.yaml"):
        assert load_recipe(path).name == path.stem
    names = [load_recipe(path).name for path in folder.rglob("*.yaml")]
    assert len(names) > 10 and len(set(names)) == len(names)


def test_recipe_is_laid_over_its_base(tmp_path):
    base = {"task": "reroute", "name": "base", "head_of": "a", "tail_of": "b", "data": [{"data": "x:train"}]}
    (tmp_path / "base.yaml").write_text(yaml.safe_dump({**base, "schedule": {"steps": 5, "lr": 0.1}}))
    (tmp_path / "middle.yaml").write_text("base: base.yaml\nname: middle\nschedule: {steps: 7}\n")
    (tmp_path / "last.yaml").write_text("base: middle.yaml\ntail_of: c\n")
    recipe = load_recipe(tmp_path / "last.yaml")
    assert (recipe.name, recipe.head_of, recipe.tail_of) == ("middle", "a", "c")
    assert (recipe.schedule.steps, recipe.schedule.lr) == (7, 0.1)
    (tmp_path / "base.yaml").write_text("base: last.yaml\n")
    with pytest.raises(RecipeError, match="derived from it"):
        load_recipe(tmp_path / "last.yaml")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"stepps": 3}, "stepps"),
        ({"task": "codecs"}, "codecs"),
        ({"rate": {"weight": -1}}, "rate.weight"),
        ({"crops": {"size": [250, 320]}}, "250x320"),
        ({"data": []}, "data"),
        ({"rate": None}, "one of rate and encoder_from"),
        ({"rate": None, "encoder_from": "x", "levels": [3.0, 2.0]}, "give steps that rise"),
        ({"rate": None, "encoder_from": "x", "levels": [1.0]}, "levels"),
        ({"objective": "task"}, "belong to objectives of features"),
        ({"head_weights": {}, "teacher": 3}, "teacher"),
        ({"schedule": {"steps": 10, "lr": 1, "precision": "fp8"}}, "precision"),
    ],
)
def test_fault_is_named(repository, change, named):
    values = yaml.safe_load((repository / "recipes" / "street-codec.yaml").read_text())
    with pytest.raises(RecipeError, match=named):
        parse_recipe(values | change, "recipe")


@pytest.mark.parametrize(
    ("backbone", "named"),
    [
        ({"model": "resnet18", "arguments": {"pretrained": True}}, "pretrained must stand beside arguments"),
        (
            {"model": "resnet18", "pretrained": True, "checkpoint": "w.pth"},
            "one of pretrained, checkpoint and weights",
        ),
    ],
)
def test_weights_to_begin_with_are_no_arguments(repository, backbone, named):
    values = yaml.safe_load((repository / "recipes" / "street-backbone.yaml").read_text())
    with pytest.raises(RecipeError, match=named):
        parse_recipe(values | {"backbone": backbone}, "recipe")
    good = parse_recipe(values | {"backbone": {"model": "resnet18", "checkpoint": "w.pth"}}, "recipe")
    assert good.backbone.as_built == {"model": "resnet18", "arguments": {}}


def test_missing_and_broken_files(tmp_path):
    with pytest.raises(RecipeError, match="nowhere"):
        load_recipe(tmp_path / "nowhere.yaml")
    broken = tmp_path / "broken.yaml"
    broken.write_text("a: [1")
    with pytest.raises(RecipeError, match="broken"):
        load_recipe(broken)
