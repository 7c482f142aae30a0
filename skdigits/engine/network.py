"""The base of all networks: their layers, initial weights, penalty and needs.

To add a network, subclass `Network` in a module of its own: name its ``shapes`` and
``n_units``, and compute ``gradients`` and ``logits``. The base class does the rest for
solvers, sessions and searches.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias, TypeVar, cast

import numpy as np
import torch
from torch import Generator, Tensor

from skdigits.engine.batches import Batch, Part, Targets
from skdigits.engine.losses import CLASSES, LOGISTIC, OUTPUT_LOSSES
from skdigits.engine.sizes import SIZES
from skdigits.engine.types import Hyper, Params, Plan, StepHyper

if TYPE_CHECKING:
    from skdigits.engine.dense import Outer

LARGEST_BATCHED = 200_000  # numbers in the state of a solver; see docs/design.md
Record = TypeVar("Record")

Gradients: TypeAlias = "tuple[Tensor | Outer, ...]"
"""The gradient by each parameter, in the order of the parameters."""


def select(record: Record, models: Tensor) -> Record:
    """Return the same record of some of its K models.

    Tensors are indexed along their first axis, tuples and records one level after
    another; anything else is kept.
    """
    found: Any = record
    if isinstance(record, Tensor):
        found = record[models.to(record.device)]
    elif isinstance(record, tuple):
        parts = [select(part, models) for part in record]
        # A NamedTuple takes its fields one by one, a plain tuple takes them all at
        # once.
        found = type(record)(*parts) if hasattr(record, "_fields") else tuple(parts)
    return cast(Record, found)


def join(records: Sequence[Record]) -> Record:
    """Return one record of all models of several records: the reverse of `select`.

    Tensors are joined along their first axis, tuples and records one level after
    another; of anything else, the first is kept.
    """
    found: Any = records[0]
    if isinstance(found, Tensor):
        found = torch.cat([cast(Tensor, record) for record in records])
    elif isinstance(found, tuple):
        columns = zip(*cast(Sequence[tuple[Any, ...]], records), strict=True)
        parts = [join(column) for column in columns]
        found = type(found)(*parts) if hasattr(found, "_fields") else tuple(parts)
    return cast(Record, found)


def step_hyper(hyper: Hyper, plan: Plan, params: Params) -> StepHyper:
    """Return hyper-parameters as steps use them, beside the parameters."""
    like = params[0]
    local = {
        name: values.to(like).view(-1, 1, 1) for name, values in hyper._asdict().items()
    }
    # Subtracted in float64: in float32, 1 − 0.999 keeps four digits.
    new_1 = (1 - hyper.beta_1).to(like).view(-1, 1, 1)
    new_2 = (1 - hyper.beta_2).to(like).view(-1, 1, 1)

    read = {"momentum": hyper.momentum, "new_1": hyper.beta_1, "new_2": hyper.beta_2}
    read["epsilon"] = hyper.epsilon
    differing = [name for name, own in read.items() if (own != own[0]).any()]

    return StepHyper(
        alpha=local["alpha"] if hyper.alpha.any() else None,
        momentum=local["momentum"] if hyper.momentum.any() else None,
        nesterovs_momentum=plan.nesterovs_momentum,
        new_1=new_1,
        new_2=new_2,
        epsilon=local["epsilon"],
        weight_decay=local["weight_decay"],
        dropout=local["dropout"],
        differing=tuple(differing),
    )


def _glorot(
    rng: np.random.RandomState, fan_in: int, fan_out: int, activation: str
) -> tuple[np.ndarray, np.ndarray]:
    # The draws of scikit-learn's MLPClassifier in their order, biases included: with
    # one random_state, both start at the same point.
    bound = np.sqrt((2.0 if activation == "logistic" else 6.0) / (fan_in + fan_out))
    weight = rng.uniform(-bound, bound, (fan_in, fan_out)).T
    return weight, rng.uniform(-bound, bound, (fan_out, 1))


def _he(
    rng: np.random.RandomState, fan_in: int, fan_out: int, activation: str
) -> tuple[np.ndarray, np.ndarray]:
    weight = rng.normal(0, np.sqrt(2 / fan_in), (fan_out, fan_in))
    return weight, np.zeros((fan_out, 1))


def _normal(
    rng: np.random.RandomState, fan_in: int, fan_out: int, activation: str
) -> tuple[np.ndarray, np.ndarray]:
    weight = rng.normal(size=(fan_out, fan_in))
    return weight, rng.normal(size=(fan_out, 1))


def _zeros(
    rng: np.random.RandomState, fan_in: int, fan_out: int, activation: str
) -> tuple[np.ndarray, np.ndarray]:
    return np.zeros((fan_out, fan_in)), np.zeros((fan_out, 1))


WEIGHT_INITS = {"glorot": _glorot, "he": _he, "normal": _normal, "zeros": _zeros}


class Network(ABC):
    """K networks of layers, each layer with weights and biases.

    Subclasses are frozen dataclasses with these attributes: ``loss``, a key of
    `OUTPUT_LOSSES`; ``activation``, of `ACTIVATIONS`; ``weight_init``, of
    `WEIGHT_INITS`; and ``penalty_per_sample``, whether the L2 penalty ``alpha / 2 · Σ
    W²`` is divided by the weight of the batch as in MLPClassifier, or added to the mean
    loss as it is, as in SGDClassifier. ``auto_batch_size`` stands for
    ``batch_size="auto"``. ``penalised`` and ``decayed`` are the parameters that the
    penalty counts, and that AdamW decays.

    Notes
    -----
    The objective is ``mean(loss) + penalty``; the mean is weighted by sample weights.
    """

    __dataclass_fields__: ClassVar[dict[str, Any]]
    loss: str
    activation: str
    weight_init: str
    penalty_per_sample: bool
    auto_batch_size: ClassVar[int] = 200
    reads_images: ClassVar[bool] = False
    # Weights and biases alternate: both slices take all weights.
    penalised: ClassVar[slice] = slice(None, None, 2)
    decayed: ClassVar[slice] = slice(None, None, 2)

    @property
    @abstractmethod
    def shapes(self) -> list[tuple[int, ...]]:
        """Shape of each layer's weights, outputs first.

        In the engine, weights are (K, outputs, all others). The last layer has an
        output for each class or label, or a single one for two classes.
        """

    @property
    @abstractmethod
    def n_units(self) -> int:
        """Number of values that the layers compute for a sample."""

    @property
    def n_products(self) -> int:
        """Number of multiplications for the logits of a sample."""
        return sum(math.prod(shape) for shape in self.shapes)

    @abstractmethod
    def gradients(
        self,
        params: Params,
        batch: Batch,
        hyper: StepHyper,
        generators: Sequence[Generator],
    ) -> tuple[Tensor, Gradients]:
        """Return logits (K, C, B) of a batch, and gradients in the parameters' order.

        ``generators``, one a replica, drive dropout; without any, there is no dropout.
        """

    @abstractmethod
    def logits(self, params: Params, X: Tensor) -> Tensor:
        """Return logits (K, C, B) of samples X (R, B, D), thousands of them."""

    @property
    def layout(self) -> tuple[object, ...]:
        """Layers that fitted weights must have for training to continue."""
        return tuple(self.shapes)

    def chunk_samples(self, device: torch.device) -> int:
        """Return the number of samples that are evaluated at once."""
        sizes = SIZES[device.type]
        n_inputs = math.prod(self.shapes[0][1:])
        n_outputs = self.shapes[-1][0]
        bounds = (
            sizes.chunk_samples,
            sizes.chunk_logits // n_outputs,
            sizes.chunk_numbers // n_inputs,
        )
        return max(1, min(bounds))

    def targets(self, label_smoothing: float, like: Tensor) -> Targets:
        """Return the targets of codes, in the dtype and device of a tensor.

        They are ``(1 − ε) · onehot + ε / C``. A logistic output is about one of two
        classes, no and yes, whose targets are ε / 2 and 1 − ε / 2.
        """
        n_outputs = self.shapes[-1][0]
        one_hot = self.loss != LOGISTIC
        n_classes = n_outputs if one_hot else 2

        levels = torch.arange(2, dtype=like.dtype, device=like.device)
        levels = levels * (1 - label_smoothing) + label_smoothing / n_classes
        return Targets(levels, n_outputs, one_hot)

    def initial(
        self,
        rng: np.random.RandomState,
        n_models: int,
        dtype: torch.dtype,
        device: torch.device,
    ) -> Params:
        """Draw the parameters of a network, and repeat them for ``n_models``."""
        draw = WEIGHT_INITS[self.weight_init]
        arrays: list[np.ndarray] = []
        for fan_out, *inputs in self.shapes:
            arrays += draw(rng, math.prod(inputs), fan_out, self.activation)

        # Drawn in float64 on the host, they are the same for every dtype and device.
        return tuple(
            torch.from_numpy(np.stack([array] * n_models)).to(device, dtype)
            for array in arrays
        )

    def total_loss(self, logits: list[Tensor], compared: list[Batch]) -> Tensor:
        """Return the loss (K,) of some batches, summed over samples by weight.

        ``logits`` (K, C, B) belong to the batches; the sum is in float64.
        """
        every_logit = logits[0]
        targets = compared[0].targets
        # Those of a single batch, which may be large, are not copied.
        if len(compared) > 1:
            every_logit = torch.cat(logits, -1)
            targets = torch.cat([batch.targets for batch in compared], -1)
        losses = OUTPUT_LOSSES[self.loss].value(every_logit, targets)

        weights = [batch.weight for batch in compared if batch.weight is not None]
        if not weights:
            return losses.sum(-1, dtype=torch.float64)
        return (losses * torch.cat(weights, -1).squeeze(1)).sum(-1)

    def total_penalty(
        self, norms: Tensor, alpha: Tensor, compared: list[Batch]
    ) -> Tensor:
        """Return the L2 penalty (K,) of some batches, summed over samples by weight.

        ``norms`` (n, L, K) are those of L penalised parameters, before the step of each
        of n batches.
        """
        squares = norms.double().square_().sum(1)
        penalties = squares * alpha.flatten() * 0.5
        if self.penalty_per_sample:
            return penalties.sum(0)

        totals = [batch.total_weight for batch in compared]
        if isinstance(totals[0], Tensor):
            weights = torch.stack([cast(Tensor, total).flatten() for total in totals])
            return (penalties * weights).sum(0)

        # Of batches without weights, the last one alone may have another total.
        weighted = penalties * totals[0]
        weighted[-1] = penalties[-1] * totals[-1]
        return weighted.sum(0)

    def strength(
        self, batch: Batch, hyper: StepHyper, dtype: torch.dtype
    ) -> Tensor | None:
        """Return the factor (K, 1, 1) of the weights in the penalty's gradient."""
        if hyper.alpha is None:
            return None

        if self.penalty_per_sample:
            return (hyper.alpha / batch.total_weight).to(dtype)
        return hyper.alpha

    def evaluate(self, params: Params, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return mean loss (K,) and accuracy (K,) on a batch, without the penalty."""
        logits = self.logits(params, batch.X)
        if self.loss == LOGISTIC:
            correct = ((logits > 0) == (batch.targets > 0.5)).all(CLASSES)
        else:
            predicted = OUTPUT_LOSSES[self.loss].scores(logits).argmax(CLASSES)
            correct = predicted == batch.targets.argmax(CLASSES)

        losses = OUTPUT_LOSSES[self.loss].value(logits, batch.targets)
        return _mean(losses, batch.weight), _mean(correct, batch.weight)

    def to_scores(self, logits: Tensor) -> Tensor:
        """Return scores (K, C, B) by logits, whose softmax is the probability.

        The single logit of two classes belongs to the second one; the first one's is 0.
        Labels have logits (K, L, B), whose sigmoid is the probability.
        """
        if self.loss == LOGISTIC and logits.shape[CLASSES] == 1:
            return torch.cat([torch.zeros_like(logits), logits], CLASSES)
        return OUTPUT_LOSSES[self.loss].scores(logits)

    def to_layers(self, params: Params) -> list[tuple[Tensor, Tensor]]:
        """Return each layer's weights and biases (outputs,) of a single model, K = 1.

        Weights of dense layers are (inputs, outputs), as in MLPClassifier.
        """
        layers = []
        for number, shape in enumerate(self.shapes):
            weight = params[2 * number][0].view(shape)
            bias = params[2 * number + 1][0, :, 0]
            layers.append((weight.T if len(shape) == 2 else weight, bias))
        return layers

    def from_layers(self, layers: list[tuple[Tensor, Tensor]]) -> Params:
        """Return the parameters of a single model, K = 1, by its layers."""
        params: list[Tensor] = []
        for weight, bias in layers:
            flat = weight.T if weight.dim() == 2 else weight.flatten(1)
            params += [flat.unsqueeze(0), bias.view(1, -1, 1)]
        return tuple(params)

    def trains_together(self, n_moments: int, device: torch.device) -> bool:
        """Return whether several models train faster in one run than one by one.

        Beyond a size, a model keeps the cores of a CPU busy by itself.
        """
        n_params = sum(math.prod(shape) + shape[0] for shape in self.shapes)
        return device.type != "cpu" or n_params * n_moments <= LARGEST_BATCHED

    def numbers_in_layers(
        self, device: torch.device, batch_size: int, n_scored: int
    ) -> int:
        """Return how many numbers a model's layers hold of a batch and when scored."""
        at_once = min(self.chunk_samples(device), n_scored)
        return (3 * batch_size + at_once) * self.n_units

    def bytes_per_model(
        self,
        device: torch.device,
        n_moments: int,
        batch_size: int,
        n_samples: int,
        n_scored: int,
    ) -> int:
        """Return the most memory that a model takes beside its replica's samples.

        It takes parameters as they are, as they were and as gradients; moments; what
        layers compute of a batch and of samples to score; logits and targets of a
        block.
        """
        n_params = sum(math.prod(shape) + shape[0] for shape in self.shapes)
        n_outputs = self.shapes[-1][0]
        in_layers = self.numbers_in_layers(device, batch_size, n_scored)
        sizes = SIZES[device.type]
        most = min(sizes.block_samples, sizes.block_targets // n_outputs)
        in_block = max(batch_size, most)
        compared = 5 * min(n_samples, in_block) + 2 * n_scored

        copies = 3 + 2 * n_moments
        if device.type != "cpu":
            # Beside those of a block of steps: joint gradients, sizes and their owners.
            copies += 4 + n_moments
        numbers = n_params * copies + in_layers
        return 8 * (numbers + compared * n_outputs)


def dropout_mask(
    output: Tensor,
    dropout: Tensor,
    generators: Sequence[Generator],
    part: Part | None = None,
) -> Tensor:
    """Return 0 for dropped units and ``1 / (1 − p)`` for the others, (K, H, B).

    If the samples are ``part`` of a batch, masks are drawn for the whole batch.
    """
    shape = list(output.shape[1:])
    if part is not None:
        shape[-1] = part.n_samples
    # One draw for all models of a replica, each against its own rate: the mask of a
    # model does not depend on the models beside it.
    drawn = [
        torch.rand(shape, dtype=output.dtype, device=output.device, generator=one)
        for one in generators
    ]
    if part is not None:
        drawn = [one.index_select(1, part.places) for one in drawn]
    rate = dropout.view(len(generators), -1, 1, 1)
    kept = torch.stack(drawn).unsqueeze(1) >= rate
    return (kept.to(output) / (1 - rate)).view_as(output)


def _mean(values: Tensor, weight: Tensor | None) -> Tensor:
    """Return the weighted mean (K,) of values (K, B); exactly 1 if all are 1."""
    if weight is None:
        return values.double().mean(-1)

    weight = weight.squeeze(1)
    return (values * weight).sum(-1) / weight.sum(-1)
