"""From mask, depth and camera to point, pose and cloud; numpy only."""
