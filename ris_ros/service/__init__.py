"""What the node does without ROS: commands, frames, the worker that owns the models."""
