"""Studies, trainings and models as MLflow shows them. No module outside this package imports it.

MLflow is a view: whatever it shows stands in the study and its folder first, so that writing again
changes nothing, a view half written is completed, and a lost one is made anew. One process at a
time writes. A store that fails never stops the work: what it missed is delivered by the next call.
"""

from studies.tracking.store import EXPERIMENT, Delivery, server_command
from studies.tracking.study import StudyTracking

__all__ = ["EXPERIMENT", "Delivery", "StudyTracking", "server_command"]
