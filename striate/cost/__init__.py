"""What a network costs, found out before it runs: parameters, arithmetic, receptive fields, memory."""

from striate.cost.memory import OPTIMIZERS, Optimizer, TrainingMemory
from striate.cost.network import Cost, Layer, measure_cost

__all__ = ["OPTIMIZERS", "Cost", "Layer", "Optimizer", "TrainingMemory", "measure_cost"]
