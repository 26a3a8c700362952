"""The classifier of WSA: an MLP, trained once a seed, all seeds side by side.

Published as 512-256-128-2 with ReLU, Adam at 1e-3, batches of 32, at most 15
epochs, a tenth held out, patience 3. The parameters of all seeds are stacked, so
that one batched product trains them together; Adam works element by element and
the losses are summed, so each seed learns as it would alone.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

HIDDEN = (512, 256, 128)
LEARNING_RATE = 1e-3
BATCH = 32
HELD_OUT_BATCH = 4096
# Beyond 16,384 samples batches grow instead of steps, or a large audit would train for hours.
STEPS_AN_EPOCH = 512
EPOCHS = 15
PATIENCE = 3
HELD_OUT = 0.1


def train_classifiers(
    features: NDArray[np.float32], labels: NDArray[np.int64], seeds: Sequence[int]
) -> Callable[[NDArray[np.float32]], NDArray[np.float64]]:
    """Train one MLP a seed on [n, F] features and [n] labels of 0 and 1.

    Returns:
        A function from [m, F] features to [m] log-odds of label 1, the mean over
        the seeds. Log-odds, not probabilities: those reach 1.0 and tie.
    """
    x, y = torch.from_numpy(features), torch.from_numpy(labels)
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    parameters = _initial(features.shape[1], generators)
    orders = torch.stack([torch.randperm(len(x), generator=generator) for generator in generators])
    held = max(2, round(HELD_OUT * len(x)))
    held_out, training = orders[:, :held], orders[:, held:]
    batch = max(BATCH, math.ceil(training.shape[1] / STEPS_AN_EPOCH))

    optimiser = torch.optim.Adam(parameters, lr=LEARNING_RATE)
    best = [parameter.detach().clone() for parameter in parameters]
    best_loss = torch.full((len(seeds),), torch.inf)
    epochs_since_best = torch.zeros(len(seeds))
    for _ in range(EPOCHS):
        draws = zip(training, generators, strict=True)
        shuffled = torch.stack(
            [row[torch.randperm(len(row), generator=generator)] for row, generator in draws]
        )
        for rows in shuffled.split(batch, dim=1):
            optimiser.zero_grad()
            _losses(parameters, x[rows], y[rows]).sum().backward()
            optimiser.step()
        with torch.no_grad():
            held_batches = held_out.split(HELD_OUT_BATCH, dim=1)
            sums = [_losses(parameters, x[rows], y[rows]) * rows.shape[1] for rows in held_batches]
            losses = torch.stack(sums).sum(dim=0) / held
        # A seed that ran out of patience stops counting; its later steps change nothing that is kept.
        better = (losses < best_loss) & (epochs_since_best < PATIENCE)
        epochs_since_best = torch.where(better, 0, epochs_since_best + 1)
        best_loss = torch.where(better, losses, best_loss)
        for kept, parameter in zip(best, parameters, strict=True):
            kept[better] = parameter.detach()[better]
        if bool((epochs_since_best >= PATIENCE).all()):
            break

    def log_odds(samples: NDArray[np.float32]) -> NDArray[np.float64]:
        with torch.no_grad():
            logits = _forward(best, torch.from_numpy(samples).expand(len(seeds), -1, -1)).double()
        result: NDArray[np.float64] = (logits[..., 1] - logits[..., 0]).mean(dim=0).numpy()
        return result

    return log_odds


def _initial(inputs: int, generators: Sequence[torch.Generator]) -> list[Tensor]:
    """Weights [seeds, in, out] and biases [seeds, 1, out] of each layer, uniform as in torch.nn.Linear."""
    widths = [inputs, *HIDDEN, 2]
    parameters = []
    for width, next_width in itertools.pairwise(widths):
        bound = 1 / math.sqrt(width)
        for rows in (width, 1):
            drawn = [torch.rand(rows, next_width, generator=generator) for generator in generators]
            parameters.append((bound * (2 * torch.stack(drawn) - 1)).requires_grad_())
    return parameters


def _forward(parameters: Sequence[Tensor], x: Tensor) -> Tensor:
    """[seeds, n, F] features to [seeds, n, 2] logits."""
    layers = list(zip(parameters[::2], parameters[1::2], strict=True))
    for depth, (weight, bias) in enumerate(layers):
        x = torch.baddbmm(bias, x, weight)
        if depth < len(layers) - 1:
            x = functional.relu(x)
    return x


def _losses(parameters: Sequence[Tensor], x: Tensor, y: Tensor) -> Tensor:
    """The mean cross-entropy of each seed: [seeds]."""
    logits = _forward(parameters, x)
    return functional.cross_entropy(logits.transpose(1, 2), y, reduction="none").mean(dim=1)
