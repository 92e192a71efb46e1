"""Code of a registered model, with which ``mlflow models serve`` upscales images.

MLflow copies this file into the model ("models from code"), so that nothing is pickled. The
workbench must be installed where it runs.

A request has a column ``image`` of base64 text: an image file (AVIF, PNG, JPEG, WebP) each, or a
``data:`` URL. The response has the column ``image`` too: PNG files of 4 times the size.
"""

from __future__ import annotations

import base64
import binascii
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas  # type: ignore[import-untyped]
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import BAD_REQUEST
from mlflow.pyfunc import PythonModel

from nas.common.errors import InputError

MOST_PIXELS = 2**24
"""Limit of an input image; the output has 16 times as many."""


class Upscaler(PythonModel):
    """Upscales base64 images by 4."""

    def load_context(self, context: Any) -> None:
        """Load the network."""
        from nas.deploy.upscale import ready
        from nas.measure.device import usable_device
        from search_spaces.model_file import load_model

        found = load_model(Path(context.artifacts["model"]))
        self.network = ready(found.network, usable_device())

    def predict(
        self,
        context: Any,
        model_input: pandas.DataFrame,
        params: Mapping[str, Any] | None = None,
    ) -> pandas.DataFrame:
        """Upscale each image of the column ``image``.

        Raises:
            MlflowException: One of them is not an image; says which and why.
        """
        upscaled = []
        for number, text in enumerate(_images(model_input), start=1):
            try:
                upscaled.append(self._upscaled(text))
            except InputError as fault:
                message = f"image {number} of the request: {fault}"
                raise MlflowException(message, error_code=BAD_REQUEST) from fault
        return pandas.DataFrame({"image": upscaled})

    def _upscaled(self, text: str) -> str:
        from nas.data.decode import UnusableImage
        from nas.deploy.images import read_picture, write_picture
        from nas.deploy.upscale import upscale

        try:
            content = base64.b64decode(text.rpartition(",")[2], validate=True)
        except (binascii.Error, ValueError) as fault:
            raise InputError("it must be an image file in base64") from fault
        with tempfile.TemporaryDirectory(prefix="nas-served-") as aside:
            small, large = Path(aside) / "small", Path(aside) / "large.png"
            small.write_bytes(content)
            try:
                write_picture(upscale(self.network, read_picture(small, MOST_PIXELS)), large, "png")
            except UnusableImage as fault:
                raise InputError(str(fault)) from fault
            return base64.b64encode(large.read_bytes()).decode()


def _images(given: Any) -> Sequence[str]:
    """Return the column of images from any form that MLflow passes: rows may be lists."""
    if isinstance(given, pandas.DataFrame | Mapping) and "image" in given:
        given = given["image"]
    if isinstance(given, str):
        return [given]
    if not isinstance(given, pandas.Series | np.ndarray | list | tuple):
        raise MlflowException(
            "the request needs a column 'image' of base64 text", error_code=BAD_REQUEST
        )
    return [text for row in given for text in _images(row)]


mlflow.models.set_model(Upscaler())
