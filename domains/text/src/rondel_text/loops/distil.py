"""A student that learns from what a teacher answers, and from labels.

Letters: B texts, L tokens of the longest, C classes or labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from rondel import Loss, Run, Section, Stream
from rondel.batch import to_device
from rondel.errors import DataError
from rondel.metric import merged
from rondel.run import evaluating
from rondel_text.comparison import BATCHES, Measured, comparison, size_of
from rondel_text.config import TextConfig
from rondel_text.data.batch import IGNORED, Texts
from rondel_text.data.ragged import Ragged
from rondel_text.data.text_set import TextSet
from rondel_text.distillation import (
    ALPHAS,
    DECAY,
    TEMPERATURES,
    WEIGHTS,
    check_settings,
    matching_of,
    setting_of,
)
from rondel_text.loops.material import Material
from rondel_text.loops.text_loop import TextLoop
from rondel_text.models.catalogue import make_model
from rondel_text.models.text_model import TextModel
from rondel_text.soft_targets import DISTANT, SOFTENED
from rondel_text.tasks.task import answering
from rondel_text.teacher import load_teacher, names_of

if TYPE_CHECKING:
    from rondel_text.models.transformer import TransformerModel


class Distil(TextLoop):
    """Learn from a trained teacher, from the average of oneself, or from a peer.

    Raises:
        ConfigError: The teacher, the student or a setting does not fit.
    """

    def __init__(self, config: TextConfig, model: TextModel, material: Material) -> None:
        super().__init__(config, model, material)
        distil, task = config.distil, material.task
        check_settings(config, task)
        self.temperature = setting_of("temperature", distil.temperature, TEMPERATURES, distil)
        self.alpha = setting_of("alpha", distil.alpha, ALPHAS, distil)
        self.weight = setting_of("weight", distil.weight, WEIGHTS, distil)
        if distil.kind == "frozen":
            self.teacher = load_teacher(distil.teacher, task)
            self.matching = matching_of(config, model, self.teacher.model, material)
        if distil.kind == "mutual":
            size, names = task.outputs, names_of(task)
            made = make_model(
                config.model, task.head, material.tokenizer, outputs=size, names=names
            )
            self.peer = made.train()

    def train(self, run: Run) -> None:
        """Train, and evaluate after every epoch."""
        self.begin(run)
        if self.config.distil.kind == "frozen":
            self.follow_teacher(run)
        elif self.config.distil.kind == "ema":
            self.follow_average(run)
        else:
            self.learn_together(run)

    # -- three kinds of teachers -------------------------------------------------------------------

    def follow_teacher(self, run: Run) -> None:
        """Learn from a teacher that stays as it is (Hinton et al., 2015, section 2)."""
        config, stream, loss = self.config, self.material.training, self.taught_loss
        if config.distil.keep_answers:
            stream, loss = self.answered(run), self.remembered_loss
        elif self.matching is not None:
            loss = self.loss_with_states
        total = stream.planned(config.epochs)
        student = run.update("model", self.learners, config.update, total=total)
        for epoch in run.epochs(config.epochs):
            for texts, *targets in run.batches(stream):
                student(loss, texts, *targets)
            if self.is_due(run, epoch, config.epochs):
                run.evaluate(self)

    def follow_average(self, run: Run) -> None:
        """Learn from the average of oneself (Tarvainen and Valpola, 2017, section 2).

        What is evaluated and kept is the teacher: the average that every update can keep.
        """
        config, stream = self.config, self.material.training
        settings = config.update.model_copy(update={"ema": config.update.ema or DECAY})
        total = stream.planned(config.epochs)
        student = run.update("model", self.model, settings, total=total)
        for epoch in run.epochs(config.epochs):
            for texts, *targets in run.batches(stream):
                with student.averaged():
                    taught = student.accumulation.forward(self.own_answer, (texts,))
                student(self.consistent_loss, texts, taught, *targets)
            if self.is_due(run, epoch, config.epochs):
                run.evaluate(self)

    def learn_together(self, run: Run) -> None:
        """Learn from a peer that learns as well (Zhang et al., 2018, algorithm 1).

        Each of them is updated in its turn, by what the other one answers at that moment.
        """
        config, stream = self.config, self.material.training
        total = stream.planned(config.epochs)
        first = run.update("model", self.model, config.update, total=total)
        second = run.update("peer", self.peer, config.update, total=total)
        from_second = partial(self.mutual_loss, self.model, self.peer)
        from_first = partial(self.mutual_loss, self.peer, self.model)
        for epoch in run.epochs(config.epochs):
            for texts, *targets in run.batches(stream):
                first(from_second, texts, *targets)
                second(from_first, texts, *targets)
            if self.is_due(run, epoch, config.epochs):
                run.evaluate(self)

    # -- their losses ------------------------------------------------------------------------------

    def taught_loss(self, texts: Texts, *targets: Tensor) -> Loss:
        """Return the loss by labels and by what the teacher answers."""
        return self.beside(told(self.teacher, texts), texts, *targets)

    def remembered_loss(self, texts: Texts, *targets: Tensor) -> Loss:
        """Return the same; what the teacher answered is the last of the targets."""
        *labels, taught = targets
        return self.beside(taught, texts, *labels)

    def beside(self, taught: Tensor, texts: Texts, *targets: Tensor) -> Loss:
        """Return (1 - alpha) H(labels, student) + alpha T^2 KL(teacher, student), both over T.

        The square makes up for gradients that shrink with it (Hinton et al., 2015, section 2); the
        divergence differs from the cross-entropy there by what no student can change.
        """
        answer = self.model(texts)
        own = self.task.loss(answering(answer), texts, *targets)
        soft = self.softened(answer, taught, *targets)
        return added(own, soft, 1 - self.alpha, self.alpha)

    def loss_with_states(self, texts: Texts, *targets: Tensor) -> Loss:
        """Add the distance of hidden states (Jiao et al., 2020: TinyBERT, section 3.1).

        It is that of a text, the mean over its tokens; a text with several counted tokens counts as
        often.
        """
        from rondel_text.models.layers import collected

        assert self.matching is not None, "else it is not asked for"
        mine, theirs = (cast("TransformerModel", m) for m in (self.model, self.teacher.model))
        with (
            collected(mine, texts.lengths) as states,
            collected(theirs, texts.lengths) as taught,
        ):
            loss = self.taught_loss(texts, *targets)
        apart = self.matching(states, taught, texts.lengths)  # (B,)
        if self.task.kind == "tokens":
            apart = apart * (targets[0] != IGNORED).sum(1)
        total = loss.sum + self.config.distil.hidden_weight * apart.sum()
        return Loss(total, loss.count, parts={**(loss.parts or {}), "hidden": apart.sum()})

    def own_answer(self, texts: Texts) -> Tensor:
        """Return what the model answers, as it is at the moment."""
        if not len(texts.ids):  # a short last batch may leave a process nothing
            return texts.lengths
        return told(self.model, texts)

    def consistent_loss(self, texts: Texts, taught: Tensor, *targets: Tensor) -> Loss:
        """Return H(labels, student) + weight ||student - teacher||^2, of probabilities.

        (Tarvainen and Valpola, 2017, section 2; there the teacher has noise of its own, here it
        leaves nothing out.)
        """
        answer = self.model(texts)
        own = self.task.loss(answering(answer), texts, *targets)
        apart = DISTANT[self.task.kind](answer.float(), taught.float(), *targets)
        return added(own, apart, 1.0, self.weight)

    def mutual_loss(
        self, learner: TextModel, peer: TextModel, texts: Texts, *targets: Tensor
    ) -> Loss:
        """Return H(labels, learner) + weight T^2 KL(peer, learner), both over T.

        (Zhang et al., 2018, eq. 2 to 4, where weight and temperature are 1.)
        """
        taught, answer = told(peer, texts), learner(texts)
        own = self.task.loss(answering(answer), texts, *targets)
        return added(own, self.softened(answer, taught, *targets), 1.0, self.weight)

    def softened(self, answer: Tensor, taught: Tensor, *targets: Tensor) -> Tensor:
        """Return T^2 KL(teacher, student), both over T, or what stands for it in the task."""
        apart = SOFTENED[self.task.kind]
        return apart(answer.float(), taught.float(), self.temperature, *targets)

    # -- the teacher -------------------------------------------------------------------------------

    @property
    def learners(self) -> list[nn.Module]:
        """What a frozen teacher teaches: the model, and maps of its states if there are some."""
        maps = [] if self.matching is None or not len(self.matching.maps) else [self.matching]
        return [self.model, *maps]

    def begin(self, run: Run) -> None:
        """Say what is to be learnt, and how good the teacher is.

        Raises:
            DataError: The run is resumed, and the teacher has changed.
        """
        super().begin(run)
        if self.config.distil.kind == "frozen":
            self.teacher.to(run.device)
            present = self.teacher.fingerprint()
            if run.once(lambda: present) != present:
                raise DataError(
                    "the teacher is no longer the one that the run was started with",
                    where=str(self.config.distil.teacher),
                    hint="Put it back, or start a new run.",
                )
            self.taught_metrics = run.once(self.introduce_teacher, run)

    def introduce_teacher(self, run: Run) -> dict[str, float]:
        """Measure the teacher and tell the user."""
        values = self.metrics_of(self.teacher, run)
        metric = self.task.watch.metric
        run.say(
            f"The teacher: {size_of(self.teacher):,} parameters, {metric} {values[metric]:.4g}. "
            f"The student: {size_of(self.model):,} parameters."
        )
        return values

    def answered(self, run: Run) -> Stream:
        """Return the texts to learn from, with the teacher's answers as the last of the targets."""
        made, found = self.material.train, []
        for rows in torch.split(torch.arange(len(made)), self.config.batch_size):
            texts = to_device(made.batch_of(rows)[0], run.device)
            answers = told(self.teacher, texts).cpu()
            lengths = made.lengths[rows].tolist()
            if self.task.kind == "tokens":
                found += [a[:length] for a, length in zip(answers, lengths, strict=True)]
            else:
                found.append(answers)
        taught = Ragged.join(found) if self.task.kind == "tokens" else torch.cat(found)
        texts = TextSet(made.encoded, made.rows, (*made.targets, taught))
        return self.material.stream(texts, self.task)

    @torch.no_grad()
    def metrics_of(self, model: nn.Module, run: Run) -> dict[str, float]:
        """Return the metrics of any model on the validation texts of all processes."""
        scores = self.task.scores()
        for texts, *targets in run.batches(self.material.validation):
            if len(texts.ids):  # a short last batch may leave a process nothing
                scores.update(cast(TextModel, model), texts, *targets)
        return merged({name: run.merged(metric) for name, metric in scores.by_name.items()}, [])

    def sections(self, run: Run) -> Sequence[Section]:
        """Look at the best state once more, beside who taught it."""
        first, *others = super().sections(run)
        if self.config.distil.kind == "ema":  # the teacher is what all other sections show
            return [first, *others]
        if self.config.distil.kind == "frozen":
            other = Measured("teacher", self.teacher, self.taught_metrics)
        else:
            other = Measured("peer", self.peer, self.metrics_of(self.peer, run))
        mine = Measured("student", self.model, self.metrics_of(self.model, run))
        valid, size = self.material.valid, self.config.batch_size
        rows = torch.arange(min(len(valid), BATCHES * size))
        batches = [
            to_device(valid.batch_of(some)[0], run.device) for some in torch.split(rows, size)
        ]
        return [first, comparison([mine, other], batches), *others]


def added(labels: Loss, teacher: Tensor, labels_weight: float, teacher_weight: float) -> Loss:
    """Return a weighted sum over what the loss of the labels counts."""
    total = labels_weight * labels.sum + teacher_weight * teacher
    return Loss(total, labels.count, parts={"labels": labels.sum, "teacher": teacher})


def told(teacher: nn.Module, texts: Texts) -> Tensor:
    """Return what a teacher answers, without a gradient, and with nothing left out."""
    with torch.no_grad(), evaluating([teacher]):
        answer: Tensor = teacher(texts)
    return answer
