# SPDX-License-Identifier: Apache-2.0
"""How the edge node is started."""

from __future__ import annotations

from fs_common.node_launch import Argument, NodeLaunch, Remap
from fs_edge_node.parameters import EdgeParameters

EDGE = NodeLaunch(
    executable="edge",
    module="fs_edge_node",
    table=EdgeParameters,
    remaps=(
        Remap("image", "image_topic"),
        Remap("image/compressed", "image_topic", "/compressed"),
        Remap("latent", "latent_topic"),
    ),
    topic_arguments=(
        Argument("image_topic", "Camera topic; one that ends in /compressed is compressed (empty: image)"),
        Argument("latent_topic", "Topic to publish latents on (empty: latent)"),
    ),
    dds_profile="fastdds-edge.xml",
)
