# SPDX-License-Identifier: Apache-2.0
"""Pedestrians and bicyclists: jointed figures of thick limbs, seen from any side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frankensplit.data.street.classes import BICYCLIST, PEDESTRIAN
from frankensplit.data.street.light import Color, dim
from frankensplit.data.street.scene import Scene

Array = NDArray[Any]
Joint = tuple[float, float, float]  # forward, up, left
Limb = tuple[Joint, Joint, float, Color]  # from, to, thickness in metres, colour
SEEN_M = 75.0
CLOTHES: tuple[Color, ...] = (
    (38, 40, 48),
    (62, 66, 78),
    (42, 58, 104),
    (128, 36, 40),
    (196, 190, 178),
    (92, 96, 74),
    (168, 84, 40),
    (58, 98, 116),
    (210, 196, 72),
    (112, 60, 96),
    (30, 30, 34),
)
SKIN: tuple[Color, ...] = ((224, 178, 148), (198, 148, 114), (142, 98, 70), (96, 66, 48))
HAIR: tuple[Color, ...] = ((42, 32, 26), (92, 64, 40), (26, 24, 24), (176, 142, 84), (132, 128, 124))


@dataclass(frozen=True)
class Person:
    """Looks of one person; heights in metres."""

    height: float
    top: Color
    legs: Color
    skin: Color
    hair: Color
    bag: bool
    helmet: bool
    bicycle: Color
    phase: float


def _pick(rng: np.random.Generator, colors: tuple[Color, ...]) -> Color:
    return colors[int(rng.integers(len(colors)))]


def draw_person(rng: np.random.Generator) -> Person:
    """Draw a person's looks."""
    child = rng.random() < 0.1
    return Person(
        height=float(rng.uniform(1.1, 1.4) if child else rng.uniform(1.58, 1.9)),
        top=_pick(rng, CLOTHES),
        legs=CLOTHES[int(rng.integers(3))] if rng.random() < 0.7 else _pick(rng, CLOTHES),
        skin=_pick(rng, SKIN),
        hair=_pick(rng, HAIR),
        bag=bool(rng.random() < 0.4),
        helmet=bool(rng.random() < 0.5),
        bicycle=_pick(rng, ((150, 30, 30), (40, 42, 46), (40, 70, 130), (170, 172, 176))),
        phase=float(rng.uniform(0, 2 * np.pi)),
    )


def _walking(person: Person, stride: float) -> list[Limb]:
    h = person.height
    swing, back = 0.2 * h * np.sin(stride), -0.2 * h * np.sin(stride)
    lift = 0.05 * h * max(0.0, np.cos(stride)), 0.05 * h * max(0.0, -np.cos(stride))
    limbs: list[Limb] = []
    for side, foot, up in ((-1, swing, lift[0]), (1, back, lift[1])):
        hip, knee = (0.0, 0.5 * h, side * 0.05 * h), (foot * 0.6 + 0.03 * h, 0.27 * h + up, side * 0.05 * h)
        ankle = (foot, 0.04 * h + up, side * 0.05 * h)
        limbs.append((hip, knee, 0.1 * h, person.legs))
        limbs.append((knee, ankle, 0.075 * h, person.legs))
        limbs.append((ankle, (foot + 0.08 * h, 0.03 * h + up, side * 0.05 * h), 0.05 * h, (34, 30, 30)))
    for side, hand in ((-1, back), (1, swing)):
        shoulder, elbow = (0.0, 0.79 * h, side * 0.13 * h), (hand * 0.35, 0.62 * h, side * 0.15 * h)
        wrist = (hand * 0.8 + 0.03, 0.5 * h, side * 0.14 * h)
        limbs.append((shoulder, elbow, 0.068 * h, dim(person.top, 0.85)))
        limbs.append((elbow, wrist, 0.058 * h, dim(person.top, 0.85)))
    if person.bag:
        limbs.append(((-0.13 * h, 0.6 * h, 0.0), (-0.13 * h, 0.74 * h, 0.0), 0.16 * h, (60, 52, 46)))
    limbs += _trunk(person, (0.0, 0.52 * h, 0.0), (0.01 * h, 0.78 * h, 0.0))
    return limbs


def _trunk(person: Person, hip: Joint, neck: Joint) -> list[Limb]:
    """Two columns side by side make a chest that is broad from the front and slim from the side."""
    h = person.height
    limbs: list[Limb] = []
    for side in (-1, 1):
        low, high = side * 0.035 * h, side * 0.062 * h
        limbs.append(((hip[0], hip[1], low), (neck[0], neck[1], high), 0.13 * h, person.top))
    head = (neck[0] + 0.02 * h, neck[1] + 0.145 * h, 0.0)
    limbs.append((neck, head, 0.06 * h, person.skin))
    limbs.append((head, head, 0.125 * h, person.skin))
    crown = (head[0] - 0.025 * h, head[1] + 0.025 * h, 0.0)
    limbs.append((crown, crown, 0.125 * h, (206, 208, 204) if person.helmet else person.hair))
    return limbs


def _riding(person: Person, stride: float) -> list[Limb]:
    hip, neck, grip = (-0.25, 0.96, 0.0), (0.12, 1.42, 0.0), (0.42, 1.02, 0.0)
    frame = person.bicycle
    limbs: list[Limb] = [
        ((-0.52, 0.34, 0.0), (-0.08, 0.32, 0.0), 0.05, frame),
        ((-0.08, 0.32, 0.0), (-0.24, 0.86, 0.0), 0.05, frame),
        ((-0.08, 0.32, 0.0), (0.36, 0.84, 0.0), 0.05, frame),
        ((-0.22, 0.8, 0.0), (0.36, 0.84, 0.0), 0.05, frame),
        ((0.52, 0.34, 0.0), (0.36, 0.98, 0.0), 0.05, frame),
        ((0.4, 1.0, -0.27), (0.4, 1.0, 0.27), 0.045, (40, 40, 42)),
        ((-0.36, 0.9, 0.0), (-0.1, 0.9, 0.0), 0.08, (28, 28, 30)),
    ]
    for side, turn in ((-1, stride), (1, stride + np.pi)):
        pedal = (-0.08 + 0.16 * np.cos(turn), 0.32 + 0.16 * np.sin(turn), side * 0.11)
        knee = (0.12 + 0.08 * np.cos(turn), 0.72 + 0.12 * np.sin(turn), side * 0.12)
        limbs.append(((hip[0], hip[1], side * 0.09), knee, 0.17, person.legs))
        limbs.append((knee, pedal, 0.12, person.legs))
        limbs.append((pedal, (pedal[0] + 0.12, pedal[1] + 0.02, pedal[2]), 0.08, (34, 30, 30)))
        limbs.append(
            ((neck[0], neck[1] - 0.04, side * 0.2), (grip[0], grip[1], side * 0.24), 0.1, person.top)
        )
    if person.bag:
        limbs.append(((-0.22, 1.1, 0.0), (-0.02, 1.36, 0.0), 0.24, (60, 52, 46)))
    return limbs + _trunk(person, hip, (neck[0], neck[1], 0.0))


def paint_pedestrian(scene: Scene, person: Person, across: float, along: float, heading: float) -> None:
    """Draw a walker; a heading of 0 walks along the street, pi/2 across it to the right."""
    if not 1.5 < scene.ahead(along) < SEEN_M:
        return
    stride = person.phase + scene.time * 6.5
    _paint(scene, _walking(person, stride), (across, along, heading), PEDESTRIAN)


def paint_bicyclist(scene: Scene, person: Person, across: float, along: float, heading: float) -> None:
    """Draw a rider with the bicycle."""
    if not 1.5 < scene.ahead(along) < SEEN_M:
        return
    pose = across, along, heading
    for hub in (-0.52, 0.52):
        _wheel(scene, pose, hub)
    _paint(scene, _riding(person, person.phase + scene.time * 7.0), pose, BICYCLIST)


def _place(scene: Scene, points: Array, pose: tuple[float, float, float]) -> tuple[Array, Array]:
    across, along, heading = pose
    turn = heading + np.arctan(scene.bend.slope(along))
    at = scene.world(np.array([[across, 0.0, along]]))[0]
    rotate = np.array([[np.sin(turn), 0, np.cos(turn)], [0, 1, 0], [-np.cos(turn), 0, np.sin(turn)]])
    return scene.camera.project(points @ rotate + at)


def _wheel(scene: Scene, pose: tuple[float, float, float], hub: float) -> None:
    turn = np.linspace(0, 2 * np.pi, 17)[:-1]
    for radius, color in ((0.35, (30, 30, 32)), (0.3, (112, 112, 112))):
        circle = np.stack([hub + radius * np.cos(turn), 0.35 + radius * np.sin(turn), 0 * turn], axis=1)
        uv, depth = _place(scene, circle, pose)
        if depth.min() > 1.2:
            scene.canvas.convex(uv, scene.paint(color, BICYCLIST, 0.9, float(depth.mean())))
    if depth.min() > 1.2:  # the tyre; nothing else shows from behind
        tyre = scene.paint((34, 34, 36), BICYCLIST, 1.0, float(depth.mean()))
        scene.canvas.line(uv[4], uv[12], 0.055 * scene.scale(float(depth.mean())), tyre)


def _paint(scene: Scene, limbs: list[Limb], pose: tuple[float, float, float], label: int) -> None:
    points = np.array([joint for limb in limbs for joint in limb[:2]], float)
    uv, depth = _place(scene, points, pose)
    outside = uv[:, 0].max() < 0 or uv[:, 0].min() > scene.canvas.width
    if depth.min() < 1.2 or outside:
        return
    order = np.argsort(-(depth[::2] + depth[1::2]), kind="stable")
    distance = float(depth.mean())
    scale = scene.scale(distance)
    thicknesses = [limbs[index][2] * scale for index in order]
    paints = scene.paints([limbs[index][3] for index in order], label, 0.95, distance)
    scene.canvas.lines(uv[::2][order], uv[1::2][order], thicknesses, paints)
