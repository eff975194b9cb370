"""The systems that the benchmarks compare, and the functions that drive them.

The tables name functions instead of importing them, so that a worker imports one system only and a
system that is not installed becomes a row of the report instead of a crash.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal

Kernel = Literal["default", "fused", "own"]


@dataclass(frozen=True)
class Loop:
    """One row of loop_overhead.py: a function `(Regression) -> final weights` of an adapter.

    `kernel` is the AdamW that the row steps with: torch's default, torch's fused one, or the
    system's own. `exact` is false where the row does more than the hand-written step on purpose
    (clips, for example), so that its weights are not compared.
    """

    label: str
    module: str
    function: str
    kernel: Kernel
    exact: bool = True

    def load(self) -> Callable[..., Any]:
        """Import the adapter, and with it the system, and return the function."""
        return _load(self.module, self.function)


@dataclass(frozen=True)
class Resume:
    """One row of resume_exact.py: a function `(Interruption) -> final weights` of an adapter.

    `saved_step` is the step of the state that the system resumes from when it is killed after
    step 12: another number where the system saves at the end of an epoch only.
    """

    label: str
    module: str
    function: str
    saved_step: int = 12

    def load(self) -> Callable[..., Any]:
        """Import the adapter, and with it the system, and return the function."""
        return _load(self.module, self.function)


LOOPS = (
    Loop("hand-written, again", "hand_written", "default_kernel", "default"),
    Loop("hand-written fused, again", "hand_written", "fused_kernel", "fused"),
    Loop("hand-written + loss.item()", "hand_written", "reading_the_loss", "default"),
    Loop(
        "hand-written after `import rondel`", "rondel_loop", "hand_written_after_import", "default"
    ),
    Loop(
        "hand-written after `import lightning`",
        "lightning_trainer",
        "hand_written_after_import",
        "default",
    ),
    Loop("rondel, default checks", "rondel_loop", "default_checks", "fused"),
    Loop("rondel, progress bar + loss log", "rondel_loop", "bar_and_log", "fused"),
    Loop("Ignite Engine, own step", "ignite", "own_step", "default"),
    Loop("Ignite Engine, own step, fused", "ignite", "own_step_fused", "fused"),
    Loop("Ignite create_supervised_trainer", "ignite", "supervised_trainer", "default"),
    Loop("Fabric", "fabric", "default_kernel", "default"),
    Loop("Fabric, fused", "fabric", "fused_kernel", "fused"),
    Loop("Accelerate", "accelerate", "default_kernel", "default"),
    Loop("Accelerate, fused", "accelerate", "fused_kernel", "fused"),
    Loop("Accelerate under accumulate()", "accelerate", "accumulating", "default"),
    Loop("Lightning Trainer, nothing on", "lightning_trainer", "nothing_on", "default"),
    Loop("Lightning Trainer, nothing on, fused", "lightning_trainer", "nothing_on_fused", "fused"),
    Loop("Lightning Trainer, manual optimization", "lightning_trainer", "manual", "default"),
    Loop("Lightning Trainer, bar + loss log", "lightning_trainer", "bar_and_log", "default"),
    Loop("transformers Trainer, nothing on", "transformers_trainer", "nothing_on", "default"),
    Loop(
        "transformers Trainer, nothing on, fused",
        "transformers_trainer",
        "nothing_on_fused",
        "fused",
    ),
    Loop(
        "transformers Trainer, its defaults",
        "transformers_trainer",
        "its_defaults",
        "fused",
        exact=False,
    ),
    Loop("fastai, no bar", "fastai", "own_optimizer", "own"),
    Loop("fastai, no bar, torch's fused AdamW", "fastai", "fused_kernel", "fused"),
    Loop("fastai, its bar and log", "fastai", "bar_and_log", "own"),
    Loop("Keras 3 (torch), verbose=0", "keras3", "silent", "own"),
    Loop("Keras 3 (torch), its bar", "keras3", "with_bar", "own"),
)

RESUMES = (
    Resume("rondel", "rondel_loop", "resume"),
    Resume(
        "hand-written, PyTorch's tutorial (end of epoch)", "hand_written", "resume", saved_step=8
    ),
    Resume("transformers Trainer (save_steps)", "transformers_trainer", "resume"),
    Resume("Lightning (ModelCheckpoint, ckpt_path)", "lightning_trainer", "resume"),
    Resume(
        "Lightning + torchdata StatefulDataLoader", "lightning_trainer", "resume_stateful_loader"
    ),
    Resume("Fabric (save/load, batches skipped)", "fabric", "resume"),
    Resume("Ignite DeterministicEngine", "ignite", "resume"),
    Resume("Ignite DeterministicEngine, no rng_states", "ignite", "resume_without_rng_states"),
    Resume("Accelerate (save_state, skip_first_batches)", "accelerate", "resume"),
    Resume("Accelerate, use_seedable_sampler", "accelerate", "resume_seedable"),
    Resume("Keras BackupAndRestore(save_freq=12)", "keras3", "resume"),
    Resume("fastai (SaveModelCallback, end of epoch)", "fastai", "resume", saved_step=8),
)


def _load(module: str, function: str) -> Callable[..., Any]:
    return getattr(import_module(f"peers.{module}"), function)
