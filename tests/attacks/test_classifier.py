from __future__ import annotations

import copy
import itertools
import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from tui_mia.attacks import classifier
from tui_mia.attacks.classifier import train_classifiers


def noisy(size: int, signal: float) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    random = np.random.default_rng(0)
    labels = random.integers(2, size=size)
    features = random.normal(size=(size, 8)).astype(np.float32)
    features[:, 0] += signal * labels
    return features, labels


def train_one(
    features: NDArray[np.float32], labels: NDArray[np.int64], seed: int
) -> tuple[nn.Module, int, int]:
    """The published training in plain torch: the best model, its epoch, and how many epochs there were."""
    generator = torch.Generator().manual_seed(seed)
    widths = [features.shape[1], 512, 256, 128, 2]
    layers: list[nn.Module] = []
    for width, next_width in itertools.pairwise(widths):
        layer = nn.Linear(width, next_width)
        bound = 1 / math.sqrt(width)
        with torch.no_grad():
            layer.weight.copy_(bound * (2 * torch.rand(width, next_width, generator=generator) - 1).T)
            layer.bias.copy_(bound * (2 * torch.rand(1, next_width, generator=generator) - 1)[0])
        layers += [layer, nn.ReLU()]
    model = nn.Sequential(*layers[:-1])
    x, y = torch.from_numpy(features), torch.from_numpy(labels)
    order = torch.randperm(len(x), generator=generator)
    held = round(0.1 * len(x))
    held_out, training = order[:held], order[held:]
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    best, best_loss, best_epoch, epoch = copy.deepcopy(model), math.inf, 0, 0
    while epoch < 15 and epoch - best_epoch < 3:
        epoch += 1
        shuffled: Tensor = training[torch.randperm(len(training), generator=generator)]
        for rows in shuffled.split(32):
            optimiser.zero_grad()
            functional.cross_entropy(model(x[rows]), y[rows]).backward()
            optimiser.step()
        with torch.no_grad():
            loss = functional.cross_entropy(model(x[held_out]), y[held_out]).item()
        if loss < best_loss:
            best, best_loss, best_epoch = copy.deepcopy(model), loss, epoch
    return best, best_epoch, epoch


def log_odds(model: nn.Module, samples: NDArray[np.float32]) -> NDArray[np.float64]:
    with torch.no_grad():
        logits = model(torch.from_numpy(samples)).double()
    result: NDArray[np.float64] = (logits[:, 1] - logits[:, 0]).numpy()
    return result


def test_seeds_trained_side_by_side_learn_what_each_learns_alone_and_keep_their_best_epoch() -> None:
    # Seed 4 is out of patience after epoch 5, and would do better in epoch 6, while seed 3 still learns.
    features, labels = noisy(200, 2.0)
    samples = np.random.default_rng(1).normal(size=(50, 8)).astype(np.float32)
    seeds = [0, 3, 4]
    alone = [train_one(features, labels, seed) for seed in seeds]
    # Or the comparison would not show that the best epoch is kept, and that a seed waits for the others.
    assert all(best < last for _, best, last in alone)
    assert len({last for _, _, last in alone}) > 1
    expected = [log_odds(model, samples) for model, _, _ in alone]
    for seed, own in zip(seeds, expected, strict=True):
        np.testing.assert_allclose(train_classifiers(features, labels, [seed])(samples), own, atol=1e-3)
    together = train_classifiers(features, labels, seeds)(samples)
    np.testing.assert_allclose(together, np.mean(expected, axis=0), atol=1e-3)


def test_log_odds_are_high_where_the_label_is_1() -> None:
    features, labels = noisy(400, 4.0)
    scores = train_classifiers(features, labels, [0])(features)
    assert np.mean((scores > 0) == (labels == 1)) > 0.9


def test_the_same_seed_gives_the_same_bytes() -> None:
    features, labels = noisy(200, 1.0)
    first, second = (train_classifiers(features, labels, [0, 1])(features) for _ in range(2))
    assert first.tobytes() == second.tobytes()


def test_the_held_out_loss_does_not_depend_on_the_size_of_its_batches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    features, labels = noisy(300, 1.0)
    whole = train_classifiers(features, labels, [0, 1])(features)
    monkeypatch.setattr(classifier, "HELD_OUT_BATCH", 7)
    np.testing.assert_allclose(train_classifiers(features, labels, [0, 1])(features), whole, atol=1e-4)


def test_no_samples_give_no_scores() -> None:
    features, labels = noisy(60, 1.0)
    assert train_classifiers(features, labels, [0])(features[:0]).shape == (0,)
