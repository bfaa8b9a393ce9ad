# SPDX-License-Identifier: Apache-2.0
"""Below which names results are published, and which choices of topics, bundles and heads are refused."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from frankensplit.bundle import Bundle
from fs_common.topics import COMPRESSED
from fs_server_node.parameters import ALL_HEADS


def prefix_of(topic: str) -> str:
    """Give what the names of results begin with.

    ``robot1/latent``, ``robot1/image`` and ``robot1/image/compressed`` give ``robot1/``.
    """
    namespace, slash, _ = topic.removesuffix(COMPRESSED).rpartition("/")
    return namespace + slash


def overlay_topic(topic: str, overlay_image: str) -> str:
    """Give the image topic that overlays of a robot are drawn on: beside its latents, unless the name is a full one."""
    return overlay_image if overlay_image.startswith(("/", "~")) else prefix_of(topic) + overlay_image


def ros_name(bundle_name: str) -> str:
    """Turn a bundle's name into a valid part of a topic's name: ``street-50`` gives ``street_50``."""
    words = re.sub(r"[^A-Za-z0-9]+", "_", bundle_name).strip("_")
    return words if words[:1].isalpha() else f"bundle_{words}"


def bundle_namespaces(bundles: Sequence[Bundle]) -> list[str]:
    """Give what follows a topic's prefix: nothing for the first bundle, ``NAME/`` for each further one."""
    return ["", *(f"{ros_name(bundle.name)}/" for bundle in bundles[1:])]


def topics_problem(topics: Sequence[str]) -> str | None:
    """Say what is wrong with the topics of latents and images together, or None."""
    if not topics:
        return "latent_topics and image_topics are both empty: name a topic to listen to"
    shared = _repeated([prefix_of(topic) for topic in topics])
    if not shared:
        return None
    clashing = ", ".join(topic for topic in topics if prefix_of(topic) in shared)
    return (
        f"latent_topics and image_topics name {clashing}, whose results would get the same names: "
        "give each a namespace of its own, like robot1/latent, robot2/latent"
    )


def bundles_problem(bundles: Sequence[Bundle], topics: Sequence[str]) -> str | None:
    """Say which results of several bundles would get the same names, or None."""
    names = [ros_name(bundle.name) for bundle in bundles]
    if twice := _repeated(names):
        return f"two bundles have the name {', '.join(twice)}: export one of them under another name"
    if heads := sorted({*names[1:]} & {*bundles[0].server["heads"]}):
        return f"bundle {', '.join(heads)} has the name of a head of {names[0]}: export it under another name"
    below = [prefix_of(topic) + name for topic in topics for name in bundle_namespaces(bundles)]
    if shared := _repeated(below):
        return (
            f"results of two bundles would be published below {', '.join(shared)}: "
            "give the topics other namespaces, or export the bundle under another name"
        )
    return None


def heads_problem(there_are: Iterable[str], heads: Sequence[str]) -> str | None:
    """Say which of the chosen heads no bundle has, or None."""
    known = dict.fromkeys((ALL_HEADS, *there_are))
    unknown = [name for name in heads if name not in known]
    if not unknown:
        return None
    return f"heads names {', '.join(unknown)}: the bundles served here have {', '.join(known)}"


def _repeated(names: Sequence[str]) -> list[str]:
    return sorted({name for name in names if names.count(name) > 1})
