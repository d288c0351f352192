"""The model card: everything the manifest knows about one model.

Strict records: an unknown field, a missing licence or a malformed hash is an error
when the manifest is read, never later. The modality words are spelled here once more
because `medenh.types` needs numpy, which listing models does without; a test compares.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = [
    "BUNDLED_LIMIT",
    "CLASSICAL",
    "MODALITIES",
    "Certificate",
    "DataSource",
    "Estimate",
    "InputContract",
    "Limits",
    "ModelCard",
    "Recognition",
    "RecognitionTable",
    "ResultTable",
    "TrainingRecord",
    "Weights",
]

CLASSICAL = "classical"
_COLOURED = {"fundus", "dermoscopy", "endoscopy"}  # whose pictures are photographs
BUNDLED_LIMIT = 24 * 2**20  # what is bundled travels in every install
ModalityWord = Literal[
    "fundus",
    "xray",
    "ct",
    "mri",
    "dermoscopy",
    "microscopy",
    "endoscopy",
    "ultrasound",
    "nuclear",
]
MODALITIES: tuple[str, ...] = get_args(ModalityWord)
Identifier = Annotated[
    str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", min_length=2, max_length=64)
]
Version = Annotated[str, Field(pattern=r"^\d+(\.\d+){0,2}$")]
Licence = Annotated[
    str,
    Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.+-]*( (AND|OR|WITH) [A-Za-z0-9.+-]+)*$"),
]
Text = Annotated[str, Field(min_length=1)]
Positive = Annotated[int, Field(ge=1)]


class _Record(BaseModel):
    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True, allow_inf_nan=False
    )


class DataSource(_Record):
    """One set of images behind the weights.

    Attributes
    ----------
    name, terms : str
        The set, and the licence or terms it is given out under.
    images : int
        How many of its images were used.
    """

    name: Text
    terms: Text
    images: Annotated[int, Field(ge=0)]


class InputContract(_Record):
    """What a model takes.

    Attributes
    ----------
    channels : 1, 3 or None
        None where grey and RGB are both taken as they are (classical methods).
    multiple_of : int
        Height and width must be a multiple of it; 1 if any size does.
    min_size : int
        Smallest height and width in pixels.
    enlarged : int
        How many times a picture was enlarged before; above 1 the model puts detail into
        it, and takes away what a sharp picture has.
    largest_side : int or None
        Longest side in pixels that the model knows. A larger picture is enhanced on a
        copy reduced to it, and the change is carried over (`pipeline.reduced`).
    """

    channels: Literal[1, 3] | None = None
    multiple_of: Positive = 1
    min_size: Positive = 1
    enlarged: Positive = 1
    largest_side: Positive | None = None


class Certificate(_Record):
    """How near a lower precision comes to float32, on the model's test set.

    Attributes
    ----------
    psnr_db : float
        Peak signal-to-noise ratio against the float32 output.
    max_levels : float
        Largest difference, in 8-bit grey levels.
    """

    psnr_db: float
    max_levels: Annotated[float, Field(ge=0)]


class Weights(_Record):
    """The weights file.

    Attributes
    ----------
    file : str
        Its plain name; always safetensors.
    size_bytes : int
        Exact size.
    sha256 : str
        Hash of the file, 64 lower-case hexadecimal digits.
    urls : tuple of str
        Where to fetch it, first choice first.
    bundled : bool
        True where the package itself carries it.
    """

    file: Annotated[
        str,
        Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*\.safetensors$", max_length=120),
    ]
    size_bytes: Positive
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    urls: tuple[Annotated[str, Field(pattern=r"^https?://\S+$")], ...] = ()
    bundled: bool = False

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.bundled and self.size_bytes >= BUNDLED_LIMIT:
            raise ValueError(f"bundled weights must stay below {BUNDLED_LIMIT} bytes")
        return self


class TrainingRecord(_Record):
    """How the weights were made.

    Attributes
    ----------
    seed : int
        Seed of the run.
    command : str
        What to type to train them again.
    hours : float
        Duration of the run.
    images : int
        Training images.
    config : dict or str
        Full configuration, or the name of a ready one.
    recipes : dict of str to str
        Recipes of the run's own that the configuration names: file -> text.
    """

    seed: int
    command: Text
    hours: Annotated[float, Field(ge=0)]
    images: Annotated[int, Field(ge=0)]
    config: dict[str, Any] | str
    recipes: dict[str, str] = {}


class Estimate(_Record):
    """A mean over images with its 95 % interval.

    Attributes
    ----------
    mean : float
        Mean over ``n`` images.
    ci95 : tuple of two floats, or None
        Bootstrap interval; None where too few images allow one.
    n : int
        Number of images.
    """

    mean: float
    ci95: tuple[float, float] | None = None
    n: Positive


class ResultTable(_Record):
    """What was measured under one protocol, the do-nothing row always with it.

    Attributes
    ----------
    protocol, modality, split : str
        Frozen benchmark, kind of picture, and the part of the data.
    n : int
        Number of images.
    rows : dict
        Model id -> metric name -> estimate; "identity" is the input itself.
    literature : str
        What others report of such data, in words; their protocol differs.
    """

    protocol: Text
    modality: ModalityWord
    split: Text
    n: Positive
    rows: dict[str, dict[str, Estimate]] = Field(default_factory=dict)
    literature: str = ""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.rows and "identity" not in self.rows:
            raise ValueError(f"results of {self.protocol} lack the identity row")
        return self


class RecognitionTable(_Record):
    """How well a recogniser sees on clean pictures that it was not trained on.

    Attributes
    ----------
    data, region : str
        The pictures, and the pixels that count.
    target : str
        The class that was scored; empty for the picture as a whole.
    n : int
        Number of pictures.
    scores : dict
        Metric name -> estimate.
    literature : str
        What others report, in words.
    """

    data: Text
    region: Text
    target: str = ""
    n: Positive
    scores: dict[str, Estimate]
    literature: str = ""


class Recognition(_Record):
    """What makes a model a recogniser: it answers a question, and enhances nothing.

    Attributes
    ----------
    classes : tuple of str
        Names of the classes, in the order of the network's outputs.
    thresholds : tuple of float
        Probability from which on the answer is yes, a class; chosen on pictures held
        back from training.
    tables : tuple of RecognitionTable
        What was measured.
    """

    classes: Annotated[tuple[Text, ...], Field(min_length=1)]
    thresholds: tuple[Annotated[float, Field(gt=0, lt=1)], ...]
    tables: tuple[RecognitionTable, ...] = ()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(self.classes) != len(self.thresholds):
            raise ValueError("every class needs a threshold")
        return self


class Limits(_Record):
    """Where an output becomes suspicious; None is no limit.

    Attributes
    ----------
    min_structure_correlation : float or None
        Smallest correlation of structure between input and output.
    max_clipped : float or None
        Largest share of newly clipped pixels.
    max_mean_shift : float or None
        Largest change of the mean, in [0, 1].
    """

    min_structure_correlation: float | None = None
    max_clipped: float | None = None
    max_mean_shift: float | None = None


class ModelCard(_Record):
    """One entry of the manifest.

    Attributes
    ----------
    id, version : str
        ``architecture-domain[-task]`` and one to three numbers ("1", "1.2").
    title, description : str
        One line, and what it does to an image.
    task : str
        "enhance", "denoise", "deblur"...
    architecture : str
        As in `medenh.models.create`; "classical" for a weight-free method.
    method : str or None
        Name of the weight-free method.
    preset, options : str, dict
        Named size, and what goes over it (or the method's options).
    aliases : tuple of str
        Other names; shared by several models, the input's modality decides.
    modalities : tuple of str
        What it was made for; empty is any.
    default_for : tuple of str
        Modalities for which "auto" picks it; "unknown" stands for all others, "volume"
        for volumes and deep values that nothing tells the kind of.
    licence : str
        SPDX identifier of the weights' (or method's) licence.
    data : tuple of DataSource
        The sets behind the weights, with their terms.
    paper, citation : str
        Publication the method comes from, and how to cite it.
    input : InputContract
        What it takes.
    receptive_field : int or None
        Pixels that an output pixel can see on each side; None is unbounded.
    global_ops : bool
        True where statistics of the whole image enter: tiles would differ.
    bytes_per_pixel : dict
        By engine, the memory that each pixel of a frame takes on a CPU while the model
        runs, in float32, conversions included; empty if not measured.
    precision : dict
        Certificates of the precisions below float32.
    weights : Weights or None
        None for weight-free methods.
    training : TrainingRecord or None
        How the weights were made.
    results : tuple of ResultTable
        What was measured.
    limits : Limits
        Where an output becomes suspicious.
    recognition : Recognition or None
        Set for a recogniser of `medenh.tasks`; such a model enhances nothing.
    notes : str
        What to beware of, in words.
    """

    id: Identifier
    version: Version
    title: Text
    description: Text
    task: Identifier
    architecture: Identifier
    method: Identifier | None = None
    preset: Identifier = "default"
    options: dict[str, Any] = Field(default_factory=dict)
    aliases: tuple[Identifier, ...] = ()
    modalities: tuple[ModalityWord, ...] = ()
    default_for: tuple[ModalityWord | Literal["unknown", "volume"], ...] = ()
    licence: Licence
    data: tuple[DataSource, ...] = ()
    paper: str = ""
    citation: str = ""
    input: InputContract = InputContract()
    receptive_field: Annotated[int, Field(ge=0)] | None = None
    global_ops: bool = True
    bytes_per_pixel: dict[Identifier, Annotated[int, Field(ge=0)]] = Field(
        default_factory=dict
    )
    precision: dict[Literal["bf16", "fp16"], Certificate] = Field(default_factory=dict)
    weights: Weights | None = None
    training: TrainingRecord | None = None
    results: tuple[ResultTable, ...] = ()
    limits: Limits = Limits()
    recognition: Recognition | None = None
    notes: str = ""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.is_classical != (self.method is not None):
            raise ValueError("a method is named by classical entries, and only there")
        if self.is_classical != (self.weights is None):
            raise ValueError("weights belong to networks, and every network has them")
        if not self.is_classical and not self.data:
            raise ValueError("weights must name the data behind them")
        if self.recognition is not None and (self.default_for or self.is_classical):
            raise ValueError("a recogniser is a network and no default for enhancement")
        strange = set(self.default_for) - {"unknown", "volume", *self.modalities}
        if self.modalities and strange:
            raise ValueError(f"default for {strange.pop()}, but not made for it")
        return self

    @property
    def is_classical(self) -> bool:
        """True for a method without weights."""
        return self.architecture == CLASSICAL

    def __repr__(self) -> str:
        """Describe it in a line: a list of all cards is 600,000 letters otherwise."""
        shown = ", ".join(self.modalities) or "any modality"
        return f"<ModelCard {self.full_id}: {self.task}, {shown}; {self.title}>"

    @property
    def full_id(self) -> str:
        """``id@version``: names this entry and no other."""
        return f"{self.id}@{self.version}"

    @property
    def wants_colour(self) -> bool:
        """True for a network of light and colour that grey pictures are strange to.

        Photographs are in colour: what was made for them alone has learnt from no
        others. It takes their light and colour for one thing.
        """
        made_for = set(self.modalities)
        relights = self.task == "enhance" and not self.is_classical
        coloured = bool(made_for) and made_for <= _COLOURED
        return relights and coloured and self.input.channels == 3

    def suits(self, modality: str) -> bool:
        """Tell whether the card covers a modality; a general one covers all."""
        return not self.modalities or modality in self.modalities

    def to_dict(self) -> dict[str, Any]:
        """Return the card as plain data, as it stands in the manifest."""
        return self.model_dump(mode="json")
