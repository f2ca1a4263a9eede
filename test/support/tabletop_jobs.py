"""Jobs for the tabletop trainers, as small as a test wants them."""
import dataclasses

from ris_ros.training.engine.runtime import start
from ris_ros.training.tabletop.job import Job


def job_of(settings_cls, store, work, **values):
    """Return a job on the CPU over one store; three steps unless told otherwise."""
    settings = settings_cls(**{'device': 'cpu', 'steps': 3, 'minutes': 0.0, 'seed': 0,
                               'log_steps': 1, **values})
    return Job(settings, start(settings), store, store, work, work / 'weights')


def with_settings(job, **values):
    """Return the job with other settings."""
    return dataclasses.replace(job, settings=dataclasses.replace(job.settings, **values))
