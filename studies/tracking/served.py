"""The code of a registered model: ``mlflow models serve`` answers with upscaled pictures.

MLflow copies this file into the model and runs it there ("models from code"), so that nothing is
ever pickled. It needs the workbench where it runs.

A request has a column ``image`` of base64 text: a picture file (AVIF, PNG, JPEG, WebP) each, also
as a ``data:`` URL. The answer has the column ``image`` again: PNG files of 4 times the sides.
"""

from __future__ import annotations

import base64
import binascii
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas  # type: ignore[import-untyped]
import pillow_avif  # noqa: F401  # teaches Pillow AVIF
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import BAD_REQUEST
from mlflow.pyfunc import PythonModel
from PIL import Image, ImageOps

from search_spaces.errors import InputError

MOST_PIXELS = 2**24
"""Of a picture that comes in: what goes out has 16 times as many."""


class Upscaler(PythonModel):
    """Upscales base64 pictures by 4."""

    def load_context(self, context: Any) -> None:
        """Load the network from its safetensors."""
        from search_spaces.model import load_model

        self.model = load_model(Path(context.artifacts["model"]))

    def predict(
        self,
        context: Any,
        model_input: pandas.DataFrame,
        params: Mapping[str, Any] | None = None,
    ) -> pandas.DataFrame:
        """Upscale each picture of the column ``image``.

        Raises:
            MlflowException: One of them is no picture; says which and why.
        """
        upscaled = []
        for number, text in enumerate(_images(model_input), start=1):
            try:
                upscaled.append(self._upscaled(text))
            except InputError as fault:
                told = f"image {number} of the request: {fault}"
                raise MlflowException(told, error_code=BAD_REQUEST) from fault
        return pandas.DataFrame({"image": upscaled})

    def _upscaled(self, text: str) -> str:
        from nas.measure.strips import upscale_picture

        large = upscale_picture(self.model.network, _decoded(text)).numpy()
        file = io.BytesIO()
        Image.fromarray(large).save(file, "PNG")
        return base64.b64encode(file.getvalue()).decode()


def _decoded(text: str) -> np.ndarray:
    """The pixels of a base64 picture file, uint8 (H, W, 3)."""
    try:
        content = base64.b64decode(text.rpartition(",")[2], validate=True)
    except (binascii.Error, ValueError) as fault:
        raise InputError("it must be a picture file in base64") from fault
    try:
        with Image.open(io.BytesIO(content)) as picture:
            if picture.width * picture.height > MOST_PIXELS:
                size = f"{picture.width}x{picture.height}"
                raise InputError(f"{size} pixels are more than the {MOST_PIXELS:,} allowed")
            return np.asarray(ImageOps.exif_transpose(picture).convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as fault:
        raise InputError(
            fault if isinstance(fault, InputError) else "it is no picture that can be read"
        ) from fault


def _images(given: Any) -> Sequence[str]:
    """The column of pictures, in whatever form MLflow hands it over: rows may be lists again."""
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
