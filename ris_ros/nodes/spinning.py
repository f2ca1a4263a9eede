"""How every node process of the package runs until it is told to stop."""
from __future__ import annotations

from typing import Any

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor


def spin_until_shutdown(node: Any) -> None:
    """Spin a node until SIGINT, SIGTERM or a shutdown of the context, then destroy it.

    A node with a method `close` has it called first.
    """
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        # Not spin(): a signal that comes just as a peer leaves can be missed in its wait.
        while rclpy.ok():
            executor.spin_once(timeout_sec=0.2)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        if hasattr(node, 'close'):
            node.close()
        executor.shutdown(timeout_sec=1.0)
        node.destroy_node()
        rclpy.try_shutdown()
