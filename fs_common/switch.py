# SPDX-License-Identifier: Apache-2.0
"""Switch a node off and on while it runs."""

from __future__ import annotations

from collections.abc import Callable

from rclpy.node import Node
from std_srvs.srv import SetBool

from frankensplit.errors import FrankensplitError


class Switch:
    """The service ``~/enable`` (std_srvs/SetBool): off, a node holds neither its inputs nor its device.

    Args:
        node: the node.
        free: releases what the node holds; called when ``on`` is False already.
        take: takes it again, and may raise a FrankensplitError: then the node stays off.
        follow: called after every change.
    """

    def __init__(
        self, node: Node, free: Callable[[], None], take: Callable[[], None], follow: Callable[[], None]
    ) -> None:
        self.on = True
        self._node = node
        self._free, self._take, self._follow = free, take, follow
        self.service = node.create_service(SetBool, "~/enable", self._answer)

    def _answer(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        try:
            self._turn(request.data)
        except FrankensplitError as error:
            response.success, response.message = False, str(error)
            self._node.get_logger().error(f"stays off: {error}")
        else:
            response.success, response.message = True, "on" if self.on else "off"
        return response

    def _turn(self, on: bool) -> None:
        if on == self.on:
            return
        if on:
            self._take()
        self.on = on
        self._follow()
        if not on:
            self._free()
        self._node.get_logger().info("switched on" if on else "switched off: inputs and device are free")
