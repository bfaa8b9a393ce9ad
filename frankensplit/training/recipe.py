# SPDX-License-Identifier: Apache-2.0
"""Recipes: one YAML is one training. Unknown keys and values out of range are errors that name the key."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)

from frankensplit.data.limits import read_yaml
from frankensplit.errors import DataError, RecipeError, shown


class RecipeSection(BaseModel):
    """Part of a recipe; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class RecipeSource(RecipeSection):
    """One data set of the mix."""

    data: str = Field(
        description="SET:SPLIT, DIR:SPLIT, street:SPLIT, or a folder, .tar, COCO's .json, video or rosbag"
    )
    share: float = Field(1.0, gt=0, description="how often it is drawn, relative to the others")
    every: int = Field(1, ge=1, description="take each N-th frame, as of videos, whose neighbours are alike")
    frames: int | None = Field(
        None, ge=1, description="how many frames at most; absent: all, and 200 of the synthetic street"
    )
    topic: str | None = Field(None, description="image topic of a rosbag that has several")
    include: str | None = Field(None, description="regular expression that keys must match")
    exclude: str | None = Field(None, description="regular expression that keys must not match")

    @field_validator("include", "exclude")
    @classmethod
    def _compiles(cls, pattern: str | None) -> str | None:
        try:
            re.compile(pattern or "")
        except re.error as err:
            raise ValueError(f"not a regular expression: {err}") from err
        return pattern


class Schedule(RecipeSection):
    """Steps, batch, learning rate (linear warm-up, then cosine)."""

    steps: int = Field(ge=1)
    batch: int = Field(8, ge=1)
    lr: float = Field(gt=0)
    final_lr: float = Field(1e-6, ge=0)
    warmup: int = Field(100, ge=0, description="steps of linear warm-up")
    weight_decay: float = Field(0.0, ge=0)
    ema: float | None = Field(None, gt=0, lt=1, description="decay of the averaged weights; absent: none")
    precision: Literal["fp32", "bf16", "fp16"] = Field(
        "fp32", description="of operations; weights are float32 (fp16 on GPUs only)"
    )
    sanity_steps: int = Field(
        30,
        ge=0,
        description="steps in which one batch must be overfitted before the run begins; runs of less than ten times "
        "as many steps go without, 0: all do",
    )
    checkpoint_every: int = Field(200, ge=1, description="steps; held-out loss comes with each")
    keep: Literal["last", "best"] = Field(
        "last", description="weights that count: the last, or those with the lowest held-out loss"
    )
    keep_every: int | None = Field(None, ge=1, description="steps after which weights are kept for good")


class Crops(RecipeSection):
    """Training crops, and how their pictures vary."""

    size: tuple[int, int] = Field((256, 320), description="height, width; multiples of 32")
    scale: tuple[float, float] = Field((0.6, 1.6), description="range of the random scale")
    light: float = Field(0.2, ge=0, lt=1, description="strength of brightness, contrast, saturation")
    hue: float = Field(0.0, ge=0, le=0.5, description="how far colours turn, as a part of the colour circle")
    grey: float = Field(0.0, ge=0, le=1, description="share of crops that lose their colours")
    blur: float = Field(0.0, ge=0, le=1, description="share of crops that are blurred")
    noise: float = Field(0.0, ge=0, le=1, description="share of crops with a sensor's noise")
    jpeg: float = Field(0.0, ge=0, le=1, description="share of crops that went through JPEG")


class BackboneSpec(RecipeSection):
    """A timm model."""

    model: str
    arguments: dict[str, Any] = Field(default_factory=dict, description="passed to timm.create_model")
    pretrained: bool = Field(False, description="begin with timm's weights, from its hub")
    checkpoint: str | None = Field(
        None, description="begin with this file of timm weights (.safetensors, .pth)"
    )
    weights: dict[str, str] | None = Field(
        None,
        description="begin with weights by reference: package, file and sha256; hub and sha256; or file and sha256",
    )

    @property
    def as_built(self) -> dict[str, Any]:
        """What builds the network, and by reference its weights where they stay as they are, as manifests have it."""
        built: dict[str, Any] = {"model": self.model, "arguments": self.arguments}
        return built | ({"weights": self.weights} if self.weights else {})

    @model_validator(mode="after")
    def _weights_are_no_arguments(self) -> BackboneSpec:
        if mine := sorted({"pretrained", "checkpoint", "weights"} & set(self.arguments)):
            raise ValueError(f"{' and '.join(mine)} must stand beside arguments, not in them")
        if sum(map(bool, (self.pretrained, self.checkpoint, self.weights))) > 1:
            raise ValueError("give one of pretrained, checkpoint and weights")
        return self


class PretrainedSpec(BackboneSpec):
    """A pretrained backbone as the teacher of a codec: frozen, its weights by reference, its classifier as a head."""

    weights: dict[str, str]
    head: str = Field(
        "objects",
        pattern=r"^[a-z][a-z0-9_]*$",
        description="name of the head that its own classifier becomes; arguments need num_classes",
    )


class BlueprintSpec(RecipeSection):
    """A blueprint family and its arguments."""

    family: str
    arguments: dict[str, Any] = Field(default_factory=dict)


class EncoderSpec(RecipeSection):
    """The encoder's size and activation."""

    size: Literal["s", "m", "l", "nano"] = "s"
    act_between: bool = Field(
        True, description="ReLU after both convolutions of a block; false: the published code"
    )


class Rate(RecipeSection):
    """Weight of the rate in bits per input pixel beside the distortion over the target's variance."""

    weight: float = Field(gt=0)
    warmup: float = Field(0.5, ge=0, le=1, description="share of the run over which the weight rises from 0")


class Common(RecipeSection):
    """What every recipe has."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", description="name of the run")
    seed: int = Field(0, ge=0)
    data: list[RecipeSource] = Field(min_length=1)
    crops: Crops = Crops()
    schedule: Schedule


class ClassifyRecipe(Common):
    """Pre-train a backbone by classification."""

    task: Literal["classify"]
    backbone: BackboneSpec


class BackboneRecipe(Common):
    """Train a backbone with its heads on masks."""

    task: Literal["backbone"]
    backbone: BackboneSpec
    init: str | None = Field(None, description="run whose backbone weights to begin with")
    frozen: Literal["nothing", "shallow", "all"] = Field(
        "nothing",
        description="what of the backbone stays as it begins: the shallow layers, so that blueprints for them go on to "
        "fit, or all of it. With either, batch norms keep their statistics",
    )
    backbone_lr: float = Field(1.0, gt=0, description="learning rate of the backbone, relative to the heads'")
    heads: dict[str, float] = Field(min_length=1, description="weight of each head's loss")
    detect: list[str] = Field(default_factory=list, description="mask classes whose components are boxes")


class Saliency(RecipeSection):
    """Paper Eq. 11: the error counts ``uniform`` everywhere and ``salient`` times the map more where it is high."""

    uniform: float = Field(0.5, ge=0, description="gamma1")
    salient: float = Field(0.5, gt=0, description="gamma2")


class CodecRecipe(Common):
    """Train encoder, entropy model and blueprint for a frozen backbone (paper Eq. 10)."""

    task: Literal["codec"]
    teacher: str | PretrainedSpec = Field(
        description="run of the backbone, a bundle whose backbone and heads to take, or a pretrained backbone"
    )
    head_weights: dict[str, float] | None = Field(
        None, description="weight of each head's loss; absent: the teacher run's, or 1 each for a bundle's"
    )
    init: str | None = Field(
        None,
        description="codec run to begin with, such as one at a higher rate; or a bundle whose encoder, densities and "
        "blueprint to begin with (its blueprint alone where encoder_from is given)",
    )
    encoder: EncoderSpec = EncoderSpec()
    encoder_from: str | None = Field(
        None,
        description="bundle or codec whose encoder and tables stay as they are: only a blueprint is trained",
    )
    levels: list[Annotated[float, Field(gt=1)]] = Field(
        default_factory=list,
        description="steps of further quality levels, by which the latent is rounded; the blueprint learns from all of "
        "them alike",
    )
    blueprint: BlueprintSpec
    rate: Rate | None = Field(None, description="not with encoder_from, whose rate is fixed")
    objective: Literal["features", "features+task", "stages", "task", "disagreement"] = Field(
        "features",
        description="distil the shallow features; and the heads' own loss beside; those and each stage's after them; "
        "the heads' own loss; half of that and half disagreement with the unmodified backbone's heads",
    )
    channel_weight: Literal["variance", "fisher"] = Field(
        "variance",
        description="what an error in a shallow channel costs: 1 over its variance, or Fisher information",
    )
    saliency: Saliency | None = Field(None, description="weigh errors by where the backbone looks")
    density_lr: float = Field(5.0, gt=0, description="learning rate of the densities, relative to the rest")

    @property
    def needs_labels(self) -> bool:
        """Whether the truth of frames is used, in the classes of the teacher's heads."""
        from_labels = ("features+task", "task", "disagreement")
        return self.objective in from_labels or self.channel_weight == "fisher" or self.saliency is not None

    @model_validator(mode="after")
    def _fits_together(self) -> CodecRecipe:
        if (self.rate is None) != (self.encoder_from is not None):
            raise ValueError("give one of rate and encoder_from")
        if sorted(set(self.levels)) != self.levels:
            raise ValueError(f"levels are {self.levels}: give steps that rise")
        if not self.objective.startswith("features") and (self.saliency or self.channel_weight != "variance"):
            raise ValueError(
                f"saliency and channel_weight belong to objectives of features, not {self.objective}"
            )
        return self


class HeadSpec(RecipeSection):
    """A head: its kind is a file of models/heads, its name the topic of its results."""

    kind: str
    name: str | None = Field(None, pattern=r"^[a-z][a-z0-9_]*$", description="absent: the kind")
    detect: list[str] = Field(
        default_factory=list, description="of a mask's classes, those whose parts are boxes"
    )

    @property
    def known_as(self) -> str:
        """The head's name."""
        return self.name or self.kind


class HeadRecipe(Common):
    """Add a head to a finished bundle, or train one of its heads anew (paper 6.3.7)."""

    task: Literal["head"]
    bundle: str = Field(description="folder or installed name of the bundle; nothing else of it changes")
    head: HeadSpec
    features: Literal["clean", "compressed"] = Field(
        "clean",
        description="what the head learns from: the unmodified backbone's features, or what packets bring",
    )


class RerouteRecipe(Common):
    """Put the shallow layers of one backbone before the frozen tail of another (paper 5.3.4)."""

    task: Literal["reroute"]
    head_of: str = Field(description="run or bundle whose shallow layers are taken, and trained on")
    tail_of: str = Field(description="run or bundle whose tail and heads stay as they are")


AnyRecipe = ClassifyRecipe | BackboneRecipe | CodecRecipe | HeadRecipe | RerouteRecipe
Recipe = Annotated[AnyRecipe, Field(discriminator="task")]
BASE = "base"
_ADAPTER: TypeAdapter[Any] = TypeAdapter(Recipe)


def load_recipe(path: Path, encoder_from: str | None = None, head_of: str | None = None) -> AnyRecipe:
    """Read and check a recipe; with ``base: OTHER.yaml`` its values replace those of the other file, key by key.

    Args:
        path: the YAML.
        encoder_from: takes the place of the recipe's ``encoder_from``, or of its ``rate``.
        head_of: takes the place of the recipe's ``bundle``.

    Raises:
        RecipeError: the file cannot be read, or a key is unknown, missing or out of range.
    """
    values = _read(path)
    if isinstance(values, dict):
        if encoder_from:
            values |= {"rate": None, "encoder_from": encoder_from}
        if head_of:
            values |= {"bundle": head_of}
    return parse_recipe(values, str(path))


def _read(path: Path, derived: tuple[Path, ...] = ()) -> Any:
    """Read the values of a recipe, laid over those of its base if it has one."""
    try:
        values = read_yaml(path)
    except DataError as err:
        raise RecipeError(f"cannot read recipe {path}: {err}") from err
    if not isinstance(values, dict) or BASE not in values:
        return values
    base = (path.parent / str(values.pop(BASE))).resolve()
    if base in derived:
        raise RecipeError(f"recipe {path} has {base.name} as its base, which is derived from it")
    return _laid_over(_read(base, (*derived, path.resolve())), values)


def _laid_over(base: Any, values: Any) -> Any:
    """Return mappings merged key by key; anything else is replaced whole."""
    if not isinstance(base, dict) or not isinstance(values, dict):
        return values
    return {**base, **{key: _laid_over(base.get(key), value) for key, value in values.items()}}


def parse_recipe(values: Any, source: str) -> AnyRecipe:
    """Check a recipe given as plain values; ``source`` is named in errors."""
    try:
        recipe: AnyRecipe = _ADAPTER.validate_python(values)
    except ValidationError as err:
        faults = "; ".join(
            f"{'.'.join(str(p) for p in fault['loc'])}: {fault['msg']} (found {shown(fault['input'])})"
            for fault in err.errors()
        )
        raise RecipeError(f"{source}: {faults}") from err
    height, width = recipe.crops.size
    if height % 32 or width % 32:
        raise RecipeError(f"{source}: crops.size is {height}x{width}, both must be multiples of 32")
    return recipe
