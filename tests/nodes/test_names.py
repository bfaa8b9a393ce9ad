# SPDX-License-Identifier: Apache-2.0
"""Below which names the server publishes, and which choices it refuses."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from fs_server_node.names import (
    bundle_namespaces,
    bundles_problem,
    overlay_topic,
    prefix_of,
    ros_name,
    topics_problem,
)


@dataclass(frozen=True)
class Named:
    """What of a bundle matters here."""

    name: str
    server: dict[str, list[str]] = field(default_factory=lambda: {"heads": ["segmentation", "presence"]})


@pytest.mark.parametrize(
    ("topic", "prefix"),
    [
        ("latent", ""),
        ("robot1/latent", "robot1/"),
        ("/fleet/robot1/image", "/fleet/robot1/"),
        ("robot1/image/compressed", "robot1/"),
        ("image/compressed", ""),
    ],
)
def test_prefix(topic: str, prefix: str) -> None:
    assert prefix_of(topic) == prefix


@pytest.mark.parametrize(
    ("topic", "image", "full"),
    [
        ("latent", "image", "image"),
        ("/r/one/latent", "camera/image", "/r/one/camera/image"),
        ("one/latent", "/camera/image", "/camera/image"),
        ("one/latent", "~/image", "~/image"),
    ],
)
def test_overlays_are_beside_the_latents_unless_the_name_is_a_full_one(
    topic: str, image: str, full: str
) -> None:
    assert overlay_topic(topic, image) == full


@pytest.mark.parametrize(
    ("name", "valid"),
    [
        ("street", "street"),
        ("street-50.v2", "street_50_v2"),
        ("__a__b__", "a_b"),
        ("50", "bundle_50"),
        ("é", "bundle_"),
    ],
)
def test_bundle_names_become_parts_of_topics(name: str, valid: str) -> None:
    assert ros_name(name) == valid


def test_the_first_bundle_has_no_namespace_of_its_own() -> None:
    assert bundle_namespaces([Named("street"), Named("r-50"), Named("swin")]) == ["", "r_50/", "swin/"]


@pytest.mark.parametrize(
    ("topics", "words"),
    [
        (("one/latent", "two/image"), None),
        ((), "both empty"),
        (("one/latent", "one/image"), "one/latent, one/image"),
        (("cam/image", "cam/image/compressed", "latent"), "cam/image, cam/image/compressed"),
    ],
)
def test_topics_need_namespaces_of_their_own(topics: tuple[str, ...], words: str | None) -> None:
    problem = topics_problem(topics)
    assert problem is None if words is None else words in problem


@pytest.mark.parametrize(
    ("names", "topics", "words"),
    [
        (("street", "swin"), ("latent", "one/latent"), None),
        (("street", "a-b", "a.b"), ("latent",), "two bundles have the name a_b"),
        (("street", "street"), ("latent",), "two bundles have the name street"),
        (("street", "presence"), ("latent",), "presence has the name of a head of street"),
        (("street", "one"), ("latent", "one/latent"), "below one/"),
    ],
)
def test_bundles_need_names_of_their_own(
    names: tuple[str, ...], topics: tuple[str, ...], words: str | None
) -> None:
    problem = bundles_problem([Named(name) for name in names], topics)
    assert problem is None if words is None else words in problem
