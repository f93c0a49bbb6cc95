"""What to try next: Optuna's proposals, as a function of the trials so far and a seed.

Every proposal comes from a fresh study in memory, filled with the trials so far, and a sampler whose seed
follows from the study's seed and the trial's number. So a study that was stopped and goes on proposes what
it would have proposed, and nothing of Optuna's needs to be stored.
"""

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from striate.errors import InputError
from striate.tune.record import Trial
from striate.tune.space import Choices, Range, Space

if TYPE_CHECKING:
    import optuna

UNDISTURBED = 5  # trials that are complete before one is pruned
WARM_UP = 2  # no trial is pruned before this epoch
ENOUGH = 10  # complete trials from which importance can be told


def check_optuna() -> None:
    """Find out early whether Optuna can be used.

    Raises:
        InputError: it is not installed.
    """
    try:
        import optuna  # noqa: F401 - an extra
    except ImportError as error:
        raise InputError("Optuna is not installed", "striate tune", "pip install 'striate[tune]'") from error


def propose(
    trials: Sequence[Trial], space: Space, own: dict[str, Any], seed: int
) -> tuple["optuna.trial.Trial", dict[str, Any]]:
    """The next trial, and its settings by dotted name.

    The first trial has the recipe's ``own`` values, where the space holds them: what is found is never
    worse than what was given. The next nine are random, later ones come from a tree-structured Parzen
    estimator (Bergstra et al. 2011).
    """
    study = _study(trials, space, seed)
    if not trials:
        study.enqueue_trial(own)
    trial = study.ask(_distributions(space))
    return trial, {key: trial.params[key] for key in space}


def importance(trials: Sequence[Trial], space: Space) -> dict[str, float]:
    """The share of each setting in the spread of results among the better trials, the largest first.

    PED-ANOVA (Watanabe et al. 2023, arXiv:2304.10255). Empty with fewer than ten complete trials, or where
    all of them are alike.
    """
    import optuna

    complete = [trial for trial in trials if trial.state == "complete"]
    if len(complete) < ENOUGH or len({trial.value for trial in complete}) == 1:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # in Optuna 4
        evaluator = optuna.importance.PedAnovaImportanceEvaluator()
        found = optuna.importance.get_param_importances(_study(complete, space, 0), evaluator=evaluator)
    return dict(found)


def _study(trials: Sequence[Trial], space: Space, seed: int) -> "optuna.Study":
    import numpy as np
    import optuna

    own_seed = int(np.random.SeedSequence((seed, len(trials))).generate_state(1)[0])
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # or it announces each study
    study = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=own_seed),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=UNDISTURBED, n_warmup_steps=WARM_UP),
    )
    optuna.logging.set_verbosity(verbosity)
    states = {"complete": optuna.trial.TrialState.COMPLETE, "pruned": optuna.trial.TrialState.PRUNED}
    for trial in trials:
        if trial.state in states:
            study.add_trial(
                optuna.create_trial(
                    state=states[trial.state],
                    params=trial.settings,
                    distributions=_distributions(space),
                    value=trial.value,
                    intermediate_values=dict(enumerate(trial.values, start=1)),
                )
            )
    return study


def _distributions(space: Space) -> "dict[str, optuna.distributions.BaseDistribution]":
    return {key: _distribution(part) for key, part in space.items()}


def _distribution(part: Range | Choices) -> "optuna.distributions.BaseDistribution":
    import optuna

    if isinstance(part, Choices):
        return optuna.distributions.CategoricalDistribution(part.values)
    if part.whole:
        return optuna.distributions.IntDistribution(int(part.low), int(part.high), log=part.log)
    return optuna.distributions.FloatDistribution(part.low, part.high, log=part.log)
