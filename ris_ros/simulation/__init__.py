"""The simulated tabletop: scenes, camera, expressions, ground truth, gripper."""
