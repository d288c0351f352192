"""A model of the zoo, loaded once for many images."""

from __future__ import annotations

import warnings
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from medenh.arrays import PillowPicture, without_pillow
from medenh.errors import UsageError
from medenh.formats import array
from medenh.paths import StrPath
from medenh.pipeline.in_memory import (
    Source,
    answer,
    as_image,
    refuse_file_options,
    run,
    to_say,
)
from medenh.pipeline.loading import ZooModels
from medenh.pipeline.options import EnhanceOptions, options_of
from medenh.types import Image, Modality

if TYPE_CHECKING:
    import torch

    from medenh.zoo.manifest import ModelCard

__all__ = ["Model", "list_models", "load_model"]

_Number = TypeVar("_Number", bound=np.generic)


class Model:
    """A model of the zoo, loaded.

    Attributes
    ----------
    card : ModelCard
        What the zoo knows of it.

    Parameters
    ----------
    name : str
        Id, ``id@version`` or alias.
    options : EnhanceOptions
    """

    def __init__(self, name: str, options: EnhanceOptions) -> None:
        self._options = replace(options, model=name)
        refuse_file_options(options)
        self._models = ZooModels(self._options)
        modality = Modality(options.modality or Modality.UNKNOWN)
        self.card: ModelCard = self._models.resolve(modality).card
        self._prepared = self._models.prepare(self.card)

    def __repr__(self) -> str:
        """Describe which model runs, and how."""
        runner = self._prepared.runner
        how = f"{runner.engine} {runner.precision}, {self._models.device.name}"
        return f"<medenh.Model {self.card.full_id}, {how}>"

    def __reduce__(self) -> tuple[type[Model], tuple[str, EnhanceOptions]]:
        """Let another process, as of a DataLoader, load the same model itself."""
        return type(self), (self._options.model, self._options)

    @cached_property
    def network(self) -> torch.nn.Module:
        """The torch network: NCHW float32 in [0, 1], in and out, any size.

        Raises
        ------
        UsageError
            The model is a classical method, without a network.
        """
        import torch

        from medenh.zoo.load import load_network

        if self.card.weights is None:
            raise UsageError(f"{self.card.id} is a classical method without a network")
        network = load_network(self.card, offline=self._options.offline or None)
        with torch.inference_mode(False):  # as in load_network
            return network.to(self._models.device.name)

    @overload
    def enhance(
        self,
        source: NDArray[_Number],
        *,
        data_range: tuple[float, float] | None = None,
    ) -> NDArray[_Number]: ...
    @overload
    def enhance(
        self, source: PillowPicture, *, data_range: tuple[float, float] | None = None
    ) -> NDArray[Any]: ...
    @overload
    def enhance(self, source: Image | StrPath) -> Image: ...
    def enhance(
        self, source: Source, *, data_range: tuple[float, float] | None = None
    ) -> Any:
        """Return an array for an array, else an Image.

        Of a model that was loaded with ``uncertainty=True`` it is a pair, as `enhance`
        returns it, of which type hints know nothing.

        ``data_range`` is that of this array, in place of the one that the model was
        loaded with. A warning tells where neither is given and it was guessed; of a
        file there are those of `enhance`.
        """
        source = without_pillow(source)
        options = self._options
        if data_range is not None:
            options = replace(options, data_range=data_range)
        array.check_own_range(source, options.data_range)
        image = options.told(as_image(source, options))
        said = to_say(source, image)
        enhanced, spread = run(self._prepared, image, options, said=said)
        guessed = array.guesses(image) if isinstance(source, np.ndarray) else []
        for word in (*(said or ()), *guessed):
            warnings.warn(word, stacklevel=2)
        return answer(source, enhanced, spread)


def load_model(
    name: str, device: str = "auto", precision: str = "auto", **options: Any
) -> Model:
    """Return a model ready to enhance.

    Parameters
    ----------
    name : str
        Id, ``id@version`` or alias; "auto" is the general model.
    device, precision : str
        As in `EnhanceOptions`.
    **options
        Other fields of `EnhanceOptions`.

    Raises
    ------
    UsageError
        The name is unknown, or an option or its value.
    WeightsError
        Its weights cannot be had.
    """
    return Model(name, options_of(device=device, precision=precision, **options))


def list_models(
    modality: str | None = None, task: str | None = None
) -> tuple[ModelCard, ...]:
    """Return the cards of the zoo that suit a modality and a task."""
    from medenh.zoo.manifest import load_manifest

    return load_manifest().select(modality=modality, task=task)
