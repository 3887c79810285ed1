"""Which form of TPE fits a space in which parameters hold only for some values of others.

    python benchmarks/conditional_space.py [--seeds 40] [--trials 100] [--at-once N]

Nothing is trained. A seed makes a landscape: each optimizer has a least loss and a best rate of
its own, and some have arguments that no other has. Rates far above the best diverge, and Optuna is
told so as by a sweep. All samplers search the landscapes of the same seeds; the table has by how
much they miss the least loss (median), and the paired ratio of that to TPE as it is (geometric mean
and 95 % interval).
"""

from __future__ import annotations

import argparse
import math
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

import numpy as np
import optuna
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import TrialState

from sweeps.search.repeatable import RepeatableSampler
from sweeps.space.declared import DeclaredSpace
from sweeps.space.file import parse_space
from trainer.settings.config import TrainConfig

THREE = """
optimizer = ["SGD", "AdamW", "RMSprop"]
step_size = { low = 1, high = "epochs" }
gamma = { low = 0.1, high = 0.9, step = 0.1 }
[when.optimizer.SGD]
lr = { low = 1e-3, high = 1.0, grid = "1-2-5" }
momentum = [0.0, 0.5, 0.9]
[when.optimizer.AdamW]
lr = { low = 1e-5, high = 0.1, grid = "1-2-5" }
weight_decay = { low = 1e-4, high = 1.0, log = true }
[when.optimizer.RMSprop]
lr = { low = 1e-5, high = 1e-2, grid = "1-2-5" }
alpha = { low = 0.9, high = 0.999 }
"""

ONE_LR = """
optimizer = ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad"]
lr = { low = 1e-4, high = 1.0, grid = "1-2-5" }
step_size = { low = 1, high = "epochs" }
gamma = { low = 0.1, high = 0.9, step = 0.1 }
[when.optimizer.SGD]
momentum = [0.0, 0.5, 0.9]
[when.optimizer.AdamW]
weight_decay = { low = 1e-4, high = 1.0, log = true }
[when.optimizer.RMSprop]
alpha = { low = 0.9, high = 0.999 }
"""

SPACES = {"rates of their own": THREE, "one rate for all": ONE_LR}

SAMPLERS: dict[str, Callable[[int], BaseSampler]] = {
    "as it is": lambda seed: TPESampler(seed=seed),
    "group=True": lambda seed: TPESampler(seed=seed, multivariate=True, group=True),
    "multivariate=False": lambda seed: TPESampler(seed=seed, multivariate=False),
    "random": lambda seed: RandomSampler(seed=seed),
}

LEAST = 0.01
"""Added to what is compared: twice the noise, below which nothing can be told."""

BASE = TrainConfig(epochs=20)
BEST_LRS = {"SGD": 0.05, "Adam": 1e-3, "AdamW": 1e-3, "RMSprop": 5e-4, "Adagrad": 0.02}


@dataclass(frozen=True)
class Landscape:
    """Losses as a function of a config.

    Attributes:
        seed: of where the best is.
        optimizers: of which the best one has a least loss of 0.
    """

    seed: int
    optimizers: tuple[str, ...]

    def loss(self, config: TrainConfig) -> float:
        """A number of at least 0, or infinity."""
        draw = Random(self.seed)
        bests = {name: (draw.uniform(0, 0.4), draw.gauss(0, 0.4)) for name in self.optimizers}
        momentum, decay, alpha = draw.choice([0.0, 0.5, 0.9]), draw.gauss(-2, 1), draw.gauss(2, 0.5)
        fall, width = draw.uniform(0.5, 3), draw.uniform(0.2, 0.6)
        args = config.optimizer_args
        floor, shift = bests[config.optimizer]
        best = math.log10(BEST_LRS[config.optimizer]) + shift
        best += math.log10(1 - args.get("momentum", 0.0))  # momentum multiplies the steps
        away = math.log10(config.lr) - best
        if away > 1:
            return math.inf
        fallen = (config.epochs - 1) // config.step_size * -math.log10(config.gamma)
        loss = floor - min(floor for floor, _ in bests.values()) + width * away**2
        loss += 0.1 * (math.sqrt(fallen) - math.sqrt(fall)) ** 2
        if "momentum" in args:
            loss += 0.2 * abs(args["momentum"] - momentum)
        if "weight_decay" in args:
            loss += 0.1 * (math.log10(args["weight_decay"]) - decay) ** 2
        if "alpha" in args:
            loss += 0.2 * (-math.log10(1 - args["alpha"]) - alpha) ** 2
        return loss


def search(
    space: DeclaredSpace,
    landscape: Landscape,
    make: Callable[[int], BaseSampler],
    trials: int,
    at_once: int,
) -> list[float]:
    """The least loss after each trial."""
    study = optuna.create_study(sampler=RepeatableSampler(make, landscape.seed))
    best, so_far, live = math.inf, [], []
    for number in range(trials):
        live.append((trial := study.ask(), space.suggest(trial, BASE)))
        while len(live) >= at_once or (live and number == trials - 1):
            trial, config = live.pop(0)
            loss = landscape.loss(config)
            if math.isinf(loss):
                trial.set_constraint("diverged", 1.0)
                study.tell(trial, state=TrialState.PRUNED)
            else:
                noise = Random(f"{landscape.seed} {config.to_json()}").gauss(0, 0.005)
                study.tell(trial, loss + noise)
                best = min(best, loss)
            so_far.append(best)
    return so_far


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=40)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--at-once", type=int, default=1)
    given = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    counts = sorted({min(50, given.trials), given.trials})
    print(
        f"{given.seeds} seeds, {given.at_once} trials at once; ratio < 1: better than TPE as it is"
    )
    for title, text in SPACES.items():
        space = parse_space(text, title)
        optimizers = space.choices("optimizer")
        found: dict[str, np.ndarray] = {}
        for name, make in SAMPLERS.items():
            began = time.perf_counter()
            curves = [
                search(space, Landscape(seed, optimizers), make, given.trials, given.at_once)
                for seed in range(given.first_seed, given.first_seed + given.seeds)
            ]
            found[name] = np.array(curves)
            seconds = (time.perf_counter() - began) / given.seeds / given.trials
            for count in counts:
                missed = found[name][:, count - 1]
                logs = np.log(missed + LEAST) - np.log(found["as it is"][:, count - 1] + LEAST)
                error = logs.std(ddof=1) / math.sqrt(len(logs)) if len(logs) > 1 else 0.0
                low, middle, high = np.exp(logs.mean() + np.array([-1.96, 0, 1.96]) * error)
                print(
                    f"{title:20} {name:20} {count:4} trials  missed {np.median(missed):.4f}  "
                    f"ratio {middle:.2f} ({low:.2f} to {high:.2f})  better in "
                    f"{(logs < 0).sum():3} worse in {(logs > 0).sum():3}  "
                    f"{seconds * 1000:.1f} ms a trial",
                    flush=True,
                )


if __name__ == "__main__":
    main()
