"""
What every trainer shares: settings, batches, the loop, checkpoints, several GPUs.

A trainer is a `task.Task` (model, loss, validation) with a `task.Source` (batches), settings
that extend `settings.EngineSettings`, and a command that calls, in this order,
`options.read_settings`, `runtime.start` (checks before any work), builds the task, `fit.fit`
and `package.write_network`.
"""
