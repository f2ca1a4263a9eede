"""What fills the README and docs: ablation rows, leaderboard, figures."""
