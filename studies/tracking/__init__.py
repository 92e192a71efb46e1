"""Studies, trainings and models in MLflow. No module outside this package imports MLflow.

MLflow is a view of the studies and their folders: writing again changes nothing, completes a view
that was interrupted, and rebuilds one that is lost. One process at a time writes. A store that
fails never stops the work: the next call writes what is missing.
"""

from studies.tracking.store import EXPERIMENT, SyncResult, server_command
from studies.tracking.study import StudyTracking

__all__ = ["EXPERIMENT", "StudyTracking", "SyncResult", "server_command"]
