"""Studies, trainings and models in MLflow. No module outside this package imports MLflow.

MLflow is a view of the studies and their folders: writing again changes nothing, completes a view
that was interrupted, and rebuilds one that is lost. One process at a time writes. A store that
fails never stops the work: the next call writes what is missing.

Importing the package loads no MLflow, which takes seconds: `writer` imports it in its thread.
"""
